"""Rules for the spec and for sampling."""

from __future__ import annotations

import pickle
import random

import numpy as np

from hrm_envs.spec import TaskSpec
from hrm_envs.testing.specimen import Rules, Specimen, TaskError, check_batch


def _spec_is_valid(specimen: Specimen) -> None:
    spec = getattr(specimen.task, "spec", None)
    if not isinstance(spec, TaskSpec):
        raise TaskError(f"spec is {spec!r}, not a TaskSpec: set it on the class or in __init__")
    if not isinstance(spec.symbols, tuple):
        raise TaskError(f"symbols={spec.symbols!r} must be a tuple with one string per token")
    if spec.vocab_size < 2:
        raise TaskError(f"{spec.vocab_size} symbols: padding and at least one more are required")
    for token, symbol in enumerate(spec.symbols):
        if len(symbol) != 1 or not symbol.isprintable():
            raise TaskError(f"symbols[{token}]={symbol!r} must be one printable character")
        if symbol in spec.symbols[:token]:
            raise TaskError(f"symbols[{token}]={symbol!r} must be unique, symbols[{spec.symbols.index(symbol)}] has it")
    table = spec.id_table
    if table is not None and (not table.tasks or table.copies < 1 or len(set(table.tasks)) < len(table.tasks)):
        raise TaskError("id_table needs at least one task and one copy, and distinct names")


def _sample_is_well_formed(specimen: Specimen) -> None:
    check_batch(specimen, specimen.samples[0], "sample")
    check_batch(specimen, specimen.task.sample(np.random.default_rng(specimen.seed), 1), "sample(rng, 1)")


def _sample_makes_new_arrays(specimen: Specimen) -> None:
    kept, later = specimen.samples
    for name in ("puzzle", "solution", "task_id", "example"):
        if np.shares_memory(getattr(kept, name), getattr(later, name)):
            raise TaskError(f"two calls of sample share the memory of {name}: return new arrays, or copies")


def _sample_follows_its_generator(specimen: Specimen) -> None:
    before = _global_generators()
    (first, other), again = specimen.samples, specimen.sample(specimen.seed)
    if _global_generators() != before:
        raise TaskError("sample uses the global generator of random or numpy.random: use only rng")
    if first.digest() != again.digest():
        pairs = [(a, b) for a, b in zip(first.puzzle, again.puzzle, strict=False) if (a != b).any()]
        grids = specimen.show(*pairs[0], "puzzle, the second time") if pairs else ""
        raise TaskError("equally seeded generators give different puzzles: use only rng for randomness" + grids)
    if first.digest() == other.digest():
        raise TaskError(
            "differently seeded generators give the same puzzles: rng is ignored" + specimen.show(first.puzzle[0])
        )


def _global_generators() -> tuple[object, bytes]:
    """The states of the two global generators."""
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002 (only looked at)


RULES: Rules = {
    "the spec is valid": _spec_is_valid,
    "sample returns well-formed puzzles": _sample_is_well_formed,
    "sample returns new arrays": _sample_makes_new_arrays,
    "sample uses no randomness but its generator": _sample_follows_its_generator,
}
