import errno
import json
import os
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import hrm_agents
from hrm_agents.checkpoint import (
    CONFIG,
    MODEL,
    STATE,
    load,
    load_state,
    save_model,
    save_state,
    warm_start,
    write_atomically,
)
from hrm_agents.errors import UserError
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.trainer import Trainer


@pytest.fixture
def folder(sudoku_run, tmp_path):
    """A copy to spoil."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (MODEL, CONFIG):
        shutil.copy(sudoku_run / name, copy / name)
    return copy


def edit(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def test_round_trip(folder, tmp_path):
    loaded = load(folder)
    assert not loaded.model.training
    assert loaded.config["env"]["id"] == "HRM/Sudoku-4x4-v0"
    assert loaded.config["package_version"] == hrm_agents.__version__
    assert re.fullmatch("[0-9a-f]{64}", loaded.config["data_hash"])
    assert loaded.config["evaluation"]["num_puzzles"] == 1000
    save_model(tmp_path / "again", loaded.model, {"env": loaded.config["env"]})
    assert (tmp_path / "again" / MODEL).read_bytes() == (folder / MODEL).read_bytes()


def test_works_without_the_training_state(folder):
    assert not (folder / STATE).exists()
    assert hrm_agents.load(folder).solve("1234341221434321").success in (True, False)


def missing_weights(folder):
    (folder / MODEL).unlink()


def truncated(folder):
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-10])


def empty(folder):
    (folder / MODEL).write_bytes(b"")


def pickled(folder):
    (folder / MODEL).write_bytes(pickle.dumps({"weight": [1.0]}))


def torch_pickled(folder):
    torch.save(load(folder).model.state_dict(), folder / MODEL)


def foreign(folder):
    (folder / MODEL).write_bytes(save({"fc.weight": torch.zeros(3, 3)}))


def one_too_many(folder):
    weights = load(folder).model.state_dict()
    (folder / MODEL).write_bytes(save({**weights, "surplus": torch.zeros(1)}))


def other_shape(folder):
    weights = load(folder).model.state_dict()
    (folder / MODEL).write_bytes(save({**weights, "q_head.bias": torch.zeros(3)}))


def no_config(folder):
    (folder / CONFIG).unlink()


def broken_json(folder):
    (folder / CONFIG).write_text("{'format': 1")


def not_an_object(folder):
    (folder / CONFIG).write_text("[1, 2]")


def other_config(folder):
    (folder / CONFIG).write_text('{"architectures": ["LlamaForCausalLM"]}')


def other_format(folder):
    edit(folder, lambda config: config.update(format=2))


def unknown_field(folder):
    edit(folder, lambda config: config["model"].update(flux=1))


def wrong_type(folder):
    edit(folder, lambda config: config["model"].update(hidden_size="wide"))


def unknown_choice(folder):
    edit(folder, lambda config: config["model"].update(position="polar"))


def impossible(folder):
    edit(folder, lambda config: config["model"].update(num_heads=3))


def no_model(folder):
    edit(folder, lambda config: config.update(model=None))


def no_env(folder):
    edit(folder, lambda config: config.pop("env"))


def odd_env(folder):
    edit(folder, lambda config: config.update(env={"name": "x"}))


def no_training(folder):
    edit(folder, lambda config: config.update(training=3))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing_weights, "model.safetensors is missing"),
        (truncated, "truncated or not a safetensors file"),
        (empty, "truncated or not a safetensors file"),
        (pickled, "truncated or not a safetensors file"),
        (torch_pickled, "truncated or not a safetensors file"),
        (foreign, "does not belong to this config.json"),
        (one_too_many, "weight 'surplus' is unknown"),
        (other_shape, r"weight 'q_head.bias' has shape \(3,\), config.json says \(2,\)"),
        (no_config, "is not a checkpoint: it has no config.json"),
        (broken_json, "is not readable JSON"),
        (not_an_object, "is not the config of an hrm-agents checkpoint"),
        (other_config, "is not the config of an hrm-agents checkpoint"),
        (other_format, "has format 2; this version of hrm-agents reads 1"),
        (unknown_field, "unknown field 'flux'"),
        (wrong_type, "hidden_size: 'wide' is not int"),
        (unknown_choice, "position: 'polar' is not .*rope2d"),
        (impossible, "num_heads 3 must divide hidden_size 16"),
        (no_model, "expected an object"),
        (no_env, "does not tell its 'env'"),
        (odd_env, "unknown field 'name'"),
        (no_training, "does not tell its 'training'"),
    ],
)
def test_a_spoilt_checkpoint_is_explained(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UserError, match=message):
        hrm_agents.load(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a checkpoint"):
        load(tmp_path / "nowhere")


def test_nothing_is_ever_unpickled(folder, tmp_path):
    """Code in a pickle under any of the three names does not run, and no module asks torch or pickle to load."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    for name in (MODEL, CONFIG, STATE):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    for read in (load, load_state):
        with pytest.raises(UserError):
            read(folder)
    assert not (tmp_path / "exploded").exists()
    source = "".join(path.read_text() for path in Path(hrm_agents.__file__).parent.rglob("*.py"))
    assert not re.search(
        r"torch\.load\((?!.*weights_only=True)|pickle\.loads?\(|import pickle|allow_pickle=True", source
    )


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(UserError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_survives_a_full_disk(folder, monkeypatch):
    loaded = load(folder)
    before = {name: (folder / name).read_bytes() for name in (MODEL, CONFIG)}
    with torch.no_grad():
        loaded.model.answer_head.weight.add_(1.0)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_model(folder, loaded.model, {})
    with pytest.raises(UserError, match="No space left"):
        save_state(folder, {"a": torch.zeros(1)}, {})
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert sorted(os.listdir(folder)) == sorted(before)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below" / "it", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: Is a directory"):
        write_atomically(tmp_path / "folder", b"")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_state_keeps_types_and_numbers(tmp_path):
    shared = torch.arange(4, dtype=torch.float32)
    tensors = {"keys": torch.tensor([2**64 - 1], dtype=torch.uint64), "one": shared, "two": shared[1:]}
    document = {"rng": {"state": 2**127 + 1}, "text": "\u00fc"}
    save_state(tmp_path, tensors, document)
    read, again = load_state(tmp_path)
    assert again == document
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def maze_model(size, position):
    return HRM(HRMConfig(6, (size, size), hidden_size=16, num_heads=2, H_layers=1, L_layers=1, position=position))


def save_maze_model(folder, model):
    save_model(folder, model, {"env": {"id": "HRM/Maze-7x7-v0", "kwargs": {}}})
    return folder


def test_warm_start_carries_weights_to_another_grid_size(tmp_path):
    small, large = maze_model(5, "rope2d"), maze_model(9, "rope2d")
    warm_start(large, save_maze_model(tmp_path, small))
    mine, theirs = large.state_dict(), small.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_warm_start_refuses_weights_that_do_not_fit(tmp_path):
    folder = save_maze_model(tmp_path, maze_model(5, "learned"))
    with pytest.raises(UserError, match=r"'embedding.position' has shape \(26, 16\) there and \(82, 16\) here"):
        warm_start(maze_model(9, "learned"), folder)
    with pytest.raises(UserError, match=r"'embedding.position' has shape .* there and none here"):
        warm_start(maze_model(5, "rope2d"), folder)


def test_a_run_starts_from_a_checkpoint_and_resumes_without_it(tmp_path, tiny_config):
    first = Trainer(tiny_config(), tmp_path / "first")
    first.run()
    config = tiny_config()
    config = replace(config, run=replace(config.run, seed=1, init_from=str(tmp_path / "first")))
    second = Trainer(config, tmp_path / "second")
    start = {name: tensor.clone() for name, tensor in second.model.state_dict().items()}
    saved = load(tmp_path / "first").model.state_dict()
    assert all(torch.equal(start[name], saved[name]) for name in saved)
    second.run()
    shutil.rmtree(tmp_path / "first")
    assert Trainer.resume(tmp_path / "second").updates_done == config.run.updates
