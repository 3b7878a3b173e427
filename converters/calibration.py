"""One pass over sample data -> Ranges: per-channel histograms that do not depend on order or batch size; and thresholds.

Histogram bins are 32 to an octave and cover the 40 octaves below the largest value of their channel, whatever its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from converters.evaluation import batch_of, evaluate
from converters.frames import check_frames
from converters.samples import Given, Samples
from neuro.compiled import compiled
from neuro.errors import ConversionError
from neuro.graph import Graph

Floats = NDArray[np.float64]
PER_OCTAVE = 32
OCTAVES = 40  # that the bins of a channel cover below its largest value; smaller values count as the smallest
BINS = OCTAVES * PER_OCTAVE
# Values of the bins, relative to 2 ** (the exponent of the channel's largest value + 1).
_CENTRES: Floats = (
    2.0**-OCTAVES * 2.0 ** (np.arange(BINS) // PER_OCTAVE) * (1 + (np.arange(BINS) % PER_OCTAVE + 0.5) / PER_OCTAVE)
)
_LOWEST_EXPONENT = -126  # of a normal float32
PERCENTILE = 99.9
MOST_SAMPLES = 1024  # taken from a loader or data set
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)
_GRID = np.linspace(0.1, 1.0, 46)


@dataclass(frozen=True, slots=True)
class Range:
    """What one layer's pre-activations were: per channel, counts of positive values by bin, extremes, and values seen.

    `top` (channels,): the exponent of two of each channel's largest value, which places its bins.
    """

    counts: NDArray[np.int64]
    smallest: Floats
    largest: Floats
    seen: int
    top: NDArray[np.int64]

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Channels that were never positive."""
        return self.largest <= 0

    def centres(self, used: NDArray[np.int64]) -> Floats:
        """The values that the bins `used` stand for, (channels, used)."""
        values: Floats = _CENTRES[None, used] * 2.0 ** (self.top[:, None] + 1)
        return values


@compiled
def _count(values: Any, unsigned: Any, counts: Any, lowest_bits: Any, highest_bits: Any, top: Any) -> None:
    """Add float32 values (samples, channels, positions), seen as the int32 and as the uint32 of the same bits, to a histogram.
    The extremes are kept as bits too, (channels,).

    Bits of positive values ascend with the values as integers; those of negative values, without their sign, with the absolute
    value, above all positive ones as unsigned integers. So nothing branches on a sign, which no processor can guess.
    """
    samples, channels, positions = values.shape
    for c in range(channels):
        highest, lowest = np.int32(0), np.uint32(0)
        for n in range(samples):
            for p in range(positions):
                highest = max(highest, values[n, c, p])
                lowest = max(lowest, unsigned[n, c, p])
        lowest_bits[c], highest_bits[c] = max(lowest_bits[c], lowest), max(highest_bits[c], highest)
        if highest == 0:
            continue
        exponent = max((np.int64(highest) >> 23) - 127, -126)
        if exponent > top[c]:  # move what was counted down by as many octaves; what falls out below joins the lowest bin
            shift = min((exponent - top[c]) * PER_OCTAVE, BINS - 1)
            for i in range(1, shift + 1):
                counts[c, 0] += counts[c, i]
            for i in range(1, BINS):
                counts[c, i] = counts[c, i + shift] if i + shift < BINS else 0
            top[c] = exponent
        base = (top[c] + 128 - OCTAVES) * PER_OCTAVE
        for n in range(samples):
            for p in range(positions):
                bits = np.int64(values[n, c, p])
                counts[c, max((bits >> 18) - base, 0)] += bits > 0


class Histogram:
    """Collects one layer's Range."""

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, BINS), np.int64)
        self.smallest, self.largest = np.zeros(channels, np.uint32), np.zeros(channels, np.int32)  # bits of float32
        self.top = np.full(channels, _LOWEST_EXPONENT, np.int64)
        self.seen = 0

    def add(self, values: torch.Tensor) -> None:
        """Add values (samples, channels, ...)."""
        array = np.ascontiguousarray(values.numpy()).reshape(len(values), len(self.counts), -1)
        _count(array.view(np.int32), array.view(np.uint32), self.counts, self.smallest, self.largest, self.top)
        self.seen += array.shape[0] * array.shape[2]

    def finish(self) -> Range:
        negative = self.smallest >> 31 == 1
        smallest = np.where(negative, self.smallest, np.uint32(0)).view(np.float32).astype(np.float64)
        return Range(self.counts, smallest, self.largest.view(np.float32).astype(np.float64), self.seen, self.top)


def as_array(samples: Any) -> NDArray[Any]:
    """Samples as an array of numbers (samples, *shape), in their own type; a float type that numpy lacks becomes float32.

    samples: an array, a tensor, nested lists, or a DataLoader or Dataset of torch whose items are inputs or (input, ...). A
    loader gives its first 1,024 samples, a data set up to 1,024 spread evenly over it. Raises ConversionError for anything else.
    """
    try:
        array = np.asarray(_plain(samples))
    except (ValueError, TypeError):
        raise ConversionError("calibration data", "they make no rectangular array", _remedy_array(samples)) from None
    if array.dtype.kind not in "buif":
        raise ConversionError("calibration data", f"their dtype is {array.dtype}", "Pass an array of numbers")
    return array


def _plain(samples: Any) -> Any:
    """Tensors as numpy arrays, loaders and data sets as one array, all else as it is."""
    if isinstance(samples, torch.Tensor):
        held = samples.detach().cpu()
        return (held.float() if held.dtype not in _NUMPY_FLOATS and held.is_floating_point() else held).numpy()
    if isinstance(samples, DataLoader):
        return _first(samples)
    if isinstance(samples, Dataset) and hasattr(samples, "__getitem__") and hasattr(samples, "__len__"):
        spread = np.linspace(0, len(samples) - 1, min(len(samples), MOST_SAMPLES)).astype(int)
        return np.stack([_plain(_input(samples[int(i)])) for i in spread])
    if isinstance(samples, list | tuple) and any(isinstance(one, torch.Tensor) for one in samples):
        return np.asarray([_plain(one) for one in samples])
    return samples


def _first(loader: DataLoader[Any]) -> NDArray[Any]:
    parts, found = [], 0
    for batch in loader:
        parts.append(_plain(_input(batch)))
        found += len(parts[-1])
        if found >= MOST_SAMPLES:
            break
    joined: NDArray[Any] = np.concatenate(parts) if parts else np.zeros((0, 1))
    return joined[:MOST_SAMPLES]


def _input(item: Any) -> Any:
    """The input of an item (input, label, ...) of a data set or loader."""
    if isinstance(item, Mapping):
        raise ConversionError(
            "calibration data",
            f"its items are mappings with {', '.join(map(repr, item))}",
            "Pass the inputs: np.stack([item[KEY] for item in data])",
        )
    return item[0] if isinstance(item, tuple | list) else item


def _remedy_array(samples: Any) -> str:
    pairs = isinstance(samples, list | tuple) and any(isinstance(one, tuple | list) for one in samples)
    return f"Pass samples of one shape; for batches, np.concatenate([np.asarray(x) for {'x, *_' if pairs else 'x'} in batches])"


def as_given(samples: Any) -> Any:
    """As `as_array`; of a mapping a dict of arrays by name, the array alone where it has one."""
    if not isinstance(samples, Mapping):
        return as_array(samples)
    if not samples or not all(isinstance(name, str) for name in samples):
        raise ConversionError("calibration data", "they are a mapping without names of inputs", "Pass {name: array, ...}")
    return {name: as_array(array) for name, array in samples.items()}


def check_samples(graph: Graph, samples: Any, framed: bool = False) -> NDArray[np.float32]:
    """As `check_given`, of a graph with one input."""
    found = check_given(graph, samples, framed)
    assert not isinstance(found, Samples)
    return found


def check_given(graph: Graph, samples: Any, framed: bool = False) -> Given:
    """Calibration data as float32 (samples, *input shape), with frames (samples, frames, *input shape), of several inputs by
    their names, or the error that says what is wrong with them."""
    names = [layer.name for layer in graph.inputs]
    if not isinstance(samples, Mapping) and len(names) == 1:
        return _checked(samples, graph.inputs[0].shape, "calibration data", framed or graph.has_frames)
    if not isinstance(samples, Mapping):
        fact = f"they are one array, the network takes {len(names)} inputs ({', '.join(names)})"
        raise ConversionError("calibration data", fact, f"Pass {{{names[0]!r}: array, {names[1]!r}: array}}")
    for name in (*names, *samples):
        if name not in samples or name not in names:
            what = "is missing" if name not in samples else "is not one of the network's inputs"
            raise ConversionError(f"calibration data of {name!r}", f"it {what}", f"Pass arrays of {', '.join(names)}")
    checked = {
        layer.name: _checked(samples[layer.name], layer.shape, f"calibration data of {layer.name!r}", framed or graph.has_frames)
        for layer in graph.inputs
    }
    return Samples(checked) if len(checked) > 1 else checked[names[0]]


def _checked(samples: Any, shape: tuple[int, ...], where: str, framed: bool) -> NDArray[np.float32]:
    array = as_array(samples)
    if framed:
        check_frames(where, shape, array)
        shape = array.shape[1:]
    if array.ndim == 0 or len(array) == 0:
        raise ConversionError(where, "there are no samples", "Pass a few hundred typical inputs")
    if array.shape[1:] != shape:
        fact = f"one sample has shape {array.shape[1:]}, the network takes {shape}"
        raise ConversionError(where, fact, _remedy_shape(array.shape[1:], shape))
    with np.errstate(over="ignore"):
        held: NDArray[np.float32] = np.array(array, np.float32, order="C")
    if not np.isfinite(held).all():
        bad = np.flatnonzero(~np.isfinite(held.reshape(len(held), -1)).all(axis=1))
        fact = f"{bad.size} of {len(held)} samples hold NaN or infinity in float32, the first is sample {bad[0]}"
        raise ConversionError(where, fact, "Clean the data")
    if not held.any():
        raise ConversionError(where, "every value is zero", "Pass typical inputs, scaled as in training")
    return held


def _remedy_shape(given: tuple[int, ...], taken: tuple[int, ...]) -> str:
    if (1, *given) == taken:
        return "Pass x[:, None]"
    if given and (*given[-1:], *given[:-1]) == taken:
        axes = (0, len(given), *range(1, len(given)))
        return f"Pass x.transpose({axes})"
    if np.prod(given) == np.prod(taken):
        return f"Pass x.reshape(-1, {', '.join(map(str, taken))})"
    return "Pass (samples, *shape)"


def calibrate(
    graph: Graph,
    layers: Mapping[str, str],
    samples: NDArray[np.float32],
    see: Callable[[dict[str, torch.Tensor]], object] | None = None,
    *,
    batch: int = 0,
) -> dict[str, Range]:
    """Ranges of the values of some layers, `layers` {key: layer name}, in one pass over the samples, so many at a time (0: as
    `batch_of` has it); `see` is given the values of each batch."""
    histograms = {key: Histogram(graph[name].shape[0]) for key, name in layers.items()}
    wanted, batch = set(layers.values()), batch or batch_of(graph)
    for start in range(0, len(samples), batch):
        x = torch.as_tensor(samples[start : start + batch])
        values = evaluate(graph, {graph.inputs[0].name: x}, wanted)
        for key, name in layers.items():
            histograms[key].add(values[name])
        if see:
            see(values)
    return {key: histogram.finish() for key, histogram in histograms.items()}


def moments(found: Range, theta: Floats) -> tuple[Floats, Floats]:
    """Mean square and variance (channels,) of the activations clipped to [0, theta]."""
    used = np.flatnonzero(found.counts.any(axis=0))
    values = np.minimum(found.centres(used), theta[:, None])
    share = found.counts[:, used] / max(found.seen, 1)
    mean, square = (share * values).sum(axis=1), (share * values**2).sum(axis=1)
    return square, np.maximum(square - mean**2, 0)  # rounding can make it negative


def thresholds(found: Range, method: str, levels: int, ceiling: float | None = None) -> Floats:
    """Threshold per channel (channels,): the value of `levels` counts. Channels never positive get the layer's median.

    "max": the largest value seen; "percentile": the 99.9th of all values; "mse": least mean square error of
    (theta / n) clip(floor(a n / theta + 1/2), 0, n) for n = levels, over 46 candidates from 0.1 to 1 of the largest value.
    """
    theta = {"max": _largest, "percentile": _percentile, "mse": _least_squares}[method](found, levels)
    alive = ~found.dead & (theta > 0)
    theta = np.where(alive, theta, np.median(theta[alive]) if alive.any() else 1.0)
    return np.minimum(theta, ceiling) if ceiling is not None else theta


def _largest(found: Range, levels: int) -> Floats:
    return found.largest.copy()


def _percentile(found: Range, levels: int) -> Floats:
    above = found.counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    over = above > found.seen * (1 - PERCENTILE / 100)
    last = BINS - 1 - over[:, ::-1].argmax(axis=1)
    values = _CENTRES[last] * 2.0 ** (found.top + 1)
    return np.where(over.any(axis=1), np.minimum(values, found.largest), found.largest)


def _least_squares(found: Range, levels: int) -> Floats:
    used = np.flatnonzero(found.counts.any(axis=0))
    if not used.size:
        return found.largest.copy()
    values, counts = np.minimum(found.centres(used), found.largest[:, None]), found.counts[:, used].astype(np.float64)
    candidates = _GRID * np.where(found.dead, 1.0, found.largest)[:, None]
    errors = np.zeros_like(candidates)
    _add_errors(values, counts, levels / candidates, candidates / levels, float(levels), errors)
    best: Floats = candidates[np.arange(len(counts)), errors.argmin(axis=1)]
    return best


@compiled
def _add_errors(values: Any, counts: Any, ratios: Any, units: Any, levels: float, errors: Any) -> None:
    """Squared errors (channels, candidates) of values that occur so often, (channels, bins), with each candidate threshold: its
    unit is its share of one of the levels, its ratio the inverse."""
    for c in range(len(values)):
        for b in range(values.shape[1]):
            value, count = values[c, b], counts[c, b]
            if count == 0:
                continue
            for k in range(errors.shape[1]):
                level = min(max(np.floor(value * ratios[c, k] + 0.5), 0.0), levels)
                errors[c, k] += count * (units[c, k] * level - value) ** 2
