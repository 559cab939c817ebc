"""The one-call interface: ``hrm_agents.load(path).solve(grid)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.config import EnvConfig, TrainConfig, from_dict
from hrm_agents.environments import check_saved, make_single, of_unseen
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import Evaluation, Until, evaluate, open_env
from hrm_agents.evaluation.search import NOISE, Choose, check_search, search
from hrm_agents.evaluation.think import Solutions
from hrm_agents.halting.rules import HaltingRule
from hrm_agents.losses import LOG_PROBABILITIES
from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import HRMPolicy
from hrm_agents.records import checkpoint
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import TaskSpec


@dataclass(frozen=True)
class Segment:
    """One segment of thought about one puzzle."""

    #: uint8 ``[S]``, the answer.
    answer: NDArray[np.uint8]
    #: float32 ``[S]``, probability of each answered token.
    confidence: NDArray[np.float32]
    #: Value of halting and of thinking on: probabilities, or plain values if trained so. A model of rule "policy" has
    #: the chance of halting instead, and under all rules but "q" there is no value of thinking on.
    q_halt: float
    q_continue: float | None
    #: The agent wants to halt, or the segments have run out.
    halt: bool
    #: The environment's verifier on the answer, and its partial credit.
    success: bool
    score: float


@dataclass(frozen=True)
class Solution:
    """A puzzle, thought through."""

    #: uint8 ``[S]``, the answer at the halt.
    answer: NDArray[np.uint8]
    #: The answer in the task's notation.
    text: str
    #: Whether the environment's verifier accepts it.
    success: bool
    segments: tuple[Segment, ...]


class Solver:
    """A trained model and the environment that it was trained in.

    Args:
        model: the network, in eval mode.
        config: the ``config.json`` of its checkpoint.
        folder: where it came from, for messages.
        rule: decides when to halt; the one that the checkpoint names if not given.

    Raises:
        UserError: the config is not one of ours, or names an environment whose making would import a module.
    """

    def __init__(
        self, model: SegmentModel, config: Mapping[str, Any], folder: Path, rule: HaltingRule | None = None
    ) -> None:
        self.model, self.config, self.folder = model, config, folder
        where = str(folder / checkpoint.CONFIG)
        env: EnvConfig = from_dict(EnvConfig, config["env"], f"{where}: env")
        check_saved(env.id, env.kwargs, where)
        self.env_id, self.env_kwargs = env.id, dict(env.kwargs)
        if "num_labelled" in self.env_kwargs:
            # How many it had to learn from; to play none is needed, and there may be fewer puzzles.
            self.env_kwargs["num_labelled"] = 0
        settings: TrainConfig = from_dict(
            TrainConfig, {**config["training"], "env": config["env"]}, f"{where}: training"
        )
        #: How logits become the probabilities that training fitted.
        self._log_probabilities = LOG_PROBABILITIES[settings.run.answer_loss]
        #: What Q-values stand for.
        self.q_scale = settings.q_scale()
        #: Decides when to halt, as in training.
        self.rule = rule or settings.halting_rule()
        #: The discount of those values.
        self.gamma = settings.halting.gamma

    def make_env(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """The environment of the checkpoint, with keywords changed or added.

        Raises:
            UserError: its grid, alphabet or task identities are not the model's.
        """
        saved = self.env_kwargs if kwargs.get("split") == "train" else of_unseen(self.env_kwargs)
        env = make_single(self.env_id, {**saved, **kwargs})
        check_task(self.model, self.config, env.unwrapped.task_spec, self.folder)  # type: ignore[attr-defined]
        return env

    def _solving_env(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """An environment for puzzles from outside: without those of the checkpoint, whose file may have moved."""
        return self.make_env(**{"puzzles": None, "split": "all", **kwargs})

    @cached_property
    def _task(self) -> Any:
        # Tasks with identities may come from the very puzzles of the checkpoint.
        env = self.make_env() if self._has_identities else self._solving_env()
        return env.unwrapped.task  # type: ignore[attr-defined]

    @property
    def _has_identities(self) -> bool:
        return self.model.config.num_task_ids > 1

    def check_solves_from_outside(self) -> None:
        """Refuse if :meth:`solve` can do nothing with this model.

        Raises:
            UserError: the model reads the identity of a task, which a puzzle from outside does not have.
        """
        if self._has_identities:
            raise UserError(
                f"{self.folder} must be told which task a puzzle belongs to, and a puzzle from outside belongs to "
                f"none of those it was trained on: use `hrm-agents evaluate` or `hrm-agents watch`, which play the "
                f"puzzles of {self.env_id}"
            )

    def solve(self, puzzle: Any, max_segments: int | None = None) -> Solution:
        """Solve one puzzle.

        Args:
            puzzle: an integer array ``[S]`` or ``[rows, columns]`` of tokens, or text in the task's notation.
            max_segments: think at most so long; as in training if not given.

        Raises:
            ValueError: the puzzle is malformed or has no (unique) solution.
            hrm_agents.errors.UserError: the environment of the checkpoint cannot be made, or the model needs the
                identity of a task, which a puzzle from outside does not have.
        """
        self.check_solves_from_outside()
        env = self._solving_env(**({} if max_segments is None else {"max_segments": max_segments}))
        segments = tuple(self.think(env, options={"puzzle": puzzle}))
        last = segments[-1]
        return Solution(last.answer, self.format(last.answer), last.success, segments)

    def solve_all(
        self,
        puzzles: Any,
        max_segments: int | None = None,
        *,
        batch_size: int = 250,
        tries: int = 1,
        noise: float = NOISE,
        choose: Choose = "q",
        noise_seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Solutions:
        """Solve many puzzles, a batch at a time; each costs only the segments that it needs.

        Args:
            puzzles: integers ``[N, S]`` or ``[N, rows, columns]``, text in the task's notation, a path to a file of
                puzzles, or any other form that the keyword ``puzzles`` of the environment takes.
            max_segments: think at most so long about each; as in training if not given.
            batch_size: puzzles at a time.
            tries: how often to think about each puzzle, all times but the first from disturbed initial states; this
                and the next three are those of :func:`hrm_agents.evaluation.search.search`.
            noise: standard deviation of the disturbance.
            choose: which of the answers to give.
            noise_seed: of the disturbance.
            progress: called with the share done.

        Returns:
            One row for each puzzle, in their order; :meth:`format` makes text of an answer. ``segments`` counts those
            of all tries.

        Raises:
            ValueError: a puzzle is malformed or has no (unique) solution, there are none, or no such tries.
            hrm_agents.errors.UserError: as for :meth:`solve`.
        """
        self.check_solves_from_outside()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_search(tries, noise, choose, noise_seed)
        limit = {} if max_segments is None else {"max_segments": max_segments}
        self._solving_env(**limit).close()
        kwargs = {**self.env_kwargs, **limit, "puzzles": puzzles, "split": "all", "num_puzzles": None}
        try:
            env = open_env(self.env_id, kwargs, batch_size=batch_size)
        except UserError as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None  # The settings passed above, so this is about the puzzles.
            raise
        with closing(env):
            policy = HRMPolicy(self.model, rule=self.rule)
            settings: dict[str, Any] = {"tries": tries, "noise": noise, "choose": choose, "seed": noise_seed}
            return search(policy, env, **settings, progress=progress).solutions()

    @torch.no_grad()
    def think(
        self,
        env: gym.Env[Any, Any],
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        on_reset: Callable[[], object] | None = None,
    ) -> Iterator[Segment]:
        """Play one episode in a single environment, and post the thoughts to it for its pictures.

        Args:
            env: from :meth:`make_env`.
            seed: of ``env.reset``.
            options: of ``env.reset``.
            on_reset: called once, when the puzzle lies there and no thought has been had.
        """
        policy = HRMPolicy(self.model, rule=self.rule)
        obs, _ = env.reset(seed=seed, options=dict(options or {}))
        if on_reset is not None:
            on_reset()
        carry, reset = policy.initial_carry(1), np.ones(1, np.bool_)
        terminated = False
        while not terminated:
            decision = policy.act({name: array[None] for name, array in obs.items()}, carry, reset)
            carry, reset = decision.carry, np.zeros(1, np.bool_)
            confidence = self._log_probabilities(decision.output.logits[0]).amax(-1).exp().cpu().numpy()
            q_halt = self._value(decision.output.q_halt)
            q_continue = self._value(decision.output.q_continue) if self.rule.values_continue else None
            halt = bool(decision.halt[0])
            env.unwrapped.post_thoughts(  # type: ignore[attr-defined]
                q_halt=q_halt,
                q_continue=q_continue,
                confidence=confidence,
                decision="halt" if halt else "think on",
            )
            answer = decision.answer[0].cpu().numpy()
            obs, _, terminated, _, info = env.step({"answer": answer, "halt": int(halt)})
            yield Segment(
                answer,
                confidence,
                q_halt,
                q_continue,
                bool(terminated),
                bool(info["is_success"]),
                float(info["score"]),
            )

    def format(self, answer: NDArray[np.uint8]) -> str:
        """An answer uint8 ``[S]`` in the task's notation."""
        task = self._task
        try:
            text: str = task.format(answer)
        except ValueError:
            # A model that has learned little may answer with tokens that the notation has no word for.
            rows = answer.reshape(task.spec.grid_shape)
            text = "\n".join("".join(task.spec.symbols[token] for token in row) for row in rows)
        return text

    def evaluate(
        self, env_kwargs: Mapping[str, Any] | None = None, *, until: Until | None = None, **options: Any
    ) -> Evaluation:
        """Success on the test split, and the ensemble of the answers if the task makes one of its views.

        Args:
            env_kwargs: keywords of the environment, changed or added; ``views=8`` shows eight views of each puzzle
                where the task has them (:meth:`max_views`).
            until: ``"end"`` thinks each puzzle through to the last segment, for the success of every segment;
                ``"halt"`` stops where the agent halts, which is much faster. By default the halt if there are
                views, whose votes count the answers at the halt, and the end if not.
            options: ``num_puzzles``, ``first``, ``batch_size``, ``tries``, ``noise``, ``choose``, ``noise_seed``,
                ``progress``: see :func:`hrm_agents.evaluation.evaluate`.

        Raises:
            UserError: a keyword is wrong, the grid, alphabet or task identities are not the model's, or a choice of
                puzzles would tear views of the same one apart.
        """
        changed = dict(env_kwargs or {})
        views = {**self.env_kwargs, **changed}.get("views", 1) if self.max_views(changed) > 1 else 1
        for name in ("num_puzzles", "first"):
            number = options.get(name, changed.get(name))
            if views > 1 and number is not None:
                raise UserError(
                    f"{name}={number} would choose among the {views} views of each puzzle, which belong together: "
                    "omit it, or ask for views=1"
                )
        seen = changed.get("split", "test") == "train"
        saved = dict(self.env_kwargs) if seen else of_unseen(self.env_kwargs)
        return evaluate(
            self.model,
            self.env_id,
            {**saved, **changed},
            until=until or ("halt" if views > 1 else "end"),
            q_scale=self.q_scale,
            gamma=self.gamma,
            rule=self.rule,
            **options,
        )

    def max_views(self, env_kwargs: Mapping[str, Any] | None = None) -> int:
        """How many views of a puzzle the keyword ``views`` of the environment can ask for; 1 if its task has none.

        Args:
            env_kwargs: other keywords of the environment, changed or added.

        Raises:
            UserError: a keyword is wrong, or the grid, alphabet or task identities are not the model's.
        """
        number: int = self.make_env(**dict(env_kwargs or {})).unwrapped.task.max_views  # type: ignore[attr-defined]
        return number

    def _value(self, q: torch.Tensor) -> float:
        return float(self.q_scale.value(q)[0])


def check_task(model: SegmentModel, config: Mapping[str, Any], spec: TaskSpec, folder: Path) -> None:
    """Refuse an environment whose grid, alphabet or task identities are not the model's.

    Args:
        model: the network.
        config: the ``config.json`` of its checkpoint.
        spec: of the environment's task.
        folder: the checkpoint, for messages.

    Raises:
        UserError: naming both sizes, or the first identity that stands for something else.
    """
    mine = (tuple(model.config.grid_shape), model.config.vocab_size)
    theirs = (tuple(spec.grid_shape), spec.vocab_size)
    if mine != theirs:
        raise UserError(
            f"{folder} was trained on grids of {mine[0][0]} x {mine[0][1]} with {mine[1]} tokens; {spec.name} has "
            f"{theirs[0][0]} x {theirs[0][1]} with {theirs[1]}: choose a checkpoint of that task"
        )
    # Weights of the same shape may belong to other tasks, or to other copies of the same.
    difference = first_difference(saved_table(config.get("task"), f"{folder / checkpoint.CONFIG}: task"), spec.id_table)
    if difference is not None:
        raise UserError(
            f"{folder} was trained with other task identities than {spec.name} has here ({difference}): leave the "
            "environment's keywords as they were in training, or choose a checkpoint of these tasks"
        )


def load(
    path: str | Path, device: str = "cpu", *, rule: HaltingRule | None = None, model: SegmentModel | None = None
) -> Solver:
    """Load a checkpoint folder. Nothing that its files say is imported or called.

    Args:
        path: the folder.
        device: cpu, cuda, mps, or auto.
        rule: decides when to halt, for a model that was trained with a rule of your own.
        model: takes the weights, for a network of your own.

    Raises:
        hrm_agents.errors.UserError: it is missing, truncated, foreign, or does not fit its own config.
    """
    loaded = checkpoint.load(Path(path), device, model)
    for key in ("env", "training"):
        if not isinstance(loaded.config.get(key), dict):
            raise UserError(f"{path}: its config.json does not tell its {key!r}")
    checkpoint.check_own_parts_given(loaded.config.get("custom", {}), {"rule": rule}, loaded.folder)
    return Solver(loaded.model, loaded.config, loaded.folder, rule)
