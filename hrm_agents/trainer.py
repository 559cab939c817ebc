"""The training loop: how long to train, when to evaluate and save, and how to continue.

Read :meth:`Trainer.run` first, then :meth:`Trainer.update`. What is learned from a batch of segments is in
:mod:`hrm_agents.learning.algorithm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from hrm_agents import assembly
from hrm_agents.config import TrainConfig, to_dict
from hrm_agents.distributed import ALONE, Ranks
from hrm_agents.environments import make_vector, of_unseen
from hrm_agents.errors import UserError, one_line
from hrm_agents.evaluation.evaluate import Evaluation, evaluate
from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.interrupts import TIME_IS_UP, Stopped, stop_requests
from hrm_agents.learning.algorithm import OptimizerFactory
from hrm_agents.learning.health import Diverged
from hrm_agents.learning.monitor import HaltingMonitor
from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.best import BestCheckpoint
from hrm_agents.records.checkpoint import check_own_parts_given, load_state, resolve_device, save_run
from hrm_agents.records.described import description_of_run, origin_of, parts_of_your_own
from hrm_agents.records.kept import KeptCheckpoints
from hrm_agents.records.logger import Logger
from hrm_agents.records.resume import State, check_fits, check_like, check_resumable, pack, settings_of, unpack
from hrm_agents.records.row_state import RowAxes, gathered, like_gathered, row_axes, rows_of
from hrm_agents.records.run_lock import hold_folder
from hrm_agents.records.run_log import RunLog
from hrm_agents.schedule import Patience, Schedule


class TrainingDiverged(UserError):
    """A loss, gradient or weight is not finite or has exploded; the last checkpoint is from before."""


class Trainer:
    """A training run.

    A part of your own takes the place of the one that the settings name. A checkpoint cannot hold its code: pass it
    again to load or resume the run.

    Args:
        config: all settings.
        out: folder of checkpoints and TensorBoard records.
        log: where progress goes; a console and TensorBoard log in ``out`` if not given.
        model: the network, in place of the one that ``config.model`` describes.
        rule: decides when to halt, in place of the one that ``config.halting`` names.
        optimizers: makes the optimisers of the network, in place of those that ``config.optim`` describes.
        state: what :meth:`resume` will load: then ``config.run.init_from`` does not count, and no record begins
            before the state is accepted.
        ranks: the processes that train together, from :func:`hrm_agents.distributed.joined`. Each trains its share of
            the rows, and the first one alone writes and logs.

    Raises:
        UserError: settings, environment, network or state do not fit together.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        log: Logger | None = None,
        *,
        model: SegmentModel | None = None,
        rule: HaltingRule | None = None,
        optimizers: OptimizerFactory | None = None,
        state: State | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        config = assembly.with_segment_cost(config)
        self.config, self.out, self.best, self.ranks = config, out, BestCheckpoint(out), ranks
        self.schedule = Schedule(config.optim, config.run)
        if config.run.threads is not None:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.run.seed)
        self.device = torch.device(ranks.device(resolve_device(config.run.device)))
        rows = ranks.rows(config.run.batch_size)
        self.env = assembly.training_env(config, len(rows))
        self.model = self._network(model, state).to(self.device)
        ranks.share(list(self.model.state_dict().values()))  # a network of the user's own may differ
        self.rollout = assembly.rollout(config, self.env, self.model, rule or config.halting_rule(), rows)
        self.algorithm = assembly.algorithm(config, self.env.max_segments, self.rollout.policy, optimizers, ranks)
        self.monitor = HaltingMonitor(q_scale=config.q_scale())
        self.patience = Patience(config.run.patience)
        #: After how many updates the last evaluation on the way was.
        self.evaluated_at = 0
        #: How many updates the checkpoint on disk has seen; None before the first.
        self.updates_saved: int | None = None
        #: Which puzzles the evaluations on the way are on.
        self._evaluation_split = "validation"
        #: Reasons to stop, such as numbers of signals.
        self._stop: list[int] = []
        self._own_optimizers = optimizers is not None
        self._log = None if state is not None else self._opened(log)

    def _network(self, own: SegmentModel | None, state: State | None) -> SegmentModel:
        """The network: the user's own, or the one that the settings describe."""
        spec = self.env.task_spec
        drawn = assembly.blueprint(self.config, spec) if own is None else own
        if state is not None:
            check_fits(state, spec, self.env.data_hash, drawn.state_dict(), str(self.out))
        if own is not None:
            return own
        return assembly.new_network(self.config, drawn, spec, resumed=state is not None)

    def run(self, max_seconds: float | None = None) -> Evaluation:
        """Train to the configured number of updates, evaluating and saving on the way; returns the final report.

        Args:
            max_seconds: stop after the update in which this time is over.

        Raises:
            TrainingDiverged: see :meth:`update` and :meth:`save`.
            UserError: another process trains in the folder, or it cannot be written.
            Stopped: after Ctrl-C, SIGTERM or ``max_seconds``, once the state is saved.
        """
        run = self.config.run
        # Fail before hours of training, not after, if there are no unseen puzzles.
        make_vector(self.config.env.id, 1, of_unseen(self.config.env.kwargs)).close()
        if run.eval_every:
            self._evaluation_split, problem = assembly.split_to_choose_by(self.config)
            if problem is not None:
                self.log.warning(f"{problem}: evaluations on the way use the test split")
        held = hold_folder(self.out, self.ranks)
        with held, stop_requests(max_seconds) as self._stop, self.log, self._saving_on_errors():
            self._evaluate_if_due()  # a run that was killed in an evaluation takes it up again
            while self.updates_done < run.updates and not self.patience.is_over:
                self.update()
                if reason := self._reason_to_stop():
                    self.save()
                    raise Stopped(reason)
                # Saved first: whatever ends an evaluation early must not cost the updates before it.
                if self.schedule.saves(self.updates_done, self.evaluated_at):
                    self.save()
                self._evaluate_if_due()
            if self.updates_saved != self.updates_done:
                self.save()
            report = self.evaluate()
            self.log.hyperparameters(report)
            self.save(report)
            if (reason := self._reason_to_stop()) and reason != TIME_IS_UP:
                raise Stopped(reason)
        return report

    def _reason_to_stop(self) -> int:
        """Why any process was asked to stop, 0 if none was: all of them stop together, after the same update."""
        return self.ranks.highest(self._stop[0] if self._stop else 0)

    def update(self) -> dict[str, float]:
        """One segment of thought in every row, and one optimiser step on it. Returns what to log.

        Raises:
            TrainingDiverged: a loss or the gradient is not finite; the weights were not changed.
        """
        batch = self.rollout.step()
        try:
            metrics = self.algorithm.update(batch, self.schedule.learning_rate(self.updates_done))
        except Diverged as error:
            problem = f"update {self.updates_done + 1}: {error}; stopped before weights changed"
            raise TrainingDiverged(f"{problem}; {self.best.advice(self.updates_saved)}") from error
        joint = batch.of_all(self.ranks)
        self.log.segment(joint, metrics, self.updates_done)
        for warning in self.monitor.watch(joint, self.rollout.policy.rule, self.env.max_segments):
            self.log.warning(warning)
        return metrics

    def _evaluate_if_due(self) -> None:
        """Evaluate the checkpoint just saved if it is time for it, and keep it if it is the best so far."""
        if self.schedule.evaluates(self.updates_done, self.evaluated_at):
            report = self.evaluate(self.config.run.eval_puzzles, self._evaluation_split)
            self.ranks.first(lambda: self.best.offer(report))
            self.patience.observe(report.success_rate)
            self.evaluated_at = self.updates_done

    def evaluate(self, num_puzzles: int | None = None, split: str = "test") -> Evaluation:
        """Success of the averaged weights on unseen puzzles: the first ``num_puzzles`` of a split, or all of it.

        Raises:
            Stopped: a run was asked to stop.
        """
        with self.algorithm.ema.swap(), self.log.evaluating() as show:

            def progress(share: float) -> None:
                if self._stop:
                    raise Stopped(self._stop[0])
                show(share)

            report = evaluate(
                HRMPolicy(self.model, rule=self.rollout.policy.rule),
                self.config.env.id,
                of_unseen(self.config.env.kwargs, split),
                first=num_puzzles,
                progress=progress,
                ranks=self.ranks,
            )
        self.log.evaluation(report, self.updates_done)
        return report

    def save(self, report: Evaluation | None = None) -> None:
        """Write the averaged model and the training state, both or neither.

        Raises:
            TrainingDiverged: the weights are not finite, or they or the loss have exploded; nothing was written.
            UserError: the folder cannot be written, or another process trains in it; the previous checkpoint is whole.
        """
        try:
            self.algorithm.check_health()
        except Diverged as error:
            problem = f"update {self.updates_done}: {error}; nothing was saved"
            raise TrainingDiverged(f"{problem}; {self.best.advice(self.updates_saved)}") from error
        origin = origin_of(self.env, self.custom_parts())
        own = pack({**self.state_dict(), **origin, "config": to_dict(self.config)})
        state = gathered(own, self._row_axes(own), self.ranks)
        run = description_of_run(self.config, self.model, self.env.max_segments, self.updates_done)
        evaluation = report.to_dict() if report else None

        def write() -> None:
            assert state is not None, "gathered on the first process, which writes"
            with hold_folder(self.out):
                config = {**origin, **run, "evaluation": evaluation}
                save_run(self.out, self.algorithm.averaged_weights(), config, *state)
                KeptCheckpoints(self.out, self.config.run.keep).add(self.updates_done)

        self.ranks.first(write)
        self.updates_saved = self.updates_done

    @classmethod
    def resume(
        cls,
        out: Path,
        config: TrainConfig | None = None,
        log: Logger | None = None,
        *,
        model: SegmentModel | None = None,
        rule: HaltingRule | None = None,
        optimizers: OptimizerFactory | None = None,
        ranks: Ranks = ALONE,
    ) -> Trainer:
        """Continue the run in ``out``: bit for bit on the same number of processes.

        Args:
            out: its folder.
            config: changed settings, such as more updates; the saved ones if not given.
            log: as in the constructor; so are the others.
            model: as it was at the start of the run; its weights are replaced.
            rule: of your own.
            optimizers: of your own.
            ranks: the processes that continue it; the run may have had more or fewer.

        Raises:
            UserError: there is nothing to resume, it is damaged, or the changed settings do not fit it.
        """
        state = load_state(out)
        saved = settings_of(state[1], out)
        config = saved if config is None else assembly.with_segment_cost(config)
        check_resumable(state, saved, config, out)
        check_own_parts_given(state[1]["custom"], {"rule": rule, "model": model, "optimizers": optimizers}, out)
        trainer = cls(config, out, log, model=model, rule=rule, optimizers=optimizers, state=state, ranks=ranks)
        where = f"{out}: training state"
        own = pack(trainer.state_dict())
        axes = trainer._row_axes(own)
        check_like(state, like_gathered(own, axes, ranks), where)
        try:
            trainer.load_state_dict(unpack(rows_of(state, axes, ranks.rows(config.run.batch_size))))
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError, RuntimeError) as error:
            # From the parts, each of which checks the values that only it understands.
            raise UserError(f"{where} is damaged: {type(error).__name__} {one_line(str(error))}") from error
        ranks.check_equal(trainer.updates_done, f"{out}: the number of updates done")
        trainer.updates_saved = trainer.updates_done
        trainer._log = trainer._opened(log)
        return trainer

    def _opened(self, log: Logger | None) -> Logger:
        """The log to write to: the user's own, if any, and none but on the first process."""
        if not self.ranks.is_first:
            return Logger()
        return RunLog(self.out, self.config, done=self.updates_done) if log is None else log

    def _row_axes(self, state: State) -> RowAxes:
        """The axis of the rows of each tensor of a state that has one."""
        return row_axes(state[0], self.algorithm.halting.row_axes)

    def state_dict(self) -> dict[str, Any]:
        """All that the future of this process depends on besides the settings: nested dicts of tensors and values."""
        return {
            "updates_done": self.updates_done,
            "evaluated_at": self.evaluated_at,
            "algorithm": self.algorithm.state_dict(),
            "rollout": self.rollout.state_dict(),
            "monitor": self.monitor.state_dict(),
            "patience": self.patience.state_dict(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError, ValueError, TypeError, OverflowError, AttributeError, RuntimeError: the state is damaged.
        """
        self.algorithm.load_state_dict(state["algorithm"])
        self.rollout.load_state_dict(state["rollout"])
        self.monitor.load_state_dict(state["monitor"])
        if "patience" in state:  # older runs did not stop early
            self.patience.load_state_dict(state["patience"])
        torch.set_rng_state(state["torch_rng"])
        self.evaluated_at = state["evaluated_at"]

    @property
    def updates_done(self) -> int:
        """Optimiser steps taken."""
        return self.algorithm.updates

    @property
    def log(self) -> Logger:
        """Where progress goes."""
        assert self._log is not None, "a resumed run opens it as soon as its state is accepted"
        return self._log

    @contextmanager
    def _saving_on_errors(self) -> Iterator[None]:
        """Save before an error from outside ends the run of one process, such as records that cannot be written."""
        try:
            yield
        except TrainingDiverged:
            raise
        except UserError:
            if self.ranks.size == 1 and self.updates_saved != self.updates_done:
                with suppress(UserError):  # the save may fail for the same reason
                    self.save()
            raise

    def custom_parts(self) -> dict[str, str]:
        """What the parts that are not those that the settings name call themselves, by argument of the constructor."""
        optimizers = self.algorithm.optimizers if self._own_optimizers else None
        return parts_of_your_own(self.config, self.rollout.policy.rule, self.model, optimizers)
