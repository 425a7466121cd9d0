"""What commands on notices ask: the log, and the ledger in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.settings import Settings
from services.assembly import redis_client
from services.views.keys import Keys
from tidegauge.cli.servers import need_redis, need_world

if TYPE_CHECKING:
    from redis import Redis


def notice_servers() -> tuple[Settings, Redis, Keys]:
    """The settings with the partitions that the topics have, and the ledger. CommandError where one does not answer."""
    settings = need_world(Settings())
    need_redis(settings)
    return settings, redis_client(settings), Keys.of(settings.topic_prefix)
