"""Copies between the memory of the host and that of a device.

A GPU works behind the program that drives it. A copy from the GPU waits until everything asked for before is done, and
meanwhile nothing new is asked for; so training makes as few of these copies as it can, and never waits for a copy to
the GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to ``device`` without waiting; on the CPU the tensor shares its memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # the GPU reads pinned memory by itself
    # On MPS a copy in the background may read memory that is used again by then.
    return tensor.to(device, non_blocking=device.type != "mps")


def to_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """Copy tensors of one device to arrays of the same shapes and types, all in one copy.

    Args:
        tensors: at least one, without a type that numpy lacks, such as bfloat16.
    """
    # By falling size of their elements, so that each part begins at a multiple of its own.
    order = sorted(range(len(tensors)), key=lambda number: -tensors[number].element_size())
    parts = [tensors[number].detach().reshape(-1).contiguous().view(torch.uint8) for number in order]
    packed = _waited_for(torch.cat(parts))
    arrays: dict[int, NDArray[Any]] = {}
    for number, part in zip(order, packed.split([len(part) for part in parts]), strict=True):
        like = tensors[number]
        arrays[number] = part.view(like.dtype).view(like.shape).numpy()
    return [arrays[number] for number in range(len(tensors))]


def _waited_for(tensor: Tensor) -> Tensor:
    """A copy of a tensor in the memory of the host."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    copy = tensor.to("cpu", non_blocking=True)  # into pinned memory
    torch.cuda.current_stream(tensor.device).synchronize()
    return copy
