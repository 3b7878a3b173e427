"""Training on another device than the CPU. There is no CUDA device where tests run: torch's "meta" device, on which tensors have
shapes and no values, refuses an operation whose operands lie on two devices just as a CUDA device does."""

import numpy as np
import pytest
import torch

from converters.optimising.devices import fastest
from converters.optimising.plain import PlainStudent
from converters.optimising.student import Coding, Student
from converters.optimising.training import Lessons, TrainingPlan, task_loss, train
from tests.optimising import Residual, data, learned

X, Y = data(200)
GRAPH = learned(Residual(), X, Y)
LESSONS = Lessons(X, Y, GRAPH, {layer.name: np.arange(layer.shape[0]) for layer in GRAPH.layers})
PLAN = TrainingPlan(steps=4, batch=16, labels=1.0, answers=1.0, features=0.3)
MASKS = {layer.name: np.ones_like(layer.arrays["weight"], bool) for layer in GRAPH.layers if layer.op == "conv"}
ELSEWHERE = torch.device("meta")


def prices() -> dict[str, torch.Tensor]:
    return {layer.name: torch.ones(layer.shape) for layer in GRAPH.layers if layer.op == "relu"}


@pytest.mark.parametrize("code", ["graded", "rate", "signed", "plain"])
@pytest.mark.parametrize("norms", [False, True])
def test_all_that_a_step_computes_lies_on_the_device(code, norms):
    student = PlainStudent(GRAPH, MASKS) if code == "plain" else Student(GRAPH, X[:64], Coding(code, 4), MASKS, norms)
    student.to(ELSEWHERE)
    with ELSEWHERE:
        x, y = torch.as_tensor(X[:8]), torch.as_tensor(Y[:8])
        assert x.device == ELSEWHERE
        known = {} if code == "plain" else prices()
        got = student.forward(x, known or None)
        loss = task_loss(student, got, x, y, LESSONS, PLAN)
        (loss + got.price(known) if known else loss).backward()
    learning = _leaves(student)
    assert learning
    assert {value.device.type for value in learning} == {value.grad.device.type for value in learning} == {"meta"}


def _leaves(student: Student | PlainStudent) -> list[torch.Tensor]:
    """What has a gradient, of all that is trained."""
    held = [*student.arrays.values()]
    if isinstance(student, Student):
        held += [student.theta, student.norms.factor, student.norms.shift]
    found = [value for one in held for value in one.values() if value.requires_grad and value.grad is not None]
    assert all(value.is_leaf for value in found)
    return found


@pytest.mark.parametrize("norms", [False, True])
def test_what_was_moved_is_trained_as_what_was_not(norms):
    graphs = []
    for moves in (False, True):
        student = Student(GRAPH, X[:64], Coding("graded"), MASKS, norms)
        if moves:
            student.to(torch.device("cpu"))
        train(student, LESSONS, PLAN, prices())
        graphs.append(student.graph())
    for one, other in zip(*(graph.layers for graph in graphs), strict=True):
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name])


def test_the_cpu_is_used_where_there_is_no_other():
    assert fastest().type == ("cuda" if torch.cuda.is_available() else "cpu")
