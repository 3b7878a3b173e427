"""An Outcome's JSON object as tables for the terminal. Prints what is in the object and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from neuro import units
from neuro.report.result import on_all_chips
from neuro.report.serving import serving_tables
from neuro.report.tables import WideTable, table

Result = Mapping[str, Any]


def tables(result: Result) -> Group:
    """Everything a person wants to see at once: headline, codes, energy by part, comparison, what was assumed."""
    return Group(*_blocks(result))


def _blocks(result: Result) -> Iterator[RenderableType]:
    yield Text(f"{result['title']}\n", style="bold")
    yield from answer(result)
    yield from facts(result)
    yield _codes(result)
    yield from agreed(result)
    if result["refused_codes"]:
        yield Group(
            *(Padding(Text(f"No {code}: {why}", style="dim"), (0, 0, 0, 1)) for code, why in result["refused_codes"].items())
        )
        yield Text()
    if result["energy_kinds"]:
        yield _parts(result)
    if result["repriced"]:
        yield Padding(Text(f"The same counts at other prices: {_repriced(result)}."), (0, 0, 1, 2))
    if result["losses"] is not None:
        yield _losses(result["losses"])
    yield from chips(result)
    yield from served(result)
    if result["comparison"]:
        yield comparison(result)
    yield from _held(result)


def compared(result: Result) -> Group:
    """The answer, how the network got there, and all targets side by side."""
    title = Text(f"{result['title']}\n", style="bold")
    network = (*facts(result), *settled(result), *agreed(result))
    return Group(title, *answer(result), *network, *chips(result), *served(result), comparison(result))


def settled(result: Result) -> Iterator[RenderableType]:
    """The code, its timesteps, and the accuracies, in a sentence."""
    window = "" if result["timesteps"] is None else f" with T = {result['timesteps']}"
    known = result["accuracy_snn"] is not None
    float_network = "" if result["accuracy_ann"] is None else f", the float network {accuracy(result['accuracy_ann'])}"
    right = (
        f"{accuracy(result['accuracy_snn'])} of {result['samples']:,} samples right" if known else "accuracy not known: no labels"
    )
    code = "as saved" if result["code"] == "-" else f"code {result['code']}"
    yield Padding(Text(f"On {result['chip']}, {code}{window}: {right}{float_network}."), (0, 0, 1, 2))


def chips(result: Result) -> Iterator[RenderableType]:
    """The same network on each of several chips, and why others cannot hold it."""
    found = [result, *result["other_chips"]]
    if len(found) > 1:
        columns = ("chip", "code", "T", "accuracy", "cores", "latency", "dynamic", "total energy", "pays")
        yield WideTable("The same network on each chip, per inference", columns, [chip_row(row) for row in found])
    for name, why in result["refused_chips"].items():
        yield Padding(Text(f"Not on {name}: {why}", style="yellow"), (0, 0, 0, 2))
    if result["refused_chips"]:
        yield Text()


def chip_row(row: Result) -> tuple[str, ...]:
    """One chip: code, timesteps, accuracy, cores, latency, energies, and whether it pays."""
    verdict, joules = row["verdict"], row["energy_pj"]
    pays = "not known" if verdict is None or verdict["pays"] is None else "yes" if verdict["pays"] else f"no, {verdict['rival']}"
    steps = "-" if row["timesteps"] is None else f"{row['timesteps']}"
    energies = (units.energy(joules[kind]) for kind in ("dynamic", "total"))
    cores, latency = f"{row['cores_used']}", units.time(row["latency_ns"])
    return row["chip"], row["code"], steps, accuracy(row["accuracy_snn"]), cores, latency, *energies, pays


def served(result: Result) -> Iterator[RenderableType]:
    """What the use costs on each target, and what that holds for."""
    if result["serving"] is None:
        return
    for title, columns, rows in serving_tables(result["serving"]):
        yield WideTable(title, columns, rows)
    for sentence in result["serving"]["conditions"]:
        yield Padding(Text(sentence, style="dim"), (0, 0, 0, 2))
    yield Text()


def agreed(result: Result) -> Iterator[RenderableType]:
    """`agreements` as lines, and an empty one behind them."""
    lines = list(agreements(result))
    yield from (Padding(Text(line, style=style), (0, 0, 0, 2)) for line, style in lines)
    if lines:
        yield Text()


def agreements(result: Result) -> Iterator[tuple[str, str]]:
    """Each code against the float network on calibration samples, what is wrong with it, and inputs that were clipped."""
    checked = [row for row in result["codes"] if row["agreement"] is not None]
    if checked:
        samples = checked[0]["agreement"]["samples"]
        yield f"Against the float network on {samples} calibration samples (error: of the outputs' spread):", "dim"
    for row in checked:
        yield f"{row['code']}: {agreement(row['agreement'])}", "dim"
        if row["agreement"]["warning"]:
            yield f"Warning: {row['agreement']['warning']}.", "yellow"
    if result["clipped_inputs"]:
        yield f"Warning: {result['clipped_inputs']:,} input values lay beyond the calibrated range and were clipped.", "yellow"


def agreement(found: Result) -> str:
    """How a network agrees with the float one, in a few words."""
    decisions = "" if found["decisions"] is None else f"{units.percent(found['decisions'])} of decisions, "
    new = found.get("estimate_on_new")  # results of earlier versions have none
    told = "" if new is None else f" (on new inputs an estimated {new:.3f})"
    return f"{decisions}correlation {found['correlation']:.4f}, error {found['error']:.3f}{told}"


def _losses(losses: Result) -> Group:
    columns = ("layer", "error", "inherited", "clipping", "rounding", "timing", "over", "under", "cosine")
    rows = [(row["name"], *(f"{row[name]:.4f}" for name in columns[1:])) for row in losses["layers"]]
    title = f"What each layer loses: squared errors relative to its mean square, on {losses['samples']} calibration samples"
    return Group(table(title, columns, rows, right=columns[1:]), Padding(Text(losses["advice"]), (0, 0, 1, 2)))


def comparison(result: Result) -> Group:
    """The chip and the machines side by side, and where the chip loses."""
    return Group(
        _machines(result), *(Padding(Text(line, style="yellow"), (0, 0, 0, 2)) for line in result["verdict"]["details"]), Text()
    )


def answer(result: Result) -> Iterator[RenderableType]:
    """Whether it pays, what would change that, and what it costs in accuracy."""
    said = [*(result["verdict"]["answer"] if result["verdict"] else []), *(result["serving"] or {"answer": []})["answer"]]
    lines = list(dict.fromkeys([*said, *result["warnings"]]))
    for number, line in enumerate(lines):
        style = "yellow" if line.startswith("Warning") else "" if number else "bold"
        yield Padding(Text(line, style=style), (0, 0, 0, 2))
    if lines:
        yield Text()


def _held(result: Result) -> Iterator[RenderableType]:
    yield Text("What these numbers hold for", style="bold")
    for sentence in _conditions(result):
        yield Padding(Text(f"· {sentence}", style="dim"), (0, 0, 0, 2))


def _conditions(result: Result) -> Iterator[str]:
    """The general conditions, then how many figures of each target are assumed or unknown; the page lists them one by one."""
    targets = dict.fromkeys(row["machine"] for row in result["comparison"]) or {result["chip"]: None}
    figures = {name: 0 for name in targets}
    for sentence in dict.fromkeys((*result["conditions"], *result["assumptions"])):
        target = sentence.partition(":")[0]
        if target in figures:
            figures[target] += 1
        else:
            yield sentence
    counted = ", ".join(f"{target} {number}" for target, number in figures.items() if number)
    if counted:
        yield f"figures that are assumed or unknown: {counted}; each is named, with its source, in the report and the JSON object"


def facts(result: Result) -> Iterator[RenderableType]:
    """What was done to which data, a line each."""
    yield Text("".join(f"{fact}\n" for fact in result["facts"]), style="dim")


def _codes(result: Result) -> RenderableType:
    columns = ("code", "accuracy", "steps", "spikes", "synops", "updates", "packets", "cores", "latency", "dynamic", "total")
    rows = [
        (
            row["code"],
            accuracy(row["accuracy_snn"]),
            f"{row['steps']}",
            *(units.count(round(row[name])) for name in ("spikes", "synops", "updates", "packets")),
            f"{row['cores_used']}",
            units.time(row["latency_ns"]),
            units.energy(row["energy_pj"]["dynamic"]),
            units.energy(row["energy_pj"]["total"]),
        )
        for row in result["codes"]
    ]
    title = f"Spikes on {result['chip']}, per inference; the float network has {accuracy(result['accuracy_ann'])}"
    return WideTable(title, columns, rows)


def _parts(result: Result) -> RenderableType:
    total = result["energy_pj"]["total"]
    rows = [
        (
            part,
            units.energy(pj),
            units.percent(pj / total) if total and pj is not None else "-",
            result["energy_kinds"][part],
            result["energy_basis"][part],
        )
        for part, pj in result["energy_pj"].items()
        if part in result["energy_kinds"]
    ]
    title = f"Energy of one inference on {result['chip']}, code {result['code']}"
    return table(title, ("part", "energy", "share", "kind", "basis"), rows, right=("energy", "share"))


def _machines(result: Result) -> RenderableType:
    columns = ("target", "batch", "precision", "latency", "throughput", "dynamic", "total energy", "basis")
    rows = [
        (
            row["machine"],
            f"{row['batch']}",
            row["precision"],
            units.time(row["latency_ns"]),
            units.rate(row["throughput_per_s"]),
            units.energy(row["dynamic_pj"]),
            units.energy(row["energy_pj"]),
            row["basis"],
        )
        for row in on_all_chips(result)
    ]
    title = "The same network on other machines; energy per inference, latency of a batch"
    return WideTable(title, columns, rows)


def _repriced(result: Result) -> str:
    said = []
    for row in result["repriced"]:
        joules = f"{units.energy(row['dynamic_pj'])} dynamic, {units.energy(row['total_pj'])} total"
        said.append(f"{row['prices']} {joules}, {units.time(row['latency_ns'])}")
    return "; ".join(said)


def accuracy(value: float | None) -> str:
    """An accuracy, or a dash where there were no labels."""
    return "-" if value is None else units.percent(value)
