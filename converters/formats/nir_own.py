"""A NIR graph that `write_nir` made -> the Network that it was made from, by the metadata of its nodes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from converters.formats.nir_export import FORMAT, NONE, window_nodes
from neuro.errors import FormatError, NeuroError
from neuro.network import Network, Population
from neuro.neurons import stored_models
from neuro.projections import KINDS, Projection

_REMEDY = "Write it again with write_nir, or read it with writer='nir'"


def is_own(graph: Any) -> bool:
    """Whether the graph says that `write_nir` made it."""
    return "neuro_format" in graph.metadata


def restored(graph: Any) -> Network:
    """The network, checked against the weights in the nodes."""
    if int(graph.metadata["neuro_format"]) != FORMAT:
        raise FormatError("NIR graph", f"its metadata has the format {graph.metadata['neuro_format']}", f"Use format {FORMAT}")
    populations = tuple(_population(graph, key) for key in str(graph.metadata["order"]).split(","))
    by_name = {p.name: p for p in populations}
    projections, index = [], 0
    while f"synapses_{index}" in graph.nodes:
        projections.append(_projection(graph.nodes, f"synapses_{index}", by_name))
        index += 1
    timesteps = int(graph.metadata.get("timesteps", 0)) or None
    notes = [key for key in graph.metadata if key.startswith("note_")]
    ordered = sorted(notes, key=lambda key: int(key.removeprefix("note_")))
    return Network(populations, tuple(projections), timesteps, tuple(str(graph.metadata[key]) for key in ordered))


def _population(graph: Any, key: str) -> Population:
    if key not in graph.nodes or "model" not in graph.nodes[key].metadata:
        raise FormatError(f"node {key!r}", "it is missing or has lost its metadata", _REMEDY)
    metadata = dict(graph.nodes[key].metadata)
    name, shape, model = metadata.pop("name"), metadata.pop("shape"), metadata.pop("model")
    models = stored_models()
    if model not in models:
        raise FormatError(f"node {key!r}", f"its neuron model {model!r} is not known", f"Use one of {', '.join(models)}")
    level = getattr(graph.nodes[key], "v_threshold", None)
    if level is not None and not np.array_equal(np.unique(level), [int(metadata.get("threshold", 1))]):
        raise FormatError(f"node {key!r}", "its threshold differs from that of its metadata", _REMEDY)
    return Population(str(name), tuple(int(n) for n in shape), _built(models[model], metadata, f"node {key!r}"))


def _built(kind: Any, metadata: dict[str, Any], where: str) -> Any:
    """A frozen value from metadata; every field must be one of its own."""
    known = {f.name: f for f in fields(kind)}
    if set(metadata) - set(known):
        raise FormatError(where, f"{kind.__name__} has no {sorted(set(metadata) - set(known))[0]!r}", _REMEDY)
    return kind(**{name: _plain(value, type(known[name].default)) for name, value in metadata.items()})


def _plain(value: Any, like: type) -> Any:
    if isinstance(value, str):
        return None if value == NONE else value
    if np.ndim(value):
        return np.asarray(value)
    return bool(value) if like is bool else np.asarray(value).item()


def _nested(value: Any) -> Any:
    """A tuple of ints, nested like the array; one number as it is."""
    return tuple(map(_nested, value)) if np.ndim(value) else int(value)


def _projection(nodes: Any, key: str, populations: dict[str, Population]) -> Projection:
    node, where = nodes[key], f"node {key!r}"
    metadata = dict(node.metadata)
    kind, crop = metadata.pop("kind", None), metadata.pop("crop", None)
    for told in ("weight_bits", "weight_exponent"):  # said for other readers
        metadata.pop(told, None)
    if kind not in KINDS or metadata.get("source") not in populations or metadata.get("target") not in populations:
        raise FormatError(where, "its metadata names no projection between populations of the file", _REMEDY)
    listed = [np.asarray(metadata.pop(name, np.zeros(0, np.int32))) for name in ("pre", "post", "listed")]
    given = {name: _nested(value) for name, value in metadata.items() if name not in ("source", "target", "weights")}
    if kind == "Sparse":
        given["weights"] = tuple(listed)
    elif "weights" in metadata:
        given["weights"] = metadata["weights"] if np.ndim(metadata["weights"]) else int(metadata["weights"])
    elif kind != "SumPool2d":
        given["weights"] = _weights(np.asarray(node.weight), kind, crop, where)
    known = {f.name for f in fields(KINDS[kind])}
    if set(given) - known:
        raise FormatError(where, f"{kind} has no {sorted(set(given) - known)[0]!r}", _REMEDY)
    try:
        made: Projection = KINDS[kind](source=metadata["source"], target=metadata["target"], **given)
        made.check(populations[made.source].shape, populations[made.target].shape)
    except NeuroError as error:
        raise FormatError(where, f"its metadata make no {kind}: {error.fact}", error.remedy) from None
    _check_same(made, nodes, key, populations)
    return made


def _weights(stored: Any, kind: str, crop: Any, where: str) -> Any:
    """The integers that the node holds as floats."""
    if kind == "Dense":
        stored = stored.T
    elif crop is not None:
        places = [slice(int(first), int(last)) for first, last in crop]
        stored = stored[:, :, *places] if stored.ndim == 4 else stored[:, :, places[1]]
    rounded = np.rint(stored)
    if not np.array_equal(rounded, stored) or np.abs(rounded).max(initial=0) > 2**31 - 1:
        raise FormatError(where, "its weights are no integers any more", _REMEDY)
    return rounded.astype(np.int64)


def _check_same(made: Projection, nodes: Any, key: str, populations: dict[str, Population]) -> None:
    """The metadata must describe the weights and options that the nodes hold for everybody else."""
    source, target = populations[made.source], populations[made.target]
    node, where = nodes[key], f"node {key!r}"
    kind = type(node).__name__
    if made.slides and kind not in ("Linear", "Affine"):
        for name, expected in window_nodes(key, made, source.shape, target.shape).items():
            _check_node(nodes.get(name), expected, f"node {name!r}")
    elif made.offset is not None and kind == "Scale":
        factors = np.repeat(made.expanded().stored_weights, source.size // made.stored_weights.size)
        if not np.array_equal(factors, np.ravel(node.scale)):
            raise FormatError(where, "its scale differs from the weights of its metadata", _REMEDY)
    elif np.shape(node.weight) != (target.size, source.size):
        raise FormatError(where, f"its weights {np.shape(node.weight)} do not fit its metadata", _REMEDY)
    elif not np.array_equal(made.to_sparse(source.shape, target.shape).T.toarray(), node.weight):
        raise FormatError(where, "its weights differ from those of its metadata", _REMEDY)


def _check_node(node: Any, expected: Any, where: str) -> None:
    """Every option of a window's node; a bias is that of the neurons."""
    if type(node) is not type(expected):
        raise FormatError(where, f"it is a {type(node).__name__}, its metadata describe a {type(expected).__name__}", _REMEDY)
    for field in fields(expected):
        seen = field.name not in ("bias", "metadata", "input_type", "output_type")
        if seen and not np.array_equal(getattr(node, field.name), getattr(expected, field.name)):
            raise FormatError(where, f"its {field.name} differs from that of its metadata", _REMEDY)
