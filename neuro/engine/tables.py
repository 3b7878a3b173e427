"""The tables that compiled kernels obey: one record per population and per projection. Knows field names only.

All offsets point into the flat arenas of `engine.plan.Plan` (weights, tables) and `engine.store.Store` (spikes, state).
"""

from __future__ import annotations

from typing import Any

import numpy as np

# How every kernel is compiled: kept on disk, without the interpreter's lock, division as the machine does it.
COMPILED: Any = {"cache": True, "nogil": True, "error_model": "numpy"}
INLINED: Any = COMPILED | {"inline": "always"}  # merged into the caller, because each level of calls is optimised again

# Projection kinds.
CONV, DEPTHWISE, DENSE, SPARSE, SPARSE_WIDE = range(5)

# Neuron models.
IF, SIGNED, WAIT, RADIX, GRADED, CUBA, READOUT, USER, SOURCE = range(9)

# Accumulators: 16 bits for all projections together; 16 bits emptied into 32 after each part; 32 bits.
NARROW, FLUSHED, WIDE = range(3)

POPULATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            # layout
            "rows lanes size width channels block_rows "
            # accumulator: lanes of a row with its halo, lanes of the left halo, kind
            "acc_row halo accumulator "
            # window and model
            "start stop model threshold subtract hold limit gather digits minimum maximum current_decay voltage_decay shift doubling "
            # bias per lane: offset and stride from row to row (0 when all rows are alike)
            "bias_at bias_row "
            # state per neuron and sample: potential; held current, u or count; held current beside a count
            "v_at aux_at second_at "
            # spike lists: first place, places per sample and per row; segments likewise; 1 when messages carry payloads
            "list_at list_sample list_row segment_at segment_sample segment_row payload_at payload "
            # totals per neuron and sample; potentials after each step, or -1
            "count_at trace_at trace_sample "
            # projections into it
            "first_projection projections"
        ).split()
    ]
)

PROJECTION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind source delay scaled weights_at "
            # convolution: kernel rows and their geometry, table of columns, channels of the source
            "kernel_rows stride_y pad_y dilation_y columns_at channels taps tap_lanes groups_at "
            # depthwise: steps from tap to tap in weights and lanes
            "tap_weights "
            # dense: padded lanes of a target row, rows of a source neuron's weights, messages until a flush, fan-out table or -1
            "row_weights target_rows flush_every fan_at "
            # sparse: row pointers, source neurons
            "pointers_at sources"
        ).split()
    ]
)

# Per source column of a convolution: where its taps land, where their weights begin, lanes of one tap run, synapses per message.
COLUMN = 4
