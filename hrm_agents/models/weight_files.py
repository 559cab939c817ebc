"""Weights of others, from three kinds of file: never more than data, never more memory than the file has bytes.

Each reader says which tensors a file claims to hold, and where in it they lie. The claims of all are checked in one
place, and only then are the numbers read.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from hrm_agents.errors import shown, shown_path
from hrm_agents.models.limits import LARGEST_WEIGHT
from hrm_agents.models.stored import (
    LONGEST_HEAD,
    Block,
    Refused,
    StoredTensor,
    check_claims,
    open_regular,
    read_tensors,
    row_by_row,
    sizes,
    zip_blocks,
)
from hrm_agents.models.torch_files import read_torch

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SAFETENSORS_TYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
}
_NUMPY_TYPES = {np.dtype(name): getattr(torch, name) for name in ("float16", "float32", "float64")}
#: The longest header that numpy itself would read, and what stands before it.
_LONGEST_NPY_HEADER = 10_000 + 12
_ADVICE = "expected weights by name, a state_dict()"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file that ``torch.save`` wrote, or from ``.safetensors`` or ``.npz``, on the CPU.

    Whatever else a file holds is never run. Tensors may share memory.

    Raises:
        ValueError: the file is missing, no regular file, of another kind, damaged or compressed, or holds something
            else than floating-point tensors that take no more bytes than it has; the text is one line.
    """
    suffix = path.suffix.lower()
    kind = {".safetensors": "safetensors", ".npz": "numpy"}.get(suffix, "torch")
    try:
        with open_regular(path) as file:
            content, blocks = _READERS[kind](file)
            tensors = _named_tensors(content)
            check_claims(tensors.values(), blocks, os.fstat(file.fileno()).st_size)
            weights = read_tensors(file, tensors, blocks)
    except Refused as error:
        raise ValueError(f"{shown_path(path)}: {error}") from error
    except Exception as error:  # what a file of another kind makes of a reader is unforeseeable
        raise ValueError(
            f"{shown_path(path)} is not a {kind} file, or is truncated or damaged; nothing in it was run"
        ) from error
    for name, tensor in weights.items():
        if not float(tensor.double().abs().max()) <= LARGEST_WEIGHT:
            raise ValueError(
                f"{shown_path(path)}: weight {shown(name)} holds what is no finite number, or one beyond "
                f"{LARGEST_WEIGHT:g}; the model has diverged"
            )
    return weights


def _named_tensors(content: Any) -> dict[str, StoredTensor]:
    """What a file holds, if it is weights by name.

    Raises:
        Refused: it is something else.
    """
    if not isinstance(content, dict):
        raise Refused(f"it holds a {type(content).__name__}; {_ADVICE}")
    if not content:
        raise Refused(f"it holds nothing; {_ADVICE}")
    for name, value in content.items():
        if not isinstance(value, StoredTensor) or value.dtype not in _FLOATS:
            what = value.dtype if isinstance(value, StoredTensor) else type(value).__name__
            raise Refused(f"{shown(name)} is {what}; {_ADVICE}")
        if not isinstance(name, str) or not value.shape or 0 in value.shape:
            raise Refused(
                f"{shown(name)} of shape {shown(value.shape)} is no weight of an HRM; expected a state_dict()"
            )
    if "H_init" in content and "answer_head.weight" in content:
        raise Refused("it is a model of this package already: use its folder as it is")
    return content


def _read_safetensors(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """A header of names, types, shapes and places in JSON, with its length before it and the numbers behind it."""
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(min(length, LONGEST_HEAD + 1)))
    content, blocks = {}, {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = sizes(entry["data_offsets"])
        if end < start:
            raise ValueError("a tensor ends before it starts")
        dtype = _SAFETENSORS_TYPES.get(entry["dtype"], f"of type {shown(entry['dtype'])}")
        content[name] = StoredTensor(name, dtype, sizes(entry["shape"]))
        blocks[name] = Block(8 + length + start, end - start)
    return content, blocks


def _read_npz(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """A zip archive of arrays, each with a header."""
    content, blocks = {}, zip_blocks(file)
    for member, block in blocks.items():
        file.seek(block.start)
        header = io.BytesIO(file.read(min(block.size, _LONGEST_NPY_HEADER)))
        version = np.lib.format.read_magic(header)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd types, which are refused anyway
            shape, by_column, dtype = read_header(header)
        if dtype.hasobject or dtype.fields is not None:
            raise ValueError("no numbers")
        shape, torch_type = sizes(shape), _NUMPY_TYPES.get(dtype, str(dtype))
        steps = row_by_row(shape[::-1])[::-1] if by_column else None
        content[member.removesuffix(".npy")] = StoredTensor(member, torch_type, shape, steps, header.tell())
    return content, blocks


_READERS: Mapping[str, Callable[[BinaryIO], tuple[Any, dict[str, Block]]]] = {
    "safetensors": _read_safetensors,
    "numpy": _read_npz,
    "torch": read_torch,
}
