"""What a server had against a client, where a command has failed: said in place of "no answer"."""

from __future__ import annotations

import re
from typing import Final

from tidegauge.cli.output import FAILED_CHECK, CommandError

SECURITY_HINT: Final = "docs/security.md has how to set it up"
_KAFKA_AWAY: Final = re.compile(
    r"^Kafka failed: (Local: |KafkaConnection|Unable to bootstrap|Failed|no answer)"
    r"|the decision can't be recorded|no (Kafka )?answers?\b.*Kafka|no Kafka"
)
_REDIS_AWAY: Final = re.compile(r"^Redis failed: |^no Redis answers")
_FORBIDDEN: Final = re.compile(r"authorization failed|AuthorizationFailed", re.IGNORECASE)
_RIGHTS: Final = re.compile(r"NOPERM|no permissions", re.IGNORECASE)


def refused_by_server(line: CommandError) -> CommandError:
    """The line with what is behind it, where the brokers or the Redis server refuse this process; else as it is.

    They are asked again, step by step, only for a line that says that somebody gave no answer.
    """
    text = str(line)
    if _FORBIDDEN.search(text):
        return CommandError(f"{text} for {_who()}", "`tidegauge security acls` has the rights that it needs", line.code)
    if _RIGHTS.search(text):
        return CommandError(text, "`tidegauge security acls` has the rights that this user needs", line.code)
    found = _of_kafka() if _KAFKA_AWAY.search(text) else _of_redis() if _REDIS_AWAY.search(text) else ""
    return CommandError(found, SECURITY_HINT, FAILED_CHECK) if found else line


def _who() -> str:
    from deploy.settings import Settings

    return f"user {Settings().kafka.wire.who or '(nobody)'}"


def _of_kafka() -> str:
    from deploy.connections.diagnosis import why_refused
    from deploy.settings import Settings

    return why_refused(Settings().kafka)


def _of_redis() -> str:
    from deploy.connections.diagnosis import why_redis_refuses
    from deploy.settings import Settings

    return why_redis_refuses(Settings().redis)
