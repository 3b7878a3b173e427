"""What a MODEL on the command line is that cannot be run as it is, and how its network is run instead. Loads nothing of it."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

from neuro.errors import FormatError, UsageError
from neuro.locating import Place, locate

TORCH_FILES = (".pt", ".pth", ".ckpt", ".bin")
PROGRAMS = (".pt2", ".pte")
_CONFIG_BYTES = 1 << 20
_MODULE = "Write what returns its module into a file, like mine.py:net"
_EXPORT = "or export it where it was made, with torch.onnx.export, and pass the .onnx file"


def check_name(model: str) -> Place:
    """The place of the code that a model's name means; refuses what holds no code, and says how its network is run."""
    path = Path(model)
    if path.suffix in PROGRAMS:
        fact = "it is a program of torch.export, whose reader evaluates text and unpickles objects that the file holds"
        raise UsageError(f"model {model!r}", fact, f"Pass the module that was exported, like mine.py:net; {_EXPORT}")
    if path.suffix in TORCH_FILES:
        raise UsageError(f"model {model!r}", *_torch_file(path))
    if path.suffix == ".py" and ":" not in model and os.path.isfile(path):
        raise UsageError(f"model {model!r}", "it names a file, and not what in it returns the network", _write_it_like(path))
    return locate(model)


def check_folder(model: str) -> None:
    """Refuse a folder as a model; where it is one of Hugging Face's, say what its network is and how it is run."""
    folder = Path(model)
    if not os.path.isdir(folder):
        return
    from neuro.weights import weight_files

    where = f"model {model!r}"
    try:
        files = weight_files(folder)
    except FormatError:
        fact, remedy = "it is a folder without weights", "Name a file, or package.module:callable"
        raise UsageError(where, fact, remedy) from None
    weights = folder if len(files) > 1 else files[0]
    fact = f"it is a folder of weights{_architecture(folder)}, without the program that they belong to"
    remedy = f"{_MODULE}, and run `neuro run mine.py:net --weights {weights} --data ...`; {_EXPORT}"
    raise UsageError(where, fact, remedy)


def check_spiking(model: str) -> None:
    """Refuse weights in a safetensors file that were named as if they were a network."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(model, framework="numpy") as file:
            names, ours = list(file.keys()), "neuro" in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return  # said better where it is read
    if not ours and names:
        fact = f"it holds weights ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}), and no network"
        raise UsageError(f"model {model!r}", fact, f"{_MODULE}, and add --weights {model}")


def _torch_file(path: Path) -> tuple[str, str]:
    """The fact and the remedy of a file of torch that was named as a model."""
    from neuro.reading import ZIP, opened
    from neuro.weights import check_weights

    try:
        with opened(path) as file:
            head = file.read(4)
        check_weights(path)
    except FormatError as error:
        return (
            error.fact,
            f"{_MODULE}, and pass its weights: {error.remedy}; {_EXPORT}" if "TorchScript" in error.fact else error.remedy,
        )
    kind = "weights" if head == ZIP else "a file of torch.save"
    fact = f"it is {kind}, which is read as weights only, and not as the network that they belong to"
    return fact, f"{_MODULE}, and add --weights {path}; {_EXPORT}"


def _write_it_like(path: Path) -> str:
    """The names in a file that may return a network: classes of modules first."""
    from neuro.reading import read_text

    try:
        body = ast.parse(read_text(path)).body
    except (SyntaxError, ValueError, RecursionError):
        body = []
    classes = [node.name for node in body if isinstance(node, ast.ClassDef) and node.bases]
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    names = [*classes, *functions] or ["net"]
    return f"Write it like {' or '.join(f'{path}:{name}' for name in names[:4])}"


def _architecture(folder: Path) -> str:
    """What the configuration beside the weights calls the network, as " of NAME"; nothing where there is none."""
    from neuro.reading import read_text

    try:
        said = json.loads(read_text(folder / "config.json", _CONFIG_BYTES))
        names = said.get("architectures") or [said.get("model_type")]
        return f" of {names[0]}" if isinstance(names[0], str) else ""
    except (FormatError, ValueError, RecursionError, AttributeError, IndexError, TypeError, KeyError):
        return ""
