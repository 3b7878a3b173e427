"""Commands as tests call them, in this process, because starting torch takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuro.cli import main


def here(monkeypatch, capsys, folder: Path, *arguments: object) -> tuple[int, str, str]:
    """Status, output and errors of `neuro ARGUMENTS` in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["neuro", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


ROOT = Path(__file__).parent.parent


NEURO = (sys.executable, "-m", "neuro")


def call(*arguments: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    return subprocess.run(
        [*NEURO, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Status 2 and one paragraph that holds these words, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("neuro: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


NET = "import torch\ndef net():\n    return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 5))\n"
