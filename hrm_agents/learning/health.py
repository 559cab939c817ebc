"""Checks that a network fits into memory and that training has not diverged."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hrm_agents.errors import UserError
from hrm_agents.models.limits import LARGEST_WEIGHT

#: A loss has exploded at this multiple of the first loss (or of 1 if that was less).
LARGEST_GROWTH = 1e4


class Diverged(Exception):
    """A loss, gradient, weight or moment is not finite or has exploded; the message says which."""


def what_is_ruined(
    *, weights: Sequence[Tensor], moments: Sequence[Tensor], loss: float | None, first_loss: float | None
) -> str | None:
    """Description of what has diverged in a training state; None if nothing has.

    Args:
        weights: of the network, and their averages.
        moments: state of the optimisers.
        loss: of the last update; None before the first.
        first_loss: of the first update.
    """
    largest = _largest(weights)
    if not largest <= LARGEST_WEIGHT:
        return f"the largest weight is {largest:.3g}"
    if not math.isfinite(_largest(moments)):
        return "the optimiser holds a non-finite number"
    if loss is not None and first_loss is not None and abs(loss) > LARGEST_GROWTH * max(1.0, abs(first_loss)):
        return f"the loss is {loss:.3g}, and was {first_loss:.3g} at update 1"
    return None


def check_fits_memory(model: nn.Module) -> None:
    """Check that a network can be trained in this machine's memory.

    Args:
        model: may be on the meta device, where it takes no memory.

    Raises:
        UserError: it is too large.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # Weights, gradients, the average and two moments, in float32.
    needed, present = parameters * 4 * 5, _physical_memory()
    if present is not None and needed > present:
        raise UserError(
            f"model: {parameters:,} parameters need {needed / 2**30:,.0f} GiB in training and this machine has "
            f"{present / 2**30:,.0f}: choose a smaller --model.hidden-size, or fewer layers"
        )


def _physical_memory() -> int | None:
    """Bytes of this machine's memory; None if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _largest(tensors: Sequence[Tensor]) -> float:
    """Largest magnitude in some tensors: NaN if any element is NaN, 0 without elements."""
    filled = [tensor.detach() for tensor in tensors if tensor.numel()]
    if not filled:
        return 0.0
    norms = torch._foreach_norm(filled, math.inf)
    return float(torch.stack([norm.float().cpu() for norm in norms]).max())
