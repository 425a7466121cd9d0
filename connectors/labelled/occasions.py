"""Ways to stay, each with an occasion that another kind of alert tells of; a way has the name of its kind (streams.alerts.kinds).

The label's days are those on which such an alert may be raised first. What falls due follows from the pack: a card of a few
months, a review so many months after the one before.
"""

from __future__ import annotations

from typing import Final

from connectors.labelled.life import HUNDRED, LabelledLife, Plan
from connectors.simulate.market import WEEK
from connectors.simulate.people import CENTS
from connectors.simulate.stories import RIVAL_BANK

BREAK_MINOR = 2_000_000  # at least so much
MATURES_ON: Final = "matures_on"  # a fact of the day, as a number
MINIMUMS: Final = (
    500_000,
    1_000_000,
    6_000_000,
)  # of tiers, in whole units: platinum, diamond, private by the rolling quarter
CARDS_BY_WEALTH: Final = ("gold", "platinum", "diamond", "diamond")


def _holds(me: LabelledLife, minimum: int, per_cent: int) -> None:
    """Such a part of a tier's minimum, from before the first day on, with little that comes and goes."""
    me.wealth = me.main.balance_minor = minimum * CENTS * per_cent // HUNDRED
    me.salary = me.spends = me.wealth // 500


def upgrade_near(me: LabelledLife) -> Plan:
    """One hundredth less than the next tier asks for, all the time."""
    _holds(me, me.rng.choice(MINIMUMS), 99)
    me.occasion = (me.days[0] + 31, None)
    return iter(())


def downgrade_risk(me: LabelledLife) -> Plan:
    """A little more than the tier asks for; then the fund falls below it, and stays there."""
    _holds(me, me.rng.choice(MINIMUMS), 105)
    agency = me.split("agency", "agency", "fund", 60)
    agency.nightly, agency.opening_posted = True, False
    yield me.day(first=70, last_before_end=100)
    agency.balance_minor = agency.balance_minor * 75 // HUNDRED
    me.occasion = (me.journal.day, None)


def card_expiry(me: LabelledLife) -> Plan:
    """A card is issued at the counter."""
    yield me.day(first=40, last_before_end=150)
    level = sum(me.wealth >= minimum * CENTS for minimum in MINIMUMS)
    me.acts("issue_card", {"card": CARDS_BY_WEALTH[level], "digits": "16", "wealth_manager": "true"})
    me.occasion = (me.journal.day, None)


def reviewed_in_time(me: LabelledLife) -> Plan:
    """Nothing of his own: who has a tier is reviewed from time to time."""
    me.occasion = (me.days[0] + 31, None)
    return iter(())


def balance_break(me: LabelledLife) -> Plan:
    """The nightly file has the account, and on the next day too much of it, once."""
    day = me.day()
    if day % WEEK in (0, WEEK - 1):  # on the first day of a week all have a balance in the file
        day += (1 - day) % WEEK
    yield day
    me.journal.snapshot(me.main)
    yield day + 1
    me.journal.snapshot(me.main, off_minor=max(me.main.balance_minor // 20, BREAK_MINOR))
    me.occasion = (me.journal.day, me.journal.day + WEEK)


def large_inflow(me: LabelledLife) -> Plan:
    """Two payments within a week, and they stay."""
    day = me.day()
    yield day
    amount = me.wealth * me.rng.randint(25, 40) // HUNDRED
    me.post(me.main, amount, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)
    me.occasion = (day, day + WEEK)
    yield me.weekday(day + 2)
    me.post(me.main, amount, me.at(), channel="transfer", counterparty_bank=RIVAL_BANK)


def product_maturing(me: LabelledLife) -> Plan:
    """A product whose last day is told when it is bought; on that day its money is on the account again."""
    wealth = me.split("wealth", "wealth", "wealth", me.rng.randint(30, 60))
    day = me.day(last_before_end=100)
    yield day
    last = me.weekday(day + me.rng.randint(40, 80))
    me.tells(MATURES_ON, last)
    me.occasion = (day, last)
    yield last
    me.moves(wealth, me.main, wealth.balance_minor, "product_redemption")
