"""Codes and bits of values in an optimisation: one network in several codes, and digits by layer where digits cost messages."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from converters.evaluation import logits
from converters.optimising.averages import averaged, scaled
from converters.optimising.bits import fewest
from converters.optimising.channels import channel_groups, without
from converters.optimising.digits import coarser
from converters.optimising.student import Coding, Student, tuned_thresholds, untuned
from neuro.errors import ConversionError, UsageError
from neuro.graph import Layer
from neuro.optimising.measure import measures, messages_of, run_on
from neuro.optimising.optimise import split
from tests.optimising import CHIP, Residual, data, emulated, learned

X, Y = data(200)
GRAPH = learned(Residual(), X, Y)
GOAL = neuro.OptimiseGoal(0.02, (1.5,))


def with_options(layer: Layer, **options) -> Layer:
    return replace(layer, options={**layer.options, **options})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    settings = neuro.OptimiseSettings(steps=10, batch=32, codes=("radix:8", "radix:4"))
    folder = tmp_path_factory.mktemp("codes") / "f"
    return neuro.optimise(GRAPH, X, labels=Y, goal=GOAL, settings=settings, folder=folder)


def test_each_round_is_measured_in_every_code(found):
    parts = split(GRAPH, X, Y, None, 0)
    assert [point.recipe["how"].split(":")[0] for point in found.points] == [
        "start", "point 0 in radix, T = 8", "point 0 in radix, T = 4",
        "round 1", "point 3 in radix, T = 8", "point 3 in radix, T = 4",
    ]  # fmt: skip
    for number, point in enumerate(found.points):
        assert point.number == number
        assert measures(run_on(point.network, CHIP, parts.x), parts.wanted) == point.measured
    again = neuro.optimise(
        GRAPH, X, labels=Y, goal=GOAL, settings=found.plan.settings, folder=found.folder, resume=True
    )  # fmt: skip
    assert again.to_json() == found.to_json()


def test_a_point_in_another_code_has_the_same_weights_and_thresholds_for_its_own_levels(found):
    trained, same, fewer = found.points[3].graph, found.points[4].graph, found.points[5].graph
    assert np.array_equal(logits(trained, X), logits(same, X))
    assert np.array_equal(logits(trained, X), logits(fewer, X))
    assert untuned(trained, 255) == trained
    own = tuned_thresholds(untuned(trained, 15), X, 15)
    assert any((own[name] < tuned_thresholds(trained, X, 255)[name] * 0.999).any() for name in own)


def test_no_layer_is_cheaper_in_another_code_than_graded_where_the_chip_has_it():
    """Why layers of one network need no codes of their own: a value of n is one message, or the ones in n, or n messages."""
    for few, many in ((("graded", 1), ("radix", 8)), (("radix", 5), ("wait", 31))):  # of as many levels
        one, other = (messages_of(emulated(GRAPH, X[:40], *code)) for code in (few, many))
        assert all(one[name].sum() < other[name].sum() for name in ("relu", "relu_1", "relu_2", "relu_3"))


def test_fewer_digits_where_they_cost_least():
    sizes = dict.fromkeys(("relu", "relu_1", "relu_2", "relu_3"), 1.0)
    full = messages_of(emulated(coarser(GRAPH, X, Y, sizes, 6, 6.0)[0], X[:40], "radix", 6))
    graph, digits = coarser(GRAPH, X, Y, sizes, 6, 3.5)
    assert sum(digits.values()) <= 14
    assert len(set(digits.values())) > 1
    cut = messages_of(emulated(graph, X[:40], "radix", 6))
    for name, left in digits.items():
        assert cut[name].sum() < full[name].sum() or left == 6
        ratio = graph[name].options["threshold"] / tuned_thresholds(GRAPH, X, 63)[name]
        assert ratio == pytest.approx(2.0 ** (6 - left))
    dear = coarser(GRAPH, X, Y, {**sizes, "relu": 50.0}, 6, 3.5)[1]  # its messages cost more, so it gives up more of them
    assert dear["relu"] < digits["relu"]
    assert sum(dear[name] for name in sizes if name != "relu") > sum(digits[name] for name in sizes if name != "relu")


@given(
    st.lists(st.tuples(st.integers(1, 50), st.lists(st.floats(0, 9), min_size=3, max_size=3)), min_size=1, max_size=5),
    st.floats(0, 1),
)
def test_choices_meet_their_total_and_are_no_fewer_than_needed(rows, share):
    sizes = {str(i): float(size) for i, (size, _) in enumerate(rows)}
    costs = {str(i): np.cumsum(cost) for i, (_, cost) in enumerate(rows)}
    total = sum(sizes.values()) * (1 + 2 * share)
    found = fewest(costs, sizes, (3, 2, 1), total)
    spent = sum(found[name] * size for name, size in sizes.items())
    assert spent <= total * (1 + 1e-9)
    assert spent > total - max(sizes.values()) or all(bits == 3 for bits in found.values())


def test_ceilings_keep_their_digits():
    graph = GRAPH.relayered(with_options(one, ceiling=6.0) if one.name == "relu" else one for one in GRAPH.layers)
    sizes = dict.fromkeys(("relu", "relu_1", "relu_2", "relu_3"), 1.0)
    _, digits = coarser(graph, X, None, sizes, 6, 3.0)
    assert digits["relu"] == 6
    assert sum(digits.values()) <= 12


def test_a_chip_without_the_code_is_named(tmp_path):
    settings = neuro.OptimiseSettings(code="rate", timesteps=4, codes=("graded",))
    with pytest.raises(UsageError, match="loihi1-davies2018.*cannot run 'graded'"):
        neuro.optimise(GRAPH, X, labels=Y, chip="loihi1-davies2018", settings=settings, folder=tmp_path / "f")


def test_an_average_of_networks_trained_from_one():
    rounded = Student(GRAPH, X[:64], Coding("rate", 8)).graph()
    moved = [with_options(one, threshold=one.options["threshold"] * 4) if one.op == "relu" else one for one in rounded.layers]
    moved = [replace(one, arrays={name: 3 * a for name, a in one.arrays.items()}) for one in moved]
    found = averaged([rounded, rounded.relayered(moved)], [0.5, 0.5], X[:64])
    for layer in rounded.layers:
        for name, array in layer.arrays.items():
            assert np.allclose(found[layer.name].arrays[name], 2 * array, atol=1e-6)
        if layer.op == "relu":
            assert np.allclose(found[layer.name].options["threshold"], 2 * layer.options["threshold"])
    same = averaged([GRAPH, rounded], [0.0, 1.0], X[:64])
    assert np.allclose(logits(same, X[:9]), logits(rounded, X[:9]), atol=1e-5)
    halved = scaled(rounded, 0.5)
    assert all(
        np.array_equal(halved[one.name].options["threshold"] * 2, one.options["threshold"])
        for one in rounded.layers
        if one.op == "relu"
    )


def test_networks_that_have_no_average():
    groups = channel_groups(GRAPH)
    smaller, _ = without(GRAPH, groups, groups.removable[:2].tolist())
    five, six = (Student(GRAPH, X[:64], Coding("radix", digits)).graph() for digits in (5, 6))
    for graphs, shares, message in (
        ([GRAPH, smaller], [0.5, 0.5], "from which nothing else was removed"),
        ([GRAPH, GRAPH], [0.5, 0.6], "1 in all"),
        ([five, six], [0.5, 0.5], "tuned for 31 and 63 levels"),
    ):
        with pytest.raises(ConversionError, match=message):
            averaged(graphs, shares, X[:64])
