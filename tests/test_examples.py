"""The notebooks in examples/ run from top to bottom in an empty folder, and say what they promise."""

import runpy
from pathlib import Path

import pytest

from docs.notebooks import lessons, notebook

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("name", "words", "files"),
    [
        ("first_steps", ("5 of 128 cores", "total energy", "99."), {"network.safetensors", "report.html"}),
        ("accuracy_against_energy", ("worth considering: ", "graded"), set()),
        ("by_hand", ("lags heard: [-5 -4 -3 -2 -1  0  1  2  3  4  5]", "total"), set()),
        ("does_it_pay", ("Does it pay?", "At 10.0 /s, waiting included, loihi2 draws"), {"report.html"}),
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
    if name == "first_steps":
        page = (tmp_path / "report.html").read_text()
        assert "timesteps seen by the readout" in page
        assert "Every message of the first sample" in page


@pytest.mark.parametrize("example", lessons(), ids=lambda path: path.stem)
def test_a_notebook_is_its_example(example) -> None:
    made = notebook(example.read_text())
    assert {"cells", "metadata", "nbformat", "nbformat_minor"} == set(made)
    code = [line for cell in made["cells"] if cell["cell_type"] == "code" for line in "".join(cell["source"]).split("\n")]
    assert [line for line in code if line] == [line for line in _code(example.read_text()) if line], (
        "cells hold all of the code, in order"
    )
    assert made["cells"][0]["cell_type"] == "markdown"
    assert made["cells"][0]["source"][0].startswith("# ")


def _code(text: str) -> list[str]:
    """Lines of code cells: what stands behind a line of # %% alone."""
    kept, prose = [], False
    for line in text.splitlines():
        if line.startswith("# %%"):
            prose = "[markdown]" in line
        elif not prose:
            kept.append(line)
    return kept


def test_what_is_learned_in_the_example_on_learning() -> None:
    """Shorter than the example: weights part, and errors fall."""
    shown = runpy.run_path(str(EXAMPLES / "learning_on_the_chip.py"))
    weights = shown["weights_under_stdp"](6_000)
    assert weights.std() > 35
    assert (weights < 64).any()
    assert (weights > 160).any()
    errors = abs(shown["errors_under_pes"](1_500))
    assert errors[-500:].mean() < 25
