"""Answers over HTTP within bounds that no server can stretch: a total time, so many bytes, and nothing that unpacks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx2

from schemas import bounds

if TYPE_CHECKING:
    import ssl

REGISTRY_ANSWER_S: Final = 5.0
"""Of a request, from its first packet to the end of its answer. It may hold up a partition, never its heartbeats."""

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
