"""Notebooks of the examples: python -m docs.notebooks [FOLDER]. Cells begin at lines of # %%, as in the files.

A notebook holds the example, cell by cell, so that a run of the example is a run of the notebook (tests/test_examples.py).
"""

import json
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def notebook(text: str) -> dict[str, object]:
    """The notebook (nbformat 4.5) of a file of cells."""
    cells = []
    for number, part in enumerate(f"\n{text}".split("\n# %%")[1:]):
        head, _, body = part.partition("\n")
        prose = "[markdown]" in head
        lines = [line[2:] if prose else line for line in body.strip("\n").split("\n")]  # prose stands behind "# "
        cell = {"cell_type": "markdown" if prose else "code", "id": f"cell-{number}", "metadata": {}}
        source = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
        cells.append({**cell, "source": source} | ({} if prose else {"execution_count": None, "outputs": []}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def lessons() -> list[Path]:
    """The examples that have cells."""
    return [path for path in sorted(EXAMPLES.glob("*.py")) if path.read_text(encoding="utf-8").startswith("# %%")]


def main(folder: Path) -> None:
    """Write a notebook for each example that has cells."""
    folder.mkdir(parents=True, exist_ok=True)
    for example in lessons():
        text = json.dumps(notebook(example.read_text(encoding="utf-8")), indent=1) + "\n"
        (folder / f"{example.stem}.ipynb").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "notebooks"))
