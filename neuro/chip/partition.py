"""Populations -> slices that each fit a core, with few slices and few packets. Knows limits; knows nothing of positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cuts import Cut, as_window, channel_reach, even, reach, with_rows
from neuro.chip.limits import Needs, limits, needs
from neuro.chip.spec import Chip
from neuro.errors import FitError
from neuro.network import Network, Population
from neuro.neurons import Source

_LEVERS = {
    "neurons": "Stride or pool the layer, or use a chip with larger cores",
    "in_axons": "Use fewer or larger strides, a narrower input, or a chip with more incoming axons",
    "out_axons": "Narrow the next layer, or use a chip with more outgoing axons",
    "synapse_bits": "Convert with fewer weight_bits, or narrow the layer",
    "memory_bits": "Convert with fewer weight_bits, shorten delays, or narrow the layer",
}


def on_cores(population: Population) -> bool:
    """Whether the population's neurons live on cores; a source that the host drives does not."""
    return not (isinstance(population.neuron, Source) and not population.neuron.on_chip)


def partition(network: Network, chip: Chip) -> dict[str, Cut]:
    """A cut of every population, such that each slice fits a core. Raises FitError for a neuron that needs more than one."""
    cuts: dict[str, Cut] = {}
    for population in reversed(network.populations):  # targets first: outgoing axons depend on their cuts
        cuts[population.name] = _cut(network, chip, population, cuts)
    for _ in range(len(network.populations)):  # recurrent projections were counted as one slice; cut again where they are more
        late = [p for p in network.populations if on_cores(p) and _over(needs(network, chip, p, cuts[p.name], cuts), chip)]
        if not late:
            break
        for population in late:
            cuts[population.name] = _cut(network, chip, population, cuts)
    return {p.name: cuts[p.name] for p in network.populations}


def _over(need: Needs, chip: Chip) -> bool:
    return max(need.worst(chip).values()) > 1


def _cut(network: Network, chip: Chip, population: Population, cuts: dict[str, Cut]) -> Cut:
    """The cut with the fewest slices that fit; of equals, the one whose inputs reach the fewest slices."""
    if not on_cores(population):
        return even(population.shape, [1] * len(population.shape))
    best: tuple[float, Cut] | None = None
    for parts in _grids(population.shape, -(-population.size // chip.core.neurons)):
        if best is not None and np.prod(parts) > best[1].slices:
            return best[1]
        cut = even(population.shape, parts)
        if cut.sizes().max() <= chip.core.neurons and not _over(needs(network, chip, population, cut, cuts), chip):
            spread = _spread(network, population, cut)
            if best is None or spread < best[0]:
                best = (spread, cut)
    if best is not None:
        return best[1]
    raise _refusal(network, chip, population, cuts)


def _refusal(network: Network, chip: Chip, population: Population, cuts: dict[str, Cut]) -> FitError:
    single = needs(network, chip, population, even(population.shape, population.shape), cuts)
    worst = single.worst(chip)
    limit = max(worst, key=lambda name: worst[name])
    return FitError(
        f"population {population.name!r} on chip {chip.name!r}",
        f"one neuron needs {int(getattr(single, limit).max()):,} {limit.replace('_', ' ')}, a core has {limits(chip)[limit]:,}",
        _LEVERS[limit],
    )


def _grids(shape: tuple[int, ...], least: int) -> Iterator[tuple[int, ...]]:
    """Grids of at least `least` parts, fewest first."""
    options = [_useful(n) for n in shape]
    grids = np.stack([g.ravel() for g in np.meshgrid(*options, indexing="ij")], axis=1)
    total = grids.prod(axis=1)
    for i in np.argsort(total, kind="stable"):
        if total[i] >= least:
            yield tuple(int(k) for k in grids[i])


def _useful(n: int) -> NDArray[Any]:
    """Numbers of parts that change the size of the largest part."""
    sizes = np.unique(-(-n // np.arange(1, n + 1)))
    return np.unique(-(-n // sizes))


def _spread(network: Network, population: Population, cut: Cut) -> float:
    """Slices reached by an average message into the population, summed over its inputs."""
    total = 0.0
    for projection in network.into(population.name):
        source = network[projection.source].shape
        window = as_window(projection, source)
        if window is None or len(cut.shape) != 3:
            total += cut.slices
            continue
        tables = [channel_reach(window, cut)] + [reach(window, axis, with_rows(source)[1 + axis], cut) for axis in (0, 1)]
        total += float(np.prod([(table > 0).sum(axis=1).mean() for table in tables]))
    return total
