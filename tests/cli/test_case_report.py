"""`tidegauge alerts report`: a month's figures are those of its slow twin, and are shown to whom they may be shown."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.blocks import LogEntry
from schemas.codec.records import encode
from streams.calendar import day_of
from tests.cli.invocation import Called, call
from tests.contracts.drawn import REGISTRY, any_value
from tests.evaluation.slow_case_report import Taken, slow_report
from tests.services.test_notices import ALERT
from tidegauge import case_report, topic_entries
from tidegauge.case_report import CaseMonth, CaseReport, TooManyCasesError
from tidegauge.cli.alerts import report as command

MARCH = range(day_of(dt.date(2026, 3, 1)), day_of(dt.date(2026, 4, 1)))
HOUR_MS = 3_600_000
STATUSES = (
    "raised", "deepened", "corrected", "acknowledged", "snoozed", "handed_over", "commented", "escalated", "woken", "retracted",
    "expired", "resolved", "closed",
)  # fmt: skip
PEOPLE = {"acted_by": None, "snoozed_until": None, "outcome": None, "level": None}


def step(case: str, status: str, event: object, **changes: Any) -> dict[str, Any]:
    """A step as the topic has it."""
    attention = "ended" if status in ("retracted", "expired", "resolved", "closed") else "waiting"
    told = {"alert_id": case, "event_id": f"{case}/{event}", "status": status, "raised_day": MARCH[1], "gross_minor": 0}
    return ALERT | PEOPLE | told | {"told_step": f"{case}/1", "attention": attention} | changes


LIFE = st.sampled_from((*["raised"] * 2, *["acknowledged", "resolved"] * 3, *STATUSES))
CHANGES = st.fixed_dictionaries({}, optional={
    "raised_day": st.sampled_from([MARCH[0] - 1, MARCH[0], MARCH[-1], MARCH[-1] + 1]), "rule": st.just("r2"),
    "rm_id": st.sampled_from([None, "rm-8"]), "branch": st.just("west"), "kind": st.just("break"),
    "outflow_minor": st.sampled_from([None, 0, 10**14]), "outcome": st.sampled_from(["kept", "left", "else"]),
    "attention": st.sampled_from([None, "ended", "ended"]), "told_step": st.none(), "gross_minor": st.none(),
})  # fmt: skip
STEPS = st.builds(lambda case, status, event, changes: step(case, status, event, **changes),
                  st.sampled_from("ab"), LIFE, st.integers(0, 30), CHANGES)  # fmt: skip
LATER = st.lists(st.builds(Taken, STEPS, st.integers(0, 40)), min_size=2, max_size=12)
BEGINNINGS = st.sampled_from(
    [[], [Taken(step("a", "raised", 99), 20)], [Taken(step(name, "raised", 99), 20) for name in "ab"]]
)
LOGS = st.builds(lambda begin, later: [*begin, *later], BEGINNINGS, LATER)


def noted(log: Iterable[Taken]) -> CaseMonth:
    """March."""
    found = CaseMonth(MARCH[0], MARCH[-1])
    for one in log:
        found.note(*one)
    return found


def rows(found: CaseReport) -> dict[str, list[tuple[Any, ...]]]:
    """As plain tuples."""
    return {"total": [found.total], "rules": found.rules, "owners": found.owners, "outcomes": found.outcomes}


@pytest.mark.slow
@given(LOGS, st.sampled_from([{"0102", "west"}, {"0102"}]))
def test_as_the_slow_twin_says(log: list[Taken], branches: set[str]) -> None:
    """Any steps in any order: doubles, ends that are taken back, figures corrected later, days of other months.

    Each case is in one rule, of one owner, and has one outcome.
    """
    found = noted(log).report(branches.__contains__)
    assert rows(found) == slow_report(log, MARCH, branches.__contains__)
    for groups in (found.rules, found.owners, found.outcomes):
        for name in ("cases", "told", "escalations", "still_open", "taken_back"):
            assert sum(getattr(one, name) for one in groups) == getattr(found.total, name)
        assert sum(one.net_minor or 0 for one in groups) == (found.total.net_minor or 0)


@pytest.mark.slow
@given(st.lists(any_value("rm-alerts") | st.none(), max_size=4))
def test_any_record(values: list[bytes | None]) -> None:
    """Whatever stands on the topic is a step, or counted as nothing that can be read."""
    found = CaseMonth(-(10**6), 10**6)
    unreadable = found.read([LogEntry(place, 0, None, value) for place, value in enumerate(values)], REGISTRY)
    assert 0 <= unreadable <= len(values) and found.report().total.cases <= len(values) - unreadable


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound is a bound; a step of a known case is taken all the same."""
    monkeypatch.setattr(case_report, "MONTH_CASES_MAX", 1)
    found = noted([Taken(step("a", "raised", 1), 0), Taken(step("a", "deepened", 2), 1)])
    with pytest.raises(TooManyCasesError):
        found.note(step("b", "raised", 1), 2)


# The example of docs/alerts.md#report.
EXAMPLE = [
    Taken(step("a", "raised", 1, outflow_minor=30_000_000, branch="east"), 0),
    Taken(step("a", "escalated", 2, outflow_minor=30_000_000, branch="east"), 4 * HOUR_MS),
    Taken(step("a", "acknowledged", 3, outflow_minor=30_000_000, branch="east"), 5 * HOUR_MS),
    Taken(step("a", "deepened", 4, outflow_minor=50_000_000, branch="east"), 6 * HOUR_MS),
    Taken(step("a", "resolved", 5, outflow_minor=50_000_000, branch="east", outcome="left"), 30 * HOUR_MS),
    Taken(step("b", "raised", 1, outflow_minor=9_000_000, rm_id=None, branch="west", rule="=drip"), 0),
    Taken(step("b", "retracted", 2, outflow_minor=0, rm_id=None, branch="west", rule="=drip"), HOUR_MS // 2),
    Taken(step("c", "raised", 1, branch="west", rm_id="rm-8", raised_day=MARCH[-1] + 1), 0),
]


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A log with these steps, and one record that nobody can read."""
    values = [(encode("rm-alerts", one.step, REGISTRY), one.at) for one in EXAMPLE] + [(b"?", 0)]
    entries = [LogEntry(place, at, None, value) for place, (value, at) in enumerate(values)]
    monkeypatch.setattr(topic_entries, "topic_entries", lambda *_: iter(entries))
    monkeypatch.setattr(command, "need_world", lambda settings, _uses: settings)
    return tmp_path


def called(bank: Path, *words: str) -> Called:
    env = {"TIDEGAUGE_DATA_DIR": str(bank), "TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TIDEGAUGE_LANG": "en"}
    return call("alerts", "report", "--month", "2026-03", *words, env=env)


def test_for_machines(bank: Path) -> None:
    """Whole numbers, every outcome, nobody as null; a record that can't be read is counted."""
    done = called(bank, "--json")
    assert (done.code, "1 records could not be read" in done.err) == (0, True), done
    found = json.loads(done.out)
    assert (found["month"], found["unit"], found["currency"], found["unreadable"]) == ("2026-03", None, "CNY", 1)
    assert found["total"] == {
        "name": None, "cases": 2, "told": 3, "escalations": 1,
        "acknowledged": {"cases": 1, "median_ms": 5 * HOUR_MS, "slowest_ms": 5 * HOUR_MS},
        "resolved": {"cases": 1, "median_ms": 30 * HOUR_MS, "slowest_ms": 30 * HOUR_MS},
        "still_open": 0, "taken_back": 1, "net_minor": 50_000_000,
    }  # fmt: skip
    assert [one["name"] for one in found["owners"]] == ["rm-7", None]
    assert {one["name"]: one["net_minor"] for one in found["outcomes"] if one["cases"]} == {
        "left": 50_000_000,
        "retracted": None,
    }


def test_for_people(bank: Path) -> None:
    """In both languages; a list that is cut says so."""
    text = called(bank, "--limit", "1").out
    assert "nobody" not in text and "taken back by itself" in text and "and 1 more: --limit" in text
    assert "500000.00" in text and "30.00" in text
    assert "无人负责" in (zh := called(bank, "--lang", "zh-CN").out) and "2026-03 开立的案件，按负责人" in zh
    empty = call(
        "alerts", "report", "--month", "2025-01", env={"TIDEGAUGE_DATA_DIR": str(bank), "TIDEGAUGE_LANG": "en"}
    )
    assert empty.out == "no case was raised in 2025-01\n"


def test_as_a_file(bank: Path) -> None:
    """Amounts and hours as decimals, nothing that a spreadsheet computes."""
    assert called(bank, "--out", str(bank / "march.csv")).code == 0
    found = list(csv.DictReader((bank / "march.csv").read_text(encoding="utf-8").splitlines()))
    assert [(one["by"], one["name"], one["cases"]) for one in found[:5]] == [
        ("all", "", "2"), ("rule", "'=drip", "1"), ("rule", "outflow-7d", "1"), ("owner", "rm-7", "1"), ("owner", "nobody", "1"),
    ]  # fmt: skip
    assert (found[0]["net_out"], found[0]["currency"], found[0]["acknowledged_median_hours"]) == (
        "500000.00",
        "CNY",
        "5.00",
    )


def test_who_sees_what(bank: Path) -> None:
    """A unit sees its own cases; one that asks for another's is refused, and nothing is read."""
    own = json.loads(called(bank, "--json", "--as", "branch_manager:hq/west").out)
    assert (own["total"]["cases"], own["owners"][0]["name"]) == (1, None)
    east = json.loads(called(bank, "--json", "--unit", "hq/east").out)
    assert (east["unit"], east["total"]["cases"], east["rules"][0]["name"]) == ("hq/east", 1, "outflow-7d")
    other = called(bank, "--unit", "east", "--as", "branch_manager:hq/west")
    assert (other.code, other.out) == (2, "") and "may not read alerts of unit east" in other.err


def test_the_last_month_of_the_calendar(bank: Path) -> None:
    """It has no month behind it."""
    done = call("alerts", "report", "--month", "9999-12", env={"TIDEGAUGE_DATA_DIR": str(bank), "TIDEGAUGE_LANG": "en"})
    assert (done.code, done.out) == (0, "no case was raised in 9999-12\n")


@pytest.mark.slow
@pytest.mark.integration
def test_out_of_a_real_log(make_topics: Callable[..., Settings]) -> None:
    """The steps of each customer in their order; times are those at which the brokers took them."""
    settings = make_topics()
    producer = Producer(librdkafka(settings.kafka))
    for one in EXAMPLE:
        producer.produce(settings.topic("rm-alerts"), encode("rm-alerts", one.step, REGISTRY), one.step["alert_id"])
        producer.flush()
    env = {
        "TIDEGAUGE_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TIDEGAUGE_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEGAUGE_DATA_DIR": str(settings.data_dir), "TIDEGAUGE_ACTOR": "operator:hq",
    }  # fmt: skip
    done = call("alerts", "report", "--month", "2026-03", "--json", env=env)
    assert done.code == 0, done.err
    total = json.loads(done.out)["total"]
    assert (total["cases"], total["told"], total["escalations"], total["net_minor"]) == (2, 3, 1, 50_000_000)
    assert (total["acknowledged"]["cases"], total["resolved"]["cases"]) == (1, 1)
    assert 0 <= total["acknowledged"]["median_ms"] <= total["resolved"]["median_ms"] < HOUR_MS
