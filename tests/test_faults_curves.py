"""Curves of faults: points in order, the same healthy run first, what avoids its faults loses nothing; command and page."""

import json
import math
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import neuro
from neuro.cli import app
from neuro.errors import ChipError, InputError, UsageError
from neuro.faultcurves import KINDS, PlacedSamples, curves
from neuro.report.faults import fault_section, fault_values
from tests.chips import random_inputs, random_network, small


def subject(seed: int = 4, samples: int = 6) -> PlacedSamples:
    network = random_network(seed)
    chip = small(neurons=30, mesh={"width": 5, "height": 4}, memory_bits=None)
    inputs = random_inputs(network, samples, seed)
    labels = neuro.run(network, inputs).predictions
    return PlacedSamples(neuro.place(network, chip), inputs, labels)


def test_every_kind_at_its_own_rates() -> None:
    found = curves(subject(), seeds=(0, 1))
    assert found.kinds == tuple(KINDS)
    assert found.healthy.accuracy == 1
    for kind in KINDS:
        points = found.of(kind)
        assert [p.rate for p in points] == [0, *KINDS[kind].rates]
        assert points[0].accuracies == found.healthy.accuracies
        assert all(len(p.accuracies) + len(p.refused) == 2 for p in points[1:])
    for kind in ("dead_cores_avoided", "dead_links"):
        assert {a for p in found.of(kind) for a in p.accuracies} == {1.0}
    assert found.of("dead_cores")[-1].accuracy < 1
    assert np.nanmax([p.energy_pj for p in found.of("dead_links")]) > found.healthy.energy_pj


def test_without_labels_the_agreement_with_the_healthy_run_is_told() -> None:
    whole = subject()
    found = curves(PlacedSamples(whole.placement, whole.inputs), ["dropped_packets"], rates=[0.0, 1.0], seeds=(0,))
    assert found.measure == "agreement"
    assert found.healthy.accuracy == 1
    assert [p.rate for p in found.points] == [0, 1]
    assert found.points[1].energy_pj < found.healthy.energy_pj


def test_what_cannot_be_placed_is_said() -> None:
    full = neuro.place(whole := random_network(4), small(neurons=30, mesh={"width": 5, "height": 4}, memory_bits=None))
    found = curves(PlacedSamples(full, random_inputs(whole, 2, 0)), ["dead_links"], rates=[1.0], seeds=(0, 1))
    point = found.points[1]
    assert (point.accuracies, len(point.refused)) == ((), 2)
    assert "cores" in point.refused[0]
    assert math.isnan(point.accuracy)
    assert fault_values(found)["points"][1]["accuracy"] is None
    assert any("dead links 1" in said for said in fault_section(found).points)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"kinds": ["rust"]}, UsageError, "'rust'"),
        ({"kinds": []}, UsageError, "nothing to try"),
        ({"seeds": ()}, UsageError, "nothing to try"),
        ({"kinds": ["weight_flips"], "rates": [2.0]}, ChipError, "from 0 to 1"),
    ],
)
def test_nonsense_is_refused(how: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        curves(subject(), **how)


def test_labels_must_be_those_of_the_samples() -> None:
    whole = subject()
    with pytest.raises(InputError, match="5,"):
        curves(PlacedSamples(whole.placement, whole.inputs, np.zeros(5, int)), ["weight_flips"])


def test_the_command_tells_the_same_as_the_curves(tmp_path) -> None:
    whole = subject()
    whole.placement.network.save(tmp_path / "n.safetensors")
    np.savez(tmp_path / "d.npz", x=whole.inputs, y=whole.labels)
    kinds = ["--kind", "weight_flips", "--kind", "dead_cores_avoided", "--rate", "0.1", "--seeds", "2"]
    files = [f"--{name}={tmp_path / ('out.' + end)}" for name, end in (("figure", "svg"), ("report", "html"), ("json", "json"))]
    done = CliRunner().invoke(app, ["faults", str(tmp_path / "n.safetensors"), "--data", str(tmp_path / "d.npz"), *kinds, *files])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out.json").read_text())
    placement = neuro.place(whole.placement.network, neuro.load_chip("loihi2"))
    found = curves(
        PlacedSamples(placement, whole.inputs, whole.labels), ["weight_flips", "dead_cores_avoided"], rates=[0.1], seeds=(0, 1)
    )
    assert told["points"] == fault_values(found)["points"]
    assert "weight flips" in done.output
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    page = (tmp_path / "out.html").read_text()
    assert re.search(r"<h2>When parts of the chip are broken</h2>", page)


def test_a_model_without_data_is_refused() -> None:
    done = CliRunner().invoke(app, ["faults", "mine:net"])
    assert isinstance(done.exception, UsageError)
