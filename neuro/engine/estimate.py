"""What a run will need, before it begins: memory at most, and neuron updates. Knows the arrays that engines keep.

Upper bounds from shapes alone, as if every neuron sent a message at every step: nothing is planned, packed or allocated here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from neuro.engine.records import recorded_bytes
from neuro.memory import check_fits
from neuro.network import Network, Population
from neuro.neurons import MaxPool, Source, UserNeuron
from neuro.projections import Conv2d, Dense, Projection, SumPool2d

BLOCK_BYTES = 64 << 20  # worst-case memory of one block of samples of the event engine; most of it is never touched
BLOCK_SAMPLES = 64
_WEIGHT_BYTES = 40  # of one stored weight while its bounds are proven: itself, packed, and three copies in 64 bits
_SYNAPSE_BYTES = 48  # of one synapse that has to be listed
_PACKED_SHARE = 10  # of these bytes, one in so many stays for the run
_PLACE_BYTES, _PAYLOAD_BYTES = 4, 4  # of one neuron and step that it is switched on for: its place in a list, its payload
_SOURCE_BYTES = 16  # of one source neuron and step: its messages in two orders
_KEPT_BYTES = 12  # of one neuron and step of a raster or trace: as the kernels leave it, in the user's order, and as it is kept
_SEGMENT_BYTES = 16  # of one row of neurons and step: where its list begins and ends
_STATE_BYTES = 4
_PLACED_BYTES = 64  # of one neuron while it is placed: cores, classes and routes; twice what a million neurons took
_ENGINE_STATE = {"reference": 8, "torch": 16, "brian2": 16}  # bytes of a state variable and step, copies included


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes at most: of the network in the engine's form, of a block of samples at work, of what the run leaves behind.

    `updates`: neuron updates of the whole run, whatever the activity; `synapses`: visited in one step where all neurons fire.
    """

    plan_bytes: int
    work_bytes: int
    result_bytes: int
    updates: int
    synapses: int

    @property
    def total_bytes(self) -> int:
        return self.plan_bytes + self.work_bytes + self.result_bytes


def estimate(
    network: Network,
    samples: int,
    timesteps: int | None = None,
    *,
    engine: str = "event",
    record: Iterable[str] = (),
    threads: int = 1,
) -> Estimate:
    """What `neuro.run` with the same arguments will need; `timesteps` is by default the window the network was made for."""
    window = timesteps or network.timesteps or 1
    steps, neurons = network.steps(window), sum(p.size for p in network.populations)
    record = record if isinstance(record, str) else tuple(record)
    kept = any(r.startswith(("raster", "packed", "traces")) for r in record)
    each = sum(_block_bytes(p, window, steps, kept or isinstance(p.neuron, UserNeuron)) for p in network.populations)
    if engine == "event":
        block = max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // max(each, 1), -(-samples // threads)))
        work = each * block * (threads if -(-samples // block) >= threads else 1)  # few samples: threads share one block
    else:
        at_once = samples if engine == "torch" else 1
        work = at_once * neurons * _ENGINE_STATE.get(engine, 16) * (steps + 8)
    stored = [_packed(p, network) for p in network.projections]
    return Estimate(
        plan_bytes=sum(stored) // _PACKED_SHARE + max(stored, default=0),
        work_bytes=work,
        result_bytes=recorded_bytes(network, samples, window, record),
        updates=samples * sum(p.size * p.neuron.active_steps(window) for p in network.populations),
        synapses=network.synapses,
    )


def check_memory(needed: Estimate, samples: int, steps: int) -> None:
    """Refuse a run that cannot fit into memory, with the numbers."""
    check_fits(
        f"a run of {samples:,} samples and {steps:,} steps",
        needed.total_bytes,
        f"{needed.plan_bytes:,} bytes of weights, {needed.work_bytes:,} at work and {needed.result_bytes:,} of results",
        "Run fewer samples at a time, record less, or use fewer threads or timesteps",
    )


def check_placeable(network: Network) -> None:
    """Refuse a network whose placement could not be held in memory."""
    neurons = sum(p.size for p in network.populations)
    stored = sum(_packed(p, network) for p in network.projections)
    what = f"tables of {neurons:,} neurons and {network.synapses:,} synapses"
    check_fits("placing the network", neurons * _PLACED_BYTES + stored, what, "Place a part of it, or use more memory")


def _block_bytes(p: Population, window: int, steps: int, kept: bool) -> int:
    """Of one sample of a block, in the event engine."""
    on = min(steps, max(window, p.neuron.active_steps(window)))
    place = _PLACE_BYTES + (_PAYLOAD_BYTES if p.neuron.messages != (0, 1) else 0)
    place += _SOURCE_BYTES if isinstance(p.neuron, Source) else 0
    place_kept = _KEPT_BYTES * steps if kept else 0
    rows = p.shape[1] if len(p.shape) == 3 else 1
    return p.size * (place * on + place_kept + _STATE_BYTES * _variables(p.neuron) + 2) + rows * steps * _SEGMENT_BYTES


def _variables(neuron: object) -> int:
    if isinstance(neuron, Source):
        return 0
    return len(neuron.state) if isinstance(neuron, UserNeuron) else neuron.taps + 1 if isinstance(neuron, MaxPool) else 3


def _packed(projection: Projection, network: Network) -> int:
    """Bytes of a projection while it is packed: of its weights, or of every synapse where those are listed."""
    source, target = network[projection.source].shape, network[projection.target].shape
    if isinstance(projection, SumPool2d):
        return source[0] * prod(projection.window) * _WEIGHT_BYTES
    if isinstance(projection, Dense | Conv2d):
        return projection.stored_weights.size * _WEIGHT_BYTES
    return projection.count(source, target) * _SYNAPSE_BYTES
