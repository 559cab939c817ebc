"""HRM encoder: the recursion of HRM over tokens and numbers."""

import dataclasses

import pytest
import torch
from saved_memory import saved_bytes

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import FeaturePart, HRMEncoder, TokenPart
from hrm_agents.models.hrm import HRM, Carry, HRMConfig

SMALL = Architecture(hidden_size=16, num_heads=2, H_layers=1, L_layers=1, mlp_multiple=8)
BOARD = TokenPart(num_cells=12, vocab_size=5, grid_shape=(3, 4))
PARTS = {"a board": BOARD, "two.numbers": FeaturePart(num_features=2)}  # not valid module names
POSITIONS = ("learned", "rope", "rope2d", "rope2d+learned")


def build(parts=PARTS, readout="slot", **changes):
    torch.manual_seed(0)
    return HRMEncoder(dataclasses.replace(SMALL, **changes), parts, readout=readout)


def observe(batch):
    generator = torch.Generator().manual_seed(1)
    board = torch.randint(0, 5, (batch, 12), generator=generator)
    return {"a board": board, "two.numbers": torch.randn(batch, 2, generator=generator)}


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("prefix_slots", [0, 1, 2])
@pytest.mark.parametrize(("readout", "size"), [("slot", 16), ("mean", 16), ("both", 32)])
def test_shapes(position, prefix_slots, readout, size):
    model = build(readout=readout, position=position, prefix_slots=prefix_slots)
    carry, features = model(observe(3), model.initial_carry(3))
    assert carry.z_H.shape == carry.z_L.shape == (3, prefix_slots + 12 + 2, 16)
    assert features.shape == (3, size) == (3, model.features_dim)
    assert features.dtype == torch.float32


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("gradient", ["step", "cycle", "segment"])
def test_states_equal_those_of_hrm(position, gradient):
    """With the weights of HRM, which scales its tables by sqrt(d) in the forward pass, the states are equal."""
    config = HRMConfig(
        vocab_size=5, grid_shape=(3, 4), **{**dataclasses.asdict(SMALL), "position": position, "gradient": gradient}
    )
    torch.manual_seed(3)
    hrm = HRM(config)
    torch.nn.init.normal_(hrm.embedding.prefix)
    model = build(BOARD, position=position, gradient=gradient)
    shared = {name: w for name, w in hrm.state_dict().items() if name.startswith(("H", "L"))}
    own = {"embeddings.0.token": hrm.embedding.token, "prefix": hrm.embedding.prefix * 4}
    if hrm.embedding.position is not None:
        own["position"] = hrm.embedding.position * 4
    model.load_state_dict({**shared, **{name: w.detach() for name, w in own.items()}})

    board = observe(3)["a board"]
    expected = carry = hrm.initial_carry(3)
    for _ in range(2):
        expected, _ = hrm(expected, board)
        carry, features = model(board, carry)
    torch.testing.assert_close(carry.z_H, expected.z_H)
    torch.testing.assert_close(carry.z_L, expected.z_L)
    torch.testing.assert_close(features, expected.z_H[:, 0])


def test_patches_by_hand():
    model = build(FeaturePart(num_features=5, patch_size=2), hidden_size=2, num_heads=1, expansion=1.0)
    embedding = model.embeddings[0]
    with torch.no_grad():
        embedding.patch.weight.copy_(torch.tensor([[1.0, 10.0], [0.0, 1.0]]))  # [d, patch]
        embedding.bias.copy_(torch.tensor([0.5, 0.0]))
    slots = embedding(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    assert slots.tolist() == [[[21.5, 2.0], [43.5, 4.0], [5.5, 0.0]]]  # the last patch is padded with zero
    assert model.num_slots == 1 + 3


def test_readouts_are_slots_of_the_planner():
    obs = observe(2)
    models = {readout: build(readout=readout, prefix_slots=2) for readout in ("slot", "mean", "both")}
    carry = models["slot"].initial_carry(2)
    features = {readout: model(obs, carry)[1] for readout, model in models.items()}
    z_H = models["slot"](obs, carry)[0].z_H
    assert torch.equal(features["slot"], z_H[:, 0])
    torch.testing.assert_close(features["mean"], z_H[:, 2:].sum(1) / 14)
    assert torch.equal(features["both"], torch.cat((features["slot"], features["mean"]), 1))


def test_cells_are_the_slots_after_the_prefix():
    model, obs = build(prefix_slots=2), observe(2)
    carry = model.initial_carry(2)
    for _ in range(2):
        carry, _ = model(obs, carry)
    cells = model.encode_cells(obs, segments=2)
    torch.testing.assert_close(cells, carry.z_H[:, 2:])
    assert cells.requires_grad


@pytest.mark.parametrize("gradient", ["step", "cycle", "segment"])
def test_several_segments_equal_single_ones(gradient):
    obs = observe(2)
    at_once, one_by_one = build(gradient=gradient), build(gradient=gradient)
    at_once.encode(obs, segments=3).square().sum().backward()
    carry = one_by_one.initial_carry(2)
    for _ in range(2):
        carry, _ = one_by_one(obs, carry)
    carry, features = one_by_one(obs, carry)
    features.square().sum().backward()
    assert torch.equal(at_once.encode(obs, 3), features)
    assert not carry.z_H.requires_grad
    assert not carry.z_L.requires_grad
    for name, expected in gradients(one_by_one).items():
        assert torch.equal(gradients(at_once)[name], expected), name


def test_more_segments_change_the_features():
    model, obs = build(), observe(2)
    assert not torch.allclose(model.encode(obs, 1), model.encode(obs, 2))


@pytest.mark.parametrize(
    ("gradient", "steps"), [("step", {"H": 1, "L": 1}), ("cycle", {"H": 1, "L": 3}), ("segment", {"H": 2, "L": 6})]
)
def test_steps_with_gradient(gradient, steps):
    model = build(gradient=gradient, L_cycles=3)
    recorded = {"H": 0, "L": 0}
    for name in recorded:

        def count(module, args, out, name=name):
            recorded[name] += out.requires_grad

        getattr(model, name).register_forward_hook(count)
    model.encode(observe(1), segments=2)
    assert recorded == steps


@pytest.mark.parametrize("position", POSITIONS)
def test_every_weight_learns(position):
    model = build(position=position)
    model.encode(observe(3)).square()[:, 0].sum().backward()
    for name, gradient in gradients(model).items():
        assert gradient is not None, name
        assert gradient.abs().max() > 0, name


def test_rows_do_not_depend_on_their_batch():
    model, obs = build(), observe(4)
    carry, _ = model(obs, model.initial_carry(4))
    _, features = model(obs, carry)
    alone = {name: values[2:3] for name, values in obs.items()}
    _, feature = model(alone, Carry(carry.z_H[2:3], carry.z_L[2:3]))
    torch.testing.assert_close(feature[0], features[2], rtol=1e-4, atol=1e-5)


def test_reset_rows_equal_new_ones():
    model, obs = build(), observe(3)
    carry, first = model(obs, model.initial_carry(3))
    _, second = model(obs, model.reset_carry(carry, torch.tensor([True, False, True])))
    torch.testing.assert_close(second[[0, 2]], first[[0, 2]])
    assert not torch.allclose(second[1], first[1])


def test_features_depend_on_every_part():
    model, obs = build(), observe(1)
    features = model.encode(obs)
    for name, other in {"a board": 4 - obs["a board"], "two.numbers": -obs["two.numbers"]}.items():
        assert not torch.allclose(model.encode({**obs, name: other}), features), name


@pytest.mark.parametrize("position", ["rope2d", "learned"])
def test_cells_at_the_same_place_share_their_position_in_two_dimensions_only(position):
    """Two boards have equal positions, so that attention can compare them cell by cell."""
    model = build({"now": BOARD, "before": BOARD}, position=position)
    if position == "rope2d":
        assert torch.equal(model.rotary_cos[1:13], model.rotary_cos[13:])
        assert torch.equal(model.rotary_sin[1:13], model.rotary_sin[13:])
        assert not torch.equal(model.rotary_sin[0], model.rotary_sin[1])
    else:
        assert model.position.shape == (25, 16)


def test_bfloat16_gives_float32_features():
    model = build(dtype="bfloat16")
    carry, features = model(observe(2), model.initial_carry(2))
    assert carry.z_H.dtype == torch.bfloat16
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, build().encode(observe(2)), rtol=0.1, atol=0.1)


def test_the_only_part_needs_no_name():
    model = build(BOARD)
    board = observe(2)["a board"]
    assert torch.equal(model.encode(board), model.encode({"observation": board}))


def test_a_saved_encoder_is_the_same():
    model, other = build(position="rope2d+learned"), build(position="rope2d+learned")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.encode(observe(2)), model.encode(observe(2)))
    assert not any("rotary" in name for name in model.state_dict())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "at least one part"),
        ({"board": TokenPart(0, 5)}, "'board': sizes must be at least 1"),
        ({"sight": FeaturePart(3, 0)}, "'sight': sizes must be at least 1"),
        ({"board": TokenPart(12, 5, (3, 5))}, "'board': a grid of 3 x 5 places for 12 slots"),
    ],
)
def test_invalid_parts(parts, message):
    with pytest.raises(ValueError, match=message):
        build(parts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"two.numbers": None}, "'two.numbers' is missing; the observation has a board"),
        ({"two.numbers": torch.zeros(2, 3)}, r"'two.numbers' has shape \(2, 3\), expected \[B, 2\]"),
        ({"a board": torch.zeros(2, 12)}, "'a board' is torch.float32, expected integer tokens"),
    ],
)
def test_observations_that_do_not_fit(changes, message):
    obs = {name: values for name, values in {**observe(2), **changes}.items() if values is not None}
    with pytest.raises(ValueError, match=message):
        build().encode(obs)


def test_other_errors():
    with pytest.raises(ValueError, match="segments must be at least 1, got 0"):
        build().encode(observe(1), segments=0)
    with pytest.raises(ValueError, match="pass them by name"):
        build().encode(observe(1)["a board"])
    with pytest.raises(ValueError, match="readout must be slot, mean or both, got 'last'"):
        build(readout="last")
    with pytest.raises(ValueError, match="num_heads 3 must divide hidden_size 16"):
        build(num_heads=3)


# Gradients across environment steps

#: Row 1 begins a second episode at step 3.
BEGINS = torch.tensor([[True, True], [False, False], [False, False], [False, True], [False, False]])


def observe_sequence():
    generator = torch.Generator().manual_seed(2)
    board = torch.randint(0, 5, (5, 2, 12), generator=generator)
    return {"a board": board, "two.numbers": torch.randn(5, 2, 2, generator=generator)}


def build_memory(gradient="cycle", H_cycles=1):
    return build(gradient=gradient, H_cycles=H_cycles, L_cycles=2)


def by_hand(model, obs, bptt, segments):
    """Features [T, B, d], written out with the modules alone; every state keeps its gradient for ``bptt`` steps."""
    z_H, z_L = model.initial_carry(2)
    features = []
    for step in range(5):
        x = model._embed({name: part[step] for name, part in obs.items()})
        if bptt is not None and step % bptt == 0:
            z_H, z_L = z_H.detach(), z_L.detach()
        begin = BEGINS[step][:, None, None]
        z_H, z_L = torch.where(begin, model.H_init, z_H), torch.where(begin, model.L_init, z_L)
        for _ in range(segments * model.config.H_cycles):
            for _ in range(model.config.L_cycles):
                z_L = model.L(z_L, z_H + x, None)
            z_H = model.H(z_H, z_L, None)
        features.append(z_H[:, 0])
    return torch.stack(features)


@pytest.mark.parametrize(("gradient", "H_cycles"), [("cycle", 1), ("segment", 1), ("segment", 2)])
@pytest.mark.parametrize("bptt", [2, 3, None])
@pytest.mark.parametrize("segments", [1, 2])
def test_unrolled_gradients_equal_those_by_hand(gradient, H_cycles, bptt, segments):
    model, reference, obs = build_memory(gradient, H_cycles), build_memory(gradient, H_cycles), observe_sequence()
    carry, features = model.unroll(obs, model.initial_carry(2), BEGINS, segments=segments, bptt=bptt)
    expected = by_hand(reference, obs, bptt, segments)
    torch.testing.assert_close(features, expected)
    assert not carry.z_H.requires_grad
    features[-1].square().sum().backward()
    expected[-1].square().sum().backward()
    for name, gradient in gradients(reference).items():
        torch.testing.assert_close(gradients(model)[name], gradient, msg=name)


def test_a_gradient_reaches_bptt_steps_back_and_ends_at_the_begin_of_an_episode():
    """Which observations the last features depend on, as far as the gradient knows."""
    model = build({"n": FeaturePart(num_features=2)}, gradient="cycle", H_cycles=1)
    numbers = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0))

    def reached(bptt):
        seen = numbers.clone().requires_grad_()
        _, features = model.unroll(seen, model.initial_carry(2), BEGINS, bptt=bptt)
        (gradient,) = torch.autograd.grad(features[-1].square().sum(), seen)
        return (gradient.abs().sum(-1) > 0).T.tolist()

    assert reached(None) == [[True] * 5, [False] * 3 + [True] * 2]
    assert reached(1) == [[False] * 4 + [True]] * 2
    # Pieces 0 to 2 and 3 to 4; 0 to 1, 2 to 3, and 4.
    assert reached(3) == [[False] * 3 + [True] * 2] * 2
    assert reached(2) == [[False] * 4 + [True]] * 2


@pytest.mark.parametrize("segments", [1, 2])
def test_without_gradient_across_steps_it_equals_single_steps(segments):
    """To the bit, with any architecture."""
    unrolled, stepped, obs = build(), build(), observe_sequence()
    last, features = unrolled.unroll(obs, unrolled.initial_carry(2), BEGINS, segments=segments, bptt=1)
    features.square().sum().backward()
    carry, seen = stepped.initial_carry(2), []
    for step in range(5):
        now = {name: part[step] for name, part in obs.items()}
        carry, one = stepped(now, stepped.reset_carry(carry, BEGINS[step]), segments=segments)
        seen.append(one)
    torch.stack(seen).square().sum().backward()
    assert torch.equal(features, torch.stack(seen))
    assert torch.equal(last.z_L, carry.z_L)
    for name, gradient in gradients(stepped).items():
        assert torch.equal(gradients(unrolled)[name], gradient), name


def test_pieces_with_their_own_backward_pass_give_the_same_gradient():
    whole, pieces, obs = build_memory(), build_memory(), observe_sequence()
    whole.unroll(obs, whole.initial_carry(2), BEGINS, bptt=2)[1].square().sum().backward()
    carry = pieces.initial_carry(2)
    for first in range(0, 5, 2):
        piece = {name: part[first : first + 2] for name, part in obs.items()}
        carry, features = pieces.unroll(piece, carry, BEGINS[first : first + 2])
        features.square().sum().backward()
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(pieces)[name], gradient, msg=name)


def test_memory_grows_with_the_steps_between_two_backward_passes():
    model, obs = build_memory(), observe_sequence()

    def memory(steps):
        now = {name: part[:steps] for name, part in obs.items()}
        return saved_bytes(lambda: model.unroll(now, model.initial_carry(2), BEGINS[:steps]))

    one, two, three = memory(1), memory(2), memory(3)
    assert three - two == pytest.approx(two - one, rel=0.01)
    assert 0.8 * one < two - one < 1.2 * one


@pytest.mark.parametrize("gradient", ["step", "cycle"])
def test_a_segment_that_cuts_the_gradient_is_refused(gradient):
    model, obs = build(gradient=gradient), observe(2)
    for call in (
        lambda: model(obs, model.initial_carry(2), detach=False),
        lambda: model.unroll(observe_sequence(), model.initial_carry(2), BEGINS, bptt=2),
    ):
        with pytest.raises(ValueError, match=r"no gradient crosses a segment with H_cycles=2.*use H_cycles=1, or"):
            call()
    with pytest.raises(ValueError, match="bptt must be at least 1, got 0"):
        model.check_bptt(0)
