"""How a student is trained: what is sent and what it costs in one pass, weights that decay, and teachers that are not asked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import converters.optimising.training as training
from converters.evaluation import rounded
from converters.optimising.messages import messages
from converters.optimising.plain import PlainStudent
from converters.optimising.sending import sent
from converters.optimising.student import Coding, Student
from converters.optimising.training import Lessons, TrainingPlan, train
from neuro.errors import UsageError
from neuro.optimising.plan import OptimiseSettings
from tests.optimising import Residual, data, learned

X, Y = data(200)
GRAPH = learned(Residual(), X, Y)
CODINGS = (Coding("graded"), Coding("radix", 1), Coding("radix", 8), Coding("radix", 12))


@given(
    coding=st.sampled_from(CODINGS),
    shape=st.sampled_from([(1, 1), (3, 20), (5, 4, 9), (4, 3, 5, 6), (2, 17, 3, 3)]),
    own=st.booleans(),
    last=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_one_pass_gives_the_values_costs_and_gradients_of_many(coding, shape, own, last, seed):
    """Beside torch's own functions, one after the other; in either order of memory, with a threshold for each channel or one."""
    draw = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(shape, generator=draw)
    z = z.contiguous(memory_format=torch.channels_last) if last and z.ndim == 4 else z
    theta = torch.rand(shape[1] if own else 1, generator=draw) + 0.5
    price, back = torch.rand(shape[1:], generator=draw), torch.randn(shape, generator=draw)
    found = []
    for fused in (False, True):
        a, t = z.clone().requires_grad_(), theta.clone().requires_grad_()
        if fused:
            value, cost = sent(a, t, coding.levels, price, coding.code == "radix")
        else:
            value = rounded(a, t, coding.levels)
            cost = (messages(coding, a, value, t) * price).sum() / len(a)
        ((value * back).sum() + 3 * cost).backward()
        found.append((value.detach(), cost.detach(), a.grad, t.grad))
    (value, cost, by_z, by_theta), got = found
    step = theta.reshape(-1, *[1] * (z.ndim - 2)) / coding.levels
    ties = ((z / step).remainder(1) - 0.5).abs() < 1e-3  # where either neighbour is as near
    assert bool(((value - got[0]).abs() <= torch.where(ties, 1.01 * step, 1e-6)).all())
    if not bool(ties.any()):
        assert torch.allclose(cost, got[1], rtol=1e-5)
        assert torch.allclose(by_z, got[2], rtol=1e-4, atol=1e-5)
        assert torch.allclose(by_theta, got[3], rtol=1e-4, atol=1e-4 * float(by_theta.abs().max()) + 1e-5)


@pytest.mark.parametrize(("code", "timesteps"), [("graded", 1), ("radix", 5), ("wait", 6), ("rate", 6)])
def test_a_student_that_knows_prices_spends_what_its_messages_cost(code, timesteps):
    student = Student(GRAPH, X[:64], Coding(code, timesteps), norms=True)
    draw = np.random.default_rng(0)
    prices = {
        layer.name: torch.as_tensor(draw.random(layer.shape), dtype=torch.float32) for layer in GRAPH.layers if layer.op == "relu"
    }
    x = torch.as_tensor(X[:40])
    plain, quick = student.forward(x), student.forward(x, prices)
    assert torch.allclose(plain.values[student.output], quick.values[student.output], atol=1e-4)
    assert plain.price(prices).item() == pytest.approx(quick.price(prices).item(), rel=1e-3)


@pytest.mark.parametrize("kind", ["student", "plain"])
def test_decay_takes_its_share_of_the_weights_and_of_nothing_else(kind):
    """Without a loss there is no gradient: all that moves a weight is its decay, rate * decay of itself a step, as rates fall."""
    made = Student(GRAPH, X[:64], Coding("graded")) if kind == "student" else PlainStudent(GRAPH, {})
    before = {name: {key: value.detach().clone() for key, value in held.items()} for name, held in made.arrays.items()}
    plan = TrainingPlan(steps=2, batch=8, rate=0.1, decay=0.5, labels=0.0, answers=0.0, features=0.0)
    held = torch.optim.AdamW(made.parameters(plan.rate, plan.decay), weight_decay=0.0)
    for group in held.param_groups:
        for value in group["params"]:
            value.grad = torch.zeros_like(value)
    held.step()
    for name, arrays in made.arrays.items():
        for key, value in arrays.items():
            share = 1 - plan.rate * plan.decay if key == "weight" and value.requires_grad else 1.0
            assert torch.allclose(value.detach(), share * before[name][key], rtol=1e-5)


def test_a_teacher_whose_answers_do_not_count_is_not_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(training, "evaluate", lambda *args: asked.append(args) or {})
    student = Student(GRAPH, X[:64], Coding("graded"))
    train(student, Lessons(X, Y, GRAPH, {}), TrainingPlan(steps=2, batch=8, labels=1.0, answers=0.0, features=0.0), {})
    assert not asked


def test_a_decay_below_zero_is_refused():
    with pytest.raises(UsageError, match="decay"):
        OptimiseSettings(decay=-0.1)
