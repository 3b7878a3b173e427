"""torch.nn.Module -> torch.fx graph in which every node knows its value on the sample data.

Shapes are those of the sample, so sizes read from `x.shape` are plain numbers and pads computed from them are constants.
Knows nothing of Graph or of which operations can be converted.
"""

from __future__ import annotations

import operator
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from neuro.errors import ConversionError

_FACTS = ("shape", "ndim", "dtype", "device", "requires_grad", "is_cuda", "layout")
_LIKE = ("to", "type_as")  # of their arguments only the first is read; of the other, its type
_PLAIN = {"__call__": nn.Module.__call__, "__getattr__": nn.Module.__getattr__}
_HERE = (str(Path(__file__).parent), str(Path(torch.__file__).parent))


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


class ConcreteTracer(fx.Tracer):
    """Records a forward pass and computes it on sample data at the same time.

    A node's meta holds `value`, and `constant`: whether the value is independent of the network's input.
    """

    record_stack_traces = True

    def __init__(self, sample: torch.Tensor) -> None:
        super().__init__()
        self.sample = sample
        self.count = 0

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) and not isinstance(m, nn.Sequential | nn.ModuleList)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ConcreteProxy(node, self)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Node:
        node = super().create_node(kind, target, args, kwargs, *rest, **more)
        if kind != "output":
            self._compute(node)
        return node

    def _compute(self, node: fx.Node) -> None:
        read = node.all_input_nodes[:1] if node.target in _LIKE else node.all_input_nodes
        node.meta["constant"] = node.op != "placeholder" and all(n.meta["constant"] for n in read)
        if node.op == "placeholder":
            self.count += 1
            if self.count > 1:
                raise ConversionError(
                    f"input {node.name!r}", "the network takes more than one input", "Wrap it so that it takes one"
                )
            node.meta["value"] = self.sample
            return
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: _copy(n.meta["value"]))
        with _untraced():
            node.meta["value"] = _call(self.root, node, args, kwargs)


@contextmanager
def _untraced() -> Iterator[None]:
    """Modules behave as usual inside, although torch.fx has patched them for tracing."""
    patched = {name: getattr(nn.Module, name) for name in _PLAIN}
    try:
        for name, plain in _PLAIN.items():
            setattr(nn.Module, name, plain)
        yield
    finally:
        for name, function in patched.items():
            setattr(nn.Module, name, function)


def _copy(value: Any) -> Any:
    """Tensors are copied, so that an operation in place leaves the recorded value as it was."""
    return value.clone() if isinstance(value, torch.Tensor) else value


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


def record(model: nn.Module, sample: torch.Tensor) -> fx.Graph:
    """The operations of `model` on `sample` (samples, *shape), in evaluation mode; the model is left as it was."""
    training, names = {module: module.training for module in model.modules()}, set(vars(model))
    tracer = ConcreteTracer(sample)
    try:
        model.eval()
        with torch.no_grad():
            return tracer.trace(model)
    except ConversionError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the user's forward raises is reported with its place
        raise _explained(model, error) from error
    finally:
        for module, mode in training.items():
            module.training = mode
        for name in set(vars(model)) - names:  # constants that torch.fx leaves behind
            delattr(model, name)


def _explained(model: nn.Module, error: Exception) -> ConversionError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_HERE)]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "its forward"
    where = f"{type(model).__name__} ({place})"
    line = (frames[-1].line or "").strip() if frames else ""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, fx.proxy.TraceError) or "Proxy" in text:
        fact = f"`{line}` decides or computes in Python by the values of the data"
        return ConversionError(where, fact, "Write the forward without branches and loops that depend on values")
    return ConversionError(where, f"its forward fails on the sample data: {text}", "Check the shape and type of the sample data")


def source_line(node: fx.Node) -> str:
    """`file.py:12`, the user's line that made the node, or "" when unknown."""
    found = re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
    own = [(name, line) for name, line in found if not name.startswith(_HERE)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""
