"""Attention: a query scores keys, and the softmax of the scores weighs the values.

Legend: B batch, Q queries, S keys (source length), Dq, Dk, Dv sizes of a query, key and value, D model size, N heads,
K size per head.

All attention modules share one interface, `(query, keys, values, mask) -> (context, weights)`:

    query   [B, Q, Dq]   keys [B, S, Dk]   values [B, S, Dv]
    mask    bool, broadcastable to [B, Q, S]; True where a key is visible
    context [B, Q, Dv]   weights [B, Q, S]; every row sums to 1, a masked key gets exactly 0

The weights are returned because Limelight serves them.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ScoreName = Literal["dot", "scaled_dot", "general", "additive", "location"]
LocalName = Literal["monotonic", "predictive"]
KeysValues = tuple[Tensor, Tensor]


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last dimension. Masked positions get exactly zero.

    scores [..., S]. mask is broadcastable to it: bool (True = visible), float (added to the scores), or None.
    Each row needs at least one visible key; a row without one becomes NaN. exp(-inf) is exactly 0, while a large
    negative constant does not fit into float16.

    >>> masked_softmax(torch.tensor([1.0, 1.0, 9.0]), torch.tensor([True, True, False])).tolist()
    [0.5, 0.5, 0.0]
    """
    scores = scores.float()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(dim=-1)


class Attention(nn.Module):
    """Base class of the score functions. A subclass defines `scores`, and `project` if it has a key projection.

    The constructor takes the sizes of queries and keys and the maximum text length. Subclasses use what they need.
    """

    projects = False
    """True if `project` changes the keys."""

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__()

    def project(self, keys: Tensor) -> Tensor:
        """Compute the query-independent part of the scores, keys [B, S, Dk] -> [B, S, .], once per source."""
        return keys

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """query [B, Q, Dq], projected keys [B, S, .] -> scores [B, Q, S], before the softmax."""
        raise NotImplementedError

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Like `forward`, for keys that are already projected."""
        weights = masked_softmax(self.scores(query, keys), mask)
        return weights.to(values.dtype) @ values, weights

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.attend(query, self.project(keys), values, mask)


class DotAttention(Attention):
    """score(q, k) = q . k (Luong, Pham and Manning 2015, eq. 8). Needs Dq = Dk; no parameters."""

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        if query_size != key_size:
            raise ValueError(f"dot attention needs queries and keys of equal size, not {query_size} and {key_size}")

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(Dk) (Vaswani et al. 2017, eq. 1). The scale avoids saturation of the softmax."""

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().scores(query, keys) / math.sqrt(keys.size(-1))


class GeneralAttention(Attention):
    """score(q, k) = q . W k (Luong et al. 2015, eq. 8): a learned bilinear form."""

    projects = True

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        self.key_layer = nn.Linear(key_size, query_size, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.key_layer(keys)
        return projected

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class AdditiveAttention(Attention):
    """score(q, k) = v . tanh(W q + U k) (Bahdanau, Cho and Bengio 2015, appendix A.1.2). Luong calls it `concat`."""

    projects = True

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        self.query_layer = nn.Linear(query_size, key_size, bias=False)
        self.key_layer = nn.Linear(key_size, key_size, bias=True)
        self.energy_layer = nn.Linear(key_size, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.key_layer(keys)
        return projected

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        # [B, Q, 1, D] + [B, 1, S, D] -> [B, Q, S, D] -> [B, Q, S]
        energies = torch.tanh(self.query_layer(query).unsqueeze(2) + keys.unsqueeze(1))
        return self.energy_layer(energies)[..., 0]


class LocationAttention(Attention):
    """scores = W q, one per position, independent of the keys (Luong et al. 2015, eq. 9).

    W has `max_length` rows. Longer texts have no scores; the bundle's limit is the same length.
    """

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        self.position_layer = nn.Linear(query_size, max_length, bias=False)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.position_layer(query)[:, :, : keys.size(1)]


ATTENTIONS: dict[ScoreName, type[Attention]] = {
    "dot": DotAttention,
    "scaled_dot": ScaledDotAttention,
    "general": GeneralAttention,
    "additive": AdditiveAttention,
    "location": LocationAttention,
}


class LocalAttention(nn.Module):
    """Attention within a window around one position of the source (Luong et al. 2015, section 3.2).

    Any score function can be used. `local` chooses the centre p_t of the window:

    monotonic    p_t = t (local-m): the window moves with the target
    predictive   p_t = S sigmoid(v tanh(W q)) (local-p): computed from the query. Scores decrease around it by
                 (s - p_t)^2 / (2 sigma^2) with sigma = window / 2. The term is added before the softmax, not
                 multiplied after it as in eq. 10, so that every row still sums to 1.

    Keys more than `window` positions from p_t get exactly zero.
    """

    def __init__(self, inner: Attention, local: LocalName, query_size: int, window: int):
        super().__init__()
        self.inner = inner
        self.window = window
        self.place_layers: nn.Module | None = None
        if local == "predictive":
            hidden, out = nn.Linear(query_size, query_size, bias=False), nn.Linear(query_size, 1, bias=False)
            self.place_layers = nn.Sequential(hidden, nn.Tanh(), out)

    @property
    def projects(self) -> bool:
        return self.inner.projects

    def project(self, keys: Tensor) -> Tensor:
        return self.inner.project(keys)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self.attend(query, self.project(keys), values, mask, positions)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Like `Attention.attend`. Monotonic attention needs the target positions [B, Q] of the queries, from 0."""
        lengths = mask.sum(-1)  # [B, 1]
        places = torch.arange(keys.size(1), device=keys.device, dtype=torch.float32)
        scores = self.inner.scores(query, keys).float()
        if self.place_layers is None:
            assert positions is not None
            centre = torch.minimum(positions, lengths - 1)[..., None]
            distance = places - centre
        else:
            # The centre lies within the source, so that the window is never empty.
            centre = (lengths[..., None] - 1) * torch.sigmoid(self.place_layers(query).float())
            distance = places - centre
            scores = scores - distance**2 / (2 * (self.window / 2) ** 2)
        weights = masked_softmax(scores, mask & (distance.abs() <= self.window))
        return weights.to(values.dtype) @ values, weights


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in N parallel sub-spaces (Vaswani et al. 2017, section 3.2.2).

    Keys and values are projected separately from the query. A decoder projects the source once, and each of its own
    tokens once:

    >>> attention = MultiHeadAttention(size=8, heads=2)
    >>> keys, values = attention.project(torch.randn(1, 5, 8))
    >>> mask = torch.ones(1, 1, 3, 5, dtype=torch.bool)
    >>> context, weights = attention.attend_grouped(torch.randn(1, 3, 8), keys, values, mask)
    >>> tuple(context.shape), tuple(weights.shape)
    ((1, 3, 8), (1, 2, 3, 5))
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        if size % heads:
            raise ValueError(f"{heads} heads do not divide a size of {size}")
        self.heads = heads
        self.size = size
        self.query_layer = nn.Linear(size, size)
        self.key_layer = nn.Linear(size, size)
        self.value_layer = nn.Linear(size, size)
        self.output_layer = nn.Linear(size, size)

    def project(self, x: Tensor) -> KeysValues:
        """x [B, S, D] -> keys, values [B, S, D]."""
        keys, values = fused_linear(x, self.key_layer, self.value_layer)
        return keys, values

    def project_self(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, S, D] -> queries, keys, values [B, S, D], for self-attention."""
        query, keys, values = fused_linear(x, self.query_layer, self.key_layer, self.value_layer)
        return query, keys, values

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, Tensor, KeysValues]:
        """Self-attention of new positions to a past and to themselves.

        query, keys, values [B, Q, D], projected; past keys and values [B, N, P, K] or None; mask broadcastable to
        [B, N, Q, P+Q], or None where every key is visible -> context [B, Q, D], weights [B, N, Q, P+Q], all keys and
        values [B, N, P+Q, K].
        """
        context, keys, values, weights = dot_product_attention(self.heads, query, keys, values, mask, *(past or ()))
        if torch.onnx.is_in_onnx_export() and mask is not None:  # onnxruntime infers a wrong shape
            queries = 1 if query.size(1) == 1 else mask.size(2)  # a constant 1 while decoding
            weights = weights.reshape(-1, self.heads, queries, mask.size(3))
        return self.output_layer(context), weights, (keys, values)

    def attend_grouped(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-attention of W rows per source. The rows share one copy of the source's keys and values.

        query [B*W, Q, D], not projected; keys and values [B, S, D], projected; mask [B, 1, W*Q, S] ->
        context [B*W, Q, D], weights [B*W, N, Q, S].
        """
        length = 1 if query.size(1) == 1 else query.size(1)
        grouped = self.query_layer(query).reshape(mask.size(0), -1, self.size)  # [B, W*Q, D]
        context, _, _, weights = dot_product_attention(self.heads, grouped, keys, values, mask)
        # [B, N, W*Q, S] -> [B, W*Q, N, S] -> [B*W, Q, N, S] -> [B*W, N, Q, S]
        weights = weights.transpose(1, 2).reshape(-1, length, self.heads, mask.size(3))
        weights = weights.reshape(-1, self.heads, 1, mask.size(3)) if length == 1 else weights.transpose(1, 2)
        return self.output_layer(context.reshape(-1, length, self.size)), weights


def dot_product_attention(
    heads: int, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *past: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`scaled_dot_product`; during export one ONNX operator."""
    if torch.onnx.is_in_onnx_export() and mask is not None:
        found: tuple[Tensor, Tensor, Tensor, Tensor] = OnnxAttention.apply(heads, query, keys, values, mask, *past)
        return found
    return scaled_dot_product(heads, query, keys, values, mask, *past)


def scaled_dot_product(
    heads: int, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *past: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """softmax(Q K^T / sqrt(K)) V in every head (Vaswani et al. 2017, eq. 1).

    query [B, Q, D], keys and values [B, S, D], mask, optional past keys and values [B, N, P, K] ->
    context [B, Q, D], keys and values [B, N, P+S, K], weights [B, N, Q, P+S].
    """
    query, keys, values = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, keys, values))
    if past:
        keys = torch.cat([past[0].to(keys.dtype), keys], dim=2)  # dtypes differ only under autocast
        values = torch.cat([past[1].to(values.dtype), values], dim=2)
    weights = masked_softmax(query @ keys.transpose(2, 3) / math.sqrt(query.size(-1)), mask)
    context = weights.to(values.dtype) @ values
    return context.transpose(1, 2).flatten(2), keys, values, weights


class OnnxAttention(torch.autograd.Function):
    """`scaled_dot_product` as ONNX's Attention operator (opset 23).

    The operator splits the heads, appends to the past and returns the weights. It is three times as fast as separate
    operators (docs/LOG.md).
    """

    @staticmethod
    def forward(ctx: Any, heads: int, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return scaled_dot_product(heads, *inputs)

    @staticmethod
    def symbolic(graph: Any, heads: int, *inputs: Any) -> Any:
        after_softmax = 3
        return graph.op(
            "limelight::Attention",
            *inputs,
            outputs=4,
            q_num_heads_i=heads,
            kv_num_heads_i=heads,
            qk_matmul_output_mode_i=after_softmax,
        )


def fused_linear(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """Outputs of several layers for one input, computed in one multiplication."""
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return F.linear(x, weight, bias).split([layer.out_features for layer in layers], dim=-1)
