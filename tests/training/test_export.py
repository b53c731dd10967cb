"""Export of every kind of classifier: one graph for all lengths and batches, equal to PyTorch."""

from pathlib import Path

import pytest
import torch

from service.bundle import WEIGHTS
from training.export import (
    ClassifyGraph,
    check_classifier,
    classifier_graphs,
    round_to_float16,
    write_graph,
    write_weights,
)
from training.networks.attention import ATTENTIONS
from training.networks.recurrent import CELLS
from training.recipe import ClassificationRecipe, load_recipe, varied
from training.tasks import build_classifier

CLASSES = 3
VERSIONS = [
    *({"attention": name, "query": query} for name in sorted(ATTENTIONS) for query in ("last", "learned", "self")),
    *({"cell": cell, "layers": "2", "dense": "7"} for cell in sorted(CELLS)),
    {"attention": "none", "bidirectional": "false"},
]


@pytest.mark.parametrize("changes", VERSIONS, ids=lambda changes: "-".join(changes.values()))
def test_every_classifier_exports_as_pytorch_computes_it(changes: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = load_recipe("sms-spam")
    assert isinstance(recipe, ClassificationRecipe)
    recipe = varied(recipe, {"embedding": "5", "hidden": "7", **changes})
    recipe = recipe.model_copy(update={"limits": recipe.limits.model_copy(update={"max_tokens": 67})})
    network = build_classifier(recipe, 17, CLASSES, pad_id=0).eval()
    round_to_float16(network)
    graphs, attention = classifier_graphs(recipe, CLASSES)
    write_graph(ClassifyGraph(network), graphs[0], tmp_path, write_weights(network, tmp_path / WEIGHTS))
    check_classifier(network, tmp_path, graphs, recipe.limits.max_tokens)
    kinds = [] if changes.get("attention") == "none" else ["self" if changes.get("query") == "self" else "pooling"]
    assert [output.kind for output in attention] == kinds
