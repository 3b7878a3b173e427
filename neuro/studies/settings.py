"""How float networks become spikes and what they are compared with, as a study was asked to. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from neuro.codes import CODES
from neuro.errors import UsageError, one_of
from neuro.machines.machine import Machine
from neuro.rivals import members
from neuro.serving.use import Use

BOARDS = ("given", "auto")


@dataclass(frozen=True, slots=True)
class StudySettings:
    """How float networks become spikes and what they are compared with; code "auto": the one with the least work that agrees.

    `code` and the window `timesteps` are the headline's, `others` are codes to try beside it; `machines`: catalogue names, groups
    ("edge", "datacentre", "all"), paths of machine files or Machine values, none for the group that fits the network's size;
    `board` "auto" takes as many chips as a network needs; `diagnose`: also say what each
    layer loses; `within_s`: seconds that emulating one code may take; `use`: rate, battery, load and
    prices to judge all targets by. Raises UsageError for what is not known.
    """

    code: str = "rate"
    timesteps: int = 16
    others: tuple[str, ...] = ()
    machines: tuple[str | Machine, ...] = ()
    batches: tuple[int, ...] = (1, 64)
    board: str = "given"
    diagnose: bool = False
    within_s: float | None = None
    use: Use | None = None

    def __post_init__(self) -> None:
        for code in (self.code, *self.others):
            if code not in (*CODES, "auto"):
                raise UsageError("code", f"{code!r} is not known", one_of(code, (*CODES, "auto")))
        if self.board not in BOARDS:
            raise UsageError("board", f"{self.board!r} is not known", one_of(self.board, BOARDS))
        if self.within_s is not None and not 0 < self.within_s < float("inf"):
            raise UsageError("within_s", f"{self.within_s:g} is not a positive number of seconds", "Use more than 0")
        for machine in self.machines:
            members(machine)


def first_code(code: str | None, timesteps: int | None) -> str:
    """The code of a study: the one with the least work that agrees, where neither it nor a number of timesteps was asked for."""
    return code or ("auto" if timesteps is None else StudySettings().code)


def other_codes(code: str) -> tuple[str, ...]:
    """All codes but this one."""
    return tuple(name for name in CODES if name != code)
