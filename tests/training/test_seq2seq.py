"""Recurrent translators: the order of attention and cell, causality, independence of the batch."""

from typing import Any

import pytest
import torch
from torch import nn

from training.networks.attention import ATTENTIONS, GeneralAttention, LocalAttention
from training.networks.seq2seq import Seq2Seq, Seq2SeqConfig

BAHDANAU: dict[str, Any] = {"decoder": "bahdanau", "attention": "additive", "cell": "gru"}
KINDS: list[dict[str, Any]] = [
    BAHDANAU,
    *({"attention": name} for name in sorted(ATTENTIONS)),
    {"attention": "general", "input_feeding": True, "cell": "gru"},
    {"attention": "general", "local": "monotonic", "window": 2},
    {"attention": "dot", "local": "predictive", "window": 2, "decoder_layers": 2, "encoder_layers": 2},
    {"attention": "none"},
]
VOCABULARY = 17


def network(options: dict[str, Any]) -> Seq2Seq:
    torch.manual_seed(0)
    config = Seq2SeqConfig(network="seq2seq", embedding=5, size=6, **options)
    return Seq2Seq(config, VOCABULARY, max_length=11, pad_id=0).eval()


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(map(str, options.values())))
def test_result_is_independent_of_the_batch(options: dict[str, Any]) -> None:
    translator = network(options)
    source = torch.randint(1, VOCABULARY, (2, 11))
    source[1, 4:] = 0
    target = torch.randint(1, VOCABULARY, (2, 7))
    both, alone = translator(source, target), translator(source[1:, :4], target[1:])
    torch.testing.assert_close(both.states[1:], alone.states)
    if options["attention"] == "none":
        assert both.weights is None
        return
    torch.testing.assert_close(both.weights[1:, :, :4], alone.weights)
    torch.testing.assert_close(both.weights.sum(-1), torch.ones(2, 7))
    assert (both.weights[1, :, 4:] == 0).all()


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(map(str, options.values())))
def test_no_position_sees_a_later_one(options: dict[str, Any]) -> None:
    translator = network(options)
    source, target = torch.randint(1, VOCABULARY, (1, 5)), torch.randint(1, VOCABULARY, (1, 7))
    changed = target.clone()
    changed[0, 4] = (target[0, 4] + 1) % VOCABULARY
    before, after = translator(source, target), translator(source, changed)
    torch.testing.assert_close(before.states[:, :4], after.states[:, :4])
    assert not torch.allclose(before.states[:, 4:], after.states[:, 4:])
    if before.weights is not None:
        # Bahdanau attends before the token is read, Luong after it.
        attends_first = options.get("decoder") == "bahdanau"
        same = torch.isclose(before.weights, after.weights).all(-1)[0].tolist()
        assert same[: 4 + attends_first] == [True] * (4 + attends_first)


def test_bahdanau_queries_with_the_state_before_the_token() -> None:
    translator = network(BAHDANAU)
    source, target = torch.randint(1, VOCABULARY, (1, 5)), torch.randint(1, VOCABULARY, (1, 1))
    encoded = translator.encode(source, source != 0)
    assert encoded.states is not None and encoded.mask is not None and translator.attention is not None
    first = translator.decode(target, encoded, encoded.initial)
    query = encoded.initial.hidden[:, -1:]
    _, weights = translator.attention(query, encoded.states, encoded.states, encoded.mask[:, None])
    torch.testing.assert_close(first.weights, weights)


def test_luong_queries_with_the_state_after_the_token() -> None:
    translator = network({"attention": "general"})
    source, target = torch.randint(1, VOCABULARY, (1, 5)), torch.randint(1, VOCABULARY, (1, 1))
    encoded = translator.encode(source, source != 0)
    assert encoded.states is not None and encoded.mask is not None and translator.attention is not None
    first = translator.decode(target, encoded, encoded.initial)
    state = first.state.hidden[:, -1:]
    context, weights = translator.attention(state, encoded.states, encoded.states, encoded.mask[:, None])
    torch.testing.assert_close(first.weights, weights)
    # Eq. 5: s~ = tanh(W [c; s]).
    torch.testing.assert_close(first.states, torch.tanh(translator.combine(torch.cat([context, state], -1))))


def test_every_parameter_learns() -> None:
    for options in KINDS:
        translator = network(options).train()
        decoded = translator(torch.randint(1, VOCABULARY, (3, 5)), torch.randint(1, VOCABULARY, (3, 4)))
        translator.logits(decoded.states).log_softmax(-1)[..., 3].sum().backward()
        still = [name for name, p in translator.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        assert not still, options


@pytest.mark.parametrize("local", ["monotonic", "predictive"])
def test_local_attention_is_limited_to_its_window(local: Any) -> None:
    torch.manual_seed(0)
    attention = LocalAttention(GeneralAttention(4, 4, 30), local, 4, window=2)
    query, keys = torch.randn(1, 8, 4), torch.randn(1, 6, 4)
    mask = torch.ones(1, 1, 6, dtype=torch.bool)
    context, weights = attention(query, keys, keys, mask, torch.arange(8)[None])
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 8))
    torch.testing.assert_close(context, weights @ keys)
    assert ((weights > 0).sum(-1) <= 5).all()
    if local == "monotonic":
        # At targets longer than the source, the window stays at the end of the source.
        assert [(row > 0).nonzero()[0].item() for row in weights[0]] == [0, 0, 0, 1, 2, 3, 3, 3]


def test_predictive_local_attention_decreases_around_its_centre() -> None:
    attention = LocalAttention(GeneralAttention(4, 4, 30), "predictive", 4, window=4)
    for layer in attention.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)  # equal scores, and sigmoid(0): the middle of the source
    _, weights = attention(
        torch.randn(1, 1, 4), torch.randn(1, 9, 4), torch.randn(1, 9, 4), torch.ones(1, 1, 9).bool(), None
    )
    expected = torch.exp(-(torch.arange(-4.0, 5) ** 2) / (2 * 2**2))
    torch.testing.assert_close(weights[0, 0], expected / expected.sum())
