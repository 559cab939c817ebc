import copy
import math

import pytest
import torch
import torch.nn.functional as F

from hrm_agents.optim import EMA, AdamATan2, SignSGD, lr_at


def test_adam_atan2_by_hand():
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = AdamATan2([p], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    value, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for t, gradient in enumerate([[0.3, -4.0], [-0.1, 0.0], [2.0, 1e-6]], start=1):
        p.grad = torch.tensor(gradient)
        optimizer.step()
        for i, g in enumerate(gradient):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.95 * v[i] + 0.05 * g * g
            angle = math.atan2(m[i], math.sqrt(v[i]) / math.sqrt(1 - 0.95**t))
            value[i] = value[i] * (1 - 0.1 * 0.5) - 0.1 / (1 - 0.9**t) * angle
        torch.testing.assert_close(p.detach(), torch.tensor(value))


def test_adam_atan2_does_not_see_the_scale_of_the_gradient():
    steps = []
    for scale in (1e-6, 1.0, 1e6):
        p = torch.nn.Parameter(torch.zeros(3))
        optimizer = AdamATan2([p], lr=1.0, weight_decay=0.0)
        p.grad = scale * torch.tensor([1.0, -2.0, 0.0])
        optimizer.step()
        steps.append(p.detach())
    torch.testing.assert_close(steps[0], steps[1])
    torch.testing.assert_close(steps[1], steps[2])
    assert steps[0][2] == 0.0  # no gradient yet: atan2(0, 0) is 0, not NaN


def test_adam_atan2_resumes():
    torch.manual_seed(0)
    gradients = torch.randn(6, 4)

    def run(optimizer, p, rows):
        for row in rows:
            p.grad = row.clone()
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(4))
    optimizer = AdamATan2([whole], lr=0.01)
    run(optimizer, whole, gradients[:3])
    resumed = torch.nn.Parameter(whole.detach().clone())
    other = AdamATan2([resumed], lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, whole, gradients[3:])
    run(other, resumed, gradients[3:])
    assert torch.equal(whole, resumed)


def test_parameters_without_gradient_stay():
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = AdamATan2([used, unused], lr=0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))


def test_sign_sgd_sums_duplicates_and_decays_visited_rows_only():
    table = torch.nn.Parameter(torch.full((4, 2), 10.0))
    optimizer = SignSGD([table], lr=0.5, weight_decay=0.1)
    rows = F.embedding(torch.tensor([2, 0, 2]), table, sparse=True)
    # Row 2 gets +1 and -3 in its first column: the sign of the sum, not the sum of signs.
    (rows * torch.tensor([[1.0, 1.0], [0.0, -1.0], [-3.0, 1.0]])).sum().backward()
    optimizer.step()
    expected = torch.tensor([[9.5, 10.0], [10.0, 10.0], [10.0, 9.0], [10.0, 10.0]])
    torch.testing.assert_close(table.detach(), expected)


def test_sign_sgd_refuses_dense_gradients():
    table = torch.nn.Parameter(torch.ones(2, 2))
    table.grad = torch.ones(2, 2)
    with pytest.raises(TypeError, match="sparse"):
        SignSGD([table], lr=0.1).step()


@pytest.mark.parametrize("optimizer", [AdamATan2, SignSGD])
def test_negative_rates_are_rejected(optimizer):
    with pytest.raises(ValueError, match="negative"):
        optimizer([torch.nn.Parameter(torch.ones(1))], lr=-1.0)


def test_lr_at():
    assert [lr_at(s, base=2.0, warmup=4) for s in (0, 1, 3, 4, 1000)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    cosine = [lr_at(s, base=2.0, warmup=4, total=14, schedule="cosine", min_ratio=0.1) for s in (3, 4, 9, 14, 99)]
    assert cosine == pytest.approx([2.0, 2.0, 1.1, 0.2, 0.2])
    assert lr_at(0, base=1.0) == 1.0


def test_ema_by_hand():
    p = torch.nn.Parameter(torch.tensor([0.0]))
    ema = EMA({"p": p}, decay=0.15)
    average = 0.0
    for t, value in enumerate([1.0, 2.0, 3.0]):
        p.data.fill_(value)
        ema.update()
        decay = min(0.15, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * value
    with ema.swap():
        assert p.item() == pytest.approx(average)
    assert p.item() == 3.0


def test_ema_swaps_back_after_an_error():
    p = torch.nn.Parameter(torch.zeros(1))
    ema = EMA({"p": p})
    p.data.fill_(5.0)
    with pytest.raises(RuntimeError, match="boom"), ema.swap():
        raise RuntimeError("boom")
    assert p.item() == 5.0


def test_ema_resumes():
    p = torch.nn.Parameter(torch.zeros(2))
    ema, other = EMA({"p": p}), EMA({"p": p})
    p.data.fill_(1.0)
    ema.update()
    other.load_state_dict(copy.deepcopy(ema.state_dict()))
    for average in (ema, other):
        average.update()
    assert torch.equal(ema.state_dict()["average"]["p"], other.state_dict()["average"]["p"])
    with pytest.raises(KeyError, match="names"):
        EMA({"q": p}).load_state_dict(ema.state_dict())
