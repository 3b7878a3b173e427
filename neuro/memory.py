"""How much memory there is, and the refusal of work that cannot fit into it. Knows nothing of the work."""

from __future__ import annotations

import os
from pathlib import Path

from neuro.errors import MemoryLimitError

SHARE = 0.9  # of what is free that one piece of work may take
SMALL_BYTES = 1 << 20  # of work that is taken for granted: to ask how much is free takes a fifth of a millisecond
_CGROUPS = (  # of a container: its limit, what it uses, and how much of that is files which can be dropped
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def available_bytes() -> int | None:
    """Bytes that can be taken without swapping: the machine's, or its container's where that has less; None if unknown.

    NEURO_MEMORY_BYTES in the environment says a smaller number, for a machine that is shared.
    """
    known = [size for size in (_reported(), _free(), *(_left(*files) for files in _CGROUPS)) if size is not None]
    return min(known, default=None)


def check_fits(where: str, need_bytes: int, what: str, remedy: str = "Take a smaller file, or more memory") -> None:
    """Refuse what needs more memory than there is, with both numbers."""
    free = available_bytes() if need_bytes > SMALL_BYTES else None
    if free is not None and need_bytes > SHARE * free:
        raise MemoryLimitError(where, f"{what} need {gigabytes(need_bytes)}, {gigabytes(free)} are free", remedy)


def gigabytes(size: float) -> str:
    """A number of bytes in GB, with three digits."""
    return f"{size / 1e9:,.3g} GB"


def _reported() -> int | None:
    said = os.environ.get("NEURO_MEMORY_BYTES", "")
    return int(said) if said.isdecimal() else None


def _free(file: str = "/proc/meminfo") -> int | None:
    try:
        with open(file) as lines:
            return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)
    except OSError:
        return None


def _left(limit: str, used: str, dropped: str, folder: str | Path = "/sys/fs/cgroup") -> int | None:
    try:
        most, taken = _read(f"{folder}/{limit}").strip(), _read(f"{folder}/{used}").strip()
        stated = _read(f"{folder}/{os.path.dirname(limit)}/memory.stat")
    except OSError:
        return None
    if not (most.isdecimal() and taken.isdecimal()):
        return None
    found = next((line.split()[1] for line in stated.splitlines() if line.split(" ", 1)[0] == dropped), 0)
    return int(most) - int(taken) + int(found)


def _read(file: str) -> str:
    with open(file) as text:  # `Path.read_text` takes twice as long, and every run asks
        return text.read()
