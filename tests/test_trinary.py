"""Trinary weights: nearest ones, conversion that keeps them, training through them, and networks with them in crossbars."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.folding import rectify_means
from converters.trinary import MOST_INPUTS, trinary
from neuro.digits.data import load_digits
from neuro.digits.model import train
from neuro.errors import ConversionError
from tests.laws import law

CHIP = neuro.load_chip("truenorth")


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(24, 3)).eval()


def images(count: int = 64) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, 8, 8), np.float32)


@law(30)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([1, 7, 300, 600]))
def test_the_nearest_trinary_weights_have_one_size_a_channel_and_stay(seed: int, channels: int, inputs: int) -> None:
    weight = torch.randn(channels, inputs, generator=torch.Generator().manual_seed(seed))
    made = trinary(weight)
    for row, of in zip(made, weight, strict=True):
        kept = row[row != 0]
        assert 0 < len(kept) <= MOST_INPUTS
        assert torch.allclose(kept.abs(), kept.abs()[:1])
        assert torch.equal(kept.sign(), of[row != 0].sign())
        assert of[row != 0].abs().min() >= of[row == 0].abs().max() if len(kept) < inputs else True
    assert torch.allclose(trinary(made), made)


def test_gradients_pass_straight_through() -> None:
    weight = torch.randn(3, 5, requires_grad=True)
    (trinary(weight) * torch.arange(15.0).reshape(3, 5)).sum().backward()
    assert torch.equal(weight.grad, torch.arange(15.0).reshape(3, 5))


def test_rectified_means_change_no_value() -> None:
    graph = converters.trace(model(), images())
    rectified = rectify_means(graph)
    assert [layer.op for layer in rectified.layers].count("relu") == 3
    assert rectify_means(rectified) == rectified
    from converters.evaluation import logits

    assert np.array_equal(logits(graph, images()), logits(rectified, images()))


@pytest.mark.filterwarnings("ignore::neuro.errors.AccuracyWarning")
@pytest.mark.parametrize("correct_bias", [True, False])
def test_a_converted_network_keeps_one_size_of_weight_a_neuron_and_fits(correct_bias: bool) -> None:
    how = {"weights": "trinary", "refine": 5, "potential_bits": 20, "correct_bias": correct_bias}
    network = converters.convert(model(), images(), timesteps=8, **how).network
    for projection in network.projections:
        matrix = projection.to_sparse(network[projection.source].shape, network[projection.target].shape).tocsc()
        for j in range(matrix.shape[1]):
            column = matrix.data[matrix.indptr[j] : matrix.indptr[j + 1]]
            assert len(np.unique(np.abs(column[column != 0]))) <= 1, projection.name
    placement = neuro.place(neuro.to_crossbars(network, CHIP), CHIP)
    x = images(4)
    assert np.array_equal(neuro.emulate(placement, x).run.logits, neuro.run(network, x, engine="reference").logits)


def test_tuning_is_seeded_and_gives_what_conversion_keeps() -> None:
    one, two = (converters.finetune(model(), images(), levels=8, steps=3, weights="trinary", seed=1) for _ in range(2))
    assert all(np.array_equal(a.arrays[k], b.arrays[k]) for a, b in zip(one.layers, two.layers, strict=True) for k in a.arrays)
    for layer in one.layers:
        if "weight" in layer.arrays:
            assert torch.allclose(trinary(torch.tensor(layer.arrays["weight"])), torch.tensor(layer.arrays["weight"]), rtol=1e-5)
        if layer.op == "relu":
            assert len(np.unique(layer.options["threshold"])) == 1


@pytest.mark.parametrize(("how", "fact"), [({"weights": "binary"}, "binary"), ({"weights": "trinary", "code": "radix"}, "radix")])
def test_other_weights_and_codes_are_refused(how: dict, fact: str) -> None:
    with pytest.raises(ConversionError, match=fact):
        converters.convert(model(), images(), **how)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::neuro.errors.AccuracyWarning")
def test_the_digits_keep_their_accuracy_in_crossbars() -> None:
    digits = load_digits()
    float_network = train(digits)
    with torch.no_grad():
        ann = (float_network(torch.from_numpy(digits.x_held_out)).argmax(1).numpy() == digits.y_held_out).mean()
    network = converters.convert(float_network, digits.x_train, weights="trinary", refine=1000, potential_bits=20).network
    placement = neuro.place(neuro.to_crossbars(network, CHIP), CHIP)
    assert (neuro.emulate(placement, digits.x_held_out).run.predictions == digits.y_held_out).mean() >= ann - 0.015
