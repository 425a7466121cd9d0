"""One live system for this folder, that three clients have written to, and a PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.postgres import Postgres
from tests.integration.conftest import make_live

__all__ = ["make_live"]


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """URL of a PostgreSQL server."""
    with Postgres() as server:
        yield server.url
