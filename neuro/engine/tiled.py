"""Convolutions as dense products, for source rows in which so many neurons send that adding weights one by one takes longer.

Knows how weights lie in tiles, when a product is cheaper, and the loops over the tiles of a row; `engine.tiles` multiplies one. A
row is spread first: four channels at a time, zeros where nothing was sent. Where accumulators have 16 bits, messages are -1, 0 or
1 and weights may lie in bytes: these are multiplied as bytes, signed messages as 0, 1 or 2, of which the sum of the weights is
taken off again (`starts`). All else is multiplied in words of 16 bits. Either is exact: 16-bit sums wrap around and come out
right, since the sum itself was proven to fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import inner
from neuro.engine.lanes import HALF, PAIRS, QUADS
from neuro.engine.layout import Layout
from neuro.engine.tables import COLUMN, U
from neuro.engine.tiles import GROUP, OUTPUTS, PIXELS, bytes1, bytes4, bytes_most, words1, words4, words_most
from neuro.projections import Conv2d

NEVER = 1 << 40  # messages of a row from which on it is multiplied
NO_TILES, OCTETS, WORDS = range(3)  # what a kernel multiplies
SOME = 4  # pixels of a tile

# Nanoseconds, measured by benchmarks/crossover.py on an AMD EPYC with AVX2 and on one with AVX-512 VNNI (`QUADS`): only their
# ratios matter.
TILE_NS = {OCTETS: 4.0, WORDS: 8.0} if QUADS else {OCTETS: 8.0, WORDS: 12.0}  # of a tile, and of each of its steps
STEP_NS = {OCTETS: 1.1, WORDS: 2.05} if QUADS else {OCTETS: 2.3, WORDS: 5.4}
SPREAD_NS, VALUE_NS = 1.2, 0.02  # of a message, and of a place, that is spread
KINDS = tuple((how, factor) for how in (OCTETS, WORDS) for factor in (False, True))  # of messages: of bytes with a sign or none
ADD_NS = dict(zip(KINDS, (0.35, 0.5, 0.5, 1.5) if QUADS else (1.6, 2.0, 1.6, 2.5), strict=True))  # of a message that is added
HALF_NS = dict(zip(KINDS, (0.17, 0.21, 0.36, 0.33) if QUADS else (0.28, 0.5, 0.5, 0.6), strict=True))  # of a HALF of its run


def has_tiles(conv: Conv2d) -> bool:
    """Whether a convolution can be multiplied: not where groups of channels keep to themselves, or the processor cannot."""
    return PAIRS and conv.groups == 1


def runs_of(conv: Conv2d) -> int:
    """How many runs of neighbouring source columns a kernel row reads: one, or with a dilation one for each kernel column."""
    return 1 if conv.dilation[1] == 1 else conv.weights.shape[3]  # type: ignore[index]  # settled to pairs at birth


def whole(channels: int) -> int:
    """Channels of a spread row: whole steps."""
    return -(-channels // GROUP) * GROUP


def tiles_of(conv: Conv2d) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Weights [kernel row, run, block of targets, step, OUTPUTS, GROUP]; and [1 + kernel row, targets] what makes up for
    messages that are multiplied with 1 added: minus the sums of weights. Its first row is 0."""
    out, channels, rows, columns = conv.weights.shape
    blocks, runs = -(-out // OUTPUTS), runs_of(conv)
    padded = np.zeros((blocks * OUTPUTS, whole(channels), rows, columns), np.int16)
    padded[:out, :channels] = conv.weights
    starts = np.zeros((1 + rows, blocks * OUTPUTS), np.int64)
    starts[1:] = -padded.sum(axis=(1, 3), dtype=np.int64).T
    lanes = padded.reshape(blocks, OUTPUTS, -1, GROUP, rows, runs, columns // runs)
    return lanes.transpose(4, 5, 0, 6, 2, 1, 3).reshape(rows, runs, blocks, -1, OUTPUTS, GROUP), starts


def tile_bytes(conv: Conv2d) -> int:
    """Bytes of what `tiles_of` returns, as it is kept."""
    out, channels, rows, columns = conv.weights.shape
    lanes = -(-out // OUTPUTS) * OUTPUTS
    return int(rows * columns * lanes * whole(channels) * 2 + (1 + rows) * lanes * 4)


def describe_tiles(row: Any, conv: Conv2d, source: Layout, target: Layout) -> None:
    """What the loops need to know of a convolution, but for where its weights begin."""
    columns, pad = conv.weights.shape[3], conv.padding[1][0]
    stride, dilation, channels = conv.stride[1], conv.dilation[1], whole(source.channels)  # type: ignore[index]  # pairs
    row["tile_blocks"], row["tile_runs"] = -(-target.channels // OUTPUTS), runs_of(conv)
    row["tile_steps"] = columns // int(row["tile_runs"]) * channels // GROUP
    row["tile_channels"], row["tile_stride"], row["tile_dilation"] = channels, stride * channels, dilation * channels
    read = (target.width - 1) * stride + (columns - 1) * dilation + 1
    row["tile_before"], row["tile_row"] = pad * channels, max(read, source.width + pad) * channels


def worth_tiles(row: Any, source: Layout, target: Layout) -> bool:
    """Whether there are rows that a product takes less time for, whatever is sent."""
    return min(threshold(row, source, target, how, scaled) for how, scaled in ADD_NS) < source.lanes


def way_of(wide: bool, weights: Any) -> int:
    """What kernels with these accumulators and weights multiply."""
    return WORDS if wide or weights.itemsize > 1 else OCTETS


def threshold(row: Any, source: Layout, target: Layout, how: int, scaled: bool) -> int:
    """Messages of a source row beyond which a product takes less time than adding their weights."""
    pixels = target.width // SOME + target.width % SOME / 2
    tiles = pixels * int(row["tile_blocks"] * row["tile_runs"])
    product = tiles * (TILE_NS[how] + int(row["tile_steps"]) * STEP_NS[how])
    spread = SPREAD_NS / int(row["kernel_rows"])
    reached = int(row["tile_runs"] * row["tile_steps"]) * GROUP // int(row["tile_channels"]) * target.width / source.width
    halves = -(-reached * target.channels // HALF)
    added = ADD_NS[how, scaled] + halves * HALF_NS[how, scaled]
    fixed = product + int(row["tile_row"]) * VALUE_NS / int(row["kernel_rows"])
    return min(NEVER, int(fixed / (added - spread))) if added > spread else NEVER


@inner
def spread_values(q: Any, tables: Any, lists: Any, low: Any, high: Any, payloads: Any, shift: Any, values: Any, more: int) -> Any:
    """Write messages of one row, `more` added to each, between places where nothing was sent; returns the synapses that they
    visit through one kernel row."""
    channels, synops = U(q.channels), np.int64(0)
    reciprocal, gap, before = (U(1) << U(40)) // channels + U(1), U(q.tile_channels - q.channels), U(q.tile_before)
    for j in range(U(q.tile_row)):
        values[j] = more
    for i in range(U(low), U(high)):
        lane = U(lists[i])
        x = (lane * reciprocal) >> U(40)
        factor = (np.int64(payloads[i + U(shift)]) if q.carried else np.int64(1)) << q.exponent
        values[before + lane + x * gap] = factor + more
        synops += tables[q.columns_at + COLUMN * np.int64(x) + 3]
    return synops


@inner
def multiply_octets(
    acc: Any, weights: Any, tables: Any, p: Any, q: Any, values: Any, signed: Any, reach: Any, reached: int
) -> None:
    """Add the products of a spread row of bytes to the target rows that it reaches."""
    steps, apart, stride, lanes = U(q.tile_steps), U(p.channels), U(q.tile_stride), U(OUTPUTS * GROUP)
    blocks, runs, width = U(q.tile_blocks), U(q.tile_runs), U(p.width)
    for r in range(reached):
        for run in range(runs):
            w = U(q.tiles_at) + (U(reach[r, 0]) * runs + run) * blocks * steps * lanes
            s = U(q.starts_at) + (U(reach[r, 0] + 1) * blocks * U(OUTPUTS) if signed and run == U(0) else U(0))
            for block in range(blocks):
                at, v, x = U(reach[r, 1] + p.halo) + block * U(OUTPUTS), run * U(q.tile_dilation), U(0)
                while x + U(PIXELS) <= width:
                    bytes_most(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(PIXELS)
                while x + U(SOME) <= width:
                    bytes4(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(SOME)
                while x < width:
                    bytes1(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(1)
                w, s = w + steps * lanes, s + U(OUTPUTS)


@inner
def multiply_words(acc: Any, weights: Any, tables: Any, p: Any, q: Any, values: Any, reach: Any, reached: int) -> None:
    """The same for a spread row of words."""
    steps, apart, stride, lanes = U(q.tile_steps), U(p.channels), U(q.tile_stride), U(OUTPUTS * GROUP)
    blocks, runs, width = U(q.tile_blocks), U(q.tile_runs), U(p.width)
    for r in range(reached):
        for run in range(runs):
            w, s = U(q.tiles_at) + (U(reach[r, 0]) * runs + run) * blocks * steps * lanes, U(q.starts_at)
            for block in range(blocks):
                at, v, x = U(reach[r, 1] + p.halo) + block * U(OUTPUTS), run * U(q.tile_dilation), U(0)
                while x + U(PIXELS) <= width:
                    words_most(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(PIXELS)
                while x + U(SOME) <= width:
                    words4(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(SOME)
                while x < width:
                    words1(acc, at + x * apart, apart, weights, w, lanes, values, v + x * stride, stride, steps, tables, s)
                    x += U(1)
                w += steps * lanes
