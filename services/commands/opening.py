"""Opens the door on the servers of the settings: what `tidegauge commands serve`, `send` and acts on cases come through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import Redis

from schemas.codec.records import encode
from schemas.registry import CONTRACTS, registry_for
from schemas.validation.columns import ACTIONS
from services.access.audit import AUDIT_LOG, AuditTopic
from services.commands.door import CommandDoor
from services.commands.follower import Follower
from services.commands.store import CommandStore
from services.commands.writer import DurableWriter
from services.views.keys import Keys
from services.views.queries import case_record

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.access.audit import AuditTrail

_REDIS_TIMEOUT_S: Final = 2.0


class OpenDoor(NamedTuple):
    """A door, and what follows the log for it."""

    door: CommandDoor
    follower: Follower


@contextmanager
def open_door(settings: Settings, trail: AuditTrail | None = None, *, customers: bool = True) -> Iterator[OpenDoor]:
    """The door, until the block ends. KafkaException, RedisError where a server gives no answer or a topic is missing.

    trail: where decisions are recorded; None: on `audit-log`. customers: False for who sends commands on cases alone.
    """
    client = Redis.from_url(settings.redis, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S)
    keys, registry = Keys.of(settings.topic_prefix), registry_for(settings)
    # Acts with a stamp are of a version of the contract that workers of before don't know: see docs/operators.md.
    stamping = registry_for(settings.model_copy(update={"contracts": CONTRACTS[-1]}))
    store = CommandStore(client, keys)
    follower, writer = Follower(settings, registry, store, customers=customers), DurableWriter(settings)

    def write(record: Mapping[str, Any]) -> None:
        writer.write(ACTIONS, record["customer_id"], encode(ACTIONS, dict(record), stamping))

    try:
        follower.start()
        case_of: Callable[[str], dict[str, Any] | None] = lambda case: case_record(client, keys, registry, case)  # noqa: E731
        yield OpenDoor(
            CommandDoor(
                store, follower, case_of, write, trail or audit_topic(writer, registry), _now_ms, settings.zone
            ),
            follower,
        )
    finally:
        follower.close()
        writer.close()
        client.close()


def audit_topic(writer: DurableWriter, registry: Any) -> AuditTopic:
    """The record of decisions on its topic."""
    return AuditTopic(lambda chain, entry: writer.write(AUDIT_LOG, chain, encode(AUDIT_LOG, entry, registry)), _now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
