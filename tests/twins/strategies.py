"""Random sets of events for the order law: free of conflicting payloads, and within the arrival horizon if so asked.

A set is a `Bank`: the events of a few customers around a window of days, with late and back-valued postings, reversals,
snapshots with versions (right, wrong and partial ones), several currencies with corrected rates, and small amounts so
that ties of rounding and zero sums are met often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.twins.definitions import EPOCH, day_of
from tests.twins.events import instant, posting, rate, snapshot

if TYPE_CHECKING:
    import datetime as dt

CURRENCIES = ("CNY", "CNY", "CNY", "USD", "JPY", "KWD")
CLASSES = ("deposit_demand", "savings", "wealth", "in_transit", "credit")
NATURES = ("external", "external", "own_transfer", "product_purchase", "interest", "unknown")
CLOCKS = ("00:00:00", "08:30:00", "15:00:00", "23:59:59", None)

amounts = st.one_of(
    st.integers(-3, 3).filter(bool),
    st.integers(-(10**6), 10**6).filter(bool),
    st.integers(-(10**12), 10**12).filter(bool),
)


@dataclass(frozen=True)
class Account:
    """An account to make events for."""

    customer: str
    account: str
    asset_class: str
    currency: str

    @property
    def fields(self) -> dict[str, str]:
        """What `posting` and `snapshot` take."""
        return {
            "customer": self.customer,
            "account": self.account,
            "asset_class": self.asset_class,
            "currency": self.currency,
        }


@dataclass(frozen=True)
class Bank:
    """A set of events between two days (inclusive); no event of the set has the identity of another."""

    first_day: int
    last_day: int
    events: tuple[dict[str, Any], ...]


def accounts(
    customers: int = 3, per_customer: int = 3, currencies: tuple[str, ...] = CURRENCIES
) -> st.SearchStrategy[list[Account]]:
    """Up to a few accounts for each of up to a few customers; customers C1, C2, …"""
    keys = st.tuples(st.integers(1, customers), st.integers(1, per_customer))
    details = st.tuples(st.sampled_from(CLASSES), st.sampled_from(currencies))
    return st.dictionaries(keys, details, min_size=1, max_size=customers * per_customer).map(
        lambda d: [Account(f"C{c}", f"C{c}-A{a}", kind, currency) for (c, a), (kind, currency) in sorted(d.items())]
    )


def arrival_day(event: dict[str, Any]) -> int:
    """The first day on which the event can be known: its booking, its cut-off or its rate date (days in UTC + 8)."""
    if event["topic"] == "fx-rates":
        return int(event["rate_date"])
    at = event["booked_at"] if event["topic"] == "transactions" else event["cutoff_at"]
    return int((at + 8 * 3_600_000) // 86_400_000)


@st.composite
def postings(draw: st.DrawFn, account: Account, first: int, last: int, most: int = 12) -> list[dict[str, Any]]:
    """Postings of one account with its journal 1, 2, 3, …: some back-valued, some in advance, some reversals."""
    events: list[dict[str, Any]] = []
    for seq in range(1, 1 + draw(st.integers(0, most))):
        booked = draw(st.integers(first, last))
        clock = draw(st.sampled_from(CLOCKS))
        original = draw(st.sampled_from(events)) if events and draw(st.integers(0, 5)) == 0 else None
        if original is not None:
            value = original["value_date"] + draw(st.sampled_from((0, 0, 0, 0, -1)))  # some take back nothing
            event = posting(
                seq, -original["amount_minor"], value, max(booked, original["value_date"]),
                clock=clock, nature=original["nature"], reverses=original["event_id"], **account.fields,
            )  # fmt: skip
        else:
            value = booked + draw(st.sampled_from((0, 0, 0, -1, -3, -40, -200, -500, 2)))
            nature = draw(st.sampled_from(NATURES))
            event = posting(seq, draw(amounts), value, booked, clock=clock, nature=nature, **account.fields)
        events.append(event)
    return events


@st.composite
def snapshots(
    draw: st.DrawFn, account: Account, moved: list[dict[str, Any]], first: int, last: int, most: int = 5
) -> list[dict[str, Any]]:
    """Snapshots of one account: mostly what its postings say, sometimes not, sometimes in several versions.

    Every other cut-off falls on the instant of a posting: the edges of the intervals are where mistakes live.
    """
    events: list[dict[str, Any]] = []
    moments = st.tuples(st.integers(first, last), st.sampled_from(CLOCKS)).map(lambda m: (m[0], instant(*m)))
    if moved:
        moments |= st.sampled_from(moved).map(lambda p: (arrival_day(p), p["booked_at"]))
    cutoffs = draw(st.lists(moments, max_size=most, unique_by=lambda m: m[1]))
    opened = draw(st.sampled_from((None, first - 30, first)))
    unexplained = draw(st.sampled_from((0, 0, 500)))
    for day, cutoff_at in sorted(cutoffs, key=lambda m: m[1]):
        booked = sum(p["amount_minor"] for p in moved if p["booked_at"] <= cutoff_at)
        for version in range(1, draw(st.sampled_from((1, 1, 1, 3))) + 1):
            wrong = draw(st.sampled_from((0, 0, 0, 1, -700)))
            balance = booked + unexplained + wrong
            fields = {**account.fields, "event_id": f"{account.account}-{cutoff_at}-v{version}", "cutoff_at": cutoff_at}
            events.append(snapshot(balance, day, version=version, opened=opened, **fields))
    return events


@st.composite
def rates(draw: st.DrawFn, currencies: set[str], first: int, last: int, complete: bool = True) -> list[dict[str, Any]]:
    """Rates of the currencies, some corrected; `complete` gives each a rate long before the first day."""
    events = []
    for currency in sorted(currencies - {"CNY"}):
        days = draw(st.lists(st.integers(first, last), max_size=4, unique=True))
        for day in ([first - 1000] if complete else []) + sorted(days):
            for version in range(1, draw(st.sampled_from((1, 1, 2))) + 1):
                events.append(rate(currency, draw(st.integers(1, 2_500_000)), day, version))
    return events


@st.composite
def banks(
    draw: st.DrawFn,
    start: dt.date | None = None,
    days: int = 120,
    *,
    customers: int = 3,
    complete_rates: bool = True,
    currencies: tuple[str, ...] = CURRENCIES,
) -> Bank:
    """A set of events with distinct identities, booked and cut off within `days` days from a start."""
    first = day_of(start) if start else draw(st.integers(day_of(EPOCH.replace(2023)), day_of(EPOCH.replace(2025))))
    last = first + days - 1
    events: list[dict[str, Any]] = []
    chosen = draw(accounts(customers, currencies=currencies))
    for account in chosen:
        moved = draw(postings(account, first, last))
        events += moved + draw(snapshots(account, moved, first, last))
    events += draw(rates({a.currency for a in chosen}, first, last, complete_rates))
    return Bank(first, last, tuple(events))


@st.composite
def feeds(draw: st.DrawFn, bank: Bank, *, late_days: int = 36, duplicates: bool = True) -> list[dict[str, Any] | int]:
    """An order in which the set may arrive: events, and closes (ints) of every day in between.

    Each event comes at most `late_days` days after its own, in any order besides, and some come again. At 36 the day
    before is closed: booked 35 days before the last closed day, the last that is within the horizon. Rates of
    days before the bank's come first.
    """
    arrivals: list[tuple[int, int, dict[str, Any]]] = []
    for event in bank.events:
        if arrival_day(event) < bank.first_day:  # rates that were there before
            arrivals.append((bank.first_day, -1, event))
            continue
        due = arrival_day(event)
        late = draw(st.sampled_from((0, 0, 0, 1, 2, 20, late_days)))
        arrivals.append((due + min(late, late_days), draw(st.integers(0, 9)), event))
        if duplicates and draw(st.integers(0, 7)) == 0:
            arrivals.append((due + draw(st.integers(0, late_days)), draw(st.integers(0, 9)), event))
    arrivals.sort(key=lambda a: a[:2])
    feed: list[dict[str, Any] | int] = []
    closed = bank.first_day - 1
    for due, _, event in arrivals:
        feed.extend(range(closed + 1, due))
        closed = max(closed, due - 1)
        feed.append(event)
    last = max([bank.last_day, *map(arrival_day, bank.events)])  # the same for every feed of a bank
    feed.extend(range(closed + 1, last + late_days + 1))
    return feed
