"""A device of its own, simulated on the CPU, that notices what a program has to wait for.

Its tensors say that they are elsewhere, hold their numbers in a CPU tensor, and refuse to be mixed with tensors of the
host, as those of a GPU do. A program asks a GPU for operations and goes on; it waits where it reads a number, where the
shape of a result depends on numbers, and in every copy that may not end later. :attr:`SimulatedDevice.waits` lists
these. Tensors of its own that are not made by an operation, as in ``torch.tensor(..., device=DEVICE)``, hold no
numbers, and fail in the first operation.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten

#: How it calls itself: torch can make no tensors of this kind itself that hold numbers.
DEVICE = torch.device("meta")
#: Operations whose result is a number on the host, or has a shape that depends on numbers.
READS = {
    aten._local_scalar_dense,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.unique_consecutive,
    aten.unique_dim,
    aten._unique2,
}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
COPIES = {aten.copy_, aten._to_copy}


class Distant(torch.Tensor):
    """A tensor of the simulated device."""

    @staticmethod
    def __new__(cls, near, requires_grad=False):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            layout=near.layout,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        tensor.near = near
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} of a tensor of the simulated device, outside its `with` block")


class SimulatedDevice(TorchDispatchMode):
    """Inside its ``with`` block the device exists."""

    def __init__(self):
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        distant = [tensor for tensor in tensors if isinstance(tensor, Distant)]
        target = kwargs.get("device")
        if not distant and target != DEVICE:
            return func(*args, **kwargs)
        packet = func.overloadpacket
        self._notice(packet, args, kwargs, bool(distant))
        if packet is aten._fused_sdp_choice:
            return 0  # attention in single steps, which no kernel of a device of its own takes over
        for tensor in tensors:
            assert isinstance(tensor, Distant) or tensor.device != DEVICE, f"{func} of a tensor without numbers"
            near_by = tensor.ndim and not isinstance(tensor, Distant)
            assert not near_by or not distant or packet in COPIES, f"{func} of tensors on two devices"
        near_args, near_kwargs = tree_map(_near, (args, kwargs))
        if target == DEVICE:
            near_kwargs["device"] = torch.device("cpu")
        near_kwargs.pop("non_blocking", None)
        result = func(*near_args, **near_kwargs)
        if packet is aten.copy_:
            return args[0]
        own = {id(tensor.near): tensor for tensor in distant}  # operations in place return what they were given
        if target is not None and target != DEVICE:
            return result
        return tree_map(lambda leaf: _far(leaf, own), result)

    def _notice(self, packet, args, kwargs, any_distant):
        masks = packet in INDEXING and any(_is_mask(index) for index in args[1])
        if packet is aten.copy_:
            crosses = isinstance(args[0], Distant) != isinstance(args[1], Distant)
            waiting = crosses and not (len(args) > 2 and args[2])
        elif packet is aten._to_copy:
            target = kwargs.get("device")
            # A copy to the host has to be waited for before anybody reads it, whether here or later.
            waiting = target is not None and (target != DEVICE or not (any_distant or kwargs.get("non_blocking")))
        else:
            waiting = packet in READS or masks
        if waiting:
            self.waits.append(str(packet))


def _near(leaf):
    return leaf.near if isinstance(leaf, Distant) else leaf


def _far(leaf, own):
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return own[id(leaf)] if id(leaf) in own else Distant(leaf)


def _is_mask(index):
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)
