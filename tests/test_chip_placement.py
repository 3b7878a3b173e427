"""Placement: no synapse lost or doubled, every limit kept, one unit over refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from benchmarks.chip_networks import listed_layers
from neuro.chip.cuts import Cut, even, fan
from neuro.chip.limits import list_bits
from neuro.errors import FitError
from neuro.neurons import MaxPool
from tests.chips import random_inputs, random_network, small


def parts_of(n: int, seed: int) -> int:
    return int(np.random.default_rng(seed).integers(1, n + 1))


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_fans_count_every_synapse_once(seed: int) -> None:
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    for p in network.projections:
        source, target = network[p.source], network[p.target]
        cut = even(target.shape, [int(rng.integers(1, n + 1)) for n in target.shape])
        if rng.random() < 0.2:
            cut = Cut(target.shape, even((target.size,), [min(3, target.size)]).edges, rng.permutation(target.size))
        leads, synapses = fan(p, network, cut), p.synapses(source.shape, target.shape)
        expected = np.zeros((source.size, cut.slices), int)
        np.add.at(expected, (synapses.pre, cut.labels()[synapses.post]), 1)
        got = np.zeros_like(expected)
        for i, k in enumerate(leads.classes):
            row = slice(leads.starts[k], leads.starts[k + 1])
            got[i, leads.slices[row]] += leads.synops[row]
        assert np.array_equal(got, expected), p.name


@given(st.integers(0, 10_000), st.integers(4, 60))
@settings(max_examples=25, deadline=None)
def test_random_networks_keep_every_limit_of_random_chips(seed: int, neurons: int) -> None:
    network = random_network(seed)
    chip = small(neurons=neurons, synapse_bits=40_000, memory_bits=90_000, in_axons=400, out_axons=900)
    try:
        placement = neuro.place(network, chip)
    except FitError:
        return  # too small a chip; what is refused, and that nothing else is, stands below
    assert placement.check() == []
    for p in network.populations:
        cores = placement.core_map.get(p.name)
        if cores is not None:
            assert np.bincount(cores).max() <= neurons
            assert cores.min() >= 0
    held = sum(p.size for p in network.populations if p.name in placement.core_map)
    assert placement.fill["neurons"].sum() == held == network.neurons


def test_refined_places_halve_the_hops_of_a_convolutional_network() -> None:
    chip = small(neurons=128, memory_bits=None)
    conv, _ = listed_layers(side=16)
    refined, sequential, scattered = (neuro.place(conv, chip, method=m) for m in ("refined", "sequential", "random"))
    assert all(p.check() == [] for p in (refined, sequential, scattered))
    assert refined.traffic()[1] < sequential.traffic()[1] / 2
    assert refined.traffic()[1] < scattered.traffic()[1] / 2
    again = neuro.place(conv, chip)
    assert all(np.array_equal(again.cores[name], cores) for name, cores in refined.cores.items())


def test_a_hypergraph_partitioner_finds_the_order_in_shuffled_lists() -> None:
    pytest.importorskip("mtkahypar", reason="the extra `mapping` is not installed")
    chip = small(neurons=128, memory_bits=None)
    _, lists = listed_layers(side=16, layers=3)
    plain, parted = (neuro.place(lists, chip, method=m) for m in ("refined", "partitioned"))
    assert parted.check() == []
    again = neuro.place(lists, chip, method="partitioned")
    assert all(again.cuts[name] == cut for name, cut in parted.cuts.items())
    assert parted.traffic()[0] < plain.traffic()[0] / 3
    x = np.random.default_rng(0).integers(0, 256, (2, *lists.populations[0].shape))
    runs = [neuro.emulate(lists, p, x) for p in (plain, parted)]
    assert np.array_equal(runs[0].run.logits, runs[1].run.logits)
    assert runs[0].counts.synops["sparse"].sum() == runs[1].counts.synops["sparse"].sum()


def test_activity_weighs_the_traffic() -> None:
    network = random_network(3)
    chip = small(neurons=30)
    run = neuro.run(network, random_inputs(network, 4, 3))
    placement = neuro.place(network, chip, activity=run)
    chip_run = neuro.emulate(network, placement, random_inputs(network, 4, 3))
    packets, hops = placement.traffic(run)
    assert packets * 4 * run.timesteps == pytest.approx(chip_run.counts.packets)
    assert hops * 4 * run.timesteps == pytest.approx(chip_run.counts.hops[:, :2].sum())
    with pytest.raises(FitError, match="not a number for each neuron"):
        neuro.place(network, chip, activity={"conv": [1.0]})


def test_auto_takes_the_smallest_board() -> None:
    network = neuro.Network((neuro.Population("a", (100,), neuro.Source("rate", levels=2)),), (), timesteps=1)
    chip = small(neurons=5, mesh={"width": 2, "height": 2, "cores_per_tile": 2})
    with pytest.raises(FitError, match="board"):
        neuro.place(network, chip)
    placement = neuro.place(network, chip, board="auto")
    assert (placement.chip.chips, placement.cores_used, placement.check()) == (4, 20, [])


def line(n: int, m: int, weights=None) -> neuro.Network:
    return neuro.Network(
        (
            neuro.Population("in", (n,), neuro.Source()),
            neuro.Population("a", (m,), neuro.IntegrateAndFire(9)),
            neuro.Population("out", (1,), neuro.Readout()),
        ),
        (
            neuro.Dense("in", "a", np.full((n, m), 3) if weights is None else weights),
            neuro.Dense("a", "out", np.ones((m, 1), int)),
        ),
        timesteps=2,
    )


def one_core(**core):
    mesh = {"width": 1, "height": 1, "cores_per_tile": 2}
    return small(mesh=mesh, memory_bits=None, **core)


@pytest.mark.parametrize(
    ("limit", "network", "at"),
    [
        ("neurons", line(3, 20), 20),
        ("in_axons", line(30, 4), 30),
        ("out_axons", line(3, 20), 20),
        ("synapse_bits", line(30, 4), 30 * 64),  # 4 x 8 bits + 10 in one word
        ("synapse_bits", line(30, 70, np.full((30, 70), -127)), 30 * (576 + 64)),  # 64 x 8 + 10 -> 9 words, 6 x 8 + 10 -> 1
    ],
)
def test_at_the_limit_is_accepted_and_one_over_refused(limit: str, network: neuro.Network, at: int) -> None:
    single = {"neurons": 10_000, "in_axons": 10_000, "out_axons": 10_000, "synapse_bits": 10**9}
    mesh = {"width": 1, "height": 1, "cores_per_tile": 2}
    placement = neuro.place(network, small(mesh=mesh, memory_bits=None, **{**single, limit: at}))
    assert placement.check() == []
    assert placement.fill[limit].max() == at
    with pytest.raises(FitError, match="core"):  # 'a' needs a second core, the readout holds the other one
        neuro.place(network, small(mesh={**mesh, "cores_per_tile": 1}, memory_bits=None, **{**single, limit: at - 1}))


def test_memory_for_everything_together_is_a_limit() -> None:
    network = line(3, 20)
    placement = neuro.place(network, small(mesh={"width": 1, "height": 1, "cores_per_tile": 2}))
    need = 3 * 64 + 3 * 32 + 20 * 32 + 20 * 2 * 32  # lists of 2-bit synapses, axons in and out, potential and accumulator
    assert placement.fill["memory_bits"].max() == need
    at_limit = {"synapse_bits": 600, "memory_bits": need}
    two = {"width": 1, "height": 1, "cores_per_tile": 2}
    assert neuro.place(network, small(mesh=two, **{**at_limit, "synapse_bits": 1280})).check() == []
    with pytest.raises(FitError, match="core"):
        neuro.place(network, small(mesh={**two, "cores_per_tile": 1}, **{**at_limit, "memory_bits": need - 1}))


def test_delays_weights_and_reserved_cores_are_limits() -> None:
    late = neuro.Network(line(2, 2).populations, (neuro.Dense("in", "a", np.ones((2, 2), int), delay=9),), timesteps=2)
    assert neuro.place(late, small(delay_steps=9)).check() == []
    with pytest.raises(FitError, match="delay"):
        neuro.place(late, small(delay_steps=8))
    assert neuro.place(line(2, 2, np.array([[127, -128], [1, 2]])), small()).check() == []
    assert neuro.place(line(2, 2, np.array([[255, 0], [1, 2]])), small()).check() == []
    assert neuro.place(line(2, 2, np.array([[-512, 256], [4, 508]])), small()).check() == []  # a common power of two is free
    with pytest.raises(FitError, match="weight_bits"):
        neuro.place(line(2, 2, np.array([[128, -1], [1, 2]])), small())
    two = {"width": 1, "height": 1, "cores_per_tile": 4}
    assert neuro.place(line(2, 2), small(mesh={**two, "reserved_cores": 2})).used.tolist() == [0, 1]
    with pytest.raises(FitError, match="configs|cores"):
        neuro.place(line(2, 2), small(mesh={**two, "reserved_cores": 3}, neuron_configs=1))


def test_synapse_formats_are_a_limit() -> None:
    network = neuro.Network(
        (neuro.Population("in", (2,), neuro.Source()), neuro.Population("a", (2,), neuro.IntegrateAndFire(9))),
        tuple(neuro.Dense("in", "a", np.full((2, 2), 3), delay=1 + d // 2) for d in range(6)),
        timesteps=2,
    )
    assert neuro.place(network, small(synapse_configs=3)).fill["synapse_configs"].tolist() == [3]
    with pytest.raises(FitError, match="3 synapse formats"):
        neuro.place(network, small(synapse_configs=2))


@pytest.mark.parametrize(
    ("neuron", "says"),
    [
        (neuro.SignedIntegrateAndFire(5), 'code="rate"'),
        (neuro.RadixIntegrateAndFire(5, 4, 4), 'code="rate"'),
        (neuro.Graded(5), 'code="rate"'),
        (MaxPool(2), "average pooling"),
        (neuro.IntegrateAndFire(2**25), "weight_bits"),
        (neuro.IntegrateAndFire(5, potential_bits=25), "weight_bits"),
        (neuro.IntegrateAndFire(5, bias=2**21), "weight_bits"),
    ],
)
def test_what_the_neurons_cannot_do_is_refused_with_the_setting(neuron, says: str) -> None:
    network = neuro.Network(
        (neuro.Population("in", (2,), neuro.Source(levels=1, scale=1.0, twin=True)), neuro.Population("a", (2,), neuron)),
        (neuro.Dense("in", "a", np.ones((2, 2), int)),),
        timesteps=2,
    )
    with pytest.raises(FitError) as refused:
        neuro.place(network, neuro.load_chip("loihi1-nahuku"))
    assert says in refused.value.remedy


def test_graded_input_is_refused_where_spikes_are_plain() -> None:
    with pytest.raises(FitError, match='input="spikes"'):
        neuro.place(line(2, 2), neuro.load_chip("loihi1-nahuku"))


def test_reset_by_subtraction_takes_two_compartments_on_loihi_1() -> None:
    chip = neuro.load_chip("loihi1-nahuku")
    network = neuro.Network(
        (
            neuro.Population("a", (600,), neuro.Source("rate", levels=4)),
            neuro.Population("b", (600,), neuro.IntegrateAndFire(5, reset="zero")),
        ),
        (neuro.OneToOne("a", "b"),),
        timesteps=2,
    )
    placement = neuro.place(network, chip)
    assert placement.fill["neurons"].sum() == 2 * 600 + 600
    assert np.bincount(placement.core_map["a"]).max() <= 1024 // 2


@pytest.mark.parametrize(("synapses", "bits", "expected"), [(64, 8, 576), (64, 18, 1216), (1, 8, 64), (65, 8, 640), (0, 8, 0)])
def test_bits_of_a_list_of_synapses(synapses: int, bits: int, expected: int) -> None:
    assert list_bits(synapses, bits, neuro.load_chip("loihi1-nahuku")) == expected
