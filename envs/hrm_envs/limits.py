"""How large things may be: each bound is checked before anything is allocated.

They lie far above what training and play need. Their purpose is that a slip of the keyboard, or a file from a
stranger, ends in a line of text and not in a machine without memory.
"""

from __future__ import annotations

#: Cells of a grid. A net attends over all pairs of cells: at this many, one head's weights take a gigabyte.
MAX_CELLS = 16_384

#: Tokens of an alphabet: cells hold them as uint8.
MAX_TOKENS = 256

#: Task identities. An embedding has a vector for each, and an ARC task a row of its table of augmentations.
MAX_TASK_IDS = 2**24

#: Demonstrations that an observation carries; no ARC task has more than ten.
MAX_DEMONSTRATIONS = 64

#: Segments of an episode. HRM thinks up to 16, and nobody tried more than a few hundred. An evaluation keeps some
#: twenty bytes for each segment of each puzzle.
MAX_SEGMENTS = 4_096

#: Steps of a walk and edits of a board: they are counted in int32.
MAX_STEPS = 2**31 - 1

#: Prices of a segment, a step or an edit: a whole episode of them stays a finite float32.
MAX_COST = 1e6

#: Rows of a vector environment.
MAX_ROWS = 1_048_576

#: Cells of all rows together: Gymnasium's spaces take some forty bytes for each.
MAX_BATCH_CELLS = 2**27

#: Bytes of the puzzles and solutions that an environment holds.
MAX_POOL_BYTES = 2 * 1024**3

#: Seeds: numpy's SeedSequence gathers 128 bits of entropy by default.
MAX_SEED = 2**128 - 1

#: Branchings counted in int32, as the Sudoku solver counts them.
MAX_GUESSES = 2**31 - 1

#: An unpacked array may be this large whatever its file; beyond, at most ``MAX_EXPANSION`` times its packed bytes.
FREE_BYTES = 64 * 1024**2
MAX_EXPANSION = 100

#: Arrays in one ``.npz`` file.
MAX_ARRAYS = 4096

#: Bytes of a JSON document: in memory it takes some thirty times as much.
MAX_JSON_BYTES = 64 * 1024**2


def most_puzzles(num_cells: int) -> int:
    """How many puzzles of ``num_cells`` cells an environment may hold, with their solutions."""
    return MAX_POOL_BYTES // (2 * num_cells)
