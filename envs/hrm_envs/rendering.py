"""One picture of an agent at a puzzle: as pixels, as text, or in a window.

:func:`paint` needs no display, :func:`ansi` needs no pygame, :class:`Window` needs both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import Error
from numpy.typing import NDArray

from hrm_envs.board import Board, Frame, Thoughts
from hrm_envs.canvas import Canvas, import_pygame
from hrm_envs.strip import Strip, status
from hrm_envs.task import MARK_RIGHT, MARK_WRONG, PAD

if TYPE_CHECKING:
    from hrm_envs.task import Task

__all__ = ["DEFAULT_SIZE", "Board", "Frame", "NoDisplay", "Thoughts", "Window", "ansi", "paint"]

#: Width and height of a picture unless told otherwise.
DEFAULT_SIZE = (960, 640)
_SMALLEST = 120


def paint(task: Task, frame: Frame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """One frame as pixels, uint8 ``[H, W, 3]``; equal arguments give equal pixels. Needs no display.

    Args:
        task: whose ``draw`` paints the board.
        frame: what to show.
        size: width and height in pixels. The strip goes beside the board of a wide picture and below it in a
            tall one.

    Raises:
        DependencyNotInstalled: pygame is absent.
        ValueError: ``size`` is under 120 pixels on a side.
    """
    width, height = DEFAULT_SIZE if size is None else size
    if min(width, height) < _SMALLEST:
        raise ValueError(f"a picture needs at least {_SMALLEST} pixels on each side, got {width} x {height}")
    canvas = Canvas(width, height)
    if width >= 1.2 * height:
        unit = min(width / 960, height / 640)
        strip_width, margin = 284 * unit, 32 * unit
        side = min(height - 2 * margin, width - strip_width - 3 * margin)
        # Board and strip share the middle of the picture.
        left = (width - side - strip_width - margin) / 2
        top = (height - side) / 2
        board = Board(canvas, task.spec, frame, (left, top, side, side))
        task.draw(board)
        board.draw_cursor()
        strip_top = (height - 576 * unit) / 2
        Strip(canvas, frame, unit).beside(
            task.spec.name, board, left + side + margin, strip_top, strip_width, 576 * unit
        )
    else:
        unit = min(width / 720, height / 960)
        margin = 36 * unit
        side = min(width - 2 * margin, height - 3 * margin - 240 * unit)
        top = (height - side - margin - 240 * unit) / 2
        board = Board(canvas, task.spec, frame, ((width - side) / 2, top, side, side))
        task.draw(board)
        board.draw_cursor()
        strip_width = max(side, 600 * unit)
        Strip(canvas, frame, unit).below(
            task.spec.name, board, (width - strip_width) / 2, top + side + margin, strip_width
        )
    return canvas.pixels()


def ansi(task: Task, frame: Frame) -> str:
    """One frame as text: a line on the episode, then the grid.

    The answer is underlined on the puzzle's cells; ``!`` follows a wrong cell and ``*`` one that this segment
    changed, so the marks survive a terminal without colours. The cell under a cursor is in reverse video.
    """
    _, word, _ = status(frame)
    unit, done, most = frame.progress
    head = [task.spec.name, f"{unit} {done}/{most}", word.lower()]
    if frame.segment:
        head.append(f"score {int(frame.score * 100 + 1e-6)}%")
    if frame.thoughts is not None:
        for name, value in (("Q halt", frame.thoughts.q_halt), ("Q continue", frame.thoughts.q_continue)):
            if value is not None:
                head.append(f"{name} {value:.2f}")
        if frame.thoughts.decision:
            head.append(frame.thoughts.decision)
    columns = task.spec.grid_shape[1]
    rows = []
    for start in range(0, task.spec.num_cells, columns):
        cells = (_ansi_cell(task, frame, index) for index in range(start, start + columns))
        rows.append(" ".join(cells).rstrip())
    while len(rows) > 1 and not rows[-1]:
        rows.pop()  # a small grid on a large canvas
    return "\n".join([" | ".join(head), *rows]) + "\n"


def _ansi_cell(task: Task, frame: Frame, index: int) -> str:
    token = int(frame.shown[index])
    symbol = (task.spec.symbols[token] if token != PAD else " ")[:1] or " "
    wrong, changed = frame.marks[index] == MARK_WRONG, bool(frame.changed[index])
    if token == PAD and not wrong and not changed and index != frame.cursor:
        return "  "
    answered = frame.answer[index] not in (PAD, frame.puzzle[index])
    if wrong:
        style = "1;4;31" if answered else "1;31"
    elif changed and answered:
        style = "4;33"
    elif answered:
        style = "4;34" if frame.marks[index] == MARK_RIGHT else "4"
    else:
        style = "1"  # the puzzle's own cells
    if index == frame.cursor:
        style += ";7"
    return f"\x1b[{style}m{symbol}\x1b[0m" + ("!" if wrong else "*" if changed else " ")


class NoDisplay(Error):
    """There is no display to open a window on."""


class Window:
    """A window that shows frames one after another. It opens at the first :meth:`show`.

    A copy of it, by ``copy`` or ``pickle``, has no window on the screen yet and opens one at its own first show. pygame
    knows only one window: where several of these are shown by turns, they share it.

    Args:
        title: of the window.
    """

    def __init__(self, title: str = "hrm-agents") -> None:
        self._title = title
        self._pygame: Any = None
        self._clock: Any = None
        self._dismissed = False

    def __getstate__(self) -> dict[str, Any]:
        # Modules, clocks and windows of the operating system cannot be copied.
        return {**self.__dict__, "_pygame": None, "_clock": None}

    @property
    def is_open(self) -> bool:
        """The window is on the screen."""
        return self._pygame is not None and bool(self._pygame.display.get_init())

    @property
    def dismissed(self) -> bool:
        """Somebody closed the window, and :meth:`close` was not called since."""
        return self._dismissed

    def show(self, picture: NDArray[np.uint8], fps: float = 4) -> bool:
        """Show pixels, uint8 ``[H, W, 3]``; returns False once the user has closed the window.

        After that nothing opens again before :meth:`close`, and the episode may go on unseen. At most ``fps`` pictures
        a second are shown: it sleeps as long as that takes.

        Raises:
            DependencyNotInstalled: pygame is absent.
            NoDisplay: there is no display.
        """
        if self._dismissed:
            return False
        self.draw(picture)
        if any(event.type == self._pygame.QUIT for event in self._pygame.event.get()):
            self.close()
            self._dismissed = True
            return False
        self._clock.tick(fps)
        return True

    def draw(self, picture: NDArray[np.uint8]) -> None:
        """Show pixels, uint8 ``[H, W, 3]``, and leave pygame's events to the caller.

        Raises:
            DependencyNotInstalled: pygame is absent.
            NoDisplay: there is no display.
        """
        size = (picture.shape[1], picture.shape[0])
        # Not open yet, or another window was closed, and this one with it.
        if not self.is_open:
            self._open(size)
        pygame = self._pygame
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        screen.blit(pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), size, "RGB"), (0, 0))
        pygame.display.flip()

    def close(self) -> None:
        """Close the window, if it is open. The next :meth:`show` opens it anew."""
        self._dismissed = False
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = self._clock = None

    def _open(self, size: tuple[int, int]) -> None:
        pygame = import_pygame()
        advice = 'no display to open a window on: use render_mode="rgb_array" or "ansi" here'
        try:
            pygame.display.init()
            # Without a screen SDL may choose a driver that draws into memory. Only tests want that, by name.
            unseen = pygame.display.get_driver() in ("offscreen", "dummy")
            if unseen and not os.environ.get("SDL_VIDEODRIVER"):
                pygame.display.quit()
                raise NoDisplay(advice)
            pygame.display.set_mode(size)
        except pygame.error as error:
            raise NoDisplay(f"{advice} ({error})") from error
        # Titles are whatever tasks call themselves; pygame takes neither lone surrogates nor NUL.
        pygame.display.set_caption(self._title.encode("utf-8", "replace").decode("utf-8").replace("\0", " "))
        self._pygame, self._clock = pygame, pygame.time.Clock()
