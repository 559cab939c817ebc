"""Conversion of observation spaces and observations."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

import hrm_envs  # noqa: F401
from hrm_agents.integrations.spaces import MAX_SLOTS, read_space
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import FeaturePart, HRMEncoder, TokenPart

TINY = Architecture(hidden_size=8, num_heads=2, H_layers=1, L_layers=1, mlp_multiple=8)


def only(space, **options):
    return read_space(space, **options).parts["observation"]


@pytest.mark.parametrize(
    ("space", "part"),
    [
        (spaces.Discrete(4, start=-1), TokenPart(1, 4)),
        (spaces.MultiDiscrete([2, 5, 3]), TokenPart(3, 5)),
        (spaces.MultiDiscrete([[2, 5, 3], [1, 1, 1]]), TokenPart(6, 5, (2, 3))),
        (spaces.MultiBinary(7), TokenPart(7, 2)),
        (spaces.MultiBinary((2, 3)), TokenPart(6, 2, (2, 3))),
        (spaces.Box(0, 10, (81,), np.uint8), TokenPart(81, 11)),
        (spaces.Box(0, 255, (128,), np.uint8), TokenPart(128, 256)),
        (spaces.Box(-3, 3, (4, 5), np.int64), TokenPart(20, 7, (4, 5))),
        (spaces.Box(0, 5000, (3,), np.int32), FeaturePart(3)),
        (spaces.Box(-1, 1, (4,)), FeaturePart(4)),
        (spaces.Box(-1, 1, (33,)), FeaturePart(33, 3)),  # at most 16 slots
        (spaces.Box(-1, 1, (4, 6)), FeaturePart(24, 1, (4, 6))),
        (spaces.Box(0, 255, (4, 6), np.uint8), FeaturePart(24, 1, (4, 6))),
        (spaces.Box(0, 255, (3, 4, 6), np.uint8), FeaturePart(72, 3, (4, 6))),
        (spaces.Box(0, 255, (4, 6, 3), np.uint8), FeaturePart(72, 3, (4, 6))),
    ],
)
def test_parts(space, part):
    assert only(space) == part


def test_options():
    assert only(spaces.Box(-1, 1, (33,)), features_per_slot=10) == FeaturePart(33, 10)
    assert only(spaces.Box(0, 255, (3, 4, 6), np.uint8), patch=2) == FeaturePart(72, 12, (2, 3))
    space = spaces.Dict({"puzzle": spaces.Box(0, 4, (12,), np.uint8), "segment": spaces.Discrete(9)})
    parts = read_space(space, grids={"puzzle": (3, 4)}).parts
    assert parts == {"puzzle": TokenPart(12, 5, (3, 4)), "segment": TokenPart(1, 9)}


def shapes(dims):
    return st.lists(st.integers(1, 4), min_size=dims[0], max_size=dims[1]).map(tuple)


TOKENS = st.one_of(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 9), st.integers(-5, 5)),
    st.builds(lambda nvec: spaces.MultiDiscrete(nvec, start=[2] * len(nvec)), st.lists(st.integers(1, 6), min_size=1)),
    st.builds(spaces.MultiBinary, shapes((1, 2))),
    st.builds(lambda low, n, shape: spaces.Box(low, low + n, shape, np.int16), st.integers(-9, 9), st.integers(0, 9),
              shapes((1, 2))),
)  # fmt: skip
NUMBERS = st.builds(
    lambda low, width, shape: spaces.Box(low, low + width, shape, np.float32),
    st.floats(-50, 50, width=16),
    st.floats(0.5, 50, width=16),
    shapes((1, 3)),
)


@settings(max_examples=60, deadline=None)
@given(TOKENS, st.integers(1, 3), st.integers(0, 1000))
def test_tokens_start_at_the_lowest_value(space, batch, seed):
    batched = batch_space(space, batch)
    batched.seed(seed)
    values = batched.sample()
    reader = read_space(space)
    tokens = reader(values)["observation"].numpy()
    start = getattr(space, "start", getattr(space, "low", 0))
    assert tokens.shape == (batch, reader.parts["observation"].width)
    assert (tokens >= 0).all()
    assert (tokens < reader.parts["observation"].vocab_size).all()
    assert (tokens + np.asarray(start).reshape(-1) == values.reshape(batch, -1)).all()


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.integers(1, 3), st.integers(0, 1000))
def test_bounded_numbers_are_scaled(space, batch, seed):
    batched = batch_space(space, batch)
    batched.seed(seed)
    values = batched.sample()
    found = read_space(space)(values)["observation"].numpy()
    expected = 2 * (values.astype(np.float64) - space.low) / (space.high - space.low) - 1
    assert np.abs(found).max() <= 1.0001
    # Images are split into patches: the same numbers in another order.
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(expected.reshape(batch, -1), axis=1), atol=1e-4)


def test_unbounded_numbers_are_not_scaled():
    space = spaces.Box(np.array([-np.inf, 0, -3.4e38]), np.array([np.inf, 10, 3.4e38]), dtype=np.float64)
    found = read_space(space)(np.array([[7.0, 10.0, -7.0], [0.0, 0.0, 0.0]]))["observation"]
    assert found.tolist() == [[7.0, 1.0, -7.0], [0.0, -1.0, 0.0]]


@pytest.mark.parametrize("channels_first", [True, False])
def test_patches_of_an_image(channels_first):
    """The 4 x 4 pixels are numbered 0 to 15; the second channel is 100 higher."""
    first = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    picture = np.concatenate((first, first + 100))
    picture = picture if channels_first else picture.transpose(1, 2, 0)
    reader = read_space(spaces.Box(0, 255, picture.shape, np.uint8), patch=2)
    patches = reader(picture[None])["observation"].reshape(4, 4, 2)  # patch, pixel, channel
    pixels = ((patches + 1) * 127.5).round().int().tolist()
    expected = [(0, 1, 4, 5), (2, 3, 6, 7), (8, 9, 12, 13), (10, 11, 14, 15)]
    assert pixels == [[[pixel, pixel + 100] for pixel in patch] for patch in expected]


@pytest.mark.parametrize("env_id", ["HRM/Sudoku-4x4-v0", "CartPole-v1"])
def test_from_an_environment_to_features(env_id):
    env = gym.make_vec(env_id, num_envs=3, **({"num_puzzles": 8} if "HRM" in env_id else {}))
    reader = read_space(env.single_observation_space)
    torch.manual_seed(0)
    encoder = HRMEncoder(TINY, reader.parts)
    obs, _ = env.reset(seed=0)
    _, features = encoder(reader(obs), encoder.initial_carry(3))
    assert features.shape == (3, 8)
    assert not torch.allclose(features[0], features[1])
    tensors = {name: torch.as_tensor(values) for name, values in obs.items()} if isinstance(obs, dict) else obs
    assert torch.equal(encoder.encode(reader(tensors)), features)
    env.close()


def test_readers_move_with_their_device_and_have_no_weights():
    reader = read_space(spaces.Box(0, 1, (3, 4, 4)), patch=2)
    assert not reader.state_dict()
    assert {buffer.device.type for buffer in reader.to("meta").buffers()} == {"meta"}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Text(5), "'observation' is a Text space.*FlattenObservation"),
        (spaces.Tuple([spaces.Discrete(2)]), "is a Tuple space"),
        (
            spaces.Sequence(spaces.Discrete(2)),
            "is a Sequence space.*numbers$",
        ),  # not flattenable
        (spaces.Dict({"inner": spaces.Dict({"x": spaces.Discrete(2)})}), "'inner' is a Dict space"),
        (spaces.Dict({}), "empty Dict"),
        (spaces.Box(0, 1, ()), r"shape \(\)"),
        (spaces.Box(0, 1, (1, 2, 3, 4)), r"shape \(1, 2, 3, 4\)"),
        (spaces.Box(-(2**31), 2**31 - 1, (3,), np.int32), "int32 without bounds"),
        (spaces.Box(0, 255, (3, 84, 84), np.uint8), r"7,056 slots.*raise patch"),
        (spaces.Box(0, 9, (MAX_SLOTS + 1,), np.uint8), "4,097 slots"),
    ],
)
def test_unsupported_spaces(space, message):
    with pytest.raises(ValueError, match=message):
        read_space(space)


def test_invalid_options():
    picture = spaces.Box(0, 255, (3, 4, 6), np.uint8)
    with pytest.raises(ValueError, match="patch=4 does not divide an image of 4 x 6"):
        read_space(picture, patch=4)
    with pytest.raises(ValueError, match="patch=0"):
        read_space(picture, patch=0)
    with pytest.raises(ValueError, match="grids names 'board'; the space has observation"):
        read_space(picture, grids={"board": (2, 2)})


def test_observations_outside_the_space():
    reader = read_space(spaces.Dict({"a": spaces.MultiDiscrete([3, 2], start=[1, 0])}))
    with pytest.raises(ValueError, match="'a': row 1, cell 1 is 2, the space has 0 to 1"):
        reader({"a": np.array([[3, 1], [1, 2]])})
    with pytest.raises(ValueError, match="'a': row 0, cell 0 is 0, the space has 1 to 3"):
        reader({"a": np.array([[0, 1]])})
    with pytest.raises(ValueError, match=r"'a' has shape \[2\], expected a batch \[B, 2\]"):
        reader({"a": np.array([1, 1])})
    with pytest.raises(ValueError, match="lacks 'a'; it has b"):
        reader({"b": np.array([[1, 1]])})
