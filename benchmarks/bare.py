"""Bare kernels: the additions of a projection for given messages and nothing else, in plain numba loops. The roof of an engine.

They share no code with the engine: messages come as lists per step, weights in the form that suits the loop, 16-bit where the
engine proved that enough. `seconds(...)` returns processor time of the best of some repeats, and the additions made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numba import njit

import neuro
from neuro.engine.records import Messages

OPTIONS = {"nogil": True, "error_model": "numpy", "cache": True}


@njit(**OPTIONS)
def add_rows(acc, at, w, offsets, n, length):
    """acc[at:at + length] += n rows of weights, four at a time."""
    i = 0
    while i + 4 <= n:
        a, b, c, d = offsets[i], offsets[i + 1], offsets[i + 2], offsets[i + 3]
        for j in range(length):
            acc[at + j] += (w[a + j] + w[b + j]) + (w[c + j] + w[d + j])
        i += 4
    while i < n:
        a = offsets[i]
        for j in range(length):
            acc[at + j] += w[a + j]
        i += 1


@njit(**OPTIONS)
def dense(acc, w, width, begins, sources, offsets):
    for t in range(len(begins) - 1):
        acc[:] = 0
        n = begins[t + 1] - begins[t]
        for i in range(n):
            offsets[i] = np.uint64(sources[begins[t] + i]) * np.uint64(width)
        add_rows(acc, np.uint64(0), w, offsets, n, np.uint64(width))
    return (begins[-1] - begins[0]) * width


@njit(**OPTIONS)
def convolution(
    acc, w, begins, lanes, channels, places, rows, kernel_rows, stride, pad, dilation, target_rows, target_lanes, offsets
):
    """begins: messages per (step, source row); places: per column its lane, weight offset, run, synapses; acc has a halo."""
    additions = 0
    for t in range(len(begins) // rows):
        acc[:] = 0
        for y in range(rows):
            first, last = begins[t * rows + y], begins[t * rows + y + 1]
            for ky in range(kernel_rows):
                at = y + pad - ky * dilation
                if at % stride != 0 or at < 0 or at // stride >= target_rows:
                    continue
                i = first
                while i < last:
                    x = lanes[i] // channels
                    n = 0
                    run = places[x, 2]
                    while i < last and lanes[i] < (x + 1) * channels:
                        c = lanes[i] - x * channels
                        offsets[n] = np.uint64(places[x, 1] + (ky * channels + c) * run)
                        n += 1
                        i += 1
                    add_rows(acc, np.uint64(at // stride * target_lanes + places[x, 0]), w, offsets, n, np.uint64(run))
                    additions += n * places[x, 3]
    return additions


@njit(**OPTIONS)
def listed(acc, w, targets, pointers, begins, sources):
    additions = 0
    for t in range(len(begins) - 1):
        acc[:] = 0
        for i in range(begins[t], begins[t + 1]):
            a, b = np.uint64(pointers[sources[i]]), np.uint64(pointers[sources[i] + 1])
            additions += b - a
            for k in range(a, b):
                acc[targets[k]] += w[k]
    return additions


@dataclass(frozen=True)
class Roof:
    """Additions of a projection for the messages of one sample, and the processor seconds that they alone take."""

    synops: int
    seconds: float


def roof(network: neuro.Network, projection: object, messages: Messages, steps: range, repeats: int = 3) -> Roof:
    """The roof of one projection for messages sent at `steps` (those that arrive within the target's window)."""
    source, target = network[projection.source].shape, network[projection.target].shape
    begins, sources = _chosen(messages, steps)
    weight = projection.stored_weights
    if isinstance(projection, neuro.Dense):
        worst = np.maximum(np.maximum(weight, 0).sum(axis=0).max(), np.maximum(-weight, 0).sum(axis=0).max())
        kind = np.int16 if worst < 2**15 else np.int32
        arguments = (
            np.zeros(weight.shape[1], kind),
            weight.ravel().astype(np.int16),
            weight.shape[1],
            begins,
            sources,
            _room(source),
        )
        return _timed(dense, arguments, repeats)
    if isinstance(projection, neuro.Conv2d) and projection.groups == 1:
        return _timed(convolution, _convolution(projection, source, target, begins, sources), repeats)
    synapses = projection.synapses(source, target)
    order = np.lexsort((synapses.post, synapses.pre))
    arguments = (
        np.zeros(int(np.prod(target)), np.int32),
        synapses.weight[order].astype(np.int16),
        synapses.post[order].astype(np.uint16 if int(np.prod(target)) < 1 << 16 else np.uint32),
        np.concatenate([[0], np.cumsum(np.bincount(synapses.pre, minlength=int(np.prod(source))))]).astype(np.int64),
        begins,
        sources,
    )
    return _timed(listed, arguments, repeats)


def _timed(kernel, arguments, repeats: int) -> Roof:
    kernel(*arguments)
    best, done = float("inf"), 0
    for _ in range(repeats):
        start = time.thread_time()
        done = kernel(*arguments)
        best = min(best, time.thread_time() - start)
    return Roof(int(done), best)


def _room(source: tuple[int, ...]) -> np.ndarray:
    return np.zeros(int(np.prod(source)) + 1, np.uint64)


def _chosen(messages: Messages, steps: range) -> tuple[np.ndarray, np.ndarray]:
    begins = messages.offsets[steps.start : steps.stop + 1]
    return begins, messages.neurons.astype(np.int64)


def _convolution(conv, source, target, begins, sources):
    """Messages by (step, source row) in channels-last order; taps of a column side by side; accumulators with a halo."""
    (channels, rows, width), (out, target_rows, target_width) = source, target
    (stride_y, stride), (dilation_y, dilation), pad = conv.stride, conv.dilation, conv.padding[1][0]
    step = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    chosen = sources[begins[0] : begins[-1]]
    c, y, x = np.unravel_index(chosen, source)
    order = np.lexsort((c, x, y, step))
    lanes = (x * channels + c)[order]
    starts = np.searchsorted((step * rows + y)[order], np.arange((len(begins) - 1) * rows + 1))
    taps = [[k for k in range(conv.weights.shape[3])[::-1] if (i + pad - k * dilation) % stride == 0] for i in range(width)]
    reached = [[(i + pad - k * dilation) // stride for k in ks] for i, ks in enumerate(taps)]
    assert dilation == 1, "bare convolutions have no dilation"
    halo = -min(min(r, default=0) for r in reached)
    wide = halo + max(target_width, max(max(r, default=0) for r in reached) + 1)
    places, weights, packed = np.zeros((width, 4), np.int64), [], {}
    for i, (ks, r) in enumerate(zip(taps, reached, strict=True)):
        if tuple(ks) not in packed:
            packed[tuple(ks)] = sum(w.size for w in weights)
            weights.append(conv.weights[..., ks].transpose(2, 1, 3, 0).reshape(-1).astype(np.int16))
        inside = sum(0 <= column < target_width for column in r)
        places[i] = (((r[0] if r else 0) + halo) * out, packed[tuple(ks)], len(ks) * out, inside * out)
    worst = np.maximum(conv.weights.clip(0).sum(axis=(1, 2, 3)).max(), (-conv.weights).clip(0).sum(axis=(1, 2, 3)).max())
    acc = np.zeros(target_rows * wide * out, np.int16 if worst < 2**15 else np.int32)
    geometry = (rows, conv.weights.shape[2], stride_y, conv.padding[0][0], dilation_y, target_rows, wide * out)
    return (acc, np.concatenate(weights), starts, lanes, channels, places, *geometry, _room(source))
