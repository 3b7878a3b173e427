"""Weighted layers joined with many other values: populations of their own, whose weights are not listed with zeros between."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor, nn

import converters
import neuro
from converters import linear, operators
from converters.values import populations
from neuro.graph import Layer


class Kept(nn.Module):
    """Attention of one token to itself and to others, whose keys and values are inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, token: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        k, v = torch.cat([keys, self.key(token)], 1), torch.cat([values, self.value(token)], 1)
        return (self.query(token) @ k.transpose(1, 2)).softmax(-1) @ v


@pytest.mark.parametrize("listed", [1 << 20, 10])
def test_a_token_joins_those_before_it(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(populations, "_LISTED", listed)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sizes = {"token": (1, 4), "keys": (5, 4), "values": (5, 4)}
    inputs = {name: rng.normal(size=(32, *shape)).astype(np.float32) for name, shape in sizes.items()}
    made = converters.convert(Kept(4).eval(), inputs, code="graded")
    assert made.agreement.correlation > 0.99
    some = {name: x[:3] for name, x in inputs.items()}
    np.testing.assert_array_equal(neuro.run(made.network, some).logits.reshape(3, -1), made.quantised(some).reshape(3, -1))
    dense = {p.target for p in made.network.projections if isinstance(p, neuro.Dense)}
    assert ({"key", "value"} <= dense) == (listed == 10)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 5),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    before=st.integers(0, 9),
    behind=st.integers(0, 9),
    data=st.data(),
)
def test_joined_values_stand_where_the_join_puts_them(
    rows: int, shape: list[int], before: int, behind: int, data: st.DataObject
) -> None:
    """Whatever the share of zeros, the operator is the plain matrix with zeros beside it."""
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = [n for n in (before, shape[axis], behind) if n]
    shapes = tuple((*shape[:axis], n, *shape[axis + 1 :]) for n in sizes)
    target = (*shape[:axis], sum(sizes), *shape[axis + 1 :])
    weight = np.random.default_rng(rows).normal(size=(rows, int(np.prod(shape))))
    join = Layer("join", "concat", ("a", "b", "c")[: len(sizes)], target, options={"axis": axis})
    found = linear.follow(linear.Matrix((rows,), tuple(shape), weight), join, int(before > 0), shapes)
    assert isinstance(found, linear.Matrix)
    around = [np.zeros((rows, *s)) for s in shapes]
    around[int(before > 0)] = weight.reshape(rows, *shape)
    wanted = np.concatenate(around, axis + 1).reshape(rows, -1)
    np.testing.assert_array_equal(operators.dense(found), wanted)
    assert sparse.issparse(found.weight) == (wanted.shape[1] > 2 * weight.shape[1])


@settings(max_examples=30, deadline=None)
@given(
    inputs=st.integers(1, 5),
    out=st.integers(1, 5),
    axes=st.integers(1, 2),
    kernel=st.sampled_from([1, 3]),
    size=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_convolution_behind_moved_values_is_the_same_matrix(
    inputs: int, out: int, axes: int, kernel: int, size: int, seed: int
) -> None:
    """Of one place it is a plain matrix, whatever its padding; of more places a list."""
    pad = kernel // 2
    options = {"stride": (1,) * axes, "padding": ((pad, pad),) * axes, "dilation": (1,) * axes, "groups": 1}
    source, weight = (inputs, *(size,) * axes), np.random.default_rng(seed).normal(size=(out, inputs, *(kernel,) * axes))
    layer = Layer("conv", "conv", ("x",), (out, *(size,) * axes), {"weight": weight.astype(np.float32)}, options)
    count = int(np.prod(source))
    before = np.random.default_rng(seed).permutation(count)
    moved = linear.Matrix((count,), source, sparse.eye_array(count, format="csr")[before])
    found = linear.follow(moved, layer)
    assert isinstance(found, linear.Matrix)
    wanted = linear.to_matrix(linear.as_window(layer, source)).weight.toarray()[before]
    np.testing.assert_array_equal(operators.dense(found), wanted)
    assert sparse.issparse(found.weight) == (size > 1 or kernel > 1)
