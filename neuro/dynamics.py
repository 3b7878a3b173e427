"""The arithmetic of every neuron model as pure integer step functions: state and charge in, state and messages out.

This file is the definition; the engines must equal it bit for bit. It knows nothing of networks or time storage.
Sources: Rueckauer et al. 2017, eq. 4 (reset by subtraction); Loihi's rule as published in the nengo-loihi emulator,
Lava `fixed_pt` and brian2-loihi (all three equal element by element).

Each function takes the neuron, its state (int64 arrays of any shape), the charge of this step and the number of steps
elapsed in the population's window; it changes nothing in place and returns the new state, the messages, and the drive:
what was added to the potential in this step. Potentials saturate at +-(2^(potential_bits-1) - 1), as Loihi's do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.neurons import (
    CubaLif,
    Graded,
    IntegrateAndFire,
    MaxPool,
    Neuron,
    RadixIntegrateAndFire,
    Readout,
    SignedIntegrateAndFire,
    UserNeuron,
    WaitIntegrateAndFire,
)

Int64s = NDArray[np.int64]
State = dict[str, Int64s]

Step = tuple[State, Int64s, Int64s]


def wrap24(x: Int64s) -> Int64s:
    """Two's complement in 24 bits."""
    return ((x + (1 << 23)) & 0xFFFFFF) - (1 << 23)


def saturate(x: Int64s, bits: int) -> Int64s:
    """Clip to +-(2^(bits-1) - 1)."""
    limit = (1 << (bits - 1)) - 1
    clipped: Int64s = np.clip(x, -limit, limit)
    return clipped


def decay(x: Int64s, factor: int) -> Int64s:
    """sign(x) * ((|x| * (4096 - factor)) >> 12): rounds toward zero."""
    decayed: Int64s = np.sign(x) * ((np.abs(x) * (4096 - factor)) >> 12)
    return decayed


def integrate_and_fire(n: IntegrateAndFire, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `IntegrateAndFire`."""
    current, drive = _driven(n, state, charge)
    v = saturate(state["v"] + drive, n.potential_bits)
    fired = v >= n.threshold
    v = np.where(fired, v - n.threshold if n.reset == "subtract" else 0, v)
    return {**current, "v": v}, fired.astype(np.int64), drive


def signed_integrate_and_fire(n: SignedIntegrateAndFire, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `SignedIntegrateAndFire`."""
    current, drive = _driven(n, state, charge)
    v, count = saturate(state["v"] + drive, n.potential_bits), state["count"]
    up = (v >= n.threshold) & (True if n.maximum is None else count < n.maximum)
    down = (v < 0) & (True if n.minimum is None else count > n.minimum)
    message = (up.astype(np.int64) - down) * (elapsed >= n.gather - 1)
    return {**current, "v": v - n.threshold * message, "count": count + message}, message, drive


def wait_integrate_and_fire(n: WaitIntegrateAndFire, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `WaitIntegrateAndFire`."""
    current, drive = _driven(n, state, charge)
    if elapsed >= n.gather:
        current, drive = {}, np.zeros_like(charge)
    v = saturate(state["v"] + drive, n.potential_bits)
    fired = (v >= n.threshold) & (elapsed >= n.gather - 1)
    return {**state, **current, "v": v - n.threshold * fired}, fired.astype(np.int64), drive


def radix_integrate_and_fire(n: RadixIntegrateAndFire, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `RadixIntegrateAndFire`."""
    v, drive = state["v"], np.zeros_like(charge)
    if elapsed < n.gather:
        drive = charge + (np.asarray(n.bias, np.int64) if elapsed == n.gather - 1 else 0)
        v = saturate(2 * v + drive, n.potential_bits)
    if elapsed < n.gather - 1:
        return {"v": v}, np.zeros_like(v), drive
    worth = n.threshold << (n.digits - 1 - (elapsed - n.gather + 1))
    fired = v >= worth
    return {"v": v - worth * fired}, fired.astype(np.int64), drive


def graded(n: Graded, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `Graded`."""
    current, drive = _driven(n, state, charge)
    return {**state, **current}, np.clip(drive // n.threshold, n.minimum, n.levels), drive


def max_pool(n: MaxPool, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `MaxPool`."""
    if n.code == "turns":
        largest, turn = np.maximum(state["v"], charge), state["turn"] + 1
        return {"v": largest, "turn": turn}, np.minimum(largest, n.levels) * (turn == n.taps), charge
    shifted = charge + (n.base**n.taps // 2 if n.signed else 0)  # signed digits -1, 0, 1 as 0, 1, 2
    names = [f"behind{i}" for i in range(n.taps)]
    digits = [shifted // n.base**i % n.base - n.signed for i in range(n.taps)]
    doubling = 2 if n.code == "digits" else 1
    behind = [doubling * state[name] - digit for name, digit in zip(names, digits, strict=True)]
    message: Int64s = -np.min(behind, axis=0)
    lags = [lag + message for lag in behind]
    if n.code == "digits":
        lags = [np.minimum(lag, 1) for lag in lags]
    return dict(zip(names, lags, strict=True)), message, charge


def cuba_lif(n: CubaLif, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `CubaLif`."""
    u = wrap24(decay(state["u"], n.current_decay + 1) + (charge << 6))
    drive = u + (np.asarray(n.bias, np.int64) << n.bias_exponent)
    v = saturate(decay(state["v"], n.voltage_decay) + drive, 24)
    fired = v > (n.threshold << 6)
    return {"u": u, "v": np.where(fired, 0, v)}, fired.astype(np.int64), drive


def user_neuron(n: UserNeuron, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `UserNeuron`, neuron by neuron in plain Python, in words of 64 bits; state wraps to 32."""
    new = {name: values.copy() for name, values in state.items()}
    message, parameters = np.zeros_like(charge), tuple(map(Word, n.parameters))
    for i in np.ndindex(charge.shape):
        result = n.step(Word(int(charge[i])), parameters, *(Word(int(values[i])) for values in state.values()))
        if type(result) is not tuple or len(result) != 1 + len(new) or any(type(r) not in (int, bool, Word) for r in result):
            raise NetworkError(
                "UserNeuron", f"its step returned {result!r}", f"Return integers (message, {', '.join(new)}), without division"
            )
        if not n.lowest <= result[0] <= n.highest:
            raise NetworkError(
                "UserNeuron",
                f"its step sent the message {result[0]}",
                f"Stay within {n.lowest}..{n.highest}, or widen the bounds",
            )
        message[i] = result[0]
        for values, value in zip(new.values(), result[1:], strict=True):
            values[i] = _wrap(value, 32)
    return new, message, charge


def readout(n: Readout, state: State, charge: Int64s, elapsed: int) -> Step:
    """One step of `Readout`."""
    v = (2 * state["v"] if n.doubling else state["v"]) + charge
    return {"v": saturate(v, n.potential_bits)}, np.zeros_like(v), charge


def _wrap(value: int, bits: int) -> int:
    return (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _operation(compute: Callable[..., int]) -> Any:
    """A method of `Word` for its own operator and the reflected one; of other numbers, that of those."""

    def method(self: Word, *others: Any) -> Any:
        if not all(isinstance(other, int) for other in others):
            return NotImplemented
        return Word(compute(int(self), *map(int, others)))

    return method


class Word(int):
    """An integer of 64 bits in two's complement, as compiled code computes: sums and products wrap, a division by zero gives 0,
    and shifts go by the lowest six bits of the distance."""

    def __new__(cls, value: int) -> Word:
        return super().__new__(cls, _wrap(value, 64))


def _divided(a: int, b: int) -> int:
    return a // b if b else 0


def _rest(a: int, b: int) -> int:
    return a % b if b else 0


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": _divided,
    "mod": _rest,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "lshift": lambda a, n: a << (n & 63),
    "rshift": lambda a, n: a >> (n & 63),
}
for _name, _compute in _OPERATIONS.items():
    setattr(Word, f"__{_name}__", _operation(_compute))
    setattr(Word, f"__r{_name}__", _operation(lambda a, b, compute=_compute: compute(b, a)))
_ALONE: dict[str, Callable[[int], int]] = {"neg": operator.neg, "abs": abs, "invert": operator.invert}
for _name, _alone in _ALONE.items():
    setattr(Word, f"__{_name}__", _operation(_alone))


def _driven(n: Any, state: State, charge: Int64s) -> tuple[State, Int64s]:
    """The held current, if the neuron has one, and what drives the potential in this step."""
    if not n.hold_input:
        return {}, charge + np.asarray(n.bias, np.int64)
    current = state["current"] + charge
    return {"current": current}, current + np.asarray(n.bias, np.int64)


StepFunction = Callable[[Any, State, Int64s, int], Step]

STEP: dict[type[Neuron], StepFunction] = {
    IntegrateAndFire: integrate_and_fire,
    SignedIntegrateAndFire: signed_integrate_and_fire,
    WaitIntegrateAndFire: wait_integrate_and_fire,
    RadixIntegrateAndFire: radix_integrate_and_fire,
    Graded: graded,
    MaxPool: max_pool,
    CubaLif: cuba_lif,
    UserNeuron: user_neuron,
    Readout: readout,
}


def potential(neuron: Neuron, state: State) -> Int64s:
    """The membrane potential in a state: `v`, or the first variable of a UserNeuron or MaxPool."""
    return next(iter(state.values())) if isinstance(neuron, UserNeuron | MaxPool) else state["v"]


def initial_state(neuron: Neuron, shape: tuple[int, ...]) -> State:
    """The state of a population of this shape before its first step."""
    names: dict[str, Any]
    if isinstance(neuron, UserNeuron):
        names = dict(neuron.state)
    elif isinstance(neuron, CubaLif):
        names = {"u": 0, "v": 0}
    elif isinstance(neuron, MaxPool):
        names = {"v": 0, "turn": 0} if neuron.code == "turns" else {f"behind{i}": 0 for i in range(neuron.taps)}
    else:
        names = {"v": getattr(neuron, "initial_potential", 0)}
        if isinstance(neuron, SignedIntegrateAndFire):
            names["count"] = 0
        if getattr(neuron, "hold_input", False):
            names["current"] = 0
    return {name: np.broadcast_to(np.asarray(value, np.int64), shape).copy() for name, value in names.items()}
