"""The value neuron: gathers signed values on one or two ports, combines them, scales, looks up, and sends a value.

Activations, products, dot products, normalisation and softmax are networks of these (docs/values.md). Knows one neuron only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import BITS, POSITIVE, START, Integers, Neuron, State, Step
from neuro.neurons.integers import Array, saturate
from neuro.neurons.refreshing import renews, settle_refresh
from neuro.numbers import settle
from neuro.specification import INT32, IntArray, integer_or_array

Port = Literal["fresh", "held", "digits", "changes"]
Combine = Literal["charge", "product", "dot", "maximum"]
Lookup = Literal["direct", "reciprocal", "inverse root"]
Emit = Literal["value", "change", "digits"]
MOST_ENTRIES = 1 << 16  # of a table
_MULTIPLIER, _SHIFT = (-(1 << 30), 1 << 30), (0, 47)  # a potential of 31 bits times such a multiplier fits 64 bits


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Value(Neuron):
    """A neuron of values. Frames of `period` steps follow each other; of each it gathers in the first `gather` steps, and with
    the last of these it computes its value and begins to send it. In integers:

    1. gather: each of `ports` adds up what arrives there. "fresh": the charge of this step. "held": all since the frame began.
       "digits": the same doubled at each step, for binary digits, most significant first. "changes": all since the window began.
    2. combine: "charge", the one port; "product", a b >> product_shift of the two ports, in the last step; "dot", the sum of
       such products, one a step; "maximum", the largest of all ports and steps. The result, and each port, saturates at
       `potential_bits`; then `bias` joins, and it saturates again.
    3. scale: clip((x * multiplier + half) >> shift, lowest, highest); `half` is by default half of 2^shift, so it rounds.
    4. look up, where there is a `table`: "direct", table[x - lowest]. "reciprocal" and "inverse root": x is cut to 2^e m with
       1 <= m < 2, or 2^(2e) m with 1 <= m < 4 (x of 0 and less counts as 1); log2 of the table's length bits of m behind the
       leading one choose an entry, which is multiplied by 2^(point - e), rounded, and clipped to `value_bits`.
    5. emit: "value", one message; "change", what has changed since the messages so far, where it is at least `dead_zone`;
       "digits", `digits` binary digits of the magnitude with the sign, most significant first, one a step.

    `refresh`: every so many frames a port of "changes" begins at 0 (in frames f with f % refresh == refresh_at[port]), and
    emit="change" sends the value in full, however small the change (in those with f % refresh == refresh_sent).

    Values have `value_bits`: a sign among them if any is negative. multiplier, shift, half, lowest, highest, bias: integers, or
    arrays that broadcast to the population's shape. `lowest` and `highest` are by default those of `value_bits`, with a sign.
    Raises NetworkError for what contradicts itself. Source: Lava's ProdNeuron, NormVecDelay and sigma-delta (`change`). Differs
    from Lava's sigma-delta in: no bits of a change are dropped, so receivers know exactly what was sent.
    """

    program = "value"
    purpose = "products and tables of values"
    computes = True
    per_neuron = ("bias", "multiplier", "shift", "half", "lowest", "highest")
    shared = ("table",)
    ports: tuple[str, ...] = ("fresh",)
    combine: Combine = "charge"
    gather: int = 1
    product_shift: int = 0
    multiplier: Integers = 1
    shift: Integers = 0
    half: Integers | None = None
    lowest: Integers | None = None
    highest: Integers | None = None
    table: IntArray | None = None
    lookup: Lookup = "direct"
    point: int = 0
    emit: Emit = "value"
    dead_zone: int = 1
    digits: int = 0
    value_bits: int = 8
    period: int | None = None
    bias: Integers = 0
    start_step: int = 0
    potential_bits: int = 24
    refresh: int | None = None
    refresh_at: tuple[int, ...] = ()
    refresh_sent: int = 0

    def __post_init__(self) -> None:
        settle(self, NetworkError, gather=POSITIVE, start_step=START, potential_bits=BITS, dead_zone=POSITIVE)
        settle(self, NetworkError, value_bits=(4, 16), product_shift=(0, 62), point=(-64, 64))
        settle(self, NetworkError, digits=(1, 17) if self.emit == "digits" else (0, 0))
        self._settle_choices()
        self._settle_scaling()
        self._settle_table()
        object.__setattr__(self, "period", self.length if self.period is None else self.period)
        settle(self, NetworkError, period=(self.length, INT32.max))
        settle_refresh(self, len(self.ports))
        low, high = self.value_range
        if self.emit == "digits" and max(high, -low).bit_length() > self.digits:
            raise NetworkError("Value", f"values {low}..{high} in {self.digits} digits", "Use more digits, or narrower bounds")
        if self.dead_zone > 1 and self.emit != "change":
            raise NetworkError("Value", f"a dead zone of {self.dead_zone} with emit={self.emit!r}", 'Use emit="change"')

    def _settle_choices(self) -> None:
        for name, kind in (("combine", Combine), ("lookup", Lookup), ("emit", Emit)):
            if getattr(self, name) not in get_args(kind):
                raise NetworkError("Value", f"{name} {getattr(self, name)!r} is not known", f"Use {', '.join(get_args(kind))}")
        given: Any = self.ports
        if not isinstance(given, tuple | list):
            raise NetworkError("Value", f"ports {given!r} is not a tuple", 'Write ports=("fresh",), say')
        object.__setattr__(self, "ports", tuple(given))
        known = all(isinstance(port, str) and port in get_args(Port) for port in self.ports)
        if not known or not 1 <= len(self.ports) <= 2:
            raise NetworkError("Value", f"ports {self.ports!r}", f"Use one or two of {', '.join(get_args(Port))}")
        need = {"charge": (1,), "product": (2,), "dot": (2,), "maximum": (1, 2)}[self.combine]
        if len(self.ports) not in need:
            raise NetworkError("Value", f"combine={self.combine!r} of {len(self.ports)} ports", f"Use {need[-1]}")

    def _settle_scaling(self) -> None:
        least = -(1 << (self.value_bits - 1)) + 1
        for name, default in (("lowest", least), ("highest", -least), ("half", None), ("bias", 0)):
            value = default if getattr(self, name) is None else getattr(self, name)
            object.__setattr__(self, name, None if value is None else integer_or_array("Value", name, value))
        for name, (low, high) in {"multiplier": _MULTIPLIER, "shift": _SHIFT}.items():
            object.__setattr__(self, name, integer_or_array("Value", name, getattr(self, name)))
            if not _within(getattr(self, name), low, high):
                raise NetworkError("Value", f"{name} leaves {low}..{high}", "Split the scale otherwise: see fixed_ratio")
        if np.any(np.greater(self.lowest, self.highest)):  # type: ignore[arg-type]  # both have been settled
            raise NetworkError("Value", f"lowest {self.lowest} exceeds highest {self.highest}", "Swap them")

    def _settle_table(self) -> None:
        if self.table is None:
            if self.lookup != "direct":
                raise NetworkError("Value", f"lookup={self.lookup!r} without a table", "Pass table=")
        else:
            table = integer_or_array("Value", "table", self.table)
            object.__setattr__(self, "table", table)
            self._check_table(np.asarray(table))
        low, high = self.value_range
        bits = max(high, -low - 1 if low < 0 else 0).bit_length() + (low < 0)
        if bits > self.value_bits:
            fact = f"values {low}..{high} need {bits} bits, value_bits is {self.value_bits}"
            raise NetworkError("Value", fact, "Narrow lowest and highest or the table, or use more value_bits (at most 16)")

    def _check_table(self, table: IntArray) -> None:
        entries = table.size
        if table.ndim != 1 or not 1 <= entries <= MOST_ENTRIES:
            raise NetworkError("Value", f"a table of shape {table.shape}", f"Pass 1 to {MOST_ENTRIES:,} integers in one axis")
        if self.lookup == "direct":
            low, high = _int64(self.lowest), _int64(self.highest)
            if low.ndim or high.ndim or int(high) - int(low) + 1 != entries:
                fact = f"a table of {entries:,} entries for values {self.lowest}..{self.highest}"
                raise NetworkError("Value", fact, "Use one lowest and highest, and an entry for each value between them")
        elif entries & (entries - 1) or (entries < 2 and self.lookup == "inverse root"):
            raise NetworkError("Value", f"{self.lookup} with a table of {entries} entries", "Use a power of two, such as 256")
        elif np.abs(table.astype(np.int64)).max() > 1 << 24:
            raise NetworkError("Value", f"an entry of a {self.lookup} table exceeds 2^24", "Use a larger point instead")

    def takes_changes(self, port: int) -> bool:
        return self.ports[port] == "changes"

    @property
    def sends_changes(self) -> bool:
        return self.emit == "change"

    @property
    def port_count(self) -> int:  # type: ignore[override]  # a class variable of the others
        return len(self.ports)

    @property
    def length(self) -> int:
        """Steps from the first that it gathers in to the last that it sends in."""
        return self.gather + max(self.digits - 1, 0)

    @property
    def sums(self) -> bool:
        """Whether the combined value grows from step to step."""
        return self.combine in ("dot", "maximum")

    @property
    def restores(self) -> bool:
        """Whether the leading bit is taken out before the look-up and put back behind it."""
        return self.lookup != "direct"

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value that it can send."""
        if self.table is None:
            if type(self.lowest) is int and type(self.highest) is int:
                return self.lowest, self.highest
            return int(np.min(_int64(self.lowest))), int(np.max(_int64(self.highest)))
        if not self.restores:
            return int(self.table.min()), int(self.table.max())
        if self.table.min() < 0:
            return 1 - (1 << (self.value_bits - 1)), (1 << (self.value_bits - 1)) - 1
        return 0, (1 << self.value_bits) - 1

    @property
    def adds_up_to(self) -> tuple[int, int] | None:
        low, high = self.value_range
        return (min(low, 0), max(high, 0)) if self.emit == "change" else None

    @property
    def kernel_integers(self) -> tuple[Integers | None, ...]:
        return (self.bias, self.multiplier, self.shift, 0 if self.half is None else self.half, self.lowest, self.highest)

    @property
    def messages(self) -> tuple[int, int]:
        low, high = self.value_range
        if self.emit == "value":
            return min(low, 0), max(high, 0)
        if self.emit == "change":
            return min(low, 0) - max(high, 0), max(high, 0) - min(low, 0)
        return -1 if low < 0 else 0, 1

    @property
    def sends(self) -> Literal["counts", "digits", "payload"]:
        return "digits" if self.emit == "digits" else "payload"

    @property
    def variables(self) -> dict[str, Integers]:
        kept = [f"port{i}" for i, port in enumerate(self.ports) if port != "fresh"]
        sent = {"value": [], "change": ["known"], "digits": ["left"]}[self.emit]
        return dict.fromkeys(["v", *kept, *sent], 0)

    @property
    def state_words(self) -> int:
        """State variables, a bias where there is one, and the other parameters that differ from neuron to neuron."""
        own = sum(bool(np.ndim(getattr(self, name))) for name in self.per_neuron if name != "bias")
        return len(self.variables) + bool(np.any(self.bias)) + own

    @property
    def table_bits(self) -> int:
        """Entries in whole bytes, as many as the largest needs."""
        if self.table is None:
            return 0
        low, high = int(self.table.min()), int(self.table.max())
        return self.table.size * 8 * -(-(max(high, -low - 1).bit_length() + (low < 0)) // 8)

    @property
    def memoryless(self) -> bool:
        return self.gather == 1 and set(self.ports) == {"fresh"} and self.emit == "value" and self.period == 1

    def active_steps(self, timesteps: int) -> int:
        return timesteps + self.length - 1

    def most_messages(self, timesteps: int) -> int:
        return ((timesteps - 1) // (self.period or 1) + 1) * max(self.digits, 1)

    def counted_bias(self, timesteps: int) -> int:
        return 1

    def values(self, timesteps: int) -> None:
        return None

    def largest_value(self, timesteps: int) -> int:
        low, high = self.value_range
        return max(high, -low) * timesteps

    def most_combined(self, ports: list[int]) -> int:
        """The largest magnitude of what it combines of ports that hold at most so much each, before its bias joins."""
        if self.combine not in ("product", "dot"):
            return max(ports)
        product = -(-ports[0] * ports[1] // (1 << self.product_shift))  # rounded down, a negative one is the larger
        return product * (self.gather if self.combine == "dot" else 1)

    def products(self, elapsed: int) -> int:
        phase = elapsed % (self.period or 1)
        return int(self.combine == "dot" and phase < self.gather or self.combine == "product" and phase == self.gather - 1)

    def lookups(self, elapsed: int) -> int:
        return int(self.table is not None and elapsed % (self.period or 1) == self.gather - 1)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        charges, phase = (charge if len(self.ports) == 2 else (charge,)), elapsed % (self.period or 1)
        new, drive = dict(state), charges[0] | charges[-1]
        gathered = [self._gathered(i, charges[i], new, elapsed, xp) for i in range(len(self.ports))]
        message = xp.zeros_like(drive)
        if phase < self.gather:
            x = self._combined(gathered, state["v"], phase, xp)
            new["v"] = x if self.sums else state["v"]
            if phase == self.gather - 1:
                x = saturate(x + self.bias, self.potential_bits, xp)
                new["v"], drive = xp.zeros_like(x), drive | x
                message = self._value(x, xp)
        if self.emit == "change":
            message, new["known"] = self._changed(message, state["known"], elapsed, xp)
        elif self.emit == "digits":
            left = message if phase == self.gather - 1 else state["left"]
            place = self.digits - 1 - (phase - self.gather + 1)
            message = xp.sign(left) * (xp.abs(left) >> place) if 0 <= place < self.digits else xp.zeros_like(left)
            new["left"] = left - message * (1 << max(place, 0))
        return new, message, drive

    def _changed(self, value: Array, known: Array, elapsed: int, xp: Any) -> tuple[Array, Array]:
        """What is sent of a value, and what receivers know then."""
        if elapsed % (self.period or 1) != self.gather - 1:
            return xp.zeros_like(value), known
        if renews(self, elapsed, self.refresh_sent):
            return value, value
        change = value - known
        change = xp.where(xp.abs(change) >= self.dead_zone, change, 0)
        return change, known + change

    def _gathered(self, i: int, charge: Array, new: State, elapsed: int, xp: Any) -> Array:
        """What a port holds after this step; its state is renewed."""
        mode, name, phase = self.ports[i], f"port{i}", elapsed % (self.period or 1)
        if mode == "fresh":
            return saturate(charge, self.potential_bits, xp)
        if mode == "changes" or phase < self.gather:
            goes_on = phase > 0 or (mode == "changes" and not renews(self, elapsed, self.refresh_at[i]))
            before = new[name] * goes_on * (2 if mode == "digits" else 1)
            new[name] = saturate(before + charge, self.potential_bits, xp)
        return new[name]

    def _combined(self, ports: list[Array], v: Array, phase: int, xp: Any) -> Array:
        if self.combine == "charge":
            return ports[0]
        if self.combine == "maximum":
            largest = xp.maximum(ports[0], ports[-1])
            return xp.maximum(v, largest) if phase else largest
        product = (ports[0] * ports[1]) >> self.product_shift
        before = v * (self.combine == "dot" and phase > 0)
        return saturate(before + product, self.potential_bits, xp)

    def _value(self, x: Array, xp: Any) -> Array:
        """The value for a combined x: scaled, clipped, looked up."""
        half = ((x * 0 + 1) << self.shift) >> 1 if self.half is None else self.half
        scaled = (x * self.multiplier + half) >> self.shift
        scaled = xp.where(scaled < self.lowest, self.lowest, xp.where(scaled > self.highest, self.highest, scaled))
        if self.table is None:
            return scaled
        if not self.restores:
            return xp.asarray(self.table)[scaled - self.lowest] + 0 * x
        return self._restored(xp.clip(scaled, 1, None), xp)

    def _restored(self, x: Array, xp: Any) -> Array:
        """An entry for the bits behind the leading one, moved back by its place."""
        if xp is np:
            leading = np.minimum(np.frexp(x)[1].astype(np.int64) - 1, 30)
        else:
            leading = sum((x >= 1 << place) * 1 for place in range(1, 31))
        bits = len(self.table).bit_length() - 1  # type: ignore[arg-type]  # it has one
        if self.lookup == "reciprocal":
            index, place = ((x << bits) >> leading) - (1 << bits), leading
        else:
            place, kept = leading >> 1, bits - 1
            index = (((x << kept) >> leading) - (1 << kept)) + ((leading & 1) << kept)
        entry, by = xp.asarray(self.table)[index] + 0 * x, self.point - place
        down = xp.clip(-by, 0, 40)
        moved = xp.where(by >= 0, entry << xp.clip(by, 0, 24), (entry + ((x * 0 + 1) << down >> 1)) >> down)
        low, high = self.value_range
        return xp.clip(moved, low, high)


def _within(value: Integers, low: int, high: int) -> bool:
    return bool(low <= value <= high if isinstance(value, int) else low <= value.min() and value.max() <= high)


def _int64(value: Any) -> Any:
    return np.asarray(value, np.int64)
