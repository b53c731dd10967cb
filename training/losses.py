"""The loss of translators, computed in chunks on a CPU.

Legend: N target tokens, V vocabulary (or the sampled part of it), D model size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 256
"""Target tokens per chunk. 256 x 12,000 float32 logits fit in the cache of a CPU."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """`F.cross_entropy` of states @ weight.T + log(counts), in chunks. The forward pass computes the gradients too.

    The logits [N, V] and their gradient never exist as a whole. On a CPU, most of the time of `F.cross_entropy` is
    memory traffic of these two.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, counts: Tensor, targets: Tensor, vocabulary: int, rest: float
    ) -> Tensor:
        """states [N, D], weight [V, D], targets [N] -> mean loss []. counts [V]: number of tokens of the full
        `vocabulary` that each row represents. rest: the label smoothing."""
        state_gradient, weight_gradient = torch.empty_like(states), torch.zeros_like(weight)
        bias, smoothed = counts.log(), counts * (rest / vocabulary)
        total = states.new_zeros(())
        for first in range(0, len(targets), ROWS):
            part = slice(first, first + ROWS)
            wanted = targets[part, None]
            logits = torch.addmm(bias, states[part], weight.T)
            normaliser = logits.logsumexp(1, keepdim=True)
            total += (normaliser - (1 - rest) * logits.gather(1, wanted)).sum() - (logits @ smoothed).sum()
            gradient = logits.sub_(normaliser).exp_().sub_(smoothed)
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, rest - 1))
            torch.mm(gradient, weight, out=state_gradient[part])
            weight_gradient.addmm_(gradient.T, states[part])
        ctx.save_for_backward(state_gradient.div_(len(targets)), weight_gradient.div_(len(targets)))
        return total / len(targets)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        state_gradient, weight_gradient = ctx.saved_tensors
        return outer[0] * state_gradient, outer[0] * weight_gradient, None, None, None, None


def token_loss(states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, samples: int = 0) -> Tensor:
    """Mean cross-entropy of targets [N] under states [N, D] and the vocabulary's weight [V, D].

    With `samples`, the targets and that many random other tokens represent the vocabulary (importance sampling; Jean
    et al. 2015, section 3).
    """
    vocabulary = len(weight)
    counts = torch.ones(vocabulary, device=weight.device)
    if samples and samples < vocabulary:
        chosen, targets, counts = sampled_vocabulary(targets, vocabulary, samples)
        weight = weight[chosen]
    if states.device.type == "cpu" and states.dtype == torch.float32 and torch.is_grad_enabled():
        found: Tensor = ChunkedCrossEntropy.apply(states, weight, counts, targets, vocabulary, label_smoothing)
        return found
    logits = F.linear(states, weight)
    # Autocast would widen the bfloat16 logits to float32: half the time of a step.
    with torch.autocast(states.device.type, enabled=False):
        if not samples:
            return F.cross_entropy(logits, targets, label_smoothing=label_smoothing).float()
        log_probs = (logits.float() + counts.log()).log_softmax(1)
        smoothed = log_probs @ (counts / vocabulary)
        wanted = log_probs.gather(1, targets[:, None])[:, 0]
        return -((1 - label_smoothing) * wanted + label_smoothing * smoothed).mean()


def sampled_vocabulary(targets: Tensor, vocabulary: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sampled ids [C], the index of each target among them [N], and how many tokens each represents [C]."""
    present, places = targets.unique(return_inverse=True)
    others = torch.ones(vocabulary, dtype=torch.bool, device=targets.device)
    others[present] = False
    rest = others.nonzero()[:, 0]
    drawn = rest[torch.randperm(len(rest), device=rest.device)[:samples]]
    counts = torch.ones(len(present) + len(drawn), device=targets.device)
    counts[len(present) :] = len(rest) / max(len(drawn), 1)
    return torch.cat([present, drawn]), places, counts
