"""What an optimisation is asked for and how it goes about it: goals, settings, the rounds that follow. Measures nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuro.codes import CODES, LONGEST
from neuro.errors import FormatError, UsageError, one_of
from neuro.numbers import real, settle, whole

SCORES = ("fisher", "movement", "magnitude")
PATTERNS = ("", "2:4", "1:4", "4:8")
PLAN = "plan.json"
FORMAT = 1
MOST_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class OptimiseGoal:
    """What is looked for: as little dynamic energy as possible with no more than `accuracy_loss` (a share) lost.

    energy: how many times less dynamic energy each round aims at, rising;
    1: training alone. cores, chips, latency_ns: what a
    point may need at most to count as one that meets the goal; None: as much as it takes.
    """

    accuracy_loss: float = 0.01
    energy: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 4.0)
    cores: int | None = None
    chips: int | None = None
    latency_ns: float | None = None

    def __post_init__(self) -> None:
        real("goal", "accuracy_loss", self.accuracy_loss, 0, error=UsageError)
        times = tuple(real("goal", "energy", value, 1, error=UsageError) for value in self.energy)
        if not times or list(times) != sorted(set(times)) or len(times) > MOST_ROUNDS:
            raise UsageError(
                "goal, energy", f"{self.energy} does not rise", "Give times of 1 or more in rising order: (1.5, 2, 3)"
            )
        object.__setattr__(self, "energy", times)
        for name in ("cores", "chips"):
            if getattr(self, name) is not None:
                whole("goal", name, getattr(self, name), 1, error=UsageError)
        if self.latency_ns is not None:
            real("goal", "latency_ns", self.latency_ns, above=0, error=UsageError)


@dataclass(frozen=True, slots=True)
class OptimiseSettings:
    """How rounds make the network cheaper.

    code, timesteps: how values are written while the network is trained; codes: further ones ("radix:6", a code and its T) in
    which each round's network is measured as well, as points of their own. value_bits: digits of a value on average in radix,
    fewer in layers where rounding costs the answers less (0: as many as there are everywhere). channels: the share of each
    round's saving that is taken by removing channels, those with the least `score` for the energy that they save; messages that
    the activity penalty keeps from being sent save the rest. sparsity: share of the weights of each layer that is removed by the
    last round, step by step; pattern "2:4": of four weights in a row along the inputs two at most stay. weight_bits: of weights;
    average_bits: of a weight on average, with more where rounding costs the answers more (0: weight_bits everywhere); widths:
    layers and the share of their channels that the first round leaves; depth: residual blocks that it removes; kernels:
    convolutions and the size to which it cuts their kernels; steps: of training in each round, `batch` samples each; rate: of
    learning; decay: of weights, relative to the rate, for trainings of many steps. labels, answers, features: weights of the
    labels, of the float network's answers, and of its features in training.
    norms: whether batch norms stand behind the layers while they are trained. float_steps: of training of the float network
    itself, by its labels, before the first round: rounds then begin with it and learn its answers. seed: of the order of samples.
    """

    code: str = "graded"
    timesteps: int = 16
    codes: tuple[str, ...] = ()
    value_bits: float = 0.0
    score: str = "fisher"
    channels: float = 0.5
    sparsity: float = 0.0
    pattern: str = ""
    weight_bits: int = 8
    average_bits: float = 0.0
    widths: tuple[tuple[str, float], ...] = ()
    depth: int = 0
    kernels: tuple[tuple[str, int], ...] = ()
    steps: int = 300
    batch: int = 64
    rate: float = 5e-3
    decay: float = 0.0
    labels: float = 0.5
    answers: float = 1.0
    features: float = 0.3
    norms: bool = False
    float_steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("code", tuple(CODES)), ("score", SCORES), ("pattern", PATTERNS)):
            value = getattr(self, name)
            if value not in known:
                raise UsageError(name, f"{value!r} is not known", one_of(str(value), known))
        limits = {
            "timesteps": (1, LONGEST),
            "weight_bits": (2, 8),
            "steps": (0, 10_000_000),
            "float_steps": (0, 10_000_000),
            "depth": (0, 10_000),
            "batch": (1, 65_536),
        }
        settle(self, UsageError, "optimise", seed=(0, None), **limits)
        object.__setattr__(self, "timesteps", min(self.timesteps, CODES[self.code].most_timesteps))
        for name in ("channels", "sparsity"):
            share = real("optimise", name, getattr(self, name), 0, error=UsageError)
            if share > (1 if name == "channels" else 0.99):
                raise UsageError(f"optimise, {name}", f"{share} is no share that can be taken", "Use a number from 0 to 0.99")
        widths = tuple(
            (str(name), real("optimise", f"width of {name!r}", share, 0, 1, error=UsageError)) for name, share in self.widths
        )
        object.__setattr__(self, "widths", widths)
        kernels = tuple((str(n), whole("optimise", f"kernel of {n!r}", k, 1, error=UsageError)) for n, k in self.kernels)
        object.__setattr__(self, "kernels", kernels)
        if self.sparsity and self.pattern:
            raise UsageError("optimise, sparsity", "a pattern removes its own share of weights", "Give one of them")
        if self.average_bits and not 2 <= real("optimise", "average_bits", self.average_bits, 0, error=UsageError) <= 8:
            raise UsageError("optimise, average_bits", f"{self.average_bits} is out of reach", "Use 2 to 8, or 0 for weight_bits")
        self._check_codes()
        if self.norms and self.batch < 2:
            raise UsageError("optimise, norms", "a batch of one sample has no variance", "Use batch=2 or more, or norms=False")
        for name in ("rate", "decay", "labels", "answers", "features"):
            real("optimise", name, getattr(self, name), 0, error=UsageError)

    def _check_codes(self) -> None:
        mine = f"{self.code}:{self.timesteps}"
        codes = tuple(f"{name}:{steps}" for name, steps in map(code_and_window, self.codes))
        if len(set(codes)) < len(codes) or mine in codes:
            raise UsageError("optimise, codes", f"one of {', '.join((mine, *codes))} is there twice", "Name each once")
        object.__setattr__(self, "codes", codes)
        if not real("optimise", "value_bits", self.value_bits, 0, error=UsageError):
            return
        if self.code != "radix":
            fact = f"code={self.code!r} sends as many messages of a value whatever its bits, and none is cheaper for fewer bits"
            raise UsageError(
                "optimise, value_bits", fact, "Use code='radix', where each digit of one is a message, or leave it out"
            )
        if not 1 <= self.value_bits <= self.timesteps:
            fact = f"{self.value_bits} is out of reach of {self.timesteps} digits"
            raise UsageError("optimise, value_bits", fact, f"Use 1 to {self.timesteps}, or 0 for all of them")


def code_and_window(text: str) -> tuple[str, int]:
    """The code and the window T that "radix:6" names; a code that sends a value at once needs no T."""
    name, _, steps = str(text).partition(":")
    if name not in CODES:
        fact = f"{name!r} is no code of a whole network; one network has one code and one T, layers cannot differ"
        raise UsageError("codes", fact, one_of(name, tuple(CODES)))
    most = CODES[name].most_timesteps
    if not steps.isdigit() and not (most == 1 and not steps):
        raise UsageError("codes", f"{text!r} has no T", f"Write it as {name}:{min(8, most)}")
    return name, whole("codes", f"T of {name!r}", int(steps or 1), 1, most, error=UsageError)


@dataclass(frozen=True, slots=True)
class OptimisePlan:
    """All that a result depends on besides the network and its data: equal plans give equal fronts."""

    goal: OptimiseGoal = OptimiseGoal()
    settings: OptimiseSettings = OptimiseSettings()

    def to_json(self) -> str:
        """The plan as text; equal plans give equal texts."""
        return json.dumps({"format": FORMAT, "goal": asdict(self.goal), "settings": asdict(self.settings)}, indent=2) + "\n"

    @staticmethod
    def read(path: Path) -> OptimisePlan:
        """The plan that an optimisation's folder holds."""
        try:
            held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
            goal = {**held["goal"], "energy": tuple(held["goal"]["energy"])}
            named = {what: tuple(map(tuple, held["settings"].get(what, ()))) for what in ("widths", "kernels")}
            named["codes"] = tuple(held["settings"].get("codes", ()))
            return OptimisePlan(OptimiseGoal(**goal), OptimiseSettings(**{**held["settings"], **named}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            fact = f"it is no plan of an optimisation ({type(error).__name__})"
            raise FormatError(str(path), fact, "Begin again in another folder") from None
