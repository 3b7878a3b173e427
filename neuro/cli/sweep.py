"""`neuro sweep`: many settings of one network, and which of them are worth considering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.named import DEFAULT_CHIP, Calibration, Loaded, Request, Scale, Weights, float_network, read_named
from neuro.cli.output import Json, Quiet, chip_names, console, working, write_json
from neuro.cli.paths import check_apart, check_files
from neuro.codes import CODES
from neuro.errors import UsageError

if TYPE_CHECKING:
    from neuro.sweeping.settings import Search
    from neuro.sweeping.subject import SweepSubject
    from neuro.sweeping.sweep import SweepPlan

EXAMPLES = """
Examples:

\b
  neuro sweep
      the handwritten digits in every code with 4, 8 and 16 timesteps
  neuro sweep --resume
      the same, continued where it was interrupted
  neuro sweep mine:net --data test.npz --code rate,graded --timesteps 4,8,16,32 --weight-bits 4,6,8 --out mine
  neuro sweep mine:net --data test.npz --chip loihi2,my_chip.toml --placement refined,sequential --search 100 --out mine
  neuro sweep --cluster tcp://scheduler:8786 --out shared

The folder --out holds the journal of what is done, and the results: result.json, points.csv, front.csv, front.svg, report.html.
"""
_FILES = (
    "journal.jsonl",
    "subject.safetensors",
    "plan.json",
    "result.json",
    "points.csv",
    "front.csv",
    "front.svg",
    "report.html",
)
_MODEL = "package.module:callable or file.py:callable (a torch.nn.Module), or an .onnx file; left out: the handwritten digits."
_DATA = "An .npz file: x (samples, ...) and y, or a folder of images or .wav files, one folder a class; required with MODEL."
_RESUME = "Continue what --out holds; what is left out is taken from there."
_SEARCH = "Draw so many settings with NSGA-II instead of taking all."


def _values(what: str, names: Callable[[], Sequence[str]] = tuple) -> Any:
    """Values between commas; the shell completes the last of them."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names()]

    return typer.Option(metavar="A,B,...", help=what, autocompletion=complete, show_default=False)


Model = Annotated[str | None, typer.Argument(metavar="[MODEL]", help=_MODEL, show_default=False)]
Samples = Annotated[Path | None, typer.Option("--data", metavar="PATH", help=_DATA)]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the journal and the results go.")]
Code = Annotated[list[str] | None, _values(f"Of {', '.join(CODES)} (all).", lambda: list(CODES))]
Timesteps = Annotated[list[str] | None, _values("Timesteps in which a value is sent (4,8,16).")]
Threshold = Annotated[
    list[str] | None, _values("How thresholds are chosen: mse, percentile, max (mse).", lambda: ("mse", "percentile", "max"))
]
Bits = Annotated[list[str] | None, _values("Bits of a weight, 2 to 8 (8).")]
Chips = Annotated[list[str] | None, _values("Chips by name or .toml file (loihi2).", chip_names)]
Placements = Annotated[
    list[str] | None,
    _values("Of refined, partitioned, sequential, random (refined).", lambda: ("refined", "partitioned", "sequential", "random")),
]
Trials = Annotated[int | None, typer.Option("--search", metavar="N", min=1, help=_SEARCH)]
Seed = Annotated[int, typer.Option(help="Of the search.", min=0)]
First = Annotated[int | None, typer.Option("--samples", metavar="N", min=1, help="Only the first N samples.")]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Worker processes; left out: one for each core.")]
Cluster = Annotated[str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler to work with instead of this machine.")]
Resume = Annotated[bool, typer.Option("--resume", help=_RESUME)]


def sweep(
    model: Model = None,
    data: Samples = None,
    out: Out = Path("sweep"),
    resume: Resume = False,
    code: Code = None,
    timesteps: Timesteps = None,
    threshold: Threshold = None,
    weight_bits: Bits = None,
    chip: Chips = None,
    placement: Placements = None,
    search: Trials = None,
    seed: Seed = 0,
    samples: First = None,
    weights: Weights = None,
    calibration: Calibration = None,
    scale: Scale = None,
    workers: Workers = None,
    cluster: Cluster = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Measure a network in many settings; find those that no other beats in accuracy, energy and latency.

    A setting that is not possible stops nothing. Every finished point is on disk at once: --resume goes on from there.
    """
    if search is not None:
        from neuro.sweeping.genetic import check_installed

        check_installed()
    if (model is None) != (data is None):
        raise UsageError("neuro sweep", "MODEL and --data go together", "Name both, or neither for the handwritten digits")
    for option, value in (("--weights", weights), ("--calibration", calibration), ("--scale", scale)):
        if model is None and value is not None:
            raise UsageError(option, "it belongs to a MODEL", f"Name MODEL and --data, or leave {option} out")
    if (out / "journal.jsonl").exists() and not resume:
        raise UsageError(str(out), "it holds a sweep already", "Continue it with --resume, or name another folder with --out")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}", "it is no folder", "Name a folder")
    request = None
    if model is not None and data is not None:
        request = Request(model, data, DEFAULT_CHIP, None, None, weights, calibration, scale=scale)
    if request is not None and request.saved:
        fact, remedy = "a spiking network has its code already", "Name the float network it came from"
        raise UsageError(f"model {request.model!r}", fact, remedy)
    inputs = {} if request is None else request.inputs()
    inputs |= {f"--chip {name}": str(name) for name in _split("chip", chip or []) if str(name).endswith(".toml")}
    check_files({"--json": json})
    check_apart(
        {"--json": json, **{f"--out {name}": out / name for name in _FILES}}, inputs, code=request.code_files() if request else ()
    )
    axes = {"code": code, "timesteps": timesteps, "threshold": threshold, "weight_bits": weight_bits}
    axes |= {"chip": chip, "placement": placement}
    with working("loading", quiet=quiet) as work:
        read = None if request is None else _labelled(request)
        from neuro.chip.files import load_chip
        from neuro.sweeping.settings import Search
        from neuro.sweeping.sweep import SUBJECT, WorkerOptions, sweep_subject

        plan = _plan(axes, None if search is None else Search(search, seed=seed), out, resume=resume)
        for name in () if plan is None else plan.space.chip:
            load_chip(name)
        known = resume and model is None and (out / SUBJECT).exists()
        subject = None if known else _subject(request, read, samples, work.advance)
        work.step("measuring")
        found = sweep_subject(subject, plan, out, WorkerOptions(workers, cluster, work.advance), resume=resume)
    from neuro.files import write_text
    from neuro.report.svg import alone
    from neuro.report.sweeping import accuracy_against, terminal, write_sweep_page

    if found.front:
        write_text(out / "front.svg", alone(accuracy_against(found, "energy")))
    write_sweep_page(out / "report.html", found)
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(terminal(found))
    shown.print(f"\nIn {out}: result.json, points.csv, front.csv, front.svg, report.html.")
    write_json(json, found.to_json())


def _plan(axes: dict[str, list[str] | None], search: Search | None, out: Path, *, resume: bool) -> SweepPlan | None:
    """What was asked for; None for what the folder holds."""
    from neuro.sweeping.settings import Space
    from neuro.sweeping.sweep import PLAN, SweepPlan

    given: dict[str, Any] = {name: _split(name, texts) for name, texts in axes.items() if texts}
    if resume and not given and search is None and (out / PLAN).exists():
        return None
    return SweepPlan(Space(**given), search)


def _split(name: str, texts: list[str]) -> list[str] | list[int]:
    values = [value.strip() for text in texts for value in text.split(",") if value.strip()]
    if name not in ("timesteps", "weight_bits"):
        return values
    wrong = next((value for value in values if not value.isdecimal()), None)
    if wrong is not None:
        raise UsageError(f"--{name.replace('_', '-')}", f"{wrong!r} is not a whole number", "Write it as 4,8,16")
    return [int(value) for value in values]


def _labelled(request: Request) -> Loaded:
    """What was named, read; refused without the classes of the samples."""
    read = read_named(request).of_one("neuro sweep")
    if read.data.y is None:
        raise UsageError(
            f"{request.data}, y", "a sweep is about accuracy, and the classes are not there", "Add y, or class folders"
        )
    return read


def _subject(request: Request | None, read: Loaded | None, samples: int | None, progress: Any) -> SweepSubject:
    """What was named, ready to be measured; None for the digits, whose network is trained here."""
    from neuro.sweeping.subject import subject_of

    if request is None or read is None:
        from neuro.digits.data import load_digits
        from neuro.digits.model import train

        digits = load_digits()
        trained = train(digits, progress=progress)
        x, y = digits.x_held_out[:samples], digits.y_held_out[:samples]
        return subject_of(trained, x, y, calibration=digits.x_train[:256], title="Handwritten digits")
    network, read = float_network(request, read)
    held = read.data
    assert held.y is not None  # see _labelled
    title = Path(request.model).name
    return subject_of(network, held.x[:samples], held.y[:samples], calibration=read.typical, title=title)
