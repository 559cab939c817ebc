"""A run killed at every stage of every save, the first included: what is on disk loads, resumes and ends the same."""

import io
import os
import random
import signal
import time
import traceback

import pytest

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load_state
from hrm_agents.trainer import Trainer

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

#: Saves, evaluates and keeps the best after update 2, and saves twice at the end.
RUN = {"updates": 3, "save_every": 2, "eval_every": 2, "eval_puzzles": 3}
KWARGS = {"max_segments": 2}


def finish(config, folder):
    trainer = Trainer.resume(folder) if (folder / CONFIG).exists() else Trainer(config, folder)
    trainer.run()
    return {
        path.relative_to(folder): path.read_bytes() for name in (MODEL, STATE, CONFIG) for path in folder.rglob(name)
    }


def killed_at(stage, config, folder):
    """Whether a run in another process comes to that stage, counted over all its saves, and is killed there."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def counted(act):
            def reach():
                nonlocal count
                count += 1
                if count == stage:
                    os.kill(os.getpid(), signal.SIGKILL)

            def at(*args):
                reach()
                result = act(*args)
                reach()
                return result

            return at

        class InTwoParts(io.FileIO):
            """Takes half of the first write only."""

            has_half = False

            def write(self, data):
                if self.has_half:
                    return counted(super().write)(data)
                self.has_half = True
                return super().write(data[: len(data) // 2])

        try:
            os.fdopen = lambda descriptor, *args, **kwargs: InTwoParts(descriptor, "wb")
            for name in ("fsync", "replace", "link", "fchmod"):
                setattr(os, name, counted(getattr(os, name)))
            Trainer(config, folder).run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def test_a_run_killed_at_any_stage_of_any_save_ends_like_an_undisturbed_one(tiny_config, tmp_path):
    config = tiny_config("HRM/Maze-5x5-v0", KWARGS, run=RUN)
    whole = finish(config, tmp_path / "whole")
    assert {str(path) for path in whole} >= {MODEL, STATE, CONFIG, f"best/{MODEL}", f"best/{CONFIG}"}
    stage, loaded = 1, 0
    while killed_at(stage, config, folder := tmp_path / str(stage)):
        if (folder / CONFIG).exists():
            hrm_agents.load(folder)
            assert load_state(folder)[1]["updates_done"] >= 2
            loaded += 1
        else:
            with pytest.raises(UserError, match="is not a checkpoint"):
                hrm_agents.load(folder)
            with pytest.raises(UserError, match="no checkpoint in it is complete"):
                Trainer.resume(folder)
        if (folder / "best" / CONFIG).exists():
            hrm_agents.load(folder / "best")
            load_state(folder / "best")
        assert finish(config, folder) == whole, f"killed at stage {stage}"
        left = [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".next", ".lock"))]
        assert left == [], f"killed at stage {stage}"
        stage += 7  # a save has 34 stages: in steps of 7 the saves together meet every kind of moment
    assert stage > 100
    assert loaded > 8


def test_a_run_killed_at_twenty_random_moments_ends_like_an_undisturbed_one(tiny_config, tmp_path):
    config = tiny_config("HRM/Maze-5x5-v0", KWARGS, run={**RUN, "updates": 10, "save_every": 1, "eval_every": 5})
    trainer = Trainer(config, tmp_path / "whole")
    start = time.monotonic()
    trainer.run()
    length = time.monotonic() - start
    whole = finish(config, tmp_path / "whole")
    folder, moments, kills, done = tmp_path / "killed", random.Random(0), 0, []
    while kills < 20:
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                trainer = Trainer.resume(folder) if (folder / CONFIG).exists() else Trainer(config, folder)
                os.write(tell, b".")
                trainer.run()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os.close(tell)
        assert os.read(ready, 1), "it could start or go on"
        os.close(ready)
        time.sleep(moments.uniform(0.0, length / 3))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        kills += os.WIFSIGNALED(status)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        if (folder / CONFIG).exists():
            hrm_agents.load(folder)
            done.append(load_state(folder)[1]["updates_done"])
    assert done == sorted(done), "no save was lost"
    assert len(set(done)) > 2, "the run went on between the kills"
    assert finish(config, folder) == whole
