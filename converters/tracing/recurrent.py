"""Handlers of torch's recurrent modules: over whole sequences written out, over frames with `previous`, and single cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx, nn

from converters import cells
from converters.cells import MOST_ROWS, RELU, SIGMOID, TANH, Cell, State, Writing
from converters.tracing.arguments import bound, module_of
from converters.tracing.builder import Builder


class Alone(nn.Module):
    """A recurrent module as a network, which answers its outputs at every step."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.recurrent = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.recurrent(x)[0]
        return outputs


def recurrent(b: Builder, node: fx.Node) -> None:
    """nn.LSTM, nn.GRU and nn.RNN of several layers, in one direction or both."""
    m, a, w = module_of(b, node), bound(node, "input hx", hx=None), Writing(b, node)
    axis = b.moved.get(a["input"], 0)
    if a["input"].meta["value"].ndim != 3 or axis != (0 if m.batch_first else 1):
        raise b.refuse(node, "it runs along the axis of samples", "Use batch_first=True and inputs (samples, steps, features)")
    if b.frames and m.bidirectional:
        raise b.refuse(
            node, "backwards it needs frames that are still to come", "Leave frames out: sequences are taken as a whole"
        )
    name = b.layer(a["input"])
    steps, sides = b.shape(name)[0], 2 if m.bidirectional else 1
    if steps > MOST_ROWS:
        fact = f"it runs over {steps} steps, which are written out one by one"
        raise b.refuse(node, fact, f"Pass frames=True, or at most {MOST_ROWS} steps")
    rows, last = cells.rows_of(w, name, b.shape(name)), list[cells.Names]()
    starts = _starts(b, node, a["hx"], m.num_layers * sides)
    for layer in range(m.num_layers):
        found = []
        for side in range(sides):
            cell, start = _cell(m, f"_l{layer}{'_reverse' * side}"), starts[layer * sides + side]
            if b.frames:
                states = cells.streamed(w, cell, rows[0], start)
                outputs: cells.Names = (states[0],)
            else:
                outputs, states = cells.unrolled(w, cell, rows, [_one(s) for s in start], bool(side))
            found.append((outputs, cell.states[0]))
            last.append(states)
        rows = _joined(w, found)
    width = (sum(shape[0] for _, shape in found),)
    b.parts[node] = [cells.stacked(w, rows, width)]
    b.moved[node] = axis
    sizes = _cell(m, "_l0").states
    b.states[node] = tuple(cells.stacked(w, [one[i] for one in last], shape) for i, shape in enumerate(sizes))


def _joined(w: Writing, sides: list[tuple[cells.Names, tuple[int, ...]]]) -> cells.Names:
    """The outputs of both directions side by side."""
    if len(sides) == 1:
        return sides[0][0]
    width = (sum(shape[0] for _, shape in sides),)
    return tuple(w.add("concat", row, width, axis=0) for row in zip(*(outputs for outputs, _ in sides), strict=True))


def _starts(b: Builder, node: fx.Node, hx: Any, count: int) -> list[tuple[Any, ...]]:
    """The first states of every layer and direction, numbers that all samples share or None."""
    kinds = 2 if isinstance(module_of(b, node), nn.LSTM) else 1
    if hx is None:
        return [(None,) * kinds] * count
    given = [
        np.asarray(b.constant(node, one, "first state"), np.float32) for one in (hx if isinstance(hx, tuple | list) else (hx,))
    ]
    if any((one != one[:, :1]).any() for one in given):
        raise b.refuse(node, "its first state differs from sample to sample", "Start all samples alike")
    return [tuple(one[i, 0] for one in given) for i in range(count)]


def _one(start: Any) -> State:
    return None if start is None or not start.any() else start


def cell(b: Builder, node: fx.Node) -> None:
    """nn.LSTMCell, nn.GRUCell and nn.RNNCell: one step, the states of which are the caller's."""
    m, a = module_of(b, node), bound(node, "input hx", hx=None)
    made, given = _cell(m, ""), a["hx"] if isinstance(a["hx"], tuple | list) else (a["hx"],)
    states: list[State] = [
        None if one is None else b.layer(one) if b.computed(one) else _same_for_all(b, node, one) for one in given
    ]
    states += [None] * (len(made.states) - len(states))
    found = made.step(Writing(b, node), b.layer(a["input"]), states)
    if isinstance(m, nn.LSTMCell):
        b.parts[node] = list(found)
    else:
        b.names[node] = found[0]


def _same_for_all(b: Builder, node: fx.Node, value: Any) -> State:
    array = np.asarray(b.constant(node, value, "first state"), np.float32)
    if (array != array[:1]).any():
        raise b.refuse(node, "its first state differs from sample to sample", "Start all samples alike")
    return _one(array[0])


def _cell(m: Any, end: str) -> Cell:
    """The weights of one layer and direction."""
    kind: Any = type(m).__name__.removesuffix("Cell").lower()
    gates, size = cells.GATES[kind], m.hidden_size

    def part(name: str, *shape: int) -> Any:
        value = getattr(m, f"{name}{end}", None)
        return (
            np.zeros(shape, np.float32)
            if not isinstance(value, torch.Tensor)
            else value.detach().float().cpu().numpy().reshape(shape)
        )

    own = {"relu": RELU, "tanh": TANH}[getattr(m, "nonlinearity", "tanh")]
    out = getattr(m, "proj_size", 0)
    return Cell(
        kind,
        part("weight_ih", gates, size, -1),
        part("weight_hh", gates, size, -1),
        part("bias_ih", gates, size),
        part("bias_hh", gates, size),
        (own,) if kind == "rnn" else (SIGMOID, TANH, TANH),
        projection=part("weight_hr", out, size) if out else None,
    )
