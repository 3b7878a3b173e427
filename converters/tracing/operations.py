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

from converters.tracing import measures, products, recurrent, values, weighted
from converters.tracing import rearranging as forms
from converters.tracing.arguments import Handler, bound, module_of, operand, same
from converters.tracing.arithmetic import add, divide, multiply, negate, scaled, subtract
from converters.tracing.builder import Builder
from converters.tracing.pools import adaptive, maximum, mean, minimum, pool, total

# Activations


def _relu(b: Builder, node: fx.Node, ceiling: float | None = None) -> None:
    b.names[node] = b.add(node, "relu", (b.layer(operand(node)),), ceiling=ceiling)


def _relu6(b: Builder, node: fx.Node) -> None:
    _relu(b, node, 6.0)


def _clipped(b: Builder, node: fx.Node, low: Any, high: Any) -> None:
    low, high = _limit(b, node, low, "lower bound"), _limit(b, node, high, "upper bound")
    if low == 0 and (high is None or high > 0):
        _relu(b, node, high)
        return
    if low is not None and high is not None and low >= high:
        raise b.refuse(node, f"it clips to [{low}, {high}]", "Clip to a range with a width")
    name = b.layer(operand(node))
    if max(abs(v) for v in (low or 0.0, high or 0.0)) > MOST_SHIFT:
        b.names[node] = _limited(b, node, name, low, high)
    elif low is None:
        upside = scaled(b, node, name, factor=-1.0, shift=high)
        b.names[node] = scaled(b, node, b.add(node, "relu", (upside,), ceiling=None), factor=-1.0, shift=high)
    else:  # a rectifier between two shifts
        inner = scaled(b, node, name, shift=-low)
        above = b.add(node, "relu", (inner,), ceiling=None if high is None else high - low)
        b.names[node] = scaled(b, node, above, shift=low)


def _limited(b: Builder, node: fx.Node, name: str, low: float | None, high: float | None) -> str:
    """Clipped by comparison with constants: bounds far from the values cost no digits."""
    for op, bound_ in (("maximum", low), ("minimum", high)):
        if bound_ is not None:
            value = np.full((1,) * len(b.shape(name)), bound_, np.float32)
            name = b.add(node, op, (name, b.add(node, "constant", (), value.shape, {"value": value})))
    return name


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


def _hardsigmoid(b: Builder, node: fx.Node) -> None:
    inner = scaled(b, node, b.layer(operand(node)), factor=1 / 6, shift=0.5)
    b.names[node] = b.add(node, "relu", (inner,), ceiling=1.0)


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


def _attribute(b: Builder, node: fx.Node) -> None:
    """x.values of a maximum, x.data and x.mT."""
    x, name = node.args
    assert isinstance(x, fx.Node)
    if x in b.parts and name == "values":
        b.names[node] = b.parts[x][0]
    elif x not in b.parts and name == "data":
        b.names[node] = b.layer(x)
    elif x not in b.parts and name == "mT":
        forms.add_transpose(b, node, x, -1, -2)
    else:
        raise b.refuse(node, f"it reads {name!r} of a value", "Write it with layers, sums, products and functions of values")


MOST_SHIFT = 1e4  # of a bound: max(x - a, 0) + a keeps the digits of x only where a is not much larger than x

_SLOPE, _ALPHA, _BETA = ("negative_slope", 0.01), ("alpha", 1.0), ("beta", 1.0)
_ALIKE = (  # functions that torch calls by the same name
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "expm1", "floor", "log"),
    *("log1p", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc"),
)

MODULES: dict[type[nn.Module], Handler] = {
    nn.SiLU: values.function("silu"),
    nn.GELU: values.gelu,
    nn.Hardswish: values.function("hardswish"),
    nn.Hardsigmoid: _hardsigmoid,
    nn.Sigmoid: values.function("sigmoid"),
    nn.Tanh: values.function("tanh"),
    nn.LeakyReLU: values.function("leaky_relu", _SLOPE),
    nn.PReLU: values.prelu,
    nn.ELU: values.function("elu", _ALPHA),
    nn.CELU: values.function("celu", _ALPHA),
    nn.SELU: values.function("selu"),
    nn.Softplus: values.function("softplus", _BETA),
    nn.Softsign: values.function("softsign"),
    nn.Mish: values.function("mish"),
    nn.LogSigmoid: values.function("log_sigmoid"),
    nn.GLU: values.glu,
    nn.Softmax: values.softmax("softmax"),
    nn.Softmin: measures.softmin,
    nn.CosineSimilarity: measures.likeness,
    nn.Bilinear: measures.bilinear,
    nn.LogSoftmax: values.softmax("log_softmax"),
    nn.LayerNorm: values.layer_norm("layer_norm"),
    nn.RMSNorm: values.layer_norm("rms_norm"),
    **dict.fromkeys((nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), values.group_norm),
    nn.LocalResponseNorm: values.local_response,
    nn.Embedding: values.embedding,
    nn.MultiheadAttention: products.multihead,
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN), recurrent.recurrent),
    **dict.fromkeys((nn.LSTMCell, nn.GRUCell, nn.RNNCell), recurrent.cell),
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.Hardtanh: _hardtanh,
    nn.Linear: weighted.linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d), weighted.conv_module),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d), weighted.transposed_module),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), weighted.norm_module),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), pool("avg_pool")),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), pool("max_pool")),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), adaptive("avg_pool")),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), adaptive("max_pool")),
    **dict.fromkeys(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity), same
    ),
    **dict.fromkeys((nn.Flatten, nn.Unflatten), forms.reshape),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), forms.pad),
    **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d), forms.pad),
    **dict.fromkeys((nn.CircularPad1d, nn.CircularPad2d), forms.pad),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), forms.enlarge),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), forms.shuffle_pixels),
}  # fmt: skip

FUNCTIONS: dict[Any, Handler] = {
    **{getattr(torch, name): values.function(name) for name in _ALIKE},
    **dict.fromkeys((F.sigmoid, torch.special.expit), values.function("sigmoid")),
    F.tanh: values.function("tanh"),
    F.silu: values.function("silu"),
    F.gelu: values.gelu,
    F.hardswish: values.function("hardswish"),
    F.hardsigmoid: _hardsigmoid,
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), values.function("leaky_relu", _SLOPE)),
    **dict.fromkeys((F.prelu, torch.prelu), values.prelu),
    **dict.fromkeys((F.elu, F.elu_), values.function("elu", _ALPHA)),
    **dict.fromkeys((F.celu, torch.celu), values.function("celu", _ALPHA)),
    **dict.fromkeys((F.selu, torch.selu), values.function("selu")),
    F.softplus: values.function("softplus", _BETA),
    F.softsign: values.function("softsign"),
    F.mish: values.function("mish"),
    F.logsigmoid: values.function("log_sigmoid"),
    F.glu: values.glu,
    torch.absolute: values.function("abs"),
    torch.special.erf: values.function("erf"),
    **dict.fromkeys((operator.pow, torch.pow), values.power),
    operator.abs: values.function("abs"),
    torch.maximum: values.joined("maximum"),
    torch.minimum: values.joined("minimum"),
    **dict.fromkeys((torch.amin, torch.min), minimum),
    torch.where: values.where,
    torch.masked_fill: values.masked_fill,
    **dict.fromkeys((torch.tril, torch.triu), values.triangle),
    **dict.fromkeys((operator.gt, torch.gt, torch.greater), values.compared("greater")),
    **dict.fromkeys((operator.ge, torch.ge, torch.greater_equal), values.compared("greater_or_equal")),
    **dict.fromkeys((operator.lt, torch.lt, torch.less), values.compared("greater", flipped=True)),
    **dict.fromkeys((operator.le, torch.le, torch.less_equal), values.compared("greater_or_equal", flipped=True)),
    **dict.fromkeys((operator.eq, torch.eq), values.compared("equal")),
    **dict.fromkeys((operator.invert, torch.logical_not), values.negation),
    **dict.fromkeys((F.softmax, torch.softmax), values.softmax("softmax")),
    **dict.fromkeys((F.log_softmax, torch.log_softmax), values.softmax("log_softmax")),
    torch.argmax: values.argmax,
    **dict.fromkeys((F.layer_norm, torch.layer_norm), values.layer_norm("layer_norm")),
    **dict.fromkeys((F.rms_norm, torch.rms_norm), values.layer_norm("rms_norm")),
    **dict.fromkeys((F.group_norm, F.instance_norm), values.group_norm),
    F.local_response_norm: values.local_response,
    F.normalize: values.normalise,
    F.embedding: values.embedding,
    torch.einsum: products.einsum,
    **dict.fromkeys((torch.baddbmm, torch.addmm), products.added_product),
    F.scaled_dot_product_attention: products.scaled_dot_product,
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_), _relu),
    F.relu6: _relu6,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip, torch.clamp_, torch.clip_), _clamp),
    torch.clamp_min: _clamp_min,
    **dict.fromkeys((F.conv1d, F.conv2d, torch.conv1d, torch.conv2d), weighted.conv_function),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d), weighted.transposed_function),
    F.linear: weighted.linear,
    **dict.fromkeys((operator.matmul, torch.matmul, torch.mm, torch.bmm), products.product),
    F.batch_norm: weighted.norm_function,
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d), pool("avg_pool")),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d), pool("max_pool")),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), adaptive("avg_pool")),
    **dict.fromkeys((F.adaptive_max_pool1d, F.adaptive_max_pool2d), adaptive("max_pool")),
    torch.mean: mean,
    torch.sum: total,
    **dict.fromkeys((torch.amax, torch.max), maximum),
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten), forms.reshape),
    torch.permute: forms.permute,
    **dict.fromkeys((torch.transpose, torch.swapaxes, torch.swapdims), forms.transpose),
    **dict.fromkeys((torch.movedim, torch.moveaxis), forms.moveaxis),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), forms.concatenate),
    torch.stack: forms.stack,
    **dict.fromkeys((torch.chunk, torch.split, torch.tensor_split, torch.unbind), forms.split),
    **dict.fromkeys((torch.select, torch.narrow, torch.index_select), forms.select),
    **dict.fromkeys((torch.norm, torch.linalg.norm, torch.linalg.vector_norm), measures.length),
    torch.var: measures.variance(root=False),
    torch.std: measures.variance(root=True),
    torch.logsumexp: measures.log_sum,
    **dict.fromkeys((F.cosine_similarity, torch.cosine_similarity), measures.likeness),
    F.softmin: measures.softmin,
    **dict.fromkeys((F.bilinear, torch.bilinear), measures.bilinear),
    torch.flip: forms.flip,
    torch.roll: forms.roll,
    torch.tile: forms.repeat,
    torch.repeat_interleave: forms.repeat_interleave,
    torch.broadcast_to: forms.expand,
    F.pad: forms.pad,
    **dict.fromkeys((F.interpolate, F.upsample), forms.enlarge),
    **dict.fromkeys((F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle), forms.shuffle_pixels),
    operator.getitem: forms.pick,
    getattr: _attribute,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract), subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply), multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide), divide),
    **dict.fromkeys((operator.neg, torch.neg, torch.negative), negate),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout), _dropout),
}  # fmt: skip

METHODS: dict[str, Handler] = {
    **{name: values.function(name) for name in _ALIKE},
    "pow": values.power,
    **dict.fromkeys(("amin", "min"), minimum),
    "maximum": values.joined("maximum"),
    "minimum": values.joined("minimum"),
    **dict.fromkeys(("masked_fill", "masked_fill_"), values.masked_fill),
    **dict.fromkeys(("tril", "triu"), values.triangle),
    **dict.fromkeys(("gt", "greater"), values.compared("greater")),
    **dict.fromkeys(("ge", "greater_equal"), values.compared("greater_or_equal")),
    **dict.fromkeys(("lt", "less"), values.compared("greater", flipped=True)),
    **dict.fromkeys(("le", "less_equal"), values.compared("greater_or_equal", flipped=True)),
    "eq": values.compared("equal"),
    "softmax": values.softmax("softmax"),
    "log_softmax": values.softmax("log_softmax"),
    "argmax": values.argmax,
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    **dict.fromkeys(("clamp_min", "clamp_min_"), _clamp_min),
    **dict.fromkeys(("matmul", "mm", "bmm"), products.product),
    "mean": mean,
    "sum": total,
    **dict.fromkeys(("amax", "max"), maximum),
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as"), forms.reshape),
    "permute": forms.permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), forms.transpose),
    **dict.fromkeys(("movedim", "moveaxis"), forms.moveaxis),
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind"), forms.split),
    **dict.fromkeys(("select", "narrow", "index_select"), forms.select),
    "norm": measures.length,
    "var": measures.variance(root=False),
    "std": measures.variance(root=True),
    "logsumexp": measures.log_sum,
    "unfold": measures.line_windows,
    "flip": forms.flip,
    "roll": forms.roll,
    **dict.fromkeys(("repeat", "tile"), forms.repeat),
    "repeat_interleave": forms.repeat_interleave,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), forms.expand),
    **dict.fromkeys(("contiguous", "detach", "clone", "cpu"), same),
    **dict.fromkeys(("to", "type_as", "float", "double", "half", "bfloat16", "type"), values.whole_numbers),
    **dict.fromkeys(("long", "int", "bool"), values.whole_numbers),
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_", "subtract"), subtract),
    **dict.fromkeys(("mul", "mul_", "multiply"), multiply),
    **dict.fromkeys(("div", "div_", "divide"), divide),
    **dict.fromkeys(("neg", "neg_", "negative"), negate),
}  # fmt: skip
