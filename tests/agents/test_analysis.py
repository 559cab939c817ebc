"""The instruments on networks and states whose results are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hrm_agents.analysis.attention import AttentionCall, attention_map, intercepted_attention
from hrm_agents.analysis.depth import success_by_depth
from hrm_agents.analysis.dimension import (
    participation_ratio,
    ratio_of_cells,
    ratio_of_puzzles,
    state_dimension,
    state_dimensions,
)
from hrm_agents.analysis.observing import observe, plain
from hrm_agents.analysis.residuals import forward_residuals
from hrm_agents.analysis.settling import cell_settling, settling_segments
from hrm_agents.analysis.trajectories import principal_components, state_trajectories
from hrm_agents.errors import UserError
from hrm_agents.evaluation.intervals import wilson
from hrm_agents.models.interface import SegmentModel, SegmentOutput
from hrm_agents.solving.solver import Solver, load


class Towards(nn.Module):
    """Moves a state towards a target, to ``rate`` times its distance."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, state, target):
        return target + self.rate * (state - target)


class Linear(SegmentModel):
    """A worker that takes two steps towards the planner, and a planner that takes one towards 0, in 16 cells.

    ``shared`` uses one module for both roles; ``hidden`` does the same outside of any module.
    """

    def __init__(self, kind="separate", rates=(0.5, 0.25)):
        super().__init__()
        self.sizes = self.config = SimpleNamespace(grid_shape=(4, 4), vocab_size=6, num_task_ids=1)
        self.q_head = nn.Linear(1, 2)
        self.worker, self.planner = Towards(rates[0]), Towards(rates[1])
        if kind == "shared":
            self.planner = self.worker
        self.kind = kind

    def initial_carry(self, batch_size):
        return (torch.ones(batch_size, 16, 3), torch.full((batch_size, 16, 3), 3.0))

    def forward(self, carry, puzzle, task_id=None):
        fast, slow = carry
        worker, planner = self.worker, self.planner
        if self.kind == "hidden":
            worker, planner = worker.forward, planner.forward
        fast = worker(worker(fast, slow), slow)
        slow = planner(slow, torch.zeros_like(slow))
        zeros = torch.zeros(len(puzzle))
        logits = F.one_hot(puzzle.long(), 6).float()
        return (fast.detach(), slow.detach()), SegmentOutput(logits, zeros, zeros, zeros[:, None])


class Stateless(Linear):
    def initial_carry(self, batch_size):
        return ()

    def forward(self, carry, puzzle, task_id=None):
        return (), super().forward(super().initial_carry(len(puzzle)), puzzle)[1]


@pytest.fixture(scope="module")
def sudoku(sudoku_run):
    return load(sudoku_run)


@pytest.fixture
def solver_of(sudoku):
    """Makes a solver of the same task with another network."""
    return lambda model: Solver(model, sudoku.config, sudoku.folder)


# Residuals


@pytest.mark.parametrize("kind", ["separate", "shared"])
def test_residuals_of_a_contracting_map_have_their_closed_form(solver_of, kind):
    """Whether or not the two roles have a module each."""
    found = forward_residuals(solver_of(Linear(kind)), num_puzzles=5, segments=4)
    assert found.steps == ("state 1", "state 1", "state 2")
    assert found.residual.shape == (5, 4, 3)
    rate = 0.5 if kind == "shared" else 0.25
    expected, fast, slow = np.zeros((4, 3)), 1.0, 3.0
    for segment in range(4):
        # The distance to the target halves with each step of the worker.
        distance = abs(fast - slow)
        expected[segment] = 0.5 * distance, 0.25 * distance, (1 - rate) * 3.0 * rate**segment
        fast, slow = slow + 0.25 * (fast - slow), 3.0 * rate ** (segment + 1)
    np.testing.assert_allclose(found.residual, np.broadcast_to(expected, (5, 4, 3)), rtol=1e-5)


def test_a_network_that_steps_in_no_module_has_a_residual_per_segment_and_state(solver_of):
    found = forward_residuals(solver_of(Linear("hidden")), num_puzzles=2, segments=3)
    assert found.steps == ("state 1", "state 2")
    np.testing.assert_allclose(found.residual[:, :, 1], [[3 * 0.75, 3 * 0.75 / 4, 3 * 0.75 / 16]] * 2, rtol=1e-5)


def test_residuals_of_an_hrm_are_those_of_its_own_modules(sudoku):
    found = forward_residuals(sudoku, num_puzzles=3, segments=2)
    assert found.steps == ("z_L", "z_L", "z_H", "z_L", "z_L", "z_H")
    # The recursion by hand, on the same puzzles.
    model = sudoku.model
    puzzle = torch.from_numpy(observe(sudoku, num_puzzles=3).puzzle)
    with torch.no_grad():
        x, (z_H, z_L) = model.embedding(puzzle, None), model.initial_carry(3)
        expected = []
        for _ in range(4):
            for _ in range(2):
                old, z_L = z_L, model.L(z_L, z_H + x, None)
                expected.append((z_L - old).square().mean((1, 2)).sqrt())
            old, z_H = z_H, model.H(z_H, z_L, None)
            expected.append((z_H - old).square().mean((1, 2)).sqrt())
    np.testing.assert_allclose(found.residual.reshape(3, 12), torch.stack(expected, 1), rtol=1e-4, atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules()), "hooks are left"


# Dimension


def test_participation_ratio_of_known_spectra():
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert participation_ratio(np.eye(6)) == pytest.approx(6)
    assert participation_ratio(rotation @ np.diag([5, 0, 0, 0, 0, 0]) @ rotation.T) == pytest.approx(1)
    # (3 + 2 + 1)^2 / (9 + 4 + 1)
    assert participation_ratio(rotation @ np.diag([3, 2, 1, 0, 0, 0]) @ rotation.T) == pytest.approx(36 / 14)
    assert participation_ratio(np.zeros((3, 3))) == 0.0


def test_both_kinds_of_samples_agree_with_the_eigenvalues_of_the_covariance():
    rng = np.random.default_rng(1)
    states = rng.normal(size=(20, 7, 4)).astype(np.float32) @ rng.normal(size=(4, 4)).astype(np.float32) + 1.0
    weights = rng.integers(0, 3, 20).astype(float)

    def direct(samples):
        values = np.linalg.eigvalsh(np.cov(samples.T, ddof=0))
        return values.sum() ** 2 / np.square(values).sum()

    whole, repeats = states.reshape(20, 28), weights.astype(int)
    assert ratio_of_puzzles(whole)(weights) == pytest.approx(direct(np.repeat(whole, repeats, axis=0)), rel=1e-4)
    moments = states.mean(1), np.einsum("npi,npj->nij", states, states) / 7
    cells = np.repeat(states, repeats, axis=0).reshape(-1, 4)
    assert ratio_of_cells(*moments)(weights) == pytest.approx(direct(cells), rel=1e-4)


@pytest.mark.parametrize("dimension", [3, 20])
def test_states_of_known_dimension(dimension):
    """Few samples look lower-dimensional than they are; the limit does not."""
    rng = np.random.default_rng(2)
    states = rng.normal(size=(128, dimension)) @ np.linalg.qr(rng.normal(size=(60, dimension)))[0].T
    found = state_dimension("z", 60, ratio_of_puzzles(states.astype(np.float32)), 128)
    # Of n samples of a d-dimensional normal distribution: 1 / (1 / d + 1 / n), about.
    assert found.ratio == pytest.approx(1 / (1 / dimension + 1 / 128), rel=0.06)
    assert found.limit == pytest.approx(dimension, rel=0.08)
    low, high = found.interval
    assert low < found.ratio < high
    assert found.counts == (2, 4, 8, 16, 32, 64, 128)
    assert found.mean[0] == pytest.approx(1.0), "two points lie on a line"
    assert list(found.mean) == sorted(found.mean)
    assert found.mean[-1] == pytest.approx(found.ratio)


def test_dimension_of_a_model(sudoku, solver_of):
    whole = state_dimensions(sudoku, num_puzzles=8)
    cells = state_dimensions(sudoku, num_puzzles=8, samples="cells", segments=2)
    assert [state.name for state in whole.states] == ["z_H", "z_L"]
    assert (whole.segment, cells.segment, whole.num_puzzles) == (3, 2, 8)
    assert whole.updates == 4
    assert all(1 <= state.ratio <= state.most == 7 for state in whole.states)
    assert all(1 <= state.ratio <= state.most == 16 for state in cells.states)
    # All puzzles have the same states, so they vary in no direction.
    assert [state.ratio for state in state_dimensions(solver_of(Linear()), num_puzzles=4).states] == [0.0, 0.0]
    with pytest.raises(UserError, match="needs at least 4 puzzles, got 3"):
        state_dimensions(sudoku, num_puzzles=3)


# Trajectories


def test_principal_components_are_those_of_the_singular_value_decomposition():
    points = np.random.default_rng(3).normal(size=(30, 100)) * np.linspace(3, 0.1, 100) + 5
    found = principal_components(points, 3)
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(u[:, :3] * s[:3]), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.explained, (s**2 / (s**2).sum())[:3])
    for column in found.coordinates.T:
        assert column[np.abs(column).argmax()] > 0


def test_components_beyond_the_rank_are_zero():
    found = principal_components(np.array([[1.0, 1.0], [3.0, 3.0]]), 3)
    np.testing.assert_allclose(np.abs(found.coordinates), [[math.sqrt(2), 0, 0]] * 2, atol=1e-9)
    np.testing.assert_allclose(found.explained, [1, 0, 0], atol=1e-12)
    assert principal_components(np.ones((4, 2))).explained.tolist() == [0, 0]


def test_trajectories_keep_the_distances_of_states_in_a_plane(solver_of):
    """The states of this network lie on a line, so its first component has all distances."""
    found = state_trajectories(solver_of(Linear()), num_puzzles=3, segments=3)
    fast, slow = found.states
    assert slow.points.shape == (3, 3, 2)
    np.testing.assert_allclose(slow.explained, [1, 0], atol=1e-6)
    # From 3 / 4 to 3 / 16 in each of 16 * 3 coordinates.
    np.testing.assert_allclose(np.abs(np.diff(slow.points[0, :2, 0])), 9 / 16 * math.sqrt(48), rtol=1e-5)
    assert (fast.name, slow.name) == ("state 1", "state 2")
    assert found.solved.shape == (3, 3)


# Settling


def test_cells_settle_after_their_last_change():
    answers = np.random.default_rng(4).integers(1, 3, (50, 6, 4)).astype(np.uint8)
    settled = settling_segments(answers)
    for puzzle in range(50):
        for cell in range(4):
            tokens = answers[puzzle, :, cell]
            first = next(start for start in range(6) if (tokens[start:] == tokens[-1]).all())
            assert settled[puzzle, cell] == first + 1
    assert settling_segments(answers[:, :1]).tolist() == [[1] * 4] * 50


def test_settling_of_a_model(sudoku, solver_of):
    found = cell_settling(sudoku, num_puzzles=4)
    assert found.settled.shape == found.answer.shape == found.puzzle.shape == (4, 16)
    assert set(np.unique(found.settled)) <= {1, 2, 3}
    copied = cell_settling(solver_of(Linear()), num_puzzles=4)
    assert (copied.settled == 1).all()
    assert (copied.answer == copied.puzzle).all()


# Attention


def test_attention_is_the_softmax_of_the_products_of_queries_and_keys(sudoku):
    found = attention_map(sudoku, cell=(2, 3), index=2)
    assert found.layer == "H.blocks.0.attention"
    assert found.layers == ("L.blocks.0.attention", "H.blocks.0.attention")
    assert (found.cell, found.index, found.segment) == (6, 2, 3)
    assert found.weights.shape == (2, 16)
    np.testing.assert_allclose(found.weights.sum(1) + found.prefix, 1, rtol=1e-5)
    seen = []
    attention = sudoku.model.H.blocks[0].attention
    handle = attention.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    observe(sudoku, num_puzzles=3, batch_size=1)
    handle.remove()
    with torch.no_grad():
        query, key, _ = attention.qkv(seen[-1][0]).view(17, 3, 2, 8).unbind(1)
        expected = torch.einsum("he,the->ht", query[1 + 6], key).div(math.sqrt(8)).softmax(-1)
    np.testing.assert_allclose(found.weights, expected[:, 1:], rtol=1e-4)
    np.testing.assert_array_equal(found.puzzle, observe(sudoku, num_puzzles=3).puzzle[2])


def test_masks_and_scales_count():
    query, key = torch.randn(2, 1, 3, 5, 4)
    scores = query @ key.mT
    causal = torch.ones(5, 5).tril().bool()
    weights = AttentionCall(query, key, {"is_causal": True, "scale": 0.1}).weights()
    torch.testing.assert_close(weights, scores.mul(0.1).masked_fill(~causal, -math.inf).softmax(-1))


def test_the_layer_that_attends_is_named():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.before = nn.Identity()

        def forward(self, x):
            return F.scaled_dot_product_attention(self.before(x), key=x, value=x, is_causal=True)

    model = nn.Sequential(Layer(), nn.ReLU(), Layer())
    x = torch.randn(1, 1, 3, 2)
    with intercepted_attention(model) as calls:
        result = model(x)
        F.scaled_dot_product_attention(x, x, x)  # not of the model
    assert list(calls) == ["0", "2"]
    assert calls["0"].settings == {"is_causal": True}
    torch.testing.assert_close(calls["0"].weights() @ x, model[0](x))
    torch.testing.assert_close(result, model(x))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "L.blocks.7"}, r"there is no layer 'L.blocks.7': choose from L.blocks.0.attention, H.blocks.0"),
        ({"cell": (5, 1)}, "there is no cell in row 5, column 1: the board is 4 x 4"),
        ({"cell": (0, 1)}, "there is no cell in row 0, column 1"),
        ({"index": -1}, "counts from 0, got -1"),
        ({"index": 1, "env_kwargs": {"num_puzzles": 1}}, "there is no puzzle 1: HRM/Sudoku-4x4-v0 has 1 here"),
    ],
)
def test_mistakes_about_attention(sudoku, options, message):
    with pytest.raises(UserError, match=message):
        attention_map(sudoku, **options)


# Depth


def test_success_by_depth_is_that_of_evaluations():
    solver, kwargs = load("maze-9x9"), {"num_puzzles": 12}
    found = success_by_depth(solver, num_puzzles=12, segments=4, env_kwargs=kwargs)
    assert found.success == solver.evaluate({**kwargs, "max_segments": 4}).success_per_segment
    assert found.success[0] < found.success[-1]
    assert (found.trained_segments, found.num_puzzles, found.num_classes) == (8, 12, 12)
    assert found.intervals == tuple(wilson(share, 12) for share in found.success)
    for limit in (1, 4):
        halting = solver.evaluate({**kwargs, "max_segments": limit}, until="halt")
        assert found.success_at_halt[limit - 1] == pytest.approx(halting.success_rate)
        assert found.mean_segments[limit - 1] == pytest.approx(halting.mean_segments)


# Networks without what an analysis needs


def test_networks_without_states_or_attention_are_told_so(solver_of):
    stateless = solver_of(Stateless())
    for analysis in (forward_residuals, state_dimensions, state_trajectories):
        with pytest.raises(UserError, match="its network carries no state from segment to segment"):
            analysis(stateless)
    with pytest.raises(UserError, match="its network has no attention over the cells"):
        attention_map(stateless)
    assert cell_settling(stateless, num_puzzles=2).settled.shape == (2, 16)
    assert len(success_by_depth(stateless, num_puzzles=2, segments=2).success) == 2


def test_observing_counts_puzzles_and_checks_the_task(sudoku):
    shares = []
    seen = observe(
        sudoku,
        lambda before, after, output: [output.q_halt],
        num_puzzles=7,
        segments=2,
        batch_size=3,
        progress=shares.append,
    )
    assert shares == [number / 6 for number in range(1, 7)]  # 3 batches of 2 segments
    assert seen.records[0].shape == (7, 2)
    np.testing.assert_allclose(seen.records[0], seen.trace.q_halt)
    last = observe(sudoku, lambda before, after, output: [output.q_halt], num_puzzles=7, only_last=True, batch_size=3)
    np.testing.assert_allclose(last.records[0][:, 0], last.trace.q_halt[:, -1])
    with pytest.raises(UserError, match="must be at least 1, got 0"):
        observe(sudoku, num_puzzles=0)
    with pytest.raises(UserError, match="max_segments=0"):
        observe(sudoku, num_puzzles=1, segments=0)


def test_plain_results_are_json(sudoku):
    import json

    document = plain(state_dimensions(sudoku, num_puzzles=4))
    assert json.loads(json.dumps(document)) == document
    assert document["states"][0]["name"] == "z_H"
    assert len(plain(cell_settling(sudoku, num_puzzles=2))["settled"][1]) == 16
