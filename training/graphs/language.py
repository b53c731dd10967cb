"""The language models' one graph: a step.

Legend: R rows (one a text), P past length, V vocabulary, D size, N heads, K size per head.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph, StatePair, TensorInfo
from training.graphs import Description, parameters
from training.graphs.parity import (
    check_scores,
    decode_in_steps,
    open_graphs,
    require_equal,
    score_tensors,
    scores,
    step_tensors,
    tensors,
)
from training.networks.language import LanguageModel, Memory, RecurrentLanguageModel


def carried(network: LanguageModel) -> dict[str, list[int | str]]:
    """The parts of the memory that this network has, with their shapes but the first dimension."""
    if not isinstance(network, RecurrentLanguageModel):
        config = network.config
        past: list[int | str] = [config.heads, "past_length", config.size // config.heads]
        return {f"{part}_{layer}": past for layer in range(config.layers) for part in ("keys", "values")}
    state: list[int | str] = [network.config.layers, network.config.size]
    parts = {"hidden": state, **({"cell": state} if network.config.cell == "lstm" else {})}
    if network.attention is not None:
        parts |= {name: ["past_length", network.config.size] for name in ("keys_0", "values_0")}
    return parts


def looks_back(network: LanguageModel) -> bool:
    return any("past_length" in shape for shape in carried(network).values())


class StepGraph(nn.Module):
    """token_ids [R], parents [R], lengths [R] if anything looks back, candidates [1], the memory of the rows before ->
    scores of the next token, the next memory, weights a layer.

    Pasts end together, so that texts of different lengths go side by side: the last `lengths` places are a row's own.
    """

    def __init__(self, network: LanguageModel, eos_id: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id

    def forward(self, token_ids: Tensor, parents: Tensor, *inputs: Tensor) -> list[Tensor]:
        looks = looks_back(self.network)
        lengths, candidates = (inputs[0], inputs[1]) if looks else (None, inputs[0])
        names = list(carried(self.network))
        chosen = (part.index_select(0, parents) for part in inputs[-len(names) :])
        parts = dict(zip(names, chosen, strict=True))
        past = [part for name, part in parts.items() if name not in ("hidden", "cell")]
        memory = Memory(
            parts.get("hidden"), parts.get("cell"), list(zip(past[::2], past[1::2], strict=True)) if past else None
        )
        mask = None
        if lengths is not None:
            length = past[0].size(-2)
            mask = (torch.arange(length + 1) >= length - lengths[:, None])[:, None, :]
        read = self.network(token_ids[:, None], memory, mask)
        found = scores(self.network.logits(read.states[:, -1]), self.eos_id, candidates)
        states = [state for state in (read.memory.hidden, read.memory.cell) if state is not None]
        after = [part for pair in read.memory.keys_values or [] for part in pair]
        return [*found, *states, *after, *read.weights]


def describe(network: LanguageModel, eos_id: int, summary_layer: int) -> Description:
    parts, looks = carried(network), looks_back(network)
    recurrent = isinstance(network, RecurrentLanguageModel)
    heads = None if isinstance(network, RecurrentLanguageModel) else network.config.heads
    layers = range((1 if recurrent else network.config.layers) * looks)
    before = [t for name, shape in parts.items() for t in tensors([f"past_{name}"], "float32", ["before", *shape])]
    after = [
        TensorInfo(name=name, dtype="float32", shape=["rows", *("kept_length" if d == "past_length" else d for d in s)])
        for name, s in parts.items()
    ]
    shape: list[int | str] = ["rows", *([heads] if heads else []), 1, "seen_length"]
    weights = tensors([f"decoder_self_{layer}" for layer in layers], "float32", shape)
    names = ["token_ids", "parents", *(["lengths"] if looks else []), "candidates"]
    step = Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[*step_tensors(*names), *before],
        outputs=[*score_tensors(), *after, *weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(after, before, strict=True)],
    )
    attention = [
        AttentionOutput(
            kind="decoder_self",
            layer=None if recurrent else layer,
            heads=heads,
            graph="step",
            output=tensor.name,
            summary=layer == (0 if recurrent else summary_layer),
        )
        for layer, tensor in enumerate(weights)
    ]
    architecture = Architecture(
        network="recurrent" if isinstance(network, RecurrentLanguageModel) else "decoder",
        cell=network.config.cell if isinstance(network, RecurrentLanguageModel) else None,
        bidirectional=False,
        attention=network.config.attention if isinstance(network, RecurrentLanguageModel) else "multi_head",
        parameters=parameters(network),
    )
    return Description(
        architecture,
        [step],
        [StepGraph(network, eos_id)],
        attention,
        lambda folder: check(network, eos_id, folder, step),
    )


ROWS = 3
"""Texts side by side in the comparison."""


@torch.no_grad()
def check(network: LanguageModel, eos_id: int, folder: Path, step: Graph) -> None:
    """Compare every output of the graph, step by step, with texts read at once that are longer than anything looks
    back. Raises ParityError."""
    window = network.config.window if looks_back(network) else 16
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, network.config.vocabulary, (ROWS, window + 8), generator=generator)
    read = network(ids, network.first_memory(ROWS))
    logits = network.logits(read.states)
    run = open_graphs(folder, [step])
    for t, answer in enumerate(decode_in_steps(run, step, {}, ids)):
        where = f"at step {t}"
        check_scores(where, logits[:, t], eos_id, answer)
        first = max(0, t + 1 - window)
        for layer, weights in enumerate(read.weights):
            expected = weights[..., t : t + 1, first : t + 1]
            require_equal(f"decoder_self_{layer} {where}", expected, answer[f"decoder_self_{layer}"])
