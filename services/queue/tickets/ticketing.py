"""A branch's tickets behind the interface: classes by the look-up, steps by the store, and what people are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from typing import TYPE_CHECKING, Any, Final

from services.queue.tickets import forms
from services.queue.tickets.position import Learnt, ahead_causes, before, bounds_of, class_code, forecast_of, own_move
from services.queue.tickets.problems import TICKET_PROBLEMS, TicketProblemError
from services.queue.tickets.store import StepRefusedError, StoreDownError, TicketStore

if TYPE_CHECKING:
    from policies.compiled.queue import CompiledQueue
    from services.queue.lookup import Answer, Lookup

REQUEST_BUDGET_S: Final = 0.18
"""For all that a request waits for; a kiosk has its answer within 200 ms."""


@contextmanager
def as_problems() -> Iterator[None]:
    """What the store raises, as a TicketProblemError."""
    try:
        yield
    except StoreDownError as problem:
        raise TicketProblemError("queue-unavailable") from problem
    except TimeoutError as problem:
        raise TicketProblemError("queue-unavailable") from problem
    except StepRefusedError as problem:
        code = problem.code if problem.code in TICKET_PROBLEMS else "queue-unavailable"
        raise TicketProblemError(code, problem.ticket["place"] if problem.ticket else None) from problem


@dataclass(slots=True)
class Ticketing:
    """Tickets of all branches. Every method raises TicketProblemError. `zone`: where the bank's days begin."""

    store: TicketStore
    lookup: Lookup
    default_class: str
    learnt: Learnt = field(default_factory=lambda: Learnt({}))
    zone: tzinfo = UTC

    @property
    def queue(self) -> CompiledQueue:
        """Classes and discipline of the pack."""
        return self.store.queue

    async def issue(self, branch: str, actor: str, request: str, wanted: forms.TicketRequest) -> forms.TicketAnswer:
        """A ticket by reference, of an open class, or a walk-in's."""
        open_class = self._open_class(wanted.queue_class)
        with as_problems():
            async with asyncio.timeout(REQUEST_BUDGET_S):
                found = await self.class_of(wanted.customer_ref, wanted.previous_ref)
                given = self._ticket(found, open_class, wanted.service) | {
                    "ref": wanted.customer_ref, "ref2": wanted.previous_ref, "actor": actor,
                    "booked": None if wanted.appointment is None else _ms(wanted.appointment),
                }  # fmt: skip
                made = await self.store.run("issue", branch, request, look=True, **given)
        answer = self._told(made["hall"], made["ticket"])
        if answer.wait is not None and not made.get("again"):
            self.store.foresee(branch, answer.ticket, answer.wait.seconds)
        return answer

    async def courtesy(
        self, branch: str, actor: str, request: str, wanted: forms.CourtesyRequest
    ) -> forms.TicketAnswer:
        """A ticket of a class that staff choose (R-092)."""
        if wanted.queue_class not in self.queue.ids:
            raise TicketProblemError("not-an-open-class")
        given = {
            "class": wanted.queue_class, "vip": False, "service": wanted.service, "prefix": self._prefix(wanted.queue_class),
            "cause": "courtesy", "reason": wanted.reason, "actor": actor,
        }  # fmt: skip
        with as_problems():
            async with asyncio.timeout(REQUEST_BUDGET_S):
                made = await self.store.run("issue", branch, request, look=True, **given)
        return self._told(made["hall"], made["ticket"])

    async def printed(self, branch: str, actor: str, given: forms.PrintedTickets) -> list[forms.TicketAnswer]:
        """Tickets that a kiosk printed by itself: in the order of printing, each once, from its printed time.

        Nobody's is of before the day. Whatever key reports it, also a later one of the same kiosk: a number is one ticket.
        """
        found = []
        begin = _ms(datetime.combine(self.store.today(), time(), self.zone))
        for one in sorted(given.tickets, key=lambda ticket: (_ms(ticket.printed_at), ticket.number)):
            found_class = await self.class_of(one.customer_ref, None)
            more = self._ticket(found_class, self._open_class(one.queue_class), one.service)
            request = f"/printed/{one.number}"  # of the branch's day, as all are; no actor's begins so
            with as_problems():
                made = await self.store.run(
                    "issue", branch, request, **more, ref=one.customer_ref, number=one.number, actor=actor,
                    printed_at=max(_ms(one.printed_at), begin), cause="offline",
                )  # fmt: skip
            found.append(self._plain(made["ticket"]))
        return found

    async def ticket(self, branch: str, place: int) -> forms.TicketAnswer:
        """A ticket, and how it stands."""
        with as_problems():
            async with asyncio.timeout(REQUEST_BUDGET_S):
                state = await self.store.run("state", branch)
                own = next((one for one in state["tickets"] if one["place"] == place), None)
                if own is None:
                    own = (await self.store.run("ticket", branch, place=place))["ticket"]
        return self._told(state, own)

    async def call(self, branch: str, actor: str, request: str, counter: str) -> forms.CalledAnswer:
        """The next ticket for a counter."""
        with as_problems():
            found = await self.store.run("call", branch, request, counter=counter, actor=actor)
        if not found:
            return forms.CalledAnswer(ticket=None)
        return forms.CalledAnswer(ticket=self._plain(found["ticket"]), sequence=found["sequence"])

    async def step(self, step: str, branch: str, actor: str, request: str, **given: Any) -> forms.TicketAnswer:
        """A step of one ticket."""
        with as_problems():
            return self._plain((await self.store.run(step, branch, request, actor=actor, **given))["ticket"])

    async def holder(
        self, branch: str, actor: str, request: str, place: int, asked: forms.HolderRequest
    ) -> forms.HolderAnswer:
        """Whether the ticket is of the person whose identity was checked."""
        refs = [ref for ref in (asked.customer_ref, asked.previous_ref) if ref is not None]
        with as_problems():
            found = await self.store.run(
                "check", branch, request, counter=asked.counter, place=place, refs=refs, actor=actor
            )
        return forms.HolderAnswer(holder=found["holder"])

    async def arrange(self, step: str, branch: str, actor: str, request: str, **given: Any) -> forms.StepAnswer:
        """A step of a counter, or of the branch."""
        if set(given.get("classes") or ()) - set(self.queue.ids):
            raise TicketProblemError("not-understood")
        with as_problems():
            found = await self.store.run(step, branch, request, actor=actor, **given)
        return forms.StepAnswer(expired=found.get("expired", 0))

    async def branch(self, branch: str) -> forms.BranchAnswer:
        """How a branch stands."""
        with as_problems():
            state = await self.store.run("state", branch)
        now, waiting = state["now"], state["tickets"]
        by_class = {name: [one["arrival"] for one in waiting if one["class"] == name] for name in self.queue.ids}
        return forms.BranchAnswer(
            branch=branch, day=state["day"], closed=state["closed"] or None, sequence=state["sequence"],
            waiting=[
                forms.ClassWaiting(
                    queue_class=name, waiting=len(arrivals), longest_s=max(0, now - min(arrivals, default=now)) // 1000
                )
                for name, arrivals in by_class.items()
            ],
            counters=[
                forms.CounterState(
                    counter=one["name"], paused=bool(one.get("paused")), number=(one.get("at_work") or {}).get("number"),
                    classes=one.get("classes"), services=one.get("services"),
                )
                for one in sorted(state["counters"], key=lambda one: str(one["name"]))
            ],
            calls=[forms.ShownCall(**{name: one[name] for name in ("sequence", "number", "counter")}) for one in state["shown"]],
        )  # fmt: skip

    async def hall(self, branch: str) -> dict[str, Any]:
        """A branch as the store has it: who waits, the counters and their tickets, the last calls."""
        with as_problems():
            return await self.store.run("state", branch)

    async def rerank(self, reference: str, queue_class: str, vip_area: bool, reason: str) -> int:
        """Another class of a reference: its tickets move at once, wherever they wait. How many did."""
        moved = 0
        with as_problems():
            for branch in await self.store.holders(reference):
                given: dict[str, Any] = {
                    "ref": reference, "class": self.known(queue_class), "vip": vip_area, "reason": reason,
                }  # fmt: skip
                moved += len((await self.store.run("rerank", branch, **given))["moved"])
        return moved

    async def learn(self) -> None:
        """Take what past days teach."""
        with as_problems():
            self.learnt = Learnt.of(self.queue, *await self.store.learnt())

    # -- classes

    def known(self, queue_class: str) -> str:
        """The class; of one that the pack does not have, the default."""
        return queue_class if queue_class in self.queue.ids else self.default_class

    def _open_class(self, wanted: str | None) -> str | None:
        """A class that anybody may be given; TicketProblemError for another one."""
        if wanted is None:
            return None
        for one in self.queue.classes:
            if one.id == wanted and not one.cards and not one.tiers:
                return wanted
        raise TicketProblemError("not-an-open-class")

    async def class_of(self, reference: str | None, previous: str | None) -> Answer | None:
        """What the look-up says of a reference, also by the key before; None of a walk-in."""
        if reference is None:
            return None
        found = await self.lookup.answer(reference)
        if previous is not None and found.queue_class == self.default_class:
            before_it = await self.lookup.answer(previous)
            return found if before_it.queue_class == self.default_class else before_it
        return found

    def _ticket(self, found: Answer | None, open_class: str | None, service: str) -> dict[str, Any]:
        """Class and service of a ticket that is issued: of both classes the one that is called first."""
        own = self.default_class if found is None else self.known(found.queue_class)
        chosen = min((own, open_class or own), key=lambda name: class_code(self.queue, name))
        return {
            "class": chosen, "vip": found is not None and found.vip_area, "degraded": found is not None and found.degraded,
            "service": service, "prefix": self._prefix(chosen), "floor": open_class,
        }  # fmt: skip

    def _prefix(self, queue_class: str) -> str:
        """The letter of a class on tickets."""
        return chr(ord("A") + class_code(self.queue, queue_class))

    # -- what is told

    def _told(self, state: dict[str, Any], own: dict[str, Any]) -> forms.TicketAnswer:
        """A ticket as it stands among the others."""
        answer = self._plain(own)
        if own["state"] != "waiting":
            return answer
        ahead = before(self.queue, state["tickets"], own, state["now"])
        answer.position = 1 + len(ahead)
        answer.ahead_since = [forms.AheadCause(**one) for one in ahead_causes(ahead)]
        if (move := own_move(own)) is not None:
            answer.moved = forms.OwnMove(cause=move["cause"], at=datetime.fromtimestamp(move["at"] / 1000, UTC))
        answer.overtaken_by_less_than = [forms.OvertakingBound(**one) for one in bounds_of(self.queue, own["class"])]
        seconds = forecast_of(self.queue, state, own, self.learnt)
        if seconds is not None:
            low, high = self.learnt.table.interval_s(class_code(self.queue, own["class"]), seconds)
            answer.wait = forms.WaitEstimate(seconds=seconds, low_s=low, high_s=high)
        return answer

    def _plain(self, own: dict[str, Any]) -> forms.TicketAnswer:
        return forms.TicketAnswer(
            ticket=own["place"], ticket_id=own["id"], number=own["number"], queue_class=own["class"], vip_area=own["vip"],
            service=own["service"], state=own["state"], arrival=datetime.fromtimestamp(own["arrival"] / 1000, UTC),
            counter=own.get("counter"), degraded=own["degraded"], overtaken_by=own["passed"],
        )  # fmt: skip


def _ms(at: datetime) -> int:
    """Milliseconds since 1970; an instant without a zone is taken as UTC."""
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
