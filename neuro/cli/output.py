"""Where a command's results go: the terminal, JSON, files. Knows nothing of the results themselves."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from neuro.codes import CODES
from neuro.compiling import told
from neuro.engine.pace import Pace, Work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LONG_S = 60.0  # from which on a log says how long a piece of work will take
MANY_KERNELS = 20  # from which on a log says that kernels are being compiled, rather than one that was missing
_COMPILING = "compiling kernels, once for this installation, which takes up to half a minute"
_SPARED = "work this small is done before kernels are compiled for it: plain Python, the same integers"
PIPED_WIDTH = 110  # columns when nobody's terminal says how many there are

Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - is standard output.")]
Report = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write one HTML page that needs no network.")]


def chip_names() -> list[str]:
    """For shell completion."""
    from neuro.chip.files import list_chips

    return list(list_chips())


def machine_names() -> list[str]:
    """For shell completion."""
    from neuro.machines.machine import list_machines

    return list(list_machines())


Chip = Annotated[
    str, typer.Option(metavar="CHIP", help="A chip by name (see `neuro chips`), or a .toml file.", autocompletion=chip_names)
]
_CHIPS = "A chip by name (see `neuro chips`), or a .toml file; repeat it for others beside it."
Chips = Annotated[list[str] | None, typer.Option("--chip", metavar="CHIP", help=_CHIPS, show_default="loihi2",
                                                 autocompletion=chip_names)]  # fmt: skip
Board = Annotated[str, typer.Option(metavar="BOARD", help="given: the chip as it is; auto: as many of it as the network needs.")]
CODE = typer.Option(metavar="CODE", help=f"How values become spikes: {', '.join(CODES)}.", autocompletion=lambda: list(CODES))
CODE_OR_AUTO = typer.Option(
    metavar="CODE",
    help=f"How values become spikes: {', '.join(CODES)}; auto: the one, with its timesteps, that agrees with the least work.",
    autocompletion=lambda: [*CODES, "auto"],
)
TIMESTEPS = typer.Option(metavar="T", help="Timesteps in which a value is sent.", min=1)
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def console(*, quiet: bool = False) -> Console:
    """A console on standard output: no colour and no padding when piped, silent when `quiet`."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(quiet=quiet, highlight=False)
    width = None if "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(quiet=quiet, width=width, highlight=False, file=cast(IO[str], _Unpadded()))


class _Unpadded:
    """Standard output without spaces at the ends of lines."""

    def write(self, text: str) -> int:
        return sys.stdout.write(re.sub(" +(?=\n)", "", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


def write_json(path: Path | None, value: Any) -> None:
    """Write `value` as JSON to a file, whole or not at all, or to standard output for "-"."""
    if path is not None:
        write_out(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_out(path: Path, text: str) -> None:
    """Write a text to a file, whole or not at all, or to standard output for "-"."""
    from neuro.files import write_text

    if str(path) == "-":
        sys.stdout.write(text)
    else:
        write_text(path, text)


class _LogLines(Work):
    """A line for each piece that takes longer than `LONG_S`, with how long it will take; for a log."""

    def __init__(self, what: str) -> None:
        self._compiled, self._spared = 0, False
        self.step(what)

    def step(self, what: str) -> None:
        self._what, self._pace = what, Pace()

    def advance(self, done: int, total: int) -> None:
        expected = self._pace.expected_s(done, total)
        if self._what and expected is not None and expected > LONG_S:
            print(f"neuro: {self._what}: about {expected / 60:.0f} min", file=sys.stderr, flush=True)
            self._what = ""

    def compiling(self, count: int) -> None:
        if count == 0:
            if not self._spared:
                print(f"neuro: {_SPARED}", file=sys.stderr, flush=True)
            self._spared = True
            return
        self._compiled += 1
        if self._compiled == MANY_KERNELS:
            print(f"neuro: {_COMPILING}", file=sys.stderr, flush=True)


class _ProgressBar(Work):
    """The same as a line with a bar and the time left."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=None)

    def step(self, what: str) -> None:
        self._what = what
        self.bar.reset(self.task, description=what, total=None)

    def advance(self, done: int, total: int) -> None:
        self.bar.update(self.task, completed=done, total=total, description=self._what)

    def compiling(self, count: int) -> None:
        self.bar.update(self.task, description=f"{self._what}: {f'{_COMPILING} ({count} done)' if count else _SPARED}")


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[Work]:
    """A progress line on standard error while the block runs, where that is a terminal; elsewhere a line for what takes long."""
    if quiet or not sys.stderr.isatty():
        log = Work() if quiet else _LogLines(what)
        with told(log.compiling):
            yield log
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        work = _ProgressBar(bar)
        work.step(what)
        with told(work.compiling):
            yield work
