"""A user's module for the time of a trace: in evaluation mode, in float32 on the CPU, and afterwards exactly as it was.

Knows modules and their tensors; knows nothing of graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from neuro.errors import ConversionError

_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside what torch.compile or DataParallel made of it. Raises ConversionError for TorchScript."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ConversionError(
            type(model).__name__, "TorchScript holds no Python code to trace", "Pass the module that it was made from"
        )
    inner = getattr(model, "_orig_mod", None)
    if inner is None and isinstance(model, nn.DataParallel):
        inner = model.module
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


@contextmanager
def held(model: nn.Module) -> Iterator[None]:
    """The module, and all in it, in evaluation mode with float32 tensors on the CPU; on leaving, exactly as it was.

    Weights of other float types are replaced by float32 copies, shared ones by one copy; buffers always are, since a forward may
    change them. Raises ConversionError that names a tensor without values (meta, lazy) or of a type that has no float32 form.
    """
    modules = list(dict.fromkeys(model.modules()))
    kept = [(module, dict(vars(module)), dict(module._parameters), dict(module._buffers)) for module in modules]
    copies: dict[int, torch.Tensor] = {}
    try:
        for path, module in model.named_modules():
            _prepare(path, module, copies)
        yield
    finally:
        for module, attributes, parameters, buffers in kept:
            vars(module).clear()
            vars(module).update(attributes)
            module._parameters.clear()
            module._parameters.update(parameters)
            module._buffers.clear()
            module._buffers.update(buffers)


def _prepare(path: str, module: nn.Module, copies: dict[int, torch.Tensor]) -> None:
    module.training = False
    where = f"{path}." if path else ""
    tables: tuple[tuple[str, dict[str, Any]], ...] = (
        ("parameter", module._parameters), ("buffer", module._buffers), ("attribute", vars(module))
    )  # fmt: skip
    for kind, table in tables:
        for name, value in list(table.items()):
            if isinstance(value, torch.Tensor):
                if id(value) not in copies:
                    copies[id(value)] = _as_float32(f"{kind} {where + name!r}", value, always=kind == "buffer")
                table[name] = copies[id(value)]


def _as_float32(where: str, tensor: torch.Tensor, always: bool) -> torch.Tensor:
    """The tensor itself where it will do, else a copy: floats as float32, all else as it is."""
    if is_lazy(tensor):
        raise ConversionError(where, "it has no shape yet: its module is lazy", "Call the model once on a few samples first")
    if tensor.is_meta:
        raise ConversionError(
            where,
            "it is on the meta device and has no values",
            "Call model.to_empty(device='cpu') and load its weights with load_state_dict",
        )
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in _FLOATS) or tensor.is_quantized:
        raise ConversionError(where, f"its type is {tensor.dtype}", "Pass a model with float weights, such as model.float()")
    fits = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, *_WHOLE)
    if fits and not always:
        return tensor
    value = tensor.detach().cpu()
    value = value.float() if value.is_floating_point() else value.clone()
    value = value.clone() if value.data_ptr() == tensor.data_ptr() else value
    if value.is_floating_point() and bool((tensor.detach().cpu().isfinite() & ~value.isfinite()).any()):
        raise ConversionError(where, "float32 cannot hold its values", "Scale the weights down, or train in float32")
    return nn.Parameter(value) if isinstance(tensor, nn.Parameter) and value.is_floating_point() else value
