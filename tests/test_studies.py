"""`neuro.study` from Python: the same numbers as `neuro run`, in one value; mistakes are named as arguments."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import neuro
from neuro.errors import ChipError, InputError, UsageError
from tests.commands import here

NET = """
import torch
def small():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
"""
X = np.random.default_rng(0).random((30, 6), np.float32)
Y = np.arange(30) % 3


def small() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


@pytest.fixture(scope="module")
def study() -> neuro.Study:
    return neuro.study(small(), X, labels=Y, code="graded", others=("wait",), machines=("xeon",), batches=(1, 8))


def test_it_is_what_the_command_line_writes(study, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "studied.py").write_text(NET)
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    flags = ("--code", "graded", "--machine", "xeon", "--batch", 1, "--batch", 8, "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "studied:small", "--data", "data.npz", *flags)
    assert status == 0, errors
    found, mine = json.loads(printed), json.loads(json.dumps(study.to_dict()))
    told = {name: value for name, value in found.items() if name not in ("title", "versions", "facts")}  # of files
    assert told == {name: mine[name] for name in told}
    assert study.accuracy == found["accuracy_snn"]
    assert study.agreement.to_dict()["error"] == found["agreement"]["error"]


def test_it_shows_itself_and_writes_its_page(study, tmp_path: Path) -> None:
    text = repr(study)
    assert "A network as spikes on loihi2, per inference; the float network has" in text
    assert study.comparison.crossing in text
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["graded", "wait"]
    assert "<td>wait</td>" in study._repr_html_()
    study.write_report(tmp_path / "page.html")
    assert '<section id="comparison">' in (tmp_path / "page.html").read_text()


def test_a_spiking_network_runs_as_it_is(study) -> None:
    network = study.trial.placement.network
    found = neuro.study(network, X, chip=neuro.load_chip("loihi2"), machines=(neuro.load_machine("xeon"),), batches=(1,))
    assert (found.trial.chip_run.run.logits == study.trial.chip_run.run.logits).all()
    assert (found.accuracy, found.accuracy_ann, found.agreement) == (None, None, None)
    assert [row.machine for row in found.comparison] == ["loihi2", "xeon"]
    assert found.to_dict()["accuracy_snn"] is None


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"code": "morse"}, UsageError, "code: 'morse' is not known"),
        ({"board": "huge"}, UsageError, "board: 'huge' is not known"),
        ({"within_s": -1.0}, UsageError, "within_s: -1 is not a positive"),
        ({"chip": "loihi9"}, ChipError, "loihi9"),
        ({"labels": Y[:4]}, InputError, r"data, y: its shape is \(4,\) for 30 samples"),
        ({"labels": Y + 1}, InputError, "data, y: class 3 for a network of 3 classes. Use 0 to 2, that is y - 1"),
        ({"calibration": X * np.nan}, InputError, "calibration, x: 30 of 30 samples hold NaN"),
    ],
)
def test_mistakes_are_named_as_arguments(how, error, words) -> None:
    with pytest.raises(error, match=words):
        neuro.study(small(), X, **how)


def test_a_spiking_network_takes_no_code(study) -> None:
    with pytest.raises(UsageError, match="study, code: a spiking network has been converted already. Leave code out"):
        neuro.study(study.trial.placement.network, X, code="rate")
