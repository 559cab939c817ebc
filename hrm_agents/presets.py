"""Settings by environment, the defaults of ``hrm-agents train``, and by name, for ``--preset``.

**By environment** (the preset ``small``): nets of about 250,000 parameters for a CPU. Shares of unseen puzzles
solved, one seed each:

- gradient through the whole last H cycle: 7x7 mazes, 77% to 81% after 2,000 updates. An earlier implementation with
  the gradient through the last step alone was at 27% after 1,700 and 42% after 3,900, at a lower cost per update;
- ``rope2d+learned`` against ``learned`` positions: 4x4 Sudoku, 99% against 3% after 500 updates; 6x6, 88% against 39%
  after 5,000 (of 10,000 and 15,000 planned). On mazes learned positions do harm: 7x7, 22% against 43% after 1,000;
- ``rope_theta`` 100 against 10,000 on 9x9 mazes: 27% against 6% after 2,000 updates. Only the fastest frequency tells
  neighbours apart there, and it comes round again after 6.3 cells.

**By name** (the presets ``paper-*``): the 27-million-parameter models of Wang et al. 2025, arXiv 2506.21734, with the
settings of the authors' code where the text leaves them open. They are meant for a GPU, and no results of ours stand
behind them. Where the two differ, or ours differ from both:

- length: the code counts epochs of ``examples`` each, whatever their augmentation, and takes
  ``epochs * examples / 768`` updates: 20,000 epochs of 1,000 puzzles for Sudoku and mazes; 100,000 epochs for ARC,
  of the examples that the environment trains on. ARC-AGI-1 has 3,080 here (the code adds ConceptARC, which
  the environment does not have) and ARC-AGI-2 has 4,667;
- no average of the weights (``ema_decay`` 0): neither text nor code has one. Later work reports gains from 0.999;
- the exploration minimum is redrawn at every segment, as in the code that gave the published results;
- Sudoku and mazes have one task, so its embedding is the learned prefix slot here. It is trained with the network
  (AdamATan2, same rate and decay) where the code gives a table with one row to SignSGD: both step by about the
  learning rate in every coordinate;
- ARC trains on the test pairs of its training tasks too (``train_tests``), as the code does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

from hrm_agents.config import EnvConfig, HaltingConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.models.hrm import Architecture

SMALL: Literal["small"] = "small"
PresetName = Literal["small", "paper-sudoku-extreme", "paper-maze-hard", "paper-arc-1", "paper-arc-2"]

_SUDOKU = Architecture(position="rope2d+learned", gradient="cycle")
_SMALL_MAZE = Architecture(position="rope2d", gradient="cycle")
_MAZE = replace(_SMALL_MAZE, rope_theta=100.0)

#: The first prefix that an id begins with decides; the rest of the id does not matter.
PRESETS: tuple[tuple[str, TrainConfig], ...] = (
    ("HRM/Sudoku-4x4", TrainConfig(model=_SUDOKU, run=RunConfig(updates=3000))),
    ("HRM/Sudoku", TrainConfig(model=_SUDOKU, run=RunConfig(updates=15_000))),
    ("HRM/Maze-5x5", TrainConfig(model=_SMALL_MAZE, run=RunConfig(updates=3000))),
    ("HRM/Maze-7x7", TrainConfig(model=_SMALL_MAZE, run=RunConfig(updates=6000))),
    ("HRM/Maze", TrainConfig(model=_MAZE, run=RunConfig(updates=12_000))),
    # Four prefix slots for the identity of the task, which is all that the network knows of its rule.
    ("HRM/ARC", TrainConfig(model=replace(_SUDOKU, puzzle_emb_ndim=256), run=RunConfig(updates=20_000))),
)

_ANY = TrainConfig(model=_SUDOKU, run=RunConfig(updates=10_000))

_BATCH = 768

#: The network of the paper. With 4 * 512 * 2/3 rounded up to a multiple of 256 its MLPs are 1,536 wide.
_PAPER_MODEL = Architecture(
    hidden_size=512,
    num_heads=8,
    H_layers=4,
    L_layers=4,
    H_cycles=2,
    L_cycles=2,
    expansion=4.0,
    mlp_multiple=256,
    position="rope",
    rope_theta=10_000.0,
    gradient="step",
    dtype="auto",
)


def _paper(env_id: str, *, epochs: int, examples: int, optim: OptimConfig, **kwargs: Any) -> TrainConfig:
    """The settings of one experiment of the paper.

    Args:
        env_id: its environment.
        epochs: as the authors' code counts them.
        examples: of which an epoch consists.
        optim: rates and decays.
        kwargs: keywords of the environment.
    """
    return TrainConfig(
        env=EnvConfig(env_id, kwargs),
        model=_PAPER_MODEL,
        optim=optim,
        halting=HaltingConfig(exploration="segment", exploration_prob=0.1),
        run=RunConfig(
            updates=epochs * examples // _BATCH,
            batch_size=_BATCH,
            eval_every=2500,
            eval_puzzles=1000,
            save_every=2500,
        ),
    )


_MANY_TASKS = OptimConfig(
    lr=1e-4,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    warmup=2000,
    schedule="constant",
    ema_decay=0.0,
    embedding_lr=1e-2,
    embedding_weight_decay=0.1,
)
_ONE_TASK = replace(_MANY_TASKS, weight_decay=1.0, embedding_lr=1e-4, embedding_weight_decay=1.0)

#: The presets with a name of their own. Each names its environment.
NAMED: dict[str, TrainConfig] = {
    "paper-sudoku-extreme": _paper("HRM/Sudoku-Extreme-v0", epochs=20_000, examples=1000, optim=_ONE_TASK),
    "paper-maze-hard": _paper("HRM/Maze-30x30-Hard-v0", epochs=20_000, examples=1000, optim=_ONE_TASK),
    "paper-arc-1": _paper("HRM/ARC-AGI-1-v0", epochs=100_000, examples=3080, optim=_MANY_TASKS, train_tests=True),
    "paper-arc-2": _paper("HRM/ARC-AGI-2-v0", epochs=100_000, examples=4667, optim=_MANY_TASKS, train_tests=True),
}
assert set(NAMED) == set(get_args(PresetName)) - {SMALL}


def preset(env_id: str | None = None, name: str = SMALL) -> TrainConfig:
    """The settings of a preset for an environment.

    Args:
        env_id: the environment. Without one the preset's own (for ``small``, the default of ``EnvConfig``), with the
            keywords that the preset gives it. Another environment gets none of these.
        name: ``small`` for settings that suit the environment, general ones if it has none; or one of :data:`NAMED`.

    Raises:
        ValueError: there is no preset of that name.
    """
    if name not in get_args(PresetName):
        raise ValueError(f"preset {name!r}: choose one of {', '.join(get_args(PresetName))}")
    if name != SMALL:
        found = NAMED[name]
        if env_id is None:
            return found
        own = env_id.rpartition(":")[2] == found.env.id
        return replace(found, env=EnvConfig(env_id, found.env.kwargs if own else {}))
    env = EnvConfig() if env_id is None else EnvConfig(env_id)
    bare = env.id.rpartition(":")[2]
    found = next((config for prefix, config in PRESETS if bare.startswith(prefix)), _ANY)
    return replace(found, env=env)
