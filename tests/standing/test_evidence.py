"""What decisions rest on: facts, sources, profiles' cards, acts sent twice, restated closes; and what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.standing.job import StandingJob
from policies import PackError, load_pack, parse_pack
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_lifecycle import PACK, action, crashed, fact
from tests.twins.events import day, posting

JANUARY, FEBRUARY = day("2024-01-31"), day("2024-02-29")


def with_settings(**settings: Any) -> Any:
    """The pack of test_lifecycle with month closes, or other settings."""
    text = PACK.format(**{"close": "month", "up": "month", "down": "month", "grace": 0, "extra": "", **settings})
    return parse_pack(text, "tested.yaml")


def run(pack: Any, *steps: Any) -> Partition:
    """A job under a pack over steps."""
    return Partition(Topics().tell(steps), StandingJob(replace(conf(), pack=pack))).run()


def changes(found: Partition) -> list[tuple[str, str, str, int]]:
    """(from, to, reason, effective) of every tier change."""
    return [(r["from_tier"], r["to_tier"], r["reason"], r["effective_date"]) for r in found.of("tier-changes")]


def test_the_latest_fact_counts_in_any_order() -> None:
    """The highest as_of, then the highest event id; a loan alone gives a tier, and a standing without any account."""
    facts = [fact("C1", 2, 0, JANUARY - 9), fact("C1", 1, 100_000, JANUARY - 1), fact("C1", 3, 0, JANUARY - 1)]
    profile = customer("C1", relationship_since=day("2023-06-01"))
    for order in (facts, facts[::-1]):
        assert changes(run(with_settings(), profile, *order, JANUARY)) == []
    found = run(with_settings(), profile, *facts[:2], JANUARY)
    assert changes(found) == [("low", "high", "close", JANUARY + 1)]
    assert [s["tier"] for s in found.of("standings")] == ["high"]
    [change] = found.of("tier-changes")
    values = {m["name"]: (m["value_minor"], m["exact_numerator"]) for m in change["metrics"]}
    assert values["loan_balance"] == (100_000, str(100_000 * 10**9))
    assert values["tenure_months"][0] == 7
    assert {t["metric"] for t in change["thresholds"]} == {"aum", "loan_balance", "tenure_months"}


def test_bad_facts_and_acts_are_dead_letters() -> None:
    """Unknown names, flags that are neither 0 nor 1, and acts without an id: the partition moves on."""
    bad = [fact("C1", 1, 1, JANUARY, name="shoe_size"), fact("C1", 2, 7, JANUARY, name="bad_record"),
           action("", 3, "record", JANUARY, "white"), fact("C1", 4, 1, JANUARY, name="age")]  # fmt: skip
    found = run(with_settings(), *bad, JANUARY)
    assert [r["field"] for r in found.of("dead-letters")] == ["name", "value", "name", "customer_id"]


def test_an_act_counts_once_and_an_unknown_one_is_refused() -> None:
    """The same event id again changes nothing and says nothing."""
    grant = action("C1", 3, "override_tier", JANUARY, "black")
    found = run(with_settings(), customer("C1"), grant, grant, action("C1", 4, "dance", JANUARY, "white"), JANUARY)
    assert changes(found) == [("low", "high", "override", JANUARY)]
    assert [(r["kind"], r["reason"]) for r in found.of("decisions")] == [
        ("record", "override"),
        ("refused", "unknown_action"),
    ]


def test_a_standard_reached_under_a_grant_stays_when_it_ends() -> None:
    """An override holds no longer than its last day, and hides nothing: the standard met meanwhile gives the tier."""
    granted = action("C1", 1, "override_tier", JANUARY - 11, "black", approved_by="boss")
    end = JANUARY + 20  # between two month closes; the grant has ended the day before
    rich = posting(2, 30_000, JANUARY - 20)
    assert changes(run(with_settings(), customer("C1"), rich, granted, JANUARY, end)) == [
        ("low", "high", "override", JANUARY - 11)
    ]
    by_card = {"up": "application", "extra": "status: {basis: card}"}
    poor = run(with_settings(**by_card), customer("C1"), granted, JANUARY, end)
    assert changes(poor)[1:] == [("high", "low", "expiry", end + 1)]
    assert "offer" not in {r["kind"] for r in poor.of("decisions")}


def test_a_stale_source_puts_changes_off() -> None:
    """Deferred visibly, applied with the original date when the source has caught up (docs/tiers.md#stale-sources)."""
    pack = parse_pack(
        with_settings().body.replace("scopes:", "sources: {core: {supplies: [deposit_demand]}}\nscopes:"), "tested.yaml"
    )
    mark = fact("@source", 1, 1, JANUARY - 10, name="source_complete") | {"source": "core"}
    caught_up = mark | {"event_id": "f2", "as_of": JANUARY + 1}
    steps = [customer("C1"), posting(1, 15_000, JANUARY - 3), mark, JANUARY, JANUARY + 1, caught_up, JANUARY + 2]
    found = run(pack, *steps)
    [deferred] = found.of("decisions")
    assert (deferred["kind"], deferred["after"], deferred["evidence"]["stale"]) == ("deferred", "mid", "core")
    [change] = found.of("tier-changes")
    assert (change["business_day"], change["effective_date"]) == (JANUARY + 2, JANUARY + 1)


@pytest.mark.parametrize(("holidays", "late"), [((), True), ((JANUARY - 1, JANUARY), False)])
def test_holidays_are_no_lag(holidays: tuple[int, ...], late: bool) -> None:
    """A source may lag one business day: Tuesday and Wednesday are two, unless the bank is closed; a crash forgets none."""
    pack = parse_pack(
        with_settings().body.replace("scopes:", "sources: {core: {supplies: [deposit_demand]}}\nscopes:"), "tested.yaml"
    )
    mark = fact("@source", 1, 1, JANUARY - 2, name="source_complete") | {"source": "core"}
    closed = [fact("@calendar", k, 0, at, name="bank_open") for k, at in enumerate(holidays)]
    odd = fact("@calendar", 9, 7, JANUARY, name="bank_open")
    settings = replace(conf(), pack=pack)
    found = Partition(
        Topics().tell([customer("C1"), posting(1, 15_000, JANUARY - 3), mark, *closed, odd]), StandingJob(settings)
    )
    found = crashed(found.run(), settings)
    found.log.tell([JANUARY])
    found.run()
    assert [r["kind"] for r in found.of("decisions")] == ["deferred"] * late
    assert len(found.of("tier-changes")) == (not late)
    assert [r["reason"] for r in found.of("dead-letters")] == ["value of a fact out of range"]


@pytest.mark.parametrize(("mode", "expected"), [("record_only", 0), ("upgrades", 1), ("both", 1)])
def test_a_restated_close_moves_the_tier_as_the_pack_says(mode: str, expected: int) -> None:
    """A late posting into the closed month: the compensating event names the decision that it corrects (C-19)."""
    text = load_pack("prior-month-aum").body.replace("status: {basis: card}", "status: {basis: metric}")
    pack = parse_pack(text.replace("{close: month}", f"{{close: month, restatement: {mode}}}"), "tested.yaml")
    late = posting(2, 60_000_00, day("2024-01-01"), FEBRUARY - 20)
    steps = [customer("C1"), posting(1, 100, day("2024-01-01")), JANUARY, late, FEBRUARY - 19]
    found = run(pack, *steps)
    [record] = found.of("restatements")
    assert (record["metric"], record["previous_tier"], record["current_tier"]) == ("month_avg[0]", "ordinary", "gold")
    moved = found.of("tier-changes")
    assert len(moved) == expected
    for change in moved:
        assert change["corrects"] == "C1/tier/prior-month-aum/2024-01-31"
        assert (change["reason"], change["caused_by"]) == ("restated", None)
        assert change["metrics"][0]["period_to"] == JANUARY


RESTATED = [
    ("{close: month, upgrades: quarter, restatement: both}", "aum", 0),  # a quarter's close is the last that counts
    ("{close: day, upgrades: month, downgrades: month, restatement: upgrades}", "aum", 1),
    ("{close: day, restatement: both}", "aum", 0),  # the day that is being closed decides anew
    ("{close: month, restatement: both}", "trailing_avg[30]", 1),
    ("{close: month, restatement: both}", "month_to_date_avg", 1),
    ("{close: month, restatement: both}", "week_avg[2]", 1),
]


@pytest.mark.parametrize(("evaluation", "metric", "expected"), RESTATED)
def test_the_last_close_that_could_move_the_tier_is_corrected(evaluation: str, metric: str, expected: int) -> None:
    """Any metric of balances as of the close; whichever closes the pack waits for."""
    text = load_pack("prior-month-aum").body.replace("status: {basis: card}", "status: {basis: metric}")
    text = text.replace("{close: month}", evaluation).replace("prev_month_avg", f'"{metric}"')
    late = posting(2, 60_000_00, day("2024-01-01"), FEBRUARY - 20)
    away = posting(3, -60_000_00, day("2024-02-01"), FEBRUARY - 20)
    steps = [customer("C1"), posting(1, 100, day("2024-01-01")), JANUARY, late, away, FEBRUARY - 19]
    found = run(parse_pack(text, "tested.yaml"), *steps)
    restated = [r for r in found.of("restatements") if r["kind"] == "late_posting"]
    assert [(r["metric"], r["current_tier"]) for r in restated] == [(metric, "gold")] * (
        "{close: day, r" not in evaluation
    )
    changes = [c for c in found.of("tier-changes") if c["reason"] == "restated"]
    assert [c["corrects"] for c in changes] == ["C1/tier/prior-month-aum/2024-01-31"] * expected
    assert [m["value_minor"] for c in changes for m in c["metrics"]] == [r["current_minor"] for r in restated][
        :expected
    ]


def test_a_card_of_the_profile_is_held() -> None:
    """The tier is that of the card (C-07); a queue by card follows the card that the card system takes back."""
    pack = load_pack("prior-month-aum")
    back = action("C1", 1, "return_card", FEBRUARY, "white")
    found = run(pack, customer("C1", card_held="platinum"), JANUARY)
    found.log.tell([back, FEBRUARY])
    found.run()
    assert changes(found) == [
        ("ordinary", "platinum", "close", JANUARY + 1),
        ("platinum", "ordinary", "card", FEBRUARY),
    ]
    classes = [r["queue_class"] for r in found.of("queue-priority")]
    assert classes[0] == "platinum"
    assert classes[-1] == "ordinary"


@pytest.mark.parametrize(("count", "oldest", "tier"), [(5, 0, "vip"), (4, 0, "none"), (5, -1, "none")])
def test_transactions_are_counted(count: int, oldest: int, tier: str) -> None:
    """Five that the customer has initiated, from the same day three months earlier on, each once (C-40)."""
    close = day("2024-04-30")
    first, known = day("2024-01-30") + oldest, customer("C1", relationship_since=day("2020-01-01"))
    acts = [posting(i + 2, 1, close - i) for i in range(count - 1)] + [posting(count + 1, 1, first)]
    others = [posting(90, 1, close - 1, customer_initiated=False), *acts[:2]]
    rich = posting(1, 100_000_000, day("2023-11-01"), customer_initiated=False)
    pack = load_pack("asset-frequency-tenure")
    log = Topics().tell([known, rich, *acts, *others])
    found = Partition(log, StandingJob(replace(conf(), pack=pack))).run()
    found = crashed(found, replace(conf(), pack=pack))
    log.tell([close])
    assert [c["to_tier"] for c in found.run().of("tier-changes")] == ([] if tier == "none" else [tier])


def test_what_cannot_be_followed_is_refused() -> None:
    """A template: its numbers are still open."""
    with pytest.raises(PackError):
        replace(conf(), pack=load_pack("medal-annual")).compiled()
