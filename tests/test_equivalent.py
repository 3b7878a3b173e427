"""A spiking network and its float equivalent have the same connections."""

import numpy as np
import pytest

import neuro
from converters.evaluation import logits
from neuro.errors import MachineError
from neuro.machines.equivalent import equivalent

RNG = np.random.default_rng(0)


def network() -> neuro.Network:
    neuron = neuro.IntegrateAndFire(threshold=9)
    return neuro.Network(
        populations=(
            neuro.Population("out", (5,), neuro.Readout()),
            neuro.Population("in", (2, 8, 6), neuro.Source()),
            neuro.Population("conv", (4, 4, 3), neuron),
            neuro.Population("pool", (4, 2, 1), neuron),
        ),
        projections=(
            neuro.Conv2d("in", "conv", RNG.integers(0, 9, (4, 1, 3, 3)), stride=2, padding=1, groups=2),
            neuro.SumPool2d("conv", "pool", (2, 3), weight=3),
            neuro.Dense("pool", "out", RNG.integers(0, 9, (8, 5))),
            neuro.Sparse("in", "out", (np.array([3, 3, 90]), np.array([0, 0, 4]), np.array([2, 5, 7]))),
        ),
    )


def test_same_connections_same_sums() -> None:
    """With positive weights and inputs no ReLU cuts anything, so the float network must give W3 W2 W1 x exactly."""
    made = network()
    graph = equivalent(made)
    x = RNG.integers(0, 5, (3, 2, 8, 6)).astype(np.float32)
    expected = {"in": x.reshape(3, -1).astype(np.float64)}
    for name in ("conv", "pool", "out"):
        total = np.zeros((3, made[name].size))
        for p in made.into(name):
            synapses = p.synapses(made[p.source].shape, made[name].shape)
            np.add.at(total.T, synapses.post, (expected[p.source][:, synapses.pre] * synapses.weight).T)
        expected[name] = total
    assert np.array_equal(logits(graph, x), expected["out"])


def test_machines_are_asked_for_every_synapse() -> None:
    made = neuro.Network(
        populations=(
            neuro.Population("in", (12,), neuro.Source()),
            neuro.Population("line", (3, 4), neuro.IntegrateAndFire(threshold=9)),
            neuro.Population("out", (3, 2), neuro.Readout()),
        ),
        projections=(
            neuro.Dense("in", "line", RNG.integers(1, 9, (12, 12))),
            neuro.Conv1d("line", "out", RNG.integers(1, 9, (3, 3, 3)), stride=2, padding=(1, 0)),
        ),
    )
    assert neuro.weigh(equivalent(made)).macs == 144 + 3 * 3 * 3 * 2


def test_loops_are_refused() -> None:
    neuron = neuro.IntegrateAndFire(threshold=9)
    looped = neuro.Network(
        populations=(neuro.Population("in", (2,), neuro.Source()), neuro.Population("a", (2,), neuron)),
        projections=(neuro.OneToOne("in", "a"), neuro.OneToOne("a", "a", 3)),
    )
    with pytest.raises(MachineError, match="loop"):
        equivalent(looped)


def test_a_population_that_carries_constants_costs_nothing() -> None:
    made = network()
    steady = neuro.Population("steady", (1,), neuro.IntegrateAndFire(1, bias=1))
    biased = neuro.Network(
        (*made.populations, steady), (*made.projections, neuro.Dense("steady", "out", np.arange(5).reshape(1, 5)))
    )
    assert equivalent(biased) == equivalent(made)
    with pytest.raises(MachineError, match="nothing projects to it"):
        equivalent(neuro.Network((*made.populations, steady), made.projections))


def test_a_matrix_too_large_to_compare_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("neuro.machines.equivalent.MOST_WEIGHTS", 100)
    with pytest.raises(MachineError, match="480 weights as a full matrix. Compare networks without such projections"):
        equivalent(network())
