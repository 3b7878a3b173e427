"""The parameters of each kind of machine, fitted on measurements and shipped in calibrated.toml. Knows no machine."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from neuro.machines.kinds import KINDS
from neuro.sourced import Sourced

SHARED = ("host", "power")  # sections that hold for every kind, unless its own section says otherwise


@cache
def calibrated() -> Mapping[str, Mapping[str, Sourced]]:
    """Every section of calibrated.toml, with basis and source of each value."""
    text = (resources.files("neuro.machines") / "calibrated.toml").read_text(encoding="utf-8")
    return {
        section: {key: Sourced(**entry) for key, entry in entries.items()} for section, entries in tomllib.loads(text).items()
    }


def own_parameters(kind: str) -> dict[str, Sourced]:
    """What only machines of `kind` take: assumed by its row, or calibrated."""
    return {**KINDS[kind].assumed, **calibrated().get(kind, {})}


def sourced_parameters(kind: str) -> dict[str, Sourced]:
    """What a machine of `kind` takes from the class, with sources."""
    return {**{key: figure for section in SHARED for key, figure in calibrated()[section].items()}, **own_parameters(kind)}


@cache
def parameters_of(kind: str) -> Mapping[str, float]:
    """The same as bare values."""
    return {key: figure.value for key, figure in sourced_parameters(kind).items()}
