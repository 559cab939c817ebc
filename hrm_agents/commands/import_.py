"""``hrm-agents import``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from torch import Tensor

import hrm_agents
from hrm_agents.commands.common import EXPLAINED, Keywords, keywords, parse, say
from hrm_agents.config import EnvConfig, HaltingConfig, TrainConfig, to_dict
from hrm_agents.environments import make_single, user_id
from hrm_agents.errors import UserError, shown, shown_path
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.limits import LIMITS
from hrm_agents.models.official import from_official, num_task_rows, official_name
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
    """Convert a checkpoint of the public HRM code into one for evaluate, watch and solve.

    Sizes are read from the weights; all other settings have the paper's values unless given here. A checkpoint is data:
    no code in it is executed.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A file written by torch.save, a .safetensors or .npz file, or a folder with a file named checkpoint."""
    out: Path
    """Output folder."""
    env: Annotated[str | None, EXPLAINED] = None
    """Gymnasium id of its puzzles; if omitted, found from the weights for 9x9 Sudoku and 30x30 mazes."""
    kwargs: Keywords = ()
    num_heads: int = 8
    """Attention heads."""
    H_cycles: int = 2
    """H steps per segment."""
    L_cycles: int = 2
    """L steps before each H step."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    max_segments: int = 16
    """Maximum number of segments."""
    answer_loss: Literal["stablemax", "softmax"] = "stablemax"
    """Answer loss of its training; it determines how logits become probabilities."""
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    """Type of activations; auto is bfloat16 on CUDA and float32 elsewhere."""
    drop_task_embedding: bool = False
    """Replace the task embedding by zeros, needed if its rows stand for tasks in another order (ARC)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Import, "import", arguments)
    _check_options(options)
    # Unlike Path.is_dir, os.path.isdir is False for a name that is too long.
    path = options.checkpoint / "checkpoint" if os.path.isdir(options.checkpoint) else options.checkpoint
    with _errors_of(path):
        weights = read_weights(path)
        sizes = {official_name(name): tuple(tensor.shape) for name, tensor in weights.items()}
    env = EnvConfig(
        user_id(options.env) if options.env else environment_of(sizes, path),
        {"max_segments": options.max_segments, **keywords(options.kwargs)},
    )
    # Its Q-values are logits of the probability of a right answer, which must suit the environment's rewards.
    halting = HaltingConfig(q_loss="bce")
    TrainConfig(env=env, halting=halting)
    made: Any = make_single(env.id, env.kwargs).unwrapped
    spec: TaskSpec = made.task_spec
    _check_alphabet(sizes, spec, path)
    _check_identities(weights, spec, path, options.drop_task_embedding)
    with _errors_of(path):
        config, state = from_official(
            weights,
            HRMConfig(
                vocab_size=spec.vocab_size,
                grid_shape=spec.grid_shape,
                hidden_size=_embedding_size(sizes, path)[1],
                num_heads=options.num_heads,
                H_cycles=options.H_cycles,
                L_cycles=options.L_cycles,
                rope_theta=options.rope_theta,
                dtype=options.dtype,
            ),
            blank_task_ids=spec.num_task_ids if options.drop_task_embedding else None,
        )
    model = _built(config, path)
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
            "training": {"halting": to_dict(halting), "run": {"answer_loss": options.answer_loss}},
            "evaluation": None,
        },
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    say(
        f"wrote {options.out}: {parameters:,} parameters, {config.num_heads} heads, {config.H_cycles} x "
        f"{config.L_cycles} cycles, {config.position} positions, {made.max_segments} segments, for {env.id}\n"
        f"try it with: hrm-agents evaluate {options.out}"
    )
    return 0


def _check_options(options: Import) -> None:
    """Check the options before a large file is read.

    Raises:
        UserError: a number is out of range, or ``out`` cannot be made or holds a model.
    """
    for name in ("num_heads", "H_cycles", "L_cycles", "rope_theta"):
        LIMITS[name].check(name, getattr(options, name))
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


def _built(config: HRMConfig, path: Path) -> HRM:
    try:
        return HRM(config)
    except (RuntimeError, MemoryError) as error:  # torch raises RuntimeError if memory is exhausted
        raise UserError(f"{shown_path(path)}: not enough memory for this model: {shown(str(error))}") from error


def environment_of(sizes: Mapping[str, tuple[int, ...]], path: Path) -> str:
    """Find the environment with the checkpoint's alphabet and, if the weights determine it, number of cells.

    Args:
        sizes: shapes of the weights, under our names.
        path: the file, for messages.

    Raises:
        UserError: there is none, or several.
    """
    vocab_size, hidden_size = _embedding_size(sizes, path)
    cells = None
    if "embedding.position" in sizes:
        slots = -(-sizes.get("embedding.task.weight", (0, 0))[-1] // hidden_size)
        cells = sizes["embedding.position"][0] - slots
    known = registered_ids()
    for (tokens, size), candidates in ENVS.items():
        if vocab_size == tokens and cells in (None, size):
            return next(id for id in candidates if id in known)
    if vocab_size == 12 and cells in (None, 900):
        raise UserError(
            f"{shown_path(path)} has the 12 tokens of ARC: choose --env HRM/ARC-AGI-1-v0 or HRM/ARC-AGI-2-v0"
        )
    grid = "" if cells is None else f" and {cells} cells"
    raise UserError(f"{shown_path(path)}: no built-in environment has {vocab_size} tokens{grid}; name yours with --env")


def _embedding_size(sizes: Mapping[str, tuple[int, ...]], path: Path) -> tuple[int, int]:
    """Vocabulary size and hidden size."""
    size = sizes.get("embedding.token", ())
    if len(size) != 2:
        raise UserError(
            f"{shown_path(path)} has no matrix 'embed_tokens.embedding_weight': it is not an HRM checkpoint"
        )
    return size[0], size[1]


def _check_alphabet(sizes: Mapping[str, tuple[int, ...]], spec: TaskSpec, path: Path) -> None:
    tokens, _ = _embedding_size(sizes, path)
    if tokens != spec.vocab_size:
        raise UserError(
            f"{shown_path(path)} has {tokens} tokens, {spec.name} has {spec.vocab_size}: choose another --env"
        )


def _check_identities(weights: Mapping[str, Tensor], spec: TaskSpec, path: Path, drop: bool) -> None:
    """Refuse a task embedding whose rows may belong to other tasks than those of the environment."""
    rows = num_task_rows(weights)
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
