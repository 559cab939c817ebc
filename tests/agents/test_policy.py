import numpy as np
import pytest
import torch

import hrm_agents
from hrm_agents.environments import make_vector
from hrm_agents.models.hrm import HRM, Architecture, Carry, HRMConfig
from hrm_agents.policy import HRMPolicy


@pytest.fixture
def env():
    return make_vector("HRM/Sudoku-4x4-v0", 6, {"num_puzzles": 32})


@pytest.fixture
def policy(env):
    torch.manual_seed(0)
    architecture = Architecture(hidden_size=16, num_heads=2, H_layers=1, L_layers=1)
    model = HRM(HRMConfig.for_task(architecture, env.task_spec))
    torch.nn.init.normal_(model.q_head.weight)
    torch.nn.init.zeros_(model.q_head.bias)
    return HRMPolicy(model)


NOBODY, EVERYBODY = np.zeros(6, bool), np.ones(6, bool)


def test_action_fits_the_environment(env, policy):
    obs, _ = env.reset(seed=0)
    decision = policy.act(obs, policy.initial_carry(6), EVERYBODY)
    assert decision.answer.dtype == torch.uint8
    assert decision.halt.dtype == torch.bool
    assert decision.output.logits.requires_grad
    assert not any(state.requires_grad for state in decision.carry)
    obs, *_ = env.step(decision.action())
    running = ~decision.halt.numpy()
    assert running.any()
    np.testing.assert_array_equal(obs["answer"][running], decision.answer.numpy()[running])


def test_answers_and_halts_are_the_likelier_ones(env, policy):
    obs, _ = env.reset(seed=0)
    undecided = policy.act(obs, policy.initial_carry(6), EVERYBODY).output
    with torch.no_grad():
        policy.model.q_head.bias[0] += (undecided.q_continue - undecided.q_halt).mean()
    decision = policy.act(obs, policy.initial_carry(6), EVERYBODY)
    logits, q_halt, q_continue = (part.detach().numpy() for part in decision.output[:3])
    np.testing.assert_array_equal(decision.answer, logits.argmax(-1))
    np.testing.assert_array_equal(decision.halt, q_halt > q_continue)
    assert 0 < decision.halt.sum() < 6, "the model must disagree with itself for the test to say anything"


def test_min_segments_holds_back_a_wish_to_halt(env, policy):
    with torch.no_grad():
        policy.model.q_head.weight.zero_()
        policy.model.q_head.bias.copy_(torch.tensor([1.0, -1.0]))
    obs, _ = env.reset(seed=0)
    obs["segment"] = np.array([[0], [0], [1], [1], [2], [2]], np.int32)
    carry = policy.initial_carry(6)
    # The segment about to be taken is one more than those taken.
    halt = policy.act(obs, carry, EVERYBODY, np.array([1, 2, 2, 3, 3, 4])).halt
    assert halt.tolist() == [True, False, True, False, True, False]
    assert policy.act(obs, carry, EVERYBODY).halt.all()


def test_reset_rows_start_from_the_initial_memory_and_others_from_theirs(env, policy):
    obs, _ = env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    carry = Carry(*(torch.randn(state.shape, generator=generator) for state in policy.initial_carry(6)))
    reset = np.array([True, False, True, False, False, False])
    mixed = policy.act(obs, carry, reset).output.logits
    fresh = policy.act(obs, policy.initial_carry(6), NOBODY).output.logits
    kept = policy.act(obs, carry, NOBODY).output.logits
    torch.testing.assert_close(mixed[reset], fresh[reset])
    torch.testing.assert_close(mixed[~reset], kept[~reset])
    assert not torch.allclose(fresh, kept)


def test_a_row_of_a_batch_equals_the_row_alone(env, policy):
    obs, _ = env.reset(seed=0)
    carry = policy.initial_carry(6)
    together = policy.act(obs, carry, EVERYBODY)
    together = policy.act(obs, together.carry, NOBODY)
    for row in range(6):
        alone = {name: array[row : row + 1] for name, array in obs.items()}
        decision = policy.act(alone, policy.initial_carry(1), EVERYBODY[:1])
        decision = policy.act(alone, decision.carry, NOBODY[:1])
        torch.testing.assert_close(decision.output.logits[0], together.output.logits[row], atol=1e-4, rtol=1e-4)
        assert decision.halt[0] == together.halt[row]


def test_rows_at_segment_0_start_afresh_unless_told_otherwise(env, policy):
    obs, _ = env.reset(seed=0)
    obs["segment"] = np.array([[0], [1], [2], [0], [3], [1]], np.int32)
    generator = torch.Generator().manual_seed(0)
    carry = Carry(*(torch.randn(state.shape, generator=generator) for state in policy.initial_carry(6)))
    fresh = obs["segment"][:, 0] == 0
    by_itself, told = policy.act(obs, carry), policy.act(obs, carry, fresh)
    assert torch.equal(by_itself.output.logits, told.output.logits)
    kept = policy.act(obs, carry, NOBODY)  # episodes that begin in states of the caller's own
    assert torch.equal(by_itself.output.logits[~fresh], kept.output.logits[~fresh])
    assert not torch.allclose(by_itself.output.logits[fresh], kept.output.logits[fresh])


def episodes(mode, policy, num_envs=4, num_episodes=3):
    """Segments and success of each row's first episodes, in an environment of that autoreset mode."""
    env = make_vector("HRM/Maze-9x9-v0", num_envs, {"split": "test", "num_puzzles": 50, "autoreset_mode": mode})
    ended = [[] for _ in range(num_envs)]
    (obs, _), carry = env.reset(seed=3), policy.initial_carry(num_envs)
    while min(map(len, ended)) < num_episodes:
        with torch.no_grad():
            decision = policy.act(obs, carry)
        taken, carry = obs["segment"][:, 0] + 1, decision.carry
        obs, reward, terminated, _, _ = env.step(decision.action())
        for row in np.flatnonzero(terminated):
            ended[row].append((int(taken[row]), bool(reward[row] == 1)))
        if mode == "Disabled" and terminated.any():
            obs, _ = env.reset(options={"reset_mask": terminated})
    return [row[:num_episodes] for row in ended]


def test_a_loop_plays_the_same_episodes_in_every_autoreset_mode():
    solver = hrm_agents.load("maze-9x9")
    policy = HRMPolicy(solver.model, rule=solver.rule)
    same, following, disabled = (episodes(mode, policy) for mode in ("SameStep", "NextStep", "Disabled"))
    assert same == following == disabled
    solved = [success for row in same for _, success in row]
    assert sum(solved) >= 11, "the bundled model solves nearly all"
    assert len({segments for row in same for segments, _ in row}) > 1, "rows end at different times"
