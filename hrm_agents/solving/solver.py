"""The one-call interface: ``hrm_agents.load(path).solve(grid)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.config import EnvConfig, TrainConfig, from_dict
from hrm_agents.environments import check_saved, evaluation_split, make_single, of_unseen
from hrm_agents.errors import UserError, did_you_mean, shown_path
from hrm_agents.evaluation.evaluate import Evaluation, HaltJudge, Until, evaluate, open_env
from hrm_agents.evaluation.outcomes import Solutions
from hrm_agents.evaluation.search import ONE_TRY, SearchSettings, think_repeatedly
from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.losses import LOG_PROBABILITIES
from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import HRMPolicy
from hrm_agents.records import checkpoint
from hrm_agents.solving.solution import Segment, Solution
from hrm_agents.solving.task_check import check_task
from hrm_agents.zoo import checkpoint_of, name_of, names
from hrm_envs import PuzzleBatch, read_puzzles


class Solver:
    """A trained model and the environment that it was trained in.

    Args:
        model: the network, in eval mode.
        config: contents of the checkpoint's ``config.json``.
        folder: of the checkpoint, for messages.
        rule: decides when to halt; the rule named in the checkpoint if omitted.

    Raises:
        UserError: the config is invalid, or its environment is in a module that was not imported.
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
            # Solving needs no labels, and there may be fewer puzzles than there were labels in training.
            self.env_kwargs["num_labelled"] = 0
        settings: TrainConfig = from_dict(
            TrainConfig, {**config["training"], "env": config["env"]}, f"{where}: training"
        )
        # As in training, logits become probabilities by the answer loss.
        self._log_probabilities = LOG_PROBABILITIES[settings.run.answer_loss]
        #: Scale of the Q-values.
        self.q_scale = settings.q_scale()
        #: Discount of the Q-values.
        self.gamma = settings.halting.gamma
        #: Decides when to halt.
        self.rule = settings.halting_rule()
        if rule is not None:
            if rule.second_output not in (None, self.rule.second_output):
                raise UserError(
                    f"{folder} was trained with halting rule {settings.halting.rule!r}: it has no {rule.second_output} "
                    f"of thinking on, by which {type(rule).__name__} decides"
                )
            self.rule = rule

    @property
    def name(self) -> str:
        """The name of a model that ships with the package, else its folder."""
        return name_of(self.folder)

    @property
    def policy(self) -> HRMPolicy:
        """The model with its halting rule."""
        return HRMPolicy(self.model, rule=self.rule)

    def make_env(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """Make the environment of the checkpoint, with keywords changed or added.

        Raises:
            UserError: a keyword is wrong, or the grid, alphabet or task identities differ from the model's.
        """
        env = make_single(self.env_id, {**self.saved_kwargs(kwargs), **kwargs})
        check_task(self.model, self.config, env.unwrapped.task_spec, self.folder)  # type: ignore[attr-defined]
        return env

    def saved_kwargs(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The keywords of training for the split in ``changed``: all but its own are unseen puzzles, without labels.

        For a user's puzzles, keywords that describe those of training are left out, and all are played by default.
        """
        kept = dict(self.env_kwargs) if changed.get("split") == "train" else of_unseen(self.env_kwargs)
        if changed.get("puzzles") is None:
            return kept
        describing = () if self.has_identities else self.task.chosen_by
        kept = {name: value for name, value in kept.items() if name not in describing}
        return {**kept, "split": evaluation_split(self.env_id, changed)}

    def _solving_env(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """Make an environment for given puzzles: without those of the checkpoint, whose file may have moved."""
        return self.make_env(**{"puzzles": None, "split": "all", **kwargs})

    @cached_property
    def task(self) -> Any:
        """The task of the model."""
        # Identities may depend on the puzzles of the checkpoint.
        env = self.make_env() if self.has_identities else self._solving_env()
        return env.unwrapped.task  # type: ignore[attr-defined]

    @property
    def has_identities(self) -> bool:
        """Whether the model needs the identity of each puzzle's task."""
        return self.model.sizes.num_task_ids > 1

    def check_solves_from_outside(self) -> None:
        """Check that the model can solve given puzzles.

        Raises:
            UserError: the model needs a task identity, which a given puzzle lacks.
        """
        if self.has_identities:
            raise UserError(
                f"{self.folder} needs the task identity of each puzzle, which a given puzzle lacks: use `hrm-agents "
                f"evaluate` or `hrm-agents watch` on the puzzles of {self.env_id}"
            )

    def read(self, puzzles: Any) -> PuzzleBatch:
        """Read and check puzzles of any form that the environment's keyword ``puzzles`` takes.

        Raises:
            ValueError: they cannot be read, or one has no (unique) solution; the message names the place.
        """
        return read_puzzles(puzzles, self.task)

    def solve(self, puzzle: Any, max_segments: int | None = None) -> Solution:
        """Solve one puzzle.

        Args:
            puzzle: an integer array ``[S]`` or ``[rows, columns]`` of tokens, or text in the task's notation.
            max_segments: maximum number of segments; as in training if omitted.

        Raises:
            ValueError: the puzzle is malformed or has no (unique) solution.
            hrm_agents.errors.UserError: the environment of the checkpoint cannot be made, or the model needs a task
                identity, which a given puzzle lacks.
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
        search: SearchSettings = ONE_TRY,
        progress: Callable[[float], None] | None = None,
    ) -> Solutions:
        """Solve many puzzles in batches; each takes only the segments that it needs.

        Args:
            puzzles: integers ``[N, S]`` or ``[N, rows, columns]``, text in the task's notation, the path of a puzzle
                file, or any other form that the environment's keyword ``puzzles`` takes.
            max_segments: maximum number of segments per puzzle; as in training if omitted.
            batch_size: puzzles at a time.
            search: how often to try each puzzle.
            progress: called with the share done.

        Returns:
            One row per puzzle, in the same order; :meth:`format` turns an answer into text. ``segments`` counts all
            tries.

        Raises:
            ValueError: there are no puzzles, or one is malformed or has no (unique) solution.
            hrm_agents.errors.UserError: as for :meth:`solve`.
        """
        self.check_solves_from_outside()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        limit = {} if max_segments is None else {"max_segments": max_segments}
        self._solving_env(**limit).close()
        kwargs = {**self.saved_kwargs({"puzzles": puzzles}), **limit, "puzzles": puzzles, "split": "all"}
        try:
            env = open_env(self.env_id, kwargs, batch_size=batch_size)
        except UserError as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None  # The settings were checked above, so this is about the puzzles.
            raise
        with closing(env):
            return think_repeatedly(self.policy, env, search, progress=progress).solutions()

    @torch.no_grad()
    def think(
        self,
        env: gym.Env[Any, Any],
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        on_reset: Callable[[], object] | None = None,
    ) -> Iterator[Segment]:
        """Play one episode in a single environment, which gets the model's thoughts for rendering.

        Args:
            env: from :meth:`make_env`.
            seed: of ``env.reset``.
            options: of ``env.reset``.
            on_reset: called after the reset, before the first segment.
        """
        policy = self.policy
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
            q_continue = self._value(decision.output.q_continue) if self.rule.second_output == "value" else None
            gain_of_row = self.rule.gain(decision.output.q_continue)
            gain = None if gain_of_row is None else float(gain_of_row[0])
            halt = bool(decision.halt[0])
            env.unwrapped.post_thoughts(  # type: ignore[attr-defined]
                q_halt=q_halt,
                q_continue=q_continue,
                confidence=confidence,
                decision="halt" if halt else "think on",
                gain=gain,
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
                gain,
            )

    def format(self, answer: NDArray[np.uint8]) -> str:
        """Turn an answer, uint8 ``[S]``, into text in the task's notation."""
        task = self.task
        try:
            text: str = task.format(answer)
        except ValueError:
            # An untrained model may answer with tokens that the notation lacks, such as padding.
            rows = answer.reshape(task.spec.grid_shape)
            text = "\n".join("".join(task.spec.symbols[token] for token in row) for row in rows)
        return text

    def evaluate(
        self,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        first: int | None = None,
        batch_size: int = 250,
        until: Until | None = None,
        search: SearchSettings = ONE_TRY,
        progress: Callable[[float], None] | None = None,
    ) -> Evaluation:
        """Evaluate the model, by default on the test split, or on all of the user's own ``puzzles``.

        Args:
            env_kwargs: keywords of the environment, changed or added; ``views=8`` shows eight views of each puzzle
                if the task has them (:meth:`max_views`).
            until: as below; by default ``"halt"`` if there are views, whose votes are the answers at the halt, and
                ``"end"`` otherwise.

        The other arguments are those of :func:`hrm_agents.evaluation.evaluate.evaluate`.

        Raises:
            UserError: a keyword is wrong, the grid, alphabet or task identities differ from the model's, or
                ``num_puzzles`` or ``first`` would separate views of the same puzzle.
            ValueError: as for :func:`hrm_agents.evaluation.evaluate.evaluate`.
        """
        changed = dict(env_kwargs or {})
        views = {**self.env_kwargs, **changed}.get("views", 1) if self.max_views(changed) > 1 else 1
        for name, number in (("num_puzzles", changed.get("num_puzzles")), ("first", first)):
            if views > 1 and number is not None:
                raise UserError(
                    f"{name}={number} would separate the {views} views of a puzzle: omit it, or ask for views=1"
                )
        return evaluate(
            self.policy,
            self.env_id,
            {**self.saved_kwargs(changed), **changed},
            first=first,
            batch_size=batch_size,
            until=until or ("halt" if views > 1 else "end"),
            search=search,
            judge=HaltJudge(self.q_scale, self.gamma),
            progress=progress,
        )

    def max_views(self, env_kwargs: Mapping[str, Any] | None = None) -> int:
        """Largest value of the environment's keyword ``views``; 1 if its task has no views.

        Args:
            env_kwargs: other keywords of the environment, changed or added.

        Raises:
            UserError: as for :meth:`make_env`.
        """
        number: int = self.make_env(**dict(env_kwargs or {})).unwrapped.task.max_views  # type: ignore[attr-defined]
        return number

    def _value(self, q: torch.Tensor) -> float:
        return float(self.q_scale.value(q)[0])


def load(
    path: str | Path, device: str = "cpu", *, rule: HaltingRule | None = None, model: SegmentModel | None = None
) -> Solver:
    """Load a trained model. Its files are data: loading imports and calls nothing that they name.

    Args:
        path: the folder of a run or checkpoint, or the name of a model that ships with the package, such as
            ``"maze-9x9"`` (``hrm-agents models`` lists them).
        device: cpu, cuda, mps, or auto.
        rule: decides when to halt; required if the model was trained with your own rule.
        model: receives the weights; required if the model is your own network.

    Raises:
        hrm_agents.errors.UserError: the checkpoint is missing, damaged, of another program, or inconsistent.
    """
    path = checkpoint_of(path)
    if not path.exists() and (hint := did_you_mean(str(path), names())):
        raise UserError(f"there is no folder {shown_path(path)}{hint}")
    loaded = checkpoint.load(path, device, model)
    for key in ("env", "training"):
        if not isinstance(loaded.config.get(key), dict):
            raise UserError(f"{path}: its config.json has no {key!r}")
    checkpoint.check_own_parts_given(loaded.config.get("custom", {}), {"rule": rule}, loaded.folder)
    return Solver(loaded.model, loaded.config, loaded.folder, rule)
