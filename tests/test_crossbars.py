"""Networks in crossbars: splitters only delay spikes, and what each core is programmed with does what the network does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.chip.cutting.crossbar import crossbars
from neuro.chip.cutting.crossbar_groups import bases, parts_of
from neuro.errors import ChipError, FitError
from tests.chips import small
from tests.laws import law

SEEDS = st.integers(0, 100_000)


def north(**core) -> neuro.Chip:
    """TrueNorth with small cores, so that small networks take many, and splitters two floors."""
    return small("truenorth", **{"neurons": 6, "in_axons": 64, "out_axons": None, **core})


def random_network(seed: int) -> neuro.Network:
    """A convolution, a list with a skip path and loops, and a readout; weights few enough for four axon types, each neuron's in
    units of its own."""
    rng = np.random.default_rng(seed)
    side, channels = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    values = rng.choice([[-1, 0, 0, 1], [-8, 0, 3, 7], [0, 1, 5, 15], [-7, 0, 0, 8], [0, 0, -3, 2]])

    def fire(start: int) -> neuro.IntegrateAndFire:
        threshold, bias = int(rng.integers(1, 9)), int(rng.integers(-1, 3))
        return neuro.IntegrateAndFire(
            threshold, bias=bias, initial_potential=int(rng.integers(0, 4)), start_step=start, potential_bits=20
        )

    starts = np.cumsum(rng.integers(0, 3, 3)).tolist()
    populations = (
        neuro.Population("in", (1, side, side), neuro.Source("rate", levels=7)),
        neuro.Population("conv", (channels, side, side), fire(starts[0])),
        neuro.Population("list", (int(rng.integers(1, 9)),), fire(starts[1])),
        neuro.Population("end", (3,), neuro.Readout(start_step=starts[2], potential_bits=20)),
    )
    conv, listed = populations[1].size, populations[2].size
    kernel = rng.choice(values, (channels, 1, 3, 3)) * rng.integers(1, 9, (channels, 1, 1, 1))
    sparse = rng.choice(values, (conv, listed)) * (rng.random((conv, listed)) < 5 / conv)
    projections = (
        neuro.Conv2d("in", "conv", kernel, 1, 1, delay=int(rng.integers(1, 3))),
        neuro.Dense("conv", "list", sparse, delay=int(rng.integers(1, 4))),
        neuro.Dense("list", "list", rng.choice([-1, 0, 1], (listed, listed)), delay=int(rng.integers(3, 6))),
        neuro.Dense("list", "end", rng.choice(values, (listed, 3)) * 3),
        neuro.Sparse("conv", "end", ([0, conv - 1], [0, 2], 3 * rng.choice(values, 2)), delay=int(rng.integers(1, 5))),
    )
    return neuro.Network(populations, projections, timesteps=9)


def case(seed: int) -> tuple[neuro.Network, neuro.Network, np.ndarray]:
    network = random_network(seed)
    x = np.random.default_rng(seed).integers(0, 8, (2, *network["in"].shape))
    return network, neuro.to_crossbars(network, north()), x


@law(25)
@given(SEEDS)
def test_splitters_only_delay_spikes(seed: int) -> None:
    network, mapped, x = case(seed)
    plain, moved = (neuro.run(n, x, record=("raster",)) for n in (network, mapped))
    assert np.array_equal(plain.logits, moved.logits)
    for p in network.populations[:-1]:
        late = mapped[p.name].neuron.start_step - p.neuron.start_step
        of, there = plain.raster[p.name], moved.raster[p.name]
        assert np.array_equal(there[:, late : late + of.shape[1]], of), p.name
        assert there.sum() == of.sum(), p.name


@law(5)
@given(SEEDS)
def test_programmed_crossbars_do_what_the_network_does(seed: int) -> None:
    _, mapped, x = case(seed)
    placement = neuro.place(mapped, north())
    assert not placement.check()
    ran = neuro.emulate(placement, x, record=("raster",))
    reference = neuro.run(mapped, x, engine="reference", record=("raster",))
    events = 0
    for sample in range(len(x)):
        spikes, final, events_here = tick_by_tick(placement, reference.raster["in"][sample], reference.steps)
        events += events_here
        for name, found in spikes.items():
            assert np.array_equal(ran.run.raster[name][sample].reshape(found.shape), found), name
        end = mapped["end"].neuron
        assert np.array_equal(ran.run.logits[sample], end.offset + end.scale * final)
    assert sum(int(table.sum()) for table in ran.counts.synops.values()) == ran.synops == events
    assert ran.bill.energy_pj == pytest.approx(26 * events / len(x))


def tick_by_tick(placement: neuro.Placement, raster: np.ndarray, steps: int) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """The cores as they are programmed, one after the other in every tick: spikes (steps, neurons), potentials of the readout,
    and axon events times bits of their rows."""
    network = placement.network
    programs = crossbars(network, placement.chip, placement.cuts)
    spikes = {p.name: np.zeros((steps, p.size), np.int64) for p in network.populations}
    spikes["in"] = raster.reshape(steps, -1).astype(np.int64)
    v = {p.name: np.broadcast_to(getattr(p.neuron, "initial_potential", 0), p.shape).ravel().copy() for p in network.populations}
    delay = {(p.source, p.target): p.delay for p in network.projections}
    events, window = 0, network.timesteps
    for t in range(steps):
        for (name, _), core in programs.items():
            neuron = network[name].neuron
            if name == "in" or not neuron.start_step <= t < neuron.start_step + window:
                continue
            for i, (source, sender) in enumerate(core.axons):
                at = t - delay[source, name]
                if at >= 0 and spikes[source][at, sender]:
                    events += int(core.bits[i].sum())
                    v[name][core.neurons] += np.where(core.bits[i], core.weights[:, core.types[i]], 0)
            v[name][core.neurons] += neuron.bias
            if not neuron.is_readout:
                fired = v[name][core.neurons] >= neuron.threshold
                v[name][core.neurons] -= neuron.threshold * fired
                spikes[name][t, core.neurons] = fired
    end = spikes.pop("end").shape[1]
    return spikes, v["end"][:end], events


@law(40)
@given(st.lists(st.integers(-16, 16), min_size=1, max_size=12), st.integers(1, 4))
def test_shares_are_sums_of_their_basis(shares: list[int], types: int) -> None:
    array, basis = np.array(shares), bases(np.array(shares), types)
    if basis is None:
        assert len(set(shares)) > types
        assert max(abs(x) for x in shares) >= 1 << (types - 1)
        return
    assert len(basis) <= types
    assert np.array_equal(parts_of(array, basis) @ np.array(basis), array)


def two(weights: np.ndarray, delay: int = 1) -> neuro.Network:
    populations = (
        neuro.Population("in", (len(weights),), neuro.Source("rate", levels=7)),
        neuro.Population("end", (weights.shape[1],), neuro.Readout(start_step=delay, potential_bits=20)),
    )
    return neuro.Network(populations, (neuro.Dense("in", "end", weights, delay=delay),), timesteps=4)


@pytest.mark.parametrize(
    ("weights", "fact", "remedy"),
    [
        (np.arange(1, 40).reshape(1, -1).T * np.ones((1, 2), int), "no sums of 4 weights", "trinary"),
        (np.ones((257, 2), int), "one neuron needs 257 axons, a core has 256", "groups"),
    ],
)
def test_what_no_crossbar_holds_is_refused(weights: np.ndarray, fact: str, remedy: str) -> None:
    with pytest.raises(FitError, match=fact) as caught:
        neuro.to_crossbars(two(weights), neuro.load_chip("truenorth"))
    assert remedy in str(caught.value)


def test_weights_beyond_nine_bits_are_refused() -> None:
    with pytest.raises(FitError, match="exceed the signed 9 bits"):
        neuro.place(neuro.to_crossbars(two(np.array([[256]])), north()), north())
    assert neuro.place(two(np.array([[-256], [255]])), north()).cores_used == 2


def test_a_network_that_was_not_mapped_is_refused_and_the_remedy_works() -> None:
    network = two(np.ones((20, 40), int) - 2 * np.eye(20, 40, dtype=int))
    with pytest.raises(FitError, match="to_crossbars"):
        neuro.place(network, north(in_axons=40))
    placement = neuro.place(neuro.to_crossbars(network, north(in_axons=40)), north(in_axons=40))
    assert placement.fill["in_axons"].max() <= 40
    assert placement.fill["neurons"].max() <= 6


@pytest.mark.parametrize("faults", [neuro.Faults(weight_flips=0.1), neuro.Faults(stuck_weights=0.1)])
def test_faults_of_weights_that_synapses_share_are_refused(faults: neuro.Faults) -> None:
    placement = neuro.place(two(np.array([[3], [-3]])), north())
    with pytest.raises(ChipError, match="share the weights"):
        neuro.emulate(placement, np.ones((1, 2), int), faults=faults)


def test_a_mapping_by_hand_is_held_to_one_target_a_neuron() -> None:
    network = two(np.ones((1, 2), int))
    rows = [("in", ((0, 1),), 0), ("end", ((0, 1),), 1), ("end", ((1, 2),), 2)]
    with pytest.raises(FitError, match="sends to 2 cores"):
        neuro.place(network, north(), method="given", mapping=rows)
    assert neuro.place(network, north(), method="given", mapping=[rows[0], ("end", ((0, 2),), 1)]).cores_used == 2


def test_studies_map_networks_themselves() -> None:
    network = two(np.ones((20, 40), int))
    x = np.ones((3, 20), np.int64) * np.arange(1, 4)[:, None]
    found = neuro.study(network, x, chip=north(), timesteps=4)
    assert np.array_equal(found.trial.chip_run.run.logits, neuro.run(network, x).logits)
    assert "in.branches" in found.trial.placement.cores


def test_loops_without_time_for_splitters_are_refused() -> None:
    populations = (
        neuro.Population("in", (1,), neuro.Source("rate", levels=7)),
        neuro.Population("loop", (9,), neuro.IntegrateAndFire(2, potential_bits=20)),
    )
    loop = neuro.Dense("loop", "loop", np.ones((9, 9), int))
    network = neuro.Network(populations, (neuro.Dense("in", "loop", np.ones((1, 9), int)), loop), timesteps=4)
    with pytest.raises(FitError, match="Lengthen the delays"):
        neuro.to_crossbars(network, north())


def test_long_skip_paths_and_other_chips_are_refused() -> None:
    with pytest.raises(FitError, match="no axon types"):
        neuro.to_crossbars(two(np.ones((1, 1), int)), neuro.load_chip("loihi2"))
    with pytest.raises(FitError, match="a spike may take 15"):
        neuro.to_crossbars(two(np.ones((1, 2), int), delay=16), north())
