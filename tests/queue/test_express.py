"""Frequent requests are answered without the framework, and as it answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.access.callers import RequestCallers
from services.queue.priority import LookupExpress, create_app
from services.queue.tickets.express import TicketExpress
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.rights import TicketRights
from tests.queue.test_tickets import GONE, VIP, Desk, key_limit

pytestmark = pytest.mark.integration
JSON = "application/json"
KEPT = ("content-type", "cache-control", "retry-after", "www-authenticate")


class Both:
    """The interface as it is, and as the framework alone gives it, on the same tickets."""

    clients: tuple[TestClient, TestClient]

    def __init__(self, url: str, prefix: str, rate_max: int = 0) -> None:
        desk = Desk(url, prefix)
        plain = create_app(desk.lookup, 0, desk)
        rights = TicketRights(RequestCallers(lambda _: None, keys=desk), desk.trail)
        add_tickets(plain, desk.ticketing, rights, rate_max)
        quick = create_app(desk.lookup, 0, desk)
        add_tickets(quick, desk.ticketing, rights, rate_max)
        key_limit(plain), key_limit(quick)
        ways: tuple[Any, ...] = (TicketExpress, LookupExpress)
        assert all(any(one.cls is way for one in plain.user_middleware) for way in ways), (
            "nothing comes before the framework"
        )
        plain.user_middleware = [one for one in plain.user_middleware if one.cls not in ways]
        self.apps = quick, plain

    def ask(
        self,
        method: str,
        path: str,
        who: str = "kiosk",
        request: str | None = None,
        body: bytes = b"",
        kind: str = JSON,
    ) -> Any:
        """The answer that both give; with the same request id, a step is made once."""
        headers = {"Authorization": f"Bearer tgk_{who}", "Content-Type": kind}
        if request is not None:
            headers["Idempotency-Key"] = request
        told = []
        for client in self.clients:
            answer = client.request(method, path, headers=headers, content=body)
            kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
            told.append((answer.status_code, answer.json() if answer.content else None, kept))
        assert told[0] == told[1], (method, path, body)
        return told[0][:2]


@contextmanager
def opened(found: Both) -> Iterator[Both]:
    with TestClient(found.apps[0]) as quick:
        plain = TestClient(found.apps[1])
        plain.portal = quick.portal  # one loop: they share a connection
        found.clients = (quick, plain)
        yield found


@pytest.fixture
def both(redis_server: str, topic_prefix: str) -> Iterator[Both]:
    with opened(Both(redis_server, topic_prefix)) as found:
        yield found


def test_a_visit_is_answered_in_the_same_way(both: Both) -> None:
    """A look-up, a ticket, its state, its call, its end: each step once, whoever takes it."""
    assert both.ask("GET", f"/v1/priority/{VIP}")[1]["queue_class"] == "diamond"
    for number, body in enumerate(
        ({"service": "cash", "customer_ref": VIP}, {"service": "cash", "customer_ref": GONE}, {})
    ):
        status, issued = both.ask("POST", "/v1/tickets", request=f"i{number}", body=json.dumps(body).encode())
        assert (status, issued["state"]) == (201, "waiting")
        assert both.ask("GET", f"/v1/tickets/{issued['ticket']}")[1]["position"] == issued["position"]
    status, called = both.ask("POST", "/v1/counters/3/next", "counter", "c1")
    assert (status, called["ticket"]["queue_class"]) == (200, "diamond")
    assert both.ask("POST", "/v1/counters/3/next", "counter", "c2")[0] == 409
    place = called["ticket"]["ticket"]
    done = b'{"counter": "3", "served": ["cash"]}'
    assert both.ask("POST", f"/v1/tickets/{place}/complete", "counter", "d1", done)[1]["state"] == "completed"
    assert both.ask("POST", f"/v1/tickets/{place}/complete", "counter", "d2", done)[0] == 409


@pytest.mark.parametrize(
    ("method", "path", "who", "request_id", "body", "status"),
    [
        ("POST", "/v1/tickets", "nobody", "r", b"{}", 401), ("POST", "/v1/tickets", "counter", "r", b"{}", 403),
        ("POST", "/v1/tickets", "kiosk", None, b"{}", 422), ("POST", "/v1/tickets", "kiosk", "r" * 65, b"{}", 422),
        ("POST", "/v1/tickets", "kiosk", "r", b'{"name": "Li"}', 422), ("POST", "/v1/tickets", "kiosk", "r", b"", 422),
        ("POST", "/v1/tickets", "kiosk", "r", b"[]", 422), ("POST", "/v1/tickets", "kiosk", "r", b"\xff{", 422),
        ("POST", "/v1/tickets", "kiosk", "r", b'{"queue_class": "diamond"}', 422),
        ("POST", "/v1/tickets?branch=west/1", "kiosk", "r", b"{}", 403), ("GET", "/v1/tickets/99", "kiosk", None, b"", 404),
        ("GET", "/v1/tickets/0", "kiosk", None, b"", 422), ("GET", "/v1/tickets/1x", "kiosk", None, b"", 422),
        ("POST", "/v1/tickets/9/complete", "counter", "r", b'{"counter": "1"}', 404),
        ("POST", "/v1/tickets/9/complete", "counter", "r", b'{"counter": "a b"}', 422),
        ("POST", "/v1/counters/a%20b/next", "counter", "r", b"", 422), ("POST", "/v1/counters/1/next", "kiosk", "r", b"", 403),
        ("PUT", "/v1/tickets", "kiosk", "r", b"{}", 405), ("GET", "/v1/priority/nonsense", "kiosk", None, b"", 200),
        ("GET", "/v1/priority/", "kiosk", None, b"", 200), ("GET", f"/v1/priority/{VIP}", "nobody", None, b"", 401),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_in_the_same_way(
    both: Both, method: str, path: str, who: str, request_id: str | None, body: bytes, status: int
) -> None:
    """Keys, rights, forms, paths."""
    assert both.ask(method, path, who, request_id, body)[0] == status


def test_a_body_of_another_kind_is_none(both: Both) -> None:
    """As the framework has it: JSON says that it is."""
    assert both.ask("POST", "/v1/tickets", "kiosk", "r", b"{}", "text/plain")[0] == 422


def test_who_asks_too_often_is_refused_in_the_same_way(redis_server: str, topic_prefix: str) -> None:
    """After two requests at once of a key that has one a second, before anything else is looked at."""
    with opened(Both(redis_server, topic_prefix, rate_max=1)) as both:
        asked = [both.ask("POST", "/v1/tickets", request="same", body=b"{}")[0] for _ in range(3)]
        assert asked == [201, 201, 429]
        assert both.ask("POST", "/v1/tickets", request="r", body=b"no form")[0] == 429
