"""What each key does, and how the image of the game explains it."""

from __future__ import annotations

from collections.abc import Mapping

from hrm_envs.play.game import Game
from hrm_envs.play.keycaps import Cap, KeyHelp
from hrm_envs.rendering.theme import Color
from hrm_envs.spec import PAD

#: Rows and columns by which each arrow key moves the cursor.
ARROWS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
#: Keys that repeat while held down.
REPEATING = (*ARROWS, "backspace")


def press(game: Game, key: str, text: str = "") -> bool:
    """Do what a key stands for; other keys do nothing. Q leaves, unless it is a symbol of the task.

    Args:
        game: to play.
        key: ``"up"``, ``"down"``, ``"left"``, ``"right"``, ``"return"``, ``"backspace"``, ``"delete"``, ``"escape"``,
            ``"f1"`` or ``"f2"``; anything else for a key that only types.
        text: what the key types, such as ``"5"``; may be empty.

    Returns:
        False if the player wants to leave.
    """
    actions = {
        "return": game.submit, "backspace": game.undo, "delete": game.clear, "f1": game.ask, "f2": game.next_puzzle,
    }  # fmt: skip
    if key == "escape":
        return False
    if key in ARROWS:
        game.move(*ARROWS[key])
    elif key in actions:
        actions[key]()
    elif text in ("q", "Q") and token_of(game, text) is None:
        return False
    elif len(text) == 1:
        _type(game, text)
    return True


def _type(game: Game, text: str) -> None:
    """Write the token of that symbol; characters that are no symbol of the task are commands."""
    commands = {" ": game.toggle, "0": game.clear, "h": game.ask, "n": game.next_puzzle}
    token = token_of(game, text)
    if token is not None:
        game.fill(token)
    elif text.lower() in commands:
        commands[text.lower()]()


def token_of(game: Game, text: str) -> int | None:
    """The token that typing ``text`` writes. Case matters only if both cases are symbols."""
    symbols = _typed_symbols(game)
    return symbols.get(text, symbols.get(text.swapcase()))


def _typed_symbols(game: Game) -> dict[str, int]:
    """Tokens by the symbol that writes them, except padding and blanks, which other keys write."""
    pairs = ((game.task.spec.symbols[token], token) for token in game.answer_tokens if token != PAD)
    return {symbol: token for symbol, token in pairs if symbol.strip()}


def key_helps(game: Game, token_colors: Mapping[int, Color] | None = None) -> list[KeyHelp]:
    """The keys of a game in the order of their explanation.

    Args:
        game: to play.
        token_colors: of tokens that the board shows as colours, to colour their keys; other tokens are then omitted.
    """
    symbols = _typed_symbols(game)
    if game.toggles:
        write = [_help("change", "Space", "Click")]
    elif token_colors:
        caps = [Cap(symbol, token_colors[token]) for symbol, token in symbols.items() if token in token_colors]
        write = [KeyHelp(caps, "paint")]
    else:
        write = [_help("write", *_runs(sorted(symbols)))]
    if not game.toggles:
        write += [_help("repeat", "Space", "Right click"), _help("clear", "Del")]
    return [
        _help("move", "Arrows"),
        *write,
        _help("undo", "Backspace"),
        _help("submit", "Enter"),
        _help("ask the model", ask_key(game)),
        _help("next", "N" if token_of(game, "n") is None else "F2"),
        _help("quit", *(["Q"] if token_of(game, "q") is None else []), "Esc"),
    ]


def ask_key(game: Game) -> str:
    """The label of the key that asks the model."""
    return "H" if token_of(game, "h") is None else "F1"


def _help(text: str, *caps: str) -> KeyHelp:
    return KeyHelp([Cap(cap) for cap in caps], text)


def _runs(symbols: list[str]) -> list[str]:
    """Sorted symbols with each run of three or more consecutive ones shortened: ``1–9``."""
    runs: list[list[str]] = []
    for symbol in symbols:
        if runs and ord(symbol) == ord(runs[-1][-1]) + 1:
            runs[-1].append(symbol)
        else:
            runs.append([symbol])
    return [text for run in runs for text in ([f"{run[0]}\N{EN DASH}{run[-1]}"] if len(run) > 2 else run)]
