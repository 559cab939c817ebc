"""What the answer head learns from: solutions, rewards, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hrm_agents.config import AnswerConfig
from hrm_agents.losses import advantages, answer_policy_gradient
from hrm_agents.rollout import SegmentBatch


class AnswerLearner:
    """The losses of the answer head, with their weights.

    The carry is detached between segments and no answer changes what is thought next. So the return of an episode
    credits an answer with nothing but what halting on it pays, which the verifier says of every segment's answers, not
    only of the one that was handed in.

    Args:
        config: weights, baseline and credit.
        cross_entropy: of logits ``[B, S, V]`` and solutions uint8 ``[B, S]``, zero for rows without one: ``[B]``.
        q_kind: whether Q(halt) is a logit ("bce") or a plain value, for the learned baseline.
    """

    def __init__(
        self,
        config: AnswerConfig,
        cross_entropy: Callable[[Tensor, Tensor], Tensor],
        q_kind: Literal["bce", "mse"],
    ) -> None:
        self._config, self._cross_entropy, self._q_kind = config, cross_entropy, q_kind
        #: By the names of :meth:`losses`.
        self.weights = {
            "answer_loss": config.supervised_weight,
            "answer_policy_loss": config.reward_weight,
            "answer_entropy_loss": config.reward_weight,
        }

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """Named losses, each averaged over the rows that have something to learn from."""
        found: dict[str, Tensor] = {}
        if self._config.supervised_weight:
            labelled = batch.solution.any(-1).sum().clamp(min=1)
            found["answer_loss"] = self._cross_entropy(batch.decision.output.logits, batch.solution).sum() / labelled
        if batch.tries is not None:
            advantage = advantages(batch.tries.earned, self._baseline(batch))
            terms = answer_policy_gradient(batch.decision.output.logits, batch.tries.answer, advantage)
            counts = torch.ones_like(terms.policy)
            if self._config.credit == "halt":
                counts = torch.from_numpy(batch.terminated).to(counts)
            num = counts.sum().clamp(min=1)
            found["answer_policy_loss"] = (terms.policy * counts).sum() / num
            found["answer_entropy_loss"] = -self._config.entropy_weight * (terms.entropy * counts).sum() / num
        return found

    def _baseline(self, batch: SegmentBatch) -> Tensor | None:
        if self._config.baseline == "group":
            return None
        q_halt = batch.decision.output.q_halt
        return q_halt.sigmoid() if self._q_kind == "bce" else q_halt
