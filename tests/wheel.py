"""Build the wheel, install it into an empty environment, and run it in an empty folder: python tests/wheel.py [PYTHON].

The demo must work, a sweep must work, and a search must name the extra that it needs before anything is done. Ends with status 1
where that is not so. Takes minutes: torch is installed, and kernels are compiled. CI runs it (.ci/run).
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: object, folder: Path, status: int = 0) -> str:
    """Standard error of a command in a folder; ends this one where its status is another."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != status:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}, not {status}\n{done.stdout}\n{done.stderr}")
    print("done:", *command[-6:], flush=True)  # noqa: T201  # a command
    return done.stderr


def main(python: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, empty = Path(name), Path(name) / "empty"
        empty.mkdir()
        run(python, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", folder, ROOT, folder=folder)
        [wheel] = folder.glob("*.whl")
        if python == sys.executable:
            venv.create(folder / "env", with_pip=True)
        else:
            run(python, "-m", "venv", folder / "env", folder=folder)
        pip = (folder / "env/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(*pip, "--constraint", ROOT / "constraints.txt", wheel, folder=folder)
        neuro = folder / "env/bin/neuro"
        said = run(neuro, "sweep", "--search", 4, folder=empty, status=2)
        if "pip install 'neuro-emulator[sweep]'" not in said or list(empty.iterdir()):
            sys.exit(f"a search without its extra did not say so at once: {said}, {list(empty.iterdir())}")
        run(neuro, "demo", "--timesteps", 4, "--quiet", folder=empty)
        if {path.name for path in empty.iterdir()} != {"report.html", "result.json"}:
            sys.exit(f"the demo left {list(empty.iterdir())}")
        run(neuro, "sweep", "--code", "graded", "--timesteps", 4, "--samples", 50, "--quiet", folder=empty)
    print("the wheel works in an empty environment")  # noqa: T201  # a command


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.executable)
