"""Encoder for agents that move on a board: the cell it reads, and the cells it omits."""

from dataclasses import replace

import pytest
import torch

from hrm_agents.models import Architecture, HRMEncoder
from hrm_agents.models.encoder import TokenPart
from hrm_agents.models.walker import WalkerEncoder

TINY = Architecture(
    hidden_size=16, num_heads=2, H_layers=1, L_layers=1, expansion=2.0, mlp_multiple=8, position="rope2d"
)
WALL, FREE, START, GOAL, WALKER = range(5)
#: 2 x 3 cells surrounded by walls.
BOARD = torch.full((4, 5), WALL)
BOARD[1:3, 1:4] = torch.tensor([[START, FREE, WALL], [FREE, FREE, GOAL]])


def build(border=0, shape=(4, 5)):
    torch.manual_seed(0)
    board = TokenPart(shape[0] * shape[1], 5, shape)
    return WalkerEncoder(TINY, board, walker=WALKER, seen_as={WALKER: FREE, START: FREE}, border=border)


def observe(*places):
    rows = BOARD.expand(len(places), -1, -1).clone()
    for row, (down, right) in zip(rows, places, strict=True):
        row[down, right] = WALKER
    return rows.flatten(1)


def test_omitting_the_border_changes_nothing_else():
    whole, inner = build(border=1), build(shape=(2, 3))
    assert whole.encoder.num_slots == inner.encoder.num_slots == TINY.prefix_slots + 6
    obs = observe((1, 1), (2, 2))
    cropped = obs.view(-1, 4, 5)[:, 1:3, 1:4].flatten(1)
    torch.testing.assert_close(whole.encode(obs), inner.encode(cropped))
    boards, cell = whole.look(obs)
    assert boards.tolist() == [[FREE, FREE, WALL, FREE, FREE, GOAL]] * 2
    assert cell.tolist() == [0, 4]


@pytest.mark.parametrize("border", [0, 1])
def test_forward_reads_the_encoder_at_the_walker(border):
    model = build(border)
    places = [(1, 1), (2, 2), (1, 2)]
    obs = observe(*places).to(torch.uint8)
    carry, first = model(obs, model.encoder.initial_carry(3))
    carry, second = model(obs, carry, segments=2)
    encoder: HRMEncoder = model.encoder
    boards, cell = model.look(obs)
    expected, _ = encoder(boards, encoder.initial_carry(3), segments=3)
    torch.testing.assert_close(carry.z_H, expected.z_H)
    at = (torch.arange(3), TINY.prefix_slots + cell)
    torch.testing.assert_close(second, expected.z_H[at])
    torch.testing.assert_close(first, model.encode(obs))
    assert not torch.allclose(first, second)
    assert second.requires_grad
    assert not carry.z_H.requires_grad


def test_a_gradient_continues_into_the_carry_if_asked():
    torch.manual_seed(0)
    model = WalkerEncoder(
        replace(TINY, H_cycles=1, gradient="cycle"), TokenPart(20, 5, (4, 5)), walker=WALKER, seen_as={WALKER: FREE}
    )
    carry = model.encoder.initial_carry(1)
    for state in carry:
        state.requires_grad_()
    after, features = model(observe((1, 1)), carry, segments=2, detach=False)
    assert after.z_L.requires_grad
    for gradient in torch.autograd.grad(features.square().sum(), carry):
        assert gradient.abs().max() > 0
    after, features = model(observe((1, 1)), carry)
    assert not after.z_L.requires_grad
    with pytest.raises(ValueError, match="no gradient crosses a segment with H_cycles=2"):
        build()(observe((1, 1)), build().encoder.initial_carry(1), detach=False)


def test_the_plan_does_not_depend_on_the_walker():
    model = build()
    carry, _ = model(observe((1, 1), (2, 2)), model.encoder.initial_carry(2))
    torch.testing.assert_close(carry.z_H[0], carry.z_H[1])


def test_a_walker_on_the_border_is_not_found():
    model, obs = build(border=1), observe((0, 2))
    build()(obs, build().encoder.initial_carry(1))
    with pytest.raises(ValueError, match="exactly one walker, token 4 inside the border"):
        model(obs, model.encoder.initial_carry(1))


@pytest.mark.parametrize("border", [-1, 2])
def test_a_border_leaves_some_cells(border):
    with pytest.raises(ValueError, match=f"border={border}: a board of 4 x 5 cells must keep some"):
        build(border)


@pytest.mark.parametrize("change", [lambda obs: obs[0], lambda obs: obs[:, :10], lambda obs: obs.float()])
def test_other_shapes_and_types_are_refused(change):
    with pytest.raises(ValueError, match=r"expected integers \[B, 20\]"):
        build(border=1).encode(change(observe((1, 1))))


def test_a_grid_has_as_many_places_as_the_board_has_cells():
    with pytest.raises(ValueError, match="4 x 4 places for 20 cells"):
        WalkerEncoder(TINY, TokenPart(20, 5, (4, 4)), walker=WALKER, seen_as={WALKER: FREE}, border=1)
