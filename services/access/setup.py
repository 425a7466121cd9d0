"""Puts together from the settings what web services need to know who asks: keys of machines, and people's logins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from redis import Redis

from deploy.connections.database import connected
from deploy.errors import KeyLostError
from services.access.callers import KnowsKeys, RequestCallers
from services.access.issuer import Issuer
from services.access.keys import KeyBook
from services.access.login import Login
from services.access.oidc import LoginClient
from services.access.sessions import Limits, Sessions
from services.database.migrations import check_migrated
from services.staff.people import People
from services.views.keys import Keys

if TYPE_CHECKING:
    from psycopg import Connection

    from deploy.settings import Settings

REDIS_S: Final = 2.0
REDIS_CONNECTIONS_MAX: Final = 64


def _redis(settings: Settings) -> Redis:
    """A blocking client whose waits end soon: somebody waits for a page."""
    return Redis.from_url(
        settings.redis, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S, max_connections=REDIS_CONNECTIONS_MAX
    )


def key_book(settings: Settings, *, at_once: bool = True) -> KeyBook:
    """The keys of machines, followed from now on. psycopg.Error where they can't be read, MigrationError.

    at_once: False for a service to which tokens come too: it begins without a database, and no key counts until there is one.
    """
    database = _database(settings)
    if at_once:
        with database() as connection:
            check_migrated(connection)
    keys = KeyBook(database)
    keys.follow(at_once=at_once)
    return keys


def _database(settings: Settings) -> Callable[[], Connection[Any]]:
    """Makes connections whose transactions end with them; what is needed for one is looked up when it is made."""
    return lambda: connected(settings.database)


def request_callers(settings: Settings, keys: KnowsKeys | None) -> RequestCallers:
    """What tells who sends a web service's requests.

    Machines by their keys, everybody by a token where an issuer is set, and people by a session where they log in too.
    """
    database = _database(settings)
    people = People(database, lambda: datetime.now(settings.tz).date())
    issuer = Issuer(settings.token_issuer, settings.token_ca, settings.token_keys) if settings.token_issuer else None
    sessions = _sessions(settings) if issuer is not None and settings.login_url else None
    return RequestCallers(
        people.actor, settings.login_url.rstrip("/"), sessions, issuer, settings.token_audience, settings.token_login_claim, keys
    )  # fmt: skip


def development_callers(settings: Settings, origin: str) -> RequestCallers:
    """What tells who visits pages of this machine alone, where there is no issuer of tokens. KeyLostError elsewhere.

    origin: of the pages, such as http://localhost:8084.
    """
    if not settings.own_machine:
        hint = "set TIDEGAUGE_TOKEN_ISSUER and TIDEGAUGE_LOGIN_URL: docs/security.md, people log in"
        raise KeyLostError("nobody can log in: there is no issuer of tokens", hint)
    people = People(_database(settings), lambda: datetime.now(settings.tz).date())
    return RequestCallers(people.actor, origin, _sessions(settings))


def _sessions(settings: Settings) -> Sessions:
    limits = Limits(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours))
    return Sessions(_redis(settings), Keys.of(settings.topic_prefix).prefix, _database(settings), limits)


def people_login(settings: Settings, callers: RequestCallers) -> Login:
    """What the pages of a web service need so that people log in. KeyLostError where a setting is missing.

    callers: of `request_callers`, who then know these people too.
    """
    for name in ("token_issuer", "login_url"):
        if not getattr(settings, name):
            hint = "docs/security.md, people log in, has what to set"
            raise KeyLostError(f"nobody can log in: TIDEGAUGE_{name.upper()} is not set", hint)
    assert callers.issuer is not None
    assert callers.sessions is not None
    secret = settings.login_client_secret.get_secret_value() if settings.login_client_secret else ""
    client = LoginClient(settings.login_client, secret, f"{callers.origin}/callback")
    return Login(callers.issuer, client, callers.sessions, callers, settings.token_login_claim)
