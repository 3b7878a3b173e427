"""Second synapses of a weight and bits beyond calibration are spent where they save most, and nothing overflows by them."""

import warnings
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import nn

import converters
import neuro
from converters import integers
from converters.linear import Matrix, Window
from converters.operators import sums_into
from converters.values import scaling
from converters.values.widths import Widths
from neuro.errors import AccuracyWarning
from tests.modules import Module


def converted(model: nn.Module, x: np.ndarray, **options) -> converters.Conversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return converters.convert(model, x, code="graded", **options)


def uneven() -> nn.Module:
    """A first layer of few weights, of which one is much larger than the others and meets an input that hardly moves."""
    torch.manual_seed(0)
    body = (nn.Linear(64, 64), nn.Hardswish(), nn.Linear(64, 64), nn.Hardswish(), nn.Linear(64, 6))
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *body).eval()
    with torch.no_grad():
        model[0].weight[:, 0] *= 60
    return model


def inputs(count: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    x[:, 0] /= 60
    return x


def doubled(made: converters.Conversion) -> dict[str, int]:
    """Of the populations with two synapses a weight, how many weights."""
    found: dict[str, list[int]] = {}
    for p in made.network.projections:
        if not np.array_equal(p.stored_weights, np.ones_like(p.stored_weights)):
            found.setdefault(p.target, []).append(p.stored_weights.size)
    return {name: sizes[0] for name, sizes in found.items() if len(sizes) > 1}


def test_few_second_synapses_go_where_rounding_of_weights_costs_most() -> None:
    model, x = uneven(), inputs(48, 0)
    made, plain = converted(model, x), converted(model, x, value_bits=8)
    weights = sum(layer.weight.numel() for layer in model if isinstance(layer, nn.Linear))
    assert doubled(plain) == {}
    assert 0 < sum(doubled(made).values()) <= 0.1 * weights
    assert set(doubled(made)) <= {p.target for p in made.network.out_of(made.network.sources[0].name)}
    assert made.agreement.error < plain.agreement.error / 2
    assert converted(model, x, weight_bits=7).network.projections
    assert doubled(converted(model, x, weight_bits=7)) == {}
    for engine in ("reference", "event", "torch"):
        assert np.array_equal(neuro.run(made.network, x[:4], engine=engine).logits, made.quantised(x[:4])), engine


@given(st.integers(0, 1 << 20), st.sampled_from(["dense", "sparse", "shared", "window"]), st.sampled_from([127, 16383]))
@settings(max_examples=40, deadline=None)
def test_no_messages_bring_more_than_an_accumulator_holds(seed: int, kind: str, limit: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(6, 50, 9) if kind == "window" else (400, 5)) ** 3
    if kind == "window":
        op: Matrix | Window = Window((50, 12), (6, 4), weight, (1,), ((0, 0),), (1,), 1)
        read = prod(weight.shape[1:])
    elif kind == "sparse":
        op, read = Matrix((400,), (5,), sparse.csr_array(weight * (rng.random(weight.shape) < 0.9))), 400
    else:
        rows = np.repeat(np.arange(400), 3) if kind == "shared" else None
        op, read = Matrix((400 if rows is None else 1200,), (5,), weight, rows), 400 if rows is None else 1200
    largest = np.abs(weight).max()
    scales = (6, 1) if kind == "window" else (1,)
    step = np.maximum(largest / limit, np.max(scaling._held([op], [65535], (limit, 127), scales)))
    made = integers.rounded(integers.shifted(op, 1 / float(np.max(step))), limit)
    parts = integers.paired(made, 127)
    charge = sum(sums_into(part) * 2.0**more for part, more in parts).max() * 65535
    assert charge + (1 << 24) < 2**31 - 1
    assert np.max(step) < 65535 * read * largest * 3 / 2**31 + largest / limit


@pytest.mark.parametrize(("share", "steps"), [(0.5, 1.6), (0.9, 1.0), (1.1, 1 / 1.375), (2.5, 1 / 3.125)])
def test_the_largest_weight_of_a_mean_is_no_part_of_a_step(share: float, steps: float) -> None:
    """Rounding would make 0.9 of a step one, and a mean larger; unless a potential would not hold the calibrated range.
    share: of the largest potential, that the range takes with weights of one step."""
    widths, largest = Widths(), np.array([1.0])
    least = scaling._least_step(largest, share * widths.largest * largest, widths.largest / 1.25, widths)
    assert largest / least == pytest.approx(steps)


def normed() -> nn.Module:
    torch.manual_seed(0)
    return Module(
        lambda m, x: m.last(m.norm(m.up(x)) ** 3), norm=nn.LayerNorm(32), up=nn.Linear(8, 32), last=nn.Linear(32, 4)
    ).eval()


def test_an_inverse_holds_for_sums_beyond_calibration() -> None:
    """A norm does not see how large values are, nor should the one in integers where its potential holds their squares."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(24, 8)) * np.exp(rng.normal(size=(24, 1)))).astype(np.float32)
    made = converted(normed(), x)
    inverse = [p.neuron for p in made.network.populations if p.neuron.computes and p.neuron.lookup == "inverse root"]
    assert inverse
    assert all(neuron.highest >= 1 << 23 for neuron in inverse)
