"""A branch with pages: its tickets on a server, its screens with keys, its people with sessions."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, Final
from unittest import mock

from policies import load_pack
from policies.compiled.queue import compile_queue
from services.access.callers import RequestCallers
from services.access.decision import Actor, Role
from services.access.sessions import Session
from services.pages.site import PageSite
from services.pages.visitors import Visitors
from services.queue.lookup import Lookup, QueueRow
from services.queue.pages.setup import OWN_PAGES, queue_pages
from services.queue.server import listening, server
from services.queue.tickets.forms import TicketRequest
from services.queue.tickets.keys import TicketKeys
from services.queue.tickets.rights import TicketRights
from services.queue.tickets.setup import ticket_client
from services.queue.tickets.store import TicketStore
from services.queue.tickets.ticketing import Ticketing

BRANCH: Final = "B1"
UNIT: Final = ("hq", BRANCH)
SCREENS: Final = {"tgk_hall": Role.KIOSK, "tgk_counter": Role.COUNTER}
SESSION: Final = f"{'0' * 32}.secret"
SESSION_COOKIE: Final = "__Host-tidegauge"
DIAMOND, PLATINUM = "d" * 26, "p" * 26
CLASSES: Final = {DIAMOND: "diamond", PLATINUM: "platinum"}


class KnownClasses:
    """A view of two customers."""

    async def read(self, customer_ref: str) -> QueueRow:
        found = CLASSES.get(customer_ref)
        return QueueRow(found, found is not None, None, 0.0)


class OneSession:
    """The lobby manager's."""

    def find(self, cookie: str, agent: str) -> Session | None:
        return Session("0" * 32, "lobby", "the token of the session's pages", "") if cookie == SESSION else None

    def end(self, session_id: str, why: str) -> None:
        raise AssertionError("nobody has left")


def key_of(text: str) -> Actor | None:
    """Whose key it is."""
    role = SCREENS.get(text)
    return role and Actor(f"key {role}", role, UNIT)


class TestBranch:
    """The branch, and a kiosk that works without a page. Each branch has a store of its own on the server."""

    __test__ = False

    def __init__(self, url: str) -> None:
        self.address = ""
        lookup = Lookup(KnownClasses(), "ordinary", date.today)
        queue = compile_queue(load_pack("rolling-quarter-aum"))
        keys = TicketKeys.of(f"t{os.urandom(5).hex()}.")
        store = TicketStore(ticket_client(url), keys, queue, lambda: datetime.now(UTC).date(), budget_s=5)
        self.ticketing = Ticketing(store, lookup, "ordinary")
        self.loop: asyncio.AbstractEventLoop | None = None
        self.requests = 0

    def issue(self, reference: str | None = None, **more: Any) -> str:
        """Issue a ticket; its number."""
        return str(self.made(self.ticketing.issue, TicketRequest(customer_ref=reference, **more)).number)

    def called(self, counter: str) -> str | None:
        """Call the next ticket at a counter; its number."""
        found = self.made(self.ticketing.call, counter).ticket
        return None if found is None else str(found.number)

    def made(self, step: Any, *given: Any) -> Any:
        """Make a step on the loop of the server."""
        assert self.loop is not None
        self.requests += 1
        asked = step(BRANCH, "key kiosk", f"test/{self.requests}", *given)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(10)

    def app(self) -> Any:
        """The application of its pages."""
        site = PageSite([OWN_PAGES], "zh-CN")
        people = {"lobby": Actor("L1", Role.LOBBY, UNIT)}
        callers = RequestCallers(people.get, self.address, sessions=OneSession())  # type: ignore[arg-type]
        return queue_pages(site, Visitors(key_of, callers), self.ticketing, TicketRights(callers, mock.Mock()))


@contextmanager
def open_branch(url: str) -> Iterator[TestBranch]:
    """A branch whose pages are served."""
    branch = TestBranch(url)
    socket = listening("127.0.0.1", 0)
    branch.address = f"http://localhost:{socket.getsockname()[1]}"
    running = server(branch.app(), 64)
    begun = threading.Event()

    async def serve() -> None:
        branch.loop = asyncio.get_running_loop()
        begun.set()
        await running.serve([socket])
        await branch.ticketing.store.client.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert begun.wait(240)
    try:
        yield branch
    finally:
        running.should_exit = True
        thread.join(15)
