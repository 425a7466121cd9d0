"""Who has a standing: whoever has an account, a fact that a pack knows, or a tier that was decided.

So a customer whom a fact or a card alone puts into a tier is among the others, with an AUM of 0.
"""

from __future__ import annotations

import numpy as np

from agents.standing.intake.facts import FAR, CustomerFacts
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.calendar import NO_DAY


class KnownCustomers:
    """Asks the ledger and the facts; all of it follows from rows, so a recovery gives the same."""

    def __init__(self, ledger: Ledger, facts: CustomerFacts) -> None:
        self._ledger, self._facts = ledger, facts

    def since(self, slots: Array) -> Array:
        """int64[n]: the first day as of which each customer has a standing; far in the future for one who has none.

        It is the first value date of an account, the `as_of` of the latest fact of a name, or the day before a tier is in
        force, whichever is first.
        """
        held = self._ledger.customers.rows["tier_day"][slots]
        tiered = np.where(held == NO_DAY, FAR + 1, held).min(axis=1).astype(np.int64) - 1
        found: Array = np.minimum(self._ledger.customers.first_days(slots), self._facts.first_days(slots))
        np.minimum(found, tiered, out=found)
        return found

    def beside_accounts(self, before: int, day: int) -> Array:
        """Slots of customers without an account by `day`, of whom a fact is of a day after `before` and up to `day`."""
        slots = self._facts.of_days(before, day)
        found: Array = slots[self._ledger.customers.first_days(slots) > day]
        return found
