"""ONNX files with operators that compute with values: several inputs and outputs, open axes, branches, quantisers of QONNX."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import converters
import neuro
from converters.evaluation import outputs
from tests.onnx_models import saved, value

X = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)


def node(op: str, inputs: str, outputs_: str = "y", **attributes: object) -> object:
    return helper.make_node(op, inputs.split(), outputs_.split(), "n", **attributes)


def read(nodes: list, tensors: dict, path: Path, shape: tuple = (3, 4), **how: object) -> neuro.Graph:
    file = saved(nodes, [value("x", 2, *shape)], [value("y", *[None] * (1 + len(shape)))], tensors, path / "m.onnx")
    return converters.read_onnx(file, **how)


def test_inputs_and_outputs_keep_their_names(tmp_path) -> None:
    nodes = [node("Mul", "x gate", "product"), node("Relu", "product", "y"), node("Sub", "x gate", "difference")]
    file = saved(nodes, [value("x", "n", 3), value("gate", "n", 3)], [value("y", "n", 3), value("difference", "n", 3)], {},
                 tmp_path / "m.onnx")  # fmt: skip
    graph = converters.read_onnx(file)
    given = {"gate": np.full((2, 3), 2.0), "x": np.array([[1, -2, 3], [0, 1, -1]])}
    found = outputs(graph, given)
    assert list(found) == ["y", "difference"]
    assert np.array_equal(found["y"], [[2, 0, 6], [0, 2, 0]])
    assert np.array_equal(found["difference"], given["x"] - 2)
    fixed = converters.read_onnx(file, fixed={"gate": np.full((1, 3), 2.0)})
    assert np.array_equal(outputs(fixed, given["x"])["y"], found["y"])
    for how, message in (
        ({"fixed": {"gat": 1.0}}, "it has no input 'gat'. Use one of x, gate"),
        ({"fixed": {"gate": 1.0}}, r"input 'gate': it is fixed to an array of shape \(\), it has"),
        ({"fixed": {"gate": np.full((1, 3), np.nan)}}, "Fix it to numbers"),
        ({"shape": (3,)}, "it takes 2 inputs"),
        ({"sizes": {"m": 2}}, "no input has an open axis 'm'"),
    ):
        with pytest.raises(neuro.NeuroError, match=message):
            converters.read_onnx(file, **how)


def test_open_axes_are_named_and_can_be_fixed(tmp_path) -> None:
    file = saved([node("Relu", "x")], [value("x", "n", 2, "frames", None)], [value("y", *[None] * 4)], {}, tmp_path / "m.onnx")
    with pytest.raises(neuro.NeuroError, match=r"\(samples, 2, frames, x\[3\]\). .* or sizes=\{'frames': ...\}"):
        converters.read_onnx(file)
    assert converters.read_onnx(file, sizes={"frames": 5, "x[3]": 7}).output.shape == (2, 5, 7)


def test_a_sample_may_be_an_input_as_a_whole(tmp_path) -> None:
    """Without an axis of samples, axis 0 is one like any other."""
    nodes = [node("Transpose", "x", "t"), node("MatMul", "x t", "p"), node("ReduceSum", "p axes")]
    file = saved(nodes, [value("x", 3, 4)], [value("y", None, None)], {"axes": np.array([0])}, tmp_path / "m.onnx")
    graph = converters.read_onnx(file, samples=False)
    assert graph.inputs[0].shape == (3, 4)
    assert np.allclose(
        outputs(graph, X)["y"[:0] or graph.output.name], np.matmul(X, X.transpose(0, 2, 1)).sum(1, keepdims=True), atol=1e-5
    )


@pytest.mark.parametrize("holds", [True, False])
def test_a_branch_whose_condition_is_a_constant_is_taken(holds, tmp_path) -> None:
    branches = {
        name: helper.make_graph(
            [helper.make_node(op, ["x"], [f"of_{name}"], name)], name, [], [value(f"of_{name}", None, None, None)]
        )
        for name, op in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s two", "width"), node("Equal", "width four", "c"), node("If", "c", **branches)
    ]  # fmt: skip
    tensors = {"two": np.int64(2), "four": np.int64(4 if holds else 5)}
    graph = read(nodes, tensors, tmp_path)
    assert np.array_equal(outputs(graph, X)[graph.output.name], np.maximum(X, 0) if holds else -X)


def test_a_branch_that_data_choose_is_refused(tmp_path) -> None:
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "b", [], [value("r", None, None, None)])
    nodes = [node("ReduceMax", "x axes", "c", keepdims=0), node("If", "c", then_branch=branch, else_branch=branch)]
    with pytest.raises(neuro.NeuroError, match=r"\(If\): its condition depends on the data"):
        read(nodes, {"axes": np.array([1, 2])}, tmp_path)


@pytest.mark.parametrize(("signed", "narrow", "bits"), [(1, 0, 3), (1, 1, 4), (0, 0, 2)])
@pytest.mark.parametrize("domain", ["onnx.brevitas", "qonnx.custom_op.general"])
def test_quant_nodes_are_the_quantisers_that_they_are(signed, narrow, bits, domain, tmp_path) -> None:
    """Of activations and of weights, by the formula of QONNX written out here."""
    held = {"s": np.float32(0.25), "z": np.float32(0), "b": np.float32(bits), "w": X[0].T.copy()}
    more = {"signed": signed, "narrow": narrow, "rounding_mode": "ROUND", "domain": domain}
    nodes = [node("Quant", "x s z b", "q", **more), node("Quant", "w s z b", "v", **more), node("MatMul", "q v")]
    path = saved(nodes, [value("x", 2, 3, 4)], [value("y", 2, 3, 3)], held, tmp_path / "m.onnx")
    model = onnx.load(path)
    model.opset_import.add().CopyFrom(helper.make_opsetid(domain, 1))
    path.write_bytes(model.SerializeToString())
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)

    def quant(v: np.ndarray) -> np.ndarray:
        return np.rint(np.clip(v / 0.25, low, high)) * 0.25

    graph = converters.read_onnx(path)
    assert np.allclose(outputs(graph, X)[graph.output.name], quant(X) @ quant(X[0].T), atol=1e-5)


def test_a_mask_far_below_zero_is_a_mask(tmp_path) -> None:
    """Causal attention: what is masked has no share at all, and no huge number reaches a layer."""
    causal = np.triu(np.full((3, 3), -1e9, np.float32), 1)[None]
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "s"), node("Add", "s m", "a"),
             node("Softmax", "a", "p"), node("MatMul", "p x")]  # fmt: skip
    graph = read(nodes, {"m": causal}, tmp_path)
    assert [layer.op for layer in graph.layers] == ["input", "permute", "matmul", "mask", "softmax", "matmul"]
    scores = X @ X.transpose(0, 2, 1) + np.triu(np.full((3, 3), -np.inf), 1)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    expected = share / share.sum(-1, keepdims=True) @ X
    assert np.allclose(outputs(graph, X)[graph.output.name], expected, atol=1e-5)


@pytest.mark.parametrize("op", ["Max", "Min", "Clip"])
def test_a_bound_far_from_the_values_costs_no_digits(op, tmp_path) -> None:
    """max(x - a, 0) + a would round x to the spacing of floats around a."""
    tensors = {"c": np.float32(-1e8 if op == "Max" else 1e8), "l": np.float32(-1e8), "h": np.float32(1e8)}
    nodes = [node("Clip", "x l h") if op == "Clip" else node(op, "x c")]
    graph = read(nodes, tensors, tmp_path)
    assert np.array_equal(outputs(graph, X)[graph.output.name], X)


def test_token_ids_look_up_rows(tmp_path) -> None:
    table = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    entry = helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 4])
    graph = helper.make_graph(
        [node("Gather", "table x")], "g", [entry], [value("y", None, None, None)], [numpy_helper.from_array(table, "table")]
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    read_graph, ids = converters.read_onnx(path), np.array([[0, 6, -1, 3], [2, 2, 1, -7]])
    assert np.array_equal(outputs(read_graph, ids)[read_graph.output.name], table[ids])
