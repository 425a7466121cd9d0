"""Who comes with a request: by the token or the key of its Authorization header. A session's cookie will be a further way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.access.tokens import TokenRefusedError, TokenTrust, issuer_keys, login_of, machine_of, verified

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.access.decision import Actor

_BEARER: Final = "bearer "
_API_KEY: Final = "apikey "


class NobodyError(Exception):
    """Nobody is known by what came with the request. The text says nothing of it."""


ActorOf = Callable[[Mapping[str, str]], "Actor"]
"""Headers of a request, with names in lower case -> the actor. NobodyError; OSError where the database is away."""


class HeaderActors:
    """Tokens of the issuer of the settings, and keys of machines. What is not set up lets nobody in."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._trust: tuple[float, TokenTrust] | None = None

    def __call__(self, headers: Mapping[str, str]) -> Actor:
        """As ActorOf says."""
        given = headers.get("authorization", "")
        if given.lower().startswith(_BEARER):
            return self._of_token(given[len(_BEARER) :].strip())
        if given.lower().startswith(_API_KEY):
            return self._of_key(given[len(_API_KEY) :].strip())
        raise NobodyError

    def _of_token(self, token: str) -> Actor:
        settings, now = self._settings, self._now()
        if not settings.token_issuer or settings.token_keys is None:
            raise NobodyError
        try:
            claims = verified(token, self._trusted(settings.token_keys), int(now.timestamp()))
            found = machine_of(claims) or self._person(login_of(claims, settings.token_login_claim), now)
        except TokenRefusedError as problem:
            raise NobodyError from problem
        if found is None:
            raise NobodyError
        return found

    def _trusted(self, keys: Path) -> TokenTrust:
        """The issuer, with its keys as the file has them now: a key that was taken out counts no more."""
        changed = keys.stat().st_mtime
        if self._trust is None or self._trust[0] != changed:
            trust = TokenTrust(self._settings.token_issuer, self._settings.token_audience, issuer_keys(keys))
            self._trust = changed, trust
        return self._trust[1]

    def _person(self, login: str, now: datetime) -> Actor | None:
        from deploy.connections.database import connected
        from services.staff.people import person_of

        with connected(self._settings.database) as connection:
            return person_of(connection, login, now.astimezone(self._settings.tz).date())

    def _of_key(self, key: str) -> Actor:
        from deploy.connections.database import connected
        from services.access.keys import actor_of_key

        with connected(self._settings.database) as connection:
            found = actor_of_key(connection, key, self._now())
        if found is None:
            raise NobodyError
        return found
