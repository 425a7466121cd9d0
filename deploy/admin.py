"""Talking to Kafka as an administrator, quietly: librdkafka complains on stderr about every try that fails."""

import logging

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

PROBE_S = 2.0

_nowhere = logging.getLogger("tidegauge.librdkafka")
_nowhere.addHandler(logging.NullHandler())
_nowhere.propagate = False


def client(bootstrap_servers: str) -> AdminClient:
    """An administration client; what it meets is raised by its methods, nothing is printed."""
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.max.ms": 500,
    }
    return AdminClient(config, logger=_nowhere)


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
