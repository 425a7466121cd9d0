"""A desk that is served: a read model on a real PostgreSQL, people with sessions, and a worker that answers acts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import httpx2
from redis import ConnectionError as RedisAwayError
from redis import Redis

from deploy.connections.database import connected, pooled
from policies import load_pack
from schemas.codec.records import decode_one, encode
from services.access.audit import AuditTopic
from services.access.callers import SESSION_COOKIE, RequestCallers
from services.access.decision import PEOPLE as PEOPLE_ROLES
from services.access.decision import Actor, Role
from services.access.sessions import Limits, Session, Sessions
from services.access.tokens import TokenRefusedError
from services.commands.door import CommandDoor
from services.database.migrations import migrate
from services.desk.changes import CaseChanges
from services.desk.pages.setup import OWN_PAGES, desk_pages
from services.desk.queries import DeskQueries
from services.pages.development import DevelopmentLogin, install_development_login
from services.pages.site import PageSite
from services.pages.visitors import Visitors
from services.queue.server import listening, server
from services.readmodel.reader import ReadModel
from services.readmodel.store import PostgresReadStore
from services.staff.roster import Colleague
from streams.alerts.acts import STEPS_OF_ACTS
from tests.readmodel.bank import RECORDS, WORLD, changes, step
from tests.services.test_commands import MemoryCommands

NOW: Final = 1_774_950_000_000
PEOPLE: Final = {
    "wang": Actor("RM-1", Role.RM, ("hq", "B01")),
    "li": Actor("RM-2", Role.RM, ("hq", "B02")),
    "zhao": Actor("BM-1", Role.BRANCH_MANAGER, ("hq", "B01")),
    "till": Actor("T-1", Role.TELLER, ("hq", "B01")),
    "boss": Actor("P-1", Role.PRESIDENT, ("hq",)),
}
ROLES: Final = {f"as-{role}": Actor(f"id-{role}", role, ("hq", "B01")) for role in sorted(PEOPLE_ROLES)}
"""One of every role, of the first branch."""


class OpenSessions:
    """Of everybody who is known: the cookie's name is the login."""

    def find(self, cookie: str, agent: str) -> Session | None:
        name = cookie.partition(".")[2]
        return Session(name.ljust(32, "0"), name, f"token of {name}", "") if name in PEOPLE | ROLES else None

    def end(self, session_id: str, why: str) -> None:
        raise AssertionError("nobody has left")


class NamedTokens:
    """An issuer whose tokens are logins."""

    def claims(self, text: str, audience: str, now_s: int) -> dict[str, Any]:
        if text not in PEOPLE:
            raise TokenRefusedError("none of ours")
        return {"login": text}


class TestDesk:
    """answers: what a worker says of an act: "" applied, a code refused, None nothing yet.

    redis_url: for people who log in on the page of development; without it everybody has a session.
    """

    __test__ = False

    def __init__(self, database: str, redis_url: str = "") -> None:
        self.database, self.redis_url = database, redis_url
        self.store = PostgresReadStore(lambda: connected(database))
        self.store.settle(WORLD)
        self.offset = len(RECORDS)
        self.store.apply(changes(), {"all:0": (None, self.offset)})
        self.store.note_behind({"standings": 0})
        self.model = ReadModel(pooled(database, 4))
        self.commands, self.waiting = MemoryCommands(), dict[str, Future[dict[str, Any]]]()
        self.acts: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.answers: str | None = ""
        self.unrecorded = self.store_away = False
        self.address = ""
        trail = AuditTopic(self._keep, lambda: NOW)
        commands: Any = self.commands
        newest = DeskQueries(self.model).newest_step
        self.door = CommandDoor(commands, self, newest, self.write, trail, lambda: NOW, "Asia/Shanghai")

    def _keep(self, chain: str, entry: dict[str, Any]) -> None:
        if self.unrecorded:
            raise OSError("no broker")
        self.records.append(decode_one(encode("audit-log", entry), name="audit-log"))

    def branch(self, customer_id: str) -> str | None:
        return next(
            (
                value["branch"]
                for topic, value in RECORDS
                if topic == "customers" and value["customer_id"] == customer_id
            ),
            None,
        )

    def result_of(self, command_id: str) -> Future[dict[str, Any]]:
        return self.waiting.setdefault(command_id, Future())

    def forget(self, command_id: str, waiter: Future[dict[str, Any]]) -> None:
        self.waiting.pop(command_id, None)

    def write(self, record: Mapping[str, Any]) -> None:
        if self.store_away:
            raise RedisAwayError
        self.acts.append(dict(record))
        if self.answers is not None:
            self.answer(self.answers)

    def answer(self, code: str) -> None:
        """A worker has read the last act; where it is applied, its step comes to the read model."""
        act = self.acts[-1]
        if not code:
            name = act["action"]
            more = {"acknowledge": "acknowledged", "snooze": "snoozed", "resolve": "ended"}
            value = step(
                act["customer_id"], act["details"]["case"], STEPS_OF_ACTS[name], caused_by=act["event_id"],
                acted_by=act["stamped_by"], note=act["details"].get("reason"), attention=more.get(name, "waiting"),
                outcome=act["details"].get("outcome"), snoozed_until=act["expires_on"],
            )  # fmt: skip
            self.tell("rm-alerts", value)
        result = {
            "command_id": act["event_id"], "outcome": "refused" if code else "applied", "reason": code or None,
            "day": "2026-03-31",
        }  # fmt: skip
        self.commands.results[act["event_id"]] = result
        if act["event_id"] in self.waiting:
            self.waiting[act["event_id"]].set_result(result)

    def tell(self, topic: str, value: dict[str, Any]) -> None:
        """A record comes to the read model."""
        self.store.apply(changes([(topic, value)], self.offset), {"all:0": (self.offset, self.offset + 1)})
        self.offset += 1

    def app(self) -> Any:
        """The application."""
        sessions: Any = self._sessions() if self.redis_url else OpenSessions()
        issuer: Any = NamedTokens()
        callers = RequestCallers((PEOPLE | ROLES).get, self.address, sessions, issuer, login_claim="login")
        site, packs = PageSite([OWN_PAGES], "zh-CN"), [load_pack("rolling-quarter-aum")]
        changes = CaseChanges(lambda: connected(self.database, autocommit=True))
        visitors = Visitors(lambda _: None, callers)
        app = desk_pages(site, visitors, self.door, self.model, changes, packs, "CNY", staff_of)
        if self.redis_url:
            login = DevelopmentLogin(sessions, callers, lambda: connected(self.database))
            install_development_login(app, site, login)
        return app

    def _sessions(self) -> Sessions:
        """Real ones, of everybody on a list."""
        units = sorted({"/".join(one.unit) for one in PEOPLE.values()})
        staff = [(one.actor_id, login, login, str(one.role), "/".join(one.unit)) for login, one in PEOPLE.items()]
        with connected(self.database) as connection, connection.cursor() as cursor:
            migrate(connection)
            cursor.executemany(
                "INSERT INTO access.units (unit, name) VALUES (%s, %s)", [(unit, unit) for unit in units]
            )
            cursor.executemany(
                "INSERT INTO access.staff (staff_id, login, name, role, unit) VALUES (%s, %s, %s, %s, %s)", staff
            )
        limits = Limits(timedelta(minutes=30), timedelta(hours=10))
        return Sessions(
            Redis.from_url(self.redis_url), f"t{uuid4().hex[:8]}:", lambda: connected(self.database), limits
        )

    def client(self, login: str, language: str = "en") -> httpx2.Client:
        """A browser of somebody, without its scripts."""
        headers = {
            "Cookie": f"{SESSION_COOKIE}={cookie_of(login)}",
            "Origin": self.address,
            "Accept-Language": language,
        }
        limits = httpx2.Limits(keepalive_expiry=1)  # the server closes after some seconds, perhaps as a request leaves
        return httpx2.Client(base_url=self.address, headers=headers, limits=limits)


def staff_of(units: Sequence[str]) -> list[Colleague]:
    """Who of PEOPLE works in units, or below them."""
    people = [Colleague(one.actor_id, one.role, one.unit) for one in PEOPLE.values()]
    return [one for one in people if any(f"{'/'.join(one.unit)}/".startswith(f"{unit}/") for unit in units)]


def cookie_of(login: str) -> str:
    """The cookie of somebody's session."""
    return f"{'0' * 32}.{login}"


@contextmanager
def open_desk(database: str, redis_url: str = "") -> Iterator[TestDesk]:
    """A desk that is served."""
    desk = TestDesk(database, redis_url)
    socket = listening("127.0.0.1", 0)
    desk.address = f"http://localhost:{socket.getsockname()[1]}"
    running = server(desk.app(), 64)
    thread = threading.Thread(target=running.run, args=([socket],), daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        running.should_exit = True
        thread.join(15)
        desk.model.close()
        desk.store.close()
