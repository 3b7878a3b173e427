"""compare(): the chip beside the machines, conditions stated, the crossing point computed."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import neuro
from neuro.bill import Bill, Part
from neuro.errors import MachineError, UsageError
from neuro.graph import Graph, Layer


@dataclass
class ChipRun:
    bill: Bill


def tiny() -> Graph:
    rng = np.random.default_rng(0)
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    return Graph(
        (
            Layer("x", "input", (), (1, 8, 8)),
            Layer("conv", "conv", ("x",), (4, 8, 8), {"weight": rng.normal(size=(4, 1, 3, 3)), "bias": np.zeros(4)}, options),
            Layer("relu", "relu", ("conv",), (4, 8, 8), options={"ceiling": None}),
            Layer("flat", "reshape", ("relu",), (256,)),
            Layer("out", "linear", ("flat",), (10,), {"weight": rng.normal(size=(10, 256))}),
        ),
        name="tiny",
    )


def chip_bill(dynamic_pj: float = 1e6, static_pj: float = 1e5) -> Bill:
    parts = (Part("synapses", dynamic_pj), Part("leakage", static_pj, "static"))
    return Bill("loihi2", parts, latency_ns=1e5, throughput_per_s=1e4, basis="simulated")


def test_rows_hold_chip_and_every_machine_at_every_batch() -> None:
    table = neuro.compare(tiny(), ChipRun(chip_bill()), machines=("a100", "xeon"), batches=(1, 64))
    assert [(row.machine, row.batch) for row in table.rows] == [
        ("loihi2", 1),
        ("a100", 1),
        ("a100", 64),
        ("xeon", 1),
        ("xeon", 64),
    ]
    assert {row["energy_kind"] for row in table} == {"total"}
    assert table.to_rows()[0]["energy_pj"] == pytest.approx(1.1e6)
    assert any("FLOP = 2 x MAC" in condition for condition in table.conditions)


def test_energy_per_inference_falls_with_the_batch_and_latency_rises() -> None:
    table = neuro.compare(tiny(), ChipRun(chip_bill()), machines=("a100",), batches=(1, 64))
    one, many = table.rows[1:]
    assert many.energy_pj < one.energy_pj
    assert many.latency_ns >= one.latency_ns


def test_crossing_batch_is_where_the_machine_first_needs_less() -> None:
    workload, machine = neuro.weigh(tiny()), neuro.load_machine("a100")
    level = neuro.cost(workload, machine, batch=20).energy_pj
    chip = chip_bill(dynamic_pj=level * 1.0001, static_pj=0.0)
    table = neuro.compare(tiny(), ChipRun(chip), machines=("a100",))
    assert "below batch 20; from there a100 needs less (" in table.crossing


def test_crossing_activity_draws_level() -> None:
    machine = neuro.cost(neuro.weigh(tiny()), neuro.load_machine("a100"))
    table = neuro.compare(tiny(), ChipRun(chip_bill(machine.energy_pj / 4, 0.0)), machines=("a100",))
    assert "at 4 times this activity or at 4 times as many time steps" in table.crossing
    total, dynamic = table.crossings
    assert (total.energy_kind, dynamic.energy_kind) == ("total", "dynamic")
    assert total.activity == pytest.approx(4)
    assert dynamic.steps == pytest.approx(4 * machine.dynamic_pj / machine.energy_pj)


def test_static_energy_does_not_grow_with_activity_but_with_time_steps() -> None:
    machine = neuro.cost(neuro.weigh(tiny()), neuro.load_machine("a100"))
    chip = chip_bill(machine.energy_pj / 4, machine.energy_pj / 2)
    (total, _) = neuro.compare(tiny(), ChipRun(chip), machines=("a100",)).crossings
    assert total.activity == pytest.approx(2)
    assert total.steps == pytest.approx(4 / 3)
    (total, _) = neuro.compare(tiny(), ChipRun(chip_bill(1.0, 2 * machine.energy_pj)), machines=("a100",)).crossings
    assert total.activity is None


def test_a_machine_of_unknown_energy_is_compared_all_the_same() -> None:
    table = neuro.compare(tiny(), ChipRun(chip_bill()), machines=("a100", "inferentia-1"))
    assert {row.machine for row in table} == {"loihi2", "a100", "inferentia-1"}
    assert all(row.energy_pj is None for row in table if row.machine == "inferentia-1")
    assert {row.energy_kind for row in table if row.machine == "inferentia-1"} == {"unknown"}


def test_a_chip_that_always_loses_or_always_wins_is_told_so() -> None:
    assert "loses from batch 1" in neuro.compare(tiny(), ChipRun(chip_bill(1e15))).crossing
    assert "at every batch" in neuro.compare(tiny(), ChipRun(chip_bill(1e-3, 0.0))).crossing
    unknown = replace(chip_bill(), parts=(), energy_known=False)
    assert "No crossing point" in neuro.compare(tiny(), ChipRun(unknown)).crossing


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(UsageError, match="no machine"):
        neuro.compare(tiny(), ChipRun(chip_bill()), machines=())
    with pytest.raises(MachineError, match="catalogue"):
        neuro.compare(tiny(), ChipRun(chip_bill()), machines=("a1000",))


def test_a_machine_that_cannot_run_the_network_is_named_and_the_others_compared() -> None:
    layers = (Layer("x", "input", (), (1, 300, 300)), Layer("flat", "reshape", ("x",), (90_000,)))
    wide = Graph((*layers, Layer("out", "linear", ("flat",), (20,), {"weight": np.ones((20, 90_000), np.float32)})))
    table = neuro.compare(wide, ChipRun(chip_bill()), machines=("pynq-z2", "xeon"), batches=(1,))
    assert [row.machine for row in table] == ["loihi2", "xeon"]
    assert len(table) == 2
    assert [reason.split(",")[0] for reason in table.refused] == ["machine 'pynq-z2'"]
    assert any(said.startswith("left out: machine 'pynq-z2'") for said in table.conditions)
