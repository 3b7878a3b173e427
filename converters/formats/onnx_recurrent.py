"""ONNX's LSTM, GRU and RNN: over whole sequences written out, over frames with `previous`, or one step from states given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import cells
from converters.cells import MOST_ROWS, SIGMOID, TANH, Activation, Cell, State, Writing
from converters.formats.onnx_building import Builder

Floats = NDArray[np.float32]
RECURRENT = ("GRU", "LSTM", "RNN")
_ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn": (0,)}  # of torch's gates, in those of ONNX: iofc, zrh
_PLAIN = {"lstm": (SIGMOID, TANH, TANH), "gru": (SIGMOID, TANH), "rnn": (TANH,)}
_NAMES: dict[str, tuple[str, tuple[float, ...]]] = {  # activations, and defaults of alpha and beta
    "sigmoid": ("sigmoid", ()),
    "tanh": ("tanh", ()),
    "relu": ("relu", ()),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "elu": ("elu", (1.0,)),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
}


def recurrent(b: Builder, node: Any, a: dict[str, Any]) -> tuple[str, ...]:
    """linear, sigmoid, tanh, multiply and, over frames, previous; whole sequences in both directions"""
    kind: Any = node.op_type.lower()
    _check(b, node, a)
    x, w, swapped = b.layer(node), Writing(b, node), bool(a.get("layout", 0))
    steps, width = _sequence(b, node, x.shape, swapped)
    sides = 2 if _word(a, "direction", "forward") == "bidirectional" else 1
    rows = cells.rows_of(w, w.add("reshape", (x.name,), (steps, width)), (steps, width))
    made = [_cell(b, node, a, kind, side, sides) for side in range(sides)]
    starts = [_start(b, node, 5 + i, sides, size, swapped) for i, size in enumerate(made[0].states)]
    streamed = b.frames and not any(isinstance(one, str) for start in starts for one in start)
    if streamed and (steps > 1 or sides > 1 or _word(a, "direction", "forward") == "reverse"):
        raise b.refuse(node, f"it takes {steps} steps of a frame, in {sides} directions", "Read it with one frame, forwards")
    found: list[tuple[cells.Names, cells.Names]] = []
    for side, cell in enumerate(made):
        begin: list[Any] = [start[side] for start in starts]
        if streamed:
            states = cells.streamed(w, cell, rows[0], begin)
            found.append((states[:1], states))
        else:
            backwards = side == 1 or _word(a, "direction", "forward") == "reverse"
            found.append(cells.unrolled(w, cell, rows, begin, backwards))
    return _results(b, w, found, made[0].states, swapped, steps)


def _results(
    b: Builder, w: Writing, found: list[tuple[cells.Names, cells.Names]], sizes: Any, swapped: bool, steps: int
) -> tuple[str, ...]:
    """Outputs of every step and side, and the last states, in the layout that the node asks for; samples have size 1."""
    one = (1,) * (1 - b.lead)
    every = [name for outputs in zip(*(outputs for outputs, _ in found), strict=True) for name in outputs]
    y = cells.stacked(w, every, sizes[0])
    shape = (*one, steps, len(found), *sizes[0]) if swapped else (steps, len(found), 1, *sizes[0])
    last = [cells.stacked(w, [states[i] for _, states in found], size) for i, size in enumerate(sizes)]
    shapes = [(*one, len(found), *size) if swapped else (len(found), 1, *size) for size in sizes]
    states = [w.add("reshape", (name,), shape) for name, shape in zip(last, shapes, strict=True)]
    return (w.add("reshape", (y,), shape), *states)


def _sequence(b: Builder, node: Any, shape: tuple[int, ...], swapped: bool) -> tuple[int, int]:
    """Steps and features of the input, whose samples are one."""
    if b.lead:
        if not swapped:
            raise b.refuse(node, "its sequence lies on the axis of samples", "Read the file with samples=None, or False")
        steps, width = shape
    else:
        samples, steps, width = shape if swapped else (shape[1], shape[0], shape[2])
        if samples != 1:
            raise b.refuse(node, f"it takes {samples} sequences at once", "Read the file with one sample")
    if steps > MOST_ROWS:
        fact = f"it runs over {steps} steps, which are written out one by one"
        raise b.refuse(node, fact, f"Read it with frames=True and one frame, or at most {MOST_ROWS} steps")
    return steps, width


def _check(b: Builder, node: Any, a: dict[str, Any]) -> None:
    if a.get("clip") or a.get("input_forget"):
        raise b.refuse(node, "it clips, or couples its gates", "Export it without clip and input_forget")
    if len(node.input) > 4 and node.input[4]:
        lengths = b.needed(node, 4, "lengths of sequences")
        if (lengths != lengths.max()).any():
            raise b.refuse(node, "its sequences have different lengths", "Export it without sequence_lens")


def _word(a: dict[str, Any], name: str, default: str) -> str:
    return bytes(a[name]).decode() if name in a else default


def _cell(b: Builder, node: Any, a: dict[str, Any], kind: Any, side: int, sides: int) -> Cell:
    """The weights of one direction, gates in the order of torch."""
    gates, size, order = cells.GATES[kind], int(a["hidden_size"]), list(_ORDER[kind])
    own = np.asarray(b.needed(node, 1, "weight"), np.float32)[side].reshape(gates, size, -1)[order]
    back = np.asarray(b.needed(node, 2, "recurrent weight"), np.float32)[side].reshape(gates, size, size)[order]
    given = b.constant(node, 3, "bias")
    bias = (
        np.zeros((2, gates, size), np.float32) if given is None else np.asarray(given[side], np.float32).reshape(2, gates, size)
    )
    peep = b.constant(node, 7, "peepholes") if kind == "lstm" else None
    peepholes = None if peep is None else np.asarray(peep, np.float32)[side].reshape(3, size)[[0, 2, 1]]  # iof -> ifo
    early = kind == "gru" and not a.get("linear_before_reset", 0)
    activations = _activations(b, node, a, kind, side, sides)
    return Cell(kind, own, back, bias[0][order], bias[1][order], activations, peepholes, early=early)


def _activations(b: Builder, node: Any, a: dict[str, Any], kind: str, side: int, sides: int) -> tuple[Activation, ...]:
    plain: tuple[Activation, ...] = _PLAIN[kind]
    if "activations" not in a:
        return plain if kind != "gru" else (*plain, TANH)
    names = [bytes(name).decode().lower() for name in a["activations"]]
    alphas = [float(one) for one in a.get("activation_alpha", ())]
    found = []
    for name in names:
        if name not in _NAMES:
            raise b.refuse(node, f"its activation is {name!r}", f"Use one of {', '.join(_NAMES)}")
        function, values = _NAMES[name]
        found.append((function, (alphas.pop(0),) if values and alphas else values))
    each = len(found) // sides
    return tuple(found[side * each : (side + 1) * each]) + ((TANH,) if kind == "gru" else ())


def _start(b: Builder, node: Any, index: int, sides: int, size: tuple[int, ...], swapped: bool) -> list[State]:
    """The first state of every direction: a layer, numbers, or None for 0."""
    if index >= len(node.input) or not node.input[index]:
        return [None] * sides
    if b.is_constant(node, index):
        held = np.asarray(b.needed(node, index, "first state"), np.float32)
        held = held if swapped else held.swapaxes(0, 1)  # samples first
        if (held != held[:1]).any():
            raise b.refuse(node, "its first state differs from sample to sample", "Start all samples alike")
        return [one if one.any() else None for one in held[0]]
    if b.lead:
        raise b.refuse(node, "its first state depends on the data", "Read the file with samples=None, or False")
    w, name = Writing(b, node), b.layer(node, index).name
    return list(cells.rows_of(w, w.add("reshape", (name,), (sides, *size)), (sides, *size)))
