"""Dead zones trained in (benchmarks/dead_zones.py): what receivers know in training, and the networks that are kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

import converters
import neuro
from benchmarks.dead_zones import Held, answers, blank, in_integers
from converters.evaluation import logits
from converters.values.changes import to_changes
from tests.streams import stream

WEIGHTS = Path(__file__).parent.parent / "benchmarks" / "weights"
ZONES = {"lstm": (0.2, 0.1, 0.07), "gru": (0.2, 0.1, 0.07), "modes": (0.3, 0.15, 0.1)}


@pytest.mark.parametrize("free", [0.0, 0.5])
def test_a_stream_is_held_as_frame_by_frame(free: float) -> None:
    torch.manual_seed(0)
    zone = 0.6 * (torch.arange(4)[:, None] >= 4 * free)
    found = []
    for whole in (True, False):
        values = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
        held = Held(zone, 7)
        known = held.stream(values) if whole else torch.stack([held(value) for value in values.unbind(1)], 1)
        (known.square().sum() + held.penalty).backward()
        found.append((known.detach(), held.penalty.detach(), values.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    known, truth = found[0][0].numpy(), values.detach().numpy()
    assert (np.abs(known - truth) < np.maximum(zone.numpy()[:, None], 1e-9)).all()
    assert (known != truth).any()


@pytest.mark.parametrize("kind", ["lstm", "gru", "modes"])
def test_without_dead_zones_training_computes_the_network(kind: str) -> None:
    torch.manual_seed(0)
    model, x = blank(kind), torch.as_tensor(stream(1, 3, 6, 20))
    found, penalty = answers(model, kind, x, (0.0, 0.0, 0.0))
    assert torch.allclose(found, model(x), atol=1e-5)
    assert penalty == 0


@pytest.mark.parametrize("kind", ["lstm", "gru", "modes"])
def test_networks_trained_with_dead_zones_are_near_the_float_ones_and_send_little(kind: str) -> None:
    """On a stream that is not what they were trained on; what words say of them is in docs/streams.md."""
    graph, x = neuro.Graph.load(WEIGHTS / f"words_{kind}_held.safetensors"), stream(4, 12, 20, 20)
    made = converters.convert(graph, x, code="graded")
    truth = logits(graph, x)
    assert np.sqrt(np.square(made.quantised(x) - truth).mean()) < 0.05 * truth.std()
    delta = converters.convert(graph, x, code="delta")
    zones = in_integers(delta, ZONES[kind])
    assert kind != "modes" or not set(zones) & delta.built.states
    graded, held = (neuro.run(net, x) for net in (made.network, to_changes(delta.network, zones)))
    assert held.synops < 0.6 * graded.synops
    assert np.sqrt(np.square(held.frames - graded.frames).mean()) < 0.3 * truth.std()
