"""Pickles in files of ``torch.save`` are read as data: nothing in them is imported or called."""

import builtins
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from weight_builders import archive, is_refused, mutations, old_archive, refusal, weights, write, write_zip

from hrm_agents.models.weight_files import read_weights


@pytest.fixture
def canary(tmp_path):
    """The path of a file that harmful content would make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.mark.filterwarnings("ignore")  # of torch, when making these values
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
@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_values_other_than_dense_tensors(tmp_path, make, name):
    try:
        path = write(tmp_path / name, {"a": make()})
    except (AttributeError, RuntimeError, NotImplementedError) as error:
        pytest.skip(f"torch cannot save it: {error}")
    text = refusal(path)
    assert "would run code" in text or "expected weights by name" in text


def test_another_byte_order(tmp_path):
    little = sys.byteorder == "little"
    path = archive(tmp_path / "w.pt", b"\x80\x02}.", byteorder="big" if little else "little")
    assert "another byte order" in refusal(path)
    empty = pickle.dumps([], 2)
    assert "another byte order" in refusal(old_archive(tmp_path / "old.pt", empty, empty, little_endian=not little))


def test_a_compressed_file(tmp_path):
    content = {"archive/data.pkl": pickle.dumps({"a": 1}, 2), "archive/data/0": bytes(2**26)}
    assert "compressed" in refusal(write_zip(tmp_path / "w.pt", content, zipfile.ZIP_DEFLATED))


# Calls


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def harmful(target):
    """Values that make the file ``target``, or do something else, when they are unpickled."""
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
        type("Reduced", (), {"__reduce_ex__": lambda self, protocol: (eval, ("1",))})(),
    ]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["value", "key", "all"])
def test_calls_are_not_made(tmp_path, canary, protocol, where):
    for value in harmful(canary):
        content = {"value": {"a": value}, "key": [(value, 1)], "all": value}[where]
        data = pickle.dumps(content, protocol)
        message = refusal(archive(tmp_path / "w.pt", data))
        assert any(part in message for part in ("nothing in it was run", "was not run", "not pickled the way"))
        refusal(old_archive(tmp_path / "old.pt", data))
        (tmp_path / "plain.pkl").write_bytes(data)
        assert "is not a torch file" in refusal(tmp_path / "plain.pkl")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the file that one of them opens
def test_the_calls_would_do_harm(tmp_path):
    """Otherwise the test above would prove nothing."""
    target = tmp_path / "canary"
    for value in harmful(target)[:6]:
        pickle.loads(pickle.dumps(value))
        assert target.exists()
        target.unlink()


# Pickles that no pickler writes


def string(value):
    return b"X" + struct.pack("<I", len(value)) + value


SYSTEM = b"cos\nsystem\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(" + string(b"storage") + b"ctorch\nFloatStorage\n" + string(b"0") + string(b"cpu") + b"K\x02tQ"
ZERO, ONE, ONES, TWOS, MAX, MINUS_ONE = (
    b"K\x00", b"K\x01", b"K\x01\x85", b"K\x02\x85", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff"
)  # fmt: skip


def tensor(start, shape, stride):
    """A dict with one tensor, of the pickled arguments."""
    return b"}" + string(b"a") + TENSOR + b"(" + STORAGE + start + shape + stride + b"\x89NtRs."


def attacks(target):
    """Pickles by the name of their fault."""
    command = f"touch {target}".encode()
    text = string(command)
    vast = struct.pack("<Q", 2**40) + b"."
    return {
        "reduce": SYSTEM + text + b"\x85R.",
        "inst": b"(S'" + command + b"'\nios\nsystem\n.",
        "obj": b"(" + SYSTEM + text + b"o.",
        "newobj": SYSTEM + text + b"\x85\x81.",
        "newobj_ex": SYSTEM + text + b"\x85}\x92.",
        "stack_global": b"\x8c\x02os\x8c\x06system\x93" + text + b"\x85R.",
        "extension": b"\x82\x01.",
        "build": b"ctorch\nFloatStorage\n}" + string(b"a") + ONE + b"sb.",
        "build of an object": b"ccollections\nOrderedDict\n)R" + text + b"b.",
        "dotted": b"cos\npath.os.system\n" + text + b"\x85R.",
        "storage called": b"ctorch\nFloatStorage\n" + MAX + b"\x85R.",
        "persistent text": b"Pos.system\n.",
        "persistent number": ONE + b"Q.",
        "persistent module": b"(" + string(b"module") + SYSTEM + text + text + b"tQ.",
        "unread storage": b"(" + string(b"storage") + SYSTEM + text + text + ONE + b"tQ.",
        "vast bytes": b"\x8e" + vast,
        "vast bytearray": b"\x96" + vast,
        "vast text": b"\x8d" + vast,
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
        "repr": b"}" + string(b"a") + b"N" + b"q\x00h\x00\x86" * 60 + b"s.",
        "itself": b"]q\x00h\x00a.",
        "a dict in itself": b"}q\x00" + string(b"a") + b"h\x00s.",
        "no tensor": TENSOR + b"(NNNNNNtR.",
        "few arguments": TENSOR + b")R.",
        "no tuple": TENSOR + b"NR.",
        "far away": tensor(MAX, TWOS, ONES),
        "negative": tensor(MINUS_ONE, TWOS, ONES),
        "stride": tensor(ZERO, TWOS, TWOS),
        "back": tensor(ONE, TWOS, MINUS_ONE + b"\x85"),
        "other stride": tensor(ZERO, TWOS, b")"),
        "vast shape": tensor(ZERO, b"\x8a\x7f" + b"\x7f" * 127 + b"\x85", ZERO + b"\x85"),
        "twice": b"}(" + string(b"a") + ONE + string(b"a") + b"K\x02u.",
    }


def test_a_valid_pickle_is_read(tmp_path):
    """One of the attacks without its fault."""
    path = archive(tmp_path / "w.pt", tensor(ZERO, TWOS, ONES), {"0": np.float32([1, 2]).tobytes()})
    assert read_weights(path)["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("attack", attacks(""))
def test_crafted_pickles(tmp_path, canary, attack):
    data = b"\x80\x02" + attacks(canary)[attack]
    refusal(archive(tmp_path / "w.pt", data, {"0": bytes(8)}))
    keys = pickle.dumps(["0"], 2) + struct.pack("<q", 2) + bytes(8)
    refusal(old_archive(tmp_path / "old.pt", data, keys, little_endian=sys.byteorder == "little"))


def members_of(path):
    """The pickle and the storages of a file of ``torch.save``."""
    with zipfile.ZipFile(path) as file:
        members = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    storages = {name.removeprefix("data/"): data for name, data in members.items() if name.startswith("data/")}
    return members["data.pkl"], storages


@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_a_storage_of_another_length(tmp_path, name):
    """The pickle claims more numbers than the file holds."""
    path = write(tmp_path / name, {"a": torch.ones(1000)})
    claim, more = b"M\xe8\x03", b"M\xff\xff"  # 1,000 and 65,535
    if name == "w.pt":
        data, storages = members_of(path)
        archive(path, data.replace(claim, more), storages)
    else:
        path.write_bytes(path.read_bytes().replace(claim, more))
    refusal(path)


def test_mutated_pickles(tmp_path, canary):
    """In a valid archive, so that the pickle is read."""
    data, storages = members_of(write(tmp_path / "w.pt", weights()))
    contents = [data, *(b"\x80\x02" + attack for attack in attacks(canary).values() if len(attack) < 999)]
    refused = 0
    for seed, content in enumerate(contents):
        for changed in mutations(content, seed, 500 if seed == 0 else 10):
            refused += is_refused(archive(tmp_path / "w.pt", changed, storages))
    assert refused > 500
