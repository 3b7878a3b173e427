"""torch.nn.Module -> torch.fx graph in which every node knows its value on the sample data.

Shapes are those of the sample, so sizes read from `x.shape` are plain numbers and pads computed from them are constants.
Which tensors share memory, and which calls change one in place, is observed while the node is computed.
Knows nothing of Graph or of which operations can be converted.
"""

from __future__ import annotations

import contextlib
import operator
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from neuro.errors import ConversionError

_FACTS = ("shape", "ndim", "dtype", "device", "requires_grad", "is_cuda", "is_nested", "layout")
_LIKE = ("to", "type_as")  # of their arguments only the first is read; of the other, its type
_HERE = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, torch.__file__))
_OPEN: tuple[type[nn.Module], ...] = (  # modules of torch that are recorded from the inside
    *(nn.Sequential, nn.ModuleList, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoder),
    nn.TransformerDecoderLayer,
)
_WRAPPERS = (WeightNorm, SpectralNorm)  # hooks that only compute a weight


class _Tuple(tuple[Any, ...]):
    """A tuple that torch.fx does not take apart among the arguments of a forward."""


class _List(list[Any]):
    """A list that torch.fx does not take apart."""


class _Mapping(dict[Any, Any]):
    """A dict that torch.fx does not take apart."""


_LEAVES: dict[type, type] = {tuple: _Tuple, list: _List, dict: _Mapping}


class ConcreteProxy(fx.Proxy):
    """A value in the traced program whose shape, type and length are already known."""

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self.node.meta["value"], name)
        return super().__getattr__(name)

    def size(self, dim: int | None = None) -> Any:
        shape = self.node.meta["value"].shape
        return shape if dim is None else shape[dim]

    def dim(self) -> int:
        return int(self.node.meta["value"].dim())

    ndimension = dim

    def numel(self) -> int:
        return int(self.node.meta["value"].numel())

    def __len__(self) -> int:
        return len(self.node.meta["value"])

    def __iter__(self) -> Iterator[Any]:
        return (operator.getitem(self, i) for i in range(len(self)))

    def __iadd__(self, other: Any) -> Any:
        return self._changed(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._changed(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._changed(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._changed(operator.itruediv, other)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._changed(operator.setitem, index, value)

    def _changed(self, function: Any, *operands: Any) -> Any:
        """An operation that changes this very tensor (torch.fx alone would record one that makes a new tensor)."""
        return self.tracer.create_proxy("call_function", function, (self, *operands), {})


class ConcreteTracer(fx.Tracer):
    """Records a forward pass and computes it on sample data at the same time.

    A node's meta holds `value`; `constant`: whether the value is independent of the network's input; `line`: the user's line
    that made it, "" when unknown; `shares`: nodes whose memory its value shares, and whether the two are the same elements in the
    same order; `changes`: nodes whose value it changes in place.
    """

    def __init__(self, samples: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.samples = samples
        self.count = 0
        self._computing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        hooks = [*m._forward_hooks.values(), *m._forward_pre_hooks.values()]
        if any(not isinstance(hook, _WRAPPERS) for hook in hooks):
            return False  # recorded from the inside, so that what its hooks do is recorded too
        leaf = super().is_leaf_module(m, module_qualified_name) or is_parametrized(m)
        return leaf and not isinstance(m, _OPEN)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """As in torch.fx; a module that is called while a node is computed behaves as usual."""
        return forward(*args, **kwargs) if self._computing else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """As in torch.fx, where no node is being computed."""
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ConcreteProxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        """As in torch.fx, but an argument of forward that has a default takes it, and *args and **kwargs are empty."""
        if kind == "placeholder" and self.count >= len(self.samples):
            if args:
                return _LEAVES.get(type(args[0]), lambda default: default)(args[0])
            if target.startswith("*"):
                return _Mapping() if target.startswith("**") else _Tuple()
        return super().create_proxy(kind, target, args, kwargs, *rest, **more)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Node:
        node = super().create_node(kind, target, args, kwargs, *rest, **more)
        node.meta["line"] = _line()
        if kind != "output":
            self._compute(node)
        return node

    def _compute(self, node: fx.Node) -> None:
        read = node.all_input_nodes[:1] if node.target in _LIKE else node.all_input_nodes
        node.meta.update(constant=node.op != "placeholder" and all(n.meta["constant"] for n in read), shares={}, changes=())
        if node.op == "placeholder":
            self.count += 1
            if self.count > len(self.samples):
                fact = f"the network takes more inputs than the {len(self.samples)} of the example"
                raise ConversionError(f"input {node.name!r}", fact, "Pass an example of each, by name")
            node.meta["value"] = self.samples[self.count - 1]
            return
        copies = {n: _copy(n.meta["value"]) for n in node.all_input_nodes}
        before = {n: [t._version for t in _tensors(copy)] for n, copy in copies.items()}
        args, kwargs = fx.map_arg((node.args, node.kwargs), copies.__getitem__)
        before_it, self._computing = self._computing, True
        try:
            node.meta["value"] = _call(self.root, node, args, kwargs)
        finally:
            self._computing = before_it
        shared = {n: _shared(node.meta["value"], copy) for n, copy in copies.items()}
        node.meta["shares"] = {n: whole for n, whole in shared.items() if whole is not None}
        node.meta["changes"] = tuple(n for n, copy in copies.items() if [t._version for t in _tensors(copy)] != before[n])


def _copy(value: Any) -> Any:
    """Tensors are copied, so that an operation in place leaves the recorded value as it was."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    return type(value)(map(_copy, value)) if type(value) in (tuple, list) else value


def _tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in a value, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for part in value for t in _tensors(part)] if isinstance(value, tuple | list) else []


def _shared(result: Any, given: Any) -> bool | None:
    """None for values that share no memory, else whether they are the same elements in the same order."""
    memory = {t.untyped_storage().data_ptr() for t in _tensors(given)}
    if not any(t.untyped_storage().data_ptr() in memory for t in _tensors(result)):
        return None
    if not isinstance(result, torch.Tensor) or not isinstance(given, torch.Tensor):
        return False
    return (result.data_ptr(), result.shape, result.stride()) == (given.data_ptr(), given.shape, given.stride())


def _call(root: Any, node: fx.Node, args: Any, kwargs: Any) -> Any:
    if node.op == "call_module":
        return root.get_submodule(node.target)(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if node.op == "get_attr":
        value = root
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value
    assert callable(node.target)
    return node.target(*args, **kwargs)


def record(model: nn.Module, samples: tuple[torch.Tensor, ...], names: tuple[str, ...] = ("x",)) -> fx.Graph:
    """The operations of `model`, in evaluation mode, on `samples` (samples, *shape) of each of its inputs."""
    tracer = ConcreteTracer(samples)
    try:
        with torch.no_grad():
            return tracer.trace(model)
    except ConversionError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the user's forward raises is reported with its place
        raise _explained(model, samples[0], error) from error


def _explained(model: nn.Module, sample: torch.Tensor, error: Exception) -> ConversionError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_HERE)]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "its forward"
    where = f"{type(model).__name__} ({place})"
    line = (frames[-1].line or "").strip() if frames else ""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, fx.proxy.TraceError) or "Proxy" in text:
        fact = f"`{line}` decides or computes in Python by the values of the data"
        return ConversionError(where, fact, "Write the forward without branches and loops that depend on values")
    return ConversionError(where, f"its forward fails on the sample data: {text}", _other_shape(model, sample))


def _other_shape(model: nn.Module, sample: torch.Tensor) -> str:
    """What to do about samples that the network does not take: the rearrangement that it takes, where there is one."""
    shape = tuple(sample.shape[1:])
    tried = [(sample[:, None], "x[:, None]"), (sample.flatten(1), "x.reshape(len(x), -1)")]
    if sample.ndim == 4:
        tried.append((sample.permute(0, 3, 1, 2), "x.transpose(0, 3, 1, 2)"))
        tried.append((sample[:, 0], "x[:, 0]"))
    for other, written in tried:
        with contextlib.suppress(Exception), torch.no_grad():
            if len(model(other.clone())) == len(sample):
                return f"Pass {written}: one sample is {shape}, the network takes {tuple(other.shape[1:])}"
    return f"Check the shape {shape} of one sample, and its type"


def _line() -> str:
    """`file.py:12`, the innermost line being run that is the user's, or "" where there is none.

    Frames are read here and not by `record_stack_traces` of torch.fx, which imports the compiler of torch for it (2 s).
    """
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code is not record.__code__:
        if not frame.f_code.co_filename.startswith(_HERE):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
