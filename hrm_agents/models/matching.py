"""Networks of equal size: how many parameters a network has, and settings that give it as many as an HRM."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.interface import SegmentModel
from hrm_agents.models.registry import model_kind

#: Largest relative difference of two numbers of parameters that count as equal.
TOLERANCE = 0.05
#: The width of the gated MLPs is a multiple of this, fine enough to reach the tolerance.
_MULTIPLE = 4


def num_parameters(model: SegmentModel) -> int:
    """Number of trained weights, without embeddings of task identities, of which most tasks have none."""
    return sum(parameter.numel() for parameter in model.dense_parameters().values())


def matched(name: str, reference: HRMConfig) -> Any:
    """Settings of a network with about as many parameters as an HRM, for comparisons at equal size.

    The network has the wiring of the reference and the depth of its own defaults. Its width is the one at which it
    comes closest; then the width of its gated MLPs makes up the difference.

    Args:
        name: of a registered network whose settings are :class:`~hrm_agents.models.architecture.BlockSettings`.
        reference: settings and sizes of the HRM.

    Raises:
        UserError: no network is registered under the name.
        ValueError: its settings are of another kind, or no width is within 5% of the reference.
    """
    kind = model_kind(name, "matched")
    if not issubclass(kind.settings, BlockSettings):
        raise ValueError(f"settings of {name!r} are not BlockSettings: choose them yourself")
    target = _count(lambda: HRM(reference))
    if kind.network is HRM:
        return reference.architecture
    shared = {each.name: getattr(reference, each.name) for each in dataclasses.fields(BlockSettings)}

    def settings(width: int, mlp_width: int) -> BlockSettings:
        expansion = 1.5 * mlp_width / width
        sized = {"hidden_size": width, "expansion": expansion, "mlp_multiple": _MULTIPLE}
        made: BlockSettings = kind.settings(**{**shared, **sized})
        return made

    def count(width: int, mlp_width: int) -> int:
        return _count(lambda: kind.build(settings(width, mlp_width), reference))

    # Four numbers per head are the fewest that positions in two dimensions allow.
    step = 4 * reference.num_heads
    usual = reference.mlp_width / reference.hidden_size
    widths = range(step, 4 * reference.hidden_size + step, step)
    width = _nearest(widths, lambda width: count(width, round(usual * width)), target)
    mlp_width = _nearest(range(_MULTIPLE, 16 * width, _MULTIPLE), lambda mlp_width: count(width, mlp_width), target)
    if abs(count(width, mlp_width) - target) > TOLERANCE * target:
        raise ValueError(f"no width gives {name!r} about {target:,} parameters: {count(width, mlp_width):,} is nearest")
    return settings(width, mlp_width)


def _nearest(choices: Sequence[int], count: Callable[[int], int], target: int) -> int:
    """The choice whose count, which grows with it, is nearest to ``target``."""
    place = bisect_left(choices, target, key=count)
    return min(choices[max(0, place - 1) : place + 1], key=lambda choice: abs(count(choice) - target))


def _count(build: Callable[[], SegmentModel]) -> int:
    """Number of parameters of a network, made on the meta device, where it takes no memory."""
    with torch.device("meta"):
        return num_parameters(build())
