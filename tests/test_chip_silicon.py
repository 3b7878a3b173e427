"""What was measured on a Loihi 2: placements by hand, weights of zero, kernels stored by rows, the shortest step, PilotNet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import converters
import neuro
from neuro.chip.cutting.demand import CoreDemand
from neuro.errors import FitError, FormatError, NeuroError
from tests.laws import law

NET = Path(__file__).parent.parent.parent / "shared" / "data" / "lava_dl" / "pilotnet_lif.net"
OHEO = neuro.load_chip("loihi2-oheo")


def chip_of(**core: object) -> neuro.Chip:
    return replace(OHEO, core=replace(OHEO.core, **core))


def network(seed: int, zeros: float = 0.6) -> neuro.Network:
    """A source on the chip, two convolutions with padding, stride and groups, a pool, a dense and a recurrent layer."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-9, 10, shape) * (rng.random(shape) > zeros)

    fire = neuro.IntegrateAndFire(9)
    populations = (
        neuro.Population("in", (2, 9, 8), neuro.Source("rate", levels=7)),
        neuro.Population("a", (6, 5, 4), fire),
        neuro.Population("b", (4, 5, 4), fire),
        neuro.Population("pool", (4, 2, 2), fire),
        neuro.Population("c", (11,), fire),
        neuro.Population("out", (3,), neuro.Readout()),
    )
    projections = (
        neuro.Conv2d("in", "a", weights(6, 2, 3, 3), 2, 1),
        neuro.Conv2d("a", "b", weights(4, 3, 3, 2), 1, ((1, 1), (1, 0)), groups=2),
        neuro.SumPool2d("b", "pool", 2),
        neuro.Dense("pool", "c", weights(16, 11)),
        neuro.Sparse("c", "c", (rng.integers(0, 11, 20), rng.integers(0, 11, 20), weights(20)), delay=2),
        neuro.Dense("c", "out", weights(11, 3)),
    )
    return neuro.Network(populations, projections, timesteps=6)


def without_zeros(given_network: neuro.Network) -> neuro.Network:
    """The same network, its synapses of weight zero left out of lists."""
    parts = []
    for p in given_network.projections:
        s = p.synapses(given_network[p.source].shape, given_network[p.target].shape)
        kept = s.weight != 0
        parts.append(neuro.Sparse(p.source, p.target, (s.pre[kept], s.post[kept], s.weight[kept]), delay=p.delay))
    return neuro.Network(given_network.populations, tuple(parts), given_network.timesteps)


def inputs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 8, (3, 2, 9, 8))


@given(seed=st.integers(0, 10**6), neurons=st.sampled_from([4095, 40, 12]), zeros=st.sampled_from([0.0, 0.6, 0.95]))
@law(8)
def test_only_weights_other_than_zero_are_visited(seed: int, neurons: int, zeros: float) -> None:
    made = network(seed, zeros)
    placement = neuro.place(made, chip_of(neurons=neurons))
    assert placement.check() == []
    counted = neuro.emulate(placement, inputs(seed))
    plain = neuro.run(without_zeros(made), inputs(seed))
    assert np.array_equal(counted.run.logits, plain.logits)
    assert sum(int(table.sum()) for table in counted.counts.synops.values()) == plain.synops
    visiting = neuro.emulate(neuro.place(made, chip_of(neurons=neurons, zero_weights="visited")), inputs(seed))
    assert sum(int(table.sum()) for table in visiting.counts.synops.values()) == counted.run.synops


@given(seed=st.integers(0, 10**6), neurons=st.sampled_from([4095, 40, 12]), rows=st.sampled_from(["rows", "lists"]))
@law(8)
def test_what_slices_need_is_what_cores_hold(seed: int, neurons: int, rows: str) -> None:
    chip = chip_of(neurons=neurons, conv_memory=rows)
    placement = neuro.place(network(seed), chip)
    demand, held = CoreDemand(placement.network, chip), {}
    for name, cores in placement.cores.items():
        needs = demand.needs(placement.network[name], placement.cuts[name], placement.cuts)
        for k, core in enumerate(cores):
            for limit in ("synapse_bits", "in_axons", "neurons"):
                held[core, limit] = held.get((core, limit), 0) + int(getattr(needs, limit)[k])
    for i, core in enumerate(placement.used):
        assert all(held[core, limit] == placement.fill[limit][i] for limit in ("synapse_bits", "in_axons", "neurons"))


def test_a_slice_takes_the_smaller_of_list_and_matrix() -> None:
    weights = np.ones((50, 40), np.int64)
    weights[:, 20:] = 0
    weights[3, 25] = 7
    made = neuro.Network(
        (neuro.Population("in", (50,), neuro.Source()), neuro.Population("out", (40,), neuro.IntegrateAndFire(9))),
        (neuro.Dense("in", "out", weights),),
    )
    halves = [("out", ((0, 20),), 0), ("out", ((20, 40),), 5)]
    placement = neuro.place(made, OHEO, method="given", mapping=halves)
    assert placement.fill["in_axons"].tolist() == [50, 1]
    assert placement.fill["synapse_bits"].tolist() == [50 * 128, 64]
    counts = neuro.emulate(placement, np.ones((1, 50), int), timesteps=2).counts
    assert {form: table.sum(axis=0).tolist() for form, table in counts.synops.items()} == {
        "dense": [1000, 0, 0],
        "sparse": [0, 1, 0],
        "conv": [0, 0, 0],
    }
    assert counts.packets_in.sum(axis=0).tolist() == [100, 2, 0]
    plain = neuro.place(made, chip_of(zero_weights="visited"), method="given", mapping=halves)
    assert plain.fill["in_axons"].tolist() == [50, 50]


@pytest.mark.parametrize(
    ("channels", "kernel", "outputs", "bits", "words"),
    [(3, 3, 24, 8, 81), (24, 3, 36, 7, 864), (36, 3, 48, 6, 1620), (48, 3, 64, 6, 2592), (64, 3, 64, 5, 2880)],
)
def test_kernels_by_rows_take_the_words_of_pilotnet(channels: int, kernel: int, outputs: int, bits: int, words: int) -> None:
    weights = np.zeros((outputs, channels, kernel, kernel), np.int64)
    weights.flat[:3] = (1 << (bits - 1)) - 1, -1, -(1 << (bits - 1))
    weights[weights == 0] = 1
    made = neuro.Network(
        (
            neuro.Population("in", (channels, 5, 5), neuro.Source()),
            neuro.Population("out", (outputs, 3, 3), neuro.IntegrateAndFire(9)),
        ),
        (neuro.Conv2d("in", "out", weights),),
    )
    placement = neuro.place(made, OHEO, method="given", mapping=[("out", ((0, outputs), (0, 3), (0, 3)), 0)])
    assert placement.fill["synapse_bits"].tolist() == [64 * words]


def test_no_step_is_shorter_than_the_shortest() -> None:
    made = network(0)
    placement = neuro.place(made, OHEO)
    chip_run = neuro.emulate(placement, inputs(0))
    assert (chip_run.step_times.total == 10_000).all()
    assert chip_run.bill.latency_ns == pytest.approx(10_000 * chip_run.run.steps)
    assert sum(ns for _, ns in chip_run.bill.times_ns) == pytest.approx(chip_run.bill.latency_ns)
    free = neuro.emulate(neuro.place(made, replace(OHEO, time=replace(OHEO.time, step_least=None))), inputs(0))
    assert (free.step_times.total < 10_000).all()


@pytest.mark.parametrize("method", ["refined", "sequential", "random"])
def test_a_placement_comes_back_from_its_mapping(method: str, tmp_path: Path) -> None:
    placement = neuro.place(network(1), chip_of(neurons=30), method=method)
    neuro.write_mapping(placement.mapping, tmp_path / "a.csv")
    rows = neuro.read_mapping(tmp_path / "a.csv")
    assert rows == placement.mapping
    again = neuro.place(placement.network, placement.chip, method="given", mapping=rows[::-1])
    assert dict(again.cuts) == dict(placement.cuts)
    assert all(np.array_equal(again.cores[name], cores) for name, cores in placement.cores.items())
    assert again.check() == []


def test_boxes_need_not_be_a_grid() -> None:
    made = network(2)
    boxes = {name: [(tuple((0, n) for n in made[name].shape), core)] for core, name in enumerate(("in", "a", "pool", "c", "out"))}
    boxes["b"] = [(((0, 4), (0, 2), (0, 4)), 9), (((0, 4), (2, 5), (0, 1)), 10), (((0, 4), (2, 5), (1, 4)), 11)]
    rows = [(name, box, core) for name, parts in boxes.items() for box, core in parts]
    placement = neuro.place(made, OHEO, method="given", mapping=rows)
    assert placement.cuts["b"].order is not None
    assert placement.check() == []
    assert sorted(placement.mapping) == sorted(rows)
    counted = neuro.emulate(placement, inputs(2))
    assert sum(int(t.sum()) for t in counted.counts.synops.values()) == neuro.run(without_zeros(made), inputs(2)).synops


WHOLE = ((0, 50),)
WRONG = {
    "missing": ([("out", ((0, 39),), 0)], "1 neurons lie in no box, the first at \\(39,\\)"),
    "twice": ([("out", ((0, 30),), 0), ("out", ((29, 40),), 1)], "share neurons"),
    "none": ([], "it has no row"),
    "unknown": ([("nobody", ((0, 40),), 0)], "names no population on cores"),
    "off the chip": ([("in", WHOLE, 0)], "names no population on cores"),
    "beyond": ([("out", ((0, 41),), 0)], "the end of a range = 41"),
    "empty": ([("out", ((5, 5),), 0)], "the end of a range = 5"),
    "axes": ([("out", ((0, 40), (0, 1)), 0)], "has not the 1 axes"),
    "no pair": ([("out", (40,), 0)], "is no pair"),
    "reserved": ([("out", ((0, 40),), 120)], "core 120 is reserved or does not exist"),
    "no core": ([("out", ((0, 40),), -1)], "core = -1"),
    "one core": ([("out", ((0, 20),), 3), ("out", ((20, 40),), 3)], "two slices of population 'out' share a core"),
    "no rows": ("out", "it is a str"),
    "nothing": (None, "there is none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mappings_are_checked(name: str) -> None:
    mapping, said = WRONG[name]
    made = neuro.Network(
        (neuro.Population("in", (50,), neuro.Source()), neuro.Population("out", (40,), neuro.IntegrateAndFire(9))),
        (neuro.Dense("in", "out", np.ones((50, 40), int)),),
    )
    with pytest.raises(FitError, match=said):
        neuro.place(made, OHEO, method="given", mapping=mapping)
    for more in ({"mapping": []}, {"method": "given", "mapping": [("out", ((0, 40),), 0)], "board": "auto"}):
        with pytest.raises(FitError, match="mapping"):
            neuro.place(made, OHEO, **more)
    dead = neuro.Faults(dead_cores=(3,))
    with pytest.raises(FitError, match="core 3 is dead"):
        neuro.place(made, OHEO, method="given", mapping=[("out", ((0, 40),), 3)], faults=dead)
    full = chip_of(neurons=39)
    with pytest.raises(FitError, match="holds 40 neurons, its limit is 39"):
        neuro.place(made, full, method="given", mapping=[("out", ((0, 40),), 3)])


@pytest.mark.parametrize(
    "text",
    ["", "a,b,c\n", "population,box,core\nout,0:4\n", "population,box,core\nout,0-4,1\n", "population,box,core\nout,0:4,x\n"],
)
def test_mapping_files_are_checked(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FormatError):
        neuro.read_mapping(tmp_path / "a.csv")
    with pytest.raises(NeuroError):
        neuro.read_mapping(tmp_path / "none.csv")


@pytest.mark.skipif(not NET.is_file(), reason="shared/data is not there")
def test_pilotnet_on_its_published_cores_counts_what_was_measured() -> None:
    from benchmarks.silicon import FRAME, SYNOPS_M, Emulated, published

    made = converters.read_lava_dl(NET, reset_interval=FRAME)
    assert len(published(made)) == 74
    found = Emulated(made, "loihi2-oheo")
    assert found.placement.check() == []
    for population, (low, high) in SYNOPS_M.items():
        narrow = population != "conv3"  # its last core is not narrower than the others
        for k in range(found.placement.cuts[population].slices - narrow):
            assert found.of_core(found.synops, population, k) == pytest.approx((low + high) / 2, rel=0.04)
    assert found.chip_run.bill.dynamic_pj / 1e6 / found.chip_run.run.steps == pytest.approx(68.35, rel=0.07)
    assert found.step_us.mean() == pytest.approx(152.85, rel=0.02)
