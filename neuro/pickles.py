"""Pickles as torch writes them, read as a plain language: numbers, text, lists and tables become themselves, nothing is called.

A tensor becomes the description of where its values lie, any other object the name of its class. Knows nothing of files.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MOST_STEPS = 2_000_000  # of one pickle; a network of 10,000 tensors takes 600,000
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ORDERED = "collections.OrderedDict"
_TENSOR, _PARAMETER, _SIZE = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size"


@dataclass(frozen=True, slots=True)
class Named:
    """A function or class that the pickle names; it is not looked up."""

    name: str


@dataclass(frozen=True, slots=True)
class PickledObject:
    """An object of which only the name of its class, or of what makes it, is kept."""

    name: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of `count` values that lies outside the pickle under a key; `kind` is torch's name of its type."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Strided:
    """A tensor: the values of a stored row from `offset` on, in steps of `stride` along each axis of `size`."""

    row: Stored
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def parse_pickle(file: BinaryIO, rows: dict[str, Stored] | None = None) -> Any:
    """The value of the pickle that begins here; the file is left where it ends. `rows` takes every row that it names.

    Raises ValueError (also EOFError, IndexError, KeyError, TypeError) for what torch would not have written.
    """
    reader = _Reader(rows={} if rows is None else rows)
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step > MOST_STEPS:
            raise ValueError(f"its pickle has more than {MOST_STEPS:,} steps")
        if opcode.name == "STOP":
            return reader.stack.pop()
        reader.take(opcode.name, argument)
    raise ValueError("its pickle has no end")


@dataclass(slots=True)
class _Reader:
    """The stack, what lies below each mark, and the values to be used again."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    rows: dict[str, Stored] = field(default_factory=dict)

    def take(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise ValueError(f"its pickle has a step {name}, which torch does not write")

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def popped(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("its pickle takes more values than it made")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def set_items(self, values: list[Any]) -> None:
        table = self.stack[-1]
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(table, dict) and isinstance(key, str | int):  # other keys are nobody's weights
                table[key] = value

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def make(self, how: Any, given: Any) -> None:
        self.stack.append(_made(how, given))


def _made(how: Any, given: Any) -> Any:
    """What a call stands for; it is not made."""
    name = how.name if isinstance(how, Named | PickledObject) else type(how).__name__
    if name == _ORDERED and given == ():
        return {}
    if name == _PARAMETER:
        return given[0]
    if name == _SIZE:
        return given[0]
    if name == _TENSOR:
        row, offset, size, stride, *rest = given
        whole = all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
        if not isinstance(row, Stored) or not whole or len(size) != len(stride):
            raise ValueError("a tensor is described as torch describes none")
        if any(isinstance(more, dict) and more for more in rest[2:]):  # conjugated or negated when it is read
            return PickledObject("a tensor with a pending operation")
        return Strided(row, offset, tuple(size), tuple(stride))
    return PickledObject(name)


def _stored(key: Any, rows: dict[str, Stored]) -> Stored | Any:
    """What a name of something outside the pickle stands for: a row of values, or a class with its source text."""
    said, kind, *_ = key
    if said == "module":
        return kind
    _, _, name, _, count, *view = key
    if said != "storage" or not isinstance(kind, Named) or type(count) is not int or count < 0 or any(view):
        raise ValueError("a row of values is named as torch names none")
    row = Stored(kind.name.removeprefix("torch."), str(name), count)
    if rows.setdefault(row.key, row) != row:
        raise ValueError(f"two rows of values have the key {row.key!r}")
    return row


def _named(module: Any, name: Any) -> Named:
    return Named(f"{module}.{name}")


_LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
    + ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
)
_STEPS: dict[str, Callable[[_Reader, Any], Any]] = {
    "MARK": lambda reader, _: reader.mark(),
    "POP": lambda reader, _: reader.stack.pop(),
    "EMPTY_TUPLE": lambda reader, _: reader.stack.append(()),
    "EMPTY_LIST": lambda reader, _: reader.stack.append([]),
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_SET": lambda reader, _: reader.stack.append(PickledObject("set")),
    "TUPLE": lambda reader, _: _push(reader, tuple(reader.marked())),
    "TUPLE1": lambda reader, _: _push(reader, tuple(reader.popped(1))),
    "TUPLE2": lambda reader, _: _push(reader, tuple(reader.popped(2))),
    "TUPLE3": lambda reader, _: _push(reader, tuple(reader.popped(3))),
    "FROZENSET": lambda reader, _: reader.make(PickledObject("frozenset"), reader.marked()),
    "APPEND": lambda reader, _: reader.extend(reader.popped(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.marked()),
    "ADDITEMS": lambda reader, _: reader.marked(),
    "SETITEM": lambda reader, _: reader.set_items(reader.popped(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.marked()),
    "GLOBAL": lambda reader, argument: _push(reader, _named(*argument.split(" ", 1))),
    "STACK_GLOBAL": lambda reader, _: _push(reader, _named(*reader.popped(2))),
    "BINPERSID": lambda reader, _: _push(reader, _stored(reader.stack.pop(), reader.rows)),
    "REDUCE": lambda reader, _: reader.make(*reader.popped(2)),
    "NEWOBJ": lambda reader, _: reader.make(*reader.popped(2)),
    "NEWOBJ_EX": lambda reader, _: reader.make(*reader.popped(3)[:2]),
    "BUILD": lambda reader, _: reader.stack.pop(),  # attributes of an object, which is not kept
    "MEMOIZE": lambda reader, _: reader.memo.update({len(reader.memo): reader.stack[-1]}),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda reader, at: reader.memo.update({at: reader.stack[-1]})),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda reader, at: _push(reader, reader.memo[at])),
}


def _push(reader: _Reader, value: Any) -> None:
    reader.stack.append(value)
