"""Trained networks of others that lie in ../shared/data/pretrained as Keras' layers in a row, as torch modules with inputs.

Their own test data are not at hand. What is fed to them is real and said by name; an accuracy is claimed of none.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.conversion_networks import DATA, cifar_data

Floats = NDArray[np.float32]
PRETRAINED = DATA / "pretrained"
EDGE = 96  # of an image of visual wake words, in pixels
FRAMES, BANDS = 5, 128  # of an input of anomaly detection: log-mel frames in a row


def chain(name: str) -> nn.Sequential:
    """A Keras model whose layers follow one another, without its last softmax."""
    rows = json.loads((PRETRAINED / f"{name}.layers.json").read_text(encoding="utf-8"))
    with np.load(PRETRAINED / f"{name}.npz", allow_pickle=False) as held:
        weights = {key: torch.from_numpy(np.asarray(held[key], np.float32)) for key in held.files}
    layers: list[nn.Module] = []
    size = EDGE if rows[1]["cls"] == "Conv2D" else 0
    for row in rows[1:]:
        own = {key.rpartition(".")[2]: value for key, value in weights.items() if key.rpartition(".")[0] == row["name"]}
        made, size = _layer(row, own, size)
        layers += made
    return nn.Sequential(*layers).eval()


def _layer(row: dict[str, Any], own: dict[str, torch.Tensor], size: int) -> tuple[list[nn.Module], int]:
    """A layer's modules, and the edge of the images behind it."""
    kind = row["cls"]
    if kind == "Activation":
        return [nn.ReLU()], size
    if kind == "Flatten":
        return [nn.Flatten()], size
    if kind == "AveragePooling2D":
        return [nn.AvgPool2d(row["pool_size"][0])], size // row["pool_size"][0]
    if kind == "BatchNormalization":
        norm = (nn.BatchNorm1d if size == 0 else nn.BatchNorm2d)(len(own["gamma"]), eps=row["epsilon"])
        named = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        norm.load_state_dict({ours: own[theirs] for ours, theirs in named.items()}, strict=False)
        return [norm], size
    if kind == "Dense":
        dense = nn.Linear(*own["kernel"].shape)
        dense.load_state_dict({"weight": own["kernel"].T, "bias": own["bias"]})
        return [dense], size
    kernel = own["depthwise_kernel" if kind == "DepthwiseConv2D" else "kernel"]
    weight = kernel.permute(2, 3, 0, 1) if kind == "DepthwiseConv2D" else kernel.permute(3, 2, 0, 1)
    stride, edge = row["strides"][0], row["kernel_size"][0]
    missing = max((-(-size // stride) - 1) * stride + edge - size, 0)  # Keras pads the end more
    before, after = missing // 2, missing - missing // 2
    groups = weight.shape[0] if kind == "DepthwiseConv2D" else 1
    conv = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], edge, stride, groups=groups)
    conv.load_state_dict({"weight": weight, "bias": own["bias"]})
    pad: list[nn.Module] = [nn.ZeroPad2d((before, after, before, after))] if missing else []
    return [*pad, conv], -(-size // stride)


def enlarged_photographs(part: str, count: int) -> Floats:
    """CIFAR-10's images (count, 3, 96, 96) in 0..1, each pixel three times wide and high: photographs, though not of its kind."""
    images, _ = cifar_data(part)
    return np.asarray(images[:count].repeat(3, axis=2).repeat(3, axis=3), np.float32)


def sound_frames(part: str, count: int) -> Floats:
    """Five log-mel frames of 128 bands in a row (count, 640) of recordings of Speech Commands; decibels, as the benchmark's."""
    from neuro.keywords.features import FeatureSettings, extract

    settings = FeatureSettings(
        rate=16000, window=1024, hop=512, fft=1024, bands=BANDS, low_hz=0.0, high_hz=8000.0, power=2, floor=1e-10, triangles="hz"
    )
    with np.load(DATA / "speech_commands" / f"scv2_{part}.npz", allow_pickle=False) as held:
        clips = held["audio"][np.random.default_rng(0).permutation(len(held["audio"]))[:count]]
    logs = [extract(settings, clip) * np.float32(10 / np.log(10)) for clip in clips]
    return np.stack([frames[:FRAMES].ravel() for frames in logs]).astype(np.float32)
