"""The codes in which a value becomes spikes, by name: what each asks of a chip, and how long its window may be.

The one table of them. Kept free of numpy, because the command line lists the codes; how a code turns a layer into
populations is in `converters/codes/`, one file a code, named like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Code = Literal["rate", "signed", "wait", "radix", "graded"]
LONGEST = 4096  # timesteps of a window
MOST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """The `program` that a chip's neurons run for a code, and what its messages need: a sign, bits of payload.

    most_timesteps: the longest window; of a code of digits the most digits, of one that sends a value at once 1.
    """

    program: str
    signed: bool = False
    payload_bits: int = 0
    most_timesteps: int = LONGEST


CODES: dict[str, CodeFacts] = {
    "rate": CodeFacts("if"),
    "signed": CodeFacts("signed", signed=True),
    "wait": CodeFacts("wait"),
    "radix": CodeFacts("radix", most_timesteps=MOST_DIGITS),
    "graded": CodeFacts("graded", payload_bits=8, most_timesteps=1),
}
