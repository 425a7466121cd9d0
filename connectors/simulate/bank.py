"""A seeded bank that lives day by day: what its customers do, what its systems send, and what goes wrong with it."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from connectors.formats.events import DayEnd, Event, Record
from connectors.simulate.journal import DAY_OPENS_MS, DAY_SHUTS_MS, Journal, month_days
from connectors.simulate.market import Market, is_weekday
from connectors.simulate.people import BASE_CURRENCY, Account, Person, population
from connectors.simulate.stories import RIVAL_BANK, Plot, cast, plots

THOUSAND: Final = 1_000
OPENING_VALUE_DAYS: Final = 100  # opening balances are valued that long ago, so that quarter averages exist at once
# Chances in a thousand, per customer and day or per posting.
SPENDS, SPENDS_RICH = 550, 800
SPENT_MAX, SPENT_MAX_RICH = 12, 4  # of the balance, in thousandths
MOVES_OWN, BUYS, REDEEMS, SENDS_AWAY, EXCHANGES = 12, 10, 8, 2, 6
REVERSED, ARRIVES_LATE, BACK_VALUED, TWICE, FILE_CORRECTED = 6, 4, 2, 20, 4
REVERSAL_DAYS_MAX: Final = 3
LATE_DAYS_MAX: Final = 4
TWICE_DAYS_MAX: Final = 3
BACK_VALUE_DAYS_MAX: Final = 40
BANKS: Final = (RIVAL_BANK, "Delta Rural Bank", "First Province Bank")


class Bank:
    """The bank. `days` yields its events day by day, in the order in which they reach the topics."""

    def __init__(self, seed: int, customers: int, months: int, start: int, zone: str) -> None:
        self._rng = random.Random(seed)  # noqa: S311 (a bank, nothing secret)
        self._months = month_days(start, months)
        self._start = start
        self._journal = Journal(zone, self._months[-1][-1])
        self._market = Market(random.Random(f"market-{seed}"), start)  # noqa: S311
        self._people = population(self._rng, customers, start)
        self._plots: list[tuple[Plot, Person]] = [(plot, cast(plot, start)) for plot in plots(seed, start)]
        self._reversals: defaultdict[int, list[tuple[Account, Record]]] = defaultdict(list)
        self._surrender = next((person for person in self._people if "agency" in person.others), None)

    def days(self) -> Iterator[Event | DayEnd]:
        """Every event, and a DayEnd behind each calendar day."""
        everyone = [*self._people, *(person for _, person in self._plots)]
        for month, days in enumerate(self._months):
            for index, day in enumerate(days):
                self._journal.begin(day)
                if day == self._start:
                    self._open(everyone)
                for event in self._market.publish(day):
                    self._journal.arrive(day, event.topic, event.record)
                if month == 1 and index == 9:
                    self._correct_rate(day)
                self._live(day, index + 1)
                self._night(everyone, day)
                yield from self._arrivals()
                yield DayEnd(day)

    # -- opening the books

    def _open(self, everyone: list[Person]) -> None:
        for event in self._market.open():
            self._journal.arrive(event.day, event.topic, event.record)
        for person in everyone:
            self._profile(person)
            for account in person.accounts():
                if account.currency != BASE_CURRENCY:
                    account.balance_minor = self._market.bought(account.balance_minor, account.currency)
                account.opened_on = self._start - OPENING_VALUE_DAYS
                if account.opening_posted and account.balance_minor:
                    amount, account.balance_minor = account.balance_minor, 0
                    self._journal.post(account, amount, 0, "own_transfer", value_date=account.opened_on)

    def _profile(self, person: Person) -> None:
        profile: Record = {
            "event_id": f"cif-{person.customer_id}",
            "customer_id": person.customer_id,
            "customer_class": "personal",
            "branch": person.branch,
            "rm_id": person.rm_id,
            "relationship_since": person.since,
            "birth_date": person.born,
            "card_held": None,
        }
        self._journal.arrive(self._start, "customers", profile)

    # -- a day

    def _live(self, day: int, day_of_month: int) -> None:
        for account, original in self._reversals.pop(day, []):
            more = {"reverses": original["event_id"], "counterparty_bank": original["counterparty_bank"]}
            self._journal.post(
                account,
                -original["amount_minor"],
                self._when(),
                original["nature"],
                value_date=original["value_date"],
                **more,
            )
        for person in self._people:
            self._habits(person, day_of_month)
            if person.others:
                self._moves(person)
            if day_of_month == 1 and person.band >= 1:
                self._facts(person, day)
        for plot, person in self._plots:
            plot.acts(person, self._journal)

    def _habits(self, person: Person, day_of_month: int) -> None:
        rng, main = self._rng, person.main
        if day_of_month == person.payday:
            back = rng.randrange(1, BACK_VALUE_DAYS_MAX) if self._chance(BACK_VALUED * 10) else 0
            value_date = max(self._start, self._journal.day - back)
            self._journal.post(
                main, person.salary_minor, self._when(), "external", value_date=value_date, channel="transfer"
            )
        if self._chance(SPENDS_RICH if person.band else SPENDS) and main.balance_minor > THOUSAND:
            amount = -max(
                1, main.balance_minor * rng.randint(1, SPENT_MAX_RICH if person.band else SPENT_MAX) // THOUSAND
            )
            late = rng.randint(1, LATE_DAYS_MAX) if self._chance(ARRIVES_LATE) else 0
            spent = self._journal.post(
                main, amount, self._when(), "external", late_days=late, customer_initiated=True, channel="card"
            )
            if self._chance(REVERSED):
                self._reversals[self._journal.day + rng.randint(1, REVERSAL_DAYS_MAX)].append((main, spent))
        if person.band and self._chance(SENDS_AWAY):
            amount = -(main.balance_minor * rng.randint(100, 700) // THOUSAND)
            if amount:
                self._journal.post(
                    main, amount, self._when(), "external",
                    customer_initiated=True, channel="transfer", counterparty_bank=rng.choice(BANKS),
                )  # fmt: skip

    def _moves(self, person: Person) -> None:
        """Moves inside the bank: two legs, and no money leaves."""
        main, others = person.main, person.others
        if "savings" in others and self._chance(MOVES_OWN):
            self._legs(main, others["savings"], "own_transfer")
        if "savings" in others and self._chance(MOVES_OWN):
            self._legs(others["savings"], main, "own_transfer")
        if "wealth" in others and self._chance(BUYS):
            self._legs(main, others["wealth"], "product_purchase")
        if "wealth" in others and self._chance(REDEEMS):
            self._legs(others["wealth"], main, "product_redemption")
        if "currency" in others and self._chance(EXCHANGES):
            self._legs(main, others["currency"], "own_transfer")

    def _legs(self, giver: Account, taker: Account, nature: str) -> None:
        amount = giver.balance_minor * self._rng.randint(50, 500) // THOUSAND
        if amount <= 0:
            return
        taken = amount if taker.currency == giver.currency else self._market.bought(amount, taker.currency)
        when = self._when()
        self._journal.post(giver, -amount, when, nature, customer_initiated=True, channel="mobile")
        self._journal.post(taker, taken, when, nature, customer_initiated=True, channel="mobile")

    def _facts(self, person: Person, day: int) -> None:
        record: Record = {
            "event_id": f"card-{person.customer_id}-{day}",
            "customer_id": person.customer_id,
            "name": "card_spend_12m",
            "value": person.salary_minor * self._rng.randint(2, 9),
            "as_of": day,
            "source": "cards",
        }
        self._journal.arrive(day, "facts", record)

    def _correct_rate(self, day: int) -> None:
        wrong = max(earlier for earlier in range(day - 5, day - 1) if is_weekday(earlier))
        event = self._market.correct("USD", wrong, day)
        self._journal.arrive(day, event.topic, event.record)

    # -- the night

    def _night(self, everyone: list[Person], day: int) -> None:
        weekday = is_weekday(day)
        for person in everyone:
            for role, account in (("main", person.main), *person.others.items()):
                if role == "agency" and weekday:
                    self._agency(person, account, day)
                elif role != "agency" and account.nightly:
                    self._journal.snapshot(account)
                account.after_cutoff_minor = 0

    def _agency(self, person: Person, account: Account, day: int) -> None:
        """A source that sends balances only: they move with the market, and are corrected now and then."""
        if account.balance_minor == 0:
            return
        if person is self._surrender and day >= self._months[len(self._months) // 2][14]:
            account.balance_minor = 0  # gone from the full list: the connector's zero snapshot
            self._journal.snapshot(account)
            return
        account.balance_minor += account.balance_minor * self._rng.randint(-5, 6) // THOUSAND
        corrected = self._chance(FILE_CORRECTED)
        self._journal.snapshot(account, off_minor=-5_000 if corrected else 0)
        if corrected:
            self._journal.snapshot(account, version=2, late_days=1)

    def _arrivals(self) -> Iterator[Event]:
        """Today's events in the order of their instants; some arrive twice, now or within days."""
        for event in sorted(self._journal.arrivals(), key=_instant):
            yield event
            if event.topic in ("transactions", "balances") and self._chance(TWICE):
                self._twice(event)
        yield from self._journal.arrivals()

    def _twice(self, event: Event) -> None:
        self._journal.arrive(event.day + self._rng.randint(0, TWICE_DAYS_MAX), event.topic, event.record)

    def _chance(self, per_thousand: int) -> bool:
        return self._rng.randrange(THOUSAND) < per_thousand

    def _when(self) -> int:
        """Some instant of the day, in ms after midnight; a few behind the cut-off."""
        return self._rng.randrange(DAY_OPENS_MS, DAY_SHUTS_MS)


def _instant(event: Event) -> int:
    record = event.record
    return int(record.get("booked_at") or record.get("cutoff_at") or 0)
