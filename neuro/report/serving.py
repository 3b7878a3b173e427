"""What a use costs on each target, as tables of text for terminal and page. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neuro import units

Row = tuple[str, ...]
Table = tuple[str, Row, list[Row]]


def serving_tables(serving: Mapping[str, Any]) -> Iterator[Table]:
    """Title, columns and rows of each table that there is something for; `serving` as `Serving.to_dict` gives it."""
    if serving["duty"]:
        yield _duty(serving["duty"], serving["currency"])
    if serving["load"]:
        yield _load(serving["load"], serving["currency"])
    if serving["sharing"]:
        yield _sharing(serving["sharing"])


def _duty(rows: list[dict[str, Any]], currency: str) -> Table:
    more = {"battery": any(row["battery_days"] for row in rows), "cost": any(row["cost"] for row in rows)}
    columns: Row = ("target", "devices", "at work", "power", "energy a day")
    columns += ("battery",) * more["battery"] + (f"{currency or 'cost'} a million",) * more["cost"]
    told: list[Row] = []
    for row in rows:
        cells: Row = (row["target"], f"{row['devices']:,}", units.percent(row["busy"]), _range(row["power_w"], units.power))
        cells += (_range(row["day_j"], lambda joules: units.energy(joules * 1e12)),)
        cells += (_range(row["battery_days"], units.days),) * more["battery"] + (_cost(row["cost"]),) * more["cost"]
        told.append(cells)
    return "At this rate, waiting included", columns, told


def _load(rows: list[dict[str, Any]], currency: str) -> Table:
    priced = any(row["cost"] for row in rows)
    columns: Row = ("target", "rate", "devices", "p50", "p99", "at work", "batch", "energy an answer")
    columns += (f"{currency or 'cost'} a million",) * priced
    told: list[Row] = []
    for row in rows:
        if row["devices"] is None:
            told.append((row["target"], units.rate(row["rate_hz"]), row["why"], *("-",) * (len(columns) - 3)))
            continue
        times = (units.time(row[name] * 1e9) for name in ("p50_s", "p99_s"))
        cells: Row = (row["target"], units.rate(row["rate_hz"]), f"{row['devices']:,}", *times, units.percent(row["utilisation"]))
        cells += (f"{row['batch']:.3g}", _range(row["answer_j"], lambda joules: units.energy(joules * 1e12)))
        told.append(cells + (_cost(row["cost"]),) * priced)
    return "Under this load", columns, told


def _sharing(rows: list[dict[str, Any]]) -> Table:
    columns: Row = ("target", "copies", "latency", "all of them", "energy an answer", "note")
    told: list[Row] = [
        (
            row["target"],
            f"{row['copies']:,}",
            units.time(row["latency_s"] * 1e9),
            units.rate(row["answers_per_s"]),
            units.energy(None if row["answer_j"] is None else row["answer_j"] * 1e12),
            row["note"],
        )
        for row in rows
    ]
    return "Copies of the network side by side on one device, all at work", columns, told


def _range(bounds: list[float] | None, write: Any) -> str:
    if bounds is None:
        return units.UNKNOWN
    least, most = (write(float("inf") if value is None else value) for value in bounds)
    return str(least) if least == most else f"{least} to {most}"


def _cost(cost: Mapping[str, float] | None) -> str:
    return "not given" if cost is None else f"{cost['total']:,.3g}"
