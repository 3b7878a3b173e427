"""A network and data named on the command line, and the study of them: what `neuro run` and `neuro compare` share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import CODE_OR_AUTO, TIMESTEPS
from neuro.errors import UsageError

if TYPE_CHECKING:
    from neuro.cli.inputs import Data
    from neuro.cli.job import Settings
    from neuro.cli.output import Work
    from neuro.network import Network
    from neuro.report.outcome import Outcome

CALIBRATION_SAMPLES = 512
INPUT_LEVELS = 255  # of values that are not integers, when they enter a network as messages
DEFAULT_CHIP = "loihi2"
_MODEL = "package.module:callable that returns a torch.nn.Module, an .onnx or .nir file, or a saved spiking network."
MODEL = typer.Argument(metavar="MODEL", help=_MODEL, show_default=False)
SAMPLES = typer.Option("--data", metavar="FILE", help="An .npz file: x (samples, ...) and, if known, y.", show_default=False)
Model = Annotated[str, MODEL]
Samples = Annotated[Path, SAMPLES]
Code = Annotated[str | None, CODE_OR_AUTO]
Timesteps = Annotated[int | None, TIMESTEPS]
Weights = Annotated[Path | None, typer.Option(metavar="FILE", help="The module's weights, as safetensors.")]
NirWriter = Annotated[
    str | None,
    typer.Option("--nir-writer", metavar="NAME", help="Who wrote a .nir file: nir, snntorch, sinabs, norse or spikingjelly."),
]
Calibration = Annotated[
    Path | None, typer.Option(metavar="FILE", help="An .npz file with typical inputs x; left out: the first 512 of --data.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as it was written on the command line."""

    model: str
    data: Path
    chip: str
    code: str | None
    timesteps: int | None
    weights: Path | None
    calibration: Path | None
    all_codes: bool = False
    machines: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    board: str = "given"
    nir_writer: str | None = None
    diagnose: bool = False
    within_s: float | None = None

    @property
    def saved(self) -> bool:
        """Whether the model is the file of a spiking network."""
        return not self.onnx and (self.nir or Path(self.model).suffix == ".safetensors" or Path(self.model).is_file())

    @property
    def nir(self) -> bool:
        """Whether it is one that another tool may have written."""
        return Path(self.model).suffix == ".nir"

    @property
    def onnx(self) -> bool:
        """Whether the model is the file of a float network."""
        return Path(self.model).suffix == ".onnx"


def study_named(asked: Asked, *, work: Work) -> Outcome:
    """Read what was named, convert it if it is a float network, and study it on the chip."""
    _check(asked)
    from neuro.chip.files import load_chip
    from neuro.cli.inputs import read_data

    chip, samples = load_chip(asked.chip), read_data(asked.data)
    from neuro.cli.job import study, study_network

    settings = _settings(asked)
    if asked.saved:
        network = _network(asked, samples)
        outcome = study_network(network, chip, samples, settings, window=asked.timesteps, work=work)
        facts = (*outcome.facts, *(network.notes if asked.nir else ()))  # what was assumed about another tool's file
        return replace(outcome, title=f"{Path(asked.model).name} on {chip.name}", facts=facts)
    model, typical = float_network(asked, samples), typical_inputs(asked, samples)
    outcome = study(model, typical, chip, samples, settings, work=work)
    facts = (f"calibrated on {len(typical):,} inputs of {(asked.calibration or asked.data).name}", *getattr(model, "notes", ()))
    name = Path(asked.model).name if asked.onnx else asked.model
    return replace(outcome, title=f"{name} as spikes on {chip.name}", facts=facts)


def _network(asked: Asked, samples: Data) -> Network:
    """The spiking network in a file."""
    if not asked.nir:
        from neuro.network import Network

        return Network.load(asked.model)
    import numpy as np

    from converters.nir_files import read_nir

    fractions = samples.x.dtype.kind == "f" and not np.array_equal(samples.x, np.rint(samples.x))
    scale = float(np.abs(samples.x).max()) / INPUT_LEVELS if fractions else None
    return read_nir(asked.model, writer=asked.nir_writer, input_scale=scale)


def float_network(asked: Asked, samples: Data) -> Any:
    """The module or graph that was named."""
    if not asked.onnx:
        from converters.modules import load_module

        return load_module(asked.model, weights=asked.weights)
    if asked.weights is not None:
        raise UsageError("--weights", f"{asked.model!r} is an ONNX file, which holds its weights", "Leave --weights out")
    from converters.onnx_files import read_onnx

    return read_onnx(asked.model, shape=samples.x.shape[1:])


def network_named(asked: Asked, *, work: Work) -> tuple[Network, Data]:
    """Read what was named and convert it if it is a float network: the spiking network and the samples."""
    _check(asked)
    from neuro.chip.files import load_chip
    from neuro.cli.inputs import read_data

    samples = read_data(asked.data)
    if asked.saved:
        return _network(asked, samples), samples
    from neuro.cli.job import convert_for

    settings, model, typical = _settings(asked), float_network(asked, samples), typical_inputs(asked, samples)
    work.step(f"{settings.code}: converting")
    return convert_for(load_chip(asked.chip), model, typical, settings.code, settings.timesteps).network, samples


def check_auto(code: str | None, timesteps: int | None) -> None:
    """Refuse a number of timesteps beside the code that finds its own."""
    if code == "auto" and timesteps is not None:
        raise UsageError("--timesteps", "--code auto chooses them too", "Leave --timesteps out, or name a code")


def _check(asked: Asked) -> None:
    if asked.nir_writer is not None and not asked.nir:
        raise UsageError("--nir-writer", f"{asked.model!r} is not a .nir file", "Leave --nir-writer out")
    check_auto(asked.code, asked.timesteps)
    for name, value in (("--code", asked.code), ("--weights", asked.weights), ("--calibration", asked.calibration)):
        if asked.saved and value is not None:
            raise UsageError(name, f"{asked.model!r} is a saved spiking network, which has these already", f"Leave {name} out")
    if asked.saved and asked.diagnose:
        fact = f"{asked.model!r} is a saved spiking network: the float network to measure it against is not in it"
        raise UsageError("--diagnose", fact, "Name the float network, package.module:callable or an .onnx file")


def typical_inputs(asked: Asked, samples: Data) -> Any:
    """The inputs that a float network is calibrated on."""
    from neuro.cli.inputs import read_data

    return (samples if asked.calibration is None else read_data(asked.calibration)).x[:CALIBRATION_SAMPLES]


def _settings(asked: Asked) -> Settings:
    """Settings with the defaults in place of what was left open."""
    from neuro.cli.job import Settings, other_codes

    default = Settings()
    code = asked.code or default.code
    return Settings(
        code,
        asked.timesteps or default.timesteps,
        other_codes(code) if asked.all_codes else (),
        asked.machines or default.machines,
        asked.batches or default.batches,
        asked.board,
        asked.diagnose,
        asked.within_s,
    )
