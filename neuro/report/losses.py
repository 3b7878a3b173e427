"""The page's section about what each layer of a conversion loses. Knows the plain values of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from neuro import units
from neuro.report import figures_conversion
from neuro.report.page import Figure, Section, page_table


def losses_section(losses: Mapping[str, Any]) -> Section:
    """The section of the "losses" of a result."""
    layers = losses["layers"]
    drawn = []
    if layers:
        caption = "What a layer inherits, and what clipping, rounding and timing add."
        drawn = [_drawn(figures_conversion.losses(layers), caption)]
        drawn.append(_drawn(figures_conversion.rates(layers), "Neurons by the share of the largest value that they send."))
    numbers = ("error", *figures_conversion.CAUSES, "clipped", "over", "under", "cosine")
    names = ("layer", *numbers, "messages", "synops")
    rows = [
        [row["name"], *(f"{row[n]:.4f}" for n in numbers), *(units.count(round(row[n])) for n in names[-2:])] for row in layers
    ]
    caption = (
        "Squared errors relative to the layer's mean square. clipped: share of positive activations above the threshold. "
        "over, under: share of neurons that fired more or less often than an exact quantiser."
    )
    ablations = [
        (row["cause"], f"{row['error']:.5f}", f"{row['gain']:.5f}", units.percent(row["agreement"]), row["remedy"])
        for row in losses["swaps"]
    ]
    heads = ("taken away", "error of the outputs", "gain", "same decision", "how")
    tables = (
        page_table(names, rows, numbers=names[1:], caption=caption),
        page_table(
            heads, ablations, numbers=heads[1:4], caption="The outputs, as they are and with one cause of error taken away."
        ),
    )
    text = (f"Measured on {losses['samples']} calibration samples against the float network. {losses['advice']}",)
    return Section("losses", "Where the conversion loses", text, figures=tuple(drawn), tables=tables)


def _drawn(svg: str, caption: str) -> Figure:
    return Figure(Markup(svg), caption)
