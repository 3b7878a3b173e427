"""Emulation: counts equal the run's own and a hand count, prices multiply them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.chip.cutting.limits import compartments
from neuro.errors import NeuroError
from tests.chips import random_inputs, random_network, small


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_sums_over_cores_equal_the_run(seed: int) -> None:
    network = random_network(seed)
    chip = small(neurons=30, mesh={"width": 5, "height": 5}, memory_bits=None)
    chip_run = neuro.emulate(
        network, neuro.place(network, chip, board="auto"), random_inputs(network, 3, seed), engine="reference"
    )
    run, counts = chip_run.run, chip_run.counts
    by_step = {name: sum(getattr(c, name) for c in run.counts.values()) for name in ("synops", "messages", "updates")}
    assert np.array_equal(sum(table.sum(axis=1) for table in counts.synops.values()), by_step["synops"])
    assert np.array_equal(counts.spikes.sum(axis=1), by_step["messages"])
    assert np.array_equal(counts.updates.sum(axis=1), by_step["updates"])
    assert counts.packets_out.sum() == counts.packets_in.sum()
    assert counts.each[..., 0].sum() == counts.spikes.sum()
    assert counts.each[..., 3:].sum() == run.synops
    assert counts.hops[:, :2].sum() == counts.links.sum()


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_engines_are_counted_alike(seed: int) -> None:
    network = random_network(seed)
    placement = neuro.place(network, small(neurons=40, mesh={"width": 5, "height": 4}, memory_bits=None), board="auto")
    inputs = random_inputs(network, 3, seed)
    event, reference = (neuro.emulate(network, placement, inputs, engine=e, noc="packet") for e in ("event", "reference"))
    assert event.bill == reference.bill
    assert np.array_equal(event.counts.each, reference.counts.each)
    assert np.array_equal(event.counts.links, reference.counts.links)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_packets_and_hops_equal_a_plain_count(seed: int) -> None:
    network = random_network(seed)
    mesh = {"width": 5, "height": 2, "cores_per_tile": 5 + seed % 2, "chips_y": 2}
    chip = small(neurons=40, mesh=mesh, memory_bits=None)
    placement = neuro.place(network, chip, method="random")
    chip_run = neuro.emulate(network, placement, random_inputs(network, 2, seed), engine="reference")
    packets = hops_x = hops_y = local = crossings = 0
    for p in network.populations:
        sent = chip_run.run.spikes[p.name].sum(axis=0)
        for i in np.flatnonzero(sent):
            here = placement.core_map[p.name][i] // chip.mesh.cores_per_tile if p.name in placement.core_map else 0
            to = set()
            for projection in network.out_of(p.name):
                synapses = projection.synapses(p.shape, network[projection.target].shape)
                to |= set(placement.core_map[projection.target][synapses.post[synapses.pre == i]].tolist())
            for core in to:
                tile = core // chip.mesh.cores_per_tile
                dx, dy = abs(tile % 5 - here % 5), abs(tile // 5 - here // 5)
                packets, hops_x, hops_y = packets + sent[i], hops_x + dx * sent[i], hops_y + dy * sent[i]
                local += (dx + dy == 0) * sent[i]
                crossings += abs(tile // 10 - here // 10) * sent[i]  # two rows of five tiles a chip
    assert chip_run.counts.packets == packets
    assert chip_run.counts.hops.sum(axis=0).tolist() == [hops_x, hops_y, local, crossings]


def pair(weights=((3, 1), (0, 4)), *, source=None) -> neuro.Network:
    return neuro.Network(
        (
            neuro.Population("in", (2,), source or neuro.Source()),
            neuro.Population("a", (2,), neuro.IntegrateAndFire(5)),
            neuro.Population("out", (1,), neuro.Readout()),
        ),
        (neuro.Dense("in", "a", np.array(weights)), neuro.Dense("a", "out", np.array([[1], [1]]))),
        timesteps=4,
    )


def test_a_bill_reckoned_by_hand() -> None:
    energy = {name: None for name in ("synop_dense", "neuron_access", "neuron_update", "spike", "axon_out", "hop_x", "hop_y")}
    prices = dict(zip(energy, (100.0, 10.0, 1.0, 1000.0, 5.0, 7.0, 9.0), strict=True))
    time = dict.fromkeys(("neuron_access", "neuron_update", "spike", "axon_out", "axon_in", "synop_dense"), 1.0)
    time |= {"hop_x": 2.0, "local": 3.0, "link_service": 4.0, "barrier": ((1, 50.0), (2, 60.0))}
    mesh = {"width": 2, "height": 1, "cores_per_tile": 1, "fabrics": 1}
    chip = small(energy=prices, time=time, mesh=mesh)
    network = pair()
    inputs = np.array([[[1, 0], [1, 1], [0, 0], [0, 1]]])
    chip_run = neuro.emulate(network, neuro.place(network, chip), inputs, engine="reference")
    # messages of the host: 1, 2, 0, 1, each to the core of 'a' (tile 0); 'a' fires both neurons at step 2, to tile 1
    counts, bill = chip_run.counts, chip_run.bill
    assert counts.packets_out.tolist() == [[0, 0, 1], [0, 0, 2], [2, 0, 0], [0, 0, 1]]
    assert counts.packets_in.tolist() == [[1, 0, 0], [2, 0, 0], [0, 2, 0], [1, 0, 0]]
    assert counts.synops["dense"].tolist() == [[0, 0, 0], [2, 0, 0], [4, 0, 0], [0, 2, 0]]
    assert counts.updates.tolist() == [[2, 1, 0]] * 4
    assert counts.hops.tolist() == [[0, 0, 1, 0], [0, 0, 2, 0], [2, 0, 0, 0], [0, 0, 1, 0]]
    energy = bill.energy_by_part()
    assert energy["synapse"] == 800
    assert energy["spike"] == 2000
    assert energy["axon_out"] == 10
    assert energy["hops"] == 14
    assert energy["neuron"] == 12 * 10 + (0 + 2 + 2 + 2) + 1  # 'a' holds potential from step 1 on, 'out' gets input at step 3
    # busiest core: two neurons updated (4 ns), and spiking two packets (+ 4 ns); received: packets + synops; link: 2 x 4 + 2 + 3
    times = chip_run.step_times
    assert times.send[0].tolist() == [4, 8, 8, 4]
    assert times.receive[0].tolist() == [1 + 2, 2 + 4, 2 + 2, 1]
    assert times.network[0].tolist() == [3, 3, 8 + 2 + 3, 3]
    assert bill.latency_ns == 4 * 60 + 4 + 8 + 13 + 4
    assert sum(ns for _, ns in bill.times_ns) == bill.latency_ns
    assert energy["static"] == pytest.approx(0.104 * bill.latency_ns * 1000)
    assert energy["total"] == pytest.approx(sum(part.energy_pj or 0.0 for part in bill.parts))


def test_threads_change_nothing() -> None:
    network = random_network(7)
    placement = neuro.place(network, small(neurons=40))
    inputs = random_inputs(network, 70, 7)
    one, two = (neuro.emulate(network, placement, inputs, threads=n, noc="packet") for n in (1, 2))
    assert one.bill == two.bill
    assert np.array_equal(one.traffic.latency_ns, two.traffic.latency_ns)
    assert np.array_equal(one.counts.each, two.counts.each)


@pytest.mark.parametrize("dropped", [0.0, 0.3])
def test_where_room_is_short_some_samples_are_kept_apart_and_all_are_counted(
    dropped: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(7)
    placement, inputs = neuro.place(network, small(neurons=40)), random_inputs(network, 9, 7)
    faults = neuro.Faults(dropped_packets=dropped)
    whole = neuro.emulate(network, placement, inputs, faults=faults)
    monkeypatch.setattr("neuro.chip.counts._MOST_BYTES", whole.counts.each[:3].nbytes)
    part = neuro.emulate(network, placement, inputs, faults=faults)
    assert whole.counts.timed.tolist() == list(range(9))
    assert part.counts.timed.tolist() == [0, 4, 8]
    for name in ("each", "far", "heaviest"):
        assert np.array_equal(getattr(part.counts, name), getattr(whole.counts, name)[::4]), name
    for name in ("spikes", "packets_out", "packets_in", "updates", "hops", "links"):
        assert np.array_equal(getattr(part.counts, name), getattr(whole.counts, name)), name
    assert all(np.array_equal(part.counts.synops[form], table) for form, table in whole.counts.synops.items())
    assert part.bill.dynamic_pj == whole.bill.dynamic_pj
    assert np.array_equal(part.step_times.total, whole.step_times.total[::4])
    assert any("3 of 9 samples" in line for line in part.bill.assumptions)
    assert not any("of 9 samples" in line for line in whole.bill.assumptions)


def test_another_chip_prices_the_same_counts() -> None:
    network = pair(source=neuro.Source("rate", levels=3))
    chip = neuro.load_chip("loihi2")
    chip_run = neuro.emulate(network, neuro.place(network, chip), np.array([[3, 2]]), engine="reference")
    other = chip_run.price(neuro.load_chip("loihi1-nahuku"))
    assert other.dynamic_pj == pytest.approx(chip_run.bill.dynamic_pj)  # Loihi 2 takes over the energies of Loihi 1
    assert other.latency_ns > chip_run.bill.latency_ns
    assert any("assumed" in line for line in chip_run.bill.assumptions)
    assert not any("synop_dense = " in line for line in other.assumptions)
    assert {part.kind for part in other.parts} == {"dynamic", "static", "management"}


def test_two_compartments_update_twice() -> None:
    network = pair(source=neuro.Source("rate", levels=3))
    chip = neuro.load_chip("loihi1-nahuku")
    chip_run = neuro.emulate(network, neuro.place(network, chip), np.array([[3, 2]]), engine="reference")
    expected = sum(compartments(p, chip) * int(chip_run.run.counts[p.name].updates.sum()) for p in network.populations)
    assert chip_run.counts.updates.sum() == expected > chip_run.run.updates


def test_packets_that_branch_are_sent_once_and_cross_a_link_once() -> None:
    network = neuro.Network(
        (neuro.Population("a", (1,), neuro.Source("rate", levels=1)), neuro.Population("b", (3,), neuro.IntegrateAndFire(9))),
        (neuro.Dense("a", "b", np.ones((1, 3), int)),),
        timesteps=1,
    )
    runs = {}
    for multicast in ("unicast", "tree"):
        mesh = {"width": 4, "height": 1, "cores_per_tile": 1, "multicast": multicast}
        placement = neuro.place(network, small(neurons=1, mesh=mesh), method="sequential")  # a on tile 0, b on tiles 1 to 3
        runs[multicast] = neuro.emulate(network, placement, np.array([[1]])).counts
    assert [runs[m].packets_out.sum() for m in ("unicast", "tree")] == [3, 1]
    assert [runs[m].packets for m in ("unicast", "tree")] == [3, 3]
    assert [runs[m].links[0::4].tolist() for m in ("unicast", "tree")] == [[3, 2, 1, 0], [1, 1, 1, 0]]


def test_every_preset_prices_the_same_counts() -> None:
    network = pair(source=neuro.Source("rate", levels=3))
    chip_run = neuro.emulate(network, neuro.place(network, neuro.load_chip("loihi2")), np.array([[3, 2]]))
    for name in neuro.list_chips():
        bill = chip_run.price(neuro.load_chip(name))
        assert bill.energy_known == (name != "speck")
        assert (bill.energy_pj > 0) == (name != "speck")
        assert not bill.latency_ns <= 0
        assert bill.assumptions


@pytest.mark.parametrize("noc", ["magic", ""])
def test_what_cannot_be_emulated_is_refused(noc) -> None:
    placement = neuro.place(pair(), neuro.load_chip("loihi2"))
    with pytest.raises(NeuroError, match="noc"):
        neuro.emulate(pair(), placement, np.ones((1, 2), int), noc=noc)
    with pytest.raises(NeuroError, match="another network"):
        neuro.emulate(pair(((1, 1), (1, 1))), placement, np.ones((1, 2), int))
    with pytest.raises(NeuroError, match="placement: a ndarray was passed in its place. Call neuro.place"):
        neuro.emulate(pair(), np.ones((1, 2), int))


def test_a_placement_holds_its_network() -> None:
    network, inputs = pair(), np.array([[3, 2]])
    placement = neuro.place(network, neuro.load_chip("loihi2"))
    named, alone, by_name = (
        neuro.emulate(network, placement, inputs),
        neuro.emulate(placement, inputs),
        neuro.emulate(placement, inputs=inputs),
    )
    for other in (alone, by_name):
        assert np.array_equal(other.run.logits, named.run.logits)
        assert other.bill == named.bill
        assert other.placement is placement


def test_negative_input_is_refused_where_messages_have_no_sign() -> None:
    network = pair(source=neuro.Source(levels=1))
    placement = neuro.place(network, neuro.load_chip("loihi1-nahuku"))
    assert neuro.emulate(network, placement, np.ones((1, 3, 2), int)).counts.packets > 0
    with pytest.raises(NeuroError, match='input="spikes"'):
        neuro.emulate(network, placement, -np.ones((1, 3, 2), int))
