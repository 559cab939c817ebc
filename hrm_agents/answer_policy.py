"""Learning answers from what they earn: sampling, credit and policy gradient, as pure functions.

The policy is the softmax of the answer head's logits, independently in every cell. Several answers are sampled in the
same state and judged, which costs no further thought: only the verifier works more than once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Added to a standard deviation before dividing by it: answers that earn nearly the same teach little.
_LEAST_SPREAD = 1e-2


class Tries(NamedTuple):
    """Answers sampled in one segment and what they earned: ``B`` rows, ``K`` answers, ``S`` cells."""

    answer: Tensor
    """uint8 ``[B, K, S]``."""
    earned: Tensor
    """float32 ``[B, K]``, by the verifier."""


def sample_answers(logits: Tensor, draws: Tensor) -> Tensor:
    """Answers of the policy, uint8 ``[B, K, S]``.

    Args:
        logits: ``[B, S, V]``, scores of each token in each cell.
        draws: ``[B, K, S]``, uniform in [0, 1): a token is taken where its share of [0, 1) contains the draw.
    """
    below = logits.float().softmax(-1).cumsum(-1)[:, None]
    # The shares may add up to a little less than 1.
    return (draws[..., None] >= below[..., :-1]).sum(-1).to(torch.uint8)


def advantages(earned: Tensor, baseline: Tensor | None = None) -> Tensor:
    """How much better than expected each answer was, in standard deviations: float32 ``[B, K]``, without gradient.

    Args:
        earned: ``[B, K]``.
        baseline: ``[B]``, what was expected of each row; the spread is then that of the whole batch. Without it, what
            the other answers to the same puzzle earned on average, and the spread is that of each group
            (Kool et al. 2019; Shao et al. 2024, arXiv 2402.03300, section 4.1).

    Raises:
        ValueError: a group of one answer without a baseline.
    """
    earned = earned.detach().float()
    if baseline is not None:
        better = earned - baseline.detach().float()[:, None]
        return better / (better.square().mean().sqrt() + _LEAST_SPREAD)
    num = earned.shape[1]
    if num < 2:
        raise ValueError("the answers of a group are compared with each other: sample at least 2")
    # The mean of the others: num / (num - 1) times the distance from the mean of all.
    better = (earned - earned.mean(1, keepdim=True)) * (num / (num - 1))
    return better / (earned.std(1, keepdim=True) + _LEAST_SPREAD)


class AnswerGradient(NamedTuple):
    """Terms of :func:`answer_policy_gradient`, float32 ``[B]``."""

    policy: Tensor
    """Minus the log-probability of each answer times its advantage: mean over answers and cells."""
    entropy: Tensor
    """Mean entropy of the cells in nats."""


def answer_policy_gradient(logits: Tensor, answers: Tensor, advantage: Tensor) -> AnswerGradient:
    """REINFORCE (Williams 1992) on whole answers.

    Args:
        logits: ``[B, S, V]``, with gradient.
        answers: uint8 ``[B, K, S]``, sampled from them.
        advantage: ``[B, K]``.
    """
    log_probs = logits.float().log_softmax(-1)
    # Answers sum up per token first: the weight of a token is the advantage of all answers that have it.
    chosen = torch.nn.functional.one_hot(answers.long(), logits.shape[-1]).float()
    weight = torch.einsum("bk,bksv->bsv", advantage, chosen) / answers.shape[1]
    return AnswerGradient(
        policy=-(weight * log_probs).sum(-1).mean(-1),
        entropy=-(log_probs.exp() * log_probs).sum(-1).mean(-1),
    )
