"""How handlers of traced nodes read a call: arguments by name, modules, pairs and axes. Knows no layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import fx

from converters.tracing.builder import Builder

Handler = Callable[[Builder, fx.Node], None]
_OTHER_NAMES = {"axis": "dim", "axis0": "dim0", "axis1": "dim1", "self": "input"}  # torch takes these too


def bound(node: fx.Node, names: str, **defaults: Any) -> dict[str, Any]:
    """Arguments of a call by name."""
    given = dict(zip(names.split(), node.args, strict=False))
    return {**defaults, **given, **{_OTHER_NAMES.get(name, name): value for name, value in node.kwargs.items()}}


def operand(node: fx.Node) -> Any:
    """The tensor that a call works on."""
    return bound(node, "input")["input"]


def module_of(b: Builder, node: fx.Node) -> Any:
    return b.model.get_submodule(str(node.target))


def pair(value: Any, dims: int) -> tuple[int, ...]:
    """A number for each axis, given as one for all, as a list of one, or one by one."""
    given = tuple(int(v) for v in value) if np.ndim(value) else (int(value),)
    return given * dims if len(given) == 1 else given


def same(b: Builder, node: fx.Node) -> None:
    b.names[node] = b.layer(operand(node))


def sample_free_axis(b: Builder, node: fx.Node, axis: Any, dims: int) -> int:
    """An axis of the tensor as an axis without samples."""
    place, first = int(axis) + dims + 1 if axis < 0 else int(axis), next(iter(node.all_input_nodes), node)
    at = b.moved.get(first, 0)
    if place == at:
        raise b.refuse(node, "it works on the sample axis", "Treat every sample by itself")
    return place - (place > at)
