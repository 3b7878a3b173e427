"""Value neurons and exponents on chips: memory, counts, prices, refusals; and projections with exponents in every engine."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.chip.cutting.limits import exponents, state_words, weight_bits
from neuro.errors import FitError, NetworkError
from neuro.projections.forms import most_special
from neuro.report.layers import energy_by_population
from tests.laws import law
from tests.networks import cases, value_networks
from tests.runs import RECORD, assert_same

LOIHI2 = neuro.load_chip("loihi2")
DOT = neuro.Value(("held", "fresh"), "dot", 3, 2, shift=4, start_step=1)
LOOKED_UP = neuro.Value(multiplier=3, shift=5, table=np.arange(255) - 127, start_step=4)


def network(*, neurons: int = 6, dot: neuro.Value = DOT, table: neuro.Value = LOOKED_UP) -> neuro.Network:
    """Values that are multiplied for three steps, then looked up."""
    populations = (
        neuro.Population("in", (neurons,), neuro.Source("once", levels=99)),
        neuro.Population("dot", (neurons,), dot),
        neuro.Population("table", (neurons,), table),
    )
    links = (
        neuro.OneToOne("in", "dot", 3),
        *(neuro.OneToOne("in", "dot", d, delay=d, port=1) for d in (1, 2, 3)),
        neuro.OneToOne("dot", "table", exponent=2),
    )
    return neuro.Network(populations, links, timesteps=1)


def test_products_look_ups_and_passes_are_counted_and_priced() -> None:
    inputs = np.arange(12).reshape(2, 6)
    chip_run = neuro.emulate(neuro.place(network(), LOIHI2), inputs)
    counts, e, t = chip_run.counts, LOIHI2.energy, LOIHI2.time
    assert counts.products.sum() == 2 * 6 * 3
    assert (counts + counts).products.sum() == 2 * counts.products.sum()
    assert counts.lookups.sum() == 2 * 6
    assert counts.updates.sum() == 2 * 6 * (3 + 1)
    assert counts.passes.sum() == counts.updates.sum() * (LOIHI2.neuron.value_passes - 1)
    assert counts.products.sum(axis=1).tolist() == [0, 12, 12, 12, 0]
    assert counts.lookups.sum(axis=1).tolist() == [0, 0, 0, 0, 12]
    parts = {part.name: part for part in chip_run.bill.parts}
    assert parts["program"].energy_pj == pytest.approx((48 * e.neuron_pass + 36 * e.product + 12 * e.lookup) / 2)
    assert any("energy.lookup" in said for said in chip_run.bill.assumptions)
    layers = energy_by_population(chip_run)
    dynamic = sum(p.energy_pj or 0 for p in chip_run.bill.parts if p.kind == "dynamic" and p.name != "hops")
    assert sum(sum(parts.values()) for parts in layers.values()) == pytest.approx(dynamic)
    free = replace(LOIHI2, time=replace(t, neuron_pass=None, product=None, lookup=None))
    assert chip_run.step_times.send.sum() > neuro.emulate(neuro.place(network(), free), inputs).step_times.send.sum()


def test_networks_without_programs_of_values_have_no_part_for_them() -> None:
    plain = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), neuro.IntegrateAndFire(4))),
        (neuro.OneToOne("in", "out"),),
    )
    chip_run = neuro.emulate(neuro.place(plain, LOIHI2), np.ones((1, 3), int), timesteps=3)
    assert "program" not in {part.name for part in chip_run.bill.parts}
    assert not any("lookup" in said for said in chip_run.bill.assumptions)


def test_tables_states_and_rings_are_held_in_the_memory_of_a_core() -> None:
    made = network()
    assert state_words(made["dot"], made) == 1 + 3 + 2  # a ring for each port; potential and what the held port holds
    assert state_words(made["table"], made) == 1 + 1
    own = replace(LOOKED_UP, multiplier=np.arange(6), bias=np.arange(6))
    assert state_words(network(table=own)["table"], made) == 1 + 1 + 2
    placement = neuro.place(made, LOIHI2)
    assert placement.check() == []
    small = neuro.place(network(table=replace(LOOKED_UP, table=None)), LOIHI2)
    assert placement.fill["memory_bits"].sum() - small.fill["memory_bits"].sum() == placement.cuts["table"].slices * 255 * 8
    wide = replace(LOOKED_UP, table=np.arange(255) * 200, value_bits=16)
    assert wide.table_bits == 255 * 16
    room = replace(LIMITED, core=replace(LIMITED.core, memory_bits=4000, synapse_bits=1000))
    assert neuro.place(network(), room).check() == []
    with pytest.raises(FitError, match=r"'table' on chip .* memory bits.*Use tables of fewer entries"):
        neuro.place(network(table=wide), room)


LIMITED = replace(LOIHI2, core=replace(LOIHI2.core, out_axon_bits=None, in_axon_bits=None))


@pytest.mark.parametrize(
    ("name", "runs"),
    [("loihi1-nahuku", '"rate" or "wait"'), ("loihi1-davies2018", '"rate"'), ("speck", '"rate"'), ("truenorth", '"rate"')],
)
def test_chips_without_the_program_refuse_it_by_name(name: str, runs: str) -> None:
    with pytest.raises(FitError) as refused:
        neuro.place(network(), neuro.load_chip(name))
    assert "population 'dot'" in str(refused.value)
    assert name in str(refused.value)
    assert f"products and tables of values. A network of rectified layers runs there with code={runs}" in str(refused.value)


@law(30)
@given(cases(), st.integers(0, 10**6))
def test_an_exponent_multiplies_weights_by_a_power_of_two(case, seed: int) -> None:
    """In every projection, whatever the engine does with it; the event engine keeps 16-bit weights where the product has more."""
    made, inputs, timesteps = case
    expanded = replace(made, projections=tuple(p.expanded() for p in made.projections))
    assert not any(p.exponent for p in expanded.projections)
    results = [neuro.run(one, inputs, timesteps=timesteps, record=RECORD) for one in (made, expanded)]
    assert_same(*results)


def exponential(kind: str, exponent: int) -> neuro.projections.Projection:
    """A projection of one kind between maps of (2, 4, 4) with weights of 7 bits."""
    rng, how = np.random.default_rng(1), {"delay": 2, "exponent": exponent}
    weights = rng.integers(-100, 101, (2, 2, 3, 3))
    made = {
        "conv": lambda: neuro.Conv2d("in", "out", weights, padding=1, **how),
        "groups": lambda: neuro.Conv2d("in", "out", weights[:, :1], padding=1, groups=2, **how),
        "dense": lambda: neuro.Dense("in", "out", rng.integers(-100, 101, (32, 32)), **how),
        "sparse": lambda: neuro.Sparse("in", "out", (np.arange(32), np.arange(32)[::-1], rng.integers(1, 99, 32)), **how),
        "one": lambda: neuro.OneToOne("in", "out", np.array([-77, 5]), **how),
        "sums": lambda: neuro.SumPool2d("in", "out", 3, 1, 1, 9, **how),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", ["conv", "groups", "dense", "sparse", "one", "sums"])
@pytest.mark.parametrize("exponent", [0, 3, 13])
@pytest.mark.parametrize("payload", [False, True])
def test_every_engine_shifts_charges(kind: str, exponent: int, payload: bool) -> None:
    made = exponential(kind, exponent)
    neuron = neuro.Graded(1 << exponent, minimum=-(2**20), levels=2**20)
    populations = (neuro.Population("in", (2, 4, 4), neuro.Source()), neuro.Population("out", (2, 4, 4), neuron))
    inputs = np.random.default_rng(2).integers(-9 if payload else 0, 10 if payload else 2, (2, 3, 2, 4, 4))
    unshifted = replace(populations[1], neuron=replace(neuron, threshold=1))
    plain = neuro.Network((populations[0], unshifted), (replace(made, exponent=0),))
    wanted = neuro.run(plain, inputs, engine="reference", record=("raster",)).raster["out"]
    for engine in ("reference", "event", "torch"):
        got = neuro.run(neuro.Network(populations, (made,)), inputs, engine=engine, record=("raster",))
        assert np.array_equal(got.raster["out"], wanted)
    assert np.abs(wanted).max() > 20


@pytest.mark.parametrize("kind", ["conv", "groups", "dense", "sparse", "one", "sums"])
def test_chips_store_weights_without_their_exponent(kind: str) -> None:
    plain, made = exponential(kind, 0), exponential(kind, 5)
    assert weight_bits(made, LOIHI2) == weight_bits(plain, LOIHI2)
    assert [a - b for a, b in zip(exponents(made, LOIHI2), exponents(plain, LOIHI2), strict=True)] == [5, 5]


def test_special_forms_keep_exponent_and_port() -> None:
    conv = neuro.Conv2d("in", "out", np.full((3, 1, 2, 2), 7), groups=3, exponent=4, port=1)
    special = most_special(conv)
    assert isinstance(special, neuro.SumPool2d)
    assert (special.exponent, special.port, special.weight) == (4, 1, 7)
    assert special.convolution((3, 4, 4), (3, 3, 3)) == conv.expanded()


def test_exponents_beyond_32_bits_are_refused() -> None:
    with pytest.raises(NetworkError, match="a weight of 3 with exponent 30 exceeds 32 bits"):
        neuro.OneToOne("in", "out", 3, exponent=30)
    with pytest.raises(NetworkError, match="exponent = 31"):
        neuro.OneToOne("in", "out", 1, exponent=31)
    with pytest.raises(NetworkError, match="port = 2"):
        neuro.OneToOne("in", "out", 1, port=2)


def _as_wide_as_the_chip(p: neuro.Population) -> neuro.Population:
    return replace(p, neuron=p.neuron.changed(potential_bits=24)) if isinstance(p.neuron, neuro.Value) else p


@law(15)
@given(value_networks(), st.sampled_from([None, 8000, 20_000]))
def test_random_value_networks_keep_every_limit_and_count_what_programs_do(case, memory: int | None) -> None:
    """Needs that cut populations equal what the check finds on cores; products and look-ups follow from the schedule."""
    made, inputs = case
    made = replace(made, projections=tuple(p.with_weights(np.clip(p.stored_weights, -127, 127)) for p in made.projections))
    made = replace(made, populations=tuple(_as_wide_as_the_chip(p) for p in made.populations))
    room = LOIHI2.core if memory is None else replace(LOIHI2.core, memory_bits=memory, synapse_bits=memory)
    try:
        placement = neuro.place(made, replace(LOIHI2, core=room))
    except FitError:  # a neuron that needs more than a core of so little memory, a table among it
        return
    assert placement.check() == []
    chip_run = neuro.emulate(placement, inputs)
    products = lookups = passed = 0
    for p in (p for p in made.populations if isinstance(p.neuron, neuro.Value)):
        frames = [e for e in range(p.neuron.active_steps(inputs.shape[1])) if e % p.neuron.period == p.neuron.gather - 1]
        gathering = [e for e in range(p.neuron.active_steps(inputs.shape[1])) if e % p.neuron.period < p.neuron.gather]
        each = {"charge": 0, "maximum": 0, "product": len(frames), "dot": len(gathering)}[p.neuron.combine]
        products += each * p.size * len(inputs)
        lookups += (p.neuron.table is not None) * len(frames) * p.size * len(inputs)
        passed += p.size * len(inputs) * p.neuron.active_steps(inputs.shape[1])
    assert (chip_run.counts.products.sum(), chip_run.counts.lookups.sum()) == (products, lookups)
    assert chip_run.counts.passes.sum() == passed
