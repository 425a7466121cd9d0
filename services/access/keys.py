"""Keys of machines: kiosks, counters, the card system. Each is of a role and a unit, two of them at once while one is changed.

A key is shown once, when it is made; kept is its digest alone. It has 256 random bits, so that a fast digest keeps it as well
as a slow one would. A process that is asked often knows the keys by itself (KeyBook).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from services.access.decision import MACHINES, UNIT_DEPTH_MAX, Actor, Role, unit_of

if TYPE_CHECKING:
    from psycopg import Connection

KEY_DAYS_MAX: Final = 400
UNIT_BYTES_MAX: Final = 128
SLOTS: Final = (1, 2)
KEY_BEGIN: Final = "tgk_"
READ_S: Final = 10.0
FIRST_S: Final = 1.0
"""Between tries while none has succeeded."""

OLD_S_MAX: Final = 4 * 3600
"""While the database is away the keys last read count for so long."""

KEYS_MAX: Final = 20_000
_NOTHING: Final = bytes(32)
_FORM: Final = re.compile(r"tgk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


log = logging.getLogger(__name__)


class KeyRefusedError(Exception):
    """A key can't be made, or there is none of that name."""


class ApiKey(NamedTuple):
    """What is known of a key: never the key itself."""

    key_id: str
    role: str
    unit: str
    made_by: str
    made_at: datetime
    expires_at: datetime


_COLUMNS: Final = ", ".join(ApiKey._fields)


def issue_key(
    connection: Connection[Any], role: Role, unit: tuple[str, ...], made_by: str, now: datetime, days: int
) -> tuple[ApiKey, str]:
    """A new key of a role and unit, inside the caller's transaction; and its text, which nobody can get again.

    KeyRefusedError for a role of people, a time that is too long, or a third key beside two that still count.
    """
    if role not in MACHINES:
        raise KeyRefusedError(f"{role} is a role of people; keys are for {', '.join(sorted(MACHINES))}")
    if not 0 < days <= KEY_DAYS_MAX:
        raise KeyRefusedError(f"a key lasts 1 to {KEY_DAYS_MAX} days, not {days}")
    path = "/".join(unit)
    if len(unit) > UNIT_DEPTH_MAX or len(path.encode()) > UNIT_BYTES_MAX or not path.isprintable():
        bounds = f"{UNIT_DEPTH_MAX} levels and {UNIT_BYTES_MAX} bytes"
        raise KeyRefusedError(f"a unit has at most {bounds}, and no control characters")
    connection.execute("LOCK TABLE access.api_keys IN SHARE ROW EXCLUSIVE MODE")
    connection.execute(
        "UPDATE access.api_keys SET revoked_at = expires_at WHERE revoked_at IS NULL AND expires_at <= %s", (now,)
    )
    used = {
        slot
        for (slot,) in connection.execute(
            "SELECT slot FROM access.api_keys WHERE role = %s AND unit = %s AND revoked_at IS NULL", (role, path)
        )
    }
    free = [slot for slot in SLOTS if slot not in used]
    if not free:
        raise KeyRefusedError(
            f"{path} has {len(SLOTS)} keys of role {role} already: revoke the one that nobody uses any more"
        )
    key_id = secrets.token_hex(8)
    text = f"{KEY_BEGIN}{key_id}_{secrets.token_urlsafe(32)}"
    made = ApiKey(key_id, role, path, made_by, now, now + timedelta(days=days))
    connection.execute(
        f"INSERT INTO access.api_keys ({_COLUMNS}, slot, digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (*made, free[0], _digest(text)),
    )
    return made, text


def actor_of_key(connection: Connection[Any], text: str, now: datetime) -> Actor | None:
    """Who comes with a key; None for one that is no key, was revoked, or has ended."""
    if not _FORM.fullmatch(text):
        return None
    row = connection.execute(
        "SELECT key_id, role, unit FROM access.api_keys WHERE digest = %s AND revoked_at IS NULL AND expires_at > %s",
        (_digest(text), now),
    ).fetchone()
    return None if row is None else Actor(f"key {row[0]}", Role(row[1]), unit_of(row[2]))


def named_by(text: str) -> str:
    """The name of the key that a text says it is; empty for what is no key."""
    found = _FORM.fullmatch(text)
    return found[1] if found else ""


def revoke_key(connection: Connection[Any], key_id: str, now: datetime) -> None:
    """End a key at once. KeyRefusedError where there is none of that name, or it has ended."""
    done = connection.execute(
        "UPDATE access.api_keys SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL AND expires_at > %s",
        (now, key_id, now),
    )
    if not done.rowcount:
        raise KeyRefusedError(f"no key {key_id} counts")


def known_keys(connection: Connection[Any], now: datetime) -> list[ApiKey]:
    """The keys that count, by unit and role."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM access.api_keys WHERE revoked_at IS NULL AND expires_at > %s ORDER BY unit, role, slot",
        (now,),
    )
    return [ApiKey(*row) for row in rows]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class KeptKey(NamedTuple):
    """A key by its digest."""

    digest: bytes
    actor: Actor
    expires_at: datetime


class KeyBook:
    """Tells who comes with a key: from the database every READ_S, and what it told last while that is away.

    So a kiosk gets its answer in time, whatever the database does. A key that was revoked counts for READ_S more.
    database: a connection whose transaction ends with it. now: the time of day, by which keys end.
    """

    def __init__(
        self, database: Callable[[], AbstractContextManager[Connection[Any]]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC), clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._database, self._now, self._clock = database, now, clock
        self._keys: dict[str, KeptKey] = {}
        self._read_at: float | None = None
        self._stop = threading.Event()

    def read(self) -> None:
        """Read the keys that count. psycopg.Error."""
        with self._database() as connection:
            rows = connection.execute(
                "SELECT key_id, digest, role, unit, expires_at FROM access.api_keys"
                " WHERE revoked_at IS NULL AND expires_at > %s ORDER BY made_at DESC LIMIT %s",
                (self._now(), KEYS_MAX),
            ).fetchall()
        self._keys = {
            key_id: KeptKey(bytes(digest), Actor(f"key {key_id}", Role(role), unit_of(unit)), expires_at)
            for key_id, digest, role, unit, expires_at in rows
        }
        self._read_at = self._clock()

    def follow(self, *, at_once: bool = True) -> None:
        """Read them every READ_S in a thread of its own until `close`; `at_once`: the first time now, psycopg.Error."""
        if at_once:
            self.read()
        threading.Thread(target=self._read_on, name="keys", daemon=True).start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()

    def actor(self, text: str) -> Actor | None:
        """Who comes with a key; None for what is none that counts. The time says nothing of how much of it was right."""
        if self._read_at is None or self._clock() - self._read_at > OLD_S_MAX:
            return None
        found = self._keys.get(named_by(text))
        right = hmac.compare_digest(_digest(text), found.digest if found else _NOTHING)
        return found.actor if found and right and found.expires_at > self._now() else None

    def _read_on(self) -> None:
        import psycopg

        away = False
        while not self._stop.wait(READ_S if self._read_at is not None else FIRST_S):
            try:
                self.read()
                away = False
            except (psycopg.Error, OSError) as problem:
                if not away:
                    log.warning("the keys of machines can't be read: %s", type(problem).__name__)
                away = True
