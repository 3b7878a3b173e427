"""What a rectifier sends and what that costs, in one pass of compiled code and one back: torch's own functions would take a dozen
of each, and longer than the convolutions of a small network.

For codes in which what is sent follows from the value alone: a payload where it is not zero, or the ones of its digits. Values,
costs and gradients are those of `converters.evaluation.rounded` and `messages.messages`. Knows no layers and no chip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.compiled import compiled

Tensor = torch.Tensor
_DIGIT = np.float32(0.5 / np.log(2.0))  # slope of log2(1 + n) / 2 at n = 0


def sent(z: Tensor, theta: Tensor, levels: int, price: Tensor, digits: bool) -> tuple[Tensor, Tensor]:
    """Rounded values (samples, *shape) of rectifiers with the pre-activations z and thresholds theta (channels,) or (1,), and
    what the messages of an average sample cost, for prices (*shape) of one message of each neuron.

    digits: whether each one of a value's binary digits is a message, not the value itself.
    """
    value, cost = _Sent.apply(z, theta, levels, price, digits)  # type: ignore[no-untyped-call]  # torch's lacks annotations
    return value, cost


class _Sent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, levels: int, price: Tensor, digits: bool) -> tuple[Tensor, Tensor]:
        flat = _flat(z)
        edge, cost = _of_neurons(theta, price), _flat(price[None])[0]
        value, ones, above, total = np.empty_like(flat), *(np.zeros_like(edge) for _ in range(3))
        _forward(flat, edge, np.float32(levels), digits, value, ones, above, total)
        typical = np.float32(total.sum(dtype=np.float64) / max(above.sum(dtype=np.float64), 1.0) + 1e-12)
        ctx.save_for_backward(z)
        ctx.held = (edge, cost / np.float32(len(flat)), levels, digits, typical, theta.shape)
        spent = float(ones.astype(np.float64) @ cost.astype(np.float64)) / len(flat)
        return _shaped(value, z), torch.tensor(spent, dtype=z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, by_cost: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (z,) = ctx.saved_tensors
        edge, cost, levels, digits, typical, shape = ctx.held
        flat = _flat(z)
        inner, by_theta = np.empty_like(flat), np.zeros_like(edge)
        _backward(flat, _flat(gradient), edge, cost * np.float32(by_cost), np.float32(levels), digits, typical, inner, by_theta)
        channels = _shaped((by_theta / edge)[None], z[:1])[0]
        return _shaped(inner, z), channels.reshape(z.shape[1], -1).sum(dim=1).sum_to_size(shape), None, None, None


def _flat(values: Tensor) -> NDArray[np.float32]:
    """Values (samples, channels, ...) as (samples, neurons), channels last: without a copy where they lie so."""
    flat: NDArray[np.float32] = values.detach().movedim(1, -1).contiguous().numpy().reshape(len(values), -1)
    return flat


def _shaped(flat: NDArray[np.float32], like: Tensor) -> Tensor:
    """The other way, in the shape of `like`."""
    return torch.from_numpy(flat).reshape(len(flat), *like.shape[2:], like.shape[1]).movedim(-1, 1)


def _of_neurons(theta: Tensor, price: Tensor) -> NDArray[np.float32]:
    """The threshold of each neuron, channels last."""
    return _flat(theta.detach().reshape(1, -1, *[1] * (price.ndim - 1)).expand(1, *price.shape)).ravel()


@compiled
def _forward(z: Any, theta: Any, levels: Any, digits: bool, value: Any, ones: Any, above: Any, total: Any) -> None:
    """Fill values (samples, neurons), and for each neuron how many messages it sent, how often z was above zero, and its sum."""
    samples, neurons = z.shape
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    scale, unit = levels / theta, theta / levels
    for n in range(samples):
        for i in range(neurons):
            x = z[n, i]
            number = np.floor(min(max(x * scale[i], zero), levels) + half)
            number = min(number, levels)
            value[n, i] = number * unit[i]
            above[i] += one if x > zero else zero
            total[i] += max(x, zero)
            if not digits:
                ones[i] += one if number > zero else zero
        if digits:
            for i in range(neurons):
                bits = np.uint32(np.floor(min(max(z[n, i] * scale[i], zero), levels) + half))
                bits = bits - ((bits >> np.uint32(1)) & np.uint32(0x55555555))
                bits = (bits & np.uint32(0x33333333)) + ((bits >> np.uint32(2)) & np.uint32(0x33333333))
                bits = (bits + (bits >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
                ones[i] += np.float32(((bits * np.uint32(0x01010101)) >> np.uint32(24)) & np.uint32(0xFF))


@compiled
def _backward(
    z: Any, gradient: Any, theta: Any, cost: Any, levels: Any, digits: bool, typical: Any, inner: Any, by_theta: Any
) -> None:
    """Fill the gradient (samples, neurons) of z, and for each neuron that of its threshold, times the threshold."""
    samples, neurons = z.shape
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    scale, unit = levels / theta, theta / levels
    steep = cost * scale * _DIGIT if digits else cost * typical
    for n in range(samples):
        for i in range(neurons):
            x, g = z[n, i], gradient[n, i]
            number = min(np.floor(min(max(x * scale[i], zero), levels) + half), levels)
            inside = (x >= zero) & (x <= theta[i])
            inner[n, i] = g if inside else zero
            by_theta[i] += g * (number * unit[i]) - x * inner[n, i]
        if digits:
            for i in range(neurons):
                x = z[n, i]
                number = min(np.floor(min(max(x * scale[i], zero), levels) + half), levels)
                more = steep[i] / (one + number) if (x >= zero) & (x <= theta[i]) else zero
                inner[n, i] += more
                by_theta[i] -= x * more
        else:
            for i in range(neurons):
                x = max(z[n, i], zero)
                inner[n, i] += steep[i] / ((x + typical) * (x + typical)) if x > zero else zero
