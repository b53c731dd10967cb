"""Attention: what the query looks at among the keys, and how much.

Legend: B batch, Q queries, S keys (source length), D feature size, N heads, K size per head.

Every function here has one interface, `(query, keys, values, mask) -> (context, weights)`:

    query   [B, Q, Dq]   keys [B, S, Dk]   values [B, S, Dv]
    mask    bool, broadcastable to [B, Q, S]; True where a key may be looked at
    context [B, Q, Dv]   weights [B, Q, S]; every row sums to 1, a masked key gets exactly 0

The weights are returned because they are half of what Limelight serves.
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
    """Softmax over the last dimension in which masked places get exactly zero.

    scores [..., S], mask broadcastable to it: bool, or float and added, minus infinity where nothing may be looked at;
    None where nothing is masked. At least one key of each row must be open: a row with none has no meaning and comes
    out as NaN. exp(-inf) is exactly 0, which a large negative constant is not in float16.

    >>> masked_softmax(torch.tensor([1.0, 1.0, 9.0]), torch.tensor([True, True, False])).tolist()
    [0.5, 0.5, 0.0]
    """
    scores = scores.float()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(dim=-1)


class Attention(nn.Module):
    """Base of the score functions: a subclass says how a query scores a key, the rest is the same.

    Made from the sizes of a query and of a key and from the longest text, of which each takes what it needs.
    """

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__()

    projects = False
    """Whether `project` does anything."""

    def project(self, keys: Tensor) -> Tensor:
        """Of the keys [B, S, Dk] what no query changes [B, S, .]: a decoder computes it once for a source."""
        return keys

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """query [B, Q, Dq], projected keys [B, S, .] -> scores [B, Q, S], before the softmax."""
        raise NotImplementedError

    def look(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with keys that are projected already."""
        weights = masked_softmax(self.scores(query, keys), mask)
        return weights.to(values.dtype) @ values, weights

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.look(query, self.project(keys), values, mask)


class DotAttention(Attention):
    """score(q, k) = q . k (Luong, Pham and Manning 2015, eq. 8). Needs Dq = Dk; no parameters."""

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        if query_size != key_size:
            raise ValueError(f"dot attention needs queries and keys of one size, not {query_size} and {key_size}")

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(Dk) (Vaswani et al. 2017, eq. 1): the scale keeps the softmax out of saturation."""

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().scores(query, keys) / math.sqrt(keys.size(-1))


class GeneralAttention(Attention):
    """score(q, k) = q . W k (Luong et al. 2015, eq. 8): a learned bilinear form."""

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        self.key_layer = nn.Linear(key_size, query_size, bias=False)

    projects = True

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.key_layer(keys)
        return projected

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class AdditiveAttention(Attention):
    """score(q, k) = v . tanh(W q + U k) (Bahdanau, Cho and Bengio 2015, appendix A.1.2); Luong's `concat`."""

    def __init__(self, query_size: int, key_size: int, max_length: int):
        super().__init__(query_size, key_size, max_length)
        self.query_layer = nn.Linear(query_size, key_size, bias=False)
        self.key_layer = nn.Linear(key_size, key_size, bias=True)
        self.energy_layer = nn.Linear(key_size, 1, bias=False)

    projects = True

    def project(self, keys: Tensor) -> Tensor:
        projected: Tensor = self.key_layer(keys)
        return projected

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        # [B, Q, 1, D] + [B, 1, S, D] -> [B, Q, S, D] -> [B, Q, S]
        energies = torch.tanh(self.query_layer(query).unsqueeze(2) + keys.unsqueeze(1))
        return self.energy_layer(energies)[..., 0]


class LocationAttention(Attention):
    """scores = W q, one per position, from the query alone (Luong et al. 2015, eq. 9).

    W has a row for each of `max_length` positions, so a longer text cannot be scored; export limits the
    bundle to that length.
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
    """Any of these scores, but only near one place of the source (Luong et al. 2015, section 3.2).

    monotonic    p_t = t (local-m): the place moves on with the target
    predictive   p_t = S sigmoid(v tanh(W q)) (local-p): the query says where; scores fall off around it by
                 -(s - p_t)^2 / (2 sigma^2) with sigma = window / 2, before the softmax and not after it as in eq. 10,
                 so that every row still sums to 1

    Keys further than `window` from p_t get exactly zero.
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
        return self.look(query, self.project(keys), values, mask, positions)

    def look(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As every attention, with the queries' positions in the target [B, Q], counted from 0, if it is monotonic."""
        lengths = mask.sum(-1)  # [B, 1]
        places = torch.arange(keys.size(1), device=keys.device, dtype=torch.float32)
        scores = self.inner.scores(query, keys).float()
        if self.place_layers is None:
            assert positions is not None
            centre = torch.minimum(positions, lengths - 1)[..., None]
            distance = places - centre
        else:
            # Within the source, so that the window is never empty.
            centre = (lengths[..., None] - 1) * torch.sigmoid(self.place_layers(query).float())
            distance = places - centre
            scores = scores - distance**2 / (2 * (self.window / 2) ** 2)
        weights = masked_softmax(scores, mask & (distance.abs() <= self.window))
        return weights.to(values.dtype) @ values, weights


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in N sub-spaces side by side (Vaswani et al. 2017, section 3.2.2).

    Keys and values are projected apart from the query, so that a decoder projects the source once and
    its own past only once per token:

    >>> attention = MultiHeadAttention(size=8, heads=2)
    >>> keys, values = attention.project(torch.randn(1, 5, 8))
    >>> mask = torch.ones(1, 1, 3, 5, dtype=torch.bool)
    >>> context, weights = attention.look_together(torch.randn(1, 3, 8), keys, values, mask)
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
        keys, values = together(x, self.key_layer, self.value_layer)
        return keys, values

    def project_all(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, S, D] that looks at itself -> queries, keys, values [B, S, D]."""
        query, keys, values = together(x, self.query_layer, self.key_layer, self.value_layer)
        return query, keys, values

    def look(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, Tensor, KeysValues]:
        """query [B, Q, D] at keys and values [B, S, D], those of the past [B, N, P, K] before them if there is one;
        mask broadcastable to [B, N, Q, P+S], None where nothing is masked ->
        context [B, Q, D], weights [B, N, Q, P+S], all keys and values [B, N, P+S, K]."""
        context, keys, values, weights = attend(self.heads, query, keys, values, mask, *(past or ()))
        if torch.onnx.is_in_onnx_export() and mask is not None:  # onnxruntime infers a wrong shape
            queries = 1 if query.size(1) == 1 else mask.size(2)  # one, while decoding: a number to the tracer
            weights = weights.reshape(-1, self.heads, queries, mask.size(3))
        return self.output_layer(context), weights, (keys, values)

    def look_together(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """W rows for each of B sources, side by side, ask together, so that keys and values are there once: query
        [B*W, Q, D], not projected yet, keys and values [B, S, D], mask [B, 1, W*Q, S] ->
        context [B*W, Q, D], weights [B*W, N, Q, S]."""
        length = 1 if query.size(1) == 1 else query.size(1)
        asked = self.query_layer(query).reshape(mask.size(0), -1, self.size)
        context, _, _, weights = attend(self.heads, asked, keys, values, mask)
        # [B, N, W*Q, S] -> [B, W*Q, N, S] -> [B*W, Q, N, S] -> [B*W, N, Q, S]
        weights = weights.transpose(1, 2).reshape(-1, length, self.heads, mask.size(3))
        weights = weights.reshape(-1, self.heads, 1, mask.size(3)) if length == 1 else weights.transpose(1, 2)
        return self.output_layer(context.reshape(-1, length, self.size)), weights


def attend(
    heads: int, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *past: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`scaled_dot_product`, as one operator where a graph is exported."""
    if torch.onnx.is_in_onnx_export() and mask is not None:
        found: tuple[Tensor, Tensor, Tensor, Tensor] = OnnxAttention.apply(heads, query, keys, values, mask, *past)
        return found
    return scaled_dot_product(heads, query, keys, values, mask, *past)


def scaled_dot_product(
    heads: int, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *past: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """query [B, Q, D], keys, values [B, S, D], mask, past keys and values [B, N, P, K] if any ->
    context [B, Q, D], keys and values [B, N, P+S, K], weights [B, N, Q, P+S] (Vaswani et al. 2017, eq. 1)."""
    query, keys, values = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, keys, values))
    if past:
        keys = torch.cat([past[0].to(keys.dtype), keys], dim=2)  # the dtype differs under autocast only
        values = torch.cat([past[1].to(values.dtype), values], dim=2)
    weights = masked_softmax(query @ keys.transpose(2, 3) / math.sqrt(query.size(-1)), mask)
    context = weights.to(values.dtype) @ values
    return context.transpose(1, 2).flatten(2), keys, values, weights


class OnnxAttention(torch.autograd.Function):
    """`scaled_dot_product` as one operator of ONNX (Attention, opset 23), which splits the heads, gives the weights out
    and appends to the past by itself: three times as fast as its parts (docs/LOG.md)."""

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


def together(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """Several layers of the same input in one multiplication."""
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return F.linear(x, weight, bias).split([layer.out_features for layer in layers], dim=-1)
