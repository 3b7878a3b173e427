"""Bills of counts written by hand, every price a different number: energies, times, bases and what was assumed."""

import dataclasses
import math

import numpy as np
import pytest

import neuro
from neuro.chip.counts import Counts
from neuro.chip.cutting.limits import update_ns
from neuro.chip.pricing import StepTimes, assumptions, price, step_times
from neuro.chip.spec import Chip, Energy, Origin, Power, Time, neuron_ns

ENERGY = {
    "synop_dense": 1.0, "synop_sparse": 10.0, "synop_conv": 100.0, "neuron_access": 3.0, "neuron_update": 1000.0, "spike": 6.0,
    "axon_out": 7.0, "axon_in": 11.0, "hop_x": 1.0, "hop_y": 10.0, "local": 100.0, "chip_link": 1000.0, "barrier": 13.0,
}  # fmt: skip
TIME = {
    "synop_dense": 2.0, "synop_sparse": 3.0, "synop_conv": 7.0, "neuron_access": 1.0, "neuron_update": 2.0, "spike": 10.0,
    "axon_out": 100.0, "axon_in": 5.0, "hop_x": 20.0, "hop_y": 30.0, "local": 9.0, "chip_link": 400.0, "link_service": 4.0,
    "chip_link_service": 50.0, "barrier": ((1, 1000.0), (2, 2000.0), (3, 5000.0)), "management_step": 300.0,
    "management_inference": 77_777.0,
}  # fmt: skip
POWER = {"static": 0.5, "management": 0.25}


def priced(*, energy=ENERGY, time=TIME, power=POWER, when="driven", **bases) -> Chip:
    """A chip with these prices, measured but for `bases`: {"energy_spike": "assumed"}."""
    chip = neuro.load_chip("loihi2")
    origin = dict(chip.origin)
    for section, values, unit in (("energy", energy, "pJ"), ("time", time, "ns"), ("power", power, "W")):
        origin |= {f"{section}.{name}": Origin(unit, "measured", "a bench") for name in values}
    for key, basis in bases.items():
        name = key.replace("_", ".", 1)
        origin[name] = Origin(origin[name].unit, basis, "a guess")
    sections = {"energy": Energy(**energy, update_when=when), "time": Time(**time), "power": Power(**power)}
    return dataclasses.replace(chip, name="chip", **sections, origin=origin)


def counted(**changes) -> Counts:
    """Two steps on two cores and the host's port, on two chips; samples 0 and 2 of four are kept apart."""
    each = np.zeros((2, 2, 3, 6), np.int32)
    each[0, 0, 0] = 2, 3, 1, 5, 7, 11  # spikes, packets out and in, synops of each encoding
    each[0, 0, 1, 2] = 40
    each[0, 0, 2, 1] = 6
    each[0, 1, 1, 2] = 10
    each[0, 1, 2, 1] = 200
    each[1, 1, 0, 2:4] = 3, 20
    counts = Counts(
        samples=4, steps=2, fabrics=2, cores=np.array([0, 1, -1]), tiles=2, chips=2,
        spikes=np.array([[5, 1, 9], [2, 0, 9]]), packets_out=np.array([[7, 0, 50], [5, 0, 50]]),
        packets_in=np.array([[4, 4, 1], [2, 1, 0]]),
        synops={name: np.array([[n, 0, 0], [0, n, 0]]) for name, n in (("dense", 4), ("sparse", 6), ("conv", 10))},
        updates=np.array([[8, 4, 0], [4, 0, 0]]), driven=np.array([2, 4]), restless=np.array([3, 7]),
        passes=np.zeros((2, 3), int), products=np.zeros((2, 3), int), lookups=np.zeros((2, 3), int),
        synaptic_updates=np.zeros((2, 3), int),
        hops=np.array([[1, 2, 3, 4], [3, 2, 1, 0]]), links=np.zeros(4, np.int64), host_reads=4, timed=np.array([0, 2]), each=each,
        heaviest=np.array([[[12, 3], [100, 0]], [[0, 0], [0, 0]]], np.int32),
        far=np.array([[[2, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.int32),
    )  # fmt: skip
    return dataclasses.replace(counts, **changes)


def test_times_of_steps() -> None:
    times = step_times(counted(), priced())
    # a core: 10 a spike, 100 a packet, 3 a neuron; the host: 4 a packet
    assert times.send.tolist() == [[20 + 300 + 2 * 3, 200 * 4], [2 * 3, 3]]
    assert times.receive.tolist() == [[40 * 5, 10 * 5], [0, 3 * 5 + 20 * 2]]
    # two meshes share the busiest link; one link goes from chip to chip; then the longest way, and a door
    assert times.network.tolist() == [[3 * 50 + 2 * 20 + 30 + 400 + 9, 100 * 4 / 2 + 9], [0, 0]]
    assert times.barrier.tolist() == [[2000, 2000]] * 2
    assert times.management.tolist() == [[300, 300]] * 2
    assert times.work.tolist() == [[629, 800], [6, 55]]
    assert times.total.tolist() == [[2929, 3100], [2306, 2355]]


def test_a_core_hears_every_encoding() -> None:
    alone = counted()
    alone.each[0, 0, 1] = 0
    assert step_times(alone, priced()).receive[0, 0] == 1 * 5 + 5 * 2 + 7 * 3 + 11 * 7


def test_a_link_between_chips_is_as_fast_as_any_where_nothing_else_is_known() -> None:
    time = {name: value for name, value in TIME.items() if name != "chip_link_service"}
    assert step_times(counted(), priced(time=time)).network[0, 0] == 12 * 4 / 2 + 2 * 20 + 30 + 400 + 9
    crowded = counted(heaviest=np.full((2, 2, 2), 12, np.int32))
    assert step_times(crowded, priced(time=time)).network[0, 0] == 12 * 4 + 2 * 20 + 30 + 400 + 9


def test_what_steps_waited_for_adds_up_to_the_latency() -> None:
    bill = price(counted(), priced())
    assert bill.times_ns == (
        ("barrier", 4000), ("management", 600), ("send", (326 + 800 + 6) / 2), ("receive", 55 / 2),
        ("network", (629 - 326) / 2), ("host", 77_777),
    )  # fmt: skip
    assert bill.latency_ns == 4000 + 600 + (629 + 800 + 6 + 55) / 2 + 77_777
    assert bill.throughput_per_s == pytest.approx(1e9 / bill.latency_ns)
    assert bill.precision == "spikes"


def test_a_step_that_sends_as_long_as_it_receives_waits_for_sending() -> None:
    ones = np.ones((1, 1))
    times = StepTimes(barrier=ones, management=2 * ones, send=5 * ones, receive=5 * ones, network=5 * ones)
    assert times.by_cause() == (("barrier", 1), ("management", 2), ("send", 5), ("receive", 0), ("network", 0))


@pytest.mark.parametrize(("when", "changed"), [("driven", 6), ("restless", 10)])
def test_energies_of_an_average_sample(when: str, changed: int) -> None:
    bill = price(counted(), priced(when=when))
    energy = bill.energy_by_part()
    assert energy["synapse"] == (8 * 1 + 12 * 10 + 20 * 100) / 4
    assert energy["neuron"] == (16 * 3 + changed * 1000) / 4
    assert energy["spike"] == 8 * 6 / 4  # the host's messages are not the chip's spikes
    assert energy["axon_out"] == 12 * 7 / 4
    assert energy["axon_in"] == 12 * 11 / 4
    assert energy["hops"] == 4 * 1111 / 4
    assert energy["barrier"] == 2 * 2 * 13  # steps and chips
    assert energy["static"] == pytest.approx(0.5 * 2 * bill.latency_ns * 1000)  # W x ns are 1000 pJ
    assert energy["management"] == pytest.approx(0.25 * bill.latency_ns * 1000)
    assert [part.kind for part in bill.parts] == ["dynamic"] * 7 + ["static", "management"]


def test_simulated_packets_take_the_place_of_the_estimate() -> None:
    drained = np.array([[5000.0, 0.0], [0.0, 0.0]])
    bill = price(counted(), priced(), drained_ns=drained)
    assert dict(bill.times_ns)["network"] == (5000 - 326) / 2
    assert not any("queues" in line for line in bill.assumptions)
    assert "queues" in price(counted(), priced()).assumptions[-1]


def test_a_part_is_as_good_as_its_weakest_price_that_counts() -> None:
    chip = priced(energy_synop_conv="assumed", energy_synop_dense="simulated", energy_hop_x="vendor", power_static="fitted")
    bases = {part.name: part.basis for part in price(counted(), chip).parts}
    assert (bases["synapse"], bases["hops"], bases["static"], bases["spike"]) == ("assumed", "vendor", "fitted", "measured")
    assert price(counted(), chip).basis == "assumed"
    none = np.zeros((2, 3), np.int64)
    without = counted(synops={"dense": none + 1, "sparse": none, "conv": none}, hops=np.array([[0, 1, 1, 1]] * 2))
    bases = {part.name: part.basis for part in price(without, chip).parts}
    assert (bases["synapse"], bases["hops"]) == ("simulated", "measured")
    assert price(without, chip).basis == "simulated"
    assert {part.name: part.basis for part in price(counted(), priced(power={"static": 1.0})).parts}["management"] == "unknown"


def test_what_is_assumed_or_unknown_is_said_where_it_counts() -> None:
    energy = {name: value for name, value in ENERGY.items() if name != "axon_in"}
    chip = priced(energy=energy, energy_spike="assumed", time_barrier="assumed", time_chip_link="assumed")
    said = assumptions(counted(), chip)
    assert said == (
        "chip: energy.spike = 6 pJ is assumed (a guess).",
        "chip: energy.axon_in is unknown and counts as nothing.",
        "chip: time.chip_link = 400 ns is assumed (a guess).",
        "chip: time.barrier = ((1, 1000.0), (2, 2000.0), (3, 5000.0)) ns is assumed (a guess).",
        "Time of a core's neurons: each one is taken to change in each step (an upper bound).",
        "Latency: mean over 2 of 4 samples, evenly spread; energy: over all.",
    )
    one = counted(chips=1, hops=np.array([[1, 1, 1, 0]] * 2), timed=np.arange(4))
    assert not any("chip_link" in line or "mean over" in line for line in assumptions(one, chip))
    unknown = {name: value for name, value in TIME.items() if name not in ("chip_link_service", "local", "hop_y")}
    beside = counted(hops=np.zeros((2, 4), np.int64))  # all but the links between the two chips
    lines = [line for line in assumptions(beside, priced(time=unknown)) if "unknown" in line]
    assert lines == [f"chip: time.{name} is unknown and counts as nothing." for name in ("local", "chip_link_service")]


def test_what_no_price_is_known_for_has_no_bill() -> None:
    chip = priced(energy={"spike": 1.0}, time={}, power={})
    bill = price(counted(), chip)
    assert not bill.energy_known
    assert bill.parts == ()
    assert math.isnan(bill.latency_ns)
    assert math.isnan(bill.throughput_per_s)
    assert bill.times_ns[-1] == ("network", 0)
    for form in ("synop_dense", "synop_sparse", "synop_conv"):
        bill = price(counted(), priced(energy={form: 1.0}, time={}, power={}))
        assert bill.energy_known
        assert not bill.total_known  # for how long the chip is switched on is not known
        assert math.isnan(bill.energy_pj)
        assert {part.kind for part in bill.parts} == {"dynamic"}
        assert bill.dynamic_pj >= 0
        assert bill.energy_by_part()["neuron"] is bill.energy_by_part()["barrier"] is None  # they happened at no known price


def test_each_pass_of_a_program_costs_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    populations = (neuro.Population("in", (4,), neuro.Source()), neuro.Population("a", (6,), neuro.IntegrateAndFire(9)))
    network = neuro.Network(populations, (neuro.Dense("in", "a", np.full((4, 6), 3)),), timesteps=5)
    placement = neuro.place(network, neuro.load_chip("loihi2"))
    once = neuro.emulate(placement, np.ones((2, 4), int))
    monkeypatch.setattr(neuro.IntegrateAndFire, "passes", 3)
    more = neuro.emulate(placement, np.ones((2, 4), int))
    assert np.array_equal(more.run.spikes["a"], once.run.spikes["a"])
    assert np.array_equal(more.counts.updates, 3 * once.counts.updates)
    assert np.array_equal(more.counts.driven, 3 * once.counts.driven)
    assert update_ns(network["a"], placement.chip) == 3 * neuron_ns(placement.chip) > 0
