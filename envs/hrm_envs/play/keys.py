"""What a key does, in one place for the hand that presses it and the picture that explains it."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_envs.play.game import Game
from hrm_envs.spec import PAD

#: Rows and columns that an arrow key moves the cursor.
ARROWS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
#: Keys that go on while they are held down.
REPEATING = (*ARROWS, "backspace")


@dataclass(frozen=True)
class Hint:
    """A group of keys, and what they do."""

    #: What is on each.
    caps: tuple[str, ...]
    text: str
    #: Tokens whose symbols are on further keys, each in its colour.
    tokens: tuple[int, ...] = ()


def press(game: Game, key: str, text: str = "") -> bool:
    """Do what a key is for; one that is for nothing does nothing.

    Args:
        game: what to change.
        key: ``"up"``, ``"down"``, ``"left"``, ``"right"``, ``"return"``, ``"backspace"``, ``"delete"``, ``"escape"``,
            ``"f1"``, ``"f2"``, or anything else for a key of which only the text counts.
        text: what it types, such as ``"5"``; may be empty.

    Returns:
        False if the person wants to leave.
    """
    if key == "escape":
        return False
    if key in ARROWS:
        game.move(*ARROWS[key])
    elif key == "return":
        game.submit()
    elif key == "backspace":
        game.undo()
    elif key == "delete":
        game.clear()
    elif key == "f1":
        game.ask()
    elif key == "f2":
        game.next_puzzle()
    elif len(text) == 1:
        _type(game, text)
    return True


def _type(game: Game, text: str) -> None:
    token = token_of(game, text)
    if token is not None:
        game.fill(token)
    elif text == " ":
        game.toggle()
    elif text == "0":
        game.clear()
    elif text in "hH":
        game.ask()
    elif text in "nN":
        game.next_puzzle()


def token_of(game: Game, text: str) -> int | None:
    """The token that typing ``text`` writes: the one with that symbol, in either case if only one case is known."""
    symbols = typed_symbols(game)
    return symbols.get(text, symbols.get(text.swapcase()))


def typed_symbols(game: Game) -> dict[str, int]:
    """The symbols that can be typed, with their tokens. Padding and blanks are not: there are other keys for those."""
    pairs = ((game.task.spec.symbols[token], token) for token in game.answer_tokens if token != PAD)
    return {symbol: token for symbol, token in pairs if symbol.strip()}


def hints(game: Game, coloured: tuple[int, ...] = ()) -> list[Hint]:
    """The keys of this game, in the order in which they are explained.

    Args:
        game: whose task says which symbols there are.
        coloured: tokens that have a colour on the board; if there are any, only their symbols are explained.
    """
    if game.toggles:
        write = Hint(("Space", "Click"), "change")
    elif coloured:
        write = Hint((), "paint", tuple(token for token in game.answer_tokens if token in coloured))
    else:
        write = Hint(tuple(_runs(sorted(typed_symbols(game)))), "write")
    return [
        Hint(("Arrows",), "move"),
        write,
        *([] if game.toggles else [Hint(("Space", "Right click"), "repeat"), Hint(("Del",), "clear")]),
        Hint(("Backspace",), "undo"),
        Hint(("Enter",), "submit"),
        Hint((ask_key(game),), "ask the model"),
        Hint(("N" if token_of(game, "n") is None else "F2",), "next"),
        Hint(("Esc",), "quit"),
    ]


def ask_key(game: Game) -> str:
    """What is on the key that asks the model."""
    return "H" if token_of(game, "h") is None else "F1"


def _runs(symbols: list[str]) -> list[str]:
    """Sorted symbols with runs of three or more neighbours as one: ``1–9``."""
    runs: list[list[str]] = []
    for symbol in symbols:
        if runs and ord(symbol) == ord(runs[-1][-1]) + 1:
            runs[-1].append(symbol)
        else:
            runs.append([symbol])
    return [text for run in runs for text in ([f"{run[0]}\N{EN DASH}{run[-1]}"] if len(run) > 2 else run)]
