"""Files beside published weights."""

import pytest

from hrm_agents.models.released import find_files, read_settings

WHOLE = """
arch:
  H_cycles: 2
  H_layers: 4
  L_cycles: 8
  L_layers: 4
  expansion: 4
  halt_exploration_prob: 0.1
  halt_max_steps: 16
  hidden_size: 512
  loss:
    loss_type: softmax_cross_entropy
    name: losses@ACTLossHead
  name: hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1
  num_heads: 4
  pos_encodings: rope
data_path: data/sudoku
epochs: 20000
"""


def written(tmp_path, text):
    path = tmp_path / "all_config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_settings_are_read(tmp_path):
    found = read_settings(written(tmp_path, WHOLE))
    assert found == {
        "num_heads": 4,
        "H_cycles": 2,
        "L_cycles": 8,
        "max_segments": 16,
        "hidden_size": 512,
        "H_layers": 4,
        "L_layers": 4,
        "position": "rope",
        "answer_loss": "softmax",
    }
    assert read_settings(
        written(tmp_path, "num_heads: 2\nrope_theta: 10000.0\nrms_norm_eps: 0.00001\nH_layers: 0\npuzzle_emb_len: 0")
    ) == {
        "num_heads": 2,
        "H_layers": 0,
        "puzzle_emb_len": 0,
        "rope_theta": 1e4,
        "rms_eps": 1e-5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch: [1, 2]", "arch: expected settings by name, found list"),
        ("- 1", "expected settings by name, found list"),
        ("", "expected settings by name, found NoneType"),
        ("a: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("arch: {num_heads: many}", "arch.num_heads must be a whole number, got 'many'"),
        ("arch: {num_heads: true}", "arch.num_heads must be a whole number, got True"),
        ("arch: {L_cycles: 2.0}", "arch.L_cycles must be a whole number, got 2.0"),
        ("arch: {L_cycles: 100000}", "L_cycles must be at most 256, got 100000"),
        ("arch: {L_layers: 0}", "arch.L_layers must be at least 1, got 0"),
        ("arch: {puzzle_emb_len: -1}", "arch.puzzle_emb_len must be at least 1, got -1"),
        ("arch: {pos_encodings: [rope]}", "arch.pos_encodings must be none, rope or learned, got ['rope']"),
        ("arch: {rope_theta: .nan}", "rope_theta must be"),
        ("arch: {loss: {loss_type: hinge}}", "loss.loss_type 'hinge' is unknown; choose from stablemax_cross_entropy"),
        ("arch: !!python/object/apply:os.system ['echo run']", "is not YAML"),
        ("a: &a [x, x]\n" * 100_000, "larger than 1 MiB"),
        ("[" * 50_000, "is not YAML"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, text, message, capfd):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"all_config\.yaml") as caught:
        read_settings(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_weights_are_found_in_a_folder(tmp_path):
    for name in ("step_900", "step_10000", "step_2000.txt", "stepping", "notes.md"):
        (tmp_path / name).touch()
    assert find_files(tmp_path) == (tmp_path / "step_10000", None)
    settings = written(tmp_path, WHOLE)
    assert find_files(tmp_path) == (tmp_path / "step_10000", settings)
    assert find_files(tmp_path / "step_900") == (tmp_path / "step_900", settings)
    (tmp_path / "checkpoint").touch()
    assert find_files(tmp_path).weights == tmp_path / "checkpoint"
    assert find_files(tmp_path / "missing").weights == tmp_path / "missing"


def test_other_weights_are_found_if_there_is_one_file(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file of weights \(checkpoint or step_N\), found none"):
        find_files(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_files(tmp_path).weights == tmp_path / "model.safetensors"
    (tmp_path / "ema.pt").touch()
    with pytest.raises(ValueError, match=r"found several: 'ema\.pt', 'model\.safetensors'; name one"):
        find_files(tmp_path)
