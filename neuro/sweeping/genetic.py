"""NSGA-II through a space, generation by generation, whose result does not depend on the speed of workers. Knows no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from neuro.errors import NeuroError
from neuro.sweeping.settings import Search, Setting, Space

Values = tuple[float, float, float]
Measure = Callable[[Sequence[Setting]], Mapping[Setting, Values | None]]


def search(space: Space, wanted: Search, measure: Measure) -> tuple[Setting, ...]:
    """The settings that NSGA-II asked for, in order, each once.

    `measure` returns (accuracy, energy, latency) of each setting of a generation, None for one that is not possible. All are
    requested before a result is used, and used in the order of requests: proposals depend on the seed and the values alone.
    """
    with _quiet() as optuna:
        sampler = optuna.samplers.NSGAIISampler(population_size=wanted.population, seed=wanted.seed)
        study = optuna.create_study(directions=("maximize", "minimize", "minimize"), sampler=sampler)
        asked: dict[Setting, None] = {}
        for first in range(0, wanted.trials, wanted.population):
            count = min(wanted.population, wanted.trials - first)
            trials = [study.ask() for _ in range(count)]
            drawn = [_drawn(space, trial) for trial in trials]
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


def _drawn(space: Space, trial: Any) -> Setting:
    chosen = {name: trial.suggest_categorical(name, list(values)) for name, values in space.axes().items()}
    return Setting(**chosen).in_effect()


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
