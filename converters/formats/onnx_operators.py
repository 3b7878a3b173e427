"""Which ONNX operators become which layers: one table, which `onnx_visiting` obeys.

Every handler takes the builder and the node and returns what the node's outputs are: a layer's name, or one for each output.
The first line of its docstring is the operator's row in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from converters.formats import onnx_arithmetic as arithmetic
from converters.formats import onnx_functions as functions
from converters.formats import onnx_norms as norms
from converters.formats import onnx_quantisers as quantisers
from converters.formats import onnx_resizing as resizing
from converters.formats import onnx_selecting as selecting
from converters.formats import onnx_shapes as shapes
from converters.formats.onnx_building import Builder
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_einsum import einsum
from converters.formats.onnx_recurrent import RECURRENT, recurrent
from converters.formats.onnx_reductions import reduce
from converters.formats.onnx_windows import conv, global_pool, pool, pool_lengths

Handler = Callable[[Builder, Any, dict[str, Any]], str | tuple[str, ...]]


_NAMED = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Log"),
    *("Reciprocal", "Round", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh"),
)


def _same(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out"""
    return b.layer(node).name


def _dropout(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out; refused in training mode"""
    training = b.constant(node, 2, "training mode")
    if training is not None and bool(training):
        raise b.refuse(node, "it drops values at random even in evaluation", "Export in evaluation mode")
    return b.layer(node).name


_COMPARES = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "Where", "OneHot")
READS_INTEGERS = ("Cast", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ArgMax", "ArgMin", "GatherElements", *_COMPARES)
# Arithmetic on integers that are too wide to wrap:
WIDE_ARITHMETIC = (
    "Abs",
    "Add",
    "Clip",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "ReduceSum",
    "Sign",
    "Sub",
    "Sum",
)  # on integers that do not wrap
MOVES_INTEGERS = (
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "ReduceMax",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)  # a scale is positive, so the largest integer is that of the largest value

IMAGES = (
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool"),
    *("GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "GlobalLpPool", "MaxPool", "QLinearConv", "SpaceToDepth"),
    "MeanVarianceNormalization",
)

OPERATORS: dict[str, Handler] = {
    **{name: functions.scalar(name.lower()) for name in _NAMED},
    "And": functions.logic("and"),
    "ArgMax": norms.extreme_place(True),
    "ArgMin": norms.extreme_place(False),
    "CenterCropPad": resizing.space,
    "Celu": functions.scalar("celu", ("alpha", 1.0)),
    "ConvTranspose": resizing.conv_transpose,
    "Elu": functions.scalar("elu", ("alpha", 1.0)),
    "Equal": functions.compared("equal"),
    "Expand": resizing.expand,
    "GatherElements": selecting.gather_elements,
    "Gelu": functions.gelu,
    "GlobalLpPool": pool_lengths(True),
    "Greater": functions.compared("greater"),
    "GreaterOrEqual": functions.compared("greater_or_equal"),
    "GroupNormalization": norms.group_norm,
    "HardSwish": functions.scalar("hardswish"),
    "Hardmax": norms.softmax("hardmax"),
    "InstanceNormalization": norms.group_norm,
    "LRN": norms.local_response,
    "LayerNormalization": norms.layer_norm("layer_norm"),
    "LeakyRelu": functions.scalar("leaky_relu", ("alpha", 0.01)),
    "Less": functions.compared("greater", flipped=True),
    "LessOrEqual": functions.compared("greater_or_equal", flipped=True),
    "LogSoftmax": norms.softmax("log_softmax"),
    "LpNormalization": norms.lp_normalised,
    "LpPool": pool_lengths(False),
    "Mean": arithmetic.average,
    "MeanVarianceNormalization": norms.standardised,
    "Mish": functions.scalar("mish"),
    "Not": functions.negation,
    "OneHot": functions.one_hot,
    "Or": functions.logic("or"),
    "PRelu": functions.prelu,
    "Pow": functions.power,
    "RMSNormalization": norms.layer_norm("rms_norm"),
    "ReduceL1": norms.lengths("abs", ""),
    "ReduceL2": norms.lengths("square", "sqrt"),
    "ReduceLogSum": norms.lengths("", "log"),
    "ReduceLogSumExp": norms.log_sum_exp,
    "ReduceProd": norms.product,
    "ReduceSumSquare": norms.lengths("square", ""),
    "Resize": resizing.resize,
    "Selu": functions.scalar("selu", ("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875)),
    "Shrink": functions.scalar("shrink", ("lambd", 0.5), ("bias", 0.0)),
    "Softmax": norms.softmax("softmax"),
    "Swish": functions.swish,
    "ThresholdedRelu": functions.scalar("thresholded_relu", ("alpha", 1.0)),
    "Tile": resizing.tile,
    "Trilu": resizing.triangle,
    "Upsample": resizing.resize,
    "Where": functions.where,
    "Xor": functions.logic("xor"),
    "Quant": quantisers.quant,
    "BipolarQuant": quantisers.bipolar_quant,
    "Add": arithmetic.total,
    "AveragePool": pool("avg_pool"),
    "BatchNormalization": arithmetic.batch_norm,
    "Cast": quantisers.cast,
    "Clip": arithmetic.clip,
    "Concat": shapes.concat,
    "Conv": conv,
    "DepthToSpace": shapes.depth_to_space,
    "DequantizeLinear": quantisers.dequantize,
    "Div": arithmetic.quotient,
    "Dropout": _dropout,
    "Flatten": shapes.flatten,
    "Gather": selecting.gather,
    "Gemm": arithmetic.gemm,
    "GlobalAveragePool": global_pool("avg_pool"),
    "GlobalMaxPool": global_pool("max_pool"),
    "HardSigmoid": arithmetic.hard_sigmoid,
    "Einsum": einsum,
    "Identity": _same,
    "MatMul": arithmetic.matmul,
    "Max": arithmetic.extremum(True),
    "MaxPool": pool("max_pool"),
    "Min": arithmetic.extremum(False),
    "Mul": arithmetic.product,
    "Neg": arithmetic.negative,
    "Pad": selecting.pad,
    "QLinearConv": quantisers.qlinear_conv,
    "QLinearMatMul": quantisers.qlinear_matmul,
    "QuantizeLinear": quantisers.quantize,
    **dict.fromkeys(RECURRENT, recurrent),
    "ReduceMax": reduce("largest"),
    "ReduceMean": reduce("mean"),
    "ReduceMin": reduce("smallest"),
    "ReduceSum": reduce("sum"),
    "Relu": arithmetic.relu,
    "Reshape": shapes.reshape,
    "Slice": selecting.slices,
    "SpaceToDepth": shapes.space_to_depth,
    "Split": selecting.split,
    "Squeeze": shapes.squeeze,
    "Sub": arithmetic.difference,
    "Sum": arithmetic.total,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
}

_WINDOW = "auto_pad dilations kernel_shape pads strides"
_LOOKS = (
    "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value keep_aspect_ratio_policy"
)
_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare")
_CELL = "activation_alpha activation_beta activations clip direction hidden_size layout"
ATTRIBUTES: dict[str, str] = {  # those that a handler reads, or that change nothing in evaluation
    **dict.fromkeys((*OPERATORS, *FOLDED), ""),
    **dict.fromkeys(("ArgMax", "ArgMin"), "axis keepdims select_last_index"),
    **dict.fromkeys(("Celu", "Elu", "LeakyRelu", "Swish", "ThresholdedRelu"), "alpha"),
    "CenterCropPad": "axes",
    "ConvTranspose": f"{_WINDOW} group output_padding output_shape",
    "Einsum": "equation",
    **dict.fromkeys(("GatherElements", "Hardmax", "LogSoftmax", "OneHot", "Softmax"), "axis"),
    "Gelu": "approximate",
    "GlobalLpPool": "p",
    "GroupNormalization": "epsilon num_groups stash_type",
    "InstanceNormalization": "epsilon",
    "LRN": "alpha beta bias size",
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), "axis epsilon stash_type"),
    "LpNormalization": "axis p",
    "LpPool": f"{_WINDOW} ceil_mode p",
    "MeanVarianceNormalization": "axes",
    **dict.fromkeys(_REDUCTIONS, "axes keepdims noop_with_empty_axes"),
    "GRU": f"{_CELL} linear_before_reset",
    "LSTM": f"{_CELL} input_forget",
    "RNN": _CELL,
    "Resize": f"{_LOOKS} mode nearest_mode",
    "ScatterElements": "axis reduction",
    "Selu": "alpha gamma",
    "Shrink": "bias lambd",
    "Trilu": "upper",
    "Upsample": "mode scales",
    "Quant": "signed narrow rounding_mode",
    "BipolarQuant": "",
    "AveragePool": f"{_WINDOW} ceil_mode count_include_pad",
    "BatchNormalization": "epsilon momentum training_mode",
    "Cast": "to saturate round_mode",
    "Clip": "min max",
    "Concat": "axis",
    "ConstantOfShape": "value",
    "Conv": f"{_WINDOW} group",
    "DepthToSpace": "blocksize mode",
    "DequantizeLinear": "axis output_dtype",
    "Dropout": "ratio seed",
    "Flatten": "axis",
    "Gather": "axis",
    "Gemm": "alpha beta transA transB",
    "HardSigmoid": "alpha beta",
    "MaxPool": f"{_WINDOW} ceil_mode storage_order",
    "Pad": "mode pads value",
    "QLinearConv": f"{_WINDOW} group",
    "QuantizeLinear": "axis output_dtype precision saturate",
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), "axes keepdims noop_with_empty_axes"),
    "Reshape": "allowzero",
    "Shape": "start end",
    "Slice": "axes starts ends",
    "SpaceToDepth": "blocksize",
    "Split": "axis num_outputs split",
    "Squeeze": "axes",
    "Transpose": "perm",
    "Unsqueeze": "axes",
}
