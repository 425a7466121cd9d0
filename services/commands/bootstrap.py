"""Opens the door on the servers of the settings: what `tidegauge commands serve`, `send` and acts on cases come through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import Redis

from schemas.codec.records import encode
from schemas.registry import CONTRACTS, registry_for
from schemas.validation.columns import ACTIONS
from services.access.writer import DurableWriter, audit_topic, wall_ms
from services.commands.door import CommandDoor
from services.commands.follower import Follower
from services.commands.store import CommandStore
from services.views.keys import Keys
from services.views.queries import case_record

if TYPE_CHECKING:
    from deploy.settings import Settings

_REDIS_TIMEOUT_S: Final = 2.0


class OpenDoor(NamedTuple):
    """A door, and what follows the log for it."""

    door: CommandDoor
    follower: Follower


@contextmanager
def open_door(
    settings: Settings, *, customers: bool = True, case_of: Callable[[str], dict[str, Any] | None] | None = None
) -> Iterator[OpenDoor]:
    """The door, until the block ends. KafkaException, RedisError where a server gives no answer or a topic is missing.

    customers: False for who sends commands on cases alone. case_of: the newest step of a case by its id; the views' where
    none is given.
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
        of_views: Callable[[str], dict[str, Any] | None] = lambda case: case_record(client, keys, registry, case)  # noqa: E731
        trail = audit_topic(writer, registry)
        yield OpenDoor(
            CommandDoor(store, follower, case_of or of_views, write, trail, wall_ms, settings.zone), follower
        )
    finally:
        follower.close()
        writer.close()
        client.close()
