"""Agreement of the Tiny Recursive Model with numbers that its public implementation computed from the same weights."""

import json

import pytest
import torch
from reference_numbers import IGNORE, assert_close, numbers, read

from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.losses import stablemax_cross_entropy
from hrm_agents.models.interface import Sizes
from hrm_agents.models.official import our_names
from hrm_agents.models.recursion import Carry
from hrm_agents.models.trm import TRM, TRMSettings


@pytest.fixture(scope="module", params=["trm_attention", "trm_mlp"])
def reference(request):
    return read(request.param)


def load(reference):
    cfg = json.loads(bytes(reference["cfg"].numpy()))
    settings = TRMSettings(
        hidden_size=cfg["hidden_size"],
        num_heads=cfg["num_heads"],
        num_layers=cfg["L_layers"],
        H_cycles=cfg["H_cycles"],
        L_cycles=cfg["L_cycles"],
        expansion=cfg["expansion"],
        mlp_multiple=256,
        mixing="mlp" if cfg["mlp_t"] else "attention",
        position=cfg["pos_encodings"],
        puzzle_emb_ndim=cfg["puzzle_emb_ndim"],
        puzzle_emb_len=cfg["puzzle_emb_len"],
    )
    model = TRM(settings, Sizes(cfg["vocab_size"], (1, cfg["seq_len"]), cfg["num_puzzle_identifiers"]))
    weights = numbers(reference, "w/")
    names = our_names(weights)
    model.load_state_dict({names[name]: weight for name, weight in weights.items()})
    return model, cfg


def losses(output, labels):
    """Sums over the batch of the answer loss and of the loss of Q(halt), whose target is a match with the labels."""
    matched = ((output.logits.argmax(-1) == labels) | (labels == IGNORE)).all(-1).float()
    return stablemax_cross_entropy(output.logits, labels, IGNORE).sum(), LOGIT.loss(output.q_halt, matched).sum()


@torch.no_grad()
def test_segments_in_a_row(reference):
    model, _ = load(reference)
    carry = model.initial_carry(len(reference["in/inputs"]))
    for t in range(4):
        carry, output = model(carry, reference["in/inputs"], reference["in/puzzle_identifiers"])
        expected = numbers(reference, f"eval/{t}/")
        assert_close(output.logits, expected["logits"])
        assert_close(output.q_halt, expected["q_halt_logits"])
        assert_close(output.q_continue, expected["q_continue_logits"])
        assert_close(carry.z_H, expected["z_H"])
        assert_close(carry.z_L, expected["z_L"])
        lm_loss, halt_loss = losses(output, reference["in/labels"])
        assert_close(lm_loss + 0.5 * halt_loss, expected["loss"])
        carry = Carry(expected["z_H"], expected["z_L"])


def test_training(reference):
    """Losses, halts and all gradients, with the halt by Q(halt) alone."""
    model, cfg = load(reference)
    labels, task_id = reference["in/labels"], reference["in/puzzle_identifiers"]
    batch = len(labels)
    carry = model.initial_carry(batch)
    steps, halted = torch.zeros(batch, dtype=torch.int32), torch.ones(batch, dtype=torch.bool)
    for t in range(3):
        carry = model.reset_carry(carry, halted)
        steps = torch.where(halted, 0, steps) + 1
        model.zero_grad()
        carry, output = model(carry, reference["in/inputs"], task_id)
        halted = (steps >= cfg["halt_max_steps"]) | (output.q_halt > 0)
        lm_loss, halt_loss = losses(output, labels)
        (lm_loss + 0.5 * halt_loss).backward()

        expected = numbers(reference, f"train/{t}/")
        assert torch.equal(halted, expected["halted"])
        assert torch.equal(steps, expected["steps"])
        assert_close(output.logits, expected["logits"])
        assert_close(lm_loss, expected["metric/lm_loss"])
        assert_close(halt_loss, expected["metric/q_halt_loss"])
        assert_close(lm_loss + 0.5 * halt_loss, expected["loss"])
        dense = model.dense_parameters()
        gradients = numbers(expected, "grad/")
        # Not coalesced, the sparse gradient holds one row per batch row, in their order.
        (table,) = model.sparse_parameters().values()
        assert torch.equal(table.grad._indices()[0], task_id.long())
        assert_close(table.grad._values(), gradients.pop("puzzle_emb_rows"))
        names = our_names(gradients)
        assert set(names.values()) == set(dense)
        for name, gradient in gradients.items():
            assert_close(dense[names[name]].grad, gradient)
        # Rounding errors grow from segment to segment, so go on from the reference's states. They are those of the
        # evaluation, since there was no optimiser step.
        states = [Carry(reference[f"eval/{n}/z_H"], reference[f"eval/{n}/z_L"]) for n in range(3)]
        carry = Carry(
            *(torch.stack([part[n - 1][row] for row, n in enumerate(steps)]) for part in zip(*states, strict=True))
        )
