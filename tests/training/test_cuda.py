"""Graphs whose attention weights come from operators with CUDA kernels."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from service.bundle.cuda_graphs import SCORES, WEIGHTS, returns_weights, split_weights
from service.bundle.manifest import Graph
from tests.training.test_export import write_and_check
from training.export.quantization import write_int8
from training.graphs import Description, language, transformer
from training.graphs.cuda import fuse_weights
from training.networks.language import TransformerLanguageConfig, TransformerLanguageModel
from training.networks.transformer import Transformer, TransformerConfig


def modes(model: onnx.ModelProto) -> list[int]:
    """Output mode of each Attention node that returns scores or weights."""
    attributes = [a for node in model.graph.node if returns_weights(node) for a in node.attribute]
    return [attribute.i for attribute in attributes if attribute.name == "qk_matmul_output_mode"]


def translator() -> tuple[nn.Module, Description]:
    torch.manual_seed(0)
    config = TransformerConfig(
        network="transformer", size=12, heads=3, encoder_layers=2, decoder_layers=2, feed_forward=19
    )
    network = Transformer(config, vocabulary=17, pad_id=0).eval()
    return network, transformer.describe(network, 3, 1, 138)


def language_model() -> tuple[nn.Module, Description]:
    torch.manual_seed(0)
    config = TransformerLanguageConfig(network="decoder", size=12, heads=2, layers=3, feed_forward=7, window=5)
    network = TransformerLanguageModel(config, vocabulary=17).eval()
    return network, language.describe(network, 3, 0)


@pytest.fixture(scope="module", params=[translator, language_model])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Graph], Path]:
    """The graphs of a network, compared with PyTorch, and their folder."""
    network, described = request.param()
    folder = tmp_path_factory.mktemp("graphs")
    write_and_check(network, described, folder)
    return described.graphs, folder


def loaded(graphs: list[Graph], folder: Path) -> list[onnx.ModelProto]:
    return [onnx.load(str(folder / graph.file), load_external_data=False) for graph in graphs]


def test_float32_graphs_return_scores(written: tuple[list[Graph], Path]) -> None:
    for model in loaded(*written):
        assert set(modes(model)) == {SCORES}


def test_int8_graphs_return_weights(written: tuple[list[Graph], Path]) -> None:
    graphs, folder = written
    if graphs[0].role == "encode":
        for model in loaded(write_int8(graphs, folder, [([5, 6, 7, 3], [2, 8, 9])]), folder):
            assert set(modes(model)) == {WEIGHTS}


def test_fuse_undoes_split(written: tuple[list[Graph], Path]) -> None:
    for split in loaded(*written):
        fused = onnx.ModelProto()
        fused.CopyFrom(split)
        fuse_weights(fused)
        assert modes(fused) == [WEIGHTS] * len(modes(split))
        assert len(fused.graph.node) < len(split.graph.node)
        split_weights(fused)
        assert fused == split
