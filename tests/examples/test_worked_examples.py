"""Worked examples: small sets of events with the numbers worked out by hand in the comments. Amounts are fen."""

from itertools import permutations

import pytest

from tests.twins.definitions import fingerprint
from tests.twins.events import day, posting, rate, snapshot


def fed(ledger, *steps):
    """Gives events and closes (an ISO date) in order; returns what `add` said."""
    return [ledger.close(day(s)) if isinstance(s, str) else ledger.add(s) for s in steps]


def test_posting_after_the_snapshot_that_holds_it(ledgers):
    """A late posting takes its amount out of the adjusting entry of the snapshot that held it: nothing doubles."""
    ledger = ledgers()
    fed(
        ledger,
        posting(1, 1_000_000, "2024-01-02"),
        snapshot(1_000_000, "2024-01-31"),  # opening balance 10,000.00 - 10,000.00 = 0
        "2024-01-31",
        snapshot(1_300_000, "2024-02-01"),  # adjusting entry 13,000.00 - 10,000.00 - 0 = 3,000.00 on 1 February
        "2024-02-01",
    )
    before = ledger.published("C1", day("2024-02-01"))
    assert before["aum"] == 1_300_000
    assert before["month_avg[0]"] == 967_742  # January: 30 days x 10,000.00 / 31 = 9,677.419
    assert ledger.open_breaks("C1") == [("A1", day("2024-02-01"), 300_000)]

    # The posting behind it, booked on 1 February, valued 30 January. Adjusting entry now 13,000 - 10,000 - 3,000 = 0.
    fed(ledger, posting(2, 300_000, "2024-01-30", "2024-02-01", clock="15:00:00"), "2024-02-02")
    after = ledger.published("C1", day("2024-02-02"))
    assert after["aum"] == 1_300_000
    assert after["month_avg[0]"] == 987_097  # 300,000 + 2 days x 3,000 = 306,000; / 31 = 9,870.968
    assert ledger.open_breaks("C1") == []
    # The close of January gave 300,000 / 92 days (November to January) = 3,260.870; it would now give 306,000 / 92.
    assert ledger.restated() == [("C1", day("2024-01-31"), 326_087, 332_609, "ordinary", "ordinary")]


def test_posting_beyond_the_horizon(ledgers):
    """Booked more than 35 days before the last closed day: it counts from its value date until its booking day only."""
    ledger = ledgers()
    fed(
        ledger,
        posting(1, 1_000_000, "2024-03-01"),
        snapshot(1_200_000, "2024-03-05"),  # opening 12,000 - 10,000 = 2,000.00 on 5 March
        "2024-04-20",  # horizon: booked on or after 16 March
    )
    said = fed(
        ledger,
        posting(2, 200_000, "2024-03-03", "2024-03-04"),  # held by the snapshot: + on 3 March, - on 4 March
        posting(1, 50_000, "2024-03-02", "2024-03-04", customer="C2", account="A2"),  # no snapshots there: + on 2 March
    )
    assert said == ["accepted", "accepted"]
    as_of = day("2024-04-20")
    assert ledger.published("C1", as_of)["aum"] == 1_200_000
    # March: 31 x 10,000 + 27 days (5 to 31) x 2,000 + 1 day x 2,000 = 366,000; / 31 = 11,806.452
    assert ledger.published("C1", as_of)["month_avg[0]"] == 1_180_645
    assert ledger.published("C2", as_of)["aum"] == 50_000
    assert ledger.published("C2", as_of)["month_avg[0]"] == 48_387  # 30 x 500 / 31 = 483.871


def test_last_day_within_the_horizon(ledgers):
    """Booked exactly 35 days before the last closed day is within the horizon: the snapshot's entry gives way."""
    ledger = ledgers()
    fed(ledger, posting(1, 1_000_000, "2024-03-01"), snapshot(1_200_000, "2024-03-16"), "2024-04-20")
    ledger.add(posting(2, 200_000, "2024-03-10", "2024-03-16", clock="10:00:00"))
    # Opening now 12,000 - 10,000 - 2,000 = 0.
    # March: 31 x 10,000 + 22 days (10 to 31) x 2,000 = 354,000; / 31 = 11,419.355
    assert ledger.published("C1", day("2024-04-20"))["month_avg[0]"] == 1_141_935
    assert ledger.published("C1", day("2024-04-20"))["aum"] == 1_200_000


def test_booked_before_the_months_held(ledgers):
    """Booked before the 15 closed months that are held: rejected as too old; on their first day it still counts."""
    ledger = ledgers()
    fed(ledger, posting(1, 100_000, "2024-03-01"), "2024-04-20")  # held: January 2023 to March 2024
    said = fed(ledger, posting(2, 7, "2022-12-31"), posting(3, 500, "2023-01-01"))
    assert said == ["too_old", "accepted"]
    assert ledger.published("C1", day("2024-04-20"))["aum"] == 100_500


VERSIONS = (
    snapshot(500_000, "2024-01-15", version=1, opened="2024-01-10"),
    snapshot(600_000, "2024-01-15", version=2, opened="2024-01-10"),
    snapshot(650_000, "2024-01-15", version=3, opened="2024-01-10"),
)
TIED = (
    VERSIONS[0],
    snapshot(650_000, "2024-01-15", version=2, opened="2024-01-10", event_id="a"),
    snapshot(600_000, "2024-01-15", version=2, opened="2024-01-10", event_id="b"),
)


@pytest.mark.parametrize("order", list(permutations(VERSIONS)), ids=lambda o: "".join(str(e["version"]) for e in o))
def test_equal_cutoffs_with_versions(ledgers, order):
    """Of snapshots with one cut-off the highest version counts, in whatever order they come."""
    ledger = ledgers()
    fed(ledger, *order, snapshot(650_000, "2024-01-16", opened="2024-01-10"), "2024-01-31")
    found = ledger.published("C1", day("2024-01-31"))
    assert found["aum"] == 650_000
    assert found["month_avg[0]"] == 461_290  # 22 days (10 to 31) x 6,500 / 31 = 4,612.903
    assert ledger.open_breaks("C1") == []


@pytest.mark.parametrize("order", [TIED, TIED[::-1]], ids=["rising", "falling"])
def test_equal_cutoffs_and_versions(ledgers, order):
    """Of snapshots with one cut-off and one version the higher fingerprint of the event_id counts, in whatever order."""
    assert (fingerprint("a"), fingerprint("b")) == (0x82B19D98, 0x4A14E851)  # so `a` counts
    ledger = ledgers()
    fed(ledger, *order, snapshot(650_000, "2024-01-16", opened="2024-01-10"), "2024-01-31")
    found = ledger.published("C1", day("2024-01-31"))
    assert found["month_avg[0]"] == 461_290  # as above
    assert found["aum"] == 650_000


@pytest.mark.parametrize(("booked", "first_balance"), [("2024-02-12", 200_000), ("2024-02-20", 1_000_000)])
def test_back_valued_reversal_before_the_first_snapshot(ledgers, booked, first_balance):
    """A reversal counts at its original's value date; the opening takes in what was booked up to its cut-off."""
    ledger = ledgers()
    original = posting(1, 800_000, "2024-02-05")
    reversal = posting(2, -800_000, "2024-02-05", booked, clock="11:00:00", reverses=original["event_id"])
    # Booked 12 February: opening 2,000 - (8,000 - 8,000) = 2,000.00. Booked 20 February: 10,000 - 8,000 = 2,000.00, and
    # the next snapshot makes 2,000 - 10,000 + 8,000 = 0 (or 2,000 - 2,000 = 0). The opening is valued 15 February.
    fed(
        ledger, original, snapshot(first_balance, "2024-02-15"), reversal, snapshot(200_000, "2024-02-21"), "2024-02-29"
    )
    found = ledger.published("C1", day("2024-02-29"))
    assert found["aum"] == 200_000
    assert found["month_avg[0]"] == 103_448  # 15 days (15 to 29) x 2,000 / 29 = 1,034.483
    assert ledger.published("C1", day("2024-02-10"))["aum"] == 0
    assert ledger.open_breaks("C1") == []


def test_yen_and_dollars_with_a_corrected_rate(ledgers):
    """Each day counts at the highest version of the last rate up to it; yen have no decimals."""
    ledger = ledgers()
    fed(
        ledger,
        rate("USD", 7_100_000, "2024-06-01"),
        rate("USD", 7_250_000, "2024-06-16"),
        rate("JPY", 46_125, "2024-06-01"),  # 0.046125
        posting(1, 100_000, "2024-06-01", account="USD", currency="USD"),  # 1,000.00 dollars
        posting(1, 1_000_001, "2024-06-11", account="JPY", currency="JPY"),  # 1,000,001 yen = 46,125.046125 yuan
        "2024-06-29",
    )
    found = ledger.published("C1", day("2024-06-30"))
    assert found["aum"] == 5_337_505  # 7,250 + 46,125.046125 = 53,375.046125
    # 15 x 7,100 + 15 x 7,250 + 20 x 46,125.046125 = 1,137,750.9225; / 30 = 37,925.03075
    assert found["month_avg[0]"] == 3_792_503

    ledger.add(rate("USD", 7_200_000, "2024-06-16", version=2))
    ledger.close(day("2024-06-30"))
    found = ledger.published("C1", day("2024-06-30"))
    assert found["aum"] == 5_332_505  # 7,200 + 46,125.046125 = 53,325.046125
    assert found["month_avg[0]"] == 3_790_003  # 106,500 + 108,000 + 922,500.9225 = 1,137,000.9225; / 30 = 37,900.03075
    assert found["trailing_avg[7]"] == 5_332_505


def test_no_rate_yet(ledgers):
    """A holding without a rate holds back what depends on it, and nothing else."""
    ledger = ledgers()
    fed(
        ledger,
        posting(1, 100_000, "2024-06-05", account="HKD", currency="HKD"),
        rate("HKD", 910_000, "2024-07-01"),
        "2024-07-31",
    )
    found = ledger.published("C1", day("2024-07-31"))
    assert found["aum"] == 91_000
    assert found["month_avg[0]"] == 91_000
    assert found["month_avg[1]"] is None  # June: held from the 5th, no rate before July
    assert found["quarter_avg"] is None
    assert found["month_avg[2]"] == 0


def test_month_average_of_99999_995(ledgers):
    """Published half-even as 100,000.00, but the exact value decides: it is below 100,000.00."""
    ledger = ledgers()
    fed(
        ledger,
        # April: 15 days x 99,999.99 and 15 days x 100,000.00: 99,999.995 exactly, a tie between fen.
        posting(1, 9_999_999, "2024-04-01"),
        posting(2, 1, "2024-04-16"),
        # February to April has 29 + 31 + 30 = 90 days: 45 x 99,999.99 and 45 x 100,000.00 (from 17 March).
        posting(1, 9_999_999, "2024-02-01", customer="C2", account="A2"),
        posting(2, 1, "2024-03-17", customer="C2", account="A2"),
        # 45 x 99,999.98 and 45 x 99,999.99: 99,999.985 goes to the even fen below.
        posting(1, 9_999_998, "2024-02-01", customer="C3", account="A3"),
        posting(2, 1, "2024-03-17", customer="C3", account="A3"),
        # 100,000.00 on every day of the quarter.
        posting(1, 10_000_000, "2024-02-01", customer="C4", account="A4"),
        "2024-04-30",
    )
    end = day("2024-04-30")
    assert ledger.published("C1", end)["month_avg[0]"] == 10_000_000
    assert ledger.published("C2", end)["quarter_avg"] == 10_000_000
    assert ledger.published("C3", end)["quarter_avg"] == 9_999_998
    assert [ledger.tier(c, end + 1) for c in ("C1", "C2", "C3", "C4")] == ["ordinary", "ordinary", "ordinary", "gold"]
    assert ledger.tier("C4", end) == "ordinary"  # decided at the close, in force from the next day


def test_duplicates_count_once(ledgers):
    """The same journal number of the same source and account counts once; a different source counts for itself."""
    ledger = ledgers()
    one = posting(1, 1_000, "2024-05-02")
    said = fed(ledger, one, one, posting(1, 500, "2024-05-02", source="cards"), snapshot(1_500, "2024-05-02"))
    assert said == ["accepted", "duplicate", "accepted", "accepted"]
    assert fed(ledger, snapshot(1_500, "2024-05-02"), one, "2024-05-31")[:2] == ["duplicate", "duplicate"]
    assert ledger.published("C1", day("2024-05-31"))["aum"] == 1_500


def test_restated_close_with_its_tier(ledgers):
    """A late posting into closed months says what each close would now give; the tier stays until the next close."""
    ledger = ledgers()
    fed(ledger, posting(1, 9_000_000, "2024-01-01"), "2024-03-31", "2024-04-30", "2024-05-05")
    assert ledger.tier("C1", day("2024-05-01")) == "ordinary"  # 90,000.00 throughout
    fed(ledger, posting(2, 3_000_000, "2024-04-01", "2024-05-03"), "2024-05-06")
    # April's close, 90 days from February: 90 x 90,000 + 30 x 30,000 = 9,000,000; / 90 = 100,000.00.
    assert ledger.restated() == [("C1", day("2024-04-30"), 9_000_000, 10_000_000, "ordinary", "gold")]
    assert ledger.tier("C1", day("2024-05-07")) == "ordinary"
    fed(ledger, "2024-05-07")
    assert ledger.restated() == []  # said once
    fed(ledger, "2024-05-31")
    assert ledger.tier("C1", day("2024-06-01")) == "gold"
