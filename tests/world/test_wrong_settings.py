"""The table of wrong settings is whole."""

import pytest

from deploy.connections.database import connected
from deploy.settings import Settings
from services.database.migrations import migrate
from tests.chaos.site.bank import Bank
from tests.chaos.site.pairs import prepared
from tests.cli.invocation import options
from tests.conftest import Kafka
from tests.docs.test_cli import ALL, NO_RESULT, RUNS_ON
from tests.world.wrong_settings import AS_PROCESS, ELSEWHERE, LEFT_OUT, PROCESSES, READING, SOME, VALUES


def test_every_setting_has_a_wrong_value() -> None:
    """A new setting gets one, and the commands that must refuse it are known."""
    assert set(VALUES) == set(Settings.model_fields)
    assert set(AS_PROCESS) <= set(VALUES) and set(AS_PROCESS.values()) <= set(READING)
    assert set().union(*(reading.refuses for reading in READING.values()), *PROCESSES.values()) <= set(VALUES)
    assert set(ELSEWHERE) <= set(VALUES) and all(ELSEWHERE.values())


def test_every_command_that_reads_is_tried() -> None:
    """Those that have a result and nothing to try first, and all that run on; what is left out is so for a reason."""
    called = {" ".join(reading.words.split()[:2]): reading.words.split()[0] for reading in READING.values()}
    tried = {two if two in ALL else one for two, one in called.items()}
    reading = {
        name for name, command in ALL.items() if "--json" in options(command) and "--dry-run" not in options(command)
    }
    assert reading - tried == set(LEFT_OUT)
    assert {" ".join(command.split(" --")[0].split()) for command in PROCESSES} == {
        name for name, why in NO_RESULT.items() if why == RUNS_ON
    }


@pytest.mark.integration
@pytest.mark.slow
def test_a_wrong_setting_is_refused_or_changes_no_answer(
    kafka: Kafka, redis_server: str, tickets_server: str, database: str
) -> None:
    """One command that reads it for each setting, some as processes; `make chaos ARGS="settings"` tries all."""
    with connected(database) as connection:
        migrate(connection)
    urls = {"redis_url": redis_server, "tickets_url": tickets_server, "database_url": database}
    with Bank(kafka.bootstrap_servers, "pairs", 1, **urls) as bank:
        pairs = prepared(bank)
        assert not bank.findings, str(bank.findings)
        assert pairs.one_each(AS_PROCESS) == []
        assert pairs.must_not_begin(SOME) == []
