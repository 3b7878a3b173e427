"""LearningRule: how the synapses of a projection change, in the form that Loihi's learning engine takes.

Knows text and numbers; knows nothing of networks or engines. What an epoch computes: `neuro.learning.updating`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.learning.parsing import parse
from neuro.learning.terms import POST_TRACES, PRE_TRACES, SPIKES, SYNAPTIC, TARGETS, TRACES, Product, text
from neuro.numbers import real, settle
from neuro.specification import INT32, Specification, frozen_array

Sign = Literal["mixed", "excitatory", "inhibitory"]
Graded = Literal["impulse", "overwrite", "add"]
LARGEST_TRACE = 127
LOWEST = {"mixed": -256, "excitatory": 0, "inhibitory": -256}
HIGHEST = {"mixed": 255, "excitatory": 255, "inhibitory": 0}
LONGEST_EPOCH = 63
IMPULSE_STEPS = 128  # of an impulse's fraction: 7 bits
_CHANCES = 1 << 32


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace as engines need it: at a spike `impulse` is added, and 1 more with the chance `fraction` / 128; of `source`, if
    there is one, each message adds its payload instead. kept, chances (129,): what is left of each value after one more step,
    and 1 more with the chance / 2^32."""

    name: str
    impulse: int
    fraction: int
    source: str | None
    kept: NDArray[np.int64]
    chances: NDArray[np.int64]

    @property
    def exact(self) -> bool:
        """Whether nothing about it is drawn."""
        return not self.fraction and not self.chances.any()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearningRule(Specification):
    """Sums of products by which a synapse's weight w and its tags d and t change at the end of every `epoch` of 1 to 63 steps.

    dw, dd, dt: text such as "2^-2 * x1 * y0 - 2^-2 * y1 * x0", or a tuple of `neuro.learning.Product`. Each product depends on
    x0 (a message arrived in the epoch), y0 (the target neuron fired) or u_k (in every 2^k-th epoch); factors are traces,
    w, d, t, sgn(w), x0, y0, and those with a constant, (x1 - 3). Traces are read at the last arrival, at the last firing, or
    at the end of the epoch, as the product depends on x0, y0 or u_k.

    x1, x2 (of the source neuron), y1, y2, y3 (of the target neuron): (impulse, tau). A spike adds the impulse, 0 to 127; in
    each step a trace decays to exp(-1/tau) of itself, rounded up or down by chance; tau = None: never, 0: it lasts one step.
    y1, y2, y3 may be a third factor instead, (name of a population, tau): that population, of one neuron or of as many as the
    target, adds the payload of each message one step after it was sent; -128 to 127. A source lets the host send it.

    sign: which weights are allowed, "mixed" (-256 to 255), "excitatory" (0 to 255) or "inhibitory" (-256 to 0).
    graded: what a message with a payload does to x1: nothing of its own ("impulse"), "overwrite" it with half of the payload,
    or "add" half of it; None: such messages are refused. seed: of everything that is rounded by chance.

    Arithmetic: the chip's, as Lava restates it (BSD-3, magma/core/learning): traces of 7 bits, weights of 8 bits and sign,
    accumulators of 15 bits and sign, 4-bit mantissas. A product of many bits is shifted right to 15 before its power of two acts
    (`Product.scale`). Differs from Lava in: fractions of impulses are drawn from as many numbers as they have steps; weights end
    at -256, not at -257; a product with a larger width than 31 bits is refused.
    """

    dw: Any = ""
    dd: Any = ""
    dt: Any = ""
    epoch: int = 1
    x1: Any = None
    x2: Any = None
    y1: Any = None
    y2: Any = None
    y3: Any = None
    sign: Sign = "mixed"
    graded: Graded | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for target in TARGETS:
            written = text(_products(target, getattr(self, target)))
            object.__setattr__(self, target, text(_products(target, written)))
        if not any(getattr(self, target) for target in TARGETS):
            raise NetworkError("learning rule", "it changes nothing", 'Pass dw="2^-2 * x1 * y0 - 2^-2 * y1 * x0", say')
        settle(self, NetworkError, "learning rule", epoch=(1, LONGEST_EPOCH), seed=(0, INT32.max))
        for name, choices in (("sign", get_args(Sign)), ("graded", (None, *get_args(Graded)))):
            if getattr(self, name) not in choices:
                fact = f"{name} = {getattr(self, name)!r} is not known"
                raise NetworkError("learning rule", fact, f"Use one of {', '.join(map(repr, choices))}")
        for name in TRACES:
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else _settled_trace(name, given))
        for target in TARGETS:
            for product in self.products(target):
                self._check_traces(target, product)

    def _check_traces(self, target: str, product: Product) -> None:
        for factor in product.factors:
            if factor.variable in TRACES and getattr(self, factor.variable) is None:
                fact = f"{product} reads the trace {factor.variable}, which has no impulse"
                raise NetworkError(f"learning rule, {target}", fact, f"Pass {factor.variable}=(impulse, tau), say (16, 20)")

    def products(self, target: str) -> tuple[Product, ...]:
        """The rule of "dw", "dd" or "dt" as data."""
        return _products(target, getattr(self, target))

    @property
    def targets(self) -> tuple[str, ...]:
        """Which of w, d and t change."""
        return tuple(name for name in SYNAPTIC if getattr(self, f"d{name}"))

    @property
    def tags(self) -> tuple[str, ...]:
        """Which of d and t the rule changes or reads: each synapse stores them."""
        return tuple(name for name in ("d", "t") if name in self.targets or name in self._read)

    @property
    def traces(self) -> dict[str, Trace]:
        """The traces that its products read, by name."""
        return {name: _trace(name, *getattr(self, name)) for name in TRACES if name in self._read}

    @property
    def third_factors(self) -> dict[str, str]:
        """Populations that set traces, by the trace's name."""
        return {name: trace.source for name, trace in self.traces.items() if trace.source is not None}

    @property
    def waits_for_firing(self) -> bool:
        """Whether anything in it depends on the target's spikes."""
        return "y0" in self._read or any(t.source is None for name, t in self.traces.items() if name in POST_TRACES)

    @property
    def local(self) -> bool:
        """Whether only synapses change that a message reached in the epoch, or whose target fired."""
        return all(p.dependency in SPIKES for target in TARGETS for p in self.products(target))

    @property
    def exact(self) -> bool:
        """Whether nothing in it is drawn: no decay, whole impulses, and changes that need no rounding, unless they are so large
        that they are clipped."""
        whole = all(p.exponent >= 0 for target in TARGETS for p in self.products(target))
        return whole and all(trace.exact for trace in self.traces.values())

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest weight that it can lead to."""
        return LOWEST[self.sign], HIGHEST[self.sign]

    @property
    def _read(self) -> set[str]:
        products = [product for target in TARGETS for product in self.products(target)]
        return {p.dependency for p in products} | {factor.variable for p in products for factor in p.factors}


def _products(target: str, given: Any) -> tuple[Product, ...]:
    if isinstance(given, str):
        return parse(target, given) if given.strip() else ()
    if isinstance(given, tuple | list) and all(isinstance(part, Product) for part in given):
        return tuple(given)
    raise NetworkError(f"rule {target}", f"{given!r} is neither text nor products", 'Write "2^-2 * x1 * y0", say')


def _settled_trace(name: str, given: Any) -> tuple[float | str, float | None]:
    where = f"learning rule, {name}"
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise NetworkError(where, f"{name} = {given!r} is no pair", f"Pass {name}=(impulse, tau), say (16, 20)")
    impulse, tau = given
    if tau is not None:
        tau = real(where, "tau", tau, 0, error=NetworkError)
    if isinstance(impulse, str):
        if name in PRE_TRACES:
            raise NetworkError(where, f"{impulse!r} cannot set {name}", f"Let a population set one of {', '.join(POST_TRACES)}")
        return impulse, tau
    return real(where, "impulse", impulse, 0, LARGEST_TRACE, error=NetworkError), tau


@lru_cache(maxsize=1024)
def _trace(name: str, impulse: float | str, tau: float | None) -> Trace:
    factor = 1.0 if tau is None else math.exp(-1 / tau) if tau else 0.0
    left = np.arange(LARGEST_TRACE + 2) * factor
    kept = frozen_array(np.floor(left), np.int64)
    chances = frozen_array(np.floor((left - kept) * _CHANCES), np.int64)
    if isinstance(impulse, str):
        return Trace(name, 0, 0, impulse, kept, chances)
    steps = round(impulse * IMPULSE_STEPS)
    return Trace(name, steps // IMPULSE_STEPS, steps % IMPULSE_STEPS, None, kept, chances)
