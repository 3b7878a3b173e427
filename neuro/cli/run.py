"""`neuro run`: the main job on the user's own network and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuro.cli.output import CODE, TIMESTEPS, Chip, Json, Quiet, Report, check_writable, status
from neuro.errors import UsageError

Model = Annotated[
    str,
    typer.Argument(
        help="A saved spiking network, or package.module:callable that returns a torch.nn.Module.", show_default=False
    ),
]
Samples = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="An .npz file: x (samples, ...) and, if known, y.", show_default=False)
]
Code = Annotated[str | None, CODE]
Timesteps = Annotated[int | None, TIMESTEPS]
Weights = Annotated[Path | None, typer.Option(metavar="FILE", help="The module's weights, as safetensors.")]
Calibration = Annotated[
    Path | None, typer.Option(metavar="FILE", help="An .npz file with typical inputs x; left out: the first 512 of --data.")
]
AllCodes = Annotated[bool, typer.Option("--all-codes", help="Try the other codes too.")]


def run(
    model: Model,
    data: Samples,
    chip: Chip = "loihi2",
    code: Code = None,
    timesteps: Timesteps = None,
    weights: Weights = None,
    calibration: Calibration = None,
    all_codes: AllCodes = False,
    report: Report = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Emulate a network of your own on a chip: accuracy, energy, latency and a comparison.

    A torch module is converted first (code rate, 16 timesteps unless told otherwise); a saved spiking network runs as it is.
    The current folder is searched for modules.
    """
    check_writable(report, json)
    saved = Path(model).suffix == ".safetensors" or Path(model).is_file()
    for name, value in (("--code", code), ("--weights", weights), ("--calibration", calibration)):
        if saved and value is not None:
            raise UsageError(name, f"{model!r} is a saved spiking network, which has these already", f"Leave {name} out")
    with status("loading", quiet=quiet) as step:
        from neuro.chip.files import load_chip
        from neuro.cli.inputs import read_data

        target, samples = load_chip(chip), read_data(data)
        from neuro.cli.job import Settings, study, study_network
        from neuro.cli.tell import tell

        title = f"{Path(model).name if saved else model} as spikes on {target.name}"
        if saved:
            from neuro.network import Network

            outcome = study_network(Network.load(model), target, samples, timesteps=timesteps, title=title, step=step)
        else:
            from converters.modules import load_module

            module = load_module(model, weights=weights)
            typical = (samples if calibration is None else read_data(calibration)).x[:512]
            settings = Settings.of(code, timesteps, all_codes=all_codes)
            facts = (f"calibrated on {len(typical):,} inputs of {(calibration or data).name}",)
            outcome = study(module, typical, target, samples, settings, title=title, facts=facts, step=step)
    tell(outcome, report=report, json=json, quiet=quiet)
