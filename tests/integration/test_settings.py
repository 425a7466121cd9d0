"""Every setting wrong in turn, as people meet it: a process of its own is refused in a few lines, or says the same."""

from __future__ import annotations

import pytest

from deploy.settings import Settings
from tests.chaos.site.bank import Bank
from tests.chaos.site.pairs import prepared
from tests.conftest import Kafka
from tests.world.wrong_settings import AS_PROCESS, READING, VALUES

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_every_setting_has_a_wrong_value() -> None:
    """A new setting gets one, and is tried with a command that reads."""
    assert list(VALUES) == [name for name in VALUES if name in Settings.model_fields]
    assert set(VALUES) == set(Settings.model_fields)
    assert set(AS_PROCESS) <= set(VALUES) and set(AS_PROCESS.values()) <= set(READING)


def test_a_wrong_setting_is_refused_or_changes_no_answer(kafka: Kafka, redis_server: str) -> None:
    """One command for each setting; `make chaos ARGS=settings` tries all of them."""
    with Bank(kafka.bootstrap_servers, "pairs", 1, redis_url=redis_server) as bank:
        pairs = prepared(bank)
        assert pairs.one_each() == []
        assert not bank.findings, str(bank.findings)
