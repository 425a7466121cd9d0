"""The SQL oracle on the Berka data and on sums done by hand."""

import datetime as dt
from fractions import Fraction

import duckdb
import pytest

from tests.oracle import berka
from tidegauge.demo import oracle as duck

QUARTER = duck.ORACLE_COLUMNS.index("quarter_avg")
NEWEST = duck.ORACLE_COLUMNS.index("month_avg_0")


@pytest.fixture(scope="module")
def berka_bank():
    """The Berka data in the oracle's tables."""
    con = duckdb.connect()
    berka.load(con)
    return con


@pytest.fixture
def bank():
    """An empty bank."""
    con = duckdb.connect()
    duck.create_tables(con)
    return con


@pytest.mark.slow
def test_berka_at_the_end_of_1993(berka_bank):
    """164 customers reach a quarter average of 50,000 CZK, 77 reach it in each of the three months."""
    rows = duck.expected_metrics(berka_bank, dt.date(1993, 12, 31), "CZK")
    assert sum(row[QUARTER] >= 5_000_000 for row in rows) == 164
    assert sum(min(row[NEWEST : NEWEST + 3]) >= 5_000_000 for row in rows) == 77


@pytest.mark.slow
def test_berka_customers_in_february_1994(berka_bank):
    """1,197 customers have their first event on or before 28 February 1994."""
    rows = duck.expected_metrics(berka_bank, dt.date(1994, 2, 28), "CZK")
    assert len(rows) == 1_197
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


@pytest.mark.slow
def test_berka_by_adding_up_one_customer(berka_bank):
    """The SQL agrees with a plain loop over the days of a single customer."""
    as_of = dt.date(1993, 12, 31)
    row = next(r for r in duck.expected_metrics(berka_bank, as_of, "CZK") if r[0] == "2")
    moved = berka_bank.execute("SELECT value_date, amount_minor FROM raw_postings WHERE customer_id = '2'").fetchall()
    days = [dt.date(1993, 10, 1) + dt.timedelta(days=i) for i in range(92)]
    total = sum(sum(amount for value, amount in moved if value <= day) for day in days)
    assert row[1] == sum(amount for value, amount in moved if value <= as_of)
    assert row[QUARTER] == round(Fraction(total, 92))


@pytest.mark.slow
def test_no_floating_point(berka_bank):
    """Every intermediate of the oracle is a whole number type."""
    duck.expected_metrics(berka_bank, dt.date(1993, 3, 15), "CZK")
    for table in ("movements", "adjusting", "weights", "closes", "daily"):
        types = {kind for _, kind, *_ in berka_bank.execute(f"DESCRIBE {table}").fetchall()}
        assert types <= {"VARCHAR", "BIGINT", "HUGEINT", "DATE"}, table


@pytest.mark.parametrize(
    ("num", "den", "expected"),
    [
        (5, 2, 2),
        (7, 2, 4),
        (-5, 2, -2),
        (-7, 2, -4),
        (5, 3, 2),
        (4, 3, 1),
        (-5, 3, -2),
        (0, 9, 0),
        (10**36 + 1, 2, 5 * 10**35),
    ],
)
def test_half_even(bank, num, den, expected):
    """A tie goes to the even neighbour, on both sides of zero, beyond what a double holds."""
    (found,) = bank.execute(f"SELECT half_even({num}::HUGEINT, {den}::HUGEINT)").fetchone()
    assert found == expected


def test_beyond_the_horizon(bank):
    """Marked as beyond the horizon: it counts from value date to booking day on accounts with snapshots."""
    booked = 1_709_550_000_000  # 4 March 2024, 19:00 in Shanghai
    for account in ("A", "B"):
        bank.execute(
            "INSERT INTO raw_postings VALUES ('core', 2, ?, ?, 'savings', 'CNY', 200000, '2024-03-03', ?, true)",
            ["C" + account, account, booked],
        )
    bank.execute(
        "INSERT INTO raw_snapshots VALUES ('CA', 'A', 'savings', 'CNY', 1200000, ?, '2024-03-05', 1, NULL, 's')",
        [booked + 86_400_000],
    )
    for day, with_snapshot, without in ((3, 200_000, 200_000), (4, 0, 200_000), (5, 1_200_000, 200_000)):
        rows = duck.expected_metrics(bank, dt.date(2024, 3, day))
        assert {row[0]: row[1] for row in rows} == {"CA": with_snapshot, "CB": without}
