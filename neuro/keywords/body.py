"""Body: a network that was trained elsewhere, on the chip, with all it takes to learn words from its numbers. One file.

Its numbers, added up over the windows of a recording, are multiplied by a matrix that makes them as little correlated within a
word as possible, and reach the synapses that learn as payloads above and below the usual value. Knows networks and fronts; how a
body is made: `neuro.keywords.embedding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bundles import load_parts, save_parts
from neuro.engine.run import run
from neuro.errors import FormatError, NeuroError
from neuro.keywords.augment import fit
from neuro.keywords.features import Floats, to_float
from neuro.keywords.fronts import Front
from neuro.keywords.pooled import Pooled
from neuro.keywords.spotter import Normalisation
from neuro.network import Network

SHIPPED, NAME = "many_words.safetensors", "many words"
HEARD = 24_000  # samples of a recording that are heard: 1.5 s
FAINT = 2 / 32_768  # deviation of the noise that joins a recording, so that no silence is digital


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """`network` takes windows as frames (recordings, windows, *shape); its last population, `pooled.layers`, sends the numbers.

    `front`: what it hears of a sound. `card`: where it comes from.
    """

    network: Network
    front: Front
    pooled: Pooled
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.network.sources[0].name

    @property
    def numbers(self) -> str:
        """The population that sends the numbers."""
        return self.pooled.layers[0]

    @property
    def period(self) -> int:
        """Steps from window to window."""
        return int(getattr(self.network[self.source].neuron, "period", None) or 1)

    @property
    def windows(self) -> int:
        """Windows in a recording."""
        return (HEARD - self.front.window) // self.front.every + 1

    def inputs(self, clips: NDArray[Any]) -> Floats:
        """Inputs (clips, windows, *shape) of recordings (clips, samples): the loudest 1.5 s, or silence around a shorter one."""
        return inputs_of(self.front, clips)

    def sums(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
        """The numbers of recordings (clips, samples), added up over their windows, (clips, numbers), as the chip has them."""
        return sums_of(self.network, self.numbers, self.inputs(clips), threads=threads)

    def save(self, path: Any) -> None:
        """Write everything into one file."""
        front, norm = self.front, self.front.normalisation
        parts = {
            "network": self.network,
            "front": {name: getattr(front, name) for name in ("kind", "frames", "every", "shape", "turned")},
            "normalisation": asdict(norm) if norm else {},
            "pooled": self.pooled.parts(),
            "card": dict(self.card),
        }
        save_parts(parts, path, "body")

    @staticmethod
    def load(path: Any) -> Body:
        """Read a file that `save` wrote; anything else is a FormatError."""
        parts = load_parts(path, "body")
        try:
            known = {name: np.asarray(array, np.float32) for name, array in parts["normalisation"].items()}
            front = Front(**parts["front"], normalisation=Normalisation(**known) if known else None)
            body = Body(parts["network"], front, Pooled.of(parts["pooled"]), dict(parts["card"]))
            if body.numbers not in {p.name for p in body.network.populations}:
                raise FormatError(str(path), f"its network has no population {body.numbers!r}", "Make it again")
            return body
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, NeuroError) as error:
            raise FormatError(
                str(path), f"it is no whole body ({error})", "Make it again: neuro keywords learn --body FILE.onnx"
            ) from None


def shipped_body() -> Body:
    """The body that comes with the package, made by `python -m benchmarks.keywords_distil`: see many_words.md."""
    with resources.as_file(resources.files("neuro.keywords").joinpath(SHIPPED)) as path:
        return Body.load(path)


def recording(clip: NDArray[Any]) -> Floats:
    """What is heard of a recording (samples,): HEARD of them, with faint noise."""
    noise = np.random.default_rng(0).normal(0, FAINT, HEARD).astype(np.float32)
    return np.asarray(fit(to_float(clip), HEARD) + noise)


def inputs_of(front: Front, clips: NDArray[Any]) -> Floats:
    """What a front makes of recordings (clips, samples), (clips, windows, *shape)."""
    return np.stack([front.windows(recording(clip)) for clip in clips])


def sums_of(network: Network, numbers: str, windows: Floats, *, threads: int | None = None) -> NDArray[np.int64]:
    """What a population sends for recordings (clips, windows, *shape), added up, (clips, neurons)."""
    sent = run(network, windows, record=(f"raster:{numbers}",), threads=threads).raster[numbers]
    return np.asarray(sent.sum(axis=1, dtype=np.int64))
