"""What `tidegauge login` keeps for the commands behind it: a file of its owner's alone, in the data folder.

It holds the token and what renews it; on the embedded stack, for development, the actor or the person as whom commands come.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.private import FILE_MODE, UMASK, private_folder, write_private
from schemas import bounds
from schemas.bounded import read_bounded
from tidegauge.cli.output import BAD_INPUT, CommandError

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.access.issuer import Issuer
    from services.access.oidc import LoginClient, TokensGiven

LOGIN_FILE: Final = "login.json"
SPARE_S: Final = 30
"""A token is renewed so long before its end."""

DEVELOPMENT_LASTS: Final = timedelta(hours=12)
LOG_IN_HOW: Final = "set TIDEGAUGE_TOKEN_ISSUER and run `tidegauge login`; docs/security.md, people log in, has how"
_AGAIN: Final = "run `tidegauge login`, or set TIDEGAUGE_TOKEN_FILE; see docs/security.md, people log in"


def command_line_client(settings: Settings, redirect: str = "") -> LoginClient:
    """As whom the command line asks for a login: a public client, for which tokens are then made."""
    from services.access.oidc import LoginClient

    return LoginClient(settings.token_audience, "", redirect)


def keep_login(settings: Settings, issuer: Issuer, given: TokensGiven, now: datetime) -> dict[str, Any]:
    """Keep what a login gave; returns the claims of the token that commands will come with. TokenRefusedError.

    That is the access token where it counts by itself, else the ID token, which was made for the same client.
    """
    from services.access.tokens import TokenRefusedError

    now_s = int(now.timestamp())
    try:
        token, claims = given.access_token, issuer.claims(given.access_token, settings.token_audience, now_s)
    except TokenRefusedError:
        token, claims = given.id_token, issuer.claims(given.id_token, settings.token_audience, now_s)
    kept = {"issuer": issuer.url, "token": token, "refresh_token": given.refresh_token, "ends_at": int(claims["exp"])}
    _write(settings, kept)
    return claims


def keep_development(settings: Settings, actor: str, now: datetime) -> None:
    """Keep as whom commands come where nobody has to prove it: ROLE:UNIT, or a login of the list of staff."""
    _write(settings, {"development": actor, "ends_at": int((now + DEVELOPMENT_LASTS).timestamp())})


def development_login(settings: Settings) -> str:
    """As whom commands come by a development login; empty for none, or one that has ended. CommandError."""
    from time import time

    kept = _read(settings)
    found = kept.get("development", "")
    return found if isinstance(found, str) and kept.get("ends_at", 0) > time() else ""


def kept_token(settings: Settings, issuer: Issuer, now: datetime) -> str:
    """The token of the login, a new one where it is at its end. CommandError for no login, TokenRefusedError, IssuerAwayError."""
    from services.access.oidc import LoginRefusedError, renewed
    from services.access.tokens import TokenRefusedError

    with _alone(settings):
        kept = _read(settings)
        if kept.get("issuer") != issuer.url or not isinstance(kept.get("token"), str):
            raise CommandError("who asks? There is no token, and no login", _AGAIN, BAD_INPUT)
        if kept["ends_at"] - SPARE_S > now.timestamp() or not kept["refresh_token"]:
            return str(kept["token"])
        try:
            given = renewed(issuer, command_line_client(settings), kept["refresh_token"], int(now.timestamp()))
            keep_login(settings, issuer, given, now)
        except (LoginRefusedError, TokenRefusedError) as problem:
            raise CommandError(f"the login has ended: {problem}", _AGAIN, BAD_INPUT) from problem
        return str(_read(settings)["token"])


def forget(settings: Settings) -> dict[str, Any]:
    """Remove what is kept, and return it; empty where there was nothing."""
    kept = _read(settings)
    _path(settings).unlink(missing_ok=True)
    return kept


def _path(settings: Settings) -> Path:
    return settings.data_dir / LOGIN_FILE


def _write(settings: Settings, kept: dict[str, Any]) -> None:
    private_folder(settings.data_dir, ours=False)
    write_private(_path(settings), json.dumps(kept))


def _read(settings: Settings) -> dict[str, Any]:
    """What is kept; empty where nothing is. CommandError where others may read it, or it is none of ours."""
    path = _path(settings)
    try:
        mode = path.stat()
        text = read_bounded(path, bounds.LOGIN_FILE_BYTES_MAX)
    except FileNotFoundError:
        return {}
    if stat.S_IMODE(mode.st_mode) & UMASK or mode.st_uid != os.geteuid():
        raise CommandError(
            f"{path} is open to others than its owner", f"chmod 600 {path}, or `tidegauge login` again", BAD_INPUT
        )
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandError(f"{path} holds no login", "`tidegauge login` again", BAD_INPUT)
    return found


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One command at a time renews a login: what renews it often counts once."""
    private_folder(settings.data_dir, ours=False)
    handle = os.open(_path(settings).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
