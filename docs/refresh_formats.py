"""Write the tables of docs/formats.md from the code that they describe: python -m docs.refresh_formats [TABLE...]."""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import converters
import neuro
from converters.formats.nir_neurons import READINGS
from converters.formats.onnx_operators import OPERATORS
from docs.page import table
from tests.onnx_node_tests import all_operators, cases, files, outcome

PAGE = Path(__file__).parent / "formats.md"


def operators() -> str:
    """ONNX operators by what becomes of them."""
    told = [(name, " ".join((handler.__doc__ or "").split())) for name, handler in OPERATORS.items()]
    grouped = {meaning: [f"`{name}`" for name, same in told if same == meaning] for _, meaning in told}
    return table(("operator", "becomes"), [(", ".join(names), meaning) for meaning, names in grouped.items()])


def row(operator: str, counts: Counter[str]) -> tuple[str, int, int]:
    """An operator's files, taken and refused."""
    return f"`{operator}`", counts["taken"], counts["refused"]


def node_tests() -> str:
    """What becomes of the node tests of the onnx package, read as files with one input as data and the others as constants."""
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts that overflow, while the package makes its data
        for case in cases(all_operators()):
            for _, content, data, expected, cost in files(case):
                told = outcome(content, data, expected, cost, Path(folder)).partition(":")[0]
                found.setdefault(case.op, Counter())[told] += 1
    rows = [row(op, counts) for op, counts in sorted(found.items()) if op in OPERATORS]
    others = [counts for op, counts in found.items() if op not in OPERATORS]
    rows.append((f"{len(others)} others", *(sum(counts[told] for counts in others) for told in ("taken", "refused"))))
    rows.append(("wrong", sum(counts["WRONG"] for counts in found.values()), ""))
    return table(("operator", "files taken, with the expected values", "files refused"), rows)


def readings() -> str:
    """How each writer's files are read."""
    columns = ("writer", "a step", "reset", "spike", "decay in a step", "an input of 1 adds")
    rows = []
    for r in READINGS.values():
        reset = ("by subtraction, after the next decay" if r.late else "by subtraction") if r.subtract else "to v_reset"
        gain = "R dt / tau (IF: R dt)" if r.input_gain is None else "R dt / tau; to a current or an IF, 1"
        decay = "exp(-dt / tau)" if r.exact else "1 - dt / tau"
        rows.append((f"`{r.name}`", f"{r.dt:g}", reset, f"{'above' if r.strict else 'at'} the threshold", decay, gain))
    return table(columns, rows)


RECORDED = Path(__file__).parent.parent / "tests" / "data" / "nir"
NIR_NAMES = sorted(path.stem for path in RECORDED.glob("*.nir") if path.stem != "written")
NIR_CHIPS = ("loihi2", "loihi1-nahuku")


def read_recorded(name: str) -> neuro.Network:
    """A recorded NIR file, read as its writer means it."""
    return converters.read_nir(
        RECORDED / f"{name}.nir", writer=name.split("_")[0], reset="zero" if name.endswith("zero") else None
    )


def on_chip(name: str, chip: str) -> str:
    """What becomes of a recorded NIR file on a chip: cores, and work for the first of its samples, or why it is refused."""
    network, x = read_recorded(name), np.load(RECORDED / f"{name}.npz")["x"][:1]
    try:
        placement = neuro.place(network, neuro.load_chip(chip))
    except neuro.errors.FitError as error:
        return f"refused: {error.fact}"
    found = neuro.emulate(network, placement, x)
    return f"{placement.cores_used} cores, {found.run.synops:,} synops, {found.run.messages:,} messages"


def nir_chips() -> str:
    """The recorded NIR files on both generations of Loihi."""
    rows = [(f"`{name}`", *(on_chip(name, chip) for chip in NIR_CHIPS)) for name in NIR_NAMES]
    return table(("file", *NIR_CHIPS), rows)


TABLES = {"operators": operators, "node_tests": node_tests, "readings": readings, "nir_chips": nir_chips}


def refreshed(page: str, names: Iterable[str] = TABLES) -> str:
    """The page with some of its tables made anew."""
    for name in names:
        make = TABLES[name]
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(), sys.argv[1:] or TABLES))
