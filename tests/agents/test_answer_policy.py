import math

import numpy as np
import pytest
import torch

from hrm_agents.losses import advantages, answer_policy_gradient
from hrm_agents.rollout import sample_answers


def test_samples_by_hand():
    # Shares 1/2, 1/4, 1/4 of the tokens 0, 1, 2: the draws below 1/2, below 3/4 and above.
    logits = torch.tensor([0.5, 0.25, 0.25]).log().expand(1, 4, 3)
    draws = torch.tensor([[[0.0, 0.49, 0.5, 0.76], [0.99999994, 0.74, 0.0, 0.5]]])
    assert sample_answers(logits, draws).tolist() == [[[0, 0, 1, 2], [2, 1, 0, 1]]]


def test_samples_follow_the_softmax():
    logits = torch.tensor([[[1.0, -1.0, 0.0], [0.0, 3.0, 0.0]]])
    draws = torch.from_numpy(np.random.default_rng(0).random((1, 40_000, 2), np.float32))
    counts = torch.nn.functional.one_hot(sample_answers(logits, draws).long(), 3).float().mean(1)
    torch.testing.assert_close(counts, logits.softmax(-1), atol=0.01, rtol=0)


def test_a_group_is_compared_with_its_others_by_hand():
    earned = torch.tensor([[1.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.25, 0.25]])
    # Means of the other three: 1/3, 2/3, 1/2, 1/2. Sample deviation of the first group: sqrt((1/4 + 1/4) / 3).
    spread = math.sqrt(0.5 / 3) + 0.01
    expected = torch.tensor([[2 / 3 / spread, -2 / 3 / spread, 0.0, 0.0], [0.0] * 4])
    torch.testing.assert_close(advantages(earned), expected)


def test_a_baseline_is_compared_with_by_hand():
    better = advantages(torch.tensor([[1.0], [0.0]]), torch.tensor([0.25, 0.5]))
    spread = math.sqrt((0.75**2 + 0.5**2) / 2) + 0.01
    torch.testing.assert_close(better, torch.tensor([[0.75 / spread], [-0.5 / spread]]))


def test_a_lonely_answer_has_no_group():
    with pytest.raises(ValueError, match="at least 2"):
        advantages(torch.ones(3, 1))


def test_policy_gradient_by_hand():
    # One row, one cell, two tokens of chance 3/4 and 1/4; two answers with advantages 2 and -1.
    logits = torch.tensor([[[math.log(3.0), 0.0]]], requires_grad=True)
    answers = torch.tensor([[[0], [1]]], dtype=torch.uint8)
    terms = answer_policy_gradient(logits, answers, torch.tensor([[2.0, -1.0]]))
    torch.testing.assert_close(terms.policy, torch.tensor([-(2 * math.log(0.75) - math.log(0.25)) / 2]))
    torch.testing.assert_close(terms.entropy, torch.tensor([-0.75 * math.log(0.75) - 0.25 * math.log(0.25)]))
    terms.policy.sum().backward()
    # -(2 * (onehot_0 - p) - (onehot_1 - p)) / 2: the answer that did better becomes likelier.
    torch.testing.assert_close(logits.grad, torch.tensor([[[-(2 * 0.25 + 0.75) / 2, (2 * 0.25 + 0.75) / 2]]]))


def test_it_is_the_mean_over_answers_of_advantage_times_log_probability():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 4, generator=generator)
    answers = torch.randint(0, 4, (3, 6, 5), generator=generator, dtype=torch.uint8)
    advantage = torch.randn(3, 6, generator=generator)
    found = answer_policy_gradient(logits, answers, advantage).policy
    for row in range(3):
        log_probs = logits[row].log_softmax(-1)
        each = [
            advantage[row, k] * sum(log_probs[cell, int(answers[row, k, cell])] for cell in range(5)) / 5
            for k in range(6)
        ]
        torch.testing.assert_close(found[row], -torch.stack(each).mean())


def test_rewards_alone_find_the_best_answer():
    # A bandit: 2 ** 4 answers, of which the verifier likes cells equal to (1, 0, 1, 1).
    liked = torch.tensor([1, 0, 1, 1])
    logits = torch.zeros(1, 4, 2, requires_grad=True)
    rng = np.random.default_rng(0)
    for _ in range(100):
        answers = sample_answers(logits.detach(), torch.from_numpy(rng.random((1, 8, 4), np.float32)))
        earned = (answers == liked).float().mean(-1)
        (gradient,) = torch.autograd.grad(
            answer_policy_gradient(logits, answers, advantages(earned)).policy.sum(), logits
        )
        with torch.no_grad():
            logits -= 2.0 * gradient
    assert logits.argmax(-1).tolist() == [[1, 0, 1, 1]]
