"""Graph of the classifier.

Legend: B batch, S text length, C classes.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionKind, AttentionOutput, Graph
from training.graphs import Description, parameters
from training.graphs.parity import LENGTHS, open_graphs, padded_batch, require_equal
from training.graphs.tensors import tensors
from training.networks.classifier import AttentionClassifier


class ClassifyGraph(nn.Module):
    """ids [B, S], lengths [B] -> probabilities [B, C] and, with attention, weights [B, 1, S] or [B, S, S].

    Networks with exact contributions return them too, [B, C, 1, S].
    """

    def __init__(self, network: AttentionClassifier):
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        logits, weights = self.network(ids, lengths)
        return [logits.softmax(-1), *attention_outputs(self.network, ids, weights)]


def attention_outputs(network: AttentionClassifier, ids: Tensor, weights: Tensor | None) -> list[Tensor]:
    """The outputs of `describe` after the probabilities."""
    if weights is None:
        return []
    return [weights, *([network.contributions(ids, weights)] if network.config.values == "embeddings" else [])]


def describe(network: AttentionClassifier) -> Description:
    """Describe the graph of a classifier."""
    config = network.config
    inputs = [
        *tensors(["ids"], "int64", ["batch", "length"]),
        *tensors(["lengths"], "int64", ["batch"]),
    ]
    outputs = tensors(["probabilities"], "float32", ["batch", network.classes])
    attention = []
    if config.attention != "none":
        full = config.query == "self"
        name = "attention_weights"
        outputs += tensors([name], "float32", ["batch", "length" if full else 1, "length"])
        kind: AttentionKind = "self" if full else "pooling"
        attention = [AttentionOutput(kind=kind, layer=None, heads=None, graph="classify", output=name, summary=True)]
    if config.values == "embeddings":
        classes, name = network.classes, "contributions"
        outputs += tensors([name], "float32", ["batch", classes, 1, "length"])
        attention.append(AttentionOutput(kind="contribution", layer=None, heads=classes, graph="classify", output=name))
    graph = Graph(role="classify", file="classify.onnx", precision="float32", inputs=inputs, outputs=outputs)
    architecture = Architecture(
        network="classifier",
        cell=config.cell,
        bidirectional=config.bidirectional,
        attention=None if config.attention == "none" else config.attention,
        parameters=parameters(network),
    )
    return Description(
        architecture, [graph], [ClassifyGraph(network)], attention, lambda folder: check(network, folder, graph)
    )


@torch.no_grad()
def check(network: AttentionClassifier, folder: Path, graph: Graph) -> None:
    """Compare probabilities and attention weights on every batch of LENGTHS. Raises ParityError."""
    run = open_graphs(folder, [graph])["classify"]
    generator = torch.Generator().manual_seed(0)
    for lengths in [[min(n, network.max_length) for n in batch] for batch in LENGTHS]:
        ids, lengths_tensor = padded_batch(lengths, network.vocabulary, generator)
        logits, weights = network(ids, lengths_tensor)
        outputs = run({"ids": ids.numpy(), "lengths": lengths_tensor.numpy()})
        require_equal(f"probabilities of lengths {lengths}", logits.softmax(-1), outputs["probabilities"])
        if weights is not None:
            real = ids.ne(0)[:, :, None] | torch.tensor(weights.size(1) == 1)  # rows of padded queries are unused
            where = f"attention of lengths {lengths}"
            require_equal(where, weights * real, outputs["attention_weights"] * real.numpy())
        if "contributions" in outputs:
            [_, contributions] = attention_outputs(network, ids, weights)
            require_equal(f"contributions of lengths {lengths}", contributions, outputs["contributions"])
