"""The queue class look-up: an answer always, within its time, and no hint whether the customer exists."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import date
from typing import Any

import httpx2
import pytest
import redis.asyncio
import schemathesis
from hypothesis import HealthCheck, settings
from redis import ConnectionError as RedisConnectionError

from services.queue.lookup import Breaker, Lookup, QueueRow, RedisPriorityView
from services.queue.priority import create_app, watching
from services.views.keys import Keys
from tests.services.contract_priorityview import CONTRACT, REF

KEYS = Keys.of("")
TODAY = date(2026, 3, 2)
DEFAULT = {"queue_class": "ordinary", "vip_area": False, "valid_until": None, "degraded": False}
DEGRADED = DEFAULT | {"degraded": True}


class MemoryPriorityView:
    """A view in a dictionary; `failure` is raised instead of an answer, `hangs` never answers."""

    def __init__(self, rows: dict[str, QueueRow] | None = None, age_s: float | None = 1.0) -> None:
        self.rows, self.age_s = rows or {}, age_s
        self.failure: Exception | None = None
        self.hangs = False
        self.reads = 0

    async def read(self, customer_ref: str) -> QueueRow:
        self.reads += 1
        if self.failure:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        return self.rows.get(customer_ref, QueueRow(None, False, None, self.age_s))


def lookup_of(view: Any, **more: Any) -> Lookup:
    return Lookup(view, "ordinary", lambda: TODAY, **more)


async def ask(lookup: Lookup, ref: str = REF) -> Any:
    transport = httpx2.ASGITransport(create_app(lookup))
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
        response = await client.get(f"/v1/priority/{ref}")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    return response.json()


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
async def test_fake(check: Any) -> None:
    """The fake keeps the contract."""
    view = MemoryPriorityView(age_s=None)

    async def put(
        ref: str, queue_class: str, vip_area: bool, valid_until: date | None, *, fresh: bool, unreadable: bool = False
    ) -> None:
        view.age_s = 1.0 if fresh else None
        view.rows[ref] = QueueRow(queue_class, vip_area, valid_until, view.age_s, unreadable)

    await check(view, put)


@pytest.mark.integration
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
async def test_real(check: Any, redis_client: Any, redis_url: str) -> None:
    """The Redis view keeps the contract, on what the view writer's store has written."""
    from services.views.store import Chunk, IndexEntry, Put, RedisViewStore

    store = RedisViewStore(redis_client, KEYS)
    store.begin({"cluster": "c"}, ["queue-priority:0", "queue-priority:1", "standings:0"])

    async def put(
        ref: str, queue_class: str, vip_area: bool, valid_until: date | None, *, fresh: bool, unreadable: bool = False
    ) -> None:
        lacking = [IndexEntry(KEYS.lacking("queue-priority:1"), 3, ref, 9)] if unreadable else []
        fields = {
            "queue_class": queue_class, "vip_area": str(int(vip_area)),
            "valid_until": valid_until.isoformat() if valid_until else "",
        }  # fmt: skip
        store.apply("me", [Chunk("queue-priority:0", None, 5, [Put(KEYS.priority(ref), 1, fields), *lacking])])
        store.mark_fresh("me", {"queue-priority:0": (5, 0)} | ({"queue-priority:1": (None, 500)} if fresh else {}))

    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await check(RedisPriorityView(client, KEYS), put)


async def test_one_unreadable_record_degrades_one_customer() -> None:
    """His class is unknown, so he gets the default and it is said; everybody else has his own."""
    rows = {REF: QueueRow("gold", True, None, 1.0, unreadable=True), "z" * 26: QueueRow("gold", True, None, 1.0)}
    assert await ask(lookup_of(MemoryPriorityView(rows))) == DEGRADED
    assert (await ask(lookup_of(MemoryPriorityView(rows)), "z" * 26))["queue_class"] == "gold"


async def test_known_customer_gets_his_class() -> None:
    """A reference in, a class out."""
    view = MemoryPriorityView({REF: QueueRow("diamond", True, date(2026, 3, 2), 1.0)})
    expected = {"queue_class": "diamond", "vip_area": True, "valid_until": "2026-03-02", "degraded": False}
    assert await ask(lookup_of(view)) == expected


@pytest.mark.parametrize(
    "row",
    [
        QueueRow(None, False, None, 1.0),
        QueueRow("ordinary", False, None, 1.0),
        QueueRow("ordinary", False, date(2027, 1, 1), 1.0),
        QueueRow("gold", True, date(2026, 3, 1), 1.0),
    ],
    ids=["unknown", "ordinary", "ordinary with a validity", "expired"],
)
async def test_unknown_ordinary_and_expired_are_the_same(row: QueueRow) -> None:
    """Nobody learns from an answer whether a customer exists."""
    assert await ask(lookup_of(MemoryPriorityView({REF: row}))) == DEFAULT


@pytest.mark.parametrize(
    "ref",
    [
        "x",
        "ABC",
        REF + "a",
        "..%2f..%2f",
        "%00",
        "1" * 26,
        "a/b",
        "客户",
        "x" * 4000,
        "",
        "a%0Ab",
        "%0A",
        REF + "%0a",
        "%0d%0a/x",
        "%85",
        "%E2%80%A8",
    ],
)
async def test_malformed_reference_gets_the_default(ref: str) -> None:
    """A kiosk that sends nonsense gets a class, no error, and the view is not asked."""
    view = MemoryPriorityView()
    assert await ask(lookup_of(view), ref) == DEFAULT
    assert view.reads == 0


@pytest.mark.parametrize(
    "failure", [RedisConnectionError("down"), OSError("no route"), ValueError("broken row"), TimeoutError()]
)
async def test_a_view_that_fails_degrades(failure: Exception) -> None:
    """Redis down, unreachable, or holding nonsense: the default class, marked."""
    view = MemoryPriorityView()
    view.failure = failure
    assert await ask(lookup_of(view)) == DEGRADED


async def test_a_view_that_hangs_degrades_in_time() -> None:
    """A view that gives no answer is given up within the budget."""
    view = MemoryPriorityView()
    view.hangs = True
    async with asyncio.timeout(5):
        assert await ask(lookup_of(view, budget_s=0.01)) == DEGRADED


@pytest.mark.parametrize("age_s", [None, 31.0])
async def test_stale_view_degrades(age_s: float | None) -> None:
    """A view that was never complete, or not lately, is not trusted, not even for a customer it knows."""
    assert await ask(lookup_of(MemoryPriorityView({REF: QueueRow("gold", True, None, age_s)}))) == DEGRADED


@pytest.mark.parametrize(("own", "written", "degraded"), [
    ("1" * 16, "1" * 16, False), ("1" * 16, "2" * 16, True), (None, "2" * 16, False), ("1" * 16, None, False),
])  # fmt: skip
@pytest.mark.parametrize("name", ["reference_key", "zone"])
async def test_a_view_of_another_log_degrades(name: str, own: str | None, written: str | None, degraded: bool) -> None:
    """References of another key name nobody, and in another zone a class ends on another day: nothing would tell.

    Who has no key brings references.
    """
    view = MemoryPriorityView({REF: replace(QueueRow("gold", True, None, 1.0), **{name: written})})
    assert (await ask(lookup_of(view, **{name: own})))["degraded"] == degraded


async def test_breaker_spares_a_dead_view() -> None:
    """After some failures the view is left alone, tried again after a while, and used again when it answers."""
    now = [0.0]
    view = MemoryPriorityView({REF: QueueRow("gold", True, None, 1.0)})
    view.failure = RedisConnectionError("down")
    lookup = lookup_of(view, breaker=Breaker(3, 1.0, lambda: now[0]))
    for _ in range(10):
        assert (await lookup.answer(REF)).degraded
    assert view.reads == 3
    now[0], view.failure = 1.5, None
    assert [(await lookup.answer(REF)).queue_class for _ in range(2)] == ["gold", "gold"]
    assert view.reads == 5


async def test_real_server_gone(redis_url: str) -> None:
    """A port where nobody listens degrades the answer, at once and again and again."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from services.assembly import priority_client

    async with priority_client(f"redis://127.0.0.1:{port}") as client:
        lookup = lookup_of(RedisPriorityView(client, KEYS))
        assert [(await lookup.answer(REF)).degraded for _ in range(8)] == [True] * 8


async def test_no_trace_of_the_customer(caplog: pytest.LogCaptureFixture) -> None:
    """Neither logs nor metrics nor problems hold a reference."""
    caplog.set_level(logging.DEBUG)
    view = MemoryPriorityView()
    view.failure = RuntimeError(f"about {REF}")
    app = create_app(lookup_of(view))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://t") as client:
        await client.get(f"/v1/priority/{REF}")
        metrics = watching(app)["/metrics"]()[1].decode()
        wrong = await client.post(f"/v1/priority/{REF}")
        lost = await client.get(f"/v2/{REF}")
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any(REF in record.getMessage() for record in ours)
    assert 'tidegauge_priority_answers_total{result="broken"} 1.0' in metrics
    assert REF not in metrics + wrong.text + lost.text
    assert {(r.status_code, r.headers["content-type"]) for r in (wrong, lost)} == {
        (405, "application/problem+json"), (404, "application/problem+json"),
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs", "/redoc"])
async def test_kiosks_do_not_see_what_is_for_operators(path: str) -> None:
    """Metrics and the description of the interface are not on the kiosks' port."""
    transport = httpx2.ASGITransport(create_app(lookup_of(MemoryPriorityView())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
        assert (await client.get(path)).status_code == 404


KIOSKS = create_app(lookup_of(MemoryPriorityView()))
schema = schemathesis.openapi.from_dict(json.loads(watching(KIOSKS)["/openapi.json"]()[1]))
schema.app = KIOSKS


@schema.parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_openapi(case: Any) -> None:
    """Whatever fits the published contract is answered as it says."""
    case.call_and_validate()
