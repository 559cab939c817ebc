import dataclasses
import json
import typing

import numpy as np
import pytest

from hrm_agents.config import (
    AnswerConfig,
    EnvConfig,
    HaltingConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
    from_dict,
    to_dict,
)
from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.models.hrm import Architecture, HRMConfig


def through_json(value):
    return json.loads(json.dumps(to_dict(value)))


def test_round_trip_through_json():
    config = TrainConfig(
        EnvConfig("HRM/Maze-7x7-v0", {"wall_share": [0.1, 0.2], "nested": [[1, 2], [3]], "max_segments": 4}),
        Architecture(hidden_size=32, position="rope2d", puzzle_emb_ndim=8),
        OptimConfig(lr=1e-3, max_grad_norm=1.0),
        AnswerConfig(reward_weight=0.5, samples=8),
        HaltingConfig(exploration="segment", gamma=0.9),
        RunConfig(updates=10, threads=2, compile=True),
    )
    again = from_dict(TrainConfig, through_json(config))
    assert again == config
    assert again.env.kwargs == {"wall_share": (0.1, 0.2), "nested": ((1, 2), (3,)), "max_segments": 4}
    network = HRMConfig(vocab_size=6, grid_shape=(4, 5))
    assert from_dict(HRMConfig, through_json(network)) == network


def test_what_is_absent_takes_its_default():
    assert from_dict(TrainConfig, {"run": {"updates": 3}}) == TrainConfig(run=RunConfig(updates=3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"speed": 3}, "here: unknown field 'speed'; this version knows answer, env, halting, model"),
        ({"optim": {"learning_rate": 3}}, "here.optim: unknown field 'learning_rate'"),
        ({"run": 3}, "here.run: expected an object, found int"),
        ({"run": {"updates": "many"}}, "here.run.updates: 'many' is not int"),
        ({"run": {"updates": 1.5}}, "here.run.updates: 1.5 is not int"),
        ({"run": {"updates": True}}, "here.run.updates: True is not int"),
        ({"run": {"threads": "two"}}, "here.run.threads: 'two' is not int"),
        ({"optim": {"schedule": "linear"}}, "here.optim.schedule: 'linear' is not"),
        ({"env": {"kwargs": [1]}}, "here.env.kwargs: .* is not dict"),
        ([1], "here: expected an object, found list"),
    ],
)
def test_strict_reading_names_the_field(data, message):
    with pytest.raises(UserError, match=message):
        from_dict(TrainConfig, data, "here")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("run", "updates", 0),
        ("run", "batch_size", 0),
        ("run", "log_every", 0),
        ("run", "save_every", -1),
        ("run", "eval_puzzles", 0),
        ("run", "eval_every", -1),
        ("run", "seed", -1),
        ("run", "threads", 0),
        ("optim", "lr", 0.0),
        ("optim", "lr", float("nan")),
        ("optim", "beta1", 1.0),
        ("optim", "beta2", -0.1),
        ("optim", "ema_decay", 1.0),
        ("optim", "weight_decay", -1.0),
        ("optim", "max_grad_norm", 0.0),
        ("halting", "exploration_prob", 1.5),
        ("halting", "gamma", 0.0),
        ("halting", "q_weight", -0.5),
        ("halting", "threshold", float("nan")),
        ("halting", "fixed_segments", 0),
        ("halting", "entropy_weight", -0.1),
    ],
)
def test_values_out_of_range_are_named(part, name, value):
    data = {part: {name: value}}
    with pytest.raises(UserError, match=rf"{part}\.{name} .*got {value}"):
        from_dict(TrainConfig, data)


def test_keywords_that_json_cannot_hold_are_refused():
    with pytest.raises(UserError, match="register_task"):
        EnvConfig("HRM/Sudoku-4x4-v0", {"reward": lambda verdict: verdict.score})
    with pytest.raises(UserError, match="ndarray"):
        EnvConfig("HRM/Sudoku-4x4-v0", {"puzzles": np.zeros((1, 16), np.uint8)})


@pytest.mark.parametrize(
    ("q_loss", "gamma", "kwargs", "expected"),
    [
        ("auto", 1.0, {}, LOGIT),
        ("auto", 1.0, {"segment_cost": 0.0}, LOGIT),
        ("auto", 1.0, {"reward": "partial"}, LOGIT),
        ("auto", 0.9, {}, LOGIT),
        ("auto", 1.0, {"segment_cost": 0.01}, PLAIN),
        ("mse", 1.0, {}, PLAIN),
        ("bce", 1.0, {}, LOGIT),
        ("bce", 0.9, {}, LOGIT),
        ("bce", 1.0, {"segment_cost": 0.01}, None),
    ],
)
def test_the_scale_of_q_values(q_loss, gamma, kwargs, expected):
    env, halting = EnvConfig(kwargs=kwargs), HaltingConfig(q_loss=q_loss, gamma=gamma)
    if expected is None:
        with pytest.raises(UserError, match="mse"):
            TrainConfig(env=env, halting=halting)
    else:
        assert TrainConfig(env=env, halting=halting).q_scale() == expected


@pytest.mark.parametrize("cls", typing.get_args(EnvConfig | Architecture | OptimConfig | HaltingConfig | RunConfig))
def test_settings_are_frozen(cls):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 1)
