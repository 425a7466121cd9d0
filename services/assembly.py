"""Puts the services together from the settings: what the command line and the tests start."""

import uuid
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.asyncio
from confluent_kafka import KafkaException
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.records import decode_one, encode
from schemas.registry import RegistryError
from services.kafka_source import DeadLetters, KafkaSource
from services.keys import Keys
from services.lookup import BUDGET_S, Lookup, RedisPriorityView
from services.priority import create_app
from services.projections import PROJECTIONS
from services.views import ViewWriter
from services.viewstore import RedisViewStore

if TYPE_CHECKING:
    from fastapi import FastAPI

    from deploy.settings import Settings

REDIS_TIMEOUT_S = 5.0
"""A server that gives no answer for so long is taken for dead by the writer."""

LOOKUP_CONNECTIONS_MAX = 64

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


def priority_client(url: str) -> "redis.asyncio.Redis[Any]":
    """A client that gives up early and never tries twice: the lookup's breaker does that."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=BUDGET_S,
        socket_connect_timeout=BUDGET_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=LOOKUP_CONNECTIONS_MAX,
    )


def priority_app(settings: "Settings") -> "FastAPI":
    """The look-up's web application on the settings' view."""
    view = RedisPriorityView(priority_client(settings.redis), Keys.of(settings.topic_prefix))
    return create_app(Lookup(view, settings.queue_default_class, lambda: datetime.now(settings.tz).date()))
