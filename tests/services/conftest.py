"""What the tests of the services share: a database of a real Redis-protocol server, found empty."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from redis import Redis

DATABASE = 9  # not the one that is used where TIDEGAUGE_REDIS_URL names a server


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """URL of the tests' own database."""
    return f"{redis_server.rpartition('/')[0]}/{DATABASE}"


@pytest.fixture
def redis_client(redis_url: str) -> Iterator["Redis"]:
    """A client of the database, emptied."""
    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    yield client
    client.close()
