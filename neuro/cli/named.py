"""A network and data named on the command line, and the study of them: what `neuro run` and `neuro compare` share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.kinds import PROGRAMS, TORCH_FILES, check_folder, check_name, check_spiking
from neuro.cli.output import CODE_OR_AUTO, TIMESTEPS
from neuro.cli.use import UseOptions
from neuro.errors import NeuroError, UsageError, one_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuro.chip.spec import Chip
    from neuro.engine.pace import Work
    from neuro.network import Network
    from neuro.studies.data import Data
    from neuro.studies.fitting import Fit
    from neuro.studies.settings import StudySettings
    from neuro.studies.study import Study

CALIBRATION_SAMPLES = 512
INPUT_LEVELS = 255  # of values that are not integers, when they enter a network as messages
DEFAULT_CHIP = "loihi2"
WRITERS = ("nir", "snntorch", "snntorch-zero", "sinabs", "norse", "spikingjelly")
_MODEL = "module:callable or file.py:callable (a torch.nn.Module), an .onnx, .nir or .net file, or a saved spiking network."
MODEL = typer.Argument(metavar="MODEL", help=_MODEL, show_default=False)
_DATA = "An .npz file: x (samples, ...) and, if known, y; or a folder of images or .wav files, one folder a class."
SAMPLES = typer.Option("--data", metavar="PATH", help=_DATA, show_default=False)
_SCALE = "Values of a folder's images: unit (0 to 1), signed (-1 to 1), bytes, imagenet, or MEAN/DEVIATION. Default: unit."
Scale = Annotated[str | None, typer.Option("--scale", metavar="S", help=_SCALE, show_default=False)]
Model = Annotated[str, MODEL]
Samples = Annotated[Path, SAMPLES]
Code = Annotated[str | None, CODE_OR_AUTO]
Timesteps = Annotated[int | None, TIMESTEPS]
Weights = Annotated[Path | None, typer.Option(metavar="FILE", help="The module's weights: safetensors, or a file of torch.save.")]
_WRITTEN = (
    "Who wrote a .nir file: nir, snntorch, sinabs, norse or spikingjelly; snntorch-zero where its neurons reset to zero, "
    "which the file does not tell."
)
NirWriter = Annotated[
    str | None,
    typer.Option("--nir-writer", metavar="NAME", help=_WRITTEN),
]
_BINNED = "Microseconds of a step, where --data names recordings of an event camera (a file, or a folder of them)."
StepUs = Annotated[int | None, typer.Option("--step-us", metavar="N", min=1, help=_BINNED, show_default=False)]
_LABELLED = "Which of the network's outputs y holds the classes of, where it has several."
Output = Annotated[str | None, typer.Option("--output", metavar="NAME", help=_LABELLED, show_default=False)]
_STEP = "Length of a step in a .nir file's unit of time; left out: the writer's."
NirStep = Annotated[float | None, typer.Option("--dt", metavar="TIME", help=_STEP, show_default=False)]
Calibration = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Typical inputs, a file or folder; left out: the first 512 of --data.")
]


@dataclass(frozen=True, slots=True)
class Request:
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
    nir_dt: float | None = None
    scale: str | None = None
    more_chips: tuple[str, ...] = ()
    use: UseOptions | None = None
    step_us: int | None = None
    output: str | None = None

    @property
    def saved(self) -> bool:
        """Whether the model is the file of a spiking network."""
        return not self.onnx and (self.nir or self.lava or Path(self.model).suffix == ".safetensors" or self._is_file)

    @property
    def nir(self) -> bool:
        """Whether it is one that another tool may have written."""
        return Path(self.model).suffix == ".nir"

    @property
    def lava(self) -> bool:
        """Whether it is a file of lava-dl."""
        return Path(self.model).suffix == ".net"

    @property
    def onnx(self) -> bool:
        """Whether the model is the file of a float network."""
        return Path(self.model).suffix == ".onnx"

    @property
    def _is_file(self) -> bool:
        return os.path.exists(self.model) and Path(self.model).suffix not in (".py", *TORCH_FILES, *PROGRAMS)

    def inputs(self) -> dict[str, Path | str | None]:
        """The files that are read, by the option that names them."""
        named: dict[str, Path | str | None] = {"--data": self.data, "--weights": self.weights, "--calibration": self.calibration}
        named |= {} if self.use is None else self.use.files()
        machines = {f"--machine {name}": name for name in self.machines if name.endswith(".toml")}
        chip = {f"--chip {name}": name for name in (self.chip, *self.more_chips) if name.endswith(".toml")}
        return {**named, **chip, **machines, **({"the model": self.model} if self.saved or self.onnx else {})}

    def code_files(self) -> tuple[Path, ...]:
        """Files of the program that builds the network, where it is one."""
        return () if self.saved or self.onnx else check_name(self.model).sources()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was named, read and checked as far as that can be done without the libraries that take seconds to load."""

    chip: Chip
    data: Data
    calibration: Data | None  # typical inputs of their own
    network: Network | None  # the spiking network, where one of ours was named

    @property
    def typical(self) -> Any:
        """Typical inputs: those that were named, or some of the data."""
        from neuro.studies.data import some_of, typical_of

        if self.calibration is None:
            return typical_of(self.data, CALIBRATION_SAMPLES)
        return some_of(self.calibration.x, slice(CALIBRATION_SAMPLES))

    @property
    def typical_count(self) -> int:
        """How many those are."""
        return min(CALIBRATION_SAMPLES, len(self.data if self.calibration is None else self.calibration))

    def named(self, names: Sequence[str]) -> Loaded:
        """The samples of a network with inputs of these names."""
        calibration = None if self.calibration is None else self.calibration.named(names)
        return replace(self, data=self.data.named(names), calibration=calibration)

    def of_one(self, what: str) -> Loaded:
        """The samples of a network with one input, which is all that a command takes."""
        if not isinstance(self.data.x, Mapping):
            return self
        fact = f"it holds arrays of several inputs ({', '.join(self.data.x)}) and none that is x"
        raise UsageError(f"{what}, --data", fact, "Use neuro run or neuro compare, or write x for a network with one input")


def read_named(request: Request) -> Loaded:
    """Read the chip, the data, and the network where that is quick; refuse what cannot be right before anything is loaded."""
    _check(request)
    from neuro.chip.files import load_chip
    from neuro.cli.inputs import read_data, read_unlabelled

    chip = load_chip(request.chip)
    _check_model(request)
    data = replace(read_data(request.data, request.scale, request.step_us), output=request.output or "")
    typical = None if request.calibration is None else read_unlabelled(request.calibration, request.scale)
    network = None
    if request.saved and not (request.nir or request.lava):
        from neuro.network import Network

        network = Network.load(request.model)
    read = Loaded(chip, data, typical, network)
    return read.named([p.name for p in network.sources]) if network is not None and data.several else read


def study_named(request: Request, *, work: Work) -> Study:
    """Read what was named, convert it if it is a float network, and study it on the chip, then on the others that were named.

    Another chip that cannot hold or run the network is named in `Study.refused_chips`.
    """
    settings = settings_of(request)
    read = read_named(request)
    from neuro.chip.files import load_chip

    others = [load_chip(name) for name in request.more_chips]
    model = None
    if not request.saved:
        model, read = float_network(request, read)
    found = _study_on(read.chip, request, read, model, settings, work)
    elsewhere, refused = [], {}
    for name, chip in zip(request.more_chips, others, strict=True):
        try:
            elsewhere.append(_study_on(chip, request, read, model, settings, work))
        except NeuroError as error:
            refused[name] = str(error)
    return replace(found, elsewhere=tuple(elsewhere), refused_chips=refused)


def _study_on(chip: Chip, request: Request, read: Loaded, model: Any, settings: StudySettings, work: Work) -> Study:
    from neuro.studies.study import study_model, study_network

    samples = read.data
    if request.saved:
        network = _network(request, read)
        outcome = study_network(network, chip, _driving(request, samples), settings, window=request.timesteps, work=work)
        assumed = network.notes if request.nir or request.lava else ()  # about another tool's file
        facts = (*samples.facts, *outcome.facts, *assumed)
        return replace(outcome, title=f"{Path(request.model).name} on {chip.name}", facts=facts)
    outcome = study_model(model, read.typical, chip, samples, settings, work=work)
    calibrated = f"calibrated on {read.typical_count:,} inputs of {(request.calibration or request.data).name}"
    name = Path(request.model).name if request.onnx else request.model
    facts = (*samples.facts, calibrated, *getattr(model, "notes", ()), *outcome.facts)
    return replace(outcome, title=f"{name} as spikes on {chip.name}", facts=facts)


def _network(request: Request, read: Loaded) -> Network:
    """The spiking network in a file."""
    if read.network is not None:
        return read.network
    if request.lava:
        from converters.lava_files import read_lava_dl

        return read_lava_dl(request.model)
    import numpy as np

    from converters.nir_files import read_nir

    scale = float(np.abs(read.data.x).max()) / INPUT_LEVELS if _fractions(read.data.x) else None
    return read_nir(request.model, writer=request.nir_writer, dt=request.nir_dt, input_scale=scale)


def _fractions(x: NDArray[Any]) -> bool:
    import numpy as np

    return x.dtype.kind == "f" and not np.array_equal(x, np.rint(x))


def _driving(request: Request, samples: Data) -> Data:
    """Images of 0 to 1 as what drives the input neurons of a lava-dl file; other samples as they are."""
    if not (request.lava and _fractions(samples.x)):
        return samples
    from converters.lava_files import lava_dl_inputs

    return replace(samples, x=lava_dl_inputs(request.model, samples.x))


def float_network(request: Request, read: Loaded) -> tuple[Any, Loaded]:
    """The module or graph that was named, and what was read, images of folders with the channels that it takes."""
    if request.onnx:
        from converters.onnx_files import input_names, read_onnx

        read = read.named(input_names(request.model)) if read.data.several else read
        x = read.data.x
        shape = {name: one.shape[1:] for name, one in x.items()} if isinstance(x, Mapping) else x.shape[1:]
        return read_onnx(request.model, shape=shape), read
    from converters.modules import input_channels, input_names_of, load_module

    model = load_module(request.model, weights=request.weights)
    if not request.data.is_dir():
        return model, read.named(input_names_of(model, read.data.more or read.data.x)) if read.data.several else read
    from neuro.folders.images import with_channels

    wanted = input_channels(model)
    x, said = with_channels(read.data.x, wanted)
    data = replace(read.data, x=x, facts=(*read.data.facts, *([said] if said else ())))
    typical = read.calibration
    if typical is not None:
        typical = replace(typical, x=with_channels(typical.x, wanted)[0])
    return model, replace(read, data=data, calibration=typical)


def fit_named(request: Request, rate_hz: float | None, *, work: Work) -> tuple[Fit, ...]:
    """The named network on the smallest board of every chip; a float network is converted for each."""
    read = read_named(request).of_one("fit")
    from neuro.studies.fitting import fit_chips
    from neuro.studies.trials import convert_for

    settings = replace(settings_of(request), code=request.code or "rate")  # the code that every chip has
    if request.saved:
        network, driving = _network(request, read), _driving(request, read.data)
        return fit_chips(lambda chip: (network, None), driving.x, rate_hz=rate_hz, work=work)
    model, read = float_network(request, read)

    def made_for(chip: Chip) -> tuple[Network, float | None]:
        made = convert_for(chip, model, read.typical, settings.code, settings.timesteps)
        return made.network, made.agreement.decisions if made.agreement else None

    return fit_chips(made_for, read.data.x, rate_hz=rate_hz, work=work)


def network_of(request: Request, read: Loaded, *, work: Work) -> tuple[Network, Data]:
    """The spiking network that was named, converted if it is a float network, and the samples as it takes them."""
    if request.saved:
        return _network(request, read), read.data
    from neuro.studies.trials import convert_for

    settings, (model, read) = settings_of(request), float_network(request, read)
    work.step(f"{settings.code}: converting")
    return convert_for(read.chip, model, read.typical, settings.code, settings.timesteps).network, read.data


def check_auto(code: str | None, timesteps: int | None) -> None:
    """Refuse a number of timesteps beside the code that finds its own."""
    if code == "auto" and timesteps is not None:
        raise UsageError("--timesteps", "--code auto chooses them too", "Leave --timesteps out, or name a code")


def _check(request: Request) -> None:
    check_folder(request.model)
    if request.scale is not None and not request.data.is_dir():
        raise UsageError(
            "--scale", f"{request.data} is no folder of images", "Leave --scale out, and scale the arrays themselves"
        )
    for option, said in (("--nir-writer", request.nir_writer), ("--dt", request.nir_dt)):
        if said is not None and not request.nir:
            raise UsageError(option, f"{request.model!r} is not a .nir file", f"Leave {option} out")
    if request.nir_writer is not None and request.nir_writer not in WRITERS:
        raise UsageError("--nir-writer", f"{request.nir_writer!r} is not known", one_of(request.nir_writer, WRITERS))
    check_auto(request.code, request.timesteps)
    given = (("--code", request.code), ("--weights", request.weights), ("--calibration", request.calibration))
    for name, value in (*given, ("--all-codes", request.all_codes or None)):
        if request.saved and value is not None:
            raise UsageError(name, f"{request.model!r} is a saved spiking network, which has these already", f"Leave {name} out")
    if request.saved and request.diagnose:
        fact = f"{request.model!r} is a saved spiking network: the float network to measure it against is not in it"
        raise UsageError("--diagnose", fact, "Name the float network, package.module:callable or an .onnx file")
    if request.onnx and request.weights is not None:
        raise UsageError("--weights", f"{request.model!r} is an ONNX file, which holds its weights", "Leave --weights out")


def _check_model(request: Request) -> None:
    """Refuse a model or weights that are not there, or plainly of another kind, before anything is loaded to read them."""
    if request.saved or request.onnx:
        from neuro.reading import opened

        with opened(request.model):
            pass
        if Path(request.model).suffix == ".safetensors":
            check_spiking(request.model)
        return
    check_name(request.model)
    if request.weights is not None:
        from neuro.weights import check_weights

        check_weights(request.weights)


def settings_of(request: Request) -> StudySettings:
    """The settings with the defaults in place of what was left open."""
    from neuro.cli.options import as_options
    from neuro.studies.settings import StudySettings, first_code, other_codes

    default = StudySettings()
    code = first_code(request.code, request.timesteps)
    with as_options():
        return StudySettings(
            code,
            request.timesteps or default.timesteps,
            other_codes(code) if request.all_codes else (),
            request.machines,
            request.batches or default.batches,
            request.board,
            request.diagnose,
            request.within_s,
            None if request.use is None else request.use.parsed(),
        )
