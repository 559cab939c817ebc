import dataclasses

import numpy as np
import pytest
import torch

from hrm_agents.config import AnswerConfig
from hrm_agents.environments import make_vector, of_unseen
from hrm_agents.errors import UserError
from hrm_agents.halting.exploration import Exploration
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.learning.answers import AnswerLearner
from hrm_agents.losses import (
    LOG_PROBABILITIES,
    advantages,
    answer_cross_entropy,
    answer_policy_gradient,
    stablemax_cross_entropy,
)
from hrm_agents.models.hrm import HRM, Architecture, HRMConfig
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import MODEL, read_tensors
from hrm_agents.rollout import Rollout, Tries
from hrm_agents.trainer import Trainer

ID = "HRM/Sudoku-4x4-v0"
RULES = {"num_puzzles": 32, "max_segments": 3, "score": "rules", "empty_cells": (1, 8)}
UNLABELLED = {**RULES, "num_labelled": 0}
REWARD_ALONE = {"supervised_weight": 0.0, "reward_weight": 1.0, "samples": 4}


def play(num_rows=4, num_tries=4, earns="score", seed=0, **kwargs):
    env = make_vector(ID, num_rows, {"split": "train", **RULES, **kwargs})
    torch.manual_seed(seed)
    architecture = Architecture(hidden_size=16, num_heads=2, H_layers=1, L_layers=1)
    policy = HRMPolicy(HRM(HRMConfig.for_task(architecture, env.task_spec)))
    exploration = Exploration("episode", 0.0, env.max_segments)
    return env, Rollout(env, policy, exploration, seed, num_tries=num_tries, earns=earns)


@pytest.mark.parametrize("earns", ["score", "reward"])
def test_tries_are_judged_on_the_puzzle_that_was_thought_about(earns):
    # Every segment is the last, so every step puts new puzzles in place of the old ones.
    env, rollout = play(earns=earns, max_segments=1, reward="partial" if earns == "reward" else "exact")
    task = env.task
    for _ in range(5):
        batch = rollout.step()
        puzzles = env.puzzles.take(np.zeros(4, np.int64))
        puzzles = dataclasses.replace(puzzles, puzzle=batch.puzzle.numpy(), solution=np.zeros((4, 16), np.uint8))
        for k in range(4):
            score = task.verify(puzzles, batch.tries.answer[:, k].numpy()).score
            np.testing.assert_array_equal(batch.tries.earned[:, k].numpy(), score)
    assert batch.tries.earned.unique().numel() > 1


def test_sampling_leaves_the_episodes_alone():
    with_tries, without = play()[1], play(num_tries=0)[1]
    for _ in range(6):
        tried, plain = with_tries.step(), without.step()
        assert plain.tries is None
        torch.testing.assert_close(tried.decision.output.logits, plain.decision.output.logits)
        assert torch.equal(tried.puzzle, plain.puzzle)


def batch_with(tries, terminated, solution=None):
    batch = play(num_rows=2, num_tries=0)[1].step()
    solution = torch.zeros(2, 16, dtype=torch.uint8) if solution is None else solution
    return dataclasses.replace(batch, tries=tries, terminated=np.array(terminated), solution=solution)


def tries_of_two_rows():
    generator = torch.Generator().manual_seed(1)
    answers = torch.randint(1, 6, (2, 3, 16), generator=generator, dtype=torch.uint8)
    return Tries(answers, torch.rand(2, 3, generator=generator))


def test_credit_of_segments_and_of_the_halt():
    batch = batch_with(tries_of_two_rows(), [False, True])
    terms = answer_policy_gradient(
        batch.decision.output.logits, batch.tries.answer, advantages(batch.tries.earned, None)
    )
    for credit, rows in (("segments", [0, 1]), ("halt", [1])):
        config = AnswerConfig(supervised_weight=0.0, reward_weight=2.0, credit=credit, entropy_weight=0.5)
        learner = AnswerLearner(config, LOG_PROBABILITIES["softmax"], LOGIT)
        losses = learner.losses(batch)
        assert set(losses) == {"answer_policy_loss", "answer_entropy_loss"}
        torch.testing.assert_close(losses["answer_policy_loss"], terms.policy[rows].mean())
        torch.testing.assert_close(losses["answer_entropy_loss"], -0.5 * terms.entropy[rows].mean())
        assert learner.weights["answer_policy_loss"] == learner.weights["answer_entropy_loss"] == 2.0


def test_without_a_halt_there_is_no_credit_and_no_nan():
    config = AnswerConfig(supervised_weight=0.0, reward_weight=1.0, credit="halt")
    losses = AnswerLearner(config, LOG_PROBABILITIES["softmax"], LOGIT).losses(
        batch_with(tries_of_two_rows(), [False, False])
    )
    assert losses["answer_policy_loss"].item() == 0.0


@pytest.mark.parametrize(("scale", "value"), [(LOGIT, torch.sigmoid), (PLAIN, lambda q: q)])
def test_the_learned_baseline_is_q_halt_in_units_of_reward(scale, value):
    batch = batch_with(tries_of_two_rows(), [True, True])
    config = AnswerConfig(supervised_weight=0.0, reward_weight=1.0, samples=3, earns="reward", baseline="value")
    found = AnswerLearner(config, LOG_PROBABILITIES["softmax"], scale).losses(batch)["answer_policy_loss"]
    better = advantages(batch.tries.earned, value(batch.decision.output.q_halt))
    expected = answer_policy_gradient(batch.decision.output.logits, batch.tries.answer, better).policy.mean()
    torch.testing.assert_close(found, expected)


def test_supervision_is_averaged_over_the_rows_with_a_solution():
    solution = torch.zeros(2, 16, dtype=torch.uint8)
    solution[1] = 3
    batch = batch_with(None, [False, False], solution)
    found = AnswerLearner(AnswerConfig(), LOG_PROBABILITIES["softmax"], LOGIT).losses(batch)
    expected = answer_cross_entropy(batch.decision.output.logits[1:].log_softmax(-1), solution[1:])[0]
    torch.testing.assert_close(found, {"answer_loss": expected})


def test_reward_alone_meets_no_solution(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(ID, UNLABELLED, answer=REWARD_ALONE), tmp_path)
    env = trainer.env
    assert not env.expose_solution
    assert not env.puzzles.solution.any()
    for _ in range(4):
        batch = trainer.rollout.step()
        assert not batch.solution.any()
        assert not env.get_state()["solution"].any()
        assert set(trainer.algorithm.losses(batch)) >= {"answer_policy_loss", "answer_entropy_loss"}
        assert "answer_loss" not in trainer.algorithm.losses(batch)
    unseen = make_vector(ID, 2, of_unseen(trainer.config.env.kwargs))
    assert unseen.num_puzzles > 32
    assert not unseen.puzzles.solution.any()


def test_reward_alone_learns(tiny_config, tmp_path):
    """Cells that break no rule become more from chance, in seconds and without a solution."""
    config = tiny_config(
        ID,
        {**UNLABELLED, "empty_cells": (1, 3), "num_puzzles": 256},
        answer={**REWARD_ALONE, "samples": 16, "entropy_weight": 0.01},
        optim={"lr": 3e-3, "warmup": 20},
        run={"updates": 120, "batch_size": 32, "eval_every": 0},
    )
    trainer = Trainer(config, tmp_path)
    before = np.mean([trainer.rollout.step().score.mean() for _ in range(3)])
    report = trainer.run()
    assert before < 0.4
    assert report.mean_score > 0.75


@pytest.mark.parametrize("baseline", ["group", "value"])
def test_a_stopped_run_ends_as_an_unbroken_one(tiny_config, tmp_path, baseline):
    answer = {**REWARD_ALONE, "baseline": baseline, "earns": "reward"}
    kwargs = {**UNLABELLED, "reward": "partial"}

    def config(updates):
        return tiny_config(ID, kwargs, answer=answer, run={"updates": updates}, optim={"schedule": "constant"})

    def train(trainer):
        while trainer.updates_done < trainer.config.run.updates:
            trainer.update()
        trainer.save()

    train(Trainer(config(8), tmp_path / "whole"))
    train(Trainer(config(5), tmp_path / "parts"))
    train(Trainer.resume(tmp_path / "parts", config(8)))
    whole, parts = (read_tensors(tmp_path / name / MODEL)[0] for name in ("whole", "parts"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_few_labels_and_many_rewards(tiny_config, tmp_path):
    answer = {**REWARD_ALONE, "supervised_weight": 1.0}
    trainer = Trainer(tiny_config(ID, {**RULES, "num_labelled": 8}, answer=answer, run={"batch_size": 32}), tmp_path)
    batch = trainer.rollout.step()
    labelled = batch.solution.bool().any(-1)
    assert 0 < labelled.sum() < 32
    losses = trainer.algorithm.losses(batch)
    assert {"answer_loss", "answer_policy_loss"} <= set(losses)
    one = stablemax_cross_entropy(batch.decision.output.logits, batch.solution)
    torch.testing.assert_close(losses["answer_loss"].value, one[labelled].mean())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"supervised_weight": 0.0}, "nothing teaches the answers"),
        ({"reward_weight": -1.0}, "answer.reward_weight must be at least 0"),
        ({"reward_weight": 1.0, "samples": 1}, "at least 2 with baseline 'group'"),
        ({"reward_weight": 1.0, "baseline": "value"}, "answer.earns='reward'"),
    ],
)
def test_settings_that_cannot_work(answer, message):
    with pytest.raises(UserError, match=message):
        AnswerConfig(**answer)


def test_supervision_without_solutions(tiny_config, tmp_path):
    with pytest.raises(UserError, match="supervised-weight 0"):
        Trainer(tiny_config(ID, UNLABELLED), tmp_path)
    with pytest.raises(UserError, match="rule 'policy' does not learn"):
        tiny_config(
            answer={**REWARD_ALONE, "baseline": "value", "earns": "reward"},
            halting={"rule": "policy"},
        )
