"""Calibration: class parameters fitted in log error, and leave-one-family-out predictions. Knows points and models.

Each task fits the parameters of one kind on its own measurements. A family is the unit of holding out: all points of a device
line go together. What a task cannot fit (one family, or none) keeps the assumed value of calibrated.toml, and its predictions
are still held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from neuro.machines.kind import Bounds
from neuro.machines.kinds import KINDS
from neuro.machines.parameters import own_parameters, parameters_of
from neuro.machines.prediction import Observation, predict, time_of

Bases = Mapping[str, Mapping[str, float]]  # parameters by kind
_SOFT = 0.2  # log errors beyond this count linearly, so that one odd measurement does not bend the fit
_PRIOR = 0.05  # weight of the prior, so that what the data do not determine stays where it was


@dataclass(frozen=True, slots=True)
class Task:
    """Parameters of a section of calibrated.toml, where they may lie, and which observations they are fitted on."""

    section: str
    names: Mapping[str, Bounds]
    uses: Callable[[Observation], bool]


def _time(kind: str, figure: str) -> Callable[[Observation], bool]:
    def uses(o: Observation) -> bool:
        machine = o.setting.machine
        alike = (machine.kind, machine.runtime) == (kind, "graph") and (not figure or figure in machine.figures)
        return alike and "energy" not in o.quantity

    return uses


def _runtime(runtime: str) -> Callable[[Observation], bool]:
    return lambda o: "energy" not in o.quantity and o.setting.machine.runtime == runtime


def _wall(o: Observation) -> bool:
    return o.point.energy_kind == "total" and "energy" in o.quantity and o.point.power_scope == "wall"


TASKS = (
    *(Task(name, kind.fitted, _time(name, kind.fitted_with)) for name, kind in KINDS.items() if kind.fitted),
    Task("host", {"framework_start_us": (900, 10, 5000), "framework_dispatch_us": (60, 1, 500)}, _runtime("framework")),
    Task("host", {"usb_start_us": (2500, 100, 10000), "usb_dispatch_us": (60, 1, 500)}, _runtime("usb")),
    Task(
        "power",
        {
            "awake_share": (0.3, 0.0, 1.0),
            "server_w": (250, 20, 1000),
            "server_share": (0.2, 0.0, 1.0),
        },
        lambda o: _wall(o) and o.setting.machine.form == "card",
    ),
    Task(
        "power",
        {"module_awake_share": (0.3, 0.0, 1.0), "board_share": (0.1, 0.0, 0.5)},
        lambda o: _wall(o) and o.setting.machine.form in ("module", "kit") and o.setting.machine.kind != "cpu",
    ),
    Task("power", {"dynamic_awake_share": (0.3, 0.0, 1.0)}, lambda o: o.quantity == "dynamic energy"),
)


def fit(task: Task, data: Sequence[Observation], base: Bases, start: Mapping[str, float] | None = None) -> dict[str, float]:
    """Values of the task's parameters that explain `data` best, the others as in `base`; `start` is where to begin."""
    names = list(task.names)
    prior, low, high = (np.array([task.names[name][i] for name in names], np.float64) for i in range(3))
    first = np.array([start.get(name, prior[i]) for i, name in enumerate(names)]) if start else prior
    known = [time_of(o, base[o.setting.machine.kind]) for o in data] if task.section == "power" else [None] * len(data)

    def residuals(unit: np.ndarray) -> np.ndarray:
        values = dict(zip(names, low + unit * (high - low), strict=True))
        mine = {kind: {**parameters, **values} for kind, parameters in base.items()}
        errors = [math.log(predict(o, mine[o.setting.machine.kind], t) / o.measured) for o, t in zip(data, known, strict=True)]
        return np.array([*errors, *(_PRIOR * (unit - (prior - low) / (high - low)))])

    unit = np.clip((first - low) / (high - low), 1e-6, 1 - 1e-6)
    best = least_squares(residuals, unit, bounds=(0, 1), loss="soft_l1", f_scale=_SOFT, diff_step=1e-3, xtol=1e-3, ftol=1e-4)
    return {name: float(value) for name, value in zip(names, low + best.x * (high - low), strict=True)}


def calibrate(data: Sequence[Observation]) -> dict[str, dict[str, float]]:
    """All parameters fitted on all of `data`, by section. Times first: energy is fitted on the times they give."""
    found: dict[str, dict[str, float]] = {}
    kinds = {o.setting.machine.kind for o in data}
    base = bases(kinds, {})
    for task in TASKS:
        chosen = [o for o in data if task.uses(o)]
        found.setdefault(task.section, {}).update(fit(task, chosen, base))
        base = bases(kinds, found)
    return found


def held_out(targets: Sequence[Observation], data: Sequence[Observation], found: Bases) -> list[float]:
    """The prediction of every target with parameters fitted on `data` without its family; `found` is where the fits begin."""
    predictions: dict[int, float] = {}
    for family in dict.fromkeys(o.family for o in targets):
        mine = [(i, o) for i, o in enumerate(targets) if o.family == family]
        lines = {family, *(o.setting.machine.family for _, o in mine)}
        rest = [o for o in data if not {o.family, o.setting.machine.family} & lines]
        base = _without(mine, rest, {o.setting.machine.kind for o in (*targets, *data)}, found)
        predictions.update((i, predict(o, base[o.setting.machine.kind])) for i, o in mine)
    return [predictions[i] for i in range(len(targets))]


def _without(mine: Sequence[tuple[int, Observation]], rest: Sequence[Observation], kinds: set[str], found: Bases) -> Bases:
    """Parameters by kind where every task that concerns `mine` is fitted on `rest`; what that leaves open takes its prior."""
    without = {section: dict(values) for section, values in found.items()}
    base = bases(kinds, without)
    for task in TASKS:
        if any(task.uses(o) for _, o in mine):
            chosen = [o for o in rest if task.uses(o)]
            priors = {name: bounds[0] for name, bounds in task.names.items()}
            values = fit(task, chosen, base, found.get(task.section)) if chosen else priors
            without.setdefault(task.section, {}).update(values)
            base = bases(kinds, without)
    return base


def bases(kinds: Iterable[str], found: Bases) -> dict[str, dict[str, float]]:
    """Parameters of each kind: the shipped ones, replaced by those found."""
    shared = {**found.get("host", {}), **found.get("power", {})}
    kinds = set(kinds)
    own = {kind: {key: figure.value for key, figure in own_parameters(kind).items()} for kind in kinds}
    return {kind: {**parameters_of(kind), **shared, **own[kind], **found.get(kind, {})} for kind in kinds}
