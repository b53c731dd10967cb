"""Score functions: shapes, masks, sums, and known values."""

import math

import pytest
import torch

from training.networks.attention import ATTENTIONS, MultiHeadAttention, ScoreName, masked_softmax

B, Q, S, D = 2, 3, 5, 7
NAMES = sorted(ATTENTIONS)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (torch.randn(B, n, D, generator=generator) for n in (Q, S, S))
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])[:, None, :]
    return query, keys, values, mask


@pytest.mark.parametrize("name", NAMES)
def test_shapes_sums_and_padding(name: ScoreName) -> None:
    query, keys, values, mask = inputs()
    context, weights = ATTENTIONS[name](D, D, S)(query, keys, values, mask)
    assert context.shape == (B, Q, D)
    assert weights.shape == (B, Q, S)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, Q))
    assert (weights[1, :, [2, 4]] == 0).all()
    assert (weights[0] > 0).all()
    torch.testing.assert_close(context, weights @ values)


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_the_result(name: ScoreName) -> None:
    query, keys, values, _ = inputs()
    attention = ATTENTIONS[name](D, D, S)
    mask = torch.tensor([True, True, True, False, False])[None, None, :]
    context, weights = attention(query, keys, values, mask)
    alone, alone_weights = attention(query, keys[:, :3], values[:, :3], mask[:, :, :3])
    torch.testing.assert_close(context, alone)
    torch.testing.assert_close(weights[..., :3], alone_weights)


def test_dot_and_scaled_dot_by_hand() -> None:
    query, keys = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    open_ = torch.ones(1, 1, 2, dtype=torch.bool)
    _, weights = ATTENTIONS["dot"](2, 2, 2)(query, keys, keys, open_)
    torch.testing.assert_close(weights[0, 0], torch.tensor([1.0, 2.0]).softmax(0))
    _, weights = ATTENTIONS["scaled_dot"](2, 2, 2)(query, keys, keys, open_)
    torch.testing.assert_close(weights[0, 0], (torch.tensor([1.0, 2.0]) / math.sqrt(2)).softmax(0))


def test_general_additive_and_location_follow_their_equations() -> None:
    query, keys, _, _ = inputs()
    general = ATTENTIONS["general"](D, D, S)
    expected = torch.einsum("bqd,de,bse->bqs", query, general.get_parameter("key_layer.weight"), keys)
    torch.testing.assert_close(general.scores(query, general.project(keys)), expected)
    additive = ATTENTIONS["additive"](D, D, S)
    w, u, b, v = (
        additive.get_parameter(n)
        for n in ("query_layer.weight", "key_layer.weight", "key_layer.bias", "energy_layer.weight")
    )
    q, k = query[1, 2], keys[1, 3]
    scores = additive.scores(query, additive.project(keys))
    torch.testing.assert_close(scores[1, 2, 3], (v @ torch.tanh(w @ q + u @ k + b))[0])
    location = ATTENTIONS["location"](D, D, S)
    torch.testing.assert_close(location.scores(query, keys), location.scores(query, keys + 1))


def test_dot_requires_equal_sizes() -> None:
    with pytest.raises(ValueError, match="7 and 5"):
        ATTENTIONS["dot"](7, 5, 3)


def test_masked_softmax_is_exactly_zero_in_half_precision() -> None:
    weights = masked_softmax(torch.tensor([60000.0, 1.0], dtype=torch.float16), torch.tensor([False, True]))
    assert weights.tolist() == [0.0, 1.0]


def test_multi_head_equals_pytorch() -> None:
    size, heads = 6, 2
    ours, theirs = MultiHeadAttention(size, heads), torch.nn.MultiheadAttention(size, heads, batch_first=True)
    layers = (ours.query_layer, ours.key_layer, ours.value_layer)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.weight.copy_(ours.output_layer.weight)
        theirs.out_proj.bias.copy_(ours.output_layer.bias)
    query, source = torch.randn(B, Q, size), torch.randn(B, S, size)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    context, weights = ours.attend_grouped(query, *ours.project(source), mask[:, None, None, :].expand(-1, -1, Q, -1))
    expected, expected_weights = theirs(query, source, source, ~mask, average_attn_weights=False)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, expected_weights)


def test_heads_must_divide_the_size() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        MultiHeadAttention(7, 2)
