"""What rules look at: metrics of balances, facts and counts of some customers as of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agents.standing.intake.facts import CustomerFacts
from agents.standing.model import Chosen, OlderClass
from policies.compiled.classes import ClassTable
from policies.compiled.program import Column, Key, from_metrics
from policies.model.pack import Pack
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.workdays import business_days


class Measures:
    """Asks the ledger and the facts."""

    def __init__(self, ledger: Ledger, facts: CustomerFacts) -> None:
        self._ledger, self._facts = ledger, facts

    def of(
        self, table: ClassTable, slots: Array, day: int, found: Chosen, needs: Sequence[Key] | None = None
    ) -> dict[Key, Column]:  # fmt: skip
        """What the rules of a class need as of a day, or what `needs` says; `found` are metrics known already."""
        return self._columns(table.program.needs if needs is None else needs, table.pack.scopes, slots, day, found)

    def fact(self, name: str, slots: Array, day: int) -> Column:
        """A fact, a profile's value or a count as of a day."""
        return Column(self._facts.column(name, slots, day), unknown=self._facts.unknown(name, slots))

    def joined(self, slot: int) -> int | None:
        """The begin of the relation, as the profile stands."""
        return self._facts.joined(slot)

    @property
    def calendar(self) -> Mapping[int, bool]:
        """Days of which it was said whether the bank is open."""
        return self._facts.calendar

    def older_tier(self, older: OlderClass, slot: int, day: int) -> str | None:
        """The tier of a customer under an older version of his pack; None where a rate is missing."""
        columns = self._columns(older.program.needs, older.scopes, np.array([slot]), day, None)
        tiers, held = older.program.evaluate(columns)
        return None if held[0] else older.program.tier_ids[int(tiers[0])]

    def _columns(
        self, needs: Sequence[Key], scopes: Mapping[str, frozenset[str]], slots: Array, day: int, found: Chosen | None
    ) -> dict[Key, Column]:
        out: dict[Key, Column] = {}
        for scope in dict.fromkeys(scope for _, scope in needs):
            wanted = tuple(key for key in needs if key[1] == scope)
            if scope is None:
                out |= {key: self.fact(key[0], slots, day) for key in wanted}
            elif found is not None and scopes[scope] == found.scope:
                out |= from_metrics(found.chosen(), scope, wanted)
            else:
                mask = self._ledger.scope_of(sorted(scopes[scope]))
                out |= from_metrics(self._ledger.metrics(mask, day, slots), scope, wanted)
        return out

    def stale(self, pack: Pack, day: int) -> tuple[str, ...]:
        """Required sources that lag more business days behind than their pack allows (docs/tiers.md#stale-sources).

        A source is watched from its first mark on; business days are those of the bank's calendar.
        """
        found = []
        for name, source in sorted(pack.sources.items()):
            complete = self._facts.marks.complete.get(name)
            if complete is not None and source.required:
                lag = business_days(complete + 1, day, self._facts.calendar)
                found += [name] if lag > source.freshness_business_days else []
        return tuple(found)
