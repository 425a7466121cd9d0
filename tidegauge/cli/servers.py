"""Whether the servers that a command needs answer, asked before it begins: one line within seconds if not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegauge.cli.failures import REDIS_HINT
from tidegauge.cli.output import FAILED_CHECK, CommandError, listening_at

if TYPE_CHECKING:
    from deploy.settings import Settings
    from tidegauge.world.check import World


def need_world(settings: Settings, uses: frozenset[str] | None = None) -> Settings:
    """The settings with the partitions that the topics have, of a log that is the one they are meant for (`found_world`)."""
    return found_world(settings, uses).settings


def found_world(settings: Settings, uses: frozenset[str] | None = None) -> World:
    """The log that settings are meant for.

    uses: the parts of the log's identity that the command depends on (tidegauge.world.found); None: where the log is. StackError,
    WorldError, KeyLostError where no broker answers, something differs, or a key is missing: said before anything is done.
    """
    from tidegauge.world.check import check_world
    from tidegauge.world.found import USES_PLACE

    return check_world(settings, USES_PLACE if uses is None else uses)


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
