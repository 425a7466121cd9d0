"""Seven planted stories: customers whose accounts move only as the story says, so that its outcome is known beforehand.

The amounts are CNY and fit the pack rolling-quarter-aum: gold from 100,000, platinum from 500,000, diamond from
1,000,000 of quarter average.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.simulate.journal import HOUR_MS, Journal, month_days
from connectors.simulate.people import BASE_CURRENCY, Account, Person

YUAN: Final = 100
NOON_MS: Final = 12 * HOUR_MS
MORNING_MS: Final = 9 * HOUR_MS
RIVAL_BANK: Final = "Harbour Commercial Bank"
STORY_MONTHS: Final = 5
STORY_KINDS: Final = ("upgrade", "outflow", "drip", "purchase", "late_posting", "broken_balance", "taken_back")


@dataclass(frozen=True, slots=True)
class Story:
    """What is planted, and what has to come of it. Days are day numbers, amounts minor units."""

    kind: str
    customer_id: str
    account_id: str
    day: int  # when it begins
    amount_minor: int
    tells: str  # in words
    expects: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plot:
    """A story with its cast: `acts` is called on each day, `opening_minor` is the main account's balance before."""

    story: Story
    opening_minor: int
    acts: Callable[[Person, Journal], None]
    nightly: bool = False


def planted_stories(seed: int, start: int) -> dict[str, Story]:
    """The seven stories of a seed, by kind, in a bank that starts on day `start` (the first of a month)."""
    return {plot.story.kind: plot.story for plot in plots(seed, start)}


def plots(seed: int, start: int) -> Iterator[Plot]:
    """The stories with what happens in them."""
    rng = random.Random(f"stories-{seed}")  # noqa: S311 (a bank, nothing secret)
    months = month_days(start, STORY_MONTHS)
    for index, (kind, plot) in enumerate(zip(STORY_KINDS, _PLOTS, strict=True)):
        number = 900_000 + index * 1_000 + rng.randrange(1_000)
        yield plot(kind, f"C{number}", f"A{number}-1", months)


def cast(plot: Plot, start: int) -> Person:
    """The customer of a story: one account, no salary, no habits."""
    story = plot.story
    since = start - 800
    main = Account(
        story.account_id, story.customer_id, "B01", "core", "deposit_demand", BASE_CURRENCY, since, plot.opening_minor
    )
    main.nightly = plot.nightly
    return Person(story.customer_id, "B01", 2, main, start - 16_000, since, "RM-B01-0", 0, 0)


def _upgrade(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, amount = months[2][2], 700_000 * YUAN

    def acts(person: Person, journal: Journal) -> None:
        if journal.day == day:
            journal.post(person.main, amount, NOON_MS, "external", channel="transfer", counterparty_bank=RIVAL_BANK)

    tells = "holds 400,000, brings 700,000 in the third month: platinum from the day after that month's close"
    expects: dict[str, str | int] = {
        "topic": "tier-changes",
        "from_tier": "gold",
        "to_tier": "platinum",
        "effective_date": months[3][0],
    }
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 400_000 * YUAN, acts)


def _outflow(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, amount = months[1][17], -1_300_000 * YUAN

    def acts(person: Person, journal: Journal) -> None:
        if journal.day == day:
            journal.post(
                person.main, amount, NOON_MS, "external",
                customer_initiated=True, channel="transfer", counterparty_bank=RIVAL_BANK,
            )  # fmt: skip

    tells = "a diamond customer sends 1,300,000 of 2,400,000 to another bank: an alert at once"
    expects: dict[str, str | int] = {
        "topic": "rm-alerts", "rule": "outflow-single", "status": "raised", "raised_day": day,
    }  # fmt: skip
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 2_400_000 * YUAN, acts)


def _drip(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    days = [months[2][1 + 2 * step] for step in range(9)]
    amount = -28_000 * YUAN

    def acts(person: Person, journal: Journal) -> None:
        if journal.day in days:
            journal.post(
                person.main, amount, NOON_MS, "external",
                customer_initiated=True, channel="mobile", counterparty_bank=RIVAL_BANK,
            )  # fmt: skip

    tells = (
        "a platinum customer moves 28,000 away every second day: no posting is large, with the fifth a fifth is gone"
    )
    expects: dict[str, str | int] = {
        "topic": "rm-alerts", "rule": "outflow-90d", "status": "raised", "raised_day": days[4],
    }  # fmt: skip
    return Plot(Story(kind, customer, account, days[0], amount, tells, expects), 700_000 * YUAN, acts)


def _purchase(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, amount = months[2][10], 2_000_000 * YUAN

    def acts(person: Person, journal: Journal) -> None:
        if journal.day != day:
            return
        main = person.main
        wealth = person.others.setdefault(
            "wealth",
            Account(
                f"{main.account_id[:-1]}3",
                main.customer_id,
                main.branch,
                "wealth",
                "wealth",
                main.currency,
                day,
                0,
            ),
        )
        journal.post(main, -amount, NOON_MS, "product_purchase", customer_initiated=True, channel="mobile")
        journal.post(wealth, amount, NOON_MS, "product_purchase", customer_initiated=True, channel="mobile")

    tells = "a diamond customer puts 2,000,000 of 3,000,000 into a wealth product of the bank: rightly no alert"
    expects: dict[str, str | int] = {"topic": "rm-alerts", "count": 0}
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 3_000_000 * YUAN, acts)


def _late_posting(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, valued, amount = months[3][14], months[1][0], 500_000 * YUAN

    def acts(person: Person, journal: Journal) -> None:
        if journal.day == day:
            journal.post(person.main, amount, NOON_MS, "external", value_date=valued, counterparty_bank=RIVAL_BANK)

    tells = "500,000 are booked in the fourth month with value in the second: the closed months are restated"
    expects: dict[str, str | int] = {
        "topic": "restatements",
        "kind": "late_posting",
        "restated_day": months[1][-1],
        "current_tier": "platinum",
    }
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 380_000 * YUAN, acts)


def _broken_balance(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, amount, late_days = months[4][5], 1_234_567, 6

    def acts(person: Person, journal: Journal) -> None:
        if journal.day == day:
            journal.post(person.main, amount, NOON_MS, "external", late_days=late_days, counterparty_bank=RIVAL_BANK)

    tells = (
        "the nightly balance holds 12,345.67 that no posting explains: a break, until the posting comes six days later"
    )
    expects: dict[str, str | int] = {
        "topic": "restatements",
        "kind": "break_opened",
        "amount_minor": amount,
        "resolved_day": day + late_days,
    }
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 60_000 * YUAN, acts, nightly=True)


def _taken_back(kind: str, customer: str, account: str, months: list[list[int]]) -> Plot:
    day, amount = months[3][7], -450_000 * YUAN
    more = {"channel": "transfer", "counterparty_bank": RIVAL_BANK}
    sent: list[str] = []

    def acts(person: Person, journal: Journal) -> None:
        if journal.day == day:
            posting = journal.post(person.main, amount, NOON_MS, "external", customer_initiated=True, **more)
            sent.append(posting["event_id"])
        elif journal.day == day + 1:
            journal.post(person.main, -amount, MORNING_MS, "external", value_date=day, reverses=sent[-1], **more)

    tells = "450,000 of 900,000 go to another bank and are reversed the next morning: the alert is taken back"
    expects: dict[str, str | int] = {
        "topic": "rm-alerts", "rule": "outflow-single", "status": "retracted", "raised_day": day,
    }  # fmt: skip
    return Plot(Story(kind, customer, account, day, amount, tells, expects), 900_000 * YUAN, acts)


_PLOTS: Final = (_upgrade, _outflow, _drip, _purchase, _late_posting, _broken_balance, _taken_back)
