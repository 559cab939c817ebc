"""A frozen HRM behind the view that only halts thinks exactly as the policy does."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_agents.models.hrm import HRM, Architecture, HRMConfig
from hrm_agents.policy import HRMPolicy
from hrm_agents.solving.thinker import HRMThinker
from hrm_envs.wrappers import HaltOnly, HaltOnlyVector

ID, ROWS, WIDTH = "HRM/Sudoku-4x4-v0", 4, 16
SETTINGS = {"num_puzzles": 32, "max_segments": 4}


@pytest.fixture
def model():
    torch.manual_seed(0)
    architecture = Architecture(hidden_size=WIDTH, num_heads=2, H_layers=1, L_layers=1)
    made = HRM(HRMConfig.for_task(architecture, gym.make(ID, **SETTINGS).unwrapped.task_spec))
    torch.nn.init.normal_(made.q_head.weight)
    return made


def test_thinks_as_the_policy_does_across_new_puzzles(model):
    """The same halts in the environment itself, with the policy's carry reset by its own rule."""
    env = HaltOnlyVector(gym.make_vec(ID, num_envs=ROWS, **SETTINGS), HRMThinker(model))
    plain, policy = gym.make_vec(ID, num_envs=ROWS, **SETTINGS), HRMPolicy(model)
    obs, _ = env.reset(seed=0)
    (own_obs, _), carry, reset = plain.reset(seed=0), policy.initial_carry(ROWS), np.ones(ROWS, bool)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(12):
        with torch.no_grad():
            decision = policy.act(own_obs, carry, reset)
        np.testing.assert_array_equal(obs[:, :WIDTH], decision.carry.z_H[:, 0].numpy())
        np.testing.assert_array_equal(obs[:, WIDTH], decision.output.q_halt.numpy())
        np.testing.assert_array_equal(obs[:, WIDTH + 1], decision.output.q_continue.numpy())
        np.testing.assert_allclose(obs[:, -1], (own_obs["segment"][:, 0] + 1) / 4)
        halt, carry = rng.integers(0, 2, ROWS), decision.carry
        # Copied, because the view may write into what the thinker handed it.
        last = obs.copy()
        obs, reward, _, _, info = env.step(halt)
        own_obs, own_reward, reset, _, own_info = plain.step({"answer": decision.answer.numpy(), "halt": halt})
        np.testing.assert_array_equal(reward, own_reward)
        for row in np.flatnonzero(reset):
            np.testing.assert_array_equal(info["final_obs"][row], last[row])
            ends += 1
        assert data_equivalence(
            {name: value for name, value in info.items() if name != "final_obs"},
            {name: value for name, value in own_info.items() if name != "final_obs"},
            exact=True,
        )
    assert ends > ROWS


def test_rows_think_as_if_alone(model):
    """Matrix products of another size may add up in another order, hence not to the last bit."""
    env = HaltOnlyVector(gym.make_vec(ID, num_envs=ROWS, **SETTINGS), HRMThinker(model))
    singles = [HaltOnly(gym.make(ID, **SETTINGS), HRMThinker(model)) for _ in range(ROWS)]
    obs, _ = env.reset(seed=5)
    alone = [one.reset(seed=5 + row)[0] for row, one in enumerate(singles)]
    rng = np.random.default_rng(1)
    for _ in range(8):
        np.testing.assert_allclose(obs, alone, rtol=1e-4, atol=1e-5)
        halt = rng.integers(0, 2, ROWS)
        obs, _, ended, _, _ = env.step(halt)
        alone = [one.step(halt[row])[0] if not ended[row] else None for row, one in enumerate(singles)]
        for row in np.flatnonzero(ended):
            singles[row].step(halt[row])
            alone[row] = singles[row].reset()[0]


def test_the_model_is_left_alone(model):
    before = copy.deepcopy(model.state_dict())
    thinker = HRMThinker(model)
    assert thinker.num_features == WIDTH + 2
    obs, _ = gym.make_vec(ID, num_envs=ROWS, **SETTINGS).reset(seed=0)
    memory = thinker.start(obs)
    answer, features, after = thinker.think(obs, memory)
    assert (answer.shape, answer.dtype) == ((ROWS, 16), np.uint8)
    assert (features.shape, features.dtype) == ((ROWS, WIDTH + 2), np.float32)
    assert not any(state.requires_grad for state in after)
    again = thinker.think(obs, thinker.start(obs))
    np.testing.assert_array_equal(again[1], features)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_bfloat16_carries_are_told_in_float32(model):
    architecture = Architecture(hidden_size=WIDTH, num_heads=2, H_layers=1, L_layers=1, dtype="bfloat16")
    small = HRM(HRMConfig.for_task(architecture, gym.make(ID, **SETTINGS).unwrapped.task_spec))
    env = HaltOnlyVector(gym.make_vec(ID, num_envs=ROWS, **SETTINGS), HRMThinker(small))
    env.reset(seed=0)
    obs, *_ = env.step(np.array([1, 0, 0, 1]))
    assert obs.dtype == np.float32
    assert obs in env.observation_space
