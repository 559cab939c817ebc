"""How often an update of training waits for the device; counted on a simulated one."""

import numpy as np
import pytest
import torch
from simulated_device import DEVICE, SimulatedDevice

from hrm_agents import trainer as trainer_module
from hrm_agents.trainer import Trainer
from hrm_agents.transfer import to_device, to_host

RULES = {
    "q, second forward": {},
    "q, one pass": {"halting": {"target": "one-pass", "target_decay": 0.9}},
    "q, returns": {"halting": {"target": "returns"}},
    "gain": {"halting": {"rule": "gain"}},
    "probability": {"halting": {"rule": "probability"}},
    "fixed, clipped": {"halting": {"rule": "fixed", "fixed_segments": 2}, "optim": {"max_grad_norm": 0.1}},
    "convergence, recomputed": {"halting": {"rule": "convergence"}, "run": {"recompute": True}},
    "policy": {"halting": {"rule": "policy"}},
    "tries": {"answer": {"reward_weight": 1.0, "earns": "reward", "baseline": "value", "credit": "halt"}},
    "micro-batches": {"run": {"micro_batch": 2}},
}


@pytest.fixture
def device():
    with SimulatedDevice() as device:
        yield device


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: bool((x > 0).any()),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.unique(),
        lambda x: torch.equal(x, x),
        lambda x: x.copy_(torch.zeros(3)),
        lambda x: torch.zeros(3).copy_(x),
        lambda x: torch.zeros(3).to(x.device),
        lambda x: to_host(x, x > 0),
    ],
)
def test_what_waits_is_counted(device, read):
    x = torch.zeros(3, device=DEVICE) + torch.arange(3, device=DEVICE)
    assert device.waits == []
    read(x)
    assert len(device.waits) == 1


def test_what_does_not_wait_is_not_counted(device):
    x = to_device(np.arange(3.0, dtype=np.float32), DEVICE).requires_grad_()
    chosen = x[to_device(np.array([2, 0]), DEVICE)]
    loss = torch.where(chosen > 1, chosen.double().float(), 0.0).sum()
    loss.backward()
    assert device.waits == []
    assert x.grad.cpu().tolist() == [0.0, 0.0, 1.0]


def test_tensors_of_host_and_device_do_not_mix(device):
    with pytest.raises(AssertionError, match="two devices"):
        torch.zeros(3, device=DEVICE) + torch.zeros(3)
    with pytest.raises(AssertionError, match="without numbers"):
        torch.zeros(3, device=DEVICE) + torch.tensor([1.0], device=DEVICE)
    with pytest.raises(RuntimeError, match="tolist"):
        torch.zeros(3, device=DEVICE).tolist()


@pytest.fixture
def make(tiny_config, tmp_path, monkeypatch):
    """Makes a trainer on the simulated device."""
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    monkeypatch.setattr(trainer_module, "resolve_device", lambda name: DEVICE if name == "cuda" else name)

    def make(device="cuda", **settings):
        settings = {**settings, "run": {"batch_size": 5, "log_every": 1, "device": device, **settings.get("run", {})}}
        return Trainer(tiny_config(**settings), tmp_path / device)

    return make


@pytest.mark.parametrize("settings", RULES.values(), ids=RULES)
def test_an_update_waits_for_the_action_and_for_the_losses(device, make, settings):
    trainer, twin = make(**settings), make("cpu", **settings)
    for _ in range(3):
        device.waits.clear()
        metrics = trainer.update()
        assert len(device.waits) == 2
        assert metrics == pytest.approx(twin.update(), rel=1e-3, abs=1e-5)
    trainer.log.close()
    twin.log.close()


def test_a_read_in_the_update_is_noticed(device, make, monkeypatch):
    trainer = make()
    losses = trainer.algorithm.losses

    def reading(batch):
        found = losses(batch)
        assert found["answer_loss"].value.item() > 0.0
        return found

    monkeypatch.setattr(trainer.algorithm, "losses", reading)
    device.waits.clear()
    trainer.update()
    assert len(device.waits) == 3
    trainer.log.close()
