"""Fitting of weights: moments are exact sums, and rounding is GPTQ as published."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.linear import Matrix, Operator, Window
from converters.observations import Places, moments, observe, places_of
from converters.reconstruction import Sent, apply, factor_of, reconstruct, rounded

ALL = Places(((slice(0, 8), None),))


def window(groups: int = 1, stride: int = 1, dilation: int = 1, channels: int = 4, size: int = 7, seed: int = 0) -> Window:
    weight = np.random.default_rng(seed).normal(size=(6 * groups, channels // groups, 3, 2))
    out = ((size + 3 - dilation * 2 - 1) // stride + 1, (size + 1 - dilation - 1) // stride + 1)
    return Window(
        (channels, size, size), (6 * groups, *out), weight, (stride, stride), ((1, 2), (0, 1)), (dilation, dilation), groups
    )


def sent(operator: Operator, most: int, seed: int = 1) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).integers(0, most + 1, (8, *operator.source)))


def published(weight: np.ndarray, covariance: np.ndarray, limit: int) -> np.ndarray:
    """One row of weights, input after input, with the updates of GPTQ (Frantar et al. 2023, algorithm 1)."""
    upper = np.linalg.cholesky(np.linalg.inv(covariance)).T
    left, result = weight.copy(), np.zeros_like(weight)
    for i in range(len(weight)):
        result[i] = np.clip(np.rint(left[i]), -limit, limit)
        left[i:] -= (left[i] - result[i]) / upper[i, i] * upper[i, i:]
    return result


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 120), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**16))
def test_rounding_is_that_of_gptq(width: int, groups: int, rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    a = draw.normal(size=(groups, width, 2 * width + 3)) @ np.diag(draw.uniform(0.2, 2, 2 * width + 3))
    covariance = a @ a.swapaxes(1, 2) / a.shape[2] + 0.02 * np.eye(width)
    weight = draw.normal(size=(groups, rows, width)) * 5
    found = rounded(weight, factor_of(covariance), 12)
    expected = [[published(row, covariance[g], 12) for row in weight[g]] for g in range(groups)]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_observed_inputs_are_those_of_the_windows(groups: int, stride: int, dilation: int) -> None:
    op = window(groups, stride, dilation)
    values = sent(op, 9)
    padded = F.pad(values.double(), (0, 1, 1, 2))
    unfolded = F.unfold(padded, (3, 2), dilation, 0, stride)
    expected = unfolded.reshape(8, groups, -1, unfolded.shape[2]).permute(1, 2, 0, 3).reshape(groups, -1, 8 * unfolded.shape[2])
    assert np.array_equal(observe(op, values, ALL), expected)
    conv = F.conv2d(padded, torch.as_tensor(op.weight), None, stride, 0, dilation, groups)
    assert np.allclose(apply(op, values), conv)


@pytest.mark.parametrize("most", [1, 16, 255, 4095, 2**20])
def test_moments_of_whole_numbers_are_exact(most: int) -> None:
    """However large the numbers, and in whatever type they are summed: against Python's integers."""
    op = window(channels=2, size=12)
    inputs = observe(op, sent(op, most), ALL)
    wanted = np.random.default_rng(2).integers(-9, 10, (6, inputs.shape[2])).astype(np.float32)
    found = moments(inputs, wanted)
    a, b = inputs[0].astype(object), wanted.astype(int).astype(object)
    n = inputs.shape[2]
    a = np.vectorize(int, otypes=[object])(a)
    exact = np.array((n * (a @ a.T) - a.sum(1)[:, None] * a.sum(1)[None]), float) / n**2
    cross = np.array((n * (a @ b.T) - a.sum(1)[:, None] * b.sum(1)[None]), float) / n**2
    assert np.allclose(found.inputs[0], exact, rtol=1e-9, atol=1e-9 * exact.max())
    assert np.allclose(found.wanted[0], cross, rtol=1e-9, atol=1e-9 * exact.max())


@pytest.mark.parametrize("several", [False, True])
def test_fitted_weights_bring_what_is_wanted(several: bool) -> None:
    """Trained weights that are off by a tenth are put right, with one path or with two of unlike kinds."""
    first = window()
    draw = np.random.default_rng(3)
    matrix = np.zeros((4 * 49, int(np.prod(first.target))))
    matrix[:40] = draw.normal(size=(40, matrix.shape[1]))
    from scipy import sparse

    operators: list[Operator] = [first, Matrix(first.source, first.target, sparse.csr_array(matrix))][: 1 + several]
    values = [sent(op, 9, seed) for seed, op in enumerate(operators)]
    wanted = sum((apply(op, v) for op, v in zip(operators, values, strict=True)), torch.zeros(1)).float()
    off = [Window(**{**{n: getattr(first, n) for n in Window.__slots__}, "weight": first.weight * 1.1}), *operators[1:]]
    fitted, factors = reconstruct(off, [Sent(v) for v in values], wanted)
    assert [factor is None for factor in factors] == [False, True][: 1 + several]  # a matrix this sparse is not fitted
    assert np.abs(fitted[0].weight - first.weight).max() < 0.2 * np.abs(off[0].weight - first.weight).max()


def test_few_places_stand_for_all_of_a_large_image() -> None:
    op = Window((8, 200, 200), (8, 200, 200), np.ones((8, 8, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    places = places_of([op], 16)
    chosen = [at for _, at in places.parts]
    assert all(at is not None and len(at) == 1024 for at in chosen)
    assert not np.array_equal(chosen[0], chosen[1])
    assert places.of(np.zeros((16, 8, 40000), np.float32)).shape == (8, 16 * 1024)


def test_weights_that_many_neurons_share_are_fitted_and_stay_shared() -> None:
    draw = np.random.default_rng(4)
    rows = np.repeat(np.arange(6), 300)  # 1,800 neurons: more than are fitted each by itself
    op = Matrix((1800,), (3,), draw.normal(size=(6, 3)), rows)
    total = torch.as_tensor(draw.integers(0, 9, (200, 1800)))
    by_row = np.stack([total.numpy()[:, rows == i].sum(axis=1) for i in range(6)], axis=1)
    truth = op.weight + 0.3 * draw.normal(size=(6, 3))
    (fitted,), (factor,) = reconstruct([op], [Sent(total)], torch.as_tensor(by_row @ truth))
    assert isinstance(fitted, Matrix)
    assert np.array_equal(fitted.rows, rows)
    assert np.abs(fitted.weight - truth).max() < 0.1 * np.abs(op.weight - truth).max()
    assert factor is not None
    assert np.allclose(apply(op, total), apply(Matrix(op.source, op.target, op.whole), total))
