"""Counter-based random numbers: one independent stream per row, drawn for all rows at once.

A stream is a 64-bit key. Draw ``k`` of episode ``e`` is a hash of (key, e, k), so the numbers of a row depend only on
its own seed and history: a row draws the same numbers in a batch as alone, and the state of a stream is two integers.
The hash is the SplitMix64 finaliser (Steele, Lea and Flood 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from hrm_envs.checks import whole_number
from hrm_envs.limits import MAX_SEED

Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = (np.uint64(s) for s in (27, 30, 31, 32))


def mix(words: Words) -> Words:
    """The SplitMix64 finaliser of each element: a bijection on 64-bit words that mixes all bits."""
    words = (words ^ (words >> _S30)) * _MIX_1
    words = (words ^ (words >> _S27)) * _MIX_2
    return words ^ (words >> _S31)


def hash_rows(array: NDArray[Any]) -> Words:
    """A 64-bit hash ``[B]`` of each row of an integer array ``[B, N]``, the same in every process."""
    words = array.astype(np.uint64)
    places = mix(_GOLDEN * np.arange(1, words.shape[1] + 1, dtype=np.uint64))
    return mix(mix(words + places).sum(axis=1, dtype=np.uint64))


def stream_key(rng: np.random.Generator) -> np.uint64:
    """Draw the key of a new stream from a seeded generator."""
    return np.uint64(rng.integers(0, 2**64, dtype=np.uint64))


def as_seed(name: str, seed: Any) -> int | None:
    """A user's seed as an int; None stays None.

    Raises:
        ValueError: not an integer, negative, or longer than 128 bits.
    """
    return None if seed is None else whole_number(name, seed, 0, MAX_SEED)


def row_seeds(seed: int | np.integer[Any] | Sequence[int | None] | None, num_rows: int) -> list[int | None]:
    """The seed of each row of a vector environment: ``seed + i``, or ``seed[i]``; None continues a stream.

    Raises:
        ValueError: the number of seeds differs from the number of rows, or a seed is invalid.
    """
    if seed is None:
        return [None] * num_rows
    several = seed.ndim > 0 if isinstance(seed, np.ndarray) else isinstance(seed, Sequence)
    if not several or isinstance(seed, str | bytes):
        first = whole_number("seed", seed, 0, MAX_SEED)
        return [first + i for i in range(num_rows)]
    assert isinstance(seed, Sequence | np.ndarray)
    if len(seed) != num_rows:
        raise ValueError(f"{len(seed)} seeds for {num_rows} rows")
    return [as_seed(f"seed of row {row}", one) for row, one in enumerate(seed)]


def independent_seeds(seed: int, num: int) -> list[int]:
    """Seeds for ``num`` rows that share none with those of any other ``seed``.

    Gymnasium seeds row i with ``seed + i``, so runs with seeds 0 and 1 have all but one of their rows in common. To
    compare runs, give each row a seed of its own: ``envs.reset(seed=independent_seeds(0, envs.num_envs))``.

    Raises:
        ValueError: the seed is not an integer, negative, or longer than 128 bits.
    """
    whole_number("seed", seed, 0, MAX_SEED)
    words: list[int] = np.random.SeedSequence(seed).generate_state(num, np.uint64).tolist()
    return words


def fresh_keys(
    rows: NDArray[np.int64], seeds: Sequence[int | None], seeded: NDArray[np.bool_]
) -> tuple[Words, NDArray[np.int64]]:
    """New keys for those of ``rows`` that have a seed or have no stream yet, and the indices of these rows.

    Args:
        rows: int64 ``[K]``, the rows to reset.
        seeds: the seed of every row, from :func:`row_seeds`.
        seeded: bool ``[n]``, rows that already have a stream.
    """
    fresh = [row for row in rows if seeds[row] is not None or not seeded[row]]
    keys: Words = np.array([stream_key(seeding.np_random(seeds[row])[0]) for row in fresh], np.uint64)
    return keys, np.array(fresh, np.int64)


class Draws:
    """The random numbers of one episode of each row. Each call advances all rows together.

    Args:
        keys: uint64 ``[B]``, the streams.
        episodes: integer ``[B]``, number of earlier episodes of each stream.
    """

    def __init__(self, keys: Words, episodes: NDArray[Any]) -> None:
        self._base = mix(keys ^ mix(episodes.astype(np.uint64) * _GOLDEN + _GOLDEN))
        self._used = 0

    def __len__(self) -> int:
        return len(self._base)

    def take(self, rows: NDArray[Any]) -> Draws:
        """The streams of some rows, at the point where they are."""
        taken = copy(self)
        taken._base = self._base[rows]
        return taken

    def bits(self, width: int) -> Words:
        """Uniform 64-bit words ``[B, width]``."""
        steps = np.arange(self._used + 1, self._used + 1 + width, dtype=np.uint64) * _GOLDEN
        self._used += width
        return mix(self._base[:, None] + steps)

    def integers(self, high: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Uniform integers ``[B]`` in ``[0, high)``; ``0 < high <= 2**32`` is one number or one per row."""
        return (((self.bits(1)[:, 0] >> _S32) * np.asarray(high, np.uint64)) >> _S32).astype(np.int64)

    def permutations(self, size: int) -> NDArray[np.int64]:
        """Uniform permutations of ``range(size)``, ``[B, size]``."""
        return self.bits(size).argsort(axis=1)
