"""Values beyond those that calibration saw: bits keep them where samples left out in turn exceed the range of the others."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters.values import headroom
from converters.values.evaluating import values
from neuro.errors import AccuracyWarning
from tests.tails import FEW, MANY, apart, net, uniform


def converted(few: int = FEW, **options) -> converters.Conversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return converters.convert(net(), uniform(few, 0), code="graded", **options)


def at_an_end(made: converters.Conversion, x: np.ndarray) -> int:
    """How many values are the largest that their population sends."""
    sent, found = values(made.network, x), 0
    for p in made.network.populations:
        if p.neuron.computes:
            found += int((np.abs(sent[p.name]) >= p.neuron.value_range[1]).sum())
    return found


def test_few_samples_leave_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    new, after = uniform(MANY, 1), converted()
    monkeypatch.setattr(headroom, "MOST", 0)
    before = converted()
    assert at_an_end(before, new) > 20
    assert at_an_end(after, new) == 0
    assert apart(before, new) > 3 * apart(after, new)
    assert apart(after, new) < 0.05
    assert apart(after, uniform(FEW, 0)) < 1.5 * apart(before, uniform(FEW, 0)) + 0.01


def test_the_network_with_headroom_is_the_same_in_every_engine() -> None:
    made, x = converted(), uniform(8, 2)
    for engine in ("reference", "event", "torch"):
        assert np.array_equal(neuro.run(made.network, x, engine=engine).logits, made.quantised(x)), engine


def test_units_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    after = converted()
    monkeypatch.setattr(headroom, "MOST", 0)
    before = converted()
    wider = [p.name for p in before.network.populations if after.network[p.name].neuron != p.neuron and p.neuron.computes]
    assert wider
    for name in wider:
        more, less = after.network[name].neuron, before.network[name].neuron
        assert more.value_bits > less.value_bits
        if more.value_bits < headroom.MOST_BITS:
            assert np.array_equal(after.built.units[name], before.built.units[name])


@pytest.mark.parametrize("options", [{"value_bits": 8}, {"code": "radix", "timesteps": 8}])
def test_bits_that_were_asked_for_are_kept(options, monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"code": "graded", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        made = converters.convert(net(), uniform(FEW, 0), **code)
        monkeypatch.setattr(headroom, "MOST", 0)
        without = converters.convert(net(), uniform(FEW, 0), **code)
    assert np.array_equal(made.quantised(uniform(50, 1)), without.quantised(uniform(50, 1)))
    assert [p.neuron.value_bits for p in made.network.populations if p.neuron.computes] == [
        p.neuron.value_bits for p in without.network.populations if p.neuron.computes
    ]


def test_ranges_that_are_never_exceeded_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample is there twice, so that none exceeds the others."""
    x = np.repeat(uniform(FEW, 0), 2, axis=0)
    made = converters.convert(net(), x, code="graded")
    monkeypatch.setattr(headroom, "MOST", 0)
    assert np.array_equal(made.quantised(uniform(50, 1)), converters.convert(net(), x, code="graded").quantised(uniform(50, 1)))


def test_what_bits_do_not_keep_is_told() -> None:
    made = converted(value_bits=8)
    (note,) = [note for note in made.notes if "left out in turn" in note]
    assert "Calibrate on more samples" in note
    assert not [note for note in converted().notes if "left out in turn" in note]


@pytest.mark.parametrize("costs", [0.0, 9.0])
def test_bits_that_cost_more_than_they_save_are_left_out(costs: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks are made and measured; whatever the estimate of what bits cost, the measured error decides."""
    from converters import valuenetwork

    measured = valuenetwork.agreement

    def dearer(*given):
        found = measured(*given)
        return replace(found, error=found.error + costs * given[2].spare_bits)

    monkeypatch.setattr(valuenetwork, "agreement", dearer)
    made = converted()
    assert made.settings.spare_bits is not bool(costs)
    monkeypatch.setattr(headroom, "MOST", 0)
    assert np.array_equal(made.quantised(uniform(50, 1)), converted().quantised(uniform(50, 1))) is bool(costs)


def test_a_small_loss_beyond_the_ranges_changes_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples exceed the ranges of the others, but the outputs would lose less by all of it than rounding may cost."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 5)), uniform(MANY, 0)
    made = converters.convert(model, x, code="graded")
    monkeypatch.setattr(headroom, "MOST", 0)
    assert np.array_equal(made.quantised(uniform(50, 1)), converters.convert(model, x, code="graded").quantised(uniform(50, 1)))
