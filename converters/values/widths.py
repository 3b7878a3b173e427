"""How many bits weights, potentials and values have, and how much of a potential the calibrated range may take. Knows numbers
only."""

from __future__ import annotations

from dataclasses import dataclass

MARGIN = 4.0  # how far beyond the calibrated range a sum may go before it saturates: over several steps, or that nothing clips
_CLIPPED_MARGIN = 1.25  # the same for a charge of one step whose value is clipped to that range behind


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of weights, of potentials, and of values that need no more than others; whether to widen those that need more;
    framed: of a network with frames, where a charge that saturates may be a sum of changes, and would lose them for good;
    headroom: how far beyond the calibrated range such a charge may go where its value is clipped behind; paired: weights are two
    synapses each where one would cost the outputs much; spare_bits: whether values beyond the calibrated range may have bits."""

    weight_bits: int = 8
    potential_bits: int = 24
    value_bits: int = 8
    widen: bool = True
    framed: bool = False
    headroom: float = MARGIN
    paired: bool = False
    spare_bits: bool = True

    @property
    def limit(self) -> int:
        """Largest absolute weight."""
        return int((1 << (self.weight_bits - 1)) - 1)

    @property
    def largest(self) -> float:
        """Largest charge that a potential holds."""
        return float((1 << (self.potential_bits - 1)) - 1)

    def limit_of(self, bits: int) -> int:
        """Largest absolute weight of so many bits in two synapses; of 0 bits in one."""
        return int((1 << (bits - 1)) - 1) if bits else self.limit

    def room(self, clipped: bool = False, beyond: int = 0) -> float:
        """Largest charge, in integers, that the calibrated range may reach; clipped: in one step, and is clipped behind. beyond:
        bits of headroom, of values beyond that range."""
        margin = MARGIN if not clipped else self.headroom if self.framed else _CLIPPED_MARGIN
        return self.largest / max(margin, _CLIPPED_MARGIN * 2.0**beyond)
