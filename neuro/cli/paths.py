"""The files that a command is about to write, held against the folders they go to and the files it reads. Writes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from neuro.errors import FormatError, UsageError

STREAMED = ("--json", "--csv")  # results that can go to standard output, as -
_SYSTEM = ("/dev/", "/proc/")  # where links lead to what a process has open
Named = Mapping[str, Path | str | None]  # by the option that names them


def check_files(results: Named, inputs: Named | None = None, *, code: Iterable[Path] = ()) -> None:
    """Refuse, before any work is done, a result that could not be written, or that would replace an input or another result.

    `inputs` that do not exist are reported elsewhere, or are names of chips and machines; a folder stands for all in it.
    `code`: files of the network's own program. Links, hard links and other spellings of a path are seen through.
    """
    written = {option: Path(path) for option, path in results.items() if path is not None}
    streamed = [option for option, path in written.items() if str(path) == "-"]
    for option in streamed:
        if option not in STREAMED:
            raise UsageError(option, "it cannot go to standard output", "Name a file")
    if len(streamed) > 1:
        raise UsageError(" and ".join(streamed), "both would go to standard output", "Name a file for one of them")
    kept = {option: path for option, path in written.items() if option not in streamed}
    for option, path in kept.items():
        _check_writable(option, path)
    check_apart(kept, inputs, code=code)


def check_apart(results: Named, inputs: Named | None = None, *, code: Iterable[Path] = ()) -> None:
    """Refuse results that would replace an input, or each other."""
    read = [*(inputs or {}).items(), *(("the model's code", path) for path in code)]
    before: list[tuple[str, Path]] = []
    for option, path in ((option, Path(path)) for option, path in results.items() if path is not None):
        for other, source in read:
            if source is not None and _holds(Path(source), path):
                raise UsageError(f"{option} {path}", f"it would replace {other} ({source})", "Name another file")
        for other, result in before:
            if _same(result, path):
                raise UsageError(f"{option} {path}", f"{other} goes there too", "Name another file")
        before.append((option, path))


def _check_writable(option: str, path: Path) -> None:
    where = f"{option} {path}"
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = stat.S_IFREG
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise FormatError(where, f"it cannot be a file ({getattr(error, 'strerror', error)})", "Name another") from None
    if stat.S_ISDIR(kind):
        raise FormatError(where, "it is a folder", "Name a file in it")
    if not stat.S_ISREG(kind) or (path.is_symlink() and os.path.abspath(path).startswith(_SYSTEM)):
        more = "; - is standard output" if option in STREAMED else ""
        raise FormatError(where, "it is a pipe or device", f"Name a file{more}")
    if not path.parent.is_dir():
        raise FormatError(where, "its folder does not exist", "Make the folder first, or name another")
    if not os.access(path.parent, os.W_OK):
        raise FormatError(where, "its folder cannot be written to", "Choose another folder")


def _holds(source: Path, path: Path) -> bool:
    """Whether a path is that of an input, or of a file in the folder that is one."""
    if not os.path.lexists(source):
        return False
    if source.is_dir():
        return path.exists() and any(_same(source, folder) for folder in _above(path))
    return _same(source, path)


def _above(path: Path) -> Iterator[Path]:
    yield from Path(os.path.realpath(path)).parents


def _same(one: Path, other: Path) -> bool:
    if os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other)):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
