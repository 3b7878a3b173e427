"""NeuroBench's metrics: equal to those of the neurobench package on a recorded network, and by hand on small ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import converters
import neuro
from neuro.projections.forms import most_special
from tests.convertible import Chain, settled
from tests.networks import cases, convolutions

RECORDED = Path(__file__).parent / "data" / "neurobench"


def recorded() -> tuple[neuro.Network, np.ndarray, np.ndarray]:
    """The network, its spikes and labels. snnTorch fires above the threshold: a potential that begins one lower does so."""
    found = np.load(RECORDED / "network.npz")
    network = neuro.Network(
        (
            neuro.Population("in", (1, 8, 8), neuro.Source(levels=1)),
            neuro.Population("a", (4, 4, 4), neuro.IntegrateAndFire(50, initial_potential=-1, start_step=1)),
            neuro.Population("b", (5,), neuro.IntegrateAndFire(100, initial_potential=-1, start_step=2)),
            neuro.Population("out", (5,), neuro.Readout(start_step=3)),
        ),
        (
            neuro.Conv2d("in", "a", found["conv"].astype(int), stride=2, padding=1),
            neuro.Dense("a", "b", found["linear"].T.astype(int)),
            neuro.OneToOne("b", "out"),
        ),
    )
    return network, found["x"], found["labels"]


@pytest.mark.golden("NeuroBench")
def test_the_package_s_own_figures() -> None:
    network, x, labels = recorded()
    got = neuro.neurobench(network, neuro.run(network, x), x, labels=labels).to_row()
    expected = json.loads((RECORDED / "metrics.json").read_text())
    for name in ("ClassificationAccuracy", "ActivationSparsity", "MembraneUpdates"):
        assert got[name] == pytest.approx(expected[name], abs=1e-7), name  # a float32 accuracy
    assert got["SynapticOperations"] == pytest.approx(expected["SynapticOperations"])
    assert got["ConnectionSparsity"] == pytest.approx(expected["ConnectionSparsity"], abs=1e-4)  # which rounds it
    assert set(expected) < set(got)
    assert 0 < expected["ClassificationAccuracy"] < 1


@pytest.mark.golden("NeuroBench")
def test_the_footprint_is_the_package_s_but_for_precision() -> None:
    """The package counts 4 bytes a weight and five scalars of each snnTorch layer; ours are bytes, with potentials."""
    network, x, _ = recorded()
    found = neuro.neurobench(network, neuro.run(network, x), x).footprint_bytes
    expected = json.loads((RECORDED / "metrics.json").read_text())["Footprint"]
    weights = 4 * 9 + 64 * 5
    assert expected == 4 * weights + 2 * 5 * 4
    parameters = 4 * (2 * 4 + 3)  # threshold, bias, initial potential and start step; scale, offset and start step
    assert found == weights + 1 + parameters + 3 * (64 + 5 + 5)


def test_the_footprint_has_tables_and_scales_of_values() -> None:
    """A table is there once, a multiplier for each neuron that has its own, and what a port holds is a potential more."""
    x = np.ones((1, 2), np.int64)

    def held(**parameters: object) -> int:
        neuron = neuro.Value(start_step=1, lowest=-4, highest=4, **parameters)
        populations = (neuro.Population("in", (2,), neuro.Source("once", levels=9)), neuro.Population("a", (3,), neuron))
        network = neuro.Network(populations, (neuro.Dense("in", "a", np.ones((2, 3), np.int64)),), timesteps=3)
        return neuro.neurobench(network, neuro.run(network, x), x).footprint_bytes

    plain = held()
    assert held(table=np.arange(-4, 5)) == plain + 9
    assert held(table=np.arange(-4, 5) * 100, value_bits=12) == plain + 2 * 9
    assert held(multiplier=np.arange(1, 4)) == plain + 4 * 2
    assert held(ports=("held",)) == plain + 3 * 3


def test_payloads_multiply_and_spikes_add() -> None:
    network = neuro.Network(
        (
            neuro.Population("in", (2,), neuro.Source("held", levels=9)),
            neuro.Population("a", (3,), neuro.IntegrateAndFire(4, start_step=1)),
            neuro.Population("b", (1,), neuro.IntegrateAndFire(100, start_step=2)),
        ),
        (
            neuro.Dense("in", "a", np.array([[1, 0, 2], [0, 0, 3]])),
            neuro.Sparse("a", "b", (np.array([0, 2]), np.array([0, 0]), np.array([5, 0]))),
        ),
    )
    x = np.array([[2, 0], [1, 1]])
    run = neuro.run(network, x, timesteps=4)
    found = neuro.neurobench(network, run, x)
    assert found.effective_macs == (4 * 2 + 4 * 3) / 2
    assert found.effective_acs == run.spikes["a"][:, 0].sum() / 2
    assert found.dense == 4 * 6 + 4 * 3
    assert found.connection_sparsity == (3 + 2) / (6 + 3)
    sent = sum(int(run.counts[name].messages.sum()) for name in ("a", "b"))
    assert found.activation_sparsity == 1 - sent / (2 * 4 * 4)
    assert found.accuracy is None
    spikes = np.repeat([[[1, 0]], [[1, 1]]], 4, axis=1)
    assert neuro.neurobench(network, neuro.run(network, spikes), spikes).effective_macs == 0


def test_a_converted_network_and_wrong_arguments() -> None:
    x = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
    network = converters.convert(settled(Chain(), x), x, timesteps=8).network
    run = neuro.run(network, x[:4])
    found = neuro.neurobench(network, run, x[:4], labels=np.zeros(4, int))
    assert found.effective_macs > 0  # the graded input
    assert 0 < found.effective_acs < found.dense
    assert 0 < found.activation_sparsity < 1
    assert found.membrane_samples == 4
    with pytest.raises(neuro.NeuroError, match="3 samples for a run of 4"):
        neuro.neurobench(network, run, x[:3])


@settings(max_examples=60)
@given(case=cases(stream=True))
def test_operations_are_those_of_the_listed_synapses(case) -> None:
    network, inputs, timesteps = case
    run = neuro.run(network, inputs, timesteps=timesteps)
    found = neuro.neurobench(network, run, inputs)
    listed = 0
    for p in network.projections:
        if not isinstance(p, neuro.OneToOne) or p.exponent or np.any(p.weights != 1):
            s = p.synapses(network[p.source].shape, network[p.target].shape)
            listed += int(run.spikes[p.source].sum(axis=0)[s.pre[s.weight != 0]].sum())
    assert found.effective_macs + found.effective_acs == pytest.approx(listed / run.samples)
    assert 0 <= found.activation_sparsity <= 1
    assert 0 <= found.connection_sparsity <= 1


@settings(max_examples=60)
@given(case=convolutions(), seed=st.integers(0, 99))
def test_operations_do_not_depend_on_the_form_of_the_weights(case, seed) -> None:
    """A depthwise convolution of equal weights is stored as a sum over windows, or one to one: what is done is the same."""
    conv, source, target = case
    assume(np.any(conv.weights != 1))
    populations = (
        neuro.Population("in", source, neuro.Source(levels=1)),
        neuro.Population("p", target, neuro.IntegrateAndFire(9)),
    )
    x = np.random.default_rng(seed).integers(0, 2, (2, *source))
    found = []
    for projection in (conv, most_special(conv)):
        network = neuro.Network(populations, (projection,), timesteps=2)
        found.append(replace(neuro.neurobench(network, neuro.run(network, x), x), footprint_bytes=0))
    assert found[0] == found[1]
    assert found[0].dense == 2 * conv.count(source, target)


def test_a_network_of_readouts_alone_has_no_potential_to_update() -> None:
    populations = (neuro.Population("in", (2,), neuro.Source("rate", levels=3)), neuro.Population("out", (2,), neuro.Readout()))
    network = neuro.Network(populations, (neuro.Dense("in", "out", np.eye(2, dtype=int)),), timesteps=3)
    x = np.array([[1, 2], [3, 0]])
    found = neuro.neurobench(network, neuro.run(network, x), x).to_row()
    assert found["MembraneUpdates"] == 0
