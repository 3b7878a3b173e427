"""Names of layers: free ones, `conv`, then `conv_1`, `conv_2`; those of outputs, which other layers give up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from neuro.graph import Layer


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


def given_up(layers: Iterable[Layer], names: Collection[str], free: Callable[[str], str]) -> tuple[list[Layer], dict[str, str]]:
    """The layers with other names where they have some of `names` and are no inputs, and those names by the old ones."""
    layers = list(layers)
    new = {layer.name: free(f"{layer.name}.value") for layer in layers if layer.name in names and layer.op != "input"}
    made = [
        replace(layer, name=new.get(layer.name, layer.name), inputs=tuple(new.get(name, name) for name in layer.inputs))
        for layer in layers
    ]
    return made, new
