"""A softmax behind a mask: what is masked takes no bits from the values that are not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import converters
import neuro
from converters.evaluation import outputs
from converters.folding import fold
from converters.values.decompose import decompose
from converters.values.recognising import recognised
from neuro.graph import Graph, Layer

LOWEST = float(np.finfo(np.float32).min)


def graph_of(shape: tuple[int, ...], axis: int, kept: np.ndarray, value: float, form: str) -> Graph:
    """A masked softmax, scaled for each place."""
    x = Layer("x", "input", (), shape)
    if form == "fill":
        mask = Layer("masked", "mask", ("x",), shape, {"keep": kept.astype(np.float32)}, {"value": value})
    else:
        shift = np.where(kept, np.float32(0.25), np.float32(value)).astype(np.float32)
        mask = Layer("masked", "scale", ("x",), shape, {"factor": np.full((1,) * len(shape), 0.5, np.float32), "shift": shift})
    return Graph((x, mask, Layer("y", "softmax", ("masked",), shape, {}, {"axis": axis})), "masked")


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=3),
    value=st.sampled_from([-1e4, -1e9, LOWEST]),
    form=st.sampled_from(["fill", "add"]),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_what_is_masked_is_left_out(shape: list[int], value: float, form: str, seed: int, data: st.DataObject) -> None:
    """The softmax stays the same, and no constant of a mask's size is left where each softmax keeps a value."""
    axis, rng = data.draw(st.integers(0, len(shape) - 1)), np.random.default_rng(seed)
    kept = rng.random(shape) < 0.6
    graph = graph_of(tuple(shape), axis, kept, value, form)
    x = rng.normal(size=(4, *shape)).astype(np.float32) * 3
    simple, _ = decompose(graph)
    np.testing.assert_allclose(outputs(simple, x)["y"], outputs(graph, x)["y"], atol=2e-6)
    if kept.any(axis=axis).all() and not kept.all():
        sizes = [np.abs(array).max() for layer in simple.layers for array in layer.arrays.values()]
        sizes += [abs(layer.options["value"]) for layer in simple.layers if layer.op == "mask"]
        assert max(sizes, default=0.0) < 1e3


class Causal(nn.Module):
    """Scores of a layer, masked in one of the ways in which exporters write it."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.a, self.b = form, nn.Linear(6, 18), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.a(x).chunk(3, -1)
        above = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        if self.form == "fused":
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(1, 2)
            if self.form == "infinite":
                scores = scores.masked_fill(above, float("-inf"))
            elif self.form == "where":
                scores = torch.where(above, torch.tensor(torch.finfo(torch.float32).min), scores)
            else:
                scores = scores + above.float() * -10_000.0
            mixed = scores.softmax(-1) @ v
        return self.b(mixed)


@pytest.mark.parametrize("form", ["fused", "infinite", "where", "added"])
def test_causal_attention_tells_its_scores_apart(form: str) -> None:
    torch.manual_seed(0)
    model = Causal(form)
    with torch.no_grad():
        model.a.weight *= 4
    x = np.random.default_rng(0).normal(size=(32, 7, 6)).astype(np.float32)
    made = converters.convert(model.eval(), x, code="graded")
    assert made.agreement.correlation > 0.999
    assert made.agreement.expected is not None
    assert made.agreement.expected < 0.1
    np.testing.assert_array_equal(neuro.run(made.network, x[:3]).logits.reshape(3, -1), made.quantised(x[:3]).reshape(3, -1))


def test_a_row_that_keeps_nothing_stays_as_it_is() -> None:
    kept = np.array([[True, False], [False, False]])
    simple, _ = decompose(fold(graph_of((2, 2), 1, kept, -1e9, "fill")))
    x = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(outputs(simple, x)["y"][:, 1], 0.5)


class Padded(nn.Module):
    """Attention over as many positions as an input says, in one of the ways in which models and exporters write it."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.a, self.b = form, nn.Linear(6, 18), nn.Linear(6, 4)
        self.heads = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor, here: Tensor) -> Tensor:
        q, k, v = self.a(x).chunk(3, -1)
        row, lowest = here[:, None], torch.finfo(torch.float32).min
        if self.form == "fused":
            return self.b(nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=row > 0.5))
        if self.form == "heads":
            return self.b(self.heads(4 * q, k, v, key_padding_mask=here < 0.5)[0])
        scores = q @ k.transpose(1, 2)
        if self.form == "causal":
            scores = scores + torch.ones(x.shape[1], x.shape[1]).triu(1) * -1e9
        if self.form == "filled":
            scores = scores.masked_fill(row == 0, float("-inf"))
        elif self.form == "chosen":
            scores = torch.where(row > 0.5, scores, torch.tensor(-1e9))
        else:
            scores = scores + (1 - row) * (lowest if self.form == "lowest" else -10_000.0)
        return self.b(scores.softmax(-1) @ v)


PADDED = ["added", "lowest", "filled", "chosen", "fused", "heads", "causal"]


def padded(form: str, seed: int, samples: int = 64) -> tuple[nn.Module, dict[str, np.ndarray]]:
    torch.manual_seed(seed)
    model, rng = Padded(form).eval(), np.random.default_rng(seed)
    with torch.no_grad():
        model.a.weight *= 3
    here = (np.arange(7) < rng.integers(1, 8, samples)[:, None]).astype(np.float32)
    return model, {"x": rng.normal(size=(samples, 7, 6)).astype(np.float32), "here": here}


@pytest.mark.parametrize("form", PADDED)
def test_a_mask_that_is_an_input_takes_no_bits_from_the_scores(form: str) -> None:
    model, inputs = padded(form, 0)
    made = converters.convert(model, inputs, code="graded")
    assert made.agreement.correlation > 0.999
    few = {name: array[:3] for name, array in inputs.items()}
    np.testing.assert_array_equal(neuro.run(made.network, few).logits.reshape(3, -1), made.quantised(few).reshape(3, -1))


@pytest.mark.parametrize("form", PADDED)
def test_what_an_input_masks_has_no_share(form: str) -> None:
    """The rewritten float graph gives what the model gives, holds no number of a mask's size, and does not see what is masked."""
    for seed in range(3):
        model, inputs = padded(form, seed, 16)
        graph = converters.trace(model, {name: array[:2] for name, array in inputs.items()})
        simple, _ = decompose(recognised(fold(graph)))
        sizes = [np.abs(array).max() for layer in simple.layers for array in layer.arrays.values()]
        assert max(sizes) < 1e3
        with torch.no_grad():
            wanted = model(*(torch.as_tensor(inputs[name]) for name in ("x", "here"))).numpy()
        (found,) = outputs(simple, inputs).values()
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        other = np.where(inputs["here"][..., None] > 0, inputs["x"], 9.0 * inputs["x"]).astype(np.float32)
        (changed,) = outputs(simple, {**inputs, "x": other}).values()
        kept = inputs["here"] > 0
        np.testing.assert_allclose(changed[kept], found[kept], atol=1e-5)
