"""Files of safetensors and numpy with wrong headers are refused."""

import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from weight_builders import FOUR, is_refused, mutations, npy, refusal, safetensors, write_zip

from hrm_agents.models.weight_files import read_weights


def npz(path, content, compression=zipfile.ZIP_STORED):
    return write_zip(path, {"a.npy": content}, compression)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2])
def test_safetensors_of_other_types(tmp_path, dtype):
    save_file({"a": torch.ones(4).to(dtype)}, tmp_path / "w.safetensors")
    assert "expected weights by name" in refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "entry",
    [
        *({**FOUR, "shape": shape} for shape in ([2**40], [2], [10**30], [-1], [True], "1", [1.0], [1] * 1000)),
        {**FOUR, "data_offsets": [0, 2**40], "shape": [2**38]},
        *({**FOUR, "data_offsets": offsets} for offsets in ([4, 8], [-4, 0], [4, 0], [0])),
        *({**FOUR, "dtype": dtype} for dtype in ("F99", ["F32"], "F" * 10_000)),
        {"dtype": "F32"},
        [],
        None,
    ],
)
def test_safetensors_with_wrong_claims(tmp_path, entry):
    path = tmp_path / "w.safetensors"
    assert read_weights(safetensors(path, {"a": FOUR, "__metadata__": {"x": "y"}}, bytes(4)))["a"].item() == 0.0
    refusal(safetensors(path, {"a": entry}, bytes(4)))


@pytest.mark.parametrize("length", [None, 0, 2**31, 2**63, 2**64 - 1])
@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b"{" + b'"a":' * 5, b"\xff\xfe", b"1" * 10_000, b"null", b'"a"', b"[]"]
)
def test_safetensors_with_wrong_headers(tmp_path, header, length):
    refusal(safetensors(tmp_path / "w.safetensors", header, length=length))


def test_tensors_that_overlap(tmp_path):
    """Many tensors at the same place in the file."""
    header = {str(i): {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]} for i in range(1000)}
    assert "need 4000000 bytes" in refusal(safetensors(tmp_path / "w.safetensors", header, bytes(4000)))


@pytest.mark.parametrize(
    "content",
    [
        npy("(2147483648,)"),
        npy("(3,)"),
        npy(f"({10**30},)"),
        npy("(-2,)"),
        npy("(True,)"),
        npy("2"),
        npy(f"({'1,' * 100})"),
        npy("(" * 90 + "2" + ")" * 90),
        npy("(" * 4000),
        npy("-" * 9000 + "1"),
        npy("(2, 10**9)"),
        npy("__import__('os').system('true')"),
        npy(descr="'O'"),
        npy(descr="'|O8'"),
        npy(descr="[('a', '<f4')]"),
        npy(descr="'U99999999'"),
        npy(descr="'V2147483647'"),
        npy(descr="'>f4'"),
        npy(descr="'<i8'", content=bytes(16)),
        npy(descr="'<c8'", content=bytes(16)),
        npy(descr="'<g'"),
        npy(order="2"),
        npy()[:20],
        npy()[:-1],
        b"",
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"\x93NUMPY\x02\x00" + b"\xff" * 100,
    ],
)
def test_arrays_with_wrong_claims(tmp_path, content):
    assert read_weights(npz(tmp_path / "w.npz", npy()))["a"].tolist() == [0.0, 0.0]
    refusal(npz(tmp_path / "w.npz", content))


def test_compressed_files(tmp_path):
    """They could expand to a thousand times their size."""
    path = npz(tmp_path / "w.npz", npy(f"({2**24},)", content=bytes(2**26)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    assert "compressed" in refusal(path)
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(1000, np.float32))
    assert "save it uncompressed" in refusal(tmp_path / "zeros.npz")


def test_members_that_overlap(tmp_path):
    """A thousand directory entries for the same bytes."""
    path = npz(tmp_path / "w.npz", npy("(250000,)", content=bytes(1_000_000)))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    directory = b"".join(content[at:end].replace(b"a.npy", b"%05d" % i) for i in range(1000))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), at, 0)
    path.write_bytes(content[:at] + directory + tail)
    refusal(path)


def test_mutated_headers(tmp_path):
    header = json.dumps({"a": FOUR, "b": {**FOUR, "data_offsets": [4, 8]}}).encode()
    refused = 0
    for changed in mutations(header, 3, 200):
        refused += is_refused(safetensors(tmp_path / "w.safetensors", changed, bytes(8)))
    for changed in mutations(npy()[:-8], 4, 200):
        refused += is_refused(npz(tmp_path / "w.npz", changed + bytes(8)))
    assert refused > 200
