"""The slow twin of a pack's figures: facts, flows, balances at days' starts, measures and rates, a customer at a time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from policies.lifecycle.state import months_later
from policies.model import metrics
from policies.model.figures import AT_DAY_START, COUNT, IN, Flow, series
from policies.model.pack import Pack
from policies.model.terms import Limit
from streams.calendar import date_of
from streams.money import EXPONENTS
from streams.vocabulary.metrics import months_of_mean
from streams.vocabulary.terms import NATURES
from tests.twins.ledger import SlowLedger

NO_RATE = "a rate is missing"
Found = Fraction | int | str | None


class SlowFigures:
    """What a customer's limits look at as of a close, out of the events themselves; the base currency is CNY.

    ledgers: by scope, and under None one over every class. since: the first month of flows that is known.
    """

    def __init__(self, pack: Pack, steps: list[Any], ledgers: dict[str | None, SlowLedger], since: int = -1) -> None:
        self.pack, self.ledgers, self.since = pack, ledgers, since
        self.events = [step for step in steps if not isinstance(step, int)]

    def value(self, customer: str, day: int, metric: str, scope: str | None = None) -> Found:
        """In whole units; None: not known. NO_RATE: held."""
        if metric in self.pack.measures:
            terms = self.pack.measures[metric].terms
            return _sum([(self.value(customer, day, t.metric, t.scope), Fraction(t.weight)) for t in terms])
        if scope is not None:
            return self._balance(customer, day, metric, scope)
        if (by_month := series(metric)) is not None:
            month = (date_of(day + 1).year - 1970) * 12 + date_of(day + 1).month - 2  # the latest that has ended
            if by_month.year:
                months = range(date_of(day + 1).month - 1 or 12)
            else:
                months = range(by_month.months) if by_month.mode else [by_month.month or 0]
            share = Fraction(1, len(months)) if by_month.mode == "mean" else Fraction(1)
            return _sum([(self._month(customer, by_month.of, month - k), share) for k in months])
        return self._fact(customer, day, metric)

    def limits(self, customer: str, day: int, leaf: Limit) -> dict[tuple[str, str | None], Found]:
        """What a limit looks at, by its key."""
        found = {(leaf.metric, leaf.scope): self.value(customer, day, leaf.metric, leaf.scope)}
        if leaf.currency is not None:
            rate = self.ledgers[None].rate(leaf.currency, day)
            exponent = EXPONENTS[leaf.currency] - EXPONENTS["CNY"]
            found[f"rate[{leaf.currency}]", None] = NO_RATE if rate is None else rate * Fraction(10) ** exponent
        return found

    def _balance(self, customer: str, day: int, metric: str, scope: str) -> Found:
        ledger, name = self.ledgers[scope], metric.removesuffix(AT_DAY_START)
        several = months_of_mean(name)
        names = [name] if several is None else [f"month_avg[{k}]" for k in range(several)]
        back, found = int(metric.endswith(AT_DAY_START)), []
        for one in names:
            first, last = ledger.windows(day)[one]
            days = ledger.daily_aum(customer, first - back, last - back)
            if None in days:
                return NO_RATE
            found.append(sum(days, Fraction(0)) / len(days))
        return sum(found, Fraction(0)) / len(found) / 100

    def _sent(self, customer: str, name: str) -> list[tuple[int, str, Any]]:
        return sorted(
            (e["as_of"], e["event_id"], e["value"] if e.get("text") is None else e["text"])
            for e in self.events
            if e["topic"] == "facts" and e["name"] == name and e["customer_id"] == customer
        )

    def _fact(self, customer: str, day: int, name: str) -> Found:
        mine = [e for e in self.events if e.get("customer_id") == customer]
        if (months := metrics.counted_months(name)) is not None:
            since, zone = months_later(day, -months), self.ledgers[None]
            moved = [e for e in mine if e["topic"] == "transactions" and e["customer_initiated"]]
            return sum(since <= zone.booking_day(e["booked_at"]) <= day for e in moved)
        if name in metrics.FROM_PROFILE:
            [profile] = [e for e in mine if e["topic"] == "customers"]
            given = profile["relationship_since" if name == "tenure_months" else "birth_date"]
            return None if given is None else _full_months(given, day) // (12 if name == "age" else 1)
        own, sent = self.pack.facts.get(name), self._sent(customer, name)
        lapsed = own is not None and own.valid_days is not None and sent and sent[-1][0] + own.valid_days < day
        if own is not None and own.kind == "text":
            return own.absent_text if not sent or lapsed else sent[-1][2]
        absent = metrics.absent(name) if own is None else own.stand_in(0)
        if not sent or lapsed:
            return absent
        return self._whole(name, sent[-1][2])

    def _whole(self, name: str, value: int) -> Fraction | int:
        own = self.pack.facts.get(name)
        return Fraction(value, 100) if (metrics.kind(name) if own is None else own.kind) == "money" else value

    def _month(self, customer: str, name: str, month: int) -> Found:
        if name in self.pack.flows:
            return None if month < self.since else self.flow(customer, self.pack.flows[name], month)
        own = self.pack.facts.get(name)
        sent = [one for one in self._sent(customer, name) if _month_of(one[0]) == month]
        return (
            self._whole(name, sent[-1][2]) if sent else (metrics.absent(name) or 0) if own is None else own.stand_in(0)
        )

    def flow(self, customer: str, flow: Flow, month: int) -> Found:
        """A flow of a month, by the definition: what is booked in it, less what takes it back."""
        ledger, total = self.ledgers[None], Fraction(0)
        for account in ledger._accounts.get(customer, {}).values():
            of = {id(back): posting for posting, back in ledger.pairs(account)}
            for posting in account.postings + account.beyond:
                back, original = posting.get("reverses") is not None, of.get(id(posting))
                booked = ledger.booking_day((posting if original is None else original)["booked_at"])
                nature = (posting if original is None else original)["nature"]
                amount = -posting["amount_minor"] if back else posting["amount_minor"]
                if _month_of(booked) != month or not _belongs(flow, posting, amount, nature):
                    continue
                sign = -1 if back else 1
                if flow.value == COUNT:
                    total += sign
                    continue
                rate = ledger.rate(account.currency, _last_day(month))
                if rate is None:
                    return NO_RATE
                total += sign * abs(amount) * rate / 100
        return total


def _belongs(flow: Flow, posting: dict[str, Any], amount: int, nature: str) -> bool:
    assert nature in NATURES
    other_side = (posting.get("counterparty_bank"), posting.get("counterparty_ref"))
    return (
        (amount > 0 if flow.direction == IN else amount < 0)
        and (not flow.natures or nature in flow.natures)
        and (not flow.channels or posting.get("channel") in flow.channels)
        and (not flow.counterparties or any(one in flow.counterparties for one in other_side))
    )


def _month_of(day: int) -> int:
    return (date_of(day).year - 1970) * 12 + date_of(day).month - 1


def _full_months(since: int, day: int) -> int:
    """A month is full on the same day of the month, or on its last where it has no such day."""
    return next(n for n in range(2000) if months_later(since, n + 1) > day) if since <= day else 0


def _last_day(month: int) -> int:
    day = month * 31 + 40
    while _month_of(day) > month:
        day -= 1
    while _month_of(day + 1) == month:
        day += 1
    return day


def _sum(parts: list[tuple[Found, Fraction]]) -> Found:
    if any(value == NO_RATE for value, _ in parts):
        return NO_RATE
    if any(value is None for value, _ in parts):
        return None
    return sum((Fraction(value) * weight for value, weight in parts if value is not None), Fraction(0))
