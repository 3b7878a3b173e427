"""One round: what the network is measured to cost decides what is removed and what its messages may cost; then it is trained.

The arithmetic of training is in `converters.optimising`; this file joins it to a chip. Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from converters.convertible import computes_with_values
from converters.optimising.bits import allotted, population_of
from converters.optimising.channels import ChannelGroups, channel_groups, dead_groups, without
from converters.optimising.digits import coarser
from converters.optimising.reading import read_entries
from converters.optimising.retrain import Retraining, retrained
from converters.optimising.scores import Score, channel_scores, curvature, weight_scores
from converters.optimising.shapes import with_kernels, without_blocks
from converters.optimising.sparsity import masked, pattern_masks, share_masks, zeros_of
from converters.optimising.student import Coding, untuned
from converters.optimising.training import TrainingPlan
from neuro.chip.emulator import ChipRun
from neuro.chip.spec import Chip
from neuro.codes import Code
from neuro.errors import UsageError
from neuro.graph import Graph
from neuro.network import Network, Population
from neuro.optimising.measure import converted, messages_of, run_on, settled
from neuro.optimising.plan import OptimiseSettings
from neuro.optimising.prices import MessagePrices, expected_pj, message_prices

Ints = NDArray[np.int64]
Kept = Mapping[str, tuple[int, ...]]
Augment = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
Report = Callable[[str, int, int], None]  # what is being done, how far, of how much
PRICED = 64  # samples that a run takes part in whose bill is taken apart for training
LIVED = 2048  # samples on which a channel that is always zero counts as dead
SCORED = 512  # samples that scores are taken from
SENDING = ("relu", "max_pool")
SHOWN = ("relu", "function", "softmax")  # layers whose channels or heads a recipe lists
TIMED = ("rate", "signed")
PASSES = 2  # of removing channels in a round, each by prices measured anew
LEAST_SHARE = 0.1  # of what neurons' updates leave of a target: messages are never asked to cost less


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from: inputs (samples, *shape), class numbers or None, how batches are varied; inputs to calibrate
    with."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None
    calibration: NDArray[np.float32]
    augment: Augment | None = None
    teacher: Graph | None = None  # whose answers are learned in place of the network's own


@dataclass(frozen=True, slots=True)
class Stand:
    """A float network so far: which of the first one's entries its layers still have, and whether it was trained in the
    code."""

    graph: Graph
    kept: Kept
    bits: Mapping[str, int] = field(default_factory=dict)  # of weights, by layer


@dataclass(frozen=True, slots=True)
class Priced:
    """A network placed and run on a few samples: who costs what."""

    run: ChipRun
    prices: MessagePrices
    sending: frozenset[str]  # populations whose messages training, or removing channels, can save

    @property
    def dynamic_pj(self) -> float:
        return float(self.run.bill.dynamic_pj)

    @property
    def messages_pj(self) -> float:
        """What messages of these populations cost; the rest is that of inputs, updates and barriers."""
        sent = messages_of(self.run)
        return expected_pj(self.prices, {name: sent[name] for name in self.prices.by_neuron if name in self.sending})


class Rounds:
    """The rounds of one optimisation: the float network as teacher, the chip, and the settings."""

    def __init__(self, teacher: Graph, lesson: Lesson, chip: Chip, settings: OptimiseSettings) -> None:
        self.teacher, self.lesson, self.chip, self.settings = teacher, lesson, chip, settings
        self.of_values = computes_with_values(teacher)  # all of a round's saving is then taken by removing channels and heads

    @property
    def start(self) -> Stand:
        entries = channel_groups(self.teacher).of
        return Stand(self.teacher, {layer.name: tuple(range(len(entries[layer.name]))) for layer in self.teacher.layers})

    def network(self, stand: Stand, code: str | None = None, timesteps: int = 1) -> Network:
        """The spiking network of a stand, in the code that it was trained in or in another; thresholds that were trained for
        other levels are then chosen anew."""
        how = self._how(stand)
        if code is None:
            return converted(stand.graph, self.lesson.calibration, self.chip, how)
        graph = untuned(stand.graph, Coding(cast(Code, code), timesteps).levels)
        return converted(graph, self.lesson.calibration, self.chip, {**how, "code": code, "timesteps": timesteps})

    @property
    def _scored(self) -> tuple[NDArray[np.float32], Ints | None]:
        """The samples that scores are taken from."""
        return self.lesson.x[:SCORED], None if self.lesson.y is None else self.lesson.y[:SCORED]

    def _how(self, stand: Stand) -> dict[str, Any]:
        """Options of a stand's conversion."""
        s = self.settings
        own = {population_of(stand.graph, stand.graph[name]): bits for name, bits in stand.bits.items()}
        how: dict[str, Any] = {"code": s.code, "timesteps": s.timesteps, "weight_bits": own or s.weight_bits}
        return how

    def priced(self, stand: Stand) -> Priced:
        """The stand on the chip, on a few samples that are learned from."""
        some = self.lesson.x[np.linspace(0, len(self.lesson.x) - 1, min(PRICED, len(self.lesson.x))).astype(int)]
        run = run_on(self.network(stand), self.chip, some)
        prices = message_prices(run)
        computed = {name for name in prices.by_neuron if not run.placement.network[name].neuron.is_source}
        rectified = {layer.name for layer in stand.graph.layers if layer.op in SENDING}
        return Priced(run, prices, frozenset(computed if self.of_values else rectified))

    def round(self, stand: Stand, target_pj: float, progress: tuple[int, int], report: Report) -> tuple[Stand, dict[str, Any]]:
        """The next stand, whose dynamic energy is to be `target_pj`, and the recipe by which it was made. progress: the number
        of this round, and how many there are."""
        number, share_of = progress[0], progress[0] / progress[1]
        stand = self.thinned(self.shaped(stand) if number == 1 else stand, share_of)
        now, removed = self.priced(stand), 0
        channels = 1.0 if self.of_values else self.settings.channels
        share = min(target_pj / now.dynamic_pj, 1.0) ** (1 - channels)
        for _ in range(PASSES if channels else 0):
            smaller, gone = self.pruned(stand, now, target_pj, share)
            if not gone:
                break
            stand, removed = smaller, removed + len(gone)
            now = self.priced(stand)
        stand = self.narrowed(stand)
        digits: dict[str, int] = {}
        if self.settings.value_bits and number == 1:  # training moves thresholds on from there
            sent = messages_of(now.run)
            spent = {name: float(each @ sent[name]) for name, each in now.prices.by_neuron.items()}
            graph, digits = coarser(stand.graph, *self._scored, spent, self.settings.timesteps, self.settings.value_bits)
            stand = replace(stand, graph=graph)
        if self.settings.code in TIMED:  # what timing does to counts is learned from with the thresholds that there will be
            stand = replace(stand, graph=settled(stand.graph, self.lesson.calibration, self.chip, self._how(stand)))
        fixed = now.dynamic_pj - now.messages_pj
        allowed = max(target_pj - fixed, LEAST_SHARE * target_pj)
        trained = self.alive(self.trained(stand, now, allowed, number, lambda k, n: report(f"round {number}: training", k, n)))
        zeros = _zeros(trained.graph)
        thin = f"{100 * zeros:.0f} % of weights zero, " if zeros > 0.05 else ""
        what = "channels and heads" if self.of_values else "channels"
        trained_for = "trained as a float network" if self.of_values else f"messages within {allowed / 1e6:.3g} uJ"
        recipe = {
            "how": f"round {number}: {removed} {what} removed, {thin}{trained_for}",
            "target_pj": target_pj,
            "allowed_pj": allowed,
            "removed_groups": removed,
            "zero_weights": zeros,
            "weight_bits": dict(trained.bits),
            "value_bits": digits,
            "channels": {layer.name: len(trained.kept[layer.name]) for layer in trained.graph.layers if layer.op in SHOWN},
        }
        return trained, recipe

    def shaped(self, stand: Stand) -> Stand:
        """The stand with the depth, kernels and widths that the settings name: of each layer the channels with the highest
        scores, its share of them."""
        graph = with_kernels(stand.graph, dict(self.settings.kernels))
        graph = without_blocks(graph, self.settings.depth, self.lesson.x[:SCORED])
        known, names = stand.kept, {layer.name for layer in graph.layers}
        stand = replace(stand, graph=graph, kept={name: entries for name, entries in known.items() if name in names})
        if not self.settings.widths:
            return stand
        groups = channel_groups(stand.graph)
        x, y = self._scored
        scores = channel_scores(stand.graph, groups, x, y, cast(Score, self.settings.score))
        removed: set[int] = set()
        for name, share in self.settings.widths:
            if name in known and name not in names:
                continue  # its block was removed
            if name not in groups.of:
                raise UsageError("optimise, widths", f"there is no layer {name!r}", f"Use one of {', '.join(groups.of)}")
            mine = sorted((g for g in set(groups.of[name].tolist()) if g in scores), key=lambda g: (scores[g], g))
            removed |= set(mine[: len(mine) - max(1, round(share * len(mine)))])
        graph, left = without(stand.graph, groups, removed)
        return replace(stand, graph=graph, kept=_remaining(stand.kept, left))

    def thinned(self, stand: Stand, done: float) -> Stand:
        """The stand with as many weights at zero as the settings want when `done` of all rounds are begun: most early on, where
        there is training left to make up for them (Zhu and Gupta 2017), and a pattern at once."""
        s = self.settings
        if not s.sparsity and not s.pattern:
            return stand
        x, y = self._scored
        scores = weight_scores(stand.graph, x, y, cast(Score, s.score))
        if s.pattern:
            keep, of = map(int, s.pattern.split(":"))
            masks = pattern_masks(stand.graph, scores, keep, of)
        else:
            masks = share_masks(stand.graph, scores, s.sparsity * (1 - (1 - done) ** 3))
        return replace(stand, graph=masked(stand.graph, masks))

    def narrowed(self, stand: Stand) -> Stand:
        """The stand with bits of weights by layer, where the settings want so many on average."""
        if not self.settings.average_bits:
            return stand
        x, y = self._scored
        return replace(stand, bits=allotted(stand.graph, curvature(stand.graph, x, y), self.settings.average_bits))

    def trained(
        self, stand: Stand, priced: Priced, allowed: float, number: int, progress: Callable[[int, int], None] | None = None
    ) -> Stand:
        """The stand after training, its messages within `allowed` pJ."""
        s = self.settings
        asked = (s.steps, s.batch, s.rate, s.decay, s.labels, s.answers, s.features)
        how = self._retraining(stand, TrainingPlan(*asked, allowed, 1000 * s.seed + number))
        graph = retrained(stand.graph, replace(how, prices=priced.prices.by_neuron), progress)
        return replace(stand, graph=graph)

    def trained_on(self, progress: Callable[[int, int], None] | None = None) -> Stand:
        """The float network, of which nothing is removed, after `float_steps` of training by its labels, which cost it no
        messages."""
        s, start = self.settings, self.start
        training = TrainingPlan(s.float_steps, s.batch, s.rate, s.decay, 1.0, 0.0, 0.0, None, 1000 * s.seed)
        how = replace(self._retraining(start, training), code="graded", timesteps=1)  # whose rounding is next to none
        graph = retrained(start.graph, how, progress)
        return replace(start, graph=untuned(graph, Coding(cast(Code, s.code), s.timesteps).levels))

    def _retraining(self, stand: Stand, training: TrainingPlan) -> Retraining:
        s, lesson = self.settings, self.lesson
        return Retraining(
            teacher=lesson.teacher or self.teacher,
            kept={} if lesson.teacher else stand.kept,  # features of another network are no target for these
            x=lesson.x,
            y=lesson.y,
            augment=lesson.augment,
            calibration=lesson.calibration,
            code=s.code,
            timesteps=s.timesteps,
            prices={},
            training=training,
            masks=zeros_of(stand.graph),
            weight_bits=stand.bits,
            norms=s.norms,
        )

    def pruned(self, stand: Stand, priced: Priced, target_pj: float, share: float) -> tuple[Stand, list[int]]:
        """The stand without the groups of channels that matter least for what they cost, until messages that are sent `share`
        as often would meet the target, by the prices of the moment."""
        groups = channel_groups(stand.graph)
        x, y = self._scored
        scores = channel_scores(stand.graph, groups, x, y, cast(Score, self.settings.score))
        saved = savings(groups, priced)
        order = sorted(scores, key=lambda group: (scores[group] / max(sum(saved.get(group, (0.0, 0.0))), 1e-12), group))
        messages = priced.messages_pj
        fixed = priced.dynamic_pj - messages
        room = {name: len(entries) - max(1, len(entries) // 8) for name, entries in groups.of.items()}
        removed: list[int] = []
        for group in order:
            if fixed + share * messages <= target_pj:
                break
            held = {name: int((entries == group).sum()) for name, entries in groups.of.items()}
            if all(count <= room[name] for name, count in held.items()):
                room = {name: room[name] - held[name] for name in room}
                removed.append(group)
                less = saved.get(group, (0.0, 0.0))
                messages, fixed = max(messages - less[0], 0.0), max(fixed - less[1], 0.0)
        graph, left = without(stand.graph, groups, removed)
        return replace(stand, graph=graph, kept=_remaining(stand.kept, left)), removed

    def alive(self, stand: Stand) -> Stand:
        """The stand without channels that are zero on up to 2,048 samples that are learned from, which changes no answer
        there."""
        groups, x = channel_groups(stand.graph), self.lesson.x
        some = x[np.linspace(0, len(x) - 1, min(LIVED, len(x))).astype(int)]
        dead = dead_groups(groups, read_entries(stand.graph, some))
        if not len(dead):
            return stand
        graph, left = without(stand.graph, groups, dead.tolist())
        return replace(stand, graph=graph, kept=_remaining(stand.kept, left))


def _remaining(kept: Kept, left: Mapping[str, Ints]) -> Kept:
    return {name: tuple(np.asarray(entries)[left[name]].tolist()) for name, entries in kept.items()}


def _zeros(graph: Graph) -> float:
    """The share of weights that are zero."""
    weights = [layer.arrays["weight"] for layer in graph.layers if layer.op in ("conv", "linear")]
    return 1 - sum(int(np.count_nonzero(w)) for w in weights) / max(sum(w.size for w in weights), 1)


def _entries_of(p: Population, groups: ChannelGroups) -> Ints | None:
    """The group of each entry along the first axis of a population, which has a layer's channels first; of one that is a part of
    a layer (the exponentials of a softmax, "name.5") those of the layer, each for as many entries as it has there."""
    name = p.name
    while name not in groups.of and "." in name:
        name = name.rpartition(".")[0]
    entries = groups.of.get(name)
    if entries is None or p.shape[0] % len(entries) or (name == p.name and len(entries) != p.shape[0]):
        return None
    return np.repeat(entries, p.shape[0] // len(entries))


def savings(groups: ChannelGroups, priced: Priced) -> dict[int, tuple[float, float]]:
    """{group: energies (pJ) of an inference that go with it}: of messages that can be saved (rectifiers' and pools'; of networks
    of values all but the inputs'), those that it sends and its share of those that arrive; and its share of what else arrives,
    and its neurons' updates."""
    network, sent, sending = priced.run.placement.network, messages_of(priced.run), priced.sending
    found: dict[int, tuple[float, float]] = {}
    for p in network.populations:
        entries = _entries_of(p, groups)
        if entries is None:
            continue
        messages, fixed = np.zeros(p.shape[0]), np.full(p.shape[0], priced.prices.update.get(p.name, 0.0) * p.size / p.shape[0])
        if p.name in sending:
            messages = (priced.prices.by_neuron[p.name] * sent[p.name]).reshape(p.shape[0], -1).sum(axis=1)
        for (source, target), each in priced.prices.into.items():
            if target == p.name:
                part = float(each @ sent[source]) / p.shape[0]
                messages, fixed = (messages + part, fixed) if source in sending else (messages, fixed + part)
        for group, one, other in zip(entries.tolist(), messages.tolist(), fixed.tolist(), strict=True):
            before = found.get(group, (0.0, 0.0))
            found[group] = (before[0] + one, before[1] + other)
    return found
