"""The law behind every test: what a ledger says is a function of the SET of events, whatever order they came in."""

import datetime as dt

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twins.definitions import date_of, half_even
from tests.twins.ledger import SlowLedger
from tests.twins.strategies import banks, feeds
from tidegauge.demo import oracle as duck

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def told(feed) -> SlowLedger:
    """A ledger after a feed of events and closes."""
    ledger = SlowLedger()
    for step in feed:
        ledger.close(step) if isinstance(step, int) else ledger.add(step)
    return ledger


def state(ledger: SlowLedger, as_of: int) -> dict:
    """Everything that may not depend on the order."""
    return {
        customer: (ledger.metrics(customer, as_of), ledger.breaks(customer), ledger.first_day(customer))
        for customer in ledger.customers(as_of)
    }


@pytest.mark.slow
@few
@given(st.data())
def test_any_permutation_and_duplication(data):
    """Any order of the events, with any of them repeated, gives the same metrics, breaks and first days."""
    bank = data.draw(banks())
    again = data.draw(st.lists(st.sampled_from(bank.events), max_size=5)) if bank.events else []
    order = data.draw(st.permutations([*bank.events, *again]))
    as_of = data.draw(st.integers(bank.first_day, bank.last_day + 40))
    assert state(told(order), as_of) == state(told(bank.events), as_of)


@pytest.mark.slow
@few
@given(st.data())
def test_closes_in_between_change_nothing_within_the_horizon(data):
    """Closes between the events leave the metrics as they are, as long as no event is later than the horizon."""
    bank = data.draw(banks(days=45, customers=2))
    ledger = told(data.draw(feeds(bank)))
    assert ledger.counts["beyond_horizon"] == 0
    assert not ledger.rejected
    as_of = data.draw(st.integers(bank.first_day, bank.last_day + 36))
    assert state(ledger, as_of) == state(told(bank.events), as_of)


def as_rows(bank, con: duckdb.DuckDBPyConnection) -> None:
    """Loads a set of events into the oracle."""
    for e in bank.events:
        if e["topic"] == "transactions":
            con.execute(
                "INSERT INTO raw_postings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, false)",
                [e["source"], e["journal_seq"], e["customer_id"], e["account_id"], e["asset_class"], e["currency"],
                 e["amount_minor"], date_of(e["value_date"]), e["booked_at"]],
            )  # fmt: skip
        elif e["topic"] == "balances":
            opened = None if e["opened_on"] is None else date_of(e["opened_on"])
            con.execute(
                "INSERT INTO raw_snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [e["customer_id"], e["account_id"], e["asset_class"], e["currency"], e["balance_minor"],
                 e["cutoff_at"], date_of(e["business_day"]), e["version"], opened, e["event_id"]],
            )  # fmt: skip
        else:
            con.execute(
                "INSERT INTO raw_rates VALUES (?, ?, ?, ?, ?, ?)",
                [e["currency"], e["base"], e["rate_micro"], date_of(e["rate_date"]), e["version"], e["event_id"]],
            )


@pytest.mark.slow
@settings(few, max_examples=25)
@given(st.data())
def test_the_two_references_agree(data):
    """The plain definitions and the SQL give the same published numbers for the same set of events."""
    bank = data.draw(banks(complete_rates=data.draw(st.booleans())))
    as_of = data.draw(st.integers(bank.first_day, bank.last_day + 40))
    ledger = told(bank.events)
    con = duckdb.connect()
    duck.create_tables(con)
    as_rows(bank, con)
    found = {
        row[0]: dict(zip(duck.ORACLE_COLUMNS, row, strict=True)) for row in duck.expected_metrics(con, date_of(as_of))
    }
    assert sorted(found) == ledger.customers(as_of)
    for customer, row in found.items():
        for name, value in ledger.metrics(customer, as_of).items():
            column = name.replace("[", "_").replace("]", "")
            if column in row:
                assert row[column] == (None if value is None else half_even(value)), (customer, name)


def test_days_of_the_windows():
    """The windows of a month's last day and of a day within a month, written out."""
    at_end = SlowLedger.windows((dt.date(2024, 2, 29) - dt.date(1970, 1, 1)).days)
    assert [date_of(d) for d in at_end["month_avg[0]"]] == [dt.date(2024, 2, 1), dt.date(2024, 2, 29)]
    assert [date_of(d) for d in at_end["quarter_avg"]] == [dt.date(2023, 12, 1), dt.date(2024, 2, 29)]
    within = SlowLedger.windows((dt.date(2024, 2, 28) - dt.date(1970, 1, 1)).days)
    assert [date_of(d) for d in within["month_avg[12]"]] == [dt.date(2023, 1, 1), dt.date(2023, 1, 31)]
    assert [date_of(d) for d in within["year_avg"]] == [dt.date(2023, 2, 1), dt.date(2024, 1, 31)]
    assert [date_of(d) for d in within["trailing_avg[7]"]] == [dt.date(2024, 2, 22), dt.date(2024, 2, 28)]
    assert [date_of(d) for d in within["month_to_date_avg"]] == [dt.date(2024, 2, 1), dt.date(2024, 2, 28)]
    assert [date_of(d) for d in within["week_avg[0]"]] == [dt.date(2024, 2, 19), dt.date(2024, 2, 25)]
    assert [date_of(d) for d in within["week_avg[4]"]] == [dt.date(2024, 1, 22), dt.date(2024, 1, 28)]
    sunday = SlowLedger.windows((dt.date(2024, 2, 25) - dt.date(1970, 1, 1)).days)
    assert sunday["week_avg[0]"] == within["week_avg[0]"]  # the day's own week has ended
