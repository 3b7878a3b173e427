"""How an Outcome is shown: tables on the terminal, a page, a JSON file."""

from __future__ import annotations

from pathlib import Path

from neuro.cli.output import console, write_json
from neuro.report.outcome import Outcome
from neuro.report.result import result
from neuro.report.terminal import tables


def show(outcome: Outcome, *, report: Path | None, json: Path | None, quiet: bool, hint: str = "") -> None:
    """Print the outcome unless `quiet`, and write the page and the JSON object where wanted ("-": standard output);
    `hint` is the last line of what is printed."""
    found = result(outcome)
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(tables(found))
    if hint:
        shown.print(hint)
    if report is not None:
        from neuro.report.study import write_study  # matplotlib, half a second

        write_study(report, outcome)
    write_json(json, found)
    written = [str(path) for path in (report, json) if path is not None and str(path) != "-"]
    if written:
        shown.print(f"\nWrote {' and '.join(written)}.")
