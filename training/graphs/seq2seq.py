"""Graphs of the recurrent translators.

Legend: B sentences, R rows (W consecutive rows per sentence), S source length, V vocabulary.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph, StatePair, TensorInfo
from training.graphs import Description, parameters
from training.graphs.parity import check_scores, require_equal, trials
from training.graphs.tensors import score_tensors, scores, step_tensors, tensors
from training.networks.seq2seq import DecoderState, Encoded, Seq2Seq, Seq2SeqConfig


def state_shapes(network: Seq2Seq) -> dict[str, list[int | str]]:
    """Shapes of the DecoderState fields that this network reads."""
    config = network.config
    state: list[int | str] = ["before", config.decoder_layers, config.size]
    return {
        "hidden": state,
        **({"cell": state} if config.cell == "lstm" else {}),
        **({"fed": ["before", config.embedding]} if network.feeds_input else {}),
        **({"position": ["before"]} if network.attention is not None and config.local == "monotonic" else {}),
    }


def source_tensors(network: Seq2Seq) -> list[TensorInfo]:
    """Tensors that attention reads: mask, encoder states, and keys if they differ from the states."""
    if network.attention is None:
        return []
    size = network.config.size
    return [
        *tensors(["source_mask"], "bool", ["sentences", "source_length"]),
        *tensors(["source_states"], "float32", ["sentences", "source_length", size]),
        *tensors(["source_keys"] * network.attention.projects, "float32", ["sentences", "source_length", size]),
    ]


class EncodeGraph(nn.Module):
    """source_ids [B, S], source_lengths [B] -> the `source_tensors` and the initial hidden state [B, L, D].

    The other parts of the decoder state start at zero.
    """

    def __init__(self, network: Seq2Seq):
        super().__init__()
        self.network = network

    def forward(self, source_ids: Tensor, source_lengths: Tensor) -> list[Tensor]:
        mask = torch.arange(source_ids.size(1))[None, :] < source_lengths[:, None]
        encoded = self.network.encode(source_ids, mask)
        parts = {"source_mask": encoded.mask, "source_states": encoded.states, "source_keys": encoded.keys}
        found = [parts[tensor.name] for tensor in source_tensors(self.network)]
        return [*(part for part in found if part is not None), encoded.initial.hidden]


class StepGraph(nn.Module):
    """token_ids [R], parents [R], candidates [1], the `source_tensors` [B, ...], the decoder state of the rows before
    -> scores of the next token, the next decoder state, attention weights [R, 1, S]."""

    def __init__(self, network: Seq2Seq, eos_id: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id

    def forward(self, token_ids: Tensor, parents: Tensor, candidates: Tensor, *inputs: Tensor) -> list[Tensor]:
        source = {tensor.name: part for tensor, part in zip(source_tensors(self.network), inputs, strict=False)}
        names = list(state_shapes(self.network))
        chosen = (part.index_select(0, parents) for part in inputs[-len(names) :])
        parts = dict(zip(names, chosen, strict=True))
        state = DecoderState(parts["hidden"], parts.get("cell"), parts.get("fed"), parts.get("position"))
        states = source.get("source_states")
        encoded = Encoded(states, source.get("source_keys", states), source.get("source_mask"), state)
        decoded = self.network.decode(token_ids[:, None], encoded, state)
        found = scores(self.network.logits(decoded.states[:, -1]), self.eos_id, candidates)
        following = [getattr(decoded.state, name) for name in names]
        return [*found, *following, *([] if decoded.weights is None else [decoded.weights])]


def encode_graph(network: Seq2Seq) -> Graph:
    """Manifest entry of the encode graph."""
    hidden = state_shapes(network)["hidden"]
    return Graph(
        role="encode",
        file="encode.onnx",
        precision="float32",
        inputs=[
            *tensors(["source_ids"], "int64", ["sentences", "source_length"]),
            *tensors(["source_lengths"], "int64", ["sentences"]),
        ],
        outputs=[*source_tensors(network), *tensors(["hidden"], "float32", ["sentences", *hidden[1:]])],
    )


def step_graph(network: Seq2Seq, weights: list[TensorInfo]) -> Graph:
    """Manifest entry of the step graph."""
    shapes = state_shapes(network).items()
    before = [tensor for name, shape in shapes for tensor in tensors([name], "float32", shape)]
    following = [t for name, shape in shapes for t in tensors([f"next_{name}"], "float32", ["rows", *shape[1:]])]
    return Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[*step_tensors("token_ids", "parents", "candidates"), *source_tensors(network), *before],
        outputs=[*score_tensors(), *following, *weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(following, before, strict=True)],
    )


def attention_name(config: Seq2SeqConfig) -> str | None:
    """Name of the attention in the manifest."""
    if config.attention == "none":
        return None
    return "local" if config.local is not None else config.attention


def describe(network: Seq2Seq, eos_id: int) -> Description:
    """Describe the graphs of a recurrent translator."""
    config = network.config
    attends = network.attention is not None
    weights = tensors(["cross"], "float32", ["rows", 1, "source_length"])[:attends]
    architecture = Architecture(
        network="seq2seq",
        cell=config.cell,
        bidirectional=True,
        attention=attention_name(config),
        parameters=parameters(network),
    )
    graphs = [encode_graph(network), step_graph(network, weights)]
    return Description(
        architecture,
        graphs,
        [EncodeGraph(network), StepGraph(network, eos_id)],
        [
            AttentionOutput(kind="cross", layer=None, heads=None, graph="step", output=tensor.name, summary=True)
            for tensor in weights
        ],
        lambda folder: check(network, eos_id, folder, graphs),
    )


@torch.no_grad()
def check(network: Seq2Seq, eos_id: int, folder: Path, graphs: list[Graph]) -> None:
    """Compare the step graph, step by step, with the network on whole targets. Raises ParityError."""
    for trial in trials(folder, graphs, network.vocabulary, network.pad_id, network.max_length):
        decoded = network(trial.row_source_ids, trial.target_ids)
        logits = network.logits(decoded.states)
        for t, outputs in enumerate(trial.steps):
            where = f"at step {t} of lengths {trial.lengths}"
            check_scores(where, logits[:, t], eos_id, outputs)
            if decoded.weights is not None:
                require_equal(f"cross {where}", decoded.weights[:, t : t + 1], outputs["cross"])
