"""HRM in Stable-Baselines3: vector environments, observations, carry and algorithms."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from hrm_agents.integrations.sb3 import HRMFeaturesExtractor, ReasoningVecEnv, RecurrentHRMPolicy
from hrm_agents.integrations.spaces import read_space
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import MEMORY
from hrm_envs import independent_seeds
from hrm_envs.wrappers import CellEditVector, FlattenAnswer, FlattenAnswerVector

TINY = Architecture(hidden_size=8, num_heads=2, H_layers=1, L_layers=1, expansion=2.0, mlp_multiple=8)
EXTRACTOR = {
    "features_extractor_class": HRMFeaturesExtractor,
    "features_extractor_kwargs": {"architecture": TINY},
    "net_arch": [8],
}


class Recall(gym.Env):
    """Repeat a cue, which is shown in the first step only, in each of two to four steps.

    Tokens start at 1, so that the zeros with which RecurrentPPO pads are outside the space.
    """

    observation_space = spaces.Dict({"cue": spaces.Box(1, 3, (2,), np.uint8), "clock": spaces.Box(0, 4, (1,))})
    action_space = spaces.Discrete(2)

    def __init__(self, flat=False):
        self.flat = flat
        if flat:
            self.observation_space = spaces.Box(0, 4, (3,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.length, self.time = int(self.np_random.integers(2)), int(self.np_random.integers(2, 5)), 0
        return self.observe(), {"length": self.length}

    def step(self, action):
        reward = float(action == self.cue)
        self.time += 1
        ended = self.time == self.length
        return self.observe(), reward, ended, False, {"right": bool(reward)}

    def observe(self):
        cue = np.full(2, self.cue + 1 if self.time == 0 else 3, np.uint8)
        clock = np.array([self.time], np.float32)
        return np.concatenate((cue, clock)).astype(np.float32) if self.flat else {"cue": cue, "clock": clock}


class Masked(VectorWrapper):
    """Row i masks action i % 2."""

    def action_masks(self):
        return np.arange(2) != (np.arange(self.num_envs) % 2)[:, None]


def recall(num_envs=3, flat=False):
    return SyncVectorEnv([lambda: Recall(flat)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def short(env_id, steps):
    """``env_id`` with truncated episodes."""
    return lambda: gym.make(env_id, max_episode_steps=steps)


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return np.array_equal(a, b)


# Vector environments


@pytest.mark.parametrize(
    ("make", "count"),
    [(short("CartPole-v1", 15), 80), (short("Pendulum-v1", 5), 12), (Recall, 20), (lambda: Recall(True), 20)],
    ids=["discrete", "box", "dict", "flat"],
)
def test_steps_as_sb3s_own_vector_environment_does(make, count):
    """With equal seeds: observations, rewards, ends, last observations, time limits and infos."""
    ours = ReasoningVecEnv(SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.SAME_STEP))
    theirs = DummyVecEnv([make] * 3)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    theirs._seeds = ours.seed(5)
    assert same(ours.reset(), theirs.reset())
    ours.action_space.seed(0)
    ended = 0
    for _ in range(count):
        action = np.stack([ours.action_space.sample() for _ in range(3)])
        (obs, reward, done, infos), (obs_, reward_, done_, infos_) = ours.step(action), theirs.step(action)
        assert same(obs, obs_)
        assert np.array_equal(reward, reward_)
        assert reward.dtype == np.float32
        assert np.array_equal(done, done_)
        assert all(map(same, infos, infos_))
        # Both keep the infos of the last reset.
        assert all(map(same, ours.reset_infos, theirs.reset_infos))
        ended += done.sum()
    assert ended > 5
    ours.close()


def test_our_environments_equal_single_ones():
    kwargs = {"num_puzzles": 16, "max_segments": 3}
    ours = ReasoningVecEnv(FlattenAnswerVector(gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=3, **kwargs)))
    theirs = DummyVecEnv([lambda: FlattenAnswer(gym.make("HRM/Sudoku-4x4-v0", **kwargs))] * 3)
    theirs._seeds = ours.seed(2)
    assert same(ours.reset(), theirs.reset())
    ours.action_space.seed(0)
    ended = 0
    for _ in range(20):
        action = np.stack([ours.action_space.sample() for _ in range(3)])
        (obs, *rest, infos), (obs_, *rest_, infos_) = ours.step(action), theirs.step(action)
        assert same(obs, obs_)
        assert all(map(np.array_equal, rest, rest_))
        assert all(map(same, infos, infos_))
        assert all("terminal_observation" in info for info, end in zip(infos, rest[1], strict=True) if end)
        ended += rest[1].sum()
    assert ended > 5


def test_runs_with_neighbouring_seeds_share_no_row():
    """Its own seeds, seed + i, would give runs 0 and 1 all rows but one in common."""
    env = ReasoningVecEnv(CellEditVector(gym.make_vec("HRM/Maze-9x9-v0", num_envs=24)))

    def rows(seed):
        model = PPO("MultiInputPolicy", env, policy_kwargs=EXTRACTOR, seed=seed, **ON_POLICY)
        return {row.tobytes() for row in model.env.reset()["puzzle"]}

    runs = [rows(seed) for seed in (0, 1, 2)]
    assert [len(run) for run in runs] == [24] * 3
    assert len(set.union(*runs)) == 72
    assert rows(0) == runs[0]
    env.seed()  # a random seed
    assert len({row.tobytes() for row in env.reset()["puzzle"]} & runs[0]) < 3


def test_masks_reach_the_algorithm():
    env = ReasoningVecEnv(Masked(recall()))
    assert is_masking_supported(env)
    assert get_action_masks(env).tolist() == [[False, True], [True, False], [False, True]]
    assert [mask.tolist() for mask in env.env_method("action_masks", indices=[1])] == [[True, False]]
    assert not is_masking_supported(ReasoningVecEnv(recall()))


def test_attributes_and_methods_of_all_layers():
    env = ReasoningVecEnv(Masked(recall()))
    env.seed(0)
    env.reset()
    assert env.get_attr("num_envs") == [3, 3, 3]  # of the vector environment
    assert env.get_attr("time", indices=[0, 2]) == [0, 0]  # of its single environments
    assert len(env.env_method("observe")) == 3
    assert env.env_is_wrapped(Masked) == [True] * 3
    assert env.env_is_wrapped(gym.Wrapper, indices=0) == [False]
    env.set_attr("note", 7)
    assert env.get_attr("note") == [7, 7, 7]
    with pytest.raises(ValueError, match="set it for all"):
        env.set_attr("note", 8, indices=[0])
    assert not env.has_attr("nothing")
    puzzles = ReasoningVecEnv(FlattenAnswerVector(gym.make_vec("HRM/Maze-5x5-v0", num_envs=2, num_puzzles=8)))
    assert puzzles.get_attr("max_segments", indices=0) == [puzzles.env.unwrapped.max_segments]
    with pytest.raises(AttributeError, match="FlattenAnswerVector nor an environment in it has 'nothing'"):
        puzzles.env_method("nothing")


def test_seeds_and_options_are_used_once():
    inner = FlattenAnswerVector(gym.make_vec("HRM/Maze-5x5-v0", num_envs=2, num_puzzles=16, augment=False))
    env = ReasoningVecEnv(inner)
    seeded, _ = inner.reset(seed=independent_seeds(3, 2))
    env.seed(3)
    assert same(env.reset(), seeded)
    assert not same(env.reset(), seeded)
    env.set_options({"index": [4, 5]})
    assert np.array_equal(env.reset()["puzzle"], inner.unwrapped.puzzles.puzzle[[4, 5]])
    assert not np.array_equal(env.reset()["puzzle"], inner.unwrapped.puzzles.puzzle[[4, 5]])
    env.set_options([{"index": [1]}, {}])
    with pytest.raises(ValueError, match="one dict of options"):
        env.reset()


def test_images():
    inner = gym.make_vec("HRM/Maze-5x5-v0", num_envs=2, num_puzzles=8, render_mode="rgb_array")
    env = ReasoningVecEnv(FlattenAnswerVector(inner))
    env.seed(0)
    env.reset()
    images = env.get_images()
    assert len(images) == 2
    height, width, _ = images[0].shape
    assert env.render().shape == (2 * height, width, 3)  # tiled
    assert ReasoningVecEnv(recall()).get_images() == [None] * 3


def test_unsupported_environments():
    with pytest.raises(ValueError, match="Recall is not a Gymnasium vector environment"):
        ReasoningVecEnv(Recall())
    with pytest.raises(ValueError, match=r"autoreset mode is NextStep.*SAME_STEP"):
        ReasoningVecEnv(SyncVectorEnv([Recall]))
    with pytest.raises(ValueError, match=r"does not support Dict actions.*hrm_envs\.wrappers"):
        ReasoningVecEnv(gym.make_vec("HRM/Maze-5x5-v0", num_envs=2, num_puzzles=8))
    with pytest.raises(ValueError, match="copy=True"):
        ReasoningVecEnv(SyncVectorEnv([Recall], copy=False, autoreset_mode=AutoresetMode.SAME_STEP))


# Observations


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5),
        spaces.MultiDiscrete([3, 5, 2]),
        spaces.MultiBinary(4),
        spaces.Box(2, 9, (4,), np.int32),
        spaces.Box(-3, 5, (4,)),
        spaces.Box(0, 255, (3, 36, 36), np.uint8),
        spaces.Dict({"a": spaces.Discrete(3), "b": spaces.MultiDiscrete([2, 4]), "c": spaces.Box(-2, 0, (3,))}),
    ],
    ids=lambda space: str(space)[:14],
)
def test_preprocessing_is_undone(space):
    """The features equal those of the raw observation, without one-hot vectors and scaled images."""
    options = {"patch": 12}
    extractor = HRMFeaturesExtractor(space, architecture=TINY, segments=2, space_options=options)
    space.seed(0)
    samples = [space.sample() for _ in range(4)]
    raw = (
        {name: np.stack([one[name] for one in samples]) for name in space.spaces}
        if isinstance(space, spaces.Dict)
        else np.stack(samples)
    )
    tensors = {name: torch.as_tensor(v) for name, v in raw.items()} if isinstance(raw, dict) else torch.as_tensor(raw)
    features = extractor(preprocess_obs(tensors, space))
    expected = extractor.encoder.encode(read_space(space, **options)(raw), 2)
    torch.testing.assert_close(features, expected)
    assert features.shape == (4, extractor.features_dim)
    assert not torch.allclose(features[0], features[1:])


def test_images_that_are_not_scaled():
    space = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    extractor = HRMFeaturesExtractor(space, architecture=TINY, normalize_images=False, space_options={"patch": 12})
    raw = space.sample()[None]
    features = extractor(preprocess_obs(torch.as_tensor(raw), space, normalize_images=False))
    torch.testing.assert_close(features, extractor.encoder.encode(read_space(space, patch=12)(raw), 2))


# Carry


def collected(policy_kwargs, n_steps=12):
    """A model after one rollout, before any update, whose decisions depend on its carry."""
    torch.manual_seed(0)
    env = ReasoningVecEnv(recall())
    model = RecurrentPPO(
        RecurrentHRMPolicy, env, n_steps=n_steps, seed=0, policy_kwargs={"architecture": TINY, **policy_kwargs}
    )
    for net in (model.policy.action_net, model.policy.value_net):
        torch.nn.init.normal_(net.weight)  # initially near zero, which would hide differences
    model.train = lambda: None
    model.learn(n_steps * 3)
    return model


@pytest.mark.parametrize("critic", ["own", "shared"])
@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_replaying_gives_what_was_collected(critic, segments, batch_size):
    model = collected({"critic": critic, "segments": segments})
    assert model.rollout_buffer.episode_starts[1:].sum() > 6
    forgot = 0.0
    for data in model.rollout_buffer.get(batch_size):
        actions, mask = data.actions.long().flatten(), data.mask > 0
        states = data.lstm_states
        with torch.no_grad():
            values, log_prob, _ = model.policy.evaluate_actions(data.observations, actions, states, data.episode_starts)
            none = RNNStates(*((torch.zeros_like(h), torch.zeros_like(c)) for h, c in states))
            _, without, _ = model.policy.evaluate_actions(data.observations, actions, none, data.episode_starts)
        ratio = (log_prob - data.old_log_prob).exp()[mask]
        torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-5)
        torch.testing.assert_close(values.flatten()[mask], data.old_values[mask], rtol=0, atol=1e-5)
        forgot = max(forgot, float((without - data.old_log_prob)[mask].abs().max()))
    if batch_size is not None:  # some sequences then start within an episode, from a stored carry
        assert forgot > 1e-3


def test_episodes_may_begin_inside_a_sequence():
    """With each row of the rollout as one sequence, the carry is reset at the start of episodes only."""
    model = collected({})
    buffer = model.rollout_buffer
    states = RNNStates(
        *(
            (torch.from_numpy(hidden[0]).clone(), torch.from_numpy(cell[0]).clone())
            for hidden, cell in (
                (buffer.hidden_states_pi, buffer.cell_states_pi),
                (buffer.hidden_states_vf, buffer.cell_states_vf),
            )
        )
    )

    def rows(array):  # [n_steps, n_envs, ...] -> [n_envs * n_steps, ...]
        return torch.from_numpy(array.swapaxes(0, 1).reshape(-1, *array.shape[2:]))

    obs = {name: rows(values) for name, values in buffer.observations.items()}
    actions, starts, old = rows(buffer.actions).long().flatten(), rows(buffer.episode_starts), rows(buffer.log_probs)
    with torch.no_grad():
        _, log_prob, _ = model.policy.evaluate_actions(obs, actions, states, starts)
        _, never, _ = model.policy.evaluate_actions(obs, actions, states, torch.zeros_like(starts))
    torch.testing.assert_close(log_prob, old, rtol=0, atol=1e-5)
    assert (never - old).abs().max() > 1e-3


def test_a_new_episode_begins_from_the_initial_carry():
    model = collected({"segments": 2})
    cell = model.policy.lstm_actor
    obs = torch.rand(1, 3, cell.input_size).round()
    zeros = torch.zeros(1, 3, cell.hidden_size)
    with torch.no_grad():
        features, _ = cell(obs, (zeros, zeros), torch.zeros(1, 3))
        # Parts are in the order of the space: clock, then cue.
        expected = cell.encoder.encode({"clock": obs[0, :, :1], "cue": obs[0, :, 1:].long()}, segments=2)
    assert torch.equal(features[0], expected)


def test_gradients_cross_as_many_steps_as_bptt_says():
    """Which observations the value of the last step depends on, as far as the gradient knows."""
    env = ReasoningVecEnv(recall(flat=True))
    obs = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    begins = torch.tensor([1.0, 0, 0, 0, 0])

    def reached(bptt, begins=begins):
        kwargs = {"architecture": replace(TINY, H_cycles=1, gradient="cycle"), "bptt": bptt}
        policy = RecurrentPPO(RecurrentHRMPolicy, env, seed=0, policy_kwargs=kwargs).policy
        state = torch.ones(1, 1, policy.lstm_actor.hidden_size)
        seen = obs.clone().requires_grad_()
        values, _, _ = policy.evaluate_actions(seen, torch.zeros(5), RNNStates((state, state), (state, state)), begins)
        (gradient,) = torch.autograd.grad(values[-1].sum(), seen)
        return (gradient.abs().sum(-1) > 0).tolist()

    assert reached(None) == [True] * 5
    assert reached(None, torch.tensor([0.0, 0, 1, 0, 0])) == [False] * 2 + [True] * 3
    assert reached(3) == [False] * 3 + [True] * 2  # pieces of three steps and of two
    assert reached(1) == [False] * 4 + [True]


def test_a_gradient_across_steps_is_saved_and_has_an_architecture_of_its_own(tmp_path):
    env = ReasoningVecEnv(recall())
    RecurrentPPO(RecurrentHRMPolicy, env, policy_kwargs={"bptt": 4}).save(tmp_path / "model")
    cell = RecurrentPPO.load(tmp_path / "model").policy.lstm_critic
    assert cell.bptt == 4
    assert cell.encoder.config == MEMORY
    assert RecurrentPPO(RecurrentHRMPolicy, env).policy.lstm_actor.encoder.config == Architecture()


def test_prediction_keeps_the_carry_until_the_next_episode():
    model = collected({})
    obs = {"cue": np.full((2, 2), 3, np.uint8), "clock": np.ones((2, 1), np.float32)}
    _, fresh = model.predict(obs)
    _, later = model.predict(obs, state=fresh, episode_start=np.array([False, True]))
    assert fresh[0].shape == (1, 2, model.policy.lstm_actor.hidden_size)
    np.testing.assert_allclose(later[0][:, 1], fresh[0][:, 1], atol=1e-6)
    assert np.abs(later[0][:, 0] - fresh[0][:, 0]).max() > 1e-3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"lstm_hidden_size": 8}, "lstm_hidden_size belongs to LSTM policies"),
        ({"features_extractor_class": HRMFeaturesExtractor}, "features_extractor_class belongs to LSTM policies"),
        ({"critic": "none"}, "critic must be own or shared, got 'none'"),
        ({"segments": 0}, "segments must be at least 1, got 0"),
        ({"bptt": 0}, "bptt must be at least 1, got 0"),
        ({"bptt": 2, "architecture": TINY}, "no gradient crosses a segment with H_cycles=2"),
    ],
)
def test_invalid_settings(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RecurrentPPO(RecurrentHRMPolicy, ReasoningVecEnv(recall()), policy_kwargs=kwargs)


# Algorithms

ON_POLICY = {"n_steps": 8, "batch_size": 8, "n_epochs": 1}


def ppo(env):
    return PPO("MultiInputPolicy", env, policy_kwargs=EXTRACTOR, seed=0, **ON_POLICY)


def ppo_with_own_critic(env):
    return PPO(
        "MultiInputPolicy", env, policy_kwargs={**EXTRACTOR, "share_features_extractor": False}, seed=0, **ON_POLICY
    )


def maskable_ppo(env):
    return MaskablePPO("MultiInputPolicy", env, policy_kwargs=EXTRACTOR, seed=0, **ON_POLICY)


def dqn(env):
    return DQN(
        "MultiInputPolicy", env, policy_kwargs=EXTRACTOR, seed=0, learning_starts=6, buffer_size=100, batch_size=8
    )


def recurrent_ppo(env):
    return RecurrentPPO(RecurrentHRMPolicy, env, policy_kwargs={"architecture": TINY}, seed=0, **ON_POLICY)


@pytest.mark.parametrize("make", [ppo, ppo_with_own_critic, maskable_ppo, dqn, recurrent_ppo])
def test_learns_saves_loads_and_predicts(make, tmp_path):
    env = VecMonitor(ReasoningVecEnv(Masked(recall())))
    model = make(env)
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    model.learn(48)
    assert len(model.ep_info_buffer) > 5
    after = model.policy.state_dict()
    trunk = [name for name in after if ".H." in name or ".embeddings." in name]
    assert trunk
    online = [name for name in trunk if "target" not in name]
    # The few updates of DQN do not reach its target network.
    assert all(not torch.equal(after[name], before[name]) for name in online)

    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=env)
    obs = env.reset()
    masks = {"action_masks": get_action_masks(env)} if make is maskable_ppo else {}
    action, _ = model.predict(obs, deterministic=True, **masks)
    assert np.array_equal(loaded.predict(obs, deterministic=True, **masks)[0], action)
    assert all(torch.equal(weight, after[name]) for name, weight in loaded.policy.state_dict().items())
    if masks:
        assert action.tolist() == [1, 0, 1]
    loaded.learn(24)


@pytest.mark.parametrize("make", [PPO, DQN])
def test_flat_observations(make):
    model = make("MlpPolicy", ReasoningVecEnv(recall(flat=True)), policy_kwargs=EXTRACTOR, seed=0, device="cpu")
    model.predict(np.zeros(3, np.float32))


def test_a_recurrent_policy_alone_can_be_saved(tmp_path):
    policy = collected({"critic": "shared", "segments": 2, "readout": "both"}).policy
    policy.save(tmp_path / "policy")
    loaded = RecurrentHRMPolicy.load(tmp_path / "policy")
    obs = {"cue": np.full((4, 2), 2, np.uint8), "clock": np.ones((4, 1), np.float32)}
    (_, state), (_, expected) = loaded.predict(obs), policy.predict(obs)
    assert np.array_equal(state[0], expected[0])
    assert loaded.lstm_actor.segments == 2


@pytest.mark.parametrize(
    "make_env",
    [
        lambda: CellEditVector(gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=2, num_puzzles=16)),
        lambda: FlattenAnswerVector(gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=2, num_puzzles=16)),
        lambda: gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=2, num_puzzles=16),
    ],
    ids=["edits", "answers", "moves"],
)
def test_views_of_this_package_with_their_masks(make_env):
    env = ReasoningVecEnv(make_env())
    model = maskable_ppo(env)
    model.learn(16)
    obs, masks = env.reset(), get_action_masks(env)
    action, _ = model.predict(obs, action_masks=masks)
    if isinstance(env.action_space, spaces.Discrete):
        assert masks[np.arange(2), action].all()
    else:
        starts = np.cumsum([0, *env.action_space.nvec[:-1]])
        assert np.take_along_axis(masks, action + starts, axis=1).all()
