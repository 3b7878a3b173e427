"""What is not public of a chip is shown as such on the terminal, the page and in JSON; nothing fails and nothing is NaN."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

import neuro
from neuro.report.terminal import tables
from tests.commands import here

GRAPHIC = ("parts", "layers", "times", "steps")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A network of 16-bit neurons with its data, and a chip whose times are all unknown."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    fire = neuro.IntegrateAndFire(5, potential_bits=16)
    populations = (neuro.Population("in", (9,), neuro.Source("rate", levels=3)), neuro.Population("out", (3,), fire))
    network = neuro.Network(populations, (neuro.Dense("in", "out", rng.integers(-3, 7, (9, 3))),), timesteps=4)
    network.save(folder / "net.safetensors")
    np.savez(folder / "data.npz", x=rng.integers(0, 4, (5, 9)), y=np.array([0, 1, 2, 0, 1]))
    times = "".join(f"{field.name} = {{}}\n" for field in dataclasses.fields(neuro.load_chip("loihi2").time))
    (folder / "silent.toml").write_text(f'[chip]\nbase = "loihi2"\nname = "silent"\n[time]\n{times}')
    return folder


@pytest.mark.parametrize(
    ("chip", "energy", "missing"), [("silent.toml", True, {"times", "steps"}), ("speck", False, set(GRAPHIC))]
)
def test_a_run_tells_what_is_not_public(desk, chip, energy, missing, monkeypatch, capsys) -> None:
    flags = ("--data", "data.npz", "--chip", chip, "--json", "out.json", "--report", "out.html")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "net.safetensors", *flags)
    assert status == 0, errors
    found, page = json.loads((desk / "out.json").read_text()), (desk / "out.html").read_text()
    assert (found["latency_ns"], found["throughput_per_s"], found["codes"][0]["latency_ns"]) == (None, None, None)
    assert found["comparison"][0]["latency_ns"] is None
    assert found["energy_pj"]["total"] is None  # without a time nobody knows for how long the chip is switched on
    assert (found["energy_pj"]["dynamic"] is not None) == energy
    assert found["comparison"][0]["energy_pj"] is None
    assert (found["comparison"][0]["dynamic_pj"] is not None) == energy
    assert found["verdict"]["energy_kind"] == "dynamic"
    assert (found["verdict"]["pays"] is not None) == energy
    assert "least total energy" not in found["verdict"]["details"][0]
    assert not any(said.startswith(("Latency", "Throughput")) for said in found["verdict"]["details"])
    assert found["repriced"] == []
    assert "not public" in printed
    assert "not public" in page
    titles = {"parts": "Energy by part", "layers": "Energy by population", "times": "Time by cause", "steps": "What each step of"}
    assert {name for name, title in titles.items() if f'aria-label="{title}' not in page} == missing
    assert "nan" not in page.casefold().replace("resonan", "")
    assert "The same counts at other published price lists" not in page


def test_a_comparison_leaves_blank_what_is_not_public(desk, monkeypatch, capsys) -> None:
    flags = ("--data", "data.npz", "--chip", "silent.toml", "--machine", "xeon", "--batch", 1, "--csv", "-")
    status, printed, errors = here(monkeypatch, capsys, desk, "compare", "net.safetensors", *flags)
    assert status == 0, errors
    chip, machine = csv.DictReader(printed.splitlines())
    assert (chip["machine"], chip["latency_ns"], chip["throughput_per_s"]) == ("silent", "", "")
    assert chip["energy_pj"] == ""
    assert float(chip["dynamic_pj"]) > 0
    assert float(machine["latency_ns"]) > 0


@pytest.mark.parametrize("chip", ["silent.toml", "speck"])
def test_faults_of_such_a_chip_are_told(desk, chip, monkeypatch, capsys) -> None:
    flags = ("--data", "data.npz", "--chip", chip, "--kind", "dropped_packets", "--rate", 0.5, "--seeds", 1)
    written = ("--json", "faults.json", "--report", "faults.html", "--figure", "faults.svg")
    status, printed, errors = here(monkeypatch, capsys, desk, "faults", "net.safetensors", *flags, *written)
    assert status == 0, errors
    assert "not public" in printed
    points = json.loads((desk / "faults.json").read_text())["points"]
    assert [(point["rate"], point["latency_ns"]) for point in points] == [(0.0, None), (0.5, None)]
    assert points[1]["energy_pj"] is None
    assert "When parts of the chip are broken" in (desk / "faults.html").read_text()
    assert (desk / "faults.svg").read_text().startswith("<svg")


def test_figures_that_are_assumed_are_counted_where_there_are_any(desk, monkeypatch, capsys) -> None:
    flags = ("--data", "data.npz", "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "net.safetensors", *flags)
    assert status == 0, errors
    found = json.loads(printed)
    for conditions, told in (
        (["for everything", "loihi2: 3 W assumed", "loihi2: hops unknown"], "unknown: loihi2 2;"),
        ([], None),
    ):
        shown = Console(width=200, file=io.StringIO())
        shown.print(tables({**found, "conditions": conditions, "assumptions": ["on one sample"]}))
        text = shown.file.getvalue()
        assert "on one sample" in text
        assert ("figures that are assumed or unknown" in text) == bool(told)
        assert not told or told in text
