"""Learning: the engines against a witness in plain Python, and against each other, on random rules and networks."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.engine import pending
from neuro.engine.pending import Pending
from neuro.engine.plastic import RuleTables
from tests import drawn_rules, learning_witness

SHARE = 50  # networks of a part: four parts make 200


def witnessed(drawn: drawn_rules.Drawn) -> tuple[list[Any], Any, list[int]]:
    """Spikes of all samples, the synapses at the end as (d, t, w), and how often each target's were computed."""
    projection = drawn.network.projections[0]
    source, target = drawn.network["in"], drawn.network["out"]
    synapses = projection.synapses(source.shape, target.shape)
    weights = np.asarray(projection.stored_weights).ravel()
    listed = [
        (int(i), int(j), {"w": int(w), "d": 0, "t": 0}) for i, j, w in zip(synapses.pre, synapses.post, weights, strict=True)
    ]
    network = learning_witness.Network(
        projection.rule, listed, (source.size, target.size), target.neuron.threshold, projection.delay, projection.exponent
    )
    spikes = []
    for sample in range(len(drawn.inputs["in"])):
        thirds = {"y3": drawn.inputs["third"][sample].tolist()} if drawn.third else {}
        spikes.append(network.run(drawn.inputs["in"][sample].tolist(), thirds))
    return spikes, [own for _, _, own in network.synapses], network.touched


def exact_networks(part: int) -> Iterator[tuple[drawn_rules.Drawn, Any]]:
    """Random networks in which nothing is drawn, and what the witness says of each."""
    rng, found = np.random.default_rng(part), 0
    while found < SHARE:
        drawn = drawn_rules.network(rng, exact=True)
        with suppress(learning_witness.Rounds):
            said = witnessed(drawn)
            found += 1
            yield drawn, said


def compare(run: neuro.Run, spikes: Any, synapses: list[dict[str, int]], touched: list[int]) -> None:
    learned = run.learned.projections[0]
    assert np.array_equal(run.raster["out"], spikes)
    assert np.ravel(learned.stored_weights).tolist() == [own["w"] for own in synapses]
    for tag in learned.rule.tags:
        assert getattr(learned.memory, tag).tolist() == [own[tag] for own in synapses]
    assert run.synaptic_updates == len(touched)
    found = run.learning_by_neuron["in->out"].sum(axis=0)
    assert found.tolist() == np.bincount(touched, minlength=len(found)).tolist()


@pytest.mark.parametrize("part", range(4))
def test_exact_rules_are_what_plain_python_computes(part: int) -> None:
    changed = 0
    for drawn, (spikes, synapses, touched) in exact_networks(part):
        assert drawn.network.projections[0].rule.exact
        for engine in ("reference", "event"):
            compare(
                neuro.run(drawn.network, drawn.inputs, engine=engine, record=("raster", "learning")), spikes, synapses, touched
            )
        changed += np.ravel(drawn.network.projections[0].stored_weights).tolist() != [own["w"] for own in synapses]
    assert changed > SHARE // 2


@pytest.mark.parametrize("part", range(4))
def test_rules_that_draw_are_the_same_in_both_engines(part: int) -> None:
    for seed in range(1000 + part * SHARE, 1000 + part * SHARE + SHARE // 3):
        drawn = drawn_rules.network(np.random.default_rng(seed), exact=False)
        runs = [
            neuro.run(drawn.network, drawn.inputs, engine=engine, record=("raster", "learning"))
            for engine in ("reference", "event")
        ]
        same(*runs)


def same(one: neuro.Run, other: neuro.Run) -> None:
    assert one.learned == other.learned
    assert np.array_equal(one.raster["out"], other.raster["out"])
    for name, updates in one.learning_by_neuron.items():
        assert np.array_equal(updates, other.learning_by_neuron[name])
        assert np.array_equal(one.learning[name], other.learning[name])
        assert np.array_equal(one.counts["out"].synops, other.counts["out"].synops)


def test_the_lists_of_large_and_of_shaped_populations() -> None:
    """Targets of several rows, and neurons that lie in memory in another order than the user's."""
    rng = np.random.default_rng(3)
    rule = neuro.LearningRule("2^-1 * x1 * y0 - 2^-1 * y1 * x0 + 2^-5 * x0 * w", x1=(20, 4), y1=(20, 4), epoch=3)
    for shapes, count in (((60,), (33_000,)), 300), (((3, 4, 5), (2, 6, 5)), 300):
        size = [int(np.prod(shape)) for shape in shapes]
        pairs = (rng.integers(0, size[0], count), rng.integers(0, size[1] // 100 * 7 + 1, count) * 13 % size[1])
        weights = (*pairs, rng.integers(-100, 200, count))
        third = neuro.LearningRule("2^3 * x1 * y3 * u0", x1=(20, 4), y3=("third", 2.0), epoch=3, seed=4)
        network = neuro.Network(
            (
                neuro.Population("in", shapes[0], neuro.Source()),
                neuro.Population("third", shapes[1], neuro.Source()),
                neuro.Population("out", shapes[1], neuro.IntegrateAndFire(100)),
            ),
            (
                neuro.Sparse("in", "out", weights, rule=rule),
                neuro.Sparse("in", "out", weights, rule=third, exponent=2, delay=2),
                neuro.Sparse("out", "out", (pairs[1], pairs[1][::-1], np.full(count, 20)), rule=rule),
            ),
        )
        inputs = {"in": rng.random((1, 7, *shapes[0])) < 0.4, "third": rng.integers(0, 9, (1, 7, *shapes[1]))}
        inputs = {name: array.astype(int) for name, array in inputs.items()}
        same(*(neuro.run(network, inputs, engine=engine, record=("raster", "learning")) for engine in ("reference", "event")))


def waiting(rng: Any) -> tuple[neuro.Network, Any]:
    """A network whose changes by firings can wait, and run for more epochs than there are bits for them."""
    made = [drawn_rules.waiting(rng, fires) for fires in (True, False)]
    low, high = made[0].bounds
    neurons = int(rng.integers(3, 40))
    pairs = int(rng.integers(1, neurons * 3))
    listed = rng.integers(0, neurons, pairs), rng.integers(0, neurons, pairs), rng.integers(low, high + 1, pairs)
    populations = (
        neuro.Population("in", (neurons,), neuro.Source()),
        neuro.Population("out", (neurons,), neuro.IntegrateAndFire(int(rng.choice([1, 60, 400])))),
    )
    back = neuro.Dense(
        "out", "out", rng.integers(*made[1].bounds, (neurons, neurons)), delay=int(rng.integers(1, 3)), rule=made[1]
    )
    projections = (neuro.Sparse("in", "out", listed, delay=int(rng.integers(1, 4)), rule=made[0]), back)
    # Sources that send seldom, and pauses of all, let changes wait until they must be written.
    spikes = rng.random((2, 150, neurons)) < rng.choice([0.01, 0.1, 0.5], neurons)
    spikes[:, 60 : 60 + int(rng.integers(1, 70))] = False
    return neuro.Network(populations, projections), spikes.astype(int)


@pytest.mark.parametrize("seed", range(20))
def test_changes_that_wait_are_the_same_as_those_that_do_not(seed: int) -> None:
    network, spikes = waiting(np.random.default_rng(seed))
    for projection in network.projections:
        assert Pending.possible(projection.rule, RuleTables(projection.rule))
    runs = [neuro.run(network, spikes, engine=engine, record=("raster", "learning")) for engine in ("reference", "event")]
    same(*runs)
    session, rng = neuro.open_session(network), np.random.default_rng(seed)
    at, once = 0, neuro.run(network, spikes[:1], timesteps=150)
    while at < 150:
        piece = int(rng.integers(1, 64))
        session.step(spikes[0, at : at + piece])
        at += piece
        assert session.learned.projections[0].memory.epochs == min(at, 150)
    assert session.learned == once.learned


@given(
    st.integers(0, 2**32),
    st.integers(1, 2000),
    st.booleans(),
    st.integers(0, 127),
    st.sampled_from([(-256, 255), (0, 255), (-256, 0)]),
)
def test_rows_in_16_bits_are_those_in_32(seed: int, size: int, arriving_first: bool, bias: int, bounds: tuple[int, int]) -> None:
    """Told that a trace may be large, the kernel computes in 32 bits; weights at the ends, where accumulators clip, are drawn."""
    rng = np.random.default_rng(seed)
    values, fired = rng.integers(-128, 128, size), rng.random(size) < 0.4
    arriving, firing = (int(rng.integers(-most, most + 1)) for most in (pending.NARROW // 128, pending.NARROW))
    read = (values * 2 + fired).astype(np.int32)
    weights = np.where(rng.random(size) < 0.5, rng.integers(bounds[0], bounds[1] + 1, size), rng.choice(bounds, size)).astype(
        np.int16
    )
    found = []
    for largest in (128, pending.NARROW + 1):
        changed, rooms = weights.copy(), (read, read.astype(np.int16), np.zeros(size, np.int32), np.zeros(size, np.int16))
        synapses = changed, 0, np.array([0, size]), np.arange(size, dtype=np.uint16)
        sides, updates = (np.ones(1, np.int32), np.ones(1, np.int32)), np.zeros(size, np.int64)
        scales, since = (arriving, firing, arriving_first, bias, largest), np.zeros(1, np.int64)
        reached = pending._change_reached(np.ones(1, np.int64), sides, synapses, scales, since, 1, bounds, (*rooms, updates, 0))
        assert reached == np.count_nonzero(~fired)
        found.append(changed.tolist())
    one, two = (arriving * values, firing * fired) if arriving_first else (firing * fired, arriving * values)
    total = np.clip(weights.astype(int) * 128 + one, -(2**15) - 1, 2**15 - 1) + two
    assert found[0] == found[1] == np.clip((total + bias) >> 7, *bounds).tolist()


@given(st.integers(0, 2**32), st.integers(1, 90), st.sampled_from([1, 200, 2**15]), st.sampled_from([1, -1, 0]))
def test_what_waited_is_written_as_if_it_had_not(seed: int, epochs: int, largest: int, sign: int) -> None:
    """Epochs of changes of one sign, or of both, and of any size; sources that nothing reaches for longer than there are bits."""
    rng = np.random.default_rng(seed)
    sources, targets, low, high = 3, int(rng.integers(1, 40)), -256, 255
    weights = rng.integers(low, high + 1, sources * targets).astype(np.int16)
    expected = weights.reshape(sources, targets).astype(int)
    synapses = weights, 0, np.arange(sources + 1) * targets, np.tile(np.arange(targets, dtype=np.uint16), sources)
    fired, changes = np.zeros((4, targets), np.int16), np.zeros((pending.PLANES + 1, sources), np.uint64)
    since, planes, rooms = np.zeros(sources, np.int64), 0, (np.zeros(targets, np.int16), np.zeros(pending.PLANES, np.int16))
    spare = np.zeros(targets, np.int32), np.zeros(targets, np.int16)

    def settle(epoch: int, arrived: Any) -> None:
        pending._settle(arrived.astype(np.int32)[None], synapses, (fired, changes, planes, since, epoch, rooms, low, high))

    for epoch in range(epochs):
        arrived = rng.random(sources) < [0.3, 0.03, 0]
        settle(epoch, arrived)
        assert np.array_equal(weights.reshape(sources, targets)[arrived], expected[arrived])
        on, bias = rng.random(targets) < 0.3, int(rng.integers(0, 128))
        values = (rng.integers(-largest if sign <= 0 else 0, 1 if sign < 0 else largest + 1, sources)).astype(np.int32)
        any_fired, _ = pending._note(np.zeros(targets, np.int32), on.astype(np.int64), fired, 0, *spare, False)
        assert any_fired == on.any()
        planes = pending._each_source(values, 1, bias, np.zeros(sources, np.int32), changes, planes)
        change = (np.clip(values.astype(int), -(2**15) - 1, 2**15 - 1) + bias) >> 7
        expected = np.where(on, np.clip(expected + change[:, None], low, high), expected)
    settle(epochs, np.ones(sources))
    assert np.array_equal(weights.reshape(sources, targets), expected)
