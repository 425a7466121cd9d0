"""What any view of queue classes must do. `check_*(view, put)` run by the fake and by the real part alike.

`put(ref, queue_class, vip_area, valid_until, fresh)` writes what the view writer would.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

from services.queue.lookup import PriorityView

Put = Callable[..., Awaitable[Any]]
REF = "abcdefghijklmnopqrstuvwxyz"


async def check_row(view: PriorityView, put: Put) -> None:
    """A row comes back as written."""
    await put(REF, "diamond", True, date(2026, 3, 1), fresh=True)
    row = await view.read(REF)
    assert (row.queue_class, row.vip_area, row.valid_until) == ("diamond", True, date(2026, 3, 1))
    assert row.age_s is not None
    assert row.age_s < 60


async def check_unknown(view: PriorityView, put: Put) -> None:
    """A reference that is not there has no class; the view's age is told all the same."""
    await put(REF, "gold", False, None, fresh=True)
    row = await view.read("z" * 26)
    assert (row.queue_class, row.vip_area, row.valid_until) == (None, False, None)
    assert row.age_s is not None


async def check_unreadable(view: PriorityView, put: Put) -> None:
    """A reference whose last record could not be read says so, with a row or without; the others are as they were."""
    other = "z" * 26
    await put(REF, "gold", False, None, fresh=True, unreadable=True)
    assert (await view.read(REF)).unreadable
    assert not (await view.read(other)).unreadable


async def check_never_complete(view: PriorityView, put: Put) -> None:
    """A view of which one partition was never complete has no age, or a very great one."""
    await put(REF, "gold", False, None, fresh=False)
    row = await view.read(REF)
    assert row.age_s is None or row.age_s > 10**6


CONTRACT = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
