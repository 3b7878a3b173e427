"""Recurrent cells (LSTM, GRU, plain) as compositions of linear layers, functions, products and `previous`. Knows no file format.

One cell is written once and its states are read one frame late (`streamed`), or once for each row of a sequence (`unrolled`).
Gates stand in the order of torch: input, forget, cell, output of an LSTM; reset, update, new of a GRU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Names = tuple[str, ...]
State = str | Floats | None
Activation = tuple[str, tuple[float, ...]]
SIGMOID, TANH, RELU = ("sigmoid", ()), ("tanh", ()), ("relu", ())
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
MOST_ROWS = 128  # of a sequence that is written out


class Writing:
    """Adds layers to what a builder of a reader makes, for one node of what it reads."""

    def __init__(self, builder: Any, node: Any) -> None:
        self._builder, self._node = builder, node

    def add(self, op: str, inputs: Names, shape: tuple[int, ...], arrays: Mapping[str, Any] | None = None, **options: Any) -> str:
        name: str = self._builder.add(self._node, op, inputs, shape, arrays, **options)
        return name

    def link(self, previous: str, source: str) -> None:
        """Let a `previous` layer, which was added without a source, read one."""
        self._builder.link(previous, source)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell and its weights.

    `input` (gates, hidden, features), `hidden` (gates, hidden, out) of its own last output, and biases of each (gates, hidden).
    `activations`: of gates, of candidates, and of what an LSTM puts out. `peepholes` of an LSTM: (3, hidden), of its input,
    forget and output gates. `projection` of an LSTM: (out, hidden). `early`: a GRU resets before its matrix.
    """

    kind: Literal["lstm", "gru", "rnn"]
    input: Floats
    hidden: Floats
    bias: Floats
    hidden_bias: Floats
    activations: tuple[Activation, ...] = (SIGMOID, TANH, TANH)
    peepholes: Floats | None = None
    projection: Floats | None = None
    early: bool = False

    @property
    def states(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of its states, the output first."""
        size = self.input.shape[1]
        out = size if self.projection is None else len(self.projection)
        return ((out,), (size,)) if self.kind == "lstm" else ((out,),)

    def step(self, w: Writing, x: str, states: Sequence[State]) -> Names:
        """Layers of one step on an input (features,); the new states, the output first. A state is a layer, numbers, or None for
        0."""
        return {"lstm": _lstm, "gru": _gru, "rnn": _rnn}[self.kind](self, w, x, states)


def streamed(w: Writing, cell: Cell, x: str, starts: Sequence[Floats | None]) -> Names:
    """The states after each frame. starts: their values before the first, None for 0."""
    held = [
        w.add("previous", ("",), shape, {} if start is None or not np.any(start) else {"start": np.reshape(start, shape)})
        for shape, start in zip(cell.states, starts, strict=True)
    ]
    found = cell.step(w, x, held)
    for before, name in zip(held, found, strict=True):
        w.link(before, name)
    return found


def unrolled(w: Writing, cell: Cell, rows: Sequence[str], starts: Sequence[State], reverse: bool = False) -> tuple[Names, Names]:
    """The outputs for each row (features,) of a sequence, in the order of the rows, and the last states."""
    outputs: list[str] = []
    states: Sequence[State] = starts
    for row in reversed(rows) if reverse else rows:
        states = last = cell.step(w, row, states)
        outputs.append(last[0])
    return tuple(reversed(outputs) if reverse else outputs), last


def rows_of(w: Writing, x: str, shape: tuple[int, ...]) -> Names:
    """The rows of a layer (rows, features), each a layer (features,)."""
    if shape[0] == 1:
        return (w.add("reshape", (x,), shape[1:]),)
    parts = [w.add("gather", (x,), (1, *shape[1:]), axis=0, indices=np.array([i])) for i in range(shape[0])]
    return tuple(w.add("reshape", (part,), shape[1:]) for part in parts)


def stacked(w: Writing, rows: Sequence[str], shape: tuple[int, ...]) -> str:
    """Layers (features,) as the rows of one."""
    parts = [w.add("reshape", (row,), (1, *shape)) for row in rows]
    return parts[0] if len(parts) == 1 else w.add("concat", tuple(parts), (len(parts), *shape), axis=0)


def _activated(w: Writing, name: str, shape: tuple[int, ...], activation: Activation) -> str:
    function, values = activation
    if function == "relu":
        return w.add("relu", (name,), shape, ceiling=None)
    return w.add("function", (name,), shape, name=function, values=values)


def _sum(cell: Cell, w: Writing, gate: int, x: str, h: State, more: Names = ()) -> str:
    """A gate's weighted sum of input and last output, and what else joins it."""
    size = cell.input.shape[1:2]
    bias = cell.bias[gate] + cell.hidden_bias[gate]
    if isinstance(h, np.ndarray):
        bias = bias + cell.hidden[gate] @ h
    parts = [w.add("linear", (x,), size, {"weight": cell.input[gate], "bias": bias})]
    if isinstance(h, str):
        parts.append(w.add("linear", (h,), size, {"weight": cell.hidden[gate]}))
    return parts[0] if len(parts) + len(more) == 1 else w.add("add", (*parts, *more), size)


def _times(w: Writing, first: str, second: State, size: tuple[int, ...]) -> Names:
    """A product with a state; none where that is 0."""
    if isinstance(second, str):
        return (w.add("multiply", (first, second), size),)
    return (w.add("scale", (first,), size, {"factor": second}),) if second is not None and second.any() else ()


def _lstm(cell: Cell, w: Writing, x: str, states: Sequence[State]) -> Names:
    (h, c), size = states, cell.input.shape[1:2]
    gate, candidate, out = cell.activations

    def peep(place: int, of: State) -> Names:
        if cell.peepholes is None or of is None or not cell.peepholes[place].any():
            return ()
        if isinstance(of, np.ndarray):
            return (w.add("constant", (), size, {"value": cell.peepholes[place] * of}),)
        return (w.add("scale", (of,), size, {"factor": cell.peepholes[place]}),)

    i = _activated(w, _sum(cell, w, 0, x, h, peep(0, c)), size, gate)
    f = _activated(w, _sum(cell, w, 1, x, h, peep(1, c)), size, gate)
    g = _activated(w, _sum(cell, w, 2, x, h), size, candidate)
    new = w.add("add", (*_times(w, f, c, size), w.add("multiply", (i, g), size)), size)
    o = _activated(w, _sum(cell, w, 3, x, h, peep(2, new)), size, gate)
    out_h = w.add("multiply", (o, _activated(w, new, size, out)), size)
    if cell.projection is not None:
        out_h = w.add("linear", (out_h,), cell.projection.shape[:1], {"weight": cell.projection})
    return out_h, new


def _gru(cell: Cell, w: Writing, x: str, states: Sequence[State]) -> Names:
    (h,), size = states, cell.input.shape[1:2]
    gate, candidate = cell.activations[:2]
    r = _activated(w, _sum(cell, w, 0, x, h), size, gate)
    z = _activated(w, _sum(cell, w, 1, x, h), size, gate)
    own = w.add("linear", (x,), size, {"weight": cell.input[2], "bias": cell.bias[2]})
    n = _activated(w, w.add("add", (own, *_last(cell, w, r, h)), size), size, candidate)
    rest = w.add("scale", (z,), size, {"factor": np.array(-1.0), "shift": np.array(1.0)})
    return (w.add("add", (w.add("multiply", (rest, n), size), *_times(w, z, h, size)), size),)


def _last(cell: Cell, w: Writing, r: str, h: State) -> Names:
    """What the last output brings to the candidate of a GRU, past the reset gate."""
    size, weight, bias = cell.input.shape[1:2], cell.hidden[2], cell.hidden_bias[2]
    if not cell.early:
        if not isinstance(h, str):
            return _times(w, r, bias if h is None else weight @ h + bias, size)
        return (w.add("multiply", (r, w.add("linear", (h,), size, {"weight": weight, "bias": bias})), size),)
    reset = _times(w, r, h, size)
    if not reset:
        return (w.add("constant", (), size, {"value": bias}),)
    return (w.add("linear", reset, size, {"weight": weight, "bias": bias}),)


def _rnn(cell: Cell, w: Writing, x: str, states: Sequence[State]) -> Names:
    return (_activated(w, _sum(cell, w, 0, x, states[0]), cell.input.shape[1:2], cell.activations[0]),)
