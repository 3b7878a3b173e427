"""optimise(model, x, ...) -> Optimised: round after round a cheaper network, each measured on the chip and kept as soon as it
is.

A killed optimisation is taken up where it was: every whole point is on disk, and the next one depends on it alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.codes import named
from neuro import __version__
from neuro.chip.cutting.capabilities import able_codes
from neuro.chip.files import load_chip
from neuro.chip.spec import Chip
from neuro.errors import FormatError, UsageError
from neuro.files import write_text
from neuro.graph import Graph
from neuro.optimising.found import GRAPH, NETWORK, POINT, Optimised, OptimisedPoint
from neuro.optimising.measure import measures, run_on
from neuro.optimising.plan import PLAN, OptimiseGoal, OptimisePlan, OptimiseSettings, code_and_window
from neuro.optimising.rounds import Augment, Lesson, Report, Rounds, Stand
from neuro.sweeping.settings import chip_digest, digest

VALIDATION = 0.2  # share of the data that points are chosen on, where no other part is given
MOST_VALIDATION = 1000
CALIBRATION = 512
ABOUT = "about.json"
CLOCK: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Parts:
    """A folded float network, what is learned from, and the part that points are measured and chosen on: inputs, the right
    decisions, and whether these are labels or the float network's own decisions."""

    graph: Graph
    lesson: Lesson
    x: NDArray[np.float32]
    wanted: NDArray[np.int64]
    labelled: bool
    accuracy_ann: float


def optimise(
    model: Any,
    x: Any,
    *,
    labels: Any = None,
    validation: tuple[Any, Any] | None = None,
    chip: str | Chip = "loihi2",
    goal: OptimiseGoal | None = None,
    settings: OptimiseSettings | None = None,
    minutes: float | None = None,
    augment: Augment | None = None,
    teacher: Any = None,
    folder: Any = "optimised",
    resume: bool = False,
    report: Report | None = None,
) -> Optimised:
    """Prune and retrain a float network for a chip: a front of networks by accuracy, dynamic energy, latency and cores.

    model: torch module, Graph or path of an ONNX file. x (samples, *shape) to learn from, labels
    (samples,) where known; without, the float network's answers are learned. validation: (inputs, labels or None) that points
    are chosen on; a fifth of `x`, drawn by the seed and then not learned from, when left out. minutes: of training in all
    rounds together, from which the steps of a round follow, by a measurement when the optimisation begins; None:
    `settings.steps`. teacher: a network, a larger one perhaps, whose answers are learned in place of the model's own.
    augment(batch, generator): a batch varied for training. folder: where points are kept; `resume` goes on with what it holds.
    report(what, done, of) hears of the work.

    Every point is a saved network with its recipe; what is stated of it was measured by emulation on the validation part.
    Raises UsageError for a network with frames, several inputs or outputs, for what one that computes with values cannot have,
    and where the folder holds another optimisation.
    """
    plan = OptimisePlan(goal or OptimiseGoal(), settings or OptimiseSettings())
    parts = with_teacher(split(model, x, labels, validation, plan.settings.seed, augment), teacher)
    chosen = load_chip(chip) if isinstance(chip, str) else chip
    return optimise_parts(parts, chosen, plan, Path(folder), minutes=minutes, resume=resume, report=report)


def split(
    model: Any, x: Any, labels: Any, validation: tuple[Any, Any] | None, seed: int, augment: Augment | None = None
) -> Parts:
    """The network folded, and its data divided into what is learned from and what points are chosen on."""
    from converters.calibration import check_samples
    from converters.evaluation import logits

    graph = _float(model, x)
    if graph.has_frames or len(graph.inputs) > 1 or len(graph.outputs) > 1:
        fact = "it takes frames" if graph.has_frames else f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise UsageError("optimise", fact, "Use a network that takes one input at once and has one output")
    inputs = check_samples(graph, x)
    y = None if labels is None else _labels(labels, len(inputs))
    if validation is None:
        order = np.random.default_rng(seed).permutation(len(inputs))
        count = min(MOST_VALIDATION, round(VALIDATION * len(inputs)))
        if count < 1 or count == len(inputs):
            raise UsageError("data", f"{len(inputs)} samples cannot be divided", "Pass more, or pass validation=(x, y)")
        held, used = np.sort(order[:count]), np.sort(order[count:])
        other, other_y = inputs[held], None if y is None else y[held]
        inputs, y = inputs[used], None if y is None else y[used]
    else:
        other = check_samples(graph, validation[0])
        other_y = None if validation[1] is None else _labels(validation[1], len(other))
    decisions = logits(graph, other).reshape(len(other), -1).argmax(axis=1)
    wanted = decisions if other_y is None else other_y
    calibration = inputs[np.linspace(0, len(inputs) - 1, min(CALIBRATION, len(inputs))).astype(int)]
    accuracy = float((decisions == wanted).mean())
    return Parts(graph, Lesson(inputs, y, calibration, augment), other, wanted.astype(np.int64), other_y is not None, accuracy)


def _float(model: Any, x: Any) -> Graph:
    """The folded float network, as conversions see it; a last softmax, which changes no decision, is left out."""
    from converters.folding import fold
    from converters.pipeline import float_graph
    from converters.values.recognising import recognised
    from converters.values.tail import split_tail

    return split_tail(recognised(fold(float_graph(model, x))))[0]


def with_teacher(parts: Parts, teacher: Any) -> Parts:
    """The parts with another network, of as many answers, to learn from; None: the network itself."""
    if teacher is None:
        return parts
    graph, own = _float(teacher, parts.lesson.x), parts.graph
    theirs, ours = ((one.inputs[0].shape, one.output.shape) for one in (graph, own))
    if theirs != ours:
        fact = f"it takes {theirs[0]} and answers {theirs[1]}, the network {ours[0]} and {ours[1]}"
        raise UsageError("teacher", fact, "Pass a network of the same inputs and answers")
    return replace(parts, lesson=replace(parts.lesson, teacher=graph))


def _labels(labels: Any, samples: int) -> NDArray[np.int64]:
    y = np.asarray(labels)
    if y.shape != (samples,) or y.dtype.kind not in "ui":
        fact = f"shape {y.shape}, {y.dtype} for {samples} samples"
        raise UsageError("labels", fact, "Pass one class number for each sample")
    return y.astype(np.int64)


def optimise_parts(
    parts: Parts,
    chip: Chip,
    plan: OptimisePlan,
    folder: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Optimised:
    """The same for parts that are ready."""
    say = report or (lambda what, done, of: None)
    _check_codes(chip, plan.settings)
    _check_values(parts.graph, plan.settings)
    _check_labels(parts, plan.settings)
    rounds = Rounds(parts.graph, parts.lesson, chip, plan.settings)
    plan = _opened(folder, parts, chip, plan, rounds, minutes, resume)
    rounds = replace_settings(rounds, plan.settings)
    points: list[OptimisedPoint] = []
    stand, before = rounds.start, 1 if plan.settings.float_steps else 0  # points between the start and the first round
    for number in range(-before, len(plan.goal.energy) + 1):
        first = len(points)
        place = folder / "points" / f"{first:02d}"
        if (place / POINT).exists():
            point = OptimisedPoint.load(place)
            stand = Stand(point.graph, point.kept, point.recipe.get("weight_bits", {}))
        else:
            stand, recipe = _made(number, stand, points, rounds, plan, say)
            say(f"round {max(number, 0)}: measuring", 0, len(parts.x))
            point = _kept_point(first, recipe, stand, rounds, parts, place)
        if points and number == 0:
            rounds = Rounds(stand.graph, parts.lesson, chip, plan.settings)  # it is what rounds learn from
        points.append(point)
        points += [
            _in_code(code, first, len(points) + i, stand, rounds, parts, folder) for i, code in enumerate(plan.settings.codes)
        ]
        say(f"round {max(number, 0)}: done", max(number, 0) + 1, len(plan.goal.energy) + 1)
    found = Optimised(parts.graph.name, chip.name, plan, tuple(points), parts.accuracy_ann, parts.labelled, folder)
    found.save()
    return found


def _check_codes(chip: Chip, settings: OptimiseSettings) -> None:
    able = able_codes(chip)
    for code in (settings.code, *(code_and_window(each)[0] for each in settings.codes)):
        if code not in able:
            raise UsageError(
                "code", f"chip {chip.name!r} cannot run {code!r}", f"Use {named(able)}" if able else "Use another chip"
            )


def _check_values(graph: Graph, settings: OptimiseSettings) -> None:
    """Refuse what a network that computes with values cannot have."""
    from converters.convertible import CARRYING, computes_with_values

    if not computes_with_values(graph):
        return
    wrong = [code for code in (settings.code, *settings.codes) if code.partition(":")[0] not in CARRYING]
    if wrong:
        raise UsageError("code", f"the network computes with values, which {wrong[0]!r} does not carry", f"Use {named(CARRYING)}")
    for name, value in (("average_bits", settings.average_bits), ("value_bits", settings.value_bits), ("norms", settings.norms)):
        if value:
            fact = "the network computes with values: channels, heads and weights of it can be removed, and no more"
            raise UsageError(f"optimise, {name}", fact, "Leave it out")


def _made(
    number: int, stand: Stand, points: list[OptimisedPoint], rounds: Rounds, plan: OptimisePlan, say: Report
) -> tuple[Stand, dict[str, Any]]:
    """The stand of a round, 0 being the start and the float network trained on behind it, and how it is made."""
    if not points:
        return stand, {"how": "start: converted as it is"}
    if number == 0:
        stand = rounds.trained_on(lambda done, of: say("training the float network", done, of))
        return stand, {"how": f"nothing removed, trained on for {plan.settings.float_steps:,} steps"}
    target = points[0].measured.dynamic_pj / plan.goal.energy[number - 1]
    return rounds.round(stand, target, (number, len(plan.goal.energy)), _of_all(say, number, plan))


def _check_labels(parts: Parts, settings: OptimiseSettings) -> None:
    if settings.float_steps and parts.lesson.y is None:
        fact = "there are no labels, and its own answers teach the float network nothing"
        raise UsageError("optimise, float_steps", fact, "Pass labels, or leave it out")


def _in_code(code: str, of: int, number: int, stand: Stand, rounds: Rounds, parts: Parts, folder: Path) -> OptimisedPoint:
    """The network of point `of` in another code, with the same weights."""
    place = folder / "points" / f"{number:02d}"
    if (place / POINT).exists():
        return OptimisedPoint.load(place)
    name, steps = code_and_window(code)
    recipe = {"how": f"point {of} in {name}, T = {steps}", "code": name, "timesteps": steps, "weight_bits": dict(stand.bits)}
    return _kept_point(number, recipe, stand, rounds, parts, place)


def _of_all(say: Report, number: int, plan: OptimisePlan) -> Report:
    """What a round says of its steps, as steps of all rounds."""
    steps, rounds = plan.settings.steps, len(plan.goal.energy)
    return lambda what, done, of: say(what, (number - 1) * steps + done, rounds * steps)


def replace_settings(rounds: Rounds, settings: OptimiseSettings) -> Rounds:
    """The rounds with other settings."""
    return Rounds(rounds.teacher, rounds.lesson, rounds.chip, settings)


def _kept_point(number: int, recipe: dict[str, Any], stand: Stand, rounds: Rounds, parts: Parts, place: Path) -> OptimisedPoint:
    """A stand converted, measured on the validation part, and saved."""
    network = rounds.network(stand, recipe.get("code"), recipe.get("timesteps", 1))
    measured = measures(run_on(network, rounds.chip, parts.x), parts.wanted)
    place.mkdir(parents=True, exist_ok=True)
    network.save(place / NETWORK)
    stand.graph.save(place / GRAPH)
    point = OptimisedPoint(number, recipe, measured, stand.kept, place)
    point.save()
    return point


def _opened(
    folder: Path, parts: Parts, chip: Chip, plan: OptimisePlan, rounds: Rounds, minutes: float | None, resume: bool
) -> OptimisePlan:
    """The plan that the folder holds, written where there is none; refuses a folder of another optimisation."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(str(folder), f"it cannot be made a folder ({error.strerror})", "Name another") from None
    known = {"network": digest(_fingerprint(parts)), "chip": chip_digest(chip), "version": __version__}
    about = json.dumps(known, indent=2) + "\n"
    if not (folder / PLAN).exists():
        if minutes is not None:
            plan = replace(plan, settings=replace(plan.settings, steps=steps_for(minutes, rounds, plan)))
        write_text(folder / ABOUT, about)
        write_text(folder / PLAN, plan.to_json())
        return plan
    if not resume:
        raise UsageError(str(folder), "it holds an optimisation already", "Resume it (--resume), or name another folder")
    held = OptimisePlan.read(folder / PLAN)
    steps = held.settings.steps if minutes is not None else plan.settings.steps
    asked = replace(plan, settings=replace(plan.settings, steps=steps))
    if held != asked or (folder / ABOUT).read_text(encoding="utf-8") != about:
        what = "plan" if held != asked else "network, data, chip or version"
        fact = f"its optimisation began with another {what}"
        raise UsageError(str(folder), fact, "Name another folder, or ask the same again")
    return held


def steps_for(minutes: float, rounds: Rounds, plan: OptimisePlan, clock: Callable[[], float] | None = None) -> int:
    """Steps of a round for so many minutes of training in all: by the time of a few steps with this network on this machine."""
    if not minutes > 0:
        raise UsageError("minutes", f"{minutes!r} is no time", "Use more than 0")
    now = clock or CLOCK
    tried = 4
    trial = replace_settings(rounds, replace(plan.settings, steps=tried))
    priced = trial.priced(trial.start)
    trial.trained(trial.start, priced, priced.dynamic_pj, 0)  # what is made once is not counted
    began = now()
    trial.trained(trial.start, priced, priced.dynamic_pj, 0)
    each = max((now() - began) / tried, 1e-6)
    return max(1, int((60 * minutes / each - plan.settings.float_steps) / len(plan.goal.energy)))


def _fingerprint(parts: Parts) -> list[str]:
    """Of the network and of all data."""
    held = [parts.lesson.x, parts.lesson.calibration, parts.x, parts.wanted]
    held += [] if parts.lesson.y is None else [parts.lesson.y]
    graphs = [parts.graph] if parts.lesson.teacher is None else [parts.graph, parts.lesson.teacher]
    held += [array for graph in graphs for layer in graph.layers for _, array in sorted(layer.arrays.items())]
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in held]
