"""`neuro demo`: the main job on data that is already there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from neuro.cli.output import CODE, TIMESTEPS, Chip, Quiet, working
from neuro.cli.paths import check_files
from neuro.codes import CODES
from neuro.errors import UsageError, one_of

EXAMPLES = """
Examples:

\b
  neuro demo
  neuro demo --code rate --chip loihi1-nahuku --seed 3
  neuro demo --quiet --json -
"""
Code = Annotated[str, CODE]
Timesteps = Annotated[int, TIMESTEPS]
Seed = Annotated[int, typer.Option(help="Of the split of the data and of the training.", min=0)]
MACHINES = ("edge", "datacentre")
Report = Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")]
Json = Annotated[Path, typer.Option("--json", metavar="FILE", help="The JSON object to write; - is standard output.")]


def demo(
    chip: Chip = "loihi2",
    code: Code = "graded",
    timesteps: Timesteps = 16,
    seed: Seed = 0,
    report: Report = Path("report.html"),
    json: Json = Path("result.json"),
    quiet: Quiet = False,
) -> None:
    """Train a small network on handwritten digits, convert it, emulate it on a chip, and compare.

    Everything happens here and now: 1,347 images to train on, 450 held out, five codes, machines from microcontroller to GPU.
    """
    check_files({"--report": report, "--json": json}, {"--chip": chip})
    if code not in CODES:
        raise UsageError("--code", f"{code!r} is none that the demo shows", one_of(code, CODES))
    with working("loading", quiet=quiet) as work:
        from neuro.chip.files import load_chip
        from neuro.studies.data import Data
        from neuro.studies.settings import StudySettings, other_codes

        target, settings = load_chip(chip), StudySettings(code, timesteps, other_codes(code), MACHINES)
        from neuro.cli.showing import show
        from neuro.digits.data import load_digits
        from neuro.digits.model import train
        from neuro.studies.study import study_model

        digits = load_digits(seed=seed)
        held_out = Data(digits.x_held_out, digits.y_held_out)
        work.step("training")
        model = train(digits, seed=seed, progress=work.advance)
        outcome = study_model(model, digits.x_train[:256], target, held_out, settings, work=work)
    facts = (
        f"{len(digits.x_train):,} images of 8 x 8 pixels to train and calibrate on, {len(held_out):,} held out to test",
        "three convolutions with batch norm and ReLU, two average pools, one linear layer; trained just now",
    )
    title = f"Handwritten digits as spikes on {target.name}"
    show(replace(outcome, title=title, facts=facts, seed=seed), report=report, json=json, quiet=quiet)
