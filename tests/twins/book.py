"""The slow twin of the ledger's books: the definitions of AUM written down one by one, with dicts, lists and Fractions.

No cleverness: it keeps every event and computes everything anew when asked, so that it is right by reading. An event is
a dict with the field names of its topic's Avro schema, and `topic`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.twins.definitions import (
    DECIMALS,
    Break,
    Entry,
    Event,
    Rules,
    after_last_ended_month,
    counting_event,
    day_of,
    month_first,
)


@dataclass
class _Account:
    asset_class: str
    currency: str
    postings: list[Event] = field(default_factory=list)  # that snapshots have to explain
    beyond: list[Event] = field(default_factory=list)  # beyond the horizon when they came, after a snapshot
    cancelled: list[tuple[int, int]] = field(default_factory=list)  # (booking day, -amount) of those
    snapshots: list[Event] = field(default_factory=list)


class SlowBook:
    """The events of one bank and what they amount to. `add` takes them in any order."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.closed: int | None = None
        self.rejected: list[tuple[str, Event]] = []
        self.counts: Counter[str] = Counter()
        self._accounts: dict[str, dict[str, _Account]] = defaultdict(dict)
        self._rates: dict[str, dict[int, list[Event]]] = defaultdict(lambda: defaultdict(list))
        self._seen: dict[tuple[Any, ...], Event] = {}
        self._first_day: dict[str, int] = {}
        self._late: dict[str, int] = {}  # customer -> earliest day in closed months changed since the last close

    # ---- events in

    def add(self, event: Event) -> str:
        """Takes one event with its topic: `accepted`, `duplicate`, or why it was rejected."""
        take = {"transactions": self._add_posting, "balances": self._add_snapshot, "fx-rates": self._add_rate}
        outcome = take[event["topic"]](event)
        self.counts[outcome] += 1
        if outcome not in ("accepted", "duplicate"):
            self.rejected.append((outcome, event))
        return outcome

    def _known(self, identity: tuple[Any, ...], event: Event) -> str | None:
        """The first event with an identity counts; the same again is a duplicate, a different one a conflict."""
        first = self._seen.get(identity)
        if first is None:
            return None
        return "duplicate" if dict(first) == dict(event) else "conflict"

    def _account(self, event: Event) -> _Account | None:
        """The event's account, made on first sight; None if currency or class is not the account's."""
        accounts = self._accounts[event["customer_id"]]
        account = accounts.setdefault(event["account_id"], _Account(event["asset_class"], event["currency"]))
        same = (account.asset_class, account.currency) == (event["asset_class"], event["currency"])
        return account if same else None

    def _add_posting(self, event: Event) -> str:
        if event["journal_seq"] < 1:
            return "journal_seq"
        identity = ("posting", event["customer_id"], event["source"], event["account_id"], event["journal_seq"])
        if known := self._known(identity, event):
            return known
        booked = self.booking_day(event["booked_at"])
        if self.closed is not None and booked < self.held_from(self.closed):
            return "too_old"
        if (account := self._account(event)) is None:
            return "account"
        self._seen[identity] = event
        customer = event["customer_id"]
        with self._watch(customer, event["account_id"]):
            beyond = self.closed is not None and booked < self.closed - self.rules.horizon_days
            self.counts["beyond_horizon"] += beyond
            if beyond and account.snapshots:
                account.beyond.append(event)
                account.cancelled.append((booked, -event["amount_minor"]))
            else:  # without a snapshot so far, the first one to come holds it like any other
                account.postings.append(event)
        self._saw(customer, event["value_date"])
        return "accepted"

    def _add_snapshot(self, event: Event) -> str:
        identity = (
            "snapshot", event["customer_id"], event["account_id"], event["cutoff_at"], event["version"],
            event["event_id"],
        )  # fmt: skip
        if known := self._known(identity, event):
            return known
        cut_off = self.booking_day(event["cutoff_at"])
        if self.closed is not None and cut_off < self.closed - self.rules.horizon_days:
            return "too_old"
        if (account := self._account(event)) is None:
            return "account"
        self._seen[identity] = event
        with self._watch(event["customer_id"], event["account_id"]):
            account.snapshots.append(event)
        opened = event.get("opened_on")
        self._saw(event["customer_id"], event["business_day"] if opened is None else min(event["business_day"], opened))
        return "accepted"

    def _add_rate(self, event: Event) -> str:
        identity = ("rate", event["currency"], event["rate_date"], event["version"], event["event_id"])
        if known := self._known(identity, event):
            return known
        if event["base"] != self.rules.base or event["rate_micro"] <= 0:
            return "rate"
        self._seen[identity] = event
        self._rates[event["currency"]][event["rate_date"]].append(event)
        return "accepted"

    def _saw(self, customer: str, day: int) -> None:
        self._first_day[customer] = min(day, self._first_day.get(customer, day))

    def _watch(self, customer: str, account_id: str) -> _Watch:
        return _Watch(self, customer, account_id)

    def changed(self, customer: str, day: int) -> None:
        """Notes that the balance of a day changed, if that day lies in a month that was closed."""
        if self.closed is not None and day < after_last_ended_month(self.closed):
            self._late[customer] = min(day, self._late.get(customer, day))

    # ---- definitions

    def booking_day(self, instant_ms: int) -> int:
        """The business day of an instant: its date in the bank's zone."""
        zone = ZoneInfo(self.rules.zone)
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=instant_ms)
        return day_of(moment.astimezone(zone).date())

    def held_from(self, closed: int) -> int:
        """The first day of the closed months that are held when `closed` is the last closed day."""
        return month_first(after_last_ended_month(closed), self.rules.months_held)

    def counting_snapshots(self, account: _Account) -> list[Event]:
        """The snapshots that count, in the order of cut-off: of equal cut-offs the highest version, then the tie."""
        by_cutoff: dict[int, list[Event]] = defaultdict(list)
        for snapshot in account.snapshots:
            by_cutoff[snapshot["cutoff_at"]].append(snapshot)
        counting = []
        for cutoff in sorted(by_cutoff):
            highest = max(s["version"] for s in by_cutoff[cutoff])
            counting.append(counting_event([s for s in by_cutoff[cutoff] if s["version"] == highest]))
        return counting

    def snapshot_entries(self, account: _Account) -> list[tuple[Event, int, int]]:
        """(snapshot, value date, amount) of the opening balance (first) and the adjusting entries."""
        entries = []
        previous: Event | None = None
        for snapshot in self.counting_snapshots(account):
            if previous is None:
                booked = [p for p in account.postings if p["booked_at"] <= snapshot["cutoff_at"]]
                opened = snapshot.get("opened_on")
                day = snapshot["business_day"] if opened is None else opened
                before = 0
            else:
                cutoffs = (previous["cutoff_at"], snapshot["cutoff_at"])
                booked = [p for p in account.postings if cutoffs[0] < p["booked_at"] <= cutoffs[1]]
                day = snapshot["business_day"]
                before = previous["balance_minor"]
            amount = snapshot["balance_minor"] - before - sum(p["amount_minor"] for p in booked)
            entries.append((snapshot, day, amount))
            previous = snapshot
        return entries

    def entries(self, customer: str, account_id: str) -> list[Entry]:
        """Every movement of an account."""
        account = self._accounts[customer][account_id]
        found = [Entry(account_id, p["value_date"], p["amount_minor"], "posting") for p in account.postings]
        found += [Entry(account_id, p["value_date"], p["amount_minor"], "posting") for p in account.beyond]
        found += [Entry(account_id, day, amount, "horizon") for day, amount in account.cancelled]
        for k, (_, day, amount) in enumerate(self.snapshot_entries(account)):
            found.append(Entry(account_id, day, amount, "adjusting" if k else "opening"))
        return found

    def partial_history(self, customer: str, account_id: str) -> bool:
        """Whether the account opens with a snapshot that doesn't know when it was opened."""
        counting = self.counting_snapshots(self._accounts[customer][account_id])
        return bool(counting) and counting[0].get("opened_on") is None

    def breaks(self, customer: str) -> list[Break]:
        """Non-zero adjusting entries on accounts that also have postings, by account and cut-off."""
        found = []
        for account_id, account in self._accounts.get(customer, {}).items():
            if not account.postings and not account.beyond:
                continue
            for snapshot, day, amount in self.snapshot_entries(account)[1:]:
                if amount != 0:
                    found.append(Break(account_id, day, snapshot["cutoff_at"], amount))
        return sorted(found)

    def close_of(self, customer: str, account_id: str, day: int) -> int:
        """close(a, D): the movements with value date up to D."""
        return sum(e.amount for e in self.entries(customer, account_id) if e.day <= day)

    def rate(self, currency: str, day: int) -> Fraction | None:
        """Base minor units per minor unit: the highest version of the last date up to the day; None without one."""
        if currency == self.rules.base:
            return Fraction(1)
        dates = [date for date in self._rates.get(currency, {}) if date <= day]
        if not dates:
            return None
        at = self._rates[currency][max(dates)]
        highest = max(r["version"] for r in at)
        micro = counting_event([r for r in at if r["version"] == highest])["rate_micro"]
        return Fraction(micro, 10**6) * Fraction(10) ** (DECIMALS.get(self.rules.base, 2) - DECIMALS.get(currency, 2))

    def daily_aum(self, customer: str, first: int, last: int) -> list[Fraction | None]:
        """AUM of each day from first to last; None on a day on which a holding has no rate."""
        total: list[Fraction | None] = [Fraction(0)] * (last - first + 1)
        for account_id, account in self._accounts.get(customer, {}).items():
            if account.asset_class not in self.rules.scope:
                continue
            moved: dict[int, int] = defaultdict(int)
            for entry in self.entries(customer, account_id):
                if entry.day <= last:
                    moved[max(entry.day, first)] += entry.amount
            balance = 0
            for i, day in enumerate(range(first, last + 1)):
                balance += moved.get(day, 0)
                before = total[i]
                if balance != 0 and before is not None:
                    rate = self.rate(account.currency, day)
                    total[i] = None if rate is None else before + balance * rate
        return total

    def aum(self, customer: str, day: int) -> Fraction | None:
        """AUM(D); None when a holding has no rate."""
        return self.daily_aum(customer, day, day)[0]


class _Watch:
    """Compares an account's movements before and after a change, and reports each day whose movement is another one."""

    def __init__(self, ledger: SlowBook, customer: str, account_id: str) -> None:
        self.ledger, self.customer, self.account_id = ledger, customer, account_id

    def _by_day(self) -> Counter[int]:
        moved: Counter[int] = Counter()
        for entry in self.ledger.entries(self.customer, self.account_id):
            moved[entry.day] += entry.amount
        return moved

    def __enter__(self) -> None:
        self.before = self._by_day()

    def __exit__(self, *_: object) -> None:
        after = self._by_day()
        for day in self.before.keys() | after.keys():
            if self.before[day] != after[day]:
                self.ledger.changed(self.customer, day)
