"""Weights in two synapses: the same sums in more bits, on chips whose synapses have 8."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import converters
import neuro
from converters import integers
from converters.linear import Matrix, Window
from tests.streams import drawn, network, stream


@given(st.integers(0, 1 << 20), st.integers(2, 8), st.sampled_from(["dense", "sparse", "window"]))
@settings(max_examples=60, deadline=None)
def test_two_parts_are_the_weight(seed: int, bits: int, kind: str) -> None:
    rng, limit = np.random.default_rng(seed), 2 ** (bits - 1) - 1
    most = int(rng.integers(1, limit * (2 ** (bits - 1) + 1) + 1))
    weight = rng.integers(-most, most + 1, (3, 4, 2) if kind == "window" else (4, 3)).astype(float)
    weight.flat[0] = most * rng.choice([-1, 1])
    if kind == "window":
        op = Window((4, 5), (3, 4), weight, (1,), ((0, 0),), (1,), 1)
    else:
        op = Matrix((4,), (3,), sparse.csr_array(weight) if kind == "sparse" else weight)
    parts = integers.paired(op, limit)

    def plain(one):
        return one.weight.toarray() if kind == "sparse" else one.weight

    assert np.array_equal(sum(plain(part) * 2.0**shift for part, shift in parts), weight)
    assert all(np.abs(plain(part)).max() <= limit for part, _ in parts)
    assert len(parts) <= 1 + (most > limit)


@given(st.integers(0, 1 << 20))
@settings(max_examples=4, deadline=None)
def test_paired_weights_are_the_same_integers_in_every_engine(seed: int) -> None:
    graph = drawn(seed)
    x = stream(seed, 6, 7, *graph.inputs[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = converters.convert(graph, x, code="graded", frames=True, weight_bits="auto", value_bits=10, headroom=1.25)
        changes = converters.convert(graph, x, code="delta", weight_bits="auto", value_bits=10)
        values = converters.convert(graph, x, code="graded", frames=True, weight_bits="auto", value_bits=10)
    for engine in ("reference", "event", "torch"):
        assert np.array_equal(neuro.run(made.network, x[:2], engine=engine).frames, made.quantised(x[:2])), engine
    assert np.array_equal(changes.quantised(x[:2]), values.quantised(x[:2]))
    assert max(np.abs(p.stored_weights).max() for p in made.network.projections) <= 127


def uneven() -> tuple[neuro.Graph, np.ndarray]:
    """A network of which every neuron has one weight that is much larger than its others, and a stream for it."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(16, 20)) / 5
    weight[:, 0] *= 50
    layers = (
        neuro.Layer("x", "input", (), (20,)),
        neuro.Layer("h", "linear", ("x",), (16,), {"weight": weight.astype(np.float32)}),
        neuro.Layer("r", "function", ("h",), (16,), {}, {"name": "tanh", "values": ()}),
        neuro.Layer("y", "linear", ("r",), (4,), {"weight": rng.normal(size=(4, 16)).astype(np.float32)}),
    )
    x = rng.normal(size=(10, 16, 20)).astype(np.float32)
    x[..., 0] /= 50
    return neuro.Graph(layers), x


def test_pairs_bring_a_network_nearer_to_the_float_one_at_the_cost_of_synapses() -> None:
    graph, x = uneven()
    truth = converters.evaluation.logits(graph, x.reshape(-1, 20)).reshape(10, 16, 4)
    errors, synops = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for more in ({}, {"weight_bits": "auto"}, {"weight_bits": "auto", "headroom": 1.25}):
            made = converters.convert(graph, x, code="graded", frames=True, value_bits=11, **more)
            chip = neuro.emulate(neuro.place(made.network, neuro.load_chip("loihi2")), x[:2])
            assert np.array_equal(chip.run.frames, made.quantised(x[:2]))
            errors.append(np.sqrt(np.square(made.quantised(x) - truth).mean()) / truth.std())
            synops.append(chip.run.synops)
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[0] / 2
    assert synops[0] < synops[1] < 2.1 * synops[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"code": "delta", "headroom": 2.0}, "lost for good"),
        ({"code": "graded", "headroom": 1.0}, "1.25"),
        ({"code": "graded", "headroom": float("nan")}, "1.25"),
    ],
)
def test_headroom_without_sense_is_refused(given, told: str) -> None:
    with pytest.raises(neuro.NeuroError, match=told):
        converters.convert(network("rnn"), stream(1, 4, 5), **given)


def test_pairs_are_for_networks_of_values() -> None:
    rng = np.random.default_rng(0)
    arrays = {"weight": rng.normal(size=(3, 4)).astype(np.float32)}
    graph = neuro.Graph((neuro.Layer("x", "input", (), (4,)), neuro.Layer("y", "linear", ("x",), (3,), arrays)))
    with pytest.raises(neuro.NeuroError, match="rectified sums"):
        converters.convert(graph, rng.random((8, 4)).astype(np.float32), code="graded", weight_bits="auto")
    with pytest.raises(neuro.NeuroError, match="takes no frames"):
        converters.convert(graph, rng.random((8, 4)).astype(np.float32), code="graded", headroom=2.0)
