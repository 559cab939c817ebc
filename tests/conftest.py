"""Shared by all tests: seeds, one thread, windows that nobody sees, and tiny runs of training."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from warm_python import WarmPython

from hrm_agents.config import AnswerConfig, EnvConfig, HaltingConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.models.hrm import Architecture

TINY_MODEL = {"hidden_size": 16, "num_heads": 2, "H_layers": 1, "L_layers": 1, "expansion": 2.0, "mlp_multiple": 8}
TINY_RUN = {"updates": 4, "batch_size": 4, "eval_every": 0, "device": "cpu", "threads": 1, "log_every": 2}


def pytest_collection_modifyitems(items):
    """Run whole programs first, so that short tests come last and all workers are busy until the end."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(autouse=True)
def same_start():
    """What a test draws without a seed of its own does not depend on the tests before it, nor do its threads."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (Stable-Baselines3 draws from it)
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def warm_python():
    """Runs Python programs that need not wait for torch to be imported."""
    python = WarmPython()
    yield python
    python.close()


@pytest.fixture
def screen(monkeypatch):
    """pygame, which opens windows in memory; no window and no event is left to the tests after."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.quit()
    pygame.display.init()
    pygame.event.clear()
    yield pygame
    pygame.display.quit()


@pytest.fixture
def no_screen(monkeypatch):
    """There is no display to open a window on."""
    pygame = pytest.importorskip("pygame")
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    yield
    pygame.display.quit()


def _tiny_config(env="HRM/Sudoku-4x4-v0", kwargs=None, *, model=None, optim=None, answer=None, halting=None, run=None):
    kwargs = {"num_puzzles": 32, "max_segments": 3} if kwargs is None else kwargs
    return TrainConfig(
        EnvConfig(env, kwargs),
        Architecture(**{**TINY_MODEL, **(model or {})}),
        OptimConfig(**{"warmup": 2, **(optim or {})}),
        AnswerConfig(**(answer or {})),
        HaltingConfig(**(halting or {})),
        RunConfig(**{**TINY_RUN, **(run or {})}),
    )


@pytest.fixture(scope="session")
def tiny_config():
    """Makes the settings of a run that lasts a moment."""
    return _tiny_config


@pytest.fixture(scope="session")
def tiny_flags():
    """The same as options of ``hrm-agents train``."""
    flags = ["--optim.warmup", "2", "--no-gif", "--kwargs", "num_puzzles=32", "max_segments=3"]
    for part, settings in (("model", TINY_MODEL), ("run", TINY_RUN)):
        for name, value in settings.items():
            flags += [f"--{part}.{name.replace('_', '-')}", str(value)]
    return flags


def _train(folder: Path, config: TrainConfig) -> Path:
    from hrm_agents.trainer import Trainer

    Trainer(config, folder).run()
    return folder


@pytest.fixture(scope="session")
def sudoku_run(tmp_path_factory):
    """Folder of a finished run on 4x4 Sudoku, which solves next to nothing; do not write into it."""
    return _train(tmp_path_factory.mktemp("runs") / "sudoku", _tiny_config())


@pytest.fixture(scope="session")
def maze_run(tmp_path_factory):
    """Folder of a finished run on 5x5 mazes; do not write into it."""
    config = _tiny_config("HRM/Maze-5x5-v0", {"max_segments": 3})
    return _train(tmp_path_factory.mktemp("runs") / "maze", config)
