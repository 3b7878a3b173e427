"""`neuro optimise`: a float network made smaller and sparser for a chip, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuro.cli.named import DEFAULT_CHIP, Request, Weights, float_network, read_named
from neuro.cli.output import CODE, TIMESTEPS, Chip, Json, Quiet, console, working, write_json
from neuro.cli.paths import check_apart, check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from neuro.chip.spec import Chip as ChipSpec
    from neuro.optimising.elsewhere import ElsewhereRow
    from neuro.optimising.found import Optimised
    from neuro.optimising.optimise import Parts
    from neuro.optimising.plan import OptimisePlan
    from neuro.optimising.rounds import Report

EXAMPLES = """
Examples:

\b
  neuro optimise mine:net --weights w.safetensors --data train.npz --minutes 30 --out small
  neuro optimise mine:net --data train.npz --validation val.npz --code radix --timesteps 6 --less 1.5,2,2.5 --loss 1
  neuro optimise mine:net --data train.npz --also radix:8 --also radix:5 --also rate:16 --less 2,3
  neuro optimise mine:net --data train.npz --channels 1 --score movement --chips 1 --against stm32u575 --against a100
  neuro optimise mine:net --data train.npz --minutes 30 --out small --resume

The folder --out holds every point (points/NN/network.safetensors, which `neuro run` takes, its float graph, its recipe in
point.json), and result.json, points.csv, front.svg, report.html.
"""
_MODEL = "package.module:callable or file.py:callable (a torch.nn.Module), or an .onnx file."
_DATA = "An .npz file to learn from: x (samples, ...) and, if known, y."
_VALIDATION = "An .npz file that points are chosen on; left out: a fifth of --data, which is then not learned from."
_LESS = "How many times less dynamic energy the rounds aim at, rising (1.5,2,2.5,3,4)."
_MINUTES = "Of training in all rounds together; left out: --steps in each round."
_FILES = ("plan.json", "about.json", "result.json", "points.csv", "front.svg", "report.html")

Model = Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL, show_default=False)]
Samples = Annotated[Path, typer.Option("--data", metavar="FILE", help=_DATA, show_default=False)]
Validation = Annotated[Path | None, typer.Option(metavar="FILE", help=_VALIDATION, show_default=False)]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where points and results go.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what --out holds.")]
Code = Annotated[str, CODE]
Timesteps = Annotated[int, TIMESTEPS]
Loss = Annotated[float, typer.Option(metavar="POINTS", help="Accuracy that may be lost, in percentage points.", min=0)]
Less = Annotated[str | None, typer.Option(metavar="A,B,...", help=_LESS, show_default=False)]
Cores = Annotated[int | None, typer.Option(metavar="N", min=1, help="Cores that the chosen point may need.")]
Chips = Annotated[int | None, typer.Option(metavar="N", min=1, help="Chips that the chosen point may need.")]
Minutes = Annotated[float | None, typer.Option(metavar="M", help=_MINUTES, show_default=False)]
Steps = Annotated[int, typer.Option(metavar="N", min=0, help="Of training in each round.")]
Score = Annotated[str, typer.Option(metavar="SCORE", help="By which channels go: fisher, movement or magnitude.")]
Channels = Annotated[float, typer.Option(metavar="SHARE", help="Of each saving taken by removing channels, 0 to 1.")]
_SPARSITY = "Share of the weights of each layer that are zero in the end, 0 to 0.99."
Sparsity = Annotated[float, typer.Option(metavar="SHARE", help=_SPARSITY)]
Pattern = Annotated[
    str, typer.Option(metavar="N:M", help="At most N of M weights in a row: 2:4, 1:4 or 4:8.", show_default=False)
]
_BITS = "Bits of a weight on average, 2 to 8, more where rounding costs more; 0: 8 everywhere."
Bits = Annotated[float, typer.Option("--average-bits", metavar="B", help=_BITS)]
_ALSO = "A further code and its T, radix:6 say, in which each round's network is measured too; repeat it."
Also = Annotated[list[str] | None, typer.Option("--also", metavar="CODE:T", help=_ALSO, show_default=False)]
_DIGITS = "Digits of a value on average in radix, fewer where rounding costs less; 0: --timesteps everywhere."
ValueBits = Annotated[float, typer.Option(metavar="B", help=_DIGITS)]
_DEPTH = "Residual blocks to remove at the beginning; with --search: at most."
Depth = Annotated[int, typer.Option(metavar="N", min=0, help=_DEPTH)]
_NORMS = "Train with batch norms, which are folded again: needs fewer steps once many channels are gone."
Norms = Annotated[bool, typer.Option("--norms", help=_NORMS)]
_RATE = "Of learning, relative to the size of what is changed; three times as much with --norms."
Pace = Annotated[float, typer.Option("--rate", metavar="R", help=_RATE)]
_DECAY = "Of weights, relative to --rate: 0.003 for trainings of many steps with --norms."
Decay = Annotated[float, typer.Option(metavar="D", help=_DECAY)]
_FLOAT = "Of training of the float network itself first, by its labels; rounds begin with it and learn its answers."
FloatSteps = Annotated[int, typer.Option(metavar="N", min=0, help=_FLOAT)]
_SEARCH = "Try N optimisations of one round in place of the rounds, widths, depth and kernels varied as NSGA-II proposes."
Trials = Annotated[int | None, typer.Option("--search", metavar="N", min=1, help=_SEARCH)]
_CLUSTER = "A Dask scheduler on whose workers the trials of --search run; they must see the folder --out."
Cluster = Annotated[str | None, typer.Option(metavar="ADDRESS", help=_CLUSTER, show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Of the division of the data and the order of samples.")]
_AGAINST = "Machines on which the same networks are priced too: edge, datacentre, all, a name or a .toml file; repeat it."
Against = Annotated[list[str] | None, typer.Option("--against", metavar="M", help=_AGAINST, show_default=False)]


def optimise(
    model: Model,
    data: Samples,
    validation: Validation = None,
    out: Out = Path("optimised"),
    resume: Resume = False,
    chip: Chip = DEFAULT_CHIP,
    code: Code = "graded",
    timesteps: Timesteps = 16,
    also: Also = None,
    weights: Weights = None,
    loss: Loss = 1.0,
    less: Less = None,
    cores: Cores = None,
    chips: Chips = None,
    minutes: Minutes = None,
    steps: Steps = 300,
    score: Score = "fisher",
    channels: Channels = 0.5,
    sparsity: Sparsity = 0.0,
    pattern: Pattern = "",
    average_bits: Bits = 0.0,
    value_bits: ValueBits = 0.0,
    depth: Depth = 0,
    norms: Norms = False,
    rate: Pace = 5e-3,
    decay: Decay = 0.0,
    float_steps: FloatSteps = 0,
    search: Trials = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    against: Against = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Prune and retrain a float network until it costs less on a chip; see which networks no other beats.

    Every finished point is on disk at once: --resume goes on from there, after a kill too.
    """
    request = Request(model, data, chip, None, None, weights, None, machines=tuple(against or ()))
    _check_asked(request, out)
    inputs = {**request.inputs(), "--validation": validation}
    check_files({"--json": json})
    check_apart({"--json": json, **{f"--out {name}": out / name for name in _FILES}}, inputs, code=request.code_files())
    plan = _plan(
        {"accuracy_loss": loss / 100, "cores": cores, "chips": chips, **({} if less is None else {"energy": _times(less)})},
        {"code": code, "timesteps": timesteps, "steps": steps, "score": score, "channels": channels, "seed": seed}
        | {"sparsity": sparsity, "pattern": pattern, "average_bits": average_bits, "value_bits": value_bits}
        | {"codes": tuple(also or ()), "norms": norms, "rate": rate, "decay": decay}
        | {"float_steps": float_steps, "depth": 0 if search else depth},
    )
    _check_search(search, also, cluster)
    with working("loading", quiet=quiet) as work:
        read = read_named(request).of_one("neuro optimise")
        from neuro.cli.inputs import read_data
        from neuro.optimising.elsewhere import elsewhere
        from neuro.optimising.optimise import optimise_parts, split
        from neuro.rivals import rivals

        other = None if validation is None else read_data(validation)
        chosen = None if other is None else (other.x, other.y)
        network, read = float_network(request, read)
        parts = split(network, read.data.x, read.data.y, chosen, seed)
        said: list[str] = []

        def report(what: str, done: int, of: int) -> None:
            if said[-1:] != [what]:
                said.append(what)
                work.step(what)
            work.advance(done, of)

        if search is not None:
            _search(parts, read.chip, plan, out, (search, depth, cluster), report, json, quiet=quiet)
            return
        found = optimise_parts(parts, read.chip, plan, out, minutes=minutes, resume=resume, report=report)
        machines, _ = rivals(parts.graph, tuple(against or ()))
        rows = elsewhere(found, machines)
    _show(found, rows, out, json, quiet=quiet)


def _check_asked(request: Request, out: Path) -> None:
    if request.saved:
        fact, remedy = "a spiking network has its weights already rounded", "Name the float network it came from"
        raise UsageError(f"model {request.model!r}", fact, remedy)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}", "it is no folder", "Name a folder")


def _check_search(search: int | None, also: list[str] | None, cluster: str | None) -> None:
    if also and search is not None:
        raise UsageError("--also", "a search varies the code in trials of their own", "Leave --search or --also out")
    if cluster is not None and search is None:
        raise UsageError("--cluster", "only the trials of a search run on one", "Add --search N, or leave it out")


def _show(found: Optimised, rows: Sequence[ElsewhereRow], out: Path, json: Path | None, *, quiet: bool) -> None:
    """Figure, page, tables and JSON of what was found."""
    from neuro.files import write_text
    from neuro.optimising.elsewhere import plain_rows
    from neuro.report.optimising import front_figure, terminal, write_optimised_page
    from neuro.report.svg import alone

    write_text(out / "front.svg", alone(front_figure(found)))
    write_optimised_page(out / "report.html", found, rows)
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(terminal(found, rows))
    shown.print(f"\nIn {out}: result.json, points.csv, front.svg, report.html; every network in points/.")
    write_json(json, {**found.to_json(), "elsewhere": plain_rows(rows)})


def _search(
    parts: Parts,
    chip: ChipSpec,
    plan: OptimisePlan,
    out: Path,
    asked: tuple[int, int, str | None],
    report: Report,
    json: Path | None,
    *,
    quiet: bool,
) -> None:
    """A search in place of the rounds; trials that the folder holds are taken as they are. asked: how many, with how many
    residual blocks removed at most, on which cluster."""
    from neuro.optimising.search import OptimiseSpace, search_parts
    from neuro.report.optimising import search_terminal
    from neuro.sweeping.settings import Search

    trials, depth, where = asked
    space = OptimiseSpace(
        code=(plan.settings.code,),
        timesteps=(plan.settings.timesteps,),
        energy=plan.goal.energy,
        depth=tuple(range(depth + 1)),
        widths=(1.0, 0.75, 0.5),
        kernels=(1, 3, 5),
    )
    found = search_parts(parts, chip, space, Search(trials, seed=plan.settings.seed), plan.settings, out, report, where)
    console(quiet=quiet or str(json) == "-").print(search_terminal(found))
    write_json(json, found.to_json())


def _plan(goal: dict[str, object], settings: dict[str, object]) -> OptimisePlan:
    from typing import Any, cast

    from neuro.optimising.plan import OptimiseGoal, OptimisePlan, OptimiseSettings

    return OptimisePlan(OptimiseGoal(**cast(Any, goal)), OptimiseSettings(**cast(Any, settings)))


def _times(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError("--less", f"{text!r} holds what is no number", "Write it as 1.5,2,2.5") from None
