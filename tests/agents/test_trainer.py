import dataclasses
import math
import shutil
import time

import numpy as np
import pytest
import torch

import hrm_agents.trainer as trainer_module
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import evaluate
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.learning.continue_value import Objective, SecondForward
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, read_tensors
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer, TrainingDiverged
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task


class MirrorTask(Task):
    """Write each row backwards. Three letters, no symmetries; the agent's package knows nothing of it."""

    default_num_puzzles = {"train": 500, "test": 100}  # noqa: RUF012

    def __init__(self, columns=3):
        self.spec = TaskSpec(f"Mirror 2x{columns}", (2, columns), (" ", "a", "b", "c"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 4, (num, *self.spec.grid_shape), np.uint8)
        return PuzzleBatch(puzzle.reshape(num, -1), puzzle[:, :, ::-1].reshape(num, -1))

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(1), right.mean(1, dtype=np.float32))


register_task("Test/Mirror-v0", MirrorTask, max_segments=3)
register_task("Test/PricedMirror-v0", MirrorTask, max_segments=3, kwargs={"num_puzzles": 64, "segment_cost": 0.125})


def double_pay(verdict):
    return 2.0 * verdict.success.astype(np.float32)


register_task("Test/DoublePay-v0", MirrorTask, max_segments=1, kwargs={"num_puzzles": 64, "reward": double_pay})


@pytest.fixture
def make(tiny_config, tmp_path):
    """Makes a trainer whose Q-head is no longer constant, so that losses differ from row to row."""

    def make(env="HRM/Sudoku-4x4-v0", kwargs=None, **settings):
        trainer = Trainer(tiny_config(env, kwargs, **settings), tmp_path / "run")
        torch.nn.init.normal_(trainer.model.q_head.weight, std=0.2)
        return trainer

    return make


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def cross_entropy(q, target):
    return -(target * np.log(logistic(q)) + (1 - target) * np.log(1 - logistic(q)))


def losses_by_hand(trainer, batch):
    """The paper's losses in numpy and float64, for Q-values as probabilities."""
    logits, q_halt, q_continue = (part.detach().double().numpy() for part in batch.decision.output[:3])
    score = np.where(logits >= 0, logits + 1, 1 / (1 - np.minimum(logits, 0)))
    share = score / score.sum(-1, keepdims=True)
    right = np.take_along_axis(share, batch.solution.numpy()[..., None].astype(int), -1)
    with torch.no_grad():
        _, following = trainer.model(batch.decision.carry, batch.puzzle, batch.task_id)
    next_halt, next_continue = following.q_halt.double().numpy(), following.q_continue.double().numpy()
    last = batch.segment.numpy() + 1 >= trainer.env.max_segments
    target = logistic(np.where(last, next_halt, np.maximum(next_halt, next_continue)))
    return {
        "answer_loss": -np.log(right).mean(),
        "q_halt_loss": cross_entropy(q_halt, batch.halt_reward.numpy()).mean(),
        "q_continue_loss": cross_entropy(q_continue, target).mean(),
    }


def test_an_update_minimises_the_composed_loss(make, monkeypatch):
    trainer = make(halting={"q_weight": 0.7})
    for _ in range(4):
        batch = trainer.rollout.step()
    assert len(set(batch.segment.tolist())) > 1, "rows must be at different segments"
    expected = losses_by_hand(trainer, batch)
    total = expected["answer_loss"] + 0.7 * (expected["q_halt_loss"] + expected["q_continue_loss"])

    # The gradient of the same sum, worked out apart from the trainer's own step.
    parts = {name: loss.value for name, loss in trainer.algorithm.losses(batch).items()}
    loss = parts["answer_loss"] + 0.7 * (parts["q_halt_loss"] + parts["q_continue_loss"])
    parameters = list(trainer.model.dense_parameters().values())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)

    monkeypatch.setattr(trainer.rollout, "step", lambda: batch)
    metrics = trainer.update()
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert metrics["loss"] == pytest.approx(total, rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in gradients)), rel=1e-4)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize(("cost", "gamma"), [(0.0, 1.0), (0.125, 1.0), (0.0, 0.5)])
def test_continue_targets_look_one_segment_ahead(make, monkeypatch, cost, gamma):
    kwargs = {"num_puzzles": 32, "max_segments": 3, "segment_cost": cost}
    trainer = make(kwargs=kwargs, halting={"gamma": gamma})
    batch = trainer.rollout.step()
    halt, go_on = torch.tensor([0.1, 0.6, 0.3, -0.2]), torch.tensor([0.4, 0.2, 0.9, 0.8])
    batch = dataclasses.replace(batch, segment=torch.tensor([1, 1, 2, 2]))
    seen = []

    def following(carry, puzzle, task_id):
        seen.append((carry, puzzle))
        return carry, batch.decision.output

    plain = bool(cost)
    objective = Objective(PLAIN if plain else LOGIT, 3, cost, gamma)
    target = SecondForward(following, lambda state: (halt, go_on), objective).targets(batch)
    assert trainer.algorithm.halting.continue_value.objective == objective
    assert seen[0][0] is batch.decision.carry
    assert seen[0][1] is batch.puzzle
    # Segment 3 is the last: after segment 2 only halting is left.
    best = torch.tensor([0.4, 0.6, 0.3, -0.2])
    torch.testing.assert_close(target, gamma * (best if plain else best.sigmoid()) - cost)
    assert not target.requires_grad


def test_a_price_built_into_the_id_counts(make):
    trainer = make("Test/PricedMirror-v0", {})
    assert trainer.config.q_scale() == PLAIN
    batch = trainer.rollout.step()
    first = batch.segment == 1
    with torch.no_grad():
        _, following = trainer.model(batch.decision.carry, batch.puzzle, batch.task_id)
    expected = torch.maximum(following.q_halt, following.q_continue) - 0.125
    torch.testing.assert_close(trainer.algorithm.halting.continue_value.targets(batch)[first], expected[first])


def test_rewards_that_are_no_probabilities_are_refused_with_advice(tiny_config, tmp_path):
    with pytest.raises(UserError, match="q-loss mse"):
        Trainer(tiny_config("Test/DoublePay-v0", {}, run={"updates": 200, "batch_size": 64}), tmp_path).run()
    settings = {"run": {"updates": 5}, "halting": {"q_loss": "mse"}}
    Trainer(tiny_config("Test/DoublePay-v0", {}, **settings), tmp_path).run()


def test_a_loss_that_is_not_finite_stops_before_anything_changes(make):
    trainer = make()
    trainer.update()
    trainer.save()
    files = {name: (trainer.out / name).read_bytes() for name in (MODEL, CONFIG, STATE)}
    with torch.no_grad():
        trainer.model.answer_head.weight[0, 0] = math.nan
    weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    average = {name: tensor.clone() for name, tensor in trainer.algorithm.ema.state_dict()["average"].items()}
    with pytest.raises(TrainingDiverged, match=r"update 2: answer_loss is nan.*resume it with a lower --optim\.lr"):
        trainer.run()
    assert trainer.updates_done == 1
    for name, tensor in trainer.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0, equal_nan=True)
    for name, tensor in trainer.algorithm.ema.state_dict()["average"].items():
        torch.testing.assert_close(tensor, average[name], rtol=0, atol=0)
    assert {name: (trainer.out / name).read_bytes() for name in files} == files


def test_divergence_without_a_checkpoint_promises_none(make):
    trainer = make()
    with torch.no_grad():
        trainer.model.answer_head.weight[0, 0] = math.inf
    with pytest.raises(TrainingDiverged, match="start again with a lower"):
        trainer.update()


def test_learning_rate_follows_the_schedule(make):
    optim = {"lr": 1e-3, "warmup": 4, "schedule": "cosine", "min_lr_ratio": 0.1}
    trainer = make(optim=optim, run={"updates": 8})
    rates = []
    for _ in range(8):
        trainer.update()
        rates.append(trainer.algorithm.optimizers[0].param_groups[0]["lr"])
    falling = [1e-3 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * k / 4))) for k in range(4)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, *falling])


def test_gradient_clipping_bounds_the_norm(make):
    trainer = make(optim={"max_grad_norm": 1e-3})
    before = trainer.update()["grad_norm"]
    grads = [p.grad for p in trainer.model.dense_parameters().values()]
    assert before > 1e-2
    assert float(torch.nn.utils.get_total_norm(grads)) == pytest.approx(1e-3, rel=1e-4)


def test_averaged_weights_are_evaluated_and_saved(make, monkeypatch):
    trainer = make(optim={"lr": 1e-2})
    for _ in range(5):
        trainer.update()
    own = {name: p.detach().clone() for name, p in trainer.model.dense_parameters().items()}
    average = {name: tensor.clone() for name, tensor in trainer.algorithm.ema.state_dict()["average"].items()}
    assert any((own[name] - average[name]).abs().max() > 1e-3 for name in own)
    evaluated = {}

    def spy(policy, *args, **kwargs):
        evaluated.update({name: p.detach().clone() for name, p in policy.model.dense_parameters().items()})
        return evaluate(policy, *args, **kwargs)

    monkeypatch.setattr(trainer_module, "evaluate", spy)
    report = trainer.evaluate(10)
    assert report.num_puzzles == 10
    assert report.split == "test"
    trainer.save(report)
    saved, _ = read_tensors(trainer.out / MODEL)
    for name, tensor in average.items():
        torch.testing.assert_close(evaluated[name], tensor, rtol=0, atol=0)
        torch.testing.assert_close(saved[name], tensor, rtol=0, atol=0)
        torch.testing.assert_close(trainer.model.dense_parameters()[name].detach(), own[name], rtol=0, atol=0)


def test_a_split_with_few_puzzles_does_not_end_the_run(tiny_config, tmp_path):
    """5x5 mazes have 16 unseen puzzles, fewer than an evaluation asks for."""
    config = tiny_config("HRM/Maze-5x5-v0", {"max_segments": 2}, run={"updates": 2, "eval_every": 1})
    assert Trainer(config, tmp_path).run().num_puzzles < config.run.eval_puzzles


def test_settings_that_cannot_work_are_user_errors(tiny_config, tmp_path):
    with pytest.raises(UserError, match="num_heads 3 must divide hidden_size 16"):
        Trainer(tiny_config(model={"num_heads": 3}), tmp_path)
    with pytest.raises(UserError, match="colour"):
        Trainer(tiny_config(kwargs={"colour": "red"}), tmp_path)
    with pytest.raises(UserError, match="device 'abacus'"):
        Trainer(tiny_config(run={"device": "abacus"}), tmp_path)


LEARNER = {
    "model": {"hidden_size": 32, "num_heads": 4, "expansion": 4.0},
    # The rate falls: at a constant one, nets this small forget again, on some processors before the end.
    "optim": {"lr": 3e-3, "warmup": 20, "ema_decay": 0.95, "weight_decay": 0.0, "schedule": "cosine"},
}


def test_memorises_eight_puzzles_and_learns_to_halt(tiny_config, tmp_path):
    """From scratch, in seconds; a wrong sign in the answer loss or in either Q loss fails it."""
    kwargs = {"num_puzzles": 8, "augment": False, "max_segments": 4}
    config = tiny_config(kwargs=kwargs, run={"updates": 200, "batch_size": 16}, **LEARNER)
    trainer = Trainer(config, tmp_path)
    known = {**kwargs, "split": "train"}
    before = evaluate(trainer.rollout.policy, config.env.id, known)
    start = time.process_time()
    for _ in range(config.run.updates):
        trainer.update()
    assert time.process_time() - start < 60, "seconds; a minute is for a slow machine"
    with trainer.algorithm.ema.swap():
        after = evaluate(trainer.rollout.policy, config.env.id, known)
    assert (before.success_rate, before.mean_segments) == (0.0, 4.0)
    assert after.success_rate == 1.0
    assert after.mean_segments < 1.5, "it halts as soon as it knows"
    assert after.forced_rate == 0.0


def test_a_task_of_the_users_own_trains(tiny_config, tmp_path):
    config = tiny_config("Test/Mirror-v0", {}, run={"updates": 200, "batch_size": 16}, **LEARNER)
    report = Trainer(config, tmp_path).run()
    assert report.num_puzzles == 100
    assert report.success_rate > 0.9, "unseen puzzles: it has learned the rule"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_learns_the_same(tiny_config, tmp_path):
    """With the real compiler, whose backward pass wants a gradient for every output that has one."""
    smallest = {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1, "position": "learned"}
    losses = []
    for number, compiled in enumerate((False, True)):
        trainer = Trainer(tiny_config(model=smallest, run={"compile": compiled}), tmp_path / str(number), Logger())
        losses.append([trainer.update()["loss"] for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
