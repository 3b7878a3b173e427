"""What neurons declare: defaults, messages, windows; each number is taken at both its limits and refused one beyond."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

import neuro
from neuro.chip.spec import PROGRAMS
from neuro.errors import NetworkError
from neuro.neurons import MODELS, Neuron, stored_models

MOST = 2**31 - 1
WINDOWS = {  # payloads of messages, and steps that it is switched on for when a network runs five
    "held": (neuro.Source(), (-MOST, MOST), 5),
    "once, few levels": (neuro.Source("once", levels=7), (-7, 7), 5),
    "twin": (neuro.Source(levels=7, twin=True), (0, 7), 5),
    "rate": (neuro.Source("rate", levels=7), (0, 1), 5),
    "signed source": (neuro.Source("signed", levels=7), (-1, 1), 5),
    "radix source": (neuro.Source("radix", levels=7, digits=3), (0, 1), 3),
    "if": (neuro.IntegrateAndFire(9), (0, 1), 5),
    "signed": (neuro.SignedIntegrateAndFire(9), (-1, 1), 5),
    "signed, looking ahead": (neuro.SignedIntegrateAndFire(9, gather=4), (-1, 1), 8),
    "wait": (neuro.WaitIntegrateAndFire(9, 4), (0, 1), 8),
    "radix": (neuro.RadixIntegrateAndFire(9, 3, 4), (0, 1), 6),
    "graded": (neuro.Graded(9), (0, 255), 5),
    "graded, signed": (neuro.Graded(9, 7, -5), (-5, 7), 5),
    "cuba": (neuro.CubaLif(1, 2, 3), (0, 1), 5),
    "cuba, resting": (neuro.CubaLif(1, 2, 3, refractory=4, reset_interval=5, reset_offset=2), (0, 1), 5),
    "sigma-delta": (neuro.SigmaDelta(2), (-32767, 32767), 5),
    "delta": (neuro.Delta(2, message_bits=8), (-127, 127), 5),
    "driven source": (neuro.Source("driven", neuron=neuro.Delta(2)), (-32767, 32767), 5),
    "maximum of counts": (neuro.MaxPool(4), (0, 1), 5),
    "maximum of signed counts": (neuro.MaxPool(4, signed=True), (-1, 1), 5),
    "maximum of digits": (neuro.MaxPool(4, "digits"), (0, 1), 5),
    "maximum in turns": (neuro.MaxPool(4, "turns", levels=7), (0, 7), 8),
    "value": (neuro.Value(), (-127, 127), 5),
    "value, rectified": (neuro.Value(lowest=0, highest=255), (0, 255), 5),
    "value of a table": (neuro.Value(lowest=0, highest=2, table=np.array([5, -3, 4])), (-3, 5), 5),
    "value without its leading bit": (neuro.Value(lookup="reciprocal", table=np.array([9, 5])), (0, 255), 5),
    "value, gathered": (neuro.Value(gather=4, period=9), (-127, 127), 8),
    "changes of a value": (neuro.Value(emit="change", lowest=-9, highest=4), (-13, 13), 5),
    "digits of a value": (neuro.Value(emit="digits", digits=7, gather=2), (-1, 1), 12),
    "digits of a rectified value": (neuro.Value(emit="digits", digits=8, lowest=0, highest=255), (0, 1), 12),
    "user": (neuro.UserNeuron(divmod), (0, 1), 5),
    "user, bounded": (neuro.UserNeuron(divmod, lowest=-3, highest=9), (-3, 9), 5),
    "readout": (neuro.Readout(), (0, 0), 5),
    "leaky readout": (neuro.LeakyReadout(voltage_decay=100), (0, 0), 5),
    "readout of digits": (neuro.Readout(gather=3), (0, 0), 3),
}
DEFAULTS = {
    "bias": 0, "initial_potential": 0, "start_step": 0, "hold_input": False, "potential_bits": 24, "twin": False, "scale": None,
    "bias_exponent": 0, "reset": "subtract", "average": False, "doubling": False, "state": (("v", 0),), "parameters": (),
}  # fmt: skip
LIMITS: dict[str, tuple[Callable[[int], object], int, int]] = {
    "source's levels": (lambda n: neuro.Source(levels=n), 1, MOST),
    "source's digits": (lambda n: neuro.Source("radix", digits=n), 1, 16),
    "source's start": (lambda n: neuro.Source(start_step=n), 0, MOST),
    "threshold": (neuro.IntegrateAndFire, 1, MOST),
    "start": (lambda n: neuro.IntegrateAndFire(9, start_step=n), 0, MOST),
    "bits": (lambda n: neuro.IntegrateAndFire(9, potential_bits=n), 2, 31),
    "signed bits": (lambda n: neuro.SignedIntegrateAndFire(9, potential_bits=n), 2, 31),
    "signed gather": (lambda n: neuro.SignedIntegrateAndFire(9, gather=n), 1, MOST),
    "signed maximum": (lambda n: neuro.SignedIntegrateAndFire(9, maximum=n), -MOST, MOST),
    "wait gather": (lambda n: neuro.WaitIntegrateAndFire(9, n), 1, MOST),
    "wait bits": (lambda n: neuro.WaitIntegrateAndFire(9, 4, potential_bits=n), 2, 31),
    "radix gather": (lambda n: neuro.RadixIntegrateAndFire(9, 3, n), 1, MOST),
    "radix digits": (lambda n: neuro.RadixIntegrateAndFire(9, n, 4), 1, 16),
    "radix threshold": (lambda n: neuro.RadixIntegrateAndFire(n, 4, 4), 1, MOST >> 3),
    "graded levels": (lambda n: neuro.Graded(9, n), 1, MOST),
    "graded minimum": (lambda n: neuro.Graded(9, minimum=n), -MOST, 0),
    "taps": (lambda n: neuro.MaxPool(n), 1, 30),  # 2^30 and 3^19 fit 32 bits
    "signed taps": (lambda n: neuro.MaxPool(n, signed=True), 1, 19),
    "taps in turns": (lambda n: neuro.MaxPool(n, "turns"), 1, MOST),
    "maximum's levels": (lambda n: neuro.MaxPool(3, "turns", levels=n), 1, MOST),
    "maximum's start": (lambda n: neuro.MaxPool(3, start_step=n), 0, MOST),
    "current decay": (lambda n: neuro.CubaLif(n, 0, 0), 0, 4095),
    "voltage decay": (lambda n: neuro.CubaLif(0, n, 0), 0, 4096),
    "refractory": (lambda n: neuro.CubaLif(0, 0, 0, refractory=n), 1, 64),
    "reset interval": (lambda n: neuro.CubaLif(0, 0, 0, reset_interval=n), 1, MOST),
    "reset offset": (lambda n: neuro.CubaLif(0, 0, 0, reset_interval=7, reset_offset=n), 0, 6),
    "sigma-delta threshold": (lambda n: neuro.SigmaDelta(n, spike_exponent=3, state_exponent=3), 0, 1 << 24),
    "message bits": (lambda n: neuro.Delta(1, message_bits=n), 2, 31),
    "mantissa": (lambda n: neuro.CubaLif(0, 0, n), 0, 131_071),
    "bias": (lambda n: neuro.CubaLif(0, 0, 0, np.array([0, n])), -4096, 4096),
    "exponent": (lambda n: neuro.CubaLif(0, 0, 0, bias_exponent=n), 0, 7),
    "cuba's start": (lambda n: neuro.CubaLif(0, 0, 0, start_step=n), 0, MOST),
    "lowest": (lambda n: neuro.UserNeuron(divmod, lowest=n), -MOST, 0),
    "highest": (lambda n: neuro.UserNeuron(divmod, highest=n), 0, MOST),
    "value's gather": (lambda n: neuro.Value(gather=n), 1, MOST),
    "value's bits": (lambda n: neuro.Value(value_bits=n), 4, 16),
    "value's potential": (lambda n: neuro.Value(potential_bits=n), 2, 31),
    "value's shift": (lambda n: neuro.Value(shift=n), 0, 47),
    "value's shift, of one neuron": (lambda n: neuro.Value(shift=np.array([3, n])), 0, 47),
    "value's multiplier": (lambda n: neuro.Value(multiplier=np.array([1, n])), -(2**30), 2**30),
    "shift of products": (lambda n: neuro.Value(("held", "held"), "dot", product_shift=n), 0, 62),
    "value's lowest": (lambda n: neuro.Value(lowest=n), -128, 127),
    "value's highest": (lambda n: neuro.Value(highest=n), -127, 127),
    "rectified value's highest": (lambda n: neuro.Value(lowest=0, highest=n), 0, 255),
    "dead zone": (lambda n: neuro.Value(emit="change", dead_zone=n), 1, MOST),
    "value's digits": (lambda n: neuro.Value(emit="digits", digits=n), 7, 17),
    "value's period": (lambda n: neuro.Value(gather=3, period=n), 3, MOST),
    "value's point": (lambda n: neuro.Value(lookup="reciprocal", table=np.array([2]), point=n), -64, 64),
    "value's start": (lambda n: neuro.Value(start_step=n), 0, MOST),
    "user's start": (lambda n: neuro.UserNeuron(divmod, start_step=n), 0, MOST),
    "readout's gather": (lambda n: neuro.Readout(gather=n), 1, MOST),
    "readout's bits": (lambda n: neuro.Readout(potential_bits=n), 2, 31),
    "readout's start": (lambda n: neuro.Readout(start_step=n), 0, MOST),
    "leaky readout's decay": (lambda n: neuro.LeakyReadout(voltage_decay=n), 1, 4095),
    "leaky readout's start": (lambda n: neuro.LeakyReadout(100, start_step=n), 0, MOST),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_messages_and_windows(name: str) -> None:
    neuron, messages, steps = WINDOWS[name]
    assert neuron.messages == messages
    assert neuron.active_steps(5) == steps


def test_the_table_holds_every_model_that_there_is() -> None:
    modules = [
        importlib.import_module(f"{neuro.neurons.__name__}.{m.name}") for m in pkgutil.iter_modules(neuro.neurons.__path__)
    ]
    there = {v for m in modules for v in vars(m).values() if isinstance(v, type) and issubclass(v, Neuron) and v is not Neuron}
    there -= {model for model in there if model.__subclasses__() and not is_dataclass(model)}  # what several models share
    assert set(MODELS.values()) == there
    assert {name: model.__name__ for name, model in MODELS.items()} == {name: name for name in MODELS}
    assert {type(neuron) for neuron, _, _ in WINDOWS.values()} == there, "a model without a line in WINDOWS"
    assert set(stored_models()) == set(MODELS) - {"UserNeuron"}
    assert all(hasattr(neuro, name) for name in MODELS)


@pytest.mark.parametrize("name", WINDOWS)
def test_facts_are_of_the_kinds_that_others_read(name: str) -> None:
    neuron = WINDOWS[name][0]
    assert neuron.program in PROGRAMS or not neuron.on_chip
    assert neuron.sends in ("counts", "digits", "payload")
    least = 2 if neuron.program == "cuba_lif" else 1  # the chip's leaky neuron keeps a current too
    assert neuron.state_words == least if neuron.is_readout else neuron.state_words >= least
    assert list(neuron.initial_state((2, 3))) == list(neuron.variables)
    assert neuron.on_tensors or neuron.step is not None or neuron.is_source
    assert neuron.changed(start_step=4).start_step == 4
    assert all(fact is not None for fact in (neuron.bias, neuron.initial_potential, neuron.hold_input, neuron.subtracts))
    for held in (f.name for f in fields(neuron)):
        assert getattr(type(neuron), held).__class__.__name__ == "member_descriptor", "a parameter hides behind a fact"


def test_a_bias_and_a_held_current_take_words_of_state() -> None:
    words = [neuro.IntegrateAndFire(9, bias=b, hold_input=h).state_words for b, h in ((0, False), (3, False), (3, True))]
    assert words == [1, 2, 3]
    assert neuro.SignedIntegrateAndFire(9, bias=np.array([0, 1]), hold_input=True).state_words == 4
    assert [neuro.CubaLif(1, 2, 3).state_words, neuro.MaxPool(5).state_words, neuro.MaxPool(5, "turns").state_words] == [2, 5, 2]
    assert [neuro.Source(code, digits=3).state_words for code in ("rate", "signed", "radix")] == [2, 3, 2]


@pytest.mark.parametrize("name", LIMITS)
def test_numbers_are_taken_at_their_limits_and_refused_one_beyond(name: str) -> None:
    make, least, most = LIMITS[name]
    make(least)
    make(most)
    for wrong in (least - 1, most + 1):
        with pytest.raises(NetworkError):
            make(wrong)


def test_what_is_not_said_is_taken_for_granted() -> None:
    for neuron, _, _ in (WINDOWS[name] for name in ("held", "if", "signed", "wait", "radix", "graded", "cuba", "user")):
        said = {field.name: getattr(neuron, field.name) for field in fields(neuron)}
        assert {name: said[name] for name in DEFAULTS.keys() & said.keys()} == {
            name: DEFAULTS[name] for name in DEFAULTS.keys() & said.keys()
        }
    signed, readout, source = neuro.SignedIntegrateAndFire(9), neuro.Readout(), neuro.Source()
    assert (signed.minimum, signed.maximum, signed.gather) == (0, None, 1)
    assert (readout.scale, readout.offset, readout.gather, readout.potential_bits) == (1, 0, None, 24)
    assert (readout.average, readout.doubling, readout.start_step) == (False, False, 0)
    assert (source.code, source.levels, source.digits) == ("held", MOST, 0)
    assert (neuro.MaxPool(3).signed, neuro.MaxPool(3).levels, neuro.MaxPool(3).start_step) == (False, 255, 0)


@pytest.mark.parametrize("code", ["held", "once", "rate", "signed", "radix"])
def test_sources_on_the_chip(code) -> None:
    assert neuro.Source(code, digits=3).on_chip == (code in ("rate", "signed", "radix"))
