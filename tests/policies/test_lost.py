"""What the log no longer holds is named by `whatif`, and unknown in what it computes."""

import datetime as dt
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import policies
from agents.offline.lost import NoLongerHeld, held_since, no_longer_held
from agents.offline.replay import Trial, standings_of
from policies import load_pack
from schemas.codec.records import decode_one
from schemas.topics import CLOSES
from tests.standing.partition import Topics, conf, customer
from tests.twins.events import day, posting
from tidegauge.cli.language import speaker
from tidegauge.cli.policy import whatif
from tidegauge.cli.policy.words import POLICY_WORDS

EXAMPLES = Path(policies.__path__[0]) / "examples"
CLUB = replace(load_pack(EXAMPLES / "salary-club" / "pack.yaml"), effective_from=dt.date(2024, 4, 1))
MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04", "2024-05")
ENDS = ("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31")


def history():
    """A salary and two direct debits in each of five months, with a close in the middle of each and at its end."""
    log = Topics().tell([customer("C1")])
    for k, (month, end) in enumerate(zip(MONTHS, ENDS, strict=True)):
        first = 3 * k + 1
        pays = [posting(first, 300_000, f"{month}-05", channel="payroll")]
        pays += [posting(first + n, -100, f"{month}-06", channel="direct-debit") for n in (1, 2)]
        log.tell([*pays, day(f"{month}-15"), day(end)])
    return log


def closes(log):
    """The records of the closes."""
    return [decode_one(value) for _, value in log.records[CLOSES]]


def tried(log, first, until):
    """The trial of a log that begins with some offsets, after the close of a day."""
    trial = Trial(conf(), CLUB)
    start = {topic: first.get(topic, 0) for topic in log.ends}
    for job in (trial.running, trial.other):
        job.begin(0, dict(start))
    known = closes(log)
    trial.begins_with(known, start)
    last = next(place for place, close in enumerate(known, 1) if close["business_day"] == until)
    for topic, end in log.ends.items():
        stop = last if topic == CLOSES else end
        if stop > start[topic]:
            trial.feed([log.block(topic, start[topic], stop)])
    return trial


def mark(log, when):
    """Where a close has its mark among the postings."""
    [cut] = [c["cut"] for c in closes(log) if c["business_day"] == day(when)]
    return next(item["offset"] for item in cut if item["topic"] == "transactions")


@pytest.mark.parametrize(
    ("gone", "since", "until", "tier"),
    [
        (None, None, "2024-03-31", "club"),
        ("2024-02-15", "2024-03-01", "2024-03-31", "ordinary"),  # of February nobody knows all
        ("2024-02-15", "2024-03-01", "2024-05-31", "club"),  # March, April and May are whole
        ("2024-02-29", "2024-03-01", "2024-05-31", "club"),
        ("2024-03-15", "2024-04-01", "2024-05-31", "ordinary"),
    ],
)
def test_months_that_are_gone_are_unknown(gone, since, until, tier):
    """A log that begins behind the mark of a close: flows begin with the first whole month, and are named."""
    log = history()
    first = {} if gone is None else {"transactions": mark(log, gone)}
    trial = tried(log, first, day(until))
    assert standings_of(trial.other)["C1"].tier == tier
    found = no_longer_held(CLUB, trial.held)
    known = {one.name: one.since for one in found if one.kind == "flow"}
    assert known == (
        {} if since is None else {"salary": day(since)} | ({"debits": day(since)} if since > "2024-03-01" else {})
    )


def test_a_beginning_between_two_marks_counts_from_the_next_one():
    """One posting less than up to the mark: that day is not held whole."""
    log = history()
    known = closes(log)
    at = mark(log, "2024-02-15")
    for first, since in ((at, "2024-02-16"), (at + 1, "2024-03-01"), (at - 1, "2024-02-16"), (10_000, "2024-06-01")):
        assert held_since(known, {"transactions": first}, 0) == {"transactions": day(since)}, first
    assert held_since(known, {"transactions": 0}, 0) == {}
    assert held_since([], {"facts": 7}, 0) == {"facts": 0}


def test_facts_by_month_and_balances_are_named():
    """What counts as not sent, and what is missing from balances; a month that the log holds is not named."""
    miles = replace(load_pack(EXAMPLES / "year-miles" / "pack.yaml"), effective_from=dt.date(2024, 4, 1))
    assert no_longer_held(miles, {"facts": day("2024-02-10")}) == (NoLongerHeld("fact", "miles", day("2024-03-01")),)
    assert no_longer_held(miles, {"facts": day("2024-01-01")}) == ()
    assert no_longer_held(miles, {"transactions": day("2024-03-10")}) == ()
    points = load_pack(EXAMPLES / "star-points" / "pack.yaml")
    assert no_longer_held(points, {"transactions": day("2024-03-10")}) == (
        NoLongerHeld("balance", "aum", day("2024-03-10")),
    )


@pytest.mark.parametrize("lang", ["en", "zh-CN"])
@pytest.mark.parametrize("kind", ["flow", "fact", "balance"])
def test_people_are_told(lang, kind):
    """Each with its name and day, and machines too."""
    lost = (NoLongerHeld(kind, "salary", day("2024-03-01")),)
    found = whatif.PackEffect(CLUB, (), "2024-04-01", "2024-05-31", 1, {}, [], lost)
    out = Console(file=io.StringIO(), width=300)
    out.print(whatif._shown(found, speaker(POLICY_WORDS, lang)))
    assert all(word in out.file.getvalue() for word in ("salary", "2024-03-01"))
    assert whatif._machine(found)["no_longer_held"] == [{"kind": kind, "name": "salary", "known_from": "2024-03-01"}]
