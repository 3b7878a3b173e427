"""Messages that values cost in each code, as torch can differentiate them; and trains of spikes, stepped through.

A count of messages is a whole number: its value is exact, its gradient that of a smooth count beside it. Knows codes and
layers; knows no prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from converters.codes import row_of
from converters.opmath import apply
from neuro.codes import Code
from neuro.graph import Layer

Tensor = torch.Tensor


class Written(Protocol):
    """What must be known of a code and its window."""

    @property
    def code(self) -> Code: ...
    @property
    def levels(self) -> int: ...


def messages(coding: Written, z: Tensor, value: Tensor, theta: Tensor | None) -> Tensor:
    """Messages (samples, *shape) of neurons with the pre-activation z and the value theta / levels * n.

    Payloads: one where n > 0, with the gradient of z / (z + its mean), which presses hardest on what is nearly zero. Digits:
    the ones in n, with that of log2(1 + n) / 2. Counts: n. Without theta (a pool): as the value says, 0 or more.
    """
    row = row_of(coding.code)
    if theta is None:
        return _switched(value, value > 0)
    unit = theta.reshape(-1, *[1] * (value.ndim - 2)) / coding.levels
    number = value / unit
    if row.counts:
        return number
    if row.digits:
        return straight(ones(number), torch.log2(1 + number.clamp_min(0)) / 2)
    return _switched(z, number.detach() > 0.5)


def ones(number: Tensor) -> Tensor:
    """How many ones the binary digits of whole numbers (as floats) have."""
    whole, count = number.detach().round().to(torch.int64), torch.zeros_like(number)
    while bool((whole > 0).any()):
        count += (whole & 1).to(count.dtype)
        whole = whole >> 1
    return count


def _switched(z: Tensor, sent: Tensor) -> Tensor:
    """One message where `sent`, with the gradient of z / (z + the mean of those above zero)."""
    out: Tensor = _Switched.apply(z, sent)  # type: ignore[no-untyped-call]  # torch's lacks annotations
    return out


class _Switched(torch.autograd.Function):
    """One node where torch's own functions would need eight."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, sent: Tensor) -> Tensor:
        above = z > 0
        typical = z.clamp_min(0).sum() / above.sum().clamp_min(1) + 1e-12
        ctx.save_for_backward(z, above, typical)
        return sent.to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        z, above, typical = ctx.saved_tensors
        return gradient * above * typical / (z + typical).square_().clamp_min_(1e-38), None


def straight(exact: Tensor, smooth: Tensor) -> Tensor:
    """The exact value, with the gradient of the smooth one."""
    return smooth + (exact.detach() - smooth).detach()


class Trains:
    """What each layer sends in every step, without gradients: (T * samples, *shape), step after step; or a constant, (samples,
    *shape), where a value is the same in every step. Values are those of a whole window that sent at every step."""

    def __init__(self, code: Code, timesteps: int, x: Tensor, name: str) -> None:
        self.code, self.timesteps, self.samples = code, timesteps, len(x)
        self._held: dict[str, Tensor] = {name: x.detach()}
        self._constant = {name}

    @torch.no_grad()
    def apply(self, layer: Layer, arrays: Mapping[str, Tensor]) -> None:
        """Carry the trains through a layer that holds no state."""
        inputs = [self._held[name] for name in layer.inputs]
        constant = all(name in self._constant for name in layer.inputs)
        if not constant:
            inputs = [self._spread(name) for name in layer.inputs]
        if layer.op == "max_pool" and not constant:
            self._held[layer.name] = self._pooled(layer, inputs[0])
            return
        self._held[layer.name] = apply(layer, inputs, arrays)
        if constant:
            self._constant.add(layer.name)

    @torch.no_grad()
    def fire(self, layer: Layer, theta: Tensor) -> tuple[Tensor, Tensor]:
        """What a rectifier counts over the window and what it sends in all, (samples, *shape) each; its train is kept."""
        steps = self._spread(layer.inputs[0]).reshape(self.timesteps, self.samples, *layer.shape)
        unit = theta.reshape(-1, *[1] * (len(layer.shape) - 1))
        ahead = 1 if layer.inputs[0] in self._constant else row_of(self.code).look_ahead(self.timesteps)
        count, train = _fire_signed(steps / unit, ahead) if self.code == "signed" else _fire(steps / unit)
        self._held[layer.name] = (train * unit).reshape(-1, *layer.shape)
        return count, train.abs().sum(dim=0)

    def _spread(self, name: str) -> Tensor:
        held = self._held[name]
        return held.repeat(self.timesteps, *[1] * (held.ndim - 1)) if name in self._constant else held

    def _pooled(self, layer: Layer, train: Tensor) -> Tensor:
        """The difference from step to step of the largest count so far."""
        so_far = train.reshape(self.timesteps, self.samples, *train.shape[1:]).cumsum(dim=0)
        largest = apply(layer, [so_far.reshape(train.shape)]).reshape(self.timesteps, self.samples, *layer.shape)
        before = torch.cat([torch.zeros_like(largest[:1]), largest[:-1]])
        return (largest - before).reshape(-1, *layer.shape)


def _fire(drive: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate and fire with a threshold of 1 and half of it to begin with: v += I; fire while v >= 1, v -= 1."""
    v = torch.full_like(drive[0], 0.5)
    train = torch.empty_like(drive)
    for t, charge in enumerate(drive):
        v += charge
        train[t] = (v >= 1).to(v.dtype)
        v -= train[t]
    return train.sum(dim=0), train


def _fire_signed(drive: Tensor, look_ahead: int) -> tuple[Tensor, Tensor]:
    """The same with a correcting negative spike, after looking `look_ahead` - 1 steps ahead."""
    steps, later = len(drive), look_ahead - 1
    v, count, train = torch.full_like(drive[0], 0.5), torch.zeros_like(drive[0]), torch.empty_like(drive)
    for t in range(steps + later):
        if t < steps:
            v += drive[t]
        if t >= later:
            sent = (v >= 1).to(v.dtype) - ((v < 0) & (count > 0)).to(v.dtype)
            train[t - later] = sent
            v -= sent
            count += sent
    return count, train


def layer_prices(prices: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Prices of one message of each neuron, as tensors in the shapes of their layers; those of other populations left out."""
    return {n: torch.as_tensor(prices[n], dtype=torch.float32).reshape(shape) for n, shape in shapes.items() if n in prices}
