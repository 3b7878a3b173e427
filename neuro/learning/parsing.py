"""The text of a learning rule -> products: a small grammar, no `eval`. A mistake is reported with its place in the text.

sum      [+|-] product { (+|-) product }
product  item { * item }
item     number | 2^k | x0 | y0 | u0 ... u9 | x1 | x2 | y1 | y2 | y3 | w | d | t | sgn(factor) | (factor)
factor   [-] item, or a variable + or - a whole number, in either order
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NoReturn

from neuro.errors import NetworkError
from neuro.learning.terms import ADDED, CONSTANT, DEPENDENCIES, EXPONENT, MANTISSA, SYNAPTIC, WIDTH, Factor, Product

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*^()]))")
_VARIABLES = tuple(name for name in WIDTH if name != CONSTANT)
_ALLOWED = "Use sums of products of numbers, 2^k, x0, y0, u0 to u9, x1, x2, y1, y2, y3, w, d, t, sgn(w) and (x1 - 3), say"
MOST_CHARACTERS, MOST_POWER = 4_000, 64


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # number, name, sign or end
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class _Term:
    """Of a bracket: value * 2^power, or plus or minus a variable."""

    at: int
    value: Fraction
    power: int
    name: str = ""


@dataclass(slots=True)
class _Parts:
    """What has been read of a product."""

    mantissa: Fraction = Fraction(1)
    exponent: int = 0
    dependency: str = ""
    factors: list[Factor] = field(default_factory=list)


@lru_cache(maxsize=1024)
def parse(target: str, written: str) -> tuple[Product, ...]:
    """The products of the text of `target` ("dw", "dd" or "dt"). NetworkError names the place of a mistake."""
    if len(written) > MOST_CHARACTERS:
        raise NetworkError(f"rule {target}", f"it has {len(written):,} characters", f"Use at most {MOST_CHARACTERS:,}")
    return _Parser(target, written).sum()


class _Parser:
    def __init__(self, target: str, written: str) -> None:
        self.target, self.written = target, written
        self.tokens, self.next = self._tokens(), 0

    def fail(self, at: int, fact: str, remedy: str = _ALLOWED) -> NoReturn:
        place = f"character {at + 1}" if at < len(self.written.rstrip()) else "the end"
        raise NetworkError(f"rule {self.target} = {self.written!r}, at {place}", fact, remedy)

    def _tokens(self) -> list[Token]:
        found, at = [], 0
        while at < len(self.written.rstrip()):
            match = _TOKEN.match(self.written, at)
            if match is None:
                at += len(self.written[at:]) - len(self.written[at:].lstrip())
                self.fail(at, f"{self.written[at]!r} has no meaning")
            kind = str(match.lastgroup)
            found.append(Token(kind, match[kind], match.start(kind)))
            at = match.end()
        return [*found, Token("end", "", len(self.written))]

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def take(self, text: str) -> bool:
        """Step over the token if it reads so."""
        found = self.token.text == text and self.token.kind != "end"
        self.next += found
        return found

    def expect(self, text: str) -> None:
        if not self.take(text):
            self.fail(self.token.at, f"{self._shown()} where {text!r} should be")

    def _shown(self) -> str:
        return repr(self.token.text) if self.token.kind != "end" else "nothing"

    def sum(self) -> tuple[Product, ...]:
        products, sign = [], -1 if self.take("-") else 1
        if sign > 0:
            self.take("+")
        while True:
            products.append(self.product(sign))
            if self.token.kind == "end":
                return tuple(products)
            if self.token.text not in ("+", "-"):
                self.fail(self.token.at, f"{self._shown()} where '*', '+' or '-' should be")
            sign = -1 if self.token.text == "-" else 1
            self.next += 1

    def product(self, sign: int) -> Product:
        begin, parts = self.token.at, _Parts(Fraction(sign))
        self.item(parts)
        while self.take("*"):
            self.item(parts)
        if not parts.dependency:
            self.fail(begin, "a product depends on no spike and no epoch", "Multiply it by x0, y0, or u0 to u9")
        mantissa, exponent = self.scale(begin, parts)
        try:
            return Product(parts.dependency, tuple(parts.factors), mantissa, exponent)
        except NetworkError as error:
            self.fail(begin, f"{error.where}: {error.fact}", error.remedy)

    def scale(self, begin: int, parts: _Parts) -> tuple[int, int]:
        """Mantissa and exponent: even mantissas are halved while they do not fit, as Lava does."""
        value, exponent = parts.mantissa, parts.exponent
        exponent -= value.denominator.bit_length() - 1
        mantissa = value.numerator
        while not MANTISSA[0] <= mantissa <= MANTISSA[1] and mantissa % 2 == 0:
            mantissa, exponent = mantissa // 2, exponent + 1
        if mantissa == 0:
            return 0, 0
        if not MANTISSA[0] <= mantissa <= MANTISSA[1]:
            remedy = f"Use {MANTISSA[0]} to {MANTISSA[1]}, times a power of two from 2^{EXPONENT[0]} to 2^{EXPONENT[1]}"
            self.fail(begin, f"the scale {mantissa} of a product does not fit 4 bits", remedy)
        return mantissa, exponent

    def item(self, parts: _Parts) -> None:
        token = self.token
        if token.kind == "number":
            value, power = self.literal()
            parts.mantissa, parts.exponent = parts.mantissa * value, parts.exponent + power
        elif self.take("("):
            self.bracket(parts, sign=False)
        elif token.kind == "name":
            self.next += 1
            self.variable(parts, token)
        else:
            self.fail(token.at, f"{self._shown()} where a factor should be")

    def variable(self, parts: _Parts, token: Token) -> None:
        name = token.text
        if name == "sgn":
            self.expect("(")
            self.bracket(parts, sign=True)
        elif name == CONSTANT:
            self.expect("(")
            number = self.term(-1 if self.take("-") else 1, sign=False)
            if number.name:
                self.fail(number.at, f"{number.name} is no number", "Write c(100), say")
            self.expect(")")
            self.factor(parts, _Term(token.at, Fraction(1), 0, CONSTANT), [number], sign=False)
        elif name in DEPENDENCIES and not parts.dependency:
            parts.dependency = name
        elif name in _VARIABLES:
            parts.factors.append(Factor(name))
        elif name in DEPENDENCIES:
            self.fail(token.at, f"the product depends on {parts.dependency} already", "Let it depend on one of x0, y0, u0 to u9")
        else:
            self.fail(token.at, f"there is no variable {name!r}")

    def literal(self) -> tuple[Fraction, int]:
        """A number as a mantissa and a power of two."""
        token = self.token
        self.next += 1
        value = Fraction(token.text)
        if value.denominator & (value.denominator - 1):
            self.fail(token.at, f"{token.text} is no whole number of a power of two", "Use 0.25 or 3 * 2^-4, say")
        if not self.take("^"):
            return value, 0
        if value != 2:
            self.fail(token.at, f"{token.text} is raised to a power", "Raise 2 only: 2^-3")
        negative, power = self.take("-"), self.token
        if power.kind != "number" or "." in power.text:
            self.fail(power.at, f"{self._shown()} where the power of two should be", "Write 2^-3, say")
        self.next += 1
        if int(power.text) > MOST_POWER:
            self.fail(power.at, f"2^{power.text} is out of range", f"Use 2^{EXPONENT[0]} to 2^{EXPONENT[1]}")
        return Fraction(1), -int(power.text) if negative else int(power.text)

    def bracket(self, parts: _Parts, *, sign: bool) -> None:
        """The rest of "(...)" or "sgn(...)": a number, a variable, or the two added."""
        terms = [self.term(-1 if self.take("-") else 1, sign)]
        if self.token.text in ("+", "-"):
            plus = self.take("+")
            terms.append(self.term(1 if plus or not self.take("-") else -1, sign))
        self.expect(")")
        numbers, names = [t for t in terms if not t.name], [t for t in terms if t.name]
        if len(numbers) == 1 and not names and not sign:
            parts.mantissa, parts.exponent = parts.mantissa * numbers[0].value, parts.exponent + numbers[0].power
        elif len(names) == 1:
            self.factor(parts, names[0], numbers, sign)
        else:
            self.fail(terms[0].at, "a bracket holds no variable, or two", "Write (x1 - 3), say")

    def factor(self, parts: _Parts, name: _Term, numbers: list[_Term], sign: bool) -> None:
        """A variable of a bracket, plus the number where there is one; -x1 + 3 is -(x1 - 3)."""
        constant = sum((number.value * Fraction(2) ** number.power for number in numbers), Fraction(0))
        if constant.denominator != 1 or not ADDED[0] <= constant <= ADDED[1]:
            fact = f"the constant {float(constant):g} added to {name.name} is out of range"
            self.fail(numbers[0].at, fact, f"Use whole numbers of {ADDED[0]} to {ADDED[1]}")
        if sign and name.value < 0:
            self.fail(name.at, f"{name.name} is negative within sgn()", f"Write -sgn({name.name}), say")
        parts.mantissa *= name.value
        parts.factors.append(Factor(name.name, int(constant * name.value), sign))

    def term(self, plus: int, sign: bool) -> _Term:
        token = self.token
        if token.kind == "number":
            value, power = self.literal()
            return _Term(token.at, plus * value, power)
        known = SYNAPTIC if sign else _VARIABLES
        if token.kind != "name" or token.text not in known:
            self.fail(token.at, f"{self._shown()} where a number or one of {', '.join(known)} should be")
        self.next += 1
        return _Term(token.at, Fraction(plus), 0, token.text)
