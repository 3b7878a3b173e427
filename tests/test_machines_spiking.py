"""ResNet-50 as spikes: the graph from weights, the network for counting, and bills at a stated activity."""

import numpy as np
import pytest

import neuro
from neuro.errors import FormatError, UsageError
from neuro.machines.spiking import STAGES, at_activity, resnet50_graph, resnet50_network


def random_tensors():
    rng = np.random.default_rng(0)
    tensors = {}

    def add(name, norm, cin, cout, kernel):
        tensors[f"{name}.weight"] = rng.normal(size=(cout, cin, kernel, kernel)).astype(np.float32)
        tensors.update({f"{norm}.{key}": np.ones(cout, np.float32) for key in ("weight", "bias", "running_mean", "running_var")})

    add("conv1", "bn1", 3, 64, 7)
    channels = 64
    for stage, (width, blocks) in enumerate(STAGES, 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for i, (cin, cout, kernel) in enumerate(((channels, width, 1), (width, width, 3), (width, 4 * width, 1)), 1):
                add(f"{name}.conv{i}", f"{name}.bn{i}", cin, cout, kernel)
            if block == 0:
                add(f"{name}.downsample.0", f"{name}.downsample.1", channels, 4 * width, 1)
            channels = 4 * width
    return {**tensors, "fc.weight": np.zeros((1000, 2048), np.float32), "fc.bias": np.zeros(1000, np.float32)}


def test_the_graph_from_weights_is_resnet50() -> None:
    tensors = random_tensors()
    graph = resnet50_graph(tensors)
    assert neuro.weigh(graph).macs == neuro.ready_workload("resnet50").macs
    assert graph.parameters == 25_557_032
    with pytest.raises(FormatError, match="fc.bias"):
        resnet50_graph({name: tensor for name, tensor in tensors.items() if name != "fc.bias"})
    with pytest.raises(FormatError, match=r"has shape \(3,\)"):
        resnet50_graph({**tensors, "layer2.0.bn2.weight": np.ones(3, np.float32)})


def test_the_network_has_resnet50s_neurons_and_synapses() -> None:
    network = resnet50_network()
    assert network.steps(16) == 16 + 52
    synapses = sum(p.count(network[p.source].shape, network[p.target].shape) for p in network.projections)
    inside = neuro.ready_workload("resnet50").macs
    assert 0.95 * inside < synapses < inside  # padding is not a synapse


def small() -> neuro.Network:
    layer = neuro.IntegrateAndFire(threshold=10, start_step=1)
    weights = np.ones((20, 30), np.int32)
    out = neuro.Population("out", (30,), neuro.Readout(start_step=2))
    populations = (neuro.Population("in", (20,), neuro.Source("rate")), neuro.Population("mid", (30,), layer), out)
    projections = (neuro.Dense("in", "mid", weights), neuro.Dense("mid", "out", np.ones((30, 30), np.int32)))
    return neuro.Network(populations, projections, timesteps=8)


def test_at_full_activity_every_synapse_is_visited_in_every_step() -> None:
    network = small()
    placement = neuro.place(network, neuro.load_chip("loihi2"))
    full = at_activity(placement, 1.0)
    synops = 8 * (20 * 30 + 30 * 30)
    spent = sum(part.energy_pj for part in full.parts if "synap" in part.name)
    price = neuro.load_chip("loihi2").energy.synop_dense
    assert spent == pytest.approx(synops * price, rel=0.06)  # a sparse list costs a little less than a dense one
    assert any("stated activity" in said for said in full.assumptions)


def test_energy_grows_with_the_stated_activity_and_seeds_repeat() -> None:
    placement = neuro.place(small(), neuro.load_chip("loihi2"))
    low, high = (at_activity(placement, activity, timesteps=64).dynamic_pj for activity in (0.05, 0.2))
    assert low < high < 4 * low
    assert at_activity(placement, 0.1).parts == at_activity(placement, 0.1).parts
    with pytest.raises(UsageError, match="activity"):
        at_activity(placement, 0)


def test_an_activity_needs_a_window() -> None:
    network = small()
    endless = neuro.Network(network.populations, network.projections)
    with pytest.raises(UsageError, match="neither the call nor the network names them. Pass timesteps=16, say"):
        at_activity(neuro.place(endless, neuro.load_chip("loihi2")), 0.5)
