"""Energy by population adds up to the bill, whatever shares a core."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.report.layers import energy_by_population
from tests.chips import random_inputs, random_network, small


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_energy_by_population_adds_up_to_the_bill(seed, crowded) -> None:
    network = random_network(seed)
    tiny = {"width": 2, "height": 1, "cores_per_tile": 2}
    chip = small(mesh=tiny) if crowded else small(energy={"update_when": "restless"})
    placement = neuro.place(network, chip)
    chip_run = neuro.emulate(network, placement, random_inputs(network, 3, seed))
    by_population = energy_by_population(chip_run)
    bill = chip_run.bill.energy_by_part()
    for kind, parts in {"synapses": ["synapse"], "neurons": ["neuron"], "messages": ["spike", "axon_out"]}.items():
        total = sum(energies[kind] for energies in by_population.values())
        assert math.isclose(total, sum(bill[part] for part in parts), rel_tol=1e-9, abs_tol=1e-6), kind


def test_each_population_gets_its_own() -> None:
    """By hand: one message from the host into 2 synapses of a; a fires once into 3 synapses of b."""
    network = neuro.Network(
        populations=(
            neuro.Population("in", (1,), neuro.Source("once")),
            neuro.Population("a", (2,), neuro.IntegrateAndFire(threshold=5, start_step=1)),
            neuro.Population("b", (3,), neuro.Readout(start_step=2)),
        ),
        projections=(neuro.Dense("in", "a", [[5, 4]]), neuro.Dense("a", "b", np.ones((2, 3), int))),
        timesteps=1,
    )
    chip = small(energy={"synop_dense": 10.0, "spike": 7.0, "axon_out": 100.0, "neuron_access": 1.0, "neuron_update": 0.0})
    chip_run = neuro.emulate(network, neuro.place(network, chip), np.array([[1]]))
    assert energy_by_population(chip_run) == {
        "a": {"synapses": 20.0, "neurons": 2.0, "messages": 107.0},
        "b": {"synapses": 30.0, "neurons": 3.0, "messages": 0.0},
    }


def test_what_synapses_learn_is_shown_where_they_lead() -> None:
    """By hand: of 2 arrivals each reaches 3 synapses of a, and of a's firings none matters; b's synapses are fixed."""
    rule = neuro.LearningRule("x0 * y1", y1=(8, None))
    network = neuro.Network(
        populations=(
            neuro.Population("in", (1,), neuro.Source()),
            neuro.Population("a", (3,), neuro.IntegrateAndFire(threshold=900)),
            neuro.Population("b", (2,), neuro.IntegrateAndFire(threshold=900)),
        ),
        projections=(neuro.Dense("in", "a", np.ones((1, 3), int), rule=rule), neuro.Dense("a", "b", np.ones((3, 2), int))),
    )
    chip = neuro.load_chip("loihi1-nahuku")
    chip_run = neuro.emulate(network, neuro.place(network, chip), np.array([[[1], [0], [1], [0]]]), timesteps=4)
    shown = energy_by_population(chip_run)
    assert {name: energies["learning"] for name, energies in shown.items()} == {"a": 6 * 120.0, "b": 0.0}
    assert sum(energies["learning"] for energies in shown.values()) == chip_run.bill.energy_by_part()["learning"]
