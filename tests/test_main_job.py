"""The main job end to end, as commands: `neuro demo` on the digits, `neuro run` on a network of the user's own."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import neuro
from neuro.digits import model
from neuro.digits.data import load_digits
from neuro.rivals import EDGE, GROUPS
from tests.commands import here

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
NEURO = (sys.executable, "-m", "neuro")
KEYS = {"accuracy_ann", "accuracy_snn", "samples", "chip", "code", "timesteps", "neurons", "synapses", "cores_used", "spikes"}
KEYS |= {"synops", "updates", "packets", "latency_ns", "energy_pj", "assumptions", "comparison", "versions", "seed"}
COMPARED = {"machine", "batch", "precision", "latency_ns", "throughput_per_s", "energy_pj", "energy_kind", "basis"}
NETS = """
import torch
def small():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 20), torch.nn.ReLU(), torch.nn.Linear(20, 10))
def broken():
    raise ValueError("no weights today")
def odd():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 20), torch.nn.GELU(), torch.nn.Linear(20, 10))
number = 3
"""


def call(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*NEURO, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A user's folder: a module, data, weights, a saved network."""
    folder = tmp_path_factory.mktemp("desk")
    digits = load_digits()
    (folder / "nets.py").write_text(NETS)
    np.savez(folder / "few.npz", x=digits.x_held_out[:40], y=digits.y_held_out[:40])
    np.savez(folder / "strange.npz", x=digits.x_held_out[:4], y=np.array([0, 1, 12, 3]))
    np.savez(folder / "flat.npz", x=digits.x_held_out[:40].reshape(40, 64))
    network = neuro.Network(
        populations=(
            neuro.Population("in", (1, 8, 8), neuro.Source(code="rate", scale=1 / 16, levels=16)),
            neuro.Population("hidden", (4, 6, 6), neuro.IntegrateAndFire(threshold=30, start_step=1)),
            neuro.Population("out", (10,), neuro.Readout(start_step=2)),
        ),
        projections=(
            neuro.Conv2d("in", "hidden", np.random.default_rng(0).integers(-9, 20, (4, 1, 3, 3))),
            neuro.Dense("hidden", "out", np.random.default_rng(1).integers(-9, 9, (144, 10))),
        ),
        timesteps=6,
    )
    network.save(folder / "net.safetensors")
    ring = neuro.Network(
        populations=(neuro.Population("in", (2,), neuro.Source()), neuro.Population("a", (2,), neuro.IntegrateAndFire(5))),
        projections=(neuro.OneToOne("in", "a"), neuro.OneToOne("a", "a", 3)),
        timesteps=4,
    )
    ring.save(folder / "loop.safetensors")
    np.savez(folder / "pairs.npz", x=np.array([[1, 2], [3, 4]]))
    return folder


def test_demo_keeps_its_promises(demo) -> None:
    found = json.loads((demo / "result.json").read_text())
    assert set(found) >= KEYS
    assert found["samples"] == 450
    assert found["accuracy_ann"] >= 0.97
    assert found["accuracy_snn"] >= found["accuracy_ann"] - 0.01
    assert {"total", "dynamic"} < set(found["energy_pj"])
    assert all(set(row) >= COMPARED for row in found["comparison"])
    targets = [(row["machine"], row["batch"]) for row in found["comparison"]]
    assert targets[0] == ("loihi2", 1)
    assert set(targets[1:]) == {(m, b) for m in (*GROUPS["edge"], *GROUPS["datacentre"]) for b in (1, 64)}
    alone = [row for row in found["comparison"] if row["batch"] == 1 and row["energy_pj"]]
    assert found["verdict"]["winner"] == min(alone, key=itemgetter("energy_pj"))["machine"]
    assert {row["code"] for row in found["codes"]} == {"rate", "signed", "wait", "radix", "graded"}
    assert found["seed"] == 0


def test_demo_numbers_agree_with_each_other(demo) -> None:
    found = json.loads((demo / "result.json").read_text())
    joules = found["energy_pj"]
    parts = {name: pj or 0.0 for name, pj in joules.items() if name not in ("total", "dynamic")}  # null: not public
    assert math.isclose(sum(parts.values()), joules["total"])
    assert math.isclose(sum(pj for name, pj in parts.items() if found["energy_kinds"][name] == "dynamic"), joules["dynamic"])
    assert found["comparison"][0]["energy_pj"] == joules["total"]
    assert math.isclose(sum(found["times_ns"].values()), found["latency_ns"])
    assert found["synops"] > found["spikes"] > 0
    assert found["packets"] >= 1


def test_demo_prints_what_it_must_not_hide(demo) -> None:
    printed = (demo / "printed.txt").read_text()
    for word in ("batch", "dynamic", "total", "assumed", "MAC", "Throughput:", "report.html", "result.json"):
        assert word in printed
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 110


def test_demo_page_is_small_and_complete(demo) -> None:
    page = (demo / "report.html").read_text()
    assert len(page.encode()) < 600_000
    for name in ("accuracy", "energy", "chip", "spikes", "comparison", "constants", "reproduce"):
        assert f'<section id="{name}">' in page
    assert page.count("<svg ") >= 8


def test_run_a_module_from_the_current_folder(desk) -> None:
    done = call(desk, "run", "nets:small", "--data", "few.npz", "--json", "out.json", "--report", "out.html", "--quiet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    found = json.loads((desk / "out.json").read_text())
    assert set(found) >= KEYS
    assert (found["samples"], found["code"], len(found["comparison"])) == (40, "graded", 1 + 2 * len(EDGE))
    assert (desk / "out.html").stat().st_size < 600_000


def test_a_chip_of_narrow_potentials_runs_a_float_network(desk, monkeypatch, capsys) -> None:
    status, printed, errors = here(
        monkeypatch, capsys, desk, "run", "nets:small", "--data", "few.npz", "--chip", "speck", "--all-codes"
    )
    assert status == 0, errors
    assert [line.split(":")[0].strip() for line in printed.splitlines() if line.startswith(" No ")] == [
        f"No {code}" for code in ("signed", "wait", "radix", "graded")
    ]
    assert "Energy of one inference" not in printed  # none is public
    flags = ("--data", "few.npz", "--json", "-")
    wide, narrow = (
        json.loads(here(monkeypatch, capsys, desk, "run", "nets:small", *flags, "--chip", chip)[1])
        for chip in ("loihi2", "speck")
    )
    assert narrow["cores_used"] <= 9
    assert abs(narrow["accuracy_snn"] - wide["accuracy_snn"]) <= 2 / narrow["samples"]


@pytest.mark.parametrize(
    ("chip", "codes"), [("loihi2", {"radix", "graded", "wait", "signed"}), ("loihi1-nahuku", {"rate", "wait"})]
)
def test_auto_takes_a_code_that_the_chip_can_run(chip, codes, desk, monkeypatch, capsys) -> None:
    flags = ("--data", "few.npz", "--code", "auto", "--chip", chip, "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "nets:small", *flags)
    assert status == 0, errors
    found = json.loads(printed)
    assert found["code"] in codes
    assert sum(note.startswith(f"auto: {found['code']} with T = {found['timesteps']}") for note in found["diagnosis"]) == 1
    status, _, errors = here(monkeypatch, capsys, desk, "run", "nets:small", *flags, "--timesteps", 8)
    assert (status, errors) == (2, "neuro: --timesteps: --code auto chooses them too. Leave --timesteps out, or name a code.\n")


def test_auto_is_for_networks_of_ones_own(desk, monkeypatch, capsys) -> None:
    status, _, errors = here(monkeypatch, capsys, desk, "demo", "--code", "auto")
    assert status == 2
    assert "'auto' is none that the demo shows" in errors
    status, _, errors = here(
        monkeypatch, capsys, desk, "compare", "--table", 1, "--weights", "w", "--data", "few.npz", "--code", "auto"
    )
    assert status == 2
    assert "takes hours" in errors


def test_run_takes_weights_and_another_chip(desk, monkeypatch, capsys) -> None:
    weights = {
        "1.weight": torch.ones(20, 64),
        "1.bias": torch.zeros(20),
        "3.weight": torch.ones(10, 20),
        "3.bias": torch.zeros(10),
    }
    weights["3.bias"][7] = 40.0
    save_file(weights, desk / "w.safetensors")
    flags = ("--weights", "w.safetensors", "--chip", "loihi1-nahuku", "--timesteps", 8, "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "nets:small", "--data", "few.npz", *flags)
    assert status == 0, errors
    found = json.loads(printed)
    sevens = np.load(desk / "few.npz")["y"] == 7
    assert found["accuracy_ann"] == found["accuracy_snn"] == sevens.mean()
    assert found["chip"] == "loihi1-nahuku"


def test_run_a_saved_network(desk, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "net.safetensors", "--data", "few.npz", "--json", "-")
    assert status == 0, errors
    found = json.loads(printed)
    assert (found["timesteps"], found["steps"], found["accuracy_ann"]) == (6, 8, None)
    run = neuro.run(neuro.Network.load(desk / "net.safetensors"), np.load(desk / "few.npz")["x"])
    assert found["synops"] == run.synops / 40
    assert len(found["comparison"]) == 1 + 2 * len(EDGE)
    assert "2,736 MAC" in " ".join(found["conditions"])
    assert found["accuracy_snn"] == (run.predictions == np.load(desk / "few.npz")["y"]).mean()


def test_compare_with_machines_of_ones_choice(desk, monkeypatch, capsys) -> None:
    flags = ("--machine", "xeon", "--batch", 3, "--batch", 5, "--code", "graded")
    status, printed, errors = here(
        monkeypatch, capsys, desk, "compare", "nets:small", "--data", "few.npz", *flags, "--csv", "rows.csv"
    )
    assert status == 0, errors
    rows = list(csv.DictReader((desk / "rows.csv").read_text().splitlines()))
    assert [(row["machine"], row["batch"]) for row in rows] == [("loihi2", "1"), ("xeon", "3"), ("xeon", "5")]
    assert "total energy" in printed


def test_codes_that_cannot_be_had_and_what_layers_lose_are_told(desk, monkeypatch, capsys) -> None:
    flags = ("--all-codes", "--diagnose", "--chip", "loihi1-nahuku", "--timesteps", 4, "--json", "codes.json")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", "nets:small", "--data", "few.npz", *flags)
    assert status == 0, errors
    found = json.loads((desk / "codes.json").read_text())
    had = [row["code"] for row in found["codes"]]
    assert had[0] == "rate"
    assert {*had, *found["refused_codes"]} == {"rate", "signed", "wait", "radix", "graded"}
    assert "the chip's carry none" in found["refused_codes"]["graded"]
    assert "What each layer loses" in printed
    assert all(layer["name"] in printed for layer in found["losses"]["layers"])


def test_a_network_that_machines_cannot_run_is_still_told(desk, monkeypatch, capsys) -> None:
    status, printed, errors = here(
        monkeypatch, capsys, desk, "run", "loop.safetensors", "--data", "pairs.npz", "--json", "l.json"
    )
    assert status == 0, errors
    found = json.loads((desk / "l.json").read_text())
    assert (found["comparison"], found["verdict"]) == ([], None)
    assert "no comparison with machines: " in " ".join(printed.split())
    assert "form a loop" in " ".join(found["facts"])


def test_a_comparison_needs_no_file(desk, monkeypatch, capsys) -> None:
    before = sorted(desk.iterdir())
    flags = ("--data", "few.npz", "--machine", "xeon", "--batch", 2)
    status, printed, errors = here(monkeypatch, capsys, desk, "compare", "net.safetensors", *flags)
    assert status == 0, errors
    assert "xeon" in printed
    assert sorted(desk.iterdir()) == before


def test_faults_of_a_float_network_and_of_the_digits(desk, monkeypatch, capsys) -> None:
    """With labels the accuracy, of the network that was named; without a name that of the demonstration."""
    monkeypatch.setattr(model, "train", partial(model.train, epochs=1))
    flags = ("--kind", "dropped_packets", "--rate", 1, "--seeds", 1, "--code", "rate", "--timesteps", 2, "--json", "-")
    for named, samples in ((("nets:small", "--data", "few.npz"), 40), ((), 150)):
        status, printed, errors = here(monkeypatch, capsys, desk, "faults", *named, *flags)
        assert status == 0, errors
        found = json.loads(printed)
        assert (found["samples"], found["measure"]) == (samples, "accuracy")
        whole, nothing = found["points"]
        assert (whole["rate"], whole["accuracy"]) == (0, found["healthy"])
        assert nothing["energy_pj"] < whole["energy_pj"], "messages that are lost cost nothing"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nets:small", "--data", "none.npz"), ("none.npz", "there is no such file")),
        (("run", "nets:small", "--data", "nets.py"), ("nets.py", "cannot be read as .npz")),
        (("run", "nets:small", "--data", "few.npz", "--chip", "loihi9"), ("loihi9", "loihi2")),
        (("run", "nets:small", "--data", "few.npz", "--code", "morse"), ("morse", "radix")),
        (("run", "nets:small", "--data", "few.npz", "--weights", "few.npz"), ("few.npz", "safetensors")),
        (("run", "nets:small", "--data", "few.npz", "--report", "nowhere/out.html"), ("nowhere", "folder does not exist")),
        (("run", "nets:small", "--data", "few.npz", "--json", "."), ("it is a folder",)),
        (("run", "nets:nothing", "--data", "few.npz"), ("nothing", "small")),
        (("run", "nets:number", "--data", "few.npz"), ("int, not a callable",)),
        (("run", "nets:broken", "--data", "few.npz"), ("ValueError: no weights today, nets.py:7",)),
        (("run", "nets:odd", "--data", "few.npz", "--code", "rate"), ("GELU", "graded")),
        (("run", "nett:small", "--data", "few.npz"), ("there is no module 'nett'",)),
        (("run", "small", "--data", "few.npz"), ("neither a file nor package.module:callable",)),
        (("run", "gone.safetensors", "--data", "few.npz"), ("gone.safetensors", "there is no such file")),
        (("run", "net.safetensors", "--data", "flat.npz"), ("(40, 64)",)),
        (("run", "net.safetensors", "--data", "few.npz", "--code", "rate"), ("--code", "saved spiking network")),
        (("run", "net.safetensors", "--data", "few.npz", "--diagnose"), ("--diagnose", "Name the float network")),
        (("run", "nets:small", "--data", "strange.npz"), ("class 12 for a network of 10 classes", "Use 0 to 9")),
        (("compare", "nets:small", "--data", "few.npz", "--machine", "abacus"), ("abacus", "a100")),
        (("faults", "nets:small"), ("belong together", "neuro faults MODEL --data FILE.npz")),
        (("faults", "loop.safetensors", "--data", "few.npz", "--weights", "w.safetensors"), ("Leave --weights out",)),
        (("compare", "loop.safetensors", "--data", "pairs.npz"), ("form a loop",)),
        (("demo", "--chip", "loihi9"), ("loihi9",)),
        (("demo", "--code", "morse"), ("morse",)),
    ],
    ids=lambda value: " ".join(map(str, value))[:60],
)
def test_mistakes_get_one_paragraph(desk, arguments, words, monkeypatch, capsys) -> None:
    before = sorted(desk.iterdir())
    status, printed, said = here(monkeypatch, capsys, desk, *arguments)
    errors = "".join(line for line in said.splitlines(True) if "compiling kernels" not in line)  # on the first run of a machine
    assert (status, printed, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith("neuro: ")
    for word in words:
        assert word in errors
    assert [path for path in sorted(desk.iterdir()) if path not in before and path.name != "__pycache__"] == []


TELLING = """
import os, sys
told, waited = [], sys.argv[1]
def tell(event, details):
    if event == "import" and details[0] == waited and not told:
        told.append(os.write(1, b"."))
sys.addaudithook(tell)
sys.argv = ["neuro", *sys.argv[2:]]
from neuro.cli import main
main()
"""


@pytest.mark.parametrize("moment", ["torch", "neuro.engine.event"])
def test_ctrl_c_ends_at_once_and_leaves_nothing(tmp_path, moment) -> None:
    """At the import of `moment`: before anything was done, and when the network is about to run."""
    command = [sys.executable, "-c", TELLING, moment, "demo", "--quiet"]
    started = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.read(1) == b"."
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate()
    assert started.returncode == 130
    assert errors.strip() == b"neuro: interrupted"
    assert list(tmp_path.iterdir()) == []
