"""Dead zones trained in: recurrent networks of spoken words with few changes. `python -m benchmarks.dead_zones --data FOLDER`.

A network of `benchmarks.streams` is trained, and another of the same shape with what receivers would know in the place of its
inputs, of rectified layers and of its states: a value that changed by less than its dead zone is the one that was sent last. A
penalty on the changes that are sent, each as dear as the synapses that it visits, makes them few. Penalty and dead zones were
chosen on the validation part. Then both are converted, with dead zones in integers. Decaying modes (`--networks modes`) know
their own state exactly, and what mixes them reads a copy; `docs/streams.md` has the options that they were trained with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
import neuro
from benchmarks.streams import CLASSES, HIDDEN, SEED, Modes, Words, calibration, data, graph_of_modes, trained, words
from converters.evaluation import logits
from converters.values.changes import to_changes

PENALTY = 0.3  # for 10,000 synaptic operations a frame
ZONES = "0.3,0.15,0.1"  # of inputs, of the rectified layer, of the state, in training
USED = "0.2,0.1,0.07"  # and in the converted network
BATCH = 128
SOFT = 0.25  # of a dead zone: how soft its edge is for the penalty


class Held:
    """Values as receivers know them. zone: a number, or (clips, 1), 0 of clips whose values are all sent at no penalty; synapses:
    those that a message visits; counts the synaptic operations of a frame."""

    def __init__(self, zone: Any, synapses: int) -> None:
        self.zone, self.synapses = torch.as_tensor(zone), synapses
        self.known: Any = None
        self.penalty: Any = 0.0

    def __call__(self, value: torch.Tensor) -> torch.Tensor:
        """What receivers know of the next values (clips, n)."""
        known = torch.zeros_like(value) if self.known is None else self.known
        change = (value - known).abs()
        self._count(change)
        self.known = torch.where(change >= self.zone, value, known)
        return self.known

    def stream(self, values: torch.Tensor) -> torch.Tensor:
        """The same of all frames at once, (clips, frames, n): which frame was sent last is found without gradients."""
        known, last, at = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0], dtype=torch.int64), []
        for frame, value in enumerate(values.detach().unbind(1)):
            sent = (value - known).abs() >= self.zone
            known, last = torch.where(sent, value, known), torch.where(sent, frame + 1, last)
            at.append(last)
        none = torch.zeros_like(values[:, :1])
        found = torch.cat([none, values], 1).gather(1, torch.stack(at, 1))
        self._count((values - torch.cat([none, found[:, :-1]], 1)).abs())
        return found

    def _count(self, change: torch.Tensor) -> None:
        zone = self.zone if change.ndim == 2 or not self.zone.ndim else self.zone[:, None]
        sent = (zone > 0) * torch.sigmoid((change / torch.where(zone > 0, zone, 1.0) - 1) / SOFT)
        self.penalty = self.penalty + self.synapses * sent.mean(0).sum()


def answers(model: Words | Modes, kind: str, x: torch.Tensor, zones: tuple[Any, ...]) -> tuple[torch.Tensor, Any]:
    """Answers (clips, frames, classes) with dead zones, and the soft number of synaptic operations of a frame."""
    found, held = _modes(model, x, zones) if isinstance(model, Modes) else _gated(model, kind, x, zones)
    return found, sum(one.penalty for one in held) / x.shape[1]


def _gated(model: Any, kind: str, x: torch.Tensor, zones: tuple[Any, ...]) -> tuple[torch.Tensor, list[Held]]:
    """Answers of an LSTM or GRU, frame by frame, and what is held in it."""
    cell, gates = model.recurrent, {"lstm": 4, "gru": 3}[kind] * HIDDEN
    inputs, first, state = held = [Held(zones[0], HIDDEN), Held(zones[1], gates), Held(zones[2], gates + CLASSES)]
    h = memory = state.known = torch.zeros(len(x), HIDDEN)
    found = []
    for frame in range(x.shape[1]):
        into = first(torch.relu(model.before(inputs(x[:, frame])))) @ cell.weight_ih_l0.T + cell.bias_ih_l0
        back = state.known @ cell.weight_hh_l0.T + cell.bias_hh_l0
        if kind == "lstm":
            i, f, g, o = (into + back).chunk(4, 1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(memory)
        else:
            (ir, iz, new), (hr, hz, old) = into.chunk(3, 1), back.chunk(3, 1)
            update = torch.sigmoid(iz + hz)
            h = (1 - update) * torch.tanh(new + torch.sigmoid(ir + hr) * old) + update * h
        found.append(model.behind(state(h)))
    return torch.stack(found, 1), held


def _modes(model: Any, x: torch.Tensor, zones: tuple[Any, ...]) -> tuple[torch.Tensor, list[Held]]:
    """Answers of decaying modes, layer by layer, and what is held in them: each state goes on as it is, others read a copy."""
    inputs, states = Held(zones[0], HIDDEN), [Held(zones[2], HIDDEN) for _ in model.mix]
    rectified = [Held(zones[1], synapses) for synapses in (HIDDEN, CLASSES)]
    x = inputs.stream(x)
    for into, decay, mix, state, first in zip(model.into, model.decay, model.mix, states, rectified, strict=True):
        a, h = torch.sigmoid(decay), [torch.zeros(len(x), HIDDEN)]
        for u in into(x).unbind(1):
            h.append(a * h[-1] + (1 - a) * u)
        x = first.stream(torch.relu(mix(state.stream(torch.stack(h[1:], 1)))))
    return model.behind(x), [inputs, *states, *rectified]


def blank(kind: str) -> Words | Modes:
    """An untrained network."""
    return Modes() if kind == "modes" else Words(kind.upper())


def held_in(
    kind: str, x: Any, y: Any, zones: tuple[float, ...], weight: float, epochs: int, rate: float, free: float = 0.0
) -> Words | Modes:
    """A network trained with dead zones, which grow in the first third. weight: of the penalty, for 10,000 synops a frame; free:
    the share of clips without dead zones."""
    torch.manual_seed(SEED)
    model, rng, steps = blank(kind), np.random.default_rng(SEED), epochs * (len(x) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for step in range(steps):
        at = rng.integers(len(x), size=BATCH)
        some = np.stack([np.roll(clip, shift, 0) for clip, shift in zip(x[at], rng.integers(-2, 3, BATCH), strict=True)])
        some += rng.normal(0, 0.25, (BATCH, 1, 1)) + rng.normal(0, 0.2, some.shape)
        grown = min(1.0, (1 + step) / (steps / 3))
        of_clip = torch.as_tensor(np.arange(BATCH)[:, None] >= free * BATCH)
        now = tuple(grown * zone * of_clip for zone in zones)
        out, penalty = answers(model, kind, torch.as_tensor(some, dtype=torch.float32), now)
        loss = nn.functional.cross_entropy(out[:, -6:].mean(1), torch.as_tensor(y[at]), label_smoothing=0.05)
        optimiser.zero_grad()
        (loss + grown * weight * penalty / 10_000).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def in_integers(made: converters.Conversion, zones: tuple[float, ...]) -> dict[str, int]:
    """Dead zones of the input, of rectified layers, and of what they and the readout read of states, in their units."""
    network = made.network
    (source,), (readout,) = network.sources, network.readouts
    sums = [p for p in network.populations if p.neuron.computes and p.neuron.table is None]
    rectified = [p.name for p in sums if np.min(p.neuron.lowest) == 0]
    read = {network.into(name)[0].source for name in (*rectified, readout.name)} - {source.name, *rectified}
    units = {source.name: source.neuron.scale, **{name: np.median(made.built.units[name]) for name in (*rectified, *read)}}
    asked = {source.name: zones[0], **dict.fromkeys(rectified, zones[1]), **dict.fromkeys(read, zones[2])}
    return {name: max(1, int(np.ceil(zone / units[name]))) for name, zone in asked.items()}


def measured(graph: neuro.Graph, parts: dict[str, Any], zones: tuple[float, ...], part: str) -> dict[str, Any]:
    """Right decisions, in float too, and synaptic operations a frame: graded, lossless changes, changes with these dead zones."""
    known, (x, y) = calibration(parts["train"][0]), parts[part]
    graded = converters.convert(graph, known, code="graded")
    delta = converters.convert(graph, known, code="delta")
    forms = {"graded": graded.network, "lossless": delta.network, "delta": to_changes(delta.network, in_integers(delta, zones))}
    row: dict[str, Any] = {"float": {"right": float((words(logits(graph, x)) == y).mean())}}
    for name, network in forms.items():
        run = neuro.run(network, x)
        row[name] = {
            "right": float((words(run.frames) == y).mean()),
            "synops": run.synops / run.frames.shape[0] / run.frames.shape[1],
        }
    return row


def main() -> None:
    """Train both, convert, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", default="lstm,gru")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--held", type=int, default=36, help="epochs with dead zones")
    parser.add_argument("--penalty", type=float, default=PENALTY)
    parser.add_argument("--free", type=float, default=0.0, help="share of clips that are trained on without dead zones")
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--zones", default=ZONES, help="of training")
    parser.add_argument("--used", default=USED, help="dead zones of the converted network")
    parser.add_argument("--part", default="val", help="that says how well it went: val, or test in the end")
    parser.add_argument(
        "--saved", type=Path, help="folder with words_lstm, words_lstm_held and so on, which are measured, not trained"
    )
    parser.add_argument("--save", type=Path, help="folder for words_lstm_held and the like")
    given = parser.parse_args()
    parts, zones, used = data(given.data), *(tuple(map(float, text.split(","))) for text in (given.zones, given.used))
    for kind in given.networks.split(","):
        for name in (f"words_{kind}", f"words_{kind}_held"):
            if given.saved:
                graph = neuro.Graph.load(given.saved / f"{name}.safetensors")
            else:
                torch.manual_seed(SEED)
                if name.endswith("held"):
                    model = held_in(kind, *parts["train"], zones, given.penalty, given.held, given.rate, given.free)
                else:
                    model = trained(blank(kind), *parts["train"], given.epochs)
                graph = (
                    graph_of_modes(model)
                    if kind == "modes"
                    else converters.trace(model.eval(), parts["train"][0][:4], frames=True)
                )
                if given.save:
                    graph.save(given.save / f"{name}.safetensors")
            print(json.dumps({"network": name, "part": given.part, "zones": used, **measured(graph, parts, used, given.part)}))


if __name__ == "__main__":
    main()
