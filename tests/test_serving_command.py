"""`neuro run` with a rate, a battery, a load and prices: what is printed, written and refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuro.serving.use import SCENARIOS
from tests.commands import NET, here

NAMED = ("mymodel.py:net", "--data", "data.npz", "--code", "graded", "--against", "gap9", "--against", "a100")


@pytest.fixture
def desk(tmp_path) -> Path:
    (tmp_path / "mymodel.py").write_text("import torch\ntorch.manual_seed(3)\n" + NET)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((20, 4)).astype(np.float32), y=rng.integers(0, 5, 20))
    prices = 'life_years = 4\nelectricity_per_kwh = 0.3\ncurrency = "EUR"\n[capital]\nloihi2 = 500\n'
    (tmp_path / "prices.toml").write_text(prices)
    return tmp_path


def test_a_use_is_answered_in_words_tables_json_and_page(desk, monkeypatch, capsys) -> None:
    use = ("--rate", "10/s", "--battery", "1000mAh@3.7V", "--arrivals", "200/s", "--deadline", "15ms", "--prices", "prices.toml")
    monkeypatch.setenv("COLUMNS", "80")
    files = ("--json", "out.json", "--report", "out.html")
    status, printed, errors = here(monkeypatch, capsys, desk, "run", *NAMED, *use, *files)
    assert status == 0, errors
    found = json.loads((desk / "out.json").read_text())
    chip, gap9, a100 = found["serving"]["duty"]
    joules = found["energy_pj"]
    always = sum(pj for part, pj in joules.items() if found["energy_kinds"].get(part) in ("static", "management"))
    idle_w = always / found["latency_ns"] * 1e-3
    assert chip["power_w"] == pytest.approx([idle_w + 10 * joules["dynamic"] * 1e-12] * 2)
    assert chip["battery_days"][0] == pytest.approx(13_320 / chip["power_w"][0] / 86_400)
    assert chip["cost"]["capital"] == pytest.approx(500 * 1e5 / (4 * 365.25 * 86_400))
    assert gap9["power_w"][0] < gap9["power_w"][1], "what it draws while waiting is not public"
    assert gap9["cost"] is None
    assert a100["power_w"][0] > 20, "an idle card draws its idle power"
    assert [row["target"] for row in found["serving"]["load"]] == ["loihi2", "gap9", "a100"]
    assert all(row["p99_s"] <= 0.015 for row in found["serving"]["load"])
    assert {row["target"] for row in found["serving"]["sharing"]} == {"loihi2", "a100 (1 of 7)"}
    assert "At 10.0 /s, waiting included, loihi2 draws" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    page = (desk / "out.html").read_text()
    assert "At this rate, waiting included" in page
    assert found["serving"]["answer"][0].split(",")[0] in page


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenarios_by_name(scenario, desk, monkeypatch, capsys) -> None:
    use = ("--arrivals", scenario, *(("--deadline", "50ms") if scenario == "server" else ()))
    status, printed, errors = here(monkeypatch, capsys, desk, "run", *NAMED, *use, "--json", "-")
    assert status == 0, errors
    rows = json.loads(printed)["serving"]["load"]
    assert all(row["rate_hz"] > 0 for row in rows)


REFUSED = {
    "--rate 10": "--rate: '10' is no rate. Write it as 10/s",
    "--battery 1000mAh@3.7V": "--battery: how long it lasts depends on the rate",
    "--deadline 15ms": "--deadline: requests that have it are not described",
    "--arrivals server": "--arrivals: the server scenario is about a deadline",
    "--arrivals sever": "no rate, no file and no scenario",
    "--prices prices.toml": "--prices: what an inference costs depends on how many",
    "--rate 1/s --prices gone.toml": "gone.toml: there is no such file",
    "--rate 1/s --prices prices.toml --json prices.toml": "it would replace --prices",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_is_refused(options, desk, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, desk, "run", *NAMED, *options.split())
    assert (status, printed, errors.count("\n")) == (2, "", 1)
    assert REFUSED[options] in errors
