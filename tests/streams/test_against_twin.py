"""The fast ledger against the slow twin: the same events and closes give the same exact numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.alerts.outflow import Rules as OutflowRules
from streams.calendar import month_start
from streams.fields import DUPLICATE, OK, TOO_OLD
from tests.streams.fast import RULES, Fast, column, unshrunk
from tests.streams.feed import feed
from tests.twins.definitions import half_even
from tests.twins.events import day, posting, rate, snapshot
from tests.twins.ledger import SlowLedger
from tests.twins.strategies import banks, feeds

SAID = {"accepted": {OK}, "duplicate": {DUPLICATE}, "too_old": {TOO_OLD}}
# What the two say differently of a snapshot: known already, beaten by a higher version, or behind the horizon.
SAID_OF_SNAPSHOTS = {"accepted": {OK, DUPLICATE}, "duplicate": {DUPLICATE, TOO_OLD}, "too_old": {TOO_OLD, DUPLICATE}}


def told(steps) -> tuple[SlowLedger, Fast]:
    """Both after events and closes, with every answer compared on the way."""
    slow, fast = SlowLedger(RULES), Fast()
    for step in steps:
        if isinstance(step, int):
            slow.close(step)
            fast.close(step)
            continue
        said, [status] = slow.add(step), fast.add([step])
        if step["topic"] != "fx-rates":
            allowed = SAID if step["topic"] == "transactions" else SAID_OF_SNAPSHOTS
            assert status in allowed[said], (said, status, step)
    return slow, fast


def compare(slow: SlowLedger, fast: Fast, as_of: int, *, rates_known: bool = True) -> None:
    """Every metric of every customer, exact. Where a rate is missing the fast ledger may hold more, never less."""
    for customer, found in fast.metrics(as_of).items():
        for name, value in slow.metrics(customer, as_of).items():
            if name == "months_mean_12":
                continue
            mine = found[column(name)]
            if rates_known or value is None or mine is not None:
                assert mine == value, (customer, name, as_of)


def check_days(data, slow: SlowLedger, fast: Fast, **more) -> None:
    """Compares at the ends of what can be asked, at the last close, and somewhere between."""
    first, last = fast.days()
    for as_of in {first, last, fast.ledger.closed, data.draw(st.integers(first, last), label="as of")}:
        compare(slow, fast, as_of, **more)


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(st.data())
def test_metrics_within_the_horizon(data):
    """Late and back-valued postings, reversals, snapshots in versions, duplicates and rates, with closes between."""
    bank = data.draw(banks(days=data.draw(st.sampled_from((20, 70)))))
    slow, fast = told(data.draw(feeds(bank)))
    check_days(data, slow, fast)
    assert fast.first_days() == {c: slow.first_day(c) for c in fast.first_days()}
    for customer in fast.first_days():
        since = fast.ledger.closed - 35  # breaks behind the horizon are final and no longer looked at
        mine = [
            (a, b.day, b.instant, b.now) for (a, _), b in sorted(fast.breaks.items()) if b.now and a[:2] == customer
        ]
        twin = [(b.account_id, b.day, b.cutoff_at, b.amount_minor) for b in slow.breaks(customer)]
        assert [b for b in mine if b[1] > since] == [b for b in twin if b[1] > since]


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(st.data())
def test_metrics_with_events_of_any_age(data):
    """Beyond the horizon, and before the months held, with months of closes left out: still the same numbers."""
    bank = data.draw(banks(days=30, customers=2))
    steps: list = [
        *bank.events,
        *data.draw(st.lists(st.sampled_from(bank.events), max_size=4) if bank.events else st.just([])),
    ]
    steps = data.draw(st.permutations(steps), label="order")
    closed = bank.first_day - 20
    for at in sorted(data.draw(st.lists(st.integers(0, len(steps)), max_size=6)), reverse=True):
        steps.insert(at, None)
    for i, step in enumerate(steps):
        if step is None:
            closed = steps[i] = closed + data.draw(st.sampled_from((1, 1, 30, 36, 70, 200, 480)))
    slow, fast = told([*steps, closed + 1])
    check_days(data, slow, fast)


@pytest.mark.slow
@settings(unshrunk, max_examples=20)
@given(st.data())
def test_rates_that_come_late_or_never(data):
    """A day with a balance and no rate holds what covers it; the fast ledger holds no less and else agrees."""
    bank = data.draw(banks(days=40, customers=2, complete_rates=False))
    slow, fast = told(data.draw(feeds(bank, duplicates=False)))
    check_days(data, slow, fast, rates_known=False)


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_rounding_as_published(data):
    """What is published is the exact value rounded half-even once."""
    bank = data.draw(banks(days=30, customers=2))
    _, fast = told(data.draw(feeds(bank, late_days=1)))
    n = fast.ledger.columns.customer_count
    found = fast.ledger.metrics(fast.scope, fast.ledger.closed, np.arange(n)).rounded()
    exact = fast.metrics(fast.ledger.closed)
    for i in range(n):
        assert found[i].tolist() == [half_even(v) for v in exact[fast.ledger.customer_id(i)].values()]


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_restated_months(data):
    """A late posting into closed months gives each of their closes' new value, beside what the close had given."""
    bank = data.draw(banks(days=50, customers=2))
    steps = data.draw(feeds(bank))
    rates = [
        e for e in bank.events if e["topic"] == "fx-rates"
    ]  # all known from the start: a restatement is of postings
    steps = rates + [s for s in steps if isinstance(s, int) or s["topic"] != "fx-rates"]
    slow, fast = SlowLedger(RULES), Fast()
    given_from = int(month_start(10**6))
    for step in steps:
        if not isinstance(step, int):
            slow.add(step)
            fast.add([step])
            continue
        twin = {(r.customer_id, r.restated_day): (r.previous, r.current) for r in slow.close(step)}
        mine, before = {}, fast.ledger
        late, opened = before.late(), int(before.clock[1])
        before.breaks()
        before.open_day(step)
        given_from = min([given_from, *slow._given])
        for slot, since in late:
            for month in range(max(since, before.held_since() + 2), opened):
                end = int(month_start(month + 1)) - 1
                found = before.restated(fast.scope, np.array([slot]), month - 2, month)
                if found.now != found.before and end >= given_from:
                    days = end - int(month_start(month - 2)) + 1
                    mine[before.customer_id(slot), end] = tuple(
                        (int(u[0]) + int(v[0]) / 10**9) / days for u, v in (found.before, found.now)
                    )
        before.fold_day()
        assert mine.keys() == twin.keys()
        for key, (previous, current) in twin.items():
            assert mine[key] == pytest.approx((float(previous), float(current)), rel=1e-12, abs=1e-6)


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(st.data())
def test_outflow_and_its_reference(data):
    """What every window of a debit holds, and the AUM before it, as the definitions say."""
    bank = data.draw(banks(days=40, customers=2))
    slow, fast = SlowLedger(RULES), Fast()
    windows = (1, 7, 30)
    one = np.ones((len(windows), 1), np.int64)
    never, none = np.full(len(windows), 2**63 - 1), np.zeros(len(windows), np.int64)
    fast.ledger.rules = OutflowRules(np.array(windows), one, never[:, None], one, none, never, np.array([fast.scope]))
    early = [e for e in bank.events if e["topic"] == "fx-rates" and e["rate_date"] < bank.first_day]  # none is missing
    for step in [*early, *data.draw(feeds(bank))]:
        if isinstance(step, int):
            slow.close(step)
            fast.close(step)
            continue
        new = slow.add(step) == "accepted"
        _, met = feed(fast.ledger, [step])
        if step["topic"] != "transactions" or not new:
            assert not met
            continue
        booked = slow.booking_day(step["booked_at"])
        for found in met:
            customer = fast.ledger.customer_id(found.customer)
            total, reference = (
                slow.outflow(customer, booked, windows[found.rule]),
                slow.reference_aum(customer, booked, windows[found.rule]),
            )
            assert (found.outflow, found.reference) == (total // 1, reference // 1)
        account = slow._accounts[step["customer_id"]][step["account_id"]]
        paired = any(step is posting for pair in slow.pairs(account) for posting in pair)
        outgoing = step["nature"] == "external" and step["amount_minor"] < 0 and not paired
        recent = slow.closed is None or booked > slow.closed - 7
        if outgoing and recent and step["asset_class"] in RULES.scope:
            due = [k for k, days in enumerate(windows) if slow.outflow(step["customer_id"], booked, days) >= 1]
            assert [found.rule for found in met] == due
        else:
            assert not met


def test_beyond_the_horizon_before_the_first_snapshot():
    """Without a snapshot on the account so far, the first one to come holds the posting like any other."""
    steps = [
        day("2024-04-20"),
        posting(1, 200_000, "2024-03-03", "2024-03-04"),
        snapshot(250_000, "2024-04-21", opened="2024-03-01"),
        day("2024-04-21"),
    ]
    slow, fast = told(steps)
    compare(slow, fast, day("2024-04-21"))
    assert fast.metrics(day("2024-04-21"))["C1"]["aum"] == 250_000


def test_a_corrected_rate_of_a_closed_day():
    """A higher version of an old day's rate changes every metric that covers the day, and no other."""
    steps = [
        rate("USD", 7_000_000, "2024-01-01"), posting(1, 100_000, "2024-01-01", currency="USD"), day("2024-02-29"),
        rate("USD", 7_100_000, "2024-01-15"), rate("USD", 7_300_000, "2024-01-15", version=2), day("2024-03-01"),
    ]  # fmt: skip
    slow, fast = told(steps)
    compare(slow, fast, day("2024-03-01"))
    compare(slow, fast, day("2024-02-01"))
