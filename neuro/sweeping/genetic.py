"""NSGA-II through a space, generation by generation, whose result does not depend on the speed of workers. Knows no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

from neuro.errors import NeuroError
from neuro.sweeping.settings import Search

Values = tuple[float, float, float]
Axes = Mapping[str, Sequence[Any]]
S = TypeVar("S")


def search(
    axes: Axes, made: Callable[[dict[str, Any]], S], wanted: Search, measure: Callable[[Sequence[S]], Mapping[S, Values | None]]
) -> tuple[S, ...]:
    """The settings that NSGA-II asked for, in order, each once.

    axes: the values of each choice; made: the setting of some choices. `measure` returns (accuracy, energy, latency) of each
    setting of a generation, None for one that is not possible. All are requested before a result is used, and used in the order
    of requests: proposals depend on the seed and the values alone.
    """
    with _quiet() as optuna:
        sampler = optuna.samplers.NSGAIISampler(population_size=wanted.population, seed=wanted.seed)
        study = optuna.create_study(directions=("maximize", "minimize", "minimize"), sampler=sampler)
        asked: dict[S, None] = {}
        for first in range(0, wanted.trials, wanted.population):
            count = min(wanted.population, wanted.trials - first)
            trials = [study.ask() for _ in range(count)]
            drawn = [made(_drawn(axes, trial)) for trial in trials]
            asked |= dict.fromkeys(drawn)
            found = measure(tuple(dict.fromkeys(drawn)))
            for trial, setting in zip(trials, drawn, strict=True):
                values = found[setting]
                study.tell(trial, values, state=None if values else optuna.trial.TrialState.FAIL)
    return tuple(asked)


def check_installed() -> None:
    """Refuse a search where the library that draws its settings is not installed."""
    if find_spec("optuna") is None:
        raise NeuroError("search", "optuna is not installed", "pip install 'neuro-emulator[sweep]'")


def _drawn(axes: Axes, trial: Any) -> dict[str, Any]:
    return {name: trial.suggest_categorical(name, list(values)) for name, values in axes.items()}


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna without its log lines."""
    check_installed()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)
