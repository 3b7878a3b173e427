"""The demonstration's data is split cleanly and its network trains the same way every time."""

import numpy as np
import pytest
import torch

from neuro.digits.data import load_digits
from neuro.digits.model import train


def weights(model: torch.nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def test_every_digit_is_used_once() -> None:
    digits = load_digits(seed=3)
    assert digits.x_train.shape == (1347, 1, 8, 8)
    assert digits.x_held_out.shape == (450, 1, 8, 8)
    assert digits.x_train.dtype == np.float32
    pixels = np.concatenate([digits.x_train, digits.x_held_out]).sum(axis=(1, 2, 3))
    again = load_digits(seed=4)
    assert np.array_equal(np.sort(pixels), np.sort(np.concatenate([again.x_train, again.x_held_out]).sum(axis=(1, 2, 3))))
    assert not np.array_equal(digits.y_held_out, again.y_held_out)
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 1)


def test_training_reaches_the_bar_and_reports_progress() -> None:
    digits = load_digits()
    seen: list[tuple[int, int]] = []
    model = train(digits, progress=lambda done, total: seen.append((done, total)))
    with torch.no_grad():
        predicted = model(torch.from_numpy(digits.x_held_out)).argmax(1).numpy()
    assert (predicted == digits.y_held_out).mean() >= 0.97
    assert not model.training
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]


def test_same_seed_same_weights_and_torch_is_left_alone() -> None:
    digits = load_digits()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, second, other = (weights(train(digits, seed=seed, epochs=1)) for seed in (5, 5, 6))
    assert torch.equal(torch.rand(3), expected)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_they_are_those_of_scikit_learn_in_its_order(monkeypatch) -> None:
    packaged = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Unmoved())
    digits = load_digits()
    images = np.concatenate([digits.x_held_out, digits.x_train])
    assert np.array_equal(images.reshape(-1, 64) * 16, packaged[0])
    assert np.array_equal(np.concatenate([digits.y_held_out, digits.y_train]), packaged[1])


class Unmoved:
    """Draws no order."""

    def permutation(self, count: int) -> np.ndarray:
        return np.arange(count)
