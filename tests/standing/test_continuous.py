"""Tiers that move between closes: at once, once, with their cause, over a crash too (docs/tiers.md#between-closes)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.standing.job import StandingJob
from policies import PackError, parse_pack
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_evidence import JANUARY, with_settings
from tests.standing.test_lifecycle import action, crashed, fact
from tests.twins.events import day, posting, snapshot

AT_ONCE = with_settings(close="continuous", up="continuous", down="month")
BOTH = with_settings(close="continuous", up="continuous", down="continuous")
TODAY = JANUARY + 1


def started(pack: Any, *steps: Any) -> Partition:
    """A partition that has closed January, with nothing in it."""
    return told(Partition(Topics(), StandingJob(replace(conf(), pack=pack))), customer("C1"), JANUARY, *steps)


def told(partition: Partition, *steps: Any) -> Partition:
    """More of it, in one transaction."""
    partition.log.tell(steps)
    return partition.run()


def changes(partition: Partition) -> list[tuple[str, str, int, str | None]]:
    """(from, to, effective, cause) of every tier change."""
    return [(r["from_tier"], r["to_tier"], r["effective_date"], r["caused_by"]) for r in partition.of("tier-changes")]


def test_up_at_once_and_down_at_the_close() -> None:
    """The tier and the queue class move with the posting; what is lost is lost at the month's close."""
    found = started(AT_ONCE, posting(1, 10_000, TODAY))
    assert changes(found) == [("low", "mid", TODAY, "C1-A1-core-1")]
    [change] = found.of("tier-changes")
    assert (change["reason"], change["business_day"], change["cut"]) == ("continuous", None, [])
    assert change["event_id"] == "C1/tier/tested/C1-A1-core-1/continuous"
    [value] = [m for m in change["metrics"] if m["name"] == "aum"]
    assert (value["period_from"], value["period_to"], value["value_minor"]) == (TODAY, TODAY, 10_000)
    assert {t["tier"] for t in change["thresholds"]} == {"mid", "high"}
    assert told(found, TODAY).of("standings")[-1]["tier"] == "mid"
    told(found, posting(2, -10_000, TODAY + 1), *range(TODAY + 1, day("2024-03-01")))
    assert changes(found)[1:] == [("mid", "low", day("2024-03-01"), None)]


def test_what_an_event_takes_it_takes_once() -> None:
    """A duplicate, an older snapshot and a fact that came before say nothing; another event has an id of its own."""
    first, lower = snapshot(10_000, TODAY, version=2), snapshot(0, TODAY, version=1)
    found = started(BOTH, first)
    assert changes(told(found, first)) == changes(told(found, lower)) == [("low", "mid", TODAY, first["event_id"])]
    told(found, posting(5, -10_000, TODAY, account="other"), posting(6, 10_000, TODAY, account="other"))
    assert len(changes(found)) == 1, "seen together they change nothing"
    told(found, posting(7, -10_000, TODAY, account="other"))
    told(found, posting(8, 10_000, TODAY, account="other"))
    told(found, TODAY)
    ids = [r["event_id"] for r in found.of("tier-changes")]
    assert (len(ids), len(set(ids))) == (3, 3)


def test_facts_profiles_and_acts_are_looked_at_too() -> None:
    """A loan and a year of tenure give a tier as soon as both are there; the class of a customer counts at once."""
    found = started(AT_ONCE, fact("C1", 1, 100_000, TODAY))
    assert changes(found) == []
    since = customer("C1", event_id="p2", relationship_since=day("2023-01-01"))
    assert changes(told(found, since)) == [("low", "high", TODAY, "p2")]
    assert changes(told(found, since, since | {"rm_id": "rm-2"}))[1:] == []
    filing = with_settings(close="continuous", up="continuous", down="month", extra="status: {requires: [filing]}")
    found = started(filing, posting(1, 10_000, TODAY))
    assert changes(found) == []
    assert changes(told(found, action("C1", 3, "record", TODAY, "white"))) == [("low", "mid", TODAY, "act3")]


def test_what_is_valued_tomorrow_counts_tomorrow() -> None:
    """The close that begins the day is the cause; before the first close nothing is decided."""
    found = started(AT_ONCE, posting(1, 10_000, TODAY + 1, TODAY))
    assert changes(found) == []
    assert changes(told(found, TODAY)) == [("low", "mid", TODAY + 1, "close/2024-02-01")]
    [change] = found.of("tier-changes")
    assert change["cut"]
    early = Partition(
        Topics().tell([customer("C1"), posting(1, 10_000, TODAY)]), StandingJob(replace(conf(), pack=BOTH))
    )
    assert changes(early.run()) == []


def test_a_stale_source_puts_it_off() -> None:
    """While a required source lags nothing moves between closes; the close after says so, or moves it."""
    text = BOTH.body.replace("scopes:", "sources: {core: {supplies: [deposit_demand]}}\nscopes:")
    mark = fact("@source", 1, 1, JANUARY - 10, name="source_complete") | {"source": "core"}
    found = started(parse_pack(text, "tested.yaml"), mark)
    assert changes(told(found, posting(1, 10_000, TODAY))) == []
    told(found, TODAY)
    assert [r["kind"] for r in found.of("decisions")] == ["deferred"]
    told(found, mark | {"event_id": "f2", "as_of": TODAY + 1}, posting(2, 1, TODAY + 1))
    assert changes(told(found, TODAY + 1)) == [("low", "mid", TODAY + 1, None)]


@pytest.mark.parametrize("pack", [AT_ONCE, BOTH])
def test_a_transaction_that_was_lost_says_the_same_again(pack: Any) -> None:
    """A crash before the commit: the successor publishes the same records; after it, none of them again."""
    before = started(pack, posting(1, 5_000, TODAY))
    before.log.tell([posting(2, 5_000, TODAY), posting(3, 1, TODAY)])
    lost = crashed(before, before.job.conf)
    again = crashed(before, before.job.conf)
    again.published = lost.published.copy()
    lost.published.clear()
    first = lost.run().published["tier-changes"]
    assert again.run().published["tier-changes"][-1:] == first
    assert len(first) == 1
    after = crashed(lost, lost.job.conf)
    told(after, posting(4, 1, TODAY), TODAY)
    assert after.published["tier-changes"] == first


def test_other_packs_pay_nothing() -> None:
    """Where no class is decided continuously nobody is remembered; continuous changes under other closes are refused."""
    found = started(with_settings(close="day", up="day", down="day"), posting(1, 10_000, TODAY))
    assert changes(found) == []
    assert not found.job.decider.touched.wanted
    assert changes(told(found, TODAY)) == [("low", "mid", TODAY + 1, None)]
    assert changes(told(found, posting(2, -10_000, TODAY + 1), TODAY + 1))[1:] == [("mid", "low", TODAY + 2, None)]
    with pytest.raises(PackError, match="is finer than `close: month`"):
        with_settings(up="continuous")
