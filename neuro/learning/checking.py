"""What a learning rule asks of the neurons on both sides of a projection: spikes, where it speaks of spikes.

Reads the facts that neurons declare; knows no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from neuro.errors import EngineError, InputError, NetworkError

_SPIKES = 'Use neurons that spike (convert with code="rate", or neuro.IntegrateAndFire, neuro.CubaLif)'


def check_learning(projection: Any, populations: Mapping[str, Any]) -> None:
    """Refuse a rule that speaks of spikes which its populations never send, or of populations that do not exist."""
    source, target = populations[projection.source], populations[projection.target]
    _check_source(projection, source)
    if projection.rule.waits_for_firing:
        _check_target(projection, target)
    for trace, name in projection.rule.third_factors.items():
        _check_third(projection, target, trace, name, populations)
    if projection.memory is not None:
        synapses = projection.count(source.shape, target.shape)
        projection.memory.check(f"projection {projection.name}", synapses, source.size, target.size)


def _check_source(projection: Any, source: Any) -> None:
    neuron = source.neuron
    if neuron.is_source and not neuron.on_chip:
        return  # what the host sends is seen at run time: `check_sent`
    if neuron.sends == "digits" or neuron.phased:
        _refuse(projection, f"{source.name!r} sends digits or works in phases, which are no spikes", _SPIKES)
    if neuron.messages[0] < 0:
        _refuse(projection, f"{source.name!r} sends negative messages, which no trace can tell from spikes", _SPIKES)
    if neuron.messages != (0, 1) and projection.rule.graded is None:
        remedy = f'{_SPIKES}, or say what payloads do to x1: graded="overwrite", "add" or "impulse"'
        _refuse(projection, f"{source.name!r} sends payloads up to {neuron.messages[1]:,}, not spikes", remedy)


def _check_target(projection: Any, target: Any) -> None:
    neuron = target.neuron
    if neuron.is_readout:
        remedy = "Use a rule without y0 whose y traces a population sets: delta or prototype"
        _refuse(projection, f"its rule waits for spikes of {target.name!r}, a readout that never fires", remedy)
    if neuron.sends == "digits" or neuron.phased or neuron.messages != (0, 1):
        _refuse(projection, f"its rule waits for spikes of {target.name!r}, which sends values", _SPIKES)


def _check_third(projection: Any, target: Any, trace: str, name: str, populations: Mapping[str, Any]) -> None:
    if name not in populations:
        _refuse(
            projection, f"its trace {trace} is set by {name!r}, which is no population", f"Use one of {', '.join(populations)}"
        )
    sender = populations[name]
    if sender.neuron.is_readout or sender.size not in (1, target.size):
        fact = f"its trace {trace} is set by {name!r}, {sender.size} neurons of {type(sender.neuron).__name__}"
        _refuse(projection, fact, f"Let a population of 1 or {target.size:,} neurons that send set it")


def check_epochs(projections: Iterable[Any], steps: int) -> None:
    """Refuse samples of so many steps that no epoch of a rule ever ends."""
    for projection in projections:
        if projection.rule is not None and projection.rule.epoch > steps:
            fact = f"its epoch of {projection.rule.epoch} steps never ends in samples of {steps}, so nothing would be learned"
            raise EngineError(
                f"projection {projection.name}", fact, "Run more timesteps, use a shorter epoch, or network.fixed()"
            )


def check_sent(projections: Iterable[Any], payloads: Mapping[str, tuple[int, int]]) -> None:
    """Refuse payloads, (least, largest) by source, that are sent into a projection whose rule knows spikes alone."""
    for projection in projections:
        if projection.rule is None or projection.source not in payloads:
            continue
        low, high = payloads[projection.source]
        if low < 0 or (high > 1 and projection.rule.graded is None):
            fact = f"messages of {low:,} to {high:,} lead into {projection.name}, whose rule knows spikes"
            remedy = 'Send 0 and 1, or say what payloads above 0 do to x1: graded="overwrite", "add" or "impulse"'
            raise InputError(f"inputs for {projection.source!r}", fact, remedy)


def _refuse(projection: Any, fact: str, remedy: str) -> NoReturn:
    raise NetworkError(f"projection {projection.name}", fact, remedy)
