"""Free names for layers: `conv`, then `conv_1`, `conv_2`. Knows nothing of what bears them."""

from __future__ import annotations


class Names:
    """Gives every layer a name of its own, in constant time however often a name is asked for."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """`wanted` itself if nothing bears it, else with the smallest number behind it that makes it free; taken from then on."""
        name, number = wanted, self._next.get(wanted, 1)
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._next[wanted] = number
        self._taken.add(name)
        return name
