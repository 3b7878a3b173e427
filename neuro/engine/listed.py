"""Messages along listed synapses: one source neuron's after another's, of which compiled code asks for the next ones in time.

The synapses of a neuron that fires lie anywhere in the memory. Where there are many, the lists say a few messages ahead
which will be read, so that they are in the cache by then: `fetch` asks for a place and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neuro.compiled import inner
from neuro.engine.kernels import payload_of
from neuro.engine.tables import U

FAR = 1 << 14  # synapses that stay in the nearest caches anyway
AHEAD = 8  # messages
LINE = 64  # bytes


def _fetch(typingctx: Any, values: Any, at: Any) -> Any:
    """Ask for the cache line of values[at], which may lie outside."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        whole, place = ir.IntType(32), builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), (cgutils.voidptr_t, whole, whole, whole))
        asked = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(asked, (place, *(ir.Constant(whole, value) for value in (0, 3, 1))))  # to read, often, of data
        return context.get_dummy_value()

    return types.void(values, types.uint64), codegen


def _plain_fetch(values: Any, at: int) -> None:
    pass


fetch: Callable[..., Any] = _plain_fetch if numba.config.DISABLE_JIT else intrinsic(_fetch)


@inner
def fetch_listed(
    weights: Any, targets: Any, pointers: Any, row: Any, move: Any, lists: Any, begin: Any, end: Any, high: Any
) -> None:
    """Ask for the synapses of messages [begin, end), and for where those of the AHEAD after each begin, as long as they are
    below `high`."""
    for i in range(begin, end):
        if i + U(AHEAD) < high:
            fetch(pointers, row + U(lists[i + U(AHEAD)]))
        if i < high:
            after = U(pointers[row + U(lists[i]) + U(1)])
            for k in range(U(pointers[row + U(lists[i])]), after, U(LINE // 2)):
                fetch(targets, k)
                fetch(weights, k + move)
            fetch(targets, after)
            fetch(weights, after + move)


@inner
def sparse(
    acc: Any, weights: Any, targets: Any, pointers: Any, projection: Any, first: int, last: int, acc_row: int, source_base: int,
    lists: Any, low: Any, high: Any, payloads: Any, shift: Any, scaled: bool,
) -> Any:  # fmt: skip
    """Messages along listed synapses into target rows [first, last); targets are lanes within a row."""
    synops = np.int64(0)
    for y in range(first, last):
        row = U(projection.pointers_at + y * projection.sources + source_base)
        base, move = U((y - first) * acc_row), U(projection.weights_at)
        far = pointers[projection.pointers_at + (y + 1) * projection.sources] - pointers[row - U(source_base)] > FAR
        if far:
            for i in range(U(low), U(min(low + AHEAD, high))):
                fetch(pointers, row + U(lists[i]))
            fetch_listed(weights, targets, pointers, row, move, lists, U(low), U(low + AHEAD), U(high))
        for i in range(U(low), U(high)):
            if far:
                fetch_listed(weights, targets, pointers, row, move, lists, i + U(AHEAD), i + U(AHEAD + 1), U(high))
            begin, end = U(pointers[row + U(lists[i])]), U(pointers[row + U(lists[i]) + U(1)])
            synops += np.int64(end - begin)
            if scaled:
                payload = np.int32(payload_of(projection, payloads, i + U(shift)))
                for k in range(begin, end):
                    acc[base + U(targets[k])] += np.int32(weights[k + move]) * payload
            else:
                for k in range(begin, end):
                    acc[base + U(targets[k])] += weights[k + move]
    return synops


@inner
def sparse_by_source(
    acc: Any, weights: Any, targets: Any, tables: Any, pointers: Any, projection: Any, first: int, last: int, acc_row: int,
    source_row: int, source_base: int, lists: Any, low: Any, high: Any, payloads: Any, shift: Any, scaled: bool,
) -> Any:  # fmt: skip
    """The same where synapses are listed source by source, each with its target row, ascending."""
    synops = np.int64(0)
    reach = projection.reach_at + 2 * source_row
    if tables[reach] >= last or tables[reach + 1] <= first:
        return synops
    source, move, rows = U(projection.pointers_at + source_base), U(projection.weights_at), U(projection.rows_at)
    for i in range(U(low), U(high)):
        begin, end = U(pointers[source + U(lists[i])]), U(pointers[source + U(lists[i]) + U(1)])
        payload = np.int32(payload_of(projection, payloads, i + U(shift)) if scaled else 1)
        for k in range(begin, end):
            y = np.int64(tables[k + rows])
            if y >= last:
                break
            if y >= first:
                acc[U((y - first) * acc_row) + U(targets[k])] += weights[k + move] * payload
                synops += 1
    return synops
