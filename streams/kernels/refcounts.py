"""Arrays that a kernel borrows: numba counts references atomically at every call that hands an array on.

A kernel of ours hands some twenty arrays to helpers a dozen times an event, which took most of its time. A borrowed
array has no owner to count for: whoever called the kernel holds it until the kernel returns.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic


def _borrow(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        view = context.make_array(kind)(context, builder, value)
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()  # noqa: SLF001 (numba's own name)
    if isinstance(kind, types.BaseTuple):  # type: ignore[attr-defined]
        parts = [_borrow(context, builder, k, builder.extract_value(value, i)) for i, k in enumerate(kind.types)]
        return context.make_tuple(builder, kind, parts)
    return value


@intrinsic
def borrowed(_typing: Any, value: Any) -> Any:
    """The same array, or the same (named) tuple of arrays, without an owner."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _borrow(context, builder, signature.args[0], args[0])

    return value(value), codegen
