"""Maze walks: Gymnasium's contract, and vector rows that equal single environments."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

from hrm_envs import registered_ids
from hrm_envs.env import ReasoningEnv
from hrm_envs.moves.mazes import WalkMazeTask
from hrm_envs.wrappers import MazeMoves, MazeMovesVector

STATIC, DOORS = "HRM/MazeMoves-9x9-v0", "HRM/MazeMoves-9x9-Doors-v0"
HOOK = "#####\n#S  #\n### #\n#G  #\n#####"
ROUTE = [3, 3, 1, 1, 2, 2]
ROWS, SEED = 4, 7


def single(id: str = STATIC, **kwargs) -> MazeMoves:
    return gym.make(id, disable_env_checker=True, **{"num_puzzles": 20, **kwargs}).unwrapped


def vector(id: str = STATIC, num_envs: int = ROWS, **kwargs) -> MazeMovesVector:
    return gym.make_vec(id, num_envs=num_envs, **{"num_puzzles": 20, **kwargs})


def hook(**kwargs) -> MazeMoves:
    env = MazeMoves(size=5, puzzles=HOOK, split="all", **kwargs)
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("observation", ["tokens", "planes"])
@pytest.mark.parametrize("id", [STATIC, DOORS])
def test_check_env(id, observation, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check_env(gym.make(id, observation=observation, num_puzzles=20, split="test").unwrapped)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    ("id", "kwargs"),
    [
        (STATIC, {}),
        (STATIC, {"exploring_starts": True}),
        (DOORS, {"max_steps": 24}),
        (DOORS, {"observation": "planes", "shaping": True, "max_steps": 24, "exploring_starts": True}),
    ],
)
def test_rows_equal_single_environments(id, kwargs, mode):
    rng = np.random.default_rng(0)
    env, singles = vector(id, autoreset_mode=mode, **kwargs), [single(id, **kwargs) for _ in range(ROWS)]
    assert env.metadata["autoreset_mode"] is mode
    assert env.autoreset_mode is mode

    def same(row, obs, info, own_obs, own_info):
        assert np.array_equal(obs[row], own_obs)
        for name in ("is_success", "steps", "optimum", "action_mask"):
            assert (name in own_info) == (f"_{name}" in info and bool(info[f"_{name}"][row])), name
            if name in own_info:
                assert np.array_equal(info[name][row], own_info[name]), name

    obs, info = env.reset(seed=SEED)
    for row, one in enumerate(singles):
        same(row, obs, info, *one.reset(seed=SEED + row))
    ended, ends, successes = np.zeros(ROWS, bool), 0, 0
    for _ in range(150):
        if mode is AutoresetMode.DISABLED and ended.any():
            obs, info = env.reset(options={"reset_mask": ended})
            for row in np.flatnonzero(ended):
                same(row, obs, info, *singles[row].reset())
            ended[:] = False
        # Moves that the mask allows, so that some walks arrive.
        action = (env.action_masks() * rng.random((ROWS, 4))).argmax(axis=1)
        obs, reward, terminated, truncated, info = env.step(action)
        for row, one in enumerate(singles):
            if mode is AutoresetMode.NEXT_STEP and ended[row]:
                same(row, obs, info, *one.reset())
                assert (reward[row], terminated[row], truncated[row]) == (0, False, False)
                continue
            own_obs, *own, own_info = one.step(action[row])
            assert (reward[row], terminated[row], truncated[row]) == tuple(own)
            assert np.array_equal(one.action_masks(), own_info["action_mask"])
            if own[1] or own[2]:
                ends, successes = ends + 1, successes + own[1]
                if mode is AutoresetMode.SAME_STEP:
                    assert info["_final_obs"][row]
                    same(row, {row: info["final_obs"][row]}, info["final_info"], own_obs, own_info)
                    own_obs, own_info = one.reset()
            same(row, obs, info, own_obs, own_info)
        ended = terminated | truncated
        if mode is AutoresetMode.SAME_STEP:
            assert np.array_equal(info.get("_final_obs", np.zeros(ROWS, bool)), ended)
            assert np.array_equal(env.action_masks(), info["action_mask"])
    assert ends >= 8
    assert successes >= 1


def test_a_walk_around_the_hook():
    env = hook()
    obs, info = env.reset()
    assert obs.dtype == np.uint8
    assert (info["steps"], info["optimum"], info["action_mask"].tolist()) == (0, 6, [0, 0, 0, 1])
    assert "is_success" not in info
    total = 0.0
    for step, action in enumerate(ROUTE, 1):
        _, reward, terminated, truncated, info = env.step(action)
        total += reward
        assert (terminated, truncated, info["is_success"], info["steps"]) == (step == 6, False, step == 6, step)
    assert total == pytest.approx(1 - 5 * 0.01)
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_splits_and_symmetric_copies_come_from_the_mazes():
    train, test = single(split="train"), single(split="test")
    assert train.mazes.data_hash == ReasoningEnv(WalkMazeTask, size=9, num_puzzles=20).data_hash
    assert train.mazes.data_hash != test.mazes.data_hash
    stored = {row.tobytes() for row in test.mazes.puzzles.puzzle}
    for seed in range(5):
        obs, _ = test.reset(seed=seed)
        start = obs.copy()
        start[obs == 6] = 3
        assert start.tobytes() in stored
        assert np.array_equal(obs, test.reset(options={"puzzle": start})[0])
    obs, _ = test.reset(options={"index": 3})
    assert np.array_equal(obs == 4, test.mazes.puzzles.puzzle[3] == 4)
    with pytest.raises(ValueError, match="index"):
        test.reset(options={"index": 20})


def test_it_wraps_any_maze_environment():
    env = MazeMoves(gym.make("HRM/Maze-30x30-Hard-v0", num_puzzles=3), observation="planes")
    obs, info = env.reset(seed=0)
    assert obs.shape == (5, 30, 30)
    assert info["optimum"] >= 109
    rows = MazeMovesVector(gym.make_vec("HRM/Maze-9x9-v0", num_envs=3, num_puzzles=5, autoreset_mode="NextStep"))
    assert rows.autoreset_mode is AutoresetMode.NEXT_STEP
    assert rows.reset(seed=0)[0].shape == (3, 81)
    one = MazeMoves(gym.make("HRM/Maze-9x9-v0", num_puzzles=5))
    assert data_equivalence(rows.reset(seed=5)[0][2], one.reset(seed=7)[0])


def test_what_cannot_be_walked_in_is_refused():
    with pytest.raises(ValueError, match="single maze environment"):
        MazeMoves(gym.make("HRM/Sudoku-4x4-v0", num_puzzles=2))
    with pytest.raises(ValueError, match="not 'HRM/Maze-9x9-v0'"):
        MazeMoves("HRM/Maze-9x9-v0")
    with pytest.raises(ValueError, match="vector maze environment"):
        MazeMovesVector(gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=2, num_puzzles=2))
    with pytest.raises(
        TypeError,
        match=r"__init__\(\) got an unexpected keyword argument 'expose_solution'; it takes max_steps, .*min_path",
    ):
        single(expose_solution=True)
    with pytest.raises(TypeError, match=r"'size'.*maze environment itself"):
        MazeMoves(gym.make("HRM/Maze-5x5-v0"), size=5)
    with pytest.raises(ValueError, match="render_mode='pixels'"):
        MazeMoves(size=5, render_mode="pixels")
    with pytest.raises(ValueError, match="render_mode='human'"):
        vector(render_mode="human")


@pytest.mark.parametrize("action", [4, -1, 0.5, True, [0, 1], None])
def test_bad_moves_change_nothing(action):
    env = hook()
    with pytest.raises(ValueError, match="action"):
        env.step(action)
    assert env.step(3)[-1]["steps"] == 1


def test_vector_refuses_what_does_not_fit():
    env = vector(autoreset_mode="Disabled", max_steps=1)
    with pytest.raises(ResetNeeded, match="row 0"):
        env.step(np.zeros(ROWS, int))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="4 integer"):
        env.step(np.zeros(3, int))
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(ROWS, bool)})
    env.step(np.zeros(ROWS, int))
    with pytest.raises(ValueError, match="row 0 has ended"):
        env.step(np.zeros(ROWS, int))


def test_seeds_of_single_rows():
    env = vector(DOORS)
    first, _ = env.reset(seed=[3, None, 5, None])
    again, _ = env.reset(seed=[3, None, 5, None])
    assert np.array_equal(first[[0, 2]], again[[0, 2]])
    assert not np.array_equal(first[[1, 3]], again[[1, 3]])  # their streams went on


def test_arrays_are_not_shared():
    env = vector(DOORS)
    obs, info = env.reset(seed=0)
    kept = copy.deepcopy((obs, info))
    for _ in range(5):
        env.step(np.array([0, 1, 2, 3]))
    assert data_equivalence((obs, info), kept)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_walk_alike(copier):
    for env in (single(DOORS), vector(DOORS)):
        env.reset(seed=0)
        other, rng = copier(env), np.random.default_rng(0)
        for _ in range(6):
            action = 3 if isinstance(env, MazeMoves) else rng.integers(0, 4, ROWS)
            assert data_equivalence(env.step(action)[:4], other.step(action)[:4])


def test_walks_are_no_segment_mdp():
    assert not {STATIC, DOORS} & set(registered_ids())
    assert "task" not in gym.spec(STATIC).kwargs  # marks environments of the segment MDP


def test_text():
    env = hook(render_mode="ansi")
    env.step(3)
    assert env.render() == "Maze 5x5 | step 1/7 | shortest 6 | walking\n#####\n#S@ #\n### #\n#G  #\n#####\n"
    rows = vector(render_mode="ansi")
    rows.reset(seed=0)
    assert [text.count("@") for text in rows.render()] == [1] * ROWS


def test_pictures_show_walker_doors_and_trail():
    pytest.importorskip("pygame")
    env = single(DOORS, render_mode="rgb_array", door_probability=1.0)
    with pytest.raises(ResetNeeded):
        env.render()
    obs, info = env.reset(seed=1)
    before = env.render()
    assert before.shape == (640, 960, 3)
    assert np.array_equal(before, env.render())
    env.step(int(np.argmin(info["action_mask"])))  # into a wall: only the doors change
    changed = (env.render() != before).any(axis=2)[32:608, 32:608].reshape(9, 64, 9, 64).any(axis=(1, 3)).reshape(-1)
    assert changed.tolist() == np.isin(obs, (7, 8)).tolist()
    rows = vector(DOORS, render_mode="rgb_array", door_probability=1.0)
    rows.reset(seed=1)
    assert np.array_equal(rows.render()[0], before)


def test_one_window_shows_the_walk(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for env in (MazeMoves(size=5, render_mode="human"), MazeMoves(gym.make("HRM/Maze-5x5-v0", render_mode="human"))):
        monkeypatch.setitem(env.metadata, "render_fps", 1000)
        env.reset(seed=0)
        env.step(0)
        shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        twin = MazeMoves(size=5, render_mode="rgb_array")
        twin.reset(seed=0)
        twin.step(0)
        assert np.array_equal(shown, twin.render())
        env.mazes.close()  # has no window of its own: the one on the screen stays
        assert pygame.display.get_init()
        env.close()
        assert not pygame.display.get_init()
        env.close()


def test_maskable_agents_find_the_mask():
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    masking = pytest.importorskip("sb3_contrib.common.maskable.utils")
    rows = vec_env.DummyVecEnv([lambda: gym.make(DOORS, num_puzzles=5)] * 2)
    rows.reset()
    assert masking.is_masking_supported(rows)
    assert masking.get_action_masks(rows).shape == (2, 4)


@pytest.mark.parametrize("how", ["spec", "JSON", "copy"])
@pytest.mark.parametrize("mode", [None, "ansi"])
def test_a_walk_around_an_environment_tells_how_to_make_it_again(how, mode):
    settings = {"max_steps": 9, "observation": "planes", "door_probability": 0.1, "shaping": True}
    env = MazeMoves(gym.make("HRM/Maze-7x7-v0", num_puzzles=5, split="test"), render_mode=mode, **settings)
    spec = {"spec": env.spec, "JSON": EnvSpec.from_json(env.spec.to_json()), "copy": copy.deepcopy(env).spec}[how]
    again = gym.make(spec)
    assert type(again) is MazeMoves
    assert again.spec == env.spec
    assert again.render_mode == mode
    for one in (env, again):
        one.action_space.seed(0)
    assert data_equivalence(env.reset(seed=3), again.reset(seed=3), exact=True)
    for _ in range(5):
        steps = [one.step(one.action_space.sample()) for one in (env, again)]
        assert data_equivalence(*steps, exact=True)


def test_a_time_limit_around_the_mazes_is_not_silently_lost():
    """Gymnasium sets the limit of a spec around the innermost environment, which here is that of the mazes."""
    with pytest.raises(ValueError, match="use max_steps, or wrap MazeMoves instead"):
        MazeMoves(gym.make("HRM/Maze-7x7-v0", num_puzzles=5, max_episode_steps=2))
    walk = gym.wrappers.TimeLimit(MazeMoves(gym.make("HRM/Maze-7x7-v0", num_puzzles=5)), 2)
    walk.reset(seed=0)
    assert [walk.step(0)[3] for _ in range(2)] == [False, True]
    with pytest.raises(ValueError, match="use max_steps, or wrap MazeMoves instead"):
        gym.make(walk.spec)


def test_specs_of_other_walks():
    assert single().spec.id == STATIC
    assert single().spec.additional_wrappers == ()
    mode = MazeMoves(gym.make("HRM/Maze-7x7-v0", num_puzzles=5, render_mode="ansi"))
    assert gym.make(mode.spec).render_mode == "ansi"
    # Constructed directly, or around such an environment: there is no id.
    assert MazeMoves(size=5).spec is None
    assert MazeMoves(ReasoningEnv("hrm_envs.maze:MazeTask", size=5)).spec is None
    inner = gym.make("HRM/Maze-7x7-v0", num_puzzles=5)
    MazeMoves(inner, max_steps=3)
    assert inner.unwrapped.spec.additional_wrappers == ()  # unchanged
