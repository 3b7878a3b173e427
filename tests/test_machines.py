"""Workloads and machines: counts by hand, files explained by field, costs that obey the roofline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import MachineError
from neuro.graph import Graph, Layer
from neuro.machines.kinds import KINDS
from neuro.machines.machine import FIGURES, list_machines, load_machine
from neuro.machines.parameters import SHARED, calibrated, parameters_of
from neuro.machines.workload import Op, Workload

OPTIONS = {"stride": (2, 2), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
GOOD = """
name = "mine"
title = "Mine"
kind = "gpu"
family = "Mine"
year = 2024
precision = "int8"
[peak]
int8 = {value = 10, unit = "TOPS", basis = "vendor", source = "leaflet"}
[memory]
bandwidth = {value = 100, unit = "GB/s", basis = "vendor", source = "leaflet"}
[core]
units = {value = 10, unit = "count", basis = "vendor", source = "leaflet"}
clock = {value = 1000, unit = "MHz", basis = "vendor", source = "leaflet"}
"""


def test_weigh_counts_as_by_hand() -> None:
    graph = Graph(
        (
            Layer("x", "input", (), (4, 8, 8)),
            Layer("dw", "conv", ("x",), (4, 4, 4), {"weight": np.ones((4, 1, 3, 3))}, {**OPTIONS, "groups": 4}),
            Layer(
                "pw", "conv", ("dw",), (6, 2, 2), {"weight": np.ones((6, 4, 3, 3)), "bias": np.ones(6)}, {**OPTIONS, "groups": 1}
            ),
            Layer("flat", "reshape", ("pw",), (24,)),
            Layer("fc", "linear", ("flat",), (5,), {"weight": np.ones((5, 24))}),
        )
    )
    dw, pw, fc = neuro.weigh(graph).ops
    assert (dw.kind, dw.m, dw.k, dw.n, dw.groups, dw.macs) == ("depthwise", 16, 9, 1, 4, 16 * 9 * 4)
    assert (pw.kind, pw.m, pw.k, pw.n, pw.macs, pw.parameters, pw.adds) == ("conv", 4, 36, 6, 864, 222, 24)
    assert (fc.kind, fc.macs, fc.inputs, fc.outputs) == ("fc", 120, 24, 5)
    row = neuro.weigh(graph).to_rows(bits=16, batch=3)[1]
    assert (row["macs"], row["weight_bytes"], row["input_bytes"], row["m"]) == (3 * 864, 444, 3 * 64 * 2, 12)


def test_every_catalogue_machine_costs_a_layer() -> None:
    workload = Workload("one layer", (Op("fc", "fc", 1, 400, 400, parameters=160_000, inputs=400, outputs=400),))
    for name in neuro.list_machines():
        machine = neuro.load_machine(name)
        assert machine.name == name
        bill = neuro.cost(workload, machine)
        assert bill.latency_ns > 0
        assert machine.validated or "not validated" in bill.basis
        assert bill.energy_known == (bill.parts != ())


@given(batch=st.integers(1, 512), macs=st.integers(1, 10**9))
def test_no_machine_beats_its_peak(batch: int, macs: int) -> None:
    machine = neuro.load_machine("a100")
    bill = neuro.cost(Workload("w", (Op("fc", "fc", 1, macs, 1, parameters=1),)), machine, batch=batch)
    assert bill.throughput_per_s * macs <= machine.peak_macs("int8")
    assert bill.latency_ns * 1e-9 >= batch / bill.throughput_per_s * 0.999


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('kind = "gpu"', 'kind = "abacus"', "kind"),
        ("year = 2024", "", "year"),
        ('unit = "TOPS"', 'unit = "TFLOPS"', "peak.int8"),
        ("value = 10,", 'value = "ten",', "peak.int8"),
        ("value = 10,", "value = -1,", "peak.int8"),
        ('basis = "vendor", source = "leaflet"}\n[memory]', 'basis = "rumour", source = "x"}\n[memory]', "peak.int8"),
        (', source = "leaflet"}\n[memory]', "}\n[memory]", "peak.int8"),
        ("bandwidth", "bandwith", "memory.bandwith"),
        ("units = {value = 10,", "units = {value = 0.5,", "core.units"),
        ('clock = {value = 1000, unit = "MHz"', 'single_share = {value = 2, unit = "share"', "core.single_share"),
        ('precision = "int8"', 'precision = "fp16"', "precision"),
        ("[peak]", "[peak", "mine.toml"),
        ("[peak]", "colour = 1\n[peak]", "colour"),
        ("[peak]", 'devices = "1x MINE"\n[peak]', "devices"),
        ("[peak]", "devices = [1]\n[peak]", "devices"),
    ],
)
def test_a_mistake_in_a_machine_file_is_named_by_its_field(tmp_path, old: str, new: str, where: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(MachineError) as caught:
        neuro.load_machine(path)
    assert where in caught.value.where


def test_a_users_machine_works_and_unknown_energy_stays_unknown(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    bill = neuro.cost(Workload("w", (Op("fc", "fc", 1, 10, 10, parameters=100),)), neuro.load_machine(str(path)))
    assert not bill.energy_known
    assert np.isnan(bill.energy_pj)
    assert "not validated" in bill.basis


@pytest.mark.parametrize("batch", [0, -1, 1.5, True])
def test_a_batch_must_be_a_positive_integer(batch) -> None:
    workload = Workload("w", (Op("fc", "fc", 1, 10, 10),))
    with pytest.raises(MachineError, match="batch"):
        neuro.cost(workload, neuro.load_machine("xeon"), batch=batch)


def test_missing_precision_and_missing_file_are_explained(tmp_path) -> None:
    workload = Workload("w", (Op("fc", "fc", 1, 10, 10),))
    with pytest.raises(MachineError, match="no peak rate is known for precision 'int3'"):
        neuro.cost(workload, neuro.load_machine("a100"), precision="int3")
    with pytest.raises(MachineError, match="no such file"):
        neuro.load_machine(tmp_path / "none.toml")
    with pytest.raises(MachineError, match="no multiply-accumulate"):
        Workload("empty", (Op("pool", "pool"),))


def test_what_is_only_moved_costs_bytes_and_no_multiplication() -> None:
    layers = (Layer("x", "input", (), (2, 3)), Layer("turned", "permute", ("x",), (3, 2), options={"axes": (1, 0)}))
    dense = Layer("out", "linear", ("flat",), (4,), {"weight": np.ones((4, 6))})
    moved = neuro.weigh(Graph((*layers, Layer("flat", "reshape", ("turned",), (6,)), dense)))
    plain = neuro.weigh(Graph((layers[0], Layer("flat", "reshape", ("x",), (6,)), dense)))
    assert moved.macs == plain.macs == 24
    assert moved.bytes_moved(8) - plain.bytes_moved(8) == 12, "six values read and written"


def test_every_kind_needs_figures_that_exist_and_is_found_by_its_fitted_parameters() -> None:
    shipped = {load_machine(name).kind for name in list_machines()}
    for name, kind in KINDS.items():
        assert set(kind.needs) <= {*FIGURES, *kind.figures}, name
        assert {kind.fitted_with} - {""} <= set(FIGURES), name
        assert set(kind.fitted) <= set(parameters_of(name)), name
        assert "graph" in kind.classes, name
        assert name in shipped, f"no machine of the catalogue is a {name}"
    assert {section for section in calibrated() if section not in SHARED} <= set(KINDS)
