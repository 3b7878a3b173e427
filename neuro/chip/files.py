"""Chip files: TOML in, Chip out; every mistake is explained by its field. Knows nothing of networks."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

from neuro.chip.spec import SECTIONS, Chip, Origin, about, all_keys, choices, kind_of
from neuro.errors import ChipError, FormatError, expect, one_of
from neuro.sourced import entry_mistakes, is_text

Mistake = tuple[str, str, str]  # field, fact, remedy
Tables = dict[str, dict[str, Any]]
_META = ("name", "title", "scope", "caution")
_OWN = ("checked",)  # may be left out, and says nothing of a file that builds upon this one
_DEPTH = 4  # files that may build upon each other


def list_chips() -> list[str]:
    """Names of the chips that come with the package."""
    names = [entry.name for entry in resources.files("neuro.chip").joinpath("presets").iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_chip(name: str | Path) -> Chip:
    """A chip by the name of a preset, or from a TOML file of the same form. Raises ChipError with the first mistake."""
    expect("chip", name, (str, Path), 'Pass a name such as "loihi2", or the path of a .toml file', ChipError)
    tables = _tables(name, _DEPTH)
    found = _mistakes(tables)
    if found:
        where, fact, remedy = found[0]
        more = f" ({len(found) - 1} more mistakes)" if len(found) > 1 else ""
        raise ChipError(f"chip {str(name)!r}, {where}", fact + more, remedy)
    return _build(tables)


def check_chip(name: Any) -> list[Mistake]:
    """Every mistake of a chip file: (field, fact, remedy); an empty list if there is none."""
    try:
        tables = _tables(name, _DEPTH)
        found = _mistakes(tables)
        if not found:
            _build(tables)
    except ChipError as error:
        return [(error.where, error.fact, error.remedy)]
    return found


def describe(chip: Chip) -> list[dict[str, Any]]:
    """One row per field: its value, unit, basis, source and meaning; unknown ones have the value None."""
    rows = []
    for key in all_keys():
        origin, info = chip.origin.get(key), about(key)
        rows.append(
            {
                "field": key,
                "value": chip.value(key),
                "unit": info["unit"],
                "basis": origin.basis if origin else "unknown",
                "source": origin.source if origin else "no public figure",
                "meaning": info["doc"],
            }
        )
    return rows


def _tables(name: Any, depth: int) -> Tables:
    """The file's tables, laid over those of the preset it builds upon."""
    tables = _parse(name)
    base = tables.get("chip", {}).get("base") if isinstance(tables.get("chip"), dict) else None
    if base is None:
        return tables
    if depth == 0 or not isinstance(base, str) or Path(base).name != base:
        remedy = f"Use one of {', '.join(list_chips())}, or a file beside this one"
        raise ChipError(f"chip {str(name)!r}, chip.base", f"{base!r} leads nowhere", remedy)
    below = _tables(base if base in list_chips() else Path(str(name)).parent / base, depth - 1)
    if not all(isinstance(entries, dict) for entries in tables.values()):
        return tables  # which is reported as a mistake
    for key in _OWN:
        below.get("chip", {}).pop(key, None)
    merged = {section: {**below.get(section, {}), **tables.get(section, {})} for section in {**below, **tables}}
    for section, entries in tables.items():
        for key in [key for key, value in entries.items() if value == {}]:
            del merged[section][key]
    return merged


def _parse(name: Any) -> Tables:
    path = Path(str(name))
    if str(name) in list_chips():
        return tomllib.loads(resources.files("neuro.chip").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8"))
    if path.suffix == ".toml" and os.path.isfile(path):
        from neuro.reading import read_toml  # numpy

        try:
            return read_toml(path)
        except FormatError as error:
            raise ChipError(f"chip file {str(name)!r}", error.fact, error.remedy) from None
    if path.suffix == ".toml":
        raise ChipError(f"chip file {str(name)!r}", "there is no such file", "Check the path, or name a chip of `neuro chips`")
    remedy = one_of(str(name), list_chips(), ", or a .toml file")
    raise ChipError(f"chip {str(name)!r}", "there is no chip or TOML file of that name", remedy)


def _mistakes(tables: Tables) -> list[Mistake]:
    found: list[Mistake] = []
    for section in tables:
        if section not in ("chip", *SECTIONS):
            found.append((section, "there is no such section", f"Use chip, {', '.join(SECTIONS)}"))
        elif not isinstance(tables[section], dict):
            found.append((section, "it is not a section", f"Write [{section}]"))
    if found:
        return found
    meta = tables.get("chip", {})
    found.extend((f"chip.{k}", "it is missing", f'Write {k} = "..." under [chip]') for k in _META if not is_text(meta.get(k)))
    found.extend(
        (f"chip.{k}", "it is not a text", f'Write {k} = "..." or leave it out') for k in _OWN if not is_text(meta.get(k, "-"))
    )
    known = (*_META, *_OWN, "base")
    found.extend((f"chip.{k}", "there is no such field", f"Use {', '.join(known)}") for k in meta if k not in known)
    keys = set(all_keys())
    for section in SECTIONS:
        for name in tables.get(section, {}):
            if f"{section}.{name}" not in keys:
                names = ", ".join(k.partition(".")[2] for k in all_keys() if k.startswith(section + "."))
                found.append((f"{section}.{name}", "there is no such field", f"Use one of {names}"))
    for key in all_keys():
        section, _, name = key.partition(".")
        entry = tables.get(section, {}).get(name)
        found.extend((key, fact, remedy) for fact, remedy in _entry_mistakes(key, entry))
    return found


def _entry_mistakes(key: str, entry: Any) -> list[tuple[str, str]]:
    info = about(key)
    found = entry_mistakes(entry, info["unit"])
    if entry is None:
        return [] if info["optional"] else [("it is missing", f"{found[0][1]}: {info['doc']}")]
    valued = isinstance(entry, dict) and "value" in entry
    return found + (_value_mistakes(kind_of(key), entry["value"], info["least"]) if valued else [])


def _value_mistakes(kind: Any, value: Any, least: float) -> list[tuple[str, str]]:
    if choices(kind):
        return [] if value in choices(kind) else [(f"{value!r} is not known", f"Use one of {', '.join(choices(kind))}")]
    if kind is bool:
        return [] if isinstance(value, bool) else [(f"{value!r} is not true or false", "Use true or false")]
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            return [(f"{value!r} is not a list", "Use [..., ...]")]
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            return [mistake for item in value for mistake in _value_mistakes(inner[0], item, least)]
        if len(value) != len(inner):
            return [(f"{value!r} has {len(value)} entries", f"Use {len(inner)}")]
        return [mistake for part, item in zip(inner, value, strict=True) for mistake in _value_mistakes(part, item, least)]
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or value != value:
        return [(f"{value!r} is not a {'whole number' if kind is int else 'number'}", "Leave the field out if it is unknown")]
    return [] if least <= value < float("inf") else [(f"{value} is out of range", f"Use {least:g} or more")]


def _build(tables: Tables) -> Chip:
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origin: dict[str, Origin] = {}
    for key in all_keys():
        section, _, name = key.partition(".")
        entry = tables.get(section, {}).get(name)
        if entry is None:
            continue
        values[section][name] = _typed(kind_of(key), entry["value"])
        origin[key] = Origin(entry.get("unit", ""), entry["basis"], entry["source"])
    sections = {section: kind(**values[section]) for section, kind in SECTIONS.items()}
    texts = {name: tables["chip"][name] for name in (*_META, *_OWN) if name in tables["chip"]}
    return Chip(**texts, **sections, origin=origin)


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(value, list):
        inner = get_args(kind)
        parts = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_typed(part, item) for part, item in zip(parts, value, strict=True))
    return float(value) if kind is float else value
