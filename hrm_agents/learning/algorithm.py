"""What is learned from a batch of segments: weighted losses, optimisers and the average of the weights.

:meth:`Algorithm.update` is one optimiser step; how many there are, and where results go, is the trainer's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from hrm_agents.distributed import ALONE, Ranks
from hrm_agents.learning.answers import AnswerLearner
from hrm_agents.learning.halting import HaltingLearner
from hrm_agents.learning.health import Diverged, what_is_ruined
from hrm_agents.models.interface import SegmentModel
from hrm_agents.optim import EMA, AdamATan2, SignSGD, load_optimizer, optimizer_state, sparse_grad_norm
from hrm_agents.rollout import SegmentBatch
from hrm_agents.settings import OptimConfig
from hrm_agents.transfer import to_host

#: Makes the optimisers of a network. Their learning rates are peaks: the schedule scales each of them.
OptimizerFactory = Callable[[SegmentModel], Sequence[Optimizer]]


def default_optimizers(model: SegmentModel, config: OptimConfig) -> list[Optimizer]:
    """AdamATan2 for the network and, if it has embedding tables with sparse gradients, SignSGD for these."""
    optimizers: list[Optimizer] = [
        AdamATan2(
            model.dense_parameters().values(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
    ]
    if sparse := list(model.sparse_parameters().values()):
        optimizers.append(SignSGD(sparse, lr=config.embedding_lr, weight_decay=config.embedding_weight_decay))
    return optimizers


class WeightedLoss(NamedTuple):
    """One loss and what it counts."""

    weight: float
    value: Tensor
    """Averaged over the rows."""


class Algorithm:
    """Deep supervision and the halting loss on one batch of segments at a time.

    Args:
        model: the network.
        answers: the losses of the answer head.
        halting: the losses of the Q-head.
        q_weight: weight of the latter.
        optimizers: of all parameters.
        ema_decay: of the weight average.
        max_grad_norm: gradients of a larger norm are scaled down to this; None leaves them alone.
        ranks: the processes that learn together, each from rows of its own.
    """

    def __init__(
        self,
        model: SegmentModel,
        answers: AnswerLearner,
        halting: HaltingLearner,
        *,
        q_weight: float,
        optimizers: Sequence[Optimizer],
        ema_decay: float,
        max_grad_norm: float | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.answers, self.halting = model, answers, halting
        self.optimizers, self.ema = list(optimizers), EMA(model.dense_parameters(), ema_decay)
        #: Optimiser steps taken.
        self.updates = 0
        #: The loss of the first update and of the last one; None before.
        self.first_loss: float | None = None
        self.last_loss: float | None = None
        self._q_weight, self._max_grad_norm, self._ranks = q_weight, max_grad_norm, ranks
        self._peak_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def losses(self, batch: SegmentBatch) -> dict[str, WeightedLoss]:
        """The losses by name.

        Raises:
            UserError: a reward is outside what the Q-values can stand for.
        """
        weighted = {
            name: WeightedLoss(self.answers.weights[name], loss) for name, loss in self.answers.losses(batch).items()
        }
        for name, loss in self.halting.losses(batch).items():
            if name in weighted:
                raise ValueError(f"answers and halting both have a loss called {name!r}")
            weighted[name] = WeightedLoss(self._q_weight, loss)
        return weighted

    def update(self, batch: SegmentBatch, rate: float) -> dict[str, float]:
        """One optimiser step on a batch.

        Args:
            batch: with the gradients of this segment's forward pass.
            rate: share of the peak learning rates.

        Returns:
            The losses by name, ``loss``, ``grad_norm``, ``lr``, and ``embedding_grad_norm`` with task embeddings.

        Raises:
            Diverged: a loss or the gradient is not finite; the weights were not changed.
        """
        measured = self.backward(batch)
        # One copy for all: it waits for the device, and no weight may change before it is known that all are finite.
        (values,) = to_host(torch.stack(list(measured.values())))
        metrics = dict(zip(measured, values.tolist(), strict=True))
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value}")
        self.step(rate)
        self.last_loss = metrics["loss"]
        if self.first_loss is None:
            self.first_loss = self.last_loss
        return metrics | {"lr": self.optimizers[0].param_groups[0]["lr"]}

    def backward(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """Compute the gradients of a batch, clipped, without waiting for the device.

        Returns:
            The losses by name, their weighted sum ``loss`` and the norms of the gradients, as scalars.
        """
        losses = self.losses(batch)
        total = torch.stack([loss.weight * loss.value for loss in losses.values()]).sum()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total.backward()
        values = {name: loss.value.detach() for name, loss in losses.items()} | {"loss": total.detach()}
        dense, sparse = self.model.dense_parameters(), self.model.sparse_parameters()
        means = self._ranks.average_gradients(
            list(dense.values()), list(sparse.values()), torch.stack(list(values.values()))
        )
        return dict(zip(values, means, strict=True)) | self._clipped_norms()

    def step(self, rate: float) -> None:
        """Update weights and their average from the gradients, at a share of the peak learning rates."""
        for optimizer, peaks in zip(self.optimizers, self._peak_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            optimizer.step()
        self.halting.after_step()
        self.ema.update()
        self.updates += 1

    def _clipped_norms(self) -> dict[str, Tensor]:
        """Norms of the gradients, those of the network clipped."""
        trained = [p for p in self.model.dense_parameters().values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if self._max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(trained, self._max_grad_norm, norm)
        sparse = self.model.sparse_parameters().values()
        return {"grad_norm": norm} | ({"embedding_grad_norm": sparse_grad_norm(sparse)} if sparse else {})

    def averaged_weights(self) -> dict[str, Tensor]:
        """The state dict of the network, with averages in place of parameters: what is evaluated and saved."""
        return {**self.model.state_dict(), **self.ema.state_dict()["average"]}

    def check_health(self) -> None:
        """Refuse weights and averages that are not finite or huge, and a loss that has exploded.

        Raises:
            Diverged: naming which.
        """
        moments = [
            value
            for optimizer in self.optimizers
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        problem = what_is_ruined(
            weights=[*self.model.parameters(), *self.ema.state_dict()["average"].values()],
            moments=moments,
            loss=self.last_loss,
            first_loss=self.first_loss,
        )
        if problem is not None:
            raise Diverged(problem)

    def state_dict(self) -> dict[str, Any]:
        """All that later updates depend on besides the settings: tensors and plain values in nested dicts."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        return {
            "updates": self.updates,
            "first_loss": self.first_loss,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "halting": self.halting.state_dict(),
            "optimizers": {
                str(number): optimizer_state(optimizer, names) for number, optimizer in enumerate(self.optimizers)
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`, with the hyperparameters of the present settings.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: the state is damaged or of another algorithm.
        """
        updates, first_loss = state["updates"], state["first_loss"]
        if not isinstance(updates, int) or isinstance(updates, bool) or updates < 0:
            raise ValueError(f"updates must be a whole number, got {updates!r}")
        if not (first_loss is None or (isinstance(first_loss, float) and math.isfinite(first_loss))):
            raise ValueError(f"first_loss must be a finite number, got {first_loss!r}")
        if state["ema"]["updates"] != updates or isinstance(state["ema"]["updates"], bool):
            raise ValueError(f"the average has seen {state['ema']['updates']!r} updates of {updates}")
        if state["optimizers"].keys() != {str(number) for number in range(len(self.optimizers))}:
            raise ValueError(f"the state is of {len(state['optimizers'])} optimisers, not {len(self.optimizers)}")
        parameters = dict(self.model.named_parameters())
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.halting.load_state_dict(state["halting"])
        for number, optimizer in enumerate(self.optimizers):
            load_optimizer(optimizer, state["optimizers"][str(number)], parameters, updates)
        self.updates, self.first_loss = updates, first_loss
