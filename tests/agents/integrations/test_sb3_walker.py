"""HRM in Stable-Baselines3 for agents that move on a board: features, cache and minibatches."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers.vector import TransformReward

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from stable_baselines3 import PPO
from stable_baselines3.common.utils import polyak_update

import hrm_envs  # noqa: F401  registers the environments
from hrm_agents.integrations.sb3 import ReasoningVecEnv
from hrm_agents.integrations.sb3_walker import HRMWalkerExtractor, WalkBuffer
from hrm_agents.models.architecture import Architecture

TINY = Architecture(
    hidden_size=8, num_heads=2, H_layers=1, L_layers=1, expansion=2.0, mlp_multiple=8, position="rope2d"
)
SPACE = spaces.Box(1, 4, (6,), np.uint8)  # tokens 1 to 4: counted from the lowest, 0 to 3
WALKER, FREE, START = 3, 1, 2
BOARDS = [[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1]]


def build(segments=1, **changes):
    torch.manual_seed(0)
    kwargs = {"walker": WALKER, "seen_as": {WALKER: FREE, START: FREE}, **changes}
    kwargs["space_options"] = {"grids": {"observation": (2, 3)}}
    return HRMWalkerExtractor(SPACE, architecture=TINY, segments=segments, **kwargs)


def observe(*walks):
    """Preprocessed observations of walks (board, cell)."""
    rows = torch.tensor([BOARDS[board] for board, _ in walks])
    rows[range(len(walks)), [cell for _, cell in walks]] = WALKER
    return (rows + 1).float()


def count_boards(extractor):
    """A list to which every call of the encoder appends its number of boards."""
    counts, encode = [], extractor.walker.encoder.encode_cells

    def counted(boards, segments):
        counts.append(len(boards))
        return encode(boards, segments)

    extractor.walker.encoder.encode_cells = counted
    return counts


@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("gradient", [True, False])
def test_features_are_the_planners_state_at_the_walker(segments, gradient):
    extractor, walks = build(segments), [(0, 2), (1, 5), (0, 0)]
    with torch.set_grad_enabled(gradient):
        features = extractor(observe(*walks))
    boards = torch.tensor([BOARDS[board] for board, _ in walks])  # no walker in them
    carry, _ = extractor.walker.encoder(boards, extractor.walker.encoder.initial_carry(3), segments=segments)
    prefix = TINY.prefix_slots
    expected = torch.stack([carry.z_H[row, prefix + cell] for row, (_, cell) in enumerate(walks)])
    torch.testing.assert_close(features.detach(), expected)
    assert features.requires_grad == gradient


def test_other_tokens_can_be_hidden():
    obs = observe((0, 2), (0, 2))
    obs[1, 5] = START + 1
    seen = build()(obs)
    torch.testing.assert_close(seen[0], seen[1])
    unlike = build(seen_as={WALKER: FREE})(obs)
    assert not torch.allclose(unlike[0], unlike[1])


def test_a_board_in_many_rows_is_encoded_once_with_the_gradient_of_all():
    walks = [(0, 2), (1, 3), (0, 5), (0, 2), (1, 5)]
    weight = torch.arange(1.0, 6.0)[:, None]
    together, apart = build(), build()
    counts = count_boards(together)
    (together(observe(*walks)) * weight).sum().backward()
    for row, walk in enumerate(walks):
        (apart(observe(walk)) * weight[row]).sum().backward()
    assert counts == [2]
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        # All cells attend to the prefix, so it has a gradient too.
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
        assert one.grad.abs().max() > 0, name


def test_without_gradient_only_new_boards_are_encoded():
    extractor, fresh = build(), build()
    counts = count_boards(extractor)
    rounds = [
        ([(0, 2), (0, 5), (1, 3)], 2),  # two walkers on one board
        ([(0, 3), (1, 2), (0, 0)], 0),  # other cells
        ([(0, 5)], 0),  # another batch size, as for the value of a last observation
        ([(2, 5), (0, 2), (1, 2)], 1),
    ]
    with torch.no_grad():
        for walks, expected in rounds:
            counts.clear()
            obs = observe(*walks)
            features = extractor(obs)
            assert sum(counts) == expected
            torch.testing.assert_close(features, torch.cat([fresh(row[None]) for row in obs]), rtol=1e-4, atol=1e-5)
        extractor.max_plans = 2  # three are cached
        torch.testing.assert_close(extractor(observe((2, 5), (0, 2))), features[:2], rtol=1e-4, atol=1e-5)
        assert (sum(counts), len(extractor.plans)) == (1 + 2, 2)


@pytest.mark.parametrize("how", ["optimiser", "loading", "target"])
def test_new_weights_clear_the_cache(how):
    extractor, obs = build(), observe((0, 2), (1, 3))
    with torch.no_grad():
        before = extractor(obs)
    if how == "optimiser":
        optimiser = torch.optim.Adam(extractor.parameters(), lr=0.1)
        extractor(obs)[:, 0].sum().backward()
        optimiser.step()
    elif how == "target":  # as the target network of a DQN
        other = copy.deepcopy(extractor)
        for weight in other.parameters():
            torch.nn.init.normal_(weight)
        polyak_update(other.parameters(), extractor.parameters(), 1.0)
    else:
        extractor.load_state_dict({name: weight * 1.5 for name, weight in extractor.state_dict().items()})
    with torch.no_grad():
        after = extractor(obs)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, extractor(obs).detach())


def test_returned_features_do_not_change():
    extractor = build()
    with torch.no_grad():
        first = extractor(observe((0, 2), (1, 3)))
        kept = first.clone()
        extractor(observe((2, 2), (2, 1)))
    assert torch.equal(first, kept)


def filled_buffer(n_steps, n_envs):
    """A buffer whose steps are numbered: 100 times the row, plus the step."""
    buffer = WalkBuffer(n_steps, spaces.Box(0, 1000, (1,)), spaces.Discrete(4), device="cpu", n_envs=n_envs)
    for step in range(n_steps):
        number = 100.0 * np.arange(n_envs) + step
        value = torch.from_numpy(number).float()
        buffer.add(number[:, None], np.zeros(n_envs), number, np.zeros(n_envs), value, value)
    return buffer


def test_minibatches_are_whole_rows_and_cover_all_steps():
    buffer = filled_buffer(n_steps=5, n_envs=7)
    seen = []
    for _ in range(2):  # epochs
        batches = list(buffer.get(12))  # two rows of five steps; the last batch has one row
        assert [len(batch.observations) for batch in batches] == [10, 10, 10, 5]
        numbers = [batch.observations.flatten().tolist() for batch in batches]
        for batch in batches:  # fields stay together
            torch.testing.assert_close(batch.observations.flatten(), batch.old_values.flatten())
            torch.testing.assert_close(batch.observations.flatten(), batch.old_log_prob)
        assert sorted(number for batch in numbers for number in batch) == sorted(
            100 * row + step for row in range(7) for step in range(5)
        )
        rows = [[int(number) // 100 for number in batch] for batch in numbers]
        assert all(len(set(batch)) == len(batch) / 5 for batch in rows)
        seen.append(rows)
    assert seen[0] != seen[1]
    assert [len(batch.observations) for batch in buffer.get()] == [35]


def test_a_minibatch_has_at_least_one_row():
    with pytest.raises(ValueError, match="batch_size=4 must be at least n_steps=5"):
        next(filled_buffer(n_steps=5, n_envs=2).get(4))


def test_ppo_learns_saves_loads_and_predicts(tmp_path):
    kwargs = {
        "architecture": TINY,
        "walker": 6,
        "seen_as": {6: 2, 3: 2},
        "border": 1,
        "space_options": {"grids": {"observation": (5, 5)}},
    }
    policy_kwargs = {"features_extractor_class": HRMWalkerExtractor, "features_extractor_kwargs": kwargs}
    walks = gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=4, size=5, num_puzzles=8, door_probability=0.2)
    env = ReasoningVecEnv(walks)
    settings = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "seed": 0, "rollout_buffer_class": WalkBuffer}
    model = PPO("MlpPolicy", env, **settings, policy_kwargs=policy_kwargs)
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    model.learn(64)
    after = model.policy.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in after if ".H." in name or ".embeddings." in name)
    # Values stored without gradient, from the cache, equal those computed with gradient.
    model.train = lambda: None
    model.learn(64)
    for data in model.rollout_buffer.get(None):
        values, log_prob, _ = model.policy.evaluate_actions(data.observations, data.actions.long().flatten())
        torch.testing.assert_close(log_prob, data.old_log_prob, rtol=0, atol=1e-5)
        torch.testing.assert_close(values.flatten(), data.old_values, rtol=0, atol=1e-5)
    del model.train
    model.save(tmp_path / "model")
    obs = env.reset()
    action, _ = model.predict(obs, deterministic=True)
    assert np.array_equal(PPO.load(tmp_path / "model").predict(obs, deterministic=True)[0], action)


def test_ppo_learns_to_walk():
    """From scratch, evaluated on unseen mazes; seeds 0 to 4 reached 58% to 98%."""
    walks = gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=32, size=5, shaping=True, gamma=1.0, exploring_starts=True)
    architecture = Architecture(
        hidden_size=32, H_layers=1, L_layers=1, H_cycles=1, expansion=2.0, mlp_multiple=8, prefix_slots=0,
        position="rope2d", rope_theta=100.0, gradient="cycle",
    )  # fmt: skip
    grid = {"grids": {"observation": (5, 5)}}
    kwargs = {
        "architecture": architecture, "walker": 6, "seen_as": {6: 2, 3: 2}, "border": 1, "space_options": grid
    }  # fmt: skip
    policy_kwargs = {"features_extractor_class": HRMWalkerExtractor, "features_extractor_kwargs": kwargs}
    model = PPO(
        "MlpPolicy", ReasoningVecEnv(TransformReward(walks, lambda reward: np.clip(50 * reward, -1, 1))), seed=0,
        n_steps=16, batch_size=256, n_epochs=1, rollout_buffer_class=WalkBuffer, learning_rate=lambda left: 3e-3 * left,
        gamma=0.9, gae_lambda=0.5, ent_coef=0.1, vf_coef=0.05,
        policy_kwargs={"net_arch": [], "ortho_init": False, **policy_kwargs},
    )  # fmt: skip

    def success():
        env = gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=100, size=5, split="test")
        obs, _ = env.reset(seed=0)
        won, over = np.zeros((2, 100), bool)
        while not over.all():
            obs, _, terminated, truncated, _ = env.step(model.predict(obs)[0])
            won |= terminated & ~over
            over |= terminated | truncated
        return won.mean()

    assert success() < 0.2
    model.learn(24_576)
    assert success() > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"walker": 4}, "token 4 must be from 0 to 3"),
        ({"seen_as": {WALKER: 1, 0: 7}}, "token 7"),
        ({"seen_as": {}}, "in place of the walker, token 3"),
        ({"seen_as": {WALKER: WALKER}}, "in place of the walker"),
        ({"segments": 0}, "segments must be at least 1, got 0"),
        ({"border": 1}, "border=1: a board of 2 x 3 cells must keep some"),
    ],
)
def test_invalid_keywords(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    "space", [spaces.Box(-1.0, 1.0, (6,)), spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Discrete(3)})]
)
def test_spaces_without_a_board(space):
    with pytest.raises(ValueError, match="one board of tokens"):
        HRMWalkerExtractor(space, walker=1, seen_as={1: 0}, architecture=TINY)


@pytest.mark.parametrize("cells", [[], [1, 4]])
def test_observations_without_one_walker(cells):
    obs = observe((0, 2), (0, 2))
    obs[1] = torch.tensor(BOARDS[0]) + 1
    obs[1, cells] = WALKER + 1
    with pytest.raises(ValueError, match="exactly one walker, token 3"):
        build()(obs)
