"""User-fixable errors, and conversion of library errors into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium as gym


class UserError(Exception):
    """Says in one line what was wrong, where, and what to do; the command line prints it without a traceback."""


def one_line(text: str, most: int = 200) -> str:
    """Text in one printable line of at most about ``most`` characters, the middle cut out if it is longer.

    What a terminal would obey rather than show, such as an escape sequence in the name of a file, is spelt out.
    """
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-(most // 2) :]}"


@contextmanager
def user_errors(about: str) -> Iterator[None]:
    """Turn what environments raise for bad ids, keywords and puzzles into :class:`UserError`.

    Args:
        about: what was being made or read; it begins the message.
    """
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
        # gym.make appends the creator's whole argument list to a TypeError: more noise than news.
        raise UserError(f"{about}: {str(error).split(' was raised from the environment creator')[0]}") from error
