"""ONNX file -> Graph. Knows the file's parts and checks them before use; which operator becomes which layer: `onnx_operators`.

The file is not trusted: sizes it declares are checked against the bytes that are there before anything is allocated, and data
outside the file is read only from the model's own folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_building import INTEGERS, WIDE, Builder, Code
from converters.formats.onnx_recurrent import RECURRENT
from converters.formats.onnx_visiting import check_operator, visit
from converters.states import close_loops, found_states, one_sample
from neuro.errors import ConversionError, FormatError, NeuroError
from neuro.graph import Graph
from neuro.reading import read_bytes

_LARGEST_FILE = 2**31 - 1  # bytes; what protobuf can hold
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_REMEDY = "Export the model again"
_TRIED, _ALIKE = 3, 1e-4  # times that two samples are compared with each alone, on drawn numbers; how far apart they may be


def read_onnx(
    path: Any,
    *,
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None,
    sizes: Mapping[str, int] | None = None,
    fixed: Mapping[str, Any] | None = None,
    samples: bool | None = None,
    frames: bool = False,
    state: Mapping[str, str] | bool | None = None,
) -> Graph:
    """The float network in an ONNX file as a Graph, for `convert`.

    `shape`: of one sample, where the file leaves sizes of its input open; of several inputs by their names. `sizes`: the size of
    an open axis by its name in the file ("frames") or by its place ("x[2]"). `fixed`: inputs that become constants, by name.
    `samples`: whether the first axis of every input holds samples; False: an input is one sample as a whole. None: they do,
    unless the file has recurrent operators or `state`, or moves samples to another axis or makes them share one, as exported
    attention does; then it is read for one sample, whose axis of size 1 is left out. Where the file leaves open how many samples
    there are, two at once must give what each gives alone.
    `frames`: the file is that of one frame of a stream; recurrent operators keep their states from frame to frame.
    `state`: inputs that are outputs of the frame before, {"h": "hn"}; True finds them by name and shape.
    Inputs, and outputs where there are several, keep their names. int8 models with QuantizeLinear and DequantizeLinear pairs
    become the float network that they stand for; `Graph.notes` says what was left out.
    Raises FormatError for a broken file, ConversionError that names the node for an operator without a spiking form.
    """
    model = _parse(Path(path))
    graph = model.graph
    repeats = any(node.op_type in RECURRENT for node in graph.node)
    alone = samples is None and (frames or bool(state) or repeats)
    lead = int(not alone if samples is None else bool(samples))
    given = (dict(sizes or {}), dict(fixed or {}))
    if not alone:
        try:
            read = _read(Path(path), model, lead, frames, shape, *given)
        except ConversionError:
            alone_too = None if samples is not None else _one_at_a_time(Path(path), model, shape, given)
            if alone_too is None:
                raise
            read = alone_too
    else:
        one, guessed = _of_samples(graph, shape, 1)
        read = _read(Path(path), model, lead, frames, one, guessed | given[0], given[1])
        if guessed and repeats:
            _check_samples(Path(path), model, frames, shape, given)
    pairs = found_states(read) if state is True else dict(state or {})
    read = one_sample(read, 1 + frames, {*pairs, *pairs.values()}) if alone else read
    return close_loops(read, pairs) if pairs else read


def input_names(path: Any) -> tuple[str, ...]:
    """The names of the inputs of an ONNX file. Raises FormatError for a broken one."""
    graph = _parse(Path(path)).graph
    held = {tensor.name for tensor in graph.initializer}
    return tuple(value.name for value in graph.input if value.name not in held)


def _read(path: Path, model: Any, lead: int, frames: bool, shape: Any, sizes: dict[str, int], fixed: dict[str, Any]) -> Graph:
    """The file's graph with so many axes of samples."""
    graph = model.graph
    builder = Builder(graph, _opset(path, model), path.name, lead)
    builder.frames = frames
    folder = path.resolve().parent
    builder.load = lambda tensor, where: tensor_array(tensor, where, folder)
    _add_inputs(builder, str(path), shape, sizes, fixed)
    for node in graph.node:
        check_operator(builder, node)
    for tensor in graph.initializer:
        builder.values[tensor.name] = tensor_array(tensor, f"{path.name}, tensor {tensor.name!r}", folder)
    for node in graph.node:
        try:
            visit(builder, node)
        except NeuroError:
            raise
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError, OverflowError) as error:
            fact = f"its inputs or attributes do not fit it ({type(error).__name__}: {error})"
            raise FormatError(builder.where(node), fact, _REMEDY) from None
    return _finish(builder, str(path), graph)


def _one_at_a_time(path: Path, model: Any, shape: Any, given: tuple[dict[str, int], dict[str, Any]]) -> Graph | None:
    """The file's graph, read for one sample; None where that cannot be, or where two samples at once give something else."""
    try:
        one, guessed = _of_samples(model.graph, shape, 1)
        if shape is not None and not isinstance(shape, Mapping) and len(input_names(path)) > 1:
            return None
        read = _read(path, model, 0, False, one, guessed | given[0], given[1])
        if any(layer.shape[:1] != (1,) for layer in (*read.inputs, *(read[name] for name in read.outputs))):
            return None
        if guessed:
            two, guessed = _of_samples(model.graph, shape, 2)
            both = _read(path, model, 0, False, two, guessed | given[0], given[1])
            if not _apart(read, both):
                return None
        return one_sample(read, 1, ())
    except NeuroError:
        return None


def _apart(one: Graph, two: Graph) -> bool:
    """Whether a graph of two samples, which are first in its outputs, gives each what a graph of one sample does."""
    from torch import Tensor, as_tensor

    from converters.evaluation import evaluate

    if any(graph[name].shape[:1] != (count,) for graph, count in ((one, 1), (two, 2)) for name in graph.outputs):
        return False
    rng = np.random.default_rng(0)

    def answers(graph: Graph, given: dict[str, NDArray[np.float32]]) -> list[Tensor]:
        found = evaluate(graph, {name: as_tensor(x) for name, x in given.items()}, graph.outputs)
        return [found[name].double() for name in graph.outputs]

    whole_ones = any(layer.op == "embedding" for layer in one.layers)  # its inputs are whole numbers
    for whole_numbers in (whole_ones, True) * _TRIED:
        shapes = {layer.name: layer.shape for layer in two.inputs}
        drawn = {
            name: (rng.integers(0, 2, shape) if whole_numbers else rng.normal(size=shape)).astype(np.float32)
            for name, shape in shapes.items()
        }
        each = answers(one, {name: x[:, None] for name, x in drawn.items()})
        whole = answers(two, {name: x[None] for name, x in drawn.items()})
        for a, b in zip(each, whole, strict=True):
            if a.numel() != b.numel() or not bool((a.reshape(b.shape) - b).abs().max() <= _ALIKE * (1 + b.abs().max())):
                return False
    return True


def _check_samples(path: Path, model: Any, frames: bool, shape: Any, given: tuple[dict[str, int], dict[str, Any]]) -> None:
    """Refuse a file whose open first axis is taken for that of samples, and is not: recurrent operators take two of them."""
    two, guessed = _of_samples(model.graph, shape, 2)
    try:
        _read(path, model, 0, frames, two, guessed | given[0], given[1])
    except NeuroError:
        return
    name = next(iter(guessed))
    raise ConversionError(
        str(path), f"its open axis {name!r} is not that of samples", f"Say how long it is: sizes={{{name!r}: ...}}, samples=False"
    )


def _of_samples(graph: Any, shape: Any, samples: int) -> tuple[Any, dict[str, int]]:
    """Shapes, and sizes of open axes, with so many samples on the first axis and wherever the file names that axis."""
    held, sizes = {tensor.name for tensor in graph.initializer}, {}
    inputs = [value for value in graph.input if value.name not in held and value.type.tensor_type.shape.dim]
    names = {value.type.tensor_type.shape.dim[0].dim_param for value in inputs[:1]} - {""}
    for value in inputs:
        for axis, d in enumerate(value.type.tensor_type.shape.dim):
            if not d.dim_value and (d.dim_param in names or (axis == 0 and not d.dim_param)):
                sizes[f"{value.name}[{axis}]"] = samples
    if shape is None:
        return None, sizes
    given = {inputs[0].name: shape} if not isinstance(shape, Mapping) else shape
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in inputs}
    return {name: (samples,) * (ranks.get(name, 0) - len(one)) + tuple(one) for name, one in given.items()}, sizes


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


def _add_inputs(builder: Builder, path: str, shape: Any, sizes: dict[str, int], fixed: dict[str, Any]) -> None:
    held = {tensor.name for tensor in builder.graph.initializer}
    inputs = [value for value in builder.graph.input if value.name not in held]
    names = [value.name for value in inputs]
    for name in (*fixed, *(shape if isinstance(shape, Mapping) else ())):
        if name not in names:
            raise ConversionError(path, f"it has no input {name!r}", f"Use one of {', '.join(names) or 'none'}")
    for value in [value for value in inputs if value.name in fixed]:
        builder.values[value.name] = _fixed(f"{builder.file}, input {value.name!r}", value, fixed[value.name])
    inputs = [value for value in inputs if value.name not in fixed]
    if not inputs:
        raise ConversionError(path, "it takes 0 inputs (none)", "Export a network with an input")
    if shape is not None and not isinstance(shape, Mapping) and len(inputs) > 1:
        fact = f"it takes {len(inputs)} inputs ({', '.join(value.name for value in inputs)})"
        raise ConversionError(path, fact, f"Pass a shape for each: shape={{{inputs[0].name!r}: {tuple(shape)}, ...}}")
    used: set[str] = set()
    wanted = {value.name: (shape.get(value.name) if isinstance(shape, Mapping) else shape) for value in inputs}
    for value in inputs:
        _add_input(builder, value, wanted[value.name], sizes, used)
    unknown = sorted(set(sizes) - used)
    if unknown:
        raise ConversionError(path, f"no input has an open axis {unknown[0]!r}", "Read it without sizes to see what is open")


def _fixed(where: str, value: Any, given: Any) -> NDArray[Any]:
    """An input as a constant, of the type and shape that the file declares."""
    from onnx import helper

    dims = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise ConversionError(where, f"it is fixed to {given!r}", "Fix it to numbers")
    array = array.astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    if array.ndim != len(dims) or any(n and n != own for n, own in zip(dims, array.shape, strict=True)):
        raise ConversionError(where, f"it is fixed to an array of shape {array.shape}, it has {tuple(dims)}", "Pass that shape")
    return array


def _add_input(builder: Builder, value: Any, shape: Any, sizes: dict[str, int], used: set[str]) -> None:
    where, declared = f"{builder.file}, input {value.name!r}", list(value.type.tensor_type.shape.dim)
    dims: list[int | None] = []
    for axis, d in enumerate(declared):
        keys = [key for key in (f"{value.name}[{axis}]", d.dim_param) if key and key in sizes]
        used.update(keys)
        known = d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
        dims.append(int(sizes[keys[0]]) if keys and known is None else known)
    lead = builder.lead
    if len(dims) < 1 + lead:
        raise ConversionError(
            where, f"its shape is {tuple(dims)}", "Export with samples on the first axis, or pass samples=False"
        )
    if lead and dims[0] and builder.batch not in (None, dims[0]):
        fact = f"it holds {dims[0]} samples, another input {builder.batch}"
        raise ConversionError(where, fact, "Export with samples on the first axis of each input, or pass samples=False")
    if lead:
        builder.batch = dims[0] or builder.batch
    open_axes = [axis for axis in range(lead, len(dims)) if not dims[axis]]
    if shape is None:
        if open_axes:
            names = ["samples" if axis < lead else dims[axis] or _axis_name(value, axis) for axis in range(len(dims))]
            remedy = (
                f"Export with fixed sizes, or pass shape= of one sample, or sizes={{{_axis_name(value, open_axes[0])!r}: ...}}"
            )
            raise ConversionError(where, f"it leaves sizes open: ({', '.join(map(str, names))})", remedy)
        shape = tuple(int(n) for n in dims[lead:] if n)
    elif len(shape) != len(dims) - lead or any(n and n != own for n, own in zip(dims[lead:], shape, strict=True)):
        raise ConversionError(
            where, f"its samples have the shape {tuple(dims[lead:])}, not {tuple(shape)}", "Pass the shape that it was made for"
        )
    code = _input_code(value.type.tensor_type.elem_type, where)
    builder.bind(value.name, builder.add_layer("input", (), tuple(shape), name=value.name, where=where), code)


def _axis_name(value: Any, axis: int) -> str:
    """An axis as `sizes` names it: as the file does where that says anything, else by its place."""
    name = value.type.tensor_type.shape.dim[axis].dim_param
    return name if name and name != "?" else f"{value.name}[{axis}]"


def _input_code(data_type: int, where: str) -> Code | None:
    """None for real numbers; integers stand for themselves until the file says what they stand for."""
    from onnx import TensorProto as Types

    if data_type in (Types.FLOAT, Types.FLOAT16, Types.DOUBLE, Types.BFLOAT16):
        return None
    whole = (Types.UINT8, Types.INT8, Types.UINT16, Types.INT16, Types.INT32, Types.INT64, Types.UINT32, Types.UINT64, Types.BOOL)
    if data_type not in whole:
        known = Types.DataType.Name(data_type) if data_type in Types.DataType.values() else data_type
        raise ConversionError(where, f"its type is {known}", "Feed floats or integers")
    return INTEGERS if data_type not in (Types.INT32, Types.INT64, Types.UINT32, Types.UINT64, Types.BOOL) else WIDE


def _finish(builder: Builder, path: str, graph: Any) -> Graph:
    outputs = {}
    for value in graph.output:
        where = f"{builder.file}, output {value.name!r}" if len(graph.output) > 1 else path
        layer = builder.values.get(value.name)
        if not isinstance(layer, str):
            raise ConversionError(where, "its output does not depend on its input", "Return the logits")
        code = builder.codes.get(value.name)
        if code is not None and code is not INTEGERS and code is not WIDE:
            place = f"{builder.file}, output {value.name!r}"
            raise ConversionError(place, "it is integers", "End the file with the DequantizeLinear that gives the logits")
        outputs[value.name] = layer
    if not outputs:
        raise ConversionError(path, "it has 0 outputs (none)", "Export a network that returns the logits")
    return builder.finish(outputs, graph.name or Path(path).stem)
