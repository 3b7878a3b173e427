"""How each code turns a layer into populations: a file a code, named like it in `neuro.codes`, that defines a `ROW`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from converters.codes.row import CodeRow
from neuro.codes import CODES


def row_of(code: str) -> CodeRow:
    """The row of a code that `neuro.codes.CODES` lists."""
    row: CodeRow = import_module(f"converters.codes.{code}").ROW
    return row


def lossless_codes() -> tuple[str, ...]:
    """Codes whose networks equal a quantised one."""
    return tuple(code for code in CODES if row_of(code).lossless)


def named(codes: Sequence[str]) -> str:
    """Codes as a remedy names them: 'wait', 'radix' or 'graded'."""
    *before, last = map(repr, codes)
    return f"{', '.join(before)} or {last}" if before else last
