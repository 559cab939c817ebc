"""A finished run on a task with identities and views."""

import pytest
import shift_task

from hrm_agents.trainer import Trainer


@pytest.fixture(scope="session")
def shift_run(tmp_path_factory, tiny_config):
    """Folder of a run of two updates; do not write into it."""
    folder = tmp_path_factory.mktemp("runs") / "shift"
    Trainer(tiny_config(shift_task.ID, {}, run={"updates": 2}), folder).run()
    return folder
