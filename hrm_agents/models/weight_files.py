"""Weights from untrusted files of three formats, read as data and in memory of about the size of the file.

Each reader returns the tensors that a file claims to hold, and their places in it. These claims are checked in one
place before the data is read.
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
    MAX_HEADER,
    Block,
    Refused,
    StoredTensor,
    check_claims,
    contiguous,
    open_regular,
    read_tensors,
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
#: The longest header that numpy itself reads, and the bytes before it.
_MAX_NPY_HEADER = 10_000 + 12
_ADVICE = "expected weights by name, a state_dict()"
#: Names under which training programs store weights beside an optimiser and the like.
_WRAPPED = ("model_state_dict", "state_dict", "model")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a file of ``torch.save``, or a ``.safetensors`` or ``.npz`` file, onto the CPU.

    No code in the file is run. Tensors may share memory.

    Raises:
        ValueError: the file is missing, not a regular file, of another format, damaged or compressed, or does not hold
            finite floating-point tensors that take no more bytes than the file; the message is one line.
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
    except Exception as error:  # a damaged file can make the readers raise any exception
        raise ValueError(
            f"{shown_path(path)} is not a {kind} file, or is truncated or damaged; nothing in it was run"
        ) from error
    for name, tensor in weights.items():
        if not float(tensor.double().abs().max()) <= LARGEST_WEIGHT:
            raise ValueError(
                f"{shown_path(path)}: weight {shown(name)} holds a number that is not finite or exceeds "
                f"{LARGEST_WEIGHT:g}; the model has diverged"
            )
    return weights


def _named_tensors(content: Any) -> dict[str, StoredTensor]:
    """Check that the content of a file is weights by name.

    Raises:
        Refused: it is not.
    """
    if not isinstance(content, dict):
        raise Refused(f"it holds a {type(content).__name__}; {_ADVICE}")
    content = next((content[name] for name in _WRAPPED if isinstance(content.get(name), dict)), content)
    if not content:
        raise Refused(f"it is empty; {_ADVICE}")
    for name, value in content.items():
        if not isinstance(value, StoredTensor) or value.dtype not in _FLOATS:
            what = value.dtype if isinstance(value, StoredTensor) else type(value).__name__
            raise Refused(f"{shown(name)} is {what}; {_ADVICE}")
        if not isinstance(name, str) or not value.shape or 0 in value.shape:
            raise Refused(
                f"{shown(name)} of shape {shown(value.shape)} is not a weight of an HRM; expected a state_dict()"
            )
    if "H_init" in content and "answer_head.weight" in content:
        raise Refused("it is already a model of this package: use its folder directly")
    return content


def _read_safetensors(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """The length of a header, the header in JSON (name, type, shape and place of each tensor), and the data."""
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(min(length, MAX_HEADER + 1)))
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
        header = io.BytesIO(file.read(min(block.size, _MAX_NPY_HEADER)))
        version = np.lib.format.read_magic(header)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual types, which are refused below
            shape, by_column, dtype = read_header(header)
        if dtype.hasobject or dtype.fields is not None:
            raise ValueError("not an array of numbers")
        shape, torch_type = sizes(shape), _NUMPY_TYPES.get(dtype, str(dtype))
        steps = contiguous(shape[::-1])[::-1] if by_column else None
        content[member.removesuffix(".npy")] = StoredTensor(member, torch_type, shape, steps, header.tell())
    return content, blocks


_READERS: Mapping[str, Callable[[BinaryIO], tuple[Any, dict[str, Block]]]] = {
    "safetensors": _read_safetensors,
    "numpy": _read_npz,
    "torch": read_torch,
}
