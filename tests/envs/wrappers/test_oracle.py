"""The best moves and the distance to G, against a search of what the observation shows."""

from __future__ import annotations

from collections import deque

import gymnasium as gym
import numpy as np
import pytest

import hrm_envs  # noqa: F401  (registers the ids)

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
GOAL, WALKER = 4, 6
#: Wall and shut door.
SHUT = (1, 8)
DOORS = {"size": 9, "num_puzzles": 20, "door_probability": 0.2, "num_doors": 12, "oracle": True}


def search(tokens: np.ndarray) -> tuple[list[int], int]:
    """Best moves and distance, from the tokens of one observation in which the walker is not on G."""
    grid = tokens.reshape(9, 9)
    goal = tuple(int(at) for at in np.argwhere(grid == GOAL)[0])
    distance, waiting = {goal: 0}, deque([goal])
    while waiting:
        row, column = waiting.popleft()
        for down, right in MOVES:
            cell = row + down, column + right
            if min(cell) >= 0 and max(cell) < 9 and cell not in distance and grid[cell] not in SHUT:
                distance[cell] = distance[row, column] + 1
                waiting.append(cell)
    row, column = (int(at) for at in np.argwhere(grid == WALKER)[0])
    here = distance.get((row, column), -1)
    best = [int(here > 0 and distance.get((row + down, column + right), -2) == here - 1) for down, right in MOVES]
    return best, here


@pytest.mark.parametrize("kwargs", [{}, {"shaping": True}, {"exploring_starts": True}, {"door_probability": 0.0}])
def test_it_is_what_a_search_of_the_observation_finds(kwargs: dict[str, object]) -> None:
    settings = {**DOORS, **kwargs}
    if not settings["door_probability"]:
        del settings["num_doors"]
    env = gym.make("HRM/MazeMoves-9x9-v0", **settings)
    found: set[bool] = set()
    choices: set[int] = set()
    env.action_space.seed(0)
    for seed in range(12):
        obs, info = env.reset(seed=seed)
        over = False
        while not over:
            best, distance = search(obs)
            assert info["oracle"].tolist() == best
            assert info["oracle"].dtype == np.int8
            assert info["oracle_distance"] == distance
            found.add(distance < 0)
            choices.add(sum(best))
            # Follows the oracle where it knows a way, in two of three steps.
            wise = bool(sum(best)) and env.np_random.random() < 0.67
            action = env.action_space.sample(info["oracle"] if wise else info["action_mask"])
            obs, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        if terminated:
            assert info["oracle"].tolist() == [0, 0, 0, 0]
            assert info["oracle_distance"] == 0
    if settings["door_probability"]:
        assert found == {True, False}  # doors have cut off G at times
        assert choices >= {0, 1, 2}


def test_every_row_of_a_vector_environment_has_that_of_the_single_one() -> None:
    venv = gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=3, **DOORS, autoreset_mode="Disabled", max_steps=25)
    envs = [gym.make("HRM/MazeMoves-9x9-v0", **DOORS, max_steps=25) for _ in range(3)]
    _, info = venv.reset(seed=5)
    infos = [env.reset(seed=5 + row)[1] for row, env in enumerate(envs)]
    rng = np.random.default_rng(0)
    done = np.zeros(3, bool)
    for _ in range(60):
        for row in range(3):
            if info["_oracle"][row]:
                assert info["oracle"][row].tolist() == infos[row]["oracle"].tolist()
                assert info["oracle_distance"][row] == infos[row]["oracle_distance"]
        if done.any():
            _, info = venv.reset(options={"reset_mask": done})
            assert info["_oracle"].tolist() == info["_oracle_distance"].tolist() == done.tolist()
            assert not info["oracle"][~done].any()
            for row in np.flatnonzero(done):
                infos[row] = envs[row].reset()[1]
            done = np.zeros(3, bool)
            continue
        actions = rng.integers(4, size=3)
        _, _, terminated, truncated, info = venv.step(actions)
        infos = [env.step(int(action))[4] for env, action in zip(envs, actions, strict=True)]
        done = terminated | truncated


def test_a_row_that_is_refilled_has_the_last_one_in_its_final_info() -> None:
    venv = gym.make_vec("HRM/MazeMoves-9x9-v0", num_envs=1, size=5, puzzles="#####\n#SG #\n# # #\n#   #\n#####",
                        split="all", oracle=True)  # fmt: skip
    _, info = venv.reset(seed=0)
    assert info["oracle"].tolist() == [[0, 0, 0, 1]]
    _, _, terminated, _, info = venv.step(np.array([3]))
    assert terminated[0]
    assert info["final_info"]["oracle"].tolist() == [[0, 0, 0, 0]]
    assert info["final_info"]["oracle_distance"].tolist() == [0]
    assert info["oracle_distance"].tolist() == [1]


def test_following_it_takes_the_optimum() -> None:
    env = gym.make("HRM/MazeMoves-9x9-v0", num_puzzles=20, oracle=True)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        optimum = info["optimum"]
        assert info["oracle_distance"] == optimum
        terminated = False
        while not terminated:
            *_, terminated, _, info = env.step(int(info["oracle"].argmax()))
        assert info["steps"] == optimum


def test_it_is_there_only_on_request_and_changes_nothing_else() -> None:
    plain, asked = (gym.make("HRM/MazeMoves-9x9-Doors-v0", num_puzzles=20, oracle=oracle) for oracle in (False, True))
    results = []
    for env in (plain, asked):
        env.action_space.seed(3)
        obs, info = env.reset(seed=3)
        steps = [(obs, {name: value for name, value in info.items() if not name.startswith("oracle")})]
        for _ in range(20):
            obs, reward, *_, info = env.step(env.action_space.sample())
            steps.append((obs, {name: value for name, value in info.items() if not name.startswith("oracle")}, reward))
        results.append(steps)
        assert ("oracle" in info) == ("oracle_distance" in info) == (env is asked)
    np.testing.assert_equal(*results)
    with pytest.raises(ValueError, match="oracle='yes' is not true or false"):
        gym.make("HRM/MazeMoves-9x9-v0", oracle="yes")
