"""Which neuron models have a kernel of their own, written by hand, and how their parameters stand in the tables that it obeys.

All other models are compiled from their own scalar step (`engine.user`). Knows neurons and tables; knows nothing of networks.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from neuro.engine import tables as T
from neuro.neurons import (
    CubaLif,
    Graded,
    IntegrateAndFire,
    MaxPool,
    Neuron,
    RadixIntegrateAndFire,
    Readout,
    SignedIntegrateAndFire,
    Source,
    Value,
    WaitIntegrateAndFire,
)

INT32 = 2**31 - 1
SHORT = 1 << 24  # which every charge leaves room for in 32 bits, see `engine.plan`
_KERNEL: dict[type[Neuron], int] = {
    Source: T.SOURCE,
    IntegrateAndFire: T.IF,
    SignedIntegrateAndFire: T.SIGNED,
    WaitIntegrateAndFire: T.WAIT,
    RadixIntegrateAndFire: T.RADIX,
    Graded: T.GRADED,
    CubaLif: T.CUBA,
    Readout: T.READOUT,
    MaxPool: T.LEADER,
    Value: T.VALUE,
}
_COLUMN = {  # of the table, by the name of a parameter
    **{name: name for name in ("period", "point", "dead_zone", "refresh", "refresh_sent")},
    "product_shift": "shift",
    **{name: name for name in ("threshold", "gather", "digits", "doubling", "current_decay", "voltage_decay")},
    **{name: name for name in ("refractory", "reset_interval", "reset_offset")},
    "minimum": "minimum",
    "maximum": "maximum",
    "levels": "maximum",
    "bias_exponent": "shift",
}
_WITHOUT = {
    "gather": 0,
    "period": 0,
    "reset_interval": 0,
    "refresh": 0,
    "minimum": -INT32,
    "maximum": INT32,
}  # where a parameter is None


def model_of(neuron: Neuron) -> int:
    """The number of a neuron's model in the tables; USER for all models without a kernel of their own."""
    return _KERNEL.get(type(neuron), T.USER)


def has_kernel(neuron: Neuron) -> bool:
    """Whether a kernel was written for the model; otherwise its own step is compiled."""
    return model_of(neuron) != T.USER


def describe(row: Any, neuron: Neuron) -> None:
    """Enter a neuron's parameters into its population's row of the table."""
    row["model"] = model_of(neuron)
    row["start"] = neuron.start_step
    row["limit"] = (1 << ((neuron.potential_bits or 24) - 1)) - 1
    row["subtract"] = neuron.subtracts
    if row["model"] in (T.IF, T.SIGNED, T.RADIX):
        row["short"] = _largest_potential(neuron, int(row["limit"])) <= SHORT
    row["minimum"], row["maximum"] = (0, 1) if has_kernel(neuron) else neuron.messages
    for name, value in neuron._values() if has_kernel(neuron) else ():
        if name in _COLUMN:
            row[_COLUMN[name]] = _WITHOUT[name] if value is None else value
    if neuron.changes:
        row["period"] = (neuron.period or 0) * (neuron.refresh or 0)  # 0: it never begins anew
        row["refresh0"] = (neuron.period or 0) * cast(Any, neuron).refresh_at[0]
    row["ports"] = neuron.port_count
    if row["model"] == T.VALUE:
        _describe_value(row, neuron)
    if row["model"] == T.LEADER:
        _describe_maximum(row, neuron)
    row["count_at"] = -1 if neuron.is_readout and has_kernel(neuron) else 0
    row["trace_at"] = -1


def _largest_potential(neuron: Any, limit: int) -> int:
    """The largest magnitude to which a step adds a charge: a potential at first, saturated, doubled, or one threshold above zero
    after a message -1."""
    if model_of(neuron) == T.RADIX:
        return 2 * limit
    initial = int(np.abs(np.asarray(neuron.initial_potential, np.int64)).max(initial=0))
    return max(limit, initial, int(neuron.threshold))


def _describe_value(row: Any, neuron: Any) -> None:
    row["minimum"], row["maximum"] = neuron.value_range
    for i, port in enumerate(neuron.ports):
        row[f"port{i}"] = ("fresh", "held", "digits", "changes").index(port)
        row[f"refresh{i}"] = neuron.refresh_at[i]
    places = {name: number for number, name in enumerate(neuron.variables)}
    row["port0_at"], row["port1_at"] = places.get("port0", 0), places.get("port1", 0)
    row["sent_at"] = places.get("known", places.get("left", 0))
    row["combine"] = ("charge", "product", "dot", "maximum").index(neuron.combine)
    row["table"] = T.NO_TABLE if neuron.table is None else 1 + ("direct", "reciprocal", "inverse root").index(neuron.lookup)
    row["bits"] = 0 if neuron.table is None else neuron.table.size.bit_length() - 1
    row["rounds"] = neuron.half is None
    row["emit"] = ("value", "change", "digits").index(neuron.emit)


def _describe_maximum(row: Any, neuron: Any) -> None:
    row["model"] = T.TURNS if neuron.code == "turns" else T.LEADER
    row["gather"], row["digits"], row["subtract"] = neuron.taps, neuron.base, neuron.signed
    row["threshold"], row["doubling"] = neuron.centre, neuron.code == "digits"
