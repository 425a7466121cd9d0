"""What rules look at: metrics of balances, facts and counts of some customers as of a day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from agents.standing.intake.facts import CustomerFacts
from agents.standing.intake.figures.flows import FlowSeries
from agents.standing.model import Chosen, OlderClass
from policies.compiled.classes import ClassTable
from policies.compiled.program import Column, from_metrics
from policies.model.figures import AT_DAY_START, RATE_PLACES, Flow, Key, figure_period, series
from policies.model.pack import Pack
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.workdays import business_days

_CURRENCY: Final = re.compile(r"rate\[([A-Z]{3})\]")


class Measures:
    """Asks the ledger and the facts."""

    def __init__(self, ledger: Ledger, facts: CustomerFacts, flows: FlowSeries) -> None:
        self._ledger, self._facts, self._flows = ledger, facts, flows

    def of(
        self, table: ClassTable, slots: Array, day: int, found: Chosen, needs: Sequence[Key] | None = None
    ) -> dict[Key, Column]:  # fmt: skip
        """What the rules of a class need as of a day, or what `needs` says; `found` are metrics known already."""
        wanted = table.program.needs if needs is None else needs
        columns = self._columns(wanted, table.pack.scopes, table.pack.flows, slots, day, found)
        return table.program.with_told(columns) if needs is None else columns

    def fact(self, name: str, slots: Array, day: int, flows: Mapping[str, Flow]) -> Column:
        """A fact, a profile's value, a count, a month of one of the pack's flows or a rate as of a day."""
        if (month := series(name)) is not None and month.of in flows:
            return self._flows.column(flows[month.of], month, slots, day)
        if (currency := _CURRENCY.fullmatch(name)) is not None:
            return self.rate(currency[1], len(slots), day)
        return self._facts.figure(name, slots, day)

    def rate(self, currency: str, n: int, day: int) -> Column:
        """Millionths of the base currency for a unit of a currency by the rate of a day, the same n times."""
        micro = self._ledger.rates.micro_on(self._ledger.currencies.code(currency), day)
        return Column(np.full(n, micro or 0, np.int64), held=np.full(n, micro is None), scale=RATE_PLACES)

    def at_day_start(self, mask: int, slots: Array, name: str, day: int) -> Column:
        """A metric over the balances that days begin with: those that the days before end with, at their rates."""
        first, last = figure_period(name, day) or (day, day)
        units, nano, held = self._ledger.sums(mask, day, [(first, last)], slots)
        return Column(units[:, 0], nano[:, 0], last - first + 1, held[:, 0])

    def joined(self, slot: int) -> int | None:
        """The begin of the relation, as the profile stands."""
        return self._facts.joined(slot)

    @property
    def calendar(self) -> Mapping[int, bool]:
        """Days of which it was said whether the bank is open."""
        return self._facts.calendar

    def older_tier(self, older: OlderClass, slot: int, day: int) -> str | None:
        """The tier of a customer under an older version of his pack; None where a rate is missing."""
        columns = self._columns(older.program.needs, older.scopes, older.flows, np.array([slot]), day, None)
        tiers, held = older.program.evaluate(columns)
        return None if held[0] else older.program.tier_ids[int(tiers[0])]

    def _columns(
        self, needs: Sequence[Key], scopes: Mapping[str, frozenset[str]], flows: Mapping[str, Flow], slots: Array,
        day: int, found: Chosen | None,
    ) -> dict[Key, Column]:  # fmt: skip
        out: dict[Key, Column] = {}
        for scope in dict.fromkeys(scope for _, scope in needs):
            wanted = tuple(key for key in needs if key[1] == scope)
            if scope is None:
                out |= {key: self.fact(key[0], slots, day, flows) for key in wanted}
                continue
            at_end = tuple(key for key in wanted if not key[0].endswith(AT_DAY_START))
            if at_end and found is not None and scopes[scope] == found.scope:
                out |= from_metrics(found.chosen(), scope, at_end)
            elif at_end:
                mask = self._ledger.scope_of(sorted(scopes[scope]))
                out |= from_metrics(self._ledger.metrics(mask, day, slots), scope, at_end)
            if started := [key for key in wanted if key not in at_end]:
                mask = self._ledger.scope_of(sorted(scopes[scope]))
                out |= {key: self.at_day_start(mask, slots, key[0], day) for key in started}
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
