"""Laws of conversion: counts of a constant input, delays that change nothing, lossless codes, histograms that add up."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters import opmath
from converters.calibration import PER_OCTAVE, calibrate
from tests.convertible import Branches, Chain, settled

LOSSLESS = ("wait", "radix", "graded")
DRAWS = 100_000


@pytest.mark.parametrize("timesteps", range(1, 33))
def test_counts_of_a_constant_input(timesteps) -> None:
    """N = clip(floor(z T / theta + 1/2), 0, T), without one exception in 100,000 draws."""
    rng = np.random.default_rng(timesteps)
    threshold = int(rng.integers(1, 2000)) * 2
    charge = rng.integers(-threshold, 2 * threshold, DRAWS)
    network = neuro.Network(
        populations=(
            neuro.Population("in", (DRAWS,), neuro.Source("once")),
            neuro.Population(
                "out",
                (DRAWS,),
                neuro.IntegrateAndFire(threshold, initial_potential=threshold // 2, start_step=1, hold_input=True),
            ),
        ),
        projections=(neuro.OneToOne("in", "out"),),
        timesteps=timesteps,
    )
    counts = neuro.run(network, charge[None]).spikes["out"][0]
    expected = np.clip((2 * charge * timesteps + threshold) // (2 * threshold), 0, timesteps)
    assert int((counts != expected).sum()) == 0


class Residual(nn.Module):
    """Blocks of two linear layers beside a skip path."""

    def __init__(self, width: int, blocks: int, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.stem, self.head = nn.Linear(6, width), nn.Linear(width, 3)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(2 * blocks))

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for one, two in zip(self.inner[::2], self.inner[1::2], strict=True):
            y = two(torch.relu(one(x)))
            x = torch.relu(y + x if self.skip else y)
        return self.head(x)


def without_delays(network: neuro.Network, values: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (samples, neurons) of a rate-coded network in which every message acts at once, step by step, layer by layer."""
    source, *others = network.populations
    state = {p.name: np.broadcast_to(p.neuron.initial_potential, (len(values), p.size)).copy() for p in others}
    counts = {p.name: np.zeros((len(values), p.size), np.int64) for p in others}
    for _ in range(network.timesteps or 1):
        sent = {source.name: values}
        for p in others:
            charge = sum(sent[q.source] @ q.to_sparse(network[q.source].shape, p.shape) for q in network.into(p.name))
            if isinstance(p.neuron, neuro.Readout):
                counts[p.name] += charge
                continue
            state[p.name] = state[p.name] + charge + np.asarray(p.neuron.bias).ravel()
            fired = state[p.name] >= p.neuron.threshold
            state[p.name] = state[p.name] - p.neuron.threshold * fired
            sent[p.name] = fired.astype(np.int64)
            counts[p.name] += fired
    return counts


@settings(max_examples=12, deadline=None)
@given(st.integers(4, 9), st.integers(1, 3), st.booleans(), st.integers(1, 12), st.integers(0, 99))
def test_delays_and_gating_change_nothing(width, blocks, skip, timesteps, seed) -> None:
    samples = np.random.default_rng(seed).random((40, 6), np.float32)
    try:
        network = converters.convert(settled(Residual(width, blocks, skip), samples, seed), samples, timesteps=timesteps).network
    except neuro.NeuroError as error:
        assert "dead" in str(error)  # noqa: PT017  # a drawn layer may be
        return
    source = network.populations[0]
    scaled = np.rint(samples[:5] / source.neuron.scale).astype(np.int64)
    run = neuro.run(network, samples[:5])
    for name, counts in without_delays(network, scaled).items():
        if not isinstance(network[name].neuron, neuro.Readout):
            assert np.array_equal(run.spikes[name], counts), name


@st.composite
def convolutions(draw) -> nn.Module:
    """A random stack of convolutions, grouped, strided, padded and dilated, with pools, ending in a linear layer."""
    layers, channels, size = [], 2, 8
    for _ in range(draw(st.integers(1, 3))):
        groups, kernel, stride = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 2]))
        after = draw(st.sampled_from([2, 4, 6]))
        dilation = draw(st.sampled_from([1, 2])) if kernel == 3 and size > 4 else 1
        layers.append(nn.Conv2d(channels, after, kernel, stride, dilation * (kernel // 2), dilation, groups))
        layers.append(draw(st.sampled_from([nn.ReLU(), nn.ReLU6()])))
        channels, size = after, -(-size // stride)
        if size >= 4 and draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.AvgPool2d(2), nn.MaxPool2d(2)])))
            size //= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, 3))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    convolutions(),
    st.sampled_from(LOSSLESS),
    st.integers(2, 8),
    st.tuples(st.integers(3, 8), st.sampled_from((16, 20, 24))),
    st.booleans(),
    st.integers(0, 99),
)
def test_lossless_codes_equal_the_quantised_network(model, code, timesteps, bits, negative, seed) -> None:
    how = {"code": code, "timesteps": timesteps, "weight_bits": bits[0], "potential_bits": bits[1]}
    samples = np.random.default_rng(seed).random((32, 2, 8, 8), np.float32) - 0.5 * negative
    try:
        made = converters.convert(settled(model, samples, seed), samples, **how)
    except neuro.NeuroError as error:
        assert "dead" in str(error) or "needs weights up to" in str(error)  # noqa: PT017  # both may be drawn
        return
    run = neuro.run(made.network, samples[:6])
    assert np.array_equal(made.quantised(samples[:6]), run.logits)
    assert {p.neuron.potential_bits or bits[1] for p in made.network.populations} == {bits[1]}


@pytest.mark.parametrize("code", ["rate", "signed", "wait", "radix", "graded"])
def test_at_most_three_passes_and_a_check_through_the_float_network(code, monkeypatch) -> None:
    samples = np.random.default_rng(0).random((256, 1, 8, 8), np.float32)
    graph = converters.trace(settled(Chain(), samples), samples)
    seen = []
    conv = opmath._APPLY["conv"]
    monkeypatch.setitem(opmath._APPLY, "conv", lambda layer, arrays, x: seen.append(len(x)) or conv(layer, arrays, x))
    converters.convert(graph, samples, code=code, timesteps=8)
    convolutions = sum(layer.op == "conv" for layer in graph.layers)
    assert sum(seen) / convolutions <= 3 * 256 + 2 * 64 + 2  # the check looks once more at where a warning comes from


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(0, 99))
def test_histograms_do_not_depend_on_order_or_batches(batch, seed) -> None:
    samples = np.random.default_rng(0).random((64, 1, 8, 8), np.float32)
    graph = converters.trace(settled(Branches(), samples), samples)
    layers = {layer.name: layer.inputs[0] for layer in graph.layers if layer.op == "relu"}
    shuffled = samples[np.random.default_rng(seed).permutation(64)]
    whole, parts = calibrate(graph, layers, samples, batch=64), calibrate(graph, layers, shuffled, batch=batch)
    for name in layers:
        # The float network itself may round differently in other batches, which moves a value to the next bin, and one that is
        # a millionth of the largest by some.
        counted = [found.counts.cumsum(axis=1)[:, -20 * PER_OCTAVE :] for found in (whole[name], parts[name])]
        moved = np.abs(counted[0] - counted[1]).sum()
        assert moved <= 1e-3 * whole[name].seen
        assert whole[name].seen == parts[name].seen
        assert np.allclose(whole[name].largest, parts[name].largest, rtol=1e-5)
