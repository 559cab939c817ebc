"""The runs of the frontier: one model for each segment cost, discount and seed, and for each fixed number of segments.

All learn with the same loss, so that only what they are charged for thinking differs.

:mod:`hrm_agents.reports.frontier` summarises their results.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from hrm_agents.config import TrainConfig, flat_settings, from_dict
from hrm_agents.environments import make_vector
from hrm_agents.errors import UserError, one_line, user_errors
from hrm_agents.learning.halting_rules import HALTING_METHODS
from hrm_agents.records.checkpoint import CONFIG, load_state, read_config
from hrm_agents.records.files import read_json, write_atomically
from hrm_agents.reports.frontier import Result, Setting, number_text
from hrm_agents.solving.solver import load
from hrm_agents.trainer import Trainer

#: File of a model's results, in its folder.
FIGURES = "frontier.json"
#: Settings of a run that do not change what the model learns.
FREE_SETTINGS = {
    f"run.{name}"
    for name in ("device", "compile", "threads", "log", "log_every", "eval_every", "eval_puzzles", "save_every")
}


#: Numbers of segments that models are trained with by default, as far as the environment allows.
FIXED_LENGTHS = (1, 2, 4, 8)


def plan(
    costs: Sequence[float], gammas: Sequence[float], seeds: Sequence[int], fixed_lengths: Sequence[int] = ()
) -> list[Setting]:
    """The models to train for each seed: the baseline, then each discount with each cost, 0 included.

    Those trained with a fixed number of segments follow.

    Raises:
        UserError: a value is out of range or given twice, or there is no discount or no seed.
    """
    _check("costs", costs, "must be finite and not negative", lambda cost: 0.0 <= cost < math.inf)
    _check("gammas", gammas, "must lie in (0, 1]", lambda gamma: 0.0 < gamma <= 1.0)
    _check("seeds", seeds, "must not be negative", lambda seed: seed >= 0)
    _check("fixed-lengths", fixed_lengths, "must be at least 1", lambda length: length >= 1)
    for name, values in (("gammas", gammas), ("seeds", seeds)):
        if not values:
            raise UserError(f"--{name}: give at least one")
    # Adding 0.0 turns -0.0 into 0.0.
    costs = sorted({0.0, *(float(cost) + 0.0 for cost in costs)})
    grid = [(cost, float(gamma)) for gamma in gammas for cost in costs]
    grid.sort(key=lambda pair: pair != (0.0, 1.0))
    if grid[0] != (0.0, 1.0):
        grid.insert(0, (0.0, 1.0))
    return [
        setting
        for seed in seeds
        for setting in (
            *(Setting(cost, gamma, seed) for cost, gamma in grid),
            *(Setting(0.0, 1.0, seed, length) for length in sorted(fixed_lengths)),
        )
    ]


def default_lengths(base: TrainConfig) -> tuple[int, ...]:
    """Those of :data:`FIXED_LENGTHS` that the environment allows.

    Raises:
        UserError: the environment cannot be made.
    """
    longest = make_vector(base.env.id, 1, base.env.kwargs).max_segments
    return tuple(length for length in FIXED_LENGTHS if length <= longest)


def settings_of(setting: Setting, base: TrainConfig) -> TrainConfig:
    """The settings of a model's run: ``base`` with this cost, discount, seed and fixed number of segments.

    Q-values are plain for all, because the returns of a positive cost are no probabilities: with logits for the models
    without a cost, these would differ from the others in their loss too.
    """
    halting = replace(base.halting, gamma=setting.gamma, q_loss="mse")
    if setting.fixed_length is not None:
        halting = replace(halting, rule="fixed", fixed_segments=setting.fixed_length)
    return replace(
        base,
        env=replace(base.env, kwargs={**base.env.kwargs, "segment_cost": setting.cost}),
        halting=halting,
        run=replace(base.run, seed=setting.seed),
    )


def trace_frontier(
    base: TrainConfig, settings: Sequence[Setting], out: Path, announce: Callable[[str], None] = lambda line: None
) -> list[Result]:
    """Train and measure the missing models, and read the results of the finished ones.

    Args:
        base: settings shared by all models.
        settings: from :func:`plan`.
        out: folder of the models' folders. Stopped runs in it continue.
        announce: called with a line of text before each model.

    Raises:
        UserError: the halting rule disregards the segment cost, the Q-values are to be logits, a folder holds a run
            with other settings, or a run fails.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state of the run is saved.
    """
    if not base.halting_method.weighs_cost:
        choices = " or ".join(name for name, method in HALTING_METHODS.items() if method.weighs_cost)
        raise UserError(f"halting.rule={base.halting.rule!r} disregards the segment cost: choose {choices}")
    if base.halting.q_loss == "bce":
        raise UserError("the frontier trains all models with halting.q_loss='mse', since costs exclude 'bce': omit it")
    if "segment_cost" in base.env.kwargs:
        raise UserError("the frontier varies segment_cost: give it as --costs, not in --kwargs")
    runs = [(setting, settings_of(setting, base), out / setting.folder) for setting in settings]
    longest = make_vector(base.env.id, 1, base.env.kwargs).max_segments
    for _, config, folder in runs:
        with user_errors(base.env.id):
            config.halting_rule().check_length(longest)
        stage_of(folder, config)
    results = []
    for number, (setting, config, folder) in enumerate(runs, 1):
        stage = stage_of(folder, config)
        announce(f"run {number} of {len(runs)} ({stage}): {folder}")
        results.append(_measured(setting, config, folder, stage))
    return results


def stage_of(folder: Path, config: TrainConfig) -> Literal["new", "stopped", "finished"]:
    """The state of the run in a folder.

    Args:
        folder: of the run.
        config: its complete settings.

    Raises:
        UserError: the run has other settings, or was stopped and cannot continue.
    """
    if not (folder / CONFIG).exists():
        return "new"
    document = read_config(folder)
    saved: TrainConfig = from_dict(TrainConfig, document.get("training", {}), f"{folder / CONFIG}: training")
    difference = _difference(saved, config)
    if difference is not None:
        raise UserError(f"{folder} holds a run with {difference}: use the same settings, or choose another --out")
    # A run writes this last.
    if document.get("evaluation") is not None:
        return "finished"
    load_state(folder)  # fails here, before anything is trained, if it is damaged or missing
    return "stopped"


def _measured(setting: Setting, config: TrainConfig, folder: Path, stage: str) -> Result:
    """The results of a model, which is trained first if it is not finished."""
    kept = folder / FIGURES
    if stage == "finished":
        result = _read(kept, setting)
        if result is not None:
            return result
    else:
        kept.unlink(missing_ok=True)
        if config.run.compile:
            # Otherwise earlier compiled models count towards the recompile limit, beyond which torch gives up.
            torch.compiler.reset()
        trainer = Trainer.resume(folder, config) if stage == "stopped" else Trainer(config, folder)
        trainer.run()
    report = load(folder, config.run.device).evaluate(until="end")
    assert report.halting is not None, "until='end' gives a halting report"
    result = Result(
        setting=setting,
        num_puzzles=report.num_puzzles,
        num_classes=report.num_classes,
        success_rate=report.success_rate,
        mean_segments=report.mean_segments,
        forced_rate=report.forced_rate,
        auc=report.halting.auc_on_policy,
        success_per_segment=report.success_per_segment,
    )
    figures = {name: value for name, value in dataclasses.asdict(result).items() if name != "setting"}
    write_atomically(kept, (json.dumps(figures, indent=2) + "\n").encode())
    return result


def _read(path: Path, setting: Setting) -> Result | None:
    """The results in a file; None if it is missing or damaged, since measuring again is cheap."""
    try:
        result: Result = from_dict(Result, {**read_json(path), "setting": setting}, str(path))
    except (UserError, TypeError):
        return None
    return result


def _difference(saved: TrainConfig, asked: TrainConfig) -> str | None:
    """The first setting that differs and matters; None if there is none."""
    if saved.model_name != asked.model_name:  # whose other settings may not be the same
        return f"model_name={saved.model_name!r}, not {asked.model_name!r}"
    new = flat_settings(asked)
    for name, value in flat_settings(saved).items():
        if value != new[name] and name not in FREE_SETTINGS:
            shown, wanted = (one_line(repr(each), 100) for each in (value, new[name]))
            return f"{name}={shown}, not {wanted}"
    return None


def _check(name: str, values: Sequence[float], need: str, fits: Callable[[float], bool]) -> None:
    for place, value in enumerate(values):
        if not fits(value):
            raise UserError(f"--{name} {need}, got {value}")
        if value in values[:place]:
            raise UserError(f"--{name}: {number_text(value)} is given twice")
