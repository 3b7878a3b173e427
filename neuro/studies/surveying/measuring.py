"""One of the survey's workloads, drawn, walked and counted on a board: a row for `neuro.machines.survey.table_two_spikes`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.delivery import fan_out
from converters.drawing import Drawing
from converters.folding import fold
from converters.inputs import input_source
from converters.values.tail import split_tail
from converters.values.walking import walk
from converters.values.widths import Widths
from neuro.chip.spec import Chip
from neuro.errors import MachineError, one_of
from neuro.graph import Graph
from neuro.machines.ready import ready_workload
from neuro.machines.workload import weigh
from neuro.projections import Projection, Sparse
from neuro.studies.surveying.counting import Sizing, Total, Work, total, work_of
from neuro.studies.surveying.shapes import WORKLOADS

Told = Callable[[str], None]
_SHORT = 0.02  # share by which the float operations of a drawn graph may differ from those of the ready-made workload


def works(graph: Graph, samples: Mapping[str, Any], chip: Chip, tell: Told = lambda _: None) -> list[Work]:
    """What each population of a float graph does for the first sample, as value neurons on a chip."""
    whole, _ = split_tail(fold(graph))
    names = [layer.name for layer in whole.inputs]
    given: Any = samples[names[0]]
    if len(names) > 1:
        from converters.samples import Samples

        given = Samples({name: samples[name] for name in names})
    sources = {name: input_source(samples[name], "graded", 1, "auto") for name in names}
    sizing, found, began = Sizing(chip), list[Work](), time.perf_counter()
    for visit in walk(whole, given, sources, Widths(widen=False)):
        network = visit.network
        shape = network.populations[-1].shape
        synops = [_synops(p, visit.sent[p.source], shape) for p in network.projections]
        steps = visit.timing.start, visit.timing.gather
        found.append(work_of(network, visit.sent, steps, synops, sizing))
        tell(f"{len(found)}: {visit.name}, {found[-1].counts['synops']:,} synops, {time.perf_counter() - began:.0f} s")
    return found


def _synops(projection: Projection, sent: NDArray[Any], target: tuple[int, ...]) -> int:
    """The synapses that messages from the places that send any, (*source), arrive at."""
    sends = sent != 0
    if isinstance(projection, Sparse):
        return int(np.count_nonzero(sends.ravel()[projection.weights[0]]))
    return int(fan_out(projection, sent.shape, target).numpy()[sends].sum())


def measured(name: str, chip: Chip, tell: Told = lambda _: None) -> dict[str, Any]:
    """The row of a workload by its name in `neuro.machines.ready`: exact counts, cores, chips, energy and latency on a board.

    Raises MachineError for a name that has no graph, or for a graph that has not the operations of that workload.
    """
    if name not in WORKLOADS:
        raise MachineError(f"workload {name!r}", "it has no graph", one_of(name, list(WORKLOADS)))
    drawing, (build, times) = Drawing(), WORKLOADS[name]
    build(drawing)
    drawing.forget()
    graph = drawing.graph(name, outputs_of(drawing))
    _check_operations(name, graph, times)
    tell(f"drawn: {graph.parameters:,} parameters")
    return {"workload": name, "times": times, **row(total(works(graph, drawing.samples, chip, tell), chip, times), chip)}


def row(found: Total, chip: Chip) -> dict[str, Any]:
    """A total as plain values."""
    plain: dict[str, Any] = {"chip": chip.name, **found.counts, "cores": found.cores, "chips": found.chips, "steps": found.steps}
    plain |= {"longest_delay": found.longest_delay}
    priced = {
        "dynamic_pj": found.dynamic_pj,
        "energy_pj": found.energy_pj,
        "latency_ns": found.latency_ns,
        "interval_ns": found.interval_ns,
    }
    return {**plain, "packets": round(found.packets), **{key: float(f"{value:.6g}") for key, value in priced.items()}}


def outputs_of(drawing: Drawing) -> tuple[str, ...]:
    """Layers that no layer reads, where there are several."""
    read = {name for layer in drawing.layers for name in layer.inputs}
    ends = [layer.name for layer in drawing.layers if layer.name not in read]
    return tuple(ends) if len(ends) > 1 else ()


def _check_operations(name: str, graph: Graph, times: int) -> None:
    """Refuse a graph that is another network than the workload that machines are asked for."""
    ready, drawn = ready_workload(name), weigh(graph)
    wanted = sum(op.macs for op in ready.ops if op.repeats == times or times == 1) / times if times > 1 else ready.macs
    if abs(drawn.macs / wanted - 1) > _SHORT:
        fact = f"its graph has {drawn.macs:,} multiply-accumulates, the workload {wanted:,.0f}"
        raise MachineError(f"workload {name!r}", fact, "Draw the shapes that the workload has")
