"""Dot products, sums and maxima of any length: in parts that a chip's delays and cores have room for, and the same integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from converters.values import decompose, timing
from converters.values.decompose import decompose as primitive
from neuro.errors import FitError
from tests.graphs import graph, row
from tests.value_networks import Attention


def runs(model: nn.Module | neuro.Graph, x: np.ndarray, code: str = "graded", **how: object) -> converters.Conversion:
    """A conversion whose runs are its integers."""
    made = converters.convert(model, x, code=code, **how)
    for engine in ("reference", "event"):
        run = neuro.run(made.network, x[:2], engine=engine)
        assert np.array_equal(run.logits if run.frames is None else run.frames, made.quantised(x[:2])), engine
    return made


def test_attention_over_many_tokens_runs_on_the_chip() -> None:
    x = np.random.default_rng(0).normal(size=(16, 90, 4)).astype(np.float32)
    made = runs(Attention(5).eval(), x)
    assert made.agreement.correlation > 0.99, made.agreement
    assert any("held" in p.name for p in made.network.populations)
    neuro.place(made.network, neuro.load_chip("loihi2"))


@pytest.mark.parametrize(("count", "head"), [(3, 30), (18, 5)])
@pytest.mark.parametrize("code", ["", "graded", "delta"])
def test_no_delay_is_longer_than_synapses_have(count: int, head: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without frames; in code delta a population that holds values for a dot product relays them as well."""
    monkeypatch.setattr(decompose, "_MOST_PRODUCTS", 9)
    monkeypatch.setattr(timing, "LONGEST_OF_SYNAPSES", 12)
    x = np.random.default_rng(0).normal(size=(4, 3, count, 4)).astype(np.float32)
    graph_ = converters.trace(Attention(head), x[:, 0])
    made = runs(graph_, x, code, frames=True) if code else runs(graph_, x[:, 0])
    assert max(p.delay for p in made.network.projections) <= 12
    assert any("held" in p.name for p in made.network.populations)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 8), st.integers(1, 6), st.integers(4, 20), st.integers(0, 9), st.booleans())
def test_values_that_are_held_are_the_values_that_came(count: int, head: int, longest: int, seed: int, framed: bool) -> None:
    """Whatever synapses can delay, the network says what it says where they delay as long as they like."""
    x = np.random.default_rng(seed).normal(size=(2, 2, count, 4)).astype(np.float32)
    graph_ = converters.trace(Attention(head), x[:, 0])
    given_, how = (x, {"frames": True, "value_bits": 8}) if framed else (x[:, 0], {"value_bits": 8})
    answers = []
    for most in (longest, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decompose, "_MOST_PRODUCTS", longest // 2)
            patch.setattr(timing, "LONGEST_OF_SYNAPSES", most)
            made = converters.convert(graph_, given_, code="graded", **how)
        assert max(p.delay for p in made.network.projections) <= max(most, timing._LONGEST_DELAY)
        run = neuro.run(made.network, given_, engine="reference")
        answers.append(run.logits if run.frames is None else run.frames)
        assert np.array_equal(neuro.run(made.network, given_).logits, run.logits)
    assert np.array_equal(*answers)


class Mean(nn.Module):
    def __init__(self, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b, self.pooled = nn.Conv2d(1, 2, 1), nn.Linear(2, 3), pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(3 * self.a(x))
        return self.b(F.adaptive_avg_pool2d(y, 1).flatten(1) if self.pooled else y.mean((2, 3)))


@pytest.mark.parametrize("pooled", [True, False])
def test_a_mean_over_a_large_image_runs_on_the_chip(pooled: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 1, 80, 120)).astype(np.float32) * rng.uniform(0.2, 2, (16, 1, 1, 1)).astype(np.float32)
    assert runs(Mean(pooled).eval(), x).agreement.correlation > 0.99


@pytest.mark.parametrize("code", ["rate", "wait", "radix", "graded"])
def test_a_maximum_over_an_image_of_rectified_values_runs_on_the_chip(code: str) -> None:
    torch.manual_seed(3)
    image = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    x = np.random.default_rng(0).normal(size=(48, 1, 9, 23)).astype(np.float32)
    made = converters.convert(image, x, code=code, timesteps=8 if code == "radix" else 32)
    assert max(p.delay for p in made.network.projections) <= 62
    assert made.agreement.correlation > 0.98
    answers = [neuro.run(made.network, x[:2], engine=engine).logits for engine in ("event", "reference")]
    assert np.array_equal(*answers)
    assert code == "rate" or np.array_equal(answers[0], made.quantised(x[:2]))
    neuro.place(made.network, neuro.load_chip("loihi2"), method="sequential")


@settings(max_examples=40)
@given(st.integers(1, 2), st.lists(st.integers(1, 20), min_size=1, max_size=2), st.integers(1, 12), st.booleans())
def test_maxima_in_parts_are_the_same_maxima(channels: int, size: list[int], taps: int, whole: bool) -> None:
    """Of whole images and of windows, whose layers keep their names; short ones stay as they are."""
    kernel = tuple(size) if whole else tuple(max(1, n // 2) for n in size)
    how = {"kernel": kernel, "stride": kernel, "padding": ((0, 0),) * len(size), "dilation": (1,) * len(size)}
    made = graph((channels, *size), row("max_pool", **how), row("identity"))
    short = decompose.with_short_pools(made, taps)
    x = np.random.default_rng(0).normal(size=(2, channels, *size)).astype(np.float32)
    assert np.array_equal(logits(short, x), logits(made, x))
    longest = max(int(np.prod(layer.options["kernel"])) for layer in short.layers if layer.op == "max_pool")
    assert longest <= max(taps, 7 if whole else max(kernel))


LENGTHS = st.lists(st.integers(1, 40), min_size=3, max_size=3)


@settings(max_examples=40)
@given(LENGTHS, st.integers(1, 9), st.booleans(), st.data())
def test_long_sums_in_parts_are_the_same_sums(shape: list[int], limit: int, pooled: bool, data: st.DataObject) -> None:
    """Whatever the limits: sums and means over any axes, means over images, and products of matrices."""
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, 2), min_size=1))))
    whole = {"kernel": tuple(shape[1:]), "stride": tuple(shape[1:]), "padding": ((0, 0), (0, 0)), "divisor": None}
    kind = data.draw(st.sampled_from(["sum", "mean"]))
    first = row("avg_pool", **whole) if pooled else row("reduce", kind=kind, axes=axes)
    made = graph(tuple(shape), row("permute", axes=(0, 2, 1)), row("matmul", "x", "l0"), row("function", name_="tanh", values=()),
                 first | {"inputs": ("x",)})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompose, "_MOST_SUMMED", limit)
        patch.setattr(decompose, "_MOST_PRODUCTS", limit)
        simple, bits = primitive(made)
        product, _ = primitive(graph(tuple(shape), row("permute", axes=(0, 2, 1)), row("matmul", "x", "l0")))
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    assert np.allclose(logits(simple, x), logits(made, x), rtol=1e-4, atol=1e-4)
    assert np.allclose(logits(product, x), x @ x.swapaxes(2, 3), rtol=1e-4, atol=1e-4)
    longest = [layer for layer in product.layers if layer.op == "matmul"]
    assert max(product[layer.inputs[0]].shape[-1] for layer in longest) <= limit


@pytest.mark.parametrize("code", ["graded", "radix"])
def test_a_layer_that_reads_more_than_a_core_holds_is_taken_in_parts(code: str) -> None:
    """As the first dense layer of VGG-16 does, of 25,088 values."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(25_088, 6), nn.ReLU(), nn.Linear(6, 4)).eval()
    x = np.random.default_rng(0).random((16, 512, 7, 7)).astype(np.float32)
    made = runs(model, x, code, timesteps=8)
    assert made.agreement.correlation > 0.99, made.agreement
    assert made.diagnosis.layers
    neuro.place(made.network, neuro.load_chip("loihi2"))
    plain = converters.convert(model, x, code="signed")
    with pytest.raises(FitError, match="code='graded'"):
        neuro.place(plain.network, neuro.load_chip("loihi2"))
