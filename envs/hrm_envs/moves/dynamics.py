"""The dynamics of maze walks on a batch: the only place where a walk steps.

The walker starts on S and moves up, down, left or right, one cell a step; a move into a wall or off the grid does
nothing. Reaching G ends the walk. Doors, if any, open and shut at random.

Grids are padded with a rim of wall, so that moves need no test for the border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.search import UNREACHED, distances
from hrm_envs.maze.tokens import FREE, GOAL, START, WALL
from hrm_envs.moves.settings import AGENT, DOOR_OPEN, DOOR_SHUT, MOVES, SYMBOLS, MoveSettings
from hrm_envs.spec import Tokens
from hrm_envs.streams import Draws, Words, mix

#: Padded index of a door that is missing: a corner of the rim, which is never reached or shown.
_NO_DOOR = 0
#: Draws of the doors of a maze until one is allowed; with an eighth of the grids allowed, 1 in 5,000 mazes gets none.
_DOOR_DRAWS = 64

_WALKABLE = np.isin(np.arange(len(SYMBOLS)), (FREE, START, GOAL, DOOR_OPEN))
#: Separate the random streams of doors and of starts from each other and from that of the mazes, which share a seed.
_DOOR_SALT, _START_SALT = np.uint64(0x646F6F7273), np.uint64(0x737461727473)


@dataclass(frozen=True)
class MoveOutcome:
    """The result of one step, with shapes ``[B]``."""

    #: float64, the reward of the step.
    reward: NDArray[np.float64]
    #: bool, whether the walker reached G.
    success: NDArray[np.bool_]
    #: bool, whether the steps ran out before.
    truncated: NDArray[np.bool_]


class MoveDynamics:
    """A batch of walks, each with its own random stream for doors and start.

    Args:
        num_rows: ``B``, the number of walks.
        grid_shape: rows and columns of the mazes.
        settings: of the walks.
        allowed: which grids (uint8 ``[K, S]``, with all doors open) may be shown, bool ``[K]``; None allows all. Doors
            are drawn again until the grid is allowed; a maze for which 64 draws do not suffice gets none.

    Raises:
        ValueError: there are more doors than inner cells.
    """

    def __init__(
        self,
        num_rows: int,
        grid_shape: tuple[int, int],
        settings: MoveSettings,
        allowed: Callable[[Tokens], NDArray[np.bool_]] | None = None,
    ) -> None:
        rows, columns = grid_shape
        self._allowed = allowed
        self.settings, self.grid_shape = settings, grid_shape
        self.num_doors = settings.count_doors(rows * columns)
        if self.num_doors > (rows - 2) * (columns - 2):
            raise ValueError(
                f"num_doors={self.num_doors}: a {rows} x {columns} grid has {(rows - 2) * (columns - 2)} inner cells"
            )
        width = columns + 2
        self._offsets = np.array([row * width + column for row, column in MOVES])
        #: Index of each cell in the padded grid, and the inverse.
        self._padded_index = (np.arange(1, rows + 1)[:, None] * width + np.arange(1, columns + 1)).reshape(-1)
        self._cell_of = np.zeros((rows + 2) * width, np.int64)
        self._cell_of[self._padded_index] = np.arange(rows * columns)
        self._rows = np.arange(num_rows)
        self._grid = np.full((num_rows, (rows + 2) * width), WALL, np.uint8)
        self._position = np.full(num_rows, self._padded_index[0])
        self._goal = self._position.copy()
        self._doors = np.zeros((num_rows, self.num_doors), np.int64)
        self._shut = np.zeros((num_rows, self.num_doors), np.bool_)
        #: Steps to G: through all doors, or where they are needed, through those that are open now.
        self._distance = np.zeros((num_rows, rows * columns), np.uint16)
        self._needs_distance = settings.shaping or settings.oracle
        self._num_open = np.ones(num_rows, np.int64)
        self._potential = np.zeros(num_rows)
        #: int32 ``[B]``, steps taken, steps allowed, and length of the shortest path with all doors open.
        self.steps = np.zeros(num_rows, np.int32)
        self.limit = np.ones(num_rows, np.int32)
        self.optimum = np.zeros(num_rows, np.int32)
        self._stream_keys: Words = np.zeros(num_rows, np.uint64)
        self._episodes = np.zeros(num_rows, np.int64)
        self._door_keys: Words = np.zeros(num_rows, np.uint64)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def cell(self) -> NDArray[np.int64]:
        """Positions of the walkers, ``[B]``, as row-major indices of cells."""
        return self._cell_of[self._position]

    def seed(self, keys: Words, rows: NDArray[Any]) -> None:
        """Start new random streams for the given rows."""
        self._stream_keys[rows] = mix(keys ^ _DOOR_SALT)
        self._episodes[rows] = 0

    def reset(self, rows: NDArray[Any], puzzle: Tokens) -> None:
        """Start walks in the given rows; exploring starts move S first.

        Args:
            rows: integers ``[K]``.
            puzzle: uint8 ``[K, S]``, the mazes of these rows.
        """
        if self.settings.exploring_starts:
            puzzle = self._move_starts(rows, puzzle)
        self._grid[rows[:, None], self._padded_index] = puzzle
        start, goal = ((puzzle == token).argmax(axis=1) for token in (START, GOAL))
        self._position[rows], self._goal[rows] = self._padded_index[start], self._padded_index[goal]
        self.steps[rows] = 0
        if self.num_doors:
            draws = Draws(self._stream_keys[rows], self._episodes[rows])
            self._shut[rows] = draws.bits(self.num_doors) >> np.uint64(63) == 1
            self._door_keys[rows] = draws.bits(1)[:, 0]
            self._doors[rows] = self._choose_allowed_doors(puzzle, draws)
            self._write_doors(rows)
        self._episodes[rows] += 1
        passable = self._tokens(rows) != WALL  # even a shut door counts as passable
        distance = self._distances_to_goal(rows, passable)
        self._distance[rows] = distance
        self.optimum[rows] = distance[np.arange(len(rows)), start]
        self._num_open[rows] = passable.sum(axis=1)
        self.limit[rows] = self.settings.max_steps or self._num_open[rows]
        if self._needs_distance:
            if self.num_doors:
                self._distance[rows] = self._distances_to_goal(rows, _WALKABLE[self._tokens(rows)])
            self._potential[rows] = self._potentials()[rows]

    def step(self, action: NDArray[Any]) -> MoveOutcome:
        """Move every walker, then flip doors at random, except the one under the walker.

        A move thus meets the doors as last observed.

        Args:
            action: integers ``[B]``, indices of :data:`MOVES`.
        """
        self.steps += 1
        ahead = self._position + self._offsets[action]
        self._position = np.where(_WALKABLE[self._grid[self._rows, ahead]], ahead, self._position)
        changed = self._flip_doors() if self.num_doors else None
        success = self._position == self._goal
        # Subtracting avoids -0.0.
        reward = np.where(success, 1.0, 0.0 - self.settings.step_cost)
        if self._needs_distance and changed is not None and len(changed):
            self._distance[changed] = self._distances_to_goal(changed, _WALKABLE[self._tokens(changed)])
        if self.settings.shaping:
            before, self._potential = self._potential, self._potentials()
            reward += self.settings.gamma * self._potential - before
        return MoveOutcome(reward, success, ~success & (self.steps >= self.limit))

    def mask(self) -> NDArray[np.bool_]:
        """Moves that change the walker's position, bool ``[B, 4]``; all four where none does.

        Between shut doors every move waits, and a mask must allow some action.
        """
        free = _WALKABLE[self._grid[self._rows[:, None], self._position[:, None] + self._offsets]]
        free[~free.any(axis=1)] = True
        return free

    def oracle(self) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        """The best moves and the distance to G through the doors that are open now; needs the setting ``oracle``.

        Returns:
            bool ``[B, 4]``, the moves that begin a shortest path, none on G and where doors cut off G; and int32
            ``[B]``, the number of steps, -1 where doors cut off G.
        """
        here = self._distance[self._rows, self.cell].astype(np.int32)
        ahead = self._position[:, None] + self._offsets
        # Cells of the rim stand for cell 0, but are not walkable.
        there = self._distance[self._rows[:, None], self._cell_of[ahead]]
        reachable = here != UNREACHED
        best = _WALKABLE[self._grid[self._rows[:, None], ahead]] & (there.astype(np.int32) + 1 == here[:, None])
        return best & reachable[:, None], np.where(reachable, here, np.int32(-1))

    def grids(self) -> Tokens:
        """The mazes with their current doors, without the walkers: a new uint8 array ``[B, S]``."""
        rows, columns = self.grid_shape
        inner = self._grid.reshape(len(self), rows + 2, columns + 2)[:, 1:-1, 1:-1]
        return inner.reshape(len(self), rows * columns)

    def observe(self) -> NDArray[np.uint8]:
        """The observations as a new array: uint8 ``[B, S]``, or ``[B, 5, rows, columns]`` as planes."""
        grid, cell = self.grids(), self.cell
        if self.settings.observation == "tokens":
            grid[self._rows, cell] = AGENT
            return grid
        agent = np.arange(grid.shape[1]) == cell[:, None]
        planes = [grid == WALL, grid == GOAL, agent, grid == DOOR_OPEN, grid == DOOR_SHUT]
        return np.stack(planes, axis=1).reshape(len(self), len(planes), *self.grid_shape) * np.uint8(255)

    def _tokens(self, rows: NDArray[Any]) -> Tokens:
        return self._grid[rows[:, None], self._padded_index]

    def _distances_to_goal(self, rows: NDArray[Any], passable: NDArray[np.bool_]) -> NDArray[np.uint16]:
        """Steps to G from every cell, ``[K, S]``."""
        found = distances(passable.reshape(-1, *self.grid_shape), self._cell_of[self._goal[rows]])
        return found.reshape(len(rows), -1)

    def _potentials(self) -> NDArray[np.float64]:
        """Minus the distance to G over the number of open cells, ``[B]``; -1 where shut doors cut off G.

        For potential-based shaping (Ng, Harada and Russell 1999). It may depend on the doors, as they are part of the
        state.
        """
        distance = self._distance[self._rows, self.cell]
        return np.where(distance == UNREACHED, -1.0, distance / -self._num_open)

    def _move_starts(self, rows: NDArray[Any], puzzle: Tokens) -> Tokens:
        """Move S to a uniformly random cell from which G can be reached."""
        goal = (puzzle == GOAL).argmax(axis=1)
        reached = distances((puzzle != WALL).reshape(-1, *self.grid_shape), goal).reshape(puzzle.shape) != UNREACHED
        draws = Draws(mix(self._stream_keys[rows] ^ _START_SALT), self._episodes[rows])
        chance = np.where(reached & (puzzle != GOAL), draws.bits(puzzle.shape[1]) >> np.uint64(1), np.uint64(2**63))
        moved = np.where(puzzle == START, np.uint8(FREE), puzzle)
        moved[np.arange(len(puzzle)), chance.argmin(axis=1)] = START
        return moved

    def _choose_allowed_doors(self, puzzle: Tokens, draws: Draws) -> NDArray[np.int64]:
        """Padded indices of the doors, ``[K, doors]``, with which each maze may be shown."""
        if self._allowed is None:
            return self._choose_doors(puzzle, draws)
        doors = np.full((len(puzzle), self.num_doors), _NO_DOOR)
        waiting = np.arange(len(puzzle))
        for _ in range(_DOOR_DRAWS):
            chosen = self._choose_doors(puzzle[waiting], draws)
            grid = np.full((len(waiting), self._grid.shape[1]), WALL, np.uint8)
            grid[:, self._padded_index] = puzzle[waiting]
            np.put_along_axis(grid, chosen, np.uint8(DOOR_OPEN), axis=1)
            found = self._allowed(grid[:, self._padded_index])
            doors[waiting[found]] = chosen[found]
            waiting, draws = waiting[~found], draws.take(~found)
            if not len(waiting):
                break
        return doors

    def _choose_doors(self, puzzle: Tokens, draws: Draws) -> NDArray[np.int64]:
        """Padded indices of the doors, ``[K, doors]``: up to half of them in walls, up to half in corridors.

        A door connects two opposite open cells: in a wall it adds a way around, in a corridor it can block the way. No
        door is in the border, on S or on G.
        """
        free = (puzzle != WALL).reshape(-1, *self.grid_shape)
        up, down, left, right = free[:, :-2, 1:-1], free[:, 2:, 1:-1], free[:, 1:-1, :-2], free[:, 1:-1, 2:]
        along, across = up & down, left & right
        here = puzzle.reshape(free.shape)[:, 1:-1, 1:-1]
        in_wall = (here == WALL) & (along | across)
        in_corridor = (here == FREE) & ((along & ~left & ~right) | (across & ~up & ~down))
        inner = self._padded_index.reshape(self.grid_shape)[1:-1, 1:-1].reshape(-1)
        order = draws.permutations(len(inner))
        half = self.num_doors // 2
        chosen = []
        for wanted, candidates in ((self.num_doors - half, in_wall), (half, in_corridor)):
            # A stable sort puts the candidates first and keeps their random order.
            shuffled = np.take_along_axis(candidates.reshape(len(puzzle), -1), order, axis=1)
            first = (~shuffled).argsort(axis=1, kind="stable")[:, :wanted]
            found = np.take_along_axis(shuffled, first, axis=1)
            chosen.append(np.where(found, inner[np.take_along_axis(order, first, axis=1)], _NO_DOOR))
        return np.concatenate(chosen, axis=1)

    def _write_doors(self, rows: NDArray[Any]) -> None:
        tokens = np.where(self._shut[rows], np.uint8(DOOR_SHUT), np.uint8(DOOR_OPEN))
        self._grid[rows[:, None], self._doors[rows]] = tokens

    def _flip_doors(self) -> NDArray[np.int64]:
        """Flip each door at random and return the rows in which one flipped."""
        # One stream per step: flips depend only on the seed, the episode and the step.
        chance = (Draws(self._door_keys, self.steps).bits(self.num_doors) >> np.uint64(11)) * 2.0**-53
        flips = (chance < self.settings.door_probability) & (self._doors != self._position[:, None])
        self._shut ^= flips
        rows = np.flatnonzero(flips.any(axis=1))
        self._write_doors(rows)
        return rows
