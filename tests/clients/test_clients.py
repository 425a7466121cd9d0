"""Producers in three languages give the same standings; readers in two see what the live system has."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from schemas.registry import HERE
from streams.calendar import day_of
from streams.vocabulary.metrics import METRICS
from tests.clients.page import PAGE, contract_of, need, program, run
from tests.integration.live import Live, free_port
from tidegauge.sources.reference import VECTOR_CUSTOMER, VECTOR_KEY, VECTOR_REFERENCE

pytestmark = [pytest.mark.integration, pytest.mark.slow]
# Records that the page shows: their topic, and the page's program that sends them.
SHOWN: Final = {
    "posting": ("transactions", "producer"), "balance": ("balances", "producer"), "fact": ("facts", "producer"),
    "profile": ("customers", "producer"), "act": ("crm-actions", "producer"), "mark": ("facts", "rates"),
    "rate": ("fx-rates", "rates"),
}  # fmt: skip
SHOWN_CUSTOMER: Final = "6230001234560042"
# Of each client: its language, and its program on the page.
CLIENTS: Final = {
    "python": ("python", "producer"), "java": ("java", "producer"), "kafkajs": ("js", "producer"),
    "confluent": ("js", "producer-librdkafka"),
}  # fmt: skip
FIRST, LAST = day_of(dt.date(2026, 3, 2)), day_of(dt.date(2026, 3, 31))
DAY_MS: Final = 86_400_000
# Of each customer: his accounts' currencies, then (account, day of the month, minor units).
CUSTOMERS: Final = {
    "ordinary": (["CNY"], [(0, 2, 4_500_000), (0, 9, -1_200_000)]),
    "two accounts": (["CNY", "USD"], [(0, 2, 130_000_000), (1, 3, 5_000_001), (1, 20, -1_999_999)]),
    "客户三": (["JPY"], [(0, 2, 98_765_432), (0, 31, -1)]),
    "no rate": (["CNY", "GBP"], [(0, 2, 60_000_000), (1, 25, 7)]),
}
# Programs and records that nothing here runs: what is answered and posted, and a recipe, all in tests/services; and how a
# command is sent (tests/integration/test_commands.py); and how the desk is asked (tests/desk/test_api.py).
ELSEWHERE: Final = {
    ("json", "priority"), ("json", "notice"), ("python", "signature"), ("bash", "command"), ("python", "command"),
    ("bash", "desk"),
}  # fmt: skip
RATES: Final = [
    {"event_id": f"{currency}-{day}", "currency": currency, "base": "CNY", "rate_micro": micro + day, "rate_date": FIRST + day,
     "version": 1, "source": "treasury"}
    for currency, micro in (("USD", 7_104_300), ("JPY", 48_150)) for day in (0, 7, 14)
]  # fmt: skip


def postings(client: str) -> Iterator[dict[str, Any]]:
    """What a client sends of its own three customers."""
    for name, (currencies, moves) in CUSTOMERS.items():
        numbers = [0] * len(currencies)
        for account, day, minor in moves:
            numbers[account] += 1
            at = FIRST + day - 2
            yield {
                "event_id": f"{client}-{name}-{account}-{numbers[account]}", "source": "core",
                "journal_seq": numbers[account], "customer_id": f"{client} {name}", "account_id": f"{client} {name} {account}",
                "asset_class": "deposit_demand", "currency": currencies[account], "amount_minor": minor, "value_date": at,
                "booked_at": at * DAY_MS + 3_600_000, "nature": "external", "customer_initiated": True, "branch": "B01",
                "channel": None, "counterparty_bank": None, "counterparty_ref": None, "reverses": None,
            }  # fmt: skip


def later() -> list[dict[str, Any]]:
    """Of two customers of the first client the next posting of their first accounts, a day after the month's end."""
    first = {posting["account_id"]: posting for posting in postings("python")}
    numbers = {"python ordinary 0": 3, "python no rate 0": 2}
    return [
        {**first[account], "event_id": f"later {account}", "journal_seq": number, "value_date": LAST + 1,
         "booked_at": (LAST + 1) * DAY_MS}
        for account, number in numbers.items()
    ]  # fmt: skip


def send(live: Live, language: str, name: str, topic: str, records: Any, folder: Path, text: str | None = None) -> None:
    """Let a program of the page send records to a topic."""
    arguments = [live.settings.kafka, live.settings.topic(topic), *contract_of(topic)]
    run(language, text or program(language, name), folder, arguments, records)


@pytest.fixture(scope="module")
def lived(make_live: Callable[..., Live], tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A system that the three producers have written to, checked as a new source is, closed to the month's end and on.

    Two customers have something new on the day after, one of them without a rate.
    """
    live = make_live(contracts=2)
    for client, (language, name) in CLIENTS.items():
        send(live, language, name, "transactions", postings(client), tmp_path_factory.mktemp(client))
    send(live, "python", "rates", "fx-rates", RATES, tmp_path_factory.mktemp("rates"))
    for name, (topic, by) in SHOWN.items():
        send(live, "python", by, topic, shown(name), tmp_path_factory.mktemp(name))
    live.start()
    live.command(*program("sh", "check").split()[1:])
    for topic in ("fx-rates", "balances", "facts", "customers"):
        live.command("check-source", "--topic", topic)  # exit code 0: nothing was found
    live.command("close", dt.date(2026, 3, 31).isoformat(), "--force", "--reason", "the first close")
    live.wait_closed()
    send(live, "python", "producer", "transactions", later(), tmp_path_factory.mktemp("later"))
    live.command("close", "2026-04-01", "--force", "--reason", "its day has not ended everywhere")
    live.wait_closed()
    live.stop()
    return live


def shown(name: str) -> list[dict[str, Any]]:
    """Records of the page."""
    return [json.loads(line) for line in program("json", name).splitlines()]


def standings(live: Live, as_of: str = "2026-03-31") -> dict[str, dict[str, str]]:
    """The command's rows, by customer."""
    out = live.logs / "standings.csv"
    live.command("standings", "--as-of", as_of, "--out", str(out))
    return {row["customer_id"]: row for row in csv.DictReader(io.StringIO(out.read_text()))}


def test_everything_on_the_page_is_run() -> None:
    """A program or record without a test would rot."""
    run_here = {
        *CLIENTS.values(), *(("json", name) for name in SHOWN), ("python", "rates"), ("python", "warehouse"), ("js", "consumer"),
        ("python", "reference"), ("js", "reference"), ("sh", "lookup"), ("sh", "check"),
    }  # fmt: skip
    assert {tuple(line.split(" ")) for line in re.findall(r"^```(\w.*)$", PAGE, re.MULTILINE)} == run_here | ELSEWHERE


def test_producers_give_the_same_standings(lived: Live) -> None:
    """Every figure of the three customers is the same whoever sent it, and no record was lost."""
    rows = standings(lived)
    assert len(rows) == len(CLIENTS) * len(CUSTOMERS) + 1
    assert lived.outputs("dead-letters") == []
    for name in CUSTOMERS:
        first, *others = ({**rows[f"{client} {name}"], "customer_id": name} for client in CLIENTS)
        assert first["aum"] not in ("", "0") if name != "no rate" else first["aum"] == ""
        assert others == [first] * len(others)


def test_what_the_page_shows_counts(lived: Live) -> None:
    """Its records in its own programs: the correction counts, the balance agrees, the act is answered."""
    row = standings(lived)[SHOWN_CUSTOMER]
    assert (row["aum"], shown("balance")[0]["balance_minor"]) == ("120000000", 120_000_000)
    assert [record for record in lived.outputs("restatements") if record["customer_id"] == SHOWN_CUSTOMER] == []
    answers = [record for record in lived.outputs("decisions") if record["caused_by"] == shown("act")[0]["event_id"]]
    assert [record["kind"] for record in answers] == ["refused"]


def test_the_warehouse_holds_what_the_command_shows(lived: Live, database: str, tmp_path: Path) -> None:
    """PostgreSQL filled by the page's program, twice from where it stood, equals `tidegauge standings`, null for null.

    Everybody at the month's last close; the day after who has something new. The tier is the one in force the next day.
    """
    arguments = [lived.settings.kafka, lived.settings.topic("standings"), str(HERE), database]
    for _ in range(2):
        run("python", program("python", "warehouse"), tmp_path, arguments)
    with psycopg.connect(database) as rows:
        found = rows.cursor(row_factory=dict_row).execute("select * from standings").fetchall()
    days = ("2026-03-31", "2026-04-01", "2026-04-02")
    wanted = {day: standings(lived, day) for day in days}
    new = len(later())
    assert Counter(record["as_of"].isoformat() for record in found) == {
        days[0]: len(wanted[days[0]]) - new, days[1]: new,
    }  # fmt: skip
    nulls = Counter[str]()
    for record in found:
        day = record["as_of"].isoformat()
        row, following = wanted[day][record["customer_id"]], wanted[days[days.index(day) + 1]][record["customer_id"]]
        assert record["tier"] == following["tier"]
        for metric in (metric for metric in METRICS if metric.family.in_files):
            family = metric.family
            value = (
                record[f"{metric.column}_minor"]
                if not family.is_list
                else record[f"{family.name}s_minor"][metric.number]
            )
            assert ("" if value is None else str(value)) == row[metric.column], (record["customer_id"], metric.name)
            nulls[day] += value is None and family.name == "aum"
    assert nulls == {days[0]: len(CLIENTS) - 1, days[1]: 1}  # those without a rate


def test_node_reads_lz4(lived: Live, tmp_path: Path) -> None:
    """kafkajs with the page's codec reads every committed record, numbers as they are."""
    arguments = [lived.settings.kafka, lived.settings.topic("standings"), str(HERE)]
    lines = run("js", program("js", "consumer"), tmp_path, arguments).splitlines()
    numbers = ("customer_id", "source_seq", "aum_minor", "quarter_avg_minor")
    seen = sorted(tuple(record[name] for name in numbers) for record in map(json.loads, lines))
    own = sorted(tuple(record[name] for name in numbers) for record in lived.outputs("standings"))
    assert seen == own != []


TRAPS: Final = {
    "partition_crc32": ("python", '"partitioner": "murmur2_random",', ""),
    "partition_other": ("js", "Partitioners.DefaultPartitioner", "Partitioners.LegacyPartitioner"),
    "no_key": ("js", "key: posting.customer_id, ", ""),
    "other_key": ("python", 'key=posting["customer_id"].encode()', 'key=json.dumps(posting["customer_id"])'),
}


@pytest.fixture(scope="module")
def trapped(make_live: Callable[..., Live], tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A system that clients with those faults have written to, each as a source of its own."""
    live = make_live()
    for code, (language, right, wrong) in TRAPS.items():
        text = program(language, "producer")
        assert right in text
        sent = ({**posting, "source": code} for posting in postings("x"))
        send(
            live, language, "producer", "transactions", sent, tmp_path_factory.mktemp(code), text.replace(right, wrong)
        )
    return live


@pytest.mark.parametrize("code", TRAPS)
def test_traps_are_found(trapped: Live, code: str) -> None:
    """A client with its own defaults, or without the key, is told before it is let in."""
    assert code in found(trapped, "transactions", "--source", code)


def test_a_rate_under_its_currency_is_found(trapped: Live, tmp_path: Path) -> None:
    """The natural guess loses all days but the last to compaction; without any key the broker refuses the record."""
    live, text = trapped, program("python", "rates")
    right = '"{currency}/{base}/{rate_date}/{version}".format(**rate)'
    send(live, "python", "rates", "fx-rates", RATES, tmp_path, text.replace(right, 'rate["currency"]'))
    assert found(live, "fx-rates") == {"key_shared"}
    with pytest.raises(AssertionError, match="not all rates were taken"):
        send(live, "python", "rates", "fx-rates", RATES, tmp_path, text.replace(right, "None"))


def found(live: Live, topic: str, *more: str) -> set[str]:
    """The codes of what `check-source` says."""
    said = json.loads(live.command("check-source", "--topic", topic, "--json", *more, code=1))
    return {one["code"] for one in said["findings"]}


@pytest.mark.parametrize(("language", "show"), [("python", "print({})"), ("js", "console.log({})")])
def test_references(language: str, show: str, tmp_path: Path) -> None:
    """Both recipes give the test vector."""
    call = show.format(f'reference("{VECTOR_KEY}", "{VECTOR_CUSTOMER}")')
    assert run(language, program(language, "reference") + "\n" + call + "\n", tmp_path, []).strip() == VECTOR_REFERENCE


def test_curl_asks_the_look_up(make_live: Callable[..., Live]) -> None:
    """The page's line gets an answer whatever stands behind the look-up."""
    need("curl")
    port = free_port()
    live = make_live(redis_url="redis://127.0.0.1:1/0")
    live.begin("queue", "serve", "--port", str(port), "--metrics-port", "0")
    where = {"LOOKUP": f"127.0.0.1:{port}", "REFERENCE": VECTOR_REFERENCE}
    answers: list[str] = []

    def answered() -> bool:
        command = ["sh", "-c", program("sh", "lookup")]
        answers.append(subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True).stdout)
        return bool(answers[-1])

    live.wait(answered, "the look-up")
    assert json.loads(answers[-1])["degraded"] is True
