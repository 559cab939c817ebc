"""Training in several processes: what they compute together is what one process computes from the joint batch."""

import signal

import numpy as np
import pytest
import shift_task
import torch
from rank_group import in_ranks

from hrm_agents.distributed import ALONE, FailedElsewhere, Rows
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import load_state
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

GPUS = torch.cuda.device_count()
FEW_LABELS = {"num_puzzles": 32, "max_segments": 3, "num_labelled": 10, "score": "rules"}
#: Settings whose losses average over different rows.
RUNS = {
    "paper": {"kwargs": FEW_LABELS},
    "returns": {"halting": {"target": "returns", "exploration_prob": 0.5}},
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

    def make(ranks=ALONE, *, env="HRM/Sudoku-4x4-v0", run=None, name="run", optimizers=None, **settings):
        config = tiny_config(env, settings.pop("kwargs", None), run={"batch_size": 6, **(run or {})}, **settings)
        trainer = Trainer(config, tmp_path / name, Logger(), ranks=ranks, optimizers=optimizers)
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


def weights_of(trainer):
    return {name: weight.numpy().copy() for name, weight in trainer.algorithm.averaged_weights().items()}


def test_two_processes_compute_what_one_computes_from_the_joint_batch(make, tmp_path):
    def work(ranks):
        return {name: learned(make(ranks, **settings), 3) for name, settings in RUNS.items()}

    both = in_ranks(2, work, tmp_path)
    for name, settings in RUNS.items():
        metrics, grads, rows = learned(make(**settings), 3)
        for own_metrics, own_grads, _ in (each[name] for each in both):
            for expected, found in zip(metrics, own_metrics, strict=True):
                assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), name
            assert own_grads.keys() == grads.keys()
            for parameter, expected in grads.items():
                np.testing.assert_allclose(own_grads[parameter], expected, rtol=1e-5, atol=1e-6, err_msg=name)
        for expected, found in zip(rows, both[0][name][2], strict=True):
            for joint, parts in zip(expected, found, strict=True):
                assert parts.dtype == joint.dtype
                np.testing.assert_allclose(parts, joint, atol=1e-5, err_msg=name)


def test_processes_keep_the_same_weights(make, tmp_path):
    """Sparse rows of the table of identities too: each process sees only some of them in its rows."""

    def work(ranks):
        trainer = make(ranks, env=shift_task.ID, kwargs={})
        learned(trainer, 50)
        return weights_of(trainer)

    first, second = in_ranks(2, work, tmp_path)
    (table,) = make(env=shift_task.ID, kwargs={}).model.sparse_parameters()
    assert np.count_nonzero(first[table].any(-1)) > 1
    for name, weight in first.items():
        np.testing.assert_array_equal(second[name], weight)


def descent(model):
    """Steps in proportion to the gradients, so that differences of rounding stay small."""
    return [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)]


@pytest.mark.parametrize("halting", [{"target": "returns", "exploration_prob": 0.5}, {"rule": "gain"}])
def test_a_run_goes_on_in_another_number_of_processes(make, tmp_path, halting):
    settings = {"halting": halting, "optimizers": descent, "run": {"updates": 8}}
    alone = make(**settings, name="alone")
    learned(alone, 4)
    alone.save()

    def begin(ranks):
        trainer = make(ranks, **settings, name="two")
        learned(trainer, 4)
        trainer.save()

    in_ranks(2, begin, tmp_path)
    expected, found = load_state(tmp_path / "alone"), load_state(tmp_path / "two")
    assert found[1]["rollout"] == expected[1]["rollout"]
    assert found[0].keys() == expected[0].keys()
    for path, tensor in expected[0].items():
        torch.testing.assert_close(found[0][path], tensor, rtol=1e-4, atol=1e-5)

    def go_on(ranks):
        trainer = Trainer.resume(tmp_path / "two", None, Logger(), optimizers=descent, ranks=ranks)
        metrics, _, rows = learned(trainer, 4)
        return metrics, rows, weights_of(trainer)

    metrics, _, rows = learned(alone, 4)
    for other_metrics, other_rows, weights in (go_on(ALONE), in_ranks(3, go_on, tmp_path)[0]):
        for right, other in zip(metrics, other_metrics, strict=True):
            assert other == pytest.approx(right, rel=1e-3, abs=1e-5)
        for right, other in zip(rows, other_rows, strict=True):
            for right_part, other_part in zip(right, other, strict=True):
                np.testing.assert_allclose(other_part, right_part, atol=1e-4)
        for name, weight in weights_of(alone).items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-5)


def test_an_evaluation_is_shared_and_has_the_same_report(make, tmp_path):
    reports = in_ranks(3, lambda ranks: make(ranks, env=shift_task.ID, kwargs={}).evaluate().to_dict(), tmp_path)
    assert reports == [make(env=shift_task.ID, kwargs={}).evaluate().to_dict()] * 3


@pytest.mark.parametrize("place", ["update", "evaluate"])
def test_a_signal_to_one_process_stops_all_with_a_save(make, tmp_path, place):
    def work(ranks):
        run = {"updates": 50, "save_every": 100, "eval_every": 2 if place == "evaluate" else 0}
        trainer = make(ranks, env=shift_task.ID, kwargs={}, run=run)
        act = getattr(trainer, place)

        def act_and_signal(*arguments):
            if ranks.rank == 1 and trainer.updates_done == 2 + (place == "update"):
                signal.raise_signal(signal.SIGTERM)
            return act(*arguments)

        setattr(trainer, place, act_and_signal)
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
        return trainer.updates_done, trainer.updates_saved

    done = 4 if place == "update" else 2
    assert in_ranks(2, work, tmp_path) == [(done, done)] * 2
    assert load_state(tmp_path / "run")[1]["updates_done"] == done


def test_what_the_first_process_cannot_write_fails_in_all(make, tmp_path):
    (tmp_path / "run").write_text("a file, no folder")

    def work(ranks):
        with pytest.raises(UserError) as error:
            make(ranks).save()
        return error.type, str(error.value)

    (first, why), (second, _) = in_ranks(2, work, tmp_path)
    assert (first, second) == (UserError, FailedElsewhere)
    assert why.startswith(f"cannot write to {tmp_path / 'run'}")


def test_rows_of_a_joint_batch():
    assert [ALONE.rows(6), len(Rows(6, 2, 4))] == [Rows.all(6), 2]
    assert Rows(6, 2, 4).of(np.arange(6)).tolist() == [2, 3]


def test_what_several_processes_cannot_do_is_refused(make, tmp_path):
    def work(ranks):
        with pytest.raises(UserError, match="batch_size 6 cannot be split evenly over 4 processes"):
            make(ranks)
        for device, problem in (("mps", "cannot train on mps: choose"), ("cuda", f"process 1 .* finds {GPUS} GPUs")):
            if device == "mps" or not GPUS:
                with pytest.raises(UserError, match=problem):
                    ranks.device(device)
        return ranks.device("cpu")

    assert in_ranks(4, work, tmp_path) == ["cpu"] * 4
