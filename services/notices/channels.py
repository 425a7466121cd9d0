"""The channels and the ledger of notices: console, webhook, Redis."""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import httpx2
from redis import RedisError

from services.notices.notifier import DeliveryError, Notice

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.views.keys import Keys

log = logging.getLogger(__name__)

ATTEMPTS_MAX: Final = 4
WAIT_FIRST_S: Final = 0.5
WAIT_MAX_S: Final = 8.0
TIMEOUT_S: Final = 5.0
REMEMBERED_S: Final = 35 * 24 * 3600
"""How long a delivered notice is remembered: longer than any replay of the alerts reaches back."""

AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which another attempt makes sense."""


class ConsoleChannel:
    """Prints notices, one in two lines."""

    name = "console"

    def __init__(self, write: Callable[[str], Any] = print) -> None:
        self.write = write

    async def send(self, notice: Notice) -> int:
        """Print it; raises DeliveryError when the output is closed."""
        try:
            self.write(f"[{notice.day}] → {notice.recipient}: {notice.subject}\n    {notice.body}")
        except (OSError, ValueError) as problem:
            raise DeliveryError(f"console: {type(problem).__name__}", 1) from problem
        return 1


class WebhookChannel:
    """Posts notices as JSON.

    `Idempotency-Key` is the notice's id: the receiver may get a notice twice and tells by it. With a secret,
    `Tidegauge-Signature: sha256=<hex>` is the HMAC-SHA256 of the body.
    """

    name = "webhook"

    def __init__(
        self,
        client: httpx2.AsyncClient,
        url: str,
        secret: bytes | None = None,
        wait: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.client, self.url, self.secret, self.wait = client, url, secret, wait

    async def send(self, notice: Notice) -> int:
        """Post it, at most ATTEMPTS_MAX times, once where time will not mend a refusal; raises DeliveryError."""
        body = json.dumps(asdict(notice), ensure_ascii=False, sort_keys=True).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": notice.notice_id}
        if self.secret is not None:
            headers["Tidegauge-Signature"] = "sha256=" + hmac.digest(self.secret, body, "sha256").hex()
        reason, wait_s = "", WAIT_FIRST_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                answer = await self.client.post(self.url, content=body, headers=headers, timeout=TIMEOUT_S)
            except httpx2.HTTPError as problem:
                reason, asked_s = type(problem).__name__, None
            else:
                if answer.is_success:
                    return attempt
                reason, asked_s = f"HTTP {answer.status_code}", _retry_after(answer)
                if answer.status_code not in AGAIN:
                    raise DeliveryError(reason, attempt)
            if attempt < ATTEMPTS_MAX:
                await self.wait(min(asked_s if asked_s is not None else wait_s, WAIT_MAX_S))
                wait_s *= 2
        raise DeliveryError(reason, ATTEMPTS_MAX)


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the receiver asks for, if it does so in seconds."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None


class RedisLedger:
    """Remembers in Redis for some weeks. Without Redis nothing is remembered: twice is better than never."""

    def __init__(self, client: "Redis", keys: "Keys") -> None:
        self.client, self.keys = client, keys

    async def seen(self, notice_id: str) -> bool:
        """True if it has been delivered; False also when nobody knows."""
        try:
            return bool(await self.client.exists(self.keys.notice(notice_id)))
        except (RedisError, OSError) as problem:
            log.warning("the ledger of notices can't be read (%s): a notice may go out twice", problem)
            return False

    async def mark(self, notice_id: str) -> None:
        """Remember that it has been delivered."""
        try:
            await self.client.set(self.keys.notice(notice_id), 1, ex=REMEMBERED_S)
        except (RedisError, OSError) as problem:
            log.warning("the ledger of notices can't be written (%s): a notice may go out twice", problem)
