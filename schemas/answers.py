"""Answers over HTTP within bounds that no server can stretch: a total time, so many bytes, and nothing that unpacks.

Among them tokens by OAuth's client credentials, for the schema registry and for Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

from schemas import bounds

REGISTRY_ANSWER_S: Final = 5.0
"""Of a request, from its first packet to the end of its answer. It may hold up a partition, never its heartbeats."""

TOKEN_SPARE_S: Final = 60
"""A token is renewed so long before its end."""

T = TypeVar("T")


class BoundedClient(httpx2.AsyncClient):
    """A client whose answers are read whole, up to a bound. Raises DecodingError for what is larger, or packed."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request; its answer is read when this returns."""
        request.headers["Accept-Encoding"] = "identity"
        answer = await super().send(request, stream=True, **options)
        try:
            if (packed := answer.headers.get("Content-Encoding", "identity")) != "identity":
                raise httpx2.DecodingError(f"the answer is packed ({packed[:20]}), which was not asked for")
            most = bounds.REGISTRY_ANSWER_BYTES_MAX
            body = await beginning_of(answer, most + 1)
            if len(body) > most:
                raise httpx2.DecodingError(f"the answer has more than {most:,} bytes")
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body, request=request)


class BoundedSession:
    """What Confluent's client asks its questions through: as its own session, within bounds."""

    def __init__(self, verify: ssl.SSLContext, auth: tuple[str, str] | None) -> None:
        self._verify, self._auth = verify, auth

    def request(self, method: str, **asked: Any) -> httpx2.Response:
        """A request, as of httpx2. Raises httpx2.HTTPError."""

        async def ask() -> httpx2.Response:
            async with BoundedClient(verify=self._verify, auth=self._auth, timeout=REGISTRY_ANSWER_S) as client:
                return await client.request(method, **asked)

        return in_time(ask)

    def close(self) -> None:
        """Nothing is held open."""


def in_time(ask: Callable[[], Awaitable[T]]) -> T:
    """What a question gives; httpx2.ReadTimeout when that takes longer than REGISTRY_ANSWER_S, however much comes meanwhile.

    It runs in a thread of its own: the caller's may have a loop already.
    """

    async def asked() -> T:
        async with asyncio.timeout(REGISTRY_ANSWER_S):
            return await ask()

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(asyncio.run, asked()).result()
        except TimeoutError as problem:
            raise httpx2.ReadTimeout(f"the answer was not there within {REGISTRY_ANSWER_S:.0f} s") from problem


async def beginning_of(answer: httpx2.Response, most: int) -> bytes:
    """Up to `most` bytes of an answer, as they come. One that ends before leaves its connection fit for another request."""
    found = bytearray()
    if not answer.is_closed:
        async with contextlib.aclosing(answer.aiter_raw()) as pieces:
            async for piece in pieces:
                found += piece
                if len(found) >= most:
                    break
    return bytes(found[:most])


async def new_token(
    token_url: str, client_id: str, client_secret: str, scope: str, ca: Path | None
) -> tuple[str, float]:
    """A token, and how many seconds it lasts. ca: authorities of its issuer; None: the usual ones.

    Raises what the HTTP library raises, TimeoutError, KeyError where the answer has no token.
    """
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

    class TokenClient(BoundedClient, AsyncOAuth2Client):
        """Authlib's client, within bounds."""

    new: Any = TokenClient
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else True
    async with (
        asyncio.timeout(REGISTRY_ANSWER_S),
        new(
            client_id=client_id, client_secret=client_secret, scope=scope or None, verify=verify,
            timeout=REGISTRY_ANSWER_S,
        ) as client,
    ):  # fmt: skip
        found: dict[str, Any] = await client.fetch_token(url=token_url, grant_type="client_credentials")
        return str(found["access_token"]), float(found.get("expires_in") or 0)
