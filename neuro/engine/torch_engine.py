"""The torch engine: the same integers, all samples at once, step by step; on a CUDA device where there is one.

Messages and weights are floats whose products and sums stay below 2^24 (float32) or 2^53 (float64), so that every charge is
an exact integer in any order of addition; potentials are int64. float32 is used only where torch computes with all of its bits:
CUDA may take fewer in convolutions, a process may allow fewer in products, and fast convolutions go through fractions.
What neurons do is computed by the definitions in `neuro.neurons`, on tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.encoding import encode
from neuro.engine.bounds import as_convolution
from neuro.engine.event import input_payloads
from neuro.engine.pace import Progress
from neuro.engine.plan import sums_of
from neuro.engine.records import Recorder
from neuro.errors import EngineError
from neuro.network import Network, Population
from neuro.neurons import (
    Neuron,
)
from neuro.projections import Projection

Tensor = torch.Tensor
BATCH_BYTES = 1 << 29


def simulate(network: Network, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, progress: Progress | None = None) -> None:
    """Run every sample through the network and write what happens into `recorder`."""
    for population in network.populations:
        if not (population.neuron.on_tensors or population.neuron.is_source):
            fact = f"torch cannot run a {type(population.neuron).__name__}"
            raise EngineError(f"population {population.name!r}", fact, 'Use engine="event"')
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    payloads = {p.name: p.neuron.messages for p in network.populations} | input_payloads(network, inputs)
    links = [
        _Link(network, projection, s.bound(payloads[projection.source]).step, device)
        for projection, s in zip(network.projections, sums_of(network), strict=True)
    ]
    each = sum(p.size for p in network.populations) * recorder.steps * 4
    batch = max(1, BATCH_BYTES // each)
    with torch.no_grad():
        for start in range(0, recorder.samples, batch):
            part = {name: array[start : start + batch] for name, array in inputs.items()}
            done = min(start + batch, recorder.samples)
            _simulate_batch(network, part, recorder, links, device, slice(start, done))
            if progress:
                progress(done, recorder.samples)


class _Link:
    """A projection as a function from messages (samples, neurons) to charges (samples, neurons), up to `largest` in a step."""

    def __init__(self, network: Network, projection: Projection, largest: int, device: torch.device) -> None:
        self.projection = projection
        source, target = network[projection.source].shape, network[projection.target].shape
        self.dtype = torch.float32 if largest < 1 << 24 and _all_bits(device) else torch.float64
        conv = as_convolution(projection, network)
        spatial = [(s[0], 1, s[1]) if len(s) == 2 else s for s in (source, target)]
        if conv is not None and len(spatial[0]) == 3:
            self.weights = torch.tensor(conv.weights, dtype=self.dtype, device=device)
            sides = [side for pair in reversed(conv.padding) for side in pair]
            options = (None, conv.stride, 0, conv.dilation, conv.groups)

            def apply(x: Tensor) -> Tensor:
                shaped = torch.nn.functional.pad(x.reshape(-1, *spatial[0]), sides)
                return torch.nn.functional.conv2d(shaped, self.weights, *options).flatten(1)

        else:
            if projection.matrix is not None:
                self.weights = torch.tensor(projection.matrix.T, dtype=self.dtype, device=device)
            else:
                coo = projection.to_sparse(source, target).tocoo()
                indices = torch.tensor(np.stack([coo.col, coo.row]))
                values = torch.tensor(coo.data, dtype=self.dtype)
                shape = (int(np.prod(target)), int(np.prod(source)))
                self.weights = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False).coalesce().to(device)

            def apply(x: Tensor) -> Tensor:
                charges: Tensor = (self.weights @ x.T).T
                return charges

        self.apply: Callable[[Tensor], Tensor] = apply
        pre = projection.synapses(source, target).pre
        self.fan_out = torch.tensor(np.bincount(pre, minlength=int(np.prod(source))), device=device)

    def charge(self, messages: Tensor) -> Tensor:
        return self.apply(messages.to(self.dtype)).to(torch.int64)


def _all_bits(device: torch.device) -> bool:
    """Whether sums of products of float32 are exact here as long as they are integers below 2^24."""
    plain = torch.get_float32_matmul_precision() == "highest"
    return device.type == "cpu" and plain and torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)


def _simulate_batch(
    network: Network,
    inputs: Mapping[str, NDArray[Any]],
    recorder: Recorder,
    links: list[_Link],
    device: torch.device,
    chosen: slice,
) -> None:
    samples = chosen.stop - chosen.start
    sent = {p.name: torch.zeros((recorder.steps, samples, p.size), dtype=torch.int32, device=device) for p in network.populations}
    for p in network.sources:
        messages = torch.tensor(encode(p, inputs[p.name], recorder.timesteps), device=device).swapaxes(0, 1)
        sent[p.name][p.neuron.start_step : p.neuron.start_step + len(messages)] = messages
    neurons = {p.name: _on_device(p, device) for p in network.populations}
    state = {
        p.name: {
            name: torch.tensor(np.tile(values.reshape(1, -1), (samples, 1)), device=device)
            for name, values in p.neuron.initial_state(p.shape).items()
        }
        for p in network.populations
    }
    for t in range(recorder.steps):
        for p in network.populations:
            elapsed = t - p.neuron.start_step
            if not 0 <= elapsed < p.neuron.active_steps(recorder.timesteps):
                continue
            if p.neuron.is_source:
                _record_source(recorder, chosen, t, p, sent[p.name][t])
                continue
            charges = [torch.zeros((samples, p.size), dtype=torch.int64, device=device) for _ in range(p.neuron.port_count)]
            for link in links:
                if link.projection.target == p.name and t >= link.projection.delay:
                    arriving = sent[link.projection.source][t - link.projection.delay]
                    charges[link.projection.port] += link.charge(arriving)
                    recorder.counts[p.name].synops[t] += int(((arriving != 0) * link.fan_out).sum())
            before = state[p.name]
            after, message, drive = neurons[p.name].advance(
                before, charges[0] if len(charges) == 1 else tuple(charges), elapsed, torch
            )
            state[p.name], sent[p.name][t] = after, message.to(torch.int32)
            _record(recorder, chosen, t, p, before[p.neuron.potential], after[p.neuron.potential], message, drive)
    for name, potentials in recorder.potentials.items():
        if not network[name].neuron.is_source:
            potentials[chosen] = state[name][network[name].neuron.potential].cpu().numpy()


def _on_device(p: Population, device: torch.device) -> Neuron:
    """The population's neuron; parameters for each neuron, and shared tables, lie on the device."""
    given = {name: np.asarray(getattr(p.neuron, name)) for name in (*p.neuron.per_neuron, *p.neuron.shared)}
    spread = {
        name: values.astype(np.int64) if name in p.neuron.shared else np.broadcast_to(values, p.shape).astype(np.int64).ravel()
        for name, values in given.items()
        if values.ndim
    }
    return p.neuron.with_arrays(**{name: torch.tensor(values, device=device) for name, values in spread.items()})


def _record_source(recorder: Recorder, chosen: slice, t: int, p: Population, messages: Tensor) -> None:
    counts, fired = recorder.counts[p.name], (messages != 0).cpu().numpy()
    counts.messages[t] += fired.sum()
    recorder.spikes[p.name][chosen] += fired
    recorder.keep("raster", p.name, (chosen, t), messages.cpu().numpy())
    if p.neuron.on_chip:
        for name in ("updates", "driven", "restless"):
            getattr(counts, name)[t] += messages.numel()


def _record(
    recorder: Recorder, chosen: slice, t: int, p: Population, v: Tensor, after: Tensor, message: Tensor, drive: Tensor
) -> None:
    counts, fired = recorder.counts[p.name], (message != 0).cpu().numpy()
    counts.messages[t] += fired.sum()
    counts.updates[t] += message.numel()
    counts.driven[t] += int((drive != 0).sum())
    counts.restless[t] += int(((drive != 0) | (v != 0)).sum())
    recorder.spikes[p.name][chosen] += fired
    recorder.keep("raster", p.name, (chosen, t), message.cpu().numpy())
    recorder.keep("traces", p.name, (chosen, t), after.cpu().numpy())
