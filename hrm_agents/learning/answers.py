"""Losses of the answer head, from solutions, rewards, or both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hrm_agents.distributed import ALONE, Ranks
from hrm_agents.halting.q_scale import QScale
from hrm_agents.losses import advantages, answer_cross_entropy, answer_policy_gradient
from hrm_agents.rollout import SegmentBatch
from hrm_agents.settings import AnswerConfig
from hrm_agents.transfer import to_device


class AnswerLearner:
    """The losses of the answer head and their weights.

    Answers do not influence later segments, and the carry is detached between segments. So the return credits an
    answer only with the reward of halting on it, which the verifier gives for the answers of every segment, not only
    of the last.

    Args:
        config: weights, baseline and credit.
        log_probabilities: of logits ``[B, S, V]``, for the cross-entropy with the solutions.
        q_scale: of Q(halt), for the learned baseline.
        ranks: the processes that learn together: they have the same number of rows, but perhaps not of those that a
            loss applies to.
    """

    def __init__(
        self,
        config: AnswerConfig,
        log_probabilities: Callable[[Tensor], Tensor],
        q_scale: QScale,
        ranks: Ranks = ALONE,
    ) -> None:
        self._config, self._log_probabilities, self._q_scale = config, log_probabilities, q_scale
        self._ranks = ranks
        #: Weights of :meth:`losses`, by name.
        self.weights = {
            "answer_loss": config.supervised_weight,
            "answer_policy_loss": config.reward_weight,
            "answer_entropy_loss": config.reward_weight,
        }

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """Losses by name. Their mean over the processes is the mean over the rows that each applies to."""
        found: dict[str, Tensor] = {}
        if self._config.supervised_weight:
            labelled = self._num(batch.solution.any(-1))
            log_probs = self._log_probabilities(batch.decision.output.logits)
            found["answer_loss"] = answer_cross_entropy(log_probs, batch.solution).sum() / labelled
        if batch.tries is not None:
            advantage = advantages(batch.tries.earned, self._baseline(batch), self._ranks.mean)
            terms = answer_policy_gradient(batch.decision.output.logits, batch.tries.answer, advantage)
            counts = torch.ones_like(terms.policy)
            if self._config.credit == "halt":
                counts = to_device(batch.terminated, counts.device).float()
            num = self._num(counts)
            found["answer_policy_loss"] = (terms.policy * counts).sum() / num
            found["answer_entropy_loss"] = -self._config.entropy_weight * (terms.entropy * counts).sum() / num
        return found

    def _num(self, counts: Tensor) -> Tensor:
        """Number of rows that a loss applies to, on average over the processes; 1 if there are none at all."""
        num = self._ranks.mean(counts.sum())
        return torch.where(num > 0, num, 1)

    def _baseline(self, batch: SegmentBatch) -> Tensor | None:
        if self._config.baseline == "group":
            return None
        return self._q_scale.value(batch.decision.output.q_halt)
