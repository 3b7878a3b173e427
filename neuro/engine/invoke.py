"""Calls of compiled kernels by their address, so that only those that a network uses are compiled.

A kernel that calls another by name has it compiled with it. `invoke(address, arguments)` calls whichever kernel a table names;
all behind one call site take the same types and return a 64-bit integer. Arrays are passed as a pointer to a tuple of them: one
by one, each would be seven arguments. With the compiler off, an address is the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
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


def _pointer_to(typingctx: Any, values: Any) -> Any:
    """Where a tuple lies in memory until the calling function returns."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = cgutils.alloca_once(builder, args[0].type)
        builder.store(args[0], place)
        return builder.bitcast(place, cgutils.voidptr_t)

    if any(isinstance(kind, types.Array) and kind.layout != "C" for kind in values.types):
        raise TypingError(f"arrays of {values} do not lie in one piece")
    return types.voidptr(values), codegen


def _plain_invoke(function: Any, arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _plain_pointer(values: Any) -> Any:
    return (values,)


invoke: Callable[..., Any] = _plain_invoke if numba.config.DISABLE_JIT else intrinsic(_invoke)
pointer_to: Callable[..., Any] = _plain_pointer if numba.config.DISABLE_JIT else intrinsic(_pointer_to)
