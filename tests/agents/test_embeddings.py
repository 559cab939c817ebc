"""The task embedding at the size of ARC: a million rows, of which an update touches a few."""

import math

import pytest
import shift_task
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hrm_agents.models.embeddings import TaskEmbedding
from hrm_agents.optim import SignSGD, sparse_grad_norm
from hrm_agents.records.checkpoint import MODEL, load, read_tensors
from hrm_agents.trainer import Trainer, TrainingDiverged

ROWS, NDIM = 1_000_000, 64


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that an operation makes, forward or backward."""

    def __init__(self, known):
        super().__init__()
        self.known, self.numbers = {tensor.data_ptr() for tensor in known}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                values = tensor._values() if tensor.is_sparse else tensor
                if values.data_ptr() not in self.known:
                    self.numbers = max(self.numbers, values.numel())
        return made


@pytest.fixture(scope="module")
def table():
    return TaskEmbedding(ROWS, NDIM, NDIM, 1)


def test_a_step_makes_nothing_of_the_size_of_the_table(table):
    optimizer = SignSGD(table.parameters(), lr=0.5, weight_decay=0.0)
    torch.manual_seed(0)
    task_id = torch.randint(1, ROWS, (768,))
    task_id[5] = task_id[6]
    before = table.weight.detach().clone()
    weight = torch.randn(768, 1, NDIM)
    with LargestTensor([table.weight]) as largest:
        (table(task_id) * weight).sum().backward()
        sparse_grad_norm(table.parameters())
        optimizer.step()
    assert table.weight.grad.is_sparse
    assert 768 * NDIM <= largest.numbers <= 2 * 768 * NDIM, "a dense gradient would have 64 million numbers"
    assert not optimizer.state
    visited = torch.zeros(ROWS, dtype=torch.bool)
    visited[task_id] = True
    assert torch.equal(table.weight[~visited], before[~visited])
    total = torch.zeros(ROWS, NDIM).index_add_(0, task_id, weight[:, 0])
    assert torch.equal(table.weight[visited], before[visited] - 0.5 * total[visited].sign())


def test_the_watch_would_see_a_dense_gradient():
    weight = torch.zeros(1000, 2, requires_grad=True)
    with LargestTensor([weight]) as largest:
        torch.nn.functional.embedding(torch.tensor([3]), weight).sum().backward()
    assert largest.numbers == 2000


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.integers(-3, 3), min_size=2, max_size=2)), min_size=1, max_size=12
    ),
    st.floats(0.0, 0.9),
)
def test_rows_move_as_by_hand_for_any_batch(batch, decay):
    embedding = TaskEmbedding(5, 2, 2, 1)
    torch.nn.init.normal_(embedding.weight)
    before = embedding.weight.detach().clone()
    optimizer = SignSGD(embedding.parameters(), lr=0.25, weight_decay=decay)
    task_id, gradient = torch.tensor([id for id, _ in batch]), torch.tensor([row for _, row in batch]).float()
    (embedding(task_id)[:, 0] * gradient).sum().backward()
    total = [[sum(row[k] for id, row in batch if id == r) for k in range(2)] for r in range(5)]
    norm = math.sqrt(sum(x * x for row in total for x in row))
    assert sparse_grad_norm(embedding.parameters()).item() == pytest.approx(norm, abs=1e-6)
    optimizer.step()
    for row in range(5):
        if row not in task_id:
            assert torch.equal(embedding.weight[row], before[row])
        else:
            step = torch.tensor(total[row]).sign()
            torch.testing.assert_close(embedding.weight[row], before[row] * (1 - 0.25 * decay) - 0.25 * step)


def test_the_norm_without_gradients_is_zero():
    assert sparse_grad_norm([torch.nn.Parameter(torch.ones(2, 2))]).item() == 0.0


# In training


@pytest.fixture
def make(tiny_config, tmp_path):
    def make(copies=50, **settings):
        config = tiny_config(shift_task.ID, {"copies": copies}, **settings)
        trainer = Trainer(config, tmp_path / "run")
        # Neither the answer nor Q reads the prefix of an untrained net much.
        torch.nn.init.normal_(trainer.model.q_head.weight)
        return trainer

    return make


def the_table(trainer):
    (table,) = trainer.model.sparse_parameters().values()
    return table


def test_an_update_changes_the_visited_rows_only(make, monkeypatch):
    trainer = make(copies=ROWS // 2, model={"puzzle_emb_ndim": NDIM}, optim={"embedding_lr": 0.5, "warmup": 0})
    table = the_table(trainer)
    assert table.shape == (ROWS + 1, NDIM)
    batch = trainer.rollout.step()
    monkeypatch.setattr(trainer.rollout, "step", lambda: batch)
    with LargestTensor([table]) as largest:
        metrics = trainer.update()
    assert largest.numbers < ROWS
    assert table.grad.is_sparse
    assert table.detach().any(dim=1).nonzero()[:, 0].tolist() == sorted(set(batch.task_id.tolist()))
    assert metrics["embedding_grad_norm"] > 0.0
    name = "embedding.task.weight"
    assert name not in trainer.algorithm.ema.state_dict()["average"]
    assert table not in trainer.algorithm.optimizers[0].state
    assert not trainer.algorithm.optimizers[1].state


def test_the_norm_of_the_network_is_as_before(make, monkeypatch):
    trainer = make()
    batch = trainer.rollout.step()
    parts = {name: loss.value for name, loss in trainer.algorithm.losses(batch).items()}
    loss = parts["answer_loss"] + 0.5 * (parts["q_halt_loss"] + parts["q_continue_loss"])
    dense = list(trainer.model.dense_parameters().values())
    *grads, sparse = torch.autograd.grad(loss, [*dense, the_table(trainer)], retain_graph=True)
    monkeypatch.setattr(trainer.rollout, "step", lambda: batch)
    metrics = trainer.update()
    squares = sum(float(grad.square().sum()) for grad in grads)
    assert metrics["grad_norm"] == pytest.approx(math.sqrt(squares), rel=1e-4)
    by_row = torch.zeros_like(the_table(trainer)).index_add_(0, sparse._indices()[0], sparse._values())
    assert metrics["embedding_grad_norm"] == pytest.approx(float(by_row.norm()), rel=1e-4)


def test_a_gradient_that_is_not_finite_stops_before_the_table_changes(make):
    trainer = make()
    table = the_table(trainer)
    table.register_hook(lambda grad: grad * math.inf)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with pytest.raises(TrainingDiverged, match=r"embedding_grad_norm is (inf|nan)"):
        trainer.update()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())


def test_a_task_without_identities_reports_no_such_norm(tiny_config, tmp_path):
    assert "embedding_grad_norm" not in Trainer(tiny_config(), tmp_path).update()


def test_the_table_is_saved_as_it_is_and_resumed_bit_for_bit(make):
    trainer = make(run={"updates": 8}, optim={"embedding_lr": 0.1})
    for _ in range(4):
        trainer.update()
    table = the_table(trainer).detach().clone()
    assert table.any()
    trainer.save()
    saved, _ = read_tensors(trainer.out / MODEL)
    assert torch.equal(saved["embedding.task.weight"], table), "not averaged"
    assert torch.equal(load(trainer.out).model.embedding.task.weight, table)
    resumed = Trainer.resume(trainer.out)
    assert torch.equal(the_table(resumed), table)
    for _ in range(4):
        assert trainer.update() == resumed.update()
    assert torch.equal(the_table(resumed), the_table(trainer))
    assert not torch.equal(the_table(resumed), table)
