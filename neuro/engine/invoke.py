"""Calls of compiled kernels by their address, so that only those that a network uses are compiled.

A kernel that calls another by name has it compiled with it. `invoke(address, arguments)` calls whichever kernel a table names;
all behind one call site take the same types and return a 64-bit integer. Arrays are passed as a pointer to a tuple of them: one
by one, each would be seven arguments. `InPlace` writes such a tuple once, so that a call from Python passes one address and not
thirty arrays, each of which costs a quarter of a microsecond. With the compiler off, an address is the function or the tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_KNOWN: dict[tuple[Callable[..., Any], tuple[Any, ...]], int] = {}


def address_of(kernel: Callable[..., Any], kinds: tuple[Any, ...]) -> Any:
    """Where the kernel for arguments of these types begins; compiled, or read from disk, when it is first asked for."""
    if numba.config.DISABLE_JIT:
        return kernel
    address = _KNOWN.get((kernel, kinds))
    if address is None:
        made: Any = kernel
        made.compile(kinds)
        compiled = made.overloads[kinds]
        assert compiled.signature.return_type == types.int64, f"{kernel} returns {compiled.signature.return_type}"
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        _KNOWN[kernel, kinds] = address
    return address


class InPlace:
    """A tuple of arrays, whole numbers and such tuples as compiled code holds it in memory, and its address.

    Arrays lie in one piece and are kept while this is; what they hold may change.
    """

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values
        if not numba.config.DISABLE_JIT:
            self._words = np.array([*_words(values)], np.int64)
            self._address = self._words.ctypes.data

    @property
    def address(self) -> Any:
        return (self._values,) if numba.config.DISABLE_JIT else self._address


def _words(values: Any) -> Iterator[int]:
    """A tuple as numba's data model has it: of an array no owner, its size, item size, place, shape and strides."""
    for value in values:
        if isinstance(value, tuple):
            yield from _words(value)
        elif isinstance(value, np.ndarray):
            assert value.flags.c_contiguous, "an array in several pieces"
            yield from (0, 0, value.size, value.itemsize, value.__array_interface__["data"][0], *value.shape, *value.strides)
        else:
            yield int(value)


def table_of(addresses: list[Any]) -> Any:
    """Addresses as compiled code reads them."""
    return addresses if numba.config.DISABLE_JIT else np.array(addresses, np.uint64)


def _invoke(typingctx: Any, address: Any, arguments: Any) -> Any:
    whole = (types.Integer, types.Boolean)
    kinds = tuple(types.int64 if isinstance(kind, whole) else kind for kind in arguments.types)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        inside = context.call_conv
        function = inside.get_function_type(types.int64, kinds).as_pointer()
        values = cgutils.unpack_tuple(builder, args[1])
        status, result = inside.call_function(builder, builder.inttoptr(args[0], function), types.int64, kinds, values)
        with cgutils.if_unlikely(builder, status.is_error):
            inside.return_status_propagate(builder, status)
        return result

    return types.int64(types.uint64, types.Tuple(kinds)), codegen


def _as_pointer(typingctx: Any, address: Any) -> Any:
    """An address as kernels take it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


def reader_of(kinds: Callable[[], Any]) -> Callable[..., Any]:
    """A function for compiled code: the tuple of these types that lies at an address."""
    if numba.config.DISABLE_JIT:
        return lambda address: address[0]

    def read(typingctx: Any, address: Any) -> Any:
        kind = kinds()

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.inttoptr(args[0], context.get_data_type(kind).as_pointer())
            return context.unpack_value(builder, kind, place)

        return kind(types.int64), codegen

    found: Callable[..., Any] = intrinsic(read)
    return found


def _plain_invoke(function: Any, arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _plain_pointer(address: Any) -> Any:
    return address


invoke: Callable[..., Any] = _plain_invoke if numba.config.DISABLE_JIT else intrinsic(_invoke)
as_pointer: Callable[..., Any] = _plain_pointer if numba.config.DISABLE_JIT else intrinsic(_as_pointer)
