"""What a run records: of which populations and neurons, packed or not, in every engine alike."""

import numpy as np
import pytest

import neuro
from neuro.errors import InputError, NetworkError


def run(record: tuple[str, ...], engine: str = "event") -> neuro.Run:
    rng = np.random.default_rng(0)
    network = neuro.Network(
        (
            neuro.Population("in", (2, 5, 4), neuro.Source(levels=1)),
            neuro.Population("a", (3, 5, 4), neuro.IntegrateAndFire(20)),
            neuro.Population("out", (4,), neuro.Readout(average=True)),
        ),
        (
            neuro.Conv2d("in", "a", rng.integers(-5, 9, (3, 2, 3, 3)), padding=1),
            neuro.Dense("a", "out", rng.integers(-5, 5, (60, 4))),
        ),
    )
    return neuro.run(network, rng.integers(0, 2, (3, 7, 2, 5, 4)), record=record, engine=engine)


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
