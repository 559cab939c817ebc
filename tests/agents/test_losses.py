import math

import pytest
import torch

from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.losses import answer_cross_entropy, log_stablemax, stablemax_cross_entropy


def stablemax_float64(logits):
    """The definition, in float64 and with a branch-free gradient nowhere near its poles."""
    x = logits.double()
    s = torch.where(x >= 0, x.clamp(min=0) + 1, 1 / (1 - x.clamp(max=0)))
    return torch.log(s / s.sum(-1, keepdim=True))


def test_stablemax_by_hand():
    # s = 2, 1, 1/2: probabilities 4/7, 2/7, 1/7.
    probabilities = log_stablemax(torch.tensor([1.0, 0.0, -1.0])).exp()
    torch.testing.assert_close(probabilities, torch.tensor([4 / 7, 2 / 7, 1 / 7]))


def test_stablemax_gradient_at_the_poles_by_hand():
    # d/dx log s(x) is 1/(1+x) above 0 and 1/(1-x) below; at x = 1 the other formula divides by zero.
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    log_stablemax(x)[0].backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.5 - 1 / 2.5, -0.25 / 2.5]))


def test_stablemax_gradient_at_zero_by_hand():
    # Both branches meet at 0 with slope 1: s = 1, 2.
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    log_stablemax(x)[0].backward()
    torch.testing.assert_close(x.grad, torch.tensor([1 - 1 / 3, -1 / 3]))


def test_stablemax_gradient_agrees_with_float64():
    torch.manual_seed(0)
    x = torch.randn(4, 9, 7) * 20
    x[0, 0] = torch.tensor([1.0, -1.0, 0.5, -0.5, 1e6, -1e6, 2.0])
    single, double = x.clone().requires_grad_(), x.double().requires_grad_()
    weight = torch.randn(4, 9, 7)
    (log_stablemax(single) * weight).sum().backward()
    (stablemax_float64(double) * weight).sum().backward()
    torch.testing.assert_close(log_stablemax(x), stablemax_float64(x).float())
    torch.testing.assert_close(single.grad, double.grad.float(), rtol=1e-5, atol=1e-6)


def test_stablemax_survives_huge_logits():
    x = torch.tensor([1e30, -1e30, 0.0], requires_grad=True)
    log_stablemax(x).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_mean_over_labelled_cells(dtype):
    logits = torch.zeros(2, 3, 4)
    logits[0, 0, 2] = 1.0  # s = 1, 1, 2, 1
    labels = torch.tensor([[2, 0, 1], [0, 0, 0]], dtype=dtype)
    by_hand = torch.tensor([(math.log(5 / 2) + math.log(4)) / 2, 0.0])
    torch.testing.assert_close(stablemax_cross_entropy(logits, labels), by_hand)
    by_hand = torch.tensor([(math.log(3 + math.e) - 1 + math.log(4)) / 2, 0.0])
    torch.testing.assert_close(answer_cross_entropy(logits.log_softmax(-1), labels), by_hand)


def test_ignored_label_may_be_outside_the_vocabulary():
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = stablemax_cross_entropy(logits, torch.tensor([[-100, 0]]), ignore=-100)
    loss.sum().backward()
    torch.testing.assert_close(loss, -log_stablemax(logits[:, 1])[:, 0])
    assert (logits.grad[0, 0] == 0).all()


def test_q_loss_by_hand():
    q = torch.tensor([0.0, 2.0], requires_grad=True)
    target = torch.tensor([1.0, 0.25], requires_grad=True)
    bce = LOGIT.loss(q, target)
    p = 1 / (1 + math.exp(-2.0))
    by_hand = [math.log(2), -0.25 * math.log(p) - 0.75 * math.log(1 - p)]
    torch.testing.assert_close(bce, torch.tensor(by_hand))
    torch.testing.assert_close(PLAIN.loss(q, target), torch.tensor([0.5, 0.5 * 1.75**2]))
    bce.sum().backward()
    assert target.grad is None
    torch.testing.assert_close(q.grad, torch.tensor([0.5 - 1.0, p - 0.25]))
