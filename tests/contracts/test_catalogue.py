"""Which test drives which reader of which topic by anything that may stand there. A reader or a topic without its row fails."""

import ast
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from deploy.topics import TOPIC_NAMES
from schemas.registry import contract, names
from schemas.topics import CLOSES, INPUTS, MARK, OWNERS
from services.readmodel.rows import PROJECTED
from services.views.projections import PROJECTIONS
from tidegauge.explanation.log import OUTPUTS
from tidegauge.world.withdrawn import TOPICS_OF_CLOSES

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agents", "services", "connectors", "deploy", "policies", "tidegauge")
READS = re.compile(r"\b(decode_one|decode_values|log_entries|Reader|packs\.sent|sent)\((?!self, )")


class Driven(NamedTuple):
    """Readers by their modules, the topics that they read, and the tests, each as FILE::FUNCTION below tests/."""

    modules: tuple[str, ...]
    topics: tuple[str, ...]
    tests: tuple[str, ...]


CONSUMERS: Final[dict[str, Driven]] = {
    "standing job": Driven(
        ("agents/standing/job.py",), INPUTS,
        ("contracts/test_standing_job.py::test_every_input_at_once",
         "contracts/test_sizes.py::test_a_text_as_long_as_a_record_may_be"),
    ),
    "account agent": Driven(
        ("agents/owners/agent.py", "agents/owners/compare.py"), (OWNERS,), ("contracts/test_readers.py::test_any_claim",),
    ),
    "views": Driven(
        ("services/views/decoder.py", "services/views/rows.py"), tuple(PROJECTIONS),
        ("services/test_any_value.py::test_the_view_takes_or_rejects",
         "services/test_any_value.py::test_a_real_server_takes_it_too"),
    ),
    "sweep of the views": Driven(
        ("services/views/decoder.py",), tuple(PROJECTIONS),
        ("services/test_any_value.py::test_the_sweep_finds_nothing_wrong",
         "services/test_any_value.py::test_the_sweep_mends_all"),
    ),
    "readers of the views": Driven(
        ("services/views/queries.py",), ("rm-alerts", "standings"),
        ("services/test_any_value.py::test_readers_pass_over_what_they_cannot_read",
         "services/test_any_value.py::test_a_standing_is_read_or_is_none"),
    ),
    "what people look at": Driven(
        ("services/readmodel/projector.py",), tuple(PROJECTED),
        ("readmodel/test_projector.py::test_killed_anywhere", "readmodel/test_postgres.py::test_any_record_is_taken_or_refused"),
    ),
    "the door of commands": Driven(
        ("services/commands/follower.py",), ("customers", "command-results"),
        ("services/test_commands_follower.py::test_any_record_is_taken_or_passed_over",),
    ),
    "look-up": Driven((), ("queue-priority",), ("services/test_any_value.py::test_any_row_of_the_server",)),
    "classes of who waits": Driven(
        ("services/queue/behind/following.py",), ("queue-priority",),
        ("services/test_any_value.py::test_any_class_of_who_waits",),
    ),
    "tickets of a branch": Driven(
        ("tidegauge/branch/log.py",), ("queue-tickets",), ("contracts/test_readers.py::test_any_ticket_of_a_branch",),
    ),
    "notifier": Driven(
        ("agents/notifier/app.py",), ("rm-alerts",),
        ("services/test_any_value.py::test_an_alert_gives_notices_or_a_reason",),
    ),
    "the bank's days for notices": Driven(
        ("services/notices/days.py",), (CLOSES, "policies"),
        ("services/test_any_value.py::test_the_banks_days_stay_days",),
    ),
    "VIPs that arrive": Driven(
        ("services/notices/arrivals.py",), ("customers", "queue-tickets"),
        ("services/test_any_value.py::test_any_ticket_of_a_vip",),
    ),
    "the clock of cases": Driven(
        ("services/clock/clock.py",), ("rm-alerts", "policies"), ("services/test_any_value.py::test_any_step_of_a_case",),
    ),
    "notices as the command line lists them": Driven(
        ("tidegauge/notices.py",), ("notices",), ("cli/test_notices.py::test_any_record",),
    ),
    "the report on cases": Driven(
        ("tidegauge/case_report.py",), ("rm-alerts",), ("cli/test_case_report.py::test_any_record",),
    ),
    "notices that were told": Driven(
        ("services/notices/notice_ids.py",), ("notices",), ("services/test_any_value.py::test_any_notice_was_told_or_was_not",),
    ),
    "closer": Driven(("connectors/loading/closer.py",), (CLOSES,), ("connectors/test_closes.py::test_any_record",)),
    "packs that were sent": Driven(
        ("tidegauge/knowledge.py", "tidegauge/cli/data/fact_names.py", "connectors/loading/packs.py"), ("policies",),
        ("contracts/test_readers.py::test_packs_that_were_sent", "contracts/test_readers.py::test_facts_of_files"),
    ),
    "refused events of files": Driven(
        ("tidegauge/cli/data/refused.py",), ("dead-letters",),
        ("contracts/test_readers.py::test_what_a_job_refuses_is_told",),
    ),
    "dead-letters": Driven(
        ("tidegauge/letters.py",), ("dead-letters",),
        ("contracts/test_readers.py::test_any_letter_is_shown", "contracts/test_readers.py::test_any_original_is_masked",
         "contracts/test_readers.py::test_any_letter_is_sent_again_or_says_why_not"),
    ),
    "world": Driven(("tidegauge/world/log.py",), ("world",), ("contracts/test_readers.py::test_any_identity",)),
    "the last epoch": Driven(
        ("tidegauge/world/epochs.py",), ("standings", "outlooks", "queue-priority"),
        ("contracts/test_readers.py::test_any_version",),
    ),
    "what a takeover withdraws": Driven(
        ("tidegauge/world/withdrawn.py",), TOPICS_OF_CLOSES,
        ("contracts/test_readers.py::test_any_record_of_a_close",),
    ),
    "explain": Driven(
        ("tidegauge/explanation/log.py", "tidegauge/explanation/rerun.py", "tidegauge/explanation/orders.py"),
        (*OUTPUTS, *INPUTS),
        ("explaining/test_any_record.py::test_any_published_record",
         "explaining/test_any_record.py::test_foreign_records_on_inputs"),
    ),
    "check-source": Driven(
        ("tidegauge/sources/log.py",), tuple(topic for topic in INPUTS if topic not in (CLOSES, "policies")),
        ("sources/test_check.py::test_any_record_is_looked_at", "sources/test_check.py::test_whatever_comes_is_looked_at"),
    ),
}  # fmt: skip
# Modules that read what only their own process has written, or hand on bytes without a look at what is in them.
OWN: Final = {
    "agents/standing/decide/outlooks.py": "a record that it has just encoded",
    "agents/engine/fetches.py": "bytes as they are: tests/fuzz, tests/schemas/test_bounds.py",
    "agents/engine/reader.py": "bytes as they are: tests/services/test_bounded_readers.py",
    "tidegauge/topic_entries.py": "bytes as they are: tests/cli/test_case_report.py, tests/cli/test_notices.py",
    "tidegauge/checks/deletions.py": "keys, and whether there is a value: tests/deploy/test_checks.py",
    "services/views/kafka_source.py": "bytes as they are: tests/services/test_bounded_readers.py",
    "tidegauge/evaluation/run.py": "what the job that it runs has just published",
    "tidegauge/evaluation/trial.py": "what the jobs that it runs have just published; postings, or no record",
    "agents/offline/guided.py": "ids of events, or no record: tests/evaluation/test_guided.py",
    "agents/offline/replay.py": "the causes of alerts, or no record: tests/evaluation/test_guided.py",
    "tidegauge/demo/watch.py": "topics of the demo's own, which nobody else writes",
}
UNREAD: Final = {  # topics that none of our processes reads
    "tasks": "for the desk", "audit-log": "kept",
}  # fmt: skip


def reading() -> set[str]:
    """The modules that take records of topics apart."""
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix() for path in paths if READS.search(path.read_text())}


def test_every_reader_has_its_row() -> None:
    """A module that decodes records is driven by a test, or reads nothing of others."""
    listed = {module for driven in CONSUMERS.values() for module in driven.modules}
    not_read = {"connectors/loading/broadcast.py", "policies/cases/decision.py"}  # readers of files
    assert reading() - not_read == listed | OWN.keys()
    assert not listed & OWN.keys()


def test_every_topic_has_its_row() -> None:
    """Of the catalogue, and every contract: read by somebody who is driven, or by nobody."""
    read = {topic for driven in CONSUMERS.values() for topic in driven.topics}
    assert read | UNREAD.keys() == set(TOPIC_NAMES)
    assert not read & UNREAD.keys()
    assert set(names()) == {*TOPIC_NAMES, MARK}
    assert all(contract(name)["fields"] for name in names())


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_the_tests_are_there(consumer: str) -> None:
    """Under the name that the table has."""
    for named in CONSUMERS[consumer].tests:
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text())
        assert [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name], named
