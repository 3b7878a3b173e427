"""Products of shared weights with rows of many samples, as LLVM vectors: `OUTPUTS` neurons x `HALF` samples at a time.

`pairs4(sums, at, apart, matrix, w, packed, v, stride, steps)` writes to `OUTPUTS` rows, `apart` lanes apart from sums[at:], the
products of pairs of 16-bit weights, `OUTPUTS` of them a step from matrix[w:], with pairs of 16-bit values, `stride` lanes from
step to step from packed[v:], added up over the steps. Arrays are addresses, as in `batch.rowwise`.
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

from neuro.engine.lanes import HALF
from neuro.engine.tiles import everywhere, load, pairs_of_words

OUTPUTS = 4
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_EIGHT, _WORDS = ir.VectorType(_I32, 8), ir.VectorType(ir.IntType(16), 16)


def _tile(
    typingctx: Any, sums: Any, at: Any, apart: Any, matrix: Any, w: Any, packed: Any, v: Any, stride: Any, steps: Any
) -> Any:  # fmt: skip
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at, apart, w, v, stride, steps = (args[i] for i in (1, 2, 4, 6, 7, 8))
        sums, matrix, packed = (builder.inttoptr(args[i], _I32.as_pointer()) for i in (0, 3, 5))
        matrix, packed = builder.gep(matrix, [w]), builder.gep(packed, [v])
        held = [[cgutils.alloca_once(builder, _EIGHT) for _ in range(HALF // 8)] for _ in range(OUTPUTS)]
        for row in held:
            for place in row:
                builder.store(ir.Constant(_EIGHT, [0] * 8), place)
        with cgutils.for_range(builder, steps) as loop:
            value, weight = builder.mul(loop.index, stride), builder.mul(loop.index, _I64(OUTPUTS))
            eights = [load(builder, builder.gep(packed, [builder.add(value, _I64(8 * h))]), _WORDS) for h in range(HALF // 8)]
            for i, row in enumerate(held):
                one = builder.load(builder.gep(matrix, [builder.add(weight, _I64(i))]))
                pair = builder.bitcast(everywhere(builder, one, 8), _WORDS)
                for place, eight in zip(row, eights, strict=True):
                    builder.store(builder.add(builder.load(place), pairs_of_words(builder, eight, pair)), place)
        for i, row in enumerate(held):
            for h, place in enumerate(row):
                lane = builder.add(builder.add(at, builder.mul(apart, _I64(i))), _I64(8 * h))
                target = builder.bitcast(builder.gep(sums, [lane]), _EIGHT.as_pointer())
                builder.store(builder.load(place), target, align=4)
        return context.get_dummy_value()

    return types.void(*(types.uint64,) * 9), codegen


def _plain(
    sums: Any, at: int, apart: int, matrix: Any, w: int, packed: Any, v: int, stride: int, steps: int
) -> None:  # fmt: skip
    """The same in NumPy, for runs with the compiler off."""
    at, apart, w, v, stride, steps = map(int, (at, apart, w, v, stride, steps))
    pairs = matrix[w : w + steps * OUTPUTS].reshape(steps, OUTPUTS).view(np.int16).reshape(steps, OUTPUTS, 2).astype(np.int64)
    values = np.stack([packed[v + k * stride : v + k * stride + HALF] for k in range(steps)]).view(np.int16)
    products = np.einsum("kop,klp->ol", pairs, values.reshape(steps, HALF, 2).astype(np.int64))
    for i in range(OUTPUTS):
        sums[at + i * apart : at + i * apart + HALF] = products[i]


pairs4: Callable[..., Any] = _plain if numba.config.DISABLE_JIT else intrinsic(_tile)
