"""Projections in the storage forms of the compiled kernels, packed into flat arenas.

A convolution keeps, for every source column phase, kernel row and source channel, its taps side by side in one row of
(taps x target channels) weights; messages of any column then add one contiguous row. Borders need no test: accumulators have
a halo. Depthwise kernels, sums and one-to-one projections keep single weights. Dense rows are padded to whole vectors.
Sparse synapses are listed in `engine.listing`; when more than one pair in `DENSE_BELOW` is a synapse they are executed as dense
rows (their fan-out is still counted synapse by synapse).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.engine import tables as T
from neuro.engine.bounds import INT16, INT32, as_convolution, is_depthwise, listed, magnitude
from neuro.engine.columns import Columns, apart, most_taps, neighbours, padded_targets, tap_step
from neuro.engine.lanes import HALF, LANES
from neuro.engine.layout import Layout
from neuro.engine.listing import has_repeats, in_memory, list_by_row, list_by_source, listed_by_row
from neuro.engine.tiled import NEVER, describe_tiles, has_tiles, tiles_of, worth_tiles
from neuro.network import Network
from neuro.projections import Conv2d, Projection

DENSE_BELOW = 12
DENSE_LIMIT = 1 << 27  # weights that a sparse projection may be padded to


class Packer:
    """Collects the arenas while a plan is made."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {
            name: [np.zeros(0, kind)]
            for name, kind in (
                ("narrow", np.int16),
                ("tables", np.int32),
                ("small", np.int16),
                ("wide", np.int32),
                ("targets", np.uint32),
                ("pointers", np.int64),
            )
        }
        self._length = dict.fromkeys(self._parts, 0)

    def arenas(self) -> tuple[NDArray[Any], ...]:
        """narrow (8 bits where all fit), tables (64 bits where 32 are too few), small, wide, targets (16 bits where all fit),
        pointers; never empty. The packer lets go of its parts."""
        joined = {}
        for name, parts in self._parts.items():
            joined[name] = np.concatenate([*parts, np.zeros(LANES, parts[0].dtype)])
            parts.clear()
        if joined["targets"].max() < 1 << 16:
            joined["targets"] = joined["targets"].astype(np.uint16)
        if magnitude(joined["narrow"]) < 1 << 7:
            joined["narrow"] = joined["narrow"].astype(np.int8)
        return tuple(joined.values())

    def _add(self, arena: str, values: NDArray[Any]) -> int:
        at, kind = self._length[arena], self._parts[arena][0].dtype
        if arena == "tables" and magnitude(values) > INT32:
            kind = np.dtype(np.int64)
        flat = np.ascontiguousarray(values, kind).ravel()
        self._parts[arena].append(flat)
        self._length[arena] += len(flat)
        return at

    def halo(self, incoming: Sequence[Projection], network: Network, layout: Layout) -> tuple[int, int]:
        """Columns that the accumulators need left and right of the image."""
        left = right = 0
        for projection in incoming:
            conv = as_convolution(projection, network)
            if conv is None or is_depthwise(conv):
                continue
            reach = [
                t
                for ts in Columns.of(conv, Layout.of(network[conv.source].shape).width).targets
                for t in padded_targets(conv, ts)
            ]
            left, right = max(left, -min(reach, default=0)), max(right, max(reach, default=0) - layout.width + 1)
        return left, right

    def pack(self, projection: Projection, network: Network, source: Layout, target: Layout, halo: int) -> Any:
        """The projection's record; its weights and tables go to the arenas. `halo`: lanes left of the target's accumulators."""
        row = np.zeros((), T.PROJECTION)
        row["delay"], row["port"], row["groups_at"], row["fan_at"] = projection.delay, projection.port, -1, -1
        row["tile_above"] = NEVER
        if projection.rule is not None:
            self._pack_plastic(row, projection, network, source, target, halo)
            return row
        conv, matrix = as_convolution(projection, network), projection.matrix
        if conv is not None:
            self._pack_convolution(row, conv, source, target, halo)
        elif matrix is not None and magnitude(matrix) <= INT16:
            self._pack_dense(row, matrix, source, target)
        else:
            self._pack_listed(row, projection, network, source, target, halo)
        return row

    def _pack_convolution(self, row: Any, conv: Conv2d, source: Layout, target: Layout, halo: int) -> None:
        out, per_group, kernel_rows, kernel_columns = conv.weights.shape
        columns = Columns.of(conv, source.width)
        row["kernel_rows"], row["channels"] = kernel_rows, source.channels
        row["stride_y"], row["dilation_y"], row["pad_y"] = conv.stride[0], conv.dilation[0], conv.padding[0][0]  # type: ignore[index]  # a Conv2d holds pairs once it is made
        if is_depthwise(conv):
            self._pack_depthwise(row, conv, columns, source, target)
            return
        row["kind"], row["flush_every"] = T.CONV, max(1, INT16 // max(1, magnitude(conv.weights)))
        merged = conv.groups == 1 and neighbours(conv)
        row["taps"], row["tap_lanes"] = (1, 0) if merged else (most_taps(columns), tap_step(conv) * target.channels)
        group_size = out // conv.groups
        if conv.groups > 1:
            row["groups_at"] = self._add("tables", np.arange(source.channels) // per_group * group_size)
        table = np.zeros((source.width, T.COLUMN), np.int64)
        phases: dict[tuple[int, ...], tuple[int, int]] = {}
        for x, (targets, taps) in enumerate(zip(columns.targets, columns.taps, strict=True)):
            if tuple(taps) not in phases:
                phases[tuple(taps)] = self._pack_phase(conv, taps, merged, int(row["taps"]))
            begin, run = phases[tuple(taps)]
            inside = sum(0 <= t < target.width for t in targets)
            table[x] = (halo + (targets[0] if targets else 0) * target.channels, begin, run, inside * group_size)
        row["columns_at"] = self._add("tables", table)
        if has_tiles(conv):
            describe_tiles(row, conv, source, target)
            if worth_tiles(row, source, target):
                tiles, starts = tiles_of(conv)
                row["tiles_at"], row["starts_at"], row["tile_above"] = self._add("narrow", tiles), self._add("tables", starts), 0

    def _pack_phase(self, conv: Conv2d, taps: list[int], merged: bool, most: int) -> tuple[int, int]:
        """Weights [kernel row, source channel, taps x target channels] of one phase: where they begin, lanes of a run."""
        out, per_group, kernel_rows, _ = conv.weights.shape
        group_size, channels = out // conv.groups, per_group * conv.groups
        weights = conv.weights.reshape(conv.groups, group_size, per_group, kernel_rows, -1)[..., taps]
        weights = weights.transpose(3, 0, 2, 4, 1).reshape(kernel_rows, channels, len(taps), group_size)
        if merged:
            weights = weights.reshape(kernel_rows, channels, 1, len(taps) * group_size)
        run = -(-weights.shape[3] // HALF) * HALF
        padded = np.zeros((kernel_rows, channels, 1 if merged else most, run), np.int16)
        padded[:, :, : weights.shape[2], : weights.shape[3]] = weights
        return self._add("narrow", padded), run

    def _pack_depthwise(self, row: Any, conv: Conv2d, columns: Columns, source: Layout, target: Layout) -> None:
        """Weights [kernel row, kernel column, lanes], repeated for every target column; one run of lanes per kernel column."""
        channels, _, kernel_rows, kernel_columns = conv.weights.shape
        stride, dilation, pad = conv.stride[1], conv.dilation[1], conv.padding[1][0]  # type: ignore[index]  # a Conv2d holds pairs once it is made
        blocks = -(-target.lanes // LANES)
        weights = np.zeros((kernel_rows, kernel_columns, blocks * LANES), np.int16)
        weights[:, :, : target.lanes] = np.tile(conv.weights[:, 0].transpose(1, 2, 0), (1, 1, target.width))
        columns_read = np.arange(target.width)[:, None] * stride + np.arange(kernel_columns) * dilation - pad
        within = columns_read // stride  # position of the column read among those of its phase
        before = max(0, -int(within.min()))
        phase_lanes = (max(int(within.max()) + 1, -(-source.width // stride)) + before) * channels
        runs = [
            (int(x % stride) * phase_lanes + (int(x // stride) + before) * channels, k * blocks * LANES)
            for k, x in enumerate(columns_read[0])
        ]
        row["kind"], row["row_weights"], row["blocks"] = T.DEPTHWISE, kernel_columns * blocks * LANES, blocks
        row["weights_at"] = self._add("narrow", weights)
        if max(map(len, columns.targets)) == 1:
            row["columns_at"], row["runs_at"] = (self._add("tables", t) for t in apart(columns, target, blocks * LANES))
            return
        row["runs"], row["runs_at"] = len(runs), self._add("tables", np.array(runs))
        x = np.arange(source.width)
        moved = x % stride * phase_lanes + (x // stride + before - x) * channels
        valid = [sum(0 <= t < target.width for t in ts) for ts in columns.targets]
        row["columns_at"] = self._add("tables", np.stack([moved, valid], axis=1))
        row["spread"] = stride * phase_lanes

    def _pack_dense(self, row: Any, weights: NDArray[Any], source: Layout, target: Layout) -> None:
        lanes = -(-target.lanes // HALF) * HALF
        in_memory = target.to_memory(source.to_memory(weights.T).T)
        padded = np.zeros((source.rows * source.lanes, target.rows, lanes), np.int16)
        flat = np.zeros((source.size, target.rows * target.lanes), np.int16)
        flat[:, : target.size] = in_memory
        padded[: source.size, :, : target.lanes] = flat.reshape(source.size, target.rows, target.lanes)
        row["kind"], row["row_weights"], row["target_rows"] = T.DENSE, lanes, target.rows
        row["flush_every"] = max(1, INT16 // max(1, magnitude(weights)))
        row["weights_at"] = self._add("narrow", padded)

    def _pack_listed(self, row: Any, projection: Projection, network: Network, source: Layout, target: Layout, halo: int) -> None:
        pre, post, weight = listed(projection, network)
        pre, post = in_memory(source, pre), in_memory(target, post)
        room = source.size * target.size
        small = magnitude(weight) <= INT16
        if small and len(pre) * DENSE_BELOW > room and room <= DENSE_LIMIT and not has_repeats(pre, post, target.size, room):
            self._pack_dense_listed(row, pre, post, weight, source, target)
            return
        row["sources"] = source.size
        if not listed_by_row(len(pre), source.size, target.rows):
            self._pack_by_source(row, pre, post, weight, source, target, halo)
            return
        self._pack_by_row(row, pre, post, weight, source, target, halo, small)

    def _pack_plastic(
        self, row: Any, projection: Projection, network: Network, source: Layout, target: Layout, halo: int
    ) -> None:
        """Synapses that learn, those of one source neuron after the other, so that `engine.plastic` finds them."""
        pre, post, weight = listed(projection, network)
        pre, post = in_memory(source, pre), in_memory(target, post)
        row["sources"] = source.size
        if target.rows > 1:
            self._pack_by_source(row, pre, post, weight, source, target, halo)
        else:
            self._pack_by_row(row, pre, post, weight, source, target, halo, True)

    def _pack_by_row(
        self, row: Any, pre: Any, post: Any, weight: Any, source: Layout, target: Layout, halo: int, small: bool
    ) -> None:
        row["kind"] = T.SPARSE if small else T.SPARSE_WIDE
        starts, lanes, weights = list_by_row(pre, post, weight, source, target, halo, np.int16 if small else np.int32)
        at = self._add("targets", lanes)
        row["pointers_at"] = self._add("pointers", starts + at)
        row["weights_at"] = self._add("small" if small else "wide", weights) - at

    def _pack_by_source(self, row: Any, pre: Any, post: Any, weight: Any, source: Layout, target: Layout, halo: int) -> None:
        lists = list_by_source(pre, post, weight, source, target, halo)
        row["kind"] = T.SPARSE_BY_SOURCE
        at = self._add("targets", lists.lanes)
        row["pointers_at"] = self._add("pointers", lists.starts + at)
        row["weights_at"] = self._add("wide", lists.weights) - at
        row["rows_at"] = self._add("tables", lists.rows) - at
        row["reach_at"] = self._add("tables", lists.reach)

    def _pack_dense_listed(self, row: Any, pre: Any, post: Any, weight: Any, source: Layout, target: Layout) -> None:
        lanes = -(-target.lanes // HALF) * HALF
        padded = np.zeros((source.rows * source.lanes, target.rows, lanes), np.int16)
        padded[pre, post // target.lanes, post % target.lanes] = weight
        fan = np.zeros((source.rows * source.lanes, target.rows), np.int32)
        np.add.at(fan, (pre, post // target.lanes), 1)
        row["kind"], row["row_weights"], row["target_rows"] = T.DENSE, lanes, target.rows
        row["flush_every"] = max(1, INT16 // max(1, magnitude(weight)))
        row["weights_at"] = self._add("narrow", padded)
        row["fan_at"] = self._add("tables", fan)
