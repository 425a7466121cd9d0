"""The slow twin fed with what the log of a partition says, and compared with what was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agents.standing.publish.standings import standing_figures
from streams.vocabulary.metrics import METRICS
from tests.simulation.bank import Event
from tests.simulation.schemes import RULES as CASE_RULES
from tests.streams.fast import RULES
from tests.twins.case_terms import SlowScheme, SlowStep
from tests.twins.cases import SlowCases
from tests.twins.definitions import after_last_ended_month, half_even
from tests.twins.ledger import SlowLedger

LEDGER_TOPICS = ("fx-rates", "transactions", "balances")
NO_TIER = "none"
CASE_FIGURES = ("opened", "net", "reference", "rules")
_Events = Mapping[str, Mapping[int, Event]]  # by topic and offset
_Cuts = list[tuple[int, dict[str, int]]]


def between_closes(events: _Events, cuts: _Cuts) -> Iterator[tuple[int, list[Event]]]:
    """Each closed day with what came to the ledger's topics since the close before; a day counts once."""
    at, closed = dict.fromkeys(LEDGER_TOPICS, 0), -1
    for day, cut in cuts:
        if day <= closed:
            continue
        yield (
            day,
            [
                events[topic][offset]
                for topic in LEDGER_TOPICS
                for offset in sorted(events[topic])
                if at[topic] <= offset < cut[topic]
            ],
        )
        closed, at = day, {topic: max(at[topic], cut[topic]) for topic in LEDGER_TOPICS}


def corporate(profiles: Iterable[Event]) -> set[str]:
    """Customers that ever were of the class without a scheme: their tiers and cases are not compared."""
    return {e["customer_id"] for e in profiles if e.get("customer_class") == "corporate"}


class SettledCases(SlowCases):
    """The slow twin of cases, which closes alone fold: what is told between them leaves no trace in what is settled."""

    def _live(self, customer: str, cause: str) -> list[SlowStep]:
        return []


def open_cases(events: _Events, cuts: _Cuts) -> dict[str, tuple[Any, ...]]:
    """By customer the figures of the cases that the last close leaves open."""
    slow = SettledCases(SlowScheme(CASE_RULES), RULES)
    for day, found in between_closes(events, cuts):
        slow.feed(found)
        slow.close(day)
    return {c: tuple(getattr(case, name) for name in CASE_FIGURES) for c, case in slow.open_cases().items()}


@dataclass(frozen=True)
class Terms:
    """How much is compared. until: the first day on which another scheme than the twin's decides; None: the twin's to the end."""

    restatements: bool
    until: int | None

    def decides(self, day: int) -> bool:
        """Whether what takes effect on a day was decided by the scheme of the twin."""
        return self.until is None or day < self.until


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
        events: _Events,
        cuts: _Cuts,
        published: Mapping[str, list[Event]],
        same: Callable[[str, Any, Any], None],
        terms: Terms,
    ) -> None:
        self.events, self.cuts, self.published, self.same, self.terms = events, cuts, published, same, terms
        self.slow = Remembering()
        self.standings: dict[int, list[Event]] = defaultdict(list)
        for record in published["standings"]:
            self.standings[record["as_of"]].append(record)

    def compare(self) -> None:
        """Close after close: standings of month ends and of the last day in full, of the others what is cheap."""
        expected = []
        for day, found in between_closes(self.events, self.cuts):
            for event in found:
                self.slow.add(event)
            expected += [(day, r) for r in self.slow.close(day)]
            month_end = after_last_ended_month(day) - 1 == day
            for record in self.standings.pop(day, []):
                self._standing(record, day, full=month_end or day == self.cuts[-1][0])
        self.same("standings of days that were not closed", sorted(self.standings), [])
        self._tiers()
        if self.terms.restatements:
            self._restatements(expected)

    def _standing(self, record: Event, day: int, *, full: bool) -> None:
        customer = record["customer_id"]
        exact = self.slow.metrics(customer, day) if full else {"aum": self.slow.aum(customer, day)}
        wanted = {name: None if value is None else half_even(value) for name, value in exact.items()}
        told = standing_figures(record)
        found = {m.name: told[m.column] for m in METRICS} if full else {"aum": told["aum"]}
        self.same(f"standing of {customer} on {day}", found, {name: wanted[name] for name in found})
        self.same(f"first day of {customer}", record["first_day"], self.slow.first_day(customer))

    def _tiers(self) -> None:
        other, slow, decides = corporate(self.events["customers"].values()), self.slow, self.terms.decides
        found = [(c["customer_id"], c["effective_date"], c["to_tier"]) for c in self.published["tier-changes"]]
        wanted = [(c, day, tier) for c in slow.customers(10**6) for day, tier in slow.tier_history(c)]
        both = (sorted(t for t in tiers if t[0] not in other and decides(t[1])) for tiers in (found, wanted))
        self.same("tier changes", *both)

    def _restatements(self, expected: Iterable[tuple[int, Any]]) -> None:
        other, decides = corporate(self.events["customers"].values()), self.terms.decides
        first = min(self.slow._given, default=0)
        wanted = [
            (day, r.customer_id, r.restated_day, half_even(r.previous), half_even(r.current), r.previous_tier, r.current_tier)
            for day, r in expected
            if r.customer_id not in other and decides(day + 1)
        ]  # fmt: skip
        names = (
            "business_day", "customer_id", "restated_day", "previous_minor", "current_minor", "previous_tier",
            "current_tier",
        )  # fmt: skip
        found = [
            tuple(r[name] for name in names)
            for r in self.published["restatements"]
            if r["kind"] == "late_posting" and r["restated_day"] >= first and r["customer_id"] not in other
            if decides(r["business_day"] + 1)
        ]
        self.same("restatements", sorted(found), sorted(wanted))


def missing(events: Iterable[Event]) -> int:
    """Numbers between the lowest and the highest of each account's journal that never came."""
    journals: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in events:
        if event["topic"] == "transactions":
            journals[event["source"], event["account_id"]].add(event["journal_seq"])
    return sum(max(seen) - min(seen) + 1 - len(seen) for seen in journals.values())
