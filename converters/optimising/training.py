"""Training a student until its messages cost so much and no more: labels, the teacher's answers and features, and the bill.

The weight of the bill follows how far it is from its target, which falls over the first part of the training. Knows students
and prices; knows no chip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.evaluation import evaluate
from converters.optimising.plain import PlainStudent
from converters.optimising.student import Passed, Student
from neuro.graph import Graph

Tensor = torch.Tensor
Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]
Augment = Callable[[Floats, np.random.Generator], Floats]
Kept = Mapping[str, NDArray[np.int64]]
TEMPERATURE = 2.0  # at which the teacher's and the student's answers are compared
_FALLING = 0.5  # share of the training over which the target falls from what is spent to what may be
_GAIN, _SHARP = 0.3, 10.0  # by which the weight of the bill grows with the excess, from step to step and at once
_SETTLING = 32  # batches whose statistics the norms keep
_WEIGHT, _WEIGHTS = 0.3, (0.01, 30.0)  # of the bill at first, and its limits


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a student is trained.

    steps batches of `batch` samples; rate: of Adam, relative to the size of what it changes; decay: of weights, relative to the
    rate (Loshchilov and Hutter 2019). labels, answers, features: weights
    of the cross-entropy with the labels (where there are any), of the teacher's answers and of its features. target_pj: what
    the messages of an average sample may cost; None: nothing is asked.
    """

    steps: int = 300
    batch: int = 64
    rate: float = 5e-3
    decay: float = 0.0
    labels: float = 0.5
    answers: float = 1.0
    features: float = 0.3
    target_pj: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is trained on: inputs (samples, *shape), class numbers (samples,) or None, how a batch is varied; the teacher, and
    which of its entries along the first axis of each layer the student still has."""

    x: Floats
    y: NDArray[np.int64] | None
    teacher: Graph
    kept: Kept
    augment: Augment | None = None


def train(
    student: Student | PlainStudent,
    lessons: Lessons,
    plan: TrainingPlan,
    prices: Mapping[str, Tensor],
    progress: Progress | None = None,
) -> float:
    """Train in place; returns what the messages of an average sample cost in the last tenth of the training, in pJ."""
    rng = np.random.default_rng(plan.seed)
    optimiser = torch.optim.AdamW(student.parameters(plan.rate, plan.decay), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(plan.steps, 1))
    bill = _Bill(plan)
    for step in range(plan.steps):
        inputs, y = _batch(lessons, plan.batch, rng)
        got = student.forward(inputs, prices if plan.target_pj is not None else None)
        loss = task_loss(student, got, inputs, y, lessons, plan)
        if plan.target_pj is not None:
            loss = loss + bill.weighted(got.price(prices), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step + 1, plan.steps)
    student.settle(_batch(lessons, plan.batch, rng)[0] for _ in range(_SETTLING))
    return bill.spent


def _batch(lessons: Lessons, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
    """Samples drawn and varied, and their classes."""
    chosen = rng.permutation(len(lessons.x))[:size]
    x = lessons.x[chosen] if lessons.augment is None else lessons.augment(lessons.x[chosen], rng)
    y = None if lessons.y is None else torch.as_tensor(lessons.y[chosen])
    return torch.as_tensor(np.ascontiguousarray(x, np.float32)), y


class _Bill:
    """The weight of the bill in the loss: it rises while more is spent than the target of the step allows."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan, self.weight, self.first, self.spent = plan, _WEIGHT, 0.0, 0.0

    def weighted(self, price: Tensor, step: int) -> Tensor:
        now, target = float(price.detach()), self.plan.target_pj or 0.0
        self.first = self.first or now
        self.spent = now if step == 0 else 0.8 * self.spent + 0.2 * now
        done = min(1.0, (step + 1) / max(_FALLING * self.plan.steps, 1.0))
        aim = min(target, self.first) ** done * self.first ** (1 - done) if target > 0 else 0.0
        excess = float(np.clip(self.spent / max(aim, 1e-9) - 1, -0.5, 0.5))
        self.weight = float(np.clip(self.weight * np.exp(_GAIN * excess), *_WEIGHTS))
        weight = self.weight * float(np.exp(_SHARP * excess))
        return price * (weight / max(self.first, 1e-9))


def task_loss(
    student: Student | PlainStudent, got: Passed, x: Tensor, y: Tensor | None, lessons: Lessons, plan: TrainingPlan
) -> Tensor:
    """Cross-entropy with the labels, distance of the answers from the teacher's, and relative squared error of the features."""
    names = [name for name in student.features if name in lessons.kept] if plan.features else []
    logits = got.values[student.output].reshape(len(x), -1)
    loss = 0.0 * logits.sum()
    asked = {*names, lessons.teacher.output.name} if plan.answers else set(names)
    wanted = evaluate(lessons.teacher, {lessons.teacher.inputs[0].name: x}, asked) if asked else {}
    if plan.answers:
        loss = loss + plan.answers * answer_loss(logits, wanted[lessons.teacher.output.name].reshape(len(x), -1))
    if y is not None and plan.labels:
        loss = loss + plan.labels * F.cross_entropy(logits, y)
    inner = []
    for name in names:
        target = _kept_of(wanted[name], got.values[name], lessons.kept[name])
        inner.append((got.values[name] - target).square().mean() / (target.square().mean() + 1e-12))
    return loss + plan.features * torch.stack(inner).mean() if inner else loss


def _kept_of(target: Tensor, value: Tensor, kept: NDArray[np.int64]) -> Tensor:
    """What a student still has of a teacher's value: the entries that are kept, along the axis that became shorter."""
    shorter = [axis for axis, (before, now) in enumerate(zip(target.shape, value.shape, strict=True)) if before != now]
    return target.index_select(shorter[0], torch.as_tensor(kept)) if shorter else target


def answer_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Kullback-Leibler divergence of softened answers (Hinton et al. 2015)."""
    soft = F.softmax(truth / TEMPERATURE, dim=1)
    loss: Tensor = F.kl_div(F.log_softmax(logits / TEMPERATURE, dim=1), soft, reduction="batchmean") * TEMPERATURE**2
    return loss
