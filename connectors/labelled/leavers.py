"""Ways to leave the bank, each a plan of one customer (connectors.labelled.life.Plan)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from connectors.labelled.life import HUNDRED, MINUTE_MS, LabelledLife, Plan
from connectors.simulate.journal import HOUR_MS

FEW_STEPS: Final = (2, 8)
FEW_GAP_DAYS: Final = (1, 6)
SLOW_STEPS: Final = (5, 9)
SLOW_GAP_DAYS: Final = (10, 16)
OTHER_BANKS: Final = ("Delta Rural Bank", "First Province Bank", "Harbour Commercial Bank")
AFTER_CUTOFF_MS: Final = 22 * HOUR_MS + 30 * MINUTE_MS


def in_parts(me: LabelledLife, whole: int, steps: int) -> list[int]:
    """An amount in so many parts, none more than four times another."""
    weights = [me.rng.randint(1, 4) for _ in range(steps)]
    return [whole * weight // sum(weights) for weight in weights]


def share(me: LabelledLife, low: int, high: int) -> int:
    """Of what is in the main account now, some per cent."""
    return me.main.balance_minor * me.rng.randint(low, high) // HUNDRED


def in_one_go(me: LabelledLife) -> Plan:
    """All at once, or nearly."""
    yield me.day()
    me.leaves(share(me, 85, 100))


def redeemed_then_gone(me: LabelledLife) -> Plan:
    """Products are redeemed, the legs say so, and the next day all of it goes."""
    wealth = me.split("wealth", "wealth", "wealth", me.rng.randint(30, 70))
    day = me.day()
    yield day
    me.moves(wealth, me.main, wealth.balance_minor, "product_redemption")
    yield me.weekday(day + me.rng.randint(1, 3))
    me.leaves(share(me, 90, 100))


def split_within_a_day(me: LabelledLife) -> Plan:
    """One day, several postings."""
    yield me.day()
    at = me.at(9, 12)
    for part in in_parts(me, share(me, 85, 100), me.rng.randint(3, 6)):
        me.leaves(part, at=at)
        at += me.rng.randint(5, 60) * MINUTE_MS


def steps_on(me: LabelledLife, days: Iterable[int], whole: int, **more: Any) -> Plan:
    """An amount that leaves in parts, one on each of the days."""
    found = [day for day in days if day < me.days[-1]]
    for day, part in zip(found, in_parts(me, whole, len(found)), strict=True):
        yield day
        me.leaves(part, **more)


def gaps(me: LabelledLife, first: int, steps: tuple[int, int], gap: tuple[int, int]) -> list[int]:
    """Days with gaps between them."""
    days = [first]
    for _ in range(me.rng.randint(*steps) - 1):
        days.append(me.weekday(days[-1] + me.rng.randint(*gap)))
    return days


def in_steps(me: LabelledLife) -> Plan:
    """Two to eight steps within some weeks."""
    first = me.day(last_before_end=55)
    yield first
    yield from steps_on(me, gaps(me, first, FEW_STEPS, FEW_GAP_DAYS), share(me, 80, 97))


def steps_from_all_accounts(me: LabelledLife) -> Plan:
    """In steps, out of a current and a savings account in turn."""
    savings = me.split("savings", "core", "savings", me.rng.randint(40, 60))
    first = me.day(last_before_end=55)
    yield first
    for turn, day in enumerate(gaps(me, first, (4, 8), FEW_GAP_DAYS)):
        yield day
        account = savings if turn % 2 else me.main
        me.leaves(account.balance_minor * me.rng.randint(35, 60) // HUNDRED, account)
    me.leaves(savings.balance_minor * 9 // 10, savings)


def slowly(me: LabelledLife) -> Plan:
    """A step every ten to sixteen days."""
    first = me.day(last_before_end=100)
    yield first
    yield from steps_on(me, gaps(me, first, SLOW_STEPS, SLOW_GAP_DAYS), share(me, 75, 95))


def slowly_with_salary(me: LabelledLife) -> Plan:
    """The same, while a good salary comes in and is spent."""
    me.salary = me.spends = me.wealth * me.rng.randint(25, 40) // 1000
    return slowly(me)


def until_lower_tiers(me: LabelledLife) -> Plan:
    """So slowly that the rolling average falls tier by tier on the way."""
    first = me.day(last_before_end=150)
    yield first
    yield from steps_on(me, gaps(me, first, (8, 11), (14, 19)), share(me, 85, 97))


def unstated_redemption(me: LabelledLife) -> Plan:
    """The product leg is a snapshot and the cash leg states no nature; then all goes in steps."""
    agency = me.split("agency", "agency", "fund", me.rng.randint(30, 60))
    agency.nightly, agency.opening_posted = True, False
    first = me.day(last_before_end=60)
    yield first
    amount, agency.balance_minor = agency.balance_minor, 0
    me.journal.post(me.main, amount, me.at(), "unknown")
    first = me.weekday(first + me.rng.randint(2, 5))
    yield first
    yield from steps_on(me, gaps(me, first, (2, 5), FEW_GAP_DAYS), share(me, 85, 97))


def natures_unstated(me: LabelledLife) -> Plan:
    """A source that states no nature; most of the debits name no bank either. In steps."""
    me.states_natures, me.spends = False, me.salary // 2
    named = me.rng.randrange(3) == 0
    more: dict[str, Any] = {} if named else {"counterparty_bank": None}
    first = me.day(last_before_end=55)
    yield first
    yield from steps_on(me, gaps(me, first, FEW_STEPS, FEW_GAP_DAYS), share(me, 85, 97), **more)


def unstated_in_one_go(me: LabelledLife) -> Plan:
    """A source that states no nature: the current account goes at once, to no bank by name; savings and products stay."""
    me.states_natures, me.spends = False, me.salary // 5
    me.split("savings", "core", "savings", me.rng.randint(10, 20))
    me.split("wealth", "wealth", "wealth", me.rng.randint(25, 40))
    yield me.day()
    me.leaves(share(me, 85, 100), counterparty_bank=None)


def in_foreign_currency(me: LabelledLife) -> Plan:
    """The money is in another currency, whose rate moves; in steps."""
    account = me.split(
        "currency", "core", "deposit_demand", me.rng.randint(75, 90), me.rng.choice(("USD", "EUR", "JPY"))
    )
    account.balance_minor = me.market.bought(account.balance_minor, account.currency)
    first = me.day(last_before_end=60)
    yield first
    days = gaps(me, first, (3, 6), (2, 7))
    for day, part in zip(days, in_parts(me, account.balance_minor, len(days)), strict=True):
        yield day
        me.leaves(part, account)


def drop_by_drop(me: LabelledLife) -> Plan:
    """Many small debits, none of them large in itself."""
    each = me.wealth * me.rng.randint(12, 30) // 1000
    day = me.day(last_before_end=110)
    yield day
    while me.main.balance_minor > 2 * each and day < me.days[-1] - 2:
        me.leaves(each * me.rng.randint(80, 100) // HUNDRED, channel="mobile")
        day += me.rng.randint(1, 4)
        yield day


def told_late(me: LabelledLife) -> Plan:
    """In steps, of which some reach the bank's topics a day or two after they were booked."""
    first = me.day(last_before_end=55)
    yield first
    days = gaps(me, first, (3, 6), (2, 6))
    for day, part in zip(days, in_parts(me, share(me, 80, 97), len(days)), strict=True):
        yield day
        me.leaves(part, late_days=me.rng.choice((0, 0, 1, 2)))


def to_many_banks(me: LabelledLife) -> Plan:
    """In steps, each to another bank, some at night behind the cut-off."""
    first = me.day(last_before_end=55)
    yield first
    days = gaps(me, first, (3, 8), FEW_GAP_DAYS)
    for day, part in zip(days, in_parts(me, share(me, 80, 97), len(days)), strict=True):
        yield day
        at = me.rng.choice((me.at(), AFTER_CUTOFF_MS))
        me.leaves(part, at=at, counterparty_bank=me.rng.choice(OTHER_BANKS))
