"""Learning rules: their text, and what is refused and why."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import converters
import neuro
from neuro.errors import EngineError, FitError, FormatError, InputError, NetworkError
from neuro.learning import Factor, Memory, Product, oja, pes, stdp
from tests import drawn_rules
from tests.laws import law
from tests.learning_networks import pair, rule, spikes

# Text


def test_a_rule_reads_as_it_is_written() -> None:
    given = rule("-(3 - x1) * y0 * 2 + sgn(w-4)*x0*0.25 - (2^3)*u2*w*w + 12 * x0 * (-4 + y1)")
    assert given.products("dw") == (
        Product("y0", (Factor("x1", -3),), 2),
        Product("x0", (Factor("w", -4, sign=True),), 1, -2),
        Product("u2", (Factor("w"), Factor("w")), -1, 3),
        Product("x0", (Factor("y1", -4),), 6, 1),
    )
    assert given.dw == "2 * y0 * (x1 - 3) + 2^-2 * x0 * sgn(w - 4) - 2^3 * u2 * w * w + 6 * 2^1 * x0 * (y1 - 4)"
    assert rule(given.products("dw")) == given


@law(60)
@given(st.integers(0, 10**6))
def test_text_and_data_of_a_rule_are_the_same(seed: int) -> None:
    drawn = drawn_rules.rule(np.random.default_rng(seed), exact=False, third="third")
    again = neuro.LearningRule(
        **{f.name: getattr(drawn, f.name) for f in dataclasses.fields(drawn)}  # what a file holds
    )
    data = neuro.LearningRule(
        **{
            f.name: drawn.products(f.name) if f.name in ("dw", "dd", "dt") else getattr(drawn, f.name)
            for f in dataclasses.fields(drawn)
        }
    )
    assert drawn == again == data
    assert eval(drawn.to_source(), {"LearningRule": neuro.LearningRule}) == drawn


@pytest.mark.parametrize(
    ("text", "place", "fact"),
    [
        ("x1", "character 1", "depends on no spike and no epoch"),
        ("x0 * x3", "character 6", "no variable 'x3'"),
        ("x0 * x1 y1", "character 9", "'y1' where '*', '+' or '-' should be"),
        ("x0 * $", "character 6", "'$' has no meaning"),
        ("x0 * (x1", "the end", "nothing where ')' should be"),
        ("x0 *", "the end", "nothing where a factor should be"),
        ("x0 * w +", "the end", "nothing where a factor should be"),
        ("x0 * 9 * 9", "character 1", "the scale 81 of a product does not fit 4 bits"),
        ("x0 * 2^9", "character 1", "2^9, is out of range"),
        ("x0 * 2^999999999", "character 8", "2^999999999 is out of range"),
        ("2^x0", "character 3", "'x0' where the power of two should be"),
        ("3^2 * x0", "character 1", "3 is raised to a power"),
        ("x0 * 0.3", "character 6", "0.3 is no whole number of a power of two"),
        ("x0 * (x1 - 300)", "character 12", "-300 added to x1 is out of range"),
        ("x0 * (w - 2.5)", "character 11", "-2.5 added to w is out of range"),
        ("x0 * w * w * w * x1", "character 1", "with its factor x1 of 7 bits it has 38 bits"),
        ("u0 * u1", "character 6", "depends on u0 already"),
        ("sgn(x1) * x0", "character 5", "'x1' where a number or one of w, d, t should be"),
        ("sgn(-w) * x0", "character 6", "w is negative within sgn()"),
        ("x0 * (3 + 4)", "character 7", "holds no variable, or two"),
        ("x0 * __import__('os')", "character 17", "has no meaning"),
    ],
)
def test_mistakes_name_their_place(text: str, place: str, fact: str) -> None:
    with pytest.raises(NetworkError) as caught:
        rule(text)
    assert place in str(caught.value)
    assert fact in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({}, "changes nothing"),
        ({"dw": 3}, "neither text nor products"),
        ({"dw": "x0 * x1"}, "reads the trace x1, which has no impulse"),
        ({"dw": "x0", "x1": 5}, "is no pair"),
        ({"dw": "x0", "x1": (5, -1)}, "tau = -1"),
        ({"dw": "x0", "x1": (128, 1)}, "impulse = 128"),
        ({"dw": "x0", "x1": ("out", 1)}, "cannot set x1"),
        ({"dw": "x0", "epoch": 64}, "epoch = 64"),
        ({"dw": "x0", "sign": "odd"}, "sign = 'odd'"),
        ({"dw": "x0", "graded": "yes"}, "graded = 'yes'"),
        ({"dw": (Product("x0", (Factor("w"),) * 3),), "seed": -1}, "seed = -1"),
    ],
)
def test_rules_are_valid_from_birth(fields: dict[str, Any], fact: str) -> None:
    with pytest.raises(NetworkError, match=None) as caught:
        neuro.LearningRule(**fields)
    assert fact in str(caught.value)


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda: Factor("z"), "no such variable"),
        (lambda: Factor("x1", sign=True), "no sign of interest"),
        (lambda: Factor("x1", 256), "constant = 256"),
        (lambda: Product("x1"), "depends on 'x1'"),
        (lambda: Product("x0", mantissa=8), "factor 8 does not fit"),
        (lambda: Product("x0", exponent=-8), "2^-8"),
        (lambda: Product("x0", (3,)), "no Factor"),
    ],
)
def test_products_are_valid_from_birth(make: Any, fact: str) -> None:
    with pytest.raises(NetworkError) as caught:
        make()
    assert fact in str(caught.value)


# What cannot learn


def test_projections_that_share_weights_are_refused() -> None:
    for kind in (
        lambda: neuro.Conv2d("in", "out", np.ones((1, 1, 1, 1), int), rule=stdp()),
        lambda: neuro.Conv1d("in", "out", np.ones((1, 1, 1), int), rule=stdp()),
        lambda: neuro.SumPool2d("in", "out", 2, rule=stdp()),
    ):
        with pytest.raises(NetworkError, match="many synapses share a weight"):
            kind()
    with pytest.raises(NetworkError, match="Give each its own weight"):
        neuro.Network(
            (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), neuro.IntegrateAndFire(9))),
            (neuro.OneToOne("in", "out", 4, rule=stdp()),),
        )


def test_weights_that_the_rule_cannot_lead_to_are_refused() -> None:
    for weights, sign in (([[256]], "mixed"), ([[-1]], "excitatory"), ([[1]], "inhibitory")):
        with pytest.raises(NetworkError, match="leave"):
            neuro.Dense("in", "out", weights, rule=stdp(sign=sign))
    with pytest.raises(NetworkError, match="is no rule"):
        neuro.Dense("in", "out", [[1]], rule="x0 * x1")
    with pytest.raises(NetworkError, match="a memory and no rule"):
        neuro.Dense("in", "out", [[1]], memory=Memory())
    with pytest.raises(NetworkError, match="its memory t has shape"):
        pair(rule("x0 * t"), memory=Memory(t=np.zeros(5, int)))


def test_populations_without_spikes_are_refused_with_what_works() -> None:
    graded, spiking = neuro.Graded(10), neuro.IntegrateAndFire(10)
    chain = (
        neuro.Population("in", (2,), neuro.Source()),
        neuro.Population("a", (2,), graded),
        neuro.Population("b", (2,), spiking),
    )

    def between(source: Any, target: Any, given: neuro.LearningRule) -> neuro.Network:
        populations = (chain[0], dataclasses.replace(chain[1], neuron=source), dataclasses.replace(chain[2], neuron=target))
        first = neuro.Dense("in", "a", np.ones((2, 2), int))
        return neuro.Network(populations, (first, neuro.Dense("a", "b", np.ones((2, 2), int), rule=given)))

    for source, target, one in (
        (graded, spiking, stdp()),
        (spiking, graded, stdp()),
        (neuro.SignedIntegrateAndFire(10), spiking, stdp()),
        (neuro.RadixIntegrateAndFire(10, 4, 4), spiking, stdp()),
        (spiking, neuro.Readout(), stdp()),
        (spiking, spiking, pes("nobody")),
        (spiking, neuro.Readout(), oja()),
    ):
        with pytest.raises(NetworkError) as caught:
            between(source, target, one)
        assert "Use" in caught.value.remedy or "Let" in caught.value.remedy
    assert between(graded, spiking, dataclasses.replace(stdp(), graded="overwrite")).learns
    assert between(spiking, neuro.Readout(), pes("in")).learns


def test_payloads_are_refused_where_the_rule_knows_spikes() -> None:
    for engine in ("event", "reference"):
        with pytest.raises(InputError, match="whose rule knows spikes"):
            neuro.run(pair(stdp(), source=neuro.Source()), np.full((1, 5, 3), 2), engine=engine)
    with pytest.raises(InputError, match="whose rule knows spikes"):
        neuro.open_session(pair(stdp(), source=neuro.Source())).step([0, 2, 0])
    with pytest.raises(InputError, match="whose rule knows spikes"):
        neuro.run(pair(dataclasses.replace(stdp(), graded="add"), source=neuro.Source()), np.full((1, 5, 3), -2))


def test_samples_that_end_before_an_epoch_are_refused() -> None:
    network = pair(dataclasses.replace(stdp(), epoch=9))
    with pytest.raises(EngineError, match="epoch of 9 steps never ends"):
        neuro.run(network, spikes(steps=8))
    assert neuro.run(network, spikes(steps=9)).synaptic_updates > 0


def test_those_that_cannot_learn_say_so(tmp_path: Path) -> None:
    network = pair(stdp())
    for engine in ("torch", "brian2"):
        with pytest.raises(EngineError, match="projections that learn"):
            neuro.run(network, np.ones((1, 4, 3), int), engine=engine)
    for write in (converters.write_nir, converters.write_lava_dl):
        with pytest.raises(FormatError, match=r"network\.fixed"):
            write(network, tmp_path / "file")
    truenorth = neuro.load_chip("truenorth")
    with pytest.raises(FitError, match="learns"):
        neuro.to_crossbars(network, truenorth)
    for name in ("truenorth", "speck", "spinnaker2"):
        with pytest.raises(FitError, match="it learns, the chip"):
            neuro.place(network, neuro.load_chip(name))
    graded, loihi2 = pair(dataclasses.replace(stdp(), graded="add"), source=neuro.Source(levels=9)), neuro.load_chip("loihi2")
    with pytest.raises(FitError, match="learns from payloads"):
        neuro.place(graded, dataclasses.replace(loihi2, neuron=dataclasses.replace(loihi2.neuron, learning="spikes")))
    placement = neuro.place(network, loihi2)
    with pytest.raises(EngineError, match="strike weights"):
        neuro.emulate(placement, np.ones((1, 4, 3), int), faults=neuro.Faults(weight_flips=0.1))
