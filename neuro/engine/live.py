"""A block of rows through one step of its neurons, once its charges lie in the accumulators: one kernel for each neuron model."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types

from neuro.compiled import addressed, inner
from neuro.engine import compact, fire, pools
from neuro.engine import tables as T
from neuro.engine.invoke import address_of
from neuro.engine.tables import U
from neuro.engine.values import plain_value, value

UPDATES, DRIVEN, RESTLESS = 2, 3, 4  # rows of the totals
GATHERING = (T.SIGNED, T.WAIT, T.RADIX)  # models that send nothing before the last step that they gather charges for
BINARY = 2  # the base of a maximum of plain spikes; of signed ones it is 3
COMPACT = 2  # how short: what fits 16 bits, or lags that fit 8, is computed in those (`engine.compact`)


@inner
def keep(
    p: Any, counting: bool, lane: int, neurons: int, slot: int, fired: Any, counts: Any, state: Any, traces: Any
) -> None:  # fmt: skip
    """Count the messages of a block, and keep its potentials, where they are wanted."""
    if counting:
        count = U(p.count_at) + lane
        for j in range(neurons):
            counts[count + j] += fired[j]
    if p.trace_at >= 0:
        v, trace = U(p.v_at) + lane, U(p.trace_at + slot * p.trace_stride) + lane
        for j in range(neurons):
            traces[trace + j] = state[v + j]


@lru_cache
def live_kernel(model: int, hold: int, plain: bool, short: int) -> Callable[..., Any]:  # noqa: C901  # only one branch is compiled
    """The kernel for a model, `hold` being how integrate and fire holds a current or to which base a maximum counts, `plain` a
    value neuron without state and `short` 1 for a neuron that computes in 32 bits, or a maximum of charges of 16, 2 for COMPACT.

    live(p, its index, elapsed, slot, left, arrived, sample, first, last, context) -> 0; `left`: steps that this call takes
    these rows through, this one included, or 1 where states are read in between; `arrived`: synapses visited.
    """

    whole, holds = np.int32 if short else np.int64, hold > 0

    def live(  # noqa: C901  # only one branch is compiled
        p: Any, index: int, elapsed: int, slot: int, left: int, arrived: int, sample: int, first: int, last: int, context: Any
    ) -> Any:
        acc, other, bias, state, counts, traces, totals, fired, sent, scratch, kept = context[0]
        neurons = U(min(last * p.lanes, p.size) - first * p.lanes)
        lane = U(sample * p.size + first * p.lanes)
        joined = p.acc_row == p.lanes
        n, rows = neurons if joined else U(p.lanes), 1 if joined else last - first
        silent, brief = model in GATHERING and elapsed < p.gather - 1, False
        if short == COMPACT and model == T.IF:
            at, b = U(p.v_at) + lane, U(p.bias_at + first * p.bias_row)
            brief = compact.potentials_fit(p, left, rows, joined, state, at, bias, b, neurons, acc, scratch, kept)
        elif short == COMPACT:
            brief = compact.lags_fit(p, left, state, U(p.v_at) + lane, neurons, sent, kept)
        for y in range(first, first + rows):
            f = U((y - first) * p.lanes)
            a, b = U((y - first) * p.acc_row + p.halo), U(p.bias_at + y * p.bias_row)
            v, aux = U(p.v_at) + lane + f, U(p.aux_at) + lane + f
            if model == T.IF:
                if hold == T.HELD_LONG:
                    counted = fire.held_long(p, state, v, aux, acc, a, bias, b, n, fired, f)
                elif hold:
                    counted = fire.held(whole, arrived > 0, p, state, v, aux, acc, a, bias, b, n, fired, f)
                elif short == COMPACT and brief:
                    b = U(scratch.size // 2) + (f if p.bias_row > 0 else U(0))
                    c = U(p.count_at) + lane + f
                    counted = compact.integrate_and_fire(p, scratch, f, b, acc, a, n, fired, f, counts, c, kept)
                else:
                    counted = fire.integrate_and_fire(whole, p, state, v, acc, a, bias, b, n, fired, f)
            elif model == T.SIGNED:
                second = U(p.second_at) + lane + f
                if short:
                    counted = fire.signed_plainly(holds, p, state, v, aux, second, elapsed, acc, a, bias, b, n, fired, sent, f)
                else:
                    counted = fire.signed(p, state, v, aux, second, elapsed, acc, a, bias, b, n, fired, sent, f)
            elif model == T.WAIT:
                counted = fire.wait(p, state, v, aux, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.RADIX:
                counted = fire.radix(whole, p, state, v, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.GRADED:
                counted = fire.graded(p, state, aux, acc, a, bias, b, n, fired, sent, f)
            elif model == T.VALUE and plain:
                counted = plain_value(p, elapsed, acc, a, bias, b, n, fired, sent, f)
            elif model == T.VALUE:
                counted = value(p, elapsed, state, v, acc, other, a, bias, b, n, fired, sent, f)
            elif model == T.CUBA:
                counted = fire.cuba(p, state, v, aux, elapsed, acc, a, bias, b, n, fired, f)
            elif model == T.TURNS:
                counted = pools.turns(p, state, v, acc, a, n, fired, sent, f)
            elif model == T.LEADER and short == COMPACT and brief:
                counted = compact.leader_of_four(p, sent, acc, a, n, fired, f, counts, U(p.count_at) + lane + f)
            elif model == T.LEADER:
                digit = pools.binary if hold == BINARY else pools.ternary_short if short else pools.ternary
                counted = pools.leader(digit, p, state, v, acc, a, n, fired, sent, f)
            else:
                counted = fire.readout(p, elapsed, state, v, acc, a, n)
            totals[index, DRIVEN, slot] += counted[0]
            totals[index, RESTLESS, slot] += counted[1]
        totals[index, UPDATES, slot] += np.int64(neurons)
        if short == COMPACT and left == 1:
            if model == T.IF:
                compact.potentials_return(scratch, neurons, state, U(p.v_at) + lane, kept)
            else:
                compact.lags_return(p, sent, neurons, state, U(p.v_at) + lane, kept)
        keep(p, p.count_at >= 0 and not silent and not brief, lane, neurons, slot, fired, counts, state, traces)
        return np.int64(0)

    # Kernels are told apart by their names, on disk and in memory.
    live.__qualname__ = f"live_{model}_{hold}_{int(plain)}_{short}"
    return addressed(live)


@lru_cache
def _kinds(wide: bool) -> tuple[Any, ...]:
    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C")

    held = (array(np.int32), array(np.int32), array(np.uint16), array(np.int32), array(np.int64, 3))
    scratch = (array(np.int32 if wide else np.int16), array(np.int32))
    context = types.CPointer(types.Tuple((*scratch, *held, array(np.uint8), array(np.int32), array(np.int16), array(np.int64))))
    return (numba.from_dtype(T.POPULATION), *(types.int64,) * 8, context)


def reads_narrow(p: Any) -> bool:
    """Whether the kernel of a population's model reads 16-bit accumulators: only the commonest models, to compile less."""
    common = p["model"] in (T.IF, T.CUBA, T.RADIX) or _packs(p)
    return bool(p["accumulator"] == T.NARROW and common and p["hold"] != T.HELD_LONG)


def _packs(p: Any) -> bool:
    """Whether a population's neurons are maxima of four plain spikes, which find room in four bytes."""
    return bool(p["model"] == T.LEADER and p["gather"] == 4 and p["digits"] == BINARY)


def _short(p: Any) -> int:
    """How short what a population's kernel computes with can be."""
    compacts = reads_narrow(p) and not p["hold"] and p["block_rows"] * p["lanes"] <= compact.INT16
    if p["model"] == T.LEADER:
        return COMPACT if compacts and _packs(p) else int(p["digits"] != BINARY and p["accumulator"] == T.NARROW)
    if p["model"] == T.IF and compacts and p["short"] and p["threshold"] <= compact.INT16 <= p["limit"]:
        return COMPACT
    held = p["model"] in (T.IF, T.SIGNED) and p["hold"] == T.HELD
    return int(p["model"] in (T.IF, T.SIGNED, T.RADIX) and p["short"] and (held or not p["hold"]))


def live_address(p: Any) -> Any:
    """Where the kernel for a population's record begins."""
    model = int(p["model"])
    plain = model == T.VALUE and p["ports"] == 1 and (p["port0"], p["combine"], p["emit"]) == (T.FRESH, T.CHARGE, T.SEND_VALUE)
    held = {T.IF: int(p["hold"]), T.SIGNED: int(p["hold"]), T.LEADER: int(p["digits"])}.get(model, 0)
    short = _short(p)
    kernel = live_kernel(model, held if model in (T.IF, T.LEADER) or short else 0, bool(plain), short)
    return address_of(kernel, () if numba.config.DISABLE_JIT else _kinds(not reads_narrow(p)))
