"""The recurrent translators' graphs.

Legend: B sentences, R rows (W for each sentence, side by side), S source length, V vocabulary.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph, StatePair, TensorInfo
from training.graphs import Description, parameters
from training.graphs.parity import (
    check_scores,
    require_equal,
    score_tensors,
    scores,
    step_tensors,
    tensors,
    trials,
)
from training.networks.seq2seq import Encoded, Memory, Seq2Seq


def carried(network: Seq2Seq) -> dict[str, list[int | str]]:
    """The parts of the decoder's memory that this network reads, with their shapes."""
    config = network.config
    state: list[int | str] = ["before", config.decoder_layers, config.size]
    return {
        "hidden": state,
        **({"cell": state} if config.cell == "lstm" else {}),
        **({"fed": ["before", config.embedding]} if network.feeds else {}),
        **({"position": ["before"]} if config.attention is not None and config.local == "monotonic" else {}),
    }


def looked_at(network: Seq2Seq) -> list[TensorInfo]:
    """What of the source the decoder looks at: nothing, or mask, states, and keys where they are not the states."""
    if network.attention is None:
        return []
    size = network.config.size
    return [
        *tensors(["source_mask"], "bool", ["sentences", "source_length"]),
        *tensors(["source_states"], "float32", ["sentences", "source_length", size]),
        *tensors(["source_keys"] * network.attention.projects, "float32", ["sentences", "source_length", size]),
    ]


class EncodeGraph(nn.Module):
    """source_ids [B, S], source_lengths [B] -> what the decoder looks at, and its first hidden state.

    What else it carries starts at zero.
    """

    def __init__(self, network: Seq2Seq):
        super().__init__()
        self.network = network

    def forward(self, source_ids: Tensor, source_lengths: Tensor) -> list[Tensor]:
        mask = torch.arange(source_ids.size(1))[None, :] < source_lengths[:, None]
        encoded = self.network.encode(source_ids, mask)
        parts = {"source_mask": encoded.mask, "source_states": encoded.states, "source_keys": encoded.keys}
        found = [parts[tensor.name] for tensor in looked_at(self.network)]
        return [*(part for part in found if part is not None), encoded.first.hidden]


class StepGraph(nn.Module):
    """token_ids [R], parents [R], candidates [1], what the decoder looks at [B, ...], its memory of the rows before ->
    scores of the next token, the next memory, weights [R, 1, S]."""

    def __init__(self, network: Seq2Seq, eos_id: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id

    def forward(self, token_ids: Tensor, parents: Tensor, candidates: Tensor, *inputs: Tensor) -> list[Tensor]:
        source = {tensor.name: part for tensor, part in zip(looked_at(self.network), inputs, strict=False)}
        names = list(carried(self.network))
        chosen = (part.index_select(0, parents) for part in inputs[-len(names) :])
        parts = dict(zip(names, chosen, strict=True))
        memory = Memory(parts["hidden"], parts.get("cell"), parts.get("fed"), parts.get("position"))
        states = source.get("source_states")
        encoded = Encoded(states, source.get("source_keys", states), source.get("source_mask"), memory)
        decoded = self.network.decode(token_ids[:, None], encoded, memory)
        found = scores(self.network.logits(decoded.states[:, -1]), self.eos_id, candidates)
        after = [getattr(decoded.memory, name) for name in names]
        return [*found, *after, *([] if decoded.weights is None else [decoded.weights])]


def describe(network: Seq2Seq, eos_id: int) -> Description:
    config = network.config
    looks = network.attention is not None
    source = looked_at(network)
    parts = carried(network)
    before = [t for name, shape in parts.items() for t in tensors([name], "float32", shape)]
    after = [t for name, shape in parts.items() for t in tensors([f"next_{name}"], "float32", ["rows", *shape[1:]])]
    weights = tensors(["cross"], "float32", ["rows", 1, "source_length"])[:looks]
    encode = Graph(
        role="encode",
        file="encode.onnx",
        precision="float32",
        inputs=[
            *tensors(["source_ids"], "int64", ["sentences", "source_length"]),
            *tensors(["source_lengths"], "int64", ["sentences"]),
        ],
        outputs=[*source, *tensors(["hidden"], "float32", ["sentences", *parts["hidden"][1:]])],
    )
    step = Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[
            *step_tensors("token_ids", "parents", "candidates"),
            *source,
            *before,
        ],
        outputs=[*score_tensors(), *after, *weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(after, before, strict=True)],
    )
    attention = [
        AttentionOutput(kind="cross", layer=None, heads=None, graph="step", output=tensor.name, summary=True)
        for tensor in weights
    ]
    architecture = Architecture(
        network="seq2seq",
        cell=config.cell,
        bidirectional=True,
        attention="local" if looks and config.local is not None else config.attention,
        parameters=parameters(network),
    )
    graphs = [encode, step]
    return Description(
        architecture,
        graphs,
        [EncodeGraph(network), StepGraph(network, eos_id)],
        attention,
        lambda folder: check(network, eos_id, folder, graphs),
    )


@torch.no_grad()
def check(network: Seq2Seq, eos_id: int, folder: Path, graphs: list[Graph]) -> None:
    """Compare every output of the step graph, step by step, with the whole target at once. Raises ParityError."""
    config = network.config
    for trial in trials(folder, graphs, config.vocabulary, network.pad_id, config.max_length):
        decoded = network(trial.row_source_ids, trial.target_ids)
        logits = network.logits(decoded.states)
        for t, answer in enumerate(trial.steps):
            where = f"at step {t} of lengths {trial.lengths}"
            check_scores(where, logits[:, t], eos_id, answer)
            if decoded.weights is not None:
                require_equal(f"cross {where}", decoded.weights[:, t : t + 1], answer["cross"])
