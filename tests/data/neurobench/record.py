"""Writes network.npz and metrics.json beside this script: a small spiking network and what the neurobench package says of it.

python tests/data/neurobench/record.py   (in the environment that README.md names)
"""

import json
from pathlib import Path

import numpy as np
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, ClassificationAccuracy, MembraneUpdates, SynapticOperations
from neurobench.models import SNNTorchModel
from neurobench.processors.postprocessors import ChooseMaxCount
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

HERE = Path(__file__).parent
SAMPLES, STEPS = 6, 15


def main() -> None:
    torch.manual_seed(4)
    layers = [nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.Linear(64, 5, bias=False)]
    for layer in layers:
        layer.weight.data = torch.randint(-9, 16, layer.weight.shape).float() * (torch.rand(layer.weight.shape) < 0.8)

    def fire(threshold: float, **more: bool) -> nn.Module:
        return snntorch.Leaky(1.0, threshold, init_hidden=True, reset_delay=False, **more)

    net = nn.Sequential(layers[0], fire(50.0), nn.Flatten(), layers[1], fire(100.0, output=True))
    x = (torch.rand(SAMPLES, STEPS, 1, 8, 8) < 0.2).float()
    labels = torch.tensor([0, 1, 2, 3, 4, 3])
    loader = DataLoader(TensorDataset(x, labels), batch_size=SAMPLES)
    workload = [ClassificationAccuracy, ActivationSparsity, SynapticOperations, MembraneUpdates]
    benchmark = Benchmark(SNNTorchModel(net), loader, [], [ChooseMaxCount()], [[Footprint, ConnectionSparsity], workload])
    metrics = benchmark.run(quiet=True)
    (HERE / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    conv, linear = (layer.weight.detach().numpy().astype(np.int8) for layer in layers)
    np.savez_compressed(HERE / "network.npz", conv=conv, linear=linear, x=x.numpy().astype(np.int8), labels=labels.numpy())


if __name__ == "__main__":
    main()
