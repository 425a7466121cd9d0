"""The slow twin fed with what the log of a partition says, and compared with what was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from agents.standing.publish.standings import standing_figures
from streams.vocabulary.metrics import METRICS
from tests.simulation.bank import Event
from tests.streams.fast import RULES
from tests.twins.definitions import after_last_ended_month, half_even
from tests.twins.ledger import SlowLedger

LEDGER_TOPICS = ("fx-rates", "transactions", "balances")
NO_TIER = "none"


class Remembering(SlowLedger):
    """The slow twin; what it was asked since the last event it knows by heart."""

    def __init__(self) -> None:
        super().__init__(RULES)
        self._answers: dict[tuple[str, int], dict[str, Fraction | None]] = {}

    def add(self, event: Event) -> str:
        """Forgets."""
        self._answers.clear()
        return super().add(event)

    def metrics(self, customer: str, as_of: int) -> dict[str, Fraction | None]:
        """Remembers."""
        if (customer, as_of) not in self._answers:
            self._answers[customer, as_of] = super().metrics(customer, as_of)
        return self._answers[customer, as_of]


class Twin:
    """One partition; `same(what, found, wanted)` is told every comparison."""

    def __init__(
        self,
        events: Mapping[str, Mapping[int, Event]],
        cuts: list[tuple[int, dict[str, int]]],
        published: Mapping[str, list[Event]],
        same: Callable[[str, Any, Any], None],
        restatements: bool,
    ) -> None:
        self.events, self.cuts, self.published, self.same = events, cuts, published, same
        self.restatements = restatements
        self.slow = Remembering()
        self.at = dict.fromkeys(LEDGER_TOPICS, 0)
        self.standings: dict[int, list[Event]] = defaultdict(list)
        for record in published["standings"]:
            self.standings[record["as_of"]].append(record)

    def compare(self) -> None:
        """Close after close: standings of month ends and of the last day in full, of the others what is cheap."""
        expected = []
        for day, cut in self.cuts:
            if self.slow.closed is not None and day <= self.slow.closed:
                continue
            for topic in LEDGER_TOPICS:
                for offset in sorted(self.events[topic]):
                    if self.at[topic] <= offset < cut[topic]:
                        self.slow.add(self.events[topic][offset])
                self.at[topic] = cut[topic]
            expected += [(day, r) for r in self.slow.close(day)]
            month_end = after_last_ended_month(day) - 1 == day
            for record in self.standings.pop(day, []):
                self._standing(record, day, full=month_end or day == self.cuts[-1][0])
        self.same("standings of days that were not closed", sorted(self.standings), [])
        self._tiers()
        if self.restatements:
            self._restatements(expected)

    def _standing(self, record: Event, day: int, *, full: bool) -> None:
        customer = record["customer_id"]
        exact = self.slow.metrics(customer, day) if full else {"aum": self.slow.aum(customer, day)}
        wanted = {name: None if value is None else half_even(value) for name, value in exact.items()}
        told = standing_figures(record)
        found = {m.name: told[m.column] for m in METRICS} if full else {"aum": told["aum"]}
        self.same(f"standing of {customer} on {day}", found, {name: wanted[name] for name in found})
        self.same(f"first day of {customer}", record["first_day"], self.slow.first_day(customer))

    def _corporate(self) -> set[str]:
        """Customers that ever were of the class without a scheme: their tiers are not compared."""
        return {e["customer_id"] for e in self.events["customers"].values() if e.get("customer_class") == "corporate"}

    def _tiers(self) -> None:
        other = self._corporate()
        found = [(c["customer_id"], c["effective_date"], c["to_tier"]) for c in self.published["tier-changes"]]
        slow = self.slow
        wanted = [(c, day, tier) for c in slow.customers(10**6) for day, tier in slow.tier_history(c)]
        self.same("tier changes", *(sorted(t for t in tiers if t[0] not in other) for tiers in (found, wanted)))

    def _restatements(self, expected: Iterable[tuple[int, Any]]) -> None:
        other, first = self._corporate(), min(self.slow._given, default=0)
        wanted = [
            (day, r.customer_id, r.restated_day, half_even(r.previous), half_even(r.current), r.previous_tier, r.current_tier)
            for day, r in expected
            if r.customer_id not in other
        ]  # fmt: skip
        names = (
            "business_day", "customer_id", "restated_day", "previous_minor", "current_minor", "previous_tier",
            "current_tier",
        )  # fmt: skip
        found = [
            tuple(r[name] for name in names)
            for r in self.published["restatements"]
            if r["kind"] == "late_posting" and r["restated_day"] >= first and r["customer_id"] not in other
        ]
        self.same("restatements", sorted(found), sorted(wanted))


def missing(events: Iterable[Event]) -> int:
    """Numbers between the lowest and the highest of each account's journal that never came."""
    journals: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in events:
        if event["topic"] == "transactions":
            journals[event["source"], event["account_id"]].add(event["journal_seq"])
    return sum(max(seen) - min(seen) + 1 - len(seen) for seen in journals.values())
