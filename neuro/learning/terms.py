"""The parts of a learning rule as data: factors, products, and how wide each of them is on the chip.

Knows nothing of text, networks or engines. Source: Lava, magma/core/learning (BSD-3); Davies et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuro.errors import NetworkError
from neuro.numbers import settle, settle_truths
from neuro.specification import Specification

PRE_TRACES, POST_TRACES = ("x1", "x2"), ("y1", "y2", "y3")
TRACES = (*PRE_TRACES, *POST_TRACES)
SPIKES = ("x0", "y0")
SYNAPTIC = ("w", "d", "t")  # weight, tag_2 (Loihi's delay bits), tag_1
TARGETS = tuple(f"d{name}" for name in SYNAPTIC)
CONSTANT = "c"
EPOCHS = tuple(f"u{k}" for k in range(10))  # u_k is 1 in every 2^k-th epoch
DEPENDENCIES = (*SPIKES, *EPOCHS)
WIDTH = {**dict.fromkeys(SPIKES, 1), **dict.fromkeys(TRACES, 7), **dict.fromkeys(SYNAPTIC, 9), CONSTANT: 8}
MANTISSA_BITS, ACCUMULATOR_BITS, PRODUCT_BITS = 4, 15, 31
MANTISSA, EXPONENT = (-8, 7), (-7, 8)
ADDED = (-256, 255)  # constants within a factor


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Factor(Specification):
    """`variable` + `constant`, clipped to the variable's width, or its sign; variable "c" is the constant alone."""

    variable: str
    constant: int = 0
    sign: bool = False

    def __post_init__(self) -> None:
        where = f"factor {self.variable!r}"
        if self.variable not in WIDTH:
            raise NetworkError(where, "there is no such variable", f"Use one of {', '.join(WIDTH)}")
        settle_truths(self, NetworkError, "sign")
        if self.sign and self.variable not in SYNAPTIC:
            raise NetworkError(f"factor sgn({self.variable})", "it has no sign of interest", f"Use sgn of {', '.join(SYNAPTIC)}")
        settle(self, NetworkError, f"factor {self}", constant=ADDED)

    @property
    def bits(self) -> int:
        """Width without the sign, 1 to 9: values are clipped to -2^bits .. 2^bits - 1."""
        return WIDTH[self.variable]

    def __str__(self) -> str:
        if self.variable == CONSTANT:
            return f"c({self.constant})"
        inside = f"{self.variable} {'-' if self.constant < 0 else '+'} {abs(self.constant)}" if self.constant else self.variable
        if self.sign:
            return f"sgn({inside})"
        return f"({inside})" if self.constant else inside


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Product(Specification):
    """mantissa * 2^exponent * dependency * factors. The dependency (x0, y0, u0 ... u9) says when it is added, and when its
    traces are read: at the time of the last spike before, of the last spike behind the synapse, or at the end of the epoch."""

    dependency: str
    factors: tuple[Factor, ...] = ()
    mantissa: int = 1
    exponent: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        where = f"product {self}"
        if self.dependency not in DEPENDENCIES:
            raise NetworkError(where, f"it depends on {self.dependency!r}", "Let it depend on x0, y0, or u0 to u9")
        if not all(isinstance(factor, Factor) for factor in self.factors):
            raise NetworkError(where, "a factor is no Factor", "Pass neuro.learning.Factor values")
        settle(self, NetworkError, where, mantissa=(None, None), exponent=(None, None))
        if not MANTISSA[0] <= self.mantissa <= MANTISSA[1]:
            fact = f"its factor {self.mantissa} does not fit the {MANTISSA_BITS} bits of a mantissa"
            raise NetworkError(where, fact, f"Use {MANTISSA[0]} to {MANTISSA[1]}, times a power of two")
        if not EXPONENT[0] <= self.exponent <= EXPONENT[1]:
            fact = f"its power of two, 2^{self.exponent}, is out of range"
            raise NetworkError(where, fact, f"Use 2^{EXPONENT[0]} to 2^{EXPONENT[1]}")
        self._check_width(where)

    def _check_width(self, where: str) -> None:
        bits = MANTISSA_BITS
        for factor in self.factors:
            bits += factor.bits
            if bits > PRODUCT_BITS:
                fact = f"with its factor {factor} of {factor.bits} bits it has {bits} bits, the chip multiplies in {PRODUCT_BITS}"
                raise NetworkError(where, fact, "Leave a factor out")

    @property
    def shift(self) -> int:
        """Bits by which the product is shifted right before the power of two acts, so that 15 are left."""
        return max(0, MANTISSA_BITS + sum(factor.bits for factor in self.factors) - ACCUMULATOR_BITS)

    @property
    def scale(self) -> float:
        """What the product of the factors adds to the variable, once: the written scale, times 2^-shift."""
        return float(self.mantissa) * 2.0 ** (self.exponent - self.shift)

    def __str__(self) -> str:
        parts = [self.dependency, *map(str, self.factors)]
        scale = [str(self.mantissa)] if abs(self.mantissa) != 1 else []
        scale += [f"2^{self.exponent}"] if self.exponent else []
        if self.mantissa == -1:
            return "-" + " * ".join([*scale, *parts])
        return " * ".join([*scale, *parts])


def text(products: tuple[Product, ...]) -> str:
    """A sum of products as a rule is written."""
    written = ""
    for product in products:
        one = str(product)
        joint = "" if not written else " - " if one.startswith("-") else " + "
        written += joint + (one[1:] if joint and one.startswith("-") else one)
    return written
