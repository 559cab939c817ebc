"""The training loop: one segment of every row, one optimiser step, again.

Read :meth:`Trainer.update` first: it is the algorithm. The rest is set-up, records and resuming.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hrm_agents
from hrm_agents.config import TrainConfig, to_dict
from hrm_agents.environments import make_vector, of_unseen, registered_keywords
from hrm_agents.errors import UserError, one_line, user_errors
from hrm_agents.evaluation.evaluate import Evaluation, evaluate
from hrm_agents.halting.exploration import Exploration
from hrm_agents.halting.rules import HaltingProbability, HaltingRule
from hrm_agents.interrupts import stop_requests
from hrm_agents.learning.answers import AnswerLearner
from hrm_agents.learning.continue_value import EpisodeReturns, OnePass, Prices, SecondForward, TargetHead
from hrm_agents.learning.halting import HaltingLearner, HaltValueLearner, PolicyLearner, ValueLearner
from hrm_agents.learning.health import check_fits_memory, what_is_ruined
from hrm_agents.learning.monitor import HaltingMonitor
from hrm_agents.losses import softmax_cross_entropy, stablemax_cross_entropy
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.optim import EMA, AdamATan2, SignSGD, lr_at
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import (
    check_rule_given,
    copy_checkpoint,
    load_state,
    read_config,
    resolve_device,
    save_run,
    warm_start,
)
from hrm_agents.records.run_lock import hold_folder
from hrm_agents.records.run_log import RunLog
from hrm_agents.records.training_state import State, capture, check_fits, check_resumable, restore, settings_of
from hrm_agents.rollout import Rollout, SegmentBatch

ANSWER_LOSSES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}


#: Folder, in that of the run, of the checkpoint that evaluated best.
BEST = "best"


class TrainingDiverged(UserError):
    """A loss, gradient or weight is not finite or has exploded; the last checkpoint is from before."""


class Trainer:
    """A training run.

    Args:
        config: all settings.
        out: folder of checkpoints and TensorBoard records.
        log: where progress goes; a console and TensorBoard log in ``out`` if not given.
        rule: decides when to halt, in place of the one that ``config.halting`` names. A checkpoint cannot hold it: pass
            it again to load or resume the run.
        state: what :meth:`resume` will restore: then ``config.run.init_from`` does not count, and no record begins
            before the state is accepted.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        log: RunLog | None = None,
        *,
        rule: HaltingRule | None = None,
        state: State | None = None,
    ) -> None:
        config = with_price(config)
        self.config, self.out = config, out
        run, optim = config.run, config.optim
        if run.threads is not None:
            torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed)
        self.device = torch.device(resolve_device(run.device))
        # An agent that learns from rewards alone must not be shown solutions.
        told = config.answer.supervised_weight > 0.0
        if told and config.env.kwargs.get("num_labelled") == 0:
            raise UserError("num_labelled=0 leaves no solution to learn from: train with --answer.supervised-weight 0")
        self.env = make_vector(
            config.env.id, run.batch_size, {"split": "train", **config.env.kwargs, "expose_solution": told}
        )
        with user_errors("model"):
            model_config = HRMConfig.for_task(config.model, self.env.task_spec)
        if state is not None:
            check_fits(state, self.env.task_spec, self.env.data_hash, model_config, str(out))
        check_fits_memory(model_config)
        self.model = HRM(model_config).to(self.device)
        if run.init_from is not None and state is None:
            warm_start(self.model, Path(run.init_from), self.env.task_spec.id_table)
        elif config.halting.rule == "policy":
            # The paper's bias is for values: as a chance of halting and a baseline it would hardly ever halt, and
            # overestimate every advantage.
            torch.nn.init.zeros_(self.model.q_head.bias)
        fixed = config.halting.fixed_segments
        if config.halting.rule == "fixed" and fixed is not None and fixed > self.env.max_segments:
            raise UserError(
                f"halting.fixed_segments {fixed} is more than the {self.env.max_segments} segments that "
                f"{config.env.id} allows: raise its max_segments, or ask for fewer"
            )
        forward = torch.compile(self.model) if run.compile else None
        self.rollout = Rollout(
            self.env,
            HRMPolicy(self.model, forward, rule or config.halting_rule()),
            Exploration(
                per=config.halting.exploration,
                # A fixed length leaves nothing to explore.
                probability=0.0 if config.halting.rule == "fixed" else config.halting.exploration_prob,
                max_segments=self.env.max_segments,
            ),
            run.seed,
            num_tries=config.answer.samples if config.answer.reward_weight else 0,
            earns=config.answer.earns,
        )
        self.q_loss_kind = config.q_loss()
        self.target_head = TargetHead(self.model.q_head, config.halting.target_decay)
        self.learner = self._learner()
        self.monitor = HaltingMonitor(values_are_logits=self.q_loss_kind == "bce")
        self.answers = AnswerLearner(config.answer, ANSWER_LOSSES[run.answer_loss], self.q_loss_kind)
        self.optimizer = AdamATan2(
            self.model.dense_parameters().values(),
            lr=optim.lr,
            betas=(optim.beta1, optim.beta2),
            weight_decay=optim.weight_decay,
        )
        sparse = list(self.model.sparse_parameters().values())
        self.embedding_optimizer = (
            SignSGD(sparse, lr=optim.embedding_lr, weight_decay=optim.embedding_weight_decay) if sparse else None
        )
        self.ema = EMA(self.model.dense_parameters(), optim.ema_decay)
        self.updates_done = 0
        #: After how many updates the last evaluation on the way was.
        self.evaluated_at = 0
        #: The loss of update 1, and of the last one; None before.
        self.first_loss: float | None = None
        self._last_loss: float | None = None
        #: Signals that asked to stop.
        self._stop: list[int] = []
        #: How many updates the checkpoint on disk has seen; None before the first.
        self.updates_saved: int | None = None
        if log is None and state is None:
            log = RunLog(out, config)
        self._log = log

    @property
    def log(self) -> RunLog:
        """Where progress goes."""
        assert self._log is not None, "a resumed run opens it as soon as its state is accepted"
        return self._log

    def update(self) -> dict[str, float]:
        """One segment of thought in every row, and one optimiser step on it. Returns what to log.

        Raises:
            TrainingDiverged: a loss or the gradient is not finite; the weights were not changed.
        """
        batch = self.rollout.step()
        losses = self.losses(batch)
        q_weight = self.config.halting.q_weight
        total = torch.stack([self.answers.weights.get(name, q_weight) * loss for name, loss in losses.items()]).sum()
        self.optimizer.zero_grad()
        if self.embedding_optimizer is not None:
            self.embedding_optimizer.zero_grad()
        total.backward()
        grads = [p.grad for p in self.model.dense_parameters().values() if p.grad is not None]
        grad_norm = torch.nn.utils.get_total_norm(grads)
        if self.config.optim.max_grad_norm is not None:
            torch._foreach_mul_(grads, (self.config.optim.max_grad_norm / grad_norm).clamp(max=1.0))
        metrics = {name: loss.item() for name, loss in losses.items()}
        metrics |= {"loss": total.item(), "grad_norm": grad_norm.item()}
        if self.embedding_optimizer is not None:
            metrics["embedding_grad_norm"] = self.embedding_optimizer.grad_norm().item()
        self._guard(metrics)
        self._set_learning_rates()
        self.optimizer.step()
        if self.embedding_optimizer is not None:
            self.embedding_optimizer.step()
        self.target_head.update()
        self.ema.update()
        self.updates_done += 1
        self._last_loss = metrics["loss"]
        if self.first_loss is None:
            self.first_loss = self._last_loss
        self.log.segment(batch, metrics | {"lr": self.optimizer.param_groups[0]["lr"]}, self.updates_done)
        for warning in self._watch_halting(batch):
            self.log.warning(warning)
        return metrics

    def _watch_halting(self, batch: SegmentBatch) -> list[str]:
        output, rule = batch.decision.output, self.rollout.policy.rule
        q_continue = output.q_continue.detach()
        if isinstance(rule, HaltingProbability):
            # What Q(halt) is compared with, in its own units.
            threshold = torch.tensor(rule.threshold)
            q_continue = torch.full_like(q_continue, float(threshold.logit() if rule.values_are_logits else threshold))
        elif not rule.values_continue:
            return []  # Q-values decide nothing, so there is nothing wrong with them.
        return self.monitor.observe(
            segment=batch.segment.cpu().numpy(),
            terminated=batch.terminated,
            forced_halt=batch.forced_halt,
            q_halt=output.q_halt.detach().cpu().numpy(),
            q_continue=q_continue.cpu().numpy(),
            halt_reward=batch.halt_reward.cpu().numpy(),
            max_segments=self.env.max_segments,
        )

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """The losses of the answer (deep supervision, policy gradient) and of halting, each averaged over the rows.

        Raises:
            UserError: Q-values are trained as probabilities and a reward is none.
        """
        in_range = (batch.halt_reward >= 0.0) & (batch.halt_reward <= 1.0)
        if self.q_loss_kind == "bce" and not bool(in_range.all()):
            raise UserError(f"{self.config.env.id} pays rewards outside [0, 1]: train with --halting.q-loss mse")
        return {**self.answers.losses(batch), **self.learner.losses(batch)}

    def _learner(self) -> HaltingLearner:
        halting, kind, head = self.config.halting, self.q_loss_kind, self.model.q_head
        num_rows = self.config.run.batch_size
        prices = Prices(kind, self.env.max_segments, self.config.env.kwargs.get("segment_cost", 0.0), halting.gamma)
        if halting.rule == "policy":
            return PolicyLearner(head, prices, halting.entropy_weight, num_rows)
        if halting.rule != "q":
            return HaltValueLearner(head, kind, monitor=halting.rule != "probability")
        if halting.target == "second-forward":
            return ValueLearner(SecondForward(self.rollout.policy.forward, self.target_head, prices), kind)
        if halting.target == "one-pass":
            return ValueLearner(OnePass(head, self.target_head, prices, num_rows), kind)
        return ValueLearner(EpisodeReturns(head, self.target_head, prices, halting.trace_decay, num_rows), kind)

    def run(self) -> Evaluation:
        """Train to the configured number of updates, evaluating and saving on the way; gives the final report.

        Raises:
            TrainingDiverged: see :meth:`update` and :meth:`save`.
            UserError: another process trains in the folder, or it cannot be written.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state is saved.
        """
        run = self.config.run
        # That there are unseen puzzles should not be found wanting after hours of training.
        make_vector(self.config.env.id, 1, of_unseen(self.config.env.kwargs)).close()
        with hold_folder(self.out), stop_requests() as self._stop, self.log, self._saving_what_was_done():
            self._evaluate_if_due()  # a run that was killed in an evaluation takes it up again
            while self.updates_done < run.updates:
                self.update()
                if self._stop:
                    self.save()
                    raise KeyboardInterrupt
                # Saved first: whatever ends an evaluation early must not cost the updates before it.
                if self.updates_done % run.save_every == 0 or self._evaluation_is_due():
                    self.save()
                self._evaluate_if_due()
            if self.updates_saved != self.updates_done:
                self.save()
            report = self.evaluate(None)
            self.log.hyperparameters(report)
            self.save(report)
            if self._stop:
                raise KeyboardInterrupt
        return report

    @contextmanager
    def _saving_what_was_done(self) -> Iterator[None]:
        """Save before an error ends the run that is none of the training's own, such as records that cannot be written.

        The error is raised in any case; the save may fail for the same reason.
        """
        try:
            yield
        except TrainingDiverged:
            raise
        except UserError:
            if self.updates_saved != self.updates_done:
                with suppress(UserError):
                    self.save()
            raise

    def _evaluation_is_due(self) -> bool:
        done, run = self.updates_done, self.config.run
        at_a_multiple = bool(run.eval_every) and done % run.eval_every == 0
        return at_a_multiple and self.evaluated_at < done < run.updates

    def _evaluate_if_due(self) -> None:
        """Evaluate the checkpoint just saved if it is time for it, and keep it if it is the best so far."""
        if not self._evaluation_is_due():
            return
        report = self.evaluate(self.config.run.eval_puzzles)
        kept = _kept(self.out / BEST)
        if kept is None or report.success_rate >= kept[1]:
            copy_checkpoint(self.out, self.out / BEST, {"evaluation": report.to_dict()})
        self.evaluated_at = self.updates_done

    def evaluate(self, num_puzzles: int | None) -> Evaluation:
        """Success of the averaged weights on unseen puzzles: the first ``num_puzzles``, or the whole split.

        Raises:
            KeyboardInterrupt: a run was asked to stop.
        """
        with self.ema.swap(), self.log.evaluating() as show:

            def progress(share: float) -> None:
                if self._stop:
                    raise KeyboardInterrupt
                show(share)

            report = evaluate(
                self.model,
                self.config.env.id,
                of_unseen(self.config.env.kwargs),
                first=num_puzzles,
                rule=self.rollout.policy.rule,
                progress=progress,
            )
        self.log.evaluation(report, self.updates_done)
        return report

    def save(self, report: Evaluation | None = None) -> None:
        """Write the averaged model and the training state, both or neither.

        Raises:
            TrainingDiverged: the weights are not finite, or they or the loss have exploded; nothing was written.
            UserError: the folder cannot be written, or another process trains in it; the previous checkpoint is whole.
        """
        self._check_health()
        averaged = {**self.model.state_dict(), **self.ema.state_dict()["average"]}
        with hold_folder(self.out):
            save_run(self.out, averaged, self._description(report), *capture(self))
        self.updates_saved = self.updates_done

    @classmethod
    def resume(
        cls, out: Path, config: TrainConfig | None = None, log: RunLog | None = None, *, rule: HaltingRule | None = None
    ) -> Trainer:
        """Continue the run in ``out`` bit for bit.

        Args:
            out: its folder.
            config: changed settings, such as more updates; the saved ones if not given.
            log: as in the constructor.
            rule: as in the constructor.

        Raises:
            UserError: there is nothing to resume, it is damaged, or the changed settings do not fit it.
        """
        state = load_state(out)
        saved = settings_of(state[1], out)
        config = saved if config is None else with_price(config)
        check_resumable(state, saved, config, out)
        check_rule_given(state[1]["custom_rule"], rule, out)
        trainer = cls(config, out, log, rule=rule, state=state)
        restore(trainer, state)
        trainer._log = log or RunLog(out, config, done=trainer.updates_done)
        return trainer

    @property
    def custom_rule(self) -> str | None:
        """What the halting rule calls itself if it is not the one that the settings name, else None."""
        rule = self.rollout.policy.rule
        return None if rule == self.config.halting_rule() else one_line(f"{type(rule).__module__}: {rule!r}")

    def _description(self, report: Evaluation | None) -> dict[str, Any]:
        return {
            "model": to_dict(self.model.config),
            "env": to_dict(self.config.env),
            "task": dataclasses.asdict(self.env.task_spec),
            "max_segments": self.env.max_segments,
            "data_hash": self.env.data_hash,
            "package_version": hrm_agents.__version__,
            "updates": self.updates_done,
            "training": to_dict(self.config),
            "custom_rule": self.custom_rule,
            "evaluation": report.to_dict() if report else None,
        }

    def _set_learning_rates(self) -> None:
        optim, run = self.config.optim, self.config.run
        shape = lr_at(
            self.updates_done,
            base=1.0,
            warmup=optim.warmup,
            total=run.updates,
            schedule=optim.schedule,
            min_ratio=optim.min_lr_ratio,
        )
        self.optimizer.param_groups[0]["lr"] = optim.lr * shape
        if self.embedding_optimizer is not None:
            self.embedding_optimizer.param_groups[0]["lr"] = optim.embedding_lr * shape

    def _guard(self, metrics: dict[str, float]) -> None:
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise TrainingDiverged(
                f"update {self.updates_done + 1}: {bad[0]} is {metrics[bad[0]]}; stopped before weights changed; "
                f"{self._advice()}"
            )

    def _check_health(self) -> None:
        """Refuse weights and averages that are not finite or huge, and a loss that has exploded.

        Raises:
            TrainingDiverged: naming which.
        """
        problem = what_is_ruined(
            weights=[*self.model.parameters(), *self.ema.state_dict()["average"].values()],
            moments=[value for state in self.optimizer.state.values() for value in state.values()],
            loss=self._last_loss,
            first_loss=self.first_loss,
        )
        if problem is not None:
            raise TrainingDiverged(f"update {self.updates_done}: {problem}; nothing was saved; {self._advice()}")

    def _advice(self) -> str:
        """What to do after divergence: which checkpoint to go on from."""
        kept = _kept(self.out / BEST)
        if kept is not None and kept[0] != self.updates_saved:
            return (
                f"the checkpoint that evaluated best is in {self.out / BEST} (update {kept[0]}, {kept[1]:.1%} solved): "
                "resume it with a lower --optim.lr"
            )
        if self.updates_saved is not None:
            return (
                f"the last checkpoint is in {self.out} (update {self.updates_saved}): resume it with a lower --optim.lr"
            )
        return "start again with a lower --optim.lr"


def _kept(folder: Path) -> tuple[int, float] | None:
    """Updates and success of the checkpoint that evaluated best; None if none is kept."""
    try:
        config = read_config(folder)
        return int(config["updates"]), float(config["evaluation"]["success_rate"])
    except (UserError, KeyError, TypeError, ValueError):  # absent or damaged: the next good one replaces it
        return None


def with_price(config: TrainConfig) -> TrainConfig:
    """The same settings, with the ``segment_cost`` that the environment's id may have built in written out."""
    built_in = registered_keywords(config.env.id).get("segment_cost", 0.0)
    if not built_in or "segment_cost" in config.env.kwargs:
        return config
    env = dataclasses.replace(config.env, kwargs={**config.env.kwargs, "segment_cost": built_in})
    return dataclasses.replace(config, env=env)
