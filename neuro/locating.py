"""Where the code lies that `package.module:callable` or `folder/file.py:callable` names. Imports nothing of it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuro.errors import UsageError

_REMEDY = "Write it like mine.nets:small or nets/mine.py:small, with small the name of what returns the network"


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a module: `module` is imported by its name, or from its `file` where that was named."""

    module: str
    attribute: str
    file: Path | None = None

    def sources(self) -> tuple[Path, ...]:
        """Files in which the module may lie, seen from the current folder."""
        if self.file is not None:
            return (self.file,)
        path = Path(*self.module.split("."))
        return path.with_name(f"{path.name}.py"), path / "__init__.py"


def locate(name: str) -> Place:
    """The place that `name` means. Raises UsageError where it means none, or no such file or module is there."""
    where = f"model {name!r}"
    before, colon, attribute = name.rpartition(":")
    if not colon and name.endswith(".py"):
        raise UsageError(where, "it names a file, and not what in it returns the network", f"Write it like {name}:small")
    if not before or not attribute:
        raise UsageError(where, "it is neither a file nor package.module:callable", _REMEDY)
    if not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(where, f"{attribute!r} is no name in Python", _REMEDY)
    if before.endswith(".py") or {os.sep, "/"} & set(before):
        file = Path(before if before.endswith(".py") else f"{before}.py")
        if not file.is_file():
            raise UsageError(where, f"there is no file {str(file)!r}", "Check the path")
        return Place(file.stem, attribute, file)
    if not all(part.isidentifier() for part in before.split(".")):
        raise UsageError(where, f"{before!r} is no module's name", _REMEDY)
    top = before.partition(".")[0]
    if not _is_there(top):
        raise UsageError(where, f"there is no module {top!r}", "Check its spelling, or change to its folder")
    return Place(before, attribute)


@contextmanager
def searched_first(folder: Path) -> Iterator[None]:
    """Modules are looked for in this folder first while the block runs, as `python -m` does in the current one."""
    path = str(folder)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        if path in sys.path:
            sys.path.remove(path)


def _is_there(top: str) -> bool:
    with searched_first(Path.cwd()):
        try:
            return importlib.util.find_spec(top) is not None
        except ValueError:  # it is imported already, by other means
            return True
