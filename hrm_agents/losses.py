"""Losses of one segment: pure functions, one number per batch row, float32 throughout."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def log_stablemax(logits: Tensor) -> Tensor:
    """Log-probabilities under stablemax over the last axis of ``logits`` [..., V].

    s(x) = x + 1 for x >= 0 and 1 / (1 - x) below; p = s / sum(s) (Prieto et al. 2025,
    "Grokking at the Edge of Numerical Stability", arXiv 2501.04697, section 5).

    log s(x) is the odd function sign(x) * log(1 + |x|): no branch divides by zero. A ``where`` over
    the two formulas needs its inputs clamped, or 1 / (1 - x) at x = 1 puts inf * 0 = NaN into the
    gradient of the branch that was not taken.
    """
    logits = logits.float()
    # At exactly 0, relu passes no gradient and clamp passes all of it: once in sum, not twice.
    positive = logits.relu()
    negative = logits.clamp(max=0.0)
    # At most one of the two terms differs from 1, so the product is s(x).
    scores = (1.0 + positive) / (1.0 - negative)
    log_scores = torch.log1p(positive) - torch.log1p(-negative)
    return log_scores - torch.log(scores.sum(-1, keepdim=True))


def _mean_over_labelled(log_probs: Tensor, labels: Tensor, ignore: int) -> Tensor:
    """Mean negative log-likelihood of ``labels`` [B, S] per row: [B]; rows without a label give 0."""
    labelled = labels != ignore
    # A valid index for the cells that are masked out anyway: ``ignore`` may be outside 0..V-1.
    index = torch.where(labelled, labels, 0).long().unsqueeze(-1)
    nll = -log_probs.gather(-1, index).squeeze(-1)
    return torch.where(labelled, nll, 0.0).sum(-1) / labelled.sum(-1).clamp(min=1)


def stablemax_cross_entropy(logits: Tensor, labels: Tensor, ignore: int = 0) -> Tensor:
    """Cross-entropy under stablemax, averaged over each row's labelled cells.

    Args:
        logits: [B, S, V].
        labels: uint8 or int [B, S]; cells equal to ``ignore`` do not count.
        ignore: the label of cells without a target.

    Returns:
        float32 [B].
    """
    return _mean_over_labelled(log_stablemax(logits), labels, ignore)


def softmax_cross_entropy(logits: Tensor, labels: Tensor, ignore: int = 0) -> Tensor:
    """Cross-entropy under softmax, averaged over each row's labelled cells; see `stablemax_cross_entropy`."""
    return _mean_over_labelled(F.log_softmax(logits.float(), dim=-1), labels, ignore)


def q_loss(q: Tensor, target: Tensor, kind: Literal["bce", "mse"] = "bce") -> Tensor:
    """Loss of one Q-value per row, [B]; the target never gets a gradient.

    Args:
        q: [B], output of the Q-head.
        target: [B], what it should be. For ``"bce"`` a probability: q is its logit (HRM paper,
            arXiv 2506.21734, section 2, "Adaptive computational time"). For ``"mse"`` any value.
        kind: binary cross-entropy on logits, or half the squared error.
    """
    target = target.detach().float()
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(q.float(), target, reduction="none")
    return 0.5 * (q.float() - target).square()
