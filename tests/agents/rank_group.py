"""Several processes that train together, as forks of the test: they need no start of Python and no import of torch."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from pathlib import Path

import torch.distributed as dist

from hrm_agents.distributed import ManyRanks

FORK = multiprocessing.get_context("fork")


def in_ranks(size, work, folder: Path):
    """What ``work(ranks)`` returns in each of ``size`` processes.

    Raises:
        AssertionError: with the traceback of what failed in one.
    """
    store = folder / f"store-{size}-{len(list(folder.iterdir()))}"
    ends = [FORK.Pipe(duplex=False) for _ in range(size)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, of which none holds a lock here
        processes = [
            FORK.Process(target=_rank, args=(rank, size, store, work, ends[rank][1]), daemon=True)
            for rank in range(size)
        ]
        for process in processes:
            process.start()
    for _, theirs in ends:
        theirs.close()
    answers = []
    for rank, (mine, _) in enumerate(ends):
        assert mine.poll(300), f"process {rank} does not answer"
        answers.append(mine.recv())
    for process in processes:
        process.join()
    failures = [text for failed, text in answers if failed]
    assert not failures, "\n".join(failures)
    return [answer for _, answer in answers]


def _rank(rank, size, store, work, pipe):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
        answer = (False, work(ManyRanks()))
        dist.barrier()
    except BaseException:
        answer = (True, f"process {rank}: {traceback.format_exc()}")
    pipe.send(answer)
    os._exit(0)
