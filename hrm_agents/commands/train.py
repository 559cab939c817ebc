"""``hrm-agents train``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from hrm_agents.commands.common import EXPLAINED, KEYWORDS, MODULES, keywords, parse
from hrm_agents.config import AnswerConfig, EnvConfig, HaltingConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.environments import user_id
from hrm_agents.errors import UserError
from hrm_agents.models.hrm import Architecture
from hrm_agents.presets import SMALL, PresetName, preset
from hrm_agents.user_modules import import_modules


@dataclass(frozen=True)
class Settings:
    """What a run of training is made of: the options of all commands that train."""

    env: Annotated[str, tyro.conf.Positional] = EnvConfig.id
    """Gymnasium id; `hrm-agents envs` lists the built-in ones. module:id and FILE.py:id import your module first."""
    preset: Annotated[PresetName, EXPLAINED] = SMALL
    """small, the default: nets for a CPU. paper-*: the paper's 27-million-parameter models for a GPU, each with its
    environment."""
    kwargs: Annotated[tuple[str, ...], KEYWORDS] = ()
    """Keywords of the environment as name=value, such as num_puzzles=1000 'empty_cells=[4,8]'; they add to those of
    the preset."""
    module: Annotated[tuple[str, ...], MODULES] = ()
    """Modules of yours to import first, by name or by file: they register environments. A run names an environment of
    yours, but may not import it."""
    model: Architecture = field(default_factory=Architecture)
    optim: OptimConfig = field(default_factory=OptimConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def config(self) -> TrainConfig:
        """The settings of a new run: keywords of the environment add to those of the preset."""
        own = preset(self.env, self.preset).env.kwargs
        env = EnvConfig(self.env, {**own, **keywords(self.kwargs)})
        return TrainConfig(env, self.model, self.optim, self.answer, self.halting, self.run)

    def folder(self) -> Path:
        """The default output folder."""
        return Path("runs") / self.env.replace("/", "-").replace(":", "-")


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class Train(Settings):
    """Train a model in an environment, evaluate it on unseen puzzles and draw a GIF of it at work.

    The defaults of all options are those of the preset (see hrm_agents/presets.py), which for `small` depend on the
    environment. A run can be stopped with Ctrl-C, or killed, and continued with --resume; it ends with the same
    weights as if it had not been.
    """

    out: Annotated[Path | None, EXPLAINED] = None
    """Folder of the checkpoint and records; runs/<environment> if not given."""
    resume: Annotated[Path | None, EXPLAINED] = None
    """Continue the run in this folder, with its settings unless you change them here."""
    gif: bool = True
    """Draw solved puzzles when done (needs the render extra)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Train, "train", arguments, default=_defaults(arguments))
    options = replace(options, env=user_id(options.env))
    if options.resume is not None:
        if options.out is not None:
            raise UserError("--resume goes on in the folder of the run: omit --out")
        if options.preset != SMALL:
            raise UserError("--resume goes on with the settings of the run: omit --preset")
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
    """Train in a folder that nobody else trains in."""
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
            f"go on with: hrm-agents train --resume {shlex.quote(str(out))}"
        ) from None
    say(
        f"{100 * report.success_rate:.2f}% of {report.num_puzzles} unseen puzzles solved, "
        f"{report.mean_segments:.2f} segments on average, {100 * report.forced_rate:.1f}% out of segments"
    )
    if gif:
        _draw(trainer.updates_done, out)
    return 0


def say(line: str) -> None:
    """A line for people, apart from results on standard output; a lost terminal stops no run."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def preset_defaults(
    options: type[AnySettings], command: str, arguments: Sequence[str]
) -> tuple[AnySettings, AnySettings]:
    """Defaults that suit the environment or the preset named on the command line; and what is parsed without them.

    Args:
        options: the dataclass of the command.
        command: its name.
        arguments: what it was called with.
    """
    # Without a name of its own, the environment is that of the preset.
    unnamed = options(env="")
    plain = [argument for argument in arguments if argument not in ("-h", "--help")]
    named = parse(options, command, plain, default=unnamed)
    import_modules(named.module)
    if named.env:
        named = replace(named, env=user_id(named.env))
    return _with(unnamed, preset(named.env or None, named.preset)), named


def _defaults(arguments: Sequence[str]) -> Train:
    """Defaults that suit the environment, the preset or the run named on the command line."""
    defaults, named = preset_defaults(Train, "train", arguments)
    return defaults if named.resume is None else _with(defaults, _saved(named.resume))


def _saved(folder: Path) -> TrainConfig:
    from hrm_agents.records.training_state import saved_config

    return saved_config(folder)


def _with(options: AnySettings, config: TrainConfig) -> AnySettings:
    """The options with the settings of a run."""
    groups = {name: getattr(config, name) for name in ("model", "optim", "answer", "halting", "run")}
    return replace(options, env=config.env.id, **groups)


def _draw(step: int, out: Path) -> None:
    """A GIF of three unseen puzzles, and their last frames in TensorBoard."""
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
