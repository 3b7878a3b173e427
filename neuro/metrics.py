"""The metrics of NeuroBench for a spiking network and a run of it. Knows networks and runs; knows nothing of chips or prices.

Definitions: Yik et al., "The neurobench framework", Nature Communications 2025, and the package `neurobench` 2.3.0, which the
tests compare with. Connections are all synapses between populations, in whatever form their weights are stored: a sum over
windows counts like the depthwise convolution that it is. Copies, one-to-one with weight 1, are none: the package has no layer
for them. It has none for average pools either, which here are neurons with synapses of their own. Inputs and readouts are no
activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.encoding import by_source, quantise, source_of
from neuro.engine.records import Run
from neuro.engine.run import run as run_network
from neuro.errors import InputError
from neuro.network import Network, Population
from neuro.projections import Projection
from neuro.projections.forms import as_convolution
from neuro.windows import Shape

_PARAMETER_BYTES = 4
_PARAMETERS = {"threshold", "bias", "bias_exponent", "initial_potential", "current_decay", "voltage_decay", "start_step"}
_PARAMETERS |= {"minimum", "maximum", "gather", "digits", "levels", "taps", "scale", "offset", "parameters"}
_TRACE_BYTES = 64 << 20  # of potentials that are kept to count their changes


@dataclass(frozen=True, slots=True)
class NeuroBench:
    """NeuroBench's metrics; operations and updates are per sample.

    footprint_bytes: weights and entries of tables in whole bytes, parameters of neurons in 4 bytes each, potentials. dense:
    operations if every input were sent and no weight were zero. membrane_updates: potentials that changed from one step to the
    next, and all at the first step, on the first `membrane_samples` samples. accuracy is None without labels.
    """

    footprint_bytes: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    membrane_updates: float
    membrane_samples: int
    accuracy: float | None = None

    def to_row(self) -> dict[str, Any]:
        """Under the names that the package gives its results."""
        return {
            "Footprint": self.footprint_bytes,
            "ConnectionSparsity": self.connection_sparsity,
            "ClassificationAccuracy": self.accuracy,
            "ActivationSparsity": self.activation_sparsity,
            "SynapticOperations": {
                "Effective_MACs": self.effective_macs,
                "Effective_ACs": self.effective_acs,
                "Dense": self.dense,
            },
            "MembraneUpdates": self.membrane_updates,
            "MembraneUpdates_samples": self.membrane_samples,
        }


def neurobench(network: Network, run: Run, inputs: Any, *, labels: NDArray[np.integer[Any]] | None = None) -> NeuroBench:
    """The metrics of a network and a run of it on these inputs (samples, ...), which are looked at and, a few, run again.

    labels (samples,): classes, for the accuracy. Raises InputError where inputs or labels are not those of the run.
    """
    arrays = by_source(network, inputs)
    samples = len(next(iter(arrays.values())))
    if samples != run.samples or (labels is not None and len(labels) != samples):
        raise InputError("inputs", f"{samples} samples for a run of {run.samples}", "Pass those of the run, with their labels")
    macs, acs, dense = _operations(network, run, arrays)
    zero, weights = _zeros(network)
    firing = [p for p in network.populations if not (p.neuron.is_source or p.neuron.is_readout)]
    places = sum(p.size * p.neuron.active_steps(run.timesteps) for p in firing) * samples
    sent = sum(int(run.counts[p.name].messages.sum()) for p in firing)
    updates, seen = _membrane_updates(network, firing, arrays, run)
    return NeuroBench(
        footprint_bytes=_footprint(network),
        connection_sparsity=zero / weights if weights else 0.0,
        activation_sparsity=1 - sent / places if places else 0.0,
        effective_macs=macs / samples,
        effective_acs=acs / samples,
        dense=dense,
        membrane_updates=updates,
        membrane_samples=seen,
        accuracy=None if labels is None else float((run.predictions == labels).mean()),
    )


def _connections(network: Network) -> list[Projection]:
    return [p for p in network.projections if p.offset is None or (p.expanded().stored_weights != 1).any()]


def _zeros(network: Network) -> tuple[int, int]:
    """Zero weights and all weights; those of a kernel once for each channel, a sparse projection among all its pairs."""
    zero = total = 0
    for p in _connections(network):
        source, target = network[p.source], network[p.target]
        if p.storage == "sparse":
            size, kept = source.size * target.size, _joined(p, source.shape, target.shape)
        else:
            weights = p.unshared_weights(source.shape)
            size, kept = weights.size, int(np.count_nonzero(weights))
        zero, total = zero + size - kept, total + size
    return zero, total


def _joined(p: Projection, source: Shape, target: Shape) -> int:
    """How many pairs of neurons a list of synapses joins; it may name a pair several times."""
    listed = p.synapses(source, target)
    kept = listed.weight != 0
    return len(np.unique(listed.pre[kept].astype(np.int64) * int(np.prod(target)) + listed.post[kept]))


def _operations(network: Network, run: Run, arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int, float]:
    """Multiply-accumulates and accumulates over all samples, and dense operations of one sample."""
    macs = acs = 0
    dense = 0.0
    for p in _connections(network):
        source, target = network[p.source], network[p.target]
        sent = run.spikes[p.source].sum(axis=0, dtype=np.int64)
        effective = int(sent @ _fan_out(p, source.shape, target.shape).ravel())
        if _binary(source, arrays):
            acs += effective
        else:
            macs += effective
        pairs = source.size * target.size if p.storage == "sparse" else p.count(source.shape, target.shape)
        dense += pairs * _steps(source, run.timesteps)
    return macs, acs, dense


def _fan_out(p: Projection, source: Shape, target: Shape) -> NDArray[np.int64]:
    """Weights other than zero that a message of each source neuron meets."""
    if p.matrix is not None:
        return np.asarray(np.count_nonzero(p.matrix, axis=1), np.int64)
    window: Any = as_convolution(p, source, target)
    if window is None:
        listed = p.synapses(source, target)
        return np.asarray(np.bincount(listed.pre[listed.weight != 0], minlength=int(np.prod(source))), np.int64)
    if len(source) == 2:
        source, target = (source[0], 1, source[1]), (target[0], 1, target[1])
    out, per_group, *kernel = window.weights.shape
    kept = (window.weights != 0).reshape(window.groups, out // window.groups, per_group, *kernel).sum(axis=1)
    reached = [_reached(window, axis, kernel[axis], source[1 + axis], target[1 + axis]) for axis in (0, 1)]
    return np.asarray(np.einsum("cyx,yh,xw->chw", kept.reshape(source[0], *kernel), *reached), np.int64)


def _reached(window: Any, axis: int, kernel: int, source: int, target: int) -> NDArray[np.int64]:
    """(taps, source places): 1 where a place is read through a tap."""
    tap, at = np.ogrid[:kernel, :source]
    shifted = at + window.padding[axis][0] - tap * window.dilation[axis]
    inside = (shifted >= 0) & (shifted < target * window.stride[axis])
    return np.asarray(inside & (shifted % window.stride[axis] == 0), np.int64)


def _steps(source: Population, timesteps: int) -> int:
    """Steps at which a population may send."""
    once = source.neuron.is_source and source_of(source).code == "once"
    return 1 if once else source.neuron.active_steps(timesteps)


def _binary(source: Population, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether all messages of a population are -1, 0 or 1; of a source, those of these inputs."""
    low, high = source.neuron.messages
    if -1 <= low <= high <= 1:
        return True
    if not source.neuron.is_source or source_of(source).neuron is not None:
        return False
    values = arrays[source.name]
    values = quantise(source_of(source), values) if not source_of(source).twin else values
    return bool(np.isin(values, (-1, 0, 1)).all())


def _membrane_updates(
    network: Network, firing: list[Population], arrays: Mapping[str, NDArray[Any]], run: Run
) -> tuple[float, int]:
    """Potentials that change, per sample, and on how many samples they were counted."""
    neurons = sum(p.size for p in firing)
    if not neurons:
        return 0.0, 0
    seen = int(max(1, min(run.samples, _TRACE_BYTES // (4 * neurons * run.steps))))
    few = {name: values[:seen] for name, values in arrays.items()}
    record = tuple(f"traces:{p.name}" for p in firing)
    again = run_network(network, few, timesteps=run.timesteps, record=record)
    changed = 0
    for p in firing:
        window = slice(p.neuron.start_step, p.neuron.start_step + p.neuron.active_steps(run.timesteps))
        trace = again.traces[p.name][:, window]
        changed += int(np.count_nonzero(np.diff(trace, axis=1))) + trace[:, :1].size
    return changed / seen, seen


def _footprint(network: Network) -> int:
    """Bytes of what the network holds: weights, parameters and tables of neurons, potentials."""
    total = 0
    for p in network.projections:
        stored = p.stored_weights.astype(np.int64)
        total += stored.size * _bytes(int(np.abs(stored).max(initial=0)).bit_length() + 1)
    for population in network.populations:
        neuron = population.neuron
        if neuron.is_source:
            continue
        names = _PARAMETERS.union(neuron.per_neuron) if neuron.computes else _PARAMETERS
        held = [value for name, value in neuron._values() if name in names and value is not None]
        total += _PARAMETER_BYTES * sum(np.size(value) for value in held)
        words = len(neuron.variables) if neuron.computes else 1
        total += words * population.size * _bytes(neuron.potential_bits or 24)
        total += sum(_table_bytes(getattr(neuron, name)) for name in neuron.shared if neuron.computes)
    return total


def _table_bytes(table: NDArray[Any] | None) -> int:
    """Entries of a table, in as many whole bytes as the largest of them takes with its sign."""
    return 0 if table is None else table.size * _bytes(int(np.abs(table.astype(np.int64)).max()).bit_length() + 1)


def _bytes(bits: int) -> int:
    return -(-bits // 8)
