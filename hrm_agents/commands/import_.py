"""``hrm-agents import``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import hrm_agents
from hrm_agents.commands.common import EXPLAINED, Keywords, keywords, parse, say
from hrm_agents.commands.import_settings import ImportSettings
from hrm_agents.config import EnvConfig, HaltingConfig, TrainConfig, to_dict
from hrm_agents.environments import make_single, user_id
from hrm_agents.errors import UserError, shown, shown_path
from hrm_agents.models.interface import SegmentModel, Sizes
from hrm_agents.models.limits import LIMITS
from hrm_agents.models.official import OfficialWeights
from hrm_agents.models.registry import ModelKind
from hrm_agents.models.released import find_files, read_settings
from hrm_agents.models.weight_files import read_weights
from hrm_agents.records.checkpoint import CONFIG, MODEL, save_model
from hrm_envs import TaskSpec, registered_ids

#: Environments by vocabulary size and number of cells, the preferred one first.
ENVS: dict[tuple[int, int], tuple[str, ...]] = {
    (11, 81): ("HRM/Sudoku-Extreme-v0", "HRM/Sudoku-9x9-v0"),
    (6, 900): ("HRM/Maze-30x30-Hard-v0", "HRM/Maze-30x30-v0"),
}


@dataclass(frozen=True)
class Import:
    """Convert a checkpoint of the public HRM or TRM code into one for evaluate, watch and solve.

    Sizes are read from the weights, all other settings from an all_config.yaml beside them, which options override. A
    checkpoint is data: no code in it is executed.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A file written by torch.save, a .safetensors or .npz file, or a folder: of its files, checkpoint or the last
    step_N."""
    out: Path
    """Output folder."""
    env: Annotated[str | None, EXPLAINED] = None
    """Gymnasium id of its puzzles; if omitted, found from the weights for 9x9 Sudoku and 30x30 mazes."""
    kwargs: Keywords = ()
    num_heads: Annotated[int | None, EXPLAINED] = None
    """Attention heads."""
    H_cycles: Annotated[int | None, EXPLAINED] = None
    """H steps per segment."""
    L_cycles: Annotated[int | None, EXPLAINED] = None
    """L steps before each H step."""
    max_segments: Annotated[int | None, EXPLAINED] = None
    """Maximum number of segments."""
    puzzle_emb_len: Annotated[int | None, EXPLAINED] = None
    """Prefix slots of a TRM; 0 stands for as many as its task embedding fills."""
    rope_theta: Annotated[float | None, EXPLAINED] = None
    """Base of the rotary frequencies; 10000 if all_config.yaml does not name it either."""
    answer_loss: Annotated[Literal["stablemax", "softmax"] | None, EXPLAINED] = None
    """Answer loss of its training; it determines how logits become probabilities."""
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    """Type of activations; auto is bfloat16 on CUDA and float32 elsewhere."""
    drop_task_embedding: bool = False
    """Replace the task embedding by zeros, needed if its rows stand for tasks in another order (ARC)."""


#: Options that all_config.yaml may name as well.
SETTINGS = ("num_heads", "H_cycles", "L_cycles", "max_segments", "puzzle_emb_len", "rope_theta", "answer_loss")


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Import, "import", arguments)
    _check_options(options)
    with _errors_of(options.checkpoint):
        files = find_files(options.checkpoint)
        in_file = read_settings(files.settings) if files.settings else {}
    path = files.weights
    with _errors_of(path):
        weights = OfficialWeights.of(read_weights(path))
        required = [*weights.required, "max_segments", "answer_loss"]
        settings = ImportSettings(weights.resolved(_named(options)), weights.resolved(in_file), weights.assumed)
        settings.require(required, weights.model_name)
    values = settings.values
    env = EnvConfig(
        user_id(options.env) if options.env else environment_of(weights, values.get("puzzle_emb_len"), path),
        {"max_segments": values["max_segments"], **keywords(options.kwargs)},
    )
    # Its Q-values are logits of the probability of a right answer, which must suit the environment's rewards.
    halting = _halting(weights.kind, values.get("halting_rule"))
    TrainConfig(env=env, halting=halting)
    made: Any = make_single(env.id, env.kwargs).unwrapped
    spec: TaskSpec = made.task_spec
    _check_alphabet(weights, spec, path)
    _check_identities(weights, spec, path, options.drop_task_embedding)
    with _errors_of(path):
        told = weights.told(spec.num_cells)
        settings.check_agreement(told)
        blank = spec.num_task_ids if options.drop_task_embedding else None
        values |= {"dtype": options.dtype}
        network, sizes, state = weights.convert(values, spec.grid_shape, blank_task_ids=blank)
    model = _built(weights.kind, network, sizes, path)
    model.load_state_dict(state)
    save_model(
        options.out,
        model,
        {
            "env": to_dict(env),
            "task": asdict(spec),
            "max_segments": made.max_segments,
            "package_version": hrm_agents.__version__,
            "imported_from": path.name,
            "training": {"halting": to_dict(halting), "run": {"answer_loss": values["answer_loss"]}},
            "evaluation": None,
        },
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    beside = f" and {files.settings.name} beside it" if files.settings else ""
    used = [*required, *weights.assumed, *({"halting_rule"} & values.keys())]
    say(
        f"read {shown_path(path)}{beside}\n{settings.sources(told, used)}\n"
        f"wrote {options.out}: {weights.model_name} with {parameters:,} parameters for {env.id}\n"
        f"try it with: hrm-agents evaluate {options.out}"
    )
    return 0


def _halting(kind: ModelKind, rule: Any | None) -> HaltingConfig:
    """How the network halts: by the rule that the settings name, else as its kind is trained by default."""
    default = kind.training.get("halting", {})
    return HaltingConfig(**(default if rule in (None, default.get("rule")) else {"rule": rule}), q_loss="bce")


def _named(options: Import) -> dict[str, Any]:
    """Settings that are named on the command line."""
    return {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}


def _check_options(options: Import) -> None:
    """Check the options before a large file is read.

    Raises:
        UserError: a number is out of range, or ``out`` cannot be made or holds a model.
    """
    for name, value in _named(options).items():
        if name in LIMITS and not (name == "puzzle_emb_len" and value == 0):
            LIMITS[name].check(name, value)
    out = options.out
    nearest = next((place for place in (out, *out.parents) if os.path.lexists(place)), None)
    if nearest is not None and not os.path.isdir(nearest):
        raise UserError(f"{shown_path(nearest)} is not a folder: choose another --out")
    for name in (MODEL, CONFIG):
        try:
            os.lstat(out / name)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{shown_path(out)} cannot be written to: {reason}; choose another --out") from error
        raise UserError(f"{shown_path(out)} already holds {name}: choose another --out")


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Convert a ValueError about the checkpoint in ``path`` into a :class:`UserError` that names it."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise UserError(text if text.startswith(shown_path(path)) else f"{shown_path(path)}: {text}") from error


def _built(kind: ModelKind, network: Any, sizes: Sizes, path: Path) -> SegmentModel:
    try:
        return kind.build(network, sizes)
    except (RuntimeError, MemoryError) as error:  # torch raises RuntimeError if memory is exhausted
        raise UserError(f"{shown_path(path)}: not enough memory for this model: {shown(str(error))}") from error


def environment_of(weights: OfficialWeights, puzzle_emb_len: int | None, path: Path) -> str:
    """Find the environment with the checkpoint's alphabet and, if the weights determine it, number of cells.

    Args:
        weights: of the checkpoint.
        puzzle_emb_len: prefix slots, if they are named.
        path: the file, for messages.

    Raises:
        UserError: there is none, or several.
    """
    slots = weights.prefix_slots(puzzle_emb_len)
    cells = None if weights.num_slots is None or slots is None else weights.num_slots - slots
    known = registered_ids()
    for (tokens, size), candidates in ENVS.items():
        if weights.vocab_size == tokens and cells in (None, size):
            return next(id for id in candidates if id in known)
    if weights.vocab_size == 12 and cells in (None, 900):
        raise UserError(
            f"{shown_path(path)} has the 12 tokens of ARC: choose --env HRM/ARC-AGI-1-v0 or HRM/ARC-AGI-2-v0"
        )
    alphabet = f"{weights.vocab_size} tokens" + ("" if cells is None else f" and {cells} cells")
    raise UserError(f"{shown_path(path)}: no built-in environment has {alphabet}; name yours with --env")


def _check_alphabet(weights: OfficialWeights, spec: TaskSpec, path: Path) -> None:
    if weights.vocab_size != spec.vocab_size:
        raise UserError(
            f"{shown_path(path)} has {weights.vocab_size} tokens, {spec.name} has {spec.vocab_size}: choose another "
            "--env"
        )


def _check_identities(weights: OfficialWeights, spec: TaskSpec, path: Path, drop: bool) -> None:
    """Refuse a task embedding whose rows may belong to other tasks than those of the environment."""
    rows = weights.num_task_rows
    if drop:
        if rows == 0:
            raise UserError(f"{shown_path(path)} has no task embedding: omit --drop-task-embedding")
    elif rows > 1:
        raise UserError(
            f"{shown_path(path)} has a task embedding of {rows:,} rows, but {spec.name} may order tasks otherwise: "
            "import it with --drop-task-embedding, which replaces the embedding by zeros"
        )
    elif spec.num_task_ids > 1:
        raise UserError(
            f"{shown_path(path)} has no task identities, {spec.name} has {spec.num_task_ids:,}: choose another --env"
            + (", or start from zeros with --drop-task-embedding" if rows else "")
        )
