"""The labelled bank: customers whose way to behave is known, day by day as its systems would send them, from a seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice
from typing import Final, NamedTuple

from connectors.formats.events import DayEnd, Event
from connectors.labelled import leavers, occasions, quiet
from connectors.labelled.labels import COUNTS_QUIET, EITHER, LEAVER, Label
from connectors.labelled.life import LabelledLife, Plan
from connectors.simulate.journal import Journal, month_days
from connectors.simulate.market import Market

MONTHS_LEAST: Final = 6  # the first gives tiers, the slowest take five
CUSTOMERS_MAX: Final = 100_000
TWICE_IN: Final = 100  # one posting of so many arrives twice
BALANCED_IN: Final = 5  # one current account of so many has its balance in the nightly file


class Way(NamedTuple):
    """A way to behave: its name, what an outflow case about it counts as, its weight among all, and the plan."""

    kind: str
    counts_as: str
    weight: int
    plan: Callable[[LabelledLife], Plan]


WAYS: Final = (
    Way("in_one_go", LEAVER, 8, leavers.in_one_go),
    Way("redeemed_then_gone", LEAVER, 6, leavers.redeemed_then_gone),
    Way("split_within_a_day", LEAVER, 5, leavers.split_within_a_day),
    Way("in_steps", LEAVER, 14, leavers.in_steps),
    Way("steps_from_all_accounts", LEAVER, 6, leavers.steps_from_all_accounts),
    Way("to_many_banks", LEAVER, 6, leavers.to_many_banks),
    Way("told_late", LEAVER, 5, leavers.told_late),
    Way("slowly", LEAVER, 12, leavers.slowly),
    Way("slowly_with_salary", LEAVER, 8, leavers.slowly_with_salary),
    Way("until_lower_tiers", LEAVER, 6, leavers.until_lower_tiers),
    Way("drop_by_drop", LEAVER, 6, leavers.drop_by_drop),
    Way("unstated_redemption", LEAVER, 6, leavers.unstated_redemption),
    Way("natures_unstated", LEAVER, 6, leavers.natures_unstated),
    Way("unstated_in_one_go", LEAVER, 6, leavers.unstated_in_one_go),
    Way("in_foreign_currency", LEAVER, 6, leavers.in_foreign_currency),
    Way("plain", COUNTS_QUIET, 240, quiet.plain_life),
    Way("holds_much", COUNTS_QUIET, 80, quiet.holds_much),
    Way("passes_through", COUNTS_QUIET, 40, quiet.passes_through),
    Way("over_the_weekend", COUNTS_QUIET, 40, quiet.over_the_weekend),
    Way("wages_the_same_day", COUNTS_QUIET, 30, quiet.wages_the_same_day),
    Way("wages_the_next_day", COUNTS_QUIET, 30, quiet.wages_the_next_day),
    Way("reversed_within_the_hour", COUNTS_QUIET, 25, quiet.reversed_within_the_hour),
    Way("own_transfers", COUNTS_QUIET, 40, quiet.own_transfers),
    Way("unstated_own_transfers", COUNTS_QUIET, 40, quiet.unstated_own_transfers),
    Way("turns_over_products", COUNTS_QUIET, 40, quiet.turns_over_products),
    Way("products_by_snapshot", COUNTS_QUIET, 30, quiet.products_by_snapshot),
    Way("market_falls", COUNTS_QUIET, 30, quiet.market_falls),
    Way("exchanges_currency", COUNTS_QUIET, 30, quiet.exchanges_currency),
    Way("bonus_spent", COUNTS_QUIET, 40, quiet.bonus_spent),
    Way("large_bills", COUNTS_QUIET, 40, quiet.large_bills),
    Way("natures_unstated_quiet", COUNTS_QUIET, 40, quiet.natures_unstated_quiet),
    Way("brings_more", COUNTS_QUIET, 20, quiet.brings_more),
    Way("upgrade_near", COUNTS_QUIET, 6, occasions.upgrade_near),
    Way("downgrade_risk", COUNTS_QUIET, 6, occasions.downgrade_risk),
    Way("card_expiry", COUNTS_QUIET, 6, occasions.card_expiry),
    Way("review_due", COUNTS_QUIET, 6, occasions.reviewed_in_time),
    Way("break", COUNTS_QUIET, 6, occasions.balance_break),
    Way("large_inflow", COUNTS_QUIET, 6, occasions.large_inflow),
    Way("product_maturing", COUNTS_QUIET, 6, occasions.product_maturing),
    Way("wages_a_week_later", EITHER, 8, quiet.wages_a_week_later),
    Way("reversed_days_later", EITHER, 10, quiet.reversed_days_later),
    Way("second_leg_late", EITHER, 8, quiet.second_leg_late),
    Way("comes_back", EITHER, 10, quiet.comes_back),
    Way("buys_a_house", EITHER, 10, quiet.buys_a_house),
)


class LabelledBank:
    """The bank. `days` yields its events in the order of arrival; `labels` are known when all of them are out.

    `start` is the day number of the first of a month. ValueError for arguments that make no bank.
    """

    def __init__(
        self, seed: int, customers: int, months: int, start: int, zone: str, ways: tuple[Way, ...] = WAYS
    ) -> None:
        if not 1 <= customers <= CUSTOMERS_MAX or months < MONTHS_LEAST:
            reason = f"1 to {CUSTOMERS_MAX:,} customers and at least {MONTHS_LEAST} months"
            raise ValueError(f"a labelled bank takes {reason}, not {customers:,} and {months}")
        self._rng = random.Random(f"labelled-{seed}")  # noqa: S311 (a bank, nothing secret)
        last = month_days(start, months)[-1][-1]
        self._days = range(start, last + 1)
        self._journal = Journal(zone, last)
        self._market = Market(random.Random(f"labelled-market-{seed}"), start)  # noqa: S311
        self._people = [LabelledLife(n, seed, self._journal, self._market, self._days) for n in range(1, customers + 1)]
        # One of each way, then by weight: a small bank has as many ways as it can.
        deck = [way for way in ways for _ in range(way.weight)]
        self._rng.shuffle(deck)
        self._ways = list(islice(chain(ways, cycle(deck)), customers))
        self._rng.shuffle(self._ways)

    def days(self) -> Iterator[Event | DayEnd]:
        """Every event, and a DayEnd behind each calendar day."""
        awaited: defaultdict[int, list[Plan]] = defaultdict(list)
        for day in self._days:
            self._journal.begin(day)
            if day == self._days[0]:
                self._rates(self._market.open())
            self._rates(self._market.publish(day))
            if day == self._days[0]:
                for plan in self._open():
                    self._go_on(plan, awaited)
            for plan in awaited.pop(day, ()):
                self._go_on(plan, awaited)
            for life in self._people:
                life.snapshots()
            yield from self._arrivals(day)
            yield DayEnd(day)

    def labels(self) -> list[Label]:
        """What each customer has done."""
        return [life.label(way.kind, way.counts_as) for life, way in zip(self._people, self._ways, strict=True)]

    def _open(self) -> Iterator[Plan]:
        """Profiles, opening balances, and each customer's plans; a plan opens accounts before it first waits."""
        for life, way in zip(self._people, self._ways, strict=True):
            plan = _begun(way.plan(life))
            life.main.nightly = life.rng.randrange(BALANCED_IN) == 0
            self._journal.arrive(self._days[0], "customers", _profile(life))
            for account in life.accounts.values():
                if account.opening_posted and account.balance_minor:
                    amount, account.balance_minor = account.balance_minor, 0
                    self._journal.post(account, amount, 0, "own_transfer", value_date=account.opened_on)
            yield plan
            yield life.habits()

    def _go_on(self, plan: Plan, awaited: defaultdict[int, list[Plan]]) -> None:
        for day in plan:
            if day > self._journal.day:
                if day <= self._days[-1]:
                    awaited[day].append(plan)
                return

    def _rates(self, events: Iterator[Event]) -> None:
        for event in events:
            self._journal.arrive(event.day, event.topic, event.record)

    def _arrivals(self, day: int) -> Iterator[Event]:
        for event in sorted(self._journal.arrivals(), key=_instant):
            yield event
            if event.topic == "transactions" and self._rng.randrange(TWICE_IN) == 0:
                yield event


def _begun(plan: Plan) -> Plan:
    """A plan that has done all that it does before it first waits: what it sets counts from the opening on."""
    first = next(plan, None)
    return iter(()) if first is None else chain((first,), plan)


def _profile(life: LabelledLife) -> dict[str, object]:
    return {
        "event_id": f"cif-{life.customer_id}", "customer_id": life.customer_id, "customer_class": "personal",
        "branch": life.branch, "rm_id": life.rm_id, "relationship_since": life.main.opened_on, "birth_date": None,
        "card_held": None,
    }  # fmt: skip


def _instant(event: Event) -> int:
    record = event.record
    return int(record.get("booked_at") or record.get("cutoff_at") or record.get("at") or 0)
