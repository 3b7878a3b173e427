"""Cores one by one: which population each holds, and what it does in each step. SVG written here: each core says what it is.

A pointer that rests on a core shows its facts (SVG titles: no script). Knows runs and placements; computes no new numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np

from neuro import units
from neuro.chip.emulator import ChipRun
from neuro.chip.placing.placement import Placement
from neuro.chip.pricing import core_times
from neuro.report.svg import COLOURS

_WIDTH, _LINE = 480.0, 14.0
MOST_CORES, MOST_STEPS = 4_096, 48  # of a map, and of a timeline
_ROWS = 48  # cores of a timeline: those that work the longest
_CAUSES = {"sends": COLOURS[0], "receives": COLOURS[1], "barrier": "#8a93a3"}


def population_map(chip_run: ChipRun) -> str:
    """Every core in use in the colour of its population, the fuller the stronger; what it holds and does as its title.

    "" for a board with more cores than can be told apart.
    """
    placement, counts = chip_run.placement, chip_run.counts
    mesh = placement.chip.mesh
    side = int(np.ceil(np.sqrt(mesh.cores_per_tile)))
    columns, rows = mesh.columns * side, mesh.rows * side
    if columns * rows > MOST_CORES:
        return ""
    step = _WIDTH / columns
    names = list(dict.fromkeys(placement.cores))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    synops = np.sum([table.sum(axis=0) for table in counts.synops.values()], axis=0) / counts.samples
    filled = placement.fill["neurons"] / placement.chip.core.neurons
    lives = _lives(placement)
    shapes = []
    for row, core in enumerate(counts.cores[:-1].tolist()):
        tile, place = divmod(core, mesh.cores_per_tile)
        x = (tile % mesh.columns * side + place % side) * step
        y = (tile // mesh.columns * side + place // side) * step
        held = lives.get(core, [])
        said = f"core {core}: {', '.join(held)}; {units.percent(float(filled[row]))} of its neurons, "
        said += f"{units.count(round(float(synops[row])))} synops an inference"
        strength = 0.55 + 0.45 * min(1.0, float(filled[row]))
        shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{step:.1f}" height="{step:.1f}" fill="{colour[held[0]] if held else "none"}" '
            f'fill-opacity="{strength:.2f}"><title>{escape(said)}</title></rect>'
        )
    height, lines = rows * step, []
    for at in range(mesh.columns + 1):
        lines.append(f"M{at * side * step:.1f} 0V{height:.1f}")
    for at in range(mesh.rows + 1):
        lines.append(f"M0 {at * side * step:.1f}H{_WIDTH:.1f}")
    grid = f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-width=".5" stroke-opacity=".4"/>'
    legend, below = _legend({name: colour[name] for name in names}, height + _LINE)
    return _svg("cores", "The population of each core", height + _LINE + below, [*shapes, grid, *legend])


def core_timeline(chip_run: ChipRun) -> str:
    """The cores that work longest against the time of the first timed sample: sending, receiving, and the barrier of every step.

    "" where the chip's times are not public.
    """
    times = chip_run.step_times.total
    if not times.size or not times[0].any():
        return ""
    counts, chip = chip_run.counts, chip_run.placement.chip
    send, receive = (spent[0][:, :-1] for spent in core_times(counts, chip))
    busy = np.maximum(send, receive)
    steps = min(MOST_STEPS, len(busy))
    shown = np.sort(np.argsort(-busy[:steps].sum(axis=0), kind="stable")[:_ROWS])
    starts = np.concatenate([[0.0], np.cumsum(times[0][:steps])])
    left, scale, high = 56.0, (_WIDTH - 60.0) / starts[-1], 9.0
    work, height = chip_run.step_times.work[0], high * len(shown)
    shapes = [
        f'<rect x="{left + (starts[k] + work[k]) * scale:.2f}" y="0" width="{(times[0, k] - work[k]) * scale:.2f}" '
        f'height="{height:.0f}" fill="{_CAUSES["barrier"]}" fill-opacity=".35">'
        f"<title>step {k}: barrier and waiting {units.time(float(times[0, k] - work[k]))}</title></rect>"
        for k in range(steps)
    ]
    for line, row in enumerate(shown.tolist()):
        core = int(counts.cores[row])
        if line % 4 == 0:
            label = f'<text x="{left - 4:.0f}" y="{line * high + 8:.0f}" text-anchor="end" font-size="8">core {core}</text>'
            shapes.append(label)
        for k in np.nonzero(busy[:steps, row])[0].tolist():
            cause = "sends" if send[k, row] >= receive[k, row] else "receives"
            said = (
                f"core {core}, step {k}: sends {units.time(float(send[k, row]))}, receives {units.time(float(receive[k, row]))}"
            )
            shapes.append(
                f'<rect x="{left + starts[k] * scale:.2f}" y="{line * high + 1:.0f}" height="{high - 2:.0f}" '
                f'width="{max(0.4, busy[k, row] * scale):.2f}" fill="{_CAUSES[cause]}"><title>{escape(said)}</title></rect>'
            )
    ticks = [
        f'<text x="{left + share * (_WIDTH - 60):.0f}" y="{height + 12:.0f}" font-size="8" text-anchor="{anchor}">'
        f"{units.time(float(share * starts[-1]))}</text>"
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    legend, below = _legend(_CAUSES, height + 2 * _LINE)
    return _svg("timeline", "What each core does when", height + 2 * _LINE + below, [*shapes, *ticks, *legend])


def _lives(placement: Placement) -> dict[int, list[str]]:
    """The populations on each core."""
    found: dict[int, list[str]] = {}
    for name, cores in placement.cores.items():
        for core in np.unique(cores).tolist():
            found.setdefault(core, []).append(name)
    return found


def _legend(colours: Mapping[str, str], top: float) -> tuple[list[str], float]:
    """Names beside their colours in lines from `top` on, and the height of them."""
    shapes, x, y = [], 0.0, top
    for name, colour in colours.items():
        width = 18 + 5.5 * len(name)
        if x and x + width > _WIDTH:
            x, y = 0.0, y + _LINE
        shapes.append(f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="9" height="9" fill="{colour}"/>')
        shapes.append(f'<text x="{x + 12:.0f}" y="{y:.0f}" font-size="9">{escape(name)}</text>')
        x += width
    return shapes, y - top + _LINE / 2


def _svg(name: str, title: str, height: float, shapes: Iterable[str]) -> str:
    seen = f'id="{name}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" fill="currentColor"'
    return f'<svg role="img" aria-label="{title}" class="figure" {seen}>{"".join(shapes)}</svg>'
