"""The notebooks in examples/ run from top to bottom in an empty folder, and say what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("name", "words", "files"),
    [
        ("first_steps", ("5 of 128 cores", "total energy", "99."), {"network.safetensors", "report.html"}),
        ("accuracy_against_energy", ("worth considering: ", "graded"), set()),
        ("your_own_chip", ("my-chip", "at my prices", "it needs 15 cores, 4 are there"), {"my_chip.toml", "tiny_chip.toml"}),
    ],
)
def test_example_runs(name, words, files, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for word in words:
        assert word in printed
    assert {path.name for path in tmp_path.iterdir()} == files
    if "report.html" in files:
        page = (tmp_path / "report.html").read_text()
        assert "timesteps seen by the readout" in page
        assert "Every message of the first sample" in page
