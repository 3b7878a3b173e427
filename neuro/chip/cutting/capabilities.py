"""Whether a chip's neurons can do what a network's neurons do; each refusal names what to convert differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.limits import LEARNED_BITS, exponents, formats
from neuro.chip.spec import Chip
from neuro.codes import CODES
from neuro.encoding import source_of
from neuro.errors import FitError
from neuro.network import Network, Population
from neuro.neurons import Neuron
from neuro.projections import Projection

_SPIKES = 'Convert with input="spikes"; a Source written by hand takes levels=1 where its inputs are spikes'


def conversion_for(chip: Chip, code: str) -> dict[str, Any]:
    """Options of a conversion in this code that the chip asks for: how samples enter, and the width of potentials.

    A value enters as one graded message of 8 bits that its population holds where the chip can do that, else as spikes.
    Potentials have 24 bits, or those of the chip where they are fewer.
    """
    able = chip.neuron
    graded = able.hold_input and able.signed_payload and able.payload_bits >= 8
    payload = code in CODES and CODES[code].payload_bits > 0
    return {"input": "auto" if graded or payload else "spikes", "potential_bits": min(24, able.potential_bits)}


def able_codes(chip: Chip) -> tuple[str, ...]:
    """The codes of a conversion for which the chip's neurons have a program, and its messages the bits."""
    able = chip.neuron
    return tuple(
        name
        for name, code in CODES.items()
        if code.program in able.programs and (able.signed_payload or not code.signed) and able.payload_bits >= code.payload_bits
    )


def check_neurons(network: Network, chip: Chip) -> None:
    """Raise FitError for the first population whose neurons the chip cannot be; values that no code of the chip can carry come
    before all that another conversion could change."""
    for population in sorted(network.populations, key=lambda p: not p.neuron.computes):
        for fact, remedy in _refusals(population, chip):
            raise FitError(f"population {population.name!r} on chip {chip.name!r}", fact, remedy)


def check_capabilities(network: Network, chip: Chip) -> None:
    """Raise FitError for the first population or projection that the chip cannot do, neurons first."""
    check_neurons(network, chip)
    for population in network.populations:
        kinds, room = len(formats(population, network, chip)), chip.core.synapse_configs
        if room is not None and kinds > room:
            raise FitError(
                f"population {population.name!r} on chip {chip.name!r}",
                f"its inputs come in {kinds} synapse formats, a core has {room}",
                "Give its projections the same delay and weight bits",
            )
        span, most = _exponent_span(population, network, chip), chip.core.exponent_span
        if most is not None and span > most:
            raise FitError(
                f"population {population.name!r} on chip {chip.name!r}",
                f"exponents of the weights into it differ by {span}, there by {most} at most: its sources have other units",
                "Use a chip whose synapses have exponents, such as loihi2, or a network without this skip path",
            )
    for projection in network.projections:
        if projection.rule is not None:
            _check_learning(projection, network, chip)
        if projection.delay > chip.core.delay_steps:
            raise FitError(
                f"projection {projection.name} on chip {chip.name!r}",
                f"its delay of {projection.delay} steps exceeds {chip.core.delay_steps}",
                "Use fewer steps a layer, or a shorter skip path",
            )


def _check_learning(projection: Projection, network: Network, chip: Chip) -> None:
    where, able = f"projection {projection.name} on chip {chip.name!r}", chip.neuron.learning or "none"
    use = "Use a chip that learns, such as loihi2, or network.fixed()"
    if able == "none":
        fact = (
            "it learns, the chip's synapses cannot" if chip.neuron.learning else "it learns, the chip's file says nothing of it"
        )
        raise FitError(where, fact, use)
    rule = projection.rule
    assert rule is not None
    payload = rule.graded is not None and network[projection.source].neuron.messages != (0, 1)
    if able == "spikes" and payload:
        raise FitError(where, "it learns from payloads, the chip learns from spikes", use)
    if LEARNED_BITS not in chip.core.weight_bits:
        stored = ", ".join(map(str, chip.core.weight_bits))
        raise FitError(where, f"weights that learn have {LEARNED_BITS} bits, the chip stores {stored}", use)


def _exponent_span(population: Population, network: Network, chip: Chip) -> int:
    """How far exponents of the weights into a population must differ at least."""
    found = [exponents(p, chip) for p in network.into(population.name) if np.any(p.stored_weights)]
    return max(0, max(least for least, _ in found) - min(most for _, most in found)) if found else 0


def _refusals(population: Population, chip: Chip) -> Iterator[tuple[str, str]]:
    neuron, able = population.neuron, chip.neuron
    if not neuron.on_chip:
        yield from () if neuron.open_range else _payload(neuron, chip)
        return
    program = neuron.program
    if neuron.purpose and program not in able.programs:
        runs = " or ".join(f'"{code}"' for code in able_codes(chip))
        otherwise = f"A network of rectified layers runs there with code={runs}; use a chip with the program, such as loihi2"
        yield f"the chip has no program for {neuron.purpose}", neuron.instead or otherwise
    elif program not in able.programs:
        code = "rate" if "if" in able.programs else able.programs[0]
        remedy = neuron.instead or f'Convert with code="{code}", or use another chip'
        yield f"its neurons ({program}) have no program there", remedy
    if neuron.subtracts and able.subtract == "none":
        yield "the chip cannot reset by subtraction", 'Use reset="zero", or another chip'
    if neuron.hold_input and not able.hold_input:
        yield "the chip cannot hold an input current", _SPIKES
    yield from _payload(neuron, chip)
    yield from _widths(neuron, chip)


def check_inputs(network: Network, chip: Chip, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raise FitError where the host would send negative messages to a chip whose messages have no sign, or, from a source that
    leaves its range open, larger ones than its messages carry."""
    for population in network.sources:
        source, values = source_of(population), inputs[population.name]
        where = f"inputs for {population.name!r} on chip {chip.name!r}"
        if not (chip.neuron.signed_payload or source.twin) and values.min() < 0:
            raise FitError(where, "some are negative, messages have no sign", _SPIKES)
        largest = round(float(np.abs(values.astype(np.float64)).max()) / (source.scale or 1.0)) if source.open_range else 0
        if largest > 1 and largest.bit_length() > chip.neuron.payload_bits:
            room = chip.neuron.payload_bits
            fact = f"messages of up to {largest} carry {largest.bit_length()} bits, the chip's carry {room or 'none'}"
            raise FitError(where, fact, "Send spikes, 0 or 1 at each step, or use a chip with graded messages, such as loihi2")


def _payload(neuron: Neuron, chip: Chip) -> Iterator[tuple[str, str]]:
    low, high = neuron.messages
    remedy = _SPIKES if neuron.is_source else 'Convert with code="rate"'
    remedy = "Use fewer value_bits, or another chip" if neuron.computes else remedy
    if low < 0 and not chip.neuron.signed_payload and not neuron.is_source:
        yield f"messages of {low}..{high} need a sign, the chip's have none", remedy
    bits = max(high, -low).bit_length()
    if max(high, -low) > 1 and bits > chip.neuron.payload_bits:
        room = chip.neuron.payload_bits
        yield f"messages of {low}..{high} carry {bits} bits, the chip's carry {room or 'none'}", remedy


def _widths(neuron: Neuron, chip: Chip) -> Iterator[tuple[str, str]]:
    able, reduce = chip.neuron, "Convert with fewer weight_bits, or scale thresholds and weights down"
    bits = neuron.potential_bits or 0
    if bits > able.potential_bits:
        yield f"its potential has {bits} bits, the chip's has {able.potential_bits}", reduce
    if neuron.mantissas:
        return
    threshold = neuron.threshold or 0
    if able.threshold_bits is not None and threshold.bit_length() > able.threshold_bits:
        yield f"its threshold {threshold} exceeds {able.threshold_bits} bits", reduce
    if able.bias_bits is not None:
        yield from _bias(neuron.bias, able.bias_bits, able.bias_exponent or 0, reduce)


def _bias(bias: Any, bits: int, exponent: int, remedy: str) -> Iterator[tuple[str, str]]:
    values = np.abs(np.atleast_1d(np.asarray(bias, np.int64)))
    largest = int(values.max(initial=0))
    if largest > ((1 << (bits - 1)) << exponent):
        yield f"its bias of up to {largest} exceeds a mantissa of {bits} bits with exponent {exponent}", remedy
