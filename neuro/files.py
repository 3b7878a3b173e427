"""Values as files: safetensors with a JSON header. Nothing is pickled, nothing executed; writes are atomic.

Knows arrays, plain values, and the types that its caller names; knows nothing of networks and graphs, which save themselves.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neuro.errors import FormatError, NeuroError
from neuro.reading import check_safetensors, json_object, reason

Tensors = dict[str, NDArray[Any]]
Parts = Mapping[str, Any]  # the types that a file may hold, by name
T = TypeVar("T")
FORMAT = 1


@contextmanager
def atomic_path(path: Any) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not.

    A link stays a link: the file that it leads to is replaced.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FormatError(str(path), "its folder does not exist", "Make the folder first, or name another")
    if os.path.exists(target) and not os.path.isfile(target):
        raise FormatError(
            str(path), "it is a folder, a pipe or a device", "Name a file; - is standard output where that is offered"
        )
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise FormatError(str(path), f"its folder cannot be written to ({error.strerror})", "Choose another folder") from None
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise FormatError(str(path), f"it could not be written ({error.strerror})", "Make room or choose another") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Let the new name outlast a loss of power too, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Any, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_tensors(path: Any) -> Tensors:
    """All arrays of a safetensors file, e.g. trained weights."""
    return _read(path)[1]


def save_value(value: Any, path: Any, kind: str, parts: Parts) -> None:
    """Write a value of a `kind`; `parts`: the types that it is made of, besides arrays, lists, mappings and plain values."""
    tensors: Tensors = {}
    try:
        described = json.dumps({"format": FORMAT, "kind": kind, "value": _describe(value, tensors, parts)}, allow_nan=False)
    except ValueError:
        raise FormatError(f"{kind} for {path}", "it holds NaN or infinity outside its arrays", "Use finite numbers") from None
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"neuro": described}))


def _read(path: Any) -> tuple[dict[str, str], Tensors]:
    check_safetensors(path)
    try:
        with safe_open(str(path), framework="numpy") as opened:
            return opened.metadata() or {}, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, AttributeError) as error:
        raise FormatError(str(path), f"it is not a readable safetensors file ({reason(error)})", "Save it again") from None


def load_value(path: Any, kind: str, wanted: type[T], parts: Parts) -> T:
    """Read a value that `save_value` wrote under the same `kind`; lists come back as tuples."""
    metadata, tensors = _read(path)
    if "neuro" not in metadata:
        raise FormatError(str(path), f"it holds tensors but no {kind}", f"Pass a {kind} saved by this package")
    try:
        described = json_object(metadata["neuro"])
        if described["format"] != FORMAT or described["kind"] != kind:
            raise FormatError(
                str(path), f"it holds a {described['kind']} of format {described['format']}", f"Pass a {kind} of format {FORMAT}"
            )
        value = _build(described["value"], tensors, parts)
    except NeuroError as error:
        raise FormatError(str(path), str(error), "Save it again") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        fact = f"its description is broken ({type(error).__name__}: {reason(error)})"
        raise FormatError(str(path), fact, "Save it again") from None
    if not isinstance(value, wanted):
        raise FormatError(str(path), f"it describes a {type(value).__name__}", f"Pass a {kind}")
    return value


def _describe(value: Any, tensors: Tensors, parts: Parts) -> Any:
    """A JSON value; arrays go to `tensors` and leave their key."""
    if isinstance(value, np.ndarray):
        key = f"t{len(tensors)}"
        tensors[key] = np.asarray(value, order="C")
        return {"tensor": key}
    if type(value).__name__ in parts and hasattr(value, "_values"):
        described = {name: _describe(v, tensors, parts) for name, v in value._values()}
        return {"type": type(value).__name__, "fields": described}
    if isinstance(value, tuple | list):
        return [_describe(v, tensors, parts) for v in value]
    if isinstance(value, dict):
        return {"map": {key: _describe(v, tensors, parts) for key, v in value.items()}}
    if isinstance(value, np.generic):
        return value.item()
    if value is not None and not isinstance(value, str | int | float):
        raise FormatError(f"value of type {type(value).__name__}", "no file holds it", "Keep the script that makes it")
    return value


def _build(described: Any, tensors: Tensors, parts: Parts) -> Any:
    if isinstance(described, list):
        return tuple(_build(v, tensors, parts) for v in described)
    if not isinstance(described, dict):
        return described
    if "tensor" in described:
        return tensors[described["tensor"]]
    if "map" in described:
        return {key: _build(v, tensors, parts) for key, v in described["map"].items()}
    part = parts[described["type"]]
    known = {f.name for f in fields(part)}
    given = {name: _build(v, tensors, parts) for name, v in described["fields"].items()}
    if set(given) - known or any(name.startswith("_") for name in given):
        raise ValueError(f"unknown field of {described['type']}: {sorted(set(given) - known)}")
    hints = _hints(part)
    for name, value in given.items():
        if not _fits(value, hints[name]):
            raise TypeError(f"{described['type']}.{name} is a {type(value).__name__}")
    return part(**given)


@cache
def _hints(part: type[Any]) -> dict[str, Any]:
    return get_type_hints(part)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the declared type of its field."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or origin is Literal:  # the class itself checks its choices
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in inner)
    if origin is tuple and isinstance(value, tuple):
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
