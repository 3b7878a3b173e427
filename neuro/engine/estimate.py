"""What a run will need, before it begins: memory at most, and neuron updates. Knows the arrays that engines keep.

Upper bounds from shapes alone, as if every neuron sent a message at every step: nothing is planned or packed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from neuro.engine.bounds import INT16 as MOST_NARROW
from neuro.engine.bounds import as_convolution, as_stored, is_depthwise, magnitude
from neuro.engine.lanes import HALF, LANES
from neuro.engine.layout import Layout
from neuro.engine.listing import listed_by_row
from neuro.engine.models import has_kernel
from neuro.engine.pack import DENSE_BELOW, DENSE_LIMIT
from neuro.engine.records import recorded_bytes
from neuro.engine.tiled import has_tiles, tile_bytes
from neuro.memory import check_fits
from neuro.network import Network, Population
from neuro.neurons import Neuron
from neuro.projections import Projection
from neuro.windows import pair

BLOCK_BYTES = 64 << 20  # worst-case memory of one block of samples of the event engine; most of it is never touched
BLOCK_SAMPLES = 64
_WEIGHT_BYTES = 24  # of one stored weight while its sums are proven or it is brought into memory order: copies in 32 bits
_SYNAPSE_BYTES = 36  # of one listed synapse at work: both neurons in 64 bits, its weight, and what is packed of it
_MOVED_BYTES = 40  # more where memory has neurons in another order: both neurons there, two permutations
_LISTED_BYTES = 8  # of one listed synapse that stay: its target's lane and its weight
_ROW_BYTES = 4  # more where its target row is listed too
_LEARNING_BYTES = 72  # of one synapse that learns: as a listed one, and where it lies by source and by target
_POINTER_BYTES = 8
_PLACING_BYTES = 48  # of one weight or listed synapse while its network is placed
_PLAIN_BYTES, _PLAIN_KEPT = 64, 20  # of any synapse in engines that list them all: while they do, and for the run
_BIAS_BYTES = 8  # of one neuron's bias in a plan, and while it is made
_FIRST_BYTES = 16  # of one state variable's first value while a plan or a workspace is made
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
    record = record if isinstance(record, str) else tuple(record)
    by_step = any(r.startswith(("raster", "packed", "traces")) for r in record)
    kind = "event" if engine == "event" else "others"
    asked = ("estimate", kind, window, by_step)
    if asked not in network._plans:
        network._plans[asked] = _sizes(network, window, kind, by_step)
    each, stored, updates, synapses = network._plans[asked]
    if engine == "event":
        block = block_samples(each, samples, threads)
        work = each * block * (threads if -(-samples // block) >= threads else 1)  # few samples: threads share one block
    else:
        at_once, neurons = samples if engine == "torch" else 1, sum(p.size for p in network.populations)
        work = at_once * neurons * _ENGINE_STATE.get(engine, 16) * (network.steps(window) + 8)
    return Estimate(stored, work, recorded_bytes(network, samples, window, record), samples * updates, synapses)


def _sizes(network: Network, window: int, kind: str, by_step: bool) -> tuple[int, int, int, int]:
    """Bytes of one sample of a block in the event engine, bytes of a plan, updates of one sample and synapses."""
    steps = network.steps(window)
    each = sum(_block_bytes(p, window, steps, by_step or not has_kernel(p.neuron)) for p in network.populations)
    stored = _stored(network, kind)
    kept = sum(bytes_kept for _, bytes_kept in stored)
    integrating = [p for p in network.populations if not p.neuron.is_source]  # sources have no first state to keep
    states = sum(p.size * (_BIAS_BYTES + _FIRST_BYTES * _variables(p.neuron)) for p in integrating)
    updates = sum(p.size * p.neuron.active_steps(window) for p in network.populations)
    packed = kept + max(kept, *(working for working, _ in stored), 0) + states
    if kind == "event" and any(p.neuron.computes for p in network.populations):
        from neuro.engine.batch.plan import bytes_at_most, sends_once

        packed = max(packed, bytes_at_most(network)) if sends_once(network, window) else packed
    return each, packed, updates, network.synapses


def check_memory(needed: Estimate, samples: int, steps: int) -> None:
    """Refuse a run that cannot fit into memory, with the numbers."""
    check_fits(
        f"a run of {samples:,} samples and {steps:,} steps",
        needed.total_bytes,
        f"{needed.plan_bytes:,} bytes of weights, {needed.work_bytes:,} at work and {needed.result_bytes:,} of results",
        "Run fewer samples at a time, record less, or use fewer threads or timesteps",
    )


def check_placeable(network: Network, listed: Collection[str]) -> None:
    """Refuse a network whose placement could not be held in memory. `listed`: projections whose synapses a chip lists."""
    neurons = sum(p.size for p in network.populations)
    stored = sum(_placing(p, network, p.name in listed) for p in network.projections) * _PLACING_BYTES
    what = f"tables of {neurons:,} neurons and {network.synapses:,} synapses"
    check_fits("placing the network", neurons * _PLACED_BYTES + stored, what, "Place a part of it, or use more memory")


def block_samples(each: int, samples: int, threads: int) -> int:
    """Samples that the event engine works on together, given the bytes of each: as many as there is room for, and blocks such
    that all threads get as many."""
    most = max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // max(each, 1)))
    turns = -(-samples // (threads * most))
    return max(1, -(-samples // (threads * max(turns, 1))))


def _block_bytes(p: Population, window: int, steps: int, kept: bool) -> int:
    """Of one sample of a block, in the event engine."""
    on = min(steps, max(window, p.neuron.active_steps(window)))
    place = _PLACE_BYTES + (_PAYLOAD_BYTES if p.neuron.messages != (0, 1) else 0)
    place += _SOURCE_BYTES if p.neuron.is_source else 0
    place_kept = _KEPT_BYTES * steps if kept else 0
    rows = p.shape[1] if len(p.shape) == 3 else 1
    return p.size * (place * on + place_kept + _STATE_BYTES * _variables(p.neuron) + 2) + rows * steps * _SEGMENT_BYTES


def _variables(neuron: Neuron) -> int:
    """State variables of a neuron, and the second word of a held current."""
    return len(neuron.variables) + neuron.hold_input


def _stored(network: Network, engine: str) -> list[tuple[int, int]]:
    """Bytes of each projection, at work while it is packed and kept; found once, because that takes a look at every weight."""
    found = network._plans.get(f"bytes, {engine}")
    if found is None:
        found = [_packed(p, network) if engine == "event" else _plainly(p, network) for p in network.projections]
        network._plans[f"bytes, {engine}"] = found
    return found


def _packed(projection: Projection, network: Network) -> tuple[int, int]:
    """Bytes of a projection in the event engine: at work while it is packed, and kept for the run."""
    projection, _ = as_stored(projection)
    source, target = Layout.of(network[projection.source].shape), Layout.of(network[projection.target].shape)
    if projection.rule is not None:
        synapses = projection.count(network[projection.source].shape, network[projection.target].shape)
        return synapses * _LEARNING_BYTES, synapses * _LEARNING_BYTES
    conv = as_convolution(projection, network)
    if conv is not None:
        rows, columns = conv.weights.shape[2:]
        taps, group = columns + pair(conv.stride, conv.name, "stride")[1], conv.weights.shape[0] // conv.groups
        lanes = columns * _whole(target.lanes, LANES) if is_depthwise(conv) else taps * source.channels * _whole(group, HALF)
        kept = rows * lanes * 2 + source.width * 16 + (tile_bytes(conv) if has_tiles(conv) and not is_depthwise(conv) else 0)
        return projection.stored_weights.size * _WEIGHT_BYTES + 2 * kept, kept
    kept = source.rows * source.lanes * target.rows * (_whole(target.lanes, HALF) * 2 + 4)
    small = magnitude(projection.stored_weights) <= MOST_NARROW
    if projection.matrix is not None and small:
        return projection.stored_weights.size * _WEIGHT_BYTES + 2 * kept, kept
    synapses, room = (
        projection.count(network[projection.source].shape, network[projection.target].shape),
        source.size * target.size,
    )
    working = synapses * (_SYNAPSE_BYTES + _MOVED_BYTES * (source.moves or target.moves))
    if small and synapses * DENSE_BELOW > room and room <= DENSE_LIMIT:
        return working + 2 * kept + room, kept
    if listed_by_row(synapses, source.size, target.rows):
        kept = synapses * _LISTED_BYTES + target.rows * source.size * _POINTER_BYTES
    else:
        kept = synapses * (_LISTED_BYTES + _ROW_BYTES) + source.size * _POINTER_BYTES
    return working + 2 * kept, kept


def _plainly(projection: Projection, network: Network) -> tuple[int, int]:
    """The same in engines that list every synapse."""
    synapses = projection.count(network[projection.source].shape, network[projection.target].shape)
    return synapses * _PLAIN_BYTES, synapses * _PLAIN_KEPT


def _whole(lanes: int, of: int) -> int:
    return -(-lanes // of) * of


def _placing(projection: Projection, network: Network, listed: bool) -> int:
    """Weights or, of projections whose synapses are listed, synapses of which something is held while a network is placed."""
    source, target = network[projection.source].shape, network[projection.target].shape
    return projection.count(source, target) if listed else projection.unshared_weights(source).size
