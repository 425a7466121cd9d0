"""A read model on a real PostgreSQL, with records as workers write them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.connections.database import connected, pooled
from services.readmodel.reader import ReadModel
from services.readmodel.store import PostgresReadStore
from tests.readmodel.bank import WORLD


@pytest.fixture
def store(database: str) -> Iterator[PostgresReadStore]:
    """Empty tables."""
    found = PostgresReadStore(lambda: connected(database))
    found.settle(WORLD)
    yield found
    found.close()


@pytest.fixture
def read_model(database: str) -> Iterator[ReadModel]:
    """Reads by two connections at most."""
    found = ReadModel(pooled(database, 2))
    yield found
    found.close()
