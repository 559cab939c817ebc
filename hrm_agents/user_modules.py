"""Import of the modules that a user names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hrm_agents.errors import UserError, one_line


def import_module(module: str, about: str | None = None) -> str:
    """Import a module by name or by the path of its file, and return its name.

    The working directory is searched last, and only for this import: other imports must not find modules there.

    Args:
        module: ``"package.module"``, or the path of a file, ``"tasks/queens.py"``.
        about: source of the name, for messages; ``--module`` if omitted.

    Raises:
        UserError: there is no such module, or its import fails.
    """
    about = about or f"--module {one_line(module)}"
    if module in sys.modules:
        return module
    # The import of torch looks for optional modules, and must not find them in the working directory.
    import torch  # noqa: F401

    try:
        if module.endswith(".py") or os.sep in module:
            return _import_file(Path(module), about)
        with _search_path(Path.cwd()):
            importlib.import_module(module)
    except UserError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything while it is imported
        raise UserError(f"{about}: {_reason(error, module)}") from error
    return module


def import_modules(modules: Sequence[str]) -> None:
    """Import the modules of an option ``--module``.

    Raises:
        UserError: see :func:`import_module`.
    """
    for module in modules:
        import_module(module)


def _import_file(path: Path, about: str) -> str:
    name = path.stem
    if not path.is_file():
        raise UserError(f"{about}: there is no file {one_line(str(path))}")
    if not name.isidentifier():
        raise UserError(f"{about}: {name!r} is not a valid module name; rename the file")
    known = sys.modules.get(name)
    if known is not None:
        file = getattr(known, "__file__", None)
        if file is not None and Path(file).resolve() == path.resolve():
            return name
        raise UserError(f"{about}: Python has another module {name!r} already; rename the file")
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _search_path(path.resolve().parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return name


@contextmanager
def _search_path(folder: Path) -> Iterator[None]:
    """Search ``folder`` for modules, after all other places, inside a ``with`` block."""
    entry = str(folder)
    if entry in sys.path:
        yield
        return
    sys.path.append(entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


def _reason(error: BaseException, module: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None and module.split(".")[0] == error.name:
        return (
            f"No module named {one_line(error.name)!r}; go to its folder, or give the path of its file (FOLDER/NAME.py)"
        )
    if isinstance(error, SystemExit):
        return f"the module calls sys.exit({error.code!r}) when it is imported"
    try:
        text = one_line(str(error))
    except Exception:  # the message of a user's exception may fail itself; its type is reported anyway
        text = ""
    return f"importing it fails: {type(error).__name__}{': ' if text else ''}{text}"
