import errno
import os
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from tampering import edit, sign

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load, load_state, save_model, save_run, warm_start
from hrm_agents.trainer import Trainer


@pytest.fixture
def folder(sudoku_run, tmp_path):
    """A copy to spoil."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (MODEL, CONFIG):
        shutil.copy(sudoku_run / name, copy / name)
    sign(copy)
    return copy


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


def deep_json(folder):
    (folder / CONFIG).write_text("[" * 100_000)


def json_with_nan(folder):
    edit(folder, lambda config: config["training"]["optim"].update(lr=float("nan")))


def binary_json(folder):
    (folder / CONFIG).write_bytes(b"\xff\xfe\x00{")


def config_is_a_folder(folder):
    (folder / CONFIG).unlink()
    (folder / CONFIG).mkdir()


def no_checksums(folder):
    edit(folder, lambda config: config.pop("files"))


def a_file_elsewhere(folder):
    edit(folder, lambda config: config["files"].update({"../model.safetensors": "0" * 64}))


def integer_weights(folder):
    weights = load(folder).model.state_dict()
    (folder / MODEL).write_bytes(save({**weights, "q_head.bias": torch.zeros(2, dtype=torch.int64)}))


def not_finite(folder):
    weights = load(folder).model.state_dict()
    (folder / MODEL).write_bytes(save({**weights, "q_head.bias": torch.tensor([0.0, torch.inf])}))


def exploded(folder):
    weights = load(folder).model.state_dict()
    (folder / MODEL).write_bytes(save({**weights, "q_head.bias": torch.tensor([0.0, 1e30])}))


def unknown_loss(folder):
    edit(folder, lambda config: config["training"]["run"].update(answer_loss="zzz"))


def unknown_rule(folder):
    edit(folder, lambda config: config["training"]["halting"].update(rule="whim"))


def not_an_object(folder):
    (folder / CONFIG).write_text("[1, 2]")


def other_config(folder):
    (folder / CONFIG).write_text('{"architectures": ["LlamaForCausalLM"]}')


def other_format(folder):
    edit(folder, lambda config: config.update(format=1))


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
        (broken_json, "cannot be read as JSON"),
        (deep_json, "cannot be read as JSON: it is nested too deeply"),
        (json_with_nan, "is not valid JSON"),
        (binary_json, "is not UTF-8"),
        (config_is_a_folder, "is not a checkpoint"),
        (no_checksums, "must give the SHA-256"),
        (a_file_elsewhere, "must give the SHA-256"),
        (not_an_object, "is not the config of an hrm-agents checkpoint"),
        (other_config, "is not the config of an hrm-agents checkpoint"),
        (other_format, "has format 1; this version reads 2"),
        (unknown_field, "unknown field 'flux'"),
        (wrong_type, "hidden_size: 'wide' is not int"),
        (unknown_choice, "position: 'polar' is not .*rope2d"),
        (impossible, "num_heads 3 must divide hidden_size 16"),
        (no_model, "expected an object"),
        (no_env, "config.json has no 'env'"),
        (odd_env, "unknown field 'name'"),
        (no_training, "config.json has no 'training'"),
        (integer_weights, "weight 'q_head.bias' has type I64"),
        (not_finite, "that is not finite or exceeds"),
        (exploded, r"that is not finite or exceeds 1e\+06; the model has diverged"),
        (unknown_loss, "training.run.answer_loss: 'zzz' is not"),
        (unknown_rule, "halting.rule: unknown rule 'whim'"),
    ],
)
def test_a_spoilt_checkpoint_is_explained(folder, spoil, message):
    before = (folder / MODEL).read_bytes()
    spoil(folder)
    if (folder / MODEL).exists() and (folder / MODEL).read_bytes() != before:
        with pytest.raises(UserError, match=r"model.safetensors is damaged or of another run: its SHA-256"):
            hrm_agents.load(folder)
        sign(folder)
    with pytest.raises(UserError, match=message) as refused:
        hrm_agents.load(folder)
    assert len(str(refused.value)) < 500


def test_any_flipped_bit_is_noticed(folder):
    data = bytearray((folder / MODEL).read_bytes())
    for place in range(0, len(data), max(1, len(data) // 40)):
        data[place] ^= 1 << place % 8
        (folder / MODEL).write_bytes(data)
        with pytest.raises(UserError, match="SHA-256"):
            load(folder)
        data[place] ^= 1 << place % 8


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
    (folder / CONFIG).write_text('{"format": 2, "model": {}}')
    sign(folder)
    for read in (load, load_state):
        with pytest.raises(UserError):
            read(folder)
    assert not (tmp_path / "exploded").exists()
    source = "".join(path.read_text() for path in Path(hrm_agents.__file__).parent.rglob("*.py"))
    assert not re.search(
        r"torch\.load\((?!.*weights_only=True)|pickle\.loads?\(|import pickle\b|allow_pickle=True", source
    )


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_checkpoint_survives_a_full_disk(folder, monkeypatch):
    loaded = load(folder)
    before = {name: (folder / name).read_bytes() for name in (MODEL, CONFIG)}
    with torch.no_grad():
        loaded.model.answer_head.weight.add_(1.0)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_model(folder, loaded.model, {})
    with pytest.raises(UserError, match="No space left"):
        save_run(folder, loaded.model.state_dict(), loaded.config, {"a": torch.zeros(1)}, {})
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert sorted(os.listdir(folder)) == sorted(before)


def test_state_keeps_types_and_numbers(tmp_path):
    shared = torch.arange(4, dtype=torch.float32)
    tensors = {"keys": torch.tensor([2**64 - 1], dtype=torch.uint64), "one": shared, "two": shared[1:]}
    document = {"rng": {"state": 2**127 + 1}, "text": "\u00fc"}
    save_run(tmp_path, {}, {"model": {}}, tensors, document)
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
