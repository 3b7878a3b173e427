"""What is broken on a chip, as one value. Knows chips; effects are implemented in `neuro.chip.faults` and `neuro.chip.mesh`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from neuro.chip.chance import PACKETS, key_of
from neuro.chip.spec import Chip
from neuro.errors import ChipError
from neuro.numbers import real, settle, whole
from neuro.specification import INT32

StuckAt = Literal["zero", "least", "most"]
_RATES = ("dropped_packets", "stuck_weights", "weight_flips", "potential_flips")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is broken. The default is nothing.

    dead_cores, dead_links: cores and links by number (a link is tile * 4 + 0, 1, 2, 3 for east, west, south, north); a dead core
    computes and sends nothing, packets go around a dead link. dropped_packets: share of packets that never arrive.
    stuck_weights: share of stored weights that are stuck (`stuck_at`) at 0, or at the least or most of 0 and the projection's
    weights. weight_flips: chance of each stored bit of each weight to be wrong. potential_flips: chance of each bit of each
    membrane potential to flip in each step (MaxPool, Graded and UserNeuron have none). threshold_noise: standard deviation of
    each neuron's threshold, as a share of it. `seed` decides what is faulty.
    A kernel that several cores share is faulty where all of them load it from.
    """

    dead_cores: tuple[int, ...] = ()
    dead_links: tuple[int, ...] = ()
    dropped_packets: float = 0.0
    stuck_weights: float = 0.0
    stuck_at: StuckAt = "zero"
    weight_flips: float = 0.0
    potential_flips: float = 0.0
    threshold_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _RATES:
            object.__setattr__(self, name, real("faults", name, getattr(self, name), 0, 1, error=ChipError))
        noise = real("faults", "threshold_noise", self.threshold_noise, 0, error=ChipError)
        object.__setattr__(self, "threshold_noise", noise)
        if self.stuck_at not in get_args(StuckAt):
            raise ChipError("faults, stuck_at", f"{self.stuck_at!r} is not known", f"Use {', '.join(get_args(StuckAt))}")
        settle(self, ChipError, "faults", seed=(0, INT32.max))
        for name in ("dead_cores", "dead_links"):
            numbers = getattr(self, name)
            if not isinstance(numbers, Iterable) or isinstance(numbers, str):
                raise ChipError("faults", f"{name} = {numbers!r} is not a list of numbers", f"Write {name}=(3, 7), say")
            chosen = {whole("faults", f"one of {name}", n, 0, error=ChipError) for n in numbers}
            object.__setattr__(self, name, tuple(sorted(chosen)))

    def __bool__(self) -> bool:
        """Whether anything is broken."""
        return any(getattr(self, f.name) for f in fields(self) if f.name not in ("stuck_at", "seed"))

    def check(self, chip: Chip) -> None:
        """Refuse cores and links that the chip does not have."""
        mesh = chip.mesh
        for name, there in (("dead_cores", mesh.tiles * mesh.cores_per_tile), ("dead_links", mesh.link_numbers)):
            beyond = [n for n in getattr(self, name) if n >= there]
            if beyond:
                what = name.removeprefix("dead_")
                raise ChipError(
                    f"faults, {name}", f"{chip.name} has {there:,} {what}, none is number {beyond[0]}", "Count from 0"
                )

    @property
    def strikes(self) -> bool:
        """Whether something strikes while the network runs, wherever it is placed."""
        return bool(self.dropped_packets or self.potential_flips or self.threshold_noise)

    @property
    def loss_key(self) -> int:
        """Decides which packets are dropped."""
        return key_of(self.seed, PACKETS)


def some(things: Any, rate: float, seed: int) -> tuple[int, ...]:
    """A share of some numbers, at random, rounded to a whole number of them: the dead among cores in use, say.

    A larger share holds every smaller one that is drawn with the same seed.
    """
    if not 0 <= rate <= 1:
        raise ChipError("share of what is dead", f"{rate} is not a share", "Use 0 to 1")
    shuffled = np.random.default_rng(seed).permutation(np.asarray(things, np.int64))
    return tuple(sorted(int(n) for n in shuffled[: round(rate * len(shuffled))]))
