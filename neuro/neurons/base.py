"""What every neuron model is: frozen parameters, valid at birth, the arithmetic of one step, and the facts that others read.

Engines, chips and converters read the facts that a model declares; they do not ask which model it is. Knows nothing of networks.

Every population is switched on in a window of steps, `start_step <= t < start_step + active_steps(timesteps)`; outside it
its neurons neither integrate nor fire, and messages that arrive are dropped. `elapsed` counts steps inside the window.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import field, fields, replace
from inspect import get_annotations
from typing import Any, Literal, Self, cast

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.integers import Array, Int64s, Word, wrap
from neuro.numbers import settle, settle_truths
from neuro.specification import INT32, IntArray, Specification, integer_or_array

Integers = int | IntArray
State = dict[str, Array]  # state variables by name
Step = tuple[State, Array, Array]

START = (0, INT32.max)
POSITIVE = (1, INT32.max)
BITS = (2, 31)  # of a potential; Loihi has 24


class Neuron(Specification):
    """A neuron model: a frozen dataclass of its parameters, with its state `variables` and the arithmetic of one step.

    The arithmetic is `advance`, on arrays, or `step`, for one neuron, which engines compile: a model has at least one of them.
    Everything else is a fact that others read; those below hold for a model that does not say otherwise, as an attribute of the
    class or as a property.
    """

    __slots__ = ()
    is_source: bool = False  # driven from outside
    is_readout: bool = False  # never sends; its potential is what the network answers
    storable: bool = True  # whether its fields can be written to a file
    mantissas: bool = False  # whether threshold and bias are mantissas of the chip's own format, checked by the model
    passes: int = 1  # times that its program runs in a step: each costs an update
    purpose: str = ""  # what a chip without its program cannot do, where the program's name does not say it,
    instead: str = ""  # and what to do where the chip lacks its program

    start_step: int  # the step at which its population is switched on
    threshold: int | None = None
    bias: Integers = 0  # joins the charge; for each neuron, or one for all
    initial_potential: Integers = 0
    period: int | None = None  # steps of a frame, where frames follow each other in its window
    changes: bool = False  # whether what arrives are changes, so that its potential stays from frame to frame
    ports: tuple[str, ...] = ()  # of a model of values: how each of its inputs gathers
    port_count: int = 1  # inputs whose charges it keeps apart; projections say which one they lead to
    per_neuron: tuple[str, ...] = ("bias", "initial_potential")  # parameters that may differ from neuron to neuron
    shared: tuple[str, ...] = ()  # arrays that are not for each neuron, but serve all
    computes: bool = False  # whether it has products or look-ups to count
    refresh: int | None = None  # frames after which changes are sent in full, see `neuro.neurons.refreshing`
    hold_input: bool = False  # whether a current keeps every charge that arrives and adds it again at each step
    potential_bits: int | None = None  # width at which its potential saturates
    step: Callable[..., Any] | None = None  # step(charge, parameters, *variables) -> (message, *variables), on plain integers

    def __init_subclass__(cls, **more: Any) -> None:
        """A parameter that a model declares without a value has none, even where `Neuron` has a fact of its name."""
        super().__init_subclass__(**more)
        for name in get_annotations(cls):
            if name not in cls.__dict__ and hasattr(Neuron, name):
                setattr(cls, name, field())

    @property
    def variables(self) -> dict[str, Integers]:
        """State variables and their initial values, the potential first. A held current, if there is one, comes last."""
        current: dict[str, Integers] = {"current": 0} if self.hold_input else {}
        return {"v": self.initial_potential, **current}

    @property
    def parameters(self) -> tuple[int, ...]:
        """Integers that are handed to `step`."""
        return ()

    @property
    def messages(self) -> tuple[int, int]:
        """Smallest and largest payload of a message: (0, 1) for plain spikes."""
        return (0, 1)

    @property
    def adds_up_to(self) -> tuple[int, int] | None:
        """The range of what its messages so far add up to, where they are changes of a value; None where they are not."""
        return None

    @property
    def sends(self) -> Literal["counts", "digits", "payload"]:
        """How messages carry a value: by their number, as binary digits, most significant first, or in one payload."""
        return "counts"

    @property
    def on_chip(self) -> bool:
        """Whether its neurons live on the chip; otherwise messages enter from the host."""
        return True

    @property
    def open_range(self) -> bool:
        """Whether what it may send is left to the inputs, which are checked when they come."""
        return False

    @property
    def program(self) -> str:
        """The program that a chip needs for it, one of `neuro.chip.spec.PROGRAMS`."""
        return "user"

    @property
    def subtracts(self) -> bool:
        """Whether it subtracts its threshold when it fires."""
        return False

    @property
    def phased(self) -> bool:
        """Whether it works in phases of fixed length, which a stream does not have."""
        return False

    @property
    def memoryless(self) -> bool:
        """Whether its message depends on the charge of the same step alone."""
        return False

    @property
    def takes_maxima(self) -> bool:
        """Whether what it sends in a window is the largest of its inputs rather than a function of their sum."""
        return False

    @property
    def state_words(self) -> int:
        """Integers that a chip keeps for one neuron: state variables, and a bias where there is one."""
        return len(self.variables) + bool(np.any(self.bias))

    @property
    def potential(self) -> str:
        """The variable that is its membrane potential: a neuron is restless where it is not zero, or where charge arrives."""
        return next(iter(self.variables))

    @property
    def plain(self) -> bool:
        """Whether its step has no more to it than the model's name says, so that other simulators have it."""
        return True

    @property
    def on_tensors(self) -> bool:
        """Whether `advance` computes with torch as with numpy."""
        return type(self).advance is not Neuron.advance

    @property
    def kernel_integers(self) -> tuple[Integers | None, ...]:
        """What its kernel reads for each neuron, the bias first."""
        return (self.bias,)

    @property
    def sends_changes(self) -> bool:
        """Whether messages are changes of a value, which receivers add up."""
        return False

    def takes_changes(self, port: int) -> bool:
        """Whether what arrives at a port is added up over frames."""
        return False

    @property
    def table_bits(self) -> int:
        """Bits of tables that every core with such neurons keeps once."""
        return 0

    def products(self, elapsed: int) -> int:
        """Products of two inputs that a neuron computes in a step of its window."""
        return 0

    def lookups(self, elapsed: int) -> int:
        """Entries of a table that a neuron reads in a step of its window."""
        return 0

    def active_steps(self, timesteps: int) -> int:
        """Length of the window in which the population is switched on."""
        return timesteps

    def most_messages(self, timesteps: int) -> int:
        """The most messages that a neuron sends in its window."""
        return self.active_steps(timesteps)

    def integrated_steps(self, timesteps: int) -> int:
        """Steps of the window in which it integrates what arrives."""
        return self.active_steps(timesteps)

    def counted_bias(self, timesteps: int) -> int:
        """How often the bias joins the charge of a whole window."""
        return self.integrated_steps(timesteps)

    def values(self, timesteps: int) -> tuple[int, int] | None:
        """The range of the value that it sends in a window, where that is the whole charge, bias and initial potential included,
        divided by the threshold and rounded down; None where it depends on when the charge arrives."""
        return None

    def largest_value(self, timesteps: int) -> int:
        """The largest absolute value that its messages of a window can carry."""
        return timesteps

    def initial_state(self, shape: tuple[int, ...]) -> dict[str, Int64s]:
        """The state of a population of this shape before its first step."""
        return {name: np.broadcast_to(np.asarray(v, np.int64), shape).copy() for name, v in self.variables.items()}

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        """One step of a population: state and charge in, the new state, the messages, and the drive: what joins the potential.

        This is the definition of the model; engines must equal it bit for bit. Integers in 64 bits, of any shape; nothing is
        changed in place. `elapsed` counts steps of the window. xp: the namespace that computes, numpy or torch. Of a model with
        two ports the charge is a pair, one of each.

        Of a model that defines only `step`, neuron by neuron in plain Python, in words of 64 bits; state wraps to 32.
        """
        where, drive = type(self).__name__, charge + self.bias
        new = {name: values.copy() for name, values in state.items()}
        message, parameters = np.zeros_like(charge), [np.broadcast_to(p, charge.shape) for p in self.parameters]
        (lowest, highest), step = self.messages, cast(Callable[..., Any], self.step)
        for i in np.ndindex(charge.shape):
            given = tuple(Word(int(p[i])) for p in parameters)
            result = step(Word(int(drive[i])), given, *(Word(int(values[i])) for values in state.values()))
            if type(result) is not tuple or len(result) != 1 + len(new) or any(type(r) not in (int, bool, Word) for r in result):
                remedy = f"Return integers (message, {', '.join(new)}), without division"
                raise NetworkError(where, f"its step returned {result!r}", remedy)
            if not lowest <= result[0] <= highest:
                remedy = f"Stay within {lowest}..{highest}, or widen the bounds"
                raise NetworkError(where, f"its step sent the message {result[0]}", remedy)
            message[i] = result[0]
            for values, value in zip(new.values(), result[1:], strict=True):
                values[i] = wrap(value, 32)
        return new, message, drive

    def driven(self, state: State, charge: Array) -> tuple[State, Array]:
        """The held current, if the neuron has one, and what drives the potential in this step."""
        if not self.hold_input:
            return {}, charge + self.bias
        current = state["current"] + charge
        return {"current": current}, current + self.bias

    def changed(self, **fields: Any) -> Self:
        """The same with other parameters, which are checked as at its birth."""
        return replace(self, **fields)  # type: ignore[type-var]  # every model is a dataclass

    def with_arrays(self, **arrays: Array) -> Self:
        """The same with arrays of an engine's own in the place of parameters; nothing is checked."""
        made = copy(self)
        for name, array in arrays.items():
            object.__setattr__(made, name, array)
        return made


_COMMON = {  # fields that several models have, and their ranges
    "threshold": POSITIVE,
    "gather": POSITIVE,
    "digits": POSITIVE,
    "levels": POSITIVE,
    "minimum": (-INT32.max, INT32.max),
    "maximum": (-INT32.max, INT32.max),
    "potential_bits": BITS,
    "start_step": START,
}


def check_fields(neuron: Any, *optional: str) -> None:
    """Settle the fields that several models have, or raise NetworkError. optional: those that may be None."""
    where, given = type(neuron).__name__, {f.name: getattr(neuron, f.name) for f in fields(neuron)}
    checked = [name for name in given if name in _COMMON and not (name in optional and given[name] is None)]
    settle(neuron, NetworkError, where, **{name: _COMMON[name] for name in _COMMON if name in checked})
    for name in ("bias", "initial_potential"):
        if name in given:
            object.__setattr__(neuron, name, integer_or_array(where, name, given[name]))
    if "hold_input" in given:
        settle_truths(neuron, NetworkError, "hold_input")
