"""Training in several processes: what they compute together is what one process computes from the joint batch."""

import numpy as np
import pytest
import shift_task
import torch
from rank_group import in_ranks

from hrm_agents.distributed import ALONE, Rows
from hrm_agents.errors import UserError
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

FEW_LABELS = {"num_puzzles": 32, "max_segments": 3, "num_labelled": 10, "score": "rules"}
#: Settings whose losses average over different rows.
RUNS = {
    "paper": {"kwargs": FEW_LABELS},
    "returns": {"halting": {"target": "returns", "exploration_prob": 0.5}},
    "one pass": {"halting": {"target": "one-pass", "target_decay": 0.9, "exploration": "segment"}},
    "gain": {"halting": {"rule": "gain"}},
    "policy": {
        "halting": {"rule": "policy"},
        "answer": {"reward_weight": 1.0, "credit": "halt", "samples": 3},
    },
    "value": {"answer": {"supervised_weight": 0.0, "reward_weight": 1.0, "baseline": "value", "earns": "reward"}},
    "identities": {"env": shift_task.ID, "kwargs": {}},
}


@pytest.fixture
def make(tiny_config, tmp_path):
    """Makes a trainer of 6 rows whose Q-head is not constant."""

    def make(ranks=ALONE, *, env="HRM/Sudoku-4x4-v0", run=None, name="run", sgd=False, **settings):
        config = tiny_config(env, settings.pop("kwargs", None), run={"batch_size": 6, **(run or {})}, **settings)
        torch.manual_seed(1)
        trainer = Trainer(config, tmp_path / name, Logger(), ranks=ranks)
        torch.nn.init.normal_(trainer.model.q_head.weight, std=0.2)
        return trainer

    return make


def learned(trainer, updates):
    """Metrics of some updates, the gradients of the last one, and what the log was given."""
    seen, metrics = [], []
    trainer.log.segment = lambda batch, values, step: seen.append(batch)
    for _ in range(updates):
        metrics.append(trainer.update())
    grads = {
        name: parameter.grad.to_dense().numpy()
        for name, parameter in trainer.model.named_parameters()
        if parameter.grad is not None
    }
    rows = [
        (batch.reward, batch.terminated, batch.success, batch.score, batch.chosen, batch.forced_halt, *batch.host)
        for batch in seen
    ]
    return metrics, grads, rows


def test_two_processes_compute_what_one_computes_from_the_joint_batch(make, tmp_path):
    def work(ranks):
        return {name: learned(make(ranks, **settings), 3) for name, settings in RUNS.items()}

    both = in_ranks(2, work, tmp_path)
    for name, settings in RUNS.items():
        metrics, grads, rows = learned(make(**settings), 3)
        for own_metrics, own_grads, _ in (each[name] for each in both):
            for expected, found in zip(metrics, own_metrics, strict=True):
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), name
            assert own_grads.keys() == grads.keys()
            for parameter, expected in grads.items():
                np.testing.assert_allclose(own_grads[parameter], expected, rtol=1e-4, atol=1e-6, err_msg=name)
        for expected, found in zip(rows, both[0][name][2], strict=True):
            for joint, parts in zip(expected, found, strict=True):
                assert parts.dtype == joint.dtype
                np.testing.assert_allclose(parts, joint, atol=1e-5, err_msg=name)


def test_processes_keep_the_same_weights(make, tmp_path):
    """Sparse rows of the table of identities too: each process sees only some of them in its rows."""

    def work(ranks):
        trainer = make(ranks, env=shift_task.ID, kwargs={})
        learned(trainer, 50)
        return {name: weight.numpy().copy() for name, weight in trainer.algorithm.averaged_weights().items()}

    first, second = in_ranks(2, work, tmp_path)
    (table,) = make(env=shift_task.ID, kwargs={}).model.sparse_parameters()
    assert np.count_nonzero(first[table].any(-1)) > 1
    for name, weight in first.items():
        np.testing.assert_array_equal(second[name], weight)


def test_rows_of_a_joint_batch():
    assert [ALONE.rows(6), len(Rows(6, 2, 4))] == [Rows.all(6), 2]
    assert Rows(6, 2, 4).of(np.arange(6)).tolist() == [2, 3]


def test_a_batch_that_cannot_be_split_is_refused(make, tmp_path):
    def work(ranks):
        with pytest.raises(UserError, match="batch_size 6 cannot be split evenly over 4 processes"):
            make(ranks)

    in_ranks(4, work, tmp_path)
