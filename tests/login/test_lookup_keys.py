"""The look-up answers whoever comes with a key of his branch; nobody else, and nobody learns more by a key."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import psycopg
import pytest

from deploy.connections.database import connected
from services.access import keys as kept
from services.access.decision import Role, unit_of
from services.access.keys import KeyBook, issue_key, revoke_key
from services.database.migrations import migrate
from services.queue.lookup import QueueRow
from services.queue.priority import create_app, watching
from tests.services.contract_priorityview import REF
from tests.services.test_priority import DEFAULT, MemoryPriorityView, lookup_of

NOW = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
OTHER = "z" * 26


class Tables:
    """The table of keys, without a database."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.away = False

    def add(self, number: int, role: str = "kiosk", days: int = 30) -> str:
        text = f"tgk_{number:016x}_{chr(97 + number) * 43}"
        self.rows.append((text[4:20], kept._digest(text), role, "hq/east/0102", NOW + dt.timedelta(days=days)))
        return text

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        if self.away:
            raise psycopg.OperationalError
        yield self

    def execute(self, *_: Any) -> "Tables":
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


async def ask(app: Any, key: str | None, ref: str = REF, header: str = "ApiKey {}") -> tuple[int, Any]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
        headers = {} if key is None else {"Authorization": header.format(key)}
        answer = await client.get(f"/v1/priority/{ref}", headers=headers)
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


async def test_who_is_answered() -> None:
    """Two keys at once while one is changed for the other; what is no key that counts gets 401, whoever is asked about."""
    tables, clock = Tables(), [NOW]
    one, two, short = tables.add(1), tables.add(2), tables.add(3, days=1)
    book = KeyBook(tables, lambda: clock[0])
    book.read()
    row = QueueRow("gold", True, None, 1.0)
    view = MemoryPriorityView({REF: row})
    app = create_app(lookup_of(view), keys=book)
    for key in (one, two, short):
        assert (await ask(app, key))[1]["queue_class"] == "gold"
        assert await ask(app, key, OTHER) == (200, DEFAULT), "an unknown customer is an ordinary one"
    reads = view.reads
    problem = {"type": "about:blank", "title": "The key does not count", "status": 401}
    wrong = (
        None,
        "",
        one[:-1],
        one[:-1] + "B",
        one[:21] + two[21:],
        two.upper(),
        "tgk_" + "0" * 16 + "_" + "x" * 43,
        one + " x",
    )
    for bad in wrong:
        for ref in (REF, OTHER, "nonsense"):
            assert await ask(app, bad, ref) == (401, problem)
    assert await ask(app, one, header="Basic {}") == (401, problem)
    clock[0] = NOW + dt.timedelta(days=2)
    assert (await ask(app, short))[0] == 401
    del tables.rows[0]
    book.read()
    assert [(await ask(app, key))[0] for key in (one, two)] == [401, 200]
    assert view.reads == reads + 1, "nobody is looked up for who has no key"
    _, metrics, _ = watching(app)["/metrics"]()
    assert f'tidegauge_priority_answers_total{{result="no_key"}} {float(3 * len(wrong) + 3)}'.encode() in metrics


def test_while_the_database_is_away() -> None:
    """The keys last read go on counting, for a stated time; a process that has read none answers nobody."""
    tables, seconds = Tables(), [0.0]
    key = tables.add(1)
    book = KeyBook(tables, lambda: NOW, lambda: seconds[0])
    assert book.actor(key) is None
    book.read()
    tables.away = True
    with pytest.raises(psycopg.OperationalError):
        book.read()
    seconds[0] = kept.OLD_S_MAX
    assert book.actor(key)
    seconds[0] += 1
    assert book.actor(key) is None
    with pytest.raises(psycopg.OperationalError):
        KeyBook(tables).follow()


@pytest.mark.integration
async def test_keys_are_read_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one counts and a revoked one counts no more, within seconds and without a restart."""
    monkeypatch.setattr(kept, "READ_S", 0.05)
    now = dt.datetime.now(dt.UTC)
    with connected(database, autocommit=True) as connection:
        migrate(connection)
        book = KeyBook(lambda: connected(database))
        book.follow()
        with connection.transaction():
            made, text = issue_key(connection, Role.KIOSK, unit_of("hq/east/0102"), "admin", now, 30)
        for count in (True, False):
            async with asyncio.timeout(10):
                while bool(actor := book.actor(text)) != count:  # noqa: ASYNC110 - a thread reads
                    await asyncio.sleep(0.02)
            if actor:
                assert (actor.role, actor.unit, actor.actor_id) == (
                    Role.KIOSK,
                    ("hq", "east", "0102"),
                    f"key {made.key_id}",
                )
                revoke_key(connection, made.key_id, now)
        book.close()
