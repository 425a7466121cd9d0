"""The newest booked day that a partition knows: of what it was fed, whatever the order, and what a fence tells of it."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from agents.offline.memory_log import batch
from agents.standing.job import StandingJob
from agents.standing.model import ForCloser
from schemas.codec.records import encode
from schemas.topics import INPUTS
from streams.calendar import NO_DAY
from tests.standing.partition import conf
from tests.twins.events import day, posting

FIRST = day("2026-05-01")
HOURS = st.integers(0, 24 * 40)
ZONE = ZoneInfo("Asia/Shanghai")


def moment(hours: int) -> int:
    """ms since the epoch, so many hours into May in UTC."""
    return int((datetime(2026, 5, 1, tzinfo=UTC) + timedelta(hours=hours)).timestamp() * 1000)


def bank_day(ms: int) -> date:
    """The date of an instant at the bank."""
    return datetime.fromtimestamp(ms / 1000, ZONE).date()


def fed(job: StandingJob, batches: Sequence[Sequence[tuple[Any, ...]]]) -> StandingJob:
    """A job after postings, each (booked, appended) in hours and maybe a source: a block a list, a batch a posting."""
    at = 0
    for block in batches:
        start, raw = at, []
        for booked, appended, *source in block:
            record = posting(at + 1, 100, FIRST) | {"booked_at": moment(booked)}
            record |= {"source": source[0], "account_id": source[0]} if source else {}
            value = encode("transactions", {name: part for name, part in record.items() if name != "topic"})
            raw.append(batch([(at, b"C1", value)], moment(appended)))
            at += 1
        job.feed(Block(TP("transactions", 0), start, at, raw, sum(map(len, raw))))
    return job


def fresh() -> StandingJob:
    """A job at the beginning of its log."""
    job = StandingJob(conf())
    job.begin(0, dict.fromkeys(INPUTS, 0))
    return job


@pytest.mark.slow
@given(st.lists(st.lists(st.tuples(HOURS, HOURS), min_size=1, max_size=4), max_size=4))
def test_the_newest_of_what_was_booked(batches: list[list[tuple[int, int]]]) -> None:
    """The latest day among postings booked no later than the day after they were appended; a mistyped date is none."""
    good = [
        bank_day(moment(booked)) for block in batches for booked, appended in block
        if bank_day(moment(booked)) <= bank_day(moment(appended)) + timedelta(days=1)
    ]  # fmt: skip
    want = max(good).toordinal() - date(1970, 1, 1).toordinal() if good else NO_DAY
    assert fed(fresh(), batches).booked.newest == want


@pytest.mark.slow
@given(st.lists(st.lists(st.tuples(HOURS, HOURS, st.sampled_from("abc")), min_size=1, max_size=4), max_size=4))
def test_the_newest_of_each_source(batches: list[list[tuple[int, int, str]]]) -> None:
    """Of its postings up to the newest day of all; a job restored from rows and fence knows them too."""
    job = fed(fresh(), batches)
    job.work(live=True)
    days: dict[str, int] = {}
    for booked, _, source in (one for block in batches for one in block):
        on = bank_day(moment(booked)).toordinal() - date(1970, 1, 1).toordinal()
        if on <= job.booked.newest:
            days[source] = max(days.get(source, 0), on)
    assert job.source_days() == days
    again = StandingJob(conf())
    again.load(flat(job.take_dirty(None)[0]))
    again.load_fence(job.fence())
    assert {source: day for source, day in again.source_days().items() if source in days} == days


def test_what_a_fence_tells() -> None:
    """Day, sources and the calendar ahead, and a job restored from it knows them; nothing without a booked day."""
    job = fed(fresh(), [[(30, 30)]])
    job.decider.facts.calendar |= {FIRST: False, FIRST + 10: False, FIRST + 1000: True}
    job.work(live=True)
    told = ForCloser.of_fence(job.fence())
    assert told == ForCloser(FIRST + 1, {FIRST + 10: False}, ("core",))
    again = StandingJob(conf())
    again.load_fence(job.fence())
    assert (again.booked.newest, again.decider.facts.sources) == (FIRST + 1, {"core"})
    assert "for_closer" not in json.loads(fresh().fence())
    assert ForCloser.of_fence(fresh().fence()) == ForCloser()
