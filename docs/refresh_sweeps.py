"""Run the sweep that docs/sweeps.md shows, and put its table and its figure there: `python -m docs.refresh_sweeps`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
START, END = "<!-- sweep -->\n", "<!-- end of sweep -->"


def main() -> None:
    page = ROOT / "docs" / "sweeps.md"
    before, rest = page.read_text().split(START)
    _, after = rest.split(END)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "neuro", "sweep", "--timesteps", "2,4,8,16", "--weight-bits", "4,8"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110"}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment)
        (ROOT / "docs" / "sweeps.svg").write_bytes((Path(folder) / "sweep" / "front.svg").read_bytes())
    printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    page.write_text(f"{before}{START}```text\n{printed}\n```\n{END}{after}")


if __name__ == "__main__":
    main()
