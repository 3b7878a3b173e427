"""Every conversion is compared with its float network; what it says is right, and its remedies can be followed."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters import coding
from converters.agreement import DECISIONS
from neuro.codes import CODES
from neuro.errors import AccuracyWarning


class SkipFromInput(nn.Module):
    """A path from the input beside one through a rectified layer, into a readout or into another rectified layer."""

    def __init__(self, rectified: bool = False) -> None:
        super().__init__()
        self.skip, self.up, self.down, self.last = nn.Linear(12, 6), nn.Linear(12, 16), nn.Linear(16, 6), nn.Linear(6, 5)
        self.rectified = rectified

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.down(torch.relu(self.up(x))) + self.skip(x)
        return self.last(torch.relu(both)) if self.rectified else both


class Joined(nn.Module):
    """The input beside what a layer made of it, joined before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.last = nn.Linear(12, 8), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([torch.relu(self.up(x)), x], 1))


def inputs(samples: int = 120, seed: int = 1, features: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).random((samples, features)).astype(np.float32)


def seeded(make, *arguments) -> nn.Module:
    torch.manual_seed(0)
    return make(*arguments).eval()


def truth(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def error(model: nn.Module, conversion: converters.Conversion, x: np.ndarray) -> float:
    wanted = truth(model, x).astype(np.float64)
    got = neuro.run(conversion.network, x).logits
    return float(np.sqrt(np.square(got - wanted).mean()) / np.sqrt(wanted.var(axis=0).mean()))


@pytest.mark.parametrize("code", CODES)
def test_it_says_what_a_run_shows(code) -> None:
    model, x = seeded(SkipFromInput), inputs(60)
    conversion = converters.convert(model, x, code=code, timesteps=8 if code == "radix" else 16)
    found, logits = conversion.agreement, neuro.run(conversion.network, x).logits
    wanted = truth(model, x)
    assert found.samples == 60
    assert found.decisions == (logits.argmax(1) == wanted.argmax(1)).mean()
    assert found.error == pytest.approx(error(model, conversion, x), rel=1e-3)
    a, b = logits - logits.mean(0), wanted - wanted.mean(0)
    assert found.correlation == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-4)
    assert found.error < found.promised
    assert found.warning is None


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("make", [lambda: SkipFromInput(), lambda: SkipFromInput(rectified=True), lambda: Joined()])
def test_sources_of_very_different_units_keep_their_resolution(make, code) -> None:
    model, x = seeded(make), inputs(200)
    conversion = converters.convert(model, x, code=code, timesteps=8 if code == "radix" else 64)
    assert error(model, conversion, x) < (0.05 if code in ("rate", "signed", "wait") else 0.02)
    assert min(path.kept for path in conversion.agreement.paths) > 0.99


@pytest.mark.parametrize("code", ["rate", "wait"])
def test_a_path_lost_by_rounding_is_named(code, monkeypatch) -> None:
    monkeypatch.setattr(coding, "_exponents", lambda operators, spreads: [0] * len(operators))
    with pytest.warns(AccuracyWarning, match=r"path 'x.relay' -> 'add' loses \d+ % .* code=.*'radix' or 'graded'"):
        conversion = converters.convert(seeded(SkipFromInput), inputs(), code=code, timesteps=64)
    assert conversion.agreement.warning in conversion.notes
    assert conversion.network.notes == conversion.notes


def test_an_input_channel_lost_by_rounding_is_named() -> None:
    x = inputs() * np.array([1e6] + [1] * 11, np.float32)
    model = seeded(lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)))
    with torch.no_grad():
        model[0].weight[:, 0] *= 1e-6
    with pytest.warns(AccuracyWarning, match=r"The input .* loses 100 % of the energy of its smallest channel"):
        converters.convert(model, x, code="graded")


def deep(width: int = 24) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(12, width), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 5))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return model


@pytest.mark.parametrize(("code", "timesteps"), [("rate", 4), ("signed", 4), ("wait", 2), ("radix", 1)])
def test_a_remedy_can_be_followed_and_helps(code, timesteps) -> None:
    model, x = seeded(deep), inputs() - 0.5
    with pytest.warns(AccuracyWarning) as caught:
        first = converters.convert(model, x, code=code, timesteps=timesteps)
    text = str(caught[0].message)
    assert "layer '" in text
    assert "Convert with " in text
    option = text.split("Convert with ")[1].split(",")[0].split(" or ")[0].rstrip(".")
    name, value = option.split("=")
    changed = {"code": code, "timesteps": timesteps, name: value.strip("'") if "'" in value else int(value)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        second = converters.convert(model, x, **changed)
    assert second.agreement.error < first.agreement.error


def test_many_timesteps_and_enough_weight_bits_need_no_warning() -> None:
    model, x = seeded(deep), inputs() - 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graded = converters.convert(model, x, code="graded")
        converters.convert(model, x, code="wait", timesteps=64)
    with pytest.warns(AccuracyWarning, match="weight_bits=4"):
        converters.convert(model, x, code="graded", weight_bits=2)
    assert graded.agreement.decisions >= DECISIONS


def test_it_is_shown_and_written_as_plain_values() -> None:
    conversion = converters.convert(seeded(SkipFromInput), inputs(), code="graded")
    assert str(conversion.agreement) in repr(conversion)
    written = conversion.agreement.to_dict()
    assert written["paths"][0] == {"source": "samples", "target": "x", "kept": conversion.agreement.paths[0].kept}
    assert {"samples", "decisions", "correlation", "error", "expected", "promised", "warning"} < set(written)
    assert "energy kept" in conversion.agreement._repr_html_()


def test_one_output_has_no_decisions() -> None:
    conversion = converters.convert(seeded(lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))), inputs())
    assert conversion.agreement.decisions is None
    assert "decisions" not in str(conversion.agreement)


def scaled(model: nn.Sequential, exponent: int) -> nn.Sequential:
    """The same function of inputs and of outputs 2^exponent times as large."""
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.bias *= 2.0**exponent
    return model


@settings(max_examples=10, deadline=None)
@given(exponent=st.integers(-90, 90), code=st.sampled_from(list(CODES)))
def test_the_scale_of_values_changes_no_integer(exponent, code) -> None:
    """Inputs, activations and outputs from 1e-27 to 1e27: only the units of input and readout differ."""

    def make() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)
        )

    x = np.random.default_rng(2).random((40, 1, 4, 4)).astype(np.float32)
    how = {"code": code, "timesteps": 6}
    plain = converters.convert(seeded(make), x, **how).network
    large = converters.convert(scaled(seeded(make), exponent), np.ldexp(x, exponent), **how).network
    assert plain.projections == large.projections
    for one, other in zip(plain.populations, large.populations, strict=True):
        for name in ("threshold", "bias", "initial_potential", "levels", "start_step"):
            assert np.array_equal(getattr(one.neuron, name, 0), getattr(other.neuron, name, 0)), (one.name, name)
    assert np.array_equal(neuro.run(large, np.ldexp(x, exponent)).logits, np.ldexp(neuro.run(plain, x).logits, exponent))
