"""Neurons that hold a current, taken through steps in which nothing arrives together: the integers of the reference engine."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.engine.event import input_payloads
from neuro.engine.plan import plan_of
from neuro.engine.steady import STEPS, steady_address
from neuro.specification import IntArray
from tests.runs import same

Case = tuple[neuro.Network, IntArray]


@st.composite
def held(draw: Any) -> Case:
    """Rows of neurons that get charges at some steps, and at others none; some have no charge, some saturate."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(((1,), (5,), (64,), (130,), (3, 4, 20), (40, 3, 5), (64, 2, 2))))
    steps, size = draw(st.sampled_from((1, 2, 3, 9, STEPS, STEPS + 5))), int(np.prod(shape))
    bits, largest = draw(st.sampled_from(((10, 400), (16, 300), (24, 2**22))))
    neuron = neuro.IntegrateAndFire(
        draw(st.integers(1, 300)), draw(st.sampled_from(("subtract", "zero"))), bias=rng.integers(-3, 4, shape),
        initial_potential=rng.choice([0, 0, 1, -200, 500], shape), hold_input=True, potential_bits=bits,
        start_step=draw(st.integers(0, 3)),
    )  # fmt: skip
    weights = rng.choice([0, 0, 1, -7, largest, -largest], (2, size))
    network = neuro.Network(
        (
            neuro.Population("in", (2,), neuro.Source(levels=1)),
            neuro.Population("p", shape, neuron),
            neuro.Population("out", (3,), neuro.Readout()),
        ),
        (
            neuro.Dense("in", "p", weights, delay=draw(st.integers(1, 2))),
            neuro.Dense("p", "out", rng.integers(-9, 9, (size, 3))),
        ),
    )
    inputs = np.zeros((3, steps, 2), int)
    inputs[:, rng.integers(0, steps, draw(st.integers(0, 3)))] = rng.integers(0, 2, 2)
    return network, inputs


@pytest.mark.compiled
@settings(deadline=None)
@given(held())
def test_steps_in_which_nothing_arrives(case: Case) -> None:
    network, inputs = case
    plan = plan_of(network, input_payloads(network, {"in": inputs}), inputs.shape[1])
    assert steady_address(plan.populations[1]) != 0
    same(network, inputs, inputs.shape[1], by=(1, 2))


@pytest.mark.compiled
def test_only_neurons_that_hold_a_current_of_32_bits() -> None:
    for neuron in (neuro.IntegrateAndFire(9), neuro.SignedIntegrateAndFire(9, hold_input=True), neuro.Readout()):
        network = neuro.Network(
            (neuro.Population("in", (2,), neuro.Source()), neuro.Population("p", (2,), neuron)),
            (neuro.Dense("in", "p", np.ones((2, 2), int)),),
        )
        assert steady_address(plan_of(network, {"in": (0, 1)}, 9).populations[1]) == 0
