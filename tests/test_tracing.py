"""torch functions, methods and modules one by one: traced, they compute what torch computes, or say why they cannot."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from converters.evaluation import logits
from neuro.errors import ConversionError
from tests.modules import Module

IMAGE = (4, 6, 6)
C = torch.tensor([1.0, -2.0, 3.0, 0.5]).reshape(4, 1, 1)
W = torch.randn(3, 4, 2, 3, generator=torch.Generator().manual_seed(1))
MEAN, VARIANCE = torch.tensor([0.1, -0.2, 0.3, 0.0]), torch.tensor([1.0, 0.5, 2.0, 0.1])


def of(function, **modules: nn.Module) -> nn.Module:
    """A network whose forward is function(modules, x); C, W and the statistics are buffers of it."""
    torch.manual_seed(0)
    model = Module(function, **modules)
    for name, value in (("c", C), ("w", W), ("mean", MEAN), ("variance", VARIANCE)):
        model.register_buffer(name, value)
    return model.eval()


def sized(m, x):
    assert len(x) == x.shape[0]
    assert x.dim() == x.ndimension() == x.ndim == 4
    return x.view(x.size(0), x.numel() // x.size()[0])


def in_place(m, x):
    return x.add_(1.0).mul_(2.0)


COMPUTED = {
    "constant + x": (of(lambda m, x: 5 + x), "scale"),
    "add by keyword": (of(lambda m, x: torch.add(input=x, other=m.c)), "scale"),
    "add one sample": (of(lambda m, x: x + m.c[None]), "scale"),
    "add activations": (of(lambda m, x: x.add(F.relu(x))), "relu add"),
    "constant moved to x": (of(lambda m, x: x + m.c.to(x) + m.c.type_as(x)), "scale scale"),
    "x - constant": (of(lambda m, x: torch.sub(input=x, other=m.c)), "scale"),
    "constant - x": (of(lambda m, x: m.c - x), "scale"),
    "x - y": (of(lambda m, x: x - F.relu(x)), "relu scale add"),
    "constant * x": (of(lambda m, x: m.c * x), "scale"),
    "x / constant": (of(lambda m, x: torch.div(input=x, other=m.c)), "scale"),
    "-x": (of(lambda m, x: -torch.neg(input=x.neg())), "scale scale scale"),
    "in place": (of(in_place), "scale scale"),
    "relu": (of(lambda m, x: F.relu(input=x)), "relu"),
    "relu6": (of(lambda m, x: F.relu6(4 * x)), "scale relu"),
    "hardtanh": (of(lambda m, x: m.h(F.hardtanh(x, 0, max_val=1.5)), h=nn.Hardtanh(0, 1)), "relu relu"),
    "clamp": (of(lambda m, x: torch.clamp(x.clamp(min=0), torch.zeros(()), torch.tensor(1.5))), "relu relu"),
    "conv, same": (of(lambda m, x: F.conv2d(x, m.w, padding="same", dilation=2)), "conv"),
    "conv, valid": (of(lambda m, x: F.conv2d(x, m.w, bias=m.c.ravel()[:3], padding="valid", stride=(1, 2))), "conv"),
    "conv by keyword": (of(lambda m, x: m.k(input=x), k=nn.Conv2d(4, 6, 3, groups=2, bias=False)), "conv"),
    "conv over time": (of(lambda m, x: m.k(x.flatten(2)), k=nn.Conv1d(4, 2, 5, stride=3, padding=2)), "reshape conv"),
    "linear": (of(lambda m, x: F.linear(x, m.w.reshape(12, 6))), "linear"),
    "linear module": (of(lambda m, x: m.f(x), f=nn.Linear(6, 2, bias=False)), "linear"),
    "batch norm": (of(lambda m, x: F.batch_norm(x, m.mean, m.variance, eps=0.1)), "batch_norm"),
    "batch norm module": (of(lambda m, x: m.b(x), b=nn.BatchNorm2d(4, affine=False)), "batch_norm"),
    "max pool": (of(lambda m, x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)), "max_pool"),
    "max pool, dilated": (of(lambda m, x: F.max_pool2d(x, 2, 1, dilation=(1, 3))), "max_pool"),
    "max pool over time": (of(lambda m, x: m.p(x.flatten(2)), p=nn.MaxPool1d(5)), "reshape max_pool"),
    "average, ceil": (of(lambda m, x: F.avg_pool2d(x, 4, ceil_mode=True)), "avg_pool"),
    "average, padding counts": (of(lambda m, x: F.avg_pool2d(x, 3, 1, 1)), "avg_pool"),
    "average, padding does not": (of(lambda m, x: F.avg_pool2d(x, 4, 3, 1, True, count_include_pad=False)), "avg_pool"),
    "average, divisor": (of(lambda m, x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True, divisor_override=5)), "avg_pool"),
    "average over time": (of(lambda m, x: m.p(x.flatten(2)), p=nn.AvgPool1d(4)), "reshape avg_pool"),
    "adaptive average": (of(lambda m, x: F.adaptive_avg_pool2d(input=x, output_size=(3, 2))), "avg_pool"),
    "adaptive maximum": (of(lambda m, x: m.p(x), p=nn.AdaptiveMaxPool2d((None, 1))), "max_pool"),
    "mean of the image": (of(lambda m, x: x.mean([2, -1])), "avg_pool reshape"),
    "mean, kept": (of(lambda m, x: torch.mean(x, axis=(-1, -2), keepdim=True)), "avg_pool reshape"),
    "mean of channels": (of(lambda m, x: x.mean(1)), "reduce reshape"),
    "dropout": (of(lambda m, x: m.d(input=F.dropout(F.dropout(x, 0.0), training=m.training)), d=nn.Dropout()), ""),
    "permute": (of(lambda m, x: torch.permute(input=x.permute(0, -1, 1, 2), dims=(0, 2, 1, 3))), "permute permute"),
    "transpose": (of(lambda m, x: torch.swapaxes(x.transpose(1, -1), axis0=-1, axis1=2)), "permute permute"),
    "concatenate": (of(lambda m, x: torch.cat([torch.cat([x, -x], axis=1), F.relu(torch.cat((x, x), 1))], -1)), None),
    "pad and crop": (of(lambda m, x: F.pad(x, (1, 0, 2, -1), value=0.5)), "pad"),
    "pad modules": (of(lambda m, x: m.z(m.p(x)), p=nn.ConstantPad2d((1, 2, 0, 1), -0.5), z=nn.ZeroPad2d(1)), "pad pad"),
    "slice": (of(lambda m, x: x[:, 1:3, ::2, -4:]), "pad avg_pool"),
    "slice the last axis": (of(lambda m, x: x[:, :, :, :, ...][..., 1:][:]), "pad"),
    "slice over time": (of(lambda m, x: x.flatten(2)[:, :, 1::5]), "reshape pad avg_pool"),
    "sizes": (of(sized), "reshape"),
    "one axis more and less": (of(lambda m, x: torch.squeeze(input=x.unsqueeze(2), dim=2).unflatten(1, (2, 2))), None),
    "left out": (of(lambda m, x: x.contiguous().to(torch.float32).type_as(x).detach().clone().float()), ""),
    "a layer that leads nowhere": (of(lambda m, x: (F.relu(x), -x)[1]), "scale"),
}  # fmt: skip


@pytest.mark.peer("torch")
@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_traced_computes_what_torch_computes(name: str) -> None:
    model, ops = COMPUTED[name]
    x = torch.randn(5, *IMAGE, generator=torch.Generator().manual_seed(0))
    graph = converters.trace(model, x[:3].clone())
    with torch.no_grad():
        expected = model(x.clone()).numpy()
    got = logits(graph, x.numpy())
    assert got.shape == expected.shape
    assert np.allclose(got, expected, atol=1e-5)
    assert ops is None or [layer.op for layer in graph.layers[1:]] == ops.split()


def raises(m, x):
    raise ValueError


CALLS = itertools.count(1)


REFUSED = {
    "rounded division": (of(lambda m, x: torch.div(x, 2.0, rounding_mode="floor")), r"rounds by 'floor'.*without rounding"),
    "constant of too many axes": (of(lambda m, x: x + torch.ones(3, 1, 4, 6, 6)), r"of shape \(3, 1, 4, 6, 6\) does not fit"),
    "constant for each sample": (of(lambda m, x: x + torch.arange(2.0).view(2, 1, 1, 1)), r"differs from sample to sample"),
    "clip by data": (of(lambda m, x: torch.clamp(x, max=x.mean([1, 2, 3], keepdim=True))), r"upper bound depends on the data"),
    "clip by neuron": (of(lambda m, x: torch.clamp(x, m.c)), r"lower bound differs between neurons"),
    "clip to nothing": (of(lambda m, x: x.clamp(0, -1)), r"clips to \[0.0, -1.0\].*with a width"),
    "image that is a sample": (of(lambda m, x: m.k(x.flatten(2)), k=nn.Conv2d(2, 3, 3)), r"no sample axis.*\(samples, channels"),
    "pool of images that are samples": (of(lambda m, x: F.max_pool2d(x.flatten(2), 2)), r"no sample axis.*\(samples, channels"),
    "weight of data": (of(lambda m, x: F.linear(x.flatten(1), x.flatten(1))), r"weight depends on the data.*parameter"),
    "weight of one axis": (of(lambda m, x: F.linear(x, m.w[0, 0, 0].repeat(2))), r"one axis only.*\(out, in\)"),
    "statistics of the batch": (of(lambda m, x: F.batch_norm(x, None, None, training=True)), r"statistics of the batch"),
    "maximum of padding": (of(lambda m, x: F.max_pool2d(x[..., :1, :1], 2, 1, 1, dilation=2)), r"wholly in the padding"),
    "indices": (of(lambda m, x: m.p(x)[0], p=nn.MaxPool2d(2, return_indices=True)), r"'p' \(MaxPool2d.*returns indices"),
    "mean of all": (of(lambda m, x: x - x.mean()), r"all samples together.*Name the axes"),
    "integers": (of(lambda m, x: x.to(torch.int8)), r"casts activations to torch.int8.*float"),
    "moved samples": (of(lambda m, x: x.transpose(0, -1)), r"samples on another axis.*samples first"),
    "joined constant": (of(lambda m, x: torch.cat([x, torch.rand(2, *IMAGE)], 1)), r"differs from sample to sample"),
    "joined samples": (of(lambda m, x: torch.cat([x, x])), r"sample axis.*every sample by itself"),
    "padded samples": (of(lambda m, x: F.pad(x, (0, 0, 0, 0, 0, 0, 0, 1))), r"pads the sample axis"),
    "one sample": (of(lambda m, x: [sample for sample in x][0]), r"picks samples.*Keep all samples"),
    "two inputs": (nn.Bilinear(2, 2, 3), r"input 'input2': .*more inputs than the 1 of the example.*by name"),
    "a number": (of(lambda m, x: 3.0), r"returns a float.*Return one tensor"),
    "an error without words": (of(raises), r"test_tracing.py:\d+.*fails on the sample data: ValueError"),
    "output of weights alone": (of(lambda m, x: m.c * 2), r"does not depend on its input.*logits"),
    "another result at every call": (of(lambda m, x: x * next(CALLS)), r"differ from those of the layers.*the model's code"),
    "recurrence": (
        of(lambda m, x: m.r(x.flatten(2))[0], r=nn.LSTM(36, 6)), r"LSTM.*axis of samples.*batch_first=True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_by_place(name: str) -> None:
    model, says = REFUSED[name]
    with pytest.raises(ConversionError, match=says) as caught:
        converters.trace(model, np.random.default_rng(0).normal(size=(3, *IMAGE)).astype(np.float32))
    assert caught.value.remedy
