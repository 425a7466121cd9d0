"""A customer of the labelled bank: his accounts, his income and spending, and what a way to behave does with them."""

import random
from collections.abc import Iterator
from typing import Any, Final

from connectors.formats.events import Record
from connectors.labelled.labels import LEAVER, Label
from connectors.simulate.journal import HOUR_MS, Journal
from connectors.simulate.market import WEEK, Market, is_weekday
from connectors.simulate.people import BASE_CURRENCY, CENTS, Account
from connectors.simulate.stories import RIVAL_BANK

MINUTE_MS: Final = 60_000
OPENED_DAYS: Final = 800  # accounts are as old as that, so that every window has its money from the start
HUNDRED: Final = 100
# Per cent of customers, wealth from and below, in whole units: gold, platinum, diamond, private by the rolling quarter.
WEALTH: Final = ((35, 130_000, 480_000), (35, 540_000, 960_000), (22, 1_080_000, 5_600_000), (8, 6_400_000, 20_000_000))
SALARY_LEAST: Final = 6_000
SPENDINGS: Final = (6, 12)  # a month
CUSTOMERS_AN_RM: Final = 400
RMS_A_BRANCH: Final = 4

Plan = Iterator[int]
"""A way to behave: it yields the next day on which it wants to act; the journal stands on that day when it goes on."""


class LabelledLife:
    """One customer. Amounts in minor units of the account's currency; instants in ms after midnight."""

    def __init__(self, number: int, seed: int, journal: Journal, market: Market, days: range) -> None:
        self.rng = random.Random(f"labelled-{seed}-{number}")  # noqa: S311 (a bank, nothing secret)
        self.journal, self.market, self.days = journal, market, days
        self.customer_id = f"C{number:06}"
        self._number, manager = number, (number - 1) // CUSTOMERS_AN_RM
        self.rm_id, self.branch = f"RM-{manager + 1:03}", f"B{manager // RMS_A_BRANCH + 1:02}"
        low, high = self.rng.choices([row[1:] for row in WEALTH], [row[0] for row in WEALTH])[0]
        self.wealth = self.rng.randrange(low * CENTS, high * CENTS)
        self.accounts: dict[str, Account] = {}
        self.main = self.new_account("main", "core", "deposit_demand", self.wealth)
        self.salary = max(SALARY_LEAST * CENTS, self.wealth * self.rng.randint(8, 25) // 1000)
        self.spends, self.states_natures = self.salary, True
        self.sent: list[tuple[int, int]] = []  # (day, minor units of the base currency) of what leaves for good
        self.occasion: tuple[int | None, int | None] = (
            None,
            None,
        )  # the days on which an alert about him may come first

    def new_account(
        self, role: str, source: str, asset_class: str, amount: int, currency: str = BASE_CURRENCY
    ) -> Account:
        """An account that has been there with an amount, in base minor units, before the first day."""
        account = Account(
            f"A{self._number:06}-{len(self.accounts) + 1}", self.customer_id, self.branch, source, asset_class, currency,
            self.days[0] - OPENED_DAYS, amount,
        )  # fmt: skip
        self.accounts[role] = account
        return account

    def split(self, role: str, source: str, asset_class: str, per_cent: int, currency: str = BASE_CURRENCY) -> Account:
        """Puts a part of the wealth into another account, before the first day."""
        amount = self.wealth * per_cent // HUNDRED
        self.main.balance_minor -= amount
        return self.new_account(role, source, asset_class, amount, currency)

    # -- time

    def day(self, first: int = 35, last_before_end: int = 40) -> int:
        """Some weekday, at least so many days from either end: a month's close has given him a tier by then."""
        return self.weekday(self.days[0] + self.rng.randrange(first, max(first + 1, len(self.days) - last_before_end)))

    def weekday(self, day: int) -> int:
        """The day, or the Monday behind it."""
        while not is_weekday(day):
            day += 1
        return day

    def at(self, first_hour: int = 9, last_hour: int = 17) -> int:
        """Some instant of a day."""
        return self.rng.randrange(first_hour * HOUR_MS, last_hour * HOUR_MS)

    # -- money

    def post(self, account: Account, amount: int, at: int, nature: str = "external", **more: Any) -> Record:
        """A posting today; of a source that states no natures it is unknown."""
        stated = nature if self.states_natures else "unknown"
        return self.journal.post(account, amount, at, stated, **more)

    def leaves(self, amount: int, account: Account | None = None, at: int | None = None, **more: Any) -> None:
        """Money that goes to another bank for good."""
        account = account or self.main
        amount = min(amount, account.balance_minor)
        if amount <= 0:
            return
        given: dict[str, Any] = {"customer_initiated": True, "channel": "transfer", "counterparty_bank": RIVAL_BANK}
        self.post(account, -amount, self.at() if at is None else at, **(given | more))
        self.sent.append((self.journal.day, self.market.worth(amount, account.currency)))

    def moves(self, giver: Account, taker: Account, amount: int, nature: str, at: int | None = None) -> None:
        """Two legs inside the bank, a few seconds apart."""
        amount, at = min(amount, giver.balance_minor), self.at() if at is None else at
        if amount > 0:
            self.post(giver, -amount, at, nature, channel="mobile", customer_initiated=True)
            self.post(taker, amount, at + self.rng.randrange(30) * 1000, nature, channel="mobile")

    # -- what others say of him

    def acts(self, action: str, details: dict[str, str]) -> None:
        """Something that the staff did today."""
        day = self.journal.day
        self.journal.arrive(day, "crm-actions", {
            "event_id": f"act-{self.customer_id}-{day}-{action}", "customer_id": self.customer_id, "action": action,
            "requested_by": self.rm_id, "approved_by": None, "at": self.journal.instant(self.at()), "expires_on": None,
            "details": details,
        })  # fmt: skip

    def tells(self, name: str, value: int) -> None:
        """A fact as of today."""
        day = self.journal.day
        self.journal.arrive(day, "facts", {
            "event_id": f"fact-{self.customer_id}-{name}-{day}", "customer_id": self.customer_id, "name": name,
            "value": value, "as_of": day, "source": "products",
        })  # fmt: skip

    def snapshots(self) -> None:
        """The accounts whose balance the nightly file has; all of them start the next day."""
        for account in self.accounts.values():
            if account.nightly and (not account.opening_posted or self.journal.day % WEEK == 0):
                self.journal.snapshot(account)
            account.after_cutoff_minor = 0

    # -- what everybody does

    def habits(self) -> Plan:
        """A salary a month, and spending that uses it up in some postings; both differ from month to month."""
        rng, first, payday = self.rng, self.days[0], self.rng.randrange(30)
        for month in range(first, self.days[-1] + 1, 30):
            acts = [(month + payday, 0)] if self.salary else []
            count = rng.randint(*SPENDINGS)
            weights = [rng.randint(1, 5) for _ in range(count)]
            spent = self.spends * rng.randint(80, 110) // HUNDRED
            acts += [(month + rng.randrange(30), spent * weight // sum(weights)) for weight in weights]
            for day, amount in sorted(acts):
                yield day
                if amount == 0:
                    self.post(self.main, self.salary * rng.randint(95, 105) // HUNDRED, self.at(), channel="transfer")
                elif self.main.balance_minor > amount:
                    late = rng.randint(1, 2) if rng.randrange(200) == 0 else 0
                    self.post(
                        self.main, -amount, self.at(8, 22), late_days=late, customer_initiated=True, channel="card"
                    )

    def label(self, kind: str, counts_as: str) -> Label:
        """What has been done, once the last day is over."""
        if counts_as != LEAVER:
            return Label(self.customer_id, kind, *self.occasion, None, None, counts_as)
        whole, so_far = sum(amount for _, amount in self.sent), 0
        for day, amount in self.sent:
            so_far += amount
            if so_far * 10 >= whole * 8:
                return Label(self.customer_id, kind, self.sent[0][0], self.sent[-1][0], whole, day, counts_as)
        raise AssertionError(f"{kind}: a leaver who sent nothing")
