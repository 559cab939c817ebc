"""``torchrun ... -m hrm_agents train``, whose processes may be killed and start again."""

import os
import subprocess
import sys

import torch
from rank_group import in_ranks

from hrm_agents.config import TrainConfig
from hrm_agents.records.checkpoint import MODEL, read_config, read_tensors
from hrm_agents.records.logger import Logger
from hrm_agents.records.resume import saved_config
from hrm_agents.records.run_file import RUN_FILE, read_run_file
from hrm_agents.trainer import Trainer

#: Kills the second process once, after seven updates.
MODULE = """
import os, signal
from hrm_agents.trainer import Trainer

update = Trainer.update

def update_or_die(self):
    if self.updates_done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return update(self)

if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    Trainer.update = update_or_die
"""


def test_a_run_whose_process_was_killed_ends_like_an_undisturbed_one(tiny_flags, tmp_path):
    module, out = tmp_path / "killing.py", tmp_path / "run"
    module.write_text(MODULE)
    flags = ["HRM/Maze-5x5-v0", *tiny_flags, "--kwargs", "max_segments=3", "--run.updates", "12"]
    flags += ["--run.save-every", "5", "--module", str(module), "--out", str(out)]
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "hrm_agents", "train", *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("in 2 processes") == 2  # said by the first process, before and after
    assert done.stderr.count("unseen puzzles solved") == 1
    assert read_config(out)["updates"] == 12
    assert len(list((out / "tensorboard").iterdir())) == 2  # of the first process, each time

    config, other = saved_config(out), tmp_path / "other"
    written = read_run_file(out / RUN_FILE)
    assert (written.over(TrainConfig()), written.module) == (config, (str(module),))
    in_ranks(2, lambda ranks: Trainer(config, other, Logger(), ranks=ranks).run().num_puzzles, tmp_path)
    assert read_config(other)["evaluation"] == read_config(out)["evaluation"]
    expected, found = read_tensors(other / MODEL)[0], read_tensors(out / MODEL)[0]
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=0)
    assert not (out / ".lock").exists()
