"""Asks the processor for a row of an array before it is needed, so that the wait for memory overlaps with other work.

With many customers most of a kernel's time is such waiting: every event goes to rows that nothing has touched lately. A
prefetch is a hint: it changes nothing, and a place outside of the array does no harm.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE_BYTES = 64  # of a processor's cache
READ, KEEP, DATA = 0, 3, 1  # as llvm.prefetch wants it: for reading, into every cache, the data cache


@intrinsic
def prefetch(_typing: Any, array: Any, index: Any, offset: Any) -> Any:
    """Hints that the cache line `offset` bytes into row `index` of an array is wanted soon."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, *numbers = signature.args
        view = context.make_array(kind)(context, builder, args[0])
        row, within = (context.cast(builder, args[i + 1], numbers[i], types.int64) for i in range(2))
        stride = cgutils.unpack_tuple(builder, view.strides, kind.ndim)[0]
        start = builder.ptrtoint(view.data, ir.IntType(64))
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.inttoptr(builder.add(builder.add(start, builder.mul(row, stride)), within), pointer)
        shape = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        hint = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        builder.call(hint, [place, *(ir.Constant(word, value) for value in (READ, KEEP, DATA))])
        return context.get_dummy_value()

    return types.none(array, index, offset), codegen
