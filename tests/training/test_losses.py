"""The translators' loss: chunk by chunk as in one piece, and a sample that stands for the whole."""

import pytest
import torch
import torch.nn.functional as F

from training.losses import ROWS, sampled_vocabulary, token_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_in_chunks_it_is_the_cross_entropy_with_its_gradients(smoothing: float) -> None:
    torch.manual_seed(1)
    states = torch.randn(2 * ROWS + 37, 11, requires_grad=True)
    weight = torch.randn(53, 11, requires_grad=True)
    targets = torch.randint(0, 53, (len(states),))
    loss = token_loss(states, weight, targets, smoothing)
    expected = F.cross_entropy(states @ weight.T, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(
        torch.autograd.grad(3 * loss, (states, weight)),
        torch.autograd.grad(3 * expected, (states, weight)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(token_loss(states, weight, targets, smoothing), expected)


def test_a_sample_has_all_targets_and_counts_for_all_tokens() -> None:
    targets = torch.tensor([5, 90, 5, 17])
    chosen, places, counts = sampled_vocabulary(targets, 97, samples=13)
    assert len(chosen) == len(counts) == 3 + 13 and len(chosen.unique()) == 16
    assert chosen[places].tolist() == targets.tolist()
    assert counts[:3].tolist() == [1, 1, 1] and counts.sum().item() == pytest.approx(97)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_of_many_samples_is_the_whole(smoothing: float) -> None:
    torch.manual_seed(2)
    states, weight = torch.randn(31, 5, requires_grad=True), torch.randn(499, 5) / 3
    targets = torch.randint(0, 499, (31,))
    whole = token_loss(states, weight, targets, smoothing)
    [expected] = torch.autograd.grad(whole, states)
    gradients = [
        torch.autograd.grad(token_loss(states, weight, targets, smoothing, 150), states)[0] for _ in range(300)
    ]
    torch.testing.assert_close(torch.stack(gradients).mean(0), expected, atol=1e-3, rtol=0.05)


def test_a_sample_of_all_is_the_whole() -> None:
    states, weight = torch.randn(7, 5), torch.randn(19, 5)
    targets = torch.randint(0, 19, (7,))
    whole = token_loss(states, weight, targets, 0.1)
    torch.testing.assert_close(token_loss(states, weight, targets, 0.1, samples=19), whole)
    torch.testing.assert_close(token_loss(states, weight, targets, 0.1, samples=18), whole)


def test_without_gradients_a_sample_counts_the_same() -> None:
    torch.manual_seed(3)
    states, weight = torch.randn(7, 5, requires_grad=True), torch.randn(19, 5)
    targets = torch.randint(0, 19, (7,))
    torch.manual_seed(4)
    loss = token_loss(states, weight, targets, 0.1, samples=5)
    torch.manual_seed(4)
    with torch.no_grad():
        again = token_loss(states, weight, targets, 0.1, samples=5)
    assert loss.item() == pytest.approx(again.item(), abs=1e-5)
