"""Weight files of every format: valid files are read exactly, others are refused without harm."""

import os
import threading
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from weight_builders import NAMES, is_refused, mutations, npy, refusal, weights, write, write_zip

from hrm_agents.models.stored import MAX_HEADER
from hrm_agents.models.weight_files import read_weights

# Valid files


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
def test_floating_point_types(tmp_path, name, dtype):
    if dtype == torch.bfloat16 and name == "w.npz":
        pytest.skip("numpy has no bfloat16")
    tensors = {"a": torch.randn(5, 3).to(dtype), "b": torch.randn(7).to(dtype)}
    found = read_weights(write(tmp_path / name, tensors))
    assert all(found[key].dtype == dtype and torch.equal(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_views_parameters_and_modules(tmp_path, name):
    base = torch.randn(6, 8)
    parameter = torch.nn.Parameter(torch.randn(3))
    parameter.note = "saved with the parameter"
    tensors = OrderedDict(
        base=base,
        transposed=base.t().contiguous().t(),
        row=base[2:5, 1:7:2],
        same=base,
        p=parameter,
        **torch.nn.Linear(40, 30).state_dict(),
    )
    tensors._metadata = {"": {"version": 1}}  # as state_dict() sets it
    found = read_weights(write(tmp_path / name, tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in tensors.items())
    expected = torch.load(tmp_path / name, weights_only=True)
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_arrays_in_column_major_order(tmp_path):
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


def test_a_symbolic_link(tmp_path):
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


def test_paths_that_are_not_files(tmp_path):
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
def test_pipes_do_not_block(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "not a regular file" in refusal(tmp_path / name)
    # With a writer at the other end, too.
    writer = threading.Thread(target=lambda: os.close(os.open(tmp_path / name, os.O_RDWR)), daemon=True)
    writer.start()
    assert "not a regular file" in refusal(tmp_path / name)
    writer.join(5)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_devices(tmp_path):
    for device in ("/dev/zero", "/dev/null"):
        assert "not a regular file" in refusal(Path(device))
    (tmp_path / "w.npz").symlink_to("/dev/zero")
    assert "not a regular file" in refusal(tmp_path / "w.npz")


# Contents


def test_an_expanded_tensor(tmp_path):
    assert "need 4000000000 bytes and the file has" in refusal(
        write(tmp_path / "w.pt", {"a": torch.ones(1).expand(10**9)})
    )
    vast = write(tmp_path / "old.pt", {"a": torch.ones(1, 1).expand(2**30, 2**30)})
    assert "some share memory or are expanded" in refusal(vast)


def test_tensors_that_share_memory(tmp_path):
    """They are read, unless they need more bytes than the file has."""
    shared = torch.randn(10_000)
    few = write(tmp_path / "few.pt", {"a": shared[:5000], "b": shared[4000:8000]})
    assert torch.equal(read_weights(few)["b"], shared[4000:8000])
    assert "some share memory" in refusal(write(tmp_path / "many.pt", {str(i): shared for i in range(1000)}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2, dtype=torch.int64), "'a' is torch.int64; expected weights by name"),
        (torch.ones(2, dtype=torch.complex64), "'a' is torch.complex64"),
        (torch.ones(2, dtype=torch.bool), "'a' is torch.bool"),
        (torch.tensor(1.0), "'a' of shape () is not a weight"),
        (torch.ones(3, 0), "'a' of shape (3, 0) is not a weight"),
        ({"b": torch.ones(2)}, "'a' is dict; expected weights by name, a state_dict()"),
        ([torch.ones(2)], "'a' is list"),
        (3, "'a' is int"),
        (None, "'a' is NoneType"),
        (torch.tensor([1.0, float("inf")]), "weight 'a' holds a number that is not finite"),
        (torch.tensor([1e300], dtype=torch.float64), "weight 'a' holds a number that is not finite or exceeds 1e+06"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "old.pt"])
def test_values_that_are_not_weights(tmp_path, name, value, message):
    assert message in refusal(write(tmp_path / name, {"a": value}))


@pytest.mark.parametrize("key", [1, None, 2.5, True, (1, 2), b"b", "x" * 10_000, "a\nb\x1b[31m", "\udcff"])
def test_unusual_names(tmp_path, key):
    refusal(write(tmp_path / "w.pt", {key: torch.ones(2, dtype=torch.int64)}))


def test_long_names_in_other_formats(tmp_path):
    tensors = {"x" * 10_000: torch.ones(2, dtype=torch.int64)}
    for name in ("w.safetensors", "w.npz"):
        message = refusal(write(tmp_path / name, tensors))
        assert "xxx ..." in message or "xxx...xxx" in message


@pytest.mark.parametrize("name", NAMES)
def test_more_tensors_than_a_network_has(tmp_path, name):
    assert "5,000 tensors" in refusal(write(tmp_path / name, {f"{i}": torch.ones(1) for i in range(5000)}))


# Archives


def test_a_directory_that_is_too_long(tmp_path):
    refusal(write_zip(tmp_path / "w.npz", {f"{number}.npy": b"" for number in range(MAX_HEADER // 50)}))


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_invalid_archives(tmp_path, name):
    path = tmp_path / name
    refusal(write_zip(path, {}))
    refusal(write_zip(path, {"x": b"", "a/../data.pkl": b""}))
    write_zip(path, {"one": npy(), "two": npy()})
    path.write_bytes(path.read_bytes().replace(b"two", b"one"))
    assert "twice" in refusal(path)
    content = bytearray(write(path, weights()).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_damage_is_detected(tmp_path, name):
    """A changed number would be a valid weight, but its checksum is wrong."""
    tensors = {"a": torch.full((100,), 0.5)}
    path = write(tmp_path / name, tensors)
    content = bytearray(path.read_bytes())
    content[content.index(tensors["a"].numpy().tobytes()) + 200] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files(tmp_path, name):
    content = write(tmp_path / name, weights()).read_bytes()
    refused = 0
    for changed in mutations(content, 1, 250):
        (tmp_path / name).write_bytes(changed)
        refused += is_refused(tmp_path / name)
    assert refused > 50
