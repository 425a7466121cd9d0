"""The console as a channel, and the ledger of notices in Redis. The webhook has a module of its own."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from deploy.printable import printable
from services.notices.notifier import DeliveryError, Notice
from services.views.keys import as_bytes

if TYPE_CHECKING:
    import redis
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
        text = printable(f"[{notice.day}] → {notice.recipient}: {notice.subject}") + "\n    " + printable(notice.body)
        try:
            try:
                self.write(text)
            except UnicodeEncodeError:  # the locale lacks the script: escapes can be read, silence can't
                self.write(text.encode("ascii", "backslashreplace").decode())
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
        """Remember that it has been delivered, or never will be: it waits no more."""
        try:
            await self.client.set(self.keys.notice(notice_id), 1, ex=REMEMBERED_S)
            await self.client.hdel(self.keys.waiting, notice_id)
        except (RedisError, OSError) as problem:
            log.warning("the ledger of notices can't be written (%s): a notice may go out twice", problem)

    async def wait_for(self, notice_id: str, why: str) -> None:
        """Note that it has not been delivered yet. Each worker has a bound on how many wait, so they are few."""
        try:
            await self.client.hset(self.keys.waiting, notice_id, why)
        except (RedisError, OSError) as problem:
            log.warning("the ledger of notices can't be written (%s): nobody sees that one waits", problem)

    async def drop(self, notice_id: str) -> None:
        """It waits no more, and was not delivered."""
        try:
            await self.client.hdel(self.keys.waiting, notice_id)
        except (RedisError, OSError) as problem:
            log.warning("the ledger of notices can't be written (%s): one is shown that waits no more", problem)

    async def given_up(self, notice_id: str) -> str | None:
        """Why somebody gave it up; None if nobody did, and when nobody knows."""
        try:
            why = await self.client.get(self.keys.given_up(notice_id))
        except (RedisError, OSError):
            return None
        return None if why is None else as_bytes(why).decode()


def waiting_notices(client: "redis.Redis", keys: "Keys") -> dict[str, str]:
    """The notices that wait for their channel, each with where it goes and what is wrong."""
    return {as_bytes(name).decode(): as_bytes(why).decode() for name, why in client.hgetall(keys.waiting).items()}


def give_up(client: "redis.Redis", keys: "Keys", notice_id: str, why: str) -> None:
    """Have a notice waited for no more; its worker hears of it within seconds."""
    client.set(keys.given_up(notice_id), why, ex=REMEMBERED_S)
