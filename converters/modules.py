"""A torch module named on the command line: imported, and given its weights.

Knows torch and files; knows nothing of graphs or spikes. Nothing is unpickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from neuro.errors import ConversionError, FormatError, NeuroError, UsageError, one_of
from neuro.locating import Place, locate, searched_first
from neuro.reading import check_safetensors
from neuro.weights import REMEDY, is_safetensors, read_weights, weight_files

_PARALLEL = "module."  # in front of every name that torch.nn.DataParallel gives


def load_module(name: str, *, weights: Path | None = None) -> nn.Module:
    """The module that `package.module:callable` or `folder/file.py:callable` returns, in evaluation mode.

    `weights`: a safetensors file, a file of torch.save, or a folder of such parts (see `neuro.weights`). The current folder is
    searched first, as `python -m` does. Raises UsageError for a name that leads nowhere or to something that is not a module,
    FormatError for weights that cannot be read or do not fit.
    """
    place = locate(name)
    with searched_first(Path.cwd()), searched_first(Path.cwd() if place.file is None else place.file.parent.absolute()):
        made = _call(name, _find(name, place))
    if not isinstance(made, nn.Module):
        fact, remedy = f"it returns {_a(made)}, not a torch.nn.Module", "Name a function that returns the module"
        if isinstance(made, type) and issubclass(made, nn.Module):
            fact, remedy = f"it returns the class {made.__name__}, not a module", f"Return {made.__name__}(...)"
        elif isinstance(made, Mapping):
            fact, remedy = "it returns weights, not a torch.nn.Module", "Return the module, and pass weights with --weights"
        raise UsageError(f"model {name!r}", fact, remedy)
    if weights is not None:
        _load_weights(made, weights)
    return made.eval()


def input_channels(model: Any) -> int | None:
    """Channels of the images that a module takes, by its first convolution; None where it has none."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    return next((layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)), None)


def input_names_of(model: Any, given: Collection[str]) -> tuple[str, ...]:
    """The inputs of a module by the names of its forward: those it needs, and of the others those that are given."""
    if not isinstance(model, nn.Module):
        return ("x",)
    found = inspect.signature(model.forward).parameters.values()
    taken = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in taken if p.default is p.empty or p.name in given) or ("x",)


def _find(name: str, place: Place) -> Any:
    package, attribute = place.module, place.attribute
    try:
        found: Any = importlib.import_module(package) if place.file is None else _from_file(place.file)
    except ModuleNotFoundError as error:
        if place.file is None and error.name and (package == error.name or package.startswith(f"{error.name}.")):
            raise UsageError(
                f"model {name!r}", f"there is no module {error.name!r}", "Check its spelling, or change to its folder"
            ) from None
        raise ConversionError(f"model {name!r}", f"its import failed ({error})", "Install what it imports") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's own code may raise anything
        raise _failed(name, "its import failed", error) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = _callables(found)
            remedy = one_of(part, known) if known else "Define it there: it has nothing that can be called"
            raise UsageError(f"model {name!r}", f"{package!r} has no {attribute!r}", remedy)
        found = getattr(found, part)
    return found


def _from_file(file: Path) -> Any:
    """The module in a file, under its own name where no other module has it."""
    name = file.stem if file.stem not in sys.modules else f"_{file.stem}_of_the_model"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # of a .py file
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _call(name: str, found: Any) -> Any:
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise UsageError(f"model {name!r}", f"it is {_a(found)}, not a callable", "Name a function or class")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise UsageError(f"model {name!r}", f"it needs arguments ({error})", "Name what can be called without any") from None
    except ValueError:  # of a callable whose arguments are not known
        pass
    try:
        return found()
    except NeuroError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's own code may raise anything
        raise _failed(name, "calling it without arguments failed", error) from None


def _load_weights(model: nn.Module, path: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for file in weight_files(path):
        part = _tensors(file)
        if tensors.keys() & part.keys():
            fact = f"{sorted(tensors.keys() & part.keys())[0]!r} is in several of its files"
            raise FormatError(str(path), fact, "Name one file of weights")
        tensors |= part
    if all(name.startswith(_PARALLEL) for name in tensors) and not any(n.startswith(_PARALLEL) for n in model.state_dict()):
        tensors = {name.removeprefix(_PARALLEL): value for name, value in tensors.items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        facts = " ".join(str(error).split())
        raise FormatError(str(path), f"its weights do not fit the model: {facts[:300]}", "Pass this model's weights") from None


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    if not is_safetensors(path):
        return {name: torch.from_numpy(values) for name, values in read_weights(path).items()}
    check_safetensors(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(str(path), f"it is not a readable safetensors file ({_first_line(error)})", REMEDY) from None


def _a(value: Any) -> str:
    """The kind of a value, as one says it."""
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _failed(name: str, what: str, error: BaseException) -> ConversionError:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename if trace else "<"
    at = f", {Path(file).name}:{trace.tb_lineno}" if trace and not file.startswith("<") else ""
    return ConversionError(
        f"model {name!r}", f"{what} ({type(error).__name__}: {_first_line(error)}{at})", "Correct the code there"
    )


def _callables(module: Any) -> list[str]:
    """The first names in a module that can be called, its own before those that it imports."""
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    own = getattr(module, "__name__", None)
    return sorted(names, key=lambda name: getattr(vars(module)[name], "__module__", None) != own)[:8]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
