"""Whether the chip pays: the verdict follows from the rows that are shown, and rivals are those of the network's size."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.comparison import Comparison, Crossing, Row
from neuro.errors import UsageError
from neuro.graph import Graph, Layer
from neuro.rivals import EDGE, GROUPS, members, rivals
from neuro.verdict import sentences, verdict_of

ENERGIES = st.one_of(st.none(), st.floats(1e-3, 1e12))


def row(name: str, batch: int, energy: float | None) -> Row:
    return Row(name, batch, "int8", 1e3, 1e6, energy, energy, "total" if energy else "unknown", "test")


def comparison(chip: float | None, others: list[tuple[float | None, float | None]]) -> Comparison:
    """A chip beside machines with an energy at batch 1 and at batch 64."""
    rows = [row("chip", 1, chip)]
    crossings = []
    for number, (single, many) in enumerate(others):
        name = f"machine{number}"
        rows += [row(name, 1, single), row(name, 64, many)]
        if chip is not None and single is not None:
            batch = 1 if single < chip else 64 if many is not None and many < chip else None
            crossings.append(Crossing(name, "total", batch, single / chip, single / chip))
    return Comparison("", tuple(rows), (), crossings=tuple(crossings))


@given(ENERGIES, st.lists(st.tuples(ENERGIES, ENERGIES), min_size=1, max_size=4))
def test_the_winner_needs_the_least_at_batch_1(chip: float | None, others: list[Any]) -> None:
    compared = comparison(chip, others)
    found = verdict_of(compared)
    known = {r.machine: r.energy_pj for r in compared.rows if r.batch == 1 and r.energy_pj is not None}
    said = list(sentences(found, compared))
    if chip is None or len(known) == 1:
        assert found.winner is None
        assert said[0].startswith("Does it pay? Not known")
        return
    assert known[found.winner or ""] == min(known.values())
    assert found.pays == (found.winner == "chip")
    assert said[0].startswith("Does it pay? Yes" if found.pays else "Does it pay? No")
    assert found.rival is not None
    assert found.rival in said[0]
    assert found.ratio == pytest.approx(known[found.rival] / chip)
    batches = [c.batch for c in compared.crossings if c.batch]
    assert found.crossing == min(batches, default=None)


@pytest.mark.parametrize(("spiking", "floating", "costly"), [(0.84, 0.898, True), (0.895, 0.898, False), (0.91, 0.898, False)])
def test_a_loss_of_accuracy_beyond_the_budget_is_a_warning_with_a_remedy(spiking, floating, costly) -> None:
    compared = comparison(1.0, [(2.0, 1.0)])
    found = verdict_of(compared, spiking, floating, (spiking - 0.02, spiking + 0.02))
    assert found.costly == costly
    assert found.accuracy_lost == pytest.approx(floating - spiking)
    last = list(sentences(found, compared))[-1]
    assert last.startswith("Warning") == costly
    assert ("--code" in last) == costly
    few = verdict_of(compared, spiking, floating, (spiking - 0.3, spiking + 0.3))
    assert not few.costly  # chance alone may do that


def dense(inputs: int, outputs: int) -> Graph:
    weight = np.zeros((outputs, inputs), np.float32)
    return Graph((Layer("x", "input", (), (inputs,)), Layer("y", "linear", ("x",), (outputs,), arrays={"weight": weight})))


def test_rivals_are_those_of_the_networks_size() -> None:
    small, why = rivals(dense(10, 10))
    assert small == EDGE
    assert "100 MAC" in why
    large, _ = rivals(dense(4000, 4000))
    assert large == GROUPS["datacentre"]
    assert rivals(dense(10, 10), ("datacentre", "gap9"))[0] == (*GROUPS["datacentre"], "gap9")
    assert set(members("all")) == set(neuro.list_machines())
    with pytest.raises(UsageError, match="no machine and no group"):
        rivals(dense(10, 10), ("edgy",))
