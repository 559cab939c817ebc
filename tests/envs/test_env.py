"""The single environment: Gymnasium's own checks, options of reset, copies, hidden solutions."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence

import hrm_envs
from hrm_envs.construction import Settings
from hrm_envs.env import ReasoningEnv

PUZZLE_4X4 = "1...\n..3.\n.4..\n...2"


def make(id: str = "HRM/Sudoku-4x4-v0", **kwargs):
    return gym.make(id, **{"num_puzzles": 16, **kwargs}).unwrapped


def act(env, answer, halt=0):
    return env.step({"answer": np.asarray(answer), "halt": halt})


@pytest.mark.parametrize("id", hrm_envs.registered_ids())
def test_gymnasium_has_no_complaint(id, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check_env(make(id, num_puzzles=4))


@pytest.mark.parametrize("id", ["HRM/Sudoku-6x6-v0", "HRM/Maze-5x5-v0"])
def test_gymnasium_has_no_complaint_with_solutions(id):
    check_env(make(id, expose_solution=True, reward="partial", segment_cost=0.1), skip_render_check=True)


def test_ids_work_without_an_import():
    code = "import gymnasium; print(gymnasium.make('hrm_envs:HRM/Sudoku-4x4-v0', num_puzzles=2).reset()[0]['puzzle'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[")


def test_spaces_of_the_registered_grid():
    env = make()
    assert env.observation_space["puzzle"] == gym.spaces.Box(0, 5, (16,), np.uint8)
    assert env.observation_space["segment"] == gym.spaces.Box(0, 8, (1,), np.int32)
    assert env.action_space["answer"] == gym.spaces.MultiDiscrete([6] * 16)
    assert env.max_segments == 8
    assert env.num_puzzles == 16
    assert len(env.data_hash) == 64


def test_an_episode_in_full():
    env = make(expose_solution=True, max_segments=3, segment_cost=0.1)
    obs, info = env.reset(seed=0)
    assert set(info) == {"solution"}
    assert not obs["answer"].any()
    wrong = obs["puzzle"]
    obs, reward, terminated, truncated, info = act(env, wrong)
    assert (reward, terminated, truncated) == (-0.1, False, False)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert (obs["answer"] == wrong).all()
    assert obs["segment"] == [1]
    assert info == {**info, "is_success": False, "score": 0.0, "halt_reward": 0.0, "forced_halt": False}
    obs, reward, terminated, truncated, info = act(env, info["solution"])
    assert (reward, terminated, info["halt_reward"], info["is_success"]) == (-0.1, False, 1.0, True)
    obs, reward, terminated, truncated, info = act(env, info["solution"])
    assert (reward, terminated, truncated, info["forced_halt"]) == (1.0, True, False, True)


def test_thinking_for_free_pays_a_plain_zero():
    env = make()
    obs, _ = env.reset(seed=0)
    reward = act(env, obs["puzzle"])[1]
    assert str(reward) == "0.0"


def test_steps_need_an_episode():
    env = make(max_segments=1)
    answer = np.zeros(16, np.uint8)
    with pytest.raises(ResetNeeded, match="call reset"):
        act(env, answer)
    env.reset(seed=0)
    act(env, answer)
    with pytest.raises(ResetNeeded, match="call reset"):
        act(env, answer)
    obs, _ = env.reset()
    assert obs in env.observation_space


def test_what_the_environment_returns_is_the_users_own():
    env, twin = make(expose_solution=True), make(expose_solution=True)
    for one in (env, twin):
        one.reset(seed=3)
    answer = np.full(16, 2, np.uint8)
    for _ in range(3):
        obs, _, _, _, info = act(env, answer)
        answer[:] = 5
        for array in (*obs.values(), info["solution"]):
            array[...] = 1
        answer[:] = 2
        act(twin, answer)
        obs, _, _, _, info = act(env, answer)
        expected, _, _, _, told = act(twin, answer)
        assert data_equivalence(obs, expected, exact=True)
        assert data_equivalence(info, told, exact=True)


def test_actions_are_copied():
    env = make()
    env.reset(seed=0)
    answer = np.full(16, 2, np.uint8)
    first, *_ = act(env, answer)
    answer[:] = 3
    assert (first["answer"] == 2).all()
    many = gym.make_vec("HRM/Sudoku-4x4-v0", num_envs=2, num_puzzles=16)
    many.reset(seed=0)
    answers = np.full((2, 16), 2, np.uint8)
    many.step({"answer": answers, "halt": np.zeros(2, int)})
    answers[:] = 3
    assert (many.get_state()["answer"] == 2).all()


def test_seeds():
    env = make(num_puzzles=200)
    first = [env.reset(seed=5)[0]["puzzle"]] + [env.reset()[0]["puzzle"] for _ in range(3)]
    again = [env.reset(seed=5)[0]["puzzle"]] + [env.reset()[0]["puzzle"] for _ in range(3)]
    assert np.array_equal(first, again)
    # Neighbouring seeds: no puzzle of one stream appears in the next, at the same or a shifted position.
    streams = [[env.reset(seed=seed)[0]["puzzle"].tobytes()] + [env.reset()[0]["puzzle"].tobytes() for _ in range(20)]
               for seed in range(10)]  # fmt: skip
    assert len({puzzle for stream in streams for puzzle in stream}) > 200


def test_environments_without_a_seed_differ():
    assert len({make(num_puzzles=500).reset()[0]["puzzle"].tobytes() for _ in range(6)}) > 1


def test_puzzle_from_text_and_array():
    env = make(expose_solution=True)
    obs, info = env.reset(options={"puzzle": PUZZLE_4X4})
    assert obs["puzzle"].reshape(4, 4)[0].tolist() == [2, 1, 1, 1]
    assert env.judge(info["solution"]).success.all()
    for puzzle in (obs["puzzle"], obs["puzzle"].reshape(4, 4), obs["puzzle"][None].astype(np.int64)):
        again, told = env.reset(options={"puzzle": puzzle})
        assert (again["puzzle"] == obs["puzzle"]).all()
        assert (told["solution"] == info["solution"]).all()
    given, told = env.reset(options={"puzzle": obs["puzzle"], "solution": info["solution"]})
    assert (given["puzzle"] == obs["puzzle"]).all()
    act(env, info["solution"], 1)


def test_maze_from_text():
    env = make("HRM/Maze-5x5-v0")
    obs, _ = env.reset(options={"puzzle": "#####\n#S..#\n###.#\n#G..#\n#####"})
    right = obs["puzzle"].copy()
    right[[7, 8, 13, 17, 18]] = 5
    assert act(env, right, 1)[1] == 1.0


def test_index_plays_the_environments_own_puzzles_in_order():
    env = make(expose_solution=True)
    seen = []
    for index in range(env.num_puzzles):
        obs, info = env.reset(options={"index": index})
        assert (obs["puzzle"] == env.puzzles.puzzle[index]).all()
        assert (info["solution"] == env.puzzles.solution[index]).all()
        seen.append(obs["puzzle"].tobytes())
    assert len(set(seen)) == env.num_puzzles


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"puzzel": 1}, "unknown reset option 'puzzel'"),
        ({"reset_mask": np.array([True])}, "unknown reset option 'reset_mask'"),
        ({"puzzle": PUZZLE_4X4, "index": 0}, "not both"),
        ({"solution": np.zeros(16, np.uint8)}, "needs the 'puzzle'"),
        ({"index": -1}, r"must be in \[0, 16\), found -1"),
        ({"index": 16}, r"must be in \[0, 16\), found 16"),
        ({"index": 1.0}, "must be 1 integer"),
        ({"index": [0, 1]}, "must be 1 integer"),
        ({"index": "first"}, "must be 1 integer"),
        ({"index": True}, "must be 1 integer"),
        ({"puzzle": np.ones(15, np.uint8)}, r"4 x 4 = 16 cells; found shape \(15,\)"),
        ({"puzzle": np.full(16, 9)}, r"cell \(row 1, column 1\) holds 9; tokens are 0 to 5"),
        ({"puzzle": np.full(16, -1)}, "holds -1"),
        ({"puzzle": np.full(16, 257)}, "holds 257"),
        ({"puzzle": np.ones(16)}, "expected integer tokens, found float64"),
        ({"puzzle": np.zeros(16, np.uint8)}, "several solutions"),
        ({"puzzle": np.ones(16, np.uint8)}, "several solutions"),
        ({"puzzle": "11..\n....\n....\n...."}, "both hold 1"),
        ({"puzzle": "123.\n...4\n....\n...."}, "no solution"),
        ({"puzzle": "1...\n..&.\n....\n...."}, "line 2, column 3: '&'"),
        ({"puzzle": PUZZLE_4X4 + "\n" + PUZZLE_4X4}, "1 puzzle.* expected, 2 found"),
        ({"puzzle": "nowhere.txt"}, "no such file"),
        ({"puzzle": np.full(16, 2, np.uint8), "solution": np.full(16, 2, np.uint8)}, "does not solve it"),
    ],
)
def test_bad_options_say_what_is_wrong_and_change_nothing(options, message):
    env, twin = make(), make()
    for one in (env, twin):
        one.reset(seed=1)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=2, options=options)
    assert data_equivalence(act(env, np.ones(16, int)), act(twin, np.ones(16, int)), exact=True)
    assert data_equivalence(env.reset(), twin.reset(), exact=True)


def test_bad_maze_options():
    env = make("HRM/Maze-5x5-v0")
    with pytest.raises(ValueError, match="no path"):
        env.reset(options={"puzzle": "#####\n#S#.#\n###.#\n#G..#\n#####"})
    with pytest.raises(ValueError, match="exactly one"):
        env.reset(options={"puzzle": "#####\n#S#.#\n###.#\n#S..#\n#####"})


@pytest.mark.parametrize("id", ["HRM/Sudoku-4x4-v0", "HRM/Maze-7x7-v0"])
def test_hidden_solutions_stay_hidden(id):
    env = make(id, max_segments=2)
    told = make(id, max_segments=2, expose_solution=True)
    obs, info = env.reset(seed=0)
    same, open_info = told.reset(seed=0)
    assert info == {}
    solution = open_info["solution"]
    for _ in range(2):
        assert data_equivalence(obs, same, exact=True)
        assert set(obs) == {"answer", "puzzle", "segment", "task_id"}
        assert not any(np.array_equal(array, solution) for array in obs.values())
        obs, *_, info = act(env, obs["puzzle"])
        same, *_, open_info = act(told, same["puzzle"])
        assert set(info) == {"is_success", "score", "halt_reward", "forced_halt"}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"answer": np.zeros(16, np.uint8)}, "'answer' and 'halt'"),
        (np.zeros(16, np.uint8), "'answer' and 'halt'"),
        ({"answer": np.zeros(15, np.uint8), "halt": 0}, r"found shapes \(15,\)"),
        ({"answer": np.zeros(16, np.uint8), "halt": [0, 1]}, "'halt' of 1"),
        ({"answer": np.full(16, 6, np.uint8), "halt": 0}, "holds 6 at cell 0"),
        ({"answer": np.full(16, 300), "halt": 0}, "integers from 0 to 5"),
        ({"answer": np.full(16, -1), "halt": 0}, "integers from 0 to 5"),
        ({"answer": np.zeros(16), "halt": 0}, "integers from 0 to 5"),
        ({"answer": np.zeros(16, np.uint8), "halt": 2}, "must be 0 or 1, found 2"),
        ({"answer": np.zeros(16, np.uint8), "halt": 0.5}, "must be 0 or 1, found 0.5"),
    ],
)
def test_bad_actions(action, message):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    obs, *_ = act(env, np.zeros(16, np.uint8))
    assert obs["segment"] == [1]


def test_render_modes(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    frame = make(render_mode="rgb_array")
    frame.reset(seed=0)
    picture = frame.render()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    text = make(render_mode="ansi")
    text.reset(seed=0)
    assert "Sudoku 4x4" in text.render()
    window = make(render_mode="human")
    window.metadata = {**window.metadata, "render_fps": 1000}
    window.reset(seed=0)
    act(window, np.zeros(16, np.uint8))
    assert window.render() is None
    assert not window.window_closed
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.reset()
    assert window.window_closed
    window.close()
    window.close()
    assert not window.window_closed
    with pytest.raises(ValueError, match="render_mode='3d'"):
        ReasoningEnv("hrm_envs.sudoku:SudokuTask", render_mode="3d", size=4)


def test_thoughts_reach_the_frame_of_their_step():
    env = make(render_mode="ansi")
    env.reset(seed=0)
    env.post_thoughts(q_halt=0.25, q_continue=0.5, decision="think on")
    act(env, np.full(16, 1, np.uint8))
    assert "Q halt 0.25 | Q continue 0.50 | think on" in env.render()
    env.reset()
    assert "Q halt" not in env.render()
    env.post_thoughts(q_halt=0.25, gain=0.125)
    act(env, np.full(16, 1, np.uint8))
    assert "Q halt 0.25 | Gain of thinking on 0.12" in env.render()
    with pytest.raises(ValueError, match="gain='much'"):
        env.post_thoughts(gain="much")


def test_the_example_in_the_documentation_runs():
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    (example,) = finder.find(ReasoningEnv, "ReasoningEnv")
    assert runner.run(example).attempted >= 6
    assert runner.summarize(verbose=False).failed == 0


def test_the_documentation_lists_every_keyword_with_its_default():
    rows = re.findall(r"^\s*\| `(\w+)` +\| +(?:`(.*?)`)? +\|", ReasoningEnv.__doc__.partition("## Arguments")[2], re.M)
    listed = {name: ast.literal_eval(default) if default else None for name, default in rows}
    defaults = {field.name: field.default for field in fields(Settings)}
    assert listed == {"task": None, "render_mode": None, **defaults}
