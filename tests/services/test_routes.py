"""Every route of a web service asks for one right, and the one that its row says: a new one without a row fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final
from unittest import mock

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from services.access.callers import RequestCallers
from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access
from services.access.login import Login, install_login
from services.commands.app import create_commands_app
from services.commands.definitions import COMMANDS_TAKEN
from services.pages import visitors
from services.pages.site import PageSite
from services.pages.visitors import SCREEN_COOKIE, Visitors
from services.queue.pages.setup import OWN_PAGES, queue_pages
from services.queue.priority import create_app
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.rights import TicketRights
from tests.services.test_priority import MemoryPriorityView, lookup_of

OWN: Final = ("hq", "east", "0102")
ISSUES: Final = (DataKind.TICKETS, Action.WRITE)
SEES: Final = (DataKind.TICKETS, Action.READ)
SERVES: Final = (DataKind.CALLS, Action.WRITE)
RUNS: Final = (DataKind.HALLS, Action.WRITE)
TICKET: Final = "/v1/tickets/{ticket}"
COUNTER: Final = "/v1/counters/{counter}"
CASH: Final = "/v1/cash-requests"
ROUTES: Final[dict[tuple[str, str], tuple[DataKind, Action]]] = {
    ("POST", "/v1/tickets"): ISSUES,
    ("POST", "/v1/tickets/courtesy"): RUNS,
    ("POST", "/v1/tickets/printed"): ISSUES,
    ("GET", TICKET): SEES,
    ("POST", f"{TICKET}/leave"): ISSUES,
    **{
        ("POST", f"{TICKET}/{step}"): SERVES for step in ("recall", "no-show", "back", "transfer", "complete", "holder")
    },
    **{("POST", f"{COUNTER}/{step}"): SERVES for step in ("next", "pause", "resume")},
    ("PUT", COUNTER): RUNS,
    ("GET", "/v1/branch"): SEES,
    **{("POST", f"/v1/branch/{step}"): RUNS for step in ("close", "open")},
    **{(method, CASH): SERVES for method in ("POST", "GET")},
    **{("POST", f"{CASH}/{{cash_request}}/{step}"): SERVES for step in ("meet", "refuse", "withdraw")},
}
PAGES: Final[dict[tuple[str, str], tuple[DataKind, Action]]] = {
    **{("GET", path): SEES for path in ("/", "/hall", "/hall/events")},
    **{("GET", path): SERVES for path in ("/counter", "/counter/{name}", "/counter/{name}/waiting")},
    ("POST", "/counter/{name}/{act}"): SERVES,
    **{("GET", path): RUNS for path in ("/lobby", "/lobby/board")},
}
# Routes of whoever has a key: nothing but a queue class, which is seen bank-wide; of the sender's own; of nobody's.
OTHERS: Final = {
    "/v1/priority/{customer_ref:whole}": "a queue class by an opaque reference",
    "/v1/commands/{command_id:command}": "what has become of one's own command",
    "/livez": "that the process lives", "/readyz": "that it can answer",
}  # fmt: skip
OTHER_PAGES: Final = {
    "/assets/{digest}/{name}": "styles and scripts, the same for everybody",
    "/screen": "where a screen gives its key", "/screen/forget": "and has it forgotten",
    "/login": "where a login begins", "/callback": "and comes back", "/logout": "one's own session's end",
    "/backchannel-logout": "the issuer's, whose token is asked for",
}  # fmt: skip


class Everybody:
    """Keys: the name of a role is the key of one who has it."""

    def actor(self, text: str) -> Actor | None:
        """Whose key it is."""
        role = text.removeprefix("tgk_")
        return Actor(role, Role(role), OWN) if role in set(Role) else None


def tickets() -> FastAPI:
    """Look-up and tickets, without anything behind them."""
    app = create_app(lookup_of(MemoryPriorityView({})))
    may = TicketRights(RequestCallers(lambda _: None, keys=Everybody()), mock.Mock())
    add_tickets(app, mock.AsyncMock(), may, 0)
    return app


def pages() -> FastAPI:
    """The pages of a branch and of logins, without anything behind them; a screen has any role."""
    callers: Any = RequestCallers(lambda _: None)
    site, may = PageSite([OWN_PAGES], "en"), TicketRights(callers, mock.Mock())
    app = queue_pages(site, Visitors(Everybody().actor), mock.AsyncMock(), may)
    install_login(app, Login(mock.Mock(), mock.Mock(), mock.Mock(), callers, "login"))
    return app


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of each."""
    return {(method, route.path) for route in _routes(app) for method in route.methods}


def _routes(router: Any) -> Iterator[APIRoute]:
    for one in router.routes:
        if isinstance(one, APIRoute):
            yield one
        elif (included := getattr(one, "original_router", None)) is not None:
            yield from _routes(included)


def test_every_route_has_a_row() -> None:
    """Of the commands each is of a kind and an action by its definition."""
    nothing: Any = None
    sent = {("POST", f"/v1/commands/{name}") for name in COMMANDS_TAKEN}
    found = routes(tickets()) | routes(create_commands_app(nothing, nothing))
    assert {one for one in found if one[1] not in OTHERS} == ROUTES.keys() | sent
    assert {path for _, path in found} >= OTHERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_who_gets_through(role: Role) -> None:
    """Just those to whom the matrix gives the row's right, at their own branch and no other, whatever they send."""
    with TestClient(tickets(), raise_server_exceptions=False) as client:
        for (method, path), (kind, action) in ROUTES.items():
            for branch, own in product(("east/0102", "west"), (True, False)):
                allowed = decide_access(
                    Actor("x", role, OWN), action, Resource(kind, ("hq", *branch.split("/")))
                ).allowed
                url = path.format(ticket=1, counter="c1", cash_request=1) + f"?branch={branch}"
                headers = {"Authorization": f"ApiKey {role}" if own else "ApiKey nobody", "Idempotency-Key": "k"}
                status = client.request(method, url, headers=headers).status_code
                assert (status == 401) == (not own), (role, method, url)
                assert (status == 403) == (own and not allowed), (role, method, url)


def test_every_page_has_a_row() -> None:
    """Of a branch, of screens and of logins."""
    found = routes(pages())
    assert {one for one in found if one[1] not in OTHER_PAGES} == PAGES.keys()
    assert {path for _, path in found} >= OTHER_PAGES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_who_sees_a_page(role: Role) -> None:
    """Just those to whom the matrix gives the row's right, at their own branch and no other; who is nobody is asked who he is."""
    word = f"tgk_{role}"
    own = {"Cookie": f"{SCREEN_COOKIE}={word}", "Origin": "http://testserver", "X-CSRF-Token": visitors._token_of(word)}
    nobody = own | {"Cookie": f"{SCREEN_COOKIE}=tgk_nobody"}
    with TestClient(pages(), raise_server_exceptions=False, follow_redirects=False) as client:
        for (method, path), (kind, action) in PAGES.items():
            for branch, headers in product(("east/0102", "west"), (own, nobody)):
                allowed = decide_access(
                    Actor("x", role, OWN), action, Resource(kind, ("hq", *branch.split("/")))
                ).allowed
                url = path.format(name="c1", act="next") + f"?branch={branch}"
                answer = client.request(method, url, headers=headers)
                unknown = answer.status_code == 401 or answer.headers.get("location", "").startswith("/screen")
                assert unknown == (headers is nobody), (role, method, url, answer)
                assert (answer.status_code == 403) == (headers is own and not allowed), (role, method, url, answer)
