"""A login at the issuer: OpenID Connect's authorization code with PKCE, state and nonce.

The client's part of the protocol is authlib's; what a login keeps meanwhile, and what its answer has to say, is said here.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Any, Final, NamedTuple

from services.access.issuer import Issuer, IssuerAwayError
from services.access.tokens import TokenRefusedError

SCOPE: Final = "openid profile"
SECRET_BYTES: Final = 32


class LoginRefusedError(Exception):
    """A login that came to nothing. The text says why, and holds nothing that is secret."""


class LoginBegun(NamedTuple):
    """What whoever begins a login keeps until its answer comes; `nonce` and `verifier` never leave before their time."""

    state: str
    nonce: str
    verifier: str


class LoginClient(NamedTuple):
    """As whom a login is asked for. `secret` is empty for a public client; `redirect`: where the answer comes."""

    client_id: str
    secret: str
    redirect: str


class TokensGiven(NamedTuple):
    """What a login gave: the claims of the ID token, and the tokens themselves. Empty: not given."""

    claims: dict[str, Any]
    id_token: str
    access_token: str
    refresh_token: str


def begin_login(issuer: Issuer, client: LoginClient) -> tuple[LoginBegun, str]:
    """A login: what to keep, and the address to which the person is sent. IssuerAwayError."""
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

    begun = LoginBegun(*(secrets.token_urlsafe(SECRET_BYTES) for _ in LoginBegun._fields))
    asking = AsyncOAuth2Client(
        client_id=client.client_id, redirect_uri=client.redirect, scope=SCOPE, code_challenge_method="S256"
    )
    address, _ = asking.create_authorization_url(
        issuer.addresses().authorization, state=begun.state, nonce=begun.nonce, code_verifier=begun.verifier
    )
    return begun, str(address)


def finish_login(
    issuer: Issuer, client: LoginClient, begun: LoginBegun, answer: dict[str, str], now_s: int
) -> TokensGiven:
    """What the answer to a login gives, once it has proved to be the answer to this one. Waits for the network.

    answer: the query with which the person came back. LoginRefusedError, IssuerAwayError.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
        raise LoginRefusedError("the answer belongs to another login")
    if answer.get("iss", issuer.url) != issuer.url:
        raise LoginRefusedError("the answer is of another issuer")
    if "error" in answer:
        raise LoginRefusedError(f"the issuer says {_word(answer['error'])}")
    if not answer.get("code"):
        raise LoginRefusedError("the answer has no code")
    given = _asked(issuer, client, grant_type="authorization_code", code=answer["code"], code_verifier=begun.verifier)
    found = _given(issuer, client, given, now_s)
    if not hmac.compare_digest(str(found.claims.get("nonce", "")).encode(), begun.nonce.encode()):
        raise LoginRefusedError("the token belongs to another login")
    return found


def renewed(issuer: Issuer, client: LoginClient, refresh_token: str, now_s: int) -> TokensGiven:
    """New tokens for a login that goes on. LoginRefusedError where the issuer has ended it, IssuerAwayError.

    An issuer need not give an ID token again (OpenID Connect Core, 12.2): claims and ID token are empty then.
    """
    found = _asked(issuer, client, grant_type="refresh_token", refresh_token=refresh_token)
    return _given(issuer, client, {"refresh_token": refresh_token} | found, now_s, anew=False)


def _given(issuer: Issuer, client: LoginClient, given: dict[str, Any], now_s: int, *, anew: bool = True) -> TokensGiven:
    texts = [given.get(name) or "" for name in TokensGiven._fields[1:]]
    if not all(isinstance(text, str) for text in texts) or (anew and not texts[0]):
        raise LoginRefusedError("the issuer gave no ID token")
    if not texts[0]:
        return TokensGiven({}, *texts)
    try:
        claims = issuer.claims(texts[0], client.client_id, now_s)
    except TokenRefusedError as problem:
        raise LoginRefusedError(f"the issuer's ID token does not count: {problem}") from problem
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", client.client_id if not several else None) != client.client_id:
        raise LoginRefusedError("the issuer's ID token was made for another client")
    return TokensGiven(claims, *texts)


def _asked(issuer: Issuer, client: LoginClient, **grant: str) -> dict[str, Any]:
    """What the token endpoint gives, within bounds. LoginRefusedError, IssuerAwayError."""
    import httpx2
    from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    from schemas.answers import REGISTRY_ANSWER_S, BoundedClient, in_time

    class TokenClient(BoundedClient, AsyncOAuth2Client):  # type: ignore[misc]
        """Authlib's client, within bounds."""

    new: Any = TokenClient
    address = issuer.addresses().token

    async def ask() -> dict[str, Any]:
        async with new(
            client_id=client.client_id, client_secret=client.secret or None, redirect_uri=client.redirect,
            token_endpoint_auth_method="client_secret_basic" if client.secret else "none",
            verify=issuer.trust(), timeout=REGISTRY_ANSWER_S,
        ) as asking:  # fmt: skip
            return dict(await asking.fetch_token(url=address, **grant))

    try:
        return in_time(ask)
    except OAuthError as problem:
        raise LoginRefusedError(f"the issuer says {_word(problem.error)}") from None
    except (httpx2.HTTPError, OSError, asyncio.CancelledError) as problem:
        raise IssuerAwayError(f"the issuer gives no token: {type(problem).__name__}") from problem
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise IssuerAwayError("the issuer's answer is none") from problem


def _word(text: Any) -> str:
    """An error as OAuth names them, fit for a line: it came through the person's browser."""
    return "".join(sign for sign in str(text)[:40] if sign.isascii() and (sign.isalnum() or sign in "_-")) or "nothing"
