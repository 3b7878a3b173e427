"""Run the demo and put what it prints into README.md, and its figure beside it: `make docs`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from neuro.report.figures import machines
from neuro.report.study import dots

ROOT = Path(__file__).parent.parent
START, END = "<!-- demo -->\n", "<!-- end of demo -->"
GREY = "#768390"  # legible on white and on black


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "neuro", "demo"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=_environment())
        found = json.loads((Path(folder) / "result.json").read_text())
    before, rest = (ROOT / "README.md").read_text().split(START)
    _, after = rest.split(END)
    printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    (ROOT / "README.md").write_text(f"{before}{START}```text\n{printed}\n```\n{END}{after}")
    drawn = (
        machines(dots(found["comparison"])).replace("currentColor", GREY).replace("<svg ", '<svg font-family="sans-serif" ', 1)
    )
    (ROOT / "docs" / "machines.svg").write_text(drawn + "\n")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110"}


if __name__ == "__main__":
    main()
