"""code="auto": the goal is met with the least work, and the notes say why; timesteps_for agrees with trying."""

import numpy as np
import pytest
import torch

import converters
import neuro
from tests.convertible import Branches, settled


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((64, 1, 8, 8), np.float32)


@pytest.fixture(scope="module")
def model(samples) -> torch.nn.Module:
    """A network that takes different decisions."""
    model = settled(Branches(), samples)
    with torch.no_grad():
        model.head.bias -= model(torch.as_tensor(samples)).mean(0)
        assert len(model(torch.as_tensor(samples)).argmax(1).unique()) > 2
    return model


def agreement(conversion, model, samples) -> float:
    with torch.no_grad():
        wanted = model(torch.as_tensor(samples)).argmax(1).numpy()
    return float((neuro.run(conversion.network, samples).predictions == wanted).mean())


def test_the_goal_is_met_with_the_least_work(model, samples) -> None:
    made = converters.convert(model, samples, code="auto", goal=converters.Goal(0.95))
    assert agreement(made, model, samples) >= 0.95
    assert any(
        note.startswith(f"auto: {made.code} with T = {made.timesteps}") and "least work" in note for note in made.network.notes
    )


def test_codes_may_be_bounded_by_the_chip_and_by_steps(model, samples) -> None:
    goal = converters.Goal(0.9, codes=("rate", "wait", "radix"))
    made = converters.convert(model, samples, code="auto", goal=goal)
    assert made.code in ("wait", "radix")
    assert agreement(made, model, samples) >= 0.9
    assert converters.convert(model, samples, code="auto", input="spikes").code != "graded"
    few = converters.Goal(0.999999, steps=12, codes=("rate", "signed"))
    short = converters.convert(model, samples, code="auto", goal=few)
    assert short.network.steps(short.timesteps) <= 12
    with pytest.raises(neuro.NeuroError, match="at most 3 steps.*Allow more"):
        converters.convert(model, samples, code="auto", goal=converters.Goal(steps=3))


def test_a_goal_that_is_out_of_reach_is_said(model, samples) -> None:
    made = converters.convert(model, samples, code="auto", weight_bits=2, goal=converters.Goal(1.0, steps=9, codes=("rate",)))
    assert any("nothing tried gives 100 %" in note and "nearest is rate" in note for note in made.notes)


def test_the_timesteps_that_an_accuracy_needs(model, samples) -> None:
    made = converters.convert(model, samples, code="wait", timesteps=4)
    needed = made.timesteps_for(0.98)
    assert needed is not None
    assert agreement(converters.convert(model, samples, code="wait", timesteps=needed), model, samples) >= 0.98
    if needed > 2:
        fewer = converters.convert(model, samples, code="wait", timesteps=needed // 2)
        assert agreement(fewer, model, samples) < 0.98
    assert converters.convert(model, samples, code="graded", weight_bits=2, correct_bias=False).timesteps_for(1.0) in (None, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"code": "auto", "refine": 5}, "refine.*one code"),
        ({"code": "rate", "goal": converters.Goal()}, "code='auto'"),
    ],
)
def test_wrong_arguments(model, samples, arguments, says) -> None:
    with pytest.raises(neuro.NeuroError, match=says):
        converters.convert(model, samples, **arguments)


@pytest.mark.parametrize("values", [{"agreement": 0.0}, {"agreement": 1.5}, {"steps": 0}, {"codes": ("burst",)}, {"codes": ()}])
def test_wrong_goals(values) -> None:
    with pytest.raises(neuro.NeuroError, match="goal"):
        converters.Goal(**values)


def test_a_single_output_decides_nothing_so_it_is_compared(samples) -> None:
    """With one output every network "decides" alike: the least work would be taken, however wrong."""
    torch.manual_seed(0)
    model = settled(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)), samples
    )
    made = converters.convert(model, samples, code="auto", goal=converters.Goal(0.95, codes=("rate",)))
    with torch.no_grad():
        wanted = model(torch.as_tensor(samples)).numpy()
    close = np.abs(neuro.run(made.network, samples).logits - wanted) <= 0.1 * wanted.std()
    assert close.mean() >= 0.95
    assert made.timesteps > 4  # the fewest that were tried do not do
