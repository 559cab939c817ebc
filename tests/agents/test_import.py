"""``hrm-agents import``: conversion of checkpoints of the public HRM and TRM code."""

import json
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import reference_numbers
import torch
from weight_builders import write as write_weights

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.models.hrm import HRM, Carry
from hrm_agents.models.interface import Sizes
from hrm_agents.models.official import our_names
from hrm_agents.models.trm import TRM, TRMSettings
from hrm_agents.models.weight_files import read_weights
from hrm_agents.records.checkpoint import CONFIG, MODEL
from hrm_envs import IdTable, PuzzleBatch, Task, TaskSpec, Verdict, register_task

TABLE = "model.inner.puzzle_emb.weights"


class LineTask(Task):
    """Repeat a line; by default it has the sizes of the reference numbers."""

    def __init__(self, cells=16, tokens=7, ids=1):
        table = IdTable(tuple(map(str, range(ids - 1)))) if ids > 1 else None
        self.spec = TaskSpec("Line", (1, cells), tuple("?abcdefghijk"[:tokens]), table)

    def sample(self, rng, num):
        puzzle = rng.integers(1, self.spec.vocab_size, (num, self.spec.num_cells), np.uint8)
        return PuzzleBatch(puzzle, puzzle.copy())

    def complete(self, puzzle):
        return PuzzleBatch(puzzle, puzzle.copy())

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(1), right.mean(1, dtype=np.float32))


register_task("Test/Line-v0", LineTask, kwargs={"num_puzzles": 8})
STEPS = ["--H-cycles", "2", "--L-cycles", "2", "--max-segments", "16", "--answer-loss", "stablemax"]
LINE = ["--env", "Test/Line-v0", "--num-heads", "4", *STEPS]
SUDOKU = ["--env", "HRM/Sudoku-9x9-v0", "--num-heads", "2", *STEPS]


def official(vocab_size=11, tasks=1, cells=None, size=16):
    """Small weights with the names of the public code."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator) / 4

    weights = {
        "H_init": draw(size),
        "L_init": draw(size),
        "embed_tokens.embedding_weight": draw(vocab_size, size),
        "lm_head.weight": draw(vocab_size, size),
        "q_head.weight": draw(2, size),
        "q_head.bias": draw(2),
    }
    for level in "HL":
        block = f"{level}_level.layers.0"
        weights[f"{block}.self_attn.qkv_proj.weight"] = draw(3 * size, size)
        weights[f"{block}.self_attn.o_proj.weight"] = draw(size, size)
        weights[f"{block}.mlp.gate_up_proj.weight"] = draw(8 * size, size)
        weights[f"{block}.mlp.down_proj.weight"] = draw(size, 4 * size)
    if tasks:
        weights["puzzle_emb.weights"] = draw(tasks, size)
    if cells:
        weights["embed_pos.embedding_weight"] = draw(cells + bool(tasks), size)
    return {f"model.inner.{name}": tensor for name, tensor in weights.items()}


@pytest.fixture
def write(tmp_path):
    """Writes weights in the format that the name of the file indicates."""

    def write(weights, name="step_10", prefix=""):
        return write_weights(tmp_path / name, {prefix + key: tensor for key, tensor in weights.items()})

    return write


@pytest.fixture
def error(tmp_path, capsys):
    """Runs an import that must fail without output, and returns the error of one line."""

    def run(path, *flags, out=tmp_path / "out"):
        capsys.readouterr()
        assert main(["import", str(path), "--out", str(out), *flags]) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return text

    return run


def imported(path, out, *flags):
    assert main(["import", str(path), "--out", str(out), *flags]) == 0
    return hrm_agents.load(out)


# Agreement with the public implementation


def one_task(reference, task):
    """Weights with one row of the table, as published for Sudoku and mazes, and the batch rows of this task."""
    weights = {key[2:]: tensor for key, tensor in reference.items() if key.startswith("w/")}
    weights[TABLE] = weights[TABLE][task : task + 1].clone()
    rows = (reference["in/puzzle_identifiers"] == task).nonzero()[:, 0]
    assert len(rows) >= 2
    return weights, rows


@torch.no_grad()
def assert_outputs(model, reference, rows):
    """Three segments equal those of the reference, each from the state that it had before."""
    puzzle = reference["in/inputs"][rows]
    carry = model.initial_carry(len(puzzle))
    for t in range(3):
        carry, output = model(carry, puzzle)
        for ours, theirs in (
            (output.logits, "logits"),
            (output.q_halt, "q_halt_logits"),
            (output.q_continue, "q_continue_logits"),
            (carry.z_H, "z_H"),
            (carry.z_L, "z_L"),
        ):
            expected = reference[f"eval/{t}/{theirs}"]
            scale = expected.abs().max().item()
            torch.testing.assert_close(ours, expected[rows].float(), rtol=1e-4, atol=1e-4 * scale)
        carry = Carry(*(reference[f"eval/{t}/{state}"][rows] for state in ("z_H", "z_L")))


@pytest.fixture(scope="module", params=["learned_pos", "rope_puzzle_emb"])
def reference(request):
    return reference_numbers.read(request.param)


@pytest.mark.parametrize(
    ("name", "prefix"), [("step_7", "_orig_mod."), ("w.pt", ""), ("w.safetensors", "_orig_mod."), ("w.npz", "")]
)
def test_the_outputs_of_the_public_implementation(reference, write, tmp_path, name, prefix):
    cfg = json.loads(bytes(reference["cfg"].numpy()))
    if f"w/{TABLE}" in reference:
        weights, rows = one_task(reference, 2)
    else:
        weights = {key[2:]: tensor for key, tensor in reference.items() if key.startswith("w/")}
        rows = torch.arange(len(reference["in/inputs"]))
    cycles = ["--H-cycles", str(cfg["H_cycles"]), "--L-cycles", str(cfg["L_cycles"])]
    solver = imported(write(weights, name, prefix), tmp_path / "out", *LINE, *cycles)
    assert solver.model.config.position == cfg["pos_encodings"]
    assert_outputs(solver.model, reference, rows)


@pytest.mark.parametrize("kind", ["attention", "mlp"])
def test_the_outputs_of_the_public_trm(kind, write, tmp_path, capsys):
    """A folder as the public code writes it, with settings as it names them."""
    reference = reference_numbers.read(f"trm_{kind}")
    cfg = json.loads(bytes(reference["cfg"].numpy()))
    weights, rows = one_task(reference, 1)
    write(weights, "step_1000", "_orig_mod.")
    (tmp_path / "step_999").write_bytes(b"of an earlier step")
    write_config(tmp_path, **cfg, loss={"loss_type": "stablemax_cross_entropy"})
    flags = ["--env", "Test/Line-v0", "--kwargs", f"tokens={cfg['vocab_size']}"]
    solver = imported(tmp_path, tmp_path / "out", *flags)
    assert "step_1000 and all_config.yaml beside it" in capsys.readouterr().err
    assert_outputs(solver.model, reference, rows)
    assert solver.config["model_name"] == "trm"


# TRM, with weights of ours under the public names


def write_config(folder, **arch):
    """The settings that the public code writes beside weights; JSON is YAML."""
    (folder / "all_config.yaml").write_text(json.dumps({"arch": arch, "epochs": 100}))


def public_trm(mixing, position, slots, ndim=20):
    """A network for :class:`LineTask` with random weights, and these under the names of the public code."""
    settings = TRMSettings(
        hidden_size=16,
        num_heads=2,
        num_layers=2,
        H_cycles=2,
        L_cycles=3,
        mlp_multiple=8,
        mixing=mixing,
        position=position,
        prefix_slots=slots,
    )
    torch.manual_seed(0)
    model = TRM(settings, Sizes(7, (1, 16)))
    weights = {}
    for name, tensor in model.state_dict().items():
        tensor.copy_(torch.randn(tensor.shape) / 4)
        public = name.replace("net.blocks.", "L_level.layers.").replace("attention.", "self_attn.")
        for ours, theirs in (
            ("across.", "mlp_t."),
            ("qkv.", "qkv_proj."),
            ("out.", "o_proj."),
            ("gate_up.", "gate_up_proj."),
            ("down.", "down_proj."),
            ("embedding.token", "embed_tokens.embedding_weight"),
            ("embedding.position", "embed_pos.embedding_weight"),
            ("answer_head.", "lm_head."),
        ):
            public = public.replace(ours, theirs)
        if name == "embedding.prefix":
            tensor.view(-1)[ndim:] = 0.0
            public, tensor = "puzzle_emb.weights", tensor.view(1, -1)[:, :ndim].clone()
        weights[f"model.inner.{public}"] = tensor
    return model, weights


TRM_LINE = ["--env", "Test/Line-v0", "--H-cycles", "2", "--L-cycles", "3", "--answer-loss", "stablemax"]
TRM_LINE += ["--max-segments", "4"]


@pytest.mark.parametrize(
    ("mixing", "position", "slots", "flags"),
    [
        ("attention", "rope", 3, ["--num-heads", "2", "--puzzle-emb-len", "3"]),
        ("attention", "rope", 2, ["--num-heads", "2", "--puzzle-emb-len", "0"]),
        ("attention", "rope", 0, ["--num-heads", "2"]),
        ("attention", "learned", 3, ["--num-heads", "2"]),
        ("mlp", "none", 3, []),
        ("mlp", "learned", 2, []),
        ("mlp", "none", 0, []),
    ],
)
@torch.no_grad()
def test_a_trm_computes_the_same_after_the_import(mixing, position, slots, flags, write, tmp_path):
    model, weights = public_trm(mixing, position, slots)
    solver = imported(write(weights), tmp_path / "out", *TRM_LINE, *flags)
    found = solver.model.settings
    assert (type(solver.model), found.mixing, found.position, found.num_layers) == (TRM, mixing, position, 2)
    assert solver.model.num_prefix_slots == slots
    puzzle = torch.randint(1, 7, (5, 16))
    carry, output = model(model.initial_carry(5), puzzle)
    loaded_carry, loaded = solver.model(solver.model.initial_carry(5), puzzle)
    assert torch.equal(output.logits, loaded.logits)
    assert torch.equal(output.q_halt, loaded.q_halt)
    assert torch.equal(carry.z_L, loaded_carry.z_L)


def test_a_trm_halts_as_its_paper_says(write, tmp_path, capsys):
    _, weights = public_trm("mlp", "none", 3)
    solver = imported(write(weights), tmp_path / "out", *TRM_LINE)
    halting = solver.config["training"]["halting"]
    assert (halting["rule"], halting["threshold"], halting["q_loss"]) == ("probability", 0.5, "bce")
    assert solver.q_scale.is_logit
    assert main(["evaluate", str(tmp_path / "out")]) == 0
    assert "of 4" in capsys.readouterr().out


def test_a_task_table_of_a_trm_is_never_kept(write, error, tmp_path):
    _, weights = public_trm("mlp", "none", 3)
    weights[TABLE] = torch.ones(5, 20)
    path, flags = write(weights), [*TRM_LINE, "--kwargs", "ids=5"]
    assert "5 rows" in error(path, *flags)
    solver = imported(path, tmp_path / "new", *flags, "--drop-task-embedding")
    assert torch.equal(solver.model.embedding.task.weight, torch.zeros(5, 20))
    assert solver.model.num_prefix_slots == 3


def test_a_trm_that_does_not_fit(write, error):
    _, weights = public_trm("mlp", "none", 3)
    path = write(weights)
    assert "it has 19 slots, too few for a task embedding and 20 cells" in error(
        path, *TRM_LINE, "--kwargs", "cells=20"
    )
    assert "'L_level.layers.1.mlp_t.down_proj.weight' is missing" in error(
        write(change(weights, "layers.1.mlp_t.down")), *TRM_LINE
    )
    text = error(path, *TRM_LINE, "--puzzle-emb-len", "2")
    assert "--puzzle-emb-len is 2, but the weights have puzzle_emb_len 3" in text


@pytest.mark.parametrize(("slots", "known"), [("16", True), ("0", False)])
def test_the_environment_of_a_trm(slots, known, write, tmp_path, error):
    """Slots minus the prefix are cells: 97 - 16 = 81."""
    weights = change(official(11), "H_level") | {
        "L_level.layers.0.mlp_t.gate_up_proj.weight": torch.zeros(776, 97),
        "L_level.layers.0.mlp_t.down_proj.weight": torch.zeros(97, 388),
    }
    path = write(change(weights, "self_attn"))
    flags = [*STEPS, "--puzzle-emb-len", slots]
    if known:
        assert imported(path, tmp_path / "out", *flags).env_id.startswith("HRM/Sudoku-")
    else:
        assert "no built-in environment has 11 tokens and 96 cells" in error(path, *flags)


# Settings: the command line, all_config.yaml, the weights


def test_settings_beside_the_weights(write, tmp_path, capsys):
    write(official(7), "step_20")
    write(official(7, size=32), "step_3")
    loss = {"name": "losses@ACTLossHead", "loss_type": "softmax_cross_entropy"}
    write_config(tmp_path, H_cycles=2, L_cycles=8, num_heads=4, halt_max_steps=5, hidden_size=16, loss=loss)
    solver = imported(tmp_path, tmp_path / "out", "--env", "Test/Line-v0")
    found = solver.model.settings
    assert (found.hidden_size, found.num_heads, found.H_cycles, found.L_cycles) == (16, 4, 2, 8)
    assert (solver.env_kwargs["max_segments"], solver.config["training"]["run"]["answer_loss"]) == (5, "softmax")
    capsys.readouterr()
    other = imported(tmp_path, tmp_path / "other", "--env", "Test/Line-v0", "--L-cycles", "3", "--rope-theta", "500")
    assert (other.model.settings.L_cycles, other.model.settings.rope_theta) == (3, 500.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:5] == [
        f"read {tmp_path}/step_20 and all_config.yaml beside it",
        "from the weights: hidden_size 16, H_layers 1, L_layers 1, mixing attention, puzzle_emb_len 1",
        "from all_config.yaml: num_heads 4, H_cycles 2, max_segments 5, answer_loss softmax",
        "from the command line: L_cycles 3, rope_theta 500.0",
        "assumed: rms_eps 1e-05, position rope",
    ]


@pytest.mark.parametrize(("halts_alone", "rule"), [(True, "probability"), (False, "q")])
def test_a_trm_halts_by_the_values_that_it_was_trained_with(write, tmp_path, capsys, halts_alone, rule):
    _, weights = public_trm("attention", "rope", 3)
    write(weights)
    write_config(tmp_path, num_heads=2, puzzle_emb_len=3, no_ACT_continue=halts_alone)
    solver = imported(tmp_path, tmp_path / "out", *TRM_LINE)
    assert solver.config["training"]["halting"]["rule"] == rule
    assert f"halting_rule {rule}" in capsys.readouterr().err


def test_missing_settings_are_refused(write, error):
    path = write(official(7))
    text = error(path, "--env", "Test/Line-v0")
    assert "tell num_heads, H_cycles, L_cycles, max_segments, answer_loss: give them" in text
    assert "--num-heads 8 --H-cycles 2 --L-cycles 2 --max-segments 16 --answer-loss stablemax\n" in text
    write_config(path.parent, H_cycles=2, L_cycles=2, num_heads=4)
    text = error(path, "--env", "Test/Line-v0", "--max-segments", "3")
    assert "tell answer_loss: give them, such as those of the HRM paper, --answer-loss stablemax\n" in text


def test_the_prefix_of_a_trm_may_be_missing(write, error):
    _, weights = public_trm("attention", "rope", 3)
    text = error(write(weights), *TRM_LINE)
    assert "tell num_heads, puzzle_emb_len: give them" in text
    assert "TRM paper, --num-heads 8 --puzzle-emb-len 16\n" in text


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ({"hidden_size": 512}, "hidden_size in all_config.yaml is 512, but the weights have hidden_size 16"),
        ({"H_layers": 4}, "H_layers in all_config.yaml is 4, but the weights have H_layers 1"),
        ({"L_layers": 2}, "L_layers in all_config.yaml is 2, but the weights have L_layers 1"),
        ({"pos_encodings": "rope"}, "position in all_config.yaml is rope, but the weights have position learned"),
        ({"no_ACT_continue": 1}, "all_config.yaml: arch.no_ACT_continue must be true or false, got 1"),
        ({"num_heads": "four"}, "all_config.yaml: arch.num_heads must be a whole number, got 'four'"),
    ],
)
def test_settings_that_contradict_the_weights(arch, message, write, error):
    path = write(official(7, cells=16))
    write_config(path.parent, **arch)
    assert message in error(path, *LINE)


def test_attention_without_positions_is_refused(write, error):
    path = write(official(7))
    write_config(path.parent, pos_encodings="none")
    assert "position 'none' would make all cells alike" in error(path, *LINE)


# Results


def test_the_folder_serves_every_command(write, tmp_path, capsys):
    path = write(official(7, cells=16), prefix="_orig_mod.")
    solver = imported(path, tmp_path / "out", *LINE, "--kwargs", "reward=partial", "--max-segments", "3")
    assert "for Test/Line-v0" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "out")]) == 0
    assert "of 3" in capsys.readouterr().out
    assert main(["solve", str(tmp_path / "out"), "abcdefabcdefabcd"]) in (0, 1)
    assert len(solver.solve("abcdefabcdefabcd").segments) <= 3
    config = json.loads((tmp_path / "out" / CONFIG).read_text())
    assert config["imported_from"] == "step_10"
    assert solver.env_kwargs == {"max_segments": 3, "reward": "partial"}
    assert solver.q_scale.is_logit


def test_settings_that_the_weights_do_not_determine(write, tmp_path):
    path = write(official())
    config = imported(path, tmp_path / "paper", *SUDOKU, "--num-heads", "8").model.config
    assert (config.num_heads, config.H_cycles, config.L_cycles, config.dtype) == (8, 2, 2, "auto")
    assert (config.position, config.rope_theta, config.grid_shape) == ("rope", 10_000.0, (9, 9))
    flags = ["--num-heads", "2", "--H-cycles", "3", "--L-cycles", "1", "--rope-theta", "100", "--dtype", "bfloat16"]
    other = imported(path, tmp_path / "other", *SUDOKU, *flags, "--answer-loss", "softmax")
    config = other.model.config
    assert (config.num_heads, config.H_cycles, config.L_cycles, config.dtype) == (2, 3, 1, "bfloat16")
    assert config.rope_theta == 100.0
    assert other.config["training"]["run"]["answer_loss"] == "softmax"


@pytest.mark.parametrize(("tokens", "cells", "family"), [(11, None, "HRM/Sudoku-"), (6, 900, "HRM/Maze-30x30-")])
def test_the_environment_is_found_from_the_weights(write, tmp_path, tokens, cells, family):
    solver = imported(write(official(tokens, cells=cells)), tmp_path / "out", *SUDOKU[2:])
    assert solver.env_id.startswith(family)


def test_a_folder_with_a_checkpoint(write, tmp_path):
    write(official(), "checkpoint")
    imported(tmp_path, tmp_path / "out", *SUDOKU)


@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model"])
def test_weights_beside_other_things(tmp_path, key):
    weights = official(7)
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save({"epoch": 3, "optimizer": optimizer.state_dict(), key: weights}, tmp_path / "w.pt")
    read = read_weights(tmp_path / "w.pt")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())


def test_bfloat16_weights(write, tmp_path):
    path = write({name: tensor.bfloat16() for name, tensor in official().items()})
    solver = imported(path, tmp_path / "out", *SUDOKU)
    assert {p.dtype for p in solver.model.parameters()} == {torch.float32}


def test_a_task_table_is_never_kept(write, error, tmp_path):
    path, flags = write(official(7, tasks=5)), [*LINE, "--kwargs", "ids=5"]
    assert "5 rows" in (message := error(path, *flags))
    assert "--drop-task-embedding" in message
    solver = imported(path, tmp_path / "new", *flags, "--drop-task-embedding")
    assert torch.equal(solver.model.embedding.task.weight, torch.zeros(5, 16))
    solver = imported(path, tmp_path / "single", *LINE, "--drop-task-embedding")
    assert torch.equal(solver.model.embedding.prefix, torch.zeros(1, 16))
    assert "5: choose another --env" in error(write(official(7), "one"), *flags)
    assert "has no task embedding" in error(write(official(7, tasks=0), "none"), *flags, "--drop-task-embedding")


# Errors


class Harmful:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_code_in_a_file_is_not_run(tmp_path, error, protocol):
    target, path = tmp_path / "was here", tmp_path / "step_1"
    content = {"model.inner.H_init": Harmful(target)}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    message = error(path)
    assert "not run" in message or "nothing in it was run" in message
    assert not target.exists()
    if protocol is None:
        assert "would run code" in message
        torch.load(path, weights_only=False)
        assert target.exists(), "it would not have done harm"


def test_numpy_objects_are_not_loaded(tmp_path, error):
    target = tmp_path / "was here"
    np.savez(tmp_path / "w.npz", a=np.array([Harmful(target)], object))
    assert "not a numpy file" in error(tmp_path / "w.npz")
    assert not target.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.npz"])
def test_files_of_another_format(tmp_path, error, name):
    path = tmp_path / name
    assert "no such file" in error(path)
    for content in (b"", b"no weights at all", bytes(range(256)) * 8):
        path.write_bytes(content)
        assert f"{path} is not a" in error(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello", "world")
    assert str(path) in error(path)


def test_a_truncated_file(write, error):
    path = write(official())
    path.write_bytes(path.read_bytes()[:-500])
    assert "truncated" in error(path)


def test_files_that_hold_something_else(tmp_path, error):
    path = tmp_path / "step_1"
    torch.save([torch.zeros(2)], path)
    assert "holds a list" in error(path)
    torch.save({"weights": official(), "step": 3}, path)
    assert "'weights' is dict; expected weights by name" in error(path)
    torch.save({"model": {"weights": official()}}, path)
    assert "'weights' is dict; expected weights by name" in error(path)
    torch.save({"state_dict": {}}, path)
    assert "it is empty" in error(path)
    torch.save({"model.inner.H_init": torch.zeros(2, dtype=torch.int64)}, path)
    assert "torch.int64" in error(path)


def change(weights, removed=None, **added):
    return {name: tensor for name, tensor in weights.items() if removed not in name} | added


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (change(official(7), "lm_head"), "weight 'lm_head.weight' is missing"),
        (change(official(7), "L_level.layers.0.mlp.down"), "'L_level.layers.0.mlp.down_proj.weight' is missing"),
        (change(official(7), "embed_tokens"), "weight 'embed_tokens.embedding_weight' is missing"),
        (change(official(7), "H_level.layers.0.mlp.down"), "'H_level.layers.0.mlp.down_proj.weight' is missing"),
        (change(official(7), " ", **{"model.inner.conv.weight": torch.zeros(1)}), "'model.inner.conv.weight' is not"),
        (change(official(7), "q_head.bias", **{"q_head.bias": torch.zeros(3)}), "'q_head.bias' has shape (3,)"),
        (official(7, cells=15), "'embed_pos.embedding_weight' has shape (16, 16)"),
        (official(8), "has 8 tokens, Line has 7"),
    ],
)
def test_weights_that_do_not_fit(write, error, weights, message):
    path = write(weights)
    text = error(path, *LINE)
    assert message in text
    assert str(path) in text


def test_weights_that_fit_no_environment(write, error):
    assert "no built-in environment has 9 tokens; name yours with --env" in error(write(official(9)), *SUDOKU[2:])
    assert "has 11 tokens and 36 cells" in error(write(official(11, cells=36)), *SUDOKU[2:])
    assert "--env HRM/ARC-AGI-1-v0 or HRM/ARC-AGI-2-v0" in error(write(official(12, tasks=3)), *SUDOKU[2:])


def test_options_that_do_not_fit(write, error, tmp_path):
    path = write(official(7))
    assert "num_heads 3 must divide hidden_size 16" in error(path, *LINE, "--num-heads", "3")
    assert "Nowhere" in error(path, *LINE, "--env", "Test/Nowhere-v0")
    assert "needs returns in [0, 1]" in error(path, *LINE, "--kwargs", "segment_cost=0.1")
    imported(path, tmp_path / "first", *LINE)
    before = (tmp_path / "first" / MODEL).read_bytes()
    assert "already holds model.safetensors" in error(path, *LINE, out=tmp_path / "first")
    assert (tmp_path / "first" / MODEL).read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-heads", "0"], "num_heads must be at least 1, got 0"),
        (["--num-heads", "-8"], "num_heads must be at least 1, got -8"),
        (["--num-heads", str(10**9)], "num_heads must be at most 1,024, got 1000000000"),
        (["--num-heads", "True"], "--num-heads"),
        (["--num-heads", "4.0"], "--num-heads"),
        (["--H-cycles", str(10**9)], "H_cycles must be at most 64"),
        (["--L-cycles", "0"], "L_cycles must be at least 1"),
        (["--rope-theta", "1e308"], "rope_theta must be at most 1e+12, got 1e+308"),
        (["--rope-theta", "1e-308"], "rope_theta must be at least 1, got 1e-308"),
        (["--rope-theta", "nan"], "rope_theta must be at least 1, got nan"),
        (["--max-segments", "0"], "max_segments"),
        (["--max-segments", str(2**31)], "max_segments"),
        (["--max-segments", str(10**20)], "max_segments"),
        (["--env", ""], "is empty: give it a value"),
        (["--env="], "is empty: give it a value"),
    ],
)
def test_options_out_of_bounds(write, error, flags, message):
    start = time.monotonic()
    text = error(write(official(7)), *LINE, *flags)
    assert message in text
    assert len(text) < 300
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("kind", ["file", "below a file", "dangling link", "long name", "long path", "empty"])
def test_places_that_cannot_be_written(write, error, tmp_path, kind):
    path = write(official(7))
    (tmp_path / "dangling").symlink_to("nowhere")
    out, message = {
        "file": (path, "is not a folder: choose another --out"),
        "below a file": (path / "a" / "b", f"{path} is not a folder: choose another --out"),
        "dangling link": (tmp_path / "dangling", "dangling is not a folder: choose another --out"),
        "long name": (tmp_path / ("x" * 300), "File name too long; choose another --out"),
        "long path": (tmp_path / "/".join(["x" * 200] * 40), "File name too long; choose another --out"),
        "empty": ("", "is empty: give it a value"),
    }[kind]
    before = path.read_bytes()
    text = error(path, *LINE, out=out)
    assert message in text
    assert len(text) < 300
    assert path.read_bytes() == before


@pytest.mark.parametrize("checkpoint", ["", "x" * 300, "/".join(["x" * 200] * 40)])
def test_invalid_checkpoint_paths(error, checkpoint):
    text = error(checkpoint, *LINE)
    assert len(text) < 300
    assert ("is empty: give it a value" if not checkpoint else "File name too long") in text


def test_sizes_beyond_the_limits_of_a_network(write, error):
    def check(weights, message):
        text = error(write(weights), *LINE)
        assert message in text
        assert len(text) < 300

    check({"embed_tokens.embedding_weight": torch.ones(7, 20_000)}, "hidden_size must be at most 16,384, got 20000")
    layers = {f"model.inner.H_level.layers.{i}.self_attn.qkv_proj.weight": torch.ones(1, 1) for i in range(300)}
    check(official(7) | layers, "H_layers must be at most 256")
    check(
        change(official(7), "puzzle_emb", **{TABLE: torch.ones(1, 2**18)}),
        "puzzle_emb_len must be at most 1,024, got 16384",
    )
    wide = {"model.inner.H_level.layers.0.mlp.down_proj.weight": torch.ones(1, 20_000)}
    check(official(7) | wide, "expansion must be at most 64")


def test_a_name_with_and_without_a_prefix(write, error):
    twice = official(7) | {"H_init": torch.ones(16)}
    assert "'H_init' occurs twice" in error(write(twice), *LINE)


def test_names_that_are_long(write, error):
    for name in ("x" * 10_000, f"H_level.layers.{'9' * 10_000}.mlp.down_proj.weight"):
        text = error(write(official(7) | {name: torch.ones(2)}), *LINE)
        assert "x" * 20 in text or "9" * 10 in text
        assert len(text) < 300


def test_a_model_that_is_too_large_for_memory(write, error, monkeypatch):
    def allocate(settings, sizes):
        if torch.get_default_device().type == "meta":
            return build(settings, sizes)
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.\nException")

    build = HRM.build
    monkeypatch.setattr(HRM, "build", allocate)
    assert "not enough memory for this model" in error(write(official(7)), *LINE)


def test_names():
    prefixes = ("", "module.", "_orig_mod.module.model.inner.", "module._orig_mod.model.inner.", "inner.")
    for prefix in prefixes:
        both = [f"{prefix}{level}_level.layers.3.mlp.down_proj.weight" for level in "HL"]
        assert list(our_names([*both, f"{prefix}q_head.bias"]).values()) == [
            "H.blocks.3.mlp.down.weight",
            "L.blocks.3.mlp.down.weight",
            "q_head.bias",
        ]
        assert our_names(both[1:]) == {both[1]: "net.blocks.3.mlp.down.weight"}
    for name in ("model.inner.X_level.layers.0.mlp.down_proj.weight", "H_level.layers.0.norm.weight", ""):
        with pytest.raises(ValueError, match="not a parameter"):
            our_names([name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({1: torch.ones(2)}, "1 of shape \\(2,\\) is not a weight"),
        ({"puzzle_emb.weights": torch.tensor(1.0)}, "'puzzle_emb.weights' of shape \\(\\) is not a weight"),
        ({"embed_tokens.embedding_weight": torch.ones(11, 0)}, "of shape \\(11, 0\\) is not a weight"),
        ({"H_init": torch.tensor([1.0, float("nan")])}, "'H_init' holds a number that is not finite"),
        ({"H_init": torch.ones(2), "answer_head.weight": torch.ones(2)}, "already a model of this package"),
    ],
)
def test_values_that_are_not_weights(tmp_path, content, message):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "odd.pt")
