"""Where training computes: on a CUDA device where there is one. Knows tensors only."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def fastest() -> torch.device:
    """The device that training uses."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def moved(held: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors on a device; those that learn are leaves there too."""
    return {name: value.detach().to(device).requires_grad_(value.requires_grad) for name, value in held.items()}
