"""Commands as tests call them, in this process, because starting torch takes seconds."""

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
