"""Graphs of the Transformer translator.

Legend: B sentences, R rows (W consecutive rows per sentence), S source length, P past length, N heads, K size per
head, D model size, V vocabulary.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.bundle.manifest import (
    Architecture,
    AttentionKind,
    AttentionOutput,
    Graph,
    GraphRole,
    StatePair,
    TensorInfo,
)
from training.graphs import Description, parameters
from training.graphs.parity import check_scores, require_equal, trials
from training.graphs.tensors import score_tensors, scores, step_tensors, tensors
from training.networks.transformer import Transformer, TransformerConfig


class EncodeGraph(nn.Module):
    """source_ids [B, S], source_lengths [B] -> mask [B, S], cross-attention keys and values [B, S, D] of every decoder
    layer, encoder self-attention weights [B, N, S, S]."""

    def __init__(self, network: Transformer):
        super().__init__()
        self.network = network

    def forward(self, source_ids: Tensor, source_lengths: Tensor) -> list[Tensor]:
        padding = torch.arange(source_ids.size(1))[None, :] >= source_lengths[:, None]
        encoded = self.network.encode(source_ids.masked_fill(padding, self.network.pad_id))
        return [encoded.source_mask, *(t for pair in encoded.keys_values for t in pair), *encoded.self_weights]


class StepGraph(nn.Module):
    """token_ids [R], parents [R], lengths [R], candidates [1], source mask [B, S], cross-attention keys and values
    [B, S, D], past keys and values [rows before, N, P, K] -> scores of the next token, new past, attention weights.

    Pasts of different lengths are aligned at their end: the last `lengths` positions of a row are its own.
    """

    def __init__(self, network: Transformer, eos_id: int, max_target_length: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id
        self.max_target_length = max_target_length

    def forward(
        self,
        token_ids: Tensor,
        parents: Tensor,
        lengths: Tensor,
        candidates: Tensor,
        source_mask: Tensor,
        *keys_values: Tensor,
    ) -> list[Tensor]:
        layers = 2 * len(self.network.decoder_layers)
        source, before = keys_values[:layers], keys_values[layers:]
        past = [part.index_select(0, parents) for part in before]
        past_length = past[0].size(2)
        own = torch.arange(past_length + 1) >= past_length - lengths.reshape(-1, 1, 1, 1)
        # onnxruntime computes this table once, at load time. Sines in every step are as slow as a product.
        table = self.network.encodings(torch.arange(self.max_target_length + 1))
        decoded = self.network.decode(
            token_ids.reshape(-1, 1),
            F.embedding(lengths.reshape(-1, 1), table),
            source_mask,
            list(zip(source[::2], source[1::2], strict=True)),
            list(zip(past[::2], past[1::2], strict=True)),
            own,
        )
        found = scores(
            self.network.output_logits(decoded.states[:, 0]), self.eos_id, candidates, self.network.output_ids
        )
        present = [part for pair in decoded.keys_values for part in pair]
        return [*found, *present, *decoded.cross_weights, *decoded.self_weights]


def key_value_tensors(config: TransformerConfig, prefix: str, shape: list[int | str]) -> list[TensorInfo]:
    """Keys and values of every decoder layer."""
    names = [f"{prefix}{part}_{layer}" for layer in range(config.decoder_layers) for part in ("keys", "values")]
    return tensors(names, "float32", shape)


def source_tensors(config: TransformerConfig) -> list[TensorInfo]:
    """Tensors that the encode graph computes and the step graph reads."""
    return [
        *tensors(["source_mask"], "bool", ["sentences", "source_length"]),
        *key_value_tensors(config, "cross_", ["sentences", "source_length", config.size]),
    ]


def weight_tensors(config: TransformerConfig, kind: AttentionKind) -> list[TensorInfo]:
    """Attention weights of one kind, one tensor per layer."""
    layers = config.encoder_layers if kind == "encoder_self" else config.decoder_layers
    shapes: dict[AttentionKind, list[int | str]] = {
        "encoder_self": ["sentences", config.heads, "source_length", "source_length"],
        "cross": ["rows", config.heads, 1, "source_length"],
        "decoder_self": ["rows", config.heads, 1, "target_length"],
    }
    return tensors([f"{kind}_{layer}" for layer in range(layers)], "float32", shapes[kind])


def encode_graph(config: TransformerConfig) -> Graph:
    """Manifest entry of the encode graph."""
    return Graph(
        role="encode",
        file="encode.onnx",
        precision="float32",
        inputs=[
            *tensors(["source_ids"], "int64", ["sentences", "source_length"]),
            *tensors(["source_lengths"], "int64", ["sentences"]),
        ],
        outputs=[*source_tensors(config), *weight_tensors(config, "encoder_self")],
    )


def step_graph(config: TransformerConfig) -> Graph:
    """Manifest entry of the step graph."""
    heads, size = config.heads, config.size // config.heads
    past = key_value_tensors(config, "past_", ["before", heads, "past_length", size])
    present = key_value_tensors(config, "", ["rows", heads, "target_length", size])
    weights = [*weight_tensors(config, "cross"), *weight_tensors(config, "decoder_self")]
    return Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[*step_tensors("token_ids", "parents", "lengths", "candidates"), *source_tensors(config), *past],
        outputs=[*score_tensors(), *present, *weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(present, past, strict=True)],
    )


def attention_outputs(config: TransformerConfig, summary_layer: int) -> Iterable[AttentionOutput]:
    """Manifest entries of all attention weights."""
    kinds: list[tuple[AttentionKind, GraphRole]] = [
        ("cross", "step"),
        ("encoder_self", "encode"),
        ("decoder_self", "step"),
    ]
    for kind, role in kinds:
        for layer, tensor in enumerate(weight_tensors(config, kind)):
            summary = (kind, layer) == ("cross", summary_layer)
            yield AttentionOutput(
                kind=kind, layer=layer, heads=config.heads, graph=role, output=tensor.name, summary=summary
            )


def describe(network: Transformer, eos_id: int, summary_layer: int, max_target_length: int) -> Description:
    """Describe the graphs of a Transformer that writes up to `max_target_length` tokens."""
    architecture = Architecture(
        network="transformer",
        cell=None,
        bidirectional=True,
        attention="multi_head",
        parameters=parameters(network),
    )
    graphs = [encode_graph(network.config), step_graph(network.config)]
    return Description(
        architecture,
        graphs,
        [EncodeGraph(network), StepGraph(network, eos_id, max_target_length)],
        list(attention_outputs(network.config, summary_layer)),
        lambda folder: check(network, eos_id, folder, graphs),
    )


@torch.no_grad()
def check(network: Transformer, eos_id: int, folder: Path, graphs: list[Graph]) -> None:
    """Compare both graphs, step by step, with the network on whole targets. Raises ParityError."""
    config = network.config
    for trial in trials(folder, graphs, network.vocabulary, network.pad_id):
        encoded, decoded = network.encode(trial.source_ids), network(trial.row_source_ids, trial.target_ids)
        for layer, weights in enumerate(encoded.self_weights):
            mask = encoded.source_mask[:, None, :, None]  # rows of padded queries are unused
            actual = trial.encoded[f"encoder_self_{layer}"] * mask.numpy()
            require_equal(f"encoder_self_{layer} of lengths {trial.lengths}", weights * mask, actual)
        logits = network.logits(decoded.states)
        for t, outputs in enumerate(trial.steps):
            where = f"at step {t} of lengths {trial.lengths}"
            check_scores(where, logits[:, t], eos_id, outputs)
            for layer in range(config.decoder_layers):
                cross = decoded.cross_weights[layer][:, :, t : t + 1]
                own = decoded.self_weights[layer][:, :, t : t + 1, : t + 1]
                require_equal(f"cross_{layer} {where}", cross, outputs[f"cross_{layer}"])
                require_equal(f"decoder_self_{layer} {where}", own, outputs[f"decoder_self_{layer}"])
