"""search(model, x, ...) -> Found: which widths, shares and scores make the best networks, by NSGA-II with the chip's bill as
the measure.

Each trial is an optimisation of its own, in a folder of its own: trained and pruned, then emulated. A killed search repeats its
proposals, which depend on the seed and on what was measured alone, and finds the trials that are done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from neuro.chip.files import load_chip
from neuro.chip.spec import Chip
from neuro.errors import FitError, UsageError
from neuro.notebook import Table, TableRepr
from neuro.optimising.found import COLUMNS, Optimised, OptimisedPoint, front_of
from neuro.optimising.optimise import Parts, optimise_parts, split
from neuro.optimising.plan import OptimiseGoal, OptimisePlan, OptimiseSettings
from neuro.optimising.rounds import Report
from neuro.sweeping.cluster import connected
from neuro.sweeping.genetic import search as genetic
from neuro.sweeping.settings import Search, digest

Axis = Sequence[Any]
_GOAL = "energy"  # the axis that is the goal's; the others are the settings'
_WIDTH, _KERNEL = "width ", "kernel "
_FIELDS = ("code", "timesteps", "energy", "channels", "score", "answers", "sparsity", "depth")


@dataclass(frozen=True, slots=True)
class OptimiseSpace:
    """What a search varies. energy: how many times less the one round of a trial aims at. channels, score, answers, sparsity,
    depth: fields of `OptimiseSettings`. widths: shares of a layer's channels to try, for every layer of channels that can leave;
    none: widths follow from the scores alone. kernels: sizes to try, of each convolution those to which its kernel can be cut,
    beside its own."""

    code: tuple[str, ...] = ("graded",)
    timesteps: tuple[int, ...] = (16,)
    energy: tuple[float, ...] = (1.5, 2.0, 3.0)
    channels: tuple[float, ...] = (0.25, 0.5, 0.75)
    score: tuple[str, ...] = ("fisher", "movement")
    answers: tuple[float, ...] = (1.0,)
    sparsity: tuple[float, ...] = (0.0,)
    depth: tuple[int, ...] = (0,)
    widths: tuple[float, ...] = ()
    kernels: tuple[int, ...] = ()

    def axes(self, layers: Sequence[str], sizes: Mapping[str, Sequence[int]]) -> dict[str, Axis]:
        """The values of each choice. layers: whose widths may differ; sizes: that each convolution's kernel can have."""
        made: dict[str, Axis] = {name: getattr(self, name) for name in _FIELDS}
        for name, values in made.items():
            if not values:
                raise UsageError(f"space, {name}", "there is no value", "Name at least one")
        tried = {name: [size for size in known if size in self.kernels or size == known[-1]] for name, known in sizes.items()}
        made |= {_KERNEL + name: values for name, values in tried.items() if len(values) > 1}
        return made | {_WIDTH + name: self.widths for name in layers if self.widths}


@dataclass(frozen=True, slots=True, repr=False)
class Found(TableRepr):
    """Every trial in the order in which it was asked for."""

    trials: tuple[Optimised, ...] = field(default_factory=tuple)

    @property
    def front(self) -> tuple[OptimisedPoint, ...]:
        """Points of any trial that no other beats, the start once."""
        points = [trial.points[-1] for trial in self.trials] + [trial.start for trial in self.trials[:1]]
        return front_of(points)

    def _shown(self) -> Table:
        title = f"{len(self.trials)} trials, {len(self.front)} points that no other beats"
        return title, ("where", *COLUMNS[1:-1]), [self._words(point) for point in self.front]

    def _words(self, point: OptimisedPoint) -> list[str]:
        trial = next(trial for trial in self.trials if point in trial.points)
        row = trial.words()[trial.points.index(point)]
        return [str(point.folder), *row[1:-1]]

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values."""
        rows = [{"folder": str(point.folder), "recipe": dict(point.recipe), **asdict(point.measured)} for point in self.front]
        return {"trials": [trial.to_json() for trial in self.trials], "front": rows}


@dataclass(frozen=True, slots=True)
class Trial:
    """The choices of a trial, by name."""

    chosen: tuple[tuple[str, Any], ...]

    def plan(self, settings: OptimiseSettings) -> OptimisePlan:
        """The plan that these choices make of some settings."""
        chosen = dict(self.chosen)
        goal = OptimiseGoal(energy=(chosen.pop(_GOAL),))
        widths, kernels = (
            tuple((name.removeprefix(what), value) for name, value in chosen.items() if name.startswith(what))
            for what in (_WIDTH, _KERNEL)
        )
        plain = {name: value for name, value in chosen.items() if not name.startswith((_WIDTH, _KERNEL))}
        return OptimisePlan(goal, replace(settings, **plain, widths=widths, kernels=kernels, codes=()))


def search(
    model: Any,
    x: Any,
    *,
    labels: Any = None,
    validation: tuple[Any, Any] | None = None,
    chip: str | Chip = "loihi2",
    space: OptimiseSpace | None = None,
    trials: int = 24,
    population: int = 8,
    settings: OptimiseSettings | None = None,
    folder: Any = "searched",
    cluster: Any = None,
    report: Report | None = None,
) -> Found:
    """Try optimisations of one round, as NSGA-II proposes them by accuracy, dynamic energy and latency on the validation part.

    The arguments are those of `optimise`; settings: of every trial, where the space says nothing. What the folder holds is
    taken as done. A trial whose network fits no board is one that failed. cluster: the address of a Dask scheduler, or a
    `dask.distributed.Client`, on which the trials of a population run at once; its workers must see the folder.
    """
    base, chosen = settings or OptimiseSettings(), load_chip(chip) if isinstance(chip, str) else chip
    parts = split(model, x, labels, validation, base.seed)
    wanted = Search(trials, population, base.seed)
    return search_parts(parts, chosen, space or OptimiseSpace(), wanted, base, Path(folder), report, cluster)


def search_parts(
    parts: Parts,
    chip: Chip,
    space: OptimiseSpace,
    wanted: Search,
    base: OptimiseSettings,
    folder: Path,
    report: Report | None = None,
    cluster: Any = None,
) -> Found:
    """The same for parts that are ready."""
    from converters.optimising.shapes import without_blocks

    if base.float_steps:
        remedy = "Train it once with optimise, and search from the float graph of the point that it keeps"
        raise UsageError("search, float_steps", "each trial would train the float network anew", remedy)
    known: dict[Trial, Optimised | None] = {}

    def measure(asked: Sequence[Trial]) -> Mapping[Trial, tuple[float, float, float] | None]:
        new = [trial for trial in dict.fromkeys(asked) if trial not in known]
        if client is not None:
            for trial in client.map(_fitted, new, parts=held, chip=chip, base=base, folder=folder.absolute(), pure=False):
                trial.result()  # every point of it is in the folder then
        for trial in new:
            known[trial] = _tried(trial, parts, chip, base, folder)
            if report:
                report("searching", len(known), wanted.trials)
        return {trial: _values(known[trial]) for trial in asked}

    without_blocks(parts.graph, max(space.depth), parts.lesson.calibration[:1])  # refused now, not in the middle
    axes = space.axes(_widths(parts) if space.widths else (), _sizes(parts) if space.kernels else {})
    with nullcontext() if cluster is None else connected(cluster) as client:
        held = None if client is None else client.scatter(parts)
        asked = genetic(axes, lambda choices: Trial(tuple(sorted(choices.items()))), wanted, measure)
    return Found(tuple(found for trial in asked if (found := known[trial]) is not None))


def _tried(trial: Trial, parts: Parts, chip: Chip, base: OptimiseSettings, folder: Path) -> Optimised | None:
    plan = trial.plan(base)
    try:
        return optimise_parts(parts, chip, plan, folder / digest(plan.to_json())[:16], resume=True)
    except FitError:
        return None


def _fitted(trial: Trial, parts: Parts, chip: Chip, base: OptimiseSettings, folder: Path) -> bool:
    """A trial made on a worker; whether its network fitted."""
    return _tried(trial, parts, chip, base, folder) is not None


def _values(found: Optimised | None) -> tuple[float, float, float] | None:
    if found is None:
        return None
    m = found.points[-1].measured
    return m.accuracy, m.dynamic_pj, m.latency_ns


def _widths(parts: Parts) -> tuple[str, ...]:
    """One layer for each set of channels that leave together."""
    from converters.optimising.channels import channel_groups

    groups = channel_groups(parts.graph)
    seen: set[int] = set()
    names = []
    for layer in parts.graph.layers:
        mine = set(groups.of[layer.name].tolist()) - groups.fixed
        if layer.op == "relu" and mine and not mine & seen:
            names.append(layer.name)
            seen |= mine
    return tuple(names)


def _sizes(parts: Parts) -> dict[str, tuple[int, ...]]:
    """The sizes that the kernel of each convolution can have."""
    from converters.optimising.shapes import kernel_sizes

    return {layer.name: kernel_sizes(layer) for layer in parts.graph.layers if layer.op == "conv"}
