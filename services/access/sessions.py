"""Sessions of people who have logged in: what a request needs is in Redis and ends by itself, what is kept longer in PostgreSQL.

A cookie is the session's name and a secret; Redis has the secret's digest alone. A session belongs to one browser:

- It is bound to the browser's name (`User-Agent`). One with another name ends it.
- Its secret changes every ROTATE_S while it is used. A secret that has been replaced ends it as soon as somebody comes with it:
  of two browsers with one cookie the second one to come after a change is found out, and then neither has a session.

A cookie that was copied is so worth something for some minutes, to somebody who also knows the browser's name; docs/security.md
says so.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

ROTATE_S: Final = 300
GRACE_S: Final = 30
"""A replaced secret still counts so long after the new one has been used: requests that were on their way."""

AGAIN_S: Final = 60
"""A new secret that nobody has used is replaced after so long: its answer may have been lost."""

SESSIONS_MAX: Final = 10
"""Of one person at once; with another one the oldest ends."""

LOGOUTS_S: Final = 3600
"""The issuer's notices of logouts are remembered for so long; older ones don't count."""

_FORM: Final = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")
Why = Literal["logout", "issuer", "stolen", "another session", "left"]


class Session(NamedTuple):
    """A session in which somebody asks. `login`: as the list of staff knows him. `csrf`: what his pages post with.

    `cookie`: what his browser has to keep from now on; empty: what it has.
    """

    session_id: str
    login: str
    csrf: str
    cookie: str = ""


class LoggedIn(NamedTuple):
    """Who has logged in, as the issuer says. `issuer_session` is empty where it does not."""

    staff_id: str
    login: str
    issuer: str
    subject: str
    issuer_session: str


class Limits(NamedTuple):
    """How long a session lasts: unused, and in all."""

    idle: timedelta
    total: timedelta


# By the server's own clock. Returns what became of it, and the session's fields.
_TOUCH: Final = """
local f = redis.call('HMGET', KEYS[1], 'secret', 'agent', 'ends', 'since', 'before', 'next', 'next_at', 'login', 'csrf')
if not f[1] then return {'none'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if now >= tonumber(f[3]) then redis.call('DEL', KEYS[1]) return {'none'} end
local given, agent, new = ARGV[1], ARGV[2], ARGV[3]
local what = 'good'
if agent ~= f[2] then what = 'stolen'
elseif given == f[6] then
  redis.call('HSET', KEYS[1], 'secret', given, 'before', f[1], 'since', now, 'next', '')
elseif given == f[1] then
  if now - tonumber(f[4]) >= tonumber(ARGV[5]) and now - tonumber(f[7]) >= tonumber(ARGV[6]) then
    redis.call('HSET', KEYS[1], 'next', new, 'next_at', now)
    what = 'changed'
  end
elseif given ~= f[5] or now - tonumber(f[4]) >= tonumber(ARGV[7]) then what = 'stolen'
end
if what == 'stolen' then redis.call('DEL', KEYS[1]) return {what} end
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[4]), tonumber(f[3]) - now)))
return {what, f[8], f[9]}
"""
_BEGIN: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'secret', ARGV[1], 'agent', ARGV[2], 'ends', now + ARGV[4], 'since', now, 'before', '', 'next', '',
  'next_at', 0, 'login', ARGV[5], 'csrf', ARGV[6])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
"""


class Sessions:
    """The sessions of an installation. Calls wait for Redis and PostgreSQL: redis.RedisError, psycopg.Error.

    prefix: of the installation's keys. database: a connection whose transaction ends with it.
    """

    def __init__(
        self, client: Redis, prefix: str, database: Callable[[], AbstractContextManager[Connection[Any]]], limits: Limits,
        rotate_s: float = ROTATE_S, grace_s: float = GRACE_S,
    ) -> None:  # fmt: skip
        self._client, self._prefix, self._database, self.limits = client, prefix, database, limits
        self._times = [round(1000 * seconds) for seconds in (rotate_s, min(AGAIN_S, rotate_s), grace_s)]
        self._touch, self._begin = client.register_script(_TOUCH), client.register_script(_BEGIN)

    def begin(self, who: LoggedIn, agent: str) -> Session:
        """A new session, with a name that nobody has seen before. It is in PostgreSQL before it counts."""
        session_id, secret, csrf = uuid.uuid4().hex, secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        with self._database() as connection:
            connection.execute(
                "INSERT INTO access.sessions (session_id, staff_id, issuer, subject, issuer_session, begun_at, ends_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (session_id, who.staff_id, who.issuer, who.subject, who.issuer_session or None, now, now + self.limits.total),
            )  # fmt: skip
            older = connection.execute(
                "SELECT session_id FROM access.sessions WHERE staff_id = %s AND ended_at IS NULL AND ends_at > %s"
                " ORDER BY begun_at DESC, session_id OFFSET %s",
                (who.staff_id, now, SESSIONS_MAX),
            ).fetchall()
        for (other,) in older:
            self.end(other.hex, "another session")
        idle, total = (round(limit / timedelta(milliseconds=1)) for limit in self.limits)
        self._begin(keys=[self._key(session_id)], args=[_digest(secret), _digest(agent), idle, total, who.login, csrf])
        return Session(session_id, who.login, csrf, f"{session_id}.{secret}")

    def find(self, cookie: str, agent: str) -> Session | None:
        """The session of a cookie that this browser may have; None for none. It lasts longer by having been asked for."""
        found = _FORM.fullmatch(cookie)
        if found is None:
            return None
        session_id, secret = found.groups()
        new = secrets.token_urlsafe(32)
        idle = round(self.limits.idle / timedelta(milliseconds=1))
        args: list[str | int] = [_digest(secret), _digest(agent), _digest(new), idle, *self._times]
        what, *said = (part.decode() for part in self._touch(keys=[self._key(session_id)], args=args))
        if what == "stolen":
            self._ended([session_id], "stolen")
        if not said:
            return None
        login, csrf = said
        return Session(session_id, login, csrf, f"{session_id}.{new}" if what == "changed" else "")

    def end(self, session_id: str, why: Why) -> None:
        """End a session at once. Again is harmless."""
        self._client.delete(self._key(session_id))
        self._ended([session_id], why)

    def end_of_issuer(self, issuer: str, subject: str, issuer_session: str, notice: str) -> int:
        """End what a notice of the issuer names: one of its sessions, else all of a subject. Returns how many.

        notice: its name, which counts once.
        """
        with self._database() as connection:
            named = [
                session_id.hex
                for (session_id,) in connection.execute(
                    "SELECT session_id FROM access.sessions WHERE ended_at IS NULL AND issuer = %s"
                    " AND (%s = '' OR subject = %s) AND (%s = '' OR issuer_session = %s)",
                    (issuer, subject, subject, issuer_session, issuer_session),
                )
            ]
        for session_id in named:
            self._client.delete(self._key(session_id))
        self._ended(named, "issuer")
        self._client.set(f"{self._prefix}logout:{_digest(notice)}", 1, ex=LOGOUTS_S)
        return len(named)

    def heard(self, notice: str) -> bool:
        """Whether a notice of the issuer has been taken before."""
        return bool(self._client.exists(f"{self._prefix}logout:{_digest(notice)}"))

    def _ended(self, session_ids: list[str], why: Why) -> None:
        with self._database() as connection:
            connection.execute(
                "UPDATE access.sessions SET ended_at = now(), ended_by = %s"
                " WHERE session_id = ANY(%s::uuid[]) AND ended_at IS NULL",
                (why, session_ids),
            )

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}session:{session_id}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
