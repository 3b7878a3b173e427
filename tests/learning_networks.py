"""Networks that learn, rules and spikes for tests."""

from typing import Any

import numpy as np

import neuro


def rule(dw: str, **more: Any) -> neuro.LearningRule:
    return neuro.LearningRule(dw, x1=(16, 20), y1=(16, 20), **more)


def pair(given: neuro.LearningRule | None = None, *, source: Any = None, target: Any = None, **more: Any) -> neuro.Network:
    """Three inputs, two neurons, a rule between."""
    populations = (
        neuro.Population("in", (3,), source or neuro.Source(levels=1)),
        neuro.Population("out", (2,), target or neuro.IntegrateAndFire(100, potential_bits=16)),
    )
    return neuro.Network(populations, (neuro.Dense("in", "out", [[60, 10], [20, 30], [0, 5]], rule=given, **more),))


def spikes(samples: int = 4, steps: int = 40, neurons: int = 3, rate: float = 0.3, seed: int = 0) -> Any:
    return (np.random.default_rng(seed).random((samples, steps, neurons)) < rate).astype(int)
