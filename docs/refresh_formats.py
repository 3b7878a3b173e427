"""Write the tables of docs/formats.md from the code that they describe: python -m docs.refresh_formats."""

from __future__ import annotations

import re
from pathlib import Path

from converters.formats.nir_neurons import READINGS
from converters.formats.onnx_operators import OPERATORS
from docs.page import table

PAGE = Path(__file__).parent / "formats.md"


def operators() -> str:
    """ONNX operators by what becomes of them."""
    told = [(name, " ".join((handler.__doc__ or "").split())) for name, handler in OPERATORS.items()]
    grouped = {meaning: [f"`{name}`" for name, same in told if same == meaning] for _, meaning in told}
    return table(("operator", "becomes"), [(", ".join(names), meaning) for meaning, names in grouped.items()])


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


TABLES = {"operators": operators, "readings": readings}


def refreshed(page: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text()))
