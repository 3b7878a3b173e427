"""Batch norms behind the layers of a folded network while it is trained; afterwards they are folded again.

A network without them learns slowly once channels are gone, as each layer's inputs shift with the weights before it (Ioffe and
Szegedy 2015). They begin so that the network computes what it did. Knows graphs; knows no codes and no prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from converters.optimising.devices import moved
from neuro.graph import Layer

Tensor = torch.Tensor
_FADING = 0.05  # share of a batch in the running statistics
_EPSILON = 1e-5  # added to variances, as a share of a layer's mean variance


class Norms:
    """One batch norm for each of `layers`: factors and shifts are trained, means and variances follow the batches.

    values: what each layer computes for typical samples, (samples, channels, ...), its bias included.
    """

    def __init__(self, layers: Iterable[Layer], values: Mapping[str, Tensor]) -> None:
        self.factor: dict[str, Tensor] = {}
        self.shift: dict[str, Tensor] = {}
        self.mean: dict[str, Tensor] = {}
        self.variance: dict[str, Tensor] = {}
        self.epsilon: dict[str, float] = {}
        for layer in layers:
            name, (variance, mean) = layer.name, _statistics(values[layer.name])
            self.epsilon[name] = max(_EPSILON * float(variance.mean()), 1e-12)
            self.factor[name] = (variance + self.epsilon[name]).sqrt().requires_grad_(True)
            self.shift[name] = mean.clone().requires_grad_(True)
            bias = layer.arrays.get("bias")
            self.mean[name] = mean if bias is None else mean - torch.tensor(bias, dtype=mean.dtype)
            self.variance[name] = variance
        self.share: float = _FADING

    def to(self, device: torch.device) -> None:
        """Compute there from now on."""
        self.factor, self.shift = moved(self.factor, device), moved(self.shift, device)
        self.mean, self.variance = moved(self.mean, device), moved(self.variance, device)

    def parameters(self, name: str, rate: float, unit: float) -> list[dict[str, Any]]:
        """Parameter groups for Adam of one layer's norm; unit: the size of the layer's values."""
        size = float(self.factor[name].detach().mean())
        return [{"params": [self.factor[name]], "lr": rate * size}, {"params": [self.shift[name]], "lr": 0.2 * rate * unit}]

    def normed(self, name: str, raw: Tensor) -> Tensor:
        """Values (samples, channels, ...) of a layer without bias, normed by their own statistics, which are kept."""
        out: Tensor = F.batch_norm(
            raw, self.mean[name], self.variance[name], self.factor[name], self.shift[name], True, self.share, self.epsilon[name]
        )
        return out

    def of_batch(self, name: str, weight: Tensor, raw: Tensor) -> dict[str, Tensor]:
        """The layer's arrays with the norm of this batch folded into them."""
        return self._folded(name, weight, *_statistics(raw))

    def folded(self, name: str, weight: Tensor) -> dict[str, Tensor]:
        """The layer's arrays with the norm folded into them, by the statistics that were kept."""
        return self._folded(name, weight, self.variance[name], self.mean[name])

    def _folded(self, name: str, weight: Tensor, variance: Tensor, mean: Tensor) -> dict[str, Tensor]:
        factor = self.factor[name].detach() / (variance + self.epsilon[name]).sqrt()
        shaped = factor.reshape(-1, *[1] * (weight.ndim - 1))
        return {"weight": weight.detach() * shaped, "bias": self.shift[name].detach() - mean * factor}


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel."""
    variance, mean = torch.var_mean(values.detach(), dim=[0, *range(2, values.ndim)], unbiased=False)
    return variance, mean
