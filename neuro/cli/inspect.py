"""`neuro inspect`: what is in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from neuro.cli.named import NirStep, NirWriter
from neuro.cli.output import Board as BoardName
from neuro.cli.output import Json, Quiet, chip_names, console, write_json
from neuro.cli.paths import check_apart, check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from neuro.chip.spec import Chip
    from neuro.network import Network

_PICTURES = ("fill.svg", "links.svg")
EXAMPLES = """
Examples:

\b
  neuro inspect network.safetensors
  neuro inspect network.safetensors --json -
  neuro inspect network.safetensors --chip loihi2 --pictures placed
  neuro inspect network.safetensors --chip loihi2 --board auto
  neuro inspect theirs.nir --nir-writer snntorch --dt 0.001
"""
_CHIPS = "Also place the network on this chip; repeat it for others."
Chips = Annotated[
    list[str] | None, typer.Option("--chip", metavar="CHIP", help=_CHIPS, show_default=False, autocompletion=chip_names)
]
Pictures = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw the placed network into this folder, as SVG.")]
File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A saved spiking network, a .nir file, or a .net file of lava-dl.", show_default=False),
]


def inspect(
    file: File,
    chip: Chips = None,
    board: BoardName = "given",
    pictures: Pictures = None,
    json: Json = None,
    quiet: Quiet = False,
    nir_writer: NirWriter = None,
    dt: NirStep = None,
) -> None:
    """Show the populations and projections of a saved spiking network, and how it lies on a chip."""
    named = {f"--chip {name}": name for name in chip or ()}
    check_files({"--json": json}, {"FILE": file, **named})
    if chip is None and pictures is not None:
        raise UsageError("neuro inspect", "pictures are of a placed network", "Add --chip loihi2, say")
    if chip is None and board != "given":
        raise UsageError("--board", "a board is of the chip that the network is placed on", "Add --chip loihi2, say")
    if pictures is not None:
        _check_folder(pictures)
        check_apart({"--json": json, **{f"--pictures {name}": pictures / name for name in _PICTURES}}, {"FILE": file, **named})
    if pictures is not None and len(named) > 1:
        raise UsageError("--pictures", f"{len(named)} chips were named, and one folder", "Name one chip")
    targets = [_chip(name, board) for name in chip or ()]
    network = _loaded(file, nir_writer, dt)
    described = _described(network)
    ports = described["inputs"] + described["outputs"]
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(_listed("Inputs and outputs, by the names that neuro.run takes and gives", ports))
    shown.print(_listed(f"{file.name}: {network.neurons:,} neurons on the chip", described["populations"]))
    shown.print(_listed(f"{network.synapses:,} synapses", described["projections"]))
    if network.timesteps is not None:
        shown.print(f"Made for {network.timesteps} timesteps: {network.steps(network.timesteps)} chip steps for one sample.")
    for note in network.notes:
        shown.print(f"Note: {note}")
    placed = [_placed(network, target, board, pictures, shown) for target in targets]
    if placed:
        described |= {"placement": placed[0], "placements": placed}
    write_json(json, described)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--pictures {folder}", "it is no folder", "Name a folder")
    if not folder.exists() and not folder.parent.is_dir():
        raise UsageError(f"--pictures {folder}", "the folder that it lies in does not exist", "Make that folder first")
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        raise UsageError(f"--pictures {folder}", "it cannot be written to", "Choose another folder")


def _chip(name: str, board: str) -> Chip:
    from neuro.chip.files import load_chip
    from neuro.cli.options import as_options
    from neuro.studies.settings import StudySettings

    with as_options():
        StudySettings(board=board)
    return load_chip(name)


def _placed(network: Network, chip: Chip, board: str, pictures: Path | None, shown: Console) -> dict[str, Any]:
    """Place the network, show what the fullest core holds of each limit, and draw it on request."""
    from neuro.chip.cutting.crossbars import for_chip
    from neuro.chip.cutting.limits import limits
    from neuro.chip.placing.placement import Board, place

    placement = place(for_chip(network, chip), chip, board=cast(Board, board))
    room = limits(placement.chip)
    rows = [
        {
            "limit": name,
            "fullest_core": int(placement.fill[name].max()),
            "of_at_most": most,
            "all_cores": int(placement.fill[name].sum()),
        }
        for name, most in room.items()
    ]
    packets, hops = placement.traffic()
    title = f"{placement.cores_used:,} of {placement.chip.usable_cores:,} cores of {placement.chip.name}"
    shown.print(_listed(title, rows))
    shown.print(f"One message of every neuron: {packets:,.0f} packets, {hops:,.0f} hops.")
    if pictures is not None:
        from neuro.files import write_text
        from neuro.report.figures_chip import placed_pictures
        from neuro.report.svg import alone

        pictures.mkdir(exist_ok=True)
        for name, drawn in placed_pictures(placement).items():
            write_text(pictures / f"{name}.svg", alone(drawn))
    kept = {"chip": placement.chip.name, "cores_used": placement.cores_used, "utilisation": placement.utilisation}
    return {**kept, "packets": packets, "hops": hops, "limits": rows}


def _loaded(file: Path, nir_writer: str | None, dt: float | None) -> Network:
    if file.suffix == ".nir":
        from converters.nir_files import read_nir

        return read_nir(file, writer=nir_writer, dt=dt)
    if file.suffix == ".net" and nir_writer is None and dt is None:
        from converters.lava_files import read_lava_dl

        return read_lava_dl(file)
    for option, value in (("--nir-writer", nir_writer), ("--dt", dt)):
        if value is not None:
            raise UsageError(option, f"{str(file)!r} is not a .nir file", f"Leave {option} out")
    from neuro.network import Network

    return Network.load(file)


def _described(network: Network) -> dict[str, Any]:
    from neuro.encoding import value_shape
    from neuro.engine.records import read_shapes

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
            "least_weight": int(p.stored_weights.min()) if p.stored_weights.size else None,
            "largest_weight": int(p.stored_weights.max()) if p.stored_weights.size else None,
            "delay": p.delay,
        }
        for p in network.projections
    ]
    whole = {"neurons": network.neurons, "synapses": network.synapses, "timesteps": network.timesteps}
    ends = {
        kind: [{"name": name, "as": what, "shape": "x".join(map(str, shape))} for name, shape in shapes.items()]
        for kind, what, shapes in (
            ("inputs", "input", {p.name: value_shape(p) for p in network.sources}),
            ("outputs", "output", read_shapes(network)),
        )
    }
    return {**whole, **ends, "notes": list(network.notes), "populations": populations, "projections": projections}


def _listed(title: str, rows: list[dict[str, Any]]) -> Table:
    from neuro.report.tables import table

    columns = [name.replace("_", " ") for name in rows[0]] if rows else []
    numbers = [name.replace("_", " ") for name in (rows[0] if rows else ()) if any(isinstance(row[name], int) for row in rows)]
    return table(title, columns, [[_cell(value) for value in row.values()] for row in rows], right=numbers)


def _cell(value: Any) -> Any:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else value
