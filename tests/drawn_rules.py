"""Random learning rules, and random networks around them, from a seed."""

from dataclasses import dataclass
from typing import Any

import neuro
from neuro.learning import Factor, Product
from neuro.learning.terms import MANTISSA_BITS, PRODUCT_BITS, WIDTH


def rule(rng: Any, *, exact: bool, third: str | None = None, fires: bool = True, graded: str | None = None) -> neuro.LearningRule:
    """Any rule; exact: nothing in it is drawn by chance. third: a population that may set y3."""
    posts = ["y1", "y2"] if fires else []
    traces = ["x1", "x2", *posts, *(["y3"] if third or fires else [])]
    spikes = ["x0", "y0"] if fires else ["x0"]
    while True:
        sums = {}
        for target in ("dw", "dd", "dt"):
            if target == "dw" or rng.random() < 0.3:
                sums[target] = tuple(_product(rng, traces, spikes, exact) for _ in range(rng.integers(1, 4)))
        given = {name: _trace(rng, exact) for name in traces}
        if third:
            given["y3"] = (third, [0, None][rng.integers(2)] if exact else 3.5)
        sign = ["mixed", "excitatory", "inhibitory"][rng.choice(3, p=[0.6, 0.25, 0.15])]
        return neuro.LearningRule(
            **sums, **given, epoch=int(rng.choice([1, 2, 3, 7])), sign=sign, seed=int(rng.integers(1000)), graded=graded
        )


def _trace(rng: Any, exact: bool) -> tuple[float, float | None]:
    if exact:
        return int(rng.choice([0, 1, 7, 30, 127])), [None, 0][rng.integers(2)]
    return float(rng.choice([1, 16, 4.3, 30.5, 127])), [None, 0, 0.7, 4, 30][rng.integers(5)]


def _product(rng: Any, traces: list[str], spikes: list[str], exact: bool) -> Product:
    dependency = str(rng.choice([*spikes, *spikes, "u0", "u1", "u2"]))
    factors: list[Factor] = []
    bits = MANTISSA_BITS
    for _ in range(rng.integers(0, 4)):
        name = str(rng.choice([*traces, *traces, *spikes, "w", "t", "d", "c"]))
        constant = int(rng.choice([0, 0, 0, -3, 5, -120, 200]))
        sign = name in ("w", "t", "d") and rng.random() < 0.3
        if bits + WIDTH[name] <= PRODUCT_BITS:
            bits += WIDTH[name]
            factors.append(Factor(name, constant, bool(sign)))
    low = 0 if exact else -7
    return Product(dependency, tuple(factors), int(rng.integers(-8, 8)), int(rng.integers(low, 3)))


def waiting(rng: Any, arrivals: bool = True) -> neuro.LearningRule:
    """A rule whose changes by firings can wait until the source's synapses are read: pairwise, in epochs of one step."""
    name, constant = ["x1", "x2", "x0", "c"][rng.integers(4)], int(rng.choice([0, 0, -3, 5]))
    products = [Product("y0", (Factor(name, constant),), int(rng.choice([-8, -3, 1, 2, 7])), int(rng.integers(-7, 4)))]
    if arrivals and rng.random() < 0.9:
        read = (Factor(["y1", "y2", "x1"][rng.integers(3)], int(rng.choice([0, 0, -6]))),)
        products.append(Product("x0", read, int(rng.choice([-7, -1, 1, 4])), int(rng.integers(-7, 4))))
    traces = {name: _trace(rng, False) for name in ("x1", "x2", "y1", "y2")}
    sign = ["mixed", "excitatory", "inhibitory"][rng.integers(3)]
    order = rng.permutation(len(products))
    return neuro.LearningRule(tuple(products[i] for i in order), **traces, sign=sign, seed=int(rng.integers(1000)))


@dataclass
class Drawn:
    network: neuro.Network
    inputs: Any  # {source: (samples, steps, neurons)}
    third: str | None


def network(rng: Any, *, exact: bool) -> Drawn:
    """A source, a projection of any kind that learns, neurons that fire, and perhaps a third factor."""
    kind = ["dense", "sparse", "one"][rng.integers(3)]
    pre = int(rng.integers(1, 7))
    post = pre + int(rng.integers(0, 3)) if kind == "one" else int(rng.integers(1, 6))
    third = "third" if rng.random() < 0.5 else None
    graded = [None, None, "impulse", "overwrite", "add"][rng.integers(5)]
    given = rule(rng, exact=exact, third=third, graded=graded)
    low, high = given.bounds
    options = {"delay": int(rng.integers(1, 4)), "rule": given, "exponent": int(rng.choice([0, 0, 1, 3]))}
    if kind == "dense":
        projection: Any = neuro.Dense("in", "out", rng.integers(low, high + 1, (pre, post)), **options)
    elif kind == "one":
        projection = neuro.OneToOne("in", "out", rng.integers(low, high + 1, pre), offset=post - pre, **options)
    else:
        count = int(rng.integers(1, pre * post + 3))
        pairs = (rng.integers(0, pre, count), rng.integers(0, post, count), rng.integers(low, high + 1, count))
        projection = neuro.Sparse("in", "out", pairs, **options)
    neuron = neuro.IntegrateAndFire(int(rng.choice([1, 60, 400])))
    populations = [neuro.Population("in", (pre,), neuro.Source()), neuro.Population("out", (post,), neuron)]
    samples, steps = int(rng.integers(1, 3)), int(rng.integers(7, 25))
    spikes = (rng.random((samples, steps, pre)) < rng.choice([0.1, 0.5])).astype(int)
    inputs = {"in": spikes * rng.integers(1, 256, spikes.shape) if graded else spikes}
    if third:
        size = int(rng.choice([1, post]))
        populations.append(neuro.Population("third", (size,), neuro.Source()))
        inputs["third"] = rng.integers(-140, 141, (samples, steps, size)) * (rng.random((samples, steps, size)) < 0.3)
    return Drawn(neuro.Network(tuple(populations), (projection,)), inputs, third)
