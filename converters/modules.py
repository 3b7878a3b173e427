"""A torch module named on the command line: imported, and given its weights.

Knows torch and files; knows nothing of graphs or spikes. Weights are safetensors: nothing is unpickled.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from neuro.errors import ConversionError, FormatError, NeuroError, UsageError
from neuro.reading import check_safetensors

_REMEDY_WEIGHTS = "Save them with safetensors.torch.save_file(model.state_dict(), path)"


def load_module(name: str, *, weights: Path | None = None) -> nn.Module:
    """The module that `package.module:callable` returns, in evaluation mode, with `weights` from a safetensors file if given.

    The current folder is searched first, as `python -m` does. Raises UsageError for a name that leads nowhere or to something
    that is not a module, FormatError for weights that cannot be read or do not fit.
    """
    package, _, attribute = name.partition(":")
    if not package or not attribute:
        raise UsageError(f"model {name!r}", "it is neither a file nor package.module:callable", "Write it like mine.nets:small")
    with _current_folder_first():
        made = _call(name, _find(name, package, attribute))
    if not isinstance(made, nn.Module):
        raise UsageError(f"model {name!r}", f"it returns a {type(made).__name__}", "Return a torch.nn.Module")
    if weights is not None:
        _load_weights(made, weights)
    return made.eval()


def _find(name: str, package: str, attribute: str) -> Any:
    try:
        found: Any = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name and (package == error.name or package.startswith(f"{error.name}.")):
            raise UsageError(
                f"model {name!r}", f"there is no module {error.name!r}", "Check its spelling, or change to its folder"
            ) from None
        raise ConversionError(f"model {name!r}", f"its import failed ({error})", "Install what it imports") from None
    except Exception as error:  # noqa: BLE001  # the user's own code may raise anything
        raise _failed(name, "its import failed", error) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"model {name!r}", f"{package!r} has no {attribute!r}", f"Use one of {_callables(found)}")
        found = getattr(found, part)
    return found


def _call(name: str, found: Any) -> Any:
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise UsageError(f"model {name!r}", f"it is a {type(found).__name__}, not a callable", "Name a function or class")
    try:
        return found()
    except NeuroError:
        raise
    except Exception as error:  # noqa: BLE001  # the user's own code may raise anything
        raise _failed(name, "calling it without arguments failed", error) from None


def _load_weights(model: nn.Module, path: Path) -> None:
    check_safetensors(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(str(path), f"it is not a readable safetensors file ({_first_line(error)})", _REMEDY_WEIGHTS) from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        facts = " ".join(str(error).split())
        raise FormatError(str(path), f"its weights do not fit the model: {facts[:300]}", "Pass this model's weights") from None


def _failed(name: str, what: str, error: Exception) -> ConversionError:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    at = f", {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return ConversionError(f"model {name!r}", f"{what} ({type(error).__name__}: {_first_line(error)}{at})", "Mend it")


def _callables(module: Any) -> str:
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    return ", ".join(names[:8]) or "(it defines nothing that can be called)"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
