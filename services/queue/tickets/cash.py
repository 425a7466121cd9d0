"""Cash that wants notice: requests for a coming day, met class after class (R-087). Their steps are those of cash.lua."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from schemas import bounds
from services.queue.tickets import forms
from services.queue.tickets.ticketing import REQUEST_BUDGET_S, as_problems

if TYPE_CHECKING:
    from services.queue.tickets.ticketing import Ticketing

LOOKED_UP_AGAIN_MAX: Final = 32
"""Requests without a known class that are looked up again before another one is met."""


@dataclass(frozen=True, slots=True)
class CashDesk:
    """Cash requests of all branches. Every method raises TicketProblemError."""

    ticketing: Ticketing

    async def ask(self, branch: str, actor: str, request: str, wanted: forms.CashRequest) -> forms.CashRequestAnswer:
        """Take a request; its class is that of the reference, as of a ticket."""
        ticketing = self.ticketing
        last_day = ticketing.store.today() + timedelta(days=bounds.CASH_NOTICE_DAYS_MAX)
        with as_problems():
            async with asyncio.timeout(REQUEST_BUDGET_S):
                found = await ticketing.class_of(wanted.customer_ref, wanted.previous_ref)
                given: dict[str, Any] = {
                    "class": ticketing.default_class if found is None else ticketing.known(found.queue_class),
                    "degraded": found is not None and found.degraded, "wanted": wanted.day.isoformat(),
                    "last_day": last_day.isoformat(), "amount": str(wanted.amount_minor), "currency": wanted.currency,
                    "ref": wanted.customer_ref, "ref2": wanted.previous_ref, "actor": actor,
                }  # fmt: skip
                made = await ticketing.store.run("cash_ask", branch, request, **given)
        return _told(made["cash"], 1 + made["ahead"])

    async def day(self, branch: str, day: date, skip: int, limit: int) -> forms.CashDayAnswer:
        """What is open for a day, in the order in which it is met, without the first `skip`."""
        with as_problems():
            found = await self.ticketing.store.run("cash_day", branch, wanted=day.isoformat(), skip=skip, limit=limit)
        told = [_told(one, one["position"]) for one in found["requests"] or ()]
        return forms.CashDayAnswer(day=day, total=found["total"], requests=told)

    async def meet(
        self, branch: str, actor: str, request: str, number: int, insist: str | None
    ) -> forms.CashRequestAnswer:
        """The cash is set aside; refused while somebody of a higher class waits, unless there is a reason for it."""
        await self._look_up_again(branch, number)
        return await self.step("cash_meet", branch, actor, request, number, insist)

    async def step(
        self, step: str, branch: str, actor: str, request: str, number: int, reason: str | None = None
    ) -> forms.CashRequestAnswer:
        """A step of one request."""
        with as_problems():
            found = await self.ticketing.store.run(step, branch, request, number=number, reason=reason, actor=actor)
        return _told(found["cash"], None)

    async def _look_up_again(self, branch: str, number: int) -> None:
        """Those that the request competes with, and that came while the view was away, get their class if it is known now."""
        ticketing, store = self.ticketing, self.ticketing.store
        with as_problems():
            unsure = await store.run("cash_unsure", branch, number=number, limit=LOOKED_UP_AGAIN_MAX)
            asked = unsure["requests"] or ()
            found = await asyncio.gather(*(ticketing.class_of(one["ref"], one.get("ref2")) for one in asked))
            known = [
                store.run(
                    "cash_known", branch, number=int(one["number"]), reason="view",
                    **{"class": ticketing.known(answer.queue_class)},
                )
                for one, answer in zip(asked, found, strict=True)
                if answer is not None and not answer.degraded
            ]  # fmt: skip
            await asyncio.gather(*known)


def _told(own: dict[str, Any], position: int | None) -> forms.CashRequestAnswer:
    return forms.CashRequestAnswer(
        cash_request=int(own["number"]), day=date.fromisoformat(own["wanted"]), amount_minor=int(own["amount"]),
        currency=own["currency"], queue_class=own["class"], degraded=own["degraded"], state=own["state"],
        asked_at=datetime.fromtimestamp(own["arrival"] / 1000, UTC), position=position,
    )  # fmt: skip
