"""Counter-based random numbers: uniform, independent of the batch, and never shared."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from gymnasium.utils import seeding

from hrm_envs.streams import Draws, hash_rows, mix, stream_key

NUM = 24_000


def draws(num: int = NUM, start: int = 0, episode: int = 0) -> Draws:
    return Draws(np.arange(start, start + num, dtype=np.uint64), np.full(num, episode))


def chi_square(counts, total: int) -> float:
    expected = total / len(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def test_permutations_are_uniform():
    """24 permutations of 4: chi-square with 23 degrees of freedom exceeds 49.7 once in a thousand."""
    orders = draws().permutations(4)
    code = orders @ np.array([64, 16, 4, 1])
    counts = [int((code == np.dot(p, [64, 16, 4, 1])).sum()) for p in permutations(range(4))]
    assert sum(counts) == NUM
    assert chi_square(counts, NUM) < 49.7


@pytest.mark.parametrize("vary", ["keys", "episodes", "steps"])
def test_integers_are_uniform(vary):
    """10 values: chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand."""
    if vary == "keys":
        values = draws().integers(10)
    elif vary == "episodes":
        values = Draws(np.zeros(NUM, np.uint64), np.arange(NUM)).integers(10)
    else:
        one = draws(1, start=5)
        values = np.concatenate([one.integers(10) for _ in range(2000)])
    assert values.min() == 0
    assert values.max() == 9
    assert chi_square(np.bincount(values, minlength=10), len(values)) < 27.9


def test_successive_draws_are_independent():
    """Pairs of 5 values: chi-square with 24 degrees of freedom exceeds 51.2 once in a thousand."""
    made = draws()
    pairs = made.integers(5) * 5 + made.integers(5)
    assert chi_square(np.bincount(pairs, minlength=25), NUM) < 51.2
    rows = draws().integers(5)
    pairs = rows[:-1:2] * 5 + rows[1::2]
    assert chi_square(np.bincount(pairs, minlength=25), NUM // 2) < 51.2


def test_every_bit_is_fair():
    bits = draws(4096).bits(1)[:, 0]
    ones = [(bits >> np.uint64(place) & np.uint64(1)).sum() for place in range(64)]
    assert all(abs(int(count) - 2048) < 150 for count in ones)


def test_a_batch_draws_what_its_rows_draw_alone():
    together = Draws(np.array([3, 99, 2**64 - 1], np.uint64), np.array([0, 7, 2]))
    alone = [
        Draws(np.array([key], np.uint64), np.array([episode])) for key, episode in ((3, 0), (99, 7), (2**64 - 1, 2))
    ]
    for draw in (
        lambda made: made.integers(1000),
        lambda made: made.bits(3),
        lambda made: made.permutations(5),
        lambda made: made.integers(2**32),
    ):
        assert np.array_equal(draw(together), np.concatenate([draw(one) for one in alone]))


def test_rows_that_are_taken_go_on_as_they_would():
    made = draws(10)
    made.bits(3)
    some = made.take(np.array([2, 7]))
    assert len(some) == 2
    assert np.array_equal(some.bits(4), made.bits(4)[[2, 7]])
    assert np.array_equal(made.take(np.arange(10) < 4).integers(9), made.integers(9)[:4])


def test_neighbouring_streams_do_not_collide():
    words = np.concatenate(
        [draws(200, episode=episode).bits(20).reshape(-1) for episode in range(20)]
    )  # 200 neighbouring keys, 20 episodes, 20 draws
    assert len(np.unique(words)) == words.size


def test_keys_of_neighbouring_seeds_are_unrelated():
    keys = np.array([stream_key(seeding.np_random(seed)[0]) for seed in range(500)], np.uint64)
    assert len(np.unique(keys)) == 500
    differing = np.unpackbits((keys[1:] ^ keys[:-1]).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
    assert 30 < differing.mean() < 34  # half of 64 bits


def test_integers_stay_in_range():
    assert (draws(100).integers(1) == 0).all()
    assert (draws(1000).integers(2**32) >= 0).all()
    assert draws(1000).integers(3).dtype == np.int64


def test_mix_is_a_bijection_as_published():
    # SplitMix64 seeded with 0 gives these numbers (Vigna, https://prng.di.unimi.it/splitmix64.c).
    golden = np.uint64(0x9E3779B97F4A7C15)
    words = mix(np.arange(1, 4, dtype=np.uint64) * golden)
    assert [hex(word) for word in words] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]
    assert len(np.unique(mix(np.arange(10_000, dtype=np.uint64)))) == 10_000


def test_row_hashes():
    rows = np.random.default_rng(0).integers(0, 3, (500, 20)).astype(np.uint8)
    hashes = hash_rows(rows)
    assert hashes.dtype == np.uint64
    assert len(np.unique(hashes)) == len(np.unique(rows, axis=0))
    assert np.array_equal(hash_rows(rows.astype(np.int64)), hashes)
    assert np.array_equal(hash_rows(rows[7:8]), hashes[7:8])
    swapped = rows.copy()
    swapped[:, [0, 1]] = rows[:, [1, 0]]
    assert ((hash_rows(swapped) == hashes) == (rows[:, 0] == rows[:, 1])).all()
