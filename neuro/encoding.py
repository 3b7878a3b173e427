"""Input values -> messages of source neurons, step by step. Knows sources; knows nothing of engines or chips.

One rule for what any door accepts (runs, sessions, emulations, quantised evaluations), in `as_numbers`: arrays of integers, of
truth values (0 and 1) or of finite floats; floats must be whole where the source has no scale. Text, objects, complex numbers,
NaN and infinity are refused. Integers, once scaled, are computed with in 64 bits and sent in 32, within the range of the source.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import InputError, RangeWarning
from neuro.network import Network, Population
from neuro.neurons import Neuron, Source
from neuro.neurons.refreshing import renews
from neuro.numbers import whole
from neuro.specification import INT32

FAR = 1.5  # times the calibrated range: inputs beyond that are of another scale
MANY = 0.01  # share of values: more than that are not beyond the range by chance


def source_of(population: Population) -> Source:
    """The source that a population is, which has options of its own; InputError for any other population."""
    if not isinstance(population.neuron, Source):  # the one model that inputs drive, by codes of its own
        raise InputError(f"population {population.name!r}", "it is no source", "Name a population of neuro.Source()")
    return population.neuron


def by_source(network: Network, inputs: Any) -> dict[str, NDArray[Any]]:
    """Checked inputs per source population: one array when there is one source, else a mapping from names."""
    checked = {name: _check(network[name], array) for name, array in named(network, inputs).items()}
    if len({len(array) for array in checked.values()}) > 1:
        raise InputError("inputs", "sources got different numbers of samples", "Pass the same samples to all")
    streams = {name: array for name, array in checked.items() if source_of(network[name]).period is not None}
    frames = {name: array.shape[1] if is_stream(network[name], array) else 1 for name, array in streams.items()}
    if len(set(frames.values())) > 1:
        told = ", ".join(f"{count:,} of {name}" for name, count in frames.items())
        raise InputError("inputs", f"they hold different numbers of frames: {told}", "Pass as many for each input")
    return checked


def named(network: Network, inputs: Any) -> dict[str, Any]:
    """What is given for each source population, by name: anything where there is one source, else a mapping from names."""
    names = [p.name for p in network.sources]
    if not names:
        raise InputError("inputs", "the network has no Source population to receive them", "Add a population of neuro.Source()")
    if isinstance(inputs, Mapping):
        missing = sorted(map(str, set(names) ^ set(inputs)))
        if missing:
            raise InputError("inputs", f"{missing[0]!r} is not matched", f"Pass one array for each of {', '.join(names)}")
        return {name: inputs[name] for name in names}
    if len(names) > 1:
        raise InputError("inputs", f"the network has {len(names)} sources", f"Pass a mapping with {', '.join(names)}")
    return {names[0]: inputs}


def as_numbers(population: Population, inputs: Any) -> NDArray[Any]:
    """Inputs as an array of integers, truth values or finite floats, whole ones where the source has no scale; or InputError."""
    where, source = f"inputs for {population.name!r}", source_of(population)
    try:
        array = np.asarray(inputs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            where, f"they are no array ({error})", "Pass a NumPy array of numbers, with rows of equal length"
        ) from None
    if array.dtype.kind not in "buif":
        raise InputError(where, f"their dtype is {array.dtype}", "Pass numbers, integers of at most 64 bits")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(where, "they hold NaN or infinity", "Replace them by finite numbers")
        if source.scale is None and not np.array_equal(array, np.rint(array)):
            raise InputError(where, "they are fractions and the source has no scale", "Round them, or give Source a scale")
    return array


def clipped_values(network: Network, inputs: Mapping[str, NDArray[Any]], told: set[str] | None = None) -> dict[str, int]:
    """How many of the checked inputs lie beyond what each source can send and are clipped, {source: values}, none left out.

    Warns (RangeWarning) where some lie far beyond: the network was made for smaller ones; of each source once, where those that
    were warned of are kept in `told`. Streams are not clipped but refused.
    """
    kept = set() if told is None else told
    return {name: _clipped(network[name], array, kept) for name, array in inputs.items()}


def _clipped(population: Population, array: NDArray[Any], told: set[str]) -> int:
    source = source_of(population)
    if source.scale is None or (is_stream(population, array) and source.period is None):
        return 0
    lowest, highest = float(array.min()), float(array.max())
    reach = source.scale * source.levels
    signed = source.twin or source.messages[0] < 0
    bounds = (-reach - source.scale / 2 if signed else -source.scale / 2, reach + source.scale / 2)
    if bounds[0] <= lowest and highest <= bounds[1]:
        return 0
    beyond = int(np.count_nonzero(array < bounds[0]) + np.count_nonzero(array > bounds[1]))
    far = highest > FAR * reach or lowest < -(FAR if signed else FAR - 1) * reach
    if (far or beyond > MANY * array.size) and population.name not in told:
        told.add(population.name)
        fact = f"{beyond:,} of {array.size:,} values lie beyond the calibrated range {-reach if signed else 0:g} to {reach:g}"
        warnings.warn(
            f"inputs for {population.name!r}: {fact} (they are {lowest:g} to {highest:g}) and are clipped. "
            "Scale them as the calibration samples were, or convert with samples that cover their range",
            RangeWarning,
            stacklevel=4,
        )
    return beyond


def value_shape(population: Population) -> tuple[int, ...]:
    """Shape of the values that drive a source: half the channels of a `twin` source."""
    source = source_of(population)
    return (population.shape[0] // 2, *population.shape[1:]) if source.twin else population.shape


def is_stream(population: Population, inputs: NDArray[Any]) -> bool:
    """Whether inputs hold one value per step or frame, (samples, steps, *shape)."""
    return inputs.ndim == len(value_shape(population)) + 2


def _check(population: Population, inputs: Any) -> NDArray[Any]:
    array = as_numbers(population, inputs)
    where, shape = f"inputs for {population.name!r}", value_shape(population)
    ok = array.ndim in (len(shape) + 1, len(shape) + 2) and array.shape[array.ndim - len(shape) :] == shape
    if not ok:
        raise InputError(
            where,
            f"their shape is {array.shape}, the source is {shape}",
            f"Pass (samples, {', '.join(map(str, shape))}) or (samples, steps, {', '.join(map(str, shape))})",
        )
    if len(array) == 0:
        raise InputError(where, "there are no samples", "Pass at least one")
    return array


def quantise(source: Source, values: NDArray[Any]) -> NDArray[np.int64]:
    """Values -> integers within the source's range, element by element (a twin's halves must be split before).

    Real values beyond the range are clipped, as `Source` says; integers are refused, and so is NaN.
    """
    low = -source.levels if source.messages[0] < 0 or source.neuron is not None else 0
    high = min(source.levels, (1 << source.digits) - 1) if source.code == "radix" else source.levels
    scaled = _scaled(source, values)
    if scaled.size and low <= scaled.min() and scaled.max() <= high:  # never of NaN
        return scaled.astype(np.int64)
    clipped = np.clip(scaled, low, high)
    if np.isnan(clipped).any():
        raise InputError("inputs", "they hold NaN", "Replace them by finite numbers")
    if source.scale is None and not np.array_equal(clipped, scaled):
        raise InputError("inputs", f"integers leave the source's range {low}..{high}", "Scale them, or raise `levels`")
    return clipped.astype(np.int64)


def _scaled(source: Source, values: NDArray[Any]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Values in units of the source's scale, rounded, in 64 bits: integers stay integers where there is no scale."""
    if source.scale is not None:
        return np.rint(np.asarray(values, np.float64) / source.scale)
    if values.dtype.kind == "f" or values.dtype == np.uint64:  # doubles hold every integer that is within a source's range
        return values.astype(np.float64)
    return values.astype(np.int64, copy=False)


def encode(population: Population, inputs: NDArray[Any], timesteps: int) -> NDArray[np.int32]:
    """Messages (samples, steps, neurons) that a source sends for checked inputs from its first step on; then it is silent."""
    source = source_of(population)
    samples, size = len(inputs), population.size
    if source.neuron is not None:
        return _drive(population, source.neuron, inputs, timesteps)
    if is_stream(population, inputs) or source.period is not None:
        messages = stream_messages(population, inputs)
        if messages.shape[1] > timesteps:
            raise InputError(
                f"inputs for {population.name!r}",
                f"{messages.shape[1]} steps of input, {timesteps} timesteps",
                "Pass more timesteps",
            )
        return messages
    values = _quantised(population, inputs).reshape(samples, size)
    if source.code == "once":
        return values[:, None, :].astype(np.int32)
    steps = source.active_steps(timesteps)
    messages = np.zeros((samples, steps, size), np.int32)
    if source.code == "held":
        messages[:] = values[:, None, :]
    elif source.code == "radix":
        for step in range(steps):
            messages[:, step] = (values >> (source.digits - 1 - step)) & 1
    else:
        _fire(source, values, messages)
    return messages


def _drive(population: Population, neuron: Neuron, inputs: NDArray[Any], timesteps: int) -> NDArray[np.int32]:
    """What chip neurons send whose register holds the inputs, (samples, steps, neurons); the last value of a stream stays."""
    values = quantise(source_of(population), inputs)
    values = values.reshape(len(values), -1, population.size)
    if values.shape[1] > timesteps:
        where = f"inputs for {population.name!r}"
        raise InputError(where, f"{values.shape[1]} steps of input, {timesteps} timesteps", "Pass more timesteps")
    arrays = {"initial_potential": np.broadcast_to(neuron.initial_potential, population.shape).ravel()}
    state = (neuron.changed(**arrays) if np.ndim(neuron.initial_potential) else neuron).initial_state(values[:, 0].shape)
    messages = np.zeros((len(values), timesteps, population.size), np.int32)
    nothing = np.zeros_like(values[:, 0])
    for step in range(timesteps):
        value = values[:, min(step, values.shape[1] - 1)]
        if neuron.mantissas:
            state, messages[:, step], _ = neuron.with_arrays(bias=value).advance(state, nothing, step)
        else:
            state, messages[:, step], _ = neuron.advance(state, value, step)
    return messages


def _quantised(population: Population, inputs: NDArray[Any]) -> NDArray[np.int64]:
    source = source_of(population)
    return quantise(source, _halves(inputs, 1) if source.twin else inputs)


def _halves(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """What is above zero and what is below it, one behind the other along an axis."""
    signed = values.astype(np.float64)
    return np.concatenate([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=axis)


def frame_messages(
    population: Population, inputs: NDArray[Any], known: NDArray[np.int64], first: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Messages (samples, frames x period, neurons) of a source with frames, and what receivers know of it then.

    inputs: checked frames (samples, frames, *shape), clipped to what the source can send. known (samples, neurons): what
    receivers know before, of a source that sends changes; first: the number of the first frame.
    """
    source = source_of(population)
    values = _halves(inputs, 2) if source.twin else inputs
    frames = quantise(source, values).reshape(*inputs.shape[:2], population.size)
    messages = np.zeros((len(frames), frames.shape[1] * (source.period or 1), population.size), np.int32)
    if source.emit == "value":
        messages[:, :: source.period] = frames
        return messages, known
    for i in range(frames.shape[1]):
        if renews(source, (first + i) * (source.period or 1), source.refresh_sent):
            messages[:, i * (source.period or 1)], known = frames[:, i], frames[:, i]
            continue
        change = frames[:, i] - known
        change = np.where(np.abs(change) >= source.dead_zone, change, 0)
        messages[:, i * (source.period or 1)], known = change, known + change
    return messages, known


def stream_messages(population: Population, inputs: NDArray[Any]) -> NDArray[np.int32]:
    """Messages (samples, steps, neurons) of a checked stream (samples, steps, *value shape): sent as they are, once scaled.
    Of a source with frames: one frame every period."""
    source = source_of(population)
    if source.period is not None:
        frames = inputs if is_stream(population, inputs) else inputs[:, None]
        return frame_messages(population, frames, np.zeros((len(inputs), population.size), np.int64))[0]
    scaled = _scaled(source, inputs) if source.scale is not None or inputs.dtype.kind == "f" else inputs
    if source.twin:
        scaled = _halves(scaled, 2)
    low, high = source.messages
    if scaled.size and (scaled.min() < low or scaled.max() > high):
        raise InputError(f"inputs for {population.name!r}", f"a message leaves {low}..{high}", "Scale it, or raise `levels`")
    return scaled.reshape(*inputs.shape[:2], population.size).astype(np.int32)


def _fire(source: Source, values: NDArray[np.int64], messages: NDArray[np.int32]) -> None:
    """Bias currents -> spikes, those of a SignedIntegrateAndFire whose threshold is `levels`, and whose potential begins at half
    of it and has as many bits as it needs: `levels` is one spike a step; the first comes early by half a period."""
    half = source.levels // 2
    before = np.zeros_like(values)
    for step in range(messages.shape[1]):
        sent = (half + (step + 1) * values) // source.levels  # so far, as |values| <= levels
        messages[:, step] = sent - before
        before = sent


def check_timesteps(network: Network, inputs: Mapping[str, NDArray[Any]], timesteps: int | None) -> int:
    """The window to run: what was asked for, else the stream's length, else what the network was made for."""
    if timesteps is not None:
        return whole("run", "timesteps", timesteps, 1, INT32.max - 1, error=InputError)
    streams = [
        array.shape[1] * (source_of(network[name]).period or 1)
        for name, array in inputs.items()
        if is_stream(network[name], array)
    ]
    if streams:
        return int(max(1, *streams))
    if network.timesteps is None:
        raise InputError("timesteps", "the network has no window of its own and the inputs have no steps", "Pass timesteps=")
    return network.timesteps
