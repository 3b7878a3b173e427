"""What a run records: of which populations and neurons, packed or not, in every engine alike."""

import numpy as np
import pytest

import neuro
from neuro.engine.records import Recorder, listed, recorded_bytes
from neuro.errors import InputError, NetworkError

_RNG = np.random.default_rng(0)
NETWORK = neuro.Network(
    (
        neuro.Population("in", (2, 5, 4), neuro.Source(levels=1)),
        neuro.Population("a", (3, 5, 4), neuro.IntegrateAndFire(20)),
        neuro.Population("out", (4,), neuro.Readout(average=True)),
    ),
    (
        neuro.Conv2d("in", "a", _RNG.integers(-5, 9, (3, 2, 3, 3)), padding=1),
        neuro.Dense("a", "out", _RNG.integers(-5, 5, (60, 4))),
    ),
)
INPUTS = _RNG.integers(0, 2, (3, 7, 2, 5, 4))


def run(record: tuple[str, ...], engine: str = "event") -> neuro.Run:
    return neuro.run(NETWORK, INPUTS, record=record, engine=engine)


@pytest.mark.parametrize("engine", ["event", "reference", "torch"])
def test_chosen_neurons_are_those_of_the_whole(engine) -> None:
    whole = run(("raster", "traces", "logits_by_step"))
    part = run(("raster:a:7,0,59", "traces:a:1,2", "packed", "packed:in:0,39", "logits_by_step"), engine)
    assert np.array_equal(part.raster["a"], whole.raster["a"][..., [7, 0, 59]])
    assert np.array_equal(part.traces["a"], whole.traces["a"][..., [1, 2]])
    assert set(part.raster) == set(part.traces) == {"a"}
    unpacked = np.unpackbits(part.packed["a"], axis=-1)[..., :60]
    assert np.array_equal(unpacked, whole.raster["a"])
    assert np.array_equal(np.unpackbits(part.packed["in"], axis=-1)[..., :2], whole.raster["in"][..., [0, 39]])
    assert np.array_equal(part.logits_by_step, whole.logits_by_step)
    assert np.array_equal(whole.logits_by_step[:, -1], whole.logits)


def test_spikes_are_a_mapping_of_the_populations_that_send() -> None:
    done = run(("raster",))
    assert dict(done.spikes).keys() == {"in", "a", "out"}
    assert len(done.spikes) == 3
    for name, raster in done.raster.items():
        assert np.array_equal(done.spikes[name], (raster != 0).sum(axis=1))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (("rasters",), "cannot be recorded"),
        ("raster", "is a string"),
        (("traces:a:60",), "0..59"),
        (("traces:a:-1",), "0..59"),
        (("traces:a:x",), "0..59"),
    ],
)
def test_bad_records_are_refused(record, says) -> None:
    with pytest.raises(InputError, match=says):
        run(record)
    with pytest.raises(NetworkError, match="none of that name"):
        run(("raster:nowhere",))


RECORDS = [
    (),
    ("raster",),
    ("packed:a", "traces:a:1,2", "traces:out"),
    ("raster:a:3", "packed:in:1,2,3,4,5,6,7,8,9", "potentials:a"),
    ("potentials", "logits_by_step", "traces:out:0"),
]


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("timesteps", [7, 255, 256])
def test_what_is_recorded_takes_the_memory_that_is_reckoned(timesteps: int, record: tuple[str, ...]) -> None:
    network, samples = NETWORK, 3
    recorder = Recorder(network, samples, timesteps, record)
    steps = network.steps(timesteps)
    arrays = [*recorder.spikes.values(), *recorder.potentials.values()]
    arrays += [array for kept in recorder._kept.values() for array in kept.values()]
    arrays += [getattr(counts, name) for counts in recorder.counts.values() for name in counts.__slots__]
    shown = samples * timesteps * 4 * (8 + 4) if "logits_by_step" in record else 0  # in doubles first, then as floats
    assert recorded_bytes(network, samples, timesteps, record) == sum(array.nbytes for array in arrays) + shown
    assert steps == timesteps
    assert {array.dtype for array in recorder.spikes.values()} == {np.dtype(np.uint8 if steps < 256 else np.uint16)}


def test_nothing_is_wanted_that_nobody_records() -> None:
    recorder = Recorder(NETWORK, 1, 2, ("packed:a", "traces:in", "raster:out"))
    wanted = {(what, p.name) for what in ("raster", "traces") for p in NETWORK.populations if recorder.wants(what, p.name)}
    assert wanted == {("raster", "a"), ("raster", "out"), ("traces", "in")}


def test_counts_of_long_runs_have_32_bits() -> None:
    lone = neuro.Network((neuro.Population("in", (2,), neuro.Source()),), ())
    for steps, size in ((65_535, 2), (65_536, 4)):
        recorder = Recorder(lone, 1, steps)
        assert recorder.spikes["in"].itemsize == size
        assert recorded_bytes(lone, 1, steps) == 2 * size + 40 * steps


def test_logits_are_means_over_the_steps_that_a_readout_was_on() -> None:
    populations = (
        neuro.Population("in", (1,), neuro.Source()),
        neuro.Population("out", (1,), neuro.Readout(2.0, 1.0, True, start_step=2)),
    )
    network, frames = neuro.Network(populations, (neuro.Dense("in", "out", np.array([[6]])),)), np.ones((1, 5, 1), int)
    # five ones arrive at steps 1 to 5; the readout is on from step 2 to step 6 and hears four of them
    done = neuro.run(network, frames, record=("logits_by_step",))
    means = [6, 12 / 2, 18 / 3, 24 / 4, 24 / 5]
    assert done.logits_by_step[0, :, 0].tolist() == [np.float32(2 * mean + 1) for mean in means]
    assert done.logits.tolist() == [[np.float32(2 * means[-1] + 1)]]
    session = neuro.open_session(network, record=("logits_by_step",))
    parts = [session.step(frames[0, a:b]) for a, b in ((0, 1), (1, 4), (4, 5))]
    assert [part.logits[0, 0] for part in parts] == [1, 2 * 12 / 2 + 1, 2 * 18 / 3 + 1]
    assert [part.logits_by_step[0, :, 0].tolist() for part in parts] == [[1], [1, 13, 13], [13]]


def test_a_raster_as_a_list() -> None:
    raster = np.array([[[0, 1, 1], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]]], np.int32)
    plain, graded = listed(raster), listed(raster * np.array([1, 1, -5], np.int32))
    for messages in (plain, graded):
        assert messages.offsets.tolist() == [0, 2, 2, 3, 4]
        assert messages.neurons.tolist() == [1, 2, 0, 2]
    assert plain.payloads is None
    assert graded.payloads.tolist() == [1, -5, 1, -5]
