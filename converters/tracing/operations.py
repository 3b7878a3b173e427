"""Which torch modules, functions and methods become which layers: three tables, and the handlers of rectifiers.

Every handler takes the builder and the traced node and adds layers; shapes leave out the batch axis.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from converters.tracing.arguments import Handler, bound, module_of, operand, same
from converters.tracing.arithmetic import add, divide, multiply, negate, subtract
from converters.tracing.builder import Builder
from converters.tracing.pools import adaptive, maximum, mean, pool, total
from converters.tracing.rearranging import (
    add_transpose,
    concatenate,
    enlarge,
    expand,
    flip,
    moveaxis,
    pad,
    permute,
    pick,
    repeat,
    repeat_interleave,
    reshape,
    roll,
    select,
    shuffle_pixels,
    split,
    stack,
    transpose,
)  # fmt: skip
from converters.tracing.weighted import (
    conv_function,
    conv_module,
    linear,
    norm_function,
    norm_module,
    product,
    transposed_function,
    transposed_module,
)  # fmt: skip

# Activations


def _relu(b: Builder, node: fx.Node, ceiling: float | None = None) -> None:
    b.names[node] = b.add(node, "relu", (b.layer(operand(node)),), ceiling=ceiling)


def _relu6(b: Builder, node: fx.Node) -> None:
    _relu(b, node, 6.0)


def _clipped(b: Builder, node: fx.Node, low: Any, high: Any) -> None:
    low, high = _limit(b, node, low, "lower bound"), _limit(b, node, high, "upper bound")
    if low != 0 or (high is not None and high <= 0):
        raise b.refuse(node, f"it clips to [{low}, {high}]", "Clip to [0, c] with c > 0: spikes count from zero")
    _relu(b, node, high)


def _limit(b: Builder, node: fx.Node, value: Any, what: str) -> float | None:
    """A bound of a clip, one number for all neurons."""
    found = b.constant(node, value, what)
    if np.size(found) != 1:
        raise b.refuse(node, f"its {what} differs between neurons", "Clip all of them to one [0, c]")
    return None if found is None else float(found)


def _hardtanh(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        _clipped(b, node, module_of(b, node).min_val, module_of(b, node).max_val)
    else:
        a = bound(node, "input min_val max_val inplace", min_val=-1.0, max_val=1.0)
        _clipped(b, node, a["min_val"], a["max_val"])


def _clamp_min(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input min")
    _clipped(b, node, a["min"], None)


def _clamp(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input min max", min=None, max=None)
    _clipped(b, node, a["min"], a["max"])


def _dropout(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input p training inplace", p=0.5, training=True)
    if node.op != "call_module" and a["training"] and a["p"]:
        raise b.refuse(node, "it drops values at random even in evaluation", "Pass training=self.training")
    same(b, node)


def _cast(b: Builder, node: fx.Node) -> None:
    kind = node.meta["value"].dtype
    if kind not in (torch.float32, torch.float64):
        raise b.refuse(node, f"it casts activations to {kind}", "Keep activations in float32")
    same(b, node)


def _attribute(b: Builder, node: fx.Node) -> None:
    """x.values of a maximum, x.data and x.mT."""
    x, name = node.args
    assert isinstance(x, fx.Node)
    if x in b.parts and name == "values":
        b.names[node] = b.parts[x][0]
    elif x not in b.parts and name == "data":
        b.names[node] = b.layer(x)
    elif x not in b.parts and name == "mT":
        add_transpose(b, node, x, -1, -2)
    else:
        raise b.refuse(node, f"it reads {name!r} of a value", "Write it with ReLU, convolutions, linear layers and pooling")


MODULES: dict[type[nn.Module], Handler] = {
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.Hardtanh: _hardtanh,
    nn.Linear: linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d), conv_module),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d), transposed_module),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), norm_module),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), pool("avg_pool")),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), pool("max_pool")),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), adaptive("avg_pool")),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), adaptive("max_pool")),
    **dict.fromkeys(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity), same
    ),
    **dict.fromkeys((nn.Flatten, nn.Unflatten), reshape),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), pad),
    **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d), pad),
    **dict.fromkeys((nn.CircularPad1d, nn.CircularPad2d), pad),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), enlarge),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), shuffle_pixels),
}  # fmt: skip

FUNCTIONS: dict[Any, Handler] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_), _relu),
    F.relu6: _relu6,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip, torch.clamp_, torch.clip_), _clamp),
    torch.clamp_min: _clamp_min,
    **dict.fromkeys((F.conv1d, F.conv2d, torch.conv1d, torch.conv2d), conv_function),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d), transposed_function),
    F.linear: linear,
    **dict.fromkeys((operator.matmul, torch.matmul, torch.mm), product),
    F.batch_norm: norm_function,
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d), pool("avg_pool")),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d), pool("max_pool")),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), adaptive("avg_pool")),
    **dict.fromkeys((F.adaptive_max_pool1d, F.adaptive_max_pool2d), adaptive("max_pool")),
    torch.mean: mean,
    torch.sum: total,
    **dict.fromkeys((torch.amax, torch.max), maximum),
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten), reshape),
    torch.permute: permute,
    **dict.fromkeys((torch.transpose, torch.swapaxes, torch.swapdims), transpose),
    **dict.fromkeys((torch.movedim, torch.moveaxis), moveaxis),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    torch.stack: stack,
    **dict.fromkeys((torch.chunk, torch.split, torch.tensor_split, torch.unbind), split),
    **dict.fromkeys((torch.select, torch.narrow, torch.index_select), select),
    torch.flip: flip,
    torch.roll: roll,
    torch.tile: repeat,
    torch.repeat_interleave: repeat_interleave,
    torch.broadcast_to: expand,
    F.pad: pad,
    **dict.fromkeys((F.interpolate, F.upsample), enlarge),
    **dict.fromkeys((F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle), shuffle_pixels),
    operator.getitem: pick,
    getattr: _attribute,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract), subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply), multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide), divide),
    **dict.fromkeys((operator.neg, torch.neg, torch.negative), negate),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout), _dropout),
}  # fmt: skip

METHODS: dict[str, Handler] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    **dict.fromkeys(("clamp_min", "clamp_min_"), _clamp_min),
    **dict.fromkeys(("matmul", "mm"), product),
    "mean": mean,
    "sum": total,
    **dict.fromkeys(("amax", "max"), maximum),
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as"), reshape),
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    **dict.fromkeys(("movedim", "moveaxis"), moveaxis),
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind"), split),
    **dict.fromkeys(("select", "narrow", "index_select"), select),
    "flip": flip,
    "roll": roll,
    **dict.fromkeys(("repeat", "tile"), repeat),
    "repeat_interleave": repeat_interleave,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand),
    **dict.fromkeys(("contiguous", "detach", "clone", "cpu"), same),
    **dict.fromkeys(("to", "type_as", "float", "double", "half", "bfloat16", "type"), _cast),
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_", "subtract"), subtract),
    **dict.fromkeys(("mul", "mul_", "multiply"), multiply),
    **dict.fromkeys(("div", "div_", "divide"), divide),
    **dict.fromkeys(("neg", "neg_", "negative"), negate),
}  # fmt: skip
