"""Scale of the Q-head's outputs: conversion to reward, and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Values = TypeVar("Values", Tensor, NDArray[Any])


@dataclass(frozen=True)
class QScale:
    """Scale of Q-values: logits of a return in [0, 1], or the return itself."""

    is_logit: bool
    """Whether Q-values are logits."""

    def value(self, q: Values) -> Values:
        """Q-values ``[...]`` in units of reward."""
        if not self.is_logit:
            return q
        # The sigmoid, without overflow for large negative logits; a float32 zero keeps float32.
        return q.sigmoid() if isinstance(q, Tensor) else np.exp(-np.logaddexp(np.float32(0), -q))

    def probability(self, q: Values) -> Values:
        """Q-values ``[...]`` as probabilities in [0, 1]: the model's confidence in its answer."""
        return self.value(q) if self.is_logit else q.clip(0.0, 1.0)

    def inverse(self, value: float) -> float:
        """Q-value of a reward; for logits infinite at 0 and 1."""
        if not self.is_logit:
            return value
        with np.errstate(divide="ignore"):
            return float(np.log(np.float64(value)) - np.log1p(np.float64(-value)))

    def loss(self, q: Tensor, target: Tensor) -> Tensor:
        """Loss of one Q-value per row, float32 ``[B]``, without gradient for the target.

        Binary cross-entropy for logits (arXiv 2506.21734, section 2, "Adaptive computational time"), half the squared
        error for plain values.

        Args:
            q: ``[B]``, output of the Q-head.
            target: ``[B]``, in units of reward; in [0, 1] for logits.
        """
        target = target.detach().float()
        if self.is_logit:
            return F.binary_cross_entropy_with_logits(q.float(), target, reduction="none")
        return 0.5 * (q.float() - target).square()

    def check_cost(self, segment_cost: float) -> None:
        """Check that targets under a segment cost fit the scale.

        Raises:
            ValueError: Q-values are logits and the cost is not 0.
        """
        if self.is_logit and segment_cost != 0.0:
            raise ValueError(
                "a segment cost moves returns out of [0, 1], the range of logits: use scale=PLAIN (q_loss='mse')"
            )


#: Logits of a return in [0, 1], as in the paper; trained with binary cross-entropy.
LOGIT = QScale(is_logit=True)
#: The return itself; trained with squared error.
PLAIN = QScale(is_logit=False)
