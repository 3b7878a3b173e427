"""docs/extending.md is true: each worked example takes no more files than it should, and its own test passes."""

import inspect
from pathlib import Path

import pytest

from tests.worked import blocks, changed, install

MOST_FILES = {"A new code": 3, "A new op": 4, "A new machine kind": 3}  # tests among them


@pytest.mark.parametrize("heading", MOST_FILES)
def test_an_example_touches_few_files_and_fits_them_as_they_are(heading: str) -> None:
    found = blocks(heading)
    assert 2 <= len({path for path, _, _ in found}) <= MOST_FILES[heading]
    for path, kind, text in found:
        assert text != changed(path, text) if kind == "diff" else text.startswith('"""')


@pytest.mark.filterwarnings("ignore")  # Brian2 warns of itself
@pytest.mark.parametrize("heading", MOST_FILES)
def test_an_example_works(heading: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = install(heading, monkeypatch)
    (tests,) = (module for path, module in made.items() if path.startswith("tests/"))
    run = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert run
    for test in run:
        test(*([tmp_path] if "tmp_path" in inspect.signature(test).parameters else []))
