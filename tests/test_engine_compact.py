"""States in fewer bits, potentials in 16 and lags in 8: the integers of the reference engine, at the bounds of those bits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.engine.event import input_payloads
from neuro.engine.live import COMPACT, _short
from neuro.engine.plan import plan_of
from neuro.engine.tables import FLUSHED
from tests.runs import same

INT16 = 2**15 - 1
EDGES = (0, 1, 2, 100, INT16 // 4, INT16 // 2, INT16 // 2 + 1, INT16 - 1, INT16)


def _is_compact(network: neuro.Network, inputs: np.ndarray, name: str) -> bool:
    plan = plan_of(network, input_payloads(network, {"in": inputs}), inputs.shape[1])
    return _short(plan.populations[[p.name for p in network.populations].index(name)]) == COMPACT


def _near(draw: Any, bounds: tuple[int, ...], signed: bool = True) -> int:
    return draw(st.sampled_from(bounds)) * (draw(st.sampled_from((-1, 1))) if signed else 1)


@st.composite
def saturating(draw: Any) -> tuple[neuro.Network, np.ndarray]:
    """Neurons with charges, biases, thresholds and potentials at the bounds of 16 bits; two weights into each."""
    rng, n = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.sampled_from((1, 5, 33, 130)))
    up, down = (rng.choice([0, 1, *rng.choice(EDGES, 2)], n) for _ in range(2))
    bias, initial = (rng.choice([0, 3, _near(draw, (*EDGES, INT16 + 1, 40_000))], n) for _ in range(2))
    shape, each = ((2, n, 1), (2, 1, 1)) if draw(st.booleans()) and n % 2 == 0 else ((2 * n,), (1,))
    fit = {"bias": np.tile(bias, 2).reshape(shape), "initial_potential": np.tile(initial, 2).reshape(shape)}
    if draw(st.booleans()):
        fit |= {"bias": np.full(each, _near(draw, EDGES))}
    neuron = neuro.IntegrateAndFire(
        max(1, _near(draw, (*EDGES, INT16 + 1), signed=False)), draw(st.sampled_from(("subtract", "zero"))),
        potential_bits=draw(st.sampled_from((12, 16, 24))), **fit,
    )  # fmt: skip
    weights = np.zeros((2, 2 * n), int)
    weights[0, :n], weights[1, :n], weights[0, n:], weights[1, n:] = up, -down, -up, down
    network = neuro.Network(
        (neuro.Population("in", (2,), neuro.Source(levels=1)), neuro.Population("p", shape, neuron)),
        (neuro.Dense("in", "p", weights),),
    )
    steps = draw(st.integers(1, 9))
    return network, (rng.random((2, steps, 2)) < draw(st.sampled_from((0.3, 0.9)))).astype(int)


@pytest.mark.compiled
@settings(deadline=None)
@given(saturating())
def test_potentials_at_the_bounds_of_16_bits(case: tuple[neuro.Network, np.ndarray]) -> None:
    network, inputs = case
    neuron: Any = network["p"].neuron
    assert _is_compact(network, inputs, "p") == (neuron.threshold <= INT16 and neuron.potential_bits >= 16)
    same(network, inputs, inputs.shape[1], by=(1,))


@pytest.mark.compiled
@settings(deadline=None)
@given(
    st.sampled_from(("counts", "digits")),
    st.sampled_from((1, 40, 130)),
    st.sampled_from((1, 2, 9, 64, 140)),
    st.integers(0, 2**32),
)
def test_lags_in_bytes(code: Any, n: int, steps: int, seed: int) -> None:
    """Also so many steps that a lag outgrows its byte."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((4, n, n), int)
    for tap in range(4):
        weights[tap] = np.eye(n, dtype=int) << tap
    network = neuro.Network(
        (neuro.Population("in", (4 * n,), neuro.Source(levels=1)), neuro.Population("p", (n,), neuro.MaxPool(4, code))),
        (neuro.Dense("in", "p", weights.reshape(4 * n, n)),),
    )
    often = rng.choice([0.0, 0.1, 0.5, 1.0], (1, 1, 4 * n))
    inputs = (rng.random((2, steps, 4 * n)) < often).astype(int)
    assert _is_compact(network, inputs, "p")
    same(network, inputs, steps, by=(1,))


@pytest.mark.compiled
@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 300)), st.booleans(), st.integers(0, 2**32))
def test_digits_are_gathered_and_sent(digits: int, gather: int, scale: int, held: bool, seed: int) -> None:
    """Charges of 16 and of 32 bits, before, in and after the last step that gathers."""
    rng = np.random.default_rng(seed)
    neuron = neuro.RadixIntegrateAndFire(int(rng.integers(1, 90)), digits, gather, rng.integers(-9_000, 9_000, 50))
    network = neuro.Network(
        (neuro.Population("in", (9,), neuro.Source(levels=1)), neuro.Population("p", (50,), neuron)),
        (neuro.Dense("in", "p", rng.integers(-30, 40, (9, 50)) * scale),),
    )
    inputs = rng.integers(0, 2, (2, digits + gather + 2, 9))
    same(network, inputs, inputs.shape[1], by=(1,))


@pytest.mark.compiled
@settings(deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from((1.0, 0.3, 0.05)), st.sampled_from((0.4, 1.0)), st.integers(0, 2**32)
)
def test_sums_are_emptied_before_16_bits_are_full(channels: int, columns: int, share: float, often: float, seed: int) -> None:
    """Kernel rows that alone bring all that 16 bits hold, or a part of it."""
    rng, most = np.random.default_rng(seed), INT16 // (channels * columns)
    weights = rng.choice([-1, 1], (2, 1, 9, 1)) * np.full((2, channels, 9, columns), max(1, int(most * share)))
    weights[:, :, 0] = np.minimum(most, weights[:, :, 0] + 1)
    side = {"in": neuro.Source(levels=1), "p": neuro.IntegrateAndFire(50_000)}
    shapes = {"in": (channels, 12, 6), "p": (2, 4, 7 - columns)}
    network = neuro.Network(
        tuple(neuro.Population(name, shapes[name], neuron) for name, neuron in side.items()), (neuro.Conv2d("in", "p", weights),)
    )
    inputs = (rng.random((2, 4, *shapes["in"])) < often).astype(int)
    plan = plan_of(network, input_payloads(network, {"in": inputs}), 4)
    assert (plan.populations[1]["accumulator"] == FLUSHED) == (share > 0.1)
    same(network, inputs, 4, by=(1,))
