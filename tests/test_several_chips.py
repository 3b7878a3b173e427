"""One command, several chips: each is what it would be alone, and one that cannot run the network stops nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.commands import NET, here

NAMED = ("mymodel.py:net", "--data", "data.npz")
BOTH = ("--chip", "loihi2", "--chip", "loihi1-nahuku")


@pytest.fixture
def desk(tmp_path) -> Path:
    (tmp_path / "mymodel.py").write_text("import torch\ntorch.manual_seed(3)\n" + NET)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((30, 4)).astype(np.float32), y=rng.integers(0, 5, 30))
    return tmp_path


def test_each_chip_is_what_it_is_alone(desk, monkeypatch, capsys) -> None:
    named = (*NAMED, "--code", "rate", "--timesteps", "8")
    files = ("--json", "both.json", "--report", "both.html", "--csv", "both.csv")
    status, printed, errors = here(monkeypatch, capsys, desk, "compare", *named, *BOTH, *files)
    assert status == 0, errors
    both = json.loads((desk / "both.json").read_text())
    alone = {}
    for chip in ("loihi2", "loihi1-nahuku"):
        status, text, errors = here(monkeypatch, capsys, desk, "run", *named, "--chip", chip, "--json", "-")
        assert status == 0, errors
        alone[chip] = json.loads(text)
    assert both["other_chips"] == [alone["loihi1-nahuku"]]
    assert {name: both[name] for name in ("verdict", "accuracy_snn", "warnings")} == {
        name: alone["loihi2"][name] for name in ("verdict", "accuracy_snn", "warnings")
    }
    rows = list(csv.DictReader((desk / "both.csv").read_text().splitlines()))
    assert [row["machine"] for row in rows[:2]] == ["loihi2", "loihi1-nahuku"]
    assert float(rows[1]["energy_pj"]) == alone["loihi1-nahuku"]["energy_pj"]["total"]
    assert "On loihi2, code rate with T = 8" in printed
    assert "The same network on other chips" in (desk / "both.html").read_text()


def test_a_chip_that_cannot_run_it_is_named_with_the_reason(desk, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, desk, "run", *NAMED, *BOTH, "--code", "graded", "--json", "out.json")
    assert status == 0, errors
    found = json.loads((desk / "out.json").read_text())
    assert found["other_chips"] == []
    assert "loihi1-nahuku" in found["refused_chips"]
    assert "Not on loihi1-nahuku: " in printed
    backwards = ("--chip", "loihi1-nahuku", "--chip", "loihi2")
    status, _, errors = here(monkeypatch, capsys, desk, "run", *NAMED, *backwards, "--code", "graded")
    assert (status, errors.count("\n")) == (2, 1)


def test_inspect_places_on_each(desk, monkeypatch, capsys) -> None:
    import neuro

    populations = (
        neuro.Population("in", (4,), neuro.Source("rate", levels=7)),
        neuro.Population("out", (3,), neuro.Readout(start_step=1)),
    )
    neuro.Network(populations, (neuro.Dense("in", "out", np.ones((4, 3), int)),), timesteps=2).save(desk / "net.safetensors")
    status, printed, errors = here(monkeypatch, capsys, desk, "inspect", "net.safetensors", *BOTH, "--json", "-")
    assert status == 0, errors
    found = json.loads(printed)
    assert [placed["chip"] for placed in found["placements"]] == ["loihi2", "loihi1-nahuku"]
    assert found["placement"] == found["placements"][0]
    status, _, errors = here(monkeypatch, capsys, desk, "inspect", "net.safetensors", *BOTH, "--pictures", "drawn")
    assert (status, "Name one chip" in errors) == (2, True)
