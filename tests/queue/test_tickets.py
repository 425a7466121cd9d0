"""Tickets over HTTP: who may do what, what is answered, and that no number leaves that is not kept."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import policies
from policies import load_pack
from policies.compiled.queue import compile_queue
from services.access.callers import RequestCallers
from services.access.decision import Actor, Role
from services.queue.lookup import Lookup, QueueRow
from services.queue.priority import create_app
from services.queue.server import BURST_S, SECOND_NS, RateLimit
from services.queue.tickets import refusals
from services.queue.tickets.express import TicketExpress
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.keys import TicketKeys
from services.queue.tickets.rights import TicketRights
from services.queue.tickets.setup import ticket_client
from services.queue.tickets.store import TicketStore
from services.queue.tickets.ticketing import Ticketing
from tests.queue.stored import PACK, waited

pytestmark = pytest.mark.integration
POLICIES_PAGE = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
DAY = date(2026, 3, 2)
VIP, GONE, NEW = "v" * 26, "g" * 26, "n" * 26


class View:
    """A view that knows one customer; `down`: it answers nothing."""

    down = False

    async def read(self, customer_ref: str) -> QueueRow:
        if self.down:
            raise OSError("down")
        return QueueRow("diamond" if customer_ref == VIP else None, customer_ref == VIP, None, 0.0)


class Trail:
    """What was refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []

    def record(
        self, actor: Actor, action: Any, resource: Any, decision: Any, about: str = "", request_id: str = ""
    ) -> None:
        assert request_id
        self.refused.append((actor.actor_id, about))


class Desk:
    """The interface with keys of a branch: `kiosk`, `counter`, `lobby`, and a kiosk of another branch."""

    def __init__(self, url: str, prefix: str, rate_max: int = 0) -> None:
        self.view, self.trail = View(), Trail()
        self.lookup = Lookup(self.view, "ordinary", lambda: DAY)
        store = TicketStore(ticket_client(url), TicketKeys.of(prefix), compile_queue(load_pack(PACK)), lambda: DAY)
        self.ticketing = Ticketing(store, self.lookup, "ordinary")
        self.app = create_app(self.lookup)
        self.may = TicketRights(RequestCallers(lambda _: None, keys=self), self.trail)
        add_tickets(self.app, self.ticketing, self.may, rate_max)
        self.count = 0

    def actor(self, text: str) -> Actor | None:
        """Whose key it is."""
        name = text.removeprefix("tgk_")
        role = {
            "kiosk": Role.KIOSK,
            "counter": Role.COUNTER,
            "lobby": Role.LOBBY,
            "far": Role.KIOSK,
            "rotated": Role.KIOSK,
        }.get(name)
        return role and Actor(f"key {name}", role, ("hq", "west" if name == "far" else "east", "0102"))

    def ask(self, who: str, method: str, path: str, request: str = "", **body: Any) -> Any:
        self.count += 1
        headers = {"Authorization": f"Bearer tgk_{who}", "Idempotency-Key": request or f"r{self.count}"}
        return self.client.request(method, path, headers=headers, json=body if method == "POST" else None)

    def made(self, who: str, path: str, request: str = "", **body: Any) -> Any:
        answer = self.ask(who, "POST", path, request, **body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
def desk(redis_server: str, topic_prefix: str) -> Iterator[Desk]:
    found = Desk(redis_server, topic_prefix)
    with TestClient(found.app) as found.client:
        yield found


def test_a_ticket_from_issue_to_the_end(desk: Desk) -> None:
    """A VIP goes first, an ordinary customer is told why; each step has its answer."""
    first = desk.made("kiosk", "/v1/tickets", service="cash")
    own = desk.made("kiosk", "/v1/tickets", service="cash", customer_ref=GONE)
    assert (own["number"], own["position"], own["queue_class"], own["vip_area"]) == ("D002", 2, "ordinary", False)
    assert own["overtaken_by_less_than"][0] == {"queue_class": "diamond", "minutes": 30}
    vip = desk.made("kiosk", "/v1/tickets", service="cash", customer_ref=VIP)
    assert (vip["number"], vip["position"], vip["vip_area"]) == ("A001", 1, True)
    now = desk.ask("kiosk", "GET", f"/v1/tickets/{own['ticket']}").json()
    assert now["position"] == 3
    assert now["ahead_since"] == [{"cause": "class", "queue_class": "diamond", "tickets": 1}]
    called = desk.made("counter", "/v1/counters/1/next")
    assert called["ticket"]["ticket"] == vip["ticket"]
    busy = desk.ask("counter", "POST", "/v1/counters/1/next")
    assert (busy.status_code, busy.json()["type"], busy.json()["ticket"]) == (
        409, "urn:tidegauge:problem:counter-busy", vip["ticket"],
    )  # fmt: skip
    path = f"/v1/tickets/{vip['ticket']}"
    assert desk.made("counter", f"{path}/holder", counter="1", customer_ref=VIP)["holder"] == "same"
    assert desk.made("counter", f"{path}/holder", counter="1", customer_ref=GONE) == {
        "holder": "other",
        "identity_check": True,
    }
    assert desk.made("counter", f"{path}/recall", counter="1")["state"] == "called"
    assert desk.made("counter", f"{path}/transfer", counter="1", service="loans")["service"] == "loans"
    assert desk.made("counter", "/v1/counters/1/next")["ticket"]["ticket"] == vip["ticket"]
    assert desk.made("counter", f"{path}/no-show", counter="1")["state"] == "no_show"
    assert desk.made("counter", f"{path}/back")["state"] == "waiting"
    assert desk.made("counter", "/v1/counters/2/next")["ticket"]["ticket"] == vip["ticket"]
    assert desk.made("counter", f"{path}/complete", counter="2", served=["loan"])["state"] == "completed"
    assert desk.made("kiosk", f"/v1/tickets/{first['ticket']}/leave")["state"] == "left"
    state = desk.ask("lobby", "GET", "/v1/branch").json()
    assert {one["queue_class"]: one["waiting"] for one in state["waiting"]} == {
        "diamond": 0, "platinum": 0, "gold": 0, "ordinary": 1,
    }  # fmt: skip
    assert [one["number"] for one in state["calls"]] == ["A001"] * 4


def test_who_may(desk: Desk) -> None:
    """A kiosk issues, a counter serves, the lobby runs the hall, each at its own branch; who is nobody learns nothing."""
    own = desk.made("kiosk", "/v1/tickets")
    for who, method, path, body in (
        ("kiosk", "POST", "/v1/counters/1/next", {}),
        ("counter", "POST", "/v1/tickets", {"service": "cash"}),
        ("kiosk", "POST", "/v1/tickets/courtesy", {"queue_class": "gold", "reason": "experience"}),
        ("counter", "POST", "/v1/branch/close", {"reason": "no power"}),
        ("far", "GET", f"/v1/tickets/{own['ticket']}?branch=east/0102", {}),
        ("far", "GET", "/v1/tickets/1?branch=no/such", {}),
    ):
        answer = desk.ask(who, method, path, **body)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:tidegauge:problem:not-allowed"), (who, path)
    assert len(desk.trail.refused) == 6
    assert desk.ask("far", "GET", f"/v1/tickets/{own['ticket']}").status_code == 404, (
        "its own branch has no such ticket"
    )
    for who in ("nobody", "", "kiosk\u00e4"):
        answer = desk.client.post("/v1/tickets", headers={"Authorization": f"Bearer tgk_{who}".encode()}, json={})
        assert answer.status_code in (401, 422)
    courtesy = desk.made("lobby", "/v1/tickets/courtesy", queue_class="gold", reason="experience day")
    assert courtesy["queue_class"] == "gold"
    step = desk.ask("lobby", "POST", "/v1/tickets", queue_class="gold")
    assert step.json()["type"].endswith("not-an-open-class"), "a card's class is not given away at a kiosk"


def key_limit(app: FastAPI) -> RateLimit:
    """How often a key may ask at an application, with a clock that stands."""
    (found,) = (one.args[2] for one in app.user_middleware if one.cls is TicketExpress)
    assert isinstance(found, RateLimit)
    found.clock = lambda: 0
    return found


def test_a_key_that_asks_too_often(redis_server: str, topic_prefix: str) -> None:
    """Is told to wait a second, by whatever route it comes; the others go on, and so does it a second later."""
    found = Desk(redis_server, topic_prefix, rate_max=1)
    limit = key_limit(found.app)
    with TestClient(found.app) as found.client:
        for _ in range(BURST_S):
            found.made("kiosk", "/v1/tickets")
        for method, path in (
            ("POST", "/v1/tickets"),
            ("GET", "/v1/branch"),
            ("GET", "/v1/tickets/1"),
            ("POST", "/v1/counters/1/next"),
        ):
            answer = found.ask("kiosk", method, path)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert answer.json()["type"] == "urn:tidegauge:problem:too-many-requests"
        assert found.made("counter", "/v1/counters/1/next")["ticket"] is not None
        limit.clock = lambda: SECOND_NS
        assert found.ask("kiosk", "GET", "/v1/branch").status_code == 200


def test_a_refusal_does_not_wait_for_brokers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose record can't be kept yet is refused as well; what is too much is in the log alone, and the others follow."""
    monkeypatch.setattr(refusals, "REFUSAL_WAIT_S", 0.01)
    waiting, brokers, record = desk.may.refusals._waiting, threading.Event(), desk.trail.record
    waiting.maxsize = 2

    def stuck(*words: Any) -> None:
        brokers.wait()
        record(*words)

    monkeypatch.setattr(desk.trail, "record", stuck)
    try:
        for number in range(refusals.REFUSAL_THREADS + waiting.maxsize + 1):
            answer = desk.ask("kiosk", "POST", "/v1/counters/1/next")
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:tidegauge:problem:not-allowed")
            if number < refusals.REFUSAL_THREADS:
                waited(waiting.empty, "nobody takes it up")
        assert [one.message for one in caplog.records] == ["a refusal is not on record: 2 others wait for theirs"]
        assert desk.made("kiosk", "/v1/tickets")["state"] == "waiting"
    finally:
        brokers.set()
    waited(lambda: len(desk.trail.refused) == refusals.REFUSAL_THREADS + waiting.maxsize, "records are lost")


def test_unknown_and_ordinary_are_alike(desk: Desk) -> None:
    """But for number, place and time; a view that is down gives the default class, marked."""
    answers = [desk.made("kiosk", "/v1/tickets", customer_ref=ref) for ref in (GONE, "x", "a" * 64)]
    shapes = [{**one, "ticket": 0, "ticket_id": "", "number": "", "position": 0, "arrival": ""} for one in answers]
    assert shapes[0] == shapes[1] == shapes[2]
    desk.view.down = True
    lost = desk.made("kiosk", "/v1/tickets", customer_ref=VIP)
    assert (lost["queue_class"], lost["degraded"]) == ("ordinary", True)


def test_a_ticket_is_nobodys_identity(desk: Desk) -> None:
    """The counter learns whether the person it has checked is the ticket's holder (R-240); of a walk-in it can't be told.

    Every answer says that the check stays (R-242, R-080), also of a VIP's.
    """
    desk.made("kiosk", "/v1/tickets", customer_ref=VIP, previous_ref=NEW)
    desk.made("kiosk", "/v1/tickets")
    told = []
    for persons in ((VIP, NEW, GONE), (VIP,)):
        called = desk.made("counter", "/v1/counters/1/next")["ticket"]
        assert called["identity_check"] is True
        path = f"/v1/tickets/{called['ticket']}"
        told += [desk.made("counter", f"{path}/holder", counter="1", customer_ref=person) for person in persons]
        desk.made("counter", f"{path}/complete", counter="1")
    assert [one["holder"] for one in told] == ["same", "same", "other", "unknown"]
    assert all(one["identity_check"] is True for one in told)


def test_a_courtesy_is_on_record(desk: Desk) -> None:
    """Staff give somebody the service of a class that he does not have (R-092): by whom and why is kept."""
    given = {"queue_class": "gold", "reason": "experience day"}
    assert desk.ask("kiosk", "POST", "/v1/tickets/courtesy", **given).status_code == 403
    own = desk.made("lobby", "/v1/tickets/courtesy", **given)
    assert (own["queue_class"], own["position"], own["vip_area"]) == ("gold", 1, False)
    store = desk.ticketing.store
    assert desk.client.portal is not None
    found: Any = desk.client.portal.call(store.client.xrange, store.keys.outbox)
    (step,) = (json.loads(fields[b"e"]) for _, fields in found)
    assert [step[name] for name in ("action", "class", "reason", "actor")] == [
        "issued",
        "gold",
        "experience day",
        "key lobby",
    ]


def test_printed_without_the_service(desk: Desk) -> None:
    """In the order of printing, each number once, however often they are reported."""
    at = datetime.now(UTC) - timedelta(minutes=20)
    desk.made("kiosk", "/v1/tickets")
    given = [{"number": f"K1-{n}", "printed_at": (at + timedelta(minutes=n)).isoformat()} for n in (2, 1)]
    first = desk.made("kiosk", "/v1/tickets/printed", tickets=given)
    assert [one["number"] for one in first] == ["K1-1", "K1-2"]
    again = desk.made("kiosk", "/v1/tickets/printed", tickets=given)
    assert [one["ticket"] for one in again] == [one["ticket"] for one in first]
    assert desk.made("counter", "/v1/counters/1/next")["ticket"]["number"] == "K1-1"


def test_a_printed_number_is_one_ticket(desk: Desk) -> None:
    """Whichever key reports it; none is of the form of those that the service gives, or stands for two tickets."""
    at = datetime.now(UTC).replace(tzinfo=None)
    given = [{"number": "K1-1", "printed_at": at.isoformat()}]
    first = desk.made("kiosk", "/v1/tickets/printed", tickets=given)
    assert desk.made("rotated", "/v1/tickets/printed", tickets=given) == first
    other = [{"number": "K1-1", "printed_at": (at - timedelta(minutes=1)).isoformat() + "+00:00"}]
    refused = desk.ask("rotated", "POST", "/v1/tickets/printed", tickets=other)
    assert refused.json()["type"].endswith("request-id-reused")
    for number in ("D001", "A1234"):
        none = desk.ask("kiosk", "POST", "/v1/tickets/printed", tickets=[{**given[0], "number": number}])
        assert (none.status_code, none.json()["type"]) == (422, "urn:tidegauge:problem:not-understood")
    mixed = [{**given[0], "number": "K1-2"}, {**other[0], "number": "K1-3"}]
    told = desk.made("kiosk", "/v1/tickets/printed", tickets=mixed)
    assert [one["number"] for one in told] == ["K1-3", "K1-2"], "with a zone and without one"


def test_nothing_is_printed_before_the_day(desk: Desk) -> None:
    """A kiosk prints itself before nobody of days before; days begin where the bank is."""
    desk.ticketing.zone = ZoneInfo("Asia/Shanghai")
    given = [{"number": "K1-1", "printed_at": "1970-01-02T00:00:00+00:00"}]
    told = desk.made("kiosk", "/v1/tickets/printed", tickets=given)
    assert datetime.fromisoformat(told[0]["arrival"]) == datetime(2026, 3, 1, 16, tzinfo=UTC)


def test_without_the_store(desk: Desk) -> None:
    """503 within 200 ms, whether nobody listens there or nobody answers; the look-up goes on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for url in ("redis://127.0.0.1:1/0", f"redis://127.0.0.1:{port}/0"):
            desk.ticketing.store.client = ticket_client(url)
            for who, path, body in (
                ("kiosk", "/v1/tickets", {"service": "cash"}),
                ("counter", "/v1/counters/1/next", {}),
            ):
                began = time.perf_counter()
                answer = desk.ask(who, "POST", path, **body)
                took = time.perf_counter() - began
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:tidegauge:problem:queue-unavailable")
                assert took < 0.2, f"{1000 * took:.0f} ms"
    assert desk.client.get(f"/v1/priority/{VIP}").json()["queue_class"] == "diamond"


def test_a_class_changes_while_somebody_waits(desk: Desk) -> None:
    """The ticket moves at once, and the next call follows it."""
    desk.made("kiosk", "/v1/tickets")
    own = desk.made("kiosk", "/v1/tickets", customer_ref=GONE, previous_ref=NEW)
    assert own["position"] == 2
    assert desk.client.portal.call(desk.ticketing.rerank, NEW, "diamond", True, "queue-priority") == 1
    now = desk.ask("kiosk", "GET", f"/v1/tickets/{own['ticket']}").json()
    assert (now["position"], now["queue_class"], now["vip_area"]) == (1, "diamond", True)
    assert desk.made("counter", "/v1/counters/1/next")["ticket"]["ticket"] == own["ticket"]


def test_requests_that_are_none(desk: Desk) -> None:
    """Problems of RFC 9457 that repeat nothing of the request."""
    for body in (
        {"service": "no such service!"},
        {"surname": "Li"},
        {"customer_ref": "x" * 65},
        {"appointment": "soon"},
    ):
        answer = desk.ask("kiosk", "POST", "/v1/tickets", **body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json() == {
            "type": "urn:tidegauge:problem:not-understood", "title": "The request is not as the description says.", "status": 422,
        }  # fmt: skip
    made = desk.made("kiosk", "/v1/tickets", request="same", service="cash")
    assert desk.made("kiosk", "/v1/tickets", request="same", service="cash")["ticket"] == made["ticket"]
    other = desk.ask("kiosk", "POST", "/v1/tickets", "same", service="loans")
    assert other.json()["type"].endswith("request-id-reused")


def test_an_open_class_stays(desk: Desk, tmp_path: Path) -> None:
    """Anybody may be given it at the kiosk; a card's class goes before it where it is called first, and does not take it away.

    A pack has such a class as docs/policies.md writes it.
    """
    (line,) = re.findall(r"^ *- \{id: elderly, .*$", POLICIES_PAGE.read_text(), re.MULTILINE)
    gold = "        - {id: gold, name"
    pack = Path(policies.__file__).with_name("packs") / f"{PACK}.yaml"
    own_pack = tmp_path / "own.yaml"
    own_pack.write_text(pack.read_text().replace(gold, f"        {line.strip()}\n{gold}"))
    desk.ticketing.store.queue = compile_queue(load_pack(own_pack))
    own = desk.made("kiosk", "/v1/tickets", customer_ref=GONE, queue_class="elderly")
    assert (own["queue_class"], own["number"]) == ("elderly", "C001")
    assert desk.made("kiosk", "/v1/tickets", customer_ref=VIP, queue_class="elderly")["queue_class"] == "diamond"
    rerank = desk.ticketing.rerank
    assert desk.client.portal.call(rerank, GONE, "ordinary", False, "queue-priority") == 0
    assert desk.client.portal.call(rerank, GONE, "platinum", True, "queue-priority") == 1
    assert desk.client.portal.call(rerank, GONE, "gold", False, "queue-priority") == 1
    assert desk.ask("kiosk", "GET", f"/v1/tickets/{own['ticket']}").json()["queue_class"] == "elderly"
