"""Networks with frames for tests: recurrent cells as graphs, of random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from converters import cells
from neuro import Graph, Layer

KINDS = ("rnn", "gru", "early gru", "lstm", "gated unit", "modes")


class Layers:
    """Layers one behind the other, as `converters.cells` writes them."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []

    def add(self, op: str, inputs: Any, shape: Any, arrays: Mapping[str, Any] | None = None, **options: Any) -> str:
        self.layers.append(Layer(f"l{len(self.layers)}", op, tuple(inputs), tuple(shape), arrays or {}, options))
        return self.layers[-1].name

    def link(self, previous: str, source: str) -> None:
        self.layers = [replace(one, inputs=(source,)) if one.name == previous else one for one in self.layers]


def weights(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / np.sqrt(shape[-1])


def cell_of(kind: str, features: int, hidden: int, seed: int = 0) -> cells.Cell:
    """A recurrent cell of random weights."""
    own: Any = kind.removeprefix("early ")
    gates = cells.GATES[own]
    acts = (cells.TANH,) if own == "rnn" else (cells.SIGMOID, cells.TANH, cells.TANH)
    parts = (
        weights(seed, gates, hidden, features) * 2,
        weights(seed + 1, gates, hidden, hidden),
        weights(seed + 2, gates, hidden),
    )
    return cells.Cell(own, *parts, np.zeros((gates, hidden), np.float32), acts, early=kind == "early gru")


def network(kind: str, features: int = 5, hidden: int = 6, outputs: int = 3, seed: int = 0, start: bool = False) -> Graph:
    """A graph with frames: input (features,), a recurrent layer, a linear one (outputs,)."""
    w = Layers()
    x = w.add("input", (), (features,))
    if kind == "gated unit":
        state = _gated(w, x, hidden, seed)
    elif kind == "modes":
        state = _modes(w, x, hidden, seed)
    elif kind == "rotating modes":
        state = _rotating(w, x, hidden, seed)
    elif kind == "gate only":
        state = _block(w, "gate", x, features, hidden, seed)
    else:
        cell = cell_of(kind, features, hidden, seed)
        starts = [weights(seed + 7 + i, *shape) if start else None for i, shape in enumerate(cell.states)]
        state = cells.streamed(w, cell, x, starts)[0]
    w.add("linear", (state,), (outputs,), {"weight": weights(seed + 5, outputs, hidden), "bias": weights(seed + 6, outputs)})
    return Graph(tuple(w.layers))


def _gated(w: Layers, x: str, hidden: int, seed: int) -> str:
    """A minimal gated unit: h = f h + (1 - f) g, of gates without recurrent weights."""
    (features,) = w.layers[0].shape
    before = w.add("previous", ("",), (hidden,))
    f = w.add("linear", (x,), (hidden,), {"weight": weights(seed, hidden, features)})
    f = w.add("function", (f,), (hidden,), name="sigmoid", values=())
    g = w.add("linear", (x,), (hidden,), {"weight": weights(seed + 1, hidden, features) * 2})
    g = w.add("function", (g,), (hidden,), name="silu", values=())
    rest = w.add("scale", (f,), (hidden,), {"factor": np.array(-1.0), "shift": np.array(1.0)})
    kept = w.add("multiply", (f, before), (hidden,))
    h = w.add("add", (kept, w.add("multiply", (rest, g), (hidden,))), (hidden,))
    w.link(before, h)
    return h


def _modes(w: Layers, x: str, hidden: int, seed: int) -> str:
    """A diagonal state-space layer of real modes: h = a h + B x."""
    before = w.add("previous", ("",), (hidden,))
    kept = w.add("scale", (before,), (hidden,), {"factor": np.linspace(0.5, 0.98, hidden)})
    h = w.add("linear", (x,), (hidden,), {"weight": weights(seed, hidden, w.layers[0].shape[0])})
    h = w.add("add", (kept, h), (hidden,))
    w.link(before, h)
    return h


def _rotating(w: Layers, x: str, hidden: int, seed: int) -> str:
    """A diagonal state-space layer of complex modes, real parts (hidden / 2) and imaginary parts joined: h = a h + B x."""
    half, (features,) = hidden // 2, w.layers[0].shape
    before = [w.add("previous", ("",), (half,)) for _ in range(2)]
    size, angle = np.linspace(0.5, 0.98, half), np.linspace(0.1, 1.0, half)
    parts = []
    for i, (real, imaginary) in enumerate(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle)))):
        kept = [w.add("scale", (one,), (half,), {"factor": size * by}) for one, by in zip(before, (real, imaginary), strict=True)]
        new = w.add("linear", (x,), (half,), {"weight": weights(seed + i, half, features)})
        parts.append(w.add("add", (w.add("add", kept, (half,)), new), (half,)))
    for one, part in zip(before, parts, strict=True):
        w.link(one, part)
    joined = w.add("concat", parts, (hidden,), axis=0)
    return w.add(
        "relu", (w.add("linear", (joined,), (hidden,), {"weight": weights(seed + 2, hidden, hidden)}),), (hidden,), ceiling=None
    )


def stream(seed: int, samples: int, frames: int, features: int = 5) -> Any:
    """Inputs (samples, frames, features) that change slowly."""
    return np.cumsum(np.random.default_rng(seed).normal(size=(samples, frames, features)), axis=1).astype(np.float32) / 3


def drawn(seed: int) -> Graph:
    """A random network with frames: one to three of gates, norms, softmax and recurrent layers, and a linear one."""
    rng, w = np.random.default_rng(seed), Layers()
    features = int(rng.integers(3, 6))
    x = w.add("input", (), (features,))
    for block in rng.choice(["gate", "norm", "softmax", "relu", *KINDS], int(rng.integers(1, 4))):
        hidden = int(rng.integers(3, 7))
        x = _block(w, str(block), x, features, hidden, int(rng.integers(1 << 20)))
        features = hidden
    w.add("linear", (x,), (3,), {"weight": weights(seed + 5, 3, features), "bias": weights(seed + 6, 3)})
    return Graph(tuple(w.layers))


def _block(w: Layers, block: str, x: str, features: int, hidden: int, seed: int) -> str:
    def linear(part: int) -> str:
        return w.add("linear", (x,), (hidden,), {"weight": weights(seed + part, hidden, features), "bias": weights(seed, hidden)})

    if block in ("rnn", "gru", "early gru", "lstm"):
        return cells.streamed(w, cell_of(block, features, hidden, seed), x, [None] * (2 if block == "lstm" else 1))[0]
    if block == "gate":
        gate = w.add("function", (linear(0),), (hidden,), name="sigmoid", values=())
        return w.add("multiply", (gate, linear(1)), (hidden,))
    if block == "norm":
        return w.add("layer_norm", (linear(0),), (hidden,), axes=(0,), epsilon=1e-2)
    if block == "softmax":
        return w.add("softmax", (linear(0),), (hidden,), axis=0)
    if block in ("gated unit", "modes"):
        before = w.add("previous", ("",), (hidden,))
        kept = w.add("scale", (before,), (hidden,), {"factor": np.linspace(0.5, 0.95, hidden)})
        new = linear(0)
        if block == "gated unit":
            gate = w.add("function", (linear(1),), (hidden,), name="sigmoid", values=())
            kept, new = w.add("multiply", (gate, before), (hidden,)), w.add("function", (new,), (hidden,), name="tanh", values=())
        h = w.add("add", (kept, new), (hidden,))
        w.link(before, h)
        return h
    return w.add("relu", (linear(0),), (hidden,), ceiling=None)
