"""Run every worked example against every ledger."""

from collections.abc import Callable

import pytest

from tests.examples.implementations import IMPLEMENTATIONS, Ledger


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def ledgers(request: pytest.FixtureRequest) -> Callable[[], Ledger]:
    """Makes fresh ledgers of one implementation."""
    return IMPLEMENTATIONS[request.param]
