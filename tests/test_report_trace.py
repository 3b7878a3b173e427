"""Traces: valid against the trace event format, and equal to the counts and times that they show."""

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

import neuro
from neuro.chip.counts import IN, OUT, SPIKES, SYNOPS
from neuro.errors import UsageError
from neuro.report.trace import CHIP, CORES, trace, write_trace

PLACE = {"ph", "pid", "name"}
FIELDS = {"M": PLACE | {"args"}, "X": PLACE | {"tid", "ts", "dur"}, "C": PLACE | {"ts", "args"}}


def run(noc: str = "analytic", timed_as: str = "loihi2"):
    populations = (
        neuro.Population("in", (6,), neuro.Source("rate", levels=7)),
        neuro.Population("hidden", (40,), neuro.IntegrateAndFire(20, start_step=1)),
        neuro.Population("out", (3,), neuro.Readout(start_step=2)),
    )
    rng = np.random.default_rng(0)
    projections = (
        neuro.Dense("in", "hidden", rng.integers(-5, 20, (6, 40))),
        neuro.Dense("hidden", "out", rng.integers(-5, 9, (40, 3))),
    )
    network = neuro.Network(populations, projections, timesteps=6)
    chip = replace(neuro.load_chip("loihi2"), time=neuro.load_chip(timed_as).time)
    return neuro.emulate(neuro.place(network, chip), rng.integers(0, 8, (5, 6)), noc=noc)


@pytest.mark.parametrize("noc", ["analytic", "packet"])
def test_a_trace_is_valid_and_says_what_was_counted(noc, tmp_path) -> None:
    chip_run = run(noc=noc)
    write_trace(tmp_path / "t.json", chip_run)
    written = json.loads((tmp_path / "t.json").read_text())
    assert written == json.loads(json.dumps(trace(chip_run)))
    assert set(written) == {"traceEvents", "displayTimeUnit", "otherData"}
    slices = defaultdict(list)
    for event in written["traceEvents"]:
        assert set(event) >= FIELDS[event["ph"]], event
        if event["ph"] == "X":
            assert event["ts"] >= 0
            assert event["dur"] > 0
            slices[event["pid"], event["tid"]].append(event)
        if event["ph"] == "C":
            assert all(isinstance(value, int) for value in event["args"].values())
    for row in slices.values():  # as viewers add them up, without tolerance: within each other, or one after the other
        open_until: list[float] = []
        for event in sorted(row, key=lambda e: (e["ts"], -e["dur"])):
            while open_until and open_until[-1] <= event["ts"]:
                open_until.pop()
            assert all(event["ts"] + event["dur"] <= end for end in open_until)
            open_until.append(event["ts"] + event["dur"])
    steps = [event for event in slices[CHIP, 0] if event["name"].startswith("step ")]
    total = chip_run.step_times.total[0]
    assert [event["dur"] for event in steps] == pytest.approx(total / 1e3, abs=1e-4)
    parts = [event["dur"] for event in slices[CHIP, 0] if not event["name"].startswith("step ")]
    assert sum(parts) == pytest.approx(total.sum() / 1e3, abs=1e-3)
    cores = [event for (group, _), row in slices.items() if group == CORES for event in row]
    each = chip_run.counts.each[0].sum(axis=(0, 1))
    for name, at in (("spikes", SPIKES), ("packets_out", OUT), ("packets_in", IN)):
        assert sum(event["args"][name] for event in cores) == each[at]
    assert sum(event["args"]["synops"] for event in cores) == each[SYNOPS:].sum()
    named = {e["tid"]: e["args"]["name"] for e in written["traceEvents"] if e["name"] == "thread_name"}
    assert set(named) == set(range(len(chip_run.counts.cores)))
    assert any("hidden" in name for name in named.values())
    counters = [event["args"]["packets"] for event in written["traceEvents"] if event["ph"] == "C"]
    assert sum(counters) == each[IN]
    assert counters[1::2] == [0] * len(total)


def test_a_chip_without_public_times_has_no_trace() -> None:
    with pytest.raises(UsageError, match="the times of loihi2 are not public"):
        trace(run(timed_as="speck"))
