"""Bundles: several values (networks, graphs, arrays, plain values) under their names in one file; see `neuro.files`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuro.files import load_value, save_value
from neuro.graph import PARTS as OF_GRAPHS
from neuro.network import parts as of_networks


def save_parts(parts: Mapping[str, Any], path: Any, kind: str) -> None:
    """Write several values under their names into one file of a `kind`."""
    save_value(dict(parts), path, kind, {**of_networks(), **OF_GRAPHS})


def load_parts(path: Any, kind: str) -> dict[str, Any]:
    """Read what `save_parts` wrote under the same `kind`; lists come back as tuples."""
    return load_value(path, kind, dict, {**of_networks(), **OF_GRAPHS})
