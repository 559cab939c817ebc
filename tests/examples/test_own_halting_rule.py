"""The halting rule of the examples: where it halts, and what it costs on the bundled model."""

import importlib
from pathlib import Path

import pytest
import torch

from hrm_agents.halting.decisions import Thought

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module("own_halting_rule")


def test_it_halts_where_it_is_sure_or_nothing_changes(example):
    thought = Thought(
        # Probabilities 0.731 and 0.881.
        q_halt=torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0]),
        q_continue=torch.full((5,), 9.0),
        segment=torch.tensor([2, 2, 2, 1, 2]),
        answer=torch.tensor([[1, 2], [1, 2], [1, 2], [0, 0], [2, 1]], dtype=torch.uint8),
        last_answer=torch.tensor([[1, 1], [1, 1], [1, 2], [0, 0], [1, 2]], dtype=torch.uint8),
    )
    # Neither; sure; settled; the same zeros, but nothing came before; both cells changed.
    assert example.SureOrSettled(0.8).decide(thought).tolist() == [False, True, True, False, False]
    assert example.SureOrSettled(0.7).decide(thought).tolist() == [True] * 5


def test_on_the_bundled_model_it_thinks_longer_the_surer_it_must_be(example, capsys):
    reports = example.main(["--puzzles", "40", "--sure", "0", "0.99"])
    own, at_once, sure = reports.values()
    assert at_once.mean_segments == 1.0  # every chance is above 0
    assert next(iter(reports)) == "the model's own"
    assert own.forced_rate == 0.0
    assert own.mean_segments <= sure.mean_segments < own.max_segments
    assert sure.success_rate >= own.success_rate > at_once.success_rate
    assert len(capsys.readouterr().out.splitlines()) == 4
