"""ARC grids drawn with a cursor: a reference implementation, hand-computed episodes, and equal twins."""

from __future__ import annotations

import copy
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import MODES, ROWS, gymnasium_has_no_complaint, rows_equal_singles, single, vector

from hrm_envs.arc.grids import END, FIRST_COLOUR, SYMBOLS, place, read_grid
from hrm_envs.wrappers import ArcAction, ArcEditor, ArcEditorVector

ARC = "HRM/ARC-AGI-1-v0"
SIDE = 6
#: Shapes of input and output: larger, smaller, both, equal, and smallest to largest.
SHAPES = {"grow": (2, 3, 4, 5), "shrink": (5, 4, 1, 2), "turn": (2, 5, 5, 2), "same": (3, 3, 3, 3), "all": (1, 1, 6, 6)}
KEYWORDS = {"max_edits": 14, "edit_cost": 0.01, "shaping": True, "gamma": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random tasks, because these tests draw grids and do not infer rules."""
    place, rng = tmp_path_factory.mktemp("tasks"), np.random.default_rng(0)
    for name, (rows, columns, out_rows, out_columns) in SHAPES.items():
        pairs = [
            {"input": rng.integers(1, 10, (rows, columns)), "output": rng.integers(1, 10, (out_rows, out_columns))}
            for _ in range(4)
        ]
        pairs = [{part: grid.tolist() for part, grid in pair.items()} for pair in pairs]
        (place / f"{name}.json").write_text(json.dumps({"train": pairs[:3], "test": pairs[3:]}))
    return str(place)


def arc(make, folder, **kwargs):
    settings = {"puzzles": folder, "canvas": SIDE, "augmentations": 4, "demonstrations": 2, "num_puzzles": None}
    return make(ARC, **{**settings, **kwargs})


def towards(board, cursor, size, origin, solution):
    """The next action towards the solution: first the size, then the cells, row by row in alternating directions."""
    side = int(len(board) ** 0.5)
    target = read_grid(solution, side, tuple(origin))
    for axis, add in enumerate((ArcAction.ADD_ROW, ArcAction.ADD_COLUMN)):
        if size[axis] != target.shape[axis]:
            return add + (size[axis] > target.shape[axis])  # the add action precedes the remove action
    at, drawn = cursor - origin, read_grid(board, side, tuple(origin))
    for row in range(target.shape[0]):
        for column in range(target.shape[1])[:: -1 if row % 2 else 1]:
            if drawn[row, column] != target[row, column]:
                down, along = row - at[0], column - at[1]
                if down or along:
                    axis, way = (0, down) if down else (1, along)
                    return 2 * axis + (way > 0)  # up, down, left, right
                return ArcAction.PAINT + target[row, column]
    return ArcAction.SUBMIT


def origin_of(obs):
    return np.argwhere(obs["puzzle"].reshape(SIDE, SIDE) >= FIRST_COLOUR)[0]


def choose(rng, env, solution):
    """Random, masked, solving and submitting actions for the rows."""
    masks, drafts = env.action_masks(), env.drafts
    actions = np.array([env.single_action_space.sample() for _ in solution])
    for row, kind in enumerate(rng.integers(0, 8, len(solution))):
        if kind < 3:
            actions[row] = rng.choice(np.flatnonzero(masks[row]))
        elif kind < 7:
            state = (drafts.answer[row], drafts.cursor[row], drafts.size[row], drafts.origin[row])
            actions[row] = towards(*state, solution[row])
    return actions


def test_gymnasium_has_no_complaint(folder, monkeypatch):
    gymnasium_has_no_complaint(ArcEditor(arc(single, folder), **KEYWORDS), monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000), shaping=st.booleans(), start=st.sampled_from(["input", "blank"]))
def test_rows_equal_single_wrappers(folder, mode, seed, shaping, start):
    keywords = {**KEYWORDS, "shaping": shaping, "start": start}
    env = ArcEditorVector(arc(vector, folder, autoreset_mode=mode, render_mode="ansi"), **keywords)
    env.single_action_space.seed(seed)
    singles = [ArcEditor(arc(single, folder, render_mode="ansi"), **keywords) for _ in range(ROWS)]
    assert (rows_equal_singles(env, singles, choose, steps=40, seed=seed) >= 2).all()
    assert env.render() == tuple(one.render() for one in singles)


@pytest.mark.parametrize("start", ["input", "blank"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_output_can_be_drawn(folder, split, start):
    """Within the default number of edits, for any position of the grid."""
    env = ArcEditor(arc(single, folder, split=split, reward="exact"), start=start)
    shapes, places = set(), set()
    env.reset(seed=0)
    for index in range(24 if split == "train" else len(SHAPES)):
        obs, info = env.reset(options=None if split == "train" else {"index": index})
        solution, origin, terminated = info["solution"], origin_of(obs), False
        places.add(tuple(origin.tolist()))
        while not terminated:
            action = towards(obs["board"], obs["cursor"], obs["size"], origin, solution)
            assert info["action_mask"][action] == 1
            obs, reward, terminated, _, info = env.step(action)
        assert (reward, info["is_success"], info["forced_halt"]) == (1.0, True, False)
        assert (obs["board"] == solution).all()
        shapes.add(tuple(obs["size"].tolist()))
    # The train split also turns grids.
    assert {tuple(sorted(shape[2:])) for shape in SHAPES.values()} == {tuple(sorted(shape)) for shape in shapes}
    assert len(places) > 3 if split == "train" else places == {(0, 0)}


class Paper:
    """The same rules on a list of lists."""

    def __init__(self, grid, room):
        self.grid, self.room, self.row, self.column = grid.tolist(), room, 0, 0

    def act(self, action):
        height, width = len(self.grid), len(self.grid[0])
        if action == 0:
            self.row = max(self.row - 1, 0)
        elif action == 1:
            self.row = min(self.row + 1, height - 1)
        elif action == 2:
            self.column = max(self.column - 1, 0)
        elif action == 3:
            self.column = min(self.column + 1, width - 1)
        elif action < 14:
            self.grid[self.row][self.column] = action - 4
        elif action == 14 and height < self.room[0]:
            self.grid.append([0] * width)
        elif action == 15 and height > 1:
            self.grid.pop()
            self.row = min(self.row, height - 2)
        elif action == 16 and width < self.room[1]:
            self.grid = [[*line, 0] for line in self.grid]
        elif action == 17 and width > 1:
            self.grid = [line[:-1] for line in self.grid]
            self.column = min(self.column, width - 2)
        return self

    def state(self):
        return self.grid, self.row, self.column

    def mask(self):
        return [*(self.twin().act(action).state() != self.state() for action in range(18)), True]

    def twin(self):
        twin = copy.copy(self)
        twin.grid = [line[:] for line in self.grid]
        return twin


# More resizing than uniform sampling gives.
edits = st.lists(st.one_of(st.integers(0, 17), st.integers(14, 17), st.integers(0, 3)), max_size=24)


@settings(max_examples=20, deadline=None)
@given(rows=st.tuples(edits, edits, edits), seed=st.integers(0, 10_000), start=st.sampled_from(["input", "blank"]))
def test_any_edits_do_what_they_do_on_paper(folder, rows, seed, start):
    env = ArcEditorVector(arc(vector, folder), start=start)
    obs, info = env.reset(seed=seed)
    origins = [np.argwhere(puzzle.reshape(SIDE, SIDE) >= FIRST_COLOUR)[0] for puzzle in obs["puzzle"]]
    papers = []
    for puzzle, origin in zip(obs["puzzle"], origins, strict=True):
        grid = read_grid(puzzle, SIDE, tuple(origin))
        papers.append(Paper(grid * (start == "input"), SIDE - origin))
    if start == "input":
        assert (obs["board"] == obs["puzzle"]).all()
    length = min(len(edits) for edits in rows)
    for number in range(length + 1):
        for row, (paper, (top, left)) in enumerate(zip(papers, origins, strict=True)):
            corner = place([np.array(paper.grid, np.uint8)], SIDE).reshape(SIDE, SIDE)
            canvas = np.zeros((SIDE, SIDE), np.uint8)
            canvas[top:, left:] = corner[: SIDE - top, : SIDE - left]
            assert (obs["board"][row].reshape(SIDE, SIDE) == canvas).all()
            assert np.array_equal(read_grid(obs["board"][row], SIDE, (top, left)), paper.grid)
            assert obs["size"][row].tolist() == [len(paper.grid), len(paper.grid[0])]
            assert obs["cursor"][row].tolist() == [top + paper.row, left + paper.column]
            assert info["action_mask"][row].tolist() == paper.mask()
        assert obs["edits"].tolist() == [[number]] * ROWS
        if number < length:
            actions = np.array([edits[number] for edits in rows])
            obs, reward, terminated, _, info = env.step(actions)
            assert not reward.any()
            assert not terminated.any()
            for paper, action in zip(papers, actions, strict=True):
                paper.act(action)


def canvas(text):
    """A canvas from lines of symbols."""
    return np.array([[SYMBOLS.index(c) for c in row] for row in text.split()], np.uint8).ravel()


def test_an_episode_computed_by_hand(folder):
    """The input has 6 of the 11 cells and markers of the output, 10 with another column, and all when painted."""
    env = ArcEditor(arc(single, folder, split="test", reward="exact"), edit_cost=0.25, shaping=True, gamma=1.0)
    assert env.action_space == gym.spaces.Discrete(19)
    question, solution = (
        canvas(text)
        for text in (
            "12|___ 34|___ ||____ ______ ______ ______",
            "120|__ 345|__ |||___ ______ ______ ______",
        )
    )
    obs, _ = env.reset(options={"puzzle": question, "solution": solution})
    assert set(obs) == {
        *("puzzle", "board", "cursor", "size", "edits", "task_id", "demonstrations", "demonstration_mask")
    }
    assert {name: space.shape for name, space in env.observation_space.items() if name in ("cursor", "size")} == {
        "cursor": (2,),
        "size": (2,),
    }
    rewards, boards, info = [], [], {}
    for action in ("ADD_COLUMN", "DOWN", "RIGHT", "RIGHT"):
        obs, reward, *_, info = env.step(ArcAction[action])
        rewards.append(reward)
        boards.append(obs["board"])
        assert set(info) == {"action_mask", "solution"}
    assert all((board == canvas("120|__ 340|__ |||___ ______ ______ ______")).all() for board in boards)
    assert (obs["cursor"].tolist(), obs["size"].tolist(), obs["edits"].tolist()) == ([1, 2], [2, 3], [4])
    obs, reward, terminated, *_ = env.step(ArcAction.PAINT + 5)
    assert not terminated
    assert [*rewards, reward] == pytest.approx([4 / 11 - 0.25, -0.25, -0.25, -0.25, 1 / 11 - 0.25], abs=1e-6)
    obs, reward, terminated, truncated, info = env.step(ArcAction.SUBMIT)
    assert (reward, terminated, truncated) == (pytest.approx(1 - 1), True, False)
    assert (info["is_success"], info["forced_halt"]) == (True, False)
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_what_is_cut_off_is_lost_and_the_cursor_steps_back(folder):
    env = ArcEditor(arc(single, folder, split="test"))
    question = canvas("12|___ 34|___ ||____ ______ ______ ______")
    env.reset(options={"puzzle": question, "solution": question})
    for action in ("DOWN", "RIGHT", "REMOVE_ROW", "REMOVE_COLUMN", "ADD_ROW", "ADD_COLUMN"):
        obs, *_ = env.step(ArcAction[action])
    assert (obs["board"] == canvas("10|___ 00|___ ||____ ______ ______ ______")).all()
    assert obs["cursor"].tolist() == [0, 0]


def test_the_names_of_the_actions():
    assert [action.value for action in ArcAction] == [0, 1, 2, 3, 4, 14, 15, 16, 17, 18]
    assert ArcAction.PAINT + 9 == ArcAction.ADD_ROW - 1


def test_edits_run_out(folder):
    env = ArcEditor(arc(single, folder, reward="exact"), max_edits=2, edit_cost=0.25)
    env.reset(seed=0)
    assert env.step(ArcAction.UP)[1:3] == (-0.25, False)  # changes nothing, but costs
    obs, reward, terminated, _, info = env.step(ArcAction.UP)
    assert (reward, terminated, info["forced_halt"], info["is_success"]) == (-0.25, True, True, False)
    assert obs["edits"] == [2]
    assert ArcEditor(arc(single, folder)).observation_space["edits"].high == 2 * SIDE**2 + 2 * SIDE


@pytest.mark.parametrize("text", ["______ ", "_1____ 1_____ ", "______ _|____ _||___ "])
def test_a_puzzle_that_is_no_grid_begins_as_one_cell(folder, text):
    """Cells outside the grid are removed, so that the canvas shows what is submitted."""
    question = canvas((text + "______ " * SIDE)[: 7 * SIDE])
    solution = canvas("7|____ |_____ ______ ______ ______ ______")
    env = ArcEditor(arc(single, folder, split="test", reward="exact"))
    obs, _ = env.reset(options={"puzzle": question, "solution": solution})
    assert obs["size"].tolist() == [1, 1]
    assert (obs["board"] == np.where(solution > END, FIRST_COLOUR, solution)).all()
    env.step(ArcAction.PAINT + 7)
    assert env.step(ArcAction.SUBMIT)[1] == 1.0


def test_bad_keywords_actions_and_environments(folder):
    for make, wrapper in ((single, ArcEditor), (vector, ArcEditorVector)):
        with pytest.raises(ValueError, match="an environment such as HRM/ARC-AGI-1-v0, not Sudoku"):
            wrapper(make())
        for keywords, message in (
            ({"start": "puzzle"}, "start='puzzle': choose one of 'input', 'blank'"),
            ({"start": None}, "start=None"),
            ({"max_edits": 0}, "max_edits=0"),
            ({"edit_cost": float("inf")}, "edit_cost=inf"),
            ({"gamma": -1.0}, "gamma=-1"),
            ({"shaping": "yes"}, "shaping='yes'"),
        ):
            with pytest.raises(ValueError, match=message):
                wrapper(arc(make, folder), **keywords)
    with pytest.raises(ValueError, match="ArcEditor wraps a ReasoningEnv"):
        ArcEditor(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="ArcEditorVector must wrap the environment directly"):
        ArcEditorVector(ArcEditorVector(arc(vector, folder)))
    env = ArcEditorVector(arc(vector, folder))
    with pytest.raises(ResetNeeded, match="row 0"):
        env.step(np.zeros(ROWS, int))
    before, _ = env.reset(seed=0)
    for actions in (np.array([14, 4, 19]), np.array([14, 4, -1]), np.array([14, 4])):
        with pytest.raises(ValueError, match="action: "):
            env.step(actions)
    after, *_ = env.step(np.full(ROWS, int(ArcAction.UP)))  # invalid actions changed nothing
    assert (after["board"] == before["board"]).all()


def test_pictures_show_the_grid_of_now(folder):
    env = ArcEditor(arc(single, folder, split="test", render_mode="ansi"), start="blank")
    index = sorted(SHAPES).index("same")  # files are sorted by name
    env.reset(options={"index": index})
    assert env.render().splitlines()[1].count("m0\x1b") == 3
    env.step(ArcAction.ADD_COLUMN)
    env.step(ArcAction.PAINT + 7)
    assert env.render().splitlines()[1].count("m0\x1b") == 3
    assert "m7\x1b" in env.render().splitlines()[1]
    env = ArcEditor(arc(single, folder, split="test", render_mode="rgb_array"))
    env.reset(options={"index": index})
    before = env.render()
    env.step(ArcAction.ADD_ROW)
    assert (env.render() != before).any()


def test_pictures_show_the_cursor_and_count_the_edits(folder):
    env = ArcEditor(arc(single, folder, split="test", render_mode="ansi"), start="blank", max_edits=9)
    env.reset(options={"index": sorted(SHAPES).index("same")})
    assert "edit 0/9 | ready" in env.render()
    assert env.render().splitlines()[1].split("\x1b[0m")[0].endswith(";7m0")
    env.step(ArcAction.RIGHT)
    top, line, *_ = env.render().splitlines()
    assert "edit 1/9 | writing" in top
    assert line.count(";7m") == 1
    assert line.split("\x1b[0m")[1].endswith(";7m0")
    env.step(ArcAction.SUBMIT)
    assert "edit 1/9 | wrong" in env.render()
    assert ";7m" not in env.render()
    picture = ArcEditor(arc(single, folder, split="test", render_mode="rgb_array"), start="blank")
    picture.reset(options={"index": sorted(SHAPES).index("same")})
    frames = [picture.render()]
    for action in (ArcAction.RIGHT, ArcAction.LEFT):
        picture.step(action)
        frames.append(picture.render())
    board = np.s_[:, :620]  # the side panel counts segments
    assert (frames[0][board] != frames[1][board]).any()
    assert (frames[0][board] == frames[2][board]).all()


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(folder, twin):
    for env, action in (
        (ArcEditor(arc(single, folder)), 14),
        (ArcEditorVector(arc(vector, folder)), np.array([14, 7, 18])),
    ):
        env.reset(seed=0)
        other = twin(env)
        assert data_equivalence(env.step(action), other.step(action), exact=True)
        assert data_equivalence(env.reset(), other.reset(), exact=True)
        assert env.unwrapped is not other.unwrapped
