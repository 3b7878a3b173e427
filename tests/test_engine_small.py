"""Every neuron model and every projection on a handful of neurons: the event engine equals the reference, step by step.

Small enough to run with the compiler off too (NUMBA_DISABLE_JIT=1), where coverage and mutants see into the kernels.
"""

import numpy as np
import pytest

import neuro
from neuro.engine.event import Worker
from neuro.engine.plan import kept_of, plan_of
from neuro.engine.records import Messages, StepCounts, listed
from neuro.engine.tables import FLUSHED
from neuro.engine.workspace import bytes_per_sample, make_workspace
from neuro.errors import EngineError
from tests.networks import echo, leaky
from tests.runs import NEURONS, SHAPE, same, stream


def _weights(*shape: int, scale: int = 4) -> np.ndarray:
    return np.random.default_rng(sum(shape) + scale).integers(-scale, scale + 1, shape)


def _pairs(count: int, sources: int, targets: int, scale: int = 9) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(count)
    return rng.integers(0, sources, count), rng.integers(0, targets, count), rng.integers(-scale, scale + 1, count)


PROJECTIONS = {  # from 2 x 3 x 3 neurons: the target's shape and the projection
    "dense": ((2, 3, 3), neuro.Dense("in", "p", _weights(18, 18))),
    "dense, wide": ((5,), neuro.Dense("in", "p", _weights(18, 5, scale=70_000), delay=3)),
    "dense, many": ((70,), neuro.Dense("in", "p", _weights(18, 70, scale=90))),
    "listed": ((2, 3, 3), neuro.Sparse("in", "p", _pairs(12, 18, 18))),
    "listed, wide, twice": ((40,), neuro.Sparse("in", "p", _pairs(150, 18, 40, 60_000), delay=2)),
    "none listed": ((4,), neuro.Sparse("in", "p", _pairs(0, 18, 4))),
    "one to one": ((2, 3, 3), neuro.OneToOne("in", "p", np.array([3, -2]))),
    "one to one, aside": ((30,), neuro.OneToOne("in", "p", 5, 7)),
    "convolution": ((3, 3, 3), neuro.Conv2d("in", "p", _weights(3, 2, 3, 3), padding=1)),
    "convolution, strided": ((2, 2, 2), neuro.Conv2d("in", "p", _weights(2, 2, 2, 2), 2, ((1, 0), (0, 1)))),
    "convolution, dilated": ((1, 1, 3), neuro.Conv2d("in", "p", _weights(1, 2, 2, 2), 1, ((0, 0), (1, 1)), (2, 2))),
    "convolution, grouped": ((4, 2, 2), neuro.Conv2d("in", "p", _weights(4, 1, 2, 2), groups=2)),
    "convolution, wide": ((2, 3, 3), neuro.Conv2d("in", "p", _weights(2, 2, 1, 1, scale=50_000))),
    "depthwise": ((2, 3, 3), neuro.Conv2d("in", "p", _weights(2, 1, 3, 3), padding=1, groups=2, delay=2)),
    "depthwise, strided": ((2, 2, 2), neuro.Conv2d("in", "p", _weights(2, 1, 3, 3), 2, 1, groups=2)),
    "dense, wide sums": ((2, 3, 3), neuro.Dense("in", "p", 4_000 - np.arange(324).reshape(18, 18))),
    "convolution, wide sums": ((2, 3, 3), neuro.Conv2d("in", "p", 5_000 - _weights(2, 2, 3, 3), padding=1)),
    "depthwise, wide sums": ((2, 3, 3), neuro.Conv2d("in", "p", 9_000 - _weights(2, 1, 3, 3), padding=1, groups=2)),
    "pool": ((2, 2, 2), neuro.SumPool2d("in", "p", 2, 1, weight=3)),
    "pool, apart": ((2, 1, 1), neuro.SumPool2d("in", "p", 3)),
}
SOURCES = {
    "binary": (neuro.Source(), 0, 2),
    "graded": (neuro.Source(), -3, 4),
    "large": (neuro.Source(), -40_000, 40_001),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_equals_its_definition(neuron: str, source: str) -> None:
    driven, low, high = SOURCES[source]
    populations = (
        neuro.Population("in", SHAPE, driven),
        neuro.Population("p", SHAPE, NEURONS[neuron]),
        neuro.Population("out", (2,), neuro.Readout(start_step=1)),
    )
    projections = (neuro.OneToOne("in", "p", 2), neuro.Dense("p", "out", _weights(18, 2, scale=2)))
    same(neuro.Network(populations, projections), stream(low, high), 6)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_every_projection_equals_its_synapses(projection: str, source: str) -> None:
    shape, wires = PROJECTIONS[projection]
    driven, low, high = SOURCES[source]
    if source == "large" and "wide" in projection:
        low, high = -500, 501  # larger charges exceed 32 bits, which is refused
    populations = (neuro.Population("in", SHAPE, driven), neuro.Population("p", shape, neuro.IntegrateAndFire(7)))
    same(neuro.Network(populations, (wires,)), stream(low, high), 6)


@pytest.mark.parametrize("most", [127, 126, -128, -127])
def test_a_message_of_a_user_out_of_its_bounds_is_refused(most: int) -> None:
    """`echo` sends what arrives: -128..127 here, one more than the bounds say or just what they say."""
    bounded = neuro.UserNeuron(echo, (("total", 0),), lowest=min(most, 0), highest=max(most, 0))
    populations = (neuro.Population("in", (2,), neuro.Source()), neuro.Population("p", (2,), bounded))
    network = neuro.Network(populations, (neuro.OneToOne("in", "p", 1 if most > 0 else -1),))
    inputs = np.array([[[0, 0], [5, 0], [0, 128], [1, 1]]])
    if most in (127, -128):
        same(network, inputs, 6)
        return
    for engine in ("event", "reference"):
        with pytest.raises(EngineError, match=f"population 'p': its step sent the message {127 if most > 0 else -128}"):
            neuro.run(network, inputs, engine=engine)


@pytest.mark.parametrize("source", ["binary", "graded"])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_rows_in_blocks_of_their_own_change_nothing(projection: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.plan.BLOCK_LANES", 1)
    shape, wires = PROJECTIONS[projection]
    driven, low, high = SOURCES[source]
    biased = neuro.SignedIntegrateAndFire(7, bias=np.arange(np.prod(shape)).reshape(shape) % 5)
    for model in (biased, neuro.UserNeuron(leaky, (("v", 1), ("refractory", 0)), (6, 1))):
        populations = (neuro.Population("in", SHAPE, driven), neuro.Population("p", shape, model))
        same(neuro.Network(populations, (wires,)), stream(low, high), 6)


FLAT = [name for name, (shape, _) in PROJECTIONS.items() if len(shape) == 1]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("projection", FLAT)
def test_flat_populations_of_several_rows_the_last_one_short(
    projection: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro.engine.layout.LONGEST_ROW", 4)
    shape, wires = PROJECTIONS[projection]
    driven, low, high = SOURCES[source]
    low, high = (-500, 501) if source == "large" and "wide" in projection else (low, high)
    for neuron in (
        neuro.IntegrateAndFire(7, bias=np.arange(shape[0]) % 3),
        neuro.SignedIntegrateAndFire(7, bias=2, hold_input=True),
        neuro.UserNeuron(leaky, (("v", 1), ("refractory", 0)), (6, 1)),
    ):
        populations = (
            neuro.Population("in", SHAPE, driven),
            neuro.Population("p", shape, neuron),
            neuro.Population("out", (5,), neuro.Readout(start_step=1)),
        )
        same(neuro.Network(populations, (wires, neuro.Dense("p", "out", _weights(*shape, 5)))), stream(low, high), 6)


@pytest.mark.parametrize("most", [2, 60_000])
@pytest.mark.parametrize("groups", [1, 15])
def test_every_number_of_messages_of_a_column_is_added(groups: int, most: int) -> None:
    """1 to 15 channels fire at once; kernels are added 8, 4, 2 and 1 at a time."""
    shape, out = (15, 3, 2), 30
    weights = _weights(out, 15 // groups, 2, 2, scale=most // 2)
    populations = (
        neuro.Population("in", shape, neuro.Source()),
        neuro.Population("p", (out, 3, 3), neuro.IntegrateAndFire(most, bias=1, start_step=1)),
    )
    conv = neuro.Conv2d("in", "p", weights, padding=((0, 1), (1, 1)), groups=groups)
    fires = np.arange(15)[None, :] < np.arange(1, 16)[:, None]  # the first 1, 2, ..., 15 of them, in steps
    inputs = np.stack([fires, fires[:, ::-1]]).astype(int)[:, :, :, None, None] * np.ones((3, 2), int)
    same(neuro.Network(populations, (conv,)), inputs, 16)


def test_depthwise_kernels_share_accumulators_with_wider_ones() -> None:
    populations = (neuro.Population("in", SHAPE, neuro.Source()), neuro.Population("p", SHAPE, neuro.IntegrateAndFire(7)))
    wide = neuro.Conv2d("in", "p", _weights(2, 2, 3, 5), padding=((1, 1), (2, 2)))
    deep = neuro.Conv2d("in", "p", _weights(2, 1, 3, 3), padding=1, groups=2)
    same(neuro.Network(populations, (wide, deep)), stream(0, 2), 6)
    same(neuro.Network(populations, (wide, deep)), stream(-3, 4), 6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 18])
def test_every_number_of_messages_of_a_dense_row_is_added(count: int) -> None:
    populations = (
        neuro.Population("in", SHAPE, neuro.Source()),
        neuro.Population("p", (3, 2, 20), neuro.IntegrateAndFire(50)),
        neuro.Population("q", (4,), neuro.IntegrateAndFire(90)),
    )
    projections = (neuro.Dense("in", "p", _weights(18, 120, scale=100)), neuro.Dense("p", "q", _weights(120, 4, scale=120)))
    same(neuro.Network(populations, projections), (np.arange(18) < count).astype(int).reshape(1, 1, *SHAPE).repeat(4, 1), 6)


@pytest.mark.parametrize("code", ["rate", "signed", "radix", "once"])
def test_every_code_enters_alike(code) -> None:
    source = neuro.Source(code, levels=7, digits=3 if code == "radix" else 0)
    populations = (
        neuro.Population("in", SHAPE, source),
        neuro.Population("p", SHAPE, neuro.IntegrateAndFire(3, hold_input=True)),
    )
    values = np.random.default_rng(1).integers(-7 if code in ("signed", "once") else 0, 8, (3, *SHAPE))
    same(neuro.Network(populations, (neuro.OneToOne("in", "p"),)), values, 5)


def test_loops_and_skips_and_doubled_readouts() -> None:
    populations = (
        neuro.Population("in", (4,), neuro.Source()),
        neuro.Population("a", (5,), neuro.IntegrateAndFire(3, start_step=1)),
        neuro.Population("b", (5,), neuro.SignedIntegrateAndFire(2, start_step=1)),
        neuro.Population("out", (3,), neuro.Readout(doubling=True, average=True, start_step=2)),
    )
    projections = (
        neuro.Dense("in", "a", _weights(4, 5)), neuro.Dense("a", "b", _weights(5, 5)), neuro.Dense("b", "a", _weights(5, 5), 2),
        neuro.OneToOne("a", "a", -1, delay=3), neuro.Dense("b", "out", _weights(5, 3)),
        neuro.Dense("in", "out", _weights(4, 3), 4),
    )  # fmt: skip
    same(neuro.Network(populations, projections), stream(0, 2, steps=9, shape=(4,)), 9)


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_source_may_be_named_last(neuron: str) -> None:
    populations = (
        neuro.Population("p", SHAPE, NEURONS[neuron]),
        neuro.Population("in", SHAPE, neuro.Source()),
    )
    same(neuro.Network(populations, (neuro.OneToOne("in", "p", 3),)), stream(-1, 3), 6)


@pytest.mark.parametrize("model", ["if", "signed", "cuba", "user, leaky"])
def test_threads_share_the_rows_of_a_lone_sample(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.plan.BLOCK_LANES", 1)  # each row is a block
    populations = (
        neuro.Population("in", SHAPE, neuro.Source()),
        neuro.Population("p", SHAPE, NEURONS[model]),
        neuro.Population("q", SHAPE, neuro.IntegrateAndFire(4)),
    )
    conv = neuro.Conv2d("p", "q", _weights(2, 2, 3, 3), padding=1)
    network = neuro.Network(populations, (neuro.OneToOne("in", "p", 3), conv))
    same(network, stream(-1, 3, samples=1), 6, by=(2, 3, 5))  # of three rows


@pytest.mark.parametrize(("lanes", "rows"), [(1, 1), (17, 2), (18, 3), (100, 3)])
def test_as_many_rows_make_a_block_as_fit_its_lanes(lanes: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.plan.BLOCK_LANES", lanes)
    populations = (neuro.Population("in", SHAPE, neuro.Source()), neuro.Population("p", SHAPE, neuro.IntegrateAndFire(9)))
    plan = plan_of(neuro.Network(populations, (neuro.OneToOne("in", "p"),)), {"in": (0, 1)})
    row = plan.populations[1]
    assert (row["rows"], row["acc_row"], row["block_rows"]) == (3, 6, rows)  # three rows of six lanes


def test_source_rows_that_a_block_reads_have_room_to_be_spread() -> None:
    populations = (neuro.Population("in", (2, 7, 7), neuro.Source()), neuro.Population("p", (2, 3, 3), neuro.IntegrateAndFire(9)))
    conv = neuro.Conv2d("in", "p", _weights(2, 1, 3, 3), 2, groups=2)
    plan = plan_of(neuro.Network(populations, (conv,)), {"in": (0, 1)})
    spread = int(plan.projections[0]["spread"])
    assert spread > 0
    assert plan.populations[1]["block_rows"] == 3
    assert plan.spread_lanes == spread * (2 * 2 + 2 + 1)  # three rows, two apart, of a kernel of three


def test_accumulators_that_are_flushed_take_as_many_rows_as_others() -> None:
    populations = (neuro.Population("in", SHAPE, neuro.Source()), neuro.Population("p", SHAPE, neuro.IntegrateAndFire(9)))
    conv = neuro.Conv2d("in", "p", np.full((2, 2, 3, 3), 4000), padding=1)  # 24,000 a kernel row, 72,000 in all
    row = plan_of(neuro.Network(populations, (conv,)), {"in": (0, 1)}).populations[1]
    assert (row["accumulator"], row["block_rows"]) == (FLUSHED, 3)


def test_blocks_take_as_many_samples_as_their_limits_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    populations = (neuro.Population("in", (4,), neuro.Source()), neuro.Population("p", (5,), neuro.IntegrateAndFire(4)))
    network, frames = neuro.Network(populations, (neuro.Dense("in", "p", _weights(4, 5)),)), stream(0, 2, 10, 6, (4,))

    def blocks(threads: int) -> list[int]:
        done: list[int] = []
        neuro.run(network, frames, threads=threads, progress=lambda so_far, _: done.append(so_far))
        return sorted(done)

    assert blocks(1) == [10]
    assert blocks(5) == [2, 4, 6, 8, 10]
    assert blocks(3) == [4, 8, 10]
    (plan,) = kept_of(network).plans.values()
    each = int(bytes_per_sample(plan, 6, 6))
    assert Worker(plan, 6).totals.shape == (2, len(StepCounts.__slots__), 6)
    assert len(plan.spare) == 3  # one block for each thread is kept for the next run
    neuro.run(network, frames[:1], threads=4)
    assert len(plan.spare) == 1  # threads that share a sample share its block
    for most_bytes, expected in ((3 * each, [3, 6, 9, 10]), (4 * each - 1, [3, 6, 9, 10]), (1, list(range(1, 11)))):
        monkeypatch.setattr("neuro.engine.estimate.BLOCK_BYTES", most_bytes)
        assert blocks(1) == expected
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_BYTES", 100 * each)
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 4)
    assert blocks(1) == [4, 8, 10]


@pytest.mark.parametrize("source", SOURCES)
def test_messages_are_heard_as_the_raster_has_them(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 2)  # of three
    driven, low, high = SOURCES[source]
    populations = (
        neuro.Population("in", SHAPE, driven),
        neuro.Population("p", SHAPE, neuro.IntegrateAndFire(4)),
        neuro.Population("q", SHAPE, neuro.Graded(2, minimum=-9)),
    )
    network = neuro.Network(populations, (neuro.OneToOne("in", "p", 2), neuro.OneToOne("in", "q", 3)))
    heard: dict[int, dict[str, Messages]] = {}
    done = neuro.run(
        network, stream(low, high), record=("raster",), threads=1, observe=lambda first, block: heard.update({first: block})
    )
    assert heard.keys() == {0, 2}
    for first, block in heard.items():
        for name, found in block.items():
            expected = listed(done.raster[name][first : first + 2])
            assert np.array_equal(found.offsets, expected.offsets), name
            assert np.array_equal(found.neurons, expected.neurons), name
            if found.payloads is None:
                assert expected.payloads is None
            else:
                assert np.array_equal(
                    found.payloads, done.raster[name][first : first + 2][done.raster[name][first : first + 2] != 0]
                )


@pytest.mark.parametrize("traces", [frozenset(), frozenset({1, 4})], ids=["no traces", "traces"])
@pytest.mark.parametrize(("steps", "timesteps"), [(9, 5), (3, 5)], ids=["whole", "stream"])
def test_a_block_takes_the_memory_that_is_reckoned(steps: int, timesteps: int, traces: frozenset[int]) -> None:
    models = {
        "in": neuro.Source(), "signed": NEURONS["signed"], "wait": NEURONS["wait"], "held": NEURONS["if, hard, held"],
        "user": NEURONS["user, leaky"], "out": neuro.Readout(),
    }  # fmt: skip
    network = neuro.Network(
        tuple(neuro.Population(name, SHAPE, model) for name, model in models.items()),
        tuple(neuro.OneToOne(a, b) for a, b in zip(models, list(models)[1:], strict=False)),
    )
    plan = plan_of(network, {"in": (-3, 3)})
    workspace = make_workspace(plan, 7, steps, timesteps, traces=traces)
    arenas = (
        workspace.lists,
        workspace.payloads,
        workspace.begins,
        workspace.ends,
        workspace.state,
        workspace.counts,
        workspace.traces,
    )
    unused = 0 if traces else 4  # an arena that nobody needs still has one place
    assert sum(arena.nbytes for arena in arenas) == 7 * bytes_per_sample(plan, steps, timesteps, traces=traces) + unused


def test_long_rows_and_more_samples_than_a_block() -> None:
    populations = (
        neuro.Population("in", (1, 1, 70), neuro.Source()),
        neuro.Population("p", (3, 1, 70), neuro.IntegrateAndFire(4)),
    )
    conv = neuro.Conv2d("in", "p", _weights(3, 1, 1, 5), padding=((0, 0), (2, 2)))
    same(neuro.Network(populations, (conv,)), stream(0, 2, samples=66, steps=2, shape=(1, 1, 70)), 2)


@pytest.mark.parametrize("model", [NEURONS["if"], NEURONS["user, leaky"]], ids=["if", "user"])
@pytest.mark.parametrize("most_steps", [3, 64])
def test_a_session_goes_on_where_it_stopped(most_steps: int, model: neuro.UserNeuron | neuro.IntegrateAndFire) -> None:
    populations = (
        neuro.Population("in", (4,), neuro.Source()),
        neuro.Population("a", (5,), model),
        neuro.Population("out", (3,), neuro.Readout()),
    )
    projections = (neuro.Dense("in", "a", _weights(4, 5)), neuro.Dense("a", "out", _weights(5, 3), 3))
    network, frames = neuro.Network(populations, projections), stream(0, 3, samples=1, steps=40, shape=(4,))
    whole = neuro.run(network, frames, record=("raster",))
    session = neuro.open_session(network, record=("raster",), most_steps=most_steps)
    parts = [
        *(session.step(frames[0, a:b]) for a, b in ((0, 2), (2, 3), (3, 6), (6, 9), *((i, i + 1) for i in range(9, 40)))),
        session.finish(),
    ]
    for name in ("in", "a"):
        assert np.array_equal(np.concatenate([part.raster[name] for part in parts], axis=1), whole.raster[name])
        for field in ("synops", "messages", "updates", "driven", "restless"):
            counted = np.concatenate([getattr(part.counts[name], field) for part in parts])
            assert np.array_equal(counted, getattr(whole.counts[name], field)), field
    assert np.array_equal(parts[-1].logits, whole.logits)


@pytest.mark.parametrize("delays", [(1, 1), (2, 3)])
def test_a_cycle_is_the_same_for_one_thread_and_for_two(delays: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    neuron, leaky = neuro.IntegrateAndFire(90, bias=7), neuro.CubaLif(300, 128, 60)
    network = neuro.Network(
        (neuro.Population("in", (6,), neuro.Source()), neuro.Population("a", (6,), neuron), neuro.Population("b", (6,), leaky)),
        (
            neuro.OneToOne("in", "a", 40),
            neuro.Dense("a", "b", rng.integers(-40, 60, (6, 6)), delay=delays[0]),
            neuro.Dense("b", "a", rng.integers(-40, 60, (6, 6)), delay=delays[1]),
        ),
    )
    inputs = rng.integers(0, 2, (1, 40, 6))
    one, two, defined = (
        neuro.run(network, inputs, record=("raster",), **how) for how in ({"threads": 1}, {"threads": 2}, {"engine": "reference"})
    )
    for name in ("a", "b"):
        assert defined.spikes[name].sum() > 10
        for run in (one, two):
            assert np.array_equal(run.raster[name], defined.raster[name])
            assert all(
                np.array_equal(getattr(run.counts[name], f), getattr(defined.counts[name], f)) for f in StepCounts.__slots__
            )


@pytest.mark.parametrize("threshold", [2**23, 2**24, 2**24 + 1, 2**30])
def test_potentials_beyond_what_32_bits_leave_room_for_are_exact(threshold: int) -> None:
    start = np.array([2**31 - 1, -(2**30), 5])
    for neuron in (
        neuro.IntegrateAndFire(threshold, initial_potential=start, potential_bits=31),
        neuro.SignedIntegrateAndFire(threshold, initial_potential=start, minimum=None, potential_bits=31),
    ):
        network = neuro.Network(
            (neuro.Population("in", (1,), neuro.Source()), neuro.Population("a", (3,), neuron)),
            (neuro.Dense("in", "a", np.array([[2**27, -(2**27), 2**27]])),),
        )
        same(network, np.array([[[1], [-1], [1], [1], [7], [7], [-7]]]), 9)
