"""Laws of placing, counting and pricing: placement changes no spike, prices change no count, bills are linear in prices."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.chip.pricing import price
from neuro.errors import ChipError
from tests.chips import random_inputs, random_network, small
from tests.laws import law
from tests.runs import RECORD, assert_same

LAW = law(10)
SEEDS = st.integers(0, 10_000)
ENERGIES = ("synop_dense", "synop_sparse", "synop_conv", "neuron_access", "neuron_update", "spike", "axon_out", "axon_in")
HOPS = ("hop_x", "hop_y", "local", "chip_link", "barrier")


def board(**parts) -> neuro.Chip:
    """A small board on which random networks take several cores."""
    return small(neurons=30, mesh={"width": 5, "height": 4, "chips_x": 1, "chips_y": 2}, memory_bits=None, **parts)


def case(seed: int, **parts) -> tuple[neuro.Network, neuro.Placement, np.ndarray]:
    network = random_network(seed)
    return network, neuro.place(network, board(**parts)), random_inputs(network, 3, seed)


@LAW
@given(SEEDS, st.sampled_from(["sequential", "random", "refined"]), st.integers(0, 9))
def test_placement_changes_no_spike_and_no_operation(seed: int, method: str, placed: int) -> None:
    network, _, inputs = case(seed)
    placement = neuro.place(network, board(), method=method, seed=placed)
    chip_run = neuro.emulate(network, placement, inputs, record=RECORD)
    assert_same(chip_run.run, neuro.run(network, inputs, record=RECORD))
    counts = chip_run.counts
    assert counts.spikes.sum() == chip_run.run.messages
    assert sum(table.sum() for table in counts.synops.values()) == chip_run.run.synops
    assert counts.updates.sum() == chip_run.run.updates


@LAW
@given(SEEDS)
def test_every_neuron_lies_on_one_core_within_the_board(seed: int) -> None:
    network, placement, _ = case(seed)
    for p in network.populations:
        if p.name not in placement.core_map:
            assert isinstance(p.neuron, neuro.Source)
            assert not p.neuron.on_chip
            continue
        assert placement.core_map[p.name].shape == (p.size,)
        assert placement.cuts[p.name].sizes().sum() == p.size
        assert np.isin(placement.core_map[p.name], placement.cores[p.name]).all()
        assert placement.core_map[p.name].max() < placement.chip.chips * placement.chip.cores_per_chip
    assert not placement.check()


@LAW
@given(SEEDS, st.sampled_from(["random", "refined"]), st.integers(0, 99))
def test_a_seed_gives_one_placement(seed: int, method: str, placed: int) -> None:
    network = random_network(seed)
    one, two = (neuro.place(network, board(), method=method, seed=placed) for _ in range(2))
    assert all(np.array_equal(one.cores[name], two.cores[name]) for name in one.cores)


@LAW
@given(SEEDS, st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_prices_change_no_count(seed: int, pj: float, ns: float) -> None:
    network, placement, inputs = case(seed)
    dear = board(energy=dict.fromkeys(ENERGIES, pj), time={"synop_dense": ns, "axon_out": ns})
    plain = neuro.emulate(network, placement, inputs)
    other = neuro.emulate(network, replace(placement, chip=dear), inputs)
    assert_same(other.run, plain.run)
    for name in ("spikes", "packets_out", "packets_in", "updates", "driven", "restless", "hops", "links", "each", "far"):
        assert getattr(other.counts, name).tobytes() == getattr(plain.counts, name).tobytes(), name
    assert other.bill == plain.price(dear)


@LAW
@given(SEEDS, st.floats(0.01, 100))
def test_energy_is_linear_in_prices(seed: int, by: float) -> None:
    network, placement, inputs = case(seed)
    counts, chip = neuro.emulate(network, placement, inputs).counts, placement.chip
    scaled = {name: by * (getattr(chip.energy, name) or 1.0) for name in (*ENERGIES, *HOPS)}
    plain = {name: getattr(chip.energy, name) or 1.0 for name in (*ENERGIES, *HOPS)}
    one, many = (price(counts, small_prices(chip, prices)) for prices in (plain, scaled))
    assert many.dynamic_pj == pytest.approx(by * one.dynamic_pj)
    assert many.latency_ns == one.latency_ns


def small_prices(chip: neuro.Chip, prices: dict[str, float]) -> neuro.Chip:
    origin = {**chip.origin, **{f"energy.{name}": chip.origin["mesh.width"] for name in prices}}
    return replace(chip, energy=replace(chip.energy, **prices), origin=origin)


@LAW
@given(SEEDS)
def test_energy_adds_over_price_lists(seed: int) -> None:
    network, placement, inputs = case(seed)
    counts, chip = neuro.emulate(network, placement, inputs).counts, placement.chip
    nothing = dict.fromkeys((*ENERGIES, *HOPS), 0.0)
    full = {name: getattr(chip.energy, name) or 1.0 for name in nothing}
    alone = [price(counts, small_prices(chip, {**nothing, name: value})).dynamic_pj for name, value in full.items()]
    assert sum(alone) == pytest.approx(price(counts, small_prices(chip, full)).dynamic_pj)


@LAW
@given(SEEDS, st.floats(0.1, 100))
def test_latency_is_linear_in_times(seed: int, by: float) -> None:
    network, placement, inputs = case(seed)
    counts, chip = neuro.emulate(network, placement, inputs).counts, placement.chip
    times = {name: value for name in chip.time.__slots__ if isinstance(value := getattr(chip.time, name), float)}
    barrier = tuple((tiles, by * ns) for tiles, ns in chip.time.barrier or ())
    slower = replace(chip, time=replace(chip.time, **{name: by * ns for name, ns in times.items()}, barrier=barrier or None))
    assert price(counts, slower).latency_ns == pytest.approx(by * price(counts, chip).latency_ns)


@LAW
@given(SEEDS, st.sampled_from([*ENERGIES, *HOPS]), st.floats(0, 100))
def test_a_dearer_operation_never_makes_a_bill_smaller(seed: int, name: str, more: float) -> None:
    network, placement, inputs = case(seed)
    counts, chip = neuro.emulate(network, placement, inputs).counts, placement.chip
    cheap, dear = ({name: (getattr(chip.energy, name) or 0.0) + extra} for extra in (0.0, more))
    assert price(counts, small_prices(chip, dear)).energy_pj >= price(counts, small_prices(chip, cheap)).energy_pj


@LAW
@given(SEEDS)
def test_bills_are_sums_of_parts_that_are_not_negative(seed: int) -> None:
    network, placement, inputs = case(seed)
    bill = neuro.emulate(network, placement, inputs).bill
    assert min(part.energy_pj or 0.0 for part in bill.parts) >= 0
    assert bill.energy_pj == pytest.approx(sum(part.energy_pj or 0.0 for part in bill.parts))
    assert sum(ns for _, ns in bill.times_ns) == pytest.approx(bill.latency_ns)


@LAW
@given(SEEDS)
def test_counts_of_cores_add_over_samples(seed: int) -> None:
    network, placement, inputs = case(seed)
    whole = neuro.emulate(network, placement, inputs).counts
    alone = [neuro.emulate(network, placement, inputs[i : i + 1]).counts for i in range(len(inputs))]
    added = sum(alone, whole.zero())
    for name in (field.name for field in fields(whole)):
        if name == "synops":
            assert all(np.array_equal(added.synops[form], table) for form, table in whole.synops.items())
        else:
            assert np.array_equal(getattr(added, name), getattr(whole, name)), name
    assert price(added, placement.chip) == price(whole, placement.chip)
    with pytest.raises(ChipError, match="of other steps or cores"):
        whole + replace(whole, steps=whole.steps + 1)


@LAW
@given(SEEDS)
def test_a_batch_costs_the_mean_of_its_samples(seed: int) -> None:
    network, placement, inputs = case(seed)
    whole = neuro.emulate(network, placement, inputs).bill
    alone = [neuro.emulate(network, placement, inputs[i : i + 1]).bill for i in range(len(inputs))]
    assert whole.dynamic_pj == pytest.approx(np.mean([bill.dynamic_pj for bill in alone]))
    assert whole.latency_ns == pytest.approx(np.mean([bill.latency_ns for bill in alone]))


@LAW
@given(SEEDS)
def test_silence_costs_no_synapse_and_no_packet(seed: int) -> None:
    network, _, inputs = case(seed)
    quiet = {p.name: replace(p.neuron, bias=0) if np.any(p.neuron.bias) else p.neuron for p in network.populations}
    network = replace(network, populations=tuple(replace(p, neuron=quiet[p.name]) for p in network.populations))
    chip_run = neuro.emulate(network, neuro.place(network, board()), np.zeros_like(inputs))
    energy = chip_run.bill.energy_by_part()
    assert chip_run.counts.packets == 0
    assert energy["synapse"] == energy["spike"] == energy["hops"] == 0
    assert energy["neuron"] > 0


@LAW
@given(SEEDS)
def test_hops_are_loads_of_links(seed: int) -> None:
    network, placement, inputs = case(seed)
    counts = neuro.emulate(network, placement, inputs).counts
    assert counts.links.sum() == counts.hops[:, :2].sum()
    assert counts.packets_in.sum() == counts.packets_out.sum()
    assert counts.heaviest[..., 0].max(initial=0) <= counts.links.max(initial=0)
