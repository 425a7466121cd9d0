"""The slow twin of the ledger: metrics, outflow, official tiers and restatements over the slow books."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from streams.vocabulary.terms import NATURES
from tests.twins.book import SlowBook
from tests.twins.definitions import (
    ROLLING_QUARTER,
    TRAILING,
    WEEKS,
    Event,
    Restatement,
    Rules,
    TierScheme,
    after_last_ended_month,
    half_even,
    last_sunday,
    month_first,
)


class SlowLedger(SlowBook):
    """All customers of one bank: `add` events in any order, `close` business days, ask for the rest."""

    def __init__(self, rules: Rules | None = None, scheme: TierScheme = ROLLING_QUARTER) -> None:
        super().__init__(rules)
        self.scheme = scheme
        self._given: dict[int, dict[str, tuple[Fraction | None, str]]] = {}  # month close -> customer -> value, tier
        self._tiers: dict[str, list[tuple[int, str]]] = defaultdict(list)  # customer -> (in force from, tier)

    # ---- answers

    def customers(self, as_of: int) -> list[str]:
        """The customers whose first event is on or before the day, sorted."""
        return sorted(c for c, first in self._first_day.items() if first <= as_of)

    def first_day(self, customer: str) -> int | None:
        """The earliest value date, business day or opening day of any event of the customer."""
        return self._first_day.get(customer)

    @staticmethod
    def windows(as_of: int) -> dict[str, tuple[int, int]]:
        """First and last day of what each daily average covers."""
        following = after_last_ended_month(as_of)
        spans = {"aum": (as_of, as_of)}
        for k in range(13):
            spans[f"month_avg[{k}]"] = (month_first(following, k + 1), month_first(following, k) - 1)
        spans["quarter_avg"] = (month_first(following, 3), following - 1)
        spans["year_avg"] = (month_first(following, 12), following - 1)
        for days in TRAILING:
            spans[f"trailing_avg[{days}]"] = (as_of - days + 1, as_of)
        spans["month_to_date_avg"] = (month_first(as_of), as_of)
        for k in range(WEEKS):
            spans[f"week_avg[{k}]"] = (last_sunday(as_of) - 7 * k - 6, last_sunday(as_of) - 7 * k)
        return spans

    def metrics(self, customer: str, as_of: int) -> dict[str, Fraction | None]:
        """Every metric, exact, in base minor units; None where a rate was missing on a day with a holding."""
        spans = self.windows(as_of)
        earliest = min(first for first, _ in spans.values())
        aum = self.daily_aum(customer, earliest, as_of)
        found: dict[str, Fraction | None] = {}
        for name, (first, last) in spans.items():
            days = aum[first - earliest : last - earliest + 1]
            known = [value for value in days if value is not None]
            found[name] = sum(known, Fraction(0)) / len(days) if len(known) == len(days) else None
        months = [found[f"month_avg[{k}]"] for k in range(12)]
        known_months = [value for value in months if value is not None]
        found["months_mean_12"] = sum(known_months, Fraction(0)) / 12 if len(known_months) == 12 else None
        return found

    def published(self, customer: str, as_of: int) -> dict[str, int | None]:
        """The metrics as published: rounded half-even to minor units, once, at the customer."""
        return {k: None if v is None else half_even(v) for k, v in self.metrics(customer, as_of).items()}

    def outflow(self, customer: str, day: int, window_days: int) -> Fraction | None:
        """What left the customer in the `window_days` booking days that end with `day`, in base minor units, never < 0.

        External postings on accounts in scope that go out, at the rate of their booking day. A posting that is reversed
        and its reversal are none; a reversal without a partner is a posting like others. None where a rate is missing.
        """
        total = Fraction(0)
        for account in self._accounts.get(customer, {}).values():
            if account.asset_class not in self.rules.scope:
                continue
            paired = {id(posting) for pair in self.pairs(account) for posting in pair}
            for posting in account.postings + account.beyond:
                booked = self.booking_day(posting["booked_at"])
                if (
                    posting["nature"] not in self.rules.external
                    or posting["amount_minor"] >= 0
                    or id(posting) in paired
                ):
                    continue
                if not day - window_days < booked <= day:
                    continue
                rate = self.rate(account.currency, booked)
                if rate is None:
                    return None
                total -= posting["amount_minor"] * rate
        return max(total, Fraction(0))

    def pairs(self, account: Any) -> list[tuple[Event, Event]]:
        """(posting, its reversal) of an account: each reversal takes the earliest that is left of those it may take back.

        It may take back what was booked on its day or before.
        """
        since = None if self.closed is None else self.closed - self.rules.horizon_days
        held = [
            p for p in account.postings + account.beyond if since is None or self.booking_day(p["booked_at"]) >= since
        ]
        held.sort(key=lambda p: (p["booked_at"], NATURES.index(p["nature"])))
        left, found = [p for p in held if p.get("reverses") is None], []
        for back in (p for p in held if p.get("reverses") is not None):
            wanted, on = (-back["amount_minor"], back["value_date"]), self.booking_day(back["booked_at"])
            fits = [p for p in left if (p["amount_minor"], p["value_date"]) == wanted]
            match = next((p for p in fits if self.booking_day(p["booked_at"]) <= on), None)
            if match is not None:
                left.remove(match)
                found.append((match, back))
        return found

    def alone(self, account: Any) -> list[Event]:
        """The account's held reversals without a partner."""
        paired = {id(back) for _, back in self.pairs(account)}
        return [p for p in account.postings if p.get("reverses") is not None and id(p) not in paired]

    def reference_aum(self, customer: str, day: int, window_days: int) -> Fraction | None:
        """AUM at the window's start: the close of the day before its first day."""
        return self.aum(customer, day - window_days)

    # ---- closes

    def close(self, day: int) -> list[Restatement]:
        """Ends a business day: decides tiers where a month ended, and restates closes given before.

        A close at or before the last closed day is ignored.
        """
        if self.closed is not None and day <= self.closed:
            return []
        restated = self._restate(day)
        month_end = after_last_ended_month(day) - 1
        before = day - 1 if self.closed is None else self.closed
        if month_end > before:
            self._decide(month_end, day)
        self.closed = day
        self._late.clear()
        return restated

    def _decide(self, month_end: int, day: int) -> None:
        """The official tiers of a month close: in force from the day after; while held, the tier stays."""
        given = self._given[month_end] = {}
        for customer in self.customers(day):
            value = self.metrics(customer, month_end)[self.scheme.metric]
            tier = self.tier(customer, day) if value is None else self.scheme.tier_of(value)
            given[customer] = (value, tier)
            if tier != self.tier(customer, day):
                self._tiers[customer].append((day + 1, tier))

    def tier(self, customer: str, day: int) -> str:
        """The tier in force on a day; the lowest before the first decision."""
        in_force = [tier for start, tier in self._tiers.get(customer, []) if start <= day]
        return in_force[-1] if in_force else self.scheme.tiers[0][0]

    def tier_history(self, customer: str) -> list[tuple[int, str]]:
        """(first day in force, tier), oldest first."""
        return list(self._tiers.get(customer, []))

    def _restate(self, day: int) -> list[Restatement]:
        """For customers changed in closed months: each close still held whose value is another one now."""
        restated = []
        oldest = month_first(after_last_ended_month(day), self.rules.restated_closes) - 1
        for month_end in sorted(m for m in self._given if m > oldest):
            given = self._given[month_end]
            for customer in sorted(self._late):
                if self._late[customer] > month_end:
                    continue
                previous, previous_tier = given.get(customer, (Fraction(0), self.scheme.tiers[0][0]))
                current = self.metrics(customer, month_end)[self.scheme.metric]
                if current == previous:
                    continue
                tier = previous_tier if current is None else self.scheme.tier_of(current)
                given[customer] = (current, tier)
                restated.append(Restatement(customer, month_end, previous, current, previous_tier, tier))
        return sorted(restated, key=lambda r: (r.customer_id, r.restated_day))
