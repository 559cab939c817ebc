"""Optimisers, learning-rate schedule and weight averaging, in plain torch."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


def _check(lr: float, weight_decay: float) -> None:
    if lr < 0.0 or weight_decay < 0.0:
        raise ValueError(f"lr and weight_decay must not be negative, got {lr} and {weight_decay}")


class AdamATan2(Optimizer):
    """Adam with the step atan2(m, sqrt(v)): bounded, scale-free, no epsilon (Everett et al. 2024).

    With bias corrections c1 = 1 - beta1^t and c2 = 1 - beta2^t and decoupled weight decay:
    ``p *= 1 - lr * weight_decay``, then ``p -= lr / c1 * atan2(m, sqrt(v / c2))``. As in the code that trained HRM,
    and unlike arXiv 2407.05872, section 4.4, the correction of m is outside the arctangent and the step has no
    further factor.

    Steps are counted per parameter group and the count is saved with it.
    """

    def __init__(
        self,
        params: Params,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
    ) -> None:
        _check(lr, weight_decay)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        for group in self.param_groups:
            group.setdefault("step", 0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from ``state_dict()``.

        Raises:
            ValueError: moments are missing, impossible, or of another shape or type.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        stepped = any(group["step"] for group in state_dict["param_groups"])
        if state_dict["state"].keys() != (set(range(len(parameters))) if stepped else set()):
            raise ValueError("the optimiser's state must have moments for every parameter, or for none before step 1")
        for index, moments in state_dict["state"].items():
            like = parameters[index]
            if moments.keys() != {"m", "v"}:
                raise ValueError(f"the optimiser's state must have moments m and v, got {sorted(moments)}")
            for name, moment in moments.items():
                if moment.shape != like.shape or moment.dtype != like.dtype:
                    raise ValueError(
                        f"moment {name} is {moment.dtype} {list(moment.shape)}, the parameter {like.dtype} "
                        f"{list(like.shape)}"
                    )
            if bool((moments["v"] < 0).any()):
                raise ValueError("the optimiser's state has a negative mean of squares")
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p].update(m=torch.zeros_like(p), v=torch.zeros_like(p))
            group["step"] += 1
            beta1, beta2 = group["betas"]
            grads = [p.grad for p in params]
            m = [self.state[p]["m"] for p in params]
            v = [self.state[p]["v"] for p in params]

            torch._foreach_lerp_(m, grads, 1.0 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, grads, grads, 1.0 - beta2)
            root = torch._foreach_sqrt(v)
            torch._foreach_div_(root, math.sqrt(1.0 - beta2 ** group["step"]))
            for m_i, root_i in zip(m, root, strict=True):  # torch has no foreach form of atan2
                torch.atan2(m_i, root_i, out=root_i)
            torch._foreach_mul_(params, 1.0 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, root, alpha=-group["lr"] / (1.0 - beta1 ** group["step"]))
        return loss


def _summed(grad: Tensor) -> Tensor:
    """A sparse gradient with one row per id."""
    if not grad.is_sparse:
        raise TypeError("SignSGD needs sparse gradients, as F.embedding(..., sparse=True) gives")
    return grad.coalesce()


class SignSGD(Optimizer):
    """Sign descent for embedding tables with sparse gradients.

    Gradients of ids that occur several times in a batch are summed before the sign. Only rows in the batch change:
    ``row = row * (1 - lr * weight_decay) - lr * sign(grad)``. There is no state: time and memory of a step depend on
    the batch, not on the table.
    """

    def __init__(self, params: Params, lr: float, weight_decay: float = 0.1) -> None:
        _check(lr, weight_decay)
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the rows of every table that have a gradient.

        Raises:
            TypeError: a gradient is dense.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr = group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = _summed(p.grad)
                ids = grad.indices()[0]
                p[ids] = p[ids] * (1.0 - lr * group["weight_decay"]) - lr * grad.values().sign()
        return loss


@torch.no_grad()
def sparse_grad_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all sparse gradients, float32 scalar, with those of the same id summed; 0 without gradients.

    Raises:
        TypeError: a gradient is dense.
    """
    grads = [_summed(parameter.grad) for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm([grad.values() for grad in grads])


def optimizer_state(optimizer: Optimizer, names: Mapping[Tensor, str]) -> dict[str, Any]:
    """State of an optimiser by parameter name, without hyperparameters (``optimizer.defaults``).

    Args:
        optimizer: any that follows torch's ``state_dict`` protocol.
        names: of its parameters.
    """
    saved = optimizer.state_dict()
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    return {
        "state": {order[index]: dict(values) for index, values in saved["state"].items()},
        "groups": {
            str(number): {key: value for key, value in group.items() if not _is_setting(optimizer, key)}
            for number, group in enumerate(saved["param_groups"])
        },
    }


def load_optimizer(
    optimizer: Optimizer, state: Mapping[str, Any], parameters: Mapping[str, Tensor], updates: int
) -> None:
    """Continue from :func:`optimizer_state`, with the optimiser's own hyperparameters.

    Args:
        optimizer: takes the state.
        state: by parameter name.
        parameters: of the network, by name.
        updates: number of steps that the optimiser has taken.

    Raises:
        KeyError, TypeError, ValueError: the state is damaged or of another optimiser.
    """
    own = optimizer.state_dict()["param_groups"]
    if state["groups"].keys() != {str(number) for number in range(len(own))}:
        raise ValueError(f"the optimiser's state has {len(state['groups'])} groups of parameters, not {len(own)}")
    groups = [{**group, **state["groups"][str(number)]} for number, group in enumerate(own)]
    for group, fresh in zip(groups, own, strict=True):
        if group.keys() != fresh.keys():
            odd = sorted(group.keys() ^ fresh.keys())
            raise ValueError(f"a group of the optimiser's state has missing or unknown entries: {odd}")
        counted = group.get("step", updates)
        if type(counted) is not int or counted != updates:
            raise ValueError(f"the optimiser counts {counted!r} steps after {updates} updates")
    places = {p: index for index, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    indexed = {places[parameters[name]]: dict(values) for name, values in state["state"].items()}
    optimizer.load_state_dict({"state": indexed, "param_groups": groups})


def _is_setting(optimizer: Optimizer, key: str) -> bool:
    return key == "params" or key in optimizer.defaults


def lr_at(
    step: int,
    *,
    base: float,
    warmup: int = 0,
    total: int = 0,
    schedule: Literal["constant", "cosine"] = "constant",
    min_ratio: float = 0.0,
) -> float:
    """Learning rate of update ``step``, counted from 0.

    Rises linearly to ``base`` over ``warmup`` updates, from base / warmup at update 0, then stays there or falls along
    half a cosine to ``min_ratio * base`` at update ``total``.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule == "constant":
        return base
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return base * (min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + math.cos(math.pi * progress)))


class EMA:
    """Exponential moving average of named parameters.

    The decay at update t is min(decay, (1 + t) / (10 + t)), so that the initial weights do not dominate early averages.

    Raises:
        ValueError: the decay is outside [0, 1).
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float = 0.999) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.updates = 0
        self._parameters = dict(parameters)
        self._average = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average; call it after each optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(list(self._average.values()), list(self._parameters.values()), 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, parameters: Mapping[str, Tensor]) -> None:
        """Copy the average into ``parameters`` of the same names."""
        for name, average in self._average.items():
            parameters[name].copy_(average)

    @contextmanager
    def swap(self) -> Iterator[None]:
        """Give the model the average inside a ``with`` block, and restore its own weights after it."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.copy_to(self._parameters)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, p in self._parameters.items():
                    p.copy_(own[name])

    def state_dict(self) -> dict[str, Any]:
        """Averages by name and the number of updates; the tensors are not copied."""
        return {"updates": self.updates, "average": dict(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError: the names of the parameters differ.
        """
        if state["average"].keys() != self._average.keys():
            raise KeyError("the saved average has parameters of other names")
        self.updates = int(state["updates"])
        for name, average in self._average.items():
            average.copy_(state["average"][name])
