"""The outbox of tickets, carried to Kafka: every step at least once, in the branch's order, each with its own id.

A step goes to `queue-tickets`, and as the record of who did it to `audit-log`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from deploy import admin
from deploy.connections.clients import librdkafka
from services.access.audit import AUDIT_LOG, UNNUMBERED
from services.access.decision import DataKind
from streams.calendar import day_of

if TYPE_CHECKING:
    from redis import Redis

    from deploy.connections.wire import Brokers
    from services.queue.tickets.keys import TicketKeys

TICKETS_TOPIC: Final = "queue-tickets"
RELAYED_AT_ONCE: Final = 500
RELAY_WAIT_MS: Final = 1000
RELAY_TURN_MS: Final = 10_000
"""Of several services one relays; another one takes over when it has not been heard of for so long."""

SENT_S: Final = 10.0


class StepSender(Protocol):
    """Takes records to Kafka."""

    def send(self, records: Iterable[tuple[str, str, bytes]]) -> None:
        """Return when all are safe, by topic and key in their order; KafkaException when not. Each: topic, key, value."""


def ticket_record(step: dict[str, Any]) -> dict[str, Any]:
    """A step of the outbox as the contract `queue-tickets` has it."""
    branch, sequence, day = step["branch"], step["sequence"], step["day"]
    return {
        "event_id": f"{branch}/{day}/{sequence}", "ticket_id": step.get("id", ""), "branch": branch,
        "customer_ref": step.get("ref"), "previous_ref": step.get("ref2"), "queue_class": step.get("class", ""),
        "vip_area": step.get("vip", False), "action": step["action"], "counter": step.get("counter"),
        "request_id": step["request"], "degraded": step.get("degraded", False), "at": step["at"], "sequence": sequence,
        "day": day_of(date.fromisoformat(day)), "place": step.get("place", 0), "number": step.get("number", ""),
        "service": step.get("service", ""), "arrival": step.get("arrival"), "passed": step.get("passed", 0),
        "capped": step.get("capped", False), "overtaken": list(step["overtaken"] or ()), "served": list(step["served"] or ()),
        "actor": step["actor"], "reason": step.get("reason"), "state": step.get("state", ""),
        "printed": step.get("printed", False), "currency": step.get("currency"),
        "wanted_day": day_of(date.fromisoformat(step["wanted"])) if "wanted" in step else None,
        "amount_minor": int(step["amount"]) if "amount" in step else None,
    }  # fmt: skip


def step_audit(step: dict[str, Any]) -> dict[str, Any]:
    """Who made a step of the outbox, as the contract `audit-log` has it: a branch's records are one chain."""
    branch, day, sequence = step["branch"], step["day"], step["sequence"]
    said = {"branch": branch, "day": day, "sequence": f"{sequence}", "request_id": step["request"]}
    more = {name: str(step[name]) for name in ("id", "counter", "class", "number") if step.get(name) is not None}
    return {
        "event_id": f"tickets/{branch}/{day}/{sequence}", "chain": f"tickets/{branch}", "seq": UNNUMBERED, "previous_hash": "",
        "hash": "", "at": step["at"], "actor": step["actor"], "action": step["action"],
        "resource": f"{DataKind.TICKETS} of {step.get('id') or branch}", "outcome": "allowed", "reason": step.get("reason"),
        "details": said | more,
    }  # fmt: skip


class KafkaSteps:
    """Kafka, as StepSender says. The producer is made when the first step comes. topic: Kafka's name of one of the catalogue."""

    def __init__(self, brokers: Brokers, topic: Callable[[str], str]) -> None:
        self.brokers, self.topic = brokers, topic
        self.producer: Producer | None = None

    def send(self, records: Iterable[tuple[str, str, bytes]]) -> None:
        """As StepSender says."""
        if self.producer is None:
            given = {
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.timeout.ms": int(1000 * SENT_S),
            }
            self.producer = Producer({**librdkafka(self.brokers), **given}, logger=admin.nowhere)
        failed: list[KafkaError] = []

        def told(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        for topic, key, value in records:
            self.producer.produce(self.topic(topic), value, key=key, on_delivery=told)
        left = self.producer.flush(2 * SENT_S)
        if failed or left:
            self.producer = None  # what it still holds would come behind what comes next
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001


class TicketRelay:
    """Carries steps from the outbox to Kafka, one service at a time. `client` has no decoding, and waits longer than a turn."""

    def __init__(
        self, client: Redis, keys: TicketKeys, sender: StepSender, encode: Callable[[str, dict[str, Any]], bytes]
    ) -> None:
        self.client, self.keys, self.sender, self.encode = client, keys, sender, encode
        self.token = uuid.uuid4().hex

    def relay(self, wait_ms: int = RELAY_WAIT_MS) -> int:
        """Carry what there is, or wait a moment for it; how many steps. RedisError, KafkaException: it comes again."""
        if not self._turn():
            return 0
        answer: Any = self.client.xread({self.keys.outbox: "0-0"}, count=RELAYED_AT_ONCE, block=wait_ms)
        if not answer:
            return 0
        ((_, entries),) = answer
        steps = [json.loads(fields[b"e"]) for _, fields in entries]
        self.sender.send(self._records(steps))
        self.client.xdel(self.keys.outbox, *(name for name, _ in entries))
        return len(steps)

    def _records(self, steps: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, bytes]]:
        for step in steps:
            entry = step_audit(step)
            yield TICKETS_TOPIC, step["branch"], self.encode(TICKETS_TOPIC, ticket_record(step))
            yield AUDIT_LOG, entry["chain"], self.encode(AUDIT_LOG, entry)

    def _turn(self) -> bool:
        """Whether it is this relay's turn. A step that two have carried has the same id, and counts once."""
        if self.client.set(self.keys.relay, self.token, nx=True, px=RELAY_TURN_MS):
            return True
        if self.client.get(self.keys.relay) != self.token.encode():
            return False
        left: Any = self.client.pttl(self.keys.relay)
        if left < RELAY_TURN_MS // 2:
            self.client.pexpire(self.keys.relay, RELAY_TURN_MS)
        return True
