"""The metrics of every customer by SQL over flat tables (DuckDB), sharing no code with the product.

It is the second opinion: every day of every account is written out and added up. Whole numbers only: sums are HUGEINT
in 10**-9 of a minor unit, averages are rounded half-even once. It needs nothing but duckdb: it can run from anywhere.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

BANK_ZONE = "Asia/Shanghai"
_NANO = 1_000_000_000
IN_SCOPE = (
    "deposit_demand", "deposit_time", "savings", "wealth", "fund", "insurance", "bond", "trust", "am_plan",
    "in_transit",
)  # fmt: skip
DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "XAF": 0, "KWD": 3, "BHD": 3, "OMR": 3, "JOD": 3, "TND": 3}

ORACLE_COLUMNS = (
    "customer_id", "aum", *(f"month_avg_{k}" for k in range(13)), "quarter_avg", "year_avg",
    "trailing_avg_7", "trailing_avg_30", "trailing_avg_90", *(f"week_avg_{k}" for k in range(5)),
)  # fmt: skip

_TABLES = """
CREATE OR REPLACE TABLE raw_postings (source VARCHAR, journal_seq BIGINT, customer_id VARCHAR, account_id VARCHAR,
    asset_class VARCHAR, currency VARCHAR, amount_minor BIGINT, value_date DATE, booked_at BIGINT,
    beyond_horizon BOOLEAN DEFAULT false);
CREATE OR REPLACE TABLE raw_snapshots (customer_id VARCHAR, account_id VARCHAR, asset_class VARCHAR, currency VARCHAR,
    balance_minor BIGINT, cutoff_at BIGINT, business_day DATE, version BIGINT, opened_on DATE, event_id VARCHAR);
CREATE OR REPLACE TABLE raw_rates (currency VARCHAR, base VARCHAR, rate_micro BIGINT, rate_date DATE, version BIGINT,
    event_id VARCHAR);
CREATE OR REPLACE TABLE decimals (currency VARCHAR, places INTEGER);

-- A day number's start in the bank's zone, and the day of an instant there.
CREATE OR REPLACE MACRO business_day(ms) AS timezone('{zone}', timezone('UTC', make_timestamp(ms * 1000)))::DATE;
CREATE OR REPLACE MACRO day_start_ms(day) AS epoch_ms(timezone('{zone}', day::TIMESTAMP));

-- num / den, half to even; `//` cuts towards zero, so the sign is taken off first.
CREATE OR REPLACE MACRO half_even(num, den) AS sign(num)::HUGEINT * (abs(num) // den + CASE
    WHEN 2 * (abs(num) % den) > den OR (2 * (abs(num) % den) = den AND (abs(num) // den) % 2 = 1) THEN 1 ELSE 0 END);
CREATE OR REPLACE MACRO power_of_ten(n) AS [1, 10, 100, 1000, 10000, 100000, 1000000][n + 1]::HUGEINT;
"""

# Movements: postings, what cancels those beyond the arrival horizon, and the entries that snapshots make.
_MOVEMENTS = """
CREATE OR REPLACE TEMP TABLE known_postings AS
    SELECT DISTINCT ON (source, account_id, journal_seq) * FROM raw_postings
    WHERE business_day(booked_at) <= $known_by;
CREATE OR REPLACE TEMP TABLE known_snapshots AS
    SELECT DISTINCT ON (customer_id, account_id, cutoff_at) * FROM raw_snapshots
    WHERE business_day(cutoff_at) <= $known_by
    ORDER BY customer_id, account_id, cutoff_at, version DESC, event_id DESC;
CREATE OR REPLACE TEMP TABLE intervals AS
    SELECT *, lag(cutoff_at) OVER w AS previous_cutoff, lag(balance_minor) OVER w AS previous_minor
    FROM known_snapshots WINDOW w AS (PARTITION BY customer_id, account_id ORDER BY cutoff_at);
CREATE OR REPLACE TEMP TABLE adjusting AS
    SELECT s.customer_id, s.account_id, any_value(s.asset_class) AS asset_class, any_value(s.currency) AS currency,
           any_value(CASE WHEN previous_cutoff IS NULL THEN coalesce(opened_on, business_day) ELSE business_day END)
               AS value_date,
           any_value(balance_minor::HUGEINT) - any_value(coalesce(previous_minor, 0)::HUGEINT)
               - coalesce(sum(p.amount_minor), 0)::HUGEINT AS amount,
           s.cutoff_at, any_value(previous_cutoff) AS previous_cutoff, any_value(business_day) AS business_day
    FROM intervals s LEFT JOIN known_postings p
        ON p.customer_id = s.customer_id AND p.account_id = s.account_id AND NOT p.beyond_horizon
       AND p.booked_at <= s.cutoff_at AND (s.previous_cutoff IS NULL OR p.booked_at > s.previous_cutoff)
    GROUP BY s.customer_id, s.account_id, s.cutoff_at;
CREATE OR REPLACE TEMP TABLE movements AS
    SELECT customer_id, account_id, asset_class, currency, value_date, amount_minor::HUGEINT AS amount
    FROM known_postings
    UNION ALL
    SELECT customer_id, account_id, asset_class, currency, business_day(booked_at), -amount_minor::HUGEINT
    FROM known_postings SEMI JOIN known_snapshots USING (customer_id, account_id) WHERE beyond_horizon
    UNION ALL
    SELECT customer_id, account_id, asset_class, currency, value_date, amount FROM adjusting;
CREATE OR REPLACE TEMP TABLE first_days AS
    SELECT customer_id, min(day) AS first_day FROM (
        SELECT customer_id, value_date AS day FROM known_postings
        UNION ALL SELECT customer_id, least(business_day, coalesce(opened_on, business_day)) FROM known_snapshots)
    GROUP BY customer_id;
"""

# AUM of every customer on every day of the window, in 10**-9 of a minor unit of the base currency; NULL: no rate yet.
_DAYS = """
CREATE OR REPLACE TEMP TABLE calendar AS
    SELECT unnest(generate_series($first, $as_of, INTERVAL 1 DAY))::DATE AS day;
CREATE OR REPLACE TEMP TABLE rates AS
    SELECT DISTINCT ON (currency, rate_date) currency, rate_date, rate_micro FROM raw_rates WHERE base = $base
    ORDER BY currency, rate_date, version DESC, event_id DESC;
CREATE OR REPLACE TEMP TABLE weights AS
    SELECT c.currency, d.day, power_of_ten(3 + $base_places - coalesce(x.places, 2))
           * CASE WHEN c.currency = $base THEN 1000000 ELSE r.rate_micro END AS weight
    FROM (SELECT DISTINCT currency FROM movements) c CROSS JOIN calendar d
    LEFT JOIN decimals x ON x.currency = c.currency
    ASOF LEFT JOIN rates r ON r.currency = c.currency AND r.rate_date <= d.day;
CREATE OR REPLACE TEMP TABLE counted AS SELECT * FROM movements WHERE list_contains($scope, asset_class);
CREATE OR REPLACE TEMP TABLE closes AS
    SELECT a.customer_id, a.account_id, a.currency, d.day,
           a.opening + sum(coalesce(m.amount, 0)) OVER (PARTITION BY a.customer_id, a.account_id, a.currency
               ORDER BY d.day ROWS UNBOUNDED PRECEDING) AS amount
    FROM (SELECT customer_id, account_id, currency,
                 coalesce(sum(amount) FILTER (value_date < $first), 0) AS opening
          FROM counted WHERE value_date <= $as_of GROUP BY ALL) a
    CROSS JOIN calendar d
    LEFT JOIN (SELECT customer_id, account_id, currency, value_date, sum(amount) AS amount FROM counted GROUP BY ALL) m
        ON m.customer_id = a.customer_id AND m.account_id = a.account_id AND m.currency = a.currency
       AND m.value_date = d.day;
CREATE OR REPLACE TEMP TABLE daily AS
    SELECT customer_id, day, CASE WHEN bool_or(amount <> 0 AND weight IS NULL) THEN NULL
                                  ELSE sum(amount * coalesce(weight, 0)) END AS aum
    FROM closes JOIN weights USING (currency, day) GROUP BY customer_id, day;
"""


def create_tables(con: duckdb.DuckDBPyConnection, zone: str = BANK_ZONE) -> None:
    """Make the empty tables raw_postings, raw_snapshots and raw_rates. Duplicates may be loaded: they count once."""
    assert all(c.isalnum() or c in "/_+-" for c in zone), zone
    con.execute(_TABLES.format(zone=zone))
    con.executemany("INSERT INTO decimals VALUES (?, ?)", list(DECIMALS.items()))


def _month_start(day: dt.date, back: int = 0) -> dt.date:
    """The first day of the month `back` months before the month of `day`."""
    month = day.year * 12 + day.month - 1 - back
    return dt.date(month // 12, month % 12 + 1, 1)


def windows(as_of: dt.date) -> dict[str, tuple[dt.date, dt.date]]:
    """First and last day of what each column averages. The month of `as_of` ends when the next day opens another."""
    one = dt.timedelta(days=1)
    following = _month_start(as_of + one)  # the first day after M
    spans = {"aum": (as_of, as_of)}
    for k in range(13):
        spans[f"month_avg_{k}"] = (_month_start(following, k + 1), _month_start(following, k) - one)
    spans["quarter_avg"] = (_month_start(following, 3), following - one)
    spans["year_avg"] = (_month_start(following, 12), following - one)
    for days in (7, 30, 90):
        spans[f"trailing_avg_{days}"] = (as_of - (days - 1) * one, as_of)
    sunday = as_of - as_of.isoweekday() % 7 * one
    for k in range(5):
        spans[f"week_avg_{k}"] = (sunday - (7 * k + 6) * one, sunday - 7 * k * one)
    return spans


def expected_metrics(
    con: duckdb.DuckDBPyConnection,
    as_of: dt.date,
    base_currency: str = "CNY",
    scope: tuple[str, ...] = IN_SCOPE,
    known_by: dt.date | None = None,
) -> list[tuple[str | int | None, ...]]:
    """One row per customer whose first event is on or before `as_of`, by customer_id, in COLUMNS.

    Amounts are minor units of the base currency, rounded half-even; None where a rate is missing. `known_by` leaves out
    what was booked (postings) or cut off (snapshots) later.
    """
    spans = windows(as_of)
    values = {"known_by": known_by or dt.date(9999, 1, 1)}
    for statement in filter(str.strip, _MOVEMENTS.split(";")):
        con.execute(statement, values if "$known_by" in statement else None)
    given = {
        "first": min(first for first, _ in spans.values()),
        "as_of": as_of,
        "base": base_currency,
        "base_places": DECIMALS.get(base_currency, 2),
        "scope": list(scope),
    }
    for statement in filter(str.strip, _DAYS.split(";")):
        con.execute(statement, {name: value for name, value in given.items() if f"${name}" in statement})
    averages = ", ".join(_average(name, first, last) for name, (first, last) in spans.items())
    return con.execute(
        f"""SELECT f.customer_id, {averages} FROM first_days f LEFT JOIN daily d USING (customer_id)
            WHERE f.first_day <= ? GROUP BY f.customer_id ORDER BY f.customer_id""",
        [as_of],
    ).fetchall()


def _average(name: str, first: dt.date, last: dt.date) -> str:
    """SQL for the rounded average over a window; NULL as soon as one of its days is NULL."""
    inside = f"d.day BETWEEN DATE '{first}' AND DATE '{last}'"
    den = ((last - first).days + 1) * _NANO
    total = f"coalesce(sum(d.aum) FILTER ({inside}), 0)::HUGEINT"
    held = f"coalesce(bool_or(d.aum IS NULL) FILTER ({inside} AND d.day IS NOT NULL), false)"
    return f"CASE WHEN {held} THEN NULL ELSE half_even({total}, {den}::HUGEINT)::BIGINT END AS {name}"


def quarter_sums(con: duckdb.DuckDBPyConnection, as_of: dt.date) -> tuple[list[tuple[str, int | None]], int]:
    """Exact sums behind quarter_avg, after metrics() of that day: (customer_id, sum or None), and what to divide by.

    Sums are in 10**-9 of a minor unit: the average reaches a minimum m just when sum >= m * divisor.
    """
    first, last = windows(as_of)["quarter_avg"]
    rows = con.execute(
        """SELECT f.customer_id, CASE WHEN coalesce(bool_or(d.aum IS NULL AND d.day IS NOT NULL), false) THEN NULL
                  ELSE coalesce(sum(d.aum), 0)::HUGEINT END
           FROM first_days f LEFT JOIN (SELECT * FROM daily WHERE day BETWEEN $first AND $last) d USING (customer_id)
           WHERE f.first_day <= $as_of GROUP BY f.customer_id""",
        {"first": first, "last": last, "as_of": as_of},
    ).fetchall()
    return rows, ((last - first).days + 1) * _NANO
