"""No byte of a checkpoint causes an import or a call, and none costs more memory than its own tensors."""

import json
import os
import shutil
import subprocess
import sys

import gymnasium as gym
import pytest
import torch
from safetensors.torch import save
from tampering import edit, resave, sign

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load_state, read_tensors
from hrm_agents.trainer import Trainer

EVIL = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
from hrm_envs import register_task
from hrm_envs.sudoku import SudokuTask

class Few(SudokuTask):
    def __init__(self, size=4):
        super().__init__(size)
        self.default_num_puzzles = {"train": 32, "test": 10}

register_task("Evil/Sudoku-v0", Few, max_segments=3)
"""


@pytest.fixture
def run(sudoku_run, tmp_path, monkeypatch):
    """A copy of a run to spoil, in a working directory where ``evil.py`` lies."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    shutil.copytree(sudoku_run, tmp_path / "run")
    yield tmp_path / "run"
    forget()


def forget():
    """As in a new process: ``evil`` was never imported."""
    sys.modules.pop("evil", None)
    gym.registry.pop("Evil/Sudoku-v0", None)


#: Every way in which a run is read; the first of its words is the command.
READERS = [
    ["evaluate", "run"],
    ["solve", "run", "1.3. .... .... .2.4"],
    ["watch", "run", "--record", "out.gif"],
    ["play", "--checkpoint", "run"],
    ["train", "--resume", "run"],
    ["train", "--run.init-from", "run", "--run.updates", "1", "--out", "other", "--no-gif"],
    ["frontier", "--costs", "0", "--out", "frontier", "--run.updates", "1"],
]
CALLS = [
    {"task": "os:system", "command": "touch called"},
    {"task": "subprocess:Popen", "args": ["touch", "called"]},
    {"task": "timeit:timeit", "stmt": "open('called', 'w')"},
    {"task": "evil:anything"},
    {"reward": "os:system"},
    {"score": "os:system"},
    {"vectorization_mode": "async"},
    {"wrappers": ["os:system"]},
    {"vector_kwargs": {"shared_memory": True}},
]


def spoil(run, **env):
    """Put an environment into the config and the training state, checksums and all."""
    document = load_state(run)[1]
    config = document["config"]
    config["env"] = {**config["env"], **env}
    resave(run, config=config)
    edit(run, lambda whole: whole.update(env={**whole["env"], **env}))
    edit(run, lambda whole: whole["training"].update(env=whole["env"]))
    folder = run.parent / "frontier" / "cost-0-gamma-1-seed-0"
    shutil.copytree(run, folder, dirs_exist_ok=True)


def pairs(values):
    """Every reader with the first value, and every value with two of the readers."""
    few = [READERS[0], READERS[4]]
    return [(reader, value) for reader in READERS for value in values if value is values[0] or reader in few]


@pytest.mark.parametrize(("reader", "kwargs"), pairs(CALLS), ids=str)
def test_no_keyword_of_a_checkpoint_is_called(run, reader, kwargs, capsys):
    before = set(sys.modules)
    spoil(run, kwargs=kwargs)
    if "--run.init-from" in reader:
        main(reader)  # only the weights are taken, and they are as they were
    else:
        assert main(reader) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert not os.path.exists("called")
    assert not os.path.exists("imported")
    assert "evil" not in set(sys.modules) - before


IDS = ["evil:Foo-v0", "evil:HRM/Sudoku-4x4-v0", "xml.dom.minidom:HRM/Sudoku-4x4-v0", "a/b:c"]


@pytest.mark.parametrize(("reader", "id"), pairs(IDS), ids=str)
def test_no_id_of_a_checkpoint_is_imported(run, reader, id, capsys):
    sys.modules.pop("xml.dom.minidom", None)
    spoil(run, id=id)
    if "--run.init-from" not in reader:
        assert main(reader) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert len(error) < 600
        if id.startswith("evil"):
            assert "--module evil" in error or "holds a run with" in error
    assert not os.path.exists("imported")
    assert "evil" not in sys.modules
    assert "xml.dom.minidom" not in sys.modules


def test_the_python_interface_imports_nothing_either(run):
    spoil(run, id="evil:Evil/Sudoku-v0")
    for read in (hrm_agents.load, Trainer.resume):
        with pytest.raises(UserError, match="a file may not import modules"):
            read(run)
    assert "evil" not in sys.modules


@pytest.mark.parametrize("module", ["evil", "evil.py", "./evil.py"])
def test_a_module_that_the_user_names_is_imported_and_the_checkpoint_works(run, module, capsys):
    spoil(run, id="evil:Evil/Sudoku-v0", kwargs={})
    assert main(["evaluate", "run", "--num-puzzles", "5", "--module", module]) == 0
    assert os.path.exists("imported")
    # Imported once, it is known.
    assert main(["evaluate", "run", "--num-puzzles", "5"]) == 0
    assert str(run.parent) not in sys.path


def test_training_in_an_environment_from_a_file_elsewhere(run, tiny_flags, capsys):
    elsewhere = run.parent / "elsewhere"
    elsewhere.mkdir()
    (run.parent / "evil.py").rename(elsewhere / "evil.py")
    flags = [flag for flag in tiny_flags if flag not in ("--kwargs", "num_puzzles=32", "max_segments=3")]
    assert main(["train", "nowhere.py:Evil/Sudoku-v0"]) == 2
    assert "there is no file nowhere.py" in capsys.readouterr().err
    assert main(["train", "evil:Evil/Sudoku-v0"]) == 2
    assert "No module named 'evil'; go to its folder, or give the path of its file" in capsys.readouterr().err
    assert main(["train", "elsewhere/evil.py:Evil/Sudoku-v0", *flags, "--out", "own"]) == 0
    assert json.loads((run.parent / "own" / CONFIG).read_text())["env"]["id"] == "evil:Evil/Sudoku-v0"
    forget()
    assert main(["train", "--resume", "own", "--run.updates", "6"]) == 2
    assert "--module evil" in capsys.readouterr().err
    assert main(["train", "--resume", "own", "--run.updates", "6", "--no-gif", "--module", "elsewhere/evil.py"]) == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit(0)", r"calls sys.exit\(0\) when it is imported"),
        ("1 / 0", "importing it fails: ZeroDivisionError: division by zero"),
        ("import missing_thing", "importing it fails: ModuleNotFoundError: No module named 'missing_thing'"),
        ("def f(:", "importing it fails: SyntaxError"),
        ("raise BaseException('x\\ny')", "importing it fails: BaseException: x y"),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "importing it fails: E"),
    ],
)
def test_a_module_that_cannot_be_imported_is_no_success(tmp_path, monkeypatch, capsys, source, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_module.py").write_text(source)
    for words in (["--module", "broken_module"], ["--module", "broken_module.py"], ["broken_module:Foo-v0"]):
        assert main(["train", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert pytest.raises(UserError, match=reason).matches(UserError(error))
        assert "broken_module" not in sys.modules


def test_modules_in_the_working_directory_are_not_found_by_other_imports(run, monkeypatch):
    """Torch looks for these as it is imported or used; whoever says ``cd FOLDER`` does not mean to run them."""
    names = ("cuda", "dill", "pynvml", "torchcomms", "triton", "IPython", "ipywidgets", "sitecustomize2")
    for name in names:
        (run / f"{name}.py").write_text(f"open({str(run.parent / 'found')!r}, 'a').write({name!r})")
    words = (["evaluate", ".", "--num-puzzles", "2"], ["solve", ".", "1.3. .... .... .2.4"])
    code = f"from hrm_agents.cli import main; print([main(words) for words in {words}])"
    # As a console script does it, Python looks beside the script and not in the working directory.
    python = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-I"]
    done = subprocess.run([*python, "-c", code], cwd=run, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] in ("[0, 0]", "[0, 1]"), done.stderr
    assert not (run.parent / "found").exists()


HUGE = [
    ("hidden_size", 10**9),
    ("hidden_size", 2**14),
    ("H_layers", 10**9),
    ("L_layers", 250),
    ("H_cycles", 10**9),
    ("expansion", 1e308),
    ("mlp_multiple", 10**9),
    ("prefix_slots", 10**9),
    ("puzzle_emb_ndim", 10**15),
    ("vocab_size", 10**9),
    ("grid_shape", [10**6, 10**6]),
    ("grid_shape", [128, 128]),
    ("num_task_ids", 10**8),
    ("num_heads", 10**9),
    ("rope_theta", 1e308),
]


HUGE_STATES = [
    ("model", "hidden_size", 2**14),
    ("model", "H_layers", 256),
    ("run", "batch_size", 65_536),
    ("env", "kwargs", {"num_puzzles": 32, "max_segments": 4_096}),
    ("answer", "samples", 4096),
]


#: Opens the folders of each argument with its reader; prints the bytes that each took beside Python and torch.
OPEN = """
import json, resource, sys, torch._dynamo, hrm_agents, hrm_agents.solving.solver, hrm_agents.trainer
from hrm_agents.errors import UserError
from pathlib import Path
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for folder, read in zip(sys.argv[1:], (hrm_agents.load, hrm_agents.trainer.Trainer.resume)):
    errors = []
    for copy in Path(folder).iterdir():
        try:
            read(copy)
        except UserError as error:
            errors.append(str(error))
    print(json.dumps([peak() - before, errors]))
"""


def test_no_size_in_a_checkpoint_or_training_state_sets_memory_aside(run, tmp_path):
    for place, (name, value) in enumerate(HUGE):
        copy = shutil.copytree(run, tmp_path / "models" / str(place))
        edit(copy, lambda config, name=name, value=value: config["model"].update({name: value}))
    for place, (group, name, value) in enumerate(HUGE_STATES):
        copy = shutil.copytree(run, tmp_path / "states" / str(place))
        config = load_state(copy)[1]["config"]
        config[group][name] = value
        resave(copy, config=config)
    command = [sys.executable, "-c", OPEN, tmp_path / "models", tmp_path / "states"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    models, states = map(json.loads, done.stdout.splitlines())
    assert len(models[1]) == len(HUGE), models
    assert models[0] < 50 * 2**20
    assert states[0] < 200 * 2**20
    assert "".join(states[1]).count("training state") == 3


def test_a_header_that_claims_more_than_the_file_has(run):
    data = (run / MODEL).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"] = [10**12]
    for end in (header[name]["data_offsets"][1], 4 * 10**12):
        header[name]["data_offsets"][1] = end
        text = json.dumps(header).encode()
        (run / MODEL).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        sign(run)
        with pytest.raises(UserError, match="truncated or not a safetensors file"):
            hrm_agents.load(run)
    (run / MODEL).write_bytes((2**63).to_bytes(8, "little"))
    sign(run)
    with pytest.raises(UserError, match="truncated or not a safetensors file"):
        hrm_agents.load(run)


def read(run, name):
    if name == MODEL:
        assert all(tensor.isfinite().all() for tensor in hrm_agents.load(run).model.state_dict().values())
    else:
        Trainer.resume(run).log.close()


def refusal(act):
    """What it was refused with; None if it was not."""
    try:
        act()
    except UserError as error:
        return str(error)
    return None


def test_damaged_weights_and_states_end_in_one_line(run):
    """Bytes changed at random, with checksums made right: nothing but a clear error, or tensors that are finite."""
    generator = torch.Generator().manual_seed(0)
    for name in (MODEL, STATE):
        whole = (run / name).read_bytes()
        refused = 0
        for _ in range(60):
            data = bytearray(whole)
            for place in torch.randint(0, 2000, (3,), generator=generator).tolist():
                data[place] ^= int(torch.randint(1, 256, (1,), generator=generator))
            (run / name).write_bytes(data)
            sign(run)
            error = refusal(lambda name=name: read(run, name))
            if error is not None:
                refused += 1
                assert len(error) < 600
                assert "\n" not in error
        assert refused > 20
        (run / name).write_bytes(whole)
        sign(run)


def test_weights_alone_are_read_by_an_import_of_a_name_that_is_data(run):
    weights, _ = read_tensors(run / MODEL)
    (run / MODEL).write_bytes(save({**weights, "__import__('os').system('touch called')": torch.zeros(1)}))
    sign(run)
    with pytest.raises(UserError, match="is unknown"):
        hrm_agents.load(run)
    assert not os.path.exists("called")
