"""Whether the servers that a command needs answer, asked before it begins: one line within seconds if not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegauge.cli.failures import REDIS_HINT
from tidegauge.cli.output import FAILED_CHECK, CommandError, listening_at

if TYPE_CHECKING:
    from deploy.settings import Settings
    from deploy.topics import TopicState

_WAIT_S = 5.0  # for brokers that are just starting


def need_kafka(settings: Settings) -> list[TopicState]:
    """What there is of each topic; StackError, which names the setting, where no broker answers."""
    from deploy import topics

    return topics.inspect(settings, _WAIT_S)


def need_port(host: str, port: int, option: str) -> None:
    """CommandError, which names the option, where nothing can listen: said before a command waits for others. 0: no port."""
    if port:
        with listening_at(host, port, option), socket.create_server((host, port)):
            pass


def need_redis(settings: Settings) -> None:
    """CommandError, which names the setting, where no Redis-protocol server answers."""
    from deploy import ping

    if not ping.answers(settings.redis):
        raise CommandError(f"no Redis answers at {settings.redis_shown}", REDIS_HINT, FAILED_CHECK)
