"""Faults: none changes nothing; each strikes where and as often as it says; placement and routes go around what is dead."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.chip.chance import flip_all, flips, key_of, mark_faulty
from neuro.chip.cutting.limits import weight_bits
from neuro.chip.faults.engine import Broken
from neuro.chip.faults.memory import with_broken_weights
from neuro.chip.faultspec import Faults, some
from neuro.chip.mesh.detours import Detours, out_of_reach
from neuro.chip.mesh.routes import tile_of
from neuro.encoding import by_source
from neuro.engine.records import Recorder
from neuro.errors import ChipError, EngineError, FitError, NeuroError
from tests.chips import random_inputs, random_network, small
from tests.laws import law
from tests.networks import cases
from tests.runs import RECORD, assert_same

RATES = ("dropped_packets", "stuck_weights", "weight_flips", "potential_flips", "threshold_noise")
ALL = law(15)


def board() -> neuro.Chip:
    """A small chip on which random networks take several cores."""
    return small(neurons=30, mesh={"width": 5, "height": 4, "chips_x": 1, "chips_y": 2}, memory_bits=None)


def roomy() -> neuro.Chip:
    """A chip that can hold any network of `tests.networks`."""
    boundless = dict.fromkeys(("memory_bits", "in_axons", "out_axons", "neuron_configs", "synapse_configs"))
    core = {"neurons": 60, "synapse_bits": 1 << 40, "weight_bits": (8, 17), "delay_steps": 64, **boundless}
    return small(mesh={"width": 4, "height": 4}, neuron={"payload_bits": 31, "potential_bits": 31}, **core)


def placed(seed: int, **faults) -> tuple[neuro.Network, neuro.Placement, np.ndarray]:
    network = random_network(seed)
    return network, neuro.place(network, board(), faults=Faults(**faults)), random_inputs(network, 3, seed)


def run_stepwise(network, placement, inputs, timesteps) -> neuro.Run:
    arrays = by_source(network, inputs)
    recorder = Recorder(network, len(inputs), timesteps, RECORD)
    Broken(network, placement, Faults()).simulate(arrays, recorder)
    return recorder.finish()


@law(40)
@given(cases())
def test_without_faults_the_stepwise_run_is_the_reference(case) -> None:
    network, inputs, timesteps = case
    try:
        expected = neuro.run(network, inputs, timesteps=timesteps, engine="reference", record=RECORD)
        placement = neuro.place(network, roomy())
    except NeuroError:
        return
    assert_same(run_stepwise(network, placement, inputs, timesteps), expected)


@ALL
@given(st.integers(0, 10_000))
def test_rate_zero_is_byte_identical_to_no_faults(seed: int) -> None:
    network, placement, inputs = placed(seed)
    plain = neuro.emulate(network, placement, inputs, record=RECORD)
    zero = neuro.emulate(network, placement, inputs, record=RECORD, faults=Faults(**dict.fromkeys(RATES, 0.0), seed=seed))
    assert_same(zero.run, plain.run)
    assert zero.bill == plain.bill
    assert zero.counts.each.tobytes() == plain.counts.each.tobytes()
    faultless = neuro.place(network, board(), faults=Faults())
    assert all(np.array_equal(faultless.cores[name], cores) for name, cores in placement.cores.items())


@ALL
@given(st.integers(0, 10_000), st.sampled_from(RATES))
def test_the_same_seed_strikes_alike_whatever_the_blocks(seed: int, kind: str) -> None:
    network, placement, inputs = placed(seed)
    faults = Faults(**{kind: 0.1}, seed=seed)
    first, again = (neuro.emulate(network, placement, inputs, faults=faults, record=RECORD) for _ in range(2))
    assert_same(again.run, first.run)
    alone = neuro.emulate(network, placement, inputs[:1], faults=faults, record=("raster",))
    assert all(np.array_equal(alone.run.raster[name][0], block[0]) for name, block in first.run.raster.items())


@ALL
@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_counts_of_cores_equal_the_run_whatever_is_lost(seed: int, rate: float) -> None:
    network, placement, inputs = placed(seed)
    faults = Faults(dropped_packets=rate, dead_cores=some(placement.used, rate, seed), seed=seed)
    chip_run = neuro.emulate(network, placement, inputs, faults=faults)
    run, counts = chip_run.run, chip_run.counts
    for name, sums in (("synops", counts.synops.values()), ("messages", [counts.spikes]), ("updates", [counts.updates])):
        by_step = sum(getattr(c, name) for c in run.counts.values())
        assert np.array_equal(sum(table.sum(axis=1) for table in sums), by_step), name
    assert counts.each[..., 3:].sum() == run.synops
    assert counts.packets_in.sum() <= counts.packets_out.sum()
    assert counts.packets_in.min() >= 0
    assert min(table.min() for table in counts.synops.values()) >= 0
    dead = np.isin(counts.cores, faults.dead_cores)
    assert not counts.packets_in[:, dead].any()
    assert not counts.spikes[:, dead].any()


def test_the_share_of_lost_packets_is_the_rate() -> None:
    network, placement, inputs = placed(3)
    inputs = np.repeat(inputs, 40, axis=0)
    for rate in (0.05, 0.5):
        counts = neuro.emulate(network, placement, inputs, faults=Faults(dropped_packets=rate)).counts
        sent = int(counts.packets_out.sum())
        assert sent > 10_000
        assert abs(1 - counts.packets / sent - rate) < 4 * np.sqrt(rate * (1 - rate) / sent)


def test_a_dead_core_is_silent_and_the_others_are_as_if_it_never_spoke() -> None:
    network, placement, inputs = placed(5)
    dead = tuple(int(core) for core in placement.cores["conv"][:1])
    raster = neuro.emulate(network, placement, inputs, faults=Faults(dead_cores=dead), record=("raster",)).run.raster
    gone = placement.core_map["conv"] == dead[0]
    alive = neuro.emulate(network, placement, inputs, record=("raster",)).run.raster
    assert not raster["conv"][..., gone].any()
    assert alive["conv"][..., gone].any()
    if placement.cores_used > len(placement.cores["conv"]):
        assert np.array_equal(raster["conv"][..., ~gone], alive["conv"][..., ~gone])


@ALL
@given(st.integers(0, 10_000))
def test_placement_around_dead_cores_recovers_every_spike(seed: int) -> None:
    network, placement, inputs = placed(seed)
    dead = some(placement.used, 0.4, seed)
    around = neuro.place(network, placement.chip, faults=Faults(dead_cores=dead))
    assert not np.isin(around.used, dead).any()
    healthy = neuro.emulate(network, placement, inputs, record=RECORD)
    recovered = neuro.emulate(network, around, inputs, record=RECORD, faults=Faults(dead_cores=dead), noc="packet")
    assert_same(recovered.run, healthy.run)
    assert np.array_equal(recovered.run.logits, healthy.run.logits)


@ALL
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_packets_go_around_dead_links_and_change_no_spike(seed: int, links: int) -> None:
    network = random_network(seed)
    chip, inputs = board(), random_inputs(network, 2, seed)
    faults = Faults(dead_links=some(range(8 * 5 * 4), links / 160, seed))
    try:
        around = neuro.place(network, chip, faults=faults)
    except FitError:  # too many cores are cut off from the host
        assert len(out_of_reach(chip, (), faults.dead_links)) > 100 - network.neurons
        return
    straight = neuro.emulate(network, around, inputs, record=RECORD)
    detoured = neuro.emulate(network, around, inputs, record=RECORD, faults=faults)
    assert_same(detoured.run, straight.run)
    assert not detoured.counts.links[list(faults.dead_links)].any()
    assert detoured.counts.hops[:, :2].sum() >= straight.counts.hops[:, :2].sum()
    assert detoured.counts.packets == straight.counts.packets
    if detoured.counts.hops[:, :2].sum() > straight.counts.hops[:, :2].sum():
        assert detoured.bill.energy_by_part()["hops"] > straight.bill.energy_by_part()["hops"]


@ALL
@given(st.integers(0, 10_000), st.integers(0, 120))
def test_ways_are_whole_and_shortest(seed: int, dead: int) -> None:
    mesh = board().mesh
    detours = Detours(mesh, some(range(160), dead / 160, seed))
    start = seed % 40
    near = set(detours.connected(start).tolist())
    for end in range(40):
        try:
            way = detours.way(start, end)
        except FitError:
            assert end not in near
            continue
        assert detours.dead.isdisjoint(way)
        at = start
        for link in way:
            assert link // 4 == at
            at = detours.across(link)
        assert at == end
        straight = abs(start % 5 - end % 5) + abs(start // 5 - end // 5)
        assert len(way) >= straight
        assert dead or len(way) == straight


def test_a_tile_cut_off_from_the_host_is_not_used_or_it_is_said() -> None:
    chip = small(mesh={"width": 2, "height": 1, "cores_per_tile": 1})
    cut = (0 * 4 + 0, 1 * 4 + 1)  # both ways between the two tiles
    assert out_of_reach(chip, (), cut).tolist() == [1]
    network, _, inputs = placed(1)
    with pytest.raises(FitError, match="1 are there"):
        neuro.place(
            network, small(neurons=30, mesh={"width": 2, "height": 1, "cores_per_tile": 1}), faults=Faults(dead_links=cut)
        )
    every = tuple(range(160))
    placement = neuro.place(network, board())
    if len(np.unique(tile_of(placement.used, placement.chip.mesh))) > 1:
        with pytest.raises(FitError, match="no way leads"):
            neuro.emulate(network, placement, inputs, faults=Faults(dead_links=every))


@ALL
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_what_is_struck_at_one_rate_is_struck_at_every_higher_one(seed: int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    key = key_of(seed)
    struck = np.zeros((2, 500), bool)
    words = np.zeros((2, 500), np.int64)
    for i, rate in enumerate((low, high)):
        mark_faulty(struck[i], key, rate)
        flip_all(words[i], key, flips(9, rate))
    assert not (struck[0] & ~struck[1]).any()
    assert not (words[0] & ~words[1] & 0x1FF).any()
    assert set(some(range(100), low, seed)) <= set(some(range(100), high, seed))


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.03, 0.3, 1.0])
def test_bits_flip_as_often_as_they_should_everywhere_alike(rate: float) -> None:
    words, bits = np.zeros(200_000, np.int64), 12
    flip_all(words, key_of(1), flips(bits, rate))
    shares = [(words >> bit & 1).mean() for bit in range(bits)]
    assert np.allclose(shares, rate, atol=4.5 * np.sqrt(rate * (1 - rate) / len(words)))
    pair = ((words & 1) * (words >> 5 & 1)).mean()
    assert abs(pair - rate**2) < 4.5 * np.sqrt(rate**2 / len(words)) + 1e-12
    assert words.min() >= -(1 << bits - 1)
    assert words.max() < 1 << bits - 1


@ALL
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_stuck_weights_are_at_their_value_and_others_as_they_were(seed: int, rate: float) -> None:
    network = random_network(seed)
    for stuck_at, value in (("zero", lambda _: 0), ("least", lambda w: w.min(initial=0)), ("most", lambda w: w.max(initial=0))):
        broken = with_broken_weights(network, board(), Faults(stuck_weights=rate, stuck_at=stuck_at, seed=seed))
        for before, after in zip(network.projections, broken.projections, strict=True):
            old, new = before.stored_weights, after.stored_weights
            assert np.isin(new[new != old], [value(old)]).all()
            assert rate < 1 or (new == value(old)).all()
            assert replace(after, weights=before.weights) == before


@ALL
@given(st.integers(0, 10_000), st.floats(0, 0.3))
def test_flipped_weights_stay_words_of_their_memory(seed: int, rate: float) -> None:
    network, chip = random_network(seed), board()
    broken = with_broken_weights(network, chip, Faults(weight_flips=rate, seed=seed))
    for before, after in zip(network.projections, broken.projections, strict=True):
        bits = weight_bits(before, chip)
        assert weight_bits(after, chip) <= max(bits, min(chip.core.weight_bits))
        assert rate > 0 or after == before


@ALL
@given(st.integers(0, 10_000))
def test_noisy_thresholds_lie_around_the_threshold(seed: int) -> None:
    network, placement, _ = placed(seed)
    quiet, loud = (Broken(network, placement, Faults(threshold_noise=noise, seed=seed)).neurons["conv"] for noise in (0.05, 0.5))
    threshold = network["conv"].neuron.threshold
    assert quiet.threshold.min() >= 1
    assert np.abs(quiet.threshold - threshold).mean() <= np.abs(loud.threshold - threshold).mean()
    assert abs(quiet.threshold.mean() - threshold) <= 4 * 0.05 * threshold / np.sqrt(len(quiet.threshold)) + 1


@ALL
@given(st.integers(0, 10_000))
def test_every_potential_flips_only_within_its_word(seed: int) -> None:
    network, placement, inputs = placed(seed)
    run = neuro.emulate(network, placement, inputs, faults=Faults(potential_flips=1.0, seed=seed), record=("potentials",)).run
    bits = network["conv"].neuron.potential_bits
    assert run.potentials["conv"].min() >= -(1 << bits - 1)
    assert run.potentials["conv"].max() < 1 << bits - 1
    healthy = neuro.emulate(network, placement, inputs, record=("potentials",)).run
    assert not np.array_equal(run.potentials["conv"], healthy.potentials["conv"])


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"dropped_packets": 1.5}, "dropped_packets"),
        ({"weight_flips": float("nan")}, "weight_flips"),
        ({"threshold_noise": -1.0}, "threshold_noise"),
        ({"stuck_at": "one"}, "stuck_at"),
        ({"dead_cores": (-1,)}, "dead_cores"),
        ({"dead_links": (True,)}, "dead_links"),
        ({"seed": -1}, "seed"),
    ],
)
def test_nonsense_is_refused(faults: dict, said: str) -> None:
    with pytest.raises(ChipError, match=said):
        Faults(**faults)


def test_what_cannot_be_shown_is_refused() -> None:
    network, placement, inputs = placed(1)
    with pytest.raises(ChipError, match="none is number 5000"):
        neuro.emulate(network, placement, inputs, faults=Faults(dead_cores=(5000,)))
    with pytest.raises(ChipError, match="analytic"):
        neuro.emulate(network, placement, inputs, noc="packet", faults=Faults(dropped_packets=0.1))
    with pytest.raises(EngineError, match="engine of their own"):
        neuro.emulate(network, placement, inputs, engine="reference", faults=Faults(threshold_noise=0.1))
    with pytest.raises(EngineError, match="engine of their own"):
        neuro.emulate(network, placement, inputs, engine="reference", faults=Faults(dead_cores=some(placement.used, 1, 0)))
    with pytest.raises(FitError, match="given board"):
        neuro.place(network, board(), board="auto", faults=Faults(dead_cores=(1,)))
    with pytest.raises(FitError, match="0 are there"):
        neuro.place(network, board(), faults=Faults(dead_cores=tuple(range(board().usable_cores))))


def test_too_many_synapses_to_list_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, placement, inputs = placed(1)
    monkeypatch.setattr("neuro.chip.faults.engine.MOST_SYNAPSES", network.synapses)
    assert neuro.emulate(network, placement, inputs, faults=Faults(threshold_noise=0.1)).run.samples == 3
    monkeypatch.setattr("neuro.chip.faults.engine.MOST_SYNAPSES", network.synapses - 1)
    with pytest.raises(EngineError, match=f"{network.synapses:,} synapses would have to be listed"):
        neuro.emulate(network, placement, inputs, faults=Faults(threshold_noise=0.1))


def test_a_broken_run_tells_how_far_it_is_whatever_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    network, placement, inputs = placed(1)
    faults, told = Faults(potential_flips=0.01), []
    whole = neuro.emulate(network, placement, inputs, faults=faults, record=RECORD, progress=lambda *at: told.append(at))
    assert told == [(3, 3)]
    each = whole.run.steps * sum(p.size for p in network.populations) * 4
    monkeypatch.setattr("neuro.chip.faults.engine._BLOCK_BYTES", 2 * each)
    part = neuro.emulate(network, placement, inputs, faults=faults, record=RECORD, progress=lambda *at: told.append(at))
    assert told[1:] == [(2, 3), (3, 3)]
    assert_same(part.run, whole.run)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_share_of_what_is_dead_is_a_share(rate: float) -> None:
    assert some(range(4), 1, 0) == (0, 1, 2, 3)
    assert some(range(4), 0, 0) == ()
    with pytest.raises(ChipError, match="not a share"):
        some(range(4), rate, 0)


def test_faults_are_equal_by_value_and_say_whether_anything_is_broken() -> None:
    assert not Faults()
    assert not Faults(seed=3, stuck_at="most")
    assert Faults(dead_cores=(3, 1, 3)) == Faults(dead_cores=(1, 3))
    assert Faults(dead_links=(7,))
    assert eval(repr(Faults(dead_cores=(3,), dropped_packets=0.25))) == Faults(dead_cores=(3,), dropped_packets=0.25)
