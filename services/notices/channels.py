"""The console as a channel, and the ledger of notices in Redis. The webhook has a module of its own."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from deploy.printable import printable
from services.notices.notifier import DeliveryError, Notice

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.views.keys import Keys

log = logging.getLogger(__name__)

REMEMBERED_S: Final = 35 * 24 * 3600
"""How long a delivered notice is remembered: longer than any replay of the alerts reaches back."""


class ConsoleChannel:
    """Prints notices, one in two lines."""

    name = "console"

    def __init__(self, write: Callable[[str], Any] = print) -> None:
        self.write = write

    async def send(self, notice: Notice) -> int:
        """Print it; raises DeliveryError when the output is closed."""
        try:
            self.write(
                printable(f"[{notice.day}] → {notice.recipient}: {notice.subject}") + "\n    " + printable(notice.body)
            )
        except (OSError, ValueError) as problem:
            raise DeliveryError(f"console: {type(problem).__name__}", 1) from problem
        return 1


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
