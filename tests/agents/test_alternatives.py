"""Every registered network: shapes, carry, gradients, size, and training that is saved, loaded and resumed."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import hrm_agents
from hrm_agents.config import with_model
from hrm_agents.errors import UserError
from hrm_agents.losses import stablemax_cross_entropy
from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.interface import Sizes
from hrm_agents.models.layers import Block, rms_norm
from hrm_agents.models.limits import LIMITS
from hrm_agents.models.matching import matched, num_parameters
from hrm_agents.models.recurrent import GRUCell, LSTMCell
from hrm_agents.models.registry import model_kind, model_names
from hrm_agents.models.trm import TRMSettings
from hrm_agents.presets import preset
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

NAMES = model_names()
TINY = {"hidden_size": 16, "num_heads": 2, "mlp_multiple": 8}
SIZES = Sizes(vocab_size=5, grid_shape=(3, 4))
SHAPES = [("rope2d", "attention", 1), ("rope2d+learned", "attention", 7), ("none", "mlp", 1), ("learned", "mlp", 7)]


def build(name, sizes=SIZES, **settings):
    torch.manual_seed(1)
    kind = model_kind(name, "test")
    return kind.build(kind.settings(**{**TINY, **settings}), sizes)


def puzzles(batch, sizes=SIZES):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, sizes.vocab_size, (batch, sizes.num_cells), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("position", "mixing", "num_task_ids"), SHAPES)
def test_shapes(name, position, mixing, num_task_ids):
    model = build(name, dataclasses.replace(SIZES, num_task_ids=num_task_ids), position=position, mixing=mixing)
    carry = model.initial_carry(3)
    after, output = model(carry, puzzles(3), torch.tensor([0, 0, 0]))
    assert output.logits.shape == (3, 12, 5)
    assert output.q_halt.shape == output.q_continue.shape == (3,)
    assert output.q_input.shape == (3, model.q_head.in_features)
    assert not output.q_input.requires_grad
    assert [part.shape for part in after] == [part.shape for part in carry]
    assert not any(part.requires_grad for part in after)
    assert type(after) is type(carry)
    assert {part.dtype for part in (*output, *carry)} == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
def test_reset_rows_start_anew_and_others_go_on(name):
    model, puzzle = build(name), puzzles(3)
    carry, _ = model(model.initial_carry(3), puzzle)
    mixed, fresh = model.reset_carry(carry, torch.tensor([False, True, False])), model.initial_carry(3)
    for part, old, new in zip(mixed, carry, fresh, strict=True):
        assert torch.equal(part[[0, 2]], old[[0, 2]])
        assert torch.equal(part[1], new[1])
    _, output = model(mixed, puzzle)
    _, first = model(fresh, puzzle)
    torch.testing.assert_close(output.logits[1], first.logits[1])


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_see_each_other(name):
    model, puzzle = build(name), puzzles(2)
    other = torch.stack([puzzle[0], (puzzle[1] + 1) % 5])
    one, two = (model(model.initial_carry(2), rows)[1].logits for rows in (puzzle, other))
    torch.testing.assert_close(one[0], two[0])
    assert not torch.allclose(one[1], two[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_sees_every_other(name):
    model, puzzle = build(name, position="rope2d"), puzzles(1)
    changed = puzzle.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 5
    one, two = (model(model.initial_carry(1), rows)[1].logits for rows in (puzzle, changed))
    assert bool(((one - two).abs().amax(-1) > 1e-6).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("position", "mixing", "num_task_ids"), SHAPES)
def test_gradients_reach_all_parameters(name, position, mixing, num_task_ids):
    model = build(name, dataclasses.replace(SIZES, num_task_ids=num_task_ids), position=position, mixing=mixing)
    nn.init.ones_(model.q_head.weight)
    carry, _ = model(model.initial_carry(2), puzzles(2), torch.tensor([0, 5]) % num_task_ids)
    _, output = model(carry, puzzles(2), torch.tensor([0, 5]) % num_task_ids)
    loss = stablemax_cross_entropy(output.logits, puzzles(2).long()).sum() + (output.q_halt + output.q_continue).sum()
    loss.backward()
    for parameter_name, parameter in model.dense_parameters().items():
        assert parameter.grad is not None, parameter_name
        assert float(parameter.grad.abs().sum()) > 0, parameter_name
    sparse = model.sparse_parameters()
    assert len(sparse) == (num_task_ids > 1)
    for table in sparse.values():
        assert sorted(table.grad._indices()[0].tolist()) == [0, 5]
        assert float(table.grad._values().abs().min(0).values.sum()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name):
    model = build(name, dtype="bfloat16")
    carry, output = model(model.initial_carry(2), puzzles(2))
    assert {part.dtype for part in carry} <= {torch.bfloat16}
    assert output.logits.dtype == output.q_halt.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_saved_loaded_and_resumed_bit_for_bit(tiny_config, tmp_path, name):
    config = with_model(tiny_config(), name)
    whole, broken = Trainer(config, tmp_path / "whole"), Trainer(config, tmp_path / "broken")
    for _ in range(4):
        whole.update()
    for _ in range(2):
        broken.update()
    broken.save()
    resumed = Trainer.resume(tmp_path / "broken")
    assert type(resumed.model) is model_kind(name, "").network
    for _ in range(2):
        resumed.update()
    resumed.save()
    expected = whole.algorithm.averaged_weights()
    solver = hrm_agents.load(tmp_path / "broken")
    assert type(solver.model) is model_kind(name, "").network
    assert solver.model.settings == config.model
    for weight, tensor in solver.model.state_dict().items():
        assert torch.equal(tensor, expected[weight]), weight
    assert solver.evaluate(first=8, until="halt").success_rate == resumed.evaluate(8).success_rate
    assert len(solver.solve("1... ..3. .2.. ...4").answer) == 16


@pytest.mark.parametrize("name", NAMES)
def test_parameters_can_be_matched(name):
    reference = HRMConfig(vocab_size=6, grid_shape=(7, 7), position="rope2d")
    model = model_kind(name, "").build(matched(name, reference), reference)
    target = num_parameters(HRM(reference))
    assert abs(num_parameters(model) - target) <= 0.05 * target
    assert model.settings.position == "rope2d"


def test_parameters_of_settings_that_cannot_be_matched():
    with pytest.raises(UserError, match="no model 'flux'"):
        matched("flux", HRMConfig(vocab_size=6, grid_shape=(4, 4)))
    # Twelve blocks of the least width have more parameters than this.
    small = HRMConfig(vocab_size=6, grid_shape=(4, 4), hidden_size=16, H_layers=1, L_layers=1, mlp_multiple=1)
    with pytest.raises(ValueError, match="no width gives 'transformer' about"):
        matched("transformer", small)


def test_parameters_of_a_tiny_recursive_model():
    """By hand: the blocks are counted once, although both modules use them."""
    d, width, vocab = 16, 48, 5
    block = 4 * d * d + 3 * d * width
    model = build("trm", expansion=4.5)
    assert model.settings.mlp_width == width
    assert num_parameters(model) == 2 * block + (vocab + 13 + 1) * d + vocab * d + 2 * d + 2


def test_the_documentation_counts_the_parameters():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", text, re.MULTILINE))
    sizes = Sizes(vocab_size=6, grid_shape=(4, 4))
    for name in NAMES:
        model = model_kind(name, "").build(with_model(preset("HRM/Sudoku-4x4-v0"), name).model, sizes)
        assert listed.pop(name) == f"{num_parameters(model):,}", name
    assert listed == {}


def test_every_setting_of_a_built_in_network_is_checked():
    for name in NAMES:
        for each in dataclasses.fields(model_kind(name, "").settings):
            assert each.name in LIMITS or "Literal" in str(each.type), each.name


# What each of them is


def test_trm_recurs_as_in_the_paper():
    """T times: n steps of z = net(z, y + x), then y = net(y, z)."""
    model, puzzle = build("trm", H_cycles=2, L_cycles=3, position="rope2d"), puzzles(2)
    x, (y, z) = model.embedding(puzzle, None), model.initial_carry(2)
    for _ in range(2):
        for _ in range(3):
            z = model.net(z, y + x, model.rotary)
        y = model.net(y, z, model.rotary)
    carry, output = model(model.initial_carry(2), puzzle)
    assert torch.equal(carry.z_H, y)
    assert torch.equal(carry.z_L, z)
    assert torch.equal(output.logits, model.answer_head(y[:, 1:]))


def test_looped_applies_as_many_blocks_as_hrm():
    applied = {}
    for name in ("hrm", "looped", "transformer"):
        model, count = build(name), []
        for part in model.modules():
            if isinstance(part, Block):
                part.register_forward_hook(lambda *_, count=count: count.append(1))
        model(model.initial_carry(1), puzzles(1))
        applied[name] = len(count)
    assert applied == {"hrm": 12, "looped": 12, "transformer": 12}
    assert num_parameters(build("looped")) == num_parameters(build("hrm"))


def test_a_transformer_says_the_same_in_every_segment(tiny_config, tmp_path):
    model, puzzle = build("transformer"), puzzles(2)
    carry, first = model(model.initial_carry(2), puzzle)
    assert carry == ()
    assert torch.equal(model(carry, puzzle)[1].logits, first.logits)
    trainer = Trainer(with_model(tiny_config(), "transformer"), tmp_path)
    assert trainer.evaluate(8).mean_segments == 1.0


def test_gated_cells_equal_those_of_torch():
    torch.manual_seed(0)
    x, h, c = torch.randn(3, 2, 5, 8)
    gru, own = nn.GRUCell(8, 8, bias=False), GRUCell(8)
    lstm, own_lstm = nn.LSTMCell(8, 8), LSTMCell(8)
    for theirs, ours in ((gru, own), (lstm, own_lstm)):
        theirs.weight_ih.data.copy_(ours.of_input.weight)
        theirs.weight_hh.data.copy_(ours.of_state.weight)
    nn.init.zeros_(lstm.bias_ih)
    nn.init.zeros_(lstm.bias_hh)
    lstm.bias_hh.data[8:16] = 1.0  # torch orders the gates: input, forget, cell, output
    (found,) = own(x, (h,))
    torch.testing.assert_close(found.flatten(0, 1), gru(x.flatten(0, 1), h.flatten(0, 1)))
    # Ours are: input, forget, output, cell.
    order = torch.cat([torch.arange(16), torch.arange(24, 32), torch.arange(16, 24)])
    lstm.weight_ih.data.copy_(own_lstm.of_input.weight[order])
    lstm.weight_hh.data.copy_(own_lstm.of_state.weight[order])
    flat = [part.flatten(0, 1) for part in (x, h, c)]
    for found, expected in zip(own_lstm(x, (h, c)), lstm(flat[0], (flat[1], flat[2])), strict=True):
        torch.testing.assert_close(found.flatten(0, 1), expected)


def test_mixing_by_an_mlp_across_slots():
    """Each channel of all slots goes through the MLP and is normalised over the slots."""
    torch.manual_seed(0)
    block = Block(BlockSettings(hidden_size=8, num_heads=2, mixing="mlp", position="none"), num_slots=5)
    x = torch.randn(2, 5, 8)
    mixed = torch.stack([rms_norm(x[..., i] + block.across(x[..., i]), 1e-5) for i in range(8)], -1)
    torch.testing.assert_close(block(x, None), rms_norm(mixed + block.mlp(mixed), 1e-5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixing": "conv"}, "mixing must be attention or mlp, got 'conv'"),
        ({"position": "none"}, "position 'none' would make all cells alike to attention"),
        ({"puzzle_emb_ndim": 40, "puzzle_emb_len": 2}, "puzzle_emb_len 2 is less than the 3 slots"),
        ({"num_heads": 3}, "num_heads 3 must divide hidden_size 16"),
    ],
)
@pytest.mark.parametrize("name", ["hrm", "trm", "looped", "transformer", "gru"])
def test_impossible_settings(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build(name, **settings)


@pytest.mark.parametrize("name", ["trm", "hrm"])
def test_task_embedding_with_more_slots_than_it_fills(name):
    """The rest of its slots is zero."""
    model = build(
        name, dataclasses.replace(SIZES, num_task_ids=3), puzzle_emb_ndim=20, puzzle_emb_len=4, position="rope"
    )
    nn.init.ones_(model.embedding.task.weight)
    x = model.embedding(puzzles(2), torch.tensor([0, 2]))
    assert x.shape == (2, 4 + 12, 16)
    assert torch.equal(x[:, :4].flatten(1).count_nonzero(1), torch.tensor([20, 20]))


# Learning


class Successes(Logger):
    """The share of right answers in every update."""

    def __init__(self):
        self.shares = []

    def segment(self, batch, metrics, step):
        self.shares.append(float(batch.success.mean()))


@pytest.mark.parametrize(
    ("name", "depth"), [("trm", {"H_cycles": 1, "L_cycles": 2}), ("transformer", {"num_layers": 2})]
)
def test_learns(tiny_config, tmp_path, name, depth):
    """Eight puzzles by heart, from none to most within seconds."""
    config = tiny_config(
        kwargs={"num_puzzles": 8, "augment": False, "max_segments": 1},
        model={"hidden_size": 32, "position": "rope2d+learned"},
        optim={"lr": 3e-3},
        run={"updates": 100, "batch_size": 8},
    )
    config = with_model(config, name)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **depth))
    log = Successes()
    trainer = Trainer(config, tmp_path, log)
    for _ in range(70):
        trainer.update()
    assert log.shares[0] == 0.0
    assert sum(log.shares[-5:]) / 5 > 0.7, log.shares


def test_settings_of_trm_are_those_of_the_paper():
    assert (TRMSettings().num_layers, TRMSettings().H_cycles, TRMSettings().L_cycles) == (2, 3, 6)
