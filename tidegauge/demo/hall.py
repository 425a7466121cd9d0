"""A branch of the demo: a customer waits behind three others, and his ticket moves when his tier changes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from agents.engine.reader import LogReader
from services.assembly import new_lookup
from services.queue.tickets.forms import TicketRequest
from services.queue.tickets.problems import TicketProblemError
from services.queue.tickets.setup import Behind, ticketing_of
from streams.reference import customer_ref

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.queue.tickets.forms import TicketAnswer
    from tidegauge.demo.texts import Words
    from tidegauge.demo.watch import Seen

DEMO_BRANCH: Final = "demo"
LOOKUP: Final = "lookup"
"""The principal of who keeps tickets: the demo's own has no right to write their steps."""

BEFORE_HIM: Final = 3
ISSUED_TRIES: Final = 50
_PAUSE_S: Final = 0.1


class DemoHall:
    """Tickets of one branch, on the demo's own server for them."""

    def __init__(self, settings: Settings, customer_id: str, words: Words) -> None:
        if settings.secured:
            settings = settings.model_copy(update={"kafka_user": LOOKUP})
        self.customer_id, self.words = customer_id, words
        self.reference = customer_ref(settings.secret(), customer_id)
        self.runner = asyncio.Runner()
        self.ticketing = ticketing_of(settings, new_lookup(settings))
        self.behind = Behind(settings, self.ticketing, partial(new_lookup, settings), LogReader)
        self.ticket: TicketAnswer | None = None
        self.heard = self.moved = False

    def begin(self) -> None:
        """Three customers take a ticket, and he takes one behind them."""
        for number in range(BEFORE_HIM):
            self._issued(f"demo/{number}", TicketRequest(service="general"))
        self.ticket = self._issued("demo/his", TicketRequest(service="general", customer_ref=self.reference))
        self.behind.start()

    def hear(self, seen: Seen) -> None:
        """A class has been published; maybe his."""
        self.heard |= seen.topic == "queue-priority" and seen.record["customer_ref"] == self.reference

    def texts(self) -> list[str]:
        """What is to be told, once: his ticket has moved."""
        if not self.heard or self.moved or self.ticket is None:
            return []
        try:
            now = self.runner.run(self.ticketing.ticket(DEMO_BRANCH, self.ticket.ticket))
        except TicketProblemError:
            return []
        if now.position != 1 or now.queue_class == self.ticket.queue_class:
            return []
        self.moved = True
        told = self.words(
            "hall.told", customer=self.customer_id, number=now.number, before=str(self.ticket.position),
            queue_class=self.words.tier(now.queue_class),
        )  # fmt: skip
        return [f"[bold]{self.words('hall')}[/bold]{self.words('stop')}{told}"]

    def problems(self) -> list[str]:
        """What went otherwise."""
        return [] if self.moved else [f"hall: the ticket of {self.customer_id} did not move"]

    def close(self) -> None:
        """Leave the server."""
        self.behind.stop()
        self.runner.run(self.ticketing.store.client.aclose())
        self.runner.close()

    def _issued(self, request: str, wanted: TicketRequest) -> TicketAnswer:
        """A ticket; the server may still be busy with its first steps."""
        for _ in range(ISSUED_TRIES):
            try:
                return self.runner.run(self.ticketing.issue(DEMO_BRANCH, "demo", request, wanted))
            except TicketProblemError:
                self.runner.run(asyncio.sleep(_PAUSE_S))
        raise TicketProblemError("queue-unavailable")
