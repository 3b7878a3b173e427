"""Laws of workloads and machines: counts add under concatenation, nothing gets cheaper by asking for more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.graph import Graph, Layer
from neuro.machines.workload import Op, Workload
from tests.laws import law

LAW = law(25)
COUNT = st.integers(1, 400)
MACHINES = tuple(neuro.list_machines())
ROOFS = tuple(name for name in MACHINES if neuro.load_machine(name).kind in ("gpu", "accelerator", "cpu"))


@st.composite
def operations(draw) -> Op:
    """A layer with weights."""
    kind = draw(st.sampled_from(["conv", "fc"]))
    m, k, n = draw(COUNT) if kind == "conv" else 1, draw(COUNT), draw(COUNT)
    return Op(draw(st.text("abc", min_size=1)), kind, m, k, n, adds=m * n, parameters=k * n, inputs=m * k, outputs=m * n)


WORKLOADS = st.lists(operations(), min_size=1, max_size=4).map(lambda ops: Workload("random", tuple(ops)))


def both(a: Workload, b: Workload) -> Workload:
    return Workload("both", a.ops + b.ops)


@LAW
@given(WORKLOADS, WORKLOADS, st.sampled_from([4, 8, 16, 32]), st.integers(1, 64))
def test_counts_add_under_concatenation(a: Workload, b: Workload, bits: int, batch: int) -> None:
    whole = both(a, b)
    for name in ("macs", "adds", "parameters"):
        assert getattr(whole, name) == getattr(a, name) + getattr(b, name)
    assert whole.bytes_moved(bits, batch) == a.bytes_moved(bits, batch) + b.bytes_moved(bits, batch)
    assert whole.to_rows(bits, batch) == [*a.to_rows(bits, batch), *b.to_rows(bits, batch)]


@LAW
@given(WORKLOADS, st.sampled_from([4, 8, 16, 32]), st.integers(1, 64))
def test_rows_add_up_to_the_workload(w: Workload, bits: int, batch: int) -> None:
    rows = w.to_rows(bits, batch)
    assert sum(row["macs"] for row in rows) == batch * w.macs
    assert sum(row["parameters"] for row in rows) == w.parameters
    moved = sum(row[f"{what}_bytes"] for row in rows for what in ("weight", "input", "output"))
    assert moved == pytest.approx(w.bytes_moved(bits, batch))


@LAW
@given(WORKLOADS, st.integers(1, 32), st.integers(1, 64), st.integers(1, 64))
def test_bytes_are_linear_in_bits_and_in_the_batch(w: Workload, bits: int, one: int, two: int) -> None:
    assert w.bytes_moved(2 * bits, one) == 2 * w.bytes_moved(bits, one)
    weights = w.bytes_moved(bits, 1) * 2 - w.bytes_moved(bits, 2)
    assert w.bytes_moved(bits, one + two) == pytest.approx(w.bytes_moved(bits, one) + w.bytes_moved(bits, two) - weights)


@LAW
@given(WORKLOADS, st.integers(1, 64))
def test_intensity_never_falls_with_the_batch(w: Workload, batch: int) -> None:
    assert w.intensity(8, batch + 1) >= w.intensity(8, batch) * (1 - 1e-12)


@LAW
@given(WORKLOADS)
def test_equal_layers_may_be_counted_together(w: Workload) -> None:
    for name in ("macs", "adds", "weights", "inputs", "outputs"):
        merged, apart = (float((c["repeats"] * c[name]).sum()) for c in (w.merged, w.columns))
        assert merged == apart


def chain(seed: int, name: str, size: int) -> tuple[Layer, ...]:
    """Layers that take `size` values from layer `name` and give as many."""
    rng = np.random.default_rng(seed)
    hidden = int(rng.integers(1, 30))
    return (
        Layer(f"a{seed}", "linear", (name,), (hidden,), {"weight": rng.normal(size=(hidden, size))}),
        Layer(f"r{seed}", "relu", (f"a{seed}",), (hidden,), {}, {"ceiling": None}),
        Layer(f"b{seed}", "linear", (f"r{seed}",), (size,), {"weight": rng.normal(size=(size, hidden)), "bias": np.ones(size)}),
    )


@LAW
@given(st.integers(0, 99), st.integers(100, 199), st.integers(1, 30))
def test_weighing_adds_over_layers_of_a_graph(one: int, two: int, size: int) -> None:
    start = Layer("x", "input", (), (size,))
    first, second = chain(one, "x", size), chain(two, f"b{one}", size)
    whole, head = neuro.weigh(Graph((start, *first, *second))), neuro.weigh(Graph((start, *first)))
    tail = neuro.weigh(Graph((start, *chain(two, "x", size))))
    assert whole.macs == head.macs + tail.macs
    assert whole.parameters == head.parameters + tail.parameters
    assert whole.adds == head.adds + tail.adds


@LAW
@given(WORKLOADS, WORKLOADS, st.sampled_from(MACHINES), st.integers(1, 64))
def test_more_work_never_takes_less_time(a: Workload, b: Workload, name: str, batch: int) -> None:
    machine = neuro.load_machine(name)
    assert neuro.cost(both(a, b), machine, batch=batch).latency_ns >= neuro.cost(a, machine, batch=batch).latency_ns * (1 - 1e-9)


@LAW
@given(WORKLOADS, st.sampled_from(MACHINES), st.integers(1, 256), st.integers(1, 256))
def test_a_larger_batch_never_takes_less_time(w: Workload, name: str, one: int, more: int) -> None:
    machine = neuro.load_machine(name)
    small, large = (neuro.cost(w, machine, batch=batch) for batch in (one, one + more))
    assert large.latency_ns >= small.latency_ns * (1 - 1e-9)


@LAW
@given(WORKLOADS, st.sampled_from(MACHINES), st.integers(1, 256))
def test_a_batch_never_costs_more_than_its_samples_one_by_one(w: Workload, name: str, batch: int) -> None:
    machine = neuro.load_machine(name)
    alone, together = (neuro.cost(w, machine, batch=n) for n in (1, batch))
    assert together.latency_ns <= batch * alone.latency_ns * (1 + 1e-9)


@LAW
@given(WORKLOADS, st.sampled_from(MACHINES), st.integers(1, 64))
def test_bills_of_machines_are_sums_of_parts(w: Workload, name: str, batch: int) -> None:
    bill = neuro.cost(w, neuro.load_machine(name), batch=batch)
    if bill.energy_known:
        assert min(part.energy_pj for part in bill.parts) >= 0
        assert bill.energy_pj == pytest.approx(sum(part.energy_pj for part in bill.parts))
    assert sum(ns for _, ns in bill.times_ns) == pytest.approx(bill.latency_ns)


@LAW
@given(operations(), st.sampled_from(ROOFS), st.integers(1, 4))
def test_more_multiplications_or_bytes_never_take_less_time(op: Op, name: str, more: int) -> None:
    machine = neuro.load_machine(name)
    base = neuro.cost(Workload("one", (op,)), machine).latency_ns
    wider = Op(op.name, op.kind, op.m, op.k, op.n * (1 + more), parameters=op.parameters, inputs=op.inputs, outputs=op.outputs)
    heavier = Op(op.name, op.kind, op.m, op.k, op.n, parameters=op.parameters, inputs=op.inputs * (1 + more), outputs=op.outputs)
    for changed in (wider, heavier):
        assert neuro.cost(Workload("one", (changed,)), machine).latency_ns >= base * (1 - 1e-9)


@LAW
@given(WORKLOADS, st.sampled_from(MACHINES))
def test_names_of_layers_cost_nothing(w: Workload, name: str) -> None:
    machine = neuro.load_machine(name)
    renamed = Workload(w.name, tuple(replace(op, name=f"{i}") for i, op in enumerate(w.ops)))
    assert neuro.cost(renamed, machine) == neuro.cost(w, machine)
