"""Presets of training: by environment (the defaults of ``hrm-agents train``), and by name.

**By environment** (the preset ``small``): networks of about 250,000 parameters for a CPU. The choices rest on these
shares of unseen puzzles solved, one seed each, measured with 0.1.0.dev before validation splits and independent row
seeds (see Changelog):

- gradient through the whole last H cycle: 7x7 mazes, 77% to 81% after 2,000 updates. An earlier implementation with
  the gradient through the last step alone had 27% after 1,700 and 42% after 3,900, at a lower cost per update;
- ``rope2d+learned`` instead of ``learned`` positions: 4x4 Sudoku, 99% instead of 3% after 500 updates; 6x6, 88%
  instead of 39% after 5,000 (of 10,000 and 15,000 planned). On mazes, learned positions do harm: 7x7, 22% instead of
  43% after 1,000;
- ``rope_theta`` 100 instead of 10,000 on 9x9 mazes: 27% instead of 6% after 2,000 updates. With 10,000, only the
  fastest frequency distinguishes neighbouring cells, and its period is 6.3 cells. On 7x7 mazes the two are alike
  within the spread of seeds (0.1.0, three seeds, 500 validation puzzles, after 3,000 updates: 73 / 81 / 95% with 100,
  100 / 86 / 64% with 10,000), and all mazes but the smallest have the same network.

**By name** (the presets ``paper-*``): the 27-million-parameter models of Wang et al. 2025, arXiv 2506.21734, for a GPU,
with the settings of the authors' code where the paper omits them. We have not run them to the end. Differences between
paper, code and these presets:

- length: the code counts epochs of ``examples`` each, independent of augmentation, and takes
  ``epochs * examples / 768`` updates: 20,000 epochs of 1,000 puzzles for Sudoku and mazes; 100,000 epochs for ARC,
  of the examples that the environment trains on. ARC-AGI-1 has 3,080 here (the code adds ConceptARC, which
  the environment lacks) and ARC-AGI-2 has 4,667;
- training puzzles: one symmetry class in eight of the Sudoku-Extreme and Maze-Hard training puzzles is held out for
  validation, so these runs train on about seven eighths of the paper's 1,000 puzzles and show each more often;
- augmentation: as in the code's dataset builders, Sudoku and ARC train on symmetric copies, mazes do not (``augment``);
- micro-batches: on boards of 900 cells a batch of 768 would need about 143 GiB in bfloat16, and with 256 rows at a time
  it needs 49 (``hrm_agents.memory.predicted``, which counts tensors on the meta device; at 64 rows of Maze-Hard an H200
  measured the predicted 12.4 GiB). The result is that of the whole batch;
- no weight average (``ema_decay`` 0): neither paper nor code has one. Later work reports gains from 0.999;
- the exploration minimum is redrawn at every segment, as in the code, which gave the published results;
- Sudoku and mazes have one task, so its embedding is the learned prefix slot here. It is trained with the network
  (AdamATan2, same rate and decay), whereas the code trains a table with one row by SignSGD: both step by about the
  learning rate in every coordinate;
- ARC also trains on the test pairs of its training tasks (``train_tests``), as the code does. This leaves none for
  validation, so evaluations during training use the test split.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

from hrm_agents.config import AnswerConfig, EnvConfig, HaltingConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.environments import plain_id
from hrm_agents.errors import did_you_mean
from hrm_agents.models.hrm import Architecture

SMALL: Literal["small"] = "small"
PresetName = Literal["small", "paper-sudoku-extreme", "paper-maze-hard", "paper-arc-1", "paper-arc-2"]

_SUDOKU = Architecture(position="rope2d+learned", gradient="cycle")
_SMALL_MAZE = Architecture(position="rope2d", gradient="cycle")
_MAZE = replace(_SMALL_MAZE, rope_theta=100.0)
_HALTING = HaltingConfig(rule="gain", gamma=0.995)

#: Settings by prefix of the id; the first match counts.
PRESETS: tuple[tuple[str, TrainConfig], ...] = (
    ("HRM/Sudoku-4x4", TrainConfig(model=_SUDOKU, halting=_HALTING, run=RunConfig(updates=3000))),
    ("HRM/Sudoku", TrainConfig(model=_SUDOKU, halting=_HALTING, run=RunConfig(updates=15_000))),
    ("HRM/Maze-5x5", TrainConfig(model=_SMALL_MAZE, halting=_HALTING, run=RunConfig(updates=3000))),
    ("HRM/Maze-7x7", TrainConfig(model=_MAZE, halting=_HALTING, run=RunConfig(updates=6000))),
    ("HRM/Maze", TrainConfig(model=_MAZE, halting=_HALTING, run=RunConfig(updates=12_000))),
    # Four prefix slots for the task embedding, the only source of information on the task's rule.
    (
        "HRM/ARC",
        TrainConfig(model=replace(_SUDOKU, puzzle_emb_ndim=256), halting=_HALTING, run=RunConfig(updates=20_000)),
    ),
)

_ANY = TrainConfig(model=_SUDOKU, halting=_HALTING, run=RunConfig(updates=10_000))

_BATCH = 768
#: Rows at a time on boards of 900 cells, so that an update fits a GPU with 80 GB.
_MICRO_BATCH = 256

#: The paper's network. Its MLP width is 1,536: 4 * 512 * 2/3, rounded up to a multiple of 256.
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


def _paper(
    env_id: str, *, epochs: int, examples: int, optim: OptimConfig, micro_batch: int | None = None, **kwargs: Any
) -> TrainConfig:
    """Settings of one experiment of the paper.

    Args:
        env_id: its environment.
        epochs: number of epochs, as the authors' code counts them.
        examples: number of examples per epoch.
        optim: rates and decays.
        micro_batch: rows per forward and backward pass.
        kwargs: keywords of the environment.
    """
    return TrainConfig(
        env=EnvConfig(env_id, kwargs),
        model=_PAPER_MODEL,
        optim=optim,
        answer=AnswerConfig(target="label"),
        halting=HaltingConfig(exploration="segment", exploration_prob=0.1),
        run=RunConfig(
            updates=epochs * examples // _BATCH,
            batch_size=_BATCH,
            micro_batch=micro_batch,
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

#: The named presets, each with its environment.
NAMED: dict[str, TrainConfig] = {
    "paper-sudoku-extreme": _paper("HRM/Sudoku-Extreme-v0", epochs=20_000, examples=1000, optim=_ONE_TASK),
    "paper-maze-hard": _paper(
        "HRM/Maze-30x30-Hard-v0",
        epochs=20_000,
        examples=1000,
        optim=_ONE_TASK,
        micro_batch=_MICRO_BATCH,
        augment=False,
    ),
    "paper-arc-1": _paper(
        "HRM/ARC-AGI-1-v0",
        epochs=100_000,
        examples=3080,
        optim=_MANY_TASKS,
        micro_batch=_MICRO_BATCH,
        train_tests=True,
    ),
    "paper-arc-2": _paper(
        "HRM/ARC-AGI-2-v0",
        epochs=100_000,
        examples=4667,
        optim=_MANY_TASKS,
        micro_batch=_MICRO_BATCH,
        train_tests=True,
    ),
}
assert set(NAMED) == set(get_args(PresetName)) - {SMALL}


def preset(env_id: str | None = None, name: str = SMALL) -> TrainConfig:
    """Settings of a preset for an environment.

    Args:
        env_id: the environment; if omitted, the preset's own (for ``small``, the default of ``EnvConfig``). Only the
            preset's own environment gets the preset's keywords.
        name: ``small`` for settings by environment, with general ones for unknown environments; or one of
            :data:`NAMED`.

    Raises:
        ValueError: there is no preset of that name.
    """
    if name not in get_args(PresetName):
        names = get_args(PresetName)
        hint = did_you_mean(name, names) or f"; choose from {', '.join(names)}"
        raise ValueError(f"unknown preset {name!r}{hint}")
    if name != SMALL:
        found = NAMED[name]
        if env_id is None:
            return found
        own = plain_id(env_id) == found.env.id
        return replace(found, env=EnvConfig(env_id, found.env.kwargs if own else {}))
    env = EnvConfig() if env_id is None else EnvConfig(env_id)
    found = next((config for prefix, config in PRESETS if plain_id(env.id).startswith(prefix)), _ANY)
    return replace(found, env=env)
