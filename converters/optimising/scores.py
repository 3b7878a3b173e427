"""How much each group of channels, and each weight, matters to the answers: magnitude, movement and Fisher scores.

Knows graphs and their gradients; knows no prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.opmath import apply, arrays_of
from converters.optimising.channels import ChannelGroups, mixes
from converters.optimising.following import mixing_axis
from converters.optimising.student import WEIGHTED
from neuro.errors import ConversionError
from neuro.graph import Graph

Tensor = torch.Tensor
Floats = NDArray[np.float64]
Score = Literal["magnitude", "movement", "fisher"]
_BATCH = 64


def check_score(score: object) -> None:
    """Refuse a score that is not known."""
    if score not in get_args(Score):
        raise ConversionError("score", f"{score!r} is not known here", f"Use {', '.join(get_args(Score))}")


def channel_scores(
    graph: Graph, groups: ChannelGroups, x: NDArray[np.float32], y: NDArray[np.int64] | None, score: Score
) -> dict[int, float]:
    """{group: score}. magnitude: the norm of all weights that read the group's channels; movement: |mean of value x gradient|,
    the change of the loss without them to first order; fisher: half the mean of its square (Molchanov et al. 2019), by sample.

    y None: the loss is taken with the network's own decisions.
    """
    check_score(score)
    found: dict[int, float] = dict.fromkeys(groups.removable.tolist(), 0.0)
    readers = [layer for layer in graph.layers if mixes(layer)]
    if score == "magnitude":
        for layer in readers:
            if groups.axis[layer.inputs[0]] != mixing_axis(layer):
                continue  # its inputs are fixed
            weight = layer.arrays["weight"].astype(np.float64)
            norms = np.sqrt((weight.swapaxes(0, 1).reshape(weight.shape[1], -1) ** 2).sum(axis=1))
            _add(found, groups.of[layer.inputs[0]], norms)
        return found
    parts: list[dict[str, Floats]] = []
    for start in range(0, len(x), _BATCH):
        parts.append(_sample_effects(graph, groups, x[start : start + _BATCH], None if y is None else y[start : start + _BATCH]))
    effects: dict[int, Floats] = {group: np.zeros(len(x)) for group in found}
    for name in parts[0]:
        each = np.concatenate([part[name] for part in parts])
        for entry, group in enumerate(groups.of[name].tolist()):
            if group in effects:
                effects[group] += each[:, entry]
    if score == "movement":
        return {group: float(abs(values.mean())) for group, values in effects.items()}
    return {group: float((values**2).mean() / 2) for group, values in effects.items()}


def weight_scores(
    graph: Graph, x: NDArray[np.float32], y: NDArray[np.int64] | None, score: Score
) -> dict[str, NDArray[np.float64]]:
    """{layer: scores in the shape of its weight}. magnitude: |w|; movement: |w x mean gradient|; fisher: half of w^2 times the
    mean squared gradient of batches of 64."""
    check_score(score)
    weighted = [layer for layer in graph.layers if layer.op in WEIGHTED]
    if score == "magnitude":
        return {layer.name: np.abs(layer.arrays["weight"].astype(np.float64)) for layer in weighted}
    first, second = _gradients(graph, x, y)
    weights = {layer.name: layer.arrays["weight"].astype(np.float64) for layer in weighted}
    if score == "movement":
        return {name: np.abs(weights[name] * first[name]) for name in first}
    return {name: weights[name] ** 2 * second[name] / 2 for name in second}


def curvature(graph: Graph, x: NDArray[np.float32], y: NDArray[np.int64] | None) -> dict[str, Floats]:
    """{layer: in the shape of its weight}: half the mean squared gradient of the loss, of batches of 64."""
    return {name: values / 2 for name, values in _gradients(graph, x, y)[1].items()}


def _gradients(graph: Graph, x: NDArray[np.float32], y: NDArray[np.int64] | None) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Of the loss to every weight: the mean, and the mean square of batches, by layer."""
    weighted = [layer for layer in graph.layers if layer.op in WEIGHTED]
    first = {layer.name: np.zeros(layer.arrays["weight"].shape) for layer in weighted}
    second = {name: values.copy() for name, values in first.items()}
    batches = range(0, len(x), _BATCH)
    for start in batches:
        stop = start + _BATCH
        arrays = {layer.name: arrays_of(layer) for layer in graph.layers}
        for layer in weighted:
            arrays[layer.name]["weight"].requires_grad_(True)
        loss = _loss(graph, arrays, x[start:stop], None if y is None else y[start:stop], None)
        loss.backward()
        for layer in weighted:
            gradient = arrays[layer.name]["weight"].grad
            assert gradient is not None
            first[layer.name] += gradient.numpy() / len(batches)
            second[layer.name] += gradient.numpy().astype(np.float64) ** 2 / len(batches)
    return first, second


def _add(found: dict[int, float], groups: NDArray[np.int64], values: Floats) -> None:
    for group, value in zip(groups.tolist(), values.tolist(), strict=True):
        if group in found:
            found[group] += value


def _sample_effects(
    graph: Graph, groups: ChannelGroups, x: NDArray[np.float32], y: NDArray[np.int64] | None
) -> dict[str, Floats]:
    """{layer that layers which mix channels read: (samples, entries)}: value x gradient there, summed over positions."""
    taps: dict[str, Tensor] = {}
    arrays = {layer.name: arrays_of(layer) for layer in graph.layers}
    loss = _loss(graph, arrays, x, y, taps)
    gradients = torch.autograd.grad(loss * len(x), list(taps.values()))
    found = {}
    for (name, value), gradient in zip(taps.items(), gradients, strict=True):
        effect = (value.detach() * gradient).movedim(1 + groups.axis[name], 1).flatten(1)
        effect = effect.reshape(len(x), len(groups.of[name]), -1).sum(dim=2)
        found[name] = effect.numpy().astype(np.float64)
    return found


def _loss(
    graph: Graph,
    arrays: Mapping[str, Mapping[str, Tensor]],
    x: NDArray[np.float32],
    y: NDArray[np.int64] | None,
    taps: dict[str, Tensor] | None,
) -> Tensor:
    """Mean cross-entropy. taps: collects what layers that mix channels read, apart from the value that others read."""
    values = {graph.inputs[0].name: torch.as_tensor(np.ascontiguousarray(x, np.float32))}
    for layer in graph.layers:
        if layer.op == "input":
            continue
        if layer.op == "constant":
            values[layer.name] = arrays[layer.name]["value"].expand(len(x), *layer.shape)
            continue
        inputs = [values[name] for name in layer.inputs]
        if taps is not None and mixes(layer):
            name = layer.inputs[0]
            if name not in taps:
                taps[name] = inputs[0].clone() if inputs[0].requires_grad else inputs[0].clone().requires_grad_(True)
            inputs = [taps[name]]
        values[layer.name] = apply(layer, inputs, arrays[layer.name])
    return loss_of(values[graph.output.name], y)


def loss_of(logits: Tensor, y: NDArray[np.int64] | None) -> Tensor:
    """Mean cross-entropy of logits (samples, *shape) with class numbers; None: with the decisions that they make."""
    logits = logits.reshape(len(logits), -1)
    return F.cross_entropy(logits, logits.detach().argmax(dim=1) if y is None else torch.as_tensor(y))
