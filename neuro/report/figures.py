"""The report's figures, drawn from plain numbers. Knows what each figure says; knows nothing of runs, chips or pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from neuro import units
from neuro.report.svg import ABOVE, COLOURS, HEIGHT_IN, INK, draw

_MOST_DOTS = 2500  # of a raster: more would make the page heavy and the figure no clearer


def accuracy_over_time(by_step: NDArray[np.float64], reference: float | None) -> str:
    """Accuracy (steps,) read off after each step of the readout's window, and the float network's as a line."""

    def paint(axes: Axes) -> None:
        axes.plot(np.arange(1, len(by_step) + 1), 100 * by_step, color=COLOURS[0], linewidth=2)
        if reference is not None:
            axes.axhline(100 * reference, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(len(by_step), 100 * reference - 1.5, "float network", ha="right", va="top")
        axes.set(xlabel="timesteps seen by the readout", ylabel="accuracy (%)", ylim=(0, 103))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return draw("time", "Accuracy against timesteps", paint)


def front(points: Sequence[tuple[str, float, float]], reference: float | None) -> str:
    """Settings (name, energy in pJ, accuracy as a fraction): accuracy against energy; a line joins those that no other beats."""
    shown = [100 * accuracy for _, _, accuracy in points] + ([] if reference is None else [100 * reference])
    room, levels = 0.4 + 0.5 * (max(shown) - min(shown)), _levels(points)
    best = pareto([(energy_pj, 100 * accuracy) for _, energy_pj, accuracy in points])

    def paint(axes: Axes) -> None:
        axes.step(*zip(*best, strict=True), where="post", color=INK, linewidth=1, alpha=0.5)
        for index, (name, energy_pj, accuracy) in enumerate(points):
            form, colour = "D" if (energy_pj, 100 * accuracy) in best else "o", COLOURS[index % len(COLOURS)]
            axes.plot(energy_pj, 100 * accuracy, form, color=colour, markersize=7)
            lifted: dict[str, Any] = {"xytext": (0, 7 + 11 * levels[index]), "textcoords": "offset points"}
            axes.annotate(name, (energy_pj, 100 * accuracy), ha="center", color=colour, **lifted)
        if reference is not None:
            axes.axhline(100 * reference, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            at: dict[str, Any] = {"xy": (0, 100 * reference), "xycoords": axes.get_yaxis_transform()}
            axes.annotate("float network", xytext=(5, -4), textcoords="offset points", va="top", fontsize=8, **at)
        axes.set(xlabel="total energy per inference", ylabel="accuracy (%)", xscale="log")
        log_ticks(axes.xaxis, [energy_pj for _, energy_pj, _ in points], units.energy)
        axes.set_ylim(min(shown) - room, max(shown) + 2 * room)
        percents(axes)
        axes.margins(x=0.15)

    return draw("front", "Accuracy against energy", paint)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, gain) that no other beats in both, by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, gain in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or gain > best[-1][1]:
            best.append((cost, gain))
    return best


def percents(axes: Axes) -> None:
    """Ticks of an axis of percentages: none above 100."""
    low, high = axes.get_ylim()
    ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= min(high, 100)]
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _levels(points: Sequence[tuple[str, float, float]]) -> list[int]:
    """How high each name stands above its point, so that names of points that lie close do not overlap."""
    levels: list[int] = []
    for i, (_, energy_pj, accuracy) in enumerate(points):
        near = {
            levels[j]
            for j, (_, e, a) in enumerate(points[:i])
            if abs(np.log10(energy_pj / e)) < 0.16 and abs(accuracy - a) < 0.01
        }
        levels.append(min(set(range(len(points))) - near))
    return levels


def broken(lines: Mapping[str, Sequence[tuple[float, float, float, float]]], healthy: float, measure: str) -> str:
    """Accuracy against the rate of faults: for each kind (rate, mean, least, most) of its seeds, rates above 0, logarithmic."""

    def paint(axes: Axes) -> None:
        for index, (kind, points) in enumerate(lines.items()):
            rates, mean, least, most = (np.array(column) for column in zip(*points, strict=True))
            colour, line = COLOURS[index % len(COLOURS)], "-" if index < len(COLOURS) else "--"
            name = kind.replace("_", " ")
            axes.plot(rates, 100 * mean, marker="o", markersize=3, label=name, color=colour, linestyle=line)
            axes.fill_between(rates, 100 * least, 100 * most, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(100 * healthy, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel="rate of faults", ylabel=f"{measure} (%)", xscale="log", ylim=(0, 103))
        axes.legend(fontsize=7, loc="lower left")

    return draw("faults", f"{measure.capitalize()} against faults", paint, height_in=HEIGHT_IN + 0.6)


def bars(name: str, title: str, values: Mapping[str, float], *, unit: str = "energy") -> str:
    """Horizontal bars, largest first, each with its number and share. `unit`: "energy" (pJ), "time" (ns) or "count"."""
    ordered = sorted(((label, value) for label, value in values.items() if value > 0), key=lambda item: item[1])
    write = {"energy": units.energy, "time": units.time, "count": units.count}[unit]
    total = sum(value for _, value in ordered) or 1.0

    def paint(axes: Axes) -> None:
        drawn = axes.barh([label for label, _ in ordered], [value for _, value in ordered], color=COLOURS[0], height=0.7)
        axes.bar_label(drawn, [f"{write(value)} · {value / total:.0%}" for _, value in ordered], padding=4)
        axes.set_xlim(0, 1.45 * max((value for _, value in ordered), default=1.0))
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)

    return draw(name, title, paint, height_in=0.5 + 0.27 * max(len(ordered), 1))


def stacked(name: str, title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """One horizontal bar for each row, from top to bottom, made of its energies (pJ) in the order given."""
    kinds = list(next(iter(rows.values()), {}))

    def paint(axes: Axes) -> None:
        base = np.zeros(len(rows))
        for index, kind in enumerate(kinds):
            values = np.array([row[kind] for row in rows.values()])
            axes.barh(list(rows), values, left=base, color=COLOURS[index], height=0.7, label=kind)
            base += values
        for at, total in enumerate(base):
            axes.text(total, at, f" {units.energy(total)}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.25 * max(base.max(initial=0), 1e-9))
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.legend(**{**ABOVE, "loc": "lower right", "bbox_to_anchor": (1, 1)})  # long names of rows leave the axes little room

    return draw(name, title, paint, height_in=0.8 + 0.3 * max(len(rows), 2))


def raster(spikes: Mapping[str, NDArray[np.integer]]) -> str:
    """One sample's messages, population by population (steps, neurons) from bottom to top; thinned to what an eye can see."""
    keep = raster_share(spikes)
    rng = np.random.default_rng(0)

    def paint(axes: Axes) -> None:
        base, ticks = 0, []
        for index, (name, block) in enumerate(spikes.items()):
            steps, neurons = np.nonzero(block)
            shown = rng.random(len(steps)) < keep
            x, y = _dashes(steps[shown], base + neurons[shown])
            axes.plot(x, y, color=COLOURS[index % len(COLOURS)], linewidth=1.2)
            ticks.append((base + block.shape[1] / 2, name))
            base += block.shape[1]
        axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="chip step", ylim=(-base * 0.01, base * 1.01))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return draw("raster", "Spikes of one sample", paint, height_in=HEIGHT_IN + 0.4)


def _dashes(x: NDArray[np.integer], y: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Short horizontal strokes as one broken line: a tenth of the text that a marker for each would take."""
    ends = np.stack([x - 0.25, x + 0.25, np.full(len(x), np.nan)], axis=1)
    return ends.ravel(), np.repeat(y.astype(np.float64), 3)


def raster_share(spikes: Mapping[str, NDArray[np.integer]]) -> float:
    """The fraction of messages that `raster` draws."""
    return min(1.0, _MOST_DOTS / max(1, sum(int(np.count_nonzero(block)) for block in spikes.values())))


class Dot(NamedTuple):
    """A target at one batch: energy in pJ per inference, latency in ns, and their errors as shares (0: not known)."""

    machine: str
    batch: int
    energy_pj: float
    latency_ns: float
    energy_error: float
    latency_error: float
    chip: bool


def machines(dots: Sequence[Dot]) -> str:
    """Energy against latency, both logarithmic, with error bars where errors are known."""

    def paint(axes: Axes) -> None:
        names: dict[str, str] = {}
        for d in dots:
            colour = names.setdefault(d.machine, COLOURS[len(names) % len(COLOURS)])
            x, y = _bar(d.latency_ns, d.latency_error), _bar(d.energy_pj, d.energy_error)
            form, size = ("D", 9) if d.chip else ("o", 6)
            axes.errorbar(d.latency_ns, d.energy_pj, y, x, fmt=form, markersize=size, color=colour, elinewidth=1)
            axes.annotate(str(d.batch), (d.latency_ns, d.energy_pj), (5, 5), textcoords="offset points", fontsize=8)
        axes.set(xlabel="latency of a batch", ylabel="total energy per inference", xscale="log", yscale="log")
        axes.margins(0.15)
        log_ticks(axes.xaxis, [d.latency_ns for d in dots], units.time)
        log_ticks(axes.yaxis, [d.energy_pj for d in dots], units.energy)
        axes.legend(handles=[Patch(color=colour, label=name) for name, colour in names.items()], **ABOVE)

    return draw("machines", "Energy against latency on every target", paint, height_in=HEIGHT_IN + 0.6)


def _bar(value: float, error: float) -> list[list[float]] | None:
    """From value / (1 + error) to value * (1 + error), as lengths below and above; None without an error."""
    return [[value - value / (1 + error)], [value * error]] if error else None


def log_ticks(axis: Axis, values: Sequence[float], write: Callable[[float], str]) -> None:
    """Written ticks: at powers of ten, also at 2 and 5 times these below two decades, at even steps below a factor of four."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: re.sub(r"\.0+ ", " ", write(value))))
    axis.set_minor_formatter(NullFormatter())
    if not values or max(values) / min(values) >= 100:
        return
    if max(values) / min(values) < 4:
        even = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0.97 * min(values), 1.03 * max(values))
        axis.set_ticks([tick for tick in even if tick > 0])
        axis.set_minor_locator(NullLocator())
        return
    low, high = np.log10(min(values)) - 0.3, np.log10(max(values)) + 0.3
    ticks = [m * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for m in (1, 2, 5)]
    axis.set_ticks([t for t in ticks if 10**low <= t <= 10**high])
