"""Writes the .nir files beside this script with four packages, and what these packages answer; see README.md.

python tests/data/nir/record.py   (in the environment that README.md names)
"""

from collections.abc import Callable
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import sinabs.layers as sl
import sinabs.nir
import snntorch
import torch
from norse.torch.utils.export_nir import to_nir
from snntorch.export_nir import export_to_nir
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir as jelly_to_nir
from spikingjelly.activation_based.nir_exchange import import_from_nir
from torch import nn

HERE = Path(__file__).parent
STEPS, SAMPLES = 20, 3
Step = Callable[[torch.Tensor], torch.Tensor]


def weighted(model: nn.Module, gain: float) -> nn.Module:
    """Random weights, a little positive on average, so that neurons fire."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, gain * 0.4, gain)
        elif parameter.ndim == 1 and parameter.numel() > 1:
            nn.init.normal_(parameter, 0.0, 0.1 * gain)
    return model


def spikes(*shape: int) -> torch.Tensor:
    """Spikes (steps, samples, *shape) of a rate of 0.3."""
    return (torch.rand(STEPS, SAMPLES, *shape) < 0.3).float()


def save(name: str, graph: nir.NIRGraph, x: torch.Tensor, step: Step) -> None:
    """The file, its inputs (samples, steps, ...) and the package's own outputs at every step."""
    if name.startswith("sinabs"):  # leaves the convolution's input shape open, which nir 1.0.8 cannot write
        graph.infer_types()
    nir.write(HERE / f"{name}.nir", graph)
    with torch.no_grad():
        answers = torch.stack([step(now) for now in x])
    x, answers = (np.asarray(values.detach().swapaxes(0, 1)) for values in (x, answers))
    np.savez_compressed(HERE / f"{name}.npz", x=x.astype(np.int8), outputs=answers.astype(np.float32))


def with_snntorch() -> None:
    def leaky(size: int, beta: float = 0.9, threshold: float = 1.0, **more: str) -> nn.Module:
        return snntorch.Leaky(torch.full((size,), beta), torch.full((size,), threshold), init_hidden=True, **more)

    def zero(size: int) -> nn.Module:
        return leaky(size, 0.85, 0.8, reset_mechanism="zero")

    def synaptic(size: int) -> nn.Module:
        one = torch.ones(size)
        return snntorch.Synaptic(0.7 * one, 0.9 * one, one, init_hidden=True)

    for name, make, gain in (("leaky", leaky, 0.2), ("leaky_zero", zero, 0.3), ("synaptic", synaptic, 0.08)):
        model = nn.Sequential(weighted(nn.Linear(12, 16), gain), make(16), weighted(nn.Linear(16, 5), gain), make(5))
        graph = export_to_nir(model, torch.rand(1, 12), ignore_dims=[0])
        for module in model.modules():
            if isinstance(module, snntorch.Leaky | snntorch.Synaptic):
                module.reset_mem()
        save(f"snntorch_{name}", graph, spikes(12), model)

    lif = snntorch.RLeaky(
        torch.full((16,), 0.9), V=torch.linspace(-0.5, 0.5, 16), all_to_all=False, threshold=torch.ones(16), init_hidden=True
    )
    model = nn.Sequential(weighted(nn.Linear(12, 16), 0.2), lif, weighted(nn.Linear(16, 5), 0.2), leaky(5))
    graph = export_to_nir(model, torch.rand(1, 12), ignore_dims=[0])
    lif.reset_mem()
    model[3].reset_mem()
    save("snntorch_recurrent", graph, spikes(12), model)


def with_sinabs() -> None:
    layers = [nn.Conv2d(1, 4, 3, bias=False), sl.IAFSqueeze(batch_size=SAMPLES), sl.SumPool2d(2), nn.Flatten()]
    model = weighted(nn.Sequential(*layers, nn.Linear(36, 5), sl.IAFSqueeze(batch_size=SAMPLES)), 0.07)
    model(torch.rand(SAMPLES, 1, 8, 8))
    sinabs.reset_states(model)
    graph = sinabs.nir.to_nir(model, torch.rand(SAMPLES, 1, 8, 8))
    sinabs.reset_states(model)
    save("sinabs_iaf", graph, spikes(1, 8, 8), model)


def with_norse() -> None:
    """Parameters as vectors, because Norse 1.1 hands scalars to nir 1.0.8, which cannot write them."""

    def box(size: int) -> nn.Module:
        one = torch.ones(size)
        return norse.LIFBoxCell(norse.LIFBoxParameters(100 * one, 0 * one, one, 0 * one))

    def integrator(size: int) -> nn.Module:
        return norse.LIBoxCell(norse.LIBoxParameters(100 * torch.ones(size), torch.zeros(size)))

    def current(size: int) -> nn.Module:
        one = torch.ones(size)
        return norse.LIFCell(norse.LIFParameters(200 * one, 100 * one, 0 * one, one, 0 * one))

    kinds = (("box", box, integrator, 1.5), ("spikes", box, box, 3.0), ("current", current, current, 0.8))
    for name, first, last, gain in kinds:
        layers = [weighted(nn.Linear(12, 16), gain), first(16), weighted(nn.Linear(16, 5), gain), last(5)]
        model = norse.SequentialState(*layers)
        graph = to_nir(model, torch.rand(1, 12))
        state = None

        def step(now: torch.Tensor, model: nn.Module = model) -> torch.Tensor:
            nonlocal state
            out, state = model(now, state)
            return out

        save(f"norse_{name}", graph, spikes(12), step)


def with_spikingjelly() -> None:
    layers = [layer.Conv2d(1, 4, 3, stride=2, padding=1), neuron.IFNode(), layer.AvgPool2d(2), layer.Flatten()]
    model = weighted(nn.Sequential(*layers, layer.Linear(16, 5), neuron.LIFNode(tau=2.5)), 1.2)
    functional.set_step_mode(model, "s")
    graph = jelly_to_nir(model, torch.rand(SAMPLES, 1, 8, 8))
    functional.reset_net(model)
    save("spikingjelly_if_lif", graph, spikes(1, 8, 8), model)


def spikingjelly_reads_ours() -> None:
    """What SpikingJelly answers to written.nir, which write_nir wrote."""
    net = import_from_nir(nir.read(HERE / "written.nir"), dt=1.0)
    functional.set_step_mode(net, "s")
    state = None

    def step(now: torch.Tensor) -> torch.Tensor:
        nonlocal state
        out, state = net(now, state)
        return out

    x = spikes(1, 8, 8)
    with torch.no_grad():
        answers = torch.stack([step(now) for now in x]).swapaxes(0, 1)
    np.savez_compressed(HERE / "written.npz", x=x.swapaxes(0, 1).numpy().astype(np.int8), outputs=answers.numpy())


if __name__ == "__main__":
    torch.manual_seed(0)
    for write in (with_snntorch, with_sinabs, with_norse, with_spikingjelly, spikingjelly_reads_ours):
        write()
