"""User-fixable errors, and conversion of library errors into them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class UserError(Exception):
    """An error that the user can fix. Its one line says what is wrong, where, and what to do."""


class _Brief(reprlib.Repr):
    """A repr of bounded length and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = 60

    def repr_int(self, x: int, level: int) -> str:
        # repr() raises ValueError for very long integers and is slow for long ones.
        bits = x.bit_length()
        return repr(x) if bits < 100 else f"an integer of about {bits * 0.30103:.0f} digits"


def one_line(text: str, most: int = 200) -> str:
    """Text as one printable line of at most about ``most`` characters; the middle of a longer one is cut out.

    Characters that control a terminal, such as an escape sequence in a file name, are spelt out.
    """
    return _printable(" ".join(text.split()), most)


def shown(value: Any) -> str:
    """``repr(value)`` for an error message: one line of at most about 60 characters."""
    return one_line(_Brief().repr(value), 60)


def shown_path(path: Any) -> str:
    """A path for an error message: one line of at most about 120 characters."""
    return _printable(str(path), 120)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'train'?``, for an error message on an unknown name; empty if no known name is close to it.

    Upper and lower case count as equal.
    """
    by_lower_case = {each.lower(): each for each in known}
    close = get_close_matches(name[:60].lower(), by_lower_case, 1)
    return f"; did you mean {by_lower_case[close[0]]!r}?" if close else ""


def _printable(text: str, most: int) -> str:
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"


@contextmanager
def user_errors(about: str) -> Iterator[None]:
    """Convert errors of environments about ids, keywords and puzzles into :class:`UserError`.

    Args:
        about: what was made or read; the message begins with it.
    """
    import gymnasium as gym  # here, since the networks import this module and know no environment

    try:
        yield
    except gym.error.DependencyNotInstalled as error:
        raise UserError(str(error)) from error
    except ImportError as error:
        raise UserError(f"{about}: {error.msg.split('. ')[0]}") from error
    except gym.error.UnregisteredEnv as error:
        raise UserError(f"{about}: {str(error).rstrip('.')}; `hrm-agents envs` lists the ids") from error
    except gym.error.Error as error:
        hint = "; `hrm-agents envs` lists the ids" if "No registered env" in str(error) else ""
        raise UserError(f"{about}: {str(error).rstrip('.')}{hint}") from error
    except (ValueError, TypeError) as error:
        # gym.make appends the environment's whole argument list to a TypeError.
        raise UserError(f"{about}: {str(error).split(' was raised from the environment creator')[0]}") from error
