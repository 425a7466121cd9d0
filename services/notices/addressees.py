"""To whom a notice goes: the accountable person by the bank's lists, one level further up for each level of a case.

Without lists it goes to the manager of the alert, else to his branch. Where nobody of the line is there it goes to the branch:
the lists may say of that manager that he has gone, or that he may not see the customer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from services.staff.responsibility import Charge, accountable
from streams.vocabulary.terms import CUSTOMER_CLASSES

if TYPE_CHECKING:
    from services.staff.roster import Roster

log = logging.getLogger(__name__)

ROSTER_KEPT_S: Final = 60.0
"""So late a change of the lists counts for notices."""

Addressee = Callable[[dict[str, Any]], Awaitable[str]]
"""The recipient of an alert's notice: a staff id, or branch:<id>."""


def manager_of(alert: Mapping[str, Any]) -> str:
    """The manager of an alert's record, else his branch."""
    return alert["rm_id"] or alert_branch(alert)


def alert_branch(alert: Mapping[str, Any]) -> str:
    """The branch of an alert's record, as a recipient."""
    return f"branch:{alert['branch']}"


async def to_manager(alert: dict[str, Any]) -> str:
    """Where there are no lists."""
    return manager_of(alert)


class Addressees:
    """By the lists, which are read again when they are ROSTER_KEPT_S old; the last ones while they can't be read.

    read: the roster of today; OSError where there is none. role_of: the role that a pack makes accountable, by (pack id,
    version), class of customers and tier.
    """

    def __init__(
        self, read: Callable[[], Roster], role_of: Callable[[tuple[str, int], str, str], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._read, self._role_of, self._clock = read, role_of, clock
        self._roster: Roster | None = None
        self._read_at = -ROSTER_KEPT_S
        self._reading = asyncio.Lock()

    async def __call__(self, alert: dict[str, Any]) -> str:
        """See Addressee. An alert names no class of customers: the first class whose rules name a role for the tier counts."""
        roster = await self._fresh()
        if roster is None or not roster.staff:
            return manager_of(alert)
        pack = alert["pack_id"], alert["pack_version"]
        roles = (self._role_of(pack, kind, alert["tier"]) for kind in CUSTOMER_CLASSES)
        charge = Charge(alert["branch"], alert["rm_id"], next((role for role in roles if role is not None), None))
        found = accountable(charge, roster, max(0, alert.get("level") or 0))
        if found is None:
            log.warning("nobody is accountable for alert %s: its notice goes to the branch", alert["alert_id"])
            return alert_branch(alert)
        return found.staff_id

    async def _fresh(self) -> Roster | None:
        async with self._reading:
            now = self._clock()
            if now - self._read_at >= ROSTER_KEPT_S:
                self._read_at = now
                try:
                    self._roster = await asyncio.to_thread(self._read)
                except OSError as problem:
                    log.warning("the lists of staff can't be read now: %s", problem)
            return self._roster
