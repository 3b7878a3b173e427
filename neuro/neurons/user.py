"""A neuron of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neuro.errors import NetworkError
from neuro.neurons.base import START, Integers, Neuron
from neuro.numbers import settle, whole
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserNeuron(Neuron):
    """A neuron of the user's own: `step(charge, parameters, *state) -> (message, *state)` on plain integers.

    `state` names each state variable and its initial value; `parameters` is a tuple of integers handed to `step`.
    The engine compiles the function; one that returns other than integers, or allocates, is refused. Its arithmetic has 64 bits
    and wraps, a division by zero gives 0, shifts go by the lowest six bits of the distance; state is kept in 32 bits, which wrap.
    `lowest` and `highest` bound the messages it may send.
    """

    storable = False  # code is not written to files
    instead = "Use a chip with programmable neurons, such as loihi2"
    step: Callable[..., Any]
    state: tuple[tuple[str, int], ...] = (("v", 0),)
    parameters: tuple[int, ...] = ()
    lowest: int = 0
    highest: int = 1
    start_step: int = 0

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise NetworkError("UserNeuron", "step is not a function", "Pass step(charge, parameters, *state)")
        settle(self, NetworkError, lowest=(-INT32.max, 0), highest=(0, INT32.max), start_step=START)
        state, parameters = _pairs(self.state), _listed("parameters", self.parameters)
        if not state or len({name for name, _ in state}) != len(state):
            raise NetworkError("UserNeuron", "state variables are missing or named twice", "Name at least one, each once")
        numbers = [whole("UserNeuron", name, value, INT32.min, INT32.max, error=NetworkError) for name, value in state]
        object.__setattr__(self, "state", tuple((name, number) for (name, _), number in zip(state, numbers, strict=True)))
        given = tuple(whole("UserNeuron", "parameter", value, -(2**63), 2**63 - 1, error=NetworkError) for value in parameters)
        object.__setattr__(self, "parameters", given)

    @property
    def variables(self) -> dict[str, Integers]:
        return dict(self.state)

    @property
    def messages(self) -> tuple[int, int]:
        return (self.lowest, self.highest)


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple | list):
        raise NetworkError("UserNeuron", f"{name} = {values!r} is not a tuple", f"Write {name}=(...,)")
    return tuple(values)


def _pairs(state: Any) -> tuple[tuple[str, Any], ...]:
    listed = _listed("state", state)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in listed):
        raise NetworkError("UserNeuron", f"state = {state!r} is not pairs of a name and a value", 'Write state=(("v", 0),)')
    return tuple((name, value) for name, value in listed)
