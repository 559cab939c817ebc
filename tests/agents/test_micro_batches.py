"""Training in micro-batches and with recomputed blocks: the same result in less memory."""

import copy

import pytest
import torch
from saved_memory import saved_bytes
from shift_task import ID as SHIFT

from hrm_agents.errors import UserError
from hrm_agents.learning.forward import MicroBatches, training_forward
from hrm_agents.memory import LiveMemory
from hrm_agents.models.hrm import HRM, Architecture
from hrm_agents.models.interface import Sizes
from hrm_agents.models.registry import model_kind
from hrm_agents.settings import RunConfig
from hrm_agents.trainer import Trainer

#: Eleven rows in parts of at most four: two of four and one of three.
ROWS, PART = 11, 4
RULES = {
    "q, second forward": {},
    "q, one pass": {"halting": {"target": "one-pass", "target_decay": 0.9}},
    "q, returns": {"halting": {"target": "returns", "trace_decay": 0.5}},
    "q, priced": {"kwargs": {"num_puzzles": 32, "max_segments": 3, "segment_cost": 0.01}},
    "gain": {"halting": {"rule": "gain"}},
    "probability": {"halting": {"rule": "probability"}},
    "fixed, clipped": {"halting": {"rule": "fixed", "fixed_segments": 2}, "optim": {"max_grad_norm": 0.1}},
    "convergence": {"halting": {"rule": "convergence"}},
    "policy": {"halting": {"rule": "policy"}},
    "few labels": {"kwargs": {"num_puzzles": 32, "max_segments": 3, "num_labelled": 8, "score": "rules"}},
    "reward alone": {
        "answer": {"supervised_weight": 0.0, "reward_weight": 1.0, "earns": "reward", "baseline": "value"},
        "halting": {"rule": "gain"},
    },
    "reward at the halt": {"answer": {"reward_weight": 1.0, "credit": "halt"}},
    "task embedding": {"env_id": SHIFT, "kwargs": {}},
}


@pytest.fixture
def make(tiny_config, tmp_path):
    """Makes a trainer that splits its batch, or not."""

    def make(name, env_id="HRM/Sudoku-4x4-v0", kwargs=None, **settings):
        settings["run"] = {"batch_size": ROWS, **settings.get("run", {})}
        settings["halting"] = {"exploration_prob": 0.5, **settings.get("halting", {})}
        return Trainer(tiny_config(env_id, kwargs, **settings), tmp_path / name)

    return make


def in_parts(settings):
    return {**settings, "run": {"micro_batch": PART}}


@pytest.mark.parametrize("settings", RULES.values(), ids=RULES)
def test_parts_learn_what_the_whole_batch_learns(make, settings):
    whole, parts = make("whole", **settings), make("parts", **in_parts(settings))
    start = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    for _ in range(5):
        assert parts.update() == pytest.approx(whole.update(), rel=1e-5, abs=1e-5)
    for name, expected in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], expected, rtol=0, atol=1e-5)
    moved = max(float((tensor - start[name]).abs().max()) for name, tensor in whole.model.state_dict().items())
    assert moved > 1e-3, "weights must have moved by far more than the tolerance"
    expected, found = whole.rollout.state_dict(), parts.rollout.state_dict()
    for name in expected["carry"]:
        torch.testing.assert_close(found["carry"][name], expected["carry"][name], rtol=0, atol=1e-4)
    for trainer in (whole, parts):
        trainer.log.close()


SIZES = Sizes(vocab_size=5, grid_shape=(4, 4))
WIDTH = {"hidden_size": 16, "num_heads": 2}
NETWORKS = {
    **{f"hrm, {gradient}": ("hrm", {"gradient": gradient}) for gradient in ("step", "cycle", "segment")},
    "trm": ("trm", {"L_cycles": 2, "H_cycles": 2}),
    "looped": ("looped", {"num_layers": 2}),
    "transformer": ("transformer", {"num_layers": 4}),
    **{name: (name, {"steps": 3}) for name in ("gru", "lstm")},
}


def network(name, settings, sizes=SIZES):
    torch.manual_seed(0)
    kind = model_kind(name, "")
    model = kind.build(kind.settings(**WIDTH, **settings), sizes)
    torch.nn.init.normal_(model.q_head.weight)  # otherwise the network before it has no gradient from it
    return model


def segment(model, forward, rows=ROWS):
    """A segment from a carry that is not the initial one: outputs, new carry, and gradients of their sum."""
    generator = torch.Generator().manual_seed(1)
    puzzle = torch.randint(5, (rows, 16), generator=generator)
    with torch.no_grad():
        carry, _ = model(model.initial_carry(rows), puzzle)
    weights = torch.randn(rows, 16, 5, generator=generator)
    carry, output = forward(carry, puzzle, None)
    loss = (output.logits * weights).sum() + output.q_halt.square().sum() + output.q_continue.sum()
    model.zero_grad()
    loss.backward()
    return carry, output, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(("name", "settings"), NETWORKS.values(), ids=NETWORKS)
def test_every_network_has_the_same_gradients(name, settings):
    model = network(name, settings)
    carry, output, expected = segment(model, model)
    for run, exact in (
        (RunConfig(micro_batch=PART), False),
        (RunConfig(micro_batch=ROWS), True),
        (RunConfig(recompute=True), True),
        (RunConfig(micro_batch=PART, recompute=True), False),
    ):
        model = network(name, settings)
        next_carry, found, gradients = segment(model, training_forward(model, run))
        same = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(tuple(found), tuple(output), **same)
        torch.testing.assert_close(tuple(next_carry), tuple(carry), **same)
        torch.testing.assert_close(gradients, expected, **same)
        assert not any(state.requires_grad for state in next_carry)


def peak(name, settings, run, rows=ROWS):
    """Bytes that a segment and its backward pass need on top of the weights."""
    model = network(name, settings, Sizes(5, (4, 4)))
    with LiveMemory() as memory:
        segment(model, training_forward(model, run), rows)
    return memory.peak


@pytest.mark.parametrize(("name", "settings"), NETWORKS.values(), ids=NETWORKS)
def test_activations_of_one_part_are_in_memory(name, settings):
    rows = 64
    whole, alone = (peak(name, settings, RunConfig(), each) for each in (rows, rows // 8))
    parts = peak(name, settings, RunConfig(micro_batch=rows // 8), rows)
    # Outputs, carry, and inputs of all parts stay.
    assert alone < parts < alone + 0.15 * (whole - alone)


@pytest.mark.parametrize("name", ["hrm", "looped", "transformer"])
def test_recomputed_blocks_keep_their_input_alone(name):
    settings = {"gradient": "segment"} if name == "hrm" else {}
    whole, recomputed = (
        saved_bytes(lambda model=model, forward=forward: forward(model.initial_carry(8), torch.ones(8, 16).int(), None))
        for model in [network(name, settings)]
        for forward in [model, training_forward(copy.deepcopy(model), RunConfig(recompute=True))]
    )
    assert recomputed < 0.3 * whole
    runs = (RunConfig(), RunConfig(recompute=True))
    assert peak(name, settings, runs[1], 64) < 0.5 * peak(name, settings, runs[0], 64)


def test_a_network_without_blocks_has_nothing_to_recompute():
    class Plain(HRM):
        def modules(self):
            return iter(())

    with pytest.raises(UserError, match=r"run\.recompute: Plain has no hrm_agents\.models\.layers\.Block"):
        training_forward(Plain.build(Architecture(**WIDTH), SIZES), RunConfig(recompute=True))


def test_a_forward_of_ones_own_runs_in_parts_too():
    """The halves of a segment that a network inherits are not those of its own forward."""

    class Louder(HRM):
        def forward(self, carry, puzzle, task_id=None):
            carry, output = super().forward(carry, puzzle, task_id)
            return carry, output._replace(logits=2 * output.logits)

    torch.manual_seed(0)
    model = Louder.build(Architecture(**WIDTH), SIZES)
    torch.nn.init.normal_(model.q_head.weight)
    _, expected, gradients = segment(model, model)
    _, found, own = segment(model, MicroBatches(model, PART))
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(own, gradients, rtol=1e-4, atol=1e-5)
