"""What cannot be converted is refused by name, place and remedy; wrong calibration data get a message of their own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from neuro.errors import ConversionError, NeuroError
from tests.modules import Module, after

IMAGE = (4, 6, 6)


def of(function, **modules: nn.Module) -> nn.Module:
    return Module(function, **modules)


def in_branches(m, x):
    return x if x.sum() > 0 else -x


def by_count(m, x):
    for _ in range(int(x.abs().max())):
        x = F.relu(x)
    return x


def in_place(m, x):
    y = m.relu(m.conv(x))
    z = y.add_(1.0)
    return y + z


def by_keyword(m, x):
    y = m.conv(x)
    z = F.relu(input=y, inplace=True)
    return y + z


def alias(m, x):
    x = m.conv(x)
    view = x.flatten(1)
    return torch.relu_(x).flatten(1) + view


REFUSED = {
    "gelu": (after(nn.GELU()), r"module '1.1' \(GELU.*ReLU"),
    "gelu function": (of(lambda m, x: F.gelu(x)), r"'gelu'.*ReLU"),
    "silu": (after(nn.SiLU()), r"'1.1' \(SiLU"),
    "mish": (after(nn.Mish()), r"'1.1' \(Mish"),
    "elu": (after(nn.ELU()), r"'1.1' \(ELU"),
    "softplus": (after(nn.Softplus()), r"'1.1' \(Softplus"),
    "hardswish": (after(nn.Hardswish()), r"'1.1' \(Hardswish"),
    "leaky relu": (after(nn.LeakyReLU()), r"'1.1' \(LeakyReLU.*negative slope"),
    "prelu": (after(nn.PReLU()), r"'1.1' \(PReLU.*negative slope"),
    "sigmoid": (after(nn.Sequential(nn.Sigmoid(), nn.Flatten(), nn.Linear(144, 2))), r"'1.1.0' \(Sigmoid.*Hardtanh"),
    "tanh": (of(lambda m, x: x.tanh()), r"'tanh'.*Hardtanh"),
    "softmax": (after(nn.Sequential(nn.Softmax(1), nn.Flatten(), nn.Linear(144, 2))), r"Softmax.*Return the logits"),
    "log_softmax": (of(lambda m, x: F.log_softmax(x, 1)), r"log_softmax.*Return the logits"),
    "layer norm": (after(nn.LayerNorm(6)), r"LayerNorm.*BatchNorm"),
    "group norm": (after(nn.GroupNorm(2, 4)), r"GroupNorm.*BatchNorm"),
    "instance norm": (after(nn.InstanceNorm2d(4)), r"InstanceNorm2d.*BatchNorm"),
    "batch norm without statistics": (after(nn.BatchNorm2d(4, track_running_stats=False)), r"no running statistics"),
    "attention": (
        of(lambda m, x: m.attend(*[x.flatten(2)] * 3)[0], attend=nn.MultiheadAttention(36, 4, batch_first=True)),
        r"MultiheadAttention.*convolutions",
    ),
    "product of activations": (of(lambda m, x: x * x.mean([2, 3], keepdim=True)), r"op multiply has no spiking form.*nearest"),
    "matrix product": (of(lambda m, x: x @ x), r"matmul.*convolutions"),
    "division by an activation": (of(lambda m, x: 1 / (x + 2)), r"function reciprocal has no spiking form"),
    "gru": (of(lambda m, x: m.gru(x.flatten(2))[0], gru=nn.GRU(36, 5, batch_first=True)), r"no spiking form.*code='graded'"),
    "lstm": (of(lambda m, x: m.lstm(x.flatten(2))[0], lstm=nn.LSTM(36, 5, batch_first=True)), r"no spiking form.*code='graded'"),
    "dynamic control flow": (of(in_branches), r"test_conversion_refusals.py:\d+.*x\.sum\(\) > 0.*decides"),
    "loop over data": (of(by_count), r"range\(int\(x\.abs.*decides"),
    "shape from data": (of(lambda m, x: x[x > 0]), r"index depends on the data"),
    "3d convolution": (of(lambda m, x: m.conv(x[:, None]), conv=nn.Conv3d(1, 2, 3)), r"picks|Conv3d"),
    "in-place aliasing": (of(alias, conv=nn.Conv2d(4, 4, 1)), r"relu_.*in place.*reads afterwards"),
    "dropout that stays on": (of(lambda m, x: F.dropout(x, 0.5)), r"dropout.*at random"),
    "max pool with indices": (of(lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0]), r"max_pool2d"),
    "maximum": (of(lambda m, x: torch.maximum(x, x.flip(1))), r"flip|maximum"),
    "sorting": (of(lambda m, x: x.sort(1)[0]), r"'sort'"),
    "embedding": (of(lambda m, x: m.table((0 * x).long()), table=nn.Embedding(9, 3)), r"long|Embedding"),
    "mean over samples": (of(lambda m, x: x - x.mean(0)), r"sample axis"),
    "mixing samples": (of(lambda m, x: x.reshape(1, -1)), r"mixes samples"),
    "two outputs": (of(lambda m, x: (x + 1, x - 1)), r"it has 2 outputs \(output0, output1\)"),
    "constant output": (of(lambda m, x: torch.ones(2, 3)), r"returns|does not depend"),
    "wrong sample shape": (nn.Sequential(nn.Conv2d(5, 4, 3)), r"fails on the sample data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name) -> None:
    model, says = REFUSED[name]
    samples = np.random.default_rng(0).normal(size=(40, *IMAGE)).astype(np.float32)
    with pytest.raises(ConversionError, match=says) as caught:
        converters.convert(model, samples)
    assert caught.value.remedy


def test_at_least_25_constructs_are_refused() -> None:
    assert len(REFUSED) >= 25


def test_a_refusal_leaves_the_model_as_it_was() -> None:
    model = after(nn.GELU()).train()
    with pytest.raises(ConversionError):
        converters.convert(model, np.ones((40, *IMAGE), np.float32))
    assert all(module.training for module in model.modules())
    assert not any(name.startswith("_tensor_constant") for name in vars(model))


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


def good(samples: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((samples, *IMAGE), np.float32)


def with_nan() -> np.ndarray:
    samples = good()
    samples[[5, 9], 0, 0, 0] = np.nan
    return samples


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros((0, *IMAGE), np.float32), "shape|no samples"),
        (with_nan(), "2 of 40 samples hold NaN"),
        (np.full((4, *IMAGE), np.inf, np.float32), "NaN or infinity"),
        (good()[:, :3], "fails on the sample data"),
        (np.zeros((40, *IMAGE), np.float32), "every value is zero"),
        (np.array([["a"]]), "dtype"),
        (np.array([[[1, 2], [3, 4]]], dtype=object), "dtype"),
        (np.float32(3), "shape"),
        ([[1.0, 2.0], [3.0]], "rectangular|array"),
    ],
)
def test_wrong_calibration_data(samples, says) -> None:
    with pytest.raises(ConversionError, match=says):
        converters.convert(small(), samples)


def test_wrong_shape_for_a_graph() -> None:
    graph = converters.trace(small(), good())
    with pytest.raises(ConversionError, match=r"shape \(3, 6, 6\).*takes \(4, 6, 6\)"):
        converters.convert(graph, good()[:, :3])


def test_a_dead_layer_is_named_and_a_dead_channel_noted() -> None:
    model = small()
    with torch.no_grad():
        model[0].bias[:] = torch.tensor([-99.0, 0.0, 0.0])
    notes = converters.convert(model, good()).notes
    assert any("1 of 3 channels were never active" in note for note in notes)
    with torch.no_grad():
        model[0].bias[:] = -99.0
    with pytest.raises(ConversionError, match=r"module '1' \(ReLU.*dead"):
        converters.convert(model, good())


def test_too_few_samples_are_said() -> None:
    assert any("8 samples only" in note for note in converters.convert(small(), good(8)).network.notes)
    assert not any("samples only" in note for note in converters.convert(small(), good(40)).notes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"code": "burst"}, "code.*burst.*rate or signed"),
        ({"threshold": "best"}, "threshold"),
        ({"input": "light"}, "input"),
        ({"timesteps": 0}, "timesteps"),
        ({"timesteps": 2.5}, "timesteps"),
        ({"weight_bits": 9}, "weight_bits"),
        ({"refine": -1}, "refine"),
        ({"code": "graded", "input": "spikes"}, "payloads, not spikes"),
    ],
)
def test_wrong_arguments(arguments, says) -> None:
    with pytest.raises(NeuroError, match=says):
        converters.convert(small(), good(), **arguments)


def test_something_that_is_no_module() -> None:
    with pytest.raises(ConversionError, match=r"not a torch\.nn\.Module"):
        converters.convert(lambda x: x, good())
