"""NIR files in and out: HDF5 with the graph of the `nir` package. Checks every part of a file before use; knows no neurons.

A file is not trusted: links that leave it are not followed, declared sizes are compared with what is stored, nothing is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters.formats.nir_export import exported
from converters.formats.nir_import import imported
from converters.formats.nir_layers import LINEAR, NEURONS
from converters.formats.nir_neurons import reading
from converters.formats.nir_own import is_own, restored
from neuro.errors import FormatError, NeuroError
from neuro.files import atomic_path
from neuro.hdf5 import read_group
from neuro.network import Network

_REMEDY = "Write it again with the nir package"
_TYPES = ("Input", "Output", *LINEAR, "Delay", *NEURONS, "NIRGraph")  # all that the nir package has, but for Threshold
_MAY_BE_INFINITE = ("tau", "tau_mem", "tau_syn", "r", "v_threshold")  # no leak; never a spike


def read_nir(
    path: Any,
    *,
    writer: str | None = None,
    reset: Literal["subtract", "zero"] | None = None,
    dt: float | None = None,
    weight_bits: int = 8,
    input_scale: float | None = None,
    timesteps: int | None = None,
) -> Network:
    """The spiking network in a NIR file, in chip integers; `Network.notes` lists every assumption made.

    A file of `write_nir` comes back as it was. For others `writer` says whose conventions fill in what NIR leaves open: "nir"
    (the equations as they are written, the default), "snntorch", "sinabs", "norse" or "spikingjelly"; `reset` and `dt`, the
    length of a step in the file's unit of time, where they are not the writer's usual ones. Weights that do not fit as they
    are get rounded to `weight_bits`. `input_scale`: what 1 of an integer input stands for, for inputs that are not spikes.
    Raises FormatError for a broken file, ConversionError for what has no form here; both name the file and the node.
    """
    given = {"dt": dt, "weight_bits": weight_bits, "input_scale": input_scale, "timesteps": timesteps}
    chosen = reading(writer or "nir", reset, **given)
    graph = _graph(Path(path))
    try:
        if writer is None and is_own(graph):
            return restored(graph)
        return imported(graph, chosen)
    except NeuroError as error:
        raise type(error)(f"{path}, {error.where}", error.fact, error.remedy) from None
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(str(path), f"its nodes do not fit together ({type(error).__name__}: {error})", _REMEDY) from None


def write_nir(network: Network, path: Any, *, extended: bool = False) -> tuple[str, ...]:
    """Write a network as a NIR file; returns what a reader that ignores the metadata would get wrong.

    Neurons that NIR has no word for (signed, wait, radix, graded, maximum, a held input) are refused by name; `extended`
    writes them as IF with metadata that only `read_nir` understands. A UserNeuron is always refused: code is not stored.
    """
    import nir

    network.refuse_learning(str(path), "NIR has no learning rules", FormatError)
    graph, notes = exported(network, extended=extended)
    with atomic_path(path) as temporary:
        nir.write(temporary, graph, compression_opts=1)
    return notes


def _graph(path: Path) -> Any:
    """The file as a nir.NIRGraph, shapes not yet checked."""
    import nir

    described = read_group(path, "node", "NIR graph", _REMEDY)
    _check_nodes(described, f"{path}, ")
    try:
        graph = nir.dict2NIRNode(_unchecked(described))
    except (AssertionError, KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise FormatError(str(path), f"its graph is broken ({type(error).__name__}: {error})", _REMEDY) from None
    if not isinstance(graph, nir.NIRGraph):
        raise FormatError(str(path), f"it holds a {type(graph).__name__}, not a graph", _REMEDY)
    return graph


def _check_nodes(described: dict[str, Any], where: str) -> None:
    """Refuse nodes of unknown types, nodes that nir cannot build, and NaN or infinity in their arrays, by name."""
    nodes = described.get("nodes")
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        at, kind = f"{where}node {name!r}", node.get("type") if isinstance(node, dict) else None
        if isinstance(node, dict) and kind == "NIRGraph":
            _check_nodes(node, f"{at}, ")
        elif not isinstance(kind, str) or kind not in (*_TYPES, "Threshold"):
            raise FormatError(at, f"its type {kind!r} is not known", f"Use {', '.join(_TYPES)}")
        else:
            _check_node(node, f"{at} ({kind})")


def _check_node(node: dict[str, Any], where: str) -> None:
    import nir

    for name, value in node.items():
        if np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all():
            if np.isnan(value).any():
                raise FormatError(where, f"{name} holds NaN", "Train the network again, or write other values")
            if name not in _MAY_BE_INFINITE:
                raise FormatError(where, f"{name} holds infinity", "Train the network again, or write other values")
    try:
        nir.dict2NIRNode(dict(node))  # which takes parts out of what it is given
    except (AssertionError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(where, f"its parts do not fit together ({type(error).__name__}: {error})", _REMEDY) from None


def _unchecked(described: Any) -> Any:
    """The description with nir's own check of shapes left out, which some writers' files do not pass."""
    if not isinstance(described, dict):
        return described
    inner = {key: _unchecked(value) for key, value in described.items() if key != "type_check"}
    return {**inner, "type_check": False} if inner.get("type") == "NIRGraph" else inner
