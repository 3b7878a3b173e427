"""convert(): networks in, spiking networks in chip integers out; lossless codes equal the quantised network exactly."""

import numpy as np
import pytest
import torch

import converters
import neuro
from converters import quantised
from converters.stepping import Part, Signal, charges, respond, source_signal
from neuro.codes import CODES
from tests.convertible import Branches, Chain, Pools, settled

LOSSLESS = ("wait", "radix", "graded")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((64, 1, 8, 8), np.float32)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("model", [Chain, Branches, Pools])
def test_every_code_follows_the_float_network(model, code, samples) -> None:
    model = settled(model(), samples)
    with torch.no_grad():
        expected = model(torch.as_tensor(samples[:6])).numpy()
    conversion = converters.convert(model, samples, code=code, timesteps=32)
    run = neuro.run(conversion.network, samples[:6])
    allowed = 0.15 if code == "rate" else 0.08
    assert np.abs(run.logits - expected).max() < allowed * np.abs(expected).max()
    if code in LOSSLESS:
        found = quantised.evaluate(conversion.network, samples[:6])
        assert np.array_equal(conversion.quantised(samples[:6]), run.logits)
        assert all(np.array_equal(found.spikes[name], run.spikes[name]) for name in run.spikes)
        assert found.synops == run.synops
    else:
        with pytest.raises(neuro.NeuroError, match="depend on timing"):
            conversion.quantised(samples[:6])


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("how", ["auto", "spikes", "ideal"])
@pytest.mark.parametrize("code", CODES)
def test_inputs_arrive_in_every_way(code, how, negative, samples) -> None:
    if code == "graded" and how == "spikes":
        pytest.skip("payloads are not spikes; refused, see the test of errors")
    samples = samples - 0.4 * negative
    model = settled(Branches(), samples)
    conversion = converters.convert(model, samples, code=code, timesteps=32, input=how)
    run = neuro.run(conversion.network, samples[:2])
    with torch.no_grad():
        expected = model(torch.as_tensor(samples[:2])).numpy()
    assert np.abs(run.logits - expected).max() < 0.12 * np.abs(expected).max()
    if code in LOSSLESS:
        assert np.array_equal(conversion.quantised(samples[:2]), run.logits)


@pytest.mark.peer("torch")
def test_the_graph_equals_the_model(samples) -> None:
    from converters.evaluation import logits

    for model in (settled(Chain(), samples), settled(Branches(), samples), settled(Pools(), samples)):
        graph = converters.trace(model, samples)
        with torch.no_grad():
            assert np.allclose(logits(graph, samples), model(torch.as_tensor(samples)).numpy(), atol=1e-5)


@pytest.mark.parametrize("code", CODES)
def test_correction_removes_the_mean_error(code, samples) -> None:
    model = settled(Pools(), samples)
    with torch.no_grad():
        expected = model(torch.as_tensor(samples)).numpy()
    error = {}
    for correct in (False, True):
        conversion = converters.convert(model, samples, code=code, timesteps=8, correct_bias=correct)
        error[correct] = np.abs((neuro.run(conversion.network, samples).logits - expected).mean(axis=0)).max()
    assert error[True] < 1e-3 < error[False]


@pytest.mark.parametrize("code", ["rate", "signed"])
def test_stepping_equals_emulation(code, samples) -> None:
    """What correction and diagnosis see of a timed code is what the network does."""
    network = converters.convert(settled(Pools(), samples), samples, code=code, timesteps=8).network
    run = neuro.run(network, samples[:4], record=("raster",))
    signals: dict[str, Signal] = {}
    neurons = {p.name: p.neuron for p in network.populations}
    for p in network.populations:
        if isinstance(p.neuron, neuro.Source):
            signals[p.name] = source_signal(p, samples[:4], 8, lossless=False)
            continue
        part = Part(p, network.into(p.name), neurons, signals, 8, lossless=False)
        signals[p.name] = respond(part, torch.zeros(1) if p.neuron.takes_maxima else charges(part))
        if not isinstance(p.neuron, neuro.Readout):
            first = p.neuron.start_step + getattr(p.neuron, "gather", 1) - 1
            frames = signals[p.name].frames.swapaxes(0, 1).reshape(4, 8, -1)
            assert np.array_equal(run.raster[p.name][:, first : first + 8], frames)
    read = signals[p.name].total.numpy() * p.neuron.scale.ravel() / 8 + p.neuron.offset
    assert np.allclose(read, run.logits, rtol=1e-6)


def test_finetuning_helps_few_levels_without_labels(samples) -> None:
    model = settled(Branches(), samples)
    with torch.no_grad():
        expected = model(torch.as_tensor(samples)).numpy()
    error = []
    for refine in (0, 60):
        conversion = converters.convert(model, samples, code="wait", timesteps=2, correct_bias=False, refine=refine)
        error.append(np.square(conversion.quantised(samples) - expected).mean())
    assert error[1] < 0.9 * error[0]
    tuned = converters.finetune(model, samples, levels=4, steps=2)
    assert {"threshold", "levels"} <= set(next(layer for layer in tuned.layers if layer.op == "relu").options)


def test_a_hard_reset_is_warned_of(samples) -> None:
    with pytest.warns(UserWarning, match="throws away"):
        conversion = converters.convert(settled(Chain(), samples), samples, reset="zero")
    assert any("throws away" in note for note in conversion.network.notes)
    with pytest.raises(neuro.NeuroError, match="reset"):
        converters.convert(Chain(), samples, code="signed", reset="zero")
