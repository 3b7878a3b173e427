"""Networks of values in code radix: signed binary digits carry the same integers, in every engine and on a chip."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.quantised import evaluate
from converters.values import digits
from neuro.errors import AccuracyWarning, ConversionError
from tests.value_networks import Attention, ready

ENGINES = ("event", "reference", "torch")


def pair(model: nn.Module | neuro.Graph, x: np.ndarray, **how: object) -> tuple[converters.Conversion, converters.Conversion]:
    """The same network as graded values and as digits, with value_bits as many as these have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        graded = converters.convert(model, x, code="graded", value_bits=8, **how)
        return graded, converters.convert(model, x, code="radix", timesteps=8, **how)


@pytest.mark.parametrize("name", ["activations", "mobile", "attention", "softmax inside", "extremes", "long maxima"])
def test_digits_carry_the_integers_of_graded_values(name: str) -> None:
    model, x = ready(name)
    graded, radix = pair(model, x)
    wanted = graded.quantised(x[:4])
    assert radix.code == "radix"
    assert np.array_equal(radix.quantised(x[:4]), wanted)
    for engine in ENGINES:
        assert np.array_equal(neuro.run(radix.network, x[:1], engine=engine).logits, wanted[:1]), engine
    assert max(q.delay for q in radix.network.projections) <= 62


def test_what_digits_cost_is_counted() -> None:
    """A message for each digit that is not zero; dot products and maxima hear whole values from relays."""
    model, x = ready("attention")
    graded, radix = pair(model, x)
    assert any(p.name.endswith(".values") for p in radix.network.populations)
    run = neuro.run(radix.network, x[:3])
    found = evaluate(radix.network, x[:3])
    assert run.synops == found.synops > neuro.run(graded.network, x[:3]).synops
    for p in radix.network.populations:
        assert np.array_equal(run.spikes.get(p.name, 0), found.spikes[p.name] if p.name in run.spikes else 0), p.name
    chip = neuro.load_chip("loihi2")
    emulated = neuro.emulate(neuro.place(radix.network, chip, method="sequential"), x[:1])
    assert np.array_equal(emulated.run.logits, run.logits[:1])
    assert emulated.bill.energy_pj > 0


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 7), st.integers(1, 5), st.integers(14, 40), st.integers(12, 24), st.integers(0, 9))
def test_waits_and_narrow_potentials_change_no_bit(count: int, head: int, longest: int, potential_bits: int, seed: int) -> None:
    """Whatever synapses can delay and wherever ports saturate, engines say what the integers say."""
    x = np.random.default_rng(seed).normal(size=(3, count, 4)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        patch.setattr(digits, "LONGEST_OF_SYNAPSES", longest)
        network = converters.convert(Attention(head).eval(), x, code="radix").network
    assert max(q.delay for q in network.projections) <= longest
    narrow = [
        p if p.neuron.is_source or p.neuron.is_readout else replace(p, neuron=p.neuron.changed(potential_bits=potential_bits))
        for p in network.populations
    ]
    network = replace(network, populations=tuple(narrow))
    found = evaluate(network, x).logits
    for engine in ENGINES[:2]:
        assert np.array_equal(neuro.run(network, x, engine=engine).logits, found), engine


def test_fewer_digits_are_coarser() -> None:
    model, x = ready("activations")
    errors = [converters.convert(model, x, code="radix", timesteps=t).agreement.error for t in (8, 6)]
    assert errors[0] < errors[1]
    with pytest.raises(ConversionError, match="3 digits, and the network computes with values. Use 4 to 8"):
        converters.convert(model, x, code="radix", timesteps=3)


def test_the_diagnosis_of_digits_is_that_of_their_values() -> None:
    """Relays and populations that hold values lose nothing, and are left out."""
    graded, radix = pair(*ready("softmax inside"))
    assert any(p.name.endswith(".values") for p in radix.network.populations)
    for one, other in zip(graded.diagnosis.layers, radix.diagnosis.layers, strict=True):
        assert (one.name, one.error, one.clipping, one.rounding) == (other.name, other.error, other.clipping, other.rounding)
        assert one.messages <= other.messages


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.tanh(x)
        return self.a(y), torch.softmax(self.b(y), 1)


def test_several_outputs_are_sent_as_digits() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    made = converters.convert(Two().eval(), x, code="radix")
    run, found = neuro.run(made.network, x[:3]), made.quantised(x[:3])
    assert all(np.array_equal(run.outputs[name], found[name]) for name in made.graph.outputs)
    assert made.diagnosis.layers


def test_frames_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    with pytest.raises(ConversionError, match='it has frames. Use code="graded"'):
        converters.convert(model, x, code="radix", frames=True)
