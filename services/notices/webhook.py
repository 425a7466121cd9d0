"""The webhook: posts notices as JSON, signed as of Standard Webhooks, within bounds that no receiver can stretch.

The receiver is another system, reached over a network. It gets a total time, and of its answer only the status counts:
at most ANSWER_BYTES_MAX of the rest are read, as they come and never unpacked.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import httpx2
from standardwebhooks import Webhook

from schemas.answers import beginning_of
from services.notices.notifier import DeliveryError, Notice

ATTEMPTS_MAX: Final = 4
WAIT_FIRST_S: Final = 0.5
WAIT_MAX_S: Final = 8.0
ATTEMPT_S: Final = 5.0
"""Of one attempt: from the first packet to the end of what is read of the answer."""

DELIVERY_S: Final = 30.0
"""Of all attempts and the waits between them."""

ANSWER_BYTES_MAX: Final = 64 << 10

AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which another attempt makes sense."""


class WebhookChannel:
    """Posts notices.

    `webhook-id` and `Idempotency-Key` are the notice's id: the receiver may get a notice twice and tells by it. With a
    secret, `webhook-signature` signs id, `webhook-timestamp` and body, so that an old notice can't be played again.
    """

    name = "webhook"

    def __init__(
        self,
        client: httpx2.AsyncClient,
        url: str,
        secret: str | None = None,
        wait: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.client, self.url, self.wait, self.now = client, url, wait, now
        self.signer = None if secret is None else Webhook(secret)

    async def send(self, notice: Notice) -> int:
        """Post it, at most ATTEMPTS_MAX times, once where seconds will not mend it; raises DeliveryError.

        Final is the receiver's clear refusal alone: 4xx, but for those of AGAIN.
        """
        body = json.dumps(asdict(notice), ensure_ascii=False, sort_keys=True)
        attempt, status, reason, wait_s = 0, 0, "", WAIT_FIRST_S
        try:
            async with asyncio.timeout(DELIVERY_S):
                while True:
                    attempt += 1
                    status, reason, asked_s = await self._attempt(notice.notice_id, body)
                    if 200 <= status < 300:
                        return attempt
                    if attempt == ATTEMPTS_MAX or (status and status not in AGAIN):
                        break
                    await self.wait(min(asked_s if asked_s is not None else wait_s, WAIT_MAX_S))
                    wait_s *= 2
        except TimeoutError:
            status, reason = 0, f"not taken within {DELIVERY_S:.0f} s; {reason}".rstrip("; ")
        raise DeliveryError(reason, attempt, final=400 <= status < 500 and status not in AGAIN)

    async def _attempt(self, notice_id: str, body: str) -> tuple[int, str, float | None]:
        """(status, 0 if there was none; what went wrong; seconds that the receiver asks to wait)."""
        status, asked_s, reason = 0, None, ""
        try:
            async with (
                asyncio.timeout(ATTEMPT_S),
                self.client.stream(
                    "POST", self.url, content=body.encode(), headers=self._headers(notice_id, body), timeout=ATTEMPT_S
                ) as answer,
            ):
                # The status has come, and it alone decides: what goes wrong from here on is no failure of the delivery.
                status, asked_s = answer.status_code, _retry_after(answer)
                await beginning_of(answer, ANSWER_BYTES_MAX)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as problem:
            reason = type(problem).__name__
        return status, f"HTTP {status}" if status else reason, asked_s

    def _headers(self, notice_id: str, body: str) -> dict[str, str]:
        """Of one attempt: each is signed with its own time."""
        at = self.now()
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "Idempotency-Key": notice_id,
            "webhook-id": notice_id,
            "webhook-timestamp": str(int(at.timestamp())),
        }
        if self.signer is not None:
            headers["webhook-signature"] = self.signer.sign(notice_id, at, body)
        return headers


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the receiver asks for, if it does so in seconds."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None
