"""What new inputs are expected to lose by values beyond calibrated ranges: the estimate, who says it, and its warning."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from neuro.errors import AccuracyWarning
from neuro.report.terminal import agreement
from tests.modules import Module
from tests.tails import FEW, MANY, apart, net, uniform


def converted(samples: np.ndarray, model: nn.Module | None = None, **options) -> converters.Conversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return converters.convert(model or net(), samples, code="graded", **options)


def of_others(values: np.ndarray, i: int) -> np.ndarray:
    """One sample's values within the largest absolute ones of the others, neuron by neuron."""
    most = np.abs(np.delete(values, i, axis=0)).max(axis=0)
    return np.clip(values[i], -most, most)


def test_it_is_what_each_sample_loses_by_the_ranges_of_the_others() -> None:
    """Against plain arrays, of a network whose clipping is large."""
    x, model = uniform(40, 0), net()
    made = converted(x, value_bits=8)
    (a, b, c) = ((m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in (model.a, model.b, model.c))
    whole = {"a": x @ a[0].T + a[1], "b": x @ b[0].T + b[1]}
    whole["ab"] = whole["a"] * whole["b"]
    whole["square"] = whole["ab"] ** 2
    truth = whole["square"] @ c[0].T + c[1]
    errors = []
    for i in range(len(x)):
        now = of_others(whole["a"], i) * of_others(whole["b"], i)
        others = np.delete(whole["ab"], i, axis=0)
        most, room = np.abs(others).max(axis=0), 0.1 * (others.max() - others.min())  # a table has a tenth more
        now = np.clip(np.clip(now, -most, most), others.min() - room, others.max() + room)
        now = np.minimum(now**2, np.square(others).max())
        errors.append(np.square(now @ c[0].T + c[1] - truth[i]).mean())
    expected = np.sqrt(np.mean(errors) / truth.var(axis=0).mean())
    assert made.built.beyond == pytest.approx(expected, rel=1e-4)
    found = made.agreement
    assert found.estimate_on_new == pytest.approx(np.hypot(found.error, expected), rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"value_bits": 8}])
@pytest.mark.parametrize("samples", [40, MANY])
def test_it_is_near_the_error_on_new_inputs(samples: int, options: dict[str, int]) -> None:
    new, made = uniform(3 * MANY, 1), [converted(uniform(samples, seed), **options) for seed in (0, 5, 6)]
    measured = np.sqrt(np.mean([apart(one, new) ** 2 for one in made]))
    estimated = np.sqrt(np.mean([one.agreement.estimate_on_new**2 for one in made]))
    assert measured / 1.5 < estimated < 1.5 * measured, (measured, estimated)


def test_much_more_than_on_calibration_samples_is_a_warning_whose_remedy_works() -> None:
    with pytest.warns(AccuracyWarning, match="new inputs may differ .* Calibrate on more samples") as caught:
        few = converters.convert(net(), uniform(FEW, 0), code="graded", value_bits=8)
    told = str(caught[0].message)
    assert told == few.agreement.warning
    assert told in few.network.notes
    for name in re.findall(r"'([^']*)'", told.split(" in ", 1)[1].split(". ")[0]):
        assert few.network[name].neuron.computes
    new = uniform(MANY, 1)
    for better in (converted(uniform(MANY, 0), value_bits=8), converted(uniform(FEW, 0), value_bits="auto")):
        assert better.agreement.estimate_on_new < few.agreement.estimate_on_new / 2
        assert apart(better, new) < apart(few, new) / 2


def test_it_is_shown_wherever_agreement_is() -> None:
    made = converted(uniform(40, 0))
    told = f"on new inputs an estimated {made.agreement.estimate_on_new:.3f}"
    assert told in str(made.agreement)
    assert told in repr(made)
    assert told in agreement(made.agreement.to_dict())
    study = neuro.study(net(), uniform(40, 0), code="graded", chip="loihi2")
    assert study.to_dict()["codes"][0]["agreement"]["estimate_on_new"] == study.agreement.to_dict()["estimate_on_new"]


def test_nothing_is_said_where_it_is_not_estimated() -> None:
    """Many samples say enough of rectified layers (test_crosschecking.py: few do not); frames of one are not independent."""
    torch.manual_seed(0)
    rectified = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 5))
    stream = uniform(40, 0).reshape(8, 5, 16)
    for made in (converted(uniform(160, 0), rectified), converted(uniform(3, 0)), converted(stream, frames=True)):
        assert made.agreement.estimate_on_new is None
        assert "new inputs" not in str(made.agreement)
        assert "new" not in agreement(made.agreement.to_dict())


def test_tables_are_left_out_by_their_arguments() -> None:
    """One sample drives a sine far beyond the arguments of the others; its results stay as small as ever."""
    torch.manual_seed(0)
    model = Module(lambda m, x: m.b(torch.sin(m.a(x))), a=nn.Linear(16, 12), b=nn.Linear(12, 5))
    x = uniform(40, 0)
    x[:, 1] = 0.3 * np.sign(x[:, 1])
    far = x.copy()
    far[7] *= 4
    assert converted(far, model).built.beyond > 3 * converted(x, model).built.beyond
    assert np.abs(logits(converters.trace(model, x[:2]), far)).max() < 10
