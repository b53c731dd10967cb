"""The Transformer translator (Vaswani et al. 2017). All attention weights are returned.

Legend: B batch, S source length, T target length, P past length, R rows, W rows per source, V vocabulary,
D model size, N heads, K size per head.

Training and serving share one decoder path: `decode` takes the keys and values of the past. The past is empty in
training, and the cache of all earlier steps when tokens are decoded one at a time.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.networks.attention import KeysValues, MultiHeadAttention
from training.section import Section

NormName = Literal["pre", "post"]


class TransformerConfig(Section):
    """Sizes and choices of a Transformer; the section `network` of a recipe."""

    network: Literal["transformer"]
    size: int = Field(default=256, gt=0)
    """D: model size, also of the embeddings."""
    heads: int = Field(default=4, gt=0)
    encoder_layers: int = Field(default=3, gt=0)
    decoder_layers: int = Field(default=3, gt=0)
    feed_forward: int = Field(default=1024, gt=0)
    """Inner size of the feed-forward layers."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    norm: NormName = "pre"
    """Layer norm before each sub-layer (pre), or after it as in the paper (post)."""


def sinusoidal_positions(positions: Tensor, size: int) -> Tensor:
    """Position encodings: positions [...] -> [..., size] (section 3.5).

    They are computed, not stored: no table limits the length or increases the size of the bundle.
    """
    rates = torch.exp(torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) * (-math.log(1e4) / size))
    angles = positions[..., None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class FeedForward(nn.Module):
    """Two position-wise layers with a ReLU between them (section 3.3)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.inner = nn.Linear(config.size, config.feed_forward)
        self.outer = nn.Linear(config.feed_forward, config.size)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.relu(self.inner(x)))


class Residual(nn.Module):
    """Residual connection of a sub-layer f, with dropout on the output of f (section 5.4).

    post   norm(x + f(x)), as in the paper
    pre    x + f(norm(x)), which needs a shorter warm-up (Xiong et al. 2020)
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.size)
        self.dropout = nn.Dropout(config.dropout)
        self.pre = config.norm == "pre"

    def enter(self, x: Tensor) -> Tensor:
        """The input of f."""
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, y: Tensor) -> Tensor:
        """Combine x and y = f(enter(x)).

        Under autocast y is bfloat16. Adding tensors of one dtype is twice as fast.
        """
        x = x + self.dropout(y).to(x.dtype)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = MultiHeadAttention(config.size, config.heads)
        self.feed_forward = FeedForward(config)
        self.self_residual = Residual(config)
        self.feed_forward_residual = Residual(config)

    def forward(self, x: Tensor, mask: Tensor, past: KeysValues | None = None) -> tuple[Tensor, Tensor, KeysValues]:
        """x [B, S, D], mask broadcastable to [B, N, S, P+S], past keys and values [B, N, P, K] of a language model ->
        x [B, S, D], weights [B, N, S, P+S], all keys and values [B, N, P+S, K]."""
        query, keys, values = self.self_attention.project_self(self.self_residual.enter(x))
        context, weights, keys_values = self.self_attention.attend(query, keys, values, mask, past)
        x = self.self_residual.leave(x, context)
        x = self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, weights, keys_values


class DecoderLayer(nn.Module):
    """Self-attention over the past, cross-attention over the source, then feed-forward."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = MultiHeadAttention(config.size, config.heads)
        self.cross_attention = MultiHeadAttention(config.size, config.heads)
        self.feed_forward = FeedForward(config)
        self.self_residual = Residual(config)
        self.cross_residual = Residual(config)
        self.feed_forward_residual = Residual(config)

    def project_source(self, encoded: Tensor) -> KeysValues:
        """The encoder's output [B, S, D] -> keys and values of cross-attention [B, S, D]. Computed once per source."""
        return self.cross_attention.project(encoded)

    def forward(
        self, x: Tensor, past: KeysValues | None, source: KeysValues, self_mask: Tensor | None, source_mask: Tensor
    ) -> tuple[Tensor, KeysValues, Tensor, Tensor]:
        """Process T new positions after P past ones in R = B * W rows: W consecutive rows (hypotheses) per source.

        x [R, T, D], past keys and values [R, N, P, K], source keys and values [B, S, D], self_mask broadcastable to
        [R, N, T, P+T] (None if every position is visible), source_mask [B, 1, W*T, S] ->
        x [R, T, D], keys and values [R, N, P+T, K], self weights [R, N, T, P+T], cross weights [R, N, T, S].
        """
        query, keys, values = self.self_attention.project_self(self.self_residual.enter(x))
        context, self_weights, keys_values = self.self_attention.attend(query, keys, values, self_mask, past)
        x = self.self_residual.leave(x, context)
        query = self.cross_residual.enter(x)
        context, cross_weights = self.cross_attention.attend_grouped(query, *source, source_mask)
        x = self.cross_residual.leave(x, context)
        x = self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, keys_values, self_weights, cross_weights


@dataclass
class Encoded:
    """The encoded source."""

    source_mask: Tensor
    """bool [B, S], True at tokens."""
    keys_values: list[KeysValues]
    """Per decoder layer: keys and values of the source for cross-attention, [B, S, D]."""
    self_weights: list[Tensor]
    """Per encoder layer [B, N, S, S]."""


@dataclass
class Decoded:
    """Output of the decoder for T positions."""

    states: Tensor
    """[R, T, D], the input of `Transformer.logits`."""
    keys_values: list[KeysValues]
    """Per layer [R, N, P+T, K]: the past of the next step."""
    self_weights: list[Tensor]
    """Per layer [R, N, T, P+T]."""
    cross_weights: list[Tensor]
    """Per layer [R, N, T, S]."""

    def alignment(self, layer: int) -> Tensor | None:
        """The weights [R, T, S] shown as alignment: those of one layer, averaged over its heads."""
        return self.cross_weights[layer].mean(1)


class Transformer(nn.Module):
    """Encoder and decoder over one vocabulary; source, target and output embeddings are one matrix (section 3.4)."""

    def __init__(self, config: TransformerConfig, vocabulary: int, pad_id: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.pad_id = pad_id
        self.embedding = nn.Embedding(vocabulary, config.size)
        nn.init.normal_(self.embedding.weight, std=config.size**-0.5)
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder_layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        # The output of a pre-norm layer is not normalised.
        self.encoder_norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.output_ids: Tensor | None = None
        """Sorted ids [U] of the tokens that the output layer knows. None: the whole vocabulary."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embedding.weight":
                nn.init.xavier_uniform_(parameter)

    def embed(self, ids: Tensor, encodings: Tensor) -> Tensor:
        """ids [B, T] and position encodings [T, D] or [B, T, D] -> [B, T, D]."""
        scale = math.sqrt(self.config.size)
        if torch.onnx.is_in_onnx_export():  # the table is scaled once, at load time
            return F.embedding(ids, self.embedding.weight * scale) + encodings
        return self.dropout(self.embedding(ids) * scale + encodings)

    def encodings(self, positions: Tensor) -> Tensor:
        """positions [...] -> position encodings [..., D]."""
        return sinusoidal_positions(positions, self.config.size)

    def encode(self, source_ids: Tensor) -> Encoded:
        """Encode source_ids [B, S], padded with pad_id."""
        source_mask = source_ids != self.pad_id
        positions = torch.arange(source_ids.size(1), device=source_ids.device)
        x, weights = self.embed(source_ids, self.encodings(positions)), []
        mask = source_mask[:, None, None, :].expand(-1, -1, source_ids.size(1), -1)
        for layer in self.encoder_layers:
            x, layer_weights, _ = layer(x, mask)
            weights.append(layer_weights)
        x = self.encoder_norm(x)
        keys_values = [layer.project_source(x) for layer in self.decoder_layers]  # type: ignore[operator]
        return Encoded(source_mask, keys_values, weights)

    def decode(
        self,
        target_ids: Tensor,
        encodings: Tensor,
        source_mask: Tensor,
        source: list[KeysValues],
        past: list[KeysValues] | None,
        self_mask: Tensor | None,
    ) -> Decoded:
        """Read target_ids [R, T] after a past. W = R / B consecutive rows share a source.

        encodings: position encodings [T, D] or [R, T, D]; source_mask bool [B, S]; source keys and values [B, S, D] per
        layer; past keys and values [R, N, P, K] per layer, or None; self_mask bool, broadcastable to [R, N, T, P+T].
        """
        x = self.embed(target_ids, encodings)
        # [B, 1, W*T, 1] & [B, 1, 1, S] -> [B, 1, W*T, S]. This is two ONNX operators; `expand` is twelve.
        every_query = target_ids.reshape(source_mask.size(0), 1, -1, 1) >= 0
        cross_mask = every_query & source_mask[:, None, None, :]
        result = Decoded(x, [], [], [])
        for number, (layer, layer_source) in enumerate(zip(self.decoder_layers, source, strict=True)):
            layer_past = None if past is None else past[number]
            x, keys_values, self_weights, cross_weights = layer(x, layer_past, layer_source, self_mask, cross_mask)
            result.keys_values.append(keys_values)
            result.self_weights.append(self_weights)
            result.cross_weights.append(cross_weights)
        result.states = self.decoder_norm(x)
        return result

    def output_logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> logits of the tokens that the output layer knows [..., U], else [..., V]."""
        weights = self.embedding.weight
        return F.linear(states, weights if self.output_ids is None else weights[self.output_ids])

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> logits of the next token [..., V], -inf for tokens that the output layer does not know."""
        found = self.output_logits(states)
        if self.output_ids is None:
            return found
        return found.new_full((*found.shape[:-1], self.vocabulary), -torch.inf).index_copy(-1, self.output_ids, found)

    def forward(self, source_ids: Tensor, target_ids: Tensor) -> Decoded:
        """Decode whole targets (teacher forcing): source_ids [B, S], target_ids [B, T]."""
        encoded = self.encode(source_ids)
        positions = torch.arange(target_ids.size(1), device=target_ids.device)
        causal_mask = positions[None, :] <= positions[:, None]
        encodings = self.encodings(positions)
        return self.decode(target_ids, encodings, encoded.source_mask, encoded.keys_values, None, causal_mask)
