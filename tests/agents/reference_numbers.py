"""Numbers that public implementations computed from the same weights, where they lie beside the repository."""

from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference"
#: Label of cells that do not count.
IGNORE = -100


def read(name):
    """All arrays of a file, as tensors; skips the test where it is absent."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip("reference numbers are not here")
    with np.load(path) as file:
        return {entry: torch.from_numpy(np.array(file[entry])) for entry in file.files}


def numbers(reference, folder):
    """The entries of a folder in a file, by the rest of their names."""
    return {name.removeprefix(folder): v for name, v in reference.items() if name.startswith(folder)}


def assert_close(actual, expected, tolerance=1e-4):
    """Compare relative to the largest expected number."""
    scale = expected.float().abs().max().item()
    torch.testing.assert_close(actual.float(), expected.float(), rtol=tolerance, atol=tolerance * scale)
