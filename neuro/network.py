"""Network: a spiking network in chip integers, checked at birth, saved and loaded without pickle.

Knows populations and projections; knows nothing of engines, chips or where the weights came from.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neuro.errors import FormatError, NetworkError, NeuroError
from neuro.learning.checking import check_learning
from neuro.learning.memory import Memory
from neuro.learning.rule import LearningRule
from neuro.neurons import MODELS, Neuron, stored_models
from neuro.neurons.refreshing import unmet
from neuro.notebook import Table, TableRepr, abridged
from neuro.numbers import settle, whole
from neuro.projections import KINDS, Projection
from neuro.specification import INT32, Specification


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Population(Specification):
    """Neurons of one model in an array of `shape`, e.g. (channels, height, width) or (neurons,)."""

    name: str
    shape: tuple[int, ...]
    neuron: Neuron

    def __post_init__(self) -> None:
        where = f"population {self.name!r}"
        if not self.name or not isinstance(self.name, str):
            raise NetworkError(where, "it has no name", "Give every population a name")
        given = tuple(self.shape) if isinstance(self.shape, tuple | list) else (self.shape,)
        shape = tuple(whole(where, f"shape {self.shape}: a size", n, 1, error=NetworkError) for n in given)
        object.__setattr__(self, "shape", shape)
        if not shape:
            raise NetworkError(where, "shape () holds no neurons", "Use positive sizes")
        if math.prod(shape) > INT32.max:
            raise NetworkError(where, f"shape {self.shape} holds {math.prod(shape):,} neurons", f"Use at most {INT32.max:,}")
        if not isinstance(self.neuron, Neuron) or MODELS.get(type(self.neuron).__name__) is not type(self.neuron):
            raise NetworkError(where, f"{self.neuron!r} is not a neuron model", "Use neuro.IntegrateAndFire(...), say")
        for name, value in self.neuron._values():
            if isinstance(value, np.ndarray) and name not in self.neuron.shared and not _spreads(value.shape, shape):
                raise NetworkError(
                    where, f"{name} of shape {np.shape(value)} does not broadcast to {shape}", "Use (channels, 1, 1)"
                )

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


def _spreads(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to another."""
    return len(given) <= len(shape) and all(n in (1, m) for n, m in zip(given[::-1], shape[::-1], strict=False))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Network(TableRepr, Specification):
    """Populations and the projections between them. `timesteps` is the window T that the network was made for, if any."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int | None = None
    notes: tuple[str, ...] = ()
    _by_name: dict[str, Population] = field(init=False, default_factory=dict)
    _plans: dict[Any, Any] = field(init=False, default_factory=dict)  # what engines have made of the network, see engine.plan

    def __post_init__(self) -> None:
        for name, kind in (("populations", Population), ("projections", Projection), ("notes", str)):
            listed = getattr(self, name)
            if not isinstance(listed, tuple | list) or not all(isinstance(part, kind) for part in listed):
                raise NetworkError("network", f"{name} is not a tuple of {name}", f"Pass a tuple of {kind.__name__} values")
            object.__setattr__(self, name, tuple(listed))
        object.__setattr__(self, "_by_name", {p.name: p for p in self.populations})
        if not self.populations:
            raise NetworkError("network", "it has no populations", "Add at least one")
        names = [p.name for p in self.populations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise NetworkError(f"population {twice[0]!r}", "the name is used twice", "Give every population its own name")
        if self.timesteps is not None:
            settle(self, NetworkError, "network", timesteps=(1, INT32.max))
        for projection in self.projections:
            self._check(projection)

    def with_notes(self, notes: tuple[str, ...]) -> Network:
        """The same network, which has been checked, with other notes."""
        made = copy(self)
        for name, value in (("notes", notes), ("_plans", {})):
            object.__setattr__(made, name, value)
        if not all(isinstance(note, str) for note in notes):
            raise NetworkError("network", "notes is not a tuple of notes", "Pass a tuple of str values")
        return made

    def _check(self, projection: Projection) -> None:
        for name in (projection.source, projection.target):
            if name not in self._by_name:
                raise NetworkError(
                    f"projection {projection.name}", f"there is no population {name!r}", f"Use one of {', '.join(self._by_name)}"
                )
        source, target = self[projection.source], self[projection.target]
        if target.neuron.is_source:
            raise NetworkError(f"projection {projection.name}", f"{target.name!r} is driven from outside", "Project elsewhere")
        if source.neuron.is_readout:
            raise NetworkError(f"projection {projection.name}", f"readout {source.name!r} sends nothing", "Project elsewhere")
        if projection.port >= target.neuron.port_count:
            fact = f"port {projection.port} of {target.name!r}, a {type(target.neuron).__name__} of {target.neuron.port_count}"
            raise NetworkError(f"projection {projection.name}", fact, "Use port 0, or a Value with two ports")
        if why := unmet(source.neuron, target.neuron, projection.port, projection.delay):
            raise NetworkError(f"projection {projection.name}", why, "Give both the same refresh, and frames that meet")
        projection.check(source.shape, target.shape)
        if projection.rule is not None:
            check_learning(projection, self._by_name)

    def _shown(self) -> Table:
        rows = [
            (p.name, "x".join(map(str, p.shape)), type(p.neuron).__name__, f"{p.size:,}", str(p.neuron.start_step))
            for p in self.populations
        ]
        window = "" if self.timesteps is None else f"; T = {self.timesteps}"
        title = f"Network of {self.neurons:,} neurons, {self.synapses:,} synapses{window}"
        return title, ("population", "shape", "model", "neurons", "starts at"), abridged(rows)

    def _values(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in ("populations", "projections", "timesteps", "notes")]

    def __getitem__(self, name: str) -> Population:
        if name not in self._by_name:
            raise NetworkError(f"population {name!r}", "there is none of that name", f"Use one of {', '.join(self._by_name)}")
        return self._by_name[name]

    @property
    def neurons(self) -> int:
        """Number of neurons that live on a chip: all but those of sources which the host drives."""
        return sum(p.size for p in self.populations if p.neuron.on_chip)

    @property
    def synapses(self) -> int:
        """Number of synapses, shared weights counted at every place they act."""
        return sum(p.count(self[p.source].shape, self[p.target].shape) for p in self.projections)

    @property
    def sources(self) -> tuple[Population, ...]:
        return tuple(p for p in self.populations if p.neuron.is_source)

    @property
    def readouts(self) -> tuple[Population, ...]:
        return tuple(p for p in self.populations if p.neuron.is_readout)

    @property
    def learns(self) -> bool:
        """Whether any of its projections has a learning rule."""
        return any(p.rule is not None for p in self.projections)

    def fixed(self) -> Network:
        """The same network with its weights as they are: no projection learns."""
        return replace(self, projections=tuple(p.fixed() for p in self.projections))

    def refuse_learning(self, where: str, fact: str, error: type[NeuroError]) -> None:
        """Raise the error where a projection has a learning rule, which would be lost."""
        for p in self.projections:
            if p.rule is not None:
                raise error(
                    where, f"projection {p.name} learns, {fact}", "Pass network.fixed(), which keeps its weights as they are"
                )

    def into(self, target: str) -> tuple[Projection, ...]:
        """Projections that end in `target`."""
        return tuple(p for p in self.projections if p.target == target)

    def out_of(self, source: str) -> tuple[Projection, ...]:
        """Projections that start in `source`."""
        return tuple(p for p in self.projections if p.source == source)

    def steps(self, timesteps: int) -> int:
        """Chip steps of one sample: until the last population's window of `timesteps` closes."""
        return max(p.neuron.start_step + p.neuron.active_steps(timesteps) for p in self.populations)

    def save(self, path: Any) -> None:
        """Write the network to `path` as safetensors with a JSON header; one with a UserNeuron is refused: code is not stored."""
        from neuro.files import save_value

        check_storable(self)
        save_value(self, path, "network", parts())

    @staticmethod
    def load(path: Any) -> Network:
        """Read a network that `save` wrote. Nothing is executed; a broken file is a FormatError."""
        from neuro.files import load_value

        return load_value(path, "network", Network, parts())


def check_storable(network: Network) -> None:
    """Refuse to write a network with a neuron of the user's own, whose code no file holds."""
    for p in network.populations:
        if not p.neuron.storable:
            fact = f"a {type(p.neuron).__name__}'s function cannot be stored"
            raise FormatError(f"population {p.name!r}", fact, "Keep its script")


def parts() -> dict[str, Any]:
    """The types that a saved network is made of, by name."""
    learning = {"LearningRule": LearningRule, "Memory": Memory}
    return {**stored_models(), **KINDS, **learning, "Population": Population, "Network": Network}
