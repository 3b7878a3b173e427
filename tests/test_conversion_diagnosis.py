"""What a diagnosis says is what was done: errors vanish where their cause does, counts are the emulation's, advice helps."""

import json

import numpy as np
import pytest
import torch

import converters
import neuro
from tests.convertible import Branches, Pools, settled


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((48, 1, 8, 8), np.float32)


def converted(samples, code: str, **options):
    return converters.convert(settled(Branches(), samples), samples, code=code, **options)


@pytest.mark.parametrize("code", ["rate", "signed", "wait", "radix", "graded"])
def test_counts_are_the_emulations(code, samples) -> None:
    conversion = converters.convert(settled(Pools(), samples), samples, code=code, timesteps=8)
    found = conversion.diagnosis
    run = neuro.run(conversion.network, samples)
    assert found.samples == len(samples)
    assert found.layers
    for layer in found.layers:
        assert layer.messages == pytest.approx(np.count_nonzero(run.spikes[layer.name]) / 48 if code == "graded" else
                                               run.counts[layer.name].messages.sum() / 48)  # fmt: skip
        assert sum(layer.histogram) == 48 * layer.neurons
        assert 0 <= layer.clipped <= 1
        assert layer.cosine > 0.9
    assert sum(layer.synops for layer in found.layers) <= run.synops / 48


def test_lossless_codes_have_no_error_of_timing(samples) -> None:
    for code in ("wait", "radix", "graded"):
        assert all(layer.timing == layer.over == layer.under == 0 for layer in converted(samples, code).diagnosis.layers)
    assert any(layer.timing > 0 for layer in converted(samples, "rate", timesteps=8).diagnosis.layers)


def test_parts_add_up(samples) -> None:
    """The sum of causes is the error, up to what they have in common; uneven timing, corrected for, may outweigh others."""
    for code, timesteps in (("wait", 8), ("wait", 32), ("radix", 6)):
        for layer in converted(samples, code, timesteps=timesteps).diagnosis.layers:
            parts = layer.inherited + layer.clipping + layer.rounding + layer.timing
            assert parts == pytest.approx(layer.error, rel=0.5)


def test_what_the_settings_do_shows(samples) -> None:
    few, many = (converted(samples, "wait", timesteps=t).diagnosis for t in (4, 64))
    assert all(a.rounding > 5 * b.rounding for a, b in zip(few.layers, many.layers, strict=True))
    assert few.best.cause == "rounding to levels"
    assert "timesteps" in few.advice
    whole = converted(samples, "graded", threshold="max").diagnosis
    assert max(layer.clipped for layer in whole.layers) == 0
    coarse = converted(samples, "graded", weight_bits=3).diagnosis
    assert coarse.best.cause == "rounding of weights"
    uneven = converted(samples, "rate", timesteps=32, correct_bias=False).diagnosis
    assert uneven.best.cause == "uneven timing"
    assert "signed" in uneven.advice


def test_the_advice_helps(samples) -> None:
    """Following it takes most of the error away."""
    model = settled(Branches(), samples)
    with torch.no_grad():
        truth = model(torch.as_tensor(samples)).numpy()
    coarse, fine = (converters.convert(model, samples, code="graded", weight_bits=bits) for bits in (3, 8))
    assert "weight_bits=" in coarse.diagnosis.advice
    assert np.square(fine.quantised(samples) - truth).mean() / truth.var() < 0.3 * coarse.diagnosis.ablations[0].error


def test_it_is_shown_and_drawn(samples) -> None:
    from neuro.report.figures_conversion import losses, rates

    found = converted(samples, "rate").diagnosis
    assert "uneven timing" in repr(found)
    assert all(layer.name in losses(found.rows()) for layer in found.layers)
    assert "neurons (%)" in rates(found.rows())
    json.dumps(found.rows())


def test_the_report_shows_it(samples, tmp_path) -> None:
    conversion = converted(samples, "signed")
    chip_run = neuro.emulate(conversion.network, neuro.place(conversion.network, neuro.load_chip("loihi2")), samples[:2])
    neuro.write_report(tmp_path / "report.html", conversion=conversion, chip_run=chip_run)
    page = (tmp_path / "report.html").read_text()
    assert "Where the conversion loses" in page
    assert conversion.diagnosis.advice in page.replace("&#39;", "'")
