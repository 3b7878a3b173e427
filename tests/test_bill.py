"""Bills add up by hand: totals, kinds, rows; an energy that is not known stays unknown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.bill import Bill, Part
from neuro.errors import NeuroError

PARTS = (
    Part("synops", 4.0, "dynamic", "measured"),
    Part("hops", 2.0),
    Part("leakage", 8.0, "static"),
    Part("host", 16.0, "management"),
)


def bill(**changes) -> Bill:
    return Bill(**({"target": "chip", "parts": PARTS, "latency_ns": 5.0, "throughput_per_s": 9.0} | changes))


def test_the_total_is_every_part_and_dynamic_is_work_alone() -> None:
    assert bill().energy_pj == 30.0
    assert bill().dynamic_pj == 6.0
    assert bill().energy_by_part() == {"synops": 4.0, "hops": 2.0, "leakage": 8.0, "host": 16.0, "dynamic": 6.0, "total": 30.0}
    assert bill(parts=()).energy_pj == 0


def test_an_unknown_energy_is_not_nothing() -> None:
    unknown = bill(parts=(), energy_known=False)
    assert math.isnan(unknown.energy_pj)
    assert math.isnan(unknown.dynamic_pj)
    assert unknown.to_rows() == []


def test_what_is_not_said_is_assumed() -> None:
    assert Part("hops", 2.0) == Part("hops", 2.0, "dynamic", "assumed")
    plain = bill()
    assert (plain.batch, plain.precision, plain.basis, plain.times_ns, plain.assumptions) == (1, "int8", "assumed", (), ())
    assert plain.energy_known


def test_rows_hold_one_part_each() -> None:
    assert bill().to_rows()[0] == {"target": "chip", "part": "synops", "energy_pj": 4.0, "kind": "dynamic", "basis": "measured"}
    assert [row["energy_pj"] for row in bill().to_rows()] == [4.0, 2.0, 8.0, 16.0]


@pytest.mark.parametrize("energy", [-1.0, -1e-9, math.nan])
def test_less_than_no_energy_is_refused(energy: float) -> None:
    with pytest.raises(NeuroError, match=r"bill part 'hops': energy is .* pJ"):
        Part("hops", energy)
    assert Part("hops", 0.0).energy_pj == 0


@given(st.lists(st.tuples(st.sampled_from(["dynamic", "static", "management"]), st.integers(0, 10**6))))
def test_parts_add_whatever_their_order(energies) -> None:
    parts = tuple(Part(f"p{i}", energy, kind) for i, (kind, energy) in enumerate(energies))
    assert bill(parts=parts).energy_pj == bill(parts=parts[::-1]).energy_pj == sum(energy for _, energy in energies)
    assert bill(parts=parts).dynamic_pj == sum(energy for kind, energy in energies if kind == "dynamic")
