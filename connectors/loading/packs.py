"""Policy packs on their topic: what was sent so far, and another one into every partition in one transaction."""

from typing import Final

from agents.engine.reader import rows_to_the_end
from connectors.formats.events import Record
from connectors.loading.broadcast import broadcast
from connectors.loading.publisher import PublishError, publish_errors
from deploy.settings import Settings
from schemas.codec.records import Encode
from schemas.topics import MARK_KEY

TOPIC: Final = "policies"
SENT_BYTES_MAX: Final = 256 << 20


def send(settings: Settings, encode: Encode, record: Record, reason: str = "") -> None:
    """Sends a pack to all partitions or to none. PublishError when Kafka fails or another activation has taken over."""
    broadcast(settings, encode, TOPIC, [record], reason)


def sent(settings: Settings) -> list[bytes]:
    """Values of all packs on the topic, oldest first (they are few). PublishError where it can't be read."""
    found, size, name = list[bytes](), 0, settings.topic(TOPIC)
    with publish_errors(f"cannot read {name}"):
        for row in rows_to_the_end(settings.kafka, name):
            if row.key != MARK_KEY and row.value is not None:
                found.append(row.value)
                size += len(row.value)
            if size > SENT_BYTES_MAX:
                raise PublishError(f"{name} has more than {SENT_BYTES_MAX >> 20} MB of packs", "who writes there?")
    return found
