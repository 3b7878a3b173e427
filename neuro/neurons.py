"""Neuron models as frozen parameters, valid at birth. What they compute: `neuro.dynamics`. Knows nothing of networks.

Every population is switched on in a window of steps, `start_step <= t < start_step + active_steps(timesteps)`; outside it
its neurons neither integrate nor fire, and messages that arrive are dropped. `elapsed` counts steps inside the window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.numbers import real, settle, settle_truths, whole
from neuro.specification import INT32, IntArray, Specification, frozen_array, integer_or_array

Integers = int | IntArray

_START = (0, INT32.max)
_POSITIVE = (1, INT32.max)
_BITS = (2, 31)  # of a potential; Loihi has 24
_RESETS = {"subtract": "subtract", "soft": "subtract", "zero": "zero", "hard": "zero"}


class Neuron(Specification):
    """What every neuron model has: `start_step`, the step at which its population is switched on."""

    __slots__ = ()
    start_step: int

    @property
    def messages(self) -> tuple[int, int]:
        """Smallest and largest payload of a message: (0, 1) for plain spikes."""
        return (0, 1)

    def active_steps(self, timesteps: int) -> int:
        """Length of the window in which the population is switched on."""
        return timesteps


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Source(Neuron):
    """Input neurons. Inputs of shape (samples, steps, *shape) are sent as they are; inputs (samples, *shape) by `code`.

    - "held": the integer is sent at every step (the free "analog" input of simulators when it has more than one value);
    - "once": one message at the first step, for a first population with `hold_input`;
    - "rate": chip neurons with the value as bias current that fire up to once a step: `levels` fires at every step;
    - "signed": the same, negative values send negative spikes;
    - "radix": the value's binary digits, most significant first, one a step, `digits` of them.

    `scale` turns real inputs into integers, clip(round(x / scale), -levels or 0, levels); without it inputs must be integers.
    `twin` splits real values into a positive and a negative half along the first axis: shape (2C, ...) from inputs (C, ...).
    """

    code: Literal["held", "once", "rate", "signed", "radix"] = "held"
    scale: float | None = None
    levels: int = INT32.max
    twin: bool = False
    digits: int = 0
    start_step: int = 0

    def __post_init__(self) -> None:
        if self.code not in ("held", "once", "rate", "signed", "radix"):
            raise NetworkError("Source", f"code {self.code!r} is not known", "Use held, once, rate, signed or radix")
        digits = (1, 16) if self.code == "radix" else (0, INT32.max)
        settle(self, NetworkError, levels=_POSITIVE, digits=digits, start_step=_START)
        settle_truths(self, NetworkError, "twin")
        if self.scale is not None:
            object.__setattr__(self, "scale", real("Source", "scale", self.scale, above=0, error=NetworkError))

    @property
    def on_chip(self) -> bool:
        """Whether the source's neurons live on the chip; otherwise messages enter from the host."""
        return self.code in ("rate", "signed", "radix")

    @property
    def messages(self) -> tuple[int, int]:
        if self.code in ("rate", "radix"):
            return (0, 1)
        return (-1, 1) if self.code == "signed" else (0 if self.twin else -self.levels, self.levels)

    def active_steps(self, timesteps: int) -> int:
        return self.digits if self.code == "radix" else timesteps


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IntegrateAndFire(Neuron):
    """Integrate and fire: v += charge + bias; a spike where v >= threshold; then v -= threshold, or v = 0 for reset "zero".

    `hold_input`: a non-decaying current keeps every charge that arrives and adds it again at each step.
    `bias` and `initial_potential` are integers or arrays that broadcast to the population's shape.
    """

    threshold: int
    reset: str = "subtract"
    bias: Integers = 0
    initial_potential: Integers = 0
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24

    def __post_init__(self) -> None:
        if not isinstance(self.reset, str) or self.reset not in _RESETS:
            raise NetworkError("IntegrateAndFire", f"reset {self.reset!r} is not known", "Use 'subtract' or 'zero'")
        object.__setattr__(self, "reset", _RESETS[self.reset])
        _check_common(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignedIntegrateAndFire(Neuron):
    """Integrate and fire with correcting spikes: +1 where v >= threshold, -1 where v < 0 and the count is above `minimum`.

    `count` is the sum of the spikes sent so far; it stays within [minimum, maximum] (None: unbounded).
    It is silent in the first `gather` - 1 steps and stays on as much longer: looking ahead, it has less to correct.
    Source: "IF with negative spikes", ST-BIF. Differs from it in: `gather`.
    """

    threshold: int
    bias: Integers = 0
    initial_potential: Integers = 0
    minimum: int | None = 0
    maximum: int | None = None
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24
    gather: int = 1

    def __post_init__(self) -> None:
        _check_common(self)

    @property
    def messages(self) -> tuple[int, int]:
        return (-1, 1)

    def active_steps(self, timesteps: int) -> int:
        return self.gather + timesteps - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WaitIntegrateAndFire(Neuron):
    """Integrate `gather` steps in silence, then fire once a step while v >= threshold: exactly the quantised activation."""

    threshold: int
    gather: int
    bias: Integers = 0
    initial_potential: Integers = 0
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24

    def __post_init__(self) -> None:
        _check_common(self)

    def active_steps(self, timesteps: int) -> int:
        return self.gather + timesteps - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RadixIntegrateAndFire(Neuron):
    """Binary digits, most significant first: v = 2 v + charge for `gather` steps, then + bias once, then `digits` steps in
    which a spike is worth threshold * 2^(digits - 1), ..., threshold."""

    threshold: int
    digits: int
    gather: int
    bias: Integers = 0
    start_step: int = 0
    potential_bits: int = 24

    def __post_init__(self) -> None:
        _check_common(self)
        if not 1 <= self.digits <= 16 or self.threshold << (self.digits - 1) > INT32.max:
            raise NetworkError(
                "RadixIntegrateAndFire",
                f"{self.digits} digits of threshold {self.threshold} do not fit 32 bits",
                "Use fewer digits or a smaller threshold",
            )

    def active_steps(self, timesteps: int) -> int:
        return self.gather + self.digits - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graded(Neuron):
    """One payload message a step: clip(floor((charge + bias) / threshold), minimum, levels), sent where it is not zero.

    It keeps no potential between steps. On a chip the division is a multiplication and a shift in the neuron program.
    """

    threshold: int
    levels: int = 255
    minimum: int = 0
    bias: Integers = 0
    start_step: int = 0
    hold_input: bool = False

    def __post_init__(self) -> None:
        _check_common(self)
        if not -INT32.max <= self.minimum <= 0 < self.levels <= INT32.max:
            raise NetworkError("Graded", f"payloads {self.minimum}..{self.levels}", "Use minimum <= 0 < levels, within 32 bits")

    @property
    def messages(self) -> tuple[int, int]:
        return (self.minimum, self.levels)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaxPool(Neuron):
    """The largest of `taps` inputs, exactly. Weights 1, base, base^2, ... on the taps (base 2, or 3 for signed messages) let
    one sum say who sent what; each tap's lag behind the leader is its state.

    "counts": sends max(C[t]) - max(C[t-1]), where C is the sum of a tap's messages so far: -1, 0 or 1;
    "digits": of binary digits, most significant first: sends the digits of the largest number;
    "turns": payloads arrive one tap a step, with weight 1: sends the largest once, in the step of the last tap.
    """

    taps: int
    code: Literal["counts", "digits", "turns"] = "counts"
    signed: bool = False
    levels: int = 255
    start_step: int = 0

    def __post_init__(self) -> None:
        if self.code not in ("counts", "digits", "turns"):
            raise NetworkError("MaxPool", f"code {self.code!r} is not known", "Use counts, digits or turns")
        settle(self, NetworkError, taps=_POSITIVE, levels=_POSITIVE, start_step=_START)
        settle_truths(self, NetworkError, "signed")
        if self.code != "turns" and (self.taps > 31 or self.base**self.taps > INT32.max):
            raise NetworkError("MaxPool", f"{self.taps} taps do not fit 32 bits", "Pool rows first, then columns")
        if self.signed and self.code != "counts":
            raise NetworkError("MaxPool", f"{self.code} cannot be signed", "Use code='counts'")

    @property
    def base(self) -> int:
        """Ratio between the weights of neighbouring taps."""
        return 3 if self.signed else 2

    @property
    def messages(self) -> tuple[int, int]:
        return (0, self.levels) if self.code == "turns" else (-1 if self.signed else 0, 1)

    def active_steps(self, timesteps: int) -> int:
        return self.taps + timesteps - 1 if self.code == "turns" else timesteps


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CubaLif(Neuron):
    """Loihi's current-based leaky neuron, bit-exact: 12-bit decays that round toward zero, strict threshold, reset to zero.

    u = dec(u, current_decay + 1) + (charge << 6), wrapped to 24 bits; v = dec(v, voltage_decay) + u + (bias << bias_exponent),
    clipped to +-(2^23 - 1); a spike where v > (threshold << 6), then v = 0; dec(x, d) = sign(x) * ((|x| * (4096 - d)) >> 12).
    Differs from Lava in: u wraps in two's complement, so +2^23 becomes -2^23 where Lava keeps it.
    """

    current_decay: int
    voltage_decay: int
    threshold: int
    bias: Integers = 0
    bias_exponent: int = 0
    start_step: int = 0

    def __post_init__(self) -> None:
        decay, mantissa = (0, 4095), (0, 131071)  # 12 and 17 bits
        settle(self, NetworkError, current_decay=decay, voltage_decay=decay, threshold=mantissa, bias_exponent=(0, 7))
        settle(self, NetworkError, start_step=_START)
        object.__setattr__(self, "bias", integer_or_array("CubaLif", "bias", self.bias))
        if np.size(self.bias) and np.max(np.abs(np.asarray(self.bias, np.int64))) > 4096:
            raise NetworkError("CubaLif", "bias exceeds its 13-bit signed mantissa", "Use bias_exponent, or a smaller bias")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserNeuron(Neuron):
    """A neuron of the user's own: `step(charge, parameters, *state) -> (message, *state)` on plain integers.

    `state` names each state variable and its initial value; `parameters` is a tuple of integers handed to `step`.
    The engine compiles the function; one that returns other than integers, or allocates, is refused. Its arithmetic has 64 bits
    and wraps, a division by zero gives 0, shifts go by the lowest six bits of the distance; state is kept in 32 bits, which wrap.
    `lowest` and `highest` bound the messages it may send.
    """

    step: Callable[..., Any]
    state: tuple[tuple[str, int], ...] = (("v", 0),)
    parameters: tuple[int, ...] = ()
    lowest: int = 0
    highest: int = 1
    start_step: int = 0

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise NetworkError("UserNeuron", "step is not a function", "Pass step(charge, parameters, *state)")
        settle(self, NetworkError, lowest=(-INT32.max, 0), highest=(0, INT32.max), start_step=_START)
        state, parameters = _pairs(self.state), _listed("parameters", self.parameters)
        if not state or len({name for name, _ in state}) != len(state):
            raise NetworkError("UserNeuron", "state variables are missing or named twice", "Name at least one, each once")
        numbers = [whole("UserNeuron", name, value, INT32.min, INT32.max, error=NetworkError) for name, value in state]
        object.__setattr__(self, "state", tuple((name, number) for (name, _), number in zip(state, numbers, strict=True)))
        given = tuple(whole("UserNeuron", "parameter", value, -(2**63), 2**63 - 1, error=NetworkError) for value in parameters)
        object.__setattr__(self, "parameters", given)

    @property
    def messages(self) -> tuple[int, int]:
        return (self.lowest, self.highest)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Readout(Neuron):
    """Accumulates and never fires; the host reads v as logit = offset + scale * v (a mean over steps when `average`).

    `doubling`: v = 2 v + charge, for sources that send binary digits; `gather` then is their number.
    """

    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    average: bool = False
    doubling: bool = False
    gather: int | None = None
    start_step: int = 0
    potential_bits: int = 24

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, _real_or_array(name, getattr(self, name)))
        settle(self, NetworkError, potential_bits=_BITS, start_step=_START)
        settle_truths(self, NetworkError, "average", "doubling")
        if self.gather is not None:
            settle(self, NetworkError, gather=_POSITIVE)

    @property
    def messages(self) -> tuple[int, int]:
        return (0, 0)

    def active_steps(self, timesteps: int) -> int:
        return timesteps if self.gather is None else self.gather


def _real_or_array(name: str, value: Any) -> float | NDArray[np.float64]:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise NetworkError("Readout", f"{name} is {array.dtype}, not numbers", "Pass a number, or one for each neuron")
    if not np.isfinite(array).all():
        raise NetworkError("Readout", f"{name} is not finite", "Compute it from finite weights")
    return float(array) if array.ndim == 0 else frozen_array(array, np.float64)


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple | list):
        raise NetworkError("UserNeuron", f"{name} = {values!r} is not a tuple", f"Write {name}=(...,)")
    return tuple(values)


def _pairs(state: Any) -> tuple[tuple[str, Any], ...]:
    listed = _listed("state", state)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in listed):
        raise NetworkError("UserNeuron", f"state = {state!r} is not pairs of a name and a value", 'Write state=(("v", 0),)')
    return tuple((name, value) for name, value in listed)


_COMMON = {  # fields that several models have, and their ranges
    "threshold": _POSITIVE,
    "gather": _POSITIVE,
    "digits": _POSITIVE,
    "levels": _POSITIVE,
    "minimum": (-INT32.max, INT32.max),
    "maximum": (-INT32.max, INT32.max),
    "potential_bits": _BITS,
    "start_step": _START,
}


def _check_common(neuron: Any) -> None:
    where = type(neuron).__name__
    present = {name: span for name, span in _COMMON.items() if hasattr(neuron, name)}
    unbounded = {name for name in ("minimum", "maximum") if getattr(neuron, name, 0) is None and where != "Graded"}
    settle(neuron, NetworkError, where, **{name: span for name, span in present.items() if name not in unbounded})
    for name in ("bias", "initial_potential"):
        if hasattr(neuron, name):
            object.__setattr__(neuron, name, integer_or_array(where, name, getattr(neuron, name)))
    if hasattr(neuron, "hold_input"):
        settle_truths(neuron, NetworkError, "hold_input")
