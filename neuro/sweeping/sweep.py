"""sweep(model, inputs, labels, ...) -> Sweep: many settings measured, each kept as soon as it is known, and their front.

Knows the order of steps; other files measure a setting, run workers and keep the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from neuro.chip.files import load_chip
from neuro.errors import FormatError, UsageError
from neuro.files import write_text
from neuro.sweeping.cluster import cluster as _on_cluster
from neuro.sweeping.found import Sweep, SweepPoint, versions
from neuro.sweeping.genetic import Values, search
from neuro.sweeping.journal import Journal, Record, open_journal
from neuro.sweeping.measure import Measured
from neuro.sweeping.pool import Job, pool
from neuro.sweeping.settings import Search, Setting, Space
from neuro.sweeping.subject import SweepSubject, fingerprint, load_subject, subject_of

Progress = Callable[[int, int], None]
SUBJECT, PLAN, JOURNAL = "subject.safetensors", "plan.json", "journal.jsonl"


class Measurer(Protocol):
    """What measures jobs: processes of this machine, or a cluster."""

    def measure(self, jobs: Sequence[Job]) -> Iterator[Record]: ...


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What is to be measured: all of a space, or a search through it."""

    space: Space = Space()
    search: Search | None = None

    def to_json(self) -> str:
        """The plan as text; equal plans give equal texts."""
        searched = None if self.search is None else asdict(self.search)
        return json.dumps({"space": self.space.axes(), "search": searched}, indent=2) + "\n"

    @staticmethod
    def read(path: Path) -> SweepPlan:
        """The plan that a sweep's folder holds."""
        try:
            held = json.loads(path.read_text(encoding="utf-8-sig"))
            return SweepPlan(Space(**held["space"]), held["search"] and Search(**held["search"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(str(path), f"it is no plan of a sweep ({type(error).__name__})", "State what to sweep") from None


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What measures a sweep: so many worker processes, or a Dask cluster; `progress(done, total)` is called for each point."""

    workers: int | None = None
    cluster: Any = None
    progress: Progress | None = None


def sweep(
    model: Any,
    inputs: Any,
    labels: Any,
    *,
    folder: Any,
    space: Space | None = None,
    calibration: Any = None,
    search: Search | None = None,
    resume: bool = False,
    workers: int | None = None,
    cluster: Any = None,
    progress: Progress | None = None,
) -> Sweep:
    """Convert, place and emulate a network in every setting of a space, and find the settings worth considering.

    model: torch module or Graph; inputs (samples, *shape), labels (samples,); calibration: typical inputs, the first 512 of
    `inputs` when left out. folder: holds the journal and the results; `resume` continues what it holds. search: NSGA-II
    instead of the whole grid. workers: processes, one for each core when left out; cluster: the address of a Dask
    scheduler, or a `dask.distributed.Client`, instead. `progress(done, total)` is called after every point.
    A setting that is not possible is a point with an error. Raises UsageError where the folder holds another sweep.
    """
    subject = subject_of(model, inputs, labels, calibration=calibration)
    plan = SweepPlan(Space() if space is None else space, search)
    return sweep_subject(subject, plan, Path(folder), WorkerOptions(workers, cluster, progress), resume=resume)


def sweep_subject(
    subject: SweepSubject | None,
    plan: SweepPlan | None,
    folder: Path,
    options: WorkerOptions = WorkerOptions(),
    *,
    resume: bool = False,
) -> Sweep:
    """The same for a subject that is ready; None for the subject or the plan that the folder holds already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(str(folder), f"it cannot be made a folder ({error.strerror})", "Name another") from None
    if (folder / JOURNAL).exists() and not resume:
        raise UsageError(str(folder), "it holds a sweep already", "Resume it (--resume), or name another folder")
    about = {"subject": _keep_subject(subject, folder), "versions": versions()}
    plan = SweepPlan.read(folder / PLAN) if plan is None else plan
    known = load_subject(folder / SUBJECT)
    with open_journal(folder / JOURNAL, about) as journal, _measurer(options, known, folder) as measurer:
        write_text(folder / PLAN, plan.to_json())
        work = _Work(journal, measurer, plan, options.progress)
        settings = plan.space.settings() if plan.search is None else search(plan.space.axes(), _setting, plan.search, work.values)
        work.measure(settings)
        points = tuple(work.point(setting) for setting in settings)
    found = Sweep(known.title, points, len(known.labels), known.accuracy_ann)
    found.save(folder)
    return found


def _setting(chosen: dict[str, Any]) -> Setting:
    return Setting(**chosen).in_effect()


def _keep_subject(subject: SweepSubject | None, folder: Path) -> str:
    """The fingerprint of the subject in the folder, where it is written unless it is there; refuses another one."""
    path = folder / SUBJECT
    if subject is not None and not path.exists():
        return subject.save(path)
    if subject is None and not path.exists():
        raise UsageError(str(folder), "there is no sweep to continue", "Name its folder, or begin one without --resume")
    kept = fingerprint(path)
    if subject is not None:
        with TemporaryDirectory() as beside:
            if subject.save(Path(beside) / SUBJECT) != kept:
                raise UsageError(str(folder), "its sweep is about another network or other data", "Name another folder")
    return kept


@contextmanager
def _measurer(options: WorkerOptions, subject: SweepSubject, folder: Path) -> Iterator[Measurer]:
    if options.cluster is not None:
        with _on_cluster(options.cluster, subject) as measurer:
            yield measurer
    else:
        with pool(folder / SUBJECT, options.workers) as local:
            yield local


class _Work:
    """What is known so far, and the one way to know more."""

    def __init__(self, journal: Journal, measurer: Measurer, plan: SweepPlan, progress: Progress | None) -> None:
        self._journal, self._measurer, self._progress = journal, measurer, progress
        self._chips = {name: load_chip(name) for name in plan.space.chip}
        self._records: dict[str, Record] = {key: kept for key, kept in journal.records.items() if not kept.get("lost")}
        self._wanted: set[str] = set()
        self._total = len(plan.space.settings()) if plan.search is None else plan.search.trials

    def measure(self, settings: Sequence[Setting]) -> None:
        """See to it that all of these are known."""
        asked = [self._job(setting) for setting in settings]
        self._wanted |= {job.key for job in asked}
        jobs = [job for job in asked if job.key not in self._records]
        for record in self._measurer.measure(jobs) if jobs else ():
            self._journal.append(record)
            self._records[record["key"]] = record
            self._tell()
        self._tell()

    def values(self, settings: Sequence[Setting]) -> Mapping[Setting, Values | None]:
        """What the search wants to know of these."""
        self.measure(settings)
        found = {setting: self.point(setting).measured for setting in settings}
        return {s: None if m is None else (m.accuracy, m.energy_pj, m.latency_ns) for s, m in found.items()}

    def point(self, setting: Setting) -> SweepPoint:
        """What is known of a setting."""
        record = self._records[self._job(setting).key]
        measured = record.get("measured")
        return SweepPoint(setting, None if measured is None else Measured(**measured), record.get("error", ""))

    def _job(self, setting: Setting) -> Job:
        chip = self._chips[setting.chip]
        return Job(setting.key(chip), setting, chip)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(len(self._wanted & self._records.keys()), self._total)
