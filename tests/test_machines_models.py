"""The models of machines: published cycles, laws of the roofline, pipelines, rates, energy and its lower bound."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import MachineError
from neuro.machines.costing import cost_by_layer
from neuro.machines.energy import lower_bound_pj
from neuro.machines.fpga import fold
from neuro.machines.gpu import tiled
from neuro.machines.ready import kws_scaled, ready_workload
from neuro.machines.roofline import Rates, timing
from neuro.machines.systolic import systolic_cycles, utilisation
from neuro.machines.workload import Op, Workload


def last_cycle(m: int, k: int, n: int, dataflow: str) -> int:
    """SCALE-Sim reports the index of the last cycle."""
    return int(systolic_cycles(m, k, n, rows=256, columns=256, dataflow=dataflow)) - 1


@pytest.mark.golden("SCALE-Sim 3.0.0")
def test_cycles_equal_scale_sim() -> None:
    """SCALE-Sim 3.0.0, 256 x 256, facts of 2025."""
    assert last_cycle(3136, 64, 64, "ws") == 3901
    assert last_cycle(3136, 576, 64, "ws") == 11705
    assert [last_cycle(1, k, n, "os") for k, n in ((390, 256), (256, 256), (256, 29))] == [899, 765, 765]


@pytest.mark.golden("SCALE-Sim 3.0.0")
@pytest.mark.parametrize(
    ("batch", "dataflow", "kilocycles", "percent"),
    [
        (1, "ws", 452, 13.8),
        (1, "os", 349, 17.9),
        (1, "db", 231, 27),
        (64, "ws", 8567, 46.6),
        (64, "os", 15547, 25.7),
        (64, "db", 8291, 48.2),
    ],
)
def test_resnet50_on_a_tpu_v1_array(batch: int, dataflow: str, kilocycles: int, percent: float) -> None:
    rows = utilisation(ready_workload("resnet50"), rows=256, columns=256, dataflow=dataflow, batch=batch)
    cycles = sum(row["cycles"] for row in rows)
    assert round(cycles / 1000) == kilocycles
    assert 100 * batch * ready_workload("resnet50").macs / (65536 * cycles) == pytest.approx(percent, abs=0.06)


def test_depthwise_layers_use_an_array_poorly() -> None:
    rows = utilisation(ready_workload("mobilenet-v1"), rows=128, columns=128, dataflow="db", batch=64)
    worst = max(row["utilisation"] for row in rows if row["kind"] == "depthwise")
    assert worst < 0.01 < min(row["utilisation"] for row in rows if row["kind"] == "conv" and "pw" in row["layer"])


@given(m=st.integers(1, 500), k=st.integers(1, 500), n=st.integers(1, 500), rows=st.integers(1, 64), columns=st.integers(1, 64))
def test_no_array_does_more_than_its_cells(m: int, k: int, n: int, rows: int, columns: int) -> None:
    for dataflow in ("os", "ws", "db"):
        assert systolic_cycles(m, k, n, rows=rows, columns=columns, dataflow=dataflow) * rows * columns >= m * k * n


def test_memory_stalls_an_array() -> None:
    """A fully connected layer at batch 1 waits for its weights on a TPU v1, not for its cells."""
    big = Workload("fc", (Op("fc", "fc", 1, 8192, 8192, parameters=8192**2, inputs=8192, outputs=8192),))
    assert cost_by_layer(big, neuro.load_machine("tpu-v1"))[0]["bound"] == "memory"
    assert neuro.cost(big, neuro.load_machine("tpu-v1")).latency_ns > (8192**2 - 28 * 2**20) / 34


@given(macs=st.integers(1, 10**7), units=st.integers(1, 150), groups=st.integers(1, 64))
def test_tiles_never_do_less_than_the_work(macs: int, units: int, groups: int) -> None:
    work = Workload("w", (Op("a", "conv", 7, macs, 33, groups=groups),))
    occupied = tiled(work.columns, np.array([[1.0], [16.0]]), float(units))[:, 0]
    assert occupied[0] >= work.macs
    assert occupied[1] >= 16 * work.macs


@given(factor=st.floats(1, 100), batch=st.sampled_from([1, 3, 8, 64]), cache=st.sampled_from([0.0, 1e6, 1e9]))
def test_a_faster_machine_is_never_slower(factor: float, batch: int, cache: float) -> None:
    work = ready_workload("resnet8")
    slow = timing(work, Rates(1e9, 1e9, cache, 1e-6), batch).latency_s
    assert timing(work, Rates(1e9 * factor, 1e9, cache, 1e-6), batch).latency_s <= slow
    assert timing(work, Rates(1e9, 1e9 * factor, cache, 1e-6), batch).latency_s <= slow
    assert timing(work, Rates(1e9, 1e9, cache * factor, 1e-6), batch).latency_s <= slow


def test_a_batch_costs_no_more_than_its_samples_one_by_one() -> None:
    work = ready_workload("mobilenet-v1")
    for name in ("a100", "tpu-v4", "xeon", "aic100"):
        one, many = (neuro.cost(work, neuro.load_machine(name), batch=batch) for batch in (1, 32))
        assert many.latency_ns <= 32 * one.latency_ns * 1.0001
        assert many.throughput_per_s >= one.throughput_per_s * 0.9999


def test_merging_layers_of_one_shape_changes_no_total() -> None:
    work = ready_workload("resnet50")
    for name in ("a100", "tpu-v1", "xeon", "vck5000"):
        machine = neuro.load_machine(name)
        rows = cost_by_layer(work, machine, batch=4)
        total = sum(max(row["compute_ns"], row["memory_ns"]) + row["floor_ns"] for row in rows)
        assert total == pytest.approx(neuro.cost(work, machine, batch=4).latency_ns)
    assert len(work.merged["m"]) < len(work.columns["m"])


def test_a_pipeline_fits_its_fpga_and_balances_its_stages() -> None:
    work = ready_workload("finn-kws-mlp")
    stages = fold(work, luts=26_600, brams=140, bits=3)
    assert sum(stage.luts(3) for stage in stages) <= 26_600
    assert sum(stage.brams(3) for stage in stages) <= 140
    assert [stage.rows * stage.columns * stage.pixels for stage in stages] == [op.macs for op in work.ops]
    richer = fold(work, luts=200_000, brams=1000, bits=3)
    assert max(stage.cycles for stage in richer) < max(stage.cycles for stage in stages)


def test_what_no_model_fits_is_refused() -> None:
    for name, workload in (("vu9p", "bert-large"), ("stm32l4r5", "resnet50"), ("pynq-z2", "resnet50"), ("a100", "gpt3-decode")):
        with pytest.raises(MachineError):
            neuro.cost(ready_workload(workload), neuro.load_machine(name))
    with pytest.raises(MachineError, match="attention has no stage"):
        fold(Workload("a", (Op("scores", "attention", 1, 8, 8),)), luts=1e9, brams=1e9, bits=8)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Op("a", "abacus", 1, 1, 1), "operation 'a': kind 'abacus' is not known. Use one of "),
        (lambda: Op("a", "fc", -1, 1, 1), "operation 'a': m = -1. Use a whole number of at least 0"),
        (lambda: Op("a", "fc", 1, 1, 1, groups=0), "operation 'a': groups = 0. Use a whole number of at least 1"),
        (
            lambda: systolic_cycles(1, 1, 1, rows=2, columns=2, dataflow="is"),
            "dataflow 'is': there is no such dataflow. Use one of ",
        ),
        (
            lambda: neuro.load_machine("a100").value("core.coremark"),
            "'a100', core.coremark: no public figure is given. Add it in ",
        ),
        (
            lambda: neuro.cost(Workload("w", (Op("scores", "attention", 1, 8, 8),)), neuro.load_machine("stm32l4r5")),
            "machine 'stm32l4r5', layer 'scores': attention has no rate there. Use another machine",
        ),
    ],
)
def test_what_is_no_operation_or_no_figure_is_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(MachineError) as refused:
        make()
    assert told in str(refused.value)


def test_a_pipeline_with_all_the_room_there_is_is_fully_parallel() -> None:
    work = ready_workload("finn-kws-mlp")
    stages = fold(work, luts=1e12, brams=1e12, bits=3)
    assert all((stage.pe, stage.simd) == (stage.rows, stage.columns) for stage in stages[-1:])
    assert max(stage.cycles for stage in stages) == max(stage.pixels for stage in stages)


def test_a_pipeline_answers_no_quicker_than_its_slowest_stage() -> None:
    work, machine = ready_workload("finn-kws-mlp"), neuro.load_machine("pynq-z2")
    once, twice = (cost_by_layer(work, machine, batch=batch) for batch in (1, 2))
    assert [row["layer"] for row in once] == [op.name for op in work.ops]
    assert [row["compute_ns"] for row in twice] == [2 * row["compute_ns"] for row in once]
    slowest_ns = max(row["compute_ns"] for row in once)
    assert 0 < neuro.cost(work, machine).throughput_per_s <= 1e9 / slowest_ns


def test_a_microcontroller_sums_cycles_by_operation() -> None:
    machine = neuro.load_machine("gap9-0.8v")
    rates = {kind: machine.value(f"rate.{kind}") for kind in ("conv", "shallow", "depthwise", "fc")}
    cycles = sum(op.macs / rates[op.kind] for op in ready_workload("ds-cnn").ops if op.macs)
    bill = neuro.cost(ready_workload("ds-cnn"), machine, batch=3)
    assert bill.latency_ns == pytest.approx(3 * cycles / 0.370)
    rows = cost_by_layer(ready_workload("ds-cnn"), machine)
    assert sum(row["compute_ns"] for row in rows) == pytest.approx(cycles / 0.370)


def test_latency_and_throughput_are_two_quantities() -> None:
    """Host time of one batch overlaps with the work of the one before."""
    bill = neuro.cost(kws_scaled(0), neuro.load_machine("k4000"))
    assert bill.throughput_per_s > 1.05 / (bill.latency_ns * 1e-9)


def test_energy_is_above_operations_and_bytes_and_splits_into_dynamic_and_idle() -> None:
    work = ready_workload("resnet50")
    for name in ("a100", "h100", "t4", "orin"):
        machine = neuro.load_machine(name)
        bill = neuro.cost(work, machine, batch=64)
        assert bill.energy_pj > bill.dynamic_pj > 0
        assert lower_bound_pj(work, machine, "int8", 64) < bill.energy_pj
    assert not neuro.cost(work, neuro.load_machine("inferentia-1")).energy_known


def test_a_pod_is_chips_side_by_side() -> None:
    work = ready_workload("resnet50")
    pod, chip = neuro.load_machine("tpu-v4-pod"), neuro.load_machine("tpu-v4")
    one, all_chips = neuro.cost(work, chip, batch=4), neuro.cost(work, pod, batch=4 * 4096)
    assert all_chips.latency_ns == pytest.approx(one.latency_ns)
    assert all_chips.throughput_per_s == pytest.approx(4096 * one.throughput_per_s)
    assert all_chips.energy_pj == pytest.approx(one.energy_pj)


def test_the_a100_is_predicted_as_it_was_measured() -> None:
    """MLPerf v1.1: 32,779 images a second offline, 0.494 ms for one; the survey's 0.08 ms is a sixth of that."""
    machine = neuro.load_machine("a100")
    assert neuro.cost(ready_workload("resnet50"), machine, batch=256).throughput_per_s == pytest.approx(32779, rel=0.1)
    assert neuro.cost(ready_workload("resnet50"), machine).latency_ns == pytest.approx(0.494e6, rel=0.1)
