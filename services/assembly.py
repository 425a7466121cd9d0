"""Puts the services together from the settings: what the command line and the tests start."""

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from redis import Redis, RedisError

from schemas.records import decode_one, encode
from schemas.registry import RegistryError
from services.kafka_source import DeadLetters, KafkaSource
from services.keys import Keys
from services.projections import PROJECTIONS
from services.views import ViewWriter
from services.viewstore import RedisViewStore

if TYPE_CHECKING:
    from deploy.settings import Settings

REDIS_TIMEOUT_S = 5.0
"""A server that gives no answer for so long is taken for dead by the writer."""

FAILURES = (RedisError, KafkaException, RegistryError, OSError)
"""What a view writer outlives."""


def decode(topic: str, value: bytes) -> dict[str, Any]:
    """A record of a topic, resolved to the newest contract; raises RecordError."""
    return decode_one(value, name=topic)


def redis_client(settings: "Settings") -> "Redis[Any]":
    """A blocking client with bounded waits."""
    return Redis.from_url(settings.redis, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)


def view_writer(settings: "Settings") -> ViewWriter:
    """A view writer on the settings' servers; raises KafkaException when a topic is missing."""
    keys = Keys.of(settings.topic_prefix)
    rejects = DeadLetters(settings.kafka, settings.topic("dead-letters"), partial(encode, "dead-letters"))
    source = KafkaSource(settings.kafka, PROJECTIONS, settings.topic_prefix)
    return ViewWriter(source, RedisViewStore(redis_client(settings), keys), keys, decode, rejects, uuid.uuid4().hex)
