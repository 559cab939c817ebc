"""The parts of a training run, each made from the settings: environment, network, rollout and algorithm."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from hrm_agents.config import TrainConfig
from hrm_agents.distributed import ALONE, Ranks, Rows
from hrm_agents.environments import make_vector, of_unseen, registered_keywords
from hrm_agents.errors import UserError, user_errors
from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.halting.exploration import Exploration
from hrm_agents.learning.algorithm import Algorithm, OptimizerFactory, default_optimizers
from hrm_agents.learning.answers import AnswerLearner
from hrm_agents.learning.continue_value import Objective
from hrm_agents.learning.forward import training_forward
from hrm_agents.learning.halting_rules import LearnerContext
from hrm_agents.learning.health import check_fits_memory
from hrm_agents.losses import LOG_PROBABILITIES
from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import warm_start
from hrm_agents.rollout import Rollout
from hrm_envs import TaskSpec


def with_segment_cost(config: TrainConfig) -> TrainConfig:
    """The same settings, with the ``segment_cost`` that the environment's id may have built in written out."""
    built_in = registered_keywords(config.env.id).get("segment_cost", 0.0)
    if not built_in or "segment_cost" in config.env.kwargs:
        return config
    env = dataclasses.replace(config.env, kwargs={**config.env.kwargs, "segment_cost": built_in})
    return dataclasses.replace(config, env=env)


def training_env(config: TrainConfig, num_rows: int) -> Any:
    """The vector environment of a run; it exposes solutions only if the run learns from them.

    Args:
        config: all settings.
        num_rows: of this process.

    Raises:
        UserError: the id is unknown, a keyword is wrong, or there is no solution to learn from.
    """
    supervised = config.answer.supervised_weight > 0.0
    if supervised and config.env.kwargs.get("num_labelled") == 0:
        raise UserError("num_labelled=0 leaves no solution to learn from: train with --answer.supervised-weight 0")
    kwargs = {"split": "train", **config.env.kwargs, "expose_solution": supervised}
    return make_vector(config.env.id, num_rows, kwargs)


def split_to_choose_by(config: TrainConfig) -> tuple[str, str | None]:
    """The split for evaluations during training, by which settings and the best checkpoint are chosen.

    Returns:
        "validation", or "test" and the reason why there are no unseen validation puzzles.
    """
    if config.env.kwargs.get("split") == "train+validation":
        return "test", "the run trains on the validation puzzles too"
    try:
        make_vector(config.env.id, 1, of_unseen(config.env.kwargs, "validation")).close()
    except UserError as error:
        return "test", f"no validation puzzles ({error})"
    return "validation", None


def blueprint(config: TrainConfig, spec: TaskSpec) -> SegmentModel:
    """The network that the settings describe, on the meta device: it has shapes, but takes no memory.

    Raises:
        UserError: the settings do not fit together or the task.
    """
    with user_errors("model"), torch.device("meta"):
        return config.model_kind.build(config.model, spec)


def new_network(config: TrainConfig, drawn: SegmentModel, spec: TaskSpec, *, resumed: bool) -> SegmentModel:
    """The network at the start of a run, with fresh weights or those of ``run.init_from``.

    Args:
        config: all settings.
        drawn: its :func:`blueprint`.
        spec: of the task.
        resumed: whether its weights are about to be replaced, so that ``run.init_from`` does not count.

    Raises:
        UserError: it is too large for this machine, or the weights to start from do not fit.
    """
    check_fits_memory(drawn)
    network = config.model_kind.build(config.model, spec)
    initial_q = config.halting_method.initial_q(config.halting, config.q_scale())
    if config.run.init_from is not None and not resumed:
        warm_start(network, Path(config.run.init_from), spec.id_table)
    elif initial_q is not None:
        with torch.no_grad():
            network.q_head.bias.copy_(torch.tensor(initial_q))
    return network


def rollout(config: TrainConfig, env: Any, model: SegmentModel, rule: HaltingRule, rows: Rows) -> Rollout:
    """The loop between environment and policy.

    Args:
        config: all settings.
        env: from :func:`training_env`.
        model: the network.
        rule: decides when to halt.
        rows: those of the joint batch that ``env`` has.

    Raises:
        UserError: the rule or the answers to learn do not fit the environment.
    """
    with user_errors(config.env.id):
        rule.check_length(env.max_segments)
    many_answers = env.task.many_answers
    if config.answer.target == "nearest" and not many_answers:
        raise UserError(f"answer.target='nearest': the task of {config.env.id} knows one right answer only: use 'auto'")
    learns_nearest = many_answers and config.answer.target != "label" and config.answer.supervised_weight > 0.0
    policy = HRMPolicy(model, training_forward(model, config.run), rule)
    exploration = Exploration(
        per=config.halting.exploration,
        probability=config.halting.exploration_prob if config.halting_method.explores else 0.0,
        max_segments=env.max_segments,
    )
    num_tries = config.answer.samples if config.answer.reward_weight else 0
    return Rollout(
        env,
        policy,
        exploration,
        config.run.seed,
        num_tries=num_tries,
        earns=config.answer.earns,
        nearest=learns_nearest,
        rows=rows,
    )


def algorithm(
    config: TrainConfig,
    max_segments: int,
    policy: HRMPolicy,
    optimizers: OptimizerFactory | None = None,
    ranks: Ranks = ALONE,
) -> Algorithm:
    """The losses and optimisers of a run.

    Args:
        config: all settings.
        max_segments: M, of the environment.
        policy: whose model learns.
        optimizers: makes the optimisers, in place of those that the settings describe.
        ranks: the processes that learn together.
    """
    halting, scale, model = config.halting, config.q_scale(), policy.model
    objective = Objective(scale, max_segments, config.segment_cost, halting.gamma)
    learner = config.halting_method.learner(
        LearnerContext(
            halting, objective, model.q_head, policy.forward, num_rows=len(ranks.rows(config.run.batch_size))
        )
    )
    return Algorithm(
        model,
        AnswerLearner(config.answer, LOG_PROBABILITIES[config.run.answer_loss], scale, ranks),
        learner,
        q_weight=halting.q_weight,
        optimizers=default_optimizers(model, config.optim) if optimizers is None else optimizers(model),
        ema_decay=config.optim.ema_decay,
        max_grad_norm=config.optim.max_grad_norm,
        ranks=ranks,
    )
