"""The Transformer's graphs.

Legend: B sentences, R rows (W for each sentence, side by side), S source length, P past length, V vocabulary.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph, GraphRole, StatePair, TensorInfo
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
from training.networks.transformer import Transformer


class EncodeGraph(nn.Module):
    """source_ids [B, S], source_lengths [B] -> mask, cross keys and values of every decoder layer, self weights."""

    def __init__(self, network: Transformer):
        super().__init__()
        self.network = network

    def forward(self, source_ids: Tensor, source_lengths: Tensor) -> list[Tensor]:
        padding = torch.arange(source_ids.size(1))[None, :] >= source_lengths[:, None]
        encoded = self.network.encode(source_ids.masked_fill(padding, self.network.pad_id))
        return [encoded.source_mask, *(t for pair in encoded.keys_values for t in pair), *encoded.self_weights]


class StepGraph(nn.Module):
    """token_ids [R], parents [R], lengths [R], candidates [1], source mask [B, S], cross keys and values [B, S, D],
    past keys and values of the rows before [., N, P, K] -> scores of the next token, new past, weights.

    Pasts end together, so that rows of different lengths go side by side: the last `lengths` places are a row's own.
    """

    def __init__(self, network: Transformer, eos_id: int, longest: int):
        super().__init__()
        self.network = network
        self.eos_id = eos_id
        self.longest = longest

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
        # A table, which onnxruntime computes when it loads the graph: sines of a few numbers cost as much as a product.
        table = self.network.encodings(torch.arange(self.longest + 1))
        decoded = self.network.decode(
            token_ids.reshape(-1, 1),
            F.embedding(lengths.reshape(-1, 1), table),
            source_mask,
            list(zip(source[::2], source[1::2], strict=True)),
            list(zip(past[::2], past[1::2], strict=True)),
            own,
        )
        found = scores(self.network.logits(decoded.states[:, 0]), self.eos_id, candidates)
        after = [part for pair in decoded.keys_values for part in pair]
        return [*found, *after, *decoded.cross_weights, *decoded.self_weights]


def describe(network: Transformer, eos_id: int, summary_layer: int, longest: int) -> Description:
    """`longest`: most tokens of a translation."""
    config = network.config
    heads, size = config.heads, config.size // config.heads
    layers = range(config.decoder_layers)

    def keys_values(prefix: str, shape: list[int | str]) -> list[TensorInfo]:
        names = [f"{prefix}{part}_{layer}" for layer in layers for part in ("keys", "values")]
        return tensors(names, "float32", shape)

    def weights(kind: str, count: int, rows: str, queries: int | str, keys: str) -> list[TensorInfo]:
        return tensors([f"{kind}_{i}" for i in range(count)], "float32", [rows, heads, queries, keys])

    mask = tensors(["source_mask"], "bool", ["sentences", "source_length"])
    source = keys_values("cross_", ["sentences", "source_length", config.size])
    past = keys_values("past_", ["before", heads, "past_length", size])
    present = keys_values("", ["rows", heads, "target_length", size])
    encoder_weights = weights("encoder_self", config.encoder_layers, "sentences", "source_length", "source_length")
    cross_weights = weights("cross", config.decoder_layers, "rows", 1, "source_length")
    decoder_weights = weights("decoder_self", config.decoder_layers, "rows", 1, "target_length")
    encode = Graph(
        role="encode",
        file="encode.onnx",
        precision="float32",
        inputs=[
            *tensors(["source_ids"], "int64", ["sentences", "source_length"]),
            *tensors(["source_lengths"], "int64", ["sentences"]),
        ],
        outputs=[*mask, *source, *encoder_weights],
    )
    step = Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[
            *step_tensors("token_ids", "parents", "lengths", "candidates"),
            *mask,
            *source,
            *past,
        ],
        outputs=[*score_tensors(), *present, *cross_weights, *decoder_weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(present, past, strict=True)],
    )
    roles: list[tuple[Any, GraphRole, list[TensorInfo]]] = [
        ("cross", "step", cross_weights),
        ("encoder_self", "encode", encoder_weights),
        ("decoder_self", "step", decoder_weights),
    ]
    attention = [
        AttentionOutput(
            kind=kind,
            layer=layer,
            heads=heads,
            graph=role,
            output=tensor.name,
            summary=(kind, layer) == ("cross", summary_layer),
        )
        for kind, role, found in roles
        for layer, tensor in enumerate(found)
    ]
    architecture = Architecture(
        network="transformer",
        cell=None,
        bidirectional=True,
        attention="multi_head",
        parameters=parameters(network),
    )
    graphs = [encode, step]
    return Description(
        architecture,
        graphs,
        [EncodeGraph(network), StepGraph(network, eos_id, longest)],
        attention,
        lambda folder: check(network, eos_id, folder, graphs),
    )


@torch.no_grad()
def check(network: Transformer, eos_id: int, folder: Path, graphs: list[Graph]) -> None:
    """Compare every output of both graphs, step by step, with the whole target at once. Raises ParityError."""
    config = network.config
    for trial in trials(folder, graphs, config.vocabulary, network.pad_id):
        encoded, decoded = network.encode(trial.source_ids), network(trial.row_source_ids, trial.target_ids)
        for layer, weights in enumerate(encoded.self_weights):
            # A padded query's row is never read.
            mask = encoded.source_mask[:, None, :, None]
            actual = trial.encoded[f"encoder_self_{layer}"] * mask.numpy()
            require_equal(f"encoder_self_{layer} of lengths {trial.lengths}", weights * mask, actual)
        logits = network.logits(decoded.states)
        for t, answer in enumerate(trial.steps):
            where = f"at step {t} of lengths {trial.lengths}"
            check_scores(where, logits[:, t], eos_id, answer)
            for layer in range(config.decoder_layers):
                cross = decoded.cross_weights[layer][:, :, t : t + 1]
                own = decoded.self_weights[layer][:, :, t : t + 1, : t + 1]
                require_equal(f"cross_{layer} {where}", cross, answer[f"cross_{layer}"])
                require_equal(f"decoder_self_{layer} {where}", own, answer[f"decoder_self_{layer}"])
