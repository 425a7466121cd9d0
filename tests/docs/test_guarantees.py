"""docs/guarantees.md names every chaos scenario, and only commands that exist."""

import http.client
import re
from pathlib import Path

from agents.notifier import turns
from connectors.formats import canonical, json_text, parquet_pages, parquet_rows
from deploy import probes, topics
from deploy.connections import database
from deploy.settings import Settings
from policies.cases import facts
from policies.language import reader
from schemas import answers, bounds
from schemas.codec import blocks, primitives
from schemas.validation import columns
from services.access import callers, issuer, keys, login, sessions, tokens
from services.commands import follower
from services.database import migrations
from services.desk import changes as desk_changes
from services.desk.pages import live
from services.notices import bank_texts, mail, notice_ids, notifier, webhook
from services.notices.pace import holds, hours
from services.pages import streams
from services.queue import line, lookup, refusals, server
from services.queue.tickets.store import STORE_BUDGET_S
from services.staff import lists, people
from streams import fx, validity
from streams.accounts import postings, store
from tests.chaos import table
from tests.chaos.scenarios import SCENARIOS
from tidegauge import case_report
from tidegauge.cli.access import login as cli_login
from tidegauge.cli.notices import resend

ROOT = Path(__file__).resolve().parents[2]
TEXT = table.PAGE.read_text()
YARDSTICK = "plain"  # has no fault, so it shows nothing


def test_every_scenario_shows_something() -> None:
    """Each scenario is the witness of a guarantee, and every witness exists."""
    named = set(re.findall(r'make chaos ARGS="([a-z-]+)(?: \d+)?"', TEXT)) - {"--write"}
    assert named == set(SCENARIOS) - {YARDSTICK}


def test_targets_exist() -> None:
    """Whatever is called by `make` is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= targets


def test_there_is_a_place_for_the_tables() -> None:
    """The marks between which a run writes its table."""
    for mark in (table.BEGIN, table.END):
        assert TEXT.count(mark) == 1


def default(name: str) -> int:
    """Of a setting."""
    return int(Settings.model_fields[name].default)


# A row's first cell -> the numbers that must stand in its second.
BOUNDS = {
    "a file of commands": [bounds.COMMANDS_FILE_BYTES_MAX, bounds.COMMAND_LINES_MAX],
    "commands that wait for an answer in a service; customers whose branch it knows": [
        follower.WAITERS_MAX, follower.CUSTOMERS_KNOWN_MAX,
    ],
    "branches that have tickets, counters of a branch, its classes and services together": [
        bounds.BRANCHES_MAX, bounds.HALL_COUNTERS_MAX, bounds.BRANCH_LANES_MAX,
    ],
    "tickets of a branch: a day, that wait": [bounds.BRANCH_TICKETS_MAX, bounds.BRANCH_WAITING_MAX],
    "requests of a branch's day whose answers are kept": [bounds.BRANCH_REQUESTS_MAX],
    "steps of tickets that wait for Kafka": [bounds.OUTBOX_STEPS_MAX],
    "past waits that estimates learn from": [bounds.PAST_WAITS_MAX],
    "tickets that a kiosk reports at once": [bounds.OFFLINE_TICKETS_MAX],
    "cash requests of a branch: that are open, days ahead, on a page": [
        bounds.BRANCH_CASH_REQUESTS_MAX, bounds.CASH_NOTICE_DAYS_MAX, bounds.CASH_PAGE_MAX,
    ],
    "a connection to PostgreSQL": [
        database.CONNECT_S, database.STATEMENT_S_MAX, migrations.STEP_S_MAX, database.LOCK_S_MAX, database.IDLE_S_MAX,
    ],
    "a list of staff, units or absences": [
        bounds.STAFF_FILE_BYTES_MAX, bounds.STAFF_LINES_MAX, bounds.STAFF_LINE_BYTES_MAX, lists.TEXT_BYTES_MAX,
    ],
    "an issuer of tokens": [
        bounds.REGISTRY_ANSWER_BYTES_MAX, int(answers.REGISTRY_ANSWER_S),
        issuer.KEYS_S, issuer.KEYS_AGAIN_S, issuer.KEYS_OLD_S_MAX,
    ],
    "a login": [login.LOGIN_S, cli_login._WAIT_S, bounds.LOGIN_FILE_BYTES_MAX],
    "sessions of one person in browsers": [sessions.SESSIONS_MAX, sessions.ROTATE_S, sessions.GRACE_S],
    "a form of a page": [callers.FORM_BYTES_MAX, callers.FIELDS_MAX],
    "keys of machines that a process knows": [keys.KEYS_MAX, int(keys.READ_S), keys.OLD_S_MAX // 3600],
    "people that a process remembers": [people.KEPT_MAX, people.KEPT_S],
    "a token of whoever asks": [bounds.TOKEN_BYTES_MAX, tokens.LIFETIME_S_MAX // 3600],
    "key or value of a record": [bounds.KEY_OR_VALUE_BYTES_MAX],
    "a record with its headers": [bounds.RECORD_BYTES_MAX],
    "records in a batch": [bounds.BATCH_RECORDS_MAX],
    "a batch, unpacked": [bounds.UNPACKED_BYTES_MAX],
    "a batch that does not unpack": [],
    "records in clear that are handed on at once": [bounds.BLOCK_BYTES_MAX, bounds.BLOCK_RECORDS_MAX],
    "a batch as it is stored": [int(topics.CATALOGUE[0].config()["max.message.bytes"])],
    "a dead letter: value, key, words": [
        bounds.LETTER_VALUE_BYTES_MAX, bounds.LETTER_KEY_BYTES_MAX, bounds.LETTER_DETAIL_CHARS_MAX,
    ],
    "dead letters about a partition of a topic for one reason, in a transaction of a worker or a fetch of the views": [
        bounds.LETTERS_AT_ONCE_MAX
    ],
    "dead letters that `redrive` takes at once": [bounds.LETTERS_CHOSEN_MAX],
    "an id of a customer or account, the name of a source, a branch, a manager, a card, a staff id of an act": [
        store.ID_BYTES_MAX
    ],
    "an event id of a fact or a rate": [store.EVENT_ID_BYTES_MAX],
    "sources that a partition tells apart: in postings and balances, in facts, that have said they are complete": [
        store.SOURCES_MAX
    ],
    "banks on the other side that a partition tells apart": [postings.NAMES_BYTES_MAX],
    "rates that are held": [fx.RATES_BYTES_MAX, 35_000],
    "a changelog row, which the workers alone write": [bounds.UNPACKED_BYTES_MAX],
    "a line of a file, a cell of it": [canonical.LINE_BYTES_MAX],
    "columns of a file of events": [bounds.COLUMNS_MAX],
    "a file of events, as it is stored": [bounds.FILE_BYTES_MAX, bounds.FILES_MAX],
    "events of an import or a replay, of all its files": [bounds.EVENTS_MAX],
    "a text of an input, in a file or on its topic": [validity.FIELD_BYTES_MAX],
    "`details` of an act": [columns.DETAILS_MAX, validity.FIELD_BYTES_MAX],
    "a policy pack, in a file and on its topic": [bounds.PACK_BYTES_MAX],
    "a table of rule cases": [bounds.TABLE_BYTES_MAX],
    "labels of a world": [bounds.LABELS_BYTES_MAX],
    "manifests, calendars, facts in a file, files of authorities, contracts, the note of the embedded stack": [
        bounds.SMALL_FILE_BYTES_MAX,
    ],
    "a file with a key or a password": [bounds.KEY_FILE_BYTES_MAX],
    "objects and lists in one another, in files": [json_text.NESTING_MAX],
    "mappings and lists in one another, in a pack": [reader.DEPTH_MAX],
    "digits of a fact, in a file or a table of cases, as it would be written out": [facts.NUMBER_CHARS_MAX],
    "a text of Parquet": [parquet_rows.VALUE_BYTES_MAX, parquet_rows.LONG_VALUE_BYTES_MAX],
    "a Parquet file": [parquet_rows.ROWS_MAX, parquet_rows.TEXT_BYTES_MAX, bounds.FOOTER_BYTES_MAX],
    "a row group of Parquet, as its page headers say": [parquet_rows.GROUP_BYTES_MAX, parquet_pages.PAGES_MAX],
    "a file of tickets, counters or arrivals of a branch's day": [
        bounds.HALL_FILE_BYTES_MAX, bounds.HALL_TICKETS_MAX, bounds.HALL_COUNTERS_MAX,
    ],
    "overtakings of a branch's day": [bounds.HALL_OVERTAKINGS_MAX],
    "a request to the look-up": [server.REQUEST_BYTES_MAX, server.REQUEST_S, server.IDLE_S],
    "connections to the look-up": [default("lookup_connections"), 1, server.ADDRESS_SHARE],
    "steps and look-ups of a service that wait for a server's answer": [
        line.LINE_WAITING_MAX, round(STORE_BUDGET_S * 1000), round(lookup.BUDGET_S * 1000),
    ],
    "refusals of the ticket service that wait for their record on `audit-log`; how long the answer waits for it": [
        refusals.REFUSALS_MAX, round(refusals.REFUSAL_WAIT_S),
    ],
    "event streams to halls": [streams.STREAMS_MAX, streams.STREAMS_OF_ONE_MAX, round(streams.STREAM_S / 60)],
    "event streams to the desk": [
        live.STREAMS_MAX, streams.STREAMS_OF_ONE_MAX, round(streams.STREAM_S / 60), desk_changes.KEPT_MAX,
    ],
    "requests of one address to the look-up": [default("lookup_rate"), server.BURST_S],
    "addresses whose requests the look-up counts": [server.ADDRESSES_MAX],
    "connections for metrics and health": [probes.CONNECTIONS_MAX, probes.CONNECTION_S],
    "a request for metrics and health": [http.client._MAXLINE, http.client._MAXHEADERS],
    "an answer of the schema registry, of the issuer of its tokens, of a worker to `drain` and `doctor`": [
        bounds.REGISTRY_ANSWER_BYTES_MAX, answers.REGISTRY_ANSWER_S,
    ],
    "schema ids that a partition asks the registry for and that are unknown, by topic": [
        bounds.UNKNOWN_SCHEMAS_ASKED_MAX, blocks.UNKNOWN_S,
    ],
    "unknown schema ids that a reader remembers": [blocks.UNKNOWN_MAX],
    "a schema by which records are read": [
        bounds.SCHEMA_BYTES_MAX, bounds.SCHEMA_TYPES_MAX, bounds.SCHEMA_DEPTH_MAX, bounds.VALUES_PER_BYTE_MAX,
    ],
    "types in the schemas by which a reader reads at a time; schemas that it keeps for the next batch": [
        bounds.WRITERS_TYPES_MAX, blocks.WRITERS_MAX,
    ],
    "schemas of the registry that a process keeps": [bounds.SCHEMAS_KEPT_MAX, bounds.SCHEMAS_KEPT_BYTES_MAX],
    "versions of a subject that are looked at for a contract in other words": [
        bounds.SCHEMA_VERSIONS_MAX, bounds.SCHEMA_VERSIONS_S,
    ],
    "notices of which is known that they stand on `notices`": [notice_ids.TOLD_MAX, notice_ids.FIRST_READ_S],
    "a file with a bank's own texts of notices; a subject, a body in it": [
        bounds.PACK_BYTES_MAX, bank_texts.SUBJECT_CHARS_MAX, bank_texts.BODY_CHARS_MAX,
    ],
    "alerts whose notices are held at a time by a process": [holds.HELD_MAX, turns.AHEAD_MAX],
    "cases of a month that `alerts report` counts": [case_report.MONTH_CASES_MAX],
    "notices that wait for the end of quiet hours, or for room below a cap": [holds.HELD_MAX],
    "recipients whose notices of the last minute are counted, where there is a cap; notices on their way by a channel": [
        hours.RECIPIENTS_MAX, notifier.SENDS_MAX,
    ],
    "notices that `resend` takes at once": [resend.RESENT_MAX],
    "an answer of the webhook": [webhook.ANSWER_BYTES_MAX, webhook.ATTEMPT_S, webhook.DELIVERY_S],
    "an answer of the mail server": [mail.ANSWER_S, mail.DELIVERY_S],
}  # fmt: skip


def test_bounds_are_those_of_the_program() -> None:
    """The table of bounds has every number of the program, and no other."""
    section = TEXT.split("\n## Bounds\n")[1].split("\n## ")[0]
    rows = [table.parts(line) for line in section.splitlines() if line.startswith("| ")][2:]
    said = {row[0]: [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", row[1])] for row in rows}
    assert said == BOUNDS
    assert bounds.KEY_OR_VALUE_BYTES_MAX == primitives.LENGTH_MAX
    assert {n for numbers in BOUNDS.values() for n in numbers} >= {
        value for name, value in vars(bounds).items() if name.endswith("_MAX")
    }
