"""Talking to Kafka as an administrator, quietly: librdkafka complains on stderr about every try that fails."""

import logging

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

PROBE_S = 2.0

_nowhere = logging.getLogger("tidegauge.librdkafka")
_nowhere.addHandler(logging.NullHandler())
_nowhere.propagate = False


def client(bootstrap_servers: str) -> AdminClient:
    """An administration client; what it meets is raised by its methods, nothing is printed."""
    config = {"bootstrap.servers": bootstrap_servers, "reconnect.backoff.max.ms": 500}
    return AdminClient(config, logger=_nowhere)


def count_brokers(admin: AdminClient) -> int:
    """How many brokers the cluster has now; 0 if none answers within two seconds."""
    try:
        return len(admin.list_topics(timeout=PROBE_S).brokers)
    except KafkaException:
        return 0
