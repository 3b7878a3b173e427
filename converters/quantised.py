"""A lossless Network (codes wait, radix, graded) evaluated without stepping: exact integers, in about one forward pass.

The value of a neuron is its spike count (wait), the number that its digits spell (radix) or its payload (graded):
q = clip(floor((sum of weights x values + bias) / threshold), 0, levels). Equal to the emulation in logits and messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.codes import lossless_codes, named
from converters.delivery import fan_out
from converters.samples import plain
from converters.stepping import Part, Signal, charges, respond, sent, source_signal
from converters.values.evaluating import of_values, period_of, responder, values
from converters.values.rows import Heard, Links
from neuro.encoding import by_source, encode
from neuro.engine.records import by_output, count_type, read
from neuro.errors import ConversionError
from neuro.network import Network, Population

Arrays = dict[str, NDArray[Any]]  # by source
Counts = NDArray[np.unsignedinteger[Any]]  # as wide as the window needs
_Parts = tuple[NDArray[np.floating[Any]], dict[str, Counts]]  # logits, and messages of each population
_BATCH_VALUES = 2**23  # values of the largest population that one batch may hold


@dataclass(frozen=True, slots=True)
class Quantised:
    """Logits (samples, classes) as in a `Run`, with frames (samples, frames, classes), messages {population: (samples, neurons)}
    of the emulated network, the synaptic operations of all samples, and the logits as outputs {name: (samples, *shape)}, with
    frames (samples, frames, *shape)."""

    logits: NDArray[np.floating[Any]]
    spikes: dict[str, Counts]
    synops: int
    outputs: dict[str, NDArray[np.floating[Any]]]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The class with the largest logit, per sample."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)


def evaluate(network: Network, inputs: Any) -> Quantised:
    """Evaluate a lossless network on inputs (samples, *shape), with frames (samples, frames, *shape); a mapping of names where it
    has several. Raises ConversionError for one that depends on timing."""
    if of_values(network):
        return _in_batches(network, inputs, _of_frames if period_of(network) else _of_values)
    for p in network.populations:
        n = p.neuron
        if not (n.is_source or n.is_readout or n.takes_maxima or n.values(1)):
            raise ConversionError(
                f"population {p.name!r}",
                f"the counts of {type(n).__name__} depend on timing, so no quantised network equals it",
                f"Run the network, or convert with code={named(lossless_codes())}",
            )
    return _in_batches(network, inputs, _evaluate)


def _in_batches(network: Network, inputs: Any, of: Callable[[Network, Arrays], _Parts]) -> Quantised:
    parts = [of(network, part) for part in _batches(network, inputs)]
    spikes = {p.name: _joined([found[p.name] for _, found in parts]) for p in network.populations}
    logits = _joined([logits for logits, _ in parts])
    return Quantised(logits, spikes, _synops(network, spikes), by_output(network, logits))


def logits_of(network: Network, inputs: Any) -> NDArray[np.floating[Any]]:
    """The logits of `evaluate` alone; nothing more is kept with the network."""
    if not of_values(network) or period_of(network):
        return evaluate(replace(network), inputs).logits
    links: Links = dict(network._plans.get("links", {}))
    return _joined([_read_all(network, responder(network, part, links).heard) for part in _batches(network, inputs)])


def _batches(network: Network, inputs: Any) -> Iterator[Arrays]:
    arrays = by_source(network, plain(inputs))
    batch = max(1, min(256, _BATCH_VALUES // max(p.size for p in network.populations)))
    for i in range(0, len(next(iter(arrays.values()))), batch):
        yield {name: array[i : i + batch] for name, array in arrays.items()}


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _of_values(network: Network, arrays: Arrays) -> _Parts:
    heard, spikes = responder(network, arrays, network._plans.setdefault("links", {})).heard, {}
    for p in network.populations:
        if p.neuron.is_readout:
            spikes[p.name] = _narrow(np.zeros((heard.samples, p.size)))
        elif p.neuron.computes and p.neuron.sends == "digits":
            spikes[p.name] = _narrow(np.bitwise_count(heard.whole(p.name)).reshape(heard.samples, -1))
        else:
            spikes[p.name] = heard.messages(p.name).astype(count_type(1 << 8))
    return _read_all(network, heard), spikes


def _read_all(network: Network, heard: Heard) -> NDArray[np.floating[Any]]:
    return np.concatenate([_read(p, torch.as_tensor(heard.whole(p.name)), 1) for p in network.readouts], axis=-1)


def _of_frames(network: Network, arrays: Arrays) -> _Parts:
    sent_values = values(network, arrays)
    spikes, logits, samples = {}, [], len(next(iter(arrays.values())))
    for p in network.populations:
        sent_value = sent_values[p.name].reshape(samples, -1, p.size)
        if p.neuron.is_readout:
            logits.append(_read(p, torch.as_tensor(sent_value.reshape(-1, p.size)), 1).reshape(sent_value.shape))
            sent_value = np.zeros_like(sent_value)
        digits = p.neuron.computes and p.neuron.sends == "digits"
        spikes[p.name] = _narrow((np.bitwise_count(sent_value) if digits else sent_value != 0).sum(axis=1))
    return np.concatenate(logits, axis=-1), spikes


def _evaluate(network: Network, arrays: Arrays) -> _Parts:
    timesteps = network.timesteps or 1
    signals: dict[str, Signal] = {}
    neurons = {p.name: p.neuron for p in network.populations}
    spikes: dict[str, Counts] = {}
    logits = []
    for p in network.populations:
        if p.neuron.is_source:
            signals[p.name] = source_signal(p, arrays[p.name], timesteps, True)
            spikes[p.name] = _narrow((encode(p, arrays[p.name], timesteps) != 0).sum(axis=1))
            continue
        part = Part(p, network.into(p.name), neurons, signals, timesteps, True)
        signals[p.name] = respond(part, torch.zeros(1) if p.neuron.takes_maxima else charges(part))
        if p.neuron.is_readout:
            logits.append(_read(p, signals[p.name].total, timesteps))
        spikes[p.name] = _messages(p, signals[p.name].total, timesteps)
    return np.concatenate(logits, axis=1), spikes


def _messages(p: Population, value: torch.Tensor, timesteps: int) -> Counts:
    """How many messages carry a value."""
    flat = value.reshape(len(value), -1).numpy()
    if p.neuron.is_readout:
        return _narrow(np.zeros_like(flat))
    counts = sent(p.neuron, flat, timesteps)
    return counts.astype(count_type(1 << 8)) if counts.dtype == np.bool_ else _narrow(counts)


def _narrow(counts: NDArray[Any]) -> Counts:
    return counts.astype(count_type(max(int(counts.max(initial=0)), 1 << 8)))  # 16 bits as a rule


def _synops(network: Network, spikes: dict[str, Counts]) -> int:
    reach = _reach(network)
    return sum(int(spikes[name].sum(axis=0, dtype=np.int64) @ synapses) for name, synapses in reach.items())


def _reach(network: Network) -> dict[str, NDArray[np.int64]]:
    """How many synapses each neuron of a source reaches, kept with the network."""
    if "reach" not in network._plans:
        found: dict[str, Any] = {}
        for p in network.projections:
            reach = fan_out(p, network[p.source].shape, network[p.target].shape).reshape(-1).numpy()
            found[p.source] = found.get(p.source, 0) + reach
        network._plans["reach"] = found
    known: dict[str, NDArray[np.int64]] = network._plans["reach"]
    return known


def _read(p: Population, total: torch.Tensor, timesteps: int) -> NDArray[np.floating[Any]]:
    potentials, bits = total.reshape(len(total), -1).numpy(), p.neuron.potential_bits or 32
    largest = max(int(potentials.max(initial=0)), -int(potentials.min(initial=0)))
    if largest > (1 << (bits - 1)) - 1:
        raise ConversionError(
            f"population {p.name!r}",
            f"a potential of {largest:,} saturates at {bits} bits",
            "Calibrate on inputs as large as these, or run the network",
        )
    return read(p, potentials, timesteps)
