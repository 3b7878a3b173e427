"""Gates, softmax and dot products as networks of value neurons, against the same integers in numpy and against real numbers."""

import numpy as np
import pytest

import neuro
from neuro.neurons.tables import fixed_ratio, inverse_root_table, reciprocal_table, value_table

ENGINES = ["reference", "event", "torch"]
RATIO = fixed_ratio(2 / (2**16 - 1))  # from halves of 16-bit products to 8 bits


def rounded(x, multiplier, shift, low, high):
    """The scaling of a value neuron."""
    return np.clip((x * multiplier + ((1 << shift) >> 1)) >> shift, low, high)


def sent(network: neuro.Network, inputs, engine: str, name: str) -> np.ndarray:
    """What a population sends in all steps together, (samples, neurons): of values that are sent once, the values."""
    return neuro.run(network, inputs, engine=engine, record=(f"raster:{name}",)).raster[name].sum(axis=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gate_is_a_product_of_two_populations(engine: str) -> None:
    """y = sigmoid(A x) * (B x), as in squeeze-and-excitation and gated units."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-90, 91, (2, 12, 5))
    x, unit = rng.integers(-127, 128, (20, 12)), 1 / 32
    multiplier, shift = fixed_ratio(1 / 300)
    table = value_table(lambda v: 1 / (1 + np.exp(-v)), lowest=-127, highest=127, unit_in=unit, unit_out=1 / 255, signed=False)
    last = fixed_ratio(1 / 255)
    populations = (
        neuro.Population("x", (12,), neuro.Source("once", levels=127)),
        neuro.Population("gate", (5,), neuro.Value(multiplier=multiplier, shift=shift, table=table, start_step=1)),
        neuro.Population("path", (5,), neuro.Value(multiplier=multiplier, shift=shift, start_step=1)),
        neuro.Population("y", (5,), neuro.Value(("fresh", "fresh"), "product", 1, 0, *last, start_step=2)),
    )
    links = (
        neuro.Dense("x", "gate", a),
        neuro.Dense("x", "path", b),
        neuro.OneToOne("gate", "y"),
        neuro.OneToOne("path", "y", port=1),
    )
    got = sent(neuro.Network(populations, links, timesteps=1), x, engine, "y")
    gate, path = table[rounded(x @ a, multiplier, shift, -127, 127) + 127], rounded(x @ b, multiplier, shift, -127, 127)
    assert np.array_equal(got, rounded(gate * path, *last, -127, 127))
    real = (x @ b / 300) / (1 + np.exp(-(x @ a) / 300 * unit))
    kept = np.abs(x @ a / 300) < 127
    assert np.abs(got - np.clip(real, -127, 127))[kept & (np.abs(x @ b / 300) < 127)].max() < 2.5
    assert len(np.unique(got)) > 40


def softmax_network() -> tuple[neuro.Network, np.ndarray, np.ndarray, int]:
    """Softmax of 4 values in steps of 1/16, answers in steps of 1/255: largest, difference, exp, sum, reciprocal, product."""
    exp = value_table(np.exp, lowest=-255, highest=0, unit_in=1 / 16, unit_out=1 / 255, signed=False)
    inverse, point = reciprocal_table(unit_in=1 / 255, unit_out=1 / (2**16 - 1))
    largest = neuro.Value(combine="maximum", gather=4, start_step=1)
    back = neuro.Value(lookup="reciprocal", lowest=1, highest=4 * 255, table=inverse, point=point, value_bits=16, start_step=6)
    product = neuro.Value(("held", "fresh"), "product", 2, 1, *RATIO, lowest=0, highest=255, start_step=6)  # 24 bits: halved
    populations = (
        neuro.Population("x", (4,), neuro.Source("once", levels=127)),
        neuro.Population("largest", (1,), largest),
        neuro.Population("exp", (4,), neuro.Value(lowest=-255, highest=0, table=exp, start_step=5)),
        neuro.Population("inverse", (1,), back),
        neuro.Population("y", (4,), product),
    )
    turns = [neuro.Sparse("x", "largest", (np.array([i]), np.array([0]), np.array([1])), delay=1 + i) for i in range(4)]
    links = (
        *turns,
        neuro.OneToOne("x", "exp", delay=5),
        neuro.Dense("largest", "exp", np.full((1, 4), -1)),
        neuro.Dense("exp", "inverse", np.ones((4, 1), int)),
        neuro.OneToOne("exp", "y"),
        neuro.Dense("inverse", "y", np.ones((1, 4), int), port=1),
    )
    return neuro.Network(populations, links, timesteps=1), exp, inverse, point


@pytest.mark.parametrize("engine", ENGINES)
def test_softmax_of_four_values(engine: str) -> None:
    network, exp, inverse, point = softmax_network()
    x = np.random.default_rng(1).integers(-60, 61, (50, 4))
    got = sent(network, x, engine, "y")
    powers = exp[x - x.max(axis=1, keepdims=True) + 255]
    total = powers.sum(axis=1, keepdims=True)
    place = np.floor(np.log2(total)).astype(int)
    back = np.floor(inverse[(total << 8 >> place) - 256] * 2.0 ** (point - place) + 0.5).astype(int)
    assert np.array_equal(got, rounded(powers * back >> 1, *RATIO, 0, 255))
    real = np.exp(x / 16) / np.exp(x / 16).sum(axis=1, keepdims=True)
    assert np.abs(got / 255 - real).max() < 0.006
    assert np.abs(got.sum(axis=1) - 255).max() <= 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dot_product_takes_one_element_a_step(engine: str) -> None:
    """All q k of three queries and two keys of four elements, as attention has them: delays bring element d at step d."""
    rng = np.random.default_rng(3)
    q, k = rng.integers(-127, 128, (9, 3, 4)), rng.integers(-127, 128, (9, 2, 4))
    score = neuro.Value(("fresh", "fresh"), "dot", 4, shift=9, value_bits=9, start_step=1)
    populations = (
        neuro.Population("q", (3, 4), neuro.Source("once", levels=127)),
        neuro.Population("k", (2, 4), neuro.Source("once", levels=127)),
        neuro.Population("score", (3, 2), score),
    )
    links = []
    for d in range(4):
        i, j = np.indices((3, 2)).reshape(2, -1)
        links.append(neuro.Sparse("q", "score", (i * 4 + d, i * 2 + j, np.ones(6, int)), delay=1 + d))
        links.append(neuro.Sparse("k", "score", (j * 4 + d, i * 2 + j, np.ones(6, int)), delay=1 + d, port=1))
    got = sent(neuro.Network(populations, tuple(links), timesteps=1), {"q": q, "k": k}, engine, "score")
    assert np.array_equal(got.reshape(9, 3, 2), rounded(np.einsum("sid,sjd->sij", q, k), 1, 9, -255, 255))


@pytest.mark.parametrize("engine", ENGINES)
def test_root_mean_square_norm(engine: str) -> None:
    """y = x / sqrt(mean x^2): squares, their sum's inverse root, products."""
    table, point = inverse_root_table(unit_in=1 / 8, unit_out=2**-15)
    square = neuro.Value(("fresh", "fresh"), "product", lowest=0, highest=2**16 - 1, value_bits=16, start_step=1)
    root = neuro.Value(highest=2**20, table=table, lookup="inverse root", point=point, value_bits=16, start_step=2)
    product = neuro.Value(("held", "fresh"), "product", 3, 0, *fixed_ratio(32 / 2**15), start_step=1)
    populations = (
        neuro.Population("x", (8,), neuro.Source("once", levels=127)),
        neuro.Population("square", (8,), square),
        neuro.Population("root", (1,), root),
        neuro.Population("y", (8,), product),
    )
    links = (
        neuro.OneToOne("x", "square"),
        neuro.OneToOne("x", "square", port=1),
        neuro.Dense("square", "root", np.ones((8, 1), int)),
        neuro.OneToOne("x", "y"),
        neuro.Dense("root", "y", np.ones((1, 8), int), port=1),
    )
    x = np.random.default_rng(4).integers(-127, 128, (30, 8))
    got = sent(neuro.Network(populations, links, timesteps=1), x, engine, "y")
    real = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
    assert np.abs(got / 32 - real).max() < 0.5 / 32 + 0.004 * np.abs(real).max()
    assert np.abs(got).max() > 60
