"""Export of every kind of classifier and recurrent translator: graphs equal PyTorch for all lengths and batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.export.quantization import write_int8
from training.graphs import Description, classifier, seq2seq, transformer
from training.graphs.parity import decode_in_steps, open_graphs
from training.graphs.trace import round_to_float16, write_graphs
from training.networks.attention import ATTENTIONS
from training.networks.recurrent import CELLS
from training.networks.seq2seq import Seq2Seq, Seq2SeqConfig
from training.networks.transformer import Transformer, TransformerConfig
from training.recipe import ClassificationRecipe, load_recipe, varied
from training.tasks import build_classifier

CLASSES = 3
VARIANTS = [
    *({"attention": name, "query": query} for name in sorted(ATTENTIONS) for query in ("last", "learned", "self")),
    *({"cell": cell, "layers": "2", "dense": "7"} for cell in sorted(CELLS)),
    {"attention": "none", "bidirectional": "false"},
    {"attention": "additive", "query": "dense"},
    *({"attention": "general", "query": query, "values": "embeddings"} for query in ("dense", "learned")),
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(changes.values()))
def test_every_classifier_graph_equals_pytorch(changes: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = load_recipe("sms-spam")
    assert isinstance(recipe, ClassificationRecipe)
    recipe = varied(recipe, {"embedding": "5", "hidden": "7", **changes})
    recipe = recipe.model_copy(update={"limits": recipe.limits.model_copy(update={"max_tokens": 67})})
    network = build_classifier(recipe, 17, CLASSES, pad_id=0).eval()
    described = classifier.describe(network)
    write_and_check(network, described, tmp_path)
    kinds = [] if changes.get("attention") == "none" else ["self" if changes.get("query") == "self" else "pooling"]
    kinds += ["contribution"] if changes.get("values") == "embeddings" else []
    assert [output.kind for output in described.attention] == kinds


def write_and_check(network: nn.Module, described: Description, folder: Path) -> None:
    round_to_float16(network)
    write_graphs(network, described, folder)


TRANSLATORS: list[dict[str, Any]] = [
    {"decoder": "bahdanau", "attention": "additive", "cell": "gru"},
    {"decoder": "bahdanau", "attention": "additive", "cell": "lstm", "decoder_layers": 2, "encoder_layers": 2},
    *({"decoder": "luong", "attention": name} for name in sorted(ATTENTIONS)),
    {"decoder": "luong", "attention": "general", "input_feeding": True, "decoder_layers": 2},
    {"decoder": "luong", "attention": "general", "local": "monotonic", "window": 2, "cell": "gru"},
    {"decoder": "luong", "attention": "general", "local": "predictive", "window": 2},
    {"decoder": "luong", "attention": "general", "local": "monotonic", "window": 2, "input_feeding": True},
    {"attention": "none"},
]


@pytest.mark.parametrize("options", TRANSLATORS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_recurrent_translator_graph_equals_pytorch(options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = Seq2SeqConfig(network="seq2seq", embedding=5, size=6, **options)
    network = Seq2Seq(config, vocabulary=17, max_length=67, pad_id=0).eval()
    described = seq2seq.describe(network, eos_id=3)
    write_and_check(network, described, tmp_path)
    assert [output.kind for output in described.attention] == ([] if options["attention"] == "none" else ["cross"])
    assert_int8_is_close(described, tmp_path)


@pytest.mark.parametrize("output_ids", [None, [1, 2, 3, 5, 8, 13]])
def test_every_transformer_graph_equals_pytorch(output_ids: list[int] | None, tmp_path: Path) -> None:
    """Also with an output layer that knows some tokens only: then all others have the probability 0."""
    torch.manual_seed(0)
    config = TransformerConfig(network="transformer", size=8, heads=2, feed_forward=12, decoder_layers=2)
    network = Transformer(config, vocabulary=17, pad_id=0).eval()
    network.output_ids = None if output_ids is None else torch.tensor(output_ids)
    described = transformer.describe(network, eos_id=3, summary_layer=1, max_target_length=67)
    write_and_check(network, described, tmp_path)
    assert_int8_is_close(described, tmp_path)
    run = open_graphs(tmp_path, described.graphs)
    encoded = run["encode"]({"source_ids": np.array([[5, 6, 3]]), "source_lengths": np.array([3])})
    [step] = decode_in_steps(run, described.graphs[1], encoded, np.array([[2]]), candidates=17)
    assert sorted(step["top_ids"][0].tolist()) == (output_ids or list(range(17)))
    np.testing.assert_allclose(np.exp(step["top_log_probs"]).sum(), 1, atol=1e-5)


def assert_int8_is_close(described: Description, folder: Path) -> None:
    variants = write_int8(described.graphs, folder, [([5, 6, 7, 3], [2, 8, 9]), ([10, 3], [2, 4])])
    found = []
    for graphs, precision in ((described.graphs, "float32"), (variants, "int8")):
        run = open_graphs(folder, graphs, precision)  # type: ignore[arg-type]
        encoded = run["encode"]({"source_ids": np.array([[5, 6, 7, 3]]), "source_lengths": np.array([4])})
        found.append(
            [step["end_log_probs"] for step in decode_in_steps(run, graphs[1], encoded, np.array([[2, 8, 9]]))]
        )
    np.testing.assert_allclose(found[0], found[1], atol=0.1)
    assert not np.array_equal(found[0], found[1])
