"""Several files of a folder replaced together: a JSON document vouches for the others by their SHA-256.

A commit writes the files under temporary names, then moves the document into place, which commits them all at once,
then renames the files. :func:`verified` returns for each file the version that the document vouches for. So a crash or
a full disk at any moment leaves either all old files or all new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hrm_agents.errors import UserError
from hrm_agents.records.files import reason, write_atomically


def commit(folder: Path, files: Mapping[str, bytes | Path], name: str, document: Mapping[str, Any]) -> None:
    """Replace files of a folder, and the document that vouches for them.

    Args:
        folder: of all of them; created if it does not exist.
        files: new content by name: bytes, or a file to link or copy.
        name: of the document.
        document: its content; ``"files"``, the SHA-256 of each file, is added.

    Raises:
        UserError: the folder cannot be written; the old files are unchanged.
    """
    try:
        for file, content in files.items():
            if isinstance(content, Path):
                _link(content, _pending(folder, file))
            else:
                write_atomically(_pending(folder, file), content)
        digests = {
            file: _digest(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
            for file, content in files.items()
        }
        text = json.dumps({**document, "files": digests}, indent=2) + "\n"
        # A link is replaced like those of the files: its target may belong to another run.
        write_atomically(folder / name, text.encode(), through_links=False)
    except UserError:
        # Not after an interrupt, which may have come after the document was moved into place.
        for file in files:
            with suppress(OSError):
                _pending(folder, file).unlink()
        raise
    for file in files:
        _settle(folder, file)


def is_unfinished(folder: Path, names: Iterable[str]) -> bool:
    """Whether a commit of files of these names was killed before it renamed them all."""
    return any(_pending(folder, name).is_file() for name in names)


def finish_commit(folder: Path, digests: Mapping[str, str]) -> None:
    """Complete a commit that was killed after its document was in place.

    Args:
        folder: of the files.
        digests: the document's SHA-256 by file name.

    Raises:
        UserError: the folder cannot be read or written.
    """
    for name, digest in digests.items():
        pending = _pending(folder, name)
        if pending.is_file() and _digest(pending) == digest:
            _settle(folder, name)


def verified(folder: Path, digests: Mapping[str, str], name: str, document: str) -> Path:
    """The version of a file that a document vouches for.

    Args:
        folder: of the file.
        digests: the document's SHA-256 by file name.
        name: of the file.
        document: name of the document, for messages.

    Raises:
        UserError: there is no such version.
    """
    path = folder / name
    for place in (_pending(folder, name), path):
        if place.is_file() and name in digests and _digest(place) == digests[name]:
            return place
    if not path.is_file():
        raise UserError(f"{path} is missing")
    raise UserError(
        f"{path} is damaged or of another run: its SHA-256 is not the one in {document}; restore both from one copy"
    )


def is_digest(value: Any) -> bool:
    """Whether a value has the form of a SHA-256 in a document."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _pending(folder: Path, name: str) -> Path:
    """Temporary name of a file until the document vouches for it."""
    return folder / f".{name}.next"


def _settle(folder: Path, name: str) -> None:
    """Rename a file that the document vouches for."""
    pending = _pending(folder, name)
    try:
        os.replace(pending, folder / name)
        pending.unlink(missing_ok=True)  # replacing one hard link by another to the same file does nothing
    except OSError as error:
        raise UserError(f"cannot write {folder / name}: {reason(error)}") from error


def _link(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {reason(error)}; choose another place") from error


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                sha.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    return sha.hexdigest()
