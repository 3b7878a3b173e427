"""The tables that compiled kernels obey: one record per population and per projection. Knows field names only.

All offsets point into the flat arenas of `engine.plan.Plan` (weights, tables) and `engine.workspace.Workspace` (spikes, state).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# With the compiler off, kernels are plain Python: places are its integers, and records need fields as attributes.
U: Any = int if numba.config.DISABLE_JIT else np.uint64

# Projection kinds.
CONV, DEPTHWISE, DENSE, SPARSE, SPARSE_WIDE, SPARSE_BY_SOURCE = range(6)

# Neuron models.
IF, SIGNED, WAIT, RADIX, GRADED, CUBA, READOUT, TURNS, LEADER, VALUE, USER, SOURCE = range(12)

# What a port of a value neuron holds, how its ports are combined, how its table is read, what it sends.
FRESH, HELD_PORT, DIGIT_PORT, CHANGES = range(4)
CHARGE, PRODUCT, DOT, MAXIMUM = range(4)
NO_TABLE, DIRECT, RECIPROCAL, INVERSE_ROOT = range(4)
SEND_VALUE, SEND_CHANGE, SEND_DIGITS = range(3)

# Held currents: none; 32 bits; 64 bits in two words.
HELD, HELD_LONG = 1, 2

# Accumulators: 16 bits for all projections together; 16 bits emptied into 32 after each part; 32 bits.
NARROW, FLUSHED, WIDE = range(3)


class PlainRecord(np.record):
    """A row of a table whose fields are attributes; numpy means something else by `size`."""

    @property
    def size(self) -> int:  # type: ignore[override]  # see above
        return int(self["size"])


def _record(*names: str) -> np.dtype[np.void]:
    fields = [(name, np.int64) for group in names for name in group.split()]
    return np.dtype((PlainRecord, fields)) if numba.config.DISABLE_JIT else np.dtype(fields)


POPULATION = _record(
    "rows lanes size width channels block_rows",
    "acc_row halo accumulator",  # lanes of an accumulator row with its halo; lanes of the left halo; which accumulators
    "widens",  # 1 where the model's kernel reads 32 bits whatever the accumulators
    "start stop model threshold subtract hold limit gather digits minimum maximum current_decay voltage_decay shift doubling",
    "short",  # 1 where potentials before a step stay within 2^24, so that they fit 32 bits with any charge
    "refractory reset_interval reset_offset",
    "bias_at bias_row",  # bias per lane: offset, and stride from row to row (0 when all rows are alike)
    "v_at aux_at second_at",  # potential; held current, u or count; held current beside a count
    "state_stride",  # from a variable to the next
    "list_at list_sample list_row",  # spike lists: first place, places per sample and per row
    "segment_at segment_sample segment_row",  # their segments, one for each row and step
    "payload_at payload",  # payloads lie as the lists do; 1 where messages carry them, 2 where these need more than 16 bits
    "count_at trace_at trace_stride",  # messages per neuron; potentials after each step (-1: none), from step to step
    "first_projection projections",
    "ports port0 port1 port0_at port1_at sent_at",  # of a value neuron: how many; what they hold; numbers of state variables
    "combine period table emit point dead_zone rounds",  # rounds: by half of the power of two that scales
    "refresh refresh0 refresh1 refresh_sent",  # frames: of how many ports begin anew, and values are sent in full, in which
    "bits",  # of the index into a table where the leading bit is taken out
    "parameters_apart table_at",  # from an array of parameters to the next, as the bias is the first of them
)

PROJECTION = _record(
    "kind source delay port weights_at",
    "scaled carried exponent",  # scaled: charges are weights times something: the payload (carried), a power of two, or both
    "paired",  # whether that fits 16 bits
    "kernel_rows stride_y pad_y dilation_y",  # convolution: rows of the kernel and how they move
    "columns_at channels taps tap_lanes groups_at",  # table of columns, source channels, runs of taps, channel -> group table
    "tile_above tiles_at starts_at",  # messages beyond which a row is multiplied; weights in tiles, what makes up for offsets
    "tile_blocks tile_runs tile_steps",  # blocks of target channels, runs of source columns, steps of a run
    "tile_channels tile_stride tile_dilation tile_before tile_row",  # places of a spread row: a pixel, from one to the next, ...
    "runs_at runs spread blocks",  # depthwise: table of runs, how many, lanes of a spread row, blocks of lanes of a run; where no
    # column is read twice there are none: for each source lane its target's, or -1, is at columns_at, its weight's at runs_at
    "row_weights target_rows flush_every fan_at",  # dense: padded lanes of a row, .., fan-outs or -1; messages between flushes
    "pointers_at sources",  # sparse
    "rows_at reach_at",  # by source: target rows, from the place of the targets on; first and last target row of a source row
)

# Of networks in which every neuron sends once (`engine.batch`): what a population has beside `POPULATION`, and products of shared
# weights. Places are rows of the memory.
BATCHED = _record(
    "first number step_from step_to product_from product_to",  # its first row, its place among neurons, its steps and products
    "stride",  # of its parameters from neuron to neuron: 0 where all have the same
    "within short doubles",  # 1 where fresh ports need no clipping; products of two fit 32 bits; doubles hold what scaling makes
)
MULTIPLIED = _record("rows_at positions pairs blocks matrix_at made_at")

# Per source column of a convolution: where its taps land, where their weights begin, lanes of one run, synapses per message.
COLUMN = 4

# Per source column of a depthwise convolution: how far its lanes move when spread, synapses per message.
DEPTHWISE_COLUMN = 2

# Per kernel column of a depthwise convolution: lane of the spread row, weight lane.
RUN = 2
