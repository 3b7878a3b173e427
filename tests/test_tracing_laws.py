"""Random torch networks with random options: the graph computes what the module computes, or the module is refused by name."""

import operator
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import converters
from converters.evaluation import logits
from converters.folding import fold
from neuro.errors import ConversionError
from tests.laws import law
from tests.modules import Module

MODES = ("zeros", "reflect", "replicate", "circular")


def _channels(x) -> int:
    return x.shape[1]


def _window(r) -> dict:
    return {"stride": r.integers(1, 4), "padding": r.integers(0, 2), "ceil_mode": bool(r.integers(2))}


def of(function, *arguments) -> nn.Module:
    """A module that calls function(y, *arguments)."""
    return Module(lambda m, y: function(y, *arguments))


def _in_place(y):
    y = y * 1.0
    same = y
    y.mul_(2.0)
    y += same
    return y + same


def _normal(r, *shape: int) -> torch.Tensor:
    return torch.tensor(r.normal(size=shape), dtype=torch.float32)


def _axis(r, x) -> int:
    return int(r.integers(1, x.ndim))


def _axes(r, x) -> tuple[int, ...]:
    return tuple(int(a) for a in r.permutation(np.arange(1, x.ndim))[: r.integers(1, x.ndim)])


def _slice(r, size: int) -> slice:
    start = int(r.integers(size))
    return slice(start, int(r.integers(start + 1, size + 1)), int(r.integers(1, 3)))


def _index(r, x) -> tuple:
    picks = [_slice(r, n) if r.integers(3) else int(r.integers(-n, n)) for n in x.shape[2:]]
    return (slice(None), _slice(r, x.shape[1]), *picks, *([None] * r.integers(2)))


def _conv(r, x) -> nn.Module:
    kernel = tuple(int(k) for k in r.integers(1, 4, 2))
    same = bool(r.integers(2))
    how = {"padding": "same"} if same else {"padding": int(r.integers(3)), "stride": int(r.integers(1, 3))}
    groups = _channels(x) if r.integers(2) else 1
    mode = MODES[r.integers(4)]
    return nn.Conv2d(_channels(x), 2 * groups, kernel, dilation=int(r.integers(1, 3)), groups=groups, padding_mode=mode, **how)


def _transposed(r, x) -> nn.Module:
    stride, dilation = int(r.integers(1, 4)), int(r.integers(1, 3))
    extra = int(r.integers(max(stride, dilation)))
    return nn.ConvTranspose2d(
        _channels(x), 3, int(r.integers(1, 4)), stride, int(r.integers(2)), extra, 1, bool(r.integers(2)), dilation
    )


def _norm(r, x) -> nn.Module:
    norm = nn.BatchNorm2d(_channels(x), affine=bool(r.integers(2)))
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return norm


def _upsample(r, x) -> nn.Module:
    mode = ("nearest", "nearest-exact", "bilinear")[r.integers(3)]
    how = {"align_corners": bool(r.integers(2))} if mode == "bilinear" else {}
    if r.integers(2):
        return nn.Upsample(size=tuple(int(n) for n in r.integers(1, 12, 2)), mode=mode, **how)
    return nn.Upsample(scale_factor=float(r.choice([0.5, 1.5, 2, 3])), mode=mode, **how)


# name -> (generator, tensor) -> module
STEPS = {
    "conv": _conv,
    "transposed": _transposed,
    "norm": _norm,
    "upsample": _upsample,
    "relu": lambda r, x: nn.ReLU(inplace=bool(r.integers(2))),
    "average": lambda r, x: nn.AvgPool2d(
        int(r.integers(2, 4)), **_window(r), count_include_pad=bool(r.integers(2)), divisor_override=r.choice([None, 5])
    ),
    "maximum": lambda r, x: nn.Sequential(
        nn.ReLU(), nn.MaxPool2d(int(r.integers(2, 4)), dilation=int(r.integers(1, 3)), **_window(r))
    ),
    "adaptive": lambda r, x: nn.AdaptiveAvgPool2d(tuple(int(n) for n in r.integers(1, 9, 2))),
    "adaptive maximum": lambda r, x: nn.Sequential(nn.ReLU(), nn.AdaptiveMaxPool2d(tuple(int(n) for n in r.integers(1, 9, 2)))),
    "pad": lambda r, x: of(F.pad, r.integers(0, 3, 4).tolist(), ("constant", *MODES[1:])[r.integers(4)]),
    "shuffle": lambda r, x: (nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2))[r.integers(3)],
    "slice": lambda r, x: of(operator.getitem, _index(r, x)),
    "flip": lambda r, x: of(torch.flip, _axes(r, x)),
    "roll": lambda r, x: of(lambda y, axes: torch.roll(y, (1,) * len(axes), axes), _axes(r, x)),
    "mean": lambda r, x: of(torch.mean, _axes(r, x), bool(r.integers(2))),
    "sum": lambda r, x: of(torch.sum, _axes(r, x), True),
    "largest": lambda r, x: of(lambda y, *how: F.relu(y).amax(*how), _axes(r, x), bool(r.integers(2))),
    "broadcast": lambda r, x: of(lambda y, axes: y - y.mean(axes, keepdim=True), _axes(r, x)),
    "chunks": lambda r, x: of(lambda y, axis: torch.cat(y.chunk(2, axis)[::-1], axis), _axis(r, x)),
    "stack": lambda r, x: of(lambda y, axis: torch.stack([y, -y], axis).flatten(axis, axis + 1), _axis(r, x)),
    "permute": lambda r, x: of(lambda y, order: y.permute(0, *order), r.permutation(np.arange(1, x.ndim)).tolist()),
    "repeat": lambda r, x: of(lambda y, times: y.repeat(1, *times), r.integers(1, 3, x.ndim - 1).tolist()),
    "interleave": lambda r, x: of(lambda y, axis: y.repeat_interleave(2, dim=axis), _axis(r, x)),
    "in place": lambda r, x: of(_in_place),
    "matrix": lambda r, x: of(torch.matmul, _normal(r, x.shape[-1], 3)),
    "scale": lambda r, x: of(lambda y, factor: 2 - y / 3 * factor, _normal(r, x.shape[-1])),
}


def network(steps: list[str], seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network of those steps that torch can run, inputs (5, 4, 6, 7), and its outputs."""
    r = np.random.default_rng(seed)
    torch.manual_seed(seed)
    x = torch.randn(5, 4, 6, 7)
    y, layers = x, []
    for name in steps:
        layer = STEPS[name](r, y).eval()
        try:
            z = layer(y.clone())
        except (RuntimeError, ValueError, IndexError):
            continue  # torch does not take these options for this shape
        if 0 < z.numel() < 20_000 and z.ndim > 1 and z.isfinite().all():
            y = z
            layers.append(layer)
    return nn.Sequential(*layers), x, y


def traced(steps: list[str], seed: int):
    """The network's graph (None where it is refused by name), inputs and outputs."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about even kernels
        model, x, expected = network(steps, seed)
        try:
            return converters.trace(model, x[:2]), x.numpy(), expected.numpy()
        except ConversionError as refusal:
            if not refusal.remedy or "differ from those" in str(refusal):
                raise
            return None, x.numpy(), expected.numpy()


@law(40)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4), st.integers(0, 2**20))
def test_a_graph_computes_what_the_module_computes_or_the_module_is_refused_by_name(steps: list[str], seed: int) -> None:
    made, x, expected = traced(steps, seed)
    for graph in () if made is None else (made, fold(made)):
        got = logits(graph, x)
        assert got.shape == expected.shape
        assert np.allclose(got, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("step", sorted(STEPS))
def test_the_law_says_something_since_single_steps_are_not_refused(step: str) -> None:
    assert all(traced([step], seed)[0] is not None for seed in range(3))
