"""Outflow alerts of a pack without cases: what raises, what deepens, what rightly stays quiet, and the evidence they carry."""

import pytest

from agents.standing.job import StandingJob
from streams.alerts.lifecycle import DEEPENED, RAISED, Alert, Cause, react
from streams.reference import REFERENCE_CHARS
from tests.examples.plain_alerts import plain_conf
from tests.standing.partition import Partition, Topics, customer
from tests.twins.events import day, posting, rate, snapshot

OPENED, CLOSED = day("2024-01-01"), day("2024-04-30")
MAY = day("2024-05-01")
GOLD, PLATINUM = 30_000_000, 70_000_000  # 300,000.00 and 700,000.00 for months


def partition(balance: int, *steps, **profile) -> Partition:
    """A customer who has held `balance` through four closed months, then steps."""
    opening = [customer("C1", **profile), posting(900, balance, OPENED), CLOSED]
    return Partition(Topics().tell([*opening, *steps]), StandingJob(plain_conf())).run()


def out(seq: int, amount_minor: int, booked: int = MAY, **other):
    """Money that leaves."""
    return posting(seq, -amount_minor, booked, clock="10:00:00", **other)


def said(found: Partition) -> list[tuple[str, str, int]]:
    """(rule, status, outflow) of every alert."""
    return [(a["rule"], a["status"], a["outflow_minor"]) for a in found.of("rm-alerts")]


@pytest.mark.parametrize(("amount", "rules"), [(9_999_999, []), (10_000_000, [("outflow-single", RAISED, 10_000_000)])])
def test_a_single_posting_at_the_threshold(amount, rules):
    """The threshold of the tier is inclusive: 100,000.00 raises for gold, one fen less does not."""
    assert said(partition(GOLD, out(1, amount))) == rules


def test_the_tier_in_force_decides():
    """The same posting is large for gold, not for platinum, and nobody watches ordinary customers."""
    assert said(partition(GOLD, out(1, 10_000_000))) != []
    assert said(partition(PLATINUM, out(1, 10_000_000))) == []
    assert said(partition(9_000_000, out(1, 8_000_000))) == []


@pytest.mark.parametrize("nature", ["own_transfer", "product_purchase", "interest", "fee", "fx_revaluation", "unknown"])
def test_internal_moves_raise_nothing(nature):
    """Only external postings leave the bank: a purchase or a transfer between own accounts raises nothing."""
    assert said(partition(GOLD, out(1, 29_000_000, nature=nature))) == []


def test_neither_what_comes_in_nor_reversals_nor_snapshots_raise():
    """Incoming money, the reversal of incoming money, a lower balance and loans are no outflow."""
    steps = [
        posting(1, 50_000_000, MAY), out(2, 50_000_000, reverses="C1-A1-core-1"), snapshot(1, MAY),
        out(3, 20_000_000, account="loan", asset_class="credit"),
    ]  # fmt: skip
    assert said(partition(GOLD, *steps)) == []


def test_outflows_of_a_day_add_up_and_reversals_of_them_count_back():
    """150,000.00 within a day, in parts, net of what was reversed."""
    steps = [out(1, 9_000_000), posting(2, 9_000_000, MAY, clock="11:00:00", reverses="C1-A1-core-1")]
    assert said(partition(GOLD, *steps, out(3, 7_000_000))) == []
    found = partition(GOLD, *steps, out(3, 7_000_000), out(4, 8_000_000))
    assert said(found) == [("outflow-1d", RAISED, 15_000_000)]
    [alert] = found.of("rm-alerts")
    assert (alert["window_days"], alert["reference_aum_minor"], alert["share_bp"]) == (1, GOLD, 5_000)
    assert (alert["customer_id"], alert["tier"], alert["rm_id"], alert["branch"]) == ("C1", "gold", "rm-1", "B1")
    assert (alert["raised_day"], alert["caused_by"]) == (MAY, "C1-A1-core-4")


def test_the_share_of_the_aum_before_the_window():
    """Half of a small customer's money within a day raises, below the absolute amount, but not below the floor."""
    assert said(partition(12_000_000, out(1, 5_999_999))) == []
    assert said(partition(12_000_000, out(1, 6_000_000))) == [("outflow-1d", RAISED, 6_000_000)]


def test_windows_of_seven_and_thirty_days():
    """Parts of some days add up; what has left the window no longer counts."""
    parts = [out(k, 7_000_000, MAY + 2 * k) for k in range(1, 4)]
    closes = [MAY + k for k in range(1, 8)]
    steps = sorted([*parts, *closes], key=lambda s: (s, 1) if isinstance(s, int) else (s["value_date"], 0))
    assert said(partition(45_000_000, *steps)) == [("outflow-7d", RAISED, 21_000_000)]
    far = [out(k, 9_999_999, MAY + 9 * (k - 1)) for k in (1, 2, 3)]
    assert said(partition(45_000_000, *far)) == []  # 299,999.97 within thirty days
    assert said(partition(45_000_000, *far, out(9, 3, MAY + 27))) == [("outflow-30d", RAISED, 30_000_000)]


def test_a_drip_of_small_postings():
    """Eight postings of at most 50,000.00 that sum up to 80,000.00 are a drip; larger ones don't count for it."""
    small = [out(k, 1_000_000, MAY + k) for k in range(1, 9)]
    assert said(partition(GOLD, *small)) == [("drip", RAISED, 8_000_000)]
    assert said(partition(GOLD, *small[:7])) == []
    assert said(partition(GOLD, *small[:7], out(9, 5_000_001, MAY + 8))) == []


def test_foreign_money_at_the_rate_of_its_day():
    """What leaves a dollar account counts in base currency."""
    dollars = {"account": "usd", "currency": "USD"}
    steps = [rate("USD", 7_000_000, OPENED), posting(1, 5_000_000, OPENED, **dollars), MAY]
    assert said(partition(GOLD, *steps, out(2, 1_428_571, MAY + 1, **dollars))) == []  # 99,999.97
    found = partition(GOLD, *steps, out(2, 1_428_572, MAY + 1, **dollars))
    assert said(found) == [("outflow-single", RAISED, 10_000_004)]


def test_history_raises_nothing():
    """A debit booked longer than a week before the last closed day is history; so is everything in a replay."""
    assert said(partition(GOLD, MAY + 20, out(1, 20_000_000, MAY + 12))) == []
    log = Topics().tell([customer("C1"), posting(900, GOLD, OPENED), CLOSED, out(1, 20_000_000)])
    silent = Partition(log)
    for topic in log.ends:
        silent.feed(topic)
    assert silent.work(live=False) == []


def test_ids_derive_from_their_cause():
    """The same events give the same ids; alerts of one rule have one id until it is raised anew."""
    steps = [out(1, 10_000_000), MAY, out(2, 10_000_000, MAY + 1)]
    one, other = (partition(GOLD, *steps).of("rm-alerts") for _ in range(2))
    assert [a["event_id"] for a in one] == [a["event_id"] for a in other]
    assert len({a["event_id"] for a in one}) == len(one)
    assert all(len(a["alert_id"]) == REFERENCE_CHARS and "C1" not in a["alert_id"] for a in one)  # it leaves the bank


def test_the_banks_that_got_most():
    """The evidence names the banks that received most within the window."""
    steps = [out(k, 3_000_000 + k, counterparty_bank=f"bank {k % 4}") for k in range(1, 6)]
    [alert] = partition(GOLD, *steps).of("rm-alerts")
    banks = {c["bank"]: c["amount_minor"] for c in alert["counterparties"]}
    assert banks == {"bank 1": 6_000_006, "bank 0": 3_000_004, "bank 3": 3_000_003}


def cause(outflow: int, on: int, rule_days: int = 7) -> Cause:
    """A rule met on a day."""
    return Cause(f"a{on}", "r", f"e{on}", "C1", on, outflow, rule_days)


def test_life_of_an_alert():
    """Raised; quiet within the cool-down; deepened at one and a half times what was told; armed again after it."""
    first = react(None, cause(1_000, 10))
    assert first is not None
    assert (first.status, first.alert) == (RAISED, Alert("a10", 10, 1_000))
    assert react(first.alert, cause(1_499, 11)) is None
    deeper = react(first.alert, cause(1_500, 12))
    assert deeper is not None
    assert (deeper.status, deeper.alert) == (DEEPENED, Alert("a10", 10, 1_500))
    assert react(deeper.alert, cause(2_249, 16)) is None
    again = react(deeper.alert, cause(1, 17))
    assert again is not None
    assert (again.status, again.alert.alert_id) == (RAISED, "a17")
    assert react(first.alert, cause(5, 9)) is None  # a late debit of an earlier day
