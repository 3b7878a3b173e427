"""A graph as value neurons, population by population: each is encoded, computes its messages, and is given up.

For networks whose weights, lists of synapses and values together exceed memory. What a visit holds is what the whole network
holds of that population, bit for bit; nothing is looked at twice, so biases are not corrected and values not widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import Evaluation
from converters.samples import Given, by_input
from converters.stepping import source_signal
from converters.values.cells import Cell
from converters.values.decompose import decompose
from converters.values.encoding import Around, encode
from converters.values.populations import cells_in, measured, planned
from converters.values.ranges import Extent
from converters.values.responding import Sent, respond
from converters.values.scaling import Encoded
from converters.values.timing import Held, Schedule, Timing, chained, holding, waiting
from converters.values.widths import Widths
from neuro.errors import ConversionError
from neuro.graph import Graph
from neuro.network import Network
from neuro.neurons import Source

Integers = NDArray[np.int64]
_KEPT = np.dtype(np.int32)


@dataclass(frozen=True, slots=True)
class Visit:
    """A population with those that it reads, as a network; what all of them send for the sample, (*shape) each; and when it
    works."""

    name: str
    network: Network
    sent: Mapping[str, Integers]
    timing: Timing


def walk(graph: Graph, samples: Given, sources: Mapping[str, Source], widths: Widths) -> Iterator[Visit]:
    """Visit the populations of a folded graph without frames, in order, and compute what they send for the first sample.

    samples (samples, *shape) of the input or inputs: what units are chosen by; few are enough. sources: how samples enter, by
    input. Raises ConversionError that names the layer for an op without a form of values, and for a graph with frames.
    """
    if graph.has_frames:
        raise ConversionError(f"graph {graph.name!r}", "it remembers frames", "Convert it as a whole")
    plan = planned(*decompose(graph))
    asked = measured(plan)
    given = {name: torch.as_tensor(array) for name, array in by_input(graph, samples).items()}
    values = Evaluation(plan.graph, given, [name for pair in asked for name in pair])
    made: dict[str, Encoded] = {}
    found: dict[str, Extent] = {}
    times: dict[str, Timing] = {}
    read: dict[str, Cell] = {}
    sent: Sent = {}
    held = Held()
    around = Around(made, found, widths, Schedule(times), {})
    for one, pair in zip(cells_in(plan, widths.value_bits), asked, strict=True):
        found.update({name: _extent(values, name) for name in pair})
        times[one.name] = chained(one, times)
        for cell in waiting(one, read, around.schedule, held):
            if cell.kind == "hold":
                times[cell.name] = holding(times[cell.sources[0]].sends_at, times[one.name].start)
            yield _visited(cell, around, made, sources, given, sent)
        read[one.name] = replace(one, ports=())


def _visited(
    cell: Cell, around: Around, made: dict[str, Encoded], sources: Mapping[str, Source], given: Mapping[str, Any], sent: Sent
) -> Visit:
    """One population, encoded and computed; what is kept of it joins `made` and `sent`."""
    one = encode(cell, around, sources)
    network = Network((*(made[name].population for name in cell.sources), one.population), one.projections, timesteps=1)
    if cell.kind == "input":
        sent[cell.name, 0] = source_signal(one.population, given[cell.name][:1].numpy(), 1, True).total.numpy().astype(_KEPT)
    else:
        sent[cell.name, 0] = respond(network, one.population, one.projections, sent).astype(_KEPT)
    made[cell.name] = replace(one, projections=())
    heard = {name: sent[name, 0][0] for name in (*cell.sources, cell.name)}
    return Visit(cell.name, network, heard, around.timing(cell))


def _extent(values: Evaluation, name: str) -> Extent:
    value: Any = values.value(name).double()
    return Extent(value.amin(0).numpy(), value.amax(0).numpy())
