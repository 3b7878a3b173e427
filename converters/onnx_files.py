"""ONNX file -> Graph. Knows the file's parts and checks them before use; which operator becomes which layer: `onnx_operators`.

The file is not trusted: sizes it declares are checked against the bytes that are there before anything is allocated, and data
outside the file is read only from the model's own folder.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_building import INTEGERS, Builder, Code
from converters.formats.onnx_operators import check_operator, visit
from neuro.errors import ConversionError, FormatError, NeuroError
from neuro.graph import Graph
from neuro.reading import read_bytes

_LARGEST_FILE = 2**31 - 1  # bytes; what protobuf can hold
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_REMEDY = "Export the model again"


def read_onnx(path: Any, *, shape: tuple[int, ...] | None = None) -> Graph:
    """The float network in an ONNX file as a Graph, for `convert`.

    `shape`: of one sample, where the file leaves sizes of its input open. int8 models with QuantizeLinear and DequantizeLinear
    pairs become the float network that they stand for; `Graph.notes` says what was left out.
    Raises FormatError for a broken file, ConversionError that names the node for an operator without a spiking form.
    """
    model = _parse(Path(path))
    graph = model.graph
    builder = Builder(graph, _opset(path, model), Path(path).name)
    folder = Path(path).resolve().parent
    _add_input(builder, str(path), shape)
    for node in graph.node:
        check_operator(builder, node)
    for tensor in graph.initializer:
        builder.values[tensor.name] = tensor_array(tensor, f"{Path(path).name}, tensor {tensor.name!r}", folder)
    for node in graph.node:
        constant = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
        if constant is not None:
            builder.values[node.output[0]] = tensor_array(constant, builder.where(node), folder)
            continue
        try:
            visit(builder, node)
        except NeuroError:
            raise
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError, OverflowError) as error:
            fact = f"its inputs or attributes do not fit it ({type(error).__name__}: {error})"
            raise FormatError(builder.where(node), fact, _REMEDY) from None
    return _finish(builder, str(path), graph)


def _parse(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    content, model = read_bytes(path, _LARGEST_FILE), ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as error:
        raise FormatError(str(path), f"it is not a readable ONNX file ({error})", _REMEDY) from None
    if not model.graph.node and not model.graph.output:
        raise FormatError(str(path), "it holds no network", _REMEDY)
    if model.graph.sparse_initializer:
        raise FormatError(str(path), "it holds sparse tensors", "Export the model with dense ones")
    return model


def _opset(path: Any, model: Any) -> int:
    from onnx.defs import onnx_opset_version

    versions, newest = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")], onnx_opset_version()
    if not versions or not 7 <= versions[0] <= newest:
        fact = f"its operator set is {versions[0] if versions else 'not given'}"
        raise FormatError(str(path), fact, f"Export with 13 or newer, up to {newest}")
    return int(versions[0])


def tensor_array(tensor: Any, where: str, folder: Path) -> NDArray[Any]:
    """A tensor of the file as an array; its data must be exactly as large as its dimensions say."""
    from onnx import TensorProto, helper, numpy_helper

    dims = tuple(tensor.dims)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError:
        raise FormatError(where, f"data type {tensor.data_type} is not known", _REMEDY) from None
    if tensor.data_type == TensorProto.STRING or dtype.itemsize == 0 or "int4" in str(dtype) or "float4" in str(dtype):
        raise FormatError(where, f"its data type is {dtype}", "Export with float or 8-bit tensors")
    if min(dims, default=0) < 0:
        raise FormatError(where, f"its dimensions are {dims}", _REMEDY)
    count = math.prod(dims)
    if tensor.data_location == TensorProto.EXTERNAL:
        return np.frombuffer(_external(tensor, where, folder, count * dtype.itemsize), dtype).reshape(dims)
    if tensor.HasField("raw_data"):
        there, need = len(tensor.raw_data), count * dtype.itemsize
    else:
        there, need = max(len(getattr(tensor, name)) for name in _TYPED), count
    if there != need:
        raise FormatError(where, f"it declares dimensions {dims} ({need}) and holds {there}", _REMEDY)
    return np.asarray(numpy_helper.to_array(tensor)).reshape(dims)


def _external(tensor: Any, where: str, folder: Path, size: int) -> bytes:
    """The bytes of a tensor stored beside the model; never from outside the model's folder."""
    entry = {e.key: e.value for e in tensor.external_data}
    target = (folder / entry.get("location", "")).resolve()
    if not entry.get("location") or not target.is_relative_to(folder):
        fact = f"its data lies at {entry.get('location')!r}, outside the model's folder"
        raise FormatError(where, fact, "Keep the data file beside the model")
    if not target.is_file():
        raise FormatError(where, f"its data file {entry['location']!r} is not there", "Keep it beside the model")
    try:
        offset, length = int(entry.get("offset", 0)), int(entry.get("length", size))
    except ValueError:
        raise FormatError(where, f"offset or length of its data is not a number: {entry}", _REMEDY) from None
    if length != size or offset < 0 or offset + length > target.stat().st_size:
        fact = f"it needs {size} bytes, the data file offers {length} at {offset} of {target.stat().st_size}"
        raise FormatError(where, fact, "Export the model again, with its data file")
    with target.open("rb") as opened:
        opened.seek(offset)
        return bytes(opened.read(length))


def _add_input(builder: Builder, path: str, shape: tuple[int, ...] | None) -> None:
    held = {tensor.name for tensor in builder.graph.initializer}
    inputs = [value for value in builder.graph.input if value.name not in held]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ConversionError(path, f"it takes {len(inputs)} inputs ({names})", "Export a network with one input")
    (value,) = inputs
    dims = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
    where = f"{Path(path).name}, input {value.name!r}"
    if len(dims) < 2:
        raise ConversionError(where, f"its shape is {tuple(dims)}", "Export with samples on the first axis")
    builder.batch = dims[0] if dims[0] and dims[0] > 0 else None
    fixed = tuple(dims[1:])
    if shape is None:
        if any(not n or n < 1 for n in fixed):
            raise ConversionError(
                where, f"it leaves sizes open: {('samples', *fixed)}", "Export with fixed sizes, or pass shape= of one sample"
            )
        shape = tuple(int(n) for n in fixed if n)
    elif len(shape) != len(fixed) or any(n and n != given for n, given in zip(fixed, shape, strict=True)):
        raise ConversionError(where, f"its samples have the shape {fixed}, not {shape}", "Pass the shape that it was made for")
    code = _input_code(value.type.tensor_type.elem_type, where)
    builder.bind(value.name, builder.add_layer("input", (), shape, name=value.name, where=where), code)


def _input_code(data_type: int, where: str) -> Code | None:
    """None for real numbers; integers stand for themselves until the file says what they stand for."""
    from onnx import TensorProto as Types

    if data_type in (Types.FLOAT, Types.FLOAT16, Types.DOUBLE, Types.BFLOAT16):
        return None
    whole = (Types.UINT8, Types.INT8, Types.UINT16, Types.INT16, Types.INT32, Types.INT64, Types.UINT32, Types.UINT64)
    if data_type not in whole:
        known = Types.DataType.Name(data_type) if data_type in Types.DataType.values() else data_type
        raise ConversionError(where, f"its type is {known}", "Feed floats or integers")
    return INTEGERS


def _finish(builder: Builder, path: str, graph: Any) -> Graph:
    if len(graph.output) != 1:
        names = ", ".join(value.name for value in graph.output)
        raise ConversionError(path, f"it has {len(graph.output)} outputs ({names})", "Export a network that returns the logits")
    output = builder.values.get(graph.output[0].name)
    if not isinstance(output, str):
        raise ConversionError(path, "its output does not depend on its input", "Return the logits")
    if graph.output[0].name in builder.codes:
        where = f"{Path(path).name}, output {graph.output[0].name!r}"
        raise ConversionError(where, "it is integers", "End the file with the DequantizeLinear that gives the logits")
    return builder.finish(output, graph.name or Path(path).stem)
