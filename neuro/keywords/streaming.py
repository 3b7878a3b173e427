"""From a network that classifies a window of frames to one that takes a stream: one frame, one step, the same integers.

Knows networks; knows nothing of audio. A population (channels, frames) becomes (channels,): what the window network computes
at frame t of every window, the stream network computes once, at the step of that frame, and sends on to every later tap by
delays. So each frame costs one frame's work, not a window's, and the logits are those of the last window, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neuro.encoding import quantise, source_of, value_shape
from neuro.errors import UsageError
from neuro.keywords.features import Floats
from neuro.network import Network, Population
from neuro.neurons import Neuron, Source
from neuro.projections import Dense, OneToOne, Projection

Kernel = dict[int, NDArray[np.int64]]  # delay in steps -> weights (source channels, target channels)


@dataclass(frozen=True, slots=True)
class StreamNetwork:
    """A network that takes one frame a step. `window` frames make a decision; it shows `latency` steps after the last one."""

    network: Network
    source: Source  # as the window network had it: how values become integers
    window: int
    latency: int

    @property
    def warm_up(self) -> int:
        """Steps before the first logits that stand for a whole window."""
        return self.window - 1 + self.latency

    def messages(self, frames: Floats) -> NDArray[np.int32]:
        """Integers (frames, channels) that normalised features (frames, size) send into the network."""
        halves = [np.maximum(frames, 0), np.maximum(-frames, 0)] if self.source.twin else [frames]
        return quantise(self.source, np.concatenate(halves, axis=1)).astype(np.int32)


def stream(network: Network) -> StreamNetwork:
    """The stream form of a window network of one-message neurons (code "graded"), source (size, frames).

    Raises UsageError for a network that is no chain, is not the same at every frame, or keeps time in another code.
    """
    source = network.sources[0]
    if len(network.sources) != 1 or len(source.shape) != 2:
        raise _refusal(f"its source has shape {source.shape}", "Feed it (size, frames)")
    populations, projections = [Population(source.name, (source.shape[0],), Source(levels=_reach(source)))], []
    latency = 0
    for population in network.populations:
        if population is source:
            continue
        projection = _only(network, population)
        kernel = _kernel(network, projection)
        summed = _differences(kernel)
        accumulates = population.neuron.is_readout or len(summed) < len(kernel)
        populations.append(Population(population.name, (_shape(population)[0],), _neuron(population, accumulates)))
        for delay, weights in sorted((summed if accumulates else kernel).items()):
            projections.append(_projection(projection, weights, delay))
        latency += 1
    return StreamNetwork(Network(tuple(populations), tuple(projections)), source_of(source), value_shape(source)[1], latency)


def _only(network: Network, population: Population) -> Projection:
    """The one projection into a population, from the one before it."""
    into = network.into(population.name)
    if len(into) != 1 or len(network.out_of(into[0].source)) != 1:
        raise _refusal(f"population {population.name!r} is not a link of a chain", "Use the separable or multilayer network")
    return into[0]


def _kernel(network: Network, projection: Projection) -> Kernel:
    """The projection's weights by delay, 1 for the newest frame; the same for every frame of the target, or refused."""
    source, target = network[projection.source], network[projection.target]
    (channels, frames), (outputs, made) = _shape(source), _shape(target)
    matrix = projection.to_sparse(source.shape, target.shape)
    rows, columns = (np.asarray(sparse.coo_array(matrix).coords[axis]) for axis in (0, 1))
    age = (columns % made) + (frames - made) - (rows % frames)  # frames between what is read and the newest
    dense = np.zeros((max(0, age.max(initial=0)) + 1, channels, outputs), np.int64)
    newest = columns % made == made - 1
    values = np.asarray(sparse.coo_array(matrix).data)
    if age.min(initial=0) >= 0:
        dense[age[newest], rows[newest] // frames, columns[newest] // made] = values[newest]
    same = age.min(initial=0) >= 0 and np.array_equal(dense[age, rows // frames, columns // made], values)
    if not same or rows.size != made * newest.sum():
        raise _refusal(
            f"{projection.name} is not the same at every frame, or pads or strides over time",
            "Use the separable or multilayer network",
        )
    return {delay + 1: weights for delay, weights in enumerate(dense) if weights.any()}


def _differences(kernel: Kernel) -> Kernel:
    """The kernel by which an accumulator holds, at every step, what `kernel` would give in that step."""
    none = np.zeros_like(next(iter(kernel.values()), np.zeros((1, 1), np.int64)))
    last = max(kernel, default=0)
    steps = {delay: kernel.get(delay, none) - kernel.get(delay - 1, none) for delay in range(1, last + 2)}
    return {delay: weights for delay, weights in steps.items() if weights.any()}


def _projection(window: Projection, weights: NDArray[np.int64], delay: int) -> Projection:
    square = weights.shape[0] == weights.shape[1]
    if square and not (weights - np.diag(np.diag(weights))).any():
        return OneToOne(window.source, window.target, np.diag(weights).astype(np.int32), delay=delay)
    return Dense(window.source, window.target, weights.astype(np.int32), delay=delay)


def _neuron(population: Population, accumulates: bool) -> Neuron:
    neuron = population.neuron
    if neuron.memoryless:
        return neuron.changed(start_step=0, bias=_constant(population, neuron.bias), hold_input=accumulates)
    given = dict(neuron._values())
    if neuron.is_readout and not given["doubling"]:
        scale, offset = (_constant(population, given[name]) for name in ("scale", "offset"))
        return neuron.changed(start_step=0, gather=None, average=False, scale=scale, offset=offset)
    raise _refusal(
        f"population {population.name!r} ({type(neuron).__name__}) takes more than a step a frame", 'Convert with code="graded"'
    )


def _constant(population: Population, value: Any) -> Any:
    """A per-neuron parameter as one value per channel."""
    if np.ndim(value) == 0:
        return value
    full = np.broadcast_to(np.asarray(value), population.shape).reshape(_shape(population))
    if not (full == full[:, :1]).all():
        raise _refusal(f"population {population.name!r} is not the same at every frame", "Use the separable network")
    return full[:, 0]


def _shape(population: Population) -> tuple[int, int]:
    """Channels and frames; a flat population has one frame."""
    shape = population.shape
    if len(shape) > 2:
        raise _refusal(f"population {population.name!r} has shape {shape}", "Use the separable or multilayer network")
    return (shape[0], shape[1]) if len(shape) == 2 else (shape[0], 1)


def _reach(source: Population) -> int:
    neuron = source_of(source)
    if neuron.code not in ("held", "once"):
        raise _refusal(f"its source sends by code {neuron.code!r}", 'Convert with code="graded"')
    return neuron.levels


def _refusal(fact: str, remedy: str) -> UsageError:
    return UsageError("network on a stream", fact, remedy)
