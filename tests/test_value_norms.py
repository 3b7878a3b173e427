"""Norms that are written out are one layer, however they are written, and what is no norm stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import converters
from converters.evaluation import logits
from converters.values.recognising import recognised
from tests.graphs import weights

SHAPE = (4, 6, 5)
NORMS = ("layer_norm", "rms_norm")
MEANS = {
    "mean": lambda x, axes: x.mean(axes, keepdim=True),
    "sum": lambda x, axes: x.sum(axes, keepdim=True) * (1 / np.prod([x.shape[axis] for axis in axes])),
    "flat": lambda x, axes: x.mean(axes).reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)]),
}
SQUARES = {"pow": lambda x: x.pow(2), "multiply": lambda x: x * x, "square": torch.square}
ROOTS = {
    "rsqrt": lambda x, v: x * torch.rsqrt(v),
    "pow": lambda x, v: v.pow(-0.5) * x,
    "divide": lambda x, v: x / v.sqrt(),
    "reciprocal": lambda x, v: x * v.sqrt().reciprocal(),
    "root of reciprocal": lambda x, v: x * v.reciprocal().sqrt(),
}
KEPT = {"as it is": lambda v: v, "relu": torch.relu, "abs": torch.abs, "maximum": lambda v: torch.maximum(v, torch.zeros(1))}


class Writing(nn.Module):
    """A norm of x over axes, written in one of many ways. wrong: what makes it none."""

    def __init__(self, axes, mean, square, root, kept, variance, affine, factor, wrong="") -> None:
        super().__init__()
        self.axes, self.kind, self.affine, self.factor, self.wrong = axes, variance, affine, factor, wrong
        self.mean, self.square, self.root, self.kept = MEANS[mean], SQUARES[square], ROOTS[root], KEPT[kept]
        self.register_buffer("weight", torch.tensor(weights(1, *[n if i in axes else 1 for i, n in enumerate(SHAPE, 1)])))
        self.register_buffer("bias", torch.tensor(weights(1, SHAPE[0], 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        axes = self.axes
        x = x * self.factor
        mean = self.mean(x, axes)
        less = x if self.kind == "rms" else x - mean
        if self.kind == "fast":
            variance = self.mean(self.square(x), axes) - self.square(mean)
        else:
            other = (1,) if axes != (1,) else (2,)
            variance = self.mean(self.square(less), other if self.wrong == "axes" else axes)
        if self.wrong == "half":
            variance = variance - 0.5 * self.square(mean)
        variance = self.kept(variance).relu() + (0.5 if self.wrong == "behind" else 1e-3)
        if self.wrong == "behind":
            return x / (variance.sqrt() + 1e-1)
        if self.affine == "inside":  # x (w / root) + (b - mean w / root)
            inverse = self.root(self.weight, variance)
            return x * inverse + (self.bias - (0 if self.kind == "rms" else mean) * inverse)
        y = self.root(less, variance)
        return y * self.weight + self.bias if self.affine == "behind" else y


AXES = st.sampled_from([(3,), (1,), (2, 3), (1, 2, 3), (1, 3)])
WRITTEN = st.builds(
    Writing, AXES, *(st.sampled_from([*table]) for table in (MEANS, SQUARES, ROOTS, KEPT)),
    st.sampled_from(["slow", "fast", "rms"]), st.sampled_from(["", "inside", "behind"]), st.sampled_from([1.0, -0.25]),
)  # fmt: skip
X = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32) + 0.5


def norms(model: nn.Module) -> list[str]:
    """The norms that are recognised in a model, whose values they must not change."""
    given_ = converters.trace(model, X[:2])
    made = recognised(given_)
    assert np.allclose(logits(made, X), logits(given_, X), rtol=1e-5, atol=1e-5)
    assert np.allclose(logits(made, X), model(torch.tensor(X)).numpy(), rtol=1e-5, atol=1e-5)
    return [layer.op for layer in made.layers if layer.op in NORMS]


@settings(max_examples=60)
@given(WRITTEN)
def test_a_norm_written_out_is_one_layer(model: Writing) -> None:
    assert norms(model) == ["rms_norm" if model.kind == "rms" else "layer_norm"]


@pytest.mark.parametrize(("wrong", "found"), [("half", []), ("behind", []), ("axes", ["rms_norm"])])
def test_what_is_no_such_norm_stays_as_it_is(wrong: str, found: list[str]) -> None:
    """A variance less a part of the squared mean, an epsilon behind the root; over other axes it is a norm of the differences."""
    assert norms(Writing((2, 3), "mean", "pow", "divide", "as it is", "slow", "", 1.0, wrong)) == found
    if wrong != "axes":
        assert norms(Writing((2, 3), "mean", "pow", "divide", "as it is", "rms", "", 1.0, wrong)) == []


def test_a_norm_that_others_read_before_its_weights_is_written_once() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            less = x - x.mean(3, keepdim=True)
            y = less / (less.pow(2).mean(3, keepdim=True) + 1e-3).sqrt()
            return y * 3 + torch.tanh(y)

    assert norms(Twice()) == ["layer_norm"]


def test_groups_that_a_reshape_makes_are_normalised_together() -> None:
    class Grouped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.reshape(-1, 2, 2 * 6 * 5)
            variance = (y * y).mean(2, keepdim=True) - y.mean(2, keepdim=True) ** 2
            y = (y - y.mean(2, keepdim=True)) * torch.rsqrt(variance + 1e-3)
            return y.reshape(-1, *SHAPE) * torch.tensor(weights(4, 1, 1))

    assert norms(Grouped()) == ["layer_norm"]


ONNX = {
    "power": ("Pow(v, half)", "p", "Mul(d, p)"),
    "division": ("Sqrt(v)", "p", "Div(d, p)"),
    "reciprocal": ("Sqrt(v) \n p2 = Reciprocal(p)", "p2", "Mul(p2, d)"),
}


@pytest.mark.parametrize("name", ONNX)
@pytest.mark.parametrize("mean", ["ReduceMean <axes = [2, 3], keepdims = 1>", "GlobalAveragePool"])
def test_norms_of_onnx_files(name: str, mean: str, tmp_path: Path) -> None:
    root, _, last = ONNX[name]
    text = f"""<ir_version: 8, opset_import: ["" : 13]>
        g (float[N, 3, 4, 5] x) => (float[N, 3, 4, 5] y)
        <float e = {{0.001}}, float two = {{2.0}}, float half = {{-0.5}}>
        {{ m = {mean}(x) \n d = Sub(x, m) \n s = Pow(d, two) \n a = {mean}(s) \n v = Add(a, e) \n p = {root} \n y = {last} }}"""
    path = tmp_path / "norm.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    graph, x = converters.read_onnx(path), weights(6, 3, 4, 5)
    made = recognised(graph)
    assert [layer.op for layer in made.layers if layer.op in NORMS] == ["layer_norm"]
    assert np.allclose(logits(made, x), logits(graph, x), atol=1e-5)
    expected = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-3)
    assert np.allclose(logits(made, x), expected, atol=1e-5)
