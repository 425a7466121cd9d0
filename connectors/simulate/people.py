"""The simulated bank's customers and accounts: wealth in the shape of a real savings book, scaled so that tiers occur.

The shape is the five bands of one city's savings balances (rules 1.3.19, abc-bands): shares of customers, and mean
balances within a band. Whole yuan in, minor units out; only integers, so a seed gives the same bank everywhere.
"""

import random
from dataclasses import dataclass, field
from typing import Final

BASE_CURRENCY: Final = "CNY"
SCALE: Final = 20  # times the bands' balances: some 12 % of the customers then reach a tier above ordinary
BRANCHES: Final = ("B01", "B02", "B03", "B04", "B05")
CENTS: Final = 100

# customers per 100,000; steps of (weight, from yuan, below yuan) whose mean is the band's
BANDS: Final = (
    (87_639, ((560, 0, 100), (260, 100, 500), (145, 500, 2_000), (35, 2_000, 10_000))),
    (10_408, ((48, 10_000, 15_000), (36, 15_000, 25_000), (16, 25_000, 50_000))),
    (1_838, ((65, 50_000, 70_000), (28, 70_000, 110_000), (7, 110_000, 200_000))),
    (111, ((70, 200_000, 280_000), (25, 280_000, 450_000), (5, 450_000, 1_000_000))),
    (4, ((60, 1_000_000, 2_000_000), (35, 2_000_000, 4_000_000), (5, 4_000_000, 6_000_000))),
)
PER: Final = 100_000
RM_FROM_BAND: Final = 2
FX_FROM_BAND: Final = 1
_CURRENCIES: Final = ("USD", "JPY", "EUR")


@dataclass(slots=True)
class Account:
    """An account as the bank's own books have it."""

    account_id: str
    customer_id: str
    branch: str
    source: str
    asset_class: str
    currency: str
    opened_on: int
    balance_minor: int
    nightly: bool = False  # the nightly file has its balance
    opening_posted: bool = True  # the opening balance came as a posting; else the first snapshot brings it
    journal_seq: int = 0
    after_cutoff_minor: int = 0  # booked today behind the nightly cut-off


@dataclass(slots=True)
class Person:
    """A customer with his accounts; `main` is the demand deposit in the base currency."""

    customer_id: str
    branch: str
    band: int
    main: Account
    born: int
    since: int
    rm_id: str | None
    salary_minor: int
    payday: int
    others: dict[str, Account] = field(default_factory=dict)  # by role: savings, wealth, currency, agency

    def accounts(self) -> list[Account]:
        """All of them, the main one first."""
        return [self.main, *self.others.values()]


def band_sizes(customers: int) -> list[int]:
    """How many customers of each band; every band has one at least if there are 50 customers or more."""
    least = 1 if customers >= 50 else 0
    sizes = [max(least, (customers * share + PER // 2) // PER) for share, _ in BANDS[1:]]
    return [customers - sum(sizes), *sizes]


def wealth_minor(rng: random.Random, band: int) -> int:
    """A customer's wealth in minor units of the base currency, at the bands' own scale."""
    steps = BANDS[band][1]
    at = rng.randrange(sum(step[0] for step in steps))
    for weight, low, high in steps:
        if at < weight:
            return rng.randrange(low * CENTS, high * CENTS)
        at -= weight
    raise AssertionError("weights add up")


def population(rng: random.Random, customers: int, start: int) -> list[Person]:
    """The customers of a bank that opens its books on day `start`, richest band last."""
    people: list[Person] = []
    for band, size in enumerate(band_sizes(customers)):
        for _ in range(size):
            people.append(_person(rng, len(people) + 1, band, start))
    return people


def _person(rng: random.Random, number: int, band: int, start: int) -> Person:
    customer = f"C{number:06}"
    branch = rng.choice(BRANCHES)
    wealth = wealth_minor(rng, band) * SCALE
    since = start - rng.randrange(120, 6000)
    main = Account(f"A{number:06}-1", customer, branch, "core", "deposit_demand", BASE_CURRENCY, since, wealth)
    main.nightly = rng.randrange(100) < 30
    main.opening_posted = not main.nightly or rng.randrange(2) == 0
    rm_id = f"RM-{branch}-{rng.randrange(4)}" if band >= RM_FROM_BAND else None
    salary = (3_000 + rng.randrange(9_000) * (band + 1)) * CENTS
    person = Person(
        customer, branch, band, main, start - rng.randrange(7_500, 29_000), since, rm_id, salary, rng.randrange(5, 26)
    )
    _split(rng, person, number, since)
    return person


def _split(rng: random.Random, person: Person, number: int, since: int) -> None:
    """Move parts of the wealth from the main account to others. Parts are per cent of what there was."""
    main, whole = person.main, person.main.balance_minor

    def open_account(role: str, suffix: int, source: str, asset_class: str, percent: int) -> Account:
        amount = whole * percent // 100
        account = Account(
            f"A{number:06}-{suffix}", main.customer_id, main.branch, source, asset_class, main.currency, since, amount
        )
        main.balance_minor -= amount
        person.others[role] = account
        return account

    if rng.randrange(100) < 35:
        open_account("savings", 2, "core", "savings", rng.randrange(10, 40))
    if person.band >= 1 and rng.randrange(100) < 60:
        open_account("wealth", 3, "wealth", "wealth", rng.randrange(5, 25))
    if rng.randrange(100) < 10:
        agency = open_account("agency", 4, "agency", rng.choice(("insurance", "fund")), rng.randrange(5, 20))
        agency.nightly, agency.opening_posted = True, False
    if person.band >= FX_FROM_BAND and number % 5 < 2:  # by number, so that a small bank has every currency too
        account = open_account("currency", 5, "core", "deposit_demand", rng.randrange(2, 10))
        account.currency = _CURRENCIES[number // 5 % len(_CURRENCIES)]
