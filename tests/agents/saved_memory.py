"""Memory that a forward pass keeps for its backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def saved_bytes(forward: Callable[[], object]) -> int:
    """Bytes of all tensors that ``forward`` saves, each storage counted once."""
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result  # until here, no storage is freed and used again
    return sum(storages.values())
