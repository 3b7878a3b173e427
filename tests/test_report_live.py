"""Moved sliders give the numbers that Python gives, to the last digit, in a real browser; and the page asks for nothing."""

import json
import math
import re
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import neuro
from converters.frontend import trace
from neuro import units
from neuro.chip.emulator import ChipRun
from neuro.chip.pricing import price
from neuro.engine.pace import Work
from neuro.machines.costing import cost
from neuro.machines.workload import weigh
from neuro.report.live import FACTORS, RATES, machine_data
from neuro.report.result import result
from neuro.serving.duty import duty
from neuro.serving.targets import Target, machine_target
from neuro.studies.data import Data
from neuro.studies.settings import StudySettings
from neuro.studies.study import Study, study_model
from tests.browser import _FLAGS, CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
SETTINGS = (
    {},
    {"activity": 3},
    {"activity": 15, "static": 2},
    {"synapse": 4, "neuron": 14, "messages": 17},
    {"window": 2},
    {"window": 0, "synapse": 9, "static": 19, "batch": 5},
    {"batch": 10},
    {"rate": 12},
    {"rate": 20, "static": 3, "activity": 1},
    {"rate": 27, "window": 4, "neuron": 0},
)
_DRIVE = """<script>addEventListener("load", () => {
  const room = document.getElementById("live"), seen = [];
  for (const setting of SETTINGS) {
    for (const slider of room.querySelectorAll("input[type=range]")) {
      slider.value = slider.name in setting ? setting[slider.name] : slider.defaultValue;
    }
    room.dispatchEvent(new Event("input"));
    const out = {};
    for (const place of room.querySelectorAll("[data-out]")) {
      out[place.dataset.out] = [place.dataset.value ?? null, place.textContent];
    }
    const told = cell => cell.dataset.value ?? cell.textContent;
    out.rows = [...room.querySelectorAll("tbody tr")].map(row => [...row.cells].map(told));
    seen.push(out);
  }
  const note = document.createElement("pre");
  note.id = "driven";
  const requests = performance.getEntriesByType("resource").map(r => r.name);
  note.textContent = JSON.stringify({seen, hidden: room.hidden, requests});
  document.body.append(note);
});</script>"""


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def study() -> Study:
    """A network in rate code, whose readout can be read early, on a chip beside machines."""
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 1, 6, 6), np.float32), rng.integers(0, 3, 24)
    settings = StudySettings("rate", 6, machines=("gap9", "a100", "edge-tpu", "xeon"))
    return study_model(small(), x, neuro.load_chip("loihi2"), Data(x, y), settings, work=Work())


@pytest.fixture(scope="module")
def driven(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    study.write_report(folder / "r.html")
    text = (folder / "r.html").read_text()
    drive = _DRIVE.replace("SETTINGS", json.dumps(SETTINGS))
    (folder / "driven.html").write_text(text.replace("</body>", f"{drive}</body>"))
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", (folder / "driven.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r'<pre id="driven">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen = json.loads(unescape(found[1]))
    assert seen["requests"] == []
    assert seen["hidden"] is False
    assert Path(folder / "r.html").stat().st_size < 600_000
    return seen["seen"]


def until(chip_run: ChipRun, steps: int):
    """The counts of the first steps alone."""
    counts = chip_run.counts
    by_step = ("spikes", "packets_out", "packets_in", "updates", "passes", "products", "lookups")
    by_step += ("synaptic_updates", "driven", "restless", "hops")
    cut = {n: getattr(counts, n)[:steps] for n in by_step}
    cut |= {n: getattr(counts, n)[:, :steps] for n in ("each", "heaviest", "far")}
    synops = {form: table[:steps] for form, table in counts.synops.items()}
    return replace(counts, steps=steps, synops=synops, **cut)


def scaled(chip, setting):
    """The chip with prices and powers as the sliders say."""
    factor = {name: FACTORS[setting.get(name, FACTORS.index(1.0))] for name in ("synapse", "neuron", "messages", "static")}
    energy = {}
    groups = {"synop": "synapse", "synaptic": "synapse", "neuron": "neuron", "product": "neuron", "lookup": "neuron"}
    for name in chip.energy.__dataclass_fields__:
        value = getattr(chip.energy, name)
        if isinstance(value, float):
            energy[name] = value * factor[groups.get(name.partition("_")[0], "messages")]
    power = {n: v * factor["static"] for n in ("static", "management") if (v := getattr(chip.power, n)) is not None}
    return replace(chip, energy=replace(chip.energy, **energy), power=replace(chip.power, **power))


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_moved_sliders_give_what_python_gives(study, driven, number) -> None:
    setting, seen = SETTINGS[number], driven[number]
    run, accuracies = study.trial.chip_run, study.trial.accuracy_by_step
    last = len(accuracies) - 1
    window = setting.get("window", last)
    steps = run.run.steps - (last - window)
    chip = scaled(study.trial.placement.chip, setting)
    bill = price(until(run, steps), chip)
    activity = FACTORS[setting.get("activity", FACTORS.index(1.0))]
    dynamic = bill.dynamic_pj if activity == 1 else activity * bill.dynamic_pj
    total = dynamic
    for part in bill.parts:
        if part.kind != "dynamic" and part.energy_pj is not None:
            total += part.energy_pj
    assert float(seen["latency"][0]) == bill.latency_ns
    assert float(seen["dynamic"][0]) == dynamic
    assert float(seen["energy"][0]) == total
    assert seen["energy"][1] == units.energy(total)
    assert seen["latency"][1] == units.time(bill.latency_ns)
    assert float(seen["accuracy"][0]) == accuracies[window]

    rate = RATES[setting.get("rate", 0)]
    waiting = sum(v for v in (chip.power.static, chip.power.management) if v is not None)
    target = Target("chip", (1.0,), (bill.latency_ns * 1e-9,), (dynamic * 1e-12,), (waiting, waiting))
    own = duty(target, rate).power_w if rate else (0.0, 0.0)
    assert float(seen["power"][0]) == own[0]
    batch = 2 ** setting.get("batch", 0)
    shown = {row[0]: row for row in seen["rows"][1:]}
    known = [machine["name"] for machine in machine_data(study.comparison)]
    assert set(shown) == set(known) >= {"gap9", "a100", "edge-tpu"}
    work = weigh(trace(small(), np.ones((2, 1, 6, 6), np.float32)))
    for name in known:
        machine = neuro.load_machine(name)
        its = cost(work, machine, batch=batch)
        assert float(shown[name][1]) == its.energy_pj
        assert float(shown[name][2]) == its.energy_pj / total
        if rate:
            assert float(shown[name][3]) == duty(machine_target(work, machine, 1), rate).power_w[1]
    rival = min(known, key=lambda name: float(shown[name][3 if rate else 1]))
    verdict = seen["verdict"][1]
    assert rival in verdict
    if not rate:
        assert verdict.startswith("Yes" if total <= float(shown[rival][1]) else "No")
    elif own[0] > float(shown[rival][3]):
        assert verdict.startswith("No")


def test_at_first_the_page_says_what_the_command_says(study, driven) -> None:
    said = result(study)["verdict"]["answer"][0].removeprefix("Does it pay? ")
    assert (
        driven[0]["verdict"][1] == said.replace("Yes, one inference at a time: loihi2 needs", "Yes: loihi2 needs")
        or said in (driven[0]["verdict"][1])
    )
    assert math.isclose(float(driven[0]["energy"][0]), study.trial.chip_run.bill.energy_pj, rel_tol=0)


def test_without_script_nothing_is_missing_and_controls_are_not_shown(study, tmp_path) -> None:
    study.write_report(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert '<form id="live" hidden' in text
    assert units.energy(study.trial.chip_run.bill.energy_pj) in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "<title>core " in text
