"""From a network that was trained elsewhere to a body: converted to values on the chip, and read by what recordings say of it.

Calls the converters. Knows nothing of terminals.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import UsageError
from neuro.graph import Graph
from neuro.keywords.body import Body, inputs_of, sums_of
from neuro.keywords.corpus import SILENCE, UNKNOWN, Corpus
from neuro.keywords.fronts import EVERY, Front
from neuro.keywords.pooled import Pooled
from neuro.keywords.spotter import Normalisation
from neuro.network import Network, Population
from neuro.neurons import Value
from neuro.neurons.tables import fixed_ratio

Progress = Callable[[int, int], None]
CALIBRATION, NUMBERS, SHRINK, UNIT = 40, 144, 0.1, 25
BATCH = 16
BITS = 12  # of a body's numbers
FEWEST = 60  # recordings from which a body can be read, and as many by which thresholds can be chosen


def make_body(
    graph: Graph,
    kind: str,
    corpus: Corpus,
    others: Corpus,
    *,
    every: int = EVERY,
    normalisation: Normalisation | None = None,
    card: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Body:
    """A body from a network `graph` that takes one window of a front of `kind` and gives numbers.

    corpus: recordings of several words, by which it is read; none of them should be of words to come. others: of other speakers,
    by which thresholds will be chosen. every: samples from window to window. UsageError for a network that does not take such
    windows or cannot be placed so, or for too few recordings.
    """
    front = replace(front_of(graph, kind, every), normalisation=normalisation)
    for name, part in (("to read the body by", corpus), ("to choose thresholds by", others)):
        if len(part) < FEWEST or len(_words(part)) < 2:
            fact = f"{len(part)} recordings of {len(_words(part))} words {name}"
            raise UsageError("recordings", fact, f"Record {FEWEST} or more of each, of two words or more")
    drawn = np.random.default_rng(seed).permutation(len(corpus))[:CALIBRATION]
    network, numbers = converted(graph, inputs_of(front, corpus.audio[drawn]))
    sums = [_sums(network, numbers, front, part, progress) for part in (corpus, others)]
    pooled = read(numbers, sums[0], corpus.words, inputs_of(front, corpus.audio[:1]).shape[1])
    people = np.unique(np.array(others.speakers), return_inverse=True)[1].astype(np.int64)
    pooled = replace(pooled, others=pooled.payloads(sums[1]), people=people, said=others.words)
    return Body(network, front, pooled, dict(card or {}))


def front_of(graph: Graph, kind: str, every: int = EVERY) -> Front:
    """What the network hears. UsageError for one with several inputs or outputs, or that takes no such windows."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        fact = f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise UsageError("body", fact, "Use a network with one input and one output")
    return Front.of(kind, tuple(graph.inputs[0].shape), every)


def converted(graph: Graph, windows: NDArray[Any]) -> tuple[Network, str]:
    """The network in values, (recordings, windows, *shape) as frames, with a last population that sends its outputs; its name."""
    from converters.pipeline import convert

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of calibration: what it costs is measured
        network = convert(graph, windows, code="graded", frames=True).network
    from neuro.engine.run import run

    frames = run(network, windows[:16]).frames
    assert frames is not None  # a network with frames has them
    reached = np.abs(frames).reshape(-1, frames.shape[-1]).max(axis=0)
    return sending(network, 1.25 * np.maximum(reached, 1e-3 * reached.max(initial=1e-9)))


def sending(network: Network, reach: NDArray[Any]) -> tuple[Network, str]:
    """The network with a population that sends its outputs, each up to its `reach` either side of 0, instead of its readout."""
    readouts = network.readouts
    neuron: Any = readouts[0].neuron
    if len(readouts) != 1 or neuron.gather not in (None, 1) or neuron.doubling or neuron.changes:
        raise UsageError("body", "its last layer takes several steps a window", "Leave its last layer out")
    scale, offset = neuron.decoding(readouts[0].shape)
    largest = (1 << (BITS - 1)) - 1
    multiplier, shift = fixed_ratio(scale * largest / reach)
    shape = readouts[0].shape
    value = Value(
        multiplier=np.asarray(multiplier).reshape(shape),
        shift=np.asarray(shift).reshape(shape),
        bias=np.rint(offset / scale).astype(np.int64).reshape(shape),
        value_bits=BITS,
        period=neuron.period,
        start_step=neuron.start_step,
        potential_bits=neuron.potential_bits,
    )
    kept = tuple(Population(p.name, shape, value) if p is readouts[0] else p for p in network.populations)
    return Network(kept, network.projections, timesteps=network.timesteps, notes=network.notes), readouts[0].name


def read(numbers: str, sums: NDArray[np.int64], words: Sequence[str], windows: int) -> Pooled:
    """How numbers become payloads: a matrix that whitens their means over windows within words, and these words' weights."""
    said = [np.array(words) == word for word in _words_of(words)]
    matrix, scale = whitening(sums, said, windows)
    means = np.rint(sums.mean(axis=0) @ matrix).astype(np.int64)
    none = np.zeros((2 * matrix.shape[1], 0), np.int64)
    pooled = Pooled((numbers,), matrix, means, max(1, round(scale / UNIT)), none.T, none)
    payloads = pooled.payloads(sums)
    known = np.stack([payloads[of].mean(axis=0) / 2 for of in said], axis=1)
    return replace(pooled, known=np.rint(known).astype(np.int64), words=tuple(_words_of(words)))


def whitening(sums: NDArray[Any], groups: Sequence[NDArray[np.bool_]], frames: Any) -> tuple[NDArray[np.int64], float]:
    """The matrix, of whole numbers of 8 bits, by which the means of sums over `frames` are as little correlated within groups as
    possible, and by how much more than a deviation within a group a product with it varies."""
    spread = (sums / frames).std(axis=0) + 1e-3
    inside = np.concatenate([(sums[said] - sums[said].mean(axis=0)) / frames / spread for said in groups])
    values, vectors = np.linalg.eigh(inside.T @ inside / len(inside))
    kept = slice(len(values) - min(len(values), NUMBERS), None)
    whitened = vectors[:, kept] / np.sqrt(values[kept] + SHRINK * values.mean()) / (frames * spread)[:, None]
    scale = 127 / np.abs(whitened).max()
    return np.rint(whitened * scale).astype(np.int64), float(scale)


def _sums(network: Network, numbers: str, front: Front, corpus: Corpus, progress: Progress | None) -> NDArray[np.int64]:
    rows = []
    for at in range(0, len(corpus), BATCH):
        rows.append(sums_of(network, numbers, inputs_of(front, corpus.audio[at : at + BATCH])))
        if progress:
            progress(min(at + BATCH, len(corpus)), len(corpus))
    return np.concatenate(rows)


def _words(corpus: Corpus) -> list[str]:
    return _words_of(corpus.words)


def _words_of(words: Sequence[str]) -> list[str]:
    return sorted({*words} - {SILENCE, UNKNOWN})
