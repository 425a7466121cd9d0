"""Outlooks as the job publishes them: for whom, when, and with what, idle customers included; the same after a crash."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.averages.outlook import Outlook, turns
from tests.standing.partition import Partition, Topics, customer
from tests.streams.fast import RULES, unshrunk
from tests.twins.definitions import ROLLING_QUARTER, date_of
from tests.twins.events import day, posting, rate
from tests.twins.ledger import SlowLedger
from tests.twins.outlook import slow_outlook
from tests.twins.strategies import banks, feeds

MONTHLY = ("month",) * 3
TIERS = [tier for tier, _ in ROLLING_QUARTER.tiers]
MINIMUMS = [minimum for _, minimum in ROLLING_QUARTER.tiers[1:]]
GOLD = 10_000_000
NEAR, FAR = day("2024-03-31"), day("2024-06-30")


def closes(first: str, last: str) -> list[int]:
    """Every day's close."""
    return list(range(day(first), day(last) + 1))


def told(partition: Partition, customer_id: str = "C1") -> list[dict]:
    """The outlooks of a customer in order."""
    return [r for r in partition.of("outlooks") if r["customer_id"] == customer_id]


def test_an_idle_customer_loses_his_tier_on_a_day_known_long_before():
    """He takes his money out and is never seen again: what time alone does is told, day and amount."""
    steps = [
        posting(1, 2 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-03-31"),
        posting(2, -2 * GOLD, "2024-04-01"), *closes("2024-04-01", "2024-08-31"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps)).run()
    by_day = {r["as_of"]: r for r in told(partition)}
    gone = by_day[day("2024-04-01")]
    # February and March keep the average of three months above the minimum for one close more
    assert (gone["tier"], gone["projected_tier"], gone["direction"]) == ("gold", "gold", "same")
    assert gone["projected_minor"] == round(Fraction(2 * GOLD * 60, 90))
    assert (gone["lost_close"], gone["lost_from"]) == (day("2024-05-31"), day("2024-06-01"))
    assert gone["to_hold_minor"][0] == 0 and gone["aum_minor"] == 0
    restated = by_day[day("2024-04-30")]  # idle since
    assert (restated["direction"], restated["projected_tier"]) == ("down", "ordinary")
    short = Fraction(GOLD * 92 - 2 * GOLD * 31, 31)  # of March, April and May; 31 days to come
    assert restated["to_hold_minor"][0] == -(-short.numerator // short.denominator)
    assert sorted(by_day) == [
        day(d) for d in ("2024-01-01", "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-01", "2024-04-30", "2024-05-31",
                         "2024-06-30", "2024-07-31", "2024-08-31")
    ]  # fmt: skip
    assert by_day[day("2024-05-31")]["tier"] == "ordinary"
    assert by_day[day("2024-08-31")]["lost_close"] is None


def test_what_changes_nothing_is_not_told():
    """A posting that leaves tier, direction, day of loss and reach as they are waits for the end of the month."""
    steps = [posting(1, 4 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-04-10")]
    steps += [posting(2, -1, "2024-04-11"), *closes("2024-04-11", "2024-04-29")]
    partition = Partition(Topics().tell(steps)).run()
    assert told(partition)[-1]["as_of"] == NEAR
    partition.log.tell([day("2024-04-30")])
    partition.run()
    assert told(partition)[-1]["as_of"] == day("2024-04-30")


def test_a_fen_less_than_the_minimum():
    """Just met is met; a fen less for the rest of the month is not, and what is short is told to the fen."""
    steps = [posting(1, 5 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-04-10")]
    steps += [posting(2, -1, "2024-04-11"), day("2024-04-11")]
    partition = Partition(Topics().tell(steps)).run()
    met, last = told(partition)[-2:]
    assert (met["as_of"], met["tier"], met["direction"], met["to_hold_minor"][:2]) == (NEAR, "platinum", "same", [0, 0])
    assert (last["as_of"], last["direction"], last["lost_close"]) == (day("2024-04-11"), "down", day("2024-04-30"))
    assert last["to_hold_minor"][:2] == [0, 2]  # twenty fen-days are short, and nineteen days are left


def test_a_late_posting_changes_the_outlook():
    """Valued in the closed month: the next close is another one, so is its outlook."""
    steps = [posting(1, GOLD, "2024-01-01"), *closes("2024-01-01", "2024-04-10")]
    partition = Partition(Topics().tell(steps)).run()
    assert told(partition)[-1]["projected_tier"] == "gold"
    partition.log.tell([posting(2, -GOLD // 2, "2024-03-31", "2024-04-11"), day("2024-04-11")])
    partition.run()
    last = told(partition)[-1]
    assert (last["as_of"], last["projected_tier"], last["lost_close"]) == (
        day("2024-04-11"),
        "ordinary",
        day("2024-04-30"),
    )


def test_a_rate_that_falls_and_one_that_is_missing():
    """Holdings abroad: a rate alone turns the outlook; without a rate it is held and says so."""
    steps = [
        posting(1, 15_000_000, "2024-01-02", currency="USD"), rate("USD", 1_000_000, "2024-01-01"),
        posting(1, 500, "2024-01-02", customer_id="C2", account_id="C2-A1", currency="EUR"),
        *closes("2024-01-02", "2024-04-10"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps)).run()
    assert (told(partition)[-1]["tier"], told(partition)[-1]["direction"]) == ("gold", "same")
    held = told(partition, "C2")[-1]
    assert held["held_reason"] and held["projected_tier"] is held["direction"] is held["lost_close"] is None
    assert set(held["to_hold_minor"]) == {-1} and held["projected_minor"] is None
    partition.log.tell([rate("USD", 100_000, "2024-04-11"), day("2024-04-11")])
    partition.run()
    assert (told(partition)[-1]["as_of"], told(partition)[-1]["lost_close"]) == (day("2024-04-11"), day("2024-05-31"))


def test_money_valued_later_counts_when_its_day_has_come():
    """A posting valued next week is no part of today's balance; on its day the idle customer's outlook is told."""
    steps = [
        posting(1, GOLD, "2024-01-01"), *closes("2024-01-01", "2024-04-02"),
        posting(2, 20 * GOLD, "2024-04-09", "2024-04-03"), *closes("2024-04-03", "2024-04-10"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps)).run()
    assert [(r["as_of"], r["direction"]) for r in told(partition)[-2:]] == [(NEAR, "same"), (day("2024-04-09"), "up")]


def test_only_personal_customers_with_a_past_are_told():
    """Companies have no tiers; who begins later is told from his first day on."""
    steps = [
        customer("C2", customer_class="corporate"), posting(1, GOLD, "2024-03-01", customer_id="C2", account_id="C2-A1"),
        posting(1, GOLD, "2024-03-05"), *closes("2024-03-01", "2024-03-10"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps)).run()
    assert [(r["customer_id"], r["as_of"]) for r in partition.of("outlooks")] == [("C1", day("2024-03-05"))]


@pytest.mark.slow
@settings(unshrunk, max_examples=6)
@given(st.data())
def test_every_outlook_is_the_twin_s(data):
    """What is told is right, what is not told has not changed; every customer, every close."""
    bank = data.draw(banks(days=70, customers=2))
    factor = data.draw(st.sampled_from((1, 1000)))
    for event in bank.events:
        for name in ("amount_minor", "balance_minor"):
            if name in event and abs(event[name]) <= 10**9:
                event[name] *= factor
    early = [e for e in bank.events if e["topic"] == "fx-rates" and e["rate_date"] < bank.first_day]
    slow, partition, last, seen = SlowLedger(RULES), Partition(Topics()), {}, 0
    for step in [*early, *data.draw(feeds(bank))]:
        partition.log.tell([step])
        if not isinstance(step, int):
            slow.add(step)
            continue
        slow.close(step)
        partition.run()
        new = partition.of("outlooks", seen)
        seen += len(new)
        last |= {r["customer_id"]: r for r in new}
        if len(new) == 0 and step % 7:
            continue  # the twin is slow: idle days are looked at now and then
        for customer_id in slow.customers(step):
            if customer_id in last:
                check(slow, customer_id, step, last[customer_id])


def check(slow: SlowLedger, customer_id: str, as_of: int, record: dict) -> None:
    """A record against the twin: all of it on its own day, and later what would have been told anew."""
    daily = slow.daily_aum(customer_id, as_of - 200, as_of)
    tier = TIERS.index(slow.tier(customer_id, as_of + 1))
    twin = slow_outlook("quarter_avg", MONTHLY, MINIMUMS, as_of, tier, lambda at: daily[at - as_of + 200], 130)
    assert record["tier"] == TIERS[tier]
    if twin is None:
        assert record["held_reason"]
        return
    assert (record["projected_tier"], record["lost_close"]) == (TIERS[twin.projected], twin.lost_close)
    if record["as_of"] == as_of:
        assert record["next_close"] == twin.next_close
        assert record["projected_minor"] == twin.value
        assert record["to_hold_minor"] == twin.to_hold
        assert record["source_seq"] >> 20 == as_of
        assert date_of(record["next_close"]).day >= 28


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ((0, -1), (1, -1), (True, False)),
        ((1, -1), (1, -1), (False, False)),
        ((1, -1), (2, -1), (True, False)),
        ((0, -1), (0, FAR), (False, True)),
        ((0, FAR), (0, FAR), (False, False)),
        ((0, FAR), (0, NEAR), (False, True)),
        ((0, NEAR), (-1, NEAR), (False, True)),
        ((0, NEAR), (0, FAR), (False, False)),
        ((-1, NEAR), (-2, NEAR), (False, True)),
        ((-1, NEAR), (0, -1), (False, False)),
        ((-1, NEAR), (1, FAR), (True, False)),
    ],
)
def test_turns(before, now, said):
    """An upgrade or a risk is told when it comes into sight, and again when it is more or sooner."""
    one = np.ones(1, np.int64)
    found = Outlook(0, FAR, 2 * one, (2 + now[0]) * one, one, one[:, None], now[1] * one, np.zeros(1, np.bool_), one)
    upgrade, risk = turns(before[0] * one, before[1] * one, found)
    assert (bool(upgrade[0]), bool(risk[0])) == said
