"""Losses of the answer head for one segment: pure functions in float32, one value per row."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def log_stablemax(logits: Tensor) -> Tensor:
    """Log-probabilities under stablemax over the last axis of ``logits`` [..., V].

    s(x) = x + 1 for x >= 0 and 1 / (1 - x) below; p = s / sum(s) (Prieto et al. 2025, "Grokking at the Edge of
    Numerical Stability", arXiv 2501.04697, section 5).

    log s(x) is the odd function sign(x) * log(1 + |x|). A ``where`` over the two formulas of s would need clamped
    inputs, or 1 / (1 - x) at x = 1 would put inf * 0 = NaN into the gradient of the unused branch.
    """
    logits = logits.float()
    # At exactly 0, relu passes no gradient and clamp passes all of it, so it counts once in the sum.
    positive = logits.relu()
    negative = logits.clamp(max=0.0)
    # At most one of the two terms differs from 1, so the product is s(x).
    scores = (1.0 + positive) / (1.0 - negative)
    log_scores = torch.log1p(positive) - torch.log1p(-negative)
    return log_scores - torch.log(scores.sum(-1, keepdim=True))


def answer_cross_entropy(log_probs: Tensor, labels: Tensor, ignore: int = 0) -> Tensor:
    """Mean cross-entropy over the labelled cells of each row, float32 ``[B]``; 0 for rows without a label.

    Args:
        log_probs: ``[B, S, V]``.
        labels: uint8 or int ``[B, S]``.
        ignore: label of cells without a target.
    """
    labelled = labels != ignore
    # Masked cells need a valid index too: ``ignore`` may be outside 0..V-1.
    index = torch.where(labelled, labels, 0).long().unsqueeze(-1)
    nll = -log_probs.gather(-1, index).squeeze(-1)
    return torch.where(labelled, nll, 0.0).sum(-1) / labelled.sum(-1).clamp(min=1)


def stablemax_cross_entropy(logits: Tensor, labels: Tensor, ignore: int = 0) -> Tensor:
    """:func:`answer_cross_entropy` of logits ``[B, S, V]`` under stablemax."""
    return answer_cross_entropy(log_stablemax(logits), labels, ignore)


#: Functions from logits ``[..., V]`` to log-probabilities, by the values of ``run.answer_loss``.
LOG_PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "stablemax": log_stablemax,
    "softmax": lambda logits: F.log_softmax(logits.float(), dim=-1),
}


#: Added to a standard deviation before dividing by it, so that tiny differences in reward count little.
_LEAST_SPREAD = 1e-2


def advantages(
    earned: Tensor, baseline: Tensor | None = None, overall: Callable[[Tensor], Tensor] = lambda mean: mean
) -> Tensor:
    """Normalised advantages of sampled answers, float32 ``[B, K]``, without gradient.

    Args:
        earned: ``[B, K]``, rewards of the answers.
        baseline: ``[B]``, expected reward of each row, with normalisation over the whole batch. None takes the mean
            reward of the other answers to the same puzzle, with normalisation in each row (Kool et al. 2019; Shao et
            al. 2024, arXiv 2402.03300, section 4.1).
        overall: the mean over the whole batch from that over these rows, if they are only a part of it.

    Raises:
        ValueError: a single answer per row and no baseline.
    """
    earned = earned.detach().float()
    if baseline is not None:
        better = earned - baseline.detach().float()[:, None]
        return better / (overall(better.square().mean()).sqrt() + _LEAST_SPREAD)
    num = earned.shape[1]
    if num < 2:
        raise ValueError("without a baseline, answers are compared with each other: sample at least 2")
    # The distance from the mean of the others is num / (num - 1) times that from the mean of all.
    better = (earned - earned.mean(1, keepdim=True)) * (num / (num - 1))
    return better / (earned.std(1, keepdim=True) + _LEAST_SPREAD)


class AnswerGradient(NamedTuple):
    """Terms of :func:`answer_policy_gradient`, float32 ``[B]``."""

    policy: Tensor
    """Minus log-probability times advantage, mean over answers and cells."""
    entropy: Tensor
    """Mean entropy of the cells, in nats."""


def answer_policy_gradient(logits: Tensor, answers: Tensor, advantage: Tensor) -> AnswerGradient:
    """REINFORCE (Williams 1992) on whole answers.

    Args:
        logits: ``[B, S, V]``, with gradient.
        answers: uint8 ``[B, K, S]``, sampled from ``logits``.
        advantage: ``[B, K]``, from :func:`advantages`.
    """
    log_probs = logits.float().log_softmax(-1)
    # The weight of a token in a cell is the summed advantage of the answers that contain it, divided by K.
    chosen = F.one_hot(answers.long(), logits.shape[-1]).float()
    weight = torch.einsum("bk,bksv->bsv", advantage, chosen) / answers.shape[1]
    return AnswerGradient(
        policy=-(weight * log_probs).sum(-1).mean(-1),
        entropy=-(log_probs.exp() * log_probs).sum(-1).mean(-1),
    )
