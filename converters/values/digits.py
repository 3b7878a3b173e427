"""A network of values as one of signed binary digits (code radix): the same integers, sent one digit a step.

What reads digits doubles what it has gathered at each step, so that the last digits of all that it reads must arrive together:
what is ready early is delayed, or held where synapses cannot delay so long. Dot products and maxima take a whole value a step,
which relays give them. Knows networks of value neurons without frames; knows no layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from converters.values.responding import sends_at
from converters.values.timing import LONGEST_OF_SYNAPSES
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons import Value
from neuro.projections import OneToOne, Projection


@dataclass(frozen=True, slots=True)
class _Sender:
    """What is sent of a population's values: by which one, from which step on, in how many digits, 1 for a whole value."""

    name: str
    at: int
    digits: int = 1

    @property
    def last(self) -> int:
        """The step of its last message."""
        return self.at + self.digits - 1


def to_digits(network: Network) -> Network:
    """The network with the same values as signed binary digits, most significant first; inputs are whole values.

    Equal to the given one bit for bit as long as no port saturates. Raises ConversionError for a network with frames.
    """
    writing = _Writing(network)
    for p in network.populations:
        neuron: Any = p.neuron
        if neuron.is_source:
            if neuron.period is not None:
                raise ConversionError(f"population {p.name!r}", "it has frames", 'Use code="graded" or code="delta"')
            writing.keep(p, (), _Sender(p.name, sends_at(p)))
        elif not neuron.is_readout and neuron.sums:
            writing.in_turns(p)
        else:
            writing.at_once(p)
    return replace(network, populations=tuple(writing.populations), projections=tuple(writing.projections))


class _Writing:
    """Populations and projections written so far, and how each population of the given network is heard."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self._sent: dict[str, _Sender] = {}
        self._whole: dict[str, _Sender] = {}
        self._held: dict[tuple[str, int], _Sender] = {}
        self._taken = {p.name for p in network.populations}

    def keep(self, p: Population, projections: Iterable[Projection], sender: _Sender) -> None:
        """Write a population of the given network."""
        self.populations.append(p)
        self.projections += projections
        self._sent[p.name] = sender

    def in_turns(self, p: Population) -> None:
        """A population that takes a whole value of each source in each step."""
        neuron: Any = p.neuron
        heard = {q.source: self._of_values(q.source) for q in self._network.into(p.name)}
        start = max(one.at for one in heard.values()) + 1
        for source, one in heard.items():
            if 1 < start - one.at > LONGEST_OF_SYNAPSES - neuron.gather + 1:
                heard[source] = self._until(source, start)
        links = []
        for q in self._network.into(p.name):
            turn = q.delay - (neuron.start_step - sends_at(self._network[q.source]))
            links.append(_led(q, heard[q.source].name, start - heard[q.source].at + turn))
        self._write(p, links, start, neuron.gather, neuron.ports)

    def at_once(self, p: Population) -> None:
        """A population that takes all values at once: in the step in which their last digits arrive."""
        neuron: Any = p.neuron
        into = self._network.into(p.name)
        heard = {q.source: self._sent[q.source] for q in into}
        ends = max(one.last for one in heard.values()) + 1
        for source, one in heard.items():
            if ends - one.last > LONGEST_OF_SYNAPSES:
                heard[source] = self._until(source, ends)
        links = [_led(q, heard[q.source].name, ends - heard[q.source].last) for q in into]
        widest = max(one.digits for one in heard.values())
        if neuron.is_readout:
            how = {"gather": widest, "start_step": ends - widest + 1, "doubling": widest > 1}
            self.keep(Population(p.name, p.shape, neuron.changed(**how)), links, _Sender(p.name, ends))
            return
        self._write(p, links, ends - widest + 1, widest, ("digits" if widest > 1 else "fresh",) * len(neuron.ports))

    def _write(self, p: Population, links: list[Projection], start: int, gather: int, ports: tuple[str, ...]) -> None:
        """A population that begins to send with the last step that it gathers in: digits, unless all readers take values."""
        neuron: Any = p.neuron
        how: dict[str, Any] = {"start_step": start, "gather": gather, "ports": ports, "period": None}
        low, high = neuron.value_range
        digits = max(high, -low).bit_length()
        readers: list[Any] = [self._network[q.target].neuron for q in self._network.out_of(p.name)]
        if digits < 2 or all(not reader.is_readout and reader.sums for reader in readers):
            digits = 1
        else:
            how |= {"emit": "digits", "digits": digits}
        self.keep(Population(p.name, p.shape, neuron.changed(**how)), links, _Sender(p.name, start + gather - 1, digits))

    def _of_values(self, name: str) -> _Sender:
        """A population's values as whole messages: its own, or those of a relay."""
        sent = self._sent[name]
        if sent.digits == 1:
            return sent
        if name not in self._whole:
            self._whole[name] = self._copy(name, f"{name}.values", sent, "digits", sent.digits)
        return self._whole[name]

    def _until(self, name: str, step: int) -> _Sender:
        """A population's values as whole messages that arrive at a step, held by a population until then."""
        if (name, step) not in self._held:
            sent = self._of_values(name)
            self._held[name, step] = self._copy(name, f"{name}.held", sent, "held", step - sent.at - 1)
        return self._held[name, step]

    def _copy(self, name: str, copied: str, sent: _Sender, port: str, gather: int) -> _Sender:
        """A population that gathers another's values from the step behind their first message on, and sends them whole."""
        p: Any = self._network[name]
        while copied in self._taken:
            copied += "_"
        self._taken.add(copied)
        low, high = (min(p.neuron.messages[0], 0), max(p.neuron.messages[1], 0))
        bits = max(4, max(high, -low - 1 if low < 0 else 0).bit_length() + (low < 0))
        bound = {"lowest": low, "highest": high, "value_bits": bits, "potential_bits": self._potential_bits}
        neuron = Value((port,), gather=gather, start_step=sent.at + 1, **bound)
        self.populations.append(Population(copied, p.shape, neuron))
        self.projections.append(OneToOne(sent.name, copied, delay=1))
        return _Sender(copied, sent.at + gather)

    @property
    def _potential_bits(self) -> int:
        return max(p.neuron.potential_bits or 0 for p in self._network.populations if not p.neuron.is_source)


def _led(q: Projection, source: str, delay: int) -> Projection:
    """A projection from another population, of the same values, that takes so long."""
    return replace(q, source=source, delay=delay)  # type: ignore[type-var]  # every kind is a dataclass
