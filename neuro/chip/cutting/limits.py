"""The limits of a core and the sizes that count towards them: compartments, formats and bits of synapses, words of state.

Sources of the formulas: nengo-loihi block.py (bits of an axon's list of synapses), NxTF (shared kernels). Differs from the
hardware in: one incoming axon per source position serves all channels of a shared kernel whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.tilings import Ints, Tiling, kept_by_slice
from neuro.chip.spec import Chip, Encoding, neuron_ns
from neuro.errors import FitError
from neuro.learning.terms import POST_TRACES
from neuro.network import Network, Population
from neuro.projections import Projection

REMEDIES = {  # where one neuron alone needs more than a core has
    "neurons": "Stride or pool the layer, or use a chip with larger cores",
    "in_axons": "Use fewer or larger strides, a narrower input, or a chip with more incoming axons",
    "out_axons": "Narrow the next layer, or use a chip with more outgoing axons",
    "synapse_bits": "Convert with fewer weight_bits, or narrow the layer",
    "memory_bits": "Use fewer weight_bits, or code='graded' (which splits long sums); shorten delays; or narrow the layer",
}
TAG_BITS, TRACE_BITS, TIME_BITS = 9, 7, 6  # of a synapse's tag; of a trace; of the time of a spike within an epoch
LEARNED_BITS = 8  # of a weight that learns
_SEEN_STEPS = 4096  # of a window, in which neurons do all that they ever do in a step


@dataclass(frozen=True, slots=True)
class Needs:
    """What each slice of a population needs, (slices,) each."""

    neurons: Ints
    in_axons: Ints
    out_axons: Ints
    synapse_bits: Ints
    memory_bits: Ints

    def worst(self, chip: Chip) -> dict[str, float]:
        """Largest need of any slice as a fraction of what a core has, by limit."""
        room = limits(chip)
        return {name: float(getattr(self, name).max()) / room[name] for name in room}


def limits(chip: Chip) -> dict[str, int]:
    """The known limits of a core."""
    return {f.name: value for f in fields(Needs) if (value := getattr(chip.core, f.name)) is not None}


def compartments(population: Population, chip: Chip) -> int:
    """Neuron compartments that one neuron takes: two where the chip subtracts the threshold with a second one."""
    return 2 if chip.neuron.subtract == "two_compartment" and population.neuron.subtracts else 1


def updates(population: Population, chip: Chip) -> int:
    """Updates of compartments that one neuron takes in a step."""
    return compartments(population, chip) * population.neuron.passes


def further_passes(population: Population, chip: Chip) -> int:
    """Passes of a neuron's program on this chip after the one that an update pays for."""
    return (getattr(chip.neuron, f"{population.neuron.program}_passes", None) or 1) - 1


def update_ns(population: Population, chip: Chip, prices: Chip | None = None) -> float:
    """Time of the longest update of one neuron on a chip, all its passes, products and look-ups; messages are not in it.

    prices: the chip whose times are taken, if it is another."""
    prices, neuron = prices or chip, population.neuron
    t, steps = prices.time, range(min(neuron.active_steps(1), _SEEN_STEPS))
    own = further_passes(population, chip) * (t.neuron_pass or 0.0)
    if neuron.computes:
        own += max(neuron.products(e) * (t.product or 0.0) + neuron.lookups(e) * (t.lookup or 0.0) for e in steps)
    return (neuron_ns(prices) + own) * updates(population, chip)


def state_words(population: Population, network: Network) -> int:
    """Integers that one neuron keeps: state, parameters of its own, and an accumulator for each step of delay and port."""
    rings = dict.fromkeys(range(population.neuron.port_count), 0)
    for p in network.into(population.name):
        rings[p.port] = max(rings[p.port], p.delay)
    return sum(rings.values()) + population.neuron.state_words


def trace_bits(population: Population, network: Network) -> tuple[int, int]:
    """Bits that learning keeps in a core: for each incoming axon, and for each neuron of the population."""
    before = behind = 0
    for rule in (p.rule for p in network.into(population.name) if p.rule is not None):
        traces = rule.traces
        own = [name for name in traces if name in POST_TRACES]
        before = max(before, TRACE_BITS * (len(traces) - len(own)) + TIME_BITS)
        behind = max(behind, TRACE_BITS * len(own) + TIME_BITS)
    return before, behind


def encoding(projection: Projection, chip: Chip) -> Encoding:
    """The form in which a projection's synapses are stored: rows of a crossbar where there is one; sparse where the chip has none
    that fits better."""
    if chip.core.axon_types:
        return "dense"
    shared = projection.rule is not None and projection.storage == "conv"  # synapses that learn have a weight each
    if projection.storage in chip.core.encodings and not shared:
        return projection.storage
    if "sparse" in chip.core.encodings:
        return "sparse"
    raise FitError(
        f"projection {projection.name}", f"{chip.name} stores only {', '.join(chip.core.encodings)} synapses", "Use another chip"
    )


def skips_zeros(projection: Projection, chip: Chip) -> bool:
    """Whether the chip visits none of the projection's synapses of weight zero, of which there are some."""
    return chip.core.zero_weights == "skipped" and projection.rule is None and not np.all(projection.stored_weights)


def sparse_slices(projection: Projection, chip: Chip, tiling: Tiling, *, weight: int | None = None) -> NDArray[np.bool_]:
    """Which slices hold a projection between all pairs as sparse lists: those where that is smaller, on chips that skip zeros."""
    matrix = projection.matrix
    if matrix is None or not skips_zeros(projection, chip) or "sparse" not in chip.core.encodings:
        return np.zeros(tiling.slices, np.bool_)
    kept, sizes = kept_by_slice(matrix, tiling), tiling.sizes()
    smaller = []
    for k, size in enumerate(sizes):
        dense = len(matrix) * list_bits(size, synapse_bits(projection, chip, int(size), weight=weight), chip)
        listed = list_bits(kept[:, k], synapse_bits(projection, chip, int(size), weight=weight, form="sparse"), chip).sum()
        smaller.append(listed < dense)
    return np.array(smaller)


def row_bits(outputs: Any, bits: int, chip: Chip) -> Any:
    """Bits of a row of a shared kernel that is stored by source channel and tap: `outputs` weights in whole words, and one word
    more beyond 64. Source: fits all convolutions of PilotNet and YOLO-KP on Loihi 2 (docs/chip.md)."""
    outputs = np.asarray(outputs, np.int64)
    return (-(-outputs * bits // chip.core.word_bits) + (outputs > 64)) * chip.core.word_bits


def formats(population: Population, network: Network, chip: Chip) -> set[tuple[Encoding, int, int, int]]:
    """The synapse formats of a population's inputs: encoding, weight bits, exponent, delay."""
    return {(encoding(p, chip), weight_bits(p, chip), exponents(p, chip)[0], p.delay) for p in network.into(population.name)}


def exponents(projection: Projection, chip: Chip) -> tuple[int, int]:
    """The least and the largest power of two that can be taken out of what a projection's synapses act with: so that the rest
    fits the chip's bits, and so that it stays integers."""
    if projection.rule is not None:
        return projection.exponent, projection.exponent
    weights = projection.stored_weights.astype(np.int64)
    most = common_shift(weights)
    largest = int(np.abs(weights).max(initial=0))
    least = max(0, largest.bit_length() - max(chip.core.weight_bits))
    return min(least, most) + projection.exponent, most + projection.exponent


def weight_bits(projection: Projection, chip: Chip) -> int:
    """Stored bits of a weight: the smallest size that holds the mantissas after a common power of two is taken out.

    Of a crossbar, whose weights belong to neurons: those of a signed number."""
    if chip.core.axon_types:
        return _neuron_weight_bits(projection, chip)
    if projection.rule is not None:
        return LEARNED_BITS  # its sign is the rule's; `check_capabilities` sees that the chip stores so many
    weights = projection.stored_weights.astype(np.int64)
    low, high = (int(weights.min()), int(weights.max())) if weights.size else (0, 0)
    shift = common_shift(weights)
    low, high = low >> shift, high >> shift
    mixed = low < 0 < high
    need = max((-low - 1).bit_length(), high.bit_length()) + 1 if mixed else max(-low, high).bit_length()
    fitting = [bits for bits in sorted(chip.core.weight_bits) if bits >= need]
    if not fitting:
        raise FitError(
            f"projection {projection.name}",
            f"its weights {low << shift}..{high << shift} need {need} bits, {chip.name} stores {max(chip.core.weight_bits)}",
            "Convert with fewer weight_bits",
        )
    return fitting[0]


def _neuron_weight_bits(projection: Projection, chip: Chip) -> int:
    bits, weights = max(chip.core.weight_bits), projection.expanded().stored_weights.astype(np.int64)
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if not -(1 << (bits - 1)) <= low <= high < 1 << (bits - 1):
        raise FitError(
            f"projection {projection.name}",
            f"its weights {low}..{high} exceed the signed {bits} bits of a neuron's weights on {chip.name}",
            'Convert with weights="trinary", or fewer weight_bits',
        )
    return bits


def common_shift(weights: Ints) -> int:
    """The power of two that all weights share and a core does not store."""
    together = int(np.bitwise_or.reduce(weights.ravel())) if weights.size else 0
    return (together & -together).bit_length() - 1 if together else 0


def synapse_bits(
    projection: Projection, chip: Chip, neurons: int, *, weight: int | None = None, form: Encoding | None = None
) -> int:
    """Bits of one synapse in a core that holds `neurons` of the target; `weight`: its weight's bits, if known already."""
    if chip.core.axon_types:
        return 1  # weights and delays belong to neurons
    bits = (weight_bits(projection, chip) if weight is None else weight) + (projection.delay - 1).bit_length()
    bits += 0 if projection.rule is None else TAG_BITS * len(projection.rule.tags)
    if (form or encoding(projection, chip)) != "sparse":
        return bits
    need = max(neurons - 1, 0).bit_length()
    fitting = [size for size in sorted(chip.core.index_bits) if size >= need]
    return bits + (fitting[0] if fitting else need)


def list_bits(synapses: Any, bits: Any, chip: Chip) -> Any:
    """Bits of a list of synapses: groups with an overhead, each rounded up to whole words (any integer arrays)."""
    core = chip.core
    groups, rest = np.divmod(np.asarray(synapses, np.int64), core.group_synapses)

    def words(count: Any) -> Any:
        return -(-(count * bits + core.group_overhead_bits) // core.word_bits)

    return (groups * words(core.group_synapses) + np.where(rest > 0, words(rest), 0)) * core.word_bits
