"""Tensors whose first axis holds samples together with others, as windows, patches or steps that are treated one by one.

`x.view(samples * windows, size, channels)` makes such a tensor, a later view takes it apart. Between the two every operation
treats what lies along that axis by itself, so that the same operations on (samples, windows, size, channels) give the same
values: nodes of a traced network are rewritten to these. Knows nodes; knows no layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from converters.tracing.arguments import bound

_ALIKE = frozenset({
    "relu", "relu6", "gelu", "silu", "sigmoid", "tanh", "elu", "selu", "leaky_relu", "hardswish", "hardsigmoid", "hardtanh",
    "softplus", "mish", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "square", "pow", "erf", "add", "sub", "subtract", "mul",
    "multiply", "div", "divide", "truediv", "iadd", "isub", "imul", "itruediv", "dropout", "contiguous", "clone", "detach", "to",
    "float", "type_as", "clamp", "clip", "linear", "layer_norm", "rms_norm", "scaled_dot_product_attention",
})  # fmt: skip  # functions and methods of each value, or of the last axes
_MODULES = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.LeakyReLU, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh, nn.Softplus, nn.Mish, nn.Dropout, nn.Identity, nn.Linear, nn.LayerNorm, nn.RMSNorm,
)  # fmt: skip
_RESHAPED = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"})
_MOVED = frozenset({"permute", "transpose", "swapaxes", "swapdims"})
_PRODUCTS = frozenset({"matmul", "bmm"})
_DIVIDED = frozenset({"chunk", "split", "unbind"})
_REDUCED = frozenset({"softmax", "mean", "sum", "amax", "amin"})


class _UnknownError(Exception):
    """A node that reads such a tensor in a way that is not known here."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The axis that samples share, and with how many others each."""

    axis: int
    others: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What a node becomes: another call, where its axes have other numbers; and where its samples share an axis, if they do."""

    call: tuple[str, Any, tuple[Any, ...], dict[str, Any]] | None = None
    place: _Place | None = None


def taken_apart(graph: fx.Graph, model: nn.Module) -> None:
    """Rewrite the nodes of a traced network so that samples have an axis of their own throughout; as they are where a node that
    reads a tensor in which they have none is not known here."""
    samples = {len(node.meta["value"]) for node in graph.nodes if node.op == "placeholder"}
    changes: dict[fx.Node, _Change] = {}
    try:
        for node in graph.nodes:
            if node.op not in ("placeholder", "output", "get_attr") and not node.meta["constant"]:
                change = _changed(node, model, changes, *samples) if len(samples) == 1 else None
                if change is not None:
                    changes[node] = change
            elif node.op == "output" and any(_place(changes, one) for one in node.all_input_nodes):
                raise _UnknownError
    except (_UnknownError, TypeError, ValueError, IndexError, KeyError):
        return
    for node, change in changes.items():
        if change.call is not None:
            node.op, node.target, node.args, node.kwargs = change.call
        if change.place is not None:
            node.meta["value"] = _apart(node.meta["value"], change.place)


def _place(changes: dict[fx.Node, _Change], node: Any) -> _Place | None:
    return changes[node].place if isinstance(node, fx.Node) and node in changes else None


def _apart(value: Any, place: _Place) -> Any:
    """A tensor, or several, with an axis for samples and one for the others."""
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        return type(value)(_apart(part, place) for part in value)
    shape, at = value.shape, place.axis
    return value.reshape(*shape[:at], shape[at] // place.others, place.others, *shape[at + 1 :])


def _changed(node: fx.Node, model: nn.Module, changes: dict[fx.Node, _Change], samples: int) -> _Change | None:
    """What one node becomes; None where it stays as it is, with samples on an axis of their own."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    places = {place for one in node.all_input_nodes if (place := _place(changes, one)) is not None}
    if node.op != "call_module" and name in _RESHAPED:
        return _reshaped(node, places, samples)
    if not places:
        return None
    if len(places) > 1:
        raise _UnknownError
    (place,) = places
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if isinstance(module, nn.MultiheadAttention) and not place.axis:
            return _attention(node, changes, place)
        if isinstance(module, nn.Softmax):
            first = module.dim or 0
        else:
            first = -len(module.normalized_shape) if isinstance(module, nn.LayerNorm | nn.RMSNorm) else -1
        if not isinstance(module, (*_MODULES, nn.Softmax)) or first >= 0 or _dims(node) + first <= place.axis:
            raise _UnknownError
        return _Change(place=place)
    for names, handle in _HANDLED:
        if name in names:
            return handle(node, changes, place)
    raise _UnknownError


def _attention(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    """Among what is merged alone, with a mask that is the same for all or none."""
    a = bound(node, "query key value key_padding_mask need_weights attn_mask", key_padding_mask=None, attn_mask=None)
    mask = a["attn_mask"]
    same = mask is None or (isinstance(mask, fx.Node) and mask.meta["constant"] and _dims(mask) == 2)
    if not same or a["key_padding_mask"] is not None or any(_place(changes, a[n]) != place for n in ("query", "key", "value")):
        raise _UnknownError
    return _Change(place=place)


def _dims(node: Any) -> int:
    return int(node.meta["value"].ndim)


def _shifted(axis: Any, dims: int, place: _Place) -> int:
    """An axis of a tensor, once samples have one of their own."""
    at: int = int(axis) % dims
    if at == place.axis:
        raise _UnknownError
    return at + (at > place.axis)


def _reshaped(node: fx.Node, places: set[_Place], samples: int) -> _Change | None:
    shape, x = tuple(node.meta["value"].shape), node.all_input_nodes[0]
    before = tuple(x.meta["value"].shape)
    if not shape or (not places and (shape[0] == before[0] or before[0] != samples)):
        return None
    if any(place.axis for place in places) or shape[0] % samples:
        raise _UnknownError
    others = shape[0] // samples
    if math.prod(shape[1:]) * others * samples != math.prod(before):
        raise _UnknownError
    whole = (samples, *((others,) if others > 1 else ()), *shape[1:])
    return _Change(("call_method", "reshape", (x, whole), {}), _Place(0, others) if others > 1 else None)


def _alike(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    """Of each value: operands that are the same for all windows lie along the axes behind them."""
    dims = _dims(node)
    for one in node.all_input_nodes:
        value = one.meta["value"]
        if _place(changes, one) is None and isinstance(value, torch.Tensor):
            own = value.ndim - (dims - place.axis)  # axes in front of the one that is shared, or that one
            if not one.meta["constant"] or own > 0 or (own == 0 and value.shape[0] != 1):
                raise _UnknownError
        elif isinstance(value, torch.Tensor) and value.ndim != dims:
            raise _UnknownError
    return _Change(place=place)


def _moved(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    x, dims = node.all_input_nodes[0], _dims(node)
    if (node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")) == "permute":
        given: Any = node.args[1:] or (node.kwargs["dims"],)
        order = [int(d) % dims for d in (given[0] if isinstance(given[0], tuple | list) else given)]
    else:
        a, order = bound(node, "input dim0 dim1"), list(range(dims))
        one, two = int(a["dim0"]) % dims, int(a["dim1"]) % dims
        order[one], order[two] = order[two], order[one]
    axes = [new for a in order for new in ((a, a + 1) if a == place.axis else (a + (a > place.axis),))]
    return _Change(("call_method", "permute", (x, *axes), {}), _Place(order.index(place.axis), place.others))


def _product(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    """Of matrices, a constant one among them."""
    factors = [node.args[0], node.args[1] if len(node.args) > 1 else [*node.kwargs.values()][0]]
    for one in factors:
        constant = isinstance(one, fx.Node) and one.meta["constant"] and _dims(one) <= 2
        if place.axis or not (constant or (_place(changes, one) == place and _dims(one) == _dims(node))):
            raise _UnknownError
    return _Change(("call_function", torch.matmul, tuple(factors), {}), place)


def _divided(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    a = bound(node, "input size dim", dim=0)
    alone = node.target in ("unbind", torch.unbind)
    dims = _dims(a["input"])
    dim = int(a.get("size", a["dim"]) if alone else a["dim"]) % dims
    args = (a["input"], *(() if alone else (a["size"],)), _shifted(dim, dims, place))
    return _Change((node.op, node.target, args, {}), _Place(place.axis - (alone and dim < place.axis), place.others))


def _picked(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    x, index = node.args
    if not isinstance(x.meta["value"], torch.Tensor):  # type: ignore[union-attr]  # the first is a node
        return _Change(place=place)
    if isinstance(index, int) and place.axis > 0:
        return _Change(place=_Place(place.axis - 1, place.others))
    if place.axis == 0 and isinstance(index, tuple) and index[:1] == (slice(None),) and None not in index:
        return _Change((node.op, node.target, (x, (slice(None), *index)), {}), place)
    raise _UnknownError


def _reduced(node: fx.Node, changes: dict[fx.Node, _Change], place: _Place) -> _Change:
    a = bound(node, "input dim keepdim", keepdim=False)
    dims, keeps = _dims(a["input"]), a["keepdim"] is True
    axes = [_shifted(d, dims, place) for d in (a["dim"] if isinstance(a["dim"], tuple | list) else (a["dim"],))]
    soft = _dims(node) == dims and not keeps
    gone = 0 if soft or keeps else sum(axis < place.axis for axis in axes)
    args = (a["input"], axes[0] if soft else tuple(axes))
    return _Change((node.op, node.target, args, {} if soft else {"keepdim": keeps}), _Place(place.axis - gone, place.others))


_HANDLED: tuple[tuple[frozenset[str], Callable[[fx.Node, dict[fx.Node, _Change], _Place], _Change]], ...] = (
    (_ALIKE, _alike),
    (_MOVED, _moved),
    (_PRODUCTS, _product),
    (_DIVIDED, _divided),
    (frozenset({"getitem"}), _picked),
    (_REDUCED, _reduced),
)
