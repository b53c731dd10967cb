"""The networks: padding and caches change no result, and no position sees a later one."""

import pytest
import torch
from torch import nn

from training.networks.attention import ATTENTIONS, ScoreName
from training.networks.classifier import AttentionClassifier, ClassifierConfig, QueryName
from training.networks.recurrent import CELLS, CellName, RecurrentEncoder
from training.networks.transformer import EncoderLayer, NormName, Transformer, TransformerConfig, sinusoidal_positions

VOCABULARY = 17


CONFIG = TransformerConfig(network="transformer", size=12, heads=3, encoder_layers=2, decoder_layers=3, feed_forward=19)


@pytest.fixture(params=["pre", "post"])
def network(request: pytest.FixtureRequest) -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG.model_copy(update={"norm": request.param}), VOCABULARY, pad_id=0).eval()


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_ignores_padding(cell: CellName, bidirectional: bool) -> None:
    encoder = RecurrentEncoder(cell, 3, 5, 2, bidirectional, 0.0)
    embedded = torch.randn(2, 7, 3)
    states, last = encoder(embedded, torch.tensor([7, 4]))
    alone, alone_last = encoder(embedded[1:, :4], torch.tensor([4]))
    assert states.shape == (2, 7, encoder.output_size)
    torch.testing.assert_close(states[1:, :4], alone)
    torch.testing.assert_close(last[1:], alone_last)
    assert (states[1, 4:] == 0).all()


def test_last_states_of_both_directions() -> None:
    encoder = RecurrentEncoder("gru", 3, 5, 1, True, 0.0)
    states, last = encoder(torch.randn(1, 4, 3), torch.tensor([4]))
    torch.testing.assert_close(last[0], torch.cat([states[0, -1, :5], states[0, 0, 5:]]))


@pytest.mark.parametrize("attention", sorted(ATTENTIONS))
@pytest.mark.parametrize("query", ["last", "learned", "self"])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_classifier_is_independent_of_the_batch(attention: ScoreName, query: QueryName, cell: CellName) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(network="classifier", cell=cell, embedding=5, hidden=7, attention=attention, query=query)
    network = AttentionClassifier(config, VOCABULARY, classes=3, max_length=11, pad_id=0).eval()
    ids = torch.randint(1, VOCABULARY, (2, 11))
    logits, weights = network(ids, torch.tensor([11, 5]))
    alone, alone_weights = network(ids[1:, :5], torch.tensor([5]))
    assert logits.shape == (2, 3)
    assert weights is not None and alone_weights is not None
    queries = alone_weights.size(1)
    assert weights.shape == (2, 11 if query == "self" else 1, 11)
    torch.testing.assert_close(logits[1:], alone)
    torch.testing.assert_close(weights[1:, :queries, :5], alone_weights)
    assert (weights[1, :, 5:] == 0).all()


def test_last_states_get_dropout_once() -> None:
    """Only the dropout of the decision applies, not the dropout of the states."""
    config = ClassifierConfig(network="classifier", embedding=3, hidden=5, attention="none")
    network = AttentionClassifier(config, vocabulary=9, classes=2, max_length=4, pad_id=0).eval()
    embedded, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
    expected, _ = network.decide(embedded, lengths)
    network.text_dropout.register_forward_hook(lambda *args: torch.zeros_like(args[-1]))
    assert torch.equal(network.decide(embedded, lengths)[0], expected)


@pytest.mark.parametrize("query", ["dense", "learned"])
def test_contributions_and_the_bias_sum_to_the_logits(query: QueryName) -> None:
    config = ClassifierConfig(network="classifier", embedding=3, hidden=5, query=query, values="embeddings")
    network = AttentionClassifier(config, vocabulary=9, classes=4, max_length=6, pad_id=0).eval()
    ids, lengths = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]), torch.tensor([5, 3])
    logits, weights = network(ids, lengths)
    contributions = network.contributions(ids, weights)
    assert contributions.shape == (2, 4, 1, 5)
    torch.testing.assert_close(contributions.sum((2, 3)) + network.output_layer.bias, logits)
    assert not contributions[1, ..., 3:].any()


def test_contributions_need_a_linear_decision() -> None:
    with pytest.raises(ValueError, match="no dense layer"):
        ClassifierConfig(network="classifier", query="learned", values="embeddings", dense=4)
    with pytest.raises(ValueError, match="query 'dense' or 'learned'"):
        ClassifierConfig(network="classifier", values="embeddings")


def test_every_parameter_learns(network: Transformer) -> None:
    network.train()
    ids = torch.randint(1, VOCABULARY, (2, 5))
    network.logits(network(ids, ids).states).square().sum().backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    # A bias of the keys adds a constant to all scores of a query, which the softmax ignores.
    assert all(name.endswith("key_layer.bias") for name in still)


def test_transformer_padding_gets_zero_weight(network: Transformer) -> None:
    source, target = torch.randint(1, VOCABULARY, (2, 7)), torch.randint(1, VOCABULARY, (2, 5))
    source[1, 4:] = 0
    decoded, alone = network(source, target), network(source[1:, :4], target[1:])
    torch.testing.assert_close(decoded.states[1:], alone.states)
    for weights, alone_weights in zip(decoded.cross_weights, alone.cross_weights, strict=True):
        assert (weights[1, :, :, 4:] == 0).all()
        torch.testing.assert_close(weights[1:, :, :, :4], alone_weights)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))


def test_transformer_is_causal(network: Transformer) -> None:
    source, target = torch.randint(1, VOCABULARY, (1, 5)), torch.randint(1, VOCABULARY, (1, 7))
    changed = target.clone()
    changed[0, 3:] = (changed[0, 3:] + 1) % (VOCABULARY - 1) + 1
    before, after = network(source, target), network(source, changed)
    torch.testing.assert_close(before.states[:, :3], after.states[:, :3])
    assert not torch.allclose(before.states[:, 3:], after.states[:, 3:])
    for weights in before.self_weights:
        assert (weights.triu(1) == 0).all()


def test_one_token_at_a_time_equals_the_whole_target(network: Transformer) -> None:
    source, target = torch.randint(1, VOCABULARY, (2, 5)), torch.randint(1, VOCABULARY, (2, 7))
    whole, encoded = network(source, target), network.encode(source)
    past = None
    for t in range(7):
        token, encodings = target[:, t : t + 1], network.encodings(torch.tensor([t]))
        step = network.decode(token, encodings, encoded.source_mask, encoded.keys_values, past, None)
        past = step.keys_values
        torch.testing.assert_close(step.states[:, 0], whole.states[:, t])
        for layer in range(3):
            torch.testing.assert_close(step.cross_weights[layer][:, :, 0], whole.cross_weights[layer][:, :, t])
            torch.testing.assert_close(step.self_weights[layer][:, :, 0], whole.self_weights[layer][:, :, t, : t + 1])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_encoder_layer_equals_pytorch(norm: NormName) -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(CONFIG.model_copy(update={"norm": norm})).eval()
    theirs = nn.TransformerEncoderLayer(12, 3, 19, batch_first=True, norm_first=norm == "pre").eval()
    attention = ours.self_attention
    projections = [attention.query_layer, attention.key_layer, attention.value_layer]
    renamed = {
        "self_attn.in_proj_weight": torch.cat([layer.weight for layer in projections]),
        "self_attn.in_proj_bias": torch.cat([layer.bias for layer in projections]),
    }
    for name, layer in {
        "self_attn.out_proj": attention.output_layer,
        "linear1": ours.feed_forward.inner,
        "linear2": ours.feed_forward.outer,
        "norm1": ours.self_residual.norm,
        "norm2": ours.feed_forward_residual.norm,
    }.items():
        renamed |= {f"{name}.{key}": parameter for key, parameter in layer.named_parameters()}
    theirs.load_state_dict(renamed)
    x = torch.randn(2, 5, 12)
    real = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    mine, _, _ = ours(x, real[:, None, None])
    torch.testing.assert_close(mine[real], theirs(x, src_key_padding_mask=~real)[real])


def test_rows_share_a_source(network: Transformer) -> None:
    """The result equals that of one copy of the source per row."""
    source, target = torch.randint(1, VOCABULARY, (2, 5)), torch.randint(1, VOCABULARY, (6, 7))
    apart = network(source.repeat_interleave(3, 0), target)
    encoded, positions = network.encode(source), torch.arange(7)
    causal_mask = positions[None, :] <= positions[:, None]
    encodings = network.encodings(positions)
    together = network.decode(target, encodings, encoded.source_mask, encoded.keys_values, None, causal_mask)
    torch.testing.assert_close(together.states, apart.states)
    torch.testing.assert_close(together.cross_weights, apart.cross_weights)


def test_positions_are_sines_and_cosines() -> None:
    whole = sinusoidal_positions(torch.arange(5), 4)
    expected = torch.tensor([3.0, 3.0 / 100.0])
    torch.testing.assert_close(whole[3], torch.cat([expected.sin(), expected.cos()]))
    torch.testing.assert_close(sinusoidal_positions(torch.tensor([[3], [4]]), 4)[:, 0], whole[3:])
