"""What the door remembers of a command for a day, in Redis: its key and body, the record as it was stamped, and its result.

Losing it loses no command: the id of one follows from actor, key and body, and a worker takes an id once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from services.views.keys import Keys, as_bytes

if TYPE_CHECKING:
    from redis import Redis

COMMANDS_KEPT_S: Final = 24 * 3600
_SENT: Final = b"1"
_FIELDS: Final = ["record", "by", "sent"]


class OtherBodyError(Exception):
    """The key was used with another body."""


class CommandEntry(NamedTuple):
    """A command as it was stamped, and whether Kafka has said that it has it. by: the actor's id."""

    record: dict[str, Any]
    by: str
    sent: bool


class CommandStore:
    """Commands of a day. RedisError where the server gives no answer."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.client, self.keys = client, keys

    def claim(self, key: str, body: str, command_id: str, record: Mapping[str, Any], by: str) -> CommandEntry:
        """Notes a command, or finds the one that the key already stands for. OtherBodyError.

        key, body: digests of the actor's key and of what he sent.
        """
        name, about = self.keys.command_key(key), self.keys.command(command_id)
        with self.client.pipeline(transaction=True) as pipeline:  # a way there and back is a millisecond that he waits
            pipeline.set(name, body, nx=True, ex=COMMANDS_KEPT_S)
            pipeline.get(name)
            known = pipeline.execute()[1]
        if known is not None and as_bytes(known).decode() != body:
            raise OtherBodyError
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(about, "record", json.dumps(record))
            pipeline.hsetnx(about, "by", by)
            pipeline.expire(about, COMMANDS_KEPT_S)
            pipeline.hmget(about, _FIELDS)
            found = pipeline.execute()[-1]
        return _entry_of(*found) or CommandEntry(dict(record), by, sent=False)

    def entry(self, command_id: str) -> CommandEntry | None:
        """A command of the last day; None where none is known."""
        return _entry_of(*self.client.hmget(self.keys.command(command_id), _FIELDS))

    def note_sent(self, command_id: str) -> None:
        """Kafka has it."""
        self.client.hset(self.keys.command(command_id), "sent", _SENT)

    def result(self, command_id: str) -> dict[str, Any] | None:
        """What became of it; None as long as no worker has said so."""
        found = self.client.get(self.keys.command_result(command_id))
        return None if found is None else dict(json.loads(as_bytes(found)))

    def put_results(self, results: Iterable[Mapping[str, Any]], offsets: Mapping[int, int]) -> None:
        """Results as they stand on command-results, and by partition where to read on: all of it or nothing."""
        with self.client.pipeline(transaction=True) as pipeline:
            for result in results:
                pipeline.set(self.keys.command_result(result["command_id"]), json.dumps(result), ex=COMMANDS_KEPT_S)
            if offsets:
                pipeline.hset(self.keys.command_offsets, mapping={str(p): offset for p, offset in offsets.items()})
            pipeline.execute()

    def offsets(self) -> dict[int, int]:
        """By partition of command-results, where to read on."""
        found = self.client.hgetall(self.keys.command_offsets)
        return {int(as_bytes(p)): int(as_bytes(offset)) for p, offset in found.items()}


def _entry_of(record: Any, by: Any, sent: Any) -> CommandEntry | None:
    """The fields as Redis has them; None where it has none."""
    if record is None or by is None:
        return None
    return CommandEntry(json.loads(as_bytes(record)), as_bytes(by).decode(), sent == _SENT)
