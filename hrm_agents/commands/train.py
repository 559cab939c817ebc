"""``hrm-agents train``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from hrm_agents.commands.common import EXPLAINED, HelpShown, Keywords, Modules, keywords, parse, parse_some, say
from hrm_agents.config import (
    AnswerConfig,
    EnvConfig,
    HaltingConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
    with_model,
)
from hrm_agents.distributed import FailedElsewhere, Ranks, joined, restarts_failures, was_restarted
from hrm_agents.environments import user_id
from hrm_agents.errors import UserError, shown_path
from hrm_agents.interrupts import TIME_IS_UP, Stopped
from hrm_agents.limits import Limits
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.matching import num_parameters
from hrm_agents.models.registry import HRM_NAME, model_kind, model_names
from hrm_agents.presets import SMALL, PresetName, preset
from hrm_agents.records.run_file import RUN_FILE, RunFile, read_run_file, write_run_file
from hrm_agents.user_modules import import_modules

ModelName = Annotated[
    str,
    tyro.conf.arg(
        name="model",
        metavar="NAME",
        help="The network: a built-in one, or one that a --module registers. It decides which options --model.* there "
        "are.",
        help_behavior_hint=lambda default: f"(default: {default}; there are {', '.join(model_names())})",
    ),
]
ConfigFile = Annotated[
    Path | None,
    tyro.conf.arg(
        name="config",
        metavar="FILE.toml",
        help_behavior_hint="",
        help=f"Take settings from this TOML file, such as the {RUN_FILE} of a run. Options given here override them, "
        "and what the file omits comes from the preset.",
    ),
]
#: The dataclass of a network's settings.
ModelSettings = TypeVar("ModelSettings")


@dataclass(frozen=True)
class Settings(Generic[ModelSettings]):
    """Settings of a training run: the options shared by all commands that train."""

    env: Annotated[str, tyro.conf.Positional] = EnvConfig.id
    """Gymnasium id; `hrm-agents envs` lists the built-in ones. module:id and FILE.py:id import your module first."""
    preset: Annotated[PresetName, EXPLAINED] = SMALL
    """Source of all defaults. small (the default): networks for a CPU. paper-*: the paper's 27-million-parameter models
    for a GPU, each with its environment."""
    config_file: ConfigFile = None
    kwargs: Keywords = ()
    module: Modules = ()
    model_name: ModelName = HRM_NAME
    model: ModelSettings = field(default_factory=Architecture)  # type: ignore[assignment]
    optim: OptimConfig = field(default_factory=OptimConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def config(self) -> TrainConfig:
        """The settings of a new run; environment keywords add to those of preset and file."""
        own = preset(self.env, self.preset).env.kwargs
        env = EnvConfig(self.env, {**own, **keywords(self.kwargs)})
        return self.config_in(env)

    def config_in(self, env: EnvConfig) -> TrainConfig:
        """The settings of a run in an environment."""
        return TrainConfig(env, self.model, self.optim, self.answer, self.halting, self.run, self.model_name)

    def folder(self) -> Path:
        """The default output folder."""
        return Path("runs") / self.env.replace("/", "-").replace(":", "-")


AnySettings = TypeVar("AnySettings", bound=Settings[Any])


@dataclass(frozen=True)
class Train(Settings[ModelSettings]):
    """Train a model in an environment, evaluate it on unseen puzzles, and draw a GIF of some solutions.

    All defaults are those of the preset (see hrm_agents/presets.py); with `small` they depend on the environment.
    --kwargs adds to the preset's environment keywords. A run that was stopped with Ctrl-C, or killed, continues with
    --resume, and ends with the same weights as an uninterrupted run. Every run writes its settings to run.toml, with
    which --config repeats it.
    """

    out: Annotated[Path | None, EXPLAINED] = None
    """Output folder; runs/<environment> if omitted."""
    resume: Annotated[Path | None, EXPLAINED] = None
    """Continue the run in this folder, with its settings unless given here."""
    seeds: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Train one run for each of these seeds, in OUT/seed-0 and so on, and aggregate their results into OUT/seeds.csv
    and seeds.json. After Ctrl-C the same command continues."""
    jobs: int = 1
    """With --seeds: number of runs at a time, each a process of its own."""
    gif: bool = True
    """Draw a GIF at the end (needs the extra `render`)."""
    max_minutes: float | None = None
    """Stop with a save after this time, and with exit code 75; --resume continues."""


def run(arguments: Sequence[str]) -> int:
    """Run the command, alone or in one of the processes that torchrun started."""
    with joined() as ranks:
        try:
            return _run(arguments, ranks)
        except FailedElsewhere:
            return 2  # the process that failed says why
        except Stopped as stop:
            is_over = stop.reason == TIME_IS_UP
            if ranks.is_first:
                say(f"{'time is up' if is_over else 'interrupted'}: {stop}")
            return 0 if is_over and restarts_failures() else stop.exit_code
        except KeyboardInterrupt:
            if ranks.is_first:
                raise
            return 130


def _run(arguments: Sequence[str], ranks: Ranks) -> int:
    from hrm_agents.records.run_lock import hold_folder

    read = ranks.each(lambda: _read(arguments, ranks))
    if read is None:
        return 0
    options, config = read
    out = options.resume or options.out or options.folder()
    if options.seeds:
        from hrm_agents.commands.train_seeds import Plan, train_seeds

        _check_empty(out)
        return train_seeds(
            Plan(config, out, options.seeds, options.jobs, options.module, options.gif, options.max_minutes)
        )
    with hold_folder(out, ranks):
        return _train(config, out, options, ranks)


def _read(arguments: Sequence[str], ranks: Ranks) -> tuple[Train[Any], TrainConfig] | None:
    """The options, and the settings that they give; None if they ask for help, which was printed."""
    try:
        options = parse_settings(Train, "train", arguments)
    except HelpShown:
        return None
    if options.resume is not None:
        if options.out is not None:
            raise UserError("--resume continues in the folder of the run: omit --out")
        if options.preset != SMALL:
            raise UserError("--resume continues with the settings of the run: omit --preset")
        saved = _saved(options.resume).env.kwargs
        env = EnvConfig(options.env, {**saved, **keywords(options.kwargs)})
        config = options.config_in(env)
    else:
        config = options.config()
    if options.jobs != 1 and not options.seeds:
        raise UserError("--jobs is the number of seeds at a time: give several --seeds")
    if options.seeds and options.resume is not None:
        raise UserError("--seeds continues its runs when the same command is given again: omit --resume")
    if options.seeds and ranks.size > 1:
        raise UserError("--seeds starts processes of its own: train one seed at a time under torchrun, with --run.seed")
    if options.max_minutes is not None:
        Limits(0.0, 1e6, open_low=True).check("--max-minutes", options.max_minutes)
    ranks.rows(config.run.batch_size)  # refuses a batch that cannot be split
    return options, config


def _train(config: TrainConfig, out: Path, options: Train[Any], ranks: Ranks) -> int:
    """Train in a folder that this run has locked."""
    from hrm_agents.trainer import Trainer

    max_minutes = options.max_minutes
    resume = options.resume is not None or ranks.each(lambda: _is_restart(config, out))
    if not resume:
        ranks.first(lambda: _check_empty(out))
    trainer = Trainer.resume(out, config, ranks=ranks) if resume else Trainer(config, out, ranks=ranks)
    ranks.first(lambda: write_run_file(out, trainer.config, options.module))
    if ranks.is_first:
        together = f" in {ranks.size} processes" if ranks.size > 1 else ""
        advice = f" (tensorboard --logdir {out})" if "tensorboard" in config.run.log else ""
        say(
            f"training {config.env.id} with {config.model_name}, {num_parameters(trainer.model):,} parameters"
            f"{together}; records and checkpoint in {out}{advice}"
        )
    try:
        report = trainer.run(None if max_minutes is None else 60.0 * max_minutes)
    except KeyboardInterrupt as interrupt:
        advice = "nothing was saved yet"
        if trainer.updates_saved is not None:
            done, folder = trainer.updates_saved, shlex.quote(str(out))
            advice = f"saved after {done} updates; continue with: hrm-agents train --resume {folder}"
        if isinstance(interrupt, Stopped):
            raise Stopped(interrupt.reason, advice) from None
        raise KeyboardInterrupt(advice) from None
    if not ranks.is_first:
        return 0
    say(
        f"{100 * report.success_rate:.2f}% of {report.num_puzzles} unseen puzzles solved, "
        f"{report.mean_segments:.2f} segments on average, {100 * report.forced_rate:.1f}% out of segments"
    )
    if options.gif:
        _draw(trainer.updates_done, out, logged="tensorboard" in config.run.log)
    return 0


def _is_restart(config: TrainConfig, out: Path) -> bool:
    """Whether torchrun has started again what it began in ``out``, which holds a checkpoint by now."""
    from hrm_agents.assembly import with_segment_cost
    from hrm_agents.records.checkpoint import CONFIG

    return was_restarted() and (out / CONFIG).exists() and _saved(out) == with_segment_cost(config)


def _check_empty(out: Path) -> None:
    """Check that a folder holds no run yet.

    Raises:
        UserError: it does.
    """
    from hrm_agents.records.checkpoint import CONFIG, MODEL

    if (out / CONFIG).exists():
        raise UserError(f"{out} already holds a run: continue it with --resume {out}, or choose another --out")
    if (out / MODEL).exists():
        raise UserError(f"{out} already holds a model: choose another --out")


@dataclass(frozen=True)
class _Early:
    """Options that decide which other options there are."""

    module: Modules = ()
    model_name: Annotated[str | None, tyro.conf.arg(name="model")] = None
    config_file: ConfigFile = None
    resume: Path | None = None


def parse_settings(options: type[AnySettings], command: str, arguments: Sequence[str]) -> AnySettings:
    """Parse the command line of a command that trains; defaults depend on network, environment, preset, file or run.

    The keywords and modules of a file come before those of the command line.

    Args:
        options: dataclass of the command.
        command: its name.
        arguments: its command line.

    Raises:
        HelpShown: the arguments ask for help, which was printed.
        UserError: an option is unknown, missing or malformed.
    """
    early = parse_some(_Early, command, arguments)
    resumes = any(each.name == "resume" for each in fields(options)) and early.resume is not None
    if resumes and early.config_file is not None:
        raise UserError("--resume continues with the settings of the run: omit --config, and give changes as options")
    file = RunFile(Path()) if early.config_file is None else read_run_file(early.config_file)
    import_modules((*file.module, *early.module))
    saved = _saved(early.resume) if resumes and early.resume is not None else None
    model_name = early.model_name or file.model_name or (HRM_NAME if saved is None else saved.model_name)
    if saved is not None and model_name != saved.model_name:
        raise UserError(
            f"--resume continues with the network of the run, {saved.model_name}: omit --model {model_name}"
        )
    source = "--model" if early.model_name else f"{shown_path(file.path)}: model_name"
    settings = model_kind(model_name, source).settings
    with file.errors():
        preset(name=file.preset or SMALL)  # refuses an unknown name
        file_env = None if file.env_id is None else user_id(file.env_id)
    typed: Any = options[settings]  # type: ignore[index]
    # If no environment is named, it is that of the file or the preset.
    unnamed = typed(env="", preset=file.preset or SMALL, model_name=model_name, model=settings())
    plain = [argument for argument in arguments if argument not in ("-h", "--help")]
    named = parse(typed, command, plain, default=unnamed)
    env = user_id(named.env) if named.env else file_env
    config = file.over(with_model(preset(env, named.preset), model_name)) if saved is None else saved
    groups = {name: getattr(config, name) for name in ("model_name", "model", "optim", "answer", "halting", "run")}
    parsed: AnySettings = parse(typed, command, arguments, default=replace(unnamed, env=config.env.id, **groups))
    return replace(
        parsed,
        env=user_id(parsed.env),
        kwargs=(*(f"{name}={json.dumps(value)}" for name, value in file.env_kwargs.items()), *parsed.kwargs),
        module=tuple(dict.fromkeys((*file.module, *parsed.module, *_module_files(file.env_id, named.env)))),
    )


def _module_files(*ids: str | None) -> list[str]:
    """The files in ids of the form ``FILE.py:id``, whose modules an id alone does not find again."""
    modules = [(env_id or "").rpartition(":")[0] for env_id in ids]
    return [module for module in modules if module.endswith(".py")]


def _saved(folder: Path) -> TrainConfig:
    from hrm_agents.records.resume import saved_config

    return saved_config(folder)


def _draw(step: int, out: Path, *, logged: bool) -> None:
    """Draw a GIF of three unseen puzzles, and log their last frames to TensorBoard if it is in use."""
    from hrm_agents.records.run_log import write_frames
    from hrm_agents.solving.recording import record_episode, write_gif
    from hrm_agents.solving.solver import load

    try:
        solver = load(out)
        env = solver.make_env(render_mode="rgb_array", num_puzzles=3)
        episodes = [record_episode(solver, env, options={"index": index})[0] for index in range(3)]
        write_gif(out / "solved.gif", episodes)
        if logged:
            write_frames(out, [frames[-1] for frames in episodes], step)
    except UserError as error:
        say(f"no GIF drawn: {error}")
    else:
        say(f"watch it think: {out / 'solved.gif'}")
