"""A block of rows through one step of its neurons, once its charges lie in the accumulators: one kernel for each neuron model."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types

from neuro.compiled import addressed
from neuro.engine import fire, pools
from neuro.engine import tables as T
from neuro.engine.invoke import address_of
from neuro.engine.tables import U
from neuro.engine.values import plain_value, value

UPDATES, DRIVEN, RESTLESS = 2, 3, 4  # rows of the totals
BINARY = 2  # the base of a maximum of plain spikes; of signed ones it is 3


@lru_cache
def live_kernel(model: int, hold: int, plain: bool, short: bool) -> Callable[..., Any]:  # noqa: C901  # only one branch is compiled
    """The kernel for a model, `hold` being how integrate and fire holds a current or to which base a maximum counts, `plain` a
    value neuron without state and `short` a neuron that computes in 32 bits, or a maximum of charges of 16.

    live(p, its index, elapsed, slot, sample, first, last, context) -> 0
    """

    def live(  # noqa: C901  # only one branch is compiled
        p: Any, index: int, elapsed: int, slot: int, sample: int, first: int, last: int, context: Any
    ) -> Any:
        acc, other, bias, state, counts, traces, totals, fired, sent = context[0]
        neurons = U(min(last * p.lanes, p.size) - first * p.lanes)
        lane = U(sample * p.size + first * p.lanes)
        joined = p.acc_row == p.lanes
        n = neurons if joined else U(p.lanes)
        for y in range(first, first + 1 if joined else last):
            f = U((y - first) * p.lanes)
            a, b = U((y - first) * p.acc_row + p.halo), U(p.bias_at + y * p.bias_row)
            v, aux = U(p.v_at) + lane + f, U(p.aux_at) + lane + f
            if model == T.IF:
                if hold == T.HELD_LONG:
                    counted = fire.held_long(p, state, v, aux, acc, a, bias, b, n, fired, f)
                elif hold and short:
                    counted = fire.held(fire.I32, p, state, v, aux, acc, a, bias, b, n, fired, f)
                elif hold:
                    counted = fire.held(fire.I64, p, state, v, aux, acc, a, bias, b, n, fired, f)
                elif short:
                    counted = fire.integrate_and_fire(fire.I32, p, state, v, acc, a, bias, b, n, fired, f)
                else:
                    counted = fire.integrate_and_fire(fire.I64, p, state, v, acc, a, bias, b, n, fired, f)
            elif model == T.SIGNED:
                second = U(p.second_at) + lane + f
                if short and hold:
                    counted = fire.signed_plainly(True, p, state, v, aux, second, elapsed, acc, a, bias, b, n, fired, sent, f)
                elif short:
                    counted = fire.signed_plainly(False, p, state, v, aux, second, elapsed, acc, a, bias, b, n, fired, sent, f)
                else:
                    counted = fire.signed(p, state, v, aux, second, elapsed, acc, a, bias, b, n, fired, sent, f)
            elif model == T.WAIT:
                counted = fire.wait(p, state, v, aux, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.RADIX:
                if short:
                    counted = fire.radix(fire.I32, p, state, v, elapsed, acc, a, bias, b, n, fired, f)
                else:
                    counted = fire.radix(fire.I64, p, state, v, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.GRADED:
                counted = fire.graded(p, state, aux, acc, a, bias, b, n, fired, sent, f)
            elif model == T.VALUE:
                if plain:
                    counted = plain_value(p, elapsed, acc, a, bias, b, n, fired, sent, f)
                else:
                    counted = value(p, elapsed, state, v, acc, other, a, bias, b, n, fired, sent, f)
            elif model == T.CUBA:
                counted = fire.cuba(p, state, v, aux, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.TURNS:
                counted = pools.turns(p, state, v, acc, a, n, fired, sent, f)
            elif model == T.LEADER:
                digit = pools.binary if hold == BINARY else pools.ternary_short if short else pools.ternary
                counted = pools.leader(digit, p, state, v, acc, a, n, fired, sent, f)
            else:
                counted = fire.readout(p, elapsed, state, v, acc, a, n)
            totals[index, DRIVEN, slot] += counted[0]
            totals[index, RESTLESS, slot] += counted[1]
        totals[index, UPDATES, slot] += np.int64(neurons)
        if p.count_at >= 0:
            count = U(p.count_at) + lane
            for j in range(neurons):
                counts[count + j] += fired[j]
        if p.trace_at >= 0:
            v, trace = U(p.v_at) + lane, U(p.trace_at + slot * p.trace_stride) + lane
            for j in range(neurons):
                traces[trace + j] = state[v + j]
        return np.int64(0)

    # Kernels are told apart by their names, on disk and in memory.
    live.__qualname__ = f"live_{model}_{hold}_{int(plain)}_{int(short)}"
    return addressed(live)


@lru_cache
def _kinds(wide: bool) -> tuple[Any, ...]:
    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C")

    held = (array(np.int32), array(np.int32), array(np.uint16), array(np.int32), array(np.int64, 3))
    scratch = (array(np.int32 if wide else np.int16), array(np.int32))
    context = types.CPointer(types.Tuple((*scratch, *held, array(np.uint8), array(np.int32))))
    return (numba.from_dtype(T.POPULATION), *(types.int64,) * 6, context)


def reads_narrow(p: Any) -> bool:
    """Whether the kernel of a population's model reads 16-bit accumulators: only the commonest model, to compile less."""
    return bool(p["accumulator"] == T.NARROW and p["model"] in (T.IF, T.CUBA) and p["hold"] != T.HELD_LONG)


def live_address(p: Any) -> Any:
    """Where the kernel for a population's record begins."""
    model = int(p["model"])
    plain = model == T.VALUE and p["ports"] == 1 and (p["port0"], p["combine"], p["emit"]) == (T.FRESH, T.CHARGE, T.SEND_VALUE)
    held = int(p["hold"]) if model in (T.IF, T.SIGNED) else 0
    short = model in (T.IF, T.SIGNED, T.RADIX) and p["short"] and p["hold"] <= (T.HELD if held else 0)
    if model == T.LEADER:
        held, short = int(p["digits"]), p["digits"] != BINARY and p["accumulator"] == T.NARROW
    kernel = live_kernel(model, held if model in (T.IF, T.LEADER) or short else 0, bool(plain), bool(short))
    return address_of(kernel, () if numba.config.DISABLE_JIT else _kinds(not reads_narrow(p)))
