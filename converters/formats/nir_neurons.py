"""NIR's neurons in chip integers: how four packages read the equations, as one table, and which model each neuron becomes.

Knows neurons one population at a time; knows nothing of graphs or files. Sources: snnTorch 1.0.0 (Leaky, Synaptic), sinabs 3.1.3
(IAF, LIF), Norse 1.1.0 (LIFBoxCell, LIFCell, LIBoxCell), SpikingJelly 2.0.0 (IFNode, LIFNode), read in their code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError, UsageError
from neuro.neurons import CubaLif, IntegrateAndFire, Neuron, UserNeuron
from neuro.neurons.leaky_readout import LARGEST
from neuro.numbers import real, whole

Floats = NDArray[np.float64]
_FRACTION = 6  # bits of a leaky potential below a weight's unit, as on Loihi
_KEEP_BITS = 16
_HALF = 1 << (_KEEP_BITS - 1)
_LARGEST = 2**21  # of a threshold in weight units, where the model has no smaller limit
_LOIHI = 2**17 - 1
_LONGEST = 4096  # steps that a leak is reckoned with
AS_GOOD = 1.5  # times the error of a program: what the chip's own leaky neuron may have as a readout
POTENTIAL = 2**23 - 1  # of a potential of 24 bits, the chip's


@dataclass(frozen=True, slots=True)
class Reading:
    """What fills in for NIR's silence, and how integers are chosen.

    `dt`: a step in the file's unit of time. `subtract`: reset by subtraction, else to v_reset. `late`: the subtraction comes
    after the next step's decay. `strict`: a spike above the threshold, else at it. `exact`: decay by exp(-dt / tau), else by
    1 - dt / tau. `input_gain`: None takes dt / tau of the file's equations, else the jump by an input of 1.
    """

    name: str
    dt: float = 1.0
    subtract: bool = False
    late: bool = False
    strict: bool = True
    exact: bool = False
    input_gain: float | None = None
    weight_bits: int = 8
    input_scale: float | None = None
    timesteps: int | None = None

    @property
    def limit(self) -> int:
        """Largest absolute weight."""
        return int(2 ** (self.weight_bits - 1) - 1)

    def notes(self) -> tuple[str, ...]:
        """The assumptions in words."""
        reset = "by subtraction" if self.subtract else "to v_reset"
        when = ", after the next step's decay" if self.late else ""
        return (
            f"NIR read as {self.name} does: steps of {self.dt:g}; reset {reset}{when}; a spike "
            f"{'above' if self.strict else 'at'} the threshold; one spike a step at most; decay "
            f"{'exp(-dt / tau)' if self.exact else '1 - dt / tau'}",
            "potentials start at v_reset and currents at 0; every layer starts one step after the one before it, so that spikes "
            "pass through all layers as if within one step; feedback takes one step",
        )


READINGS = {
    r.name: r
    for r in (
        Reading("nir"),
        Reading("snntorch", 1e-4, subtract=True, late=True),
        Reading("snntorch-zero", 1e-4),  # with reset_mechanism="zero", which writes the same file
        Reading("sinabs", 1.0, subtract=True, strict=False, exact=True),
        Reading("norse", 1e-6, input_gain=1.0),  # writes tau = dt / (1 / tau) with dt = 0.001: a thousandth of it
        Reading("spikingjelly", 1e-4, strict=False),
    )
}


def reading(writer: str, reset: str | None, **given: Any) -> Reading:
    """The conventions of a writer, with what the caller knows better: dt, weight_bits, input_scale, timesteps."""
    if writer not in READINGS:
        raise UsageError("writer", f"{writer!r} is not known", f"Use one of {', '.join(READINGS)}")
    for name in ("dt", "input_scale"):
        if given[name] is not None:
            given[name] = real("nir", name, given[name], above=0, error=UsageError)
    given["weight_bits"] = whole("nir", "weight_bits", given["weight_bits"], 2, 24, error=UsageError)
    if given.get("timesteps") is not None:
        given["timesteps"] = whole("nir", "timesteps", given["timesteps"], 1, error=UsageError)
    if reset not in (None, "subtract", "zero"):
        raise UsageError("reset", f"{reset!r} is not known", "Use 'subtract' or 'zero'")
    found = READINGS[writer]
    subtract = found.subtract if reset is None else reset == "subtract"
    return replace(found, **given | {"dt": given["dt"] or found.dt}, subtract=subtract, late=found.late and subtract)


@dataclass(frozen=True, slots=True)
class Equations:
    """A neuron node: what a step keeps of potential and current (None: no current), the gain of an input, the pull of the leak
    at every step, and the threshold above v_reset (None: it never fires). Arrays broadcast to the node's shape.

    Potentials are counted from v_reset.
    """

    kind: str
    gain: Floats
    keep: float = 1.0
    keep_current: float | None = None
    pull: Floats | float = 0.0
    threshold: Floats | None = None

    @property
    def limit(self) -> int:
        """Largest integer threshold of the model that it becomes."""
        return _LOIHI if self.keep < 1 or self.keep_current is not None else _LARGEST


def equations(node: Any, where: str, r: Reading) -> Equations:
    """The node's equations for one step of the reading."""
    kind = type(node).__name__
    if kind in ("I", "IF"):
        gain = np.asarray(node.r, np.float64) * r.dt if r.input_gain is None else np.full(np.shape(node.r), r.input_gain)
        return Equations(kind, gain, threshold=_threshold(node, where, r) if kind == "IF" else None)
    tau = np.asarray(node.tau if kind in ("LIF", "LI") else node.tau_mem, np.float64)
    keep = _kept(tau, where, "the membrane", r)
    share = 1 - keep
    jump = np.where(np.isfinite(tau), share * np.asarray(node.r, np.float64), 1.0)  # r = tau / dt where neither is finite
    if kind in ("LIF", "LI"):
        threshold = _threshold(node, where, r) if kind == "LIF" else None
        return Equations(kind, jump, keep, None, share * _leak(node), threshold)
    if kind == "CubaLIF":
        synapse = np.asarray(node.tau_syn, np.float64)
        kept = _kept(synapse, where, "the synapses", r)
        weight = (1 - kept) * np.asarray(node.w_in, np.float64) if r.input_gain is None else r.input_gain
        return Equations(kind, jump * weight, keep, kept, share * _leak(node), _threshold(node, where, r))
    raise ConversionError(where, f"{kind} has no form here", "Use I, IF, LI, LIF or CubaLIF")


def _leak(node: Any) -> Floats:
    return np.asarray(node.v_leak, np.float64) - np.asarray(getattr(node, "v_reset", node.v_leak * 0), np.float64)


def _kept(tau: Floats, where: str, what: str, r: Reading) -> float:
    """What a step keeps, one number for all neurons of the node."""
    if not (tau > 0).all():
        raise ConversionError(where, f"a time constant of {what} is not positive", "Write a positive time constant")
    kept = np.unique(np.round(np.exp(-r.dt / tau) if r.exact else 1 - r.dt / tau, 9))
    if kept.size != 1:
        raise ConversionError(where, f"{what} has {kept.size} different time constants", "Split the node, one for each")
    if not 0 <= kept[0] <= 1:
        fact = f"a step of {r.dt:g} is longer than the time constant {float(tau.min()):g} of {what}"
        raise ConversionError(where, fact, "Pass dt, or the writer whose unit of time it is")
    return float(kept[0])


def _threshold(node: Any, where: str, r: Reading) -> Floats:
    reset = np.zeros(1) if node.v_reset is None else np.asarray(node.v_reset, np.float64)
    if r.subtract and reset.any():
        raise ConversionError(where, "it subtracts, and has a v_reset", "Set v_reset to 0")
    above = np.asarray(node.v_threshold, np.float64) - reset
    if not (above > 0).all():
        raise ConversionError(where, "a threshold is not above v_reset", "Write a threshold above v_reset")
    return above


# The models. Thresholds and biases are integers in weight units; a leaky potential has `_FRACTION` more bits.


def model(e: Equations, threshold: int, bias: NDArray[np.int64], start: int, r: Reading) -> Neuron:
    """The neuron; `bias` is in units of 2^-6 weight units where the neuron leaks, else in weight units. One that has no place
    for a bias gets it by a synapse, see `takes_bias`."""
    if e.keep == 1 and e.keep_current is None:
        if r.subtract:
            return IntegrateAndFire(threshold, "subtract", _shortest(bias), -int(r.strict), start)
        return IntegrateAndFire(threshold + r.strict, "zero", _shortest(bias), 0, start)
    if not r.subtract:
        exponent = max(0, int(np.abs(bias).max(initial=0)).bit_length() - 12)
        current = 4095 if e.keep_current is None else min(4095, max(0, round(4096 * (1 - e.keep_current)) - 1))
        decay = min(4095, round(4096 * (1 - e.keep)))
        return CubaLif(current, decay, threshold, _shortest(np.rint(bias / 2**exponent).astype(np.int64)), exponent, start)
    size = threshold << _FRACTION
    keep = round(e.keep * 2**_KEEP_BITS)
    if e.keep_current is None:
        return UserNeuron(leaky, (("v", 0),), (size + r.strict, size, keep, int(r.late)), start_step=start)
    current = round(e.keep_current * 2**_KEEP_BITS)
    parameters = (size + r.strict, size, keep, int(r.late), current)
    return UserNeuron(leaky_current, (("v", 0), ("i", 0)), parameters, start_step=start)


def leak_gain(e: Equations) -> float:
    """What a leaky potential can add up to, in charges of one step; beyond 4,096 steps of memory it may saturate before."""
    return min(1 / max(1 - e.keep - 2.0 ** -(_KEEP_BITS + 1), 1e-30), _LONGEST)  # what it keeps is rounded


def integrator_bits(e: Equations, most_charge: float) -> int:
    """Bits of a leaky readout's potential below a weight's unit, for charges of a step of at most so many units: as many as 24
    bits leave room for, -1 where they do not hold even the units."""
    fits = [bits for bits in range(_FRACTION + 1) if leak_gain(e) * (most_charge * 2**bits + 1) <= POTENTIAL]
    return fits[-1] if fits else -1


def chip_readout(e: Equations, most_charge: float, rounded: float) -> tuple[int, float] | None:
    """The 12-bit decay of the chip's own leaky neuron for a leaky readout, and how far its potential can then be from its
    equation's, in weight units (see `integrator_error`); None where 24 bits do not hold what charges can add up to."""
    lost = min(4095, round(4096 * (1 - e.keep)))
    if lost == 0:
        return None
    gain = max(4096 / lost, leak_gain(e))
    if gain * most_charge > LARGEST / 2**_FRACTION:
        return None
    drift = abs(e.keep - (1 - lost / 4096)) * gain * most_charge
    return lost, gain * (rounded + 2.0**-_FRACTION + drift)


def integrator_error(e: Equations, bits: int, most_charge: float, rounded: float) -> float:
    """How far a leaky readout's potential can be from its equation, in weight units: `rounded` is the most that rounding of
    weights changes a step's charge by; each step rounds once more, and what a step keeps is rounded too."""
    drift = 2.0 ** -(_KEEP_BITS + 1) * leak_gain(e) * most_charge
    return leak_gain(e) * (rounded + 2.0 ** -(bits + 1) + drift)


def integrator(e: Equations, start: int, bits: int) -> UserNeuron:
    """A leaky integrator that sends the change of its potential, so that a readout behind it holds the potential itself."""
    return UserNeuron(leaky_integrator, (("v", 0),), (round(e.keep * 2**_KEEP_BITS), bits), -2 * POTENTIAL, 2 * POTENTIAL, start)


def takes_bias(e: Equations, r: Reading) -> bool:
    """Whether the model has a bias of its own."""
    return e.kind in ("IF", "LIF", "CubaLIF") and (not r.subtract or (e.keep == 1 and e.keep_current is None))


def bias_unit(e: Equations) -> int:
    """Bias units in a weight's unit."""
    return 1 if e.keep == 1 and e.keep_current is None else 1 << _FRACTION


def _shortest(values: NDArray[np.int64]) -> int | NDArray[np.int64]:
    return int(values.flat[0]) if (values == values.flat[0]).all() else values


def leaky(charge: int, parameters: tuple[int, ...], v: int) -> tuple[int, int]:
    """v = keep v + charge; a spike where v reaches the threshold, whose size is subtracted at once, or after the next decay."""
    over = v >= parameters[0]
    v = ((v * parameters[2] + _HALF) >> _KEEP_BITS) + (charge << _FRACTION)
    if parameters[3] and over:
        v -= parameters[1]
    fired = 1 if v >= parameters[0] else 0
    if fired and not parameters[3]:
        v -= parameters[1]
    return fired, v


def leaky_current(charge: int, parameters: tuple[int, ...], v: int, i: int) -> tuple[int, int, int]:
    """The same driven by a current: i = kept i + charge, v = keep v + i."""
    over = v >= parameters[0]
    i = ((i * parameters[4] + _HALF) >> _KEEP_BITS) + (charge << _FRACTION)
    v = ((v * parameters[2] + _HALF) >> _KEEP_BITS) + i
    if parameters[3] and over:
        v -= parameters[1]
    fired = 1 if v >= parameters[0] else 0
    if fired and not parameters[3]:
        v -= parameters[1]
    return fired, v, i


def leaky_integrator(charge: int, parameters: tuple[int, ...], v: int) -> tuple[int, int]:
    """v = keep v + charge, in 24 bits, where it saturates as the chip's does; sends what v has changed by."""
    new = ((v * parameters[0] + _HALF) >> _KEEP_BITS) + (charge << parameters[1])
    new = min(max(new, -POTENTIAL), POTENTIAL)
    return new - v, new
