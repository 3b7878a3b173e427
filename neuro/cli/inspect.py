"""`neuro inspect`: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Json, Quiet, console, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from neuro.network import Network

EXAMPLES = """
Examples:

\b
  neuro inspect network.safetensors
  neuro inspect network.safetensors --json -
"""
File = Annotated[Path, typer.Argument(metavar="FILE", help="A saved spiking network.", show_default=False)]


def inspect(file: File, json: Json = None, quiet: Quiet = False) -> None:
    """Show the populations and projections of a saved spiking network."""
    from neuro.network import Network

    network = Network.load(file)
    described = _described(network)
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(_listed(f"{file.name}: {network.neurons:,} neurons on the chip", described["populations"]))
    shown.print(_listed(f"{network.synapses:,} synapses", described["projections"]))
    if network.timesteps is not None:
        shown.print(f"Made for {network.timesteps} timesteps: {network.steps(network.timesteps)} chip steps for one sample.")
    for note in network.notes:
        shown.print(f"Note: {note}")
    write_json(json, described)


def _described(network: Network) -> dict[str, Any]:
    populations = [
        {
            "name": p.name,
            "shape": "x".join(map(str, p.shape)),
            "neurons": p.size,
            "model": type(p.neuron).__name__,
            "start_step": p.neuron.start_step,
        }
        for p in network.populations
    ]
    projections = [
        {
            "name": f"{p.source} -> {p.target}",
            "kind": type(p).__name__,
            "synapses": p.count(network[p.source].shape, network[p.target].shape),
            "stored_weights": int(p.stored_weights.size),
            "least_weight": int(p.stored_weights.min()),
            "largest_weight": int(p.stored_weights.max()),
            "delay": p.delay,
        }
        for p in network.projections
    ]
    whole = {"neurons": network.neurons, "synapses": network.synapses, "timesteps": network.timesteps}
    return {**whole, "notes": list(network.notes), "populations": populations, "projections": projections}


def _listed(title: str, rows: list[dict[str, Any]]) -> Table:
    from neuro.report.tables import table

    columns = [name.replace("_", " ") for name in rows[0]] if rows else []
    numbers = [name.replace("_", " ") for name, value in rows[0].items() if isinstance(value, int)] if rows else []
    return table(title, columns, [[f"{v:,}" if isinstance(v, int) else v for v in row.values()] for row in rows], right=numbers)
