"""The slow twin of alert cases: docs/alerts.md#cases written down, with dicts, lists and whole numbers.

It keeps every event and looks at all of a customer's postings anew whenever one comes. A feed is events and closed days
(ints), as in tests.twins.strategies. What it answers: the steps, in order, and the cases that are open after a close.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

from streams.vocabulary.terms import EXTERNAL, SEVERITIES
from streams.workdays import weekday
from tests.twins.book import SlowBook, _Account
from tests.twins.case_acts import SlowDesk
from tests.twins.case_terms import (
    EDGE_DAYS,
    EMPTYING_FIFTHS,
    EXPIRE_DAYS,
    FOLD_DAYS_MAX,
    HELD_DAYS,
    LARGE_THIRDS,
    LIVE_DAYS_MAX,
    MOVING,
    OLD_DAYS,
    OWN_PART,
    UNKNOWN,
    WINDOW_DAYS_MAX,
    Met,
    Posting,
    SlowCase,
    SlowRule,
    SlowScheme,
    SlowStep,
    may_open,
    pairing_place,
    workdays_before,
)
from tests.twins.definitions import Event
from tests.twins.definitions import Rules as BankRules


class SlowCases(SlowDesk):
    """Cases of kind outflow of all customers of a bank. `tier` gives the highest tier in force on any day of [first, last]."""

    def __init__(
        self,
        scheme: SlowScheme,
        bank: BankRules | None = None,
        tier: Callable[[str, int, int], str] = lambda *_: "private",
        is_open: Callable[[int], bool] = weekday,
    ) -> None:
        super().__init__()
        self.scheme, self.tier, self.is_open = scheme, tier, is_open
        self.book = SlowBook(bank)
        self.anchors: dict[str, SlowCase] = {}  # as of `anchored`
        self.anchored: int | None = None
        self.settled: dict[str, SlowCase] = {}  # as the last close left them
        self.postings: dict[str, list[Posting]] = defaultdict(list)
        self.resolved: dict[str, set[int]] = defaultdict(set)
        self._waiting: set[int] = set()  # ids of postings that a live fold leaves out
        self._known: dict[tuple[str, str, int], Any] = {}  # answers since the last event: only for speed

    # ---- what comes in

    def feed(self, steps: Iterable[Event | int]) -> SlowCases:
        """Events and closed days, in order."""
        for step in steps:
            self.close(step) if isinstance(step, int) else self.add(step)
        return self

    def add(self, event: Event) -> list[SlowStep]:
        """An event; the provisional steps it causes."""
        if self.book.add(event) != "accepted":
            return []
        self._known.clear()
        if event["topic"] != "transactions":
            return []
        customer, closed = event["customer_id"], self.book.closed
        booked = day = self.book.booking_day(event["booked_at"])
        if closed is not None and booked < closed - HELD_DAYS:
            return []  # history: it is no flow
        late = closed is not None and booked <= closed - self.scheme.settle_days
        if late:
            day = closed + 1  # later events count from the close they arrive in
        old = closed is not None and booked < closed - OLD_DAYS
        self.postings[customer].append(Posting(event, booked, day, old))
        may_be_flow = event["amount_minor"] < 0 and event["nature"] in (EXTERNAL, UNKNOWN)
        return self._live(customer, event["event_id"]) if may_be_flow or self._known_case(customer) else []

    def resolve(self, customer: str, day: int, cause: str = "act") -> list[SlowStep]:
        """An act with an outcome ends the case that is open at the end of its day."""
        closed = self.book.closed
        late = closed is not None and day <= closed - self.scheme.settle_days
        self.resolved[customer].add(closed + 1 if late and closed is not None else day)
        return self._live(customer, cause)

    def close(self, day: int) -> list[SlowStep]:
        """Folds every customer anew from his anchor, and publishes the difference."""
        before = self.book.closed
        if before is not None and day <= before:
            return []
        out: list[SlowStep] = []
        anchor_day = day - self.scheme.settle_days  # the last day that nothing within the bound can change any more
        for customer in sorted(self.postings):
            first = self._first(day)
            anchor = self._fold(customer, self.anchors.get(customer, SlowCase()), first, anchor_day)
            now = self._fold(customer, anchor, max(first, anchor_day + 1), day)
            self.anchors[customer], self.settled[customer] = anchor, now
            out += self._publish(customer, now, day, f"close/{day}", provisional=False)
        self.anchored = anchor_day
        for customer in self.postings:
            self._settle_pairs(customer, day)
        self.book.closed = day
        self._known.clear()
        self.wake_at(day)
        return out

    def open_cases(self) -> dict[str, SlowCase]:
        """By customer, the cases that the last close left open: what the law speaks of."""
        return {customer: case for customer, case in self.settled.items() if case.open}

    def _first(self, day: int) -> int:
        """The first day that a fold up to `day` looks at."""
        if self.anchored is not None:
            return max(self.anchored + 1, day - FOLD_DAYS_MAX + 1)
        return day - FOLD_DAYS_MAX + 1

    def _known_case(self, customer: str) -> bool:
        """Whether the customer has, or had, a case, told or settled."""
        return self.anchors.get(customer, SlowCase()).number > 0 or any(s.customer == customer for s in self.steps)

    def _live(self, customer: str, cause: str) -> list[SlowStep]:
        """Between closes: up to the latest day of the customer's postings, with what is known now."""
        closed = self.book.closed
        days = [*(p.day for p in self.postings[customer]), *self.resolved[customer]]
        if closed is not None:
            days = [d for d in days if d <= closed + LIVE_DAYS_MAX]
            day = max([closed, *days])
        elif days:
            day = max(days)
        else:
            return []
        self._known.clear()
        self._waiting = self._may_be_legs(customer)
        now = self._fold(customer, self.anchors.get(customer, SlowCase()), self._first(day), day)
        steps = self._publish(customer, now, day, cause, provisional=True)
        self._known.clear()
        self._waiting = set()
        return steps

    def _may_be_legs(self, customer: str) -> set[int]:
        """Debits of unknown nature whose partner may still come, on another account in the currency that has postings.

        Those of an account that has had such a leg before; the others where together they are less than two thirds of the AUM.
        """
        held, paired = self._held(customer), self._paired(customer)
        latest = max((p.event["booked_at"] for p in held), default=0)
        waiting = [
            p for p in held
            if p.amount < 0 and self._nature(p) == "open" and id(p) not in paired and not p.old
            and p.event["asset_class"] in self.book.rules.scope
            and p.event["booked_at"] >= latest - self.scheme.settle_minutes * 60_000
            and self._another_account(customer, p)
        ]  # fmt: skip
        usual = {
            p.event["account_id"]
            for one, other in self.pairs(customer)
            for p in (one, other)
            if one.event["account_id"] != other.event["account_id"] and p.amount < 0 and self._nature(p) == "open"
        }
        others = [p for p in waiting if p.event["account_id"] not in usual]
        if others:
            day = max(p.day for p in others)
            if 3 * floor(sum(map(self.base, others))) >= LARGE_THIRDS * self.reference(customer, day - 1, day):
                waiting = [p for p in waiting if p.event["account_id"] in usual]
            for account in {p.event["account_id"] for p in others}:
                if self._emptied(customer, account, [p for p in others if p.event["account_id"] == account]):
                    waiting = [p for p in waiting if p.event["account_id"] != account]
        return {id(p) for p in waiting}

    def _emptied(self, customer: str, account: str, debits: list[Posting]) -> bool:
        """Whether debits take most of what their account held on the day before, by what was booked up to theirs."""
        day = max(p.day for p in debits)
        view = self._as_booked(customer, day)
        view._accounts[customer] = {account: view._accounts[customer][account]}
        held = view.close_of(customer, account, day - 1)
        return held > 0 and -5 * sum(p.amount for p in debits) >= EMPTYING_FIFTHS * held

    def _another_account(self, customer: str, p: Posting) -> bool:
        """Whether postings have come on another account of the customer in the currency."""
        return any(
            name != p.event["account_id"] and a.currency == p.event["currency"] and (a.postings or a.beyond)
            for name, a in self.book._accounts[customer].items()
        )

    # ---- flow and nature

    def base(self, p: Posting) -> Fraction:
        """|p| in base minor units at the rate of the day it counts on, exact; 0 before the currency's first rate."""
        rate = self.book.rate(p.event["currency"], p.day)
        return Fraction(0) if rate is None else abs(p.amount) * rate

    def _bank(self, p: Posting) -> str | None:
        """The outside bank that a posting names, if it does."""
        bank = p.event.get("counterparty_bank") or None
        return None if bank in self.scheme.own_banks else bank

    def _nature(self, p: Posting) -> str:
        """`external`, `leg` (stated to move within the bank), `open` (unknown, and may be a leg), or `other` (no flow)."""
        nature = p.event["nature"]
        if nature == UNKNOWN:
            bank = self._bank(p)
            if bank is None:
                return "open"
            return "other" if bank in self.scheme.internal_banks else EXTERNAL
        return EXTERNAL if nature == EXTERNAL else "leg" if nature in MOVING else "other"

    def _held(self, customer: str) -> list[Posting]:
        closed = self.book.closed
        return [
            p for p in self.postings[customer]
            if p.partner is None and (closed is None or p.booked >= closed - HELD_DAYS)
        ]  # fmt: skip

    def pairs(self, customer: str) -> list[tuple[Posting, Posting]]:
        """Postings that take each other back, or are two legs of one movement; each in one pair at most."""
        taken: set[int] = set()
        found: list[tuple[Posting, Posting]] = []
        held = sorted(self._held(customer), key=pairing_place)
        for back in (p for p in held if p.event.get("reverses") is not None):
            for p in held:
                fits = (
                    p.event.get("reverses") is None
                    and p.event["account_id"] == back.event["account_id"]
                    and p.amount == -back.amount
                    and p.event["value_date"] == back.event["value_date"]
                    and p.booked <= back.booked
                )
                if fits and id(p) not in taken:
                    taken |= {id(p), id(back)}
                    found.append((p, back))
                    break
        found = [(p, back) for p, back in found if self.scheme.in_time(p, back)]
        taken = {id(p) for pair in found for p in pair}
        legs = [p for p in held if id(p) not in taken and not p.old and self._nature(p) in ("open", "leg")]
        for at, p in enumerate(legs):
            for earlier in legs[:at]:
                fits = (
                    earlier.event["account_id"] != p.event["account_id"]
                    and earlier.event["currency"] == p.event["currency"]
                    and earlier.amount == -p.amount
                    and p.event["booked_at"] - earlier.event["booked_at"] <= self.scheme.settle_minutes * 60_000
                    and self.scheme.in_time(earlier, p)
                )
                if fits and not {id(earlier), id(p)} & taken:
                    taken |= {id(earlier), id(p)}
                    found.append((earlier, p))
                    break
        return found

    def _settle_pairs(self, customer: str, day: int) -> None:
        """A pair of which one leaves the postings held after the close of `day` is one for good."""
        for one, other in self.pairs(customer):
            if min(one.booked, other.booked) < day - HELD_DAYS:
                one.partner, other.partner = other, one

    def _once(self, what: str, customer: str, day: int, answer: Callable[[], Any]) -> Any:
        if (what, customer, day) not in self._known:
            self._known[what, customer, day] = answer()
        return self._known[what, customer, day]

    def _paired(self, customer: str) -> dict[int, int]:
        """id of a posting -> the day on which its pair is complete."""
        known = [(p, p.partner) for p in self.postings[customer] if p.partner is not None]

        def answer() -> dict[int, int]:
            both = [*self.pairs(customer), *known]
            return {id(p): max(one.day, other.day) for one, other in both for p in (one, other)}

        found: dict[int, int] = self._once("paired", customer, 0, answer)
        return found

    def _flows(self, customer: str, day: int) -> list[Posting]:
        """The postings up to `day` that are external as the day knows it, on accounts in scope."""
        paired = self._paired(customer)

        def answer() -> list[Posting]:
            return [
                p for p in self.postings[customer]
                if p.day <= day
                and p.event["asset_class"] in self.book.rules.scope
                and paired.get(id(p), day + 1) > day
                and self._is_flow(p)
            ]  # fmt: skip

        found: list[Posting] = self._once("flows", customer, day, answer)
        return found

    def _is_flow(self, p: Posting) -> bool:
        """Whether a posting without a partner is flow."""
        nature = self._nature(p)
        if id(p) in self._waiting:
            return False
        return nature == EXTERNAL or (nature == "open" and p.amount < 0)

    def net_out(self, customer: str, start: int, day: int) -> int:
        """N(start, day] as `day` knows it."""
        return max(0, floor(sum(-self._signed(p) for p in self._flows(customer, day) if p.day > start)))

    def gross_out(self, customer: str, start: int, day: int) -> int:
        """The external debits of (start, day], less their reversals."""
        return floor(sum(self.base(p) for p in self._flows(customer, day) if p.day > start and p.amount < 0))

    def _signed(self, p: Posting) -> Fraction:
        return self.base(p) if p.amount > 0 else -self.base(p)

    def reference(self, customer: str, start: int, day: int) -> int:
        """The highest AUM close of [start, day - 1] by what was booked up to `day`; a day that misses a rate counts 0."""
        if start > day - 1:
            return 0
        view: SlowBook = self._once("books", customer, day, lambda: self._as_booked(customer, day))
        closes = view.daily_aum(customer, start, day - 1)
        return max(0, *(0 if value is None else floor(value) for value in closes))

    def _as_booked(self, customer: str, day: int) -> SlowBook:
        """The books without what was booked or cut off after a day."""
        view = copy.copy(self.book)
        day_of = self.book.booking_day
        view._accounts = {customer: {}}
        for account_id, a in self.book._accounts.get(customer, {}).items():
            view._accounts[customer][account_id] = _Account(
                a.asset_class, a.currency, [p for p in a.postings if day_of(p["booked_at"]) <= day],
                a.beyond, a.cancelled, [s for s in a.snapshots if day_of(s["cutoff_at"]) <= day],
            )  # fmt: skip
        return view

    # ---- firing

    def met(self, customer: str, day: int, told: int | None) -> list[Met]:
        """The rules that are met on a day."""
        found = (self._met(rule, customer, day, told) for rule in self.scheme.rules)
        return [one for one in found if one is not None]

    def _met(self, rule: SlowRule, customer: str, day: int, told: int | None) -> Met | None:
        start = day - rule.window if rule.window else workdays_before(day, self.is_open)
        start = start if told is None else max(start, told)
        tier = self.tier(customer, start, day)
        flows = [p for p in self._flows(customer, day) if p.day > start and p.amount < 0]
        single = [floor(self.base(p)) for p in flows if p.day == day and self._one_by_one(p)]
        counted, amount = start, floor(sum(map(self.base, flows)))
        if not rule.is_gross:
            edge = EDGE_DAYS if rule.window else 0
            starts = [s for s in range(start, start - edge - 1, -1) if told is None or s >= told]
            counted = min(starts, key=lambda s: self.net_out(customer, s, day))  # of equal ones the latest
            amount = self.net_out(customer, counted, day)
        if rule.window == 0:
            amount = max((p for p in single if 2 * amount >= p), default=0)
        elif rule.one_bank:
            banks: dict[str, Fraction] = defaultdict(Fraction)
            for p in flows:
                if (bank := self._bank(p)) is not None and self._one_by_one(p):
                    banks[bank] += self.base(p)
            amount = floor(max(banks.values(), default=Fraction(0)))
        if rule.debits:
            small = [p for p in flows if self._one_by_one(p) and floor(self.base(p)) <= (rule.each_max or 0)]
            if len(small) < rule.debits:
                return None
        own = self.gross_out(customer, day - 1, day) if rule.is_gross else self.net_out(customer, day - 1, day)
        if own <= 0 or (not rule.debits and own * OWN_PART < amount) or amount <= 0:
            return None
        reference = self.reference(customer, start, day)
        absolute, share = rule.absolute.get(tier), rule.share_bp.get(tier)
        by_share = share is not None and reference > 0 and amount >= rule.floor and amount * 10_000 >= share * reference
        if (absolute is not None and amount >= absolute) or by_share:
            return Met(rule, counted, amount, reference)
        return None

    def _one_by_one(self, p: Posting) -> bool:
        """Whether a posting is still held by itself."""
        closed = self.book.closed
        return not p.old and (closed is None or p.booked >= closed - HELD_DAYS)

    # ---- the fold

    def _fold(self, customer: str, case: SlowCase, first: int, last: int) -> SlowCase:
        for day in range(first, last + 1):
            case = self._fold_day(customer, case, day)
            if case.open and day in self.resolved[customer]:
                case = replace(case, open=False, ended=day, end="resolved")
        return case

    def _fold_day(self, customer: str, case: SlowCase, day: int) -> SlowCase:
        if not case.open:
            return self._opened(customer, case, day)
        net = case.net + self._moved(customer, case, day)
        case = replace(case, net=net)
        if net > case.peak:
            case = replace(case, peak=net, peak_day=day)
        if 4 * net < case.peak:
            return replace(case, open=False, ended=day, end="retracted")
        if day - case.peak_day >= EXPIRE_DAYS:
            return replace(case, open=False, ended=day, end="expired")
        met = self.met(customer, day, case.ended)
        further = [m for m in met if m.rule.id not in case.rules]
        severity = max([case.severity, *(SEVERITIES.index(m.rule.severity) for m in met)])
        if further or severity > case.severity or 2 * net >= 3 * case.told_net:
            return replace(
                case,
                told_net=net,
                severity=severity,
                rules=self._named({*case.rules, *(m.rule.id for m in further)}),
                reference=max([case.reference, *(m.reference for m in further)]),
            )
        return case

    def _named(self, rules: set[str]) -> tuple[str, ...]:
        """In the order of the pack."""
        return tuple(rule.id for rule in self.scheme.rules if rule.id in rules)

    def _opened(self, customer: str, case: SlowCase, day: int) -> SlowCase:
        met = [m for m in self.met(customer, day, case.ended) if may_open(case, m, day)]
        if not met:
            return case
        gross = all(m.rule.is_gross for m in met)
        start = min(m.start for m in met if gross or not m.rule.is_gross)
        net = self.gross_out(customer, start, day) if gross else self.net_out(customer, start, day)
        return SlowCase(
            True, day, start, net, net, day, net, max(SEVERITIES.index(m.rule.severity) for m in met),
            max(m.reference for m in met), self._named({m.rule.id for m in met}), gross, case.ended, "",
            case.number + 1,
        )  # fmt: skip

    def _moved(self, customer: str, case: SlowCase, day: int) -> int:
        """What a day adds to the net of an open case: its debits, less its credits while money that returns counts.

        A pair that is complete on this day takes away what its earlier posting has added since `start`.
        """
        counts = day <= case.peak_day + self.scheme.return_days
        moved = Fraction(0)
        paired = self._paired(customer)
        for p in self.postings[customer]:
            if p.event["asset_class"] not in self.book.rules.scope or not self._is_flow(p):
                continue
            complete = paired.get(id(p))
            if p.day == day and (complete is None or complete > day):
                moved += self.base(p) if p.amount < 0 else -self.base(p) if counts else 0
            elif complete == day and case.start < p.day < day:
                if p.amount < 0:
                    moved -= self.base(p)
                elif p.day <= case.peak_day + self.scheme.return_days and (not case.gross or p.day > case.opened):
                    moved += self.base(p)
        return floor(moved)

    # ---- what is told

    def _publish(self, customer: str, now: SlowCase, day: int, cause: str, *, provisional: bool) -> list[SlowStep]:
        told = self.published.get(customer, SlowCase())
        out: list[SlowStep] = []

        def tell(kind: str, case: SlowCase) -> None:
            gross = self.gross_out(customer, max(case.start, day - WINDOW_DAYS_MAX), day)
            gross = gross if case.number == now.number else 0  # nothing is left of a case that is another one now
            severity = SEVERITIES[case.severity]
            out.append(
                SlowStep(
                    customer, kind, provisional, day, case.opened, severity, case.net, gross, case.reference,
                    case.rules, cause, *self._cared(customer, kind, day, gross),
                )
            )  # fmt: skip

        if told.open and (not now.open or now.number > told.number):
            ended = not now.open and now.number == told.number
            if not ended and any(r >= told.opened for r in self.resolved[customer]):
                tell("resolved", told)
            else:
                tell(now.end if ended else "retracted", replace(told, net=now.net if ended else 0))
            told = replace(told, open=False)
        if now.open and not told.open:
            tell("raised", now)
            self.published[customer] = replace(now, told_net=now.net)
        elif now.open:
            severer = now.severity > told.severity or not set(now.rules) <= set(told.rules)
            if severer or 2 * now.net >= 3 * told.told_net:
                tell("deepened", now)
                self.published[customer] = replace(now, told_net=now.net)
            elif not provisional and now.figures() != told.figures():
                tell("corrected", now)
                self.published[customer] = replace(now, told_net=told.told_net)
        else:
            self.published[customer] = now
        self.steps += out
        return out
