"""The step graph of the language models.

Legend: R rows (one per text), P past length, V vocabulary, D size, N heads, K size per head.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph, StatePair, TensorInfo
from training.graphs import Description, parameters
from training.graphs.parity import check_scores, decode_in_steps, open_graphs, require_equal
from training.graphs.tensors import score_tensors, scores, step_tensors, tensors
from training.networks.language import LanguageModel, LanguageModelState, RecurrentLanguageModel


def state_shapes(network: LanguageModel) -> dict[str, list[int | str]]:
    """Shapes of the parts of the state that this network reads, without the first dimension."""
    if not isinstance(network, RecurrentLanguageModel):
        config = network.config
        past: list[int | str] = [config.heads, "past_length", config.size // config.heads]
        return {f"{part}_{layer}": past for layer in range(config.layers) for part in ("keys", "values")}
    state: list[int | str] = [network.config.layers, network.config.size]
    parts = {"hidden": state, **({"cell": state} if network.config.cell == "lstm" else {})}
    if network.attention is not None:
        parts |= {name: ["past_length", network.config.size] for name in ("keys_0", "values_0")}
    return parts


def attends(network: LanguageModel) -> bool:
    """True if a layer attends to the past."""
    return any("past_length" in shape for shape in state_shapes(network).values())


class StepGraph(nn.Module):
    """token_ids [R], parents [R], lengths [R] (only with attention), candidates [1], the state of the rows before ->
    scores of the next token, the next state, attention weights per layer.

    Pasts of different lengths are aligned at their end: the last `lengths` positions of a row are its own.
    """

    def __init__(self, network: LanguageModel, eos_id: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id

    def forward(self, token_ids: Tensor, parents: Tensor, *inputs: Tensor) -> list[Tensor]:
        lengths, candidates = (inputs[0], inputs[1]) if attends(self.network) else (None, inputs[0])
        names = list(state_shapes(self.network))
        chosen = (part.index_select(0, parents) for part in inputs[-len(names) :])
        parts = dict(zip(names, chosen, strict=True))
        past = [part for name, part in parts.items() if name not in ("hidden", "cell")]
        state = LanguageModelState(
            parts.get("hidden"), parts.get("cell"), list(zip(past[::2], past[1::2], strict=True)) if past else None
        )
        mask = None
        if lengths is not None:
            length = past[0].size(-2)
            mask = (torch.arange(length + 1) >= length - lengths[:, None])[:, None, :]
        output = self.network(token_ids[:, None], state, mask)
        found = scores(self.network.logits(output.states[:, -1]), self.eos_id, candidates)
        recurrent = [part for part in (output.state.hidden, output.state.cell) if part is not None]
        kept = [part for pair in output.state.keys_values or [] for part in pair]
        return [*found, *recurrent, *kept, *output.weights]


def weight_tensors(network: LanguageModel) -> list[TensorInfo]:
    """Attention weights, one tensor per layer."""
    recurrent = isinstance(network, RecurrentLanguageModel)
    layers = range((1 if recurrent else network.config.layers) * attends(network))
    heads = [] if isinstance(network, RecurrentLanguageModel) else [network.config.heads]
    return tensors([f"decoder_self_{layer}" for layer in layers], "float32", ["rows", *heads, 1, "seen_length"])


def step_graph(network: LanguageModel, weights: list[TensorInfo]) -> Graph:
    """Manifest entry of the step graph."""
    shapes = state_shapes(network).items()
    before = [t for name, shape in shapes for t in tensors([f"past_{name}"], "float32", ["before", *shape])]
    following = [
        TensorInfo(name=name, dtype="float32", shape=["rows", *("kept_length" if d == "past_length" else d for d in s)])
        for name, s in shapes
    ]
    names = ["token_ids", "parents", *(["lengths"] if attends(network) else []), "candidates"]
    return Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[*step_tensors(*names), *before],
        outputs=[*score_tensors(), *following, *weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(following, before, strict=True)],
    )


def attention_name(network: LanguageModel) -> str | None:
    """Name of the attention in the manifest."""
    if not isinstance(network, RecurrentLanguageModel):
        return "multi_head"
    return None if network.config.attention == "none" else network.config.attention


def describe(network: LanguageModel, eos_id: int, summary_layer: int) -> Description:
    """Describe the step graph of a language model."""
    recurrent = network.config if isinstance(network, RecurrentLanguageModel) else None
    weights = weight_tensors(network)
    step = step_graph(network, weights)
    attention = [
        AttentionOutput(
            kind="decoder_self",
            layer=None if isinstance(network, RecurrentLanguageModel) else layer,
            heads=None if isinstance(network, RecurrentLanguageModel) else network.config.heads,
            graph="step",
            output=tensor.name,
            summary=layer == (0 if recurrent else summary_layer),
        )
        for layer, tensor in enumerate(weights)
    ]
    architecture = Architecture(
        network="recurrent" if recurrent else "decoder",
        cell=recurrent.cell if recurrent else None,
        bidirectional=False,
        attention=attention_name(network),
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
"""Texts in the compared batch."""


@torch.no_grad()
def check(network: LanguageModel, eos_id: int, folder: Path, step: Graph) -> None:
    """Compare the graph, step by step, with the network on whole texts longer than the window. Raises ParityError."""
    window = network.config.window if attends(network) else 16
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, network.vocabulary, (ROWS, window + 8), generator=generator)
    expected = network(ids, network.initial_state(ROWS))
    logits = network.logits(expected.states)
    run = open_graphs(folder, [step])
    for t, outputs in enumerate(decode_in_steps(run, step, {}, ids)):
        where = f"at step {t}"
        check_scores(where, logits[:, t], eos_id, outputs)
        first = max(0, t + 1 - window)
        for layer, weights in enumerate(expected.weights):
            seen = weights[..., t : t + 1, first : t + 1]
            require_equal(f"decoder_self_{layer} {where}", seen, outputs[f"decoder_self_{layer}"])
