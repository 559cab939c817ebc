"""Prints, as JSON, what is added to memory by each update of a training run that lasts as many segments.

Run in a process of its own, since it counts every tensor made meanwhile: ``live_memory.py FOLDER`` with a pickled
config on standard input.
"""

import gc
import json
import pickle
import sys
import warnings
from pathlib import Path

import torch

from hrm_agents.trainer import Trainer


def live_bytes() -> int:
    """Of all tensors in memory."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asking odd objects for their type may warn
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor) and not thing.is_sparse]
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors if t.device.type == "cpu"}.values())


def main(folder: Path) -> None:
    trainer = Trainer(pickle.load(sys.stdin.buffer), folder)
    gc.freeze()  # neither counts what is there before the first update nor looks through it again
    kept, segments = [], []
    log = trainer.log.segment

    def record(batch, *args):
        segments.append(int(batch.segment.max()))
        log(batch, *args)

    trainer.log.segment = record
    for _ in range(8):
        trainer.update()
        kept.append(live_bytes())
    print(json.dumps({"kept": kept, "segments": segments}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
