"""How a process that ``torchrun`` or another launcher started joins the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from hrm_agents.distributed.process_group import ManyRanks, connected
from hrm_agents.distributed.ranks import ALONE, Ranks

#: Variables of the environment: how often ``torchrun`` has started the processes again, and how often it will at most.
_RESTARTS, _MAX_RESTARTS = "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes of a run inside a ``with`` block; yields :data:`ALONE` if there are none.

    Variables of the environment describe them, as ``torchrun`` and other launchers set them. GPUs exchange tensors with
    NCCL, CPUs with gloo.

    Raises:
        RankLost: the other processes cannot be reached.
    """
    described = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    if not described or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if local_rank < torch.cuda.device_count():
        torch.cuda.set_device(local_rank)  # before anything takes memory on the first GPU
    with connected():
        store, rank, size = next(rendezvous("env://"))
        # torchrun may keep its store when it starts the processes again: the addresses in it are of dead ones.
        attempt = dist.PrefixStore(f"attempt-{os.environ.get(_RESTARTS, '0')}", store)  # type: ignore[attr-defined]
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backends, store=attempt, rank=rank, world_size=size)
    try:
        yield ManyRanks(local_rank)
    finally:
        dist.destroy_process_group()


def was_restarted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``torchrun`` has started the processes again after one of them ended."""
    return environ.get(_RESTARTS, "0") != "0"


def restarts_failures(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``torchrun`` will start the processes again if one ends with an exit code other than 0."""
    return int(environ.get(_MAX_RESTARTS, "0")) > int(environ.get(_RESTARTS, "0"))
