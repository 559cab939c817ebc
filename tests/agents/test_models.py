import dataclasses
import time
from functools import partial
from itertools import pairwise

import pytest
import torch
from saved_memory import saved_bytes

from hrm_agents.learning.forward import training_forward
from hrm_agents.losses import stablemax_cross_entropy
from hrm_agents.models.embeddings import rope_2d
from hrm_agents.models.encoder import HRMEncoder, TokenPart
from hrm_agents.models.hrm import HRM, Architecture, Carry, HRMConfig
from hrm_agents.models.layers import rms_norm, rotate, truncated_normal_
from hrm_agents.models.limits import LIMITS
from hrm_agents.settings import RunConfig

torch.set_num_threads(1)  # more threads are slower at this size

SMALL = HRMConfig(vocab_size=5, grid_shape=(3, 4), hidden_size=16, num_heads=2, mlp_multiple=8)
POSITIONS = ("learned", "rope", "rope2d", "rope2d+learned")


def build(**changes):
    torch.manual_seed(0)
    model = HRM(dataclasses.replace(SMALL, **changes))
    torch.nn.init.normal_(model.q_head.weight)  # initially zero, which would hide differences
    return model


def puzzles(batch, config=SMALL):
    generator = torch.Generator().manual_seed(1)
    shape = (batch, config.num_cells)
    return torch.randint(0, config.vocab_size, shape, generator=generator).to(torch.uint8)


def full_size(**sizes):
    return HRMConfig(**sizes, hidden_size=512, num_heads=8, H_layers=4, L_layers=4, mlp_multiple=256, position="rope")


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (full_size(vocab_size=11, grid_shape=(9, 9)), 27_275_266),
        (full_size(vocab_size=6, grid_shape=(30, 30)), 27_270_146),
        (full_size(vocab_size=12, grid_shape=(30, 30), num_task_ids=1000, puzzle_emb_ndim=512), 27_276_290),
    ],
)
def test_parameter_count_of_the_published_models(config, count):
    with torch.device("meta"):
        model = HRM(config)
    dense = model.dense_parameters()
    # The published models have a one-row task table instead of our learned prefix.
    dense.pop("embedding.prefix", None)
    assert sum(p.numel() for p in dense.values()) == count
    assert config.num_prefix_slots == 1


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("prefix_slots", [0, 1, 2])
def test_shapes(position, prefix_slots):
    model = build(position=position, prefix_slots=prefix_slots)
    carry, output = model(model.initial_carry(3), puzzles(3))
    assert carry.z_H.shape == carry.z_L.shape == (3, prefix_slots + 12, 16)
    assert output.logits.shape == (3, 12, 5)
    assert output.q_halt.shape == output.q_continue.shape == (3,)
    assert {t.dtype for t in output} == {torch.float32}


@pytest.mark.parametrize("position", POSITIONS)
def test_state_dict_holds_no_derived_tables(position):
    model = build(position=position)
    assert not any("rotary" in name for name in model.state_dict())
    other = build(position=position)
    other.load_state_dict(model.state_dict())


def test_new_model_has_low_q_values():
    model = HRM(SMALL)
    _, output = model(model.initial_carry(2), puzzles(2))
    assert output.q_halt.tolist() == output.q_continue.tolist() == [-5.0, -5.0]


@pytest.mark.parametrize("position", POSITIONS)
def test_rows_do_not_depend_on_their_batch(position):
    model = build(position=position, num_task_ids=4)
    puzzle, task_id = puzzles(5), torch.tensor([0, 3, 1, 1, 2])
    torch.nn.init.normal_(model.embedding.task.weight)
    carry = model.initial_carry(5)
    for _ in range(2):
        previous = carry
        carry, output = model(carry, puzzle, task_id)
    alone = Carry(previous.z_H[3:4], previous.z_L[3:4])
    carry_3, output_3 = model(alone, puzzle[3:4], task_id[3:4])
    torch.testing.assert_close(output_3.logits[0], output.logits[3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(carry_3.z_L[0], carry.z_L[3], rtol=1e-4, atol=1e-5)


def test_carry_is_detached_and_changes_the_next_segment():
    model = build()
    fresh = model.initial_carry(2)
    carry, first = model(fresh, puzzles(2))
    assert not carry.z_H.requires_grad
    assert not carry.z_L.requires_grad
    _, second = model(carry, puzzles(2))
    assert not torch.allclose(first.logits, second.logits)


def test_reset_rows_have_the_initial_carry():
    model = build()
    fresh = model.initial_carry(3)
    carry, _ = model(fresh, puzzles(3))
    mixed = model.reset_carry(carry, torch.tensor([True, False, True]))
    for after, before, start in zip(mixed, carry, fresh, strict=True):
        assert torch.equal(after[[0, 2]], start[[0, 2]])
        assert torch.equal(after[1], before[1])


def count_recorded_steps(model):
    counts = {"H": 0, "L": 0}
    for name in counts:

        def hook(module, args, out, name=name):
            counts[name] += out.requires_grad

        getattr(model, name).register_forward_hook(hook)
    model(model.initial_carry(1), puzzles(1))
    return counts


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [("step", {"H": 1, "L": 1}), ("cycle", {"H": 1, "L": 3}), ("segment", {"H": 4, "L": 12})],
)
def test_only_the_last_steps_are_recorded(gradient, expected):
    assert count_recorded_steps(build(gradient=gradient, H_cycles=4, L_cycles=3)) == expected


def unrolled(model, puzzle):
    """z_H after one segment from the initial carry, written out, with every state detached that has no gradient."""
    config, rotary = model.config, (model.rotary_cos, model.rotary_sin)
    x = model.embedding(puzzle, None)
    z_H, z_L = model.initial_carry(len(puzzle))
    for cycle in range(config.H_cycles):
        for step in range(config.L_cycles):
            z_L = model.L(z_L, z_H + x, rotary)
            last_cycle, last_step = cycle == config.H_cycles - 1, step == config.L_cycles - 1
            if not {"step": last_cycle and last_step, "cycle": last_cycle, "segment": True}[config.gradient]:
                z_L = z_L.detach()
        z_H = model.H(z_H, z_L, rotary)
        if config.gradient != "segment" and not last_cycle:
            z_H = z_H.detach()
    return z_H


@pytest.mark.parametrize("gradient", ["step", "cycle", "segment"])
@pytest.mark.parametrize(("H_cycles", "L_cycles"), [(3, 2), (2, 3), (1, 1)])
def test_gradients_equal_those_of_an_unrolled_segment(gradient, H_cycles, L_cycles):
    model = build(gradient=gradient, H_cycles=H_cycles, L_cycles=L_cycles, position="rope2d")
    puzzle, labels = puzzles(2), puzzles(2)
    _, output = model(model.initial_carry(2), puzzle)
    stablemax_cross_entropy(output.logits, labels).mean().backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    logits = model.answer_head(unrolled(model, puzzle)[:, 1:]).float()
    stablemax_cross_entropy(logits, labels).mean().backward()
    assert any(name.startswith("L.") for name in found)
    for name, weight in model.named_parameters():
        if name in found and weight.grad is not None:
            torch.testing.assert_close(found[name], weight.grad, msg=name)


def segment_memory(gradient, H_cycles, L_cycles):
    model = build(gradient=gradient, H_cycles=H_cycles, L_cycles=L_cycles)
    return saved_bytes(lambda: model(model.initial_carry(2), puzzles(2)))


def test_memory_per_gradient():
    """Constant in both cycles, in the H cycles only, or in neither; it then grows by the same bytes each time."""
    cycles = range(1, 5)
    assert len({segment_memory("step", cycle, 5 - cycle) for cycle in cycles}) == 1
    assert len({segment_memory("cycle", cycle, 2) for cycle in cycles}) == 1
    for by_cycles in (
        [segment_memory("cycle", 2, cycle) for cycle in cycles],
        [segment_memory("segment", cycle, 2) for cycle in cycles],
        [segment_memory("segment", 2, cycle) for cycle in cycles],
    ):
        growth = {after - before for before, after in pairwise(by_cycles)}
        assert len(growth) == 1, by_cycles
        assert min(growth) > 0.3 * by_cycles[0]


def test_cycle_gradient_equals_finite_differences_of_the_last_cycle():
    # With one H cycle the last cycle is the whole segment, so finite differences apply.
    model = build(gradient="cycle", H_cycles=1, L_cycles=2, position="rope2d")
    step = HRM(dataclasses.replace(model.config, gradient="step"))
    step.load_state_dict(model.state_dict())
    puzzle, labels = puzzles(2), puzzles(2)

    def loss(net):
        _, output = net(net.initial_carry(2), puzzle)
        return stablemax_cross_entropy(output.logits, labels).mean() + output.q_halt.mean()

    loss(model).backward()
    loss(step).backward()
    weight = model.L.blocks[0].mlp.gate_up.weight
    direction = weight.grad / weight.grad.norm()
    with torch.no_grad():
        weight += 0.01 * direction
        above = loss(model)
        weight -= 0.02 * direction
        slope = (above - loss(model)) / 0.02
    torch.testing.assert_close(slope, weight.grad.norm(), rtol=1e-2, atol=1e-4)
    assert not torch.allclose(step.L.blocks[0].mlp.gate_up.weight.grad, weight.grad, rtol=0.05)


def test_rope2d_scores_depend_on_the_shift_only():
    rows, columns, prefix = 4, 5, 2
    rotary = rope_2d((rows, columns), prefix, 16, 100.0)
    query, key = torch.randn(2, 16).unbind()
    cells = prefix + rows * columns
    turned = [rotate(v.expand(1, cells, 1, 16), rotary)[0, prefix:, 0] for v in (query, key)]
    scores = (turned[0] @ turned[1].T).view(rows, columns, rows, columns)
    torch.testing.assert_close(scores[:-1, :-1, :-1, :-1], scores[1:, 1:, 1:, 1:], rtol=1e-4, atol=1e-4)
    assert (scores[0, 0, 0, 1] - scores[0, 0, 1, 0]).abs() > 1e-3  # rows and columns differ
    torch.testing.assert_close(rotary[0][:prefix], torch.ones(prefix, 1, 16))  # the prefix is not rotated


@pytest.mark.parametrize("ndim", [8, 16, 24])
def test_task_embedding_gets_one_gradient_row_per_batch_row(ndim):
    model = build(num_task_ids=100, puzzle_emb_ndim=ndim)
    assert model.config.num_prefix_slots == (1 if ndim <= 16 else 2)
    _, output = model(model.initial_carry(3), puzzles(3), torch.tensor([7, 2, 7]))
    output.q_halt.sum().backward()
    (table,) = model.sparse_parameters().values()
    assert table.grad.is_sparse
    assert table.grad._indices().tolist() == [[7, 2, 7]]
    both = model.dense_parameters() | model.sparse_parameters()
    assert both.keys() == dict(model.named_parameters()).keys()
    with pytest.raises(ValueError, match="task_id"):
        model(model.initial_carry(3), puzzles(3))


@pytest.mark.parametrize("position", POSITIONS)
def test_bfloat16_stays_near_float32(position):
    single, half = build(position=position), build(position=position, dtype="bfloat16")
    carry, output = half(half.initial_carry(4), puzzles(4))
    assert carry.z_H.dtype == torch.bfloat16
    assert output.logits.dtype == output.q_halt.dtype == torch.float32
    output.logits.sum().backward()
    assert {p.grad.dtype for p in half.parameters() if p.grad is not None} == {torch.float32}
    _, exact = single(single.initial_carry(4), puzzles(4))
    torch.testing.assert_close(output.logits, exact.logits, rtol=0.1, atol=0.2)


#: The compiler reads .grad of inputs, and suppresses its own warning only if warnings are not errors.
READS_GRAD = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


@READS_GRAD
@pytest.mark.parametrize("micro_batch", [None, 1])
@pytest.mark.parametrize("num_task_ids", [1, 3])
def test_training_compiles_to_one_graph(num_task_ids, micro_batch, monkeypatch):
    model = build(num_task_ids=num_task_ids, position="rope2d", H_layers=1, L_layers=1)
    carry, puzzle, task_id = model.initial_carry(2), puzzles(2), torch.tensor([1, 2])

    def gradients(forward):
        model.zero_grad()
        _, output = forward(carry, puzzle, task_id)
        sum(part.square().sum() for part in output).backward()
        return {name: p.grad.to_dense().clone() for name, p in model.named_parameters()}

    expected = gradients(model)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, fullgraph=True, backend="aot_eager"))
    compiled = training_forward(model, RunConfig(compile=True, micro_batch=micro_batch))
    for name, gradient in gradients(compiled).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4)


@READS_GRAD
def test_a_network_with_identities_compiles_on_its_own(monkeypatch):
    model = build(num_task_ids=3, position="rope2d", H_layers=1, L_layers=1)
    arguments = model.initial_carry(2), puzzles(2), torch.tensor([1, 2])
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(*arguments)[1].logits, model(*arguments)[1].logits)


def test_norm_and_initialiser():
    torch.manual_seed(0)
    x = torch.tensor([3.0, -4.0])
    torch.testing.assert_close(rms_norm(x, 0.0), x / 12.5**0.5)
    weights = truncated_normal_(torch.empty(200_000), 0.5)
    assert weights.std().item() == pytest.approx(0.5, rel=0.01)
    assert weights.abs().max().item() <= 2 * 0.5 / 0.8796


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expansion": 0.0}, "expansion must be at least 1e-06, got 0.0"),
        ({"expansion": float("inf")}, "expansion must be at most 64, got inf"),
        ({"rope_theta": -5.0}, "rope_theta must be at least 1, got -5.0"),
        ({"rms_eps": float("nan")}, "rms_eps must be at least 1e-12, got nan"),
        ({"num_heads": 3}, "divide"),
        ({"grid_shape": (3,)}, "grid_shape"),
        ({"H_cycles": 0}, "H_cycles must be at least 1, got 0"),
        ({"prefix_slots": -1}, "prefix_slots must be at least 0, got -1"),
        ({"num_task_ids": 0}, "num_task_ids must be at least 1, got 0"),
        ({"position": "rotary"}, "position must be none, rope, rope2d, learned or rope2d\\+learned, got 'rotary'"),
        ({"gradient": None}, "gradient must be step, cycle or segment, got None"),
        ({"dtype": ["float32"]}, "dtype must be float32, bfloat16 or auto, got \\['float32'\\]"),
        ({"hidden_size": 12, "num_heads": 2, "position": "rope2d"}, "divisible"),
    ],
)
def test_impossible_configs_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


WHOLE = (
    "hidden_size", "num_heads", "H_layers", "L_layers", "H_cycles", "L_cycles", "mlp_multiple", "prefix_slots",
    "puzzle_emb_ndim", "vocab_size", "num_task_ids",
)  # fmt: skip
REAL = ("expansion", "rope_theta", "rms_eps")
VAST = (10**9, 2**63, 10**20, 10**5000, -1, -(10**5000))


def refusal(**changes):
    """The message of the error: one short line, raised at once."""
    start = time.monotonic()
    with pytest.raises(ValueError, match="must be") as raised:
        dataclasses.replace(SMALL, **changes)
    assert time.monotonic() - start < 1
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_bounded(name):
    most = LIMITS[name].high
    for value in (*VAST, most + 1):
        text = refusal(**{name: value})
        assert text.startswith(f"{name} must be at ")
        if value > 0:
            assert f"{most:,}" in text
        if abs(value) < 10**20:
            assert text.endswith(f"got {value}")
    for value in (True, 2.0, "2", None, [2], float("nan"), "x" * 10_000, {"a": [[[[1]]]] * 1000}):
        if name == "puzzle_emb_ndim" and value is None:
            continue  # the default, d
        assert refusal(**{name: value}).startswith(f"{name} must be a whole number, got ")


@pytest.mark.parametrize("name", REAL)
def test_real_numbers_are_bounded(name):
    least, most = LIMITS[name].low, LIMITS[name].high
    for value in (1e308, 1e-308, 10**400, most * 1.01, least * 0.99, 0, -1.0, float("inf"), float("nan")):
        assert refusal(**{name: value}).startswith(f"{name} must be ")
    for value in (True, "2", None, [2.0], 1j):
        assert refusal(**{name: value}).startswith(f"{name} must be a number, got ")


@pytest.mark.parametrize(
    "grid", [(10**20, 1), (200, 200), (0, 3), (3, -3), (3, True), (3.0, 3), ("3", 3), "33", 9, None, (3, 3, 3), {3, 4}]
)
def test_grids_are_bounded(grid):
    assert "grid_shape must be" in refusal(grid_shape=grid)


def test_a_task_embedding_fills_a_bounded_number_of_slots():
    assert "puzzle_emb_ndim" in refusal(num_task_ids=5, puzzle_emb_ndim=2**20)
    # Unused without task identities.
    assert dataclasses.replace(SMALL, puzzle_emb_ndim=2**20).num_prefix_slots == 1


def test_an_architecture_is_bounded_in_encoders_too():
    with pytest.raises(ValueError, match="H_cycles must be at most 64, got 1000000000"):
        HRMEncoder(Architecture(H_cycles=10**9), TokenPart(4, 3))


@pytest.mark.parametrize("position", POSITIONS)
def test_the_largest_config_is_built_quickly_on_the_meta_device(position):
    """A loader compares shapes there before it allocates memory."""
    largest = {name: LIMITS[name].high for name in (*WHOLE, *REAL)}
    few = {"H_layers": 2, "L_layers": 2, "grid_shape": (128, 128), "position": position}
    start = time.monotonic()
    with torch.device("meta"):
        model = HRM(HRMConfig(**{**largest, **few}))
    assert time.monotonic() - start < 2
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert model.embedding.task.weight.shape == (100_000_000, 2**20)


@pytest.mark.parametrize("expansion", [1e-6, 0.001, 1.0, 64.0])
def test_the_smallest_nets_work(expansion):
    config = HRMConfig(vocab_size=1, grid_shape=(1, 1), hidden_size=1, num_heads=1, mlp_multiple=1, H_layers=1,
                       L_layers=1, prefix_slots=0, expansion=expansion)  # fmt: skip
    model = HRM(config)
    _, output = model(model.initial_carry(1), torch.zeros(1, 1, dtype=torch.uint8))
    assert output.logits.shape == (1, 1, 1)
    assert bool(output.logits.isfinite().all())


@pytest.mark.parametrize(
    ("name", "value"), [(name, bound) for name in REAL for bound in (LIMITS[name].low, LIMITS[name].high)]
)
@pytest.mark.parametrize("position", ["rope", "rope2d"])
def test_nets_at_the_limits_of_real_numbers_compute(name, value, position):
    model = build(**{name: value}, position=position)
    carry, output = model(model.initial_carry(2), puzzles(2))
    assert all(bool(tensor.isfinite().all()) for tensor in (*carry, *output))
