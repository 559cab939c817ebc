"""A user's own model, optimisers and logger train, save, load and resume, and no file of the package knows them."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.models import SegmentModel, SegmentOutput, Sizes
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer


@dataclass(frozen=True)
class ConvSettings:
    width: int = 8


class Picture(NamedTuple):
    """One state, of another shape than HRM's two."""

    pixels: Tensor


class ConvNet(SegmentModel):
    """A convolution over the grid, again in each segment."""

    def __init__(self, settings, sizes):
        super().__init__()
        self.settings, self.sizes = settings, sizes
        width = settings.width
        self.embed = nn.Embedding(sizes.vocab_size, width)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.read = nn.Linear(width, sizes.vocab_size)
        self.q_head = nn.Linear(width, 2)

    def initial_carry(self, batch_size):
        return Picture(self.q_head.weight.new_zeros(batch_size, self.settings.width, *self.sizes.grid_shape))

    def forward(self, carry, puzzle, task_id=None):
        seen = self.embed(puzzle.long()).transpose(1, 2).unflatten(2, self.sizes.grid_shape)
        pixels = torch.tanh(self.mix(carry.pixels + seen))
        cells = pixels.flatten(2).transpose(1, 2)
        q_input = cells.mean(1)
        q_halt, q_continue = self.q_head(q_input).unbind(-1)
        return Picture(pixels.detach()), SegmentOutput(self.read(cells), q_halt, q_continue, q_input)


SIZES = Sizes(vocab_size=6, grid_shape=(4, 4))


def conv_net():
    torch.manual_seed(1)
    return ConvNet(ConvSettings(), SIZES)


def adamw(model):
    return [torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)]


def muon(model):
    """Muon for matrices inside the network, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith(("H.", "L."))]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [torch.optim.Muon(matrices, lr=1e-2), torch.optim.AdamW(others, lr=1e-3)]


class Counter(Logger):
    def __init__(self):
        self.losses, self.reports, self.closed = [], [], False

    def segment(self, batch, metrics, step):
        self.losses.append((step, metrics["loss"]))

    def evaluation(self, report, step):
        self.reports.append((step, report.num_puzzles))

    def close(self):
        self.closed = True


OWN = {
    "model": lambda: {"model": conv_net()},
    "adamw": lambda: {"optimizers": adamw},
    "muon": lambda: {"optimizers": muon},
    "both": lambda: {"model": conv_net(), "optimizers": adamw},
}


@pytest.fixture(params=OWN)
def parts(request):
    """Makes the keywords of a trainer with parts of one's own, new at each call."""
    if request.param == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    return OWN[request.param]


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.algorithm.averaged_weights().items()}


@pytest.mark.parametrize("target", ["second-forward", "one-pass", "returns"])
def test_a_run_with_own_parts_resumes_bit_for_bit(tiny_config, tmp_path, parts, target):
    config = tiny_config(run={"updates": 8, "save_every": 5}, halting={"target": target})
    whole = Trainer(config, tmp_path / "whole", **parts())
    report = whole.run()

    broken = Trainer(config, tmp_path / "broken", **parts())
    for _ in range(5):
        broken.update()
    broken.save()
    resumed = Trainer.resume(tmp_path / "broken", **parts())
    assert resumed.run() == report
    assert {name for name, tensor in weights(resumed).items() if not torch.equal(tensor, weights(whole)[name])} == set()


def test_own_parts_are_asked_for_by_name(tiny_config, tmp_path, parts):
    Trainer(tiny_config(), tmp_path, **parts()).run()
    for name in parts():
        others = {other: value for other, value in parts().items() if other != name}
        with pytest.raises(UserError, match=rf"its own {name} \(.*pass it in Python, as {name}="):
            Trainer.resume(tmp_path, **others)


def test_an_own_model_is_loaded_evaluated_and_solves(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(), tmp_path, model=conv_net())
    report = trainer.run()
    with pytest.raises(UserError, match="its own model"):
        hrm_agents.load(tmp_path)
    solver = hrm_agents.load(tmp_path, model=ConvNet(ConvSettings(), SIZES))
    assert solver.evaluate() == report
    assert len(solver.solve("1.3. .... .... .2.4").answer) == 16
    for name, tensor in solver.model.state_dict().items():
        assert torch.equal(tensor, weights(trainer)[name])


def test_weights_of_another_shape_are_refused(tiny_config, tmp_path):
    Trainer(tiny_config(), tmp_path, model=conv_net()).run()
    wider = ConvNet(ConvSettings(width=16), SIZES)
    with pytest.raises(UserError, match=r"weight .* has shape"):
        hrm_agents.load(tmp_path, model=wider)
    with pytest.raises(UserError, match="does not fit its settings"):
        Trainer.resume(tmp_path, model=wider)


def test_rates_of_own_optimisers_follow_the_schedule(tiny_config, tmp_path):
    config = tiny_config(run={"updates": 10}, optim={"warmup": 4, "schedule": "constant"})
    trainer = Trainer(config, tmp_path, optimizers=adamw)
    rates = []
    for _ in range(5):
        trainer.update()
        rates.append(trainer.algorithm.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3])


def test_moments_of_an_own_optimiser_that_are_not_finite_are_not_saved(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(), tmp_path, optimizers=adamw)
    trainer.update()
    next(iter(trainer.algorithm.optimizers[0].state.values()))["exp_avg"].fill_(torch.inf)
    with pytest.raises(UserError, match="non-finite number; nothing was saved"):
        trainer.save()


def test_another_optimiser_does_not_take_the_state(tiny_config, tmp_path):
    Trainer(tiny_config(), tmp_path, optimizers=adamw).run()
    with pytest.raises(UserError, match="training state is damaged"):
        Trainer.resume(tmp_path, optimizers=lambda model: [torch.optim.SGD(model.parameters(), lr=0.1)] * 2)


def test_an_own_logger_hears_everything(tiny_config, tmp_path):
    logger = Counter()
    Trainer(tiny_config(run={"updates": 4, "eval_every": 2, "eval_puzzles": 6}), tmp_path, logger).run()
    assert [step for step, _ in logger.losses] == [1, 2, 3, 4]
    assert logger.reports == [(2, 6), (4, 1000)]
    assert logger.closed
    assert not (tmp_path / "tensorboard").exists()
    resumed = Counter()
    config = tiny_config(run={"updates": 6, "eval_every": 2, "eval_puzzles": 6})
    Trainer.resume(tmp_path, config, resumed).run()
    assert [step for step, _ in resumed.losses] == [5, 6]
