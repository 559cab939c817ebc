"""The maze task."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import choice, real_number, shown, whole_number
from hrm_envs.limits import MAX_CELLS
from hrm_envs.maze.generator import count_perfect_puzzles, perfect_grids, random_grids, sample_mazes
from hrm_envs.maze.nearest import best_shortest_path
from hrm_envs.maze.numbers import digits_to_tokens
from hrm_envs.maze.picture import read_maze
from hrm_envs.maze.reading import read_mazes
from hrm_envs.maze.search import UNREACHED, distances, shortest_path
from hrm_envs.maze.tokens import FREE, GOAL, PAD, PATH, START, SYMBOLS, WALL
from hrm_envs.maze.verifier import verify_paths
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, TaskSpec, Tokens
from hrm_envs.streams import Draws, hash_rows
from hrm_envs.task import PuzzleBatch, Reading, Task, Verdict

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board

Kind = Literal["perfect", "random"]

#: Smallest and largest grid.
_MIN_SIZE, MAX_SIZE = 5, isqrt(MAX_CELLS)


class MazeTask(Task):
    """Find a shortest path from S to G.

    The answer copies the grid and marks the cells between S and G with ``o``. Every shortest path is right, not only
    the one in ``solution``. The symmetries are the 8 rotations and reflections of the square.

    Args:
        size: rows and columns of the grid, 5 to 128; odd for perfect mazes.
        kind: ``"perfect"`` for mazes with exactly one path between any two free cells (a uniformly random spanning tree
            of rooms on odd coordinates), ``"random"`` for random walls.
        min_path: minimum number of steps from S to G; by default ``size // 2`` for perfect mazes and ``size`` for
            random ones. If given, it also chooses among the mazes of the environment's keyword ``puzzles``.
        wall_share: range of the wall probability of random mazes, drawn for each maze.

    Raises:
        ValueError: an argument is out of range.
    """

    chosen_by = ("min_path",)
    many_answers = True

    def __init__(
        self,
        size: int = 9,
        kind: Kind = "perfect",
        min_path: int | None = None,
        wall_share: tuple[float, float] = (0.3, 0.5),
    ) -> None:
        choice("kind", kind, get_args(Kind))
        size = whole_number("size", size, _MIN_SIZE, MAX_SIZE)
        if kind == "perfect" and size % 2 == 0:
            raise ValueError(f"size={size}: perfect mazes have an odd size (rooms between walls)")
        if not isinstance(wall_share, tuple | list) or len(wall_share) != 2:
            raise ValueError(f"wall_share={shown(wall_share)} must be two numbers (low, high)")
        low, high = (real_number("wall_share", share, 0.0, 1.0) for share in wall_share)
        if not low <= high < 1:
            raise ValueError(f"wall_share must be (low, high) with 0 <= low <= high < 1, not {(low, high)}")
        self._asks_for_length = min_path is not None
        if min_path is None:
            min_path = size // 2 if kind == "perfect" else size
        # The longest possible path visits every free cell: the rooms and one wall fewer, or the whole grid.
        longest = 2 * (size // 2) ** 2 - 2 if kind == "perfect" else size**2 - 1
        min_path = whole_number("min_path", min_path, 1, longest)
        self.size = size
        self.kind = kind
        self.min_path = min_path
        self.wall_share = low, high
        name = f"{'Maze' if kind == 'perfect' else 'Random maze'} {size}x{size}"
        self.spec = TaskSpec(name=name, grid_shape=(size, size), symbols=SYMBOLS)
        self._images = _dihedral_images(size)
        self.default_num_puzzles = self._default_num_puzzles()

    def _default_num_puzzles(self) -> dict[str, int]:
        """Many perfect mazes, because they are cheap, but well below the number that exist for small sizes."""
        if self.kind == "random":
            return {"train": 1000, "test": 1000}
        if self.size > 7:
            return {"train": 20_000 if self.size <= 15 else 4000, "test": 1000}
        # An eighth of the classes is in each held-out split, give or take. Less than half of the rest and a third of an
        # eighth are safe sizes.
        exist = count_perfect_puzzles(self.size, self.min_path)
        held_out = min(1000, max(1, exist // 24))
        return {"train": min(20_000, max(1, exist // 3)), "validation": held_out, "test": held_out}

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Generate at most ``num`` puzzles; see :func:`hrm_envs.maze.generator.sample_mazes`.

        Raises:
            ValueError: paths of ``min_path`` steps are too rare.
        """
        return sample_mazes(rng, num, self.size, self._carve, self.min_path)

    def _carve(self, rng: np.random.Generator, num: int) -> NDArray[np.bool_]:
        """Free cells of new mazes, bool ``[num, size, size]``."""
        if self.kind == "perfect":
            return perfect_grids(rng, num, self.size)
        return random_grids(rng, num, self.size, self.wall_share)

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Accept exactly the shortest paths; the proof is in :func:`hrm_envs.maze.verifier.verify_paths`."""
        return verify_paths(batch, answer, self.size)

    def nearest(self, batch: PuzzleBatch, scores: NDArray[np.floating[Any]]) -> Tokens:
        """The shortest path with the largest sum of ``scores[path] - scores[free]`` over its cells, uint8 ``[B, S]``.

        Args:
            batch: mazes with a path.
            scores: float ``[B, S, V]``.
        """
        goal = (batch.puzzle == GOAL).argmax(axis=1)
        gain = (scores[..., PATH] - scores[..., FREE]).reshape(-1, self.size, self.size)
        from_start, from_goal = (self._distances(batch.puzzle, token) for token in (START, GOAL))
        path = best_shortest_path(from_start, from_goal, goal, gain).reshape(batch.puzzle.shape)
        return np.where(path, np.uint8(PATH), batch.puzzle)

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """A random rotation or reflection of each row, one of 8 including the identity."""
        source = self._images[draws.integers(len(self._images))]
        source += (np.arange(len(batch)) * self.spec.num_cells)[:, None]
        # One gather moves both grids: tokens fit in four bits, so puzzle and solution share a byte.
        cells = (batch.puzzle | batch.solution << np.uint8(4)).reshape(-1).take(source)
        return PuzzleBatch(cells & np.uint8(15), cells >> np.uint8(4), batch.task_id)

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """The minimum hash over the 8 images, uint64 ``[B]``."""
        return np.min([hash_rows(puzzle[:, cells]) for cells in self._images], axis=0)

    @property
    def rules(self) -> str:
        """What a player has to do."""
        return (
            "Mark a shortest path from S to G: write o into each of its cells but S and G, and keep all other cells. "
            "# is a wall and . a free cell; steps go up, down, left and right."
        )

    @property
    def answer_tokens(self) -> Tokens:
        """Path, and free to remove it."""
        return np.array([FREE, PATH], np.uint8)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """The free cells."""
        return puzzle == FREE

    def complete(self, puzzle: Tokens) -> PuzzleBatch:
        """Check and solve a user's mazes, which need not satisfy ``min_path`` and ``kind``.

        Args:
            puzzle: integers ``[B, S]``.

        Raises:
            ValueError: wrong shape, invalid token, not exactly one S and one G, or no path.
        """
        puzzle = np.asarray(puzzle)
        if puzzle.ndim != 2 or puzzle.shape[1] != self.spec.num_cells:
            raise ValueError(
                f"{self.spec.name} takes puzzles [B, {self.spec.num_cells}], got shape {list(puzzle.shape)}"
            )
        if puzzle.dtype.kind not in "iu":
            raise ValueError(f"{self.spec.name} takes puzzles of integers, got {puzzle.dtype}")
        for row, cell in np.argwhere((puzzle < WALL) | (puzzle > GOAL)):
            token = int(puzzle[row, cell])
            kind = "the path token" if token == PATH else "padding" if token == PAD else "not a token"
            raise ValueError(
                f"puzzle {row}: row {cell // self.size + 1}, column {cell % self.size + 1} holds {token}, {kind}; "
                f"a puzzle holds {WALL} wall, {FREE} free, {START} S and {GOAL} G"
            )
        for token in (START, GOAL):
            counts = (puzzle == token).sum(axis=1)
            for row in np.flatnonzero(counts != 1):
                cells = np.flatnonzero(puzzle[row] == token)
                where = ", ".join(f"row {cell // self.size + 1}, column {cell % self.size + 1}" for cell in cells)
                raise ValueError(
                    f"puzzle {row}: {len(cells)} cells hold {SYMBOLS[token]}, not exactly one"
                    + (f" ({where})" if where else "")
                )
        puzzle = puzzle.astype(np.uint8)
        goal = (puzzle == GOAL).argmax(axis=1)
        distance = self._distances(puzzle, START)
        reached = distance.reshape(puzzle.shape)[np.arange(len(puzzle)), goal] != UNREACHED
        for row in np.flatnonzero(~reached):
            raise ValueError(f"puzzle {row}: no path leads from S to G")
        solution = puzzle.copy()
        solution[shortest_path(distance, goal).reshape(puzzle.shape)] = PATH
        return PuzzleBatch(puzzle, solution)

    def chosen(self, batch: PuzzleBatch) -> NDArray[np.bool_]:
        """Which mazes have a path as long as was asked for, bool ``[B]``."""
        steps = (batch.solution == PATH).sum(axis=1) + 1
        return steps >= (self.min_path if self._asks_for_length else 0)

    def check(self, batch: PuzzleBatch) -> None:
        """Check mazes and their solutions, which must be shortest paths because the verifier relies on their length.

        Raises:
            ValueError: as :meth:`complete`, or a solution is not a shortest path.
        """
        best = (self.complete(batch.puzzle).solution == PATH).sum(axis=1)
        super().check(batch)
        given = (batch.solution == PATH).sum(axis=1)
        for row in np.flatnonzero(given != best):
            raise ValueError(f"puzzle {row}: its solution has {given[row]} path cells, a shortest path has {best[row]}")

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """Mark each cell for display, uint8 ``[B, S]``.

        A path cell is right if it lies on a shortest path from S to G. All other path cells and changes of the grid are
        wrong. Padding and unchanged cells have no mark.
        """
        from_start = self._distances(batch.puzzle, START).reshape(answer.shape).astype(np.int32)
        from_goal = self._distances(batch.puzzle, GOAL).reshape(answer.shape)
        steps = (batch.solution == PATH).sum(axis=1, keepdims=True) + 1
        # Walls are unreached, so a path across a wall fails this test too.
        right = (answer == PATH) & (batch.puzzle == FREE) & (from_start + from_goal == steps)
        marks = np.where(right, MARK_RIGHT, MARK_WRONG)
        return np.where((answer != batch.puzzle) & (answer != PAD), marks, MARK_NONE).astype(np.uint8)

    def parse(self, text: str) -> Tokens:
        """Read mazes from text, uint8 ``[N, S]``; see :func:`hrm_envs.maze.reading.read_mazes`."""
        return self.read(text).puzzle

    def read(self, text: str) -> Reading:
        """Read mazes from text, with the paths drawn into them; see :func:`hrm_envs.maze.reading.read_mazes`."""
        return read_mazes(text, self.spec.grid_shape)

    def from_numbers(
        self, puzzle: NDArray[Any], solution: NDArray[Any] | None, fields: Mapping[str, Any]
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Tokens from tokens or from digits such as 0 and 1; see :func:`.numbers.digits_to_tokens`."""
        return digits_to_tokens(puzzle, solution, self.spec.grid_shape, fields)

    def from_picture(self, pixels: NDArray[np.uint8]) -> Tokens:
        """One maze, uint8 ``[1, S]``, from a picture; see :func:`hrm_envs.maze.picture.read_maze`."""
        return read_maze(pixels, self.spec.grid_shape).reshape(1, -1)

    def draw(self, board: Board) -> None:
        """Draw walls, ends and the path; see :func:`hrm_envs.maze.drawing.draw_maze`."""
        from hrm_envs.maze.drawing import draw_maze

        draw_maze(board)

    def _distances(self, puzzle: Tokens, token: int) -> NDArray[np.uint16]:
        """Steps from the cell that holds ``token``, uint16 ``[B, size, size]``."""
        open_cells = (puzzle != WALL).reshape(-1, self.size, self.size)
        return distances(open_cells, (puzzle == token).argmax(axis=1))


def _dihedral_images(size: int) -> NDArray[np.int64]:
    """``[8, S]``: image ``k`` of a grid ``g`` (flat) is ``g[images[k]]``; image 0 is ``g`` itself."""
    cells = np.arange(size * size).reshape(size, size)
    turns = [np.rot90(grid, k) for grid in (cells, cells.T) for k in range(4)]
    return np.stack([turn.reshape(-1) for turn in turns])
