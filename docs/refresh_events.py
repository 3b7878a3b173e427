"""Write what docs/events.md prints by running what it names: python -m docs.refresh_events nmnist_train.npz nmnist_test.npz."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.page import put

PAGE = Path(__file__).parent / "events.md"
ROOT = PAGE.parent.parent


def printed(*command: str) -> str:
    """What a Python command prints, in an empty folder, as a block of a page."""
    with TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=True)
    return "\n".join(f"    {line}".rstrip() for line in done.stdout.splitlines())


def main() -> None:
    train, test = (str(Path(name).resolve()) for name in sys.argv[1:3])
    page = PAGE.read_text()
    page = put(page, "example", printed(str(ROOT / "examples" / "event_camera.py"), train, test))
    PAGE.write_text(put(page, "codes", printed("-m", "benchmarks.nmnist_codes", "--recordings", train)))


if __name__ == "__main__":
    main()
