"""One rule for whole numbers, one for real ones, wherever a caller gives them: taken in their one form, or refused by name."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import converters
import neuro
from neuro.bill import Part
from neuro.chip.faultspec import Faults
from neuro.errors import NeuroError
from neuro.machines.workload import Op
from neuro.numbers import real, whole
from neuro.specification import frozen_array, integer_or_array
from tests.graphs import graph, row, weights

ONES = np.ones((2, 2), int)
IMAGE = np.ones((2, 1, 3, 3), int)
PARTS = (  # one sound value of each specification a caller can make; the law changes its numbers one by one
    neuro.Source("rate", scale=0.5, levels=255, digits=3),
    neuro.Source("radix", scale=0.5, levels=7, digits=3),
    neuro.IntegrateAndFire(3),
    neuro.SignedIntegrateAndFire(3, minimum=-4, maximum=5, gather=2),
    neuro.WaitIntegrateAndFire(3, 2),
    neuro.RadixIntegrateAndFire(3, 2, 2),
    neuro.Graded(3),
    neuro.MaxPool(4),
    neuro.CubaLif(1, 2, 3),
    neuro.UserNeuron(abs, lowest=-1),
    neuro.Readout(gather=3),
    neuro.Dense("a", "b", ONES),
    neuro.Sparse("a", "b", (np.array([0]), np.array([1]), np.array([2]))),
    neuro.OneToOne("a", "b", 3),
    neuro.Conv1d("a", "b", IMAGE[..., 0]),
    neuro.Conv2d("a", "b", IMAGE),
    neuro.SumPool2d("a", "b", 2),
    neuro.Network((neuro.Population("a", (2,), neuro.Source()),), (), timesteps=4),
    neuro.Search(5),
    neuro.Setting(),
    Faults(),
    Op("fc", "fc", 1, 2, 3, weights=4),
    converters.Goal(steps=9),
)
VALUES = (
    3.5,
    "16",
    True,
    np.int64(3),
    np.float32(2.5),
    float("nan"),
    float("inf"),
    -1,
    0,
    1,
    2**40,
    None,
    [1],
    np.array([1, 2]),
    3 + 0j,
)


def numbers(part) -> list[str]:
    return [f.name for f in dataclasses.fields(part) if f.init and type(getattr(part, f.name)) in (int, float, bool)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_number_of_a_specification_is_whole_or_refused(part, value) -> None:
    for name in numbers(part):
        kind, optional = type(getattr(part, name)), "None" in str({f.name: f.type for f in dataclasses.fields(part)}[name])
        try:
            made = dataclasses.replace(part, **{name: value})
        except NeuroError:
            continue
        got = getattr(made, name)
        several = isinstance(got, np.ndarray | tuple)  # a bias for each neuron, a stride for each axis
        assert several or type(got) is kind or (got is None and optional), f"{name} = {value!r} became {got!r}"
        assert several or got is None or got == value
        assert kind is bool or value is not True
        assert kind is not int or not isinstance(value, float | np.floating | str)


@given(
    st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.binary()), st.integers(-5, 5), st.integers(0, 9)
)
def test_whole_takes_integers_of_its_range_and_nothing_else(value, least: int, more: int) -> None:
    fits = type(value) is int and least <= value <= least + more
    if fits:
        assert whole("here", "n", value, least, least + more) == value
        return
    with pytest.raises(NeuroError, match=f"here: n = .* Use a whole number from {least}"):
        whole("here", "n", value, least, least + more)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()), st.floats(-5, 5))
def test_real_takes_finite_numbers_of_its_range_and_nothing_else(value, least: float) -> None:
    number = type(value) in (int, float)
    fits = number and abs(value) < 1e308 and math.isfinite(value) and value >= least
    try:
        assert real("here", "x", value, least) == float(value)
        assert number
        assert math.isfinite(value)
        assert value >= least
    except NeuroError:
        assert not fits


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_numpy_integers_are_integers(kind: type) -> None:
    assert type(whole("here", "n", kind(3), 1, 4)) is int
    assert type(neuro.Graded(kind(3), levels=kind(7), start_step=kind(1)).levels) is int


def tiny() -> neuro.Network:
    populations = (neuro.Population("in", (2,), neuro.Source()), neuro.Population("r", (2,), neuro.Readout()))
    return neuro.Network(populations, (neuro.Dense("in", "r", ONES),), timesteps=2)


FLOATS = graph((4,), row("linear", weight=weights(3, 4)), row("relu", ceiling=None), row("linear", weight=weights(2, 3)))
X = np.random.default_rng(0).random((4, 4)).astype(np.float32)
HELD = np.ones((1, 2), int)
CALLS = {  # functions with whole numbers: how each is called with one
    "run timesteps": lambda n: neuro.run(tiny(), HELD, timesteps=n),
    "run threads": lambda n: neuro.run(tiny(), HELD, threads=n),
    "session most_steps": lambda n: neuro.open_session(tiny(), most_steps=n),
    "cost batch": lambda n: neuro.cost(neuro.weigh(FLOATS), neuro.load_machine("a100"), batch=n),
    "place seed": lambda n: neuro.place(tiny(), neuro.load_chip("loihi2"), seed=n),
    "convert timesteps": lambda n: converters.convert(FLOATS, X, timesteps=n),
    "convert weight_bits": lambda n: converters.convert(FLOATS, X, weight_bits=n, timesteps=2),
    "a space": lambda n: neuro.Space(timesteps=n),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_take_whole_numbers_and_no_others(name: str) -> None:
    CALLS[name](np.int64(3))
    for value in (3.5, 3.0, "16", True, float("nan"), -1, [3.5], 1j):
        with pytest.raises(NeuroError):
            CALLS[name](value)


WRONG_TYPES = {
    "a machine's name": (lambda: neuro.cost(neuro.weigh(FLOATS), "a100"), r'load_machine\("a100"\)'),
    "a precision": (
        lambda: neuro.cost(neuro.weigh(FLOATS), neuro.load_machine("a100"), precision="int99"),
        "Use one of int4, int8",
    ),
    "a precision that is a number": (lambda: neuro.cost(neuro.weigh(FLOATS), neuro.load_machine("a100"), precision=8), "Use one"),
    "a graph as workload": (lambda: neuro.cost(FLOATS, neuro.load_machine("a100")), r"neuro.weigh\(graph\)"),
    "a network to weigh": (lambda: neuro.weigh(tiny()), "Pass a neuro.Graph"),
    "a graph to run": (lambda: neuro.run(FLOATS, X), "Pass a neuro.Network"),
    "an engine": (lambda: neuro.run(tiny(), HELD, engine="foo"), "Use one of event"),
    "an engine without inputs that fit": (lambda: neuro.run(tiny(), np.ones(9), engine="foo"), "Use one of event"),
    "a chip's name to place on": (lambda: neuro.place(tiny(), "loihi2"), r'load_chip\("loihi2"\)'),
    "a graph to place": (lambda: neuro.place(FLOATS, neuro.load_chip("loihi2")), "neuro.Network"),
    "a chip to emulate on": (lambda: neuro.emulate(tiny(), neuro.load_chip("loihi2"), HELD), r"neuro.place\(network, chip\)"),
    "a chip that is a number": (lambda: neuro.load_chip(2), 'such as "loihi2"'),
    "a machine that is a number": (lambda: neuro.load_machine(100), 'such as "a100"'),
    "a run without bill": (lambda: neuro.compare(FLOATS, tiny()), r"neuro.emulate"),
    "one machine's name": (lambda: neuro.compare(FLOATS, Billed(), machines="a100"), r"machines=\('a100',\)"),
    "one batch": (lambda: neuro.compare(FLOATS, Billed(), batches=4), r"batches=\(4,\)"),
    "half a batch": (lambda: neuro.compare(FLOATS, Billed(), batches=(1.5,)), "whole number"),
}


class Billed:
    bill = neuro.Bill("chip", (Part("synapse", 1.0),), 1.0, 1.0)


@pytest.mark.parametrize("what", WRONG_TYPES)
def test_a_value_of_another_type_is_refused_with_what_to_pass(what: str) -> None:
    make, remedy = WRONG_TYPES[what]
    with pytest.raises(NeuroError) as caught:
        make()
    with pytest.raises(NeuroError, match=remedy):
        raise caught.value


@given(st.sampled_from([np.int32, np.int64, np.float32]), st.sampled_from(["array", "view", "broadcast", "slice", "turned"]))
def test_a_frozen_array_never_changes(kind: type, how: str) -> None:
    mine = np.arange(12, dtype=kind).reshape(3, 4)
    shown = {
        "array": mine,
        "view": mine.view(),
        "broadcast": np.broadcast_to(mine, (2, 3, 4)),
        "slice": mine[1:],
        "turned": mine.T,
    }[how]
    if how == "view":
        shown.setflags(write=False)
    kept = frozen_array(shown)
    before = kept.copy()
    mine[:] = 7
    assert (kept == before).all()
    assert not kept.flags.writeable
    assert frozen_array(kept) is kept  # what nobody can change is shared


def test_weights_of_a_projection_do_not_change_under_it() -> None:
    mine = np.ones((2, 2), np.int32)
    shown = mine.view()
    shown.setflags(write=False)
    dense = neuro.Dense("a", "b", shown)
    mine[:] = 7
    assert (dense.weights == 1).all()
    with pytest.raises(NeuroError, match="same length"):
        integer_or_array("here", "weights", [[1], [2, 3]])
