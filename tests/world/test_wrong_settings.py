"""The table of wrong settings is whole."""

import pytest

from deploy.settings import Settings
from tests.chaos.site.bank import Bank
from tests.chaos.site.pairs import prepared
from tests.conftest import Kafka
from tests.world.wrong_settings import AS_PROCESS, READING, VALUES


def test_every_setting_has_a_wrong_value() -> None:
    """A new setting gets one, and the commands that must refuse it are known."""
    assert set(VALUES) == set(Settings.model_fields)
    assert set(AS_PROCESS) <= set(VALUES) and set(AS_PROCESS.values()) <= set(READING)
    assert set().union(*(reading.refuses for reading in READING.values())) <= set(VALUES)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wrong_setting_is_refused_or_changes_no_answer(kafka: Kafka, redis_server: str) -> None:
    """One command for each setting, some as processes; `make chaos ARGS="settings"` tries each with all of them."""
    with Bank(kafka.bootstrap_servers, "pairs", 1, redis_url=redis_server) as bank:
        pairs = prepared(bank)
        assert pairs.one_each(AS_PROCESS) == []
        assert not bank.findings, str(bank.findings)
