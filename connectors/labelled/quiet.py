"""Ways to stay, whatever it looks like; and some of which nobody can say in time (`either`). Each is a plan of one customer."""

from __future__ import annotations

from typing import Final

from connectors.formats.events import Record
from connectors.labelled.leavers import share
from connectors.labelled.life import HUNDRED, MINUTE_MS, LabelledLife, Plan
from connectors.simulate.market import MONDAY_SHIFT, WEEK
from connectors.simulate.stories import RIVAL_BANK

FRIDAY: Final = 4  # counted from Monday
REST_DAYS: Final = 25  # from one time to the next, at least
SETTLE_MINUTES_MAX: Final = 25


def times(me: LabelledLife, rest: int = REST_DAYS, first: int = 33, before_end: int = 12) -> Plan:
    """Weekdays with some weeks between them, as long as the world lasts."""
    day = me.days[0] + first + me.rng.randrange(rest)
    while day <= me.days[-1] - before_end:
        day = me.weekday(day)
        yield day
        day += rest + me.rng.randrange(rest)


def plain_life(_me: LabelledLife) -> Plan:
    """Salary and spending."""
    return iter(())


def holds_much(me: LabelledLife) -> Plan:
    """A saver who spends a third of what he earns."""
    me.spends = me.salary // 3
    return iter(())


def passes_through(me: LabelledLife) -> Plan:
    """Money comes in and goes out the same day, again and again."""
    for day in times(me, rest=6):
        yield day
        at, amount = me.at(9, 12), me.wealth * me.rng.randint(20, 120) // HUNDRED
        me.post(me.main, amount, at, channel="transfer", counterparty_bank=RIVAL_BANK)
        out = at + me.rng.randint(10, 240) * MINUTE_MS
        me.post(me.main, -amount * 99 // HUNDRED, out, channel="transfer", customer_initiated=True)


def over_the_weekend(me: LabelledLife) -> Plan:
    """In on Friday, out on Monday or Tuesday."""
    for day in times(me, rest=12):
        friday = me.weekday(day)
        friday += (FRIDAY - (friday + MONDAY_SHIFT) % WEEK) % WEEK
        yield friday
        amount = me.wealth * me.rng.randint(30, 110) // HUNDRED
        me.post(me.main, amount, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)
        yield friday + me.rng.randint(3, 4)
        me.post(me.main, -amount * 98 // HUNDRED, me.at(), channel="transfer", customer_initiated=True)


def pays_wages(me: LabelledLife, days_after: int) -> Plan:
    """A payment comes in, and wages are paid out of it in some postings."""
    for day in times(me):
        yield day
        at, amount = me.at(9, 11), me.wealth * me.rng.randint(30, 90) // HUNDRED
        me.post(me.main, amount, at, channel="transfer", counterparty_bank=RIVAL_BANK)
        if days_after:
            yield day + days_after
        people = me.rng.randint(6, 15)
        for person in range(people):
            me.post(
                me.main, -amount * 97 // HUNDRED // people, at + (120 + person) * MINUTE_MS, customer_initiated=True
            )


def wages_the_same_day(me: LabelledLife) -> Plan:
    """Wages two hours after the money for them."""
    return pays_wages(me, 0)


def wages_the_next_day(me: LabelledLife) -> Plan:
    """Wages on the day after, a Saturday among them."""
    return pays_wages(me, 1)


def wages_a_week_later(me: LabelledLife) -> Plan:
    """Between the two the money was held: nobody can know."""
    return pays_wages(me, 8)


def reversed_within_the_hour(me: LabelledLife) -> Plan:
    """A large posting to a wrong account, taken back; once or twice in the world."""
    for day in times(me, rest=120):
        yield day
        at = me.at(9, 20)
        wrong = me.post(me.main, -share(me, 30, 90), at, customer_initiated=True, channel="transfer")
        _reverses(me, wrong, at + me.rng.randint(2, SETTLE_MINUTES_MAX) * MINUTE_MS)


def reversed_days_later(me: LabelledLife) -> Plan:
    """The same, but told before it is taken back."""
    for day in times(me, rest=50):
        yield day
        wrong = me.post(me.main, -share(me, 30, 90), me.at(), customer_initiated=True, channel="transfer")
        yield me.weekday(day + me.rng.randint(2, 4))
        _reverses(me, wrong, me.at())


def _reverses(me: LabelledLife, wrong: Record, at: int) -> None:
    me.post(me.main, -wrong["amount_minor"], at, value_date=wrong["value_date"], reverses=wrong["event_id"])


def comes_back(me: LabelledLife) -> Plan:
    """Half of it goes, and is back within the week."""
    for day in times(me, rest=60, before_end=20):
        yield day
        amount = share(me, 35, 60)
        me.post(me.main, -amount, me.at(), customer_initiated=True, channel="transfer", counterparty_bank=RIVAL_BANK)
        yield day + me.rng.randint(4, 7)
        me.post(me.main, amount, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)


def own_transfers(me: LabelledLife) -> Plan:
    """Between own accounts, stated as such."""
    savings = me.split("savings", "core", "savings", me.rng.randint(30, 60))
    for turn, day in enumerate(times(me, rest=8)):
        yield day
        giver, taker = (savings, me.main) if turn % 2 else (me.main, savings)
        me.moves(giver, taker, giver.balance_minor * me.rng.randint(30, 90) // HUNDRED, "own_transfer")


def unstated_own_transfers(me: LabelledLife) -> Plan:
    """Between own accounts, of unknown nature; the legs come in either order, minutes apart."""
    savings = me.split("savings", "core", "savings", me.rng.randint(30, 60))
    for turn, day in enumerate(times(me, rest=12)):
        yield day
        giver, taker = (savings, me.main) if turn % 2 else (me.main, savings)
        amount, at = giver.balance_minor * me.rng.randint(30, 80) // HUNDRED, me.at(9, 20)
        apart = me.rng.randint(-SETTLE_MINUTES_MAX, SETTLE_MINUTES_MAX) * MINUTE_MS
        me.journal.post(giver, -amount, at, "unknown")
        me.journal.post(taker, amount, at + apart, "unknown")


def second_leg_late(me: LabelledLife) -> Plan:
    """Between own accounts, of unknown nature; the second leg reaches the topics the next day."""
    savings = me.split("savings", "core", "savings", me.rng.randint(30, 60))
    for turn, day in enumerate(times(me, rest=40)):
        yield day
        giver, taker = (savings, me.main) if turn % 2 else (me.main, savings)
        amount, at = giver.balance_minor * me.rng.randint(30, 80) // HUNDRED, me.at()
        me.journal.post(giver, -amount, at, "unknown")
        me.journal.post(taker, amount, at + MINUTE_MS, "unknown", late_days=1)


def turns_over_products(me: LabelledLife) -> Plan:
    """Buys and redeems products; the legs say so."""
    wealth = me.split("wealth", "wealth", "wealth", me.rng.randint(30, 60))
    for turn, day in enumerate(times(me, rest=10)):
        yield day
        if turn % 2:
            me.moves(wealth, me.main, wealth.balance_minor, "product_redemption")
        else:
            me.moves(me.main, wealth, share(me, 40, 90), "product_purchase")


def products_by_snapshot(me: LabelledLife) -> Plan:
    """Buys and redeems products that come by snapshots alone; the cash leg says what it is."""
    agency = me.split("agency", "agency", "fund", me.rng.randint(30, 60))
    agency.nightly, agency.opening_posted = True, False
    for turn, day in enumerate(times(me, rest=15)):
        yield day
        giver = agency if turn % 2 else me.main
        amount = giver.balance_minor * me.rng.randint(30, 70) // HUNDRED
        change, nature = (-amount, "product_purchase") if giver is me.main else (amount, "product_redemption")
        me.post(me.main, change, me.at(), nature, channel="mobile")
        agency.balance_minor -= change


def market_falls(me: LabelledLife) -> Plan:
    """Most of the wealth is in a fund whose value moves by snapshots; a fall is no flow."""
    agency = me.split("agency", "agency", "fund", me.rng.randint(50, 70))
    agency.nightly, agency.opening_posted = True, False
    for day in times(me, rest=4):
        yield day
        agency.balance_minor = agency.balance_minor * me.rng.randint(88, 111) // HUNDRED


def exchanges_currency(me: LabelledLife) -> Plan:
    """Buys another currency and sells it again; the legs are of different amounts."""
    account = me.split("currency", "core", "deposit_demand", 20, "USD")
    account.balance_minor = me.market.bought(account.balance_minor, account.currency)
    for turn, day in enumerate(times(me, rest=15)):
        yield day
        at = me.at()
        if turn % 2:
            sold = account.balance_minor // 2
            me.post(account, -sold, at, "own_transfer")
            me.post(me.main, me.market.worth(sold, account.currency), at + 1000, "own_transfer")
        else:
            paid = share(me, 20, 40)
            me.post(me.main, -paid, at, "own_transfer")
            me.post(account, me.market.bought(paid, account.currency), at + 1000, "own_transfer")


def bonus_spent(me: LabelledLife) -> Plan:
    """A bonus comes in and is spent within two months."""
    for day in times(me, rest=70, before_end=62):
        yield day
        bonus = me.wealth * me.rng.randint(8, 15) // HUNDRED
        me.post(me.main, bonus, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)
        for step in range(1, 9):
            yield day + step * 7
            me.post(me.main, -bonus // 8, me.at(), customer_initiated=True, channel="card")


def large_bills(me: LabelledLife) -> Plan:
    """A large bill now and then, such as a tuition fee."""
    for day in times(me, rest=55):
        yield day
        me.post(
            me.main, -me.wealth * me.rng.randint(3, 6) // HUNDRED, me.at(), customer_initiated=True, channel="transfer"
        )


def natures_unstated_quiet(me: LabelledLife) -> Plan:
    """A source that states no natures; a life like the others'."""
    me.states_natures = False
    me.salary = min(me.salary, me.wealth // 50)
    me.spends = me.salary * 2 // 3
    return iter(())


def brings_more(me: LabelledLife) -> Plan:
    """Brings half as much again, and it stays."""
    yield me.day()
    amount = me.wealth * me.rng.randint(40, 80) // HUNDRED
    me.post(me.main, amount, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)


def buys_a_house(me: LabelledLife) -> Plan:
    """A large part goes once and for good; the customer stays."""
    yield me.day()
    me.post(
        me.main, -share(me, 25, 45), me.at(), customer_initiated=True, channel="transfer", counterparty_bank=RIVAL_BANK
    )
