"""Neuron models, a file each: parameters, state variables, the arithmetic of a step, and the facts that everybody else reads.

A new model is a file here and a row of `MODELS`: docs/extending.md shows one.
"""

from __future__ import annotations

from neuro.neurons.base import Integers as Integers
from neuro.neurons.base import Neuron as Neuron
from neuro.neurons.base import State as State
from neuro.neurons.base import Step as Step
from neuro.neurons.cuba_lif import CubaLif as CubaLif
from neuro.neurons.delta import Delta as Delta
from neuro.neurons.graded import Graded as Graded
from neuro.neurons.integrate_and_fire import IntegrateAndFire as IntegrateAndFire
from neuro.neurons.leaky_readout import LeakyReadout as LeakyReadout
from neuro.neurons.max_pool import MaxPool as MaxPool
from neuro.neurons.radix import RadixIntegrateAndFire as RadixIntegrateAndFire
from neuro.neurons.readout import Readout as Readout
from neuro.neurons.sigma_delta import SigmaDelta as SigmaDelta
from neuro.neurons.signed import SignedIntegrateAndFire as SignedIntegrateAndFire
from neuro.neurons.source import Source as Source
from neuro.neurons.user import UserNeuron as UserNeuron
from neuro.neurons.value import Value as Value
from neuro.neurons.wait import WaitIntegrateAndFire as WaitIntegrateAndFire

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
        Value,
        CubaLif,
        Delta,
        SigmaDelta,
        UserNeuron,
        Readout,
        LeakyReadout,
    )
}


def stored_models() -> dict[str, type[Neuron]]:
    """The models whose neurons can be written to files, by name."""
    return {name: model for name, model in MODELS.items() if model.storable}
