"""`tidegauge login`, `logout`, `whoami`: who the commands behind them come from."""

from __future__ import annotations

import threading
import time
import webbrowser
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import typer

from deploy.settings import Settings
from tidegauge.cli.access.kept import (
    LOG_IN_HOW,
    command_line_client,
    development_login,
    forget,
    keep_development,
    keep_login,
)
from tidegauge.cli.actor import actor_of, issuer_of, listed_person, spelt_actor
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit, notes

if TYPE_CHECKING:
    from services.access.decision import Actor

app = typer.Typer()
CALLBACK: Final = "/callback"
_WAIT_S: Final = 300
ANSWER_S: Final = 5
"""A browser that has connected has so long to say what it wants."""

_DONE: Final = b"You may close this window and go back to the command line.\n"


@app.command("login")
def login(
    given: str = typer.Option(
        "", "--as", help="On the embedded stack alone: as whom. ROLE:UNIT, or a login of the staff list."
    ),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the address in a browser."),
    as_json: bool = JSON,
) -> None:
    """Log in at the bank's issuer of tokens, in a browser. The commands behind it come from you, until the login ends."""
    settings = Settings()
    if settings.token_issuer:
        if given:
            raise CommandError("--as counts only where no issuer of tokens is set", "log in without it", BAD_INPUT)
        if settings.token is not None:
            raise CommandError("TIDEGAUGE_TOKEN says who asks already", "unset it, and log in", BAD_INPUT)
        _at_issuer(settings, open_browser=browser)
    elif not settings.own_machine:
        raise CommandError("there is nobody to log in at", LOG_IN_HOW, BAD_INPUT)
    elif not given:
        raise CommandError(
            "as whom? There is no issuer of tokens", "--as ROLE:UNIT, or a login of the list of staff", BAD_INPUT
        )
    else:
        spelt_actor(given) if ":" in given else listed_person(settings, given)
        keep_development(settings, given, datetime.now(UTC))
    _say(settings, as_json=as_json)


@app.command("logout")
def logout(as_json: bool = JSON) -> None:
    """Forget the login, here and at the issuer."""
    settings = Settings()
    kept = forget(settings)
    if settings.token_issuer and kept.get("refresh_token"):
        _revoke(settings, str(kept["refresh_token"]))
    if as_json:
        emit({"logged_out": bool(kept)})
    else:
        console.print("logged out" if kept else "nobody was logged in")


@app.command("whoami")
def whoami(as_json: bool = JSON) -> None:
    """Print who asks when you call a command, and what says so."""
    _say(Settings(), as_json=as_json)


def _say(settings: Settings, *, as_json: bool) -> None:
    who = actor_of(settings)
    said = _fields(who) | {"by": _by(settings)}
    if as_json:
        emit(said)
        return
    for name, value in said.items():
        console.print(f"{name}: {', '.join(value) if isinstance(value, list) else value}", soft_wrap=True, markup=False)


def _fields(who: Actor) -> dict[str, Any]:
    stands_in = [f"{role}:{'/'.join(unit)}" for role, unit in who.stands_in]
    return {"actor": who.actor_id, "role": str(who.role), "unit": "/".join(who.unit), "stands_in": stands_in}


def _by(settings: Settings) -> str:
    if settings.token_issuer:
        return "token" if settings.token is not None else "login"
    if "actor" in settings.model_fields_set:
        return "TIDEGAUGE_ACTOR"
    return "development login" if development_login(settings) else "default"


def _at_issuer(settings: Settings, *, open_browser: bool) -> None:
    """A login in a browser, whose answer comes to a port of this machine (RFC 8252). CommandError."""
    from services.access.issuer import IssuerAwayError
    from services.access.oidc import LoginRefusedError, begin_login, finish_login
    from services.access.tokens import TokenRefusedError

    issuer = issuer_of(settings)
    with HTTPServer(("127.0.0.1", 0), _Callback) as server:
        client = command_line_client(settings, f"http://127.0.0.1:{server.server_port}{CALLBACK}")
        try:
            begun, address = begin_login(issuer, client)
            notes.print("log in here:", soft_wrap=True)
            notes.print(address, soft_wrap=True, markup=False, highlight=False)
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            answer = _answer(server, begun.state)
            now = datetime.now(UTC)
            keep_login(settings, issuer, finish_login(issuer, client, begun, answer, int(now.timestamp())), now)
        except (LoginRefusedError, TokenRefusedError) as problem:
            raise CommandError(
                f"the login came to nothing: {problem}", "`tidegauge login` again", FAILED_CHECK
            ) from problem
        except IssuerAwayError as problem:
            raise CommandError(
                f"the issuer of tokens gives no answer: {problem}", "see TIDEGAUGE_TOKEN_ISSUER", FAILED_CHECK
            ) from problem


def _answer(server: HTTPServer, state: str) -> dict[str, str]:
    """The query of the browser that comes back with this login's state. Others get nothing. CommandError after _WAIT_S."""
    until = time.monotonic() + _WAIT_S
    found: list[dict[str, str]] = []
    server.answers, server.state = found, state  # type: ignore[attr-defined]
    while not found:
        server.timeout = until - time.monotonic()
        if server.timeout <= 0:
            raise CommandError(f"nobody logged in within {_WAIT_S} s", "`tidegauge login` again", FAILED_CHECK)
        server.handle_request()
    return found[0]


class _Callback(BaseHTTPRequestHandler):
    """Takes the browser's answer."""

    timeout = ANSWER_S

    def do_GET(self) -> None:
        """The answer to our login ends the wait; whatever else is asked is not here."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, max_num_fields=20)) if len(parts.query) <= 1 << 13 else {}
        server: Any = self.server
        ours = parts.path == CALLBACK and query.get("state") == server.state
        body = _DONE if ours else b"Not here.\n"
        self.send_response(200 if ours else 404)
        for name, value in (
            ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if ours:
            server.answers.append(query)

    def log_message(self, *_: Any) -> None:
        """Nothing: the line would hold the code."""


def _revoke(settings: Settings, refresh_token: str) -> None:
    """Take back at the issuer what renews the login, where it does that. What fails is said, no more: here it is forgotten."""
    import httpx2

    from schemas.answers import REGISTRY_ANSWER_S, BoundedClient, in_time
    from services.access.issuer import IssuerAwayError

    issuer = issuer_of(settings)
    said = {"token": refresh_token, "token_type_hint": "refresh_token", "client_id": settings.token_audience}
    try:
        address = issuer.addresses().revocation

        async def tell() -> httpx2.Response:
            async with BoundedClient(verify=issuer.trust(), timeout=REGISTRY_ANSWER_S) as client:
                return await client.post(address, data=said)

        good = not address or in_time(tell).status_code == 200
    except (IssuerAwayError, httpx2.HTTPError, OSError):
        good = False
    if not good:
        notes.print("the issuer did not take the login back; it ends there by itself", soft_wrap=True)
