"""Graphs whose attention weights come from operators with CUDA kernels."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from tests.training.test_export import write_and_check
from training.export.quantization import write_int8
from training.graphs import Description, language, transformer
from training.graphs.cuda import SCORES, WEIGHTS, fuse_weights, returns_weights, split_weights
from training.networks.language import TransformerLanguageConfig, TransformerLanguageModel
from training.networks.transformer import Transformer, TransformerConfig

Model = Callable[[], tuple[nn.Module, Description]]


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


@pytest.mark.parametrize(("model", "count"), [(translator, 6), (language_model, 3)])
def test_float32_graphs_return_scores_and_equal_pytorch(model: Model, count: int, tmp_path: Path) -> None:
    network, described = model()
    write_and_check(network, described, tmp_path)
    found = [mode for graph in described.graphs for mode in modes(onnx.load(str(tmp_path / graph.file)))]
    assert found == [SCORES] * count


def test_int8_graphs_return_weights(tmp_path: Path) -> None:
    network, described = translator()
    write_and_check(network, described, tmp_path)
    variants = write_int8(described.graphs, tmp_path, [([5, 6, 7, 3], [2, 8, 9])])
    found = [mode for graph in variants for mode in modes(onnx.load(str(tmp_path / graph.file)))]
    assert found == [WEIGHTS] * 6


@pytest.mark.parametrize("model", [translator, language_model])
def test_fuse_undoes_split(model: Model, tmp_path: Path) -> None:
    network, described = model()
    write_and_check(network, described, tmp_path)
    for graph in described.graphs:
        split = onnx.load(str(tmp_path / graph.file))
        fused = onnx.ModelProto()
        fused.CopyFrom(split)
        fuse_weights(fused)
        assert modes(fused) == [WEIGHTS] * len(modes(split))
        assert len(fused.graph.node) < len(split.graph.node)
        split_weights(fused)
        assert fused == split
