"""The JSON schema of chip files, made from the fields of `neuro.chip.spec`; the package carries it as `chip.schema.json`.

Rewrite the published file after a change of fields: `python -m neuro.chip.schema > neuro/chip/chip.schema.json`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any, get_args, get_origin

from neuro.chip.spec import SECTIONS, about, choices, kind_of
from neuro.sourced import BASES

_TEXTS = {
    "name": "short name, as given on the command line",
    "title": "one line that says what the chip is",
    "scope": "what the energies cover",
    "caution": "what the file is not fit for",
    "checked": "what measurements the prices were held against, and how near they came",
    "base": "a preset that this file builds upon; its fields hold where this file has none",
}


def schema() -> dict[str, Any]:
    """The schema; a field of a file with a base may be {} to make it unknown again."""
    sections = {name: _section(name, kind) for name, kind in SECTIONS.items()}
    texts = {name: {"type": "string", "minLength": 1, "description": doc} for name, doc in _TEXTS.items()}
    chip = {"type": "object", "additionalProperties": False, "required": ["name"], "properties": texts}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A chip that neuro can emulate",
        "type": "object",
        "additionalProperties": False,
        "required": ["chip"],
        "properties": {"chip": chip, **sections},
    }


def _section(name: str, kind: type[Any]) -> dict[str, Any]:
    entries = {f.name: _entry(f"{name}.{f.name}") for f in fields(kind)}
    return {"type": "object", "additionalProperties": False, "description": kind.__doc__, "properties": entries}


def _entry(key: str) -> dict[str, Any]:
    info = about(key)
    properties = {
        "value": _value(kind_of(key), info["least"]),
        "unit": {"const": info["unit"]},
        "basis": {"enum": list(BASES)},
        "source": {"type": "string", "minLength": 1},
    }
    required = ["value", "basis", "source", *(["unit"] if info["unit"] else [])]
    whole = {"type": "object", "additionalProperties": False, "required": required, "properties": properties}
    return {"description": info["doc"], "anyOf": [whole, {"type": "object", "maxProperties": 0}]}


def _value(kind: Any, least: float) -> dict[str, Any]:
    if choices(kind):
        return {"enum": list(choices(kind))}
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            return {"type": "array", "items": _value(inner[0], least)}
        return {"type": "array", "prefixItems": [_value(part, least) for part in inner], "items": False}
    if kind is bool:
        return {"type": "boolean"}
    return {"type": "integer" if kind is int else "number", "minimum": least}


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
