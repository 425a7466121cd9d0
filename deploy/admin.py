"""Talking to Kafka as an administrator, quietly: librdkafka complains on stderr about every try that fails."""

import logging
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from deploy.connections.clients import librdkafka
from deploy.connections.wire import Brokers

PROBE_S = 2.0
# What a broker answers between a partition's creation and the moment its leader serves it.
_NOT_YET = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)

nowhere = logging.getLogger("tidegauge.librdkafka")
nowhere.addHandler(logging.NullHandler())
nowhere.propagate = False


def client(kafka: Brokers) -> AdminClient:
    """An administration client; what it meets is raised by its methods, nothing is printed."""
    return AdminClient({**librdkafka(kafka), "reconnect.backoff.max.ms": 500}, logger=nowhere)


def cluster_id(admin: AdminClient) -> str:
    """The id of the cluster that answers. KafkaException if none does."""
    return str(admin.list_topics(timeout=PROBE_S).cluster_id)


def serves(admin: AdminClient, brokers: int) -> bool:
    """True when so many brokers are there and every partition has a leader that answers for it."""
    try:
        found = admin.list_topics(timeout=PROBE_S)
        if len(found.brokers) < brokers:
            return False
        wanted = {
            TopicPartition(name, number): OffsetSpec.latest()
            for name, topic in found.topics.items()
            for number in topic.partitions
        }
        for answer in admin.list_offsets(wanted, request_timeout=PROBE_S).values() if wanted else ():
            answer.result(timeout=2 * PROBE_S)  # past the request's own end: a client is not asked again before
    except (KafkaException, TimeoutError):
        return False
    return True


def led(admin: AdminClient, places: Iterable[TopicPartition]) -> bool:
    """True when no partition is known to be without a leader that serves it: just made, it may be for some moments."""
    asked = admin.list_offsets({place: OffsetSpec.latest() for place in places}, request_timeout=PROBE_S)
    for answer in asked.values():
        try:
            answer.result(timeout=2 * PROBE_S)
        except KafkaException as problem:
            if problem.args[0].code() in _NOT_YET:
                return False  # any other answer, as that this client may not see it, is no reason to wait
        except TimeoutError:
            return False
    return True


def topic_ids(admin: AdminClient, names: Sequence[str], wait_s: float) -> dict[str, str]:
    """The ids (KIP-516) of topics, 32 hexadecimal digits: a topic that is made anew has another one.

    Those are missing that the brokers give no id for, as before Kafka 2.8, or that this client may not see.
    """
    found = {}
    for name, answer in (
        admin.describe_topics(TopicCollection(list(names)), request_timeout=wait_s).items() if names else ()
    ):
        try:
            uuid = answer.result(timeout=2 * wait_s).topic_id
        except (KafkaException, TimeoutError):
            continue
        halves = (uuid.get_most_significant_bits(), uuid.get_least_significant_bits())
        if any(halves):
            found[name] = "".join(f"{half & (1 << 64) - 1:016x}" for half in halves)
    return found
