"""Weights in files of strangers: right files are read as torch reads them, and wrong ones are not obeyed."""

import builtins
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hrm_agents.models.stored import LONGEST_HEAD
from hrm_agents.models.weight_files import read_weights

NAMES = ("w.pt", "old.pt", "w.safetensors", "w.npz")
#: What a message may be about, beyond the path.
OLD_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)


def weights():
    generator = torch.Generator().manual_seed(0)
    return {
        f"layer.{i}.weight": torch.randn(shape, generator=generator) for i, shape in enumerate([(3, 4), (5,), (2, 2)])
    }


def write(path, tensors):
    """A file of the kind that its name says."""
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=path.name != "old.pt")
    return path


def archive(path, pickled, **members):
    """A file of ``torch.save`` with such a pickle in it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/byteorder", sys.byteorder)
        for name, content in members.items():
            file.writestr(f"archive/data/{name}", content)
    return path


def refusal(path):
    """The text of the error, which comes at once, in one short line, and at the cost of next to no memory."""
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r".") as raised:
            read_weights(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(raised.value) is ValueError
    assert time.monotonic() - start < 20, "a second, and more where memory is traced on a busy machine"
    size = path.stat().st_size if os.path.isfile(path) else 0
    assert peak < 3 * size + 64 * 1024**2
    text = str(raised.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 300
    return text


@pytest.fixture
def canary(tmp_path):
    """A file that harmful content would make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


# What is read


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_read(tmp_path, name):
    expected = weights()
    found = read_weights(write(tmp_path / name, expected))
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor)
        assert found[key].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_types_of_numbers(tmp_path, name, dtype):
    if dtype == torch.bfloat16 and name == "w.npz":
        pytest.skip("numpy has no bfloat16")
    tensors = {"a": torch.randn(5, 3).to(dtype), "b": torch.randn(7).to(dtype)}
    found = read_weights(write(tmp_path / name, tensors))
    assert all(found[key].dtype == dtype and torch.equal(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_views_parameters_and_modules(tmp_path, name):
    base = torch.randn(6, 8)
    parameter = torch.nn.Parameter(torch.randn(3))
    parameter.note = "kept beside the parameter"
    tensors = OrderedDict(
        base=base, turned=base.t().contiguous().t(), row=base[2:5, 1:7:2], same=base, p=parameter,
        **torch.nn.Linear(40, 30).state_dict(),
    )  # fmt: skip
    tensors._metadata = {"": {"version": 1}}
    found = read_weights(write(tmp_path / name, tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in tensors.items())
    expected = torch.load(tmp_path / name, weights_only=True)
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_arrays_stored_by_column(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.savez(tmp_path / "w.npz", a=np.asfortranarray(array), b=array)
    found = read_weights(tmp_path / "w.npz")
    assert all(torch.equal(found[key], torch.from_numpy(array)) for key in "ab")


def test_a_file_without_checksums(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        write(tmp_path / "w.pt", weights())
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_weights(tmp_path / "w.pt").keys() == weights().keys()


def test_a_linked_file(tmp_path):
    write(tmp_path / "w.pt", weights())
    (tmp_path / "link.pt").symlink_to("w.pt")
    assert read_weights(tmp_path / "link.pt").keys() == weights().keys()


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_that_of_the_file(tmp_path, name):
    path = write(tmp_path / name, {"a": torch.randn(1000, 1000), "b": torch.randn(1000, 1000)})
    tracemalloc.start()
    try:
        found = read_weights(path)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 2
    assert held < path.stat().st_size + 200_000


# Paths


def test_paths_that_are_no_files(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.pt")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    assert "there is no such file" in refusal(tmp_path / "dangling")
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in refusal(tmp_path / "loop")
    assert "too long" in refusal(tmp_path / ("x" * 300))
    assert "too long" in refusal(tmp_path / ("x" * 10_000 + ".npz"))
    assert "no such file" in refusal(tmp_path / "a\0b")
    assert "Not a directory" in refusal(write(tmp_path / "w.pt", weights()) / "w.pt")
    assert "\\n" in refusal(tmp_path / "a\nb")


@pytest.mark.parametrize("name", ["pipe", "pipe.npz", "pipe.safetensors"])
def test_pipes_are_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "no regular file" in refusal(tmp_path / name)
    # With a writer at the other end, too.
    writer = threading.Thread(target=lambda: os.close(os.open(tmp_path / name, os.O_RDWR)), daemon=True)
    writer.start()
    assert "no regular file" in refusal(tmp_path / name)
    writer.join(5)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_devices(tmp_path):
    for device in ("/dev/zero", "/dev/null"):
        assert "no regular file" in refusal(Path(device))
    (tmp_path / "w.npz").symlink_to("/dev/zero")
    assert "no regular file" in refusal(tmp_path / "w.npz")


# Claims


def test_an_expanded_tensor(tmp_path):
    torch.save({"a": torch.ones(1).expand(10**9)}, tmp_path / "w.pt")
    assert "need 4000000000 bytes and the file has" in refusal(tmp_path / "w.pt")
    torch.save({"a": torch.ones(1, 1).expand(2**30, 2**30)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "some share memory or are expanded" in refusal(tmp_path / "old.pt")


def test_tensors_that_share_memory(tmp_path):
    """Few are read; more than the file has bytes for are not."""
    shared = torch.randn(10_000)
    torch.save({"a": shared[:5000], "b": shared[4000:8000]}, tmp_path / "few.pt")
    assert torch.equal(read_weights(tmp_path / "few.pt")["b"], shared[4000:8000])
    torch.save({str(i): shared for i in range(1000)}, tmp_path / "many.pt")
    assert "some share memory" in refusal(tmp_path / "many.pt")


@pytest.mark.filterwarnings("ignore")  # torch's own, as it makes them
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.ones(3, device="meta"),
        lambda: torch._neg_view(torch.ones(3)),
        lambda: torch.ones(3).to(torch.float8_e4m3fn),
        lambda: torch.ones(3, dtype=torch.uint16),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda: np.ones(3),
        lambda: torch.Size([1]),
        lambda: torch.device("cuda"),
        lambda: b"bytes",
        lambda: {1, 2},
        lambda: torch.nn.Linear(2, 2),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_what_is_no_dense_tensor(tmp_path, make, old):
    try:
        torch.save({"a": make()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    except (AttributeError, RuntimeError, NotImplementedError) as error:
        pytest.skip(f"torch cannot save it: {error}")
    text = refusal(tmp_path / "w.pt")
    assert "would run code" in text or "expected weights by name" in text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2, dtype=torch.int64), "'a' is torch.int64; expected weights by name"),
        (torch.ones(2, dtype=torch.complex64), "'a' is torch.complex64"),
        (torch.ones(2, dtype=torch.bool), "'a' is torch.bool"),
        (torch.tensor(1.0), "'a' of shape () is no weight"),
        (torch.ones(3, 0), "'a' of shape (3, 0) is no weight"),
        ({"b": torch.ones(2)}, "'a' is dict; expected weights by name, a state_dict()"),
        ([torch.ones(2)], "'a' is list"),
        (3, "'a' is int"),
        (None, "'a' is NoneType"),
        (torch.tensor([1.0, float("inf")]), "weight 'a' holds what is no finite number"),
        (torch.tensor([1e300], dtype=torch.float64), "weight 'a' holds what is no finite number"),
    ],
)
def test_values_that_are_no_weights(tmp_path, value, message):
    for old in (False, True):
        torch.save({"a": value}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
        assert message in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("key", [1, None, 2.5, True, (1, 2), b"b", "x" * 10_000, "a\nb\x1b[31m", "\udcff"])
def test_names_that_are_no_names(tmp_path, key):
    torch.save({key: torch.ones(2, dtype=torch.int64)}, tmp_path / "w.pt")
    refusal(tmp_path / "w.pt")


def test_long_names_in_other_files(tmp_path):
    tensors = {"x" * 10_000: torch.ones(2, dtype=torch.int64)}
    for name in ("w.safetensors", "w.npz"):
        assert "xxx ..." in refusal(write(tmp_path / name, tensors)) or "xxx...xxx" in refusal(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2])
def test_safetensors_of_other_types(tmp_path, dtype):
    save_file({"a": torch.ones(4).to(dtype)}, tmp_path / "w.safetensors")
    assert "expected weights by name" in refusal(tmp_path / "w.safetensors")


def safetensors(path, header, content=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + content)
    return path


FOUR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "entry",
    [
        {**FOUR, "shape": [2**40]},
        {**FOUR, "shape": [2]},
        {**FOUR, "shape": [10**30]},
        {**FOUR, "shape": [-1]},
        {**FOUR, "shape": [True]},
        {**FOUR, "shape": "1"},
        {**FOUR, "shape": [1.0]},
        {**FOUR, "shape": [1] * 1000},
        {**FOUR, "data_offsets": [0, 2**40], "shape": [2**38]},
        {**FOUR, "data_offsets": [4, 8]},
        {**FOUR, "data_offsets": [-4, 0]},
        {**FOUR, "data_offsets": [4, 0]},
        {**FOUR, "data_offsets": [0]},
        {**FOUR, "dtype": "F99"},
        {**FOUR, "dtype": ["F32"]},
        {**FOUR, "dtype": "F" * 10_000},
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


def test_parts_that_overlap(tmp_path):
    """Many tensors of a file that are one and the same part of it."""
    header = {str(i): {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]} for i in range(1000)}
    assert "need 4000000 bytes" in refusal(safetensors(tmp_path / "w.safetensors", header, bytes(4000)))


@pytest.mark.parametrize("name", NAMES)
def test_more_tensors_than_a_network_has(tmp_path, name):
    assert "5,000 tensors" in refusal(write(tmp_path / name, {f"{i}": torch.ones(1) for i in range(5000)}))


def npy(shape="(2,)", descr="'<f4'", order="False", content=bytes(8)):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a.npy", content)
    return path


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


def test_bombs(tmp_path):
    """Files that unpack to a thousand times their size."""
    path = npz(tmp_path / "w.npz", npy(f"({2**24},)", content=bytes(2**26)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    assert "compressed" in refusal(path)
    big = pickle.dumps({"a": 1}, 2)
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", big)
        file.writestr("archive/data/0", bytes(2**26))
    assert "compressed" in refusal(tmp_path / "w.pt")
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(1000, np.float32))
    assert "save it uncompressed" in refusal(tmp_path / "zeros.npz")


def test_members_of_an_archive_that_are_the_same_bytes(tmp_path):
    """Directory entries that point to one place, so that little is unpacked to a lot."""
    path = npz(tmp_path / "w.npz", npy("(250000,)", content=bytes(1_000_000)))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = [content[at:end].replace(b"a.npy", b"%05d" % i) for i in range(1000)]
    directory = b"".join(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), at, 0)
    path.write_bytes(content[:at] + directory + tail)
    refusal(path)


def test_a_directory_longer_than_any(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as file:
        for number in range(LONGEST_HEAD // 50):
            file.writestr(f"{number}.npy", b"")
    refusal(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_archives_that_are_odd(tmp_path, name):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w"):
        pass
    refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", b"")
        file.writestr("a/../data.pkl", b"")
    refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one", npy())
        file.writestr("two", npy())
    path.write_bytes(path.read_bytes().replace(b"two", b"one"))
    assert "twice" in refusal(path)
    write(path, weights())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_damage_is_noticed(tmp_path, name):
    """A changed number would be a weight as good as any; its checksum tells."""
    tensors = {"a": torch.full((100,), 0.5)}
    path = write(tmp_path / name, tensors)
    content = bytearray(path.read_bytes())
    content[content.index(tensors["a"].numpy().tobytes()) + 200] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_another_byte_order(tmp_path):
    path = archive(tmp_path / "w.pt", b"\x80\x02}.")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
        file.writestr("archive/byteorder", "big" if sys.byteorder == "little" else "little")
    assert "another byte order" in refusal(path)


# Pickles


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def harmful(target):
    """Values that make the file ``target``, or do something else, as they are unpickled."""
    command = f"touch {target}"
    code = f"open({str(target)!r}, 'w')"
    return [
        Call(os.system, command),
        Call(builtins.eval, code),
        Call(builtins.exec, code),
        Call(subprocess.call, ["touch", str(target)]),
        Call(open, str(target), "w"),
        Call(Path.touch, target),
        Call(torch.save, 1, str(target)),
        Call(torch.hub.load_state_dict_from_url, "file:///nothing", str(target)),
        Call(torch.jit.load, str(target)),
        Call(torch.load, str(target)),
        Call(np.load, str(target)),
        Call(getattr, Path, "touch"),
        Call(__import__, "antigravity"),
        Call(pickle.loads, pickle.dumps(Call(os.system, command))),
        Call(torch.FloatTensor, 10**10),
        Call(torch.zeros, 10**10),
        Call(bytearray, 10**10),
        Call(bytes, 10**10),
        Call(range, 10**10),
        Call(list, range(10**6)),
        Call(torch._utils._rebuild_tensor_v2, 1, 2, 3, 4, 5, 6),
        Call(torch._utils._rebuild_tensor_v2),
        Call(torch._utils._rebuild_parameter),
        Call(OrderedDict, [("a", 1)]),
        np.ones(3),
        np.float32(1),
        np.dtype("f4"),
        lambda_like(),
    ]


def lambda_like():
    return type("Odd", (), {"__reduce_ex__": lambda self, protocol: (eval, ("1",))})()


def pickled(value, protocol=2):
    return pickle.dumps(value, protocol)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["value", "key", "all"])
def test_calls_are_not_made(tmp_path, canary, protocol, where):
    for value in harmful(canary):
        content = {"value": {"a": value}, "key": [(value, 1)], "all": value}[where]
        data = pickled(content, protocol)
        assert "nothing" in refusal(archive(tmp_path / "w.pt", data)) or "not run" in refusal(tmp_path / "w.pt") or (
            "pickled in another way" in refusal(tmp_path / "w.pt")
        )  # fmt: skip
        (tmp_path / "old.pt").write_bytes(OLD_MAGIC + pickled(1001) + pickled({"little_endian": True}) + data)
        refusal(tmp_path / "old.pt")
        (tmp_path / "plain.pkl").write_bytes(data)
        assert "is not a torch file" in refusal(tmp_path / "plain.pkl")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the file that one of them opens
def test_the_harm_would_be_done(tmp_path):
    """Otherwise the test above would show nothing."""
    target = tmp_path / "canary"
    for value in harmful(target)[:6]:
        pickle.loads(pickle.dumps(value))
        assert target.exists()
        target.unlink()


GLOBAL_SYSTEM = b"cos\nsystem\n"


def attacks(target):
    """Pickles that no pickler writes."""
    command = f"touch {target}".encode()
    text = b"X" + struct.pack("<I", len(command)) + command
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n"
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
    vast = b"\x8a\x7f" + b"\x7f" * 127
    return {
        "reduce": GLOBAL_SYSTEM + text + b"\x85R.",
        "inst": b"(S'" + command + b"'\nios\nsystem\n.",
        "obj": b"(" + GLOBAL_SYSTEM + text + b"o.",
        "newobj": GLOBAL_SYSTEM + text + b"\x85\x81.",
        "newobj_ex": GLOBAL_SYSTEM + text + b"\x85}\x92.",
        "stack_global": b"\x8c\x02os\x8c\x06system\x93" + text + b"\x85R.",
        "extension": b"\x82\x01.",
        "build": b"ctorch\nFloatStorage\n}X\x01\x00\x00\x00aK\x01sb.",
        "build of an object": b"ccollections\nOrderedDict\n)R" + text + b"b.",
        "dotted": b"cos\npath.os.system\n" + text + b"\x85R.",
        "storage called": b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.",
        "persistent text": b"Pos.system\n.",
        "persistent number": b"K\x01Q.",
        "persistent module": b"(X\x06\x00\x00\x00module" + GLOBAL_SYSTEM + text + text + b"tQ.",
        "unread storage": b"(X\x07\x00\x00\x00storage" + GLOBAL_SYSTEM + text + text + b"K\x01tQ.",
        "vast bytes": b"\x8e" + struct.pack("<Q", 2**40) + b".",
        "vast bytearray": b"\x96" + struct.pack("<Q", 2**40) + b".",
        "vast text": b"\x8d" + struct.pack("<Q", 2**40) + b".",
        "vast text, 32 bit": b"X\xff\xff\xff\xff.",
        "vast number": b"\x8b\xff\xff\xff\x7f.",
        "vast memo": b"Nr\xff\xff\xff\xff.",
        "frame": b"\x95" + struct.pack("<Q", 2**60) + b"N.",
        "no memo": b"h\x05.",
        "empty stack": b".",
        "no mark": b"t.",
        "below the mark": b"N(\x86.",
        "tuple of nothing": b"\x87.",
        "append to a dict": b"}K\x01a.",
        "item of a list": b"]K\x01K\x02s.",
        "odd items": b"}(K\x01u.",
        "list as a key": b"}]K\x01s.",
        "no end": b"}",
        "nothing": b"",
        "deep": b"]" * 100_000 + b"a" * 99_999 + b".",
        "deep tuples": b")" + b"\x85" * 100_000 + b".",
        "many lists": b"(" + b"]" * 900_000 + b"l.",
        "hash": b"}N" + b"\x85" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
        "repr": b"}X\x01\x00\x00\x00aN" + b"q\x00h\x00\x86" * 60 + b"s.",
        "itself": b"]q\x00h\x00a.",
        "a dict in itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
        "no tensor": tensor + b"(NNNNNNtR.",
        "few arguments": tensor + b")R.",
        "no tuple": tensor + b"NR.",
        "far away": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"J\xff\xff\xff\x7fK\x02\x85K\x01\x85\x89NtRs.",
        "negative": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89NtRs.",
        "stride": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"K\x00K\x02\x85K\x02\x85\x89NtRs.",
        "back": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"K\x01K\x02\x85J\xff\xff\xff\xff\x85\x89NtRs.",
        "other stride": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"K\x00K\x02\x85)\x89NtRs.",
        "vast shape": b"}X\x01\x00\x00\x00a" + tensor + b"(" + storage + b"K\x00" + vast + b"\x85K\x00\x85\x89NtRs.",
        "twice": b"}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.",
    }  # fmt: skip


def test_a_good_pickle_is_read(tmp_path):
    """In the words of the attacks: one of them without its fault."""
    data = attacks("")["stride"].replace(b"K\x02\x85K\x02\x85", b"K\x02\x85K\x01\x85")
    found = read_weights(archive(tmp_path / "w.pt", data, **{"0": np.float32([1, 2]).tobytes()}))
    assert found["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("attack", attacks(""))
def test_crafted_pickles(tmp_path, canary, attack):
    data = b"\x80\x02" + attacks(canary)[attack]
    refusal(archive(tmp_path / "w.pt", data, **{"0": bytes(8)}))
    version = pickled(1001) + pickled({"little_endian": sys.byteorder == "little"})
    keys = pickled(["0"]) + struct.pack("<q", 2) + bytes(8)
    (tmp_path / "old.pt").write_bytes(OLD_MAGIC + version + data + keys)
    refusal(tmp_path / "old.pt")


@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_a_storage_of_another_length(tmp_path, name):
    """A pickle that claims more numbers than the file holds."""
    path = write(tmp_path / name, {"a": torch.ones(1000)})
    claim, more = b"M\xe8\x03", b"M\xff\xff"  # 1,000 and 65,535 in a pickle
    content = path.read_bytes()
    if name == "w.pt":
        with zipfile.ZipFile(path) as file:
            data = next(file.read(member) for member in file.namelist() if member.endswith("data.pkl"))
        archive(path, data.replace(claim, more), **{"0": bytes(4000)})
    else:
        path.write_bytes(content.replace(claim, more))
    refusal(path)


# Mutations


def mutations(content, seed, number):
    """Copies of ``content`` with bytes changed, cut off, cut out, doubled or filled with 255."""
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


def read_or_refused(path):
    """Whether a file was read, or refused in due form."""
    refused = []
    try:
        found = read_weights(path)
    except ValueError as error:
        refused.append(error)
        found = {}
    assert all(type(error) is ValueError and len(str(error)) < 300 and str(error).isprintable() for error in refused)
    assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) <= path.stat().st_size
    return not refused


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files(tmp_path, canary, name):
    content = write(tmp_path / name, weights()).read_bytes()
    refused = 0
    for changed in mutations(content, 1, 250):
        (tmp_path / name).write_bytes(changed)
        refused += not read_or_refused(tmp_path / name)
    assert refused > 50


def test_mutated_pickles(tmp_path, canary):
    """Inside an archive that is right, so that the pickle is what is looked at."""
    write(tmp_path / "w.pt", weights())
    with zipfile.ZipFile(tmp_path / "w.pt") as file:
        members = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    storages = {name.removeprefix("data/"): data for name, data in members.items() if name.startswith("data/")}
    contents = [
        members["data.pkl"],
        *(b"\x80\x02" + attack for attack in attacks(canary).values() if len(attack) < 999),
    ]
    refused = 0
    for seed, content in enumerate(contents):
        for changed in mutations(content, seed, 500 if seed == 0 else 10):
            refused += not read_or_refused(archive(tmp_path / "w.pt", changed, **storages))
    assert refused > 500


def test_mutated_headers(tmp_path):
    header = json.dumps({"a": FOUR, "b": {**FOUR, "data_offsets": [4, 8]}}).encode()
    refused = 0
    for changed in mutations(header, 3, 200):
        refused += not read_or_refused(safetensors(tmp_path / "w.safetensors", changed, bytes(8)))
    for changed in mutations(npy()[:-8], 4, 200):
        refused += not read_or_refused(npz(tmp_path / "w.npz", changed + bytes(8)))
    assert refused > 200
