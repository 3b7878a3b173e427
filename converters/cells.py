"""Recurrent cells (LSTM, GRU, plain) as compositions of linear layers, functions, products and `previous`. Knows no file format.

One cell is written once and its states are read one frame late (`streamed`), or once for each row of a sequence (`unrolled`).
Gates stand in the order of torch: input, forget, cell, output of an LSTM; reset, update, new of a GRU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Names = tuple[str, ...]
Activation = tuple[str, tuple[float, ...]]
SIGMOID, TANH, RELU = ("sigmoid", ()), ("tanh", ()), ("relu", ())
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
MOST_ROWS = 128  # of a sequence that is written out


class Writing(Protocol):
    """What adds layers: a builder of a reader, for one node of what it reads."""

    def add(
        self, op: str, inputs: Names, shape: tuple[int, ...], arrays: Mapping[str, Any] | None = None, **options: Any
    ) -> str: ...

    def link(self, previous: str, source: str) -> None:
        """Let a `previous` layer, which was added without a source, read one."""
        ...


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

    def step(self, w: Writing, x: str, states: Sequence[str]) -> Names:
        """Layers of one step on an input (features,); the new states, the output first."""
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


def unrolled(w: Writing, cell: Cell, rows: Sequence[str], states: Sequence[str], reverse: bool = False) -> tuple[Names, Names]:
    """The outputs for each row (features,) of a sequence, in the order of the rows, and the last states."""
    outputs = []
    for row in reversed(rows) if reverse else rows:
        states = cell.step(w, row, states)
        outputs.append(states[0])
    return tuple(reversed(outputs) if reverse else outputs), tuple(states)


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


def _sum(cell: Cell, w: Writing, gate: int, x: str, h: str, more: Names = ()) -> str:
    """A gate's weighted sum of input and last output, and what else joins it."""
    size = cell.input.shape[1:2]
    bias = cell.bias[gate] + cell.hidden_bias[gate]
    parts = (
        w.add("linear", (x,), size, {"weight": cell.input[gate], "bias": bias}),
        w.add("linear", (h,), size, {"weight": cell.hidden[gate]}),
    )
    return w.add("add", (*parts, *more), size)


def _lstm(cell: Cell, w: Writing, x: str, states: Sequence[str]) -> Names:
    (h, c), size = states, cell.input.shape[1:2]
    gate, candidate, out = cell.activations

    def peep(place: int, of: str) -> Names:
        if cell.peepholes is None or not cell.peepholes[place].any():
            return ()
        return (w.add("scale", (of,), size, {"factor": cell.peepholes[place]}),)

    i = _activated(w, _sum(cell, w, 0, x, h, peep(0, c)), size, gate)
    f = _activated(w, _sum(cell, w, 1, x, h, peep(1, c)), size, gate)
    g = _activated(w, _sum(cell, w, 2, x, h), size, candidate)
    kept = w.add("multiply", (f, c), size)
    c = w.add("add", (kept, w.add("multiply", (i, g), size)), size)
    o = _activated(w, _sum(cell, w, 3, x, h, peep(2, c)), size, gate)
    h = w.add("multiply", (o, _activated(w, c, size, out)), size)
    if cell.projection is not None:
        h = w.add("linear", (h,), cell.projection.shape[:1], {"weight": cell.projection})
    return h, c


def _gru(cell: Cell, w: Writing, x: str, states: Sequence[str]) -> Names:
    (h,), size = states, cell.input.shape[1:2]
    gate, candidate = cell.activations[:2]
    r = _activated(w, _sum(cell, w, 0, x, h), size, gate)
    z = _activated(w, _sum(cell, w, 1, x, h), size, gate)
    own = w.add("linear", (x,), size, {"weight": cell.input[2], "bias": cell.bias[2]})
    arrays = {"weight": cell.hidden[2], "bias": cell.hidden_bias[2]}
    if cell.early:
        last = w.add("linear", (w.add("multiply", (r, h), size),), size, arrays)
    else:
        last = w.add("multiply", (r, w.add("linear", (h,), size, arrays)), size)
    n = _activated(w, w.add("add", (own, last), size), size, candidate)
    rest = w.add("scale", (z,), size, {"factor": np.array(-1.0), "shift": np.array(1.0)})
    return (w.add("add", (w.add("multiply", (rest, n), size), w.add("multiply", (z, h), size)), size),)


def _rnn(cell: Cell, w: Writing, x: str, states: Sequence[str]) -> Names:
    return (_activated(w, _sum(cell, w, 0, x, states[0]), cell.input.shape[1:2], cell.activations[0]),)
