"""Puts together from the settings what web services need to know who asks: keys of machines, and people's logins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from redis import Redis

from deploy.connections.database import connected
from deploy.errors import KeyLostError
from services.access.callers import RequestCallers
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


def key_book(settings: Settings) -> KeyBook:
    """The keys of machines, followed from now on. psycopg.Error where they can't be read, MigrationError."""
    database = _database(settings)
    with database() as connection:
        check_migrated(connection)
    keys = KeyBook(database)
    keys.follow()
    return keys


def _database(settings: Settings) -> Callable[[], Connection[Any]]:
    """Makes connections whose transactions end with them."""
    return partial(connected, settings.database)


def people_login(settings: Settings, *, with_keys: bool) -> Login:
    """What the pages of a web service need so that people log in, and what tells who sends its requests.

    with_keys: machines come with keys too; psycopg.Error where these can't be read. KeyLostError where a setting is missing.
    """
    for name in ("token_issuer", "login_url"):
        if not getattr(settings, name):
            hint = "docs/security.md, people log in, has what to set"
            raise KeyLostError(f"nobody can log in: TIDEGAUGE_{name.upper()} is not set", hint)
    database, prefix = _database(settings), Keys.of(settings.topic_prefix).prefix
    limits = Limits(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours))
    sessions = Sessions(_redis(settings), prefix, database, limits)
    issuer = Issuer(settings.token_issuer, settings.token_ca, settings.token_keys)
    people = People(database, lambda: datetime.now(settings.tz).date())
    origin = settings.login_url.rstrip("/")
    callers = RequestCallers(
        people.actor, origin, sessions, issuer, settings.token_audience, settings.token_login_claim,
        key_book(settings) if with_keys else None,
    )  # fmt: skip
    secret = settings.login_client_secret.get_secret_value() if settings.login_client_secret else ""
    client = LoginClient(settings.login_client, secret, f"{origin}/callback")
    return Login(issuer, client, sessions, callers, settings.token_login_claim)
