"""How measurements name devices and batches: "4x A100-PCIe MaxQ", "offline b2048". Knows text, and no machine's figures.

A number that is not understood is refused: read as no number at all, it would make a system of many cards one card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from neuro.errors import MachineError

_WORDS = {"single": 1, "dual": 2, "twin": 2, "quad": 4, "octo": 8}
_COUNTS = (  # how text says how many, each with the number in its only group
    r"(?<![\w.-])(\d+)\s*[x×](?![\w])",
    r"(?<!\w)[x×]\s*(\d+)(?![\w])",
    r"(?<![\w.-])(\d+)s(?!\w)",
    r"(?<![\w.-])(\d+)[\s-]*(?:chip|card|gpu|tpu|npu|socket|device|board|accelerator|module)s?(?!\w)",
    rf"(?<!\w)({'|'.join(_WORDS)})(?!\w)",
)
_UNITS = r"(?<![\w.])\d+(?:\.\d+)?\s*(?:[gmt]i?b|g|w|m?v|[mg]hz|nm|cores?|threads?|/s)(?!\w)(?:\s+each)?"
_CAPPED = re.compile(r"(?<!\w)max[- ]?q(?!\w)")


def place_of(device: str, alias: str) -> tuple[int, int] | None:
    """Where a device's name holds a machine's name, words alike and in a row; None where it does not."""
    words, wanted = _words(device), [word for word, _, _ in _words(alias)]
    for i in range(len(words) - len(wanted) + 1):
        if [word for word, _, _ in words[i : i + len(wanted)]] == wanted:
            return words[i][1], words[i + len(wanted) - 1][2]
    return None


def weight_of(alias: str) -> int:
    """Letters and digits of a machine's name: the longest name that fits is the most precise one."""
    return sum(len(word) for word, _, _ in _words(alias))


def is_capped(device: str) -> bool:
    """Whether a name says that power is held below the default."""
    return bool(_CAPPED.search(device.lower()))


def count_of(device: str, place: tuple[int, int]) -> int:
    """How many machines a device's name speaks of, given where it holds the machine's name.

    One where it says no number. A MachineError where it says several, none that is above 0, or one that is not understood.
    """
    where, remedy = f"device {device!r}", 'Write the count in front, as in "4x NAME", or behind, as in "NAME (4 chips)"'
    name, rest = device[place[0] : place[1]].lower(), f"{device[: place[0]]} | {device[place[1] :]}".lower()
    found: list[int] = []
    for pattern in _COUNTS:
        found += [_WORDS.get(text) or int(text) for text in re.findall(pattern, rest)]
        rest = re.sub(pattern, " ", rest)
    if len(found) > 1 or 0 in found:
        raise MachineError(where, f"it counts {' and '.join(map(str, found))}", remedy)
    unread = re.findall(r"(?<![\w.])\d+(?![\w.])|(?<!\w)[x×](?!\w)", re.sub(_UNITS, " ", rest))
    if unread:
        raise MachineError(where, f"{unread[0]!r} may be a count, which is not understood", remedy)
    if re.fullmatch(r"tpu v\d+-\d+", name) and not re.search(r"\d+ chips", device.lower()):
        raise MachineError(where, "it names a slice of several chips and not how many", remedy)
    return found[0] if found else 1


def batch_of(where: str, text: str) -> int | None:
    """The batch that a scenario names ("b8", "batch 8"), None where it names none; refuses other numbers."""
    pattern = r"(?<!\w)(?:b|bs|batch|batch[ -]?size)[\s=:_-]*(\d+)(?!\w)"
    found, remedy = [int(n) for n in re.findall(pattern, text)], "Write one batch of 1 or more, as in 'offline b8'"
    if len(found) > 1 or 0 in found:
        raise MachineError(where, f"{text!r} names the batches {found}", remedy)
    rest = re.sub(pattern, " ", text)
    if re.search(r"\d|batch", rest):
        raise MachineError(where, f"{text!r} holds a number that is not understood", remedy)
    return found[0] if found else None


def _words(text: str) -> list[tuple[str, int, int]]:
    """Words of letters and digits in lower case, with their places; a point within a number is no end of a word."""
    return [
        (m[0].lower().replace(".", ""), m.start(), m.end()) for m in re.finditer(r"[A-Za-z0-9+](?:[A-Za-z0-9+]|\.(?=\w))*", text)
    ]


def plain(text: str) -> str:
    """A name as its letters and digits in lower case: what two spellings of it have in common."""
    return "".join(_letters(text))


def _letters(text: str) -> Iterable[str]:
    return re.findall(r"[a-z0-9+]+", text.lower())
