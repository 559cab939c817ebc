"""Weight files, valid and invalid, and what the reader does with them."""

import json
import os
import pickle
import struct
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hrm_agents.models.weight_files import read_weights

#: One file of each format; ``old.pt`` has the format of torch before 1.6.
NAMES = ("w.pt", "old.pt", "w.safetensors", "w.npz")
#: Header of a tensor in a safetensors file, for :func:`safetensors`.
FOUR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def weights():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 2)]
    return {f"layer.{i}.weight": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}


def write(path, tensors):
    """Write a file of the format that its name indicates."""
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=path.name != "old.pt")
    return path


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def archive(path, pickled, storages=None, byteorder=sys.byteorder):
    """A file of ``torch.save`` with the given pickle and storages by key."""
    data = {f"archive/data/{key}": content for key, content in (storages or {}).items()}
    return write_zip(path, {"archive/data.pkl": pickled, "archive/byteorder": byteorder, **data})


def old_archive(path, pickled, rest=b"", little_endian=True):
    """A file of torch before 1.6 with the given pickle; ``rest`` follows it."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": little_endian})
    path.write_bytes(b"".join(pickle.dumps(value, 2) for value in head) + pickled + rest)
    return path


def safetensors(path, header, content=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + content)
    return path


def npy(shape="(2,)", descr="'<f4'", order="False", content=bytes(8)):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def refusal(path):
    """The error of :func:`read_weights`: one short line, raised at once and in little memory."""
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r".") as raised:
            read_weights(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 20, "it takes a second, and more if memory is traced on a busy machine"
    size = path.stat().st_size if os.path.isfile(path) else 0
    assert peak < 3 * size + 64 * 1024**2
    return checked(raised.value)


def checked(error):
    """The message of an error of :func:`read_weights`."""
    text = str(error)
    assert type(error) is ValueError
    assert text.isprintable()  # so it is one line
    assert len(text) < 300
    return text


def mutations(content, seed, number):
    """Copies of ``content`` with bytes changed, truncated, removed, repeated or set to 255."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        changed = bytearray(content)
        at = int(rng.integers(len(changed)))
        length = int(rng.integers(1, 9))
        match index % 5:
            case 0:
                for place in rng.integers(0, len(changed), length):
                    changed[place] = int(rng.integers(256))
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at : at + length] = b"\xff" * length
        yield bytes(changed)


def is_refused(path):
    """Whether a file is refused with a proper error; otherwise its weights take no more bytes than the file."""
    try:
        found = read_weights(path)
    except ValueError as error:
        return bool(checked(error))
    assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) <= path.stat().st_size
    return False
