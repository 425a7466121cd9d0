"""Keys of machines: shown once, kept as digests, two at once, and worth nothing once they are revoked or have ended."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.connections.database import connected
from services.access.decision import MACHINES, Action, DataKind, Resource, Role, decide_access
from services.access.keys import KeyRefusedError, actor_of_key, issue_key, known_keys, revoke_key
from services.database.migrations import migrate
from tests.cli.invocation import call

pytestmark = pytest.mark.integration

NOW = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
UNIT = ("hq", "east", "0102")
Tables = psycopg.Connection[Any]


@pytest.fixture
def tables(database: str) -> Iterator[Tables]:
    """A connection to a database with tables."""
    with connected(database) as connection:
        migrate(connection)
        yield connection


def test_a_key_is_its_row(tables: Tables) -> None:
    """Role and unit of the key and no more: a kiosk gives queue classes of any branch, tickets of its own, and asks for cards."""
    _, text = issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, 30)
    actor = actor_of_key(tables, text, NOW)
    assert actor is not None and (actor.role, actor.unit) == (Role.KIOSK, UNIT)
    can = {
        (kind, action)
        for kind in DataKind
        for action in Action
        if decide_access(actor, action, Resource(kind, UNIT, requested_by="x")).allowed
    }
    issues = {(DataKind.TICKETS, Action.READ), (DataKind.TICKETS, Action.WRITE)}
    assert can == {(DataKind.QUEUE_CLASS, Action.READ), (DataKind.CARDS, Action.REQUEST)} | issues
    assert not decide_access(actor, Action.READ, Resource(DataKind.TICKETS, ("hq", "elsewhere"))).allowed


def test_only_the_digest_is_kept(tables: Tables) -> None:
    """Whoever reads the table has no key."""
    made, text = issue_key(tables, Role.COUNTER, UNIT, "admin", NOW, 30)
    row = str(tables.execute("SELECT to_jsonb(k) FROM access.api_keys AS k").fetchone())
    assert text not in row and text[21:] not in row and made.key_id in row


def test_two_at_once(tables: Tables) -> None:
    """While a key is changed both count; the third is refused until one is revoked, which then counts no more."""
    keys = [issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, 30) for _ in range(2)]
    assert all(actor_of_key(tables, text, NOW) for _, text in keys)
    with pytest.raises(KeyRefusedError, match="has 2 keys of role kiosk already"):
        issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, 30)
    issue_key(tables, Role.KIOSK, ("hq", "west"), "admin", NOW, 30)
    issue_key(tables, Role.COUNTER, UNIT, "admin", NOW, 30)
    revoke_key(tables, keys[0][0].key_id, NOW)
    assert [bool(actor_of_key(tables, text, NOW)) for _, text in keys] == [False, True]
    with pytest.raises(KeyRefusedError, match="no key"):
        revoke_key(tables, keys[0][0].key_id, NOW)
    assert len(known_keys(tables, NOW)) == 3


def test_it_ends(tables: Tables) -> None:
    """At its time, to the moment; then its place is free."""
    made, text = issue_key(tables, Role.SERVICE, UNIT, "admin", NOW, 1)
    assert actor_of_key(tables, text, made.expires_at - dt.timedelta(microseconds=1))
    assert actor_of_key(tables, text, made.expires_at) is None
    for _ in range(2):
        issue_key(tables, Role.SERVICE, UNIT, "admin", made.expires_at, 1)


@pytest.mark.parametrize(
    "change", [lambda t: "", lambda t: t[:-1], lambda t: t + "x", lambda t: t.upper(), lambda t: t[4:]]
)
def test_what_is_no_key(tables: Tables, change: Any) -> None:
    """Nobody comes with it; nor with another key's end."""
    _, text = issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, 30)
    _, other = issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, 30)
    assert actor_of_key(tables, change(text), NOW) is None
    assert actor_of_key(tables, text[:21] + other[21:], NOW) is None


def test_who_gets_none(tables: Tables) -> None:
    """People log in; a key lasts a stated time."""
    for role in set(Role) - MACHINES:
        with pytest.raises(KeyRefusedError, match="is a role of people"):
            issue_key(tables, role, UNIT, "admin", NOW, 30)
    for unit in (("hq", "x" * 8000), ("hq",) * 9, ("hq", "\0"), ("hq", "a\nb"), ("hq", "\x1b[31m")):
        with pytest.raises(KeyRefusedError, match="a unit has at most"):
            issue_key(tables, Role.KIOSK, unit, "admin", NOW, 30)
    for days in (0, 401):
        with pytest.raises(KeyRefusedError, match="1 to 400 days"):
            issue_key(tables, Role.KIOSK, UNIT, "admin", NOW, days)


def test_the_commands(database: str, tmp_path: Path) -> None:
    """Make, list and revoke; the list shows no key."""
    env = {
        "TIDEGAUGE_DATABASE_URL": database,
        "TIDEGAUGE_DATA_DIR": str(tmp_path),
        "TIDEGAUGE_ACTOR": "administrator:hq",
    }
    assert call("database", "migrate", env=env).code == 0
    made = json.loads(call("keys", "issue", "kiosk", "hq/east/0102", "--json", env=env).out)
    assert made["key"].startswith(f"tgk_{made['key_id']}_")
    assert "it is not shown again" in call("keys", "issue", "kiosk", "hq/east/0102", env=env).out
    done = call("keys", "issue", "kiosk", "hq/east/0102", env=env)
    assert (done.code, "has 2 keys of role kiosk" in done.err) == (2, True), done
    listed = call("keys", "list", "--json", env=env).out
    assert len(json.loads(listed)) == 2 and made["key"][21:] not in listed
    assert call("keys", "revoke", made["key_id"], env=env).out == f"revoked: {made['key_id']}\n"
    assert made["key_id"] not in call("keys", "list", env=env).out
    log = (tmp_path / "audit.ndjson").read_text()
    assert made["key"][21:] not in log and log.count('"write"') == 4
