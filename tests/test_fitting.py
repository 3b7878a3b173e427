"""Which chips a network fits: every preset of one chip is tried, what limits it is told, the smallest is named."""

import json
from pathlib import Path

import numpy as np
import pytest

import neuro
from neuro.studies.fitting import Fit, fit_chips, single_chips, smallest
from tests.commands import here

MODEL = """
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3)).eval()
"""


def wide(neurons: int) -> neuro.Network:
    return neuro.Network(
        (
            neuro.Population("in", (20,), neuro.Source(levels=1)),
            neuro.Population("a", (neurons,), neuro.IntegrateAndFire(9)),
            neuro.Population("out", (3,), neuro.Readout()),
        ),
        (
            neuro.Dense("in", "a", np.ones((20, neurons), int)),
            neuro.Sparse("a", "out", (np.arange(3), np.arange(3), np.ones(3, int))),
        ),
        timesteps=4,
    )


def test_every_kind_of_chip_is_tried_and_boards_grow() -> None:
    x = np.ones((2, 20), np.int64)
    fits = {
        fit.chip: fit for fit in fit_chips(lambda chip: (wide(5_000), None), x, chips=("loihi2", "loihi1-nahuku", "truenorth"))
    }
    assert (fits["loihi2"].chips, fits["loihi1-nahuku"].fits) == (1, True)
    assert fits["loihi2"].cores <= fits["loihi1-nahuku"].cores
    assert 0 < fits["loihi2"].share <= 1
    assert not fits["truenorth"].fits
    assert "potential has 24 bits" in fits["truenorth"].refused
    assert fits["truenorth"].lever
    placement = neuro.place(wide(5_000), neuro.load_chip("loihi2"), board="auto")
    assert fits["loihi2"].energy_pj == neuro.emulate(placement, x).bill.energy_pj


def test_the_smallest_is_the_one_with_fewest_chips_then_least_energy() -> None:
    fits = (
        Fit("a", True, 2, 9, energy_pj=1.0, meets=True), Fit("b", True, 1, 9, energy_pj=9.0, meets=True),
        Fit("c", True, 1, 9, energy_pj=3.0, meets=False), Fit("d", False),
    )  # fmt: skip
    assert smallest(fits).chip == "b"
    assert smallest(fits[2:]) is None
    assert smallest(()) is None


def test_the_command_converts_for_each_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((20, 12), np.float32))
    monkeypatch.setattr("neuro.studies.fitting.single_chips", lambda: ("loihi2", "loihi2-oheo", "truenorth"))
    status, out, errors = here(
        monkeypatch, capsys, tmp_path, "chips", "--fit", "mine.py:net", "--data", "x.npz", "--rate", "100", "--json", "-"
    )
    assert status == 0, errors
    told = json.loads(out)
    rows = {row["chip"]: row for row in told["chips"]}
    assert told["smallest"] in ("loihi2", "loihi2-oheo")
    assert rows["loihi2"]["meets"]
    assert rows["loihi2"]["agreement"] > 0.5
    assert not rows["truenorth"]["fits"]
    status, out, _ = here(monkeypatch, capsys, tmp_path, "chips", "--fit", "mine.py:net", "--data", "x.npz", "--rate", "1e9")
    assert (status, "Smallest" in out, "none" in out) == (0, True, True)
    for wrong in (
        ("chips", "--rate", "3"),
        ("chips", "--fit", "mine.py:net"),
        ("chips", "loihi2", "--fit", "mine.py:net", "--data", "x.npz"),
    ):
        status, _, errors = here(monkeypatch, capsys, tmp_path, *wrong)
        assert (status, "Traceback" in errors) == (2, False)


def test_single_chips_are_no_boards() -> None:
    assert {"loihi2", "loihi2-oheo", "truenorth"} <= set(single_chips())
    assert "hala-point" not in single_chips()
