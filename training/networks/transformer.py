"""The Transformer translator (Vaswani et al. 2017), with every attention returned.

Legend: B batch, S source length, T target length, P past length, V vocabulary, D model size, N heads, K size per head.

The decoder has one path for training and for serving: `decode` takes the keys and values of the past,
which are empty in training and the cache of all earlier steps when one token is decoded at a time.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.attention import KeysValues, MultiHeadAttention

NormName = Literal["pre", "post"]


@dataclass(frozen=True)
class TransformerConfig:
    vocabulary: int
    size: int = 256
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 3
    feed_forward: int = 1024
    dropout: float = 0.1
    norm: NormName = "pre"


def sinusoidal_positions(positions: Tensor, size: int) -> Tensor:
    """Position encodings: positions [...] -> [..., size] (section 3.5).

    Computed and not stored, so that no table limits the length and the bundle carries none.
    """
    rates = torch.exp(torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) * (-math.log(1e4) / size))
    angles = positions[..., None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class FeedForward(nn.Module):
    """Two position-wise layers with a ReLU between (section 3.3)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.inner = nn.Linear(config.size, config.feed_forward)
        self.outer = nn.Linear(config.feed_forward, config.size)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.relu(self.inner(x)))


class Residual(nn.Module):
    """What goes round a sub-layer f: norm(x + f(x)) as in the paper (post), or x + f(norm(x)) (pre, Xiong et al. 2020:
    trains without a warm-up as long). With dropout on what f returns (section 5.4)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.size)
        self.dropout = nn.Dropout(config.dropout)
        self.pre = config.norm == "pre"

    def enter(self, x: Tensor) -> Tensor:
        """What f reads."""
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, y: Tensor) -> Tensor:
        """x and y = f(enter(x)) together. Under autocast y is narrower; adding in one dtype is twice as fast."""
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
        x [B, S, D], weights [B, N, S, P+S], all keys and values."""
        query, keys, values = self.self_attention.project_all(self.self_residual.enter(x))
        context, weights, keys_values = self.self_attention.look(query, keys, values, mask, past)
        x = self.self_residual.leave(x, context)
        x = self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, weights, keys_values


class DecoderLayer(nn.Module):
    """Attention over the past, attention over the source, feed-forward."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = MultiHeadAttention(config.size, config.heads)
        self.cross_attention = MultiHeadAttention(config.size, config.heads)
        self.feed_forward = FeedForward(config)
        self.self_residual = Residual(config)
        self.cross_residual = Residual(config)
        self.feed_forward_residual = Residual(config)

    def project_source(self, encoded: Tensor) -> KeysValues:
        """The encoder's output [B, S, D] -> keys and values of cross-attention [B, S, D], once per source."""
        return self.cross_attention.project(encoded)

    def forward(
        self, x: Tensor, past: KeysValues | None, source: KeysValues, self_mask: Tensor | None, source_mask: Tensor
    ) -> tuple[Tensor, KeysValues, Tensor, Tensor]:
        """One layer over T new positions after P past ones, of R rows: W hypotheses side by side for each of B sources.

        x [R, T, D], past keys and values [R, N, P, K], source keys and values [B, S, D], self_mask broadcastable to
        [R, N, T, P+T] (None where nothing is masked), source_mask [B, 1, W*T, S] ->
        x [R, T, D], keys and values [R, N, P+T, K], self weights [R, N, T, P+T], cross weights [R, N, T, S].
        """
        query, keys, values = self.self_attention.project_all(self.self_residual.enter(x))
        context, self_weights, keys_values = self.self_attention.look(query, keys, values, self_mask, past)
        x = self.self_residual.leave(x, context)
        context, cross_weights = self.cross_attention.look_together(self.cross_residual.enter(x), *source, source_mask)
        x = self.cross_residual.leave(x, context)
        x = self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, keys_values, self_weights, cross_weights


@dataclass
class Encoded:
    """What the decoder needs of the source."""

    source_mask: Tensor
    """bool [B, S], True at tokens."""
    keys_values: list[KeysValues]
    """Per decoder layer: the source's keys and values for cross-attention, [B, S, D], projected once."""
    self_weights: list[Tensor]
    """Per encoder layer [B, N, S, S]."""


@dataclass
class Decoded:
    states: Tensor
    """[R, T, D]; `Transformer.logits` turns them into scores of the vocabulary."""
    keys_values: list[KeysValues]
    """Per layer [R, N, P+T, K]: the past of the next step."""
    self_weights: list[Tensor]
    """Per layer [R, N, T, P+T]."""
    cross_weights: list[Tensor]
    """Per layer [R, N, T, S]."""

    def alignment(self, layer: int) -> Tensor | None:
        """The weights [R, T, S] that are shown as the alignment: one layer's, averaged over its heads."""
        return self.cross_weights[layer].mean(1)


class Transformer(nn.Module):
    """Encoder and decoder over one vocabulary; source, target and output embeddings are one matrix (section 3.4)."""

    def __init__(self, config: TransformerConfig, pad_id: int):
        super().__init__()
        self.config = config
        self.pad_id = pad_id
        self.embedding = nn.Embedding(config.vocabulary, config.size)
        nn.init.normal_(self.embedding.weight, std=config.size**-0.5)
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder_layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        # Pre-norm layers hand on a sum that nothing has normed yet.
        self.encoder_norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embedding.weight":
                nn.init.xavier_uniform_(parameter)

    def embed(self, ids: Tensor, encodings: Tensor) -> Tensor:
        """ids [B, T] and what is added for their positions [T, D] or [B, T, D] -> [B, T, D]."""
        scale = math.sqrt(self.config.size)
        if torch.onnx.is_in_onnx_export():  # a table that is scaled once, when the graph is loaded
            return F.embedding(ids, self.embedding.weight * scale) + encodings
        return self.dropout(self.embedding(ids) * scale + encodings)

    def encodings(self, positions: Tensor) -> Tensor:
        """positions [...] -> what is added for them [..., D]."""
        return sinusoidal_positions(positions, self.config.size)

    def encode(self, source_ids: Tensor) -> Encoded:
        """source_ids [B, S], padded with pad_id."""
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
        """target_ids [R, T], encodings of their positions [T, D] or [R, T, D], after a past if there is one; R / B rows
        ask of each source.

        source_mask bool [B, S], self_mask bool, broadcastable to [R, N, T, P+T].
        """
        x = self.embed(target_ids, encodings)
        # Of every target position that there is, [B, 1, W*T, 1], at every source position: two operators of ONNX, where
        # `expand` is a dozen.
        asking = target_ids.reshape(source_mask.size(0), 1, -1, 1) >= 0
        cross_mask = asking & source_mask[:, None, None, :]
        result = Decoded(x, [], [], [])
        for number, (layer, layer_source) in enumerate(zip(self.decoder_layers, source, strict=True)):
            layer_past = None if past is None else past[number]
            x, keys_values, self_weights, cross_weights = layer(x, layer_past, layer_source, self_mask, cross_mask)
            result.keys_values.append(keys_values)
            result.self_weights.append(self_weights)
            result.cross_weights.append(cross_weights)
        result.states = self.decoder_norm(x)
        return result

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> [..., V]: how well each token of the vocabulary would come next."""
        return F.linear(states, self.embedding.weight)

    def forward(self, source_ids: Tensor, target_ids: Tensor) -> Decoded:
        """The whole target at once (teacher forcing): source_ids [B, S], target_ids [B, T]."""
        encoded = self.encode(source_ids)
        positions = torch.arange(target_ids.size(1), device=target_ids.device)
        look_ahead = positions[None, :] <= positions[:, None]
        encodings = self.encodings(positions)
        return self.decode(target_ids, encodings, encoded.source_mask, encoded.keys_values, None, look_ahead)
