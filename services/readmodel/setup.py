"""Puts the read model together from the settings: who fills it, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from deploy.connections.database import connected, pooled
from schemas.codec.records import encode
from schemas.registry import registry_for
from services.readmodel.projector import Projector, build_anew
from services.readmodel.reader import ReadModel
from services.readmodel.rows import PROJECTED
from services.readmodel.store import NextReadStore, PostgresReadStore
from services.views.kafka_source import DeadLetters, KafkaSource, NewReader

if TYPE_CHECKING:
    from psycopg import Connection

    from deploy.settings import Settings

READERS_MAX: Final = 16
"""Connections of one desk."""


def _connect(settings: Settings) -> Callable[[], Connection[Any]]:
    return lambda: connected(settings.database)


@contextmanager
def projecting(
    settings: Settings, new_reader: NewReader, store: PostgresReadStore | None = None
) -> Iterator[Projector]:
    """A projector on the settings' servers. KafkaException where a topic is missing."""
    registry = registry_for(settings)
    rejects = DeadLetters(
        settings.kafka, settings.topic("dead-letters"), partial(encode, "dead-letters", registry=registry)
    )
    source = KafkaSource(settings.kafka, PROJECTED, new_reader, settings.topic_prefix)
    store = PostgresReadStore(_connect(settings)) if store is None else store
    try:
        yield Projector(source, store, registry, rejects)
    finally:
        source.close()
        store.close()


def rebuild_beside(
    settings: Settings, new_reader: NewReader, progress: Callable[[int, int], None] = lambda *_: None
) -> int:
    """Build the rows anew beside those that are read, then put them in their place; returns the records read.

    OvertakenError, psycopg.Error, KafkaException.
    """
    store = NextReadStore(_connect(settings))
    with projecting(settings, new_reader, store) as projector:
        return build_anew(projector, store, progress)


def read_model(settings: Settings) -> ReadModel:
    """Reads for pages; psycopg.Error where no connection can be had."""
    return ReadModel(pooled(settings.database, READERS_MAX))
