"""Chance: which networks, samples and options the fuzzer of networks draws. Knows programs; knows nothing of what is checked."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.drawn import KINDS, Assembly, Program, Shape, Step, Unfit

STYLES = ("normal",) * 9 + ("equal", "equal", "sparse", "negative", "channels", "zero")
CODES = ("rate", "signed", "wait", "radix", "graded")


def _weights(rng: random.Random) -> Step:
    options: Step = {}
    style = rng.choice(STYLES)
    if style != "normal":
        options["weights"] = style
    if rng.random() < 0.08:
        options["scale"] = 10.0 ** rng.choice((-6, -4, -2, 2, 4, 6))
    if rng.random() < 0.3:
        options["bias"] = False
    return options


def _conv(rng: random.Random, shape: Shape) -> Step:
    dilation = rng.choice((1, 1, 1, 2, 3))
    kernel = [rng.choice((1, 2, 3, 3)) for _ in range(2)]
    step: Step = {
        "op": "conv",
        "kernel": kernel if rng.random() < 0.3 else [kernel[0]] * 2,
        "out": rng.choice((1, 2, 3, 4, 5)),
        **_weights(rng),
    }
    groups = rng.choice(("one", "one", "one", "two", "depthwise"))
    if groups != "one":
        step |= {"groups": groups, "out": rng.randint(1, 2)}
    if dilation > 1:
        step["dilation"] = dilation
    padding = rng.choice((0, 1, 1, 2, "same", "same"))
    if padding == "same" or rng.random() < 0.65:
        step["padding"] = padding
    else:
        step["stride"] = rng.choice((2, 2, 3))
        step["padding"] = padding
    return step


def _linear(rng: random.Random, shape: Shape) -> Step:
    return {"op": "linear", "out": rng.choice((1, 3, 4, 6, 8, 10, 16)), **_weights(rng)}


def _norm(rng: random.Random, shape: Shape) -> Step:
    return {"op": "norm"}


def _relu(rng: random.Random, shape: Shape) -> Step:
    kind = rng.choice(("module", "module", "module", "function", "method", "six", "clamp", "hardtanh"))
    step: Step = {"op": "relu", "kind": kind}
    return step | {"ceiling": rng.choice((0.5, 1.0, 2.0))} if kind in ("clamp", "hardtanh") else step


def _pool(rng: random.Random, shape: Shape) -> Step:
    kernel = [rng.choice((2, 2, 3)) for _ in range(2)]
    step: Step = {"op": "pool", "kind": rng.choice(("Avg", "Max")), "kernel": kernel if rng.random() < 0.25 else [kernel[0]] * 2}
    if rng.random() < 0.6:
        step["stride"] = rng.choice((1, 2, 2, 3))
    if rng.random() < 0.3:
        step["padding"] = 1
    if rng.random() < 0.25:
        step["ceil_mode"] = True
    if step["kind"] == "Max" and rng.random() < 0.35:
        step["dilation"] = 2
    if step["kind"] == "Avg" and rng.random() < 0.4:
        step["count_include_pad"] = False
    return step


def _adaptive(rng: random.Random, shape: Shape) -> Step:
    return {"op": "adaptive", "kind": rng.choice(("Avg", "Max")), "size": rng.choice((1, 2, 3))}


def _pad(rng: random.Random, shape: Shape) -> Step:
    lowest = rng.choice((0, 0, -1))
    return {"op": "pad", "sides": [rng.randint(lowest, 2) for _ in range(4)], "kind": rng.choice(("module", "function"))}


def _slice(rng: random.Random, shape: Shape) -> Step:
    step: Step = {"op": "slice", "axis": rng.randint(0, 2), "start": rng.randint(0, 1), "end": rng.randint(0, 1)}
    return step | {"step": 2} if rng.random() < 0.3 else step


def _scale(rng: random.Random, shape: Shape) -> Step:
    kind = rng.choice(("times", "plus", "over", "minus", "neg", "channels"))
    return {"op": "scale", "kind": kind, "by": rng.choice((0.5, 2.0, 0.1, 3.0))}


def _move(rng: random.Random, shape: Shape) -> Step:
    return {"op": "move", "kind": rng.choice(("permute", "rows", "image", "mean")), "rows": rng.choice((1, 2, 3))}


_PARTS: dict[int, tuple[tuple[Callable[[random.Random, Shape], Step], int], ...]] = {
    1: ((_linear, 8), (_norm, 2), (_scale, 1), (_slice, 1), (_move, 1)),
    2: ((_conv, 6), (_norm, 2), (_pool, 3), (_adaptive, 1), (_linear, 1), (_pad, 1), (_slice, 1), (_scale, 1), (_move, 1)),
    3: ((_conv, 8), (_norm, 2), (_pool, 4), (_adaptive, 1), (_pad, 1), (_slice, 1), (_scale, 1), (_move, 1)),
}
_RECTIFIED = (_conv, _linear, _norm)


class _Growing:
    """A program to which steps are added; one that does not fit is left out."""

    def __init__(self, rng: random.Random, program: Program) -> None:
        self.rng, self.program, self.assembly = rng, program, Assembly(tuple(program["shape"]))

    @property
    def shapes(self) -> list[Shape]:
        return self.assembly.shapes

    def add(self, step: Step, *more: int) -> bool:
        """Add a step on the last value and some earlier ones."""
        step = {**step, "from": [len(self.program["steps"]), *more]}
        try:
            self.assembly.add(step)
        except Unfit:
            return False
        self.program["steps"].append(step)
        return True

    def join(self) -> None:
        """Add, or join with, an earlier value that fits, the input among them."""
        last = len(self.shapes) - 1
        step = self.rng.choice(
            ({"op": "add"}, {"op": "add"}, {"op": "add", "kind": "minus"}, {"op": "cat"}, {"op": "cat", "axis": 1})
        )
        order = self.rng.sample(range(last), last)
        if self.rng.random() < 0.3:
            order.sort()  # the input first
        for i in order:
            if self.add(step, i):
                return

    def block(self) -> None:
        """One more layer, often with a rectifier behind it, sometimes with a second path around it."""
        rng, shape = self.rng, self.shapes[-1]
        parts = _PARTS[len(shape)]
        make = rng.choices([f for f, _ in parts], [w for _, w in parts])[0]
        before, step = len(self.shapes) - 1, make(rng, shape)
        steps = self.program["steps"]
        if step.get("kind") == "Max" and not (steps and steps[-1]["op"] == "relu") and not self.add(_relu(rng, shape)):
            return
        if not self.add(step):
            return
        made = len(self.shapes) - 1
        if make in (_conv, _linear) and rng.random() < 0.3:
            self.add(_norm(rng, shape))
        if make is _norm and rng.random() < 0.25:
            self.add(_norm(rng, shape))
        if rng.random() < (0.3 if self.shapes[before] != self.shapes[-1] else 0.5):
            self.join()
        if rng.random() < (0.8 if make in _RECTIFIED else 0.25):
            self.add(_relu(rng, shape))
        if make in (_conv, _linear) and rng.random() < 0.12:
            self.add({"op": "again", "of": made})
            self.add(_relu(rng, shape))


def _how(rng: random.Random) -> dict[str, Any]:
    code = rng.choice(CODES)
    windows = {"radix": (2, 4, 6, 8, 8), "graded": (1,)}.get(code, (4, 8, 16, 32, 64))
    how: dict[str, Any] = {
        "code": code,
        "timesteps": rng.choice(windows),
        "threshold": rng.choice(("max", "max", "mse", "percentile")),
    }
    if rng.random() < 0.6:
        how["correct_bias"] = False
    if rng.random() < 0.3:
        how["weight_bits"] = rng.randint(2, 7)
    if rng.random() < 0.15:
        how["potential_bits"] = rng.choice((16, 20, 31))
    kind = rng.choice(("auto", "auto", "spikes", "graded", "ideal"))
    return how | {"input": kind} if kind != "auto" and not (kind == "spikes" and code == "graded") else how


def drawn(seed: int) -> Program:
    """A random program with its samples and options of conversion; the same for the same seed."""
    rng = random.Random(f"networks {seed}")
    shape = rng.choice(
        (
            [rng.randint(1, 3), rng.randint(3, 9), rng.randint(3, 9)],
            [rng.randint(1, 3), rng.randint(5, 9), rng.randint(5, 9)],
            [rng.randint(1, 4), rng.randint(4, 12)],
            [rng.choice((1, 2, 5, 12))],
        )
    )
    data = rng.choice(KINDS) if rng.random() < 0.5 else rng.choice(("unit", "signed"))
    program: Program = {
        "seed": seed * 100,
        "shape": shape,
        "data": data,
        "count": rng.randint(8, 16),
        "how": _how(rng),
        "steps": [],
    }
    growing = _Growing(rng, program)
    for _ in range(rng.randint(2, 5)):
        growing.block()
    if rng.random() < 0.85:
        if len(growing.shapes[-1]) > 1:
            growing.add({"op": "move", "kind": "flatten"})
        growing.add(_linear(rng, growing.shapes[-1]))
    return program
