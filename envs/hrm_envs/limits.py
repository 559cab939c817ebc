"""Upper bounds on sizes, checked before anything is allocated.

The bounds are far above what training and play need. They turn a typo or a malicious file into an error message
instead of an exhausted machine.
"""

from __future__ import annotations

#: Cells of a grid. At this size, the attention weights of one head take a gigabyte.
MAX_CELLS = 16_384

#: Tokens of a task: cells are uint8.
MAX_TOKENS = 256

#: Task identities. Each needs an embedding vector and, for ARC, a row of the augmentation table.
MAX_TASK_IDS = 2**24

#: Demonstrations in an observation; no ARC task has more than ten.
MAX_DEMONSTRATIONS = 64

#: Segments of an episode. HRM uses up to 16; published work goes up to a few hundred. An evaluation stores about
#: twenty bytes for each segment of each puzzle.
MAX_SEGMENTS = 4_096

#: Steps of a maze walk and edits of an answer, which are int32 counters.
MAX_STEPS = 2**31 - 1

#: Cost of a segment, a step or an edit; the return of an episode remains a finite float32.
MAX_COST = 1e6

#: Rows of a vector environment.
MAX_ROWS = 1_048_576

#: Cells of all rows of a vector environment; Gymnasium's spaces take about forty bytes for each.
MAX_BATCH_CELLS = 2**27

#: Bytes of an environment's puzzles and solutions.
MAX_POOL_BYTES = 2 * 1024**3

#: Seeds; numpy's SeedSequence uses 128 bits of entropy by default.
MAX_SEED = 2**128 - 1

#: Guesses of the Sudoku solver, which is an int32 counter.
MAX_GUESSES = 2**31 - 1

#: An unpacked array may have ``FREE_BYTES``, or ``MAX_EXPANSION`` times its packed size if that is more.
FREE_BYTES = 64 * 1024**2
MAX_EXPANSION = 100

#: Arrays in one ``.npz`` file.
MAX_ARRAYS = 4096

#: Bytes of a JSON document, which takes about thirty times as much memory when parsed.
MAX_JSON_BYTES = 64 * 1024**2


def most_puzzles(num_cells: int) -> int:
    """Maximum number of puzzles of ``num_cells`` cells, with solutions, in one environment."""
    return MAX_POOL_BYTES // (2 * num_cells)
