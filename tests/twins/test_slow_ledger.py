"""The slow twin against numbers worked out by hand, where the worked examples do not reach."""

from fractions import Fraction

from tests.twins.definitions import half_even
from tests.twins.events import day, posting, rate, snapshot
from tests.twins.ledger import SlowLedger


def fed(*steps) -> SlowLedger:
    """A ledger after events and closes (ISO dates)."""
    ledger = SlowLedger()
    for step in steps:
        ledger.close(day(step)) if isinstance(step, str) else ledger.add(step)
    return ledger


def test_outflow_counts_external_debits_less_their_reversals():
    """Internal moves, what comes in, and reversals of what came in are no outflow; a reversed debit is none either."""
    moves = [
        posting(1, 5_000_000, "2024-03-01"),  # comes in: no outflow, and nets nothing
        posting(2, -300_000, "2024-03-05"),
        posting(3, -200_000, "2024-03-06", nature="own_transfer"),
        posting(4, -100_000, "2024-03-07", nature="product_purchase"),
        posting(5, -50_000, "2024-03-07"),
        posting(6, 50_000, "2024-03-07", "2024-03-08", reverses="C1-A1-core-5"),
        posting(7, -7_000, "2024-03-08", reverses="C1-A1-core-1"),
        posting(8, -1_000, "2024-03-08", account="L", asset_class="credit"),  # not in scope
    ]
    ledger = fed(*moves)
    assert ledger.outflow("C1", day("2024-03-05"), 1) == 300_000
    assert ledger.outflow("C1", day("2024-03-07"), 1) == 0  # taken back the day after: it counts on this day
    assert ledger.outflow("C1", day("2024-03-08"), 7) == 307_000
    assert ledger.outflow("C1", day("2024-03-08"), 1) == 7_000  # nothing held has the opposite amount
    assert ledger.outflow("C1", day("2024-03-11"), 7) == 307_000
    assert ledger.outflow("C1", day("2024-03-12"), 7) == 7_000
    assert ledger.reference_aum("C1", day("2024-03-08"), 7) == 5_000_000  # close of 1 March


def test_outflow_in_a_foreign_currency_goes_at_the_rate_of_its_booking_day():
    """100 dollars at 7.1 and 100 dollars at 7.2 are 1,430.00 yuan."""
    ledger = fed(
        rate("USD", 7_100_000, "2024-03-01"),
        rate("USD", 7_200_000, "2024-03-02"),
        posting(1, -10_000, "2024-03-01", currency="USD"),
        posting(2, -10_000, "2024-03-01", "2024-03-02", currency="USD"),
    )
    assert ledger.outflow("C1", day("2024-03-02"), 7) == 143_000


def test_a_conflicting_payload_is_rejected_and_the_first_stays():
    """One identity with two payloads: the second one is turned away, for postings and snapshots alike."""
    ledger = fed(posting(1, 100, "2024-03-01"), snapshot(150, "2024-03-02"))
    assert ledger.add(posting(1, 101, "2024-03-01")) == "conflict"
    assert ledger.add(snapshot(151, "2024-03-02")) == "conflict"
    assert ledger.add(posting(2, 1, "2024-03-01", currency="USD")) == "account"
    assert ledger.add(posting(-1, 1, "2024-03-01")) == "journal_seq"
    assert ledger.aum("C1", day("2024-03-02")) == 150
    assert [reason for reason, _ in ledger.rejected] == ["conflict", "conflict", "account", "journal_seq"]


def test_opening_day_and_partial_history():
    """The first snapshot opens the account on its opening day, or on its own day with partial history."""
    known = fed(snapshot(3_100, "2024-03-31", opened="2024-03-01"))
    assert not known.partial_history("C1", "A1")
    assert known.metrics("C1", day("2024-03-31"))["month_avg[0]"] == 3_100
    assert known.first_day("C1") == day("2024-03-01")
    unknown = fed(snapshot(3_100, "2024-03-31"))
    assert unknown.partial_history("C1", "A1")
    assert unknown.metrics("C1", day("2024-03-31"))["month_avg[0]"] == 100
    assert unknown.customers(day("2024-03-30")) == []


def test_tiers_follow_the_month_closes():
    """A tier is decided at a month close, holds from the next day, and falls at a later close."""
    ledger = fed(
        posting(1, 60_000_000, "2024-01-01"), "2024-01-31", "2024-02-10", "2024-02-29", "2024-03-31",
        posting(2, -60_000_000, "2024-04-01"), "2024-04-30", "2024-05-31", "2024-06-30",
    )  # fmt: skip
    # November to January has 92 days: 31 / 92 x 600,000 = 202,173.91; then 60 / 91: 395,604.40; 91 / 91: 600,000;
    # 60 / 90: 400,000; 31 / 92: 202,173.91; 0.
    assert [(s - day("2024-01-01"), tier) for s, tier in ledger.tier_history("C1")] == [
        (31, "gold"), (91, "platinum"), (121, "gold"), (182, "ordinary"),
    ]  # fmt: skip
    assert ledger.close(day("2024-06-30")) == []  # a second close of a day is ignored


def test_a_close_without_a_rate_is_held():
    """No rate yet: the tier stays as it was, and the metric says None."""
    ledger = fed(
        posting(1, 90_000_000, "2024-01-01", currency="USD"), "2024-03-31", rate("USD", 7_000_000, "2024-04-01")
    )
    assert ledger.metrics("C1", day("2024-03-31"))["quarter_avg"] is None
    assert ledger.tier("C1", day("2024-04-01")) == "ordinary"
    assert ledger.aum("C1", day("2024-04-01")) == 630_000_000


def test_mean_of_months_is_not_the_daily_average():
    """months_mean_12 gives each month the same weight, year_avg each day."""
    ledger = fed(posting(1, 3_100, "2024-01-01"), posting(2, -3_100, "2024-02-01"))
    found = ledger.metrics("C1", day("2024-12-31"))
    assert found["months_mean_12"] == Fraction(3_100, 12)
    assert found["year_avg"] == Fraction(3_100 * 31, 366)
    assert half_even(Fraction(5, 2)) == 2
    assert half_even(Fraction(-7, 2)) == -4
