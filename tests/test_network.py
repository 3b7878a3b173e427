"""Networks are born valid, cannot be changed, and survive files and repr."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import FormatError, NetworkError


def small() -> neuro.Network:
    rng = np.random.default_rng(0)
    return neuro.Network(
        populations=(
            neuro.Population("in", (2, 6, 5), neuro.Source()),
            neuro.Population("a", (3, 6, 5), neuro.IntegrateAndFire(threshold=40, bias=np.array([[[1]], [[2]], [[-3]]]))),
            neuro.Population("out", (4,), neuro.Readout(scale=np.array([0.5, 1.0, 2.0, 4.0]))),
        ),
        projections=(
            neuro.Conv2d("in", "a", rng.integers(-9, 20, (3, 2, 3, 3)), padding=1),
            neuro.Dense("a", "out", rng.integers(-9, 9, (90, 4)), delay=2),
            neuro.Sparse("in", "a", (np.array([0, 5]), np.array([7, 7]), np.array([3, 0]))),
            neuro.OneToOne("a", "a", np.array([1, 2, 3])),
        ),
        timesteps=8,
        notes=("by hand",),
    )


def test_source_evaluates_to_an_equal_network() -> None:
    names = {name: getattr(neuro, name) for name in neuro.__all__} | {"np": np}
    assert eval(small().to_source(), names) == small()
    assert hash(small()) == hash(small())


def test_save_and_load_is_the_identity(tmp_path) -> None:
    small().save(tmp_path / "n.safetensors")
    assert neuro.Network.load(tmp_path / "n.safetensors") == small()
    assert [p.name for p in tmp_path.iterdir()] == ["n.safetensors"]


def test_arrays_are_frozen() -> None:
    weights = np.ones((2, 2), np.int32)
    projection = neuro.Dense("a", "b", weights)
    weights[0, 0] = 5
    assert projection.weights[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        projection.weights[0, 0] = 5


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: neuro.Dense("a", "a", np.ones((2, 2), int), delay=0), "delay = 0"),
        (lambda: neuro.Dense("a", "b", np.ones((2, 2))), "must be integers"),
        (lambda: neuro.IntegrateAndFire(threshold=0), "threshold = 0"),
        (lambda: neuro.IntegrateAndFire(threshold=1.5), "not a whole number"),
        (lambda: neuro.IntegrateAndFire(threshold=4, reset="gentle"), "gentle"),
        (lambda: neuro.CubaLif(current_decay=4096, voltage_decay=0, threshold=1), "current_decay = 4096"),
        (lambda: neuro.Source(scale=0.0), "scale = 0.0"),
        (lambda: neuro.Population("a", (0,), neuro.Source()), "a size = 0"),
        (lambda: neuro.Population("a", (3,), neuro.IntegrateAndFire(5, bias=np.zeros(2, int))), "does not broadcast"),
        (lambda: neuro.Network((), ()), "no populations"),
    ],
)
def test_nonsense_is_refused(make, says) -> None:
    with pytest.raises(neuro.NeuroError, match=says):
        make()


def test_wrong_shapes_name_the_projection() -> None:
    a, b = neuro.Population("a", (2, 4, 4), neuro.Source()), neuro.Population("b", (3, 4, 4), neuro.IntegrateAndFire(5))
    with pytest.raises(NetworkError, match=r"a->b.*yields \(3, 2, 2\)"):
        neuro.Network((a, b), (neuro.Conv2d("a", "b", np.ones((3, 2, 3, 3), int)),))
    with pytest.raises(NetworkError, match="no population 'c'"):
        neuro.Network((a, b), (neuro.Dense("a", "c", np.ones((32, 48), int)),))


@pytest.mark.peer("torch")
@given(
    channels=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
def test_convolution_synapses_equal_torch(channels, size, kernel, stride, padding, dilation, seed) -> None:
    groups, per_in, per_out = channels
    rng = np.random.default_rng(seed)
    weights = rng.integers(-9, 9, (groups * per_out, per_in, *kernel))
    x = rng.integers(-5, 5, (groups * per_in, *size))
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
        return
    expected = torch.conv2d(
        torch.tensor(x).double()[None], torch.tensor(weights).double(), None, stride, padding, dilation, groups
    ).numpy()[0]
    conv = neuro.Conv2d("a", "b", weights, stride, padding, dilation, groups)
    conv.check(x.shape, expected.shape)
    matrix = conv.to_sparse(x.shape, expected.shape)
    assert np.array_equal(x.ravel() @ matrix, expected.ravel())
    ones = torch.conv2d(torch.ones(1, *x.shape), torch.ones(weights.shape), None, stride, padding, dilation, groups)
    assert conv.count(x.shape, expected.shape) == conv.synapses(x.shape, expected.shape).pre.size == int(ones.sum())


def test_broken_files_are_format_errors(tmp_path) -> None:
    path = tmp_path / "n.safetensors"
    small().save(path)
    whole = path.read_bytes()
    for cut in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError):
            neuro.Network.load(path)
    with pytest.raises(FormatError, match="no such file"):
        neuro.Network.load(tmp_path / "absent")
    small().save(path)
    with pytest.raises(FormatError, match="holds a network"):
        neuro.Graph.load(path)
