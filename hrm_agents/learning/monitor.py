"""Warnings during training about collapsed halting or uninformative rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.halting.q_scale import QScale
from hrm_agents.rollout import SegmentBatch

#: Fraction of rows or episodes that counts as nearly all.
NEARLY_ALL = 0.98
#: Q-values count as equal if they differ by less, in units of Q: logits, or reward for plain values.
SAME_Q = 0.02
#: A logit beyond this, in either direction, is saturated: the logit of 0.99.
SATURATED = float(np.log(99.0))
#: Fraction of the range of rewards that must be at stake for a warning.
AT_STAKE = 0.05

# Columns of the records, one row per update.
_ROWS, _ENDED, _LENGTH, _FORCED, _FIRST, _FIRST_HALTS, _SAME, _HIGH, _LOW, _PAY, _FIRST_PAY, _LEAST, _MOST = range(13)


class Advice(NamedTuple):
    """What a warning suggests."""

    bar: str
    """What Q(halt) must exceed to halt."""
    first: str
    last: str
    gap: str


# Never a higher --halting.q-weight: AdamATan2 ignores the scale of the losses that the Q-head alone learns from, so the
# weight only says how much they count, against the loss of the answers, in the network before it.
LEARNED = Advice(
    bar="Q(continue)",
    first="a higher --halting.exploration-prob, or a lower segment_cost",
    last="a discount, --halting.gamma 0.995; or a segment cost, --kwargs segment_cost=0.01; or --halting.rule gain",
    gap="a discount, --halting.gamma 0.995, or a segment cost, --kwargs segment_cost=0.01, to separate them; or "
    "--halting.rule gain, which learns the difference itself",
)
THRESHOLD = Advice(
    bar="the threshold",
    first="a higher --halting.threshold, or a higher --halting.exploration-prob",
    last="a lower --halting.threshold",
    gap="another --halting.threshold, or --halting.rule gain",
)


GAIN = Advice(
    bar="",
    first="a lower --halting.least-gain, a higher --halting.exploration-prob, or a lower segment_cost",
    last="a higher --halting.least-gain, or a segment cost, --kwargs segment_cost=0.01",
    gap="",
)


class HaltingMonitor:
    """Watches the last ``window`` updates and warns about problems with halting.

    There are five warnings, given once the window is full and only if the rewards show that the problem costs some:

    - ``rewards``: all answers earned the same reward. This suppresses the other warnings, which would follow from it.
    - ``first``: in nearly all episodes the agent would halt after segment 1, where it misses rewards.
    - ``last``: nearly all episodes continue to segment M, although halting earlier pays.
    - ``gap``: Q(halt) and Q(continue) are equal in nearly all rows.
    - ``saturated``: both, as probabilities, are above 0.99 or below 0.01 in nearly all rows, contrary to the rewards.
      Only for logits: plain values do not saturate.

    Rule ``gain`` compares no two values, so ``gap`` and ``saturated`` do not apply to it.

    Args:
        q_scale: of the Q-values.
        window: number of updates to look back on.
        repeat_after: number of updates until a warning is repeated.
        done: number of updates before the first observed one, as after a restart without a saved state.

    Raises:
        ValueError: a number of updates is out of range.
    """

    def __init__(self, *, q_scale: QScale, window: int = 500, repeat_after: int = 5000, done: int = 0) -> None:
        if window < 1 or repeat_after < 1 or done < 0:
            raise ValueError(
                f"window and repeat_after must be at least 1 and done at least 0, got {window}, {repeat_after}, {done}"
            )
        self._saturates, self._repeat_after = q_scale.is_logit, repeat_after
        self._records = np.zeros((window, _MOST + 1))
        #: Updates so far, including those before the first observed one, and number of filled records.
        self._done, self._filled = done, 0
        #: By warning: the first update of the problem while it lasts, and the update of the last warning.
        self._since: dict[str, int] = {}
        self._said: dict[str, int] = {}

    def watch(self, batch: SegmentBatch, rule: HaltingRule, max_segments: int) -> list[str]:
        """Observe a training batch and return warnings; none if the rule does not use Q-values."""
        host = batch.host
        q_halt, q_continue = torch.from_numpy(host.q_halt), torch.from_numpy(host.q_continue)
        margin, bar = rule.margin(q_halt, q_continue), rule.q_bar(q_continue)
        if margin is None:
            return []
        return self.observe(
            segment=host.segment,
            terminated=batch.terminated,
            forced_halt=batch.forced_halt,
            margin=margin.numpy(),
            q_halt=host.q_halt,
            q_bar=None if bar is None else bar.numpy(),
            halt_reward=host.halt_reward,
            max_segments=max_segments,
            advice={"gain": GAIN, "value": LEARNED, None: THRESHOLD}[rule.second_output],
        )

    def observe(
        self,
        *,
        segment: NDArray[np.integer[Any]],
        terminated: NDArray[np.bool_],
        forced_halt: NDArray[np.bool_],
        margin: NDArray[np.floating[Any]],
        q_halt: NDArray[np.floating[Any]],
        q_bar: NDArray[np.floating[Any]] | None,
        halt_reward: NDArray[np.floating[Any]],
        max_segments: int,
        advice: Advice = LEARNED,
    ) -> list[str]:
        """Observe one update and return warnings, one line each.

        Args:
            segment: int ``[B]``, number of the segment in its episode, from 1.
            terminated: bool ``[B]``, the episode ended with this segment.
            forced_halt: bool ``[B]``, it ended because segment M was reached.
            margin: ``[B]``, by how much halting looks better than continuing.
            q_halt: ``[B]``, values of halting.
            q_bar: ``[B]``, what Q(halt) must exceed to halt; None if the rule does not compare it with anything.
            halt_reward: ``[B]``, reward of halting.
            max_segments: M.
            advice: what to suggest.
        """
        record = self._records[self._done % len(self._records)]
        self._done += 1
        self._filled = min(self._filled + 1, len(self._records))
        first = segment == 1
        record[_ROWS] = len(segment)
        record[_ENDED] = np.count_nonzero(terminated)
        record[_LENGTH] = segment @ terminated
        record[_FORCED] = np.count_nonzero(forced_halt)
        record[_FIRST] = np.count_nonzero(first)
        record[_FIRST_HALTS] = np.count_nonzero(first & (margin > 0))
        if q_bar is not None:
            record[_SAME] = np.count_nonzero(abs(margin) < SAME_Q)
            if self._saturates:
                record[_HIGH] = np.count_nonzero((q_halt > SATURATED) & (q_bar > SATURATED))
                record[_LOW] = np.count_nonzero((q_halt < -SATURATED) & (q_bar < -SATURATED))
        record[_PAY] = halt_reward.sum()
        record[_FIRST_PAY] = halt_reward @ first
        record[_LEAST] = halt_reward.min()
        record[_MOST] = halt_reward.max()
        if self._filled < len(self._records):
            return []
        return self._due(self._found(max_segments, advice))

    def _found(self, max_segments: int, advice: Advice) -> dict[str, str]:
        """Problems in the window: warnings by name, without their first words."""
        total = self._records.sum(axis=0).tolist()
        least, most = float(self._records[:, _LEAST].min()), float(self._records[:, _MOST].max())
        rows, mean_pay = total[_ROWS], total[_PAY] / total[_ROWS]
        if least == most:
            return {
                "rewards": f"every answer earned {most:g}, so there is nothing to learn about halting. This is usual "
                "while nothing is solved, or once everything is; if it lasts, try other puzzles, or --kwargs "
                "reward=partial"
            }
        found: dict[str, str] = {}
        stake = AT_STAKE * (most - least)
        if max_segments > 1 and total[_FIRST] and total[_ENDED]:
            mean_segments = total[_LENGTH] / total[_ENDED]
            first_pay = total[_FIRST_PAY] / total[_FIRST]
            # By the agent's decisions, since exploration makes some episodes longer.
            halts = total[_FIRST_HALTS] / total[_FIRST]
            if halts >= NEARLY_ALL and first_pay < most - stake:
                found["first"] = (
                    f"the agent chooses to halt after segment 1 of {max_segments} in {halts:.0%} of the episodes, "
                    f"where halting earns {first_pay:.2f} on average and the best answers {most:g}. Try {advice.first}"
                )
            if mean_segments >= 1 + NEARLY_ALL * (max_segments - 1) and mean_pay > least + stake:
                found["last"] = (
                    f"episodes last {mean_segments:.1f} of {max_segments} segments on average "
                    f"({total[_FORCED] / total[_ENDED]:.0%} forced to halt), although halting at any segment earns "
                    f"{mean_pay:.2f}. Try {advice.last}"
                )
        if total[_SAME] >= NEARLY_ALL * rows and least + stake < mean_pay < most - stake:
            found["gap"] = (
                f"Q(halt) and {advice.bar} differ by less than {SAME_Q} in {total[_SAME] / rows:.0%} of the rows, so "
                f"halting is nearly random. Try {advice.gap}"
            )
        for column, word, bound, is_wrong in (
            (_HIGH, "above", 0.99, mean_pay < 1.0 - AT_STAKE),
            (_LOW, "below", 0.01, mean_pay > AT_STAKE),
        ):
            if total[column] >= NEARLY_ALL * rows and is_wrong:
                found["saturated"] = (
                    f"Q(halt) and {advice.bar} are both {word} {bound} in {total[column] / rows:.0%} of the rows, "
                    f"although halting earns {mean_pay:.2f} on average. Try a lower --optim.lr, or --halting.q-loss mse"
                )
        return found

    def _due(self, found: dict[str, str]) -> list[str]:
        """Warnings to give now; records when each problem began."""
        start = self._done - len(self._records) + 1
        self._since = {name: self._since.get(name, start) for name in found}
        due = [name for name in found if self._done - self._said.get(name, -self._repeat_after) >= self._repeat_after]
        self._said |= dict.fromkeys(due, self._done)
        return [f"since update {self._since[name]}: {found[name]}" for name in due]

    def state_dict(self) -> dict[str, Any]:
        """State besides the settings: numbers in lists and dicts, for JSON."""
        return {
            "done": self._done,
            "filled": self._filled,
            "records": self._records.tolist(),
            "since": dict(self._since),
            "said": dict(self._said),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            ValueError: the state is of a monitor with another window, or damaged.
        """
        records = np.array(state["records"], np.float64)
        if records.shape != self._records.shape:
            raise ValueError(
                f"the saved monitor has records of shape {list(records.shape)}, this one {list(self._records.shape)}: "
                "use the same window"
            )
        if not np.isfinite(records).all():
            raise ValueError("the saved monitor has non-finite records")
        counts = [state["done"], state["filled"], *state["since"].values(), *state["said"].values()]
        if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
            raise ValueError("the saved monitor has counts that are not whole numbers")
        if state["filled"] > min(state["done"], len(records)):
            raise ValueError(f"the saved monitor has {state['filled']} records after {state['done']} updates")
        self._records = records
        self._done, self._filled = state["done"], state["filled"]
        self._since, self._said = dict(state["since"]), dict(state["said"])
