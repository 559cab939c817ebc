"""``hrm-agents train``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from hrm_agents.commands.common import EXPLAINED, Keywords, Modules, keywords, parse, say
from hrm_agents.config import AnswerConfig, EnvConfig, HaltingConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.environments import user_id
from hrm_agents.errors import UserError
from hrm_agents.models.hrm import Architecture
from hrm_agents.presets import SMALL, PresetName, preset
from hrm_agents.user_modules import import_modules


@dataclass(frozen=True)
class Settings:
    """Settings of a training run: the options shared by all commands that train."""

    env: Annotated[str, tyro.conf.Positional] = EnvConfig.id
    """Gymnasium id; `hrm-agents envs` lists the built-in ones. module:id and FILE.py:id import your module first."""
    preset: Annotated[PresetName, EXPLAINED] = SMALL
    """Source of all defaults. small (the default): networks for a CPU. paper-*: the paper's 27-million-parameter models
    for a GPU, each with its environment."""
    kwargs: Keywords = ()
    module: Modules = ()
    model: Architecture = field(default_factory=Architecture)
    optim: OptimConfig = field(default_factory=OptimConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def config(self) -> TrainConfig:
        """The settings of a new run; environment keywords add to those of the preset."""
        own = preset(self.env, self.preset).env.kwargs
        env = EnvConfig(self.env, {**own, **keywords(self.kwargs)})
        return TrainConfig(env, self.model, self.optim, self.answer, self.halting, self.run)

    def folder(self) -> Path:
        """The default output folder."""
        return Path("runs") / self.env.replace("/", "-").replace(":", "-")


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class Train(Settings):
    """Train a model in an environment, evaluate it on unseen puzzles, and draw a GIF of some solutions.

    All defaults are those of the preset (see hrm_agents/presets.py); with `small` they depend on the environment.
    --kwargs adds to the preset's environment keywords. A run that was stopped with Ctrl-C, or killed, continues with
    --resume, and ends with the same weights as an uninterrupted run.
    """

    out: Annotated[Path | None, EXPLAINED] = None
    """Output folder; runs/<environment> if omitted."""
    resume: Annotated[Path | None, EXPLAINED] = None
    """Continue the run in this folder, with its settings unless given here."""
    gif: bool = True
    """Draw a GIF at the end (needs the extra `render`)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Train, "train", arguments, default=_defaults(arguments))
    options = replace(options, env=user_id(options.env))
    if options.resume is not None:
        if options.out is not None:
            raise UserError("--resume continues in the folder of the run: omit --out")
        if options.preset != SMALL:
            raise UserError("--resume continues with the settings of the run: omit --preset")
        saved = _saved(options.resume).env.kwargs
        env = EnvConfig(options.env, keywords(options.kwargs) if options.kwargs else saved)
        config = TrainConfig(env, options.model, options.optim, options.answer, options.halting, options.run)
    else:
        config = options.config()
    out = options.resume or options.out or options.folder()
    from hrm_agents.records.run_lock import hold_folder

    with hold_folder(out):
        return _train(config, out, resume=options.resume is not None, gif=options.gif)


def _train(config: TrainConfig, out: Path, *, resume: bool, gif: bool) -> int:
    """Train in a folder that this process has locked."""
    from hrm_agents.records.checkpoint import CONFIG, MODEL
    from hrm_agents.trainer import Trainer

    if not resume and (out / CONFIG).exists():
        raise UserError(f"{out} already holds a run: continue it with --resume {out}, or choose another --out")
    if not resume and (out / MODEL).exists():
        raise UserError(f"{out} already holds a model: choose another --out")
    trainer = Trainer.resume(out, config) if resume else Trainer(config, out)
    say(f"training {config.env.id}; records and checkpoint in {out} (tensorboard --logdir {out})")
    try:
        report = trainer.run()
    except KeyboardInterrupt:
        if trainer.updates_saved is None:
            raise KeyboardInterrupt("nothing was saved yet") from None
        raise KeyboardInterrupt(
            f"saved after {trainer.updates_saved} updates; "
            f"continue with: hrm-agents train --resume {shlex.quote(str(out))}"
        ) from None
    say(
        f"{100 * report.success_rate:.2f}% of {report.num_puzzles} unseen puzzles solved, "
        f"{report.mean_segments:.2f} segments on average, {100 * report.forced_rate:.1f}% out of segments"
    )
    if gif:
        _draw(trainer.updates_done, out)
    return 0


def preset_defaults(
    options: type[AnySettings], command: str, arguments: Sequence[str]
) -> tuple[AnySettings, AnySettings]:
    """Defaults for the environment or preset named on the command line, and the options parsed without them.

    Args:
        options: dataclass of the command.
        command: its name.
        arguments: its command line.
    """
    # If no environment is named, it is that of the preset.
    unnamed = options(env="")
    plain = [argument for argument in arguments if argument not in ("-h", "--help")]
    named = parse(options, command, plain, default=unnamed)
    import_modules(named.module)
    if named.env:
        named = replace(named, env=user_id(named.env))
    return _with(unnamed, preset(named.env or None, named.preset)), named


def _defaults(arguments: Sequence[str]) -> Train:
    """Defaults for the environment, preset or run named on the command line."""
    defaults, named = preset_defaults(Train, "train", arguments)
    return defaults if named.resume is None else _with(defaults, _saved(named.resume))


def _saved(folder: Path) -> TrainConfig:
    from hrm_agents.records.resume import saved_config

    return saved_config(folder)


def _with(options: AnySettings, config: TrainConfig) -> AnySettings:
    """Replace the settings in options by those of a run."""
    groups = {name: getattr(config, name) for name in ("model", "optim", "answer", "halting", "run")}
    return replace(options, env=config.env.id, **groups)


def _draw(step: int, out: Path) -> None:
    """Draw a GIF of three unseen puzzles, and log their last frames to TensorBoard."""
    from hrm_agents.records.run_log import write_frames
    from hrm_agents.solving.recording import record_episode, write_gif
    from hrm_agents.solving.solver import load

    try:
        solver = load(out)
        env = solver.make_env(render_mode="rgb_array", num_puzzles=3)
        episodes = [record_episode(solver, env, options={"index": index})[0] for index in range(3)]
        write_gif(out / "solved.gif", episodes)
        write_frames(out, [frames[-1] for frames in episodes], step)
    except UserError as error:
        say(f"no GIF drawn: {error}")
    else:
        say(f"watch it think: {out / 'solved.gif'}")
