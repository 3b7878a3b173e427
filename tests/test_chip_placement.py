"""Placement: no synapse lost or doubled, every limit kept, one unit over refused."""

import dataclasses
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
import neuro
from benchmarks.chip_networks import listed_layers
from neuro.chip.cutting.capabilities import able_codes, conversion_for
from neuro.chip.cutting.demand import CoreDemand
from neuro.chip.cutting.hypergraph import _partitioner, by_hypergraph
from neuro.chip.cutting.limits import list_bits
from neuro.chip.cutting.partition import partition
from neuro.chip.cutting.tilings import Tiling, even, fan
from neuro.chip.placing.boards import MOST_CHIPS, with_cores
from neuro.codes import CODES
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
            cut = Tiling(target.shape, even((target.size,), [min(3, target.size)]).edges, rng.permutation(target.size))
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


def listed(pairs: list[tuple[int, int]], shape: tuple[int, ...], *after: neuro.projections.Projection) -> neuro.Network:
    """8 sources that the chip holds to neurons by a list of synapses, and what they project to."""
    pre, post = np.array(pairs).T
    populations = [
        neuro.Population("in", (8,), neuro.Source("rate", levels=3)), neuro.Population("a", shape, neuro.IntegrateAndFire(9)),
        *(neuro.Population(p.target, shape, neuro.IntegrateAndFire(9, start_step=1)) for p in after),
    ]  # fmt: skip
    return neuro.Network(tuple(populations), (neuro.Sparse("in", "a", (pre, post, np.full(len(pairs), 101))), *after))


@pytest.mark.parametrize("shared", [False, True])
def test_lists_that_no_partition_serves_keep_their_plain_cuts(shared: bool) -> None:
    """Either no source has two targets; or those that hear much would lie together, for which a core has no room."""
    pytest.importorskip("mtkahypar", reason="the extra `mapping` is not installed")
    hears_much = [i for i in range(80) if i % 40 < 20]
    pairs = [(k, i) for k in range(7) for i in hears_much] + [(7, i) for i in range(80) if i not in hears_much]
    network = listed(pairs if shared else [(i, 9 * i) for i in range(8)], (80,))
    chip = small(neurons=40, memory_bits=None)
    plain = partition(network, chip, cores=3)
    assert plain["a"].slices == 2
    most = int(CoreDemand(network, chip).needs(network["a"], plain["a"], plain).synapse_bits.max())
    assert by_hypergraph(network, small(neurons=40, memory_bits=None, synapse_bits=most), plain, {}, 0) == plain
    if shared:
        parted = by_hypergraph(network, chip, plain, {}, 0)
        assert sorted(parted["a"].order[:40].tolist()) in (hears_much, [i for i in range(80) if i not in hears_much])


def test_partitioned_images_count_the_packets_of_their_convolutions() -> None:
    pytest.importorskip("mtkahypar", reason="the extra `mapping` is not installed")
    pairs = [(i % 8, i) for i in range(32)] + [((i + 1) % 8, i) for i in range(32)]
    conv = neuro.Conv2d("a", "b", np.ones((2, 2, 3, 3), int), padding=1)
    network = listed(pairs, (2, 4, 4), conv)
    placement = neuro.place(network, small(neurons=12, memory_bits=None), method="partitioned")
    cut, to = placement.cuts["a"], placement.core_map["b"]
    assert cut.order is not None
    synapses = conv.synapses((2, 4, 4), (2, 4, 4))
    sent = [len(np.unique(to[synapses.post[synapses.pre == i]])) for i in range(32)]
    axons = np.bincount(cut.labels(), sent, cut.slices)
    needs = CoreDemand(network, placement.chip).needs(network["a"], cut, placement.cuts)
    assert needs.out_axons.tolist() == axons.tolist()
    held = dict(zip(placement.used.tolist(), placement.fill["out_axons"].tolist(), strict=True))
    assert [held[int(core)] for core in placement.cores["a"]] == axons.tolist()


def test_without_a_partitioner_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    with pytest.raises(FitError, match=r"not installed.*neuro-emulator\[mapping\]"):
        _partitioner.__wrapped__()


def test_activity_weighs_the_traffic() -> None:
    network = random_network(3)
    chip = small(neurons=30)
    run = neuro.run(network, random_inputs(network, 4, 3))
    placement = neuro.place(network, chip, activity=run)
    rates = {name: spikes.mean(axis=0) / run.timesteps for name, spikes in run.spikes.items()}
    by_rates = neuro.place(network, chip, activity=rates)
    assert all(np.array_equal(by_rates.cores[name], cores) for name, cores in placement.cores.items())
    assert placement.traffic(rates) == placement.traffic(run)
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
    assert 3 <= placement.chips_used <= 4
    assert placement.tightest == ("neurons", 1.0)


def test_a_board_is_as_large_as_its_cores_ask_and_no_larger_than_any() -> None:
    chip = small(mesh={"width": 2, "height": 2, "cores_per_tile": 2})
    shapes = {1: (1, 1), 8: (1, 1), 9: (2, 1), 17: (2, 2), 33: (4, 2), 8 * MOST_CHIPS: None}
    for cores, shape in shapes.items():
        mesh = with_cores(chip, cores).mesh
        assert shape in (None, (mesh.chips_x, mesh.chips_y)), cores
        assert 8 * mesh.chips_x * mesh.chips_y >= cores
    with pytest.raises(FitError, match=f"{MOST_CHIPS + 1:,} chips.*within {MOST_CHIPS}"):
        with_cores(chip, 8 * MOST_CHIPS + 1)


def test_a_check_names_the_core_and_the_limit_that_it_breaks() -> None:
    placement = neuro.place(line(3, 20), one_core())
    smaller = dataclasses.replace(placement, chip=one_core(neurons=19, in_axons=2))
    assert [said.partition(" (")[2] for said in smaller.check()] == [
        "a) holds 20 neurons, its limit is 19", "out) holds 20 in axons, its limit is 2",
    ]  # fmt: skip
    crowded = dataclasses.replace(placement, cores={**placement.cores, "a": np.array([7])})
    assert crowded.check() == ["core 7 is reserved or does not exist"]
    two = neuro.place(line(3, 20), small(neurons=10, memory_bits=None))
    assert two.cuts["a"].slices == 2
    together = dataclasses.replace(two, cores={**two.cores, "a": two.cores["a"][[0, 0]]})
    assert "two slices of population 'a' share a core" in together.check()


def test_loops_whose_cuts_never_settle_are_refused() -> None:
    """Each of two populations needs more slices when the other has more: with 9 axons a core their cuts do not meet."""
    populations = (
        neuro.Population("in", (2,), neuro.Source()),
        *(neuro.Population(name, (10,), neuro.IntegrateAndFire(9)) for name in "ab"),
    )
    ones = np.ones((10, 10), int)
    joins = (neuro.Dense("in", "a", np.ones((2, 10), int)), neuro.Dense("a", "b", ones), neuro.Dense("b", "a", ones))
    network = neuro.Network(populations, joins, timesteps=2)
    assert neuro.place(network, small(out_axons=10, memory_bits=None)).check() == []
    with pytest.raises(FitError, match="20 out axons, its limit is 9"):
        neuro.place(network, small(out_axons=9, memory_bits=None))


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


@pytest.mark.parametrize(
    ("neuron", "fact"),
    [
        ({"subtract": "none"}, "cannot reset by subtraction"),
        ({"hold_input": False}, "cannot hold an input current"),
        ({"payload_bits": 3}, r"0\.\.8 carry 4 bits, the chip's carry 3"),
        ({"payload_bits": 0}, r"carry 4 bits, the chip's carry none"),
        ({"signed_payload": False}, r"-8\.\.8 need a sign"),
    ],
)
def test_what_messages_carry_and_how_neurons_reset_are_abilities(neuron: dict, fact: str) -> None:
    models = (neuro.IntegrateAndFire(5, hold_input=True), neuro.Graded(5, levels=8), neuro.Graded(5, levels=8, minimum=-8))
    network = neuro.Network(
        (
            neuro.Population("in", (2,), neuro.Source(levels=1)),
            *(neuro.Population(n, (2,), m) for n, m in zip("abc", models, strict=True)),
        ),
        tuple(neuro.OneToOne("in", name) for name in "abc"),
        timesteps=2,
    )
    assert neuro.place(network, small()).check() == []
    with pytest.raises(FitError, match=fact):
        neuro.place(network, small(neuron=neuron))


def test_synapses_that_a_chip_stores_in_no_form_are_refused() -> None:
    assert neuro.place(line(2, 2), small(encodings=("sparse",))).check() == []
    with pytest.raises(FitError, match="stores only conv synapses"):
        neuro.place(line(2, 2), small(encodings=("conv",)))


def test_graded_input_is_refused_where_spikes_are_plain() -> None:
    placement = neuro.place(line(2, 2), neuro.load_chip("loihi1-nahuku"))  # its source leaves open what comes
    with pytest.raises(FitError, match="Send spikes"):
        neuro.emulate(placement, np.full((1, 3, 2), 3))
    assert neuro.emulate(placement, np.ones((1, 3, 2), int)).run.synops > 0


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


@pytest.mark.parametrize("name", ["loihi1-davies2018", "loihi1-nahuku", "loihi2", "loihi2-x8", "spinnaker2", "speck"])
def test_codes_that_a_chip_is_able_to_run_are_those_that_can_be_placed(name: str) -> None:
    chip, rng = neuro.load_chip(name), np.random.default_rng(0)
    first, last = rng.standard_normal((10, 12)).astype(np.float32), rng.standard_normal((3, 10)).astype(np.float32)
    graph = neuro.Graph(
        (
            neuro.Layer("in", "input", (), (12,)),
            neuro.Layer("hidden", "linear", ("in",), (10,), {"weight": first}),
            neuro.Layer("relu", "relu", ("hidden",), (10,), {}, {"ceiling": None}),
            neuro.Layer("out", "linear", ("relu",), (3,), {"weight": last}),
        )
    )
    placed = []
    for code in CODES:
        how = {"code": code, "timesteps": 4, **conversion_for(chip, code)}
        made = converters.convert(graph, rng.random((32, 12), np.float32), **how)
        with suppress(FitError):
            placed.append(neuro.place(made.network, chip) and code)
    assert tuple(placed) == able_codes(chip)
