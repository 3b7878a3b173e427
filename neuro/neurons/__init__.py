"""Neuron models, a file each: parameters, state variables, the arithmetic of a step, and the facts that everybody else reads.

A new model is a file here and a row of `MODELS`: docs/extending.md shows one.
"""

from __future__ import annotations

from neuro.neurons.base import Integers, Neuron, State, Step
from neuro.neurons.cuba_lif import CubaLif
from neuro.neurons.graded import Graded
from neuro.neurons.integrate_and_fire import IntegrateAndFire
from neuro.neurons.max_pool import MaxPool
from neuro.neurons.radix import RadixIntegrateAndFire
from neuro.neurons.readout import Readout
from neuro.neurons.signed import SignedIntegrateAndFire
from neuro.neurons.source import Source
from neuro.neurons.user import UserNeuron
from neuro.neurons.wait import WaitIntegrateAndFire

MODELS: dict[str, type[Neuron]] = {  # every model, by the name that it has in files
    model.__name__: model
    for model in (
        Source,
        IntegrateAndFire,
        SignedIntegrateAndFire,
        WaitIntegrateAndFire,
        RadixIntegrateAndFire,
        Graded,
        MaxPool,
        CubaLif,
        UserNeuron,
        Readout,
    )
}

__all__ = [
    "MODELS",
    "CubaLif",
    "Graded",
    "IntegrateAndFire",
    "Integers",
    "MaxPool",
    "Neuron",
    "RadixIntegrateAndFire",
    "Readout",
    "SignedIntegrateAndFire",
    "Source",
    "State",
    "Step",
    "UserNeuron",
    "WaitIntegrateAndFire",
    "stored_models",
]


def stored_models() -> dict[str, type[Neuron]]:
    """The models whose neurons can be written to files, by name."""
    return {name: model for name, model in MODELS.items() if model.storable}
