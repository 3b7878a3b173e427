"""The head of a network that learns words: sums over time as payloads, and synapses from them that learn; and when each acts.

The same head sits on the network of a spotter, whose layers send at every frame, and on a body, which sends its numbers
once a window. Knows networks; knows nothing of chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from neuro.errors import UsageError
from neuro.keywords.body import Body
from neuro.keywords.pooled import MOST_SENT, Pooled
from neuro.keywords.spotter import Spotter
from neuro.learning.ready import prototype
from neuro.learning.rule import LONGEST_EPOCH
from neuro.network import Network, Population
from neuro.neurons import Graded, Source
from neuro.projections import Dense

POOL, WORDS, KNOWN, SUM, TEACHER = "pool", "words", "known", "sum", "teacher"
WHOLE = 64  # what the teacher sends for a lesson that replaces all that was known of a word
MOST_PAYLOAD = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class Timing:
    """When the head acts on a recording: `window` steps are run. The teacher's stream has `taught` steps, the lesson in number
    `lesson`. Payloads are whole in step `pooled` of what is recorded, scores in step `scored`, in a stream also every `period`
    steps later. Epochs have `epoch` steps, and payloads take `delay` to the synapses."""

    window: int
    taught: int
    lesson: int
    pooled: int
    scored: int
    epoch: int
    delay: int = 1
    period: int = 1
    start: int = 0  # of the payloads' population
    teacher_start: int = 0


def timing_of_spotter(steps: int) -> Timing:
    """That of a spotter's network, a frame a step, where a recording and what follows of it take so many."""
    if steps > LONGEST_EPOCH:
        raise UsageError("spotter", f"a recording takes {steps} steps, an epoch {LONGEST_EPOCH}", "Use a shorter window")
    return Timing(steps, steps, steps - 2, steps - 2, steps - 1, steps)


def timing_of_body(body: Body) -> Timing:
    """That of a body, a window every `period` steps. Epochs are as long as they may be, and end with a lesson; payloads wait for
    that."""
    start = body.network[body.numbers].neuron.start_step
    pooled = start + (body.windows - 1) * body.period + 1
    epochs = -(-(pooled + 2) // LONGEST_EPOCH)
    epoch = -(-(pooled + 2) // epochs)
    end = epochs * epoch
    return Timing(
        body.windows * body.period, 1, 0, pooled, end - 1, epoch, end - 1 - pooled, body.period, start + 1, teacher_start=end - 2
    )


def on_spotter(spotter: Spotter, words: int, pooled: Pooled) -> Network:
    """A spotter's network, frame by frame, with a head that learns so many words."""
    network, latency = spotter.framewise()
    timing = timing_of_spotter(spotter.frames + latency + 1)
    return _with_head(network, tuple(_pools(spotter, network, pooled)), pooled, words, timing)


def on_body(body: Body, words: tuple[str, ...]) -> Network:
    """A body with a head that learns these words, of which it knows nothing then."""
    pooled, size = body.pooled.without(words), body.network[body.numbers].size
    if size != len(pooled.matrix):
        raise UsageError("body", f"it sends {size} numbers, its matrix takes {len(pooled.matrix)}", "Make the body again")
    weights = np.concatenate([pooled.matrix, -pooled.matrix], axis=1).astype(np.int32)
    leaving = 1 + body.windows * body.period
    pools = (Dense(body.numbers, POOL, weights), Dense(body.numbers, POOL, -weights, delay=leaving))
    return _with_head(body.network, pools, pooled, len(words), timing_of_body(body))


def _with_head(network: Network, pools: tuple[Dense, ...], pooled: Pooled, words: int, timing: Timing) -> Network:
    """The network, sums of what `pools` bring as payloads, and synapses from them to each new word."""
    outputs, later = pooled.matrix.shape[1], timing.start + timing.delay * (timing.start > 0)
    bias = np.concatenate([-pooled.means, pooled.means]).astype(np.int32)
    rule = replace(prototype(TEACHER, -1, sign="excitatory"), epoch=timing.epoch)  # 64 is a whole lesson
    neuron = Graded(1, MOST_PAYLOAD, start_step=later)
    populations = (
        Population(POOL, (2 * outputs,), Graded(pooled.divisor, MOST_SENT, bias=bias, start_step=timing.start, hold_input=True)),
        Population(TEACHER, (words,), Source(levels=127, start_step=timing.teacher_start)),
        Population(WORDS, (words,), neuron),
        Population(KNOWN, (pooled.known.shape[1],), neuron),
        Population(SUM, (1,), neuron),
    )
    none = np.zeros((2 * outputs, words), np.int32)
    added = (
        *pools,
        Dense(POOL, WORDS, none, rule=rule, delay=timing.delay),
        Dense(POOL, KNOWN, pooled.known.astype(np.int32), delay=timing.delay),
        Dense(POOL, SUM, np.ones((2 * outputs, 1), np.int32), delay=timing.delay),
    )
    return Network((*network.populations, *populations), (*network.projections, *added), notes=network.notes)


def _pools(spotter: Spotter, network: Network, pooled: Pooled) -> Iterator[Dense]:
    """From each layer that is read, its frames as they come and, negated, as they leave the window; all at the same time."""
    names = [p.name for p in network.populations]
    channels = [network[name].size for name in pooled.layers if name in names]
    if len(channels) < len(pooled.layers) or sum(channels) != len(pooled.matrix):
        fact = f"{sum(channels)} channels in layers {', '.join(pooled.layers)}, a matrix for {len(pooled.matrix)}"
        raise UsageError("spotter", fact, "Take what belongs to this spotter")
    last = names.index(network.into(network.readouts[0].name)[0].source)
    for name, part in zip(pooled.layers, np.split(pooled.matrix, np.cumsum(channels)[:-1]), strict=True):
        weights = np.concatenate([part, -part], axis=1).astype(np.int32)
        delay, frames = 1 + last - names.index(name), int(spotter.network[name].shape[1])
        yield Dense(name, POOL, weights, delay=delay)
        yield Dense(name, POOL, -weights, delay=delay + frames)
