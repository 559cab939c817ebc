"""Random and malicious changes of puzzle files, which must give one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from fuzz_calls import Findings, some

from hrm_envs.env import ReasoningEnv
from hrm_envs.sudoku import SudokuTask

_HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 16), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-6, 16), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 999999999999999999), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "6, " * 500 + "), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (6, 16), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 16), }",
    "{'descr': '<U4', 'fortran_order': False, 'shape': (6, 4), }",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (96,), }",
    "{'descr': '|u1', 'fortran_order': 'no', 'shape': (6, 16), }",
    "{'descr': '|u1', 'shape': (6, 16), }",
    "[" * 3000,
    "{" * 3000,
    "__import__('os').getcwd()",
    "",
    "\xff\xfe",
]
_DOCUMENTS = [
    b"", b"[", b"null", b"[]", b'"x"', b"{}", b"[" * 20_000, b'{"a":' * 20_000, b"9" * 6000, b"NaN",
    b'{"seq_len": NaN}', b'{"seq_len": Infinity}', b'{"seq_len": 1e999}', b"\xff\xfe{}", b"\xef\xbb\xbf{}",
    b'{"seq_len": 10000000000000000000000}', b'{"vocab_size": "6"}', b'{"sets": []}', b'{"sets": [1]}',
    b'{"sets": ["../all"]}', b'{"sets": ["/etc/passwd"]}', b'{"sets": ["all", "all"]}', b'{"sets": ["a\\u0000b"]}',
    b'{"sets": ["\\ud800"]}', b'{"sets": [""]}', b'{"sets": ["."]}', b'{"sets": ["x\\\\all"]}',
    b'{"ignore_label_id": [1]}', b'{"ignore_label_id": 1e400}', b'{"ignore_label_id": 100000000000000000000}',
    b'{"num_puzzle_identifiers": {}}', b'{"pad_id": null}', b'{"train": [], "test": []}',
    b'{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [["1"]], "output": [[2]]}]}',
    b'{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1e400]], "output": [[2]]}]}',
    b'{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1], [1, 2]], "output": 5}]}',
    b'{"train": {"a": 1}, "test": "abc"}',
]  # fmt: skip


def write_good_files(folder: Path) -> dict[str, Path]:
    """Small files of every supported format, by format."""
    task = SudokuTask(4)
    batch = task.sample(np.random.default_rng(0), 6)
    np.save(folder / "a.npy", batch.puzzle)
    np.savez(folder / "stored.npz", inputs=batch.puzzle, labels=batch.solution)
    np.savez_compressed(folder / "packed.npz", inputs=batch.puzzle, labels=batch.solution)
    texts = [["".join(task.spec.symbols[token] for token in row) for row in part]
             for part in (batch.puzzle, batch.solution)]  # fmt: skip
    (folder / "a.txt").write_text("\n".join(texts[0]))
    lines = ["question,answer", *(f"{puzzle},{answer}" for puzzle, answer in zip(*texts, strict=True))]
    (folder / "a.csv").write_text("\n".join(lines))
    built, arc = folder / "built", folder / "arc"
    for place in (built, arc):
        place.mkdir()
    (built / "dataset.json").write_text(json.dumps({"seq_len": 16, "vocab_size": 6, "pad_id": 0, "sets": ["all"]}))
    np.save(built / "all__inputs.npy", batch.puzzle)
    np.save(built / "all__labels.npy", batch.solution)
    pair = {"input": [[1, 2]], "output": [[2, 1]]}
    (arc / "task.json").write_text(json.dumps({"train": [pair], "test": [{"input": [[3, 4]], "output": [[4, 3]]}]}))
    names = {name: folder / name for name in ("a.npy", "stored.npz", "packed.npz", "a.txt", "a.csv")}
    parts = {f"built/{path.name}": path for path in built.iterdir()}
    return {**names, **parts, "arc/task.json": arc / "task.json"}


def broken(rng: np.random.Generator, name: str, content: bytes) -> bytes:
    """The content of a file with random or malicious changes."""
    kind = int(rng.integers(8))
    at = int(rng.integers(len(content)))
    if kind == 0:
        return content[:at]
    if kind in (1, 2):
        changed = bytearray(content)
        for place in rng.integers(len(content), size=int(rng.integers(1, 5))):
            changed[place] = int(rng.integers(256))
        return bytes(changed)
    if kind == 3:
        return content[:at] + rng.bytes(int(rng.integers(1, 40))) + content[at:]
    if kind == 4:
        return content[:at] + content[at // 2 :]
    if name.endswith(".npy"):
        header = some(rng, _HEADERS).encode("latin1")
        version = int(rng.integers(0, 10))
        length = len(header) if kind < 7 else int(rng.integers(2**32))
        width = 2 if version == 1 else 4
        start = b"\x93NUMPY" + bytes([version, 0]) + (length % 256**width).to_bytes(width, "little")
        return start + header + content[-96:]
    if name.endswith(".json"):
        return some(rng, _DOCUMENTS)
    return rng.bytes(int(rng.integers(200))) if kind == 5 else content * 2


def junk_files(findings: Findings, rng: np.random.Generator, calls: int, folder: Path) -> None:
    """Environments with puzzles from broken files."""
    good = write_good_files(folder)
    contents = {name: path.read_bytes() for name, path in good.items()}
    for _ in range(calls):
        name = some(rng, list(good))
        path, bad = good[name], broken(rng, name, contents[name])
        path.write_bytes(bad)
        task, source = ("sudoku:SudokuTask", path) if "arc" not in name else ("arc:ARCTask", path.parent)
        keywords = {"size": 4} if "arc" not in name else {"canvas": 4, "augmentations": 2}
        source = path.parent if "built" in name else source
        what = f"{name}: {bad[:60]!r}"
        findings.call(
            "file",
            what,
            lambda: ReasoningEnv(f"hrm_envs.{task}", puzzles=source, split="all", **keywords),  # noqa: B023
        )
        path.write_bytes(contents[name])
