"""Agreement with numbers that the public HRM implementation computed from the same weights."""

import json

import pytest
import torch
from reference_numbers import IGNORE, assert_close, numbers, read

from hrm_agents.halting.decisions import should_halt
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.halting.targets import continue_target
from hrm_agents.losses import stablemax_cross_entropy
from hrm_agents.models.hrm import HRM, Carry
from hrm_agents.models.official import OfficialWeights, our_names

torch.set_num_threads(1)  # at this size threads cost more than they give

NAMES = ("learned_pos", "rope_puzzle_emb")


@pytest.fixture(scope="module", params=NAMES)
def reference(request):
    return read(request.param)


def load(reference, prefix=""):
    cfg = json.loads(bytes(reference["cfg"].numpy()))
    weights = {prefix + name[2:]: tensor for name, tensor in reference.items() if name.startswith("w/")}
    given = {name: cfg[name] for name in ("num_heads", "H_cycles", "L_cycles")}
    settings, sizes, state = OfficialWeights.of(weights).convert(given, (1, cfg["seq_len"]))
    assert settings.position == cfg["pos_encodings"]
    model = HRM.build(settings, sizes)
    model.load_state_dict(state)
    return model, cfg


def matched(output, labels):
    return ((output.logits.argmax(-1) == labels) | (labels == IGNORE)).all(-1).float()


def assert_segment(carry, output, labels, expected, tolerance=1e-4):
    loss = stablemax_cross_entropy(output.logits, labels, IGNORE)
    loss = loss + 0.5 * LOGIT.loss(output.q_halt, matched(output, labels))
    assert_close(carry.z_H, expected["z_H"], tolerance)
    assert_close(carry.z_L, expected["z_L"], tolerance)
    assert_close(output.logits, expected["logits"], tolerance)
    assert_close(output.q_halt, expected["q_halt_logits"], tolerance)
    assert_close(output.q_continue, expected["q_continue_logits"], tolerance)
    assert_close(loss.sum(), expected["loss"], tolerance)


@torch.no_grad()
def test_every_segment(reference):
    """One segment each, from the state that the reference had before it."""
    model, _ = load(reference)
    puzzle, task_id = reference["in/inputs"], reference["in/puzzle_identifiers"]
    carry = model.initial_carry(len(puzzle))
    for t in range(5):
        after, output = model(carry, puzzle, task_id)
        expected = numbers(reference, f"eval/{t}/")
        assert_segment(after, output, reference["in/labels"], expected)
        carry = Carry(expected["z_H"], expected["z_L"])


@torch.no_grad()
def test_five_segments_in_a_row(reference):
    """From a fresh carry without help.

    With the random weights of ``learned_pos`` rounding errors grow up to tenfold in a segment: after
    five, float32 is 2e-4 away from the same computation in float64, here and in the reference alike.
    """
    model, _ = load(reference)
    puzzle, task_id = reference["in/inputs"], reference["in/puzzle_identifiers"]
    carry = model.initial_carry(len(puzzle))
    for t in range(5):
        carry, output = model(carry, puzzle, task_id)
        tolerance = 1e-4 if t < 3 else 2e-3
        assert_segment(carry, output, reference["in/labels"], numbers(reference, f"eval/{t}/"), tolerance)


def test_training(reference):
    model, cfg = load(reference)
    puzzle, labels = reference["in/inputs"], reference["in/labels"]
    task_id = reference["in/puzzle_identifiers"]
    batch = len(labels)
    carry = model.initial_carry(batch)
    steps, halted = torch.zeros(batch, dtype=torch.int32), torch.ones(batch, dtype=torch.bool)
    for t in range(3):
        carry = model.reset_carry(carry, halted)
        steps = torch.where(halted, 0, steps) + 1
        model.zero_grad()
        carry, output = model(carry, puzzle, task_id)
        is_last = steps >= cfg["halt_max_steps"]
        halted = is_last | should_halt(output.q_halt, output.q_continue)
        with torch.no_grad():
            _, following = model(carry, puzzle, task_id)
        target = continue_target(following.q_halt, following.q_continue, is_last)
        lm_loss = stablemax_cross_entropy(output.logits, labels, IGNORE).sum()
        halt_loss = LOGIT.loss(output.q_halt, matched(output, labels)).sum()
        continue_loss = LOGIT.loss(output.q_continue, target).sum()
        loss = lm_loss + 0.5 * (halt_loss + continue_loss)
        loss.backward()

        expected = numbers(reference, f"train/{t}/")
        assert torch.equal(halted, expected["halted"])
        assert torch.equal(steps, expected["steps"])
        assert_close(output.logits, expected["logits"])
        assert_close(target, expected["target_q_continue"])
        assert_close(lm_loss, expected["metric/lm_loss"])
        assert_close(halt_loss, expected["metric/q_halt_loss"])
        assert_close(continue_loss, expected["metric/q_continue_loss"])
        assert_close(loss, expected["loss"])
        dense = model.dense_parameters()
        gradients = numbers(expected, "grad/")
        if cfg["puzzle_emb_ndim"]:
            # Not coalesced, the sparse gradient holds one row per batch row, in their order.
            (table,) = model.sparse_parameters().values()
            assert torch.equal(table.grad._indices()[0], task_id.long())
            assert_close(table.grad._values(), gradients.pop("puzzle_emb_rows"))
        names = our_names(gradients)
        assert set(names.values()) == set(dense)
        for name, gradient in gradients.items():
            assert_close(dense[names[name]].grad, gradient)


def test_compiled_checkpoint_prefix(reference):
    model, _ = load(reference)
    prefixed, _ = load(reference, prefix="_orig_mod.")
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, prefixed.state_dict()[name])


def test_checkpoint_with_one_task(reference):
    """A table with one row is our learned prefix, and gives the same answers."""
    if "w/model.inner.puzzle_emb.weights" not in reference:
        pytest.skip("no task table")
    model, _ = load(reference)
    one_task = dict(reference)
    one_task["w/model.inner.puzzle_emb.weights"] = reference["w/model.inner.puzzle_emb.weights"][2:3]
    single, _ = load(one_task)
    assert single.sizes.num_task_ids == 1
    puzzle = reference["in/inputs"]
    _, expected = model(model.initial_carry(6), puzzle, torch.full((6,), 2))
    _, output = single(single.initial_carry(6), puzzle)
    assert_close(output.logits, expected.logits)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="conv"):
        our_names(["model.inner.conv.weight"])
