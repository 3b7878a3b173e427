"""Graph -> Graph passes that change how a network is written, never what it computes.

Afterwards a graph holds no identity and no batch norm, and every max pool whose values cannot be negative reads rectified ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from neuro.graph import Floats, Graph, Layer
from neuro.ops import OPS

WEIGHTED = ("conv", "linear")
_MOVES = ("reshape", "permute")
Pass = Callable[[Graph], Graph]


def fold(graph: Graph) -> Graph:
    """All passes, repeated until nothing changes."""
    while True:
        before = graph
        for step in _PASSES:
            graph = step(graph)
        if graph is before:
            return graph


def rewire(graph: Graph, gone: dict[str, str], changed: dict[str, Layer]) -> Graph:
    """The graph without the layers in `gone`, whose consumers read another one, and with some layers replaced."""
    if not gone and not changed:
        return graph

    def follow(name: str) -> str:
        while name in gone:
            name = gone[name]
        return name

    layers = [changed.get(layer.name, layer) for layer in graph.layers if layer.name not in gone]
    layers = [replace(layer, inputs=tuple(follow(name) for name in layer.inputs)) for layer in layers]
    shapes = {layer.name: layer.shape for layer in layers}
    if len(graph.outputs) > 1:  # they keep their names
        layers += [Layer(name, "identity", (follow(name),), shapes[follow(name)]) for name in graph.outputs if name in gone]
    elif layers[-1].name != follow(graph.output.name):
        output = follow(graph.output.name)
        layers.append(Layer("output", "identity", (output,), shapes[output]))
    return graph.relayered(layers)


def drop_identities(graph: Graph) -> Graph:
    """Without identities, and without reshapes, pads and scales that change nothing; one that ends the graph stays."""
    gone = {}
    for layer in graph.layers:
        if layer.name in graph.outputs:
            continue
        same = bool(layer.inputs) and graph[layer.inputs[0]].shape == layer.shape
        empty_pad = layer.op == "pad" and not any(map(any, layer.options["padding"]))
        single = layer.op in ("add", "concat") and len(layer.inputs) == 1
        if layer.op == "identity" or empty_pad or single or (same and layer.op == "reshape") or _unit_scale(layer):
            gone[layer.name] = layer.inputs[0]
    return rewire(graph, gone, {})


def _unit_scale(layer: Layer) -> bool:
    return layer.op == "scale" and bool(np.all(layer.arrays.get("factor", 1) == 1) and np.all(layer.arrays.get("shift", 0) == 0))


def fold_batch_norms(graph: Graph) -> Graph:
    """Batch norms inside the convolution or linear layer before them, or as channel-wise scales where there is none.

    W' = W g / sqrt(var + eps); b' = (b - mean) g / sqrt(var + eps) + beta.
    """
    gone, changed = {}, {}
    for layer in graph.layers:
        if layer.op != "batch_norm" or graph[layer.inputs[0]].op == "batch_norm":  # that one first
            continue
        a = {name: np.asarray(value, np.float64) for name, value in layer.arrays.items()}
        factor = a["weight"] / np.sqrt(a["variance"] + layer.options["epsilon"])
        shift = a["bias"] - a["mean"] * factor
        before = graph[layer.inputs[0]]
        per_channel = before.op == "conv" or (before.op == "linear" and len(before.shape) == 1)
        if per_channel and len(graph.consumers(before.name)) == 1 and before.name not in changed:
            weight = before.arrays["weight"] * factor.reshape(-1, *[1] * (before.arrays["weight"].ndim - 1))
            bias = before.arrays.get("bias", np.zeros(1)) * factor + shift
            changed[before.name] = replace(before, arrays={"weight": weight, "bias": bias})
            gone[layer.name] = before.name
        else:
            column = (-1, *[1] * (len(layer.shape) - 1))
            arrays = {"factor": factor.reshape(column), "shift": shift.reshape(column)}
            changed[layer.name] = replace(layer, op="scale", arrays=arrays, options={})
    return rewire(graph, gone, changed)


def rectify_before_joining(graph: Graph) -> Graph:
    """relu(max_pool(x)) as max_pool(relu(x)), relu(concat(x, y)) as concat(relu(x), relu(y)): equal, since relu is monotone.

    A rectifier that a max pool reads stays directly before it.
    """
    for relu in graph.layers:
        if relu.op != "relu" or _behind_a_move(graph, relu):
            continue
        join = graph[relu.inputs[0]]
        if join.op in ("max_pool", "concat", "reshape", "permute") and len(graph.consumers(join.name)) == 1:
            first = [
                replace(
                    relu,
                    name=_free(graph, f"{relu.name}.{i}" if i else f"{relu.name}.0"),
                    inputs=(name,),
                    shape=graph[name].shape,
                )
                for i, name in enumerate(join.inputs)
            ]
            moved = replace(join, name=relu.name, inputs=tuple(layer.name for layer in first))
            return _substitute(graph, {join.name: first, relu.name: [moved]})
    return graph


def scale_before_pooling(graph: Graph) -> Graph:
    """Channel-wise scales with positive factors before a max pool instead of behind it: equal, and nearer to the weights.

    A pool of values that cannot be negative stays before its scale, where it needs no other rectifier.
    """
    for scale in graph.layers:
        if scale.op != "scale" or graph[scale.inputs[0]].op != "max_pool" or len(graph.consumers(scale.inputs[0])) != 1:
            continue
        pool = graph[scale.inputs[0]]
        if _monotone(scale) and not _positive(graph, pool.inputs[0]):
            inner = replace(scale, name=_free(graph, f"{scale.name}.0"), inputs=pool.inputs, shape=graph[pool.inputs[0]].shape)
            moved = replace(pool, name=scale.name, inputs=(inner.name,))
            return _substitute(graph, {pool.name: [inner], scale.name: [moved]})
    return graph


def pool_before_scaling(graph: Graph) -> Graph:
    """max_pool(scale(x)) as scale(max_pool(x)), for channel-wise scales with positive factors of values that are not negative."""
    for pool in graph.layers:
        if pool.op != "max_pool" or graph[pool.inputs[0]].op != "scale":
            continue
        scale = graph[pool.inputs[0]]
        if _monotone(scale) and _positive(graph, scale.inputs[0]):
            inner = replace(pool, name=_free(graph, f"{pool.name}.0"), inputs=scale.inputs)
            moved = replace(scale, name=pool.name, inputs=(inner.name,), shape=pool.shape)
            kept = [scale] if len(graph.consumers(scale.name)) > 1 else []
            return _substitute(graph, {scale.name: kept, pool.name: [inner, moved]})
    return graph


def _monotone(scale: Layer) -> bool:
    """Whether a scale keeps the order of values within each channel."""
    return bool(np.all(scale.arrays.get("factor", np.ones(1)) >= 0)) and all(
        _per_channel(array, scale.shape) for array in scale.arrays.values()
    )


def _per_channel(array: Floats, shape: tuple[int, ...]) -> bool:
    """Whether an array that broadcasts to the shape holds one number per channel, or one for all."""
    return array.size == 1 or array.shape == (shape[0], *[1] * (len(shape) - 1))


def pool_before_joining(graph: Graph) -> Graph:
    """pool(concat(x, y)) over channels as concat(pool(x), pool(y)): equal, and each part keeps its own window."""
    for pool in graph.layers:
        if pool.op not in ("avg_pool", "max_pool"):
            continue
        join = graph[pool.inputs[0]]
        if join.op == "concat" and join.options["axis"] == 0:
            parts = [
                replace(
                    pool, name=_free(graph, f"{pool.name}.{i}"), inputs=(name,), shape=(graph[name].shape[0], *pool.shape[1:])
                )
                for i, name in enumerate(join.inputs)
            ]
            joined = replace(join, name=pool.name, inputs=tuple(part.name for part in parts), shape=pool.shape)
            kept = [join] if len(graph.consumers(join.name)) > 1 else []
            return _substitute(graph, {join.name: kept, pool.name: [*parts, joined]})
    return graph


def rectify_pooled(graph: Graph) -> Graph:
    """A relu between a max pool and values that cannot be negative but belong to no rectifier of their own."""
    for pool in graph.layers:
        if pool.op != "max_pool":
            continue
        before = graph[pool.inputs[0]]
        joined = before.op == "concat" and before.options["axis"] == 0  # that pool is taken apart
        if before.op not in ("relu", "max_pool") and not joined and _positive(graph, before.name):
            relu = Layer(_free(graph, f"{pool.name}.in"), "relu", (before.name,), before.shape, {}, {"ceiling": None}, pool.where)
            return _substitute(graph, {pool.name: [relu, replace(pool, inputs=(relu.name,))]})
    return graph


def _positive(graph: Graph, name: str) -> bool:
    """Whether a layer's values cannot be negative."""
    layer = graph[name]
    if layer.op == "relu":
        return True
    if layer.op in ("scale", "linear", "conv"):
        ok = all(bool(np.all(array >= 0)) for array in layer.arrays.values())
        return ok and _positive(graph, layer.inputs[0])
    passing = OPS[layer.op].keeps_sign or (layer.op == "pad" and layer.options["value"] >= 0)
    return passing and all(_positive(graph, source) for source in layer.inputs)


def rectify_means(graph: Graph, folded: int | None = None) -> Graph:
    """The graph with a rectifier behind each mean of rectified values, which changes no value: the mean becomes a population,
    and the layer behind it keeps its kernel, whose inputs would multiply otherwise. folded: only means of whole images, where
    layers behind would have more synapses than that; None: all means."""
    layers, renamed = list[Layer](), dict[str, str]()
    for layer in graph.layers:
        layer = replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs))
        layers.append(layer)
        read = graph.consumers(layer.name)
        if layer.op != "avg_pool" or not read or any(reader.op == "relu" for reader in read):
            continue
        if graph[graph[layer.name].inputs[0]].op in ("relu", "max_pool") and _worth(graph, layer.name, folded):
            name = renamed[layer.name] = _free(graph, f"{layer.name}.mean")
            layers.append(Layer(name, "relu", (layer.name,), layer.shape, {}, {"ceiling": None}, layer.where))
    return graph.relayered(layers)


def _worth(graph: Graph, mean: str, folded: int | None) -> bool:
    shape, before = graph[mean].shape, graph[graph[mean].inputs[0]].shape
    if folded is None:
        return True
    size, read = int(np.prod(before)), _weighted_behind(graph, mean)
    return len(shape) > 1 and shape[0] == int(np.prod(shape)) < size and size * read > max(folded, size)


def _weighted_behind(graph: Graph, name: str) -> int:
    """How many values weighted layers make of a layer's, which others may move before."""
    found = 0
    for reader in graph.consumers(name):
        moved = reader.op in (*_MOVES, "concat")
        found += _weighted_behind(graph, reader.name) if moved else int(np.prod(reader.shape)) * (reader.op in WEIGHTED)
    return found


def merge_rectifiers(graph: Graph) -> Graph:
    """One relu for two in a row, or for one behind a max pool of rectified values."""
    gone: dict[str, str] = {}
    changed: dict[str, Layer] = {}
    for relu in graph.layers:
        if relu.op != "relu" or relu.inputs[0] in gone:
            continue
        before, single = graph[relu.inputs[0]], True
        while before.op in ("max_pool", *_MOVES):
            single &= before.op in _MOVES and len(graph.consumers(before.name)) == 1
            before = graph[before.inputs[0]]
        ceiling, own = before.options.get("ceiling"), relu.options["ceiling"]
        if before.op != "relu" or not (own is None or (ceiling is not None and ceiling <= own)):
            continue
        if not _behind_a_move(graph, relu):
            gone[relu.name] = relu.inputs[0]
        elif single and len(graph.consumers(before.name)) == 1 and before.name not in changed:
            gone[before.name] = before.inputs[0]
            changed[relu.name] = replace(relu, options=before.options)
    return rewire(graph, gone, changed)


def _moves(layer: Layer) -> bool:
    return layer.op in _MOVES or (layer.op == "concat" and layer.options["axis"] != 0)


def _behind_a_move(graph: Graph, relu: Layer) -> bool:
    """Whether a rectifier stands between a layer that moves values and a max pool, which reads rectified values only."""
    return _moves(graph[relu.inputs[0]]) and any(layer.op == "max_pool" for layer in graph.consumers(relu.name))


def _free(graph: Graph, name: str) -> str:
    taken = {layer.name for layer in graph.layers}
    while name in taken:
        name += "_"
    return name


def _substitute(graph: Graph, new: dict[str, list[Layer]]) -> Graph:
    layers: list[Layer] = []
    for layer in graph.layers:
        layers.extend(new.get(layer.name, [layer]))
    return graph.relayered(layers)


_PASSES: tuple[Pass, ...] = (
    drop_identities,
    fold_batch_norms,
    scale_before_pooling,
    pool_before_scaling,
    rectify_before_joining,
    merge_rectifiers,
    pool_before_joining,
    rectify_pooled,
)
