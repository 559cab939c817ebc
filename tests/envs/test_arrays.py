"""Untrusted array files: valid ones are read as by numpy, invalid ones give one-line errors."""

from __future__ import annotations

import io
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import hrm_envs
from hrm_envs.puzzles import arrays
from hrm_envs.puzzles.arrays import load_arrays

GRID = np.arange(12).reshape(3, 4)


def npy(array=GRID, version=None, allow_pickle=False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version, allow_pickle)
    return buffer.getvalue()


def with_header(text: str | bytes, data: bytes = b"\x01" * 12, version: int = 1, length: int | None = None) -> bytes:
    header = text.encode("latin1") if isinstance(text, str) else text
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def described(descr="'|u1'", fortran="False", shape="(12,)", **kwargs) -> bytes:
    return with_header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", **kwargs)


def packed(members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def refused(folder: Path, content: bytes, name="bad.npz") -> str:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)) as caught:
        load_arrays(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i4", ">i8", "<u8", "f2", ">f4", "f8"])
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 2), (0, 4), ()])
def test_what_numpy_writes_is_read_alike(tmp_path, dtype, shape):
    plain = np.arange(12)[: int(np.prod(shape))].reshape(shape).astype(dtype)
    for array in (plain, np.asfortranarray(plain)):
        np.save(tmp_path / "a.npy", array)
        np.savez(tmp_path / "a.npz", one=array, two=array)
        np.savez_compressed(tmp_path / "b.npz", one=array, two=array)
        found = [load_arrays(tmp_path / "a.npy")[""], *load_arrays(tmp_path / "a.npz").values(),
                 *load_arrays(str(tmp_path / "b.npz")).values()]  # fmt: skip
        assert len(found) == 5
        for one in found:
            assert np.array_equal(one, array)
            assert (one.dtype, one.shape) == (array.dtype, array.shape)
            one[...] = 1  # the arrays belong to the caller


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format(tmp_path, version):
    (tmp_path / "a.npy").write_bytes(npy(version=version))
    assert np.array_equal(load_arrays(tmp_path / "a.npy")[""], GRID)


@pytest.mark.parametrize(
    "header",
    [
        "{'shape':(3,4),'fortran_order':False,'descr':'|u1'}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3L, 4L), }          \n",
        "  {'fortran_order': False,  'descr' : '|u1' , 'shape': (3, 4,)}",
    ],
)
def test_headers_of_other_hands(tmp_path, header):
    (tmp_path / "a.npy").write_bytes(with_header(header))
    assert load_arrays(tmp_path / "a.npy")[""].shape == (3, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"1234", "it is neither .npy nor .npz"),
        (npy()[:4], "it is neither"),
        (npy()[:7], "it is not in .npy format"),
        (npy()[:30], "its header is incomplete"),
        (npy()[:-1], "claims 96 bytes of shape .*, it has 95"),
        (npy() + b"1", "claims 96 bytes of shape .*, it has 97"),
        (with_header("{}", version=9), "unknown format version 9"),
        (with_header("{}", version=0), "version 0"),
        (with_header("{}", version=2, length=2**32 - 1), "its header claims 4,294,967,295 bytes"),
        (with_header("{}", length=60_000), "its header claims 60,000 bytes"),
        (with_header("[" * 5000), "does not describe an array of numbers"),
        (with_header("{" * 5000 + "}" * 4000), "does not describe"),
        (with_header("{" + " " * 9000 + "x}"), "does not describe"),
        (with_header("__import__('os').abort()"), "does not describe"),
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (12,), 'more': 'x'}"), "does not describe"),
        (with_header("{'descr': '|u1', 'fortran_order': False}"), "does not describe"),
        (with_header(b"\xff\xfe\x00"), "does not describe"),
        (described("'\\x7cu1'"), "does not describe"),
        (described("[('a', '|u1')]"), "does not describe"),
        (described("'|O'"), r"of type '\|O'; expected numbers"),
        (described("'<U4'"), "expected numbers"),
        (described("'<M8[s]'"), "expected numbers"),
        (described("'<c16'"), "expected numbers"),
        (described("'|V3'"), "expected numbers"),
        (described("'u1,u1'"), "expected numbers"),
        (described("'<i3'"), "expected numbers"),
        (described("True"), "expected numbers"),
        (described(fortran="'no'"), "does not describe"),
        (described(fortran="(1,)"), "does not describe"),
        (described(shape="(-12,)"), r"has the invalid shape '\(-12,\)'"),
        (described(shape="(12.0,)"), "has the invalid shape"),
        (described(shape="(3 4)"), "has the invalid shape"),
        (described(shape="(,)"), "has the invalid shape"),
        (described(shape="'12'"), "has the invalid shape"),
        (described(shape="(" + "1, " * 33 + ")"), "has the invalid shape"),
        (described(shape="(" + "9" * 40 + ",)"), "has the invalid shape"),
        (described(shape="(99999999999, 16)"), "claims 1599999999984 bytes"),
        (described(shape="(0, 999999999999999999, 999999999999999999)", data=b""), "claims the shape"),
        (npy(np.array([{}], object), allow_pickle=True), "expected numbers"),
        (pickle.dumps(GRID), "it is neither"),
    ],
    ids=lambda value: value[:40].hex() if isinstance(value, bytes) else "",
)
def test_bad_arrays(tmp_path, content, reason):
    assert re.search(reason, refused(tmp_path, content, "bad.npy"))
    # The same inside an archive.
    assert "array 'bad'" in refused(tmp_path, packed({"inputs.npy": npy(), "bad.npy": content}))


def test_bad_archives(tmp_path):
    whole = packed({"inputs.npy": npy(), "labels.npy": npy()})
    encrypted = bytearray(whole)
    for at in (whole.index(b"PK\x03\x04") + 6, whole.index(b"PK\x01\x02") + 8):
        encrypted[at] |= 1
    stored = bytearray(packed({"inputs.npy": npy()}, zipfile.ZIP_STORED))
    stored[stored.index(b"NUMPY") + 130] ^= 1
    central = whole.index(b"PK\x01\x02")
    longer = bytearray(whole)
    longer[central + 24 : central + 28] = struct.pack("<I", 2**31)
    for content, reason in (
        (whole[:60], "File is not a zip file"),
        (whole[:-20], "File is not a zip file"),
        (bytes(encrypted), "'inputs.npy' is encrypted"),
        (bytes(stored), "array 'inputs': Bad CRC-32"),
        (bytes(longer), "'inputs.npy' would unpack from .* to 2,147,483,648 bytes, more than 100 times"),
        (packed({"inputs.npy": npy()}, zipfile.ZIP_BZIP2), "compression method 12; numpy stores or deflates"),
        (packed({"inputs.npy": npy()}, zipfile.ZIP_LZMA), "compression method 14"),
        (packed({"inputs.npy": npy(), "README": b"x"}), "it holds 'README', which is not an .npy array"),
        (packed({"folder/": b""}), "it holds 'folder/', which is not an .npy array"),
    ):
        assert re.search(reason, refused(tmp_path, content))
    twice = packed({"inputs.npy": npy(), "output.npy": npy()}).replace(b"output", b"inputs")
    assert "it holds 'inputs.npy' twice" in refused(tmp_path, twice)
    (tmp_path / "none.npz").write_bytes(packed({}))
    assert load_arrays(tmp_path / "none.npz") == {}


def test_archives_that_unpack_to_far_more_than_they_are(tmp_path, monkeypatch):
    """One large array, many small arrays, and many that share their bytes."""
    zeros = npy(np.zeros(2**20, np.uint8))
    monkeypatch.setattr(arrays, "FREE_BYTES", 2**19)
    assert "'a.npy' would unpack from" in refused(tmp_path, packed({"a.npy": zeros}))
    monkeypatch.setattr(arrays, "FREE_BYTES", 2**21)
    path = tmp_path / "fine.npz"
    path.write_bytes(packed({"a.npy": zeros}))
    assert load_arrays(path)["a"].size == 2**20
    assert "would unpack to" in refused(tmp_path, packed({f"a{i}.npy": zeros for i in range(9)}))
    one = packed({"a.npy": npy(np.random.default_rng(0).integers(0, 255, 5000, np.uint8))})
    start = one.index(b"PK\x01\x02")
    entry, end = one[start : one.index(b"PK\x05\x06")], bytearray(one[one.index(b"PK\x05\x06") :])
    entries = b"".join(entry.replace(b"a.npy", f"{i}.npy".encode()) for i in range(9))
    end[8:12] = struct.pack("<HH", 9, 9)
    end[12:16] = struct.pack("<I", len(entries))
    assert "claim more packed bytes than the file has" in refused(tmp_path, one[:start] + entries + bytes(end))
    monkeypatch.setattr(arrays, "MAX_ARRAYS", 3)
    assert "it has 4 arrays" in refused(tmp_path, packed({f"{i}.npy": npy() for i in range(4)}))


@pytest.mark.parametrize(
    "content",
    [
        described(shape="(4000000000,)"),
        packed({"a.npy": described(shape="(4000000000,)")}),
        packed({"a.npy": with_header("(" * 9000)}),
        packed({"a.npy": npy()})[:-1],
    ],
    ids=["npy", "npz", "deep", "cut"],
)
def test_memory_is_not_set_aside_for_what_is_only_claimed(tmp_path, content):
    tracemalloc.start()
    try:
        refused(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_the_package_offers_the_reader():
    assert hrm_envs.load_arrays is load_arrays
