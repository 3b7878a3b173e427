"""Figures of a placed and emulated network: what cores hold, what links carry, what steps wait for. Drawn from plain numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from neuro import units
from neuro.chip.emulator import ChipRun
from neuro.chip.placing.placement import Placement
from neuro.chip.spec import Mesh
from neuro.report.svg import ABOVE, COLOURS, INK, draw

_AWAY = ((1, 0), (-1, 0), (0, 1), (0, -1))  # east, west, south, north, as links are numbered


def pictures(chip_run: ChipRun) -> dict[str, str]:
    """All figures of a run by name, as SVG: "fill", "work", "links" and, where a time of the chip is known, "steps"."""
    placement, counts = chip_run.placement, chip_run.counts
    mesh, cores = placement.chip.mesh, counts.cores[:-1]
    neurons = placement.fill["neurons"] / placement.chip.core.neurons
    synops = np.sum([table.sum(axis=0) for table in counts.synops.values()], axis=0)[:-1] / counts.samples
    times = chip_run.step_times
    waits = np.maximum(times.send, times.receive)
    causes = {
        "barrier": times.barrier + times.management,
        "sending": np.where(times.send >= times.receive, waits, 0),
        "receiving": np.where(times.send < times.receive, waits, 0),
        "network": np.maximum(times.network - waits, 0),
    }
    drawn = {
        "fill": core_map("fill", "Neurons of each core", mesh, cores, 100 * neurons, "compartments taken (%)"),
        "work": core_map("work", "Work of each core", mesh, cores, synops, "synops an inference"),
        "links": link_map("link-loads", mesh, cores, counts.links.reshape(-1, 4) / counts.samples, "packets an inference"),
    }
    if times.total.any():
        drawn["steps"] = timeline("steps", {name: part.mean(axis=0) for name, part in causes.items()})
    return drawn


def placed_pictures(placement: Placement) -> dict[str, str]:
    """What can be drawn before anything runs: "fill", and "links" as if every neuron sent one message."""
    mesh, cores = placement.chip.mesh, placement.used
    neurons = placement.fill["neurons"] / placement.chip.core.neurons
    return {
        "fill": core_map("fill", "Neurons of each core", mesh, cores, 100 * neurons, "compartments taken (%)"),
        "links": link_map("link-loads", mesh, cores, placement.link_loads().reshape(-1, 4), "packets, one message a neuron"),
    }


def core_map(name: str, title: str, mesh: Mesh, cores: NDArray[np.int64], values: NDArray[np.float64], label: str) -> str:
    """A value of each core in use, at its place on the mesh; tiles are framed, cores that are not in use stay empty."""
    width, height = mesh.columns, mesh.rows
    side = int(np.ceil(np.sqrt(mesh.cores_per_tile)))
    tile, place = np.divmod(cores, mesh.cores_per_tile)
    grid = np.full((height * side, width * side), np.nan)
    grid[tile // width * side + place // side, tile % width * side + place % side] = values

    def paint(axes: Axes) -> None:
        edges_x, edges_y = np.arange(width * side + 1) / side, np.arange(height * side + 1) / side
        image = axes.pcolormesh(edges_x, edges_y, np.ma.masked_invalid(grid), cmap="viridis", vmin=0)
        _frame(axes, mesh)
        _scale(axes, image, label)

    return draw(name, title, paint)


def link_map(name: str, mesh: Mesh, cores: NDArray[np.int64], loads: NDArray[np.float64], label: str) -> str:
    """Packets over every link: loads (tiles, 4), east, west, south and north of each tile."""
    width = mesh.columns
    used = np.unique(cores // mesh.cores_per_tile)

    def paint(axes: Axes) -> None:
        tile, direction = np.nonzero(loads)
        norm = Normalize(0, float(loads.max()) if len(tile) else 1.0)
        away = np.array(_AWAY)[direction]
        start = np.stack([tile % width, tile // width], axis=1) + 0.5
        beside = 0.08 * np.stack([-away[:, 1], away[:, 0]], axis=1)  # the two directions of a link lie side by side
        lines = np.stack([start + 0.12 * away + beside, start + 0.88 * away + beside], axis=1)
        shades = colormaps["viridis"](norm(loads[tile, direction]))
        axes.add_collection(LineCollection(list(lines), colors=shades, linewidths=2.5))
        axes.plot(used % width + 0.5, used // width + 0.5, "s", color=INK, markersize=3)
        _frame(axes, mesh)
        _scale(axes, ScalarMappable(norm, "viridis"), label)

    return draw(name, "Packets over each link of the mesh", paint)


def timeline(name: str, parts: Mapping[str, NDArray[np.float64]]) -> str:
    """Time of each step, (steps,) ns by cause, stacked."""

    def paint(axes: Axes) -> None:
        steps = len(next(iter(parts.values())))
        below = np.zeros(steps)
        longest = float(np.sum(list(parts.values()), axis=0).max())
        unit, scale = ("µs", 1e3) if longest < 1e6 else ("ms", 1e6)
        for (label, values), colour in zip(parts.items(), COLOURS, strict=False):
            if values.any():
                axes.bar(np.arange(steps), values / scale, 0.9, bottom=below / scale, color=colour, label=label)
            below = below + values
        whole = units.time(float(below.sum()))
        axes.set(xlabel=f"chip step; {steps} of them, {whole} for one inference", ylabel=f"time of a step ({unit})")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(**ABOVE)

    return draw(name, "What each step of an inference waits for", paint)


def _scale(axes: Axes, shown: ScalarMappable, label: str) -> None:
    """What the colours stand for, as a bar below the map."""
    written = FuncFormatter(lambda value, _: units.count(value))
    axes.figure.colorbar(shown, ax=axes, label=label, location="bottom", shrink=0.9, aspect=40, pad=0.03, format=written)


def _frame(axes: Axes, mesh: Mesh) -> None:
    width, height = mesh.columns, mesh.rows
    if width * height <= 1024:
        for x in range(width + 1):
            axes.axvline(x, color=INK, linewidth=1.2 if x % mesh.width == 0 else 0.3)
        for y in range(height + 1):
            axes.axhline(y, color=INK, linewidth=1.2 if y % mesh.height == 0 else 0.3)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
