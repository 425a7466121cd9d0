"""What a close decides in a partition: the rules in force, metrics, tiers, standings, outlooks, restatements, a change of packs.

standing.py takes the events in and says when a day is closed; the customers' part of a close goes through here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agents import counting, facts, lifecycle, outlooks, profiles, switching
from agents.counting import Counts
from agents.decisions import Decisions
from agents.facts import Facts
from agents.job import Pair, Rows
from agents.lanes import Close
from agents.lifecycle import Lifecycle, ends
from agents.outlooks import Outlooks
from agents.packing import Packed
from agents.profiles import Profiles
from agents.publishing import Publisher
from agents.restating import Restating
from agents.switching import Changeover, Packs
from policies.criteria import limits
from policies.metrics import counted_months
from policies.model import Pack
from policies.reader import PackError, Problem
from policies.several import CompiledClasses, compile_classes
from schemas.registry import Registry
from streams.calendar import NO_DAY, last_ended_month
from streams.entries import OPEN
from streams.ledger import Ledger
from streams.metrics import NAMES, Metrics
from streams.money import EXPONENTS
from streams.outflow import NEVER, Rules
from streams.outlook import Timing
from streams.store import Array

CLOSE_CHUNK = 1 << 14  # customers evaluated at a time: their columns stay in the cache
# First bytes of changelog keys.
CUSTOMER, OUTLOOK, FACT, DATES = profiles.KEY, outlooks.KEY, facts.KEY, facts.DATES_KEY
LIFE, COUNT, PACK = lifecycle.KEY, counting.KEY, switching.KEY

Decide = Callable[[Close, frozenset[str], str, Array, Metrics], None]  # what a close does with some customers


@dataclass(frozen=True, slots=True)
class StandingConf:
    """What a standing job needs to know."""

    base_currency: str
    zone: str
    pack: Pack
    reference_key: bytes
    registry: Registry | None = None

    def compiled(self) -> CompiledClasses:
        """The classes of the pack in minor units of the base currency; PackError where the job cannot follow it."""
        for name, policy in self.pack.classes.items():
            if "continuous" in (policy.evaluation.close, policy.evaluation.upgrades, policy.evaluation.downgrades):
                message = "the worker decides tiers at closes: the finest evaluation is `day`"
                raise PackError([Problem(self.pack.id, 1, f"classes.{name}.evaluation", message)])
        return compile_classes(self.pack, EXPONENTS[self.base_currency])


class Deciding:
    """The rules in force, and what a close does with all customers."""

    def __init__(self, conf: StandingConf, ledger: Ledger, counts: Counter[str]) -> None:
        self.conf, self.ledger, self.counts, self.classes = conf, ledger, counts, conf.compiled()
        self.pack = self.classes.shown
        self.first_month = NO_DAY  # the first month whose close was given
        self.profiles = Profiles(ledger, self.classes)
        self.publisher = Publisher(conf.registry, conf.reference_key, conf.pack, self.classes, ledger, self.profiles)
        self.foresees, timing = _foresees(self.classes)
        self.outlooks = Outlooks(self.publisher.registry, self.pack, timing, self.publisher.bulk)
        needs = (key[0] for table in self.classes.tables if table is not None for key in table.program.needs)
        self.counting = Counts(ledger, needs)
        self.facts = Facts(ledger, conf.pack, self.counting)
        self.decisions = sink = Decisions(self.publisher, self.classes, counts)
        self.lifecycle = Lifecycle(ledger, conf.pack, self.classes, self.facts, self.profiles, sink)
        self.packs = Packs(conf.pack, EXPONENTS[conf.base_currency], lambda pack: replace(conf, pack=pack).compiled())
        self.lifecycle.older = self.packs.older
        self._loaded: list[Rows] = []  # rows that only the pack in force can read
        self.restating = Restating(ledger, self.lifecycle, self.publisher)
        self.metric = NAMES.index(self.pack.metric.replace("[", "_").replace("]", ""))
        self.scope = 0
        self.use_names()

    def _install(self, pack: Pack) -> None:
        """Another pack from now on; customers go over by a Changeover, or their rows name its tiers already."""
        self.classes = replace(self.conf, pack=pack).compiled()
        self.pack, self.packs.running = self.classes.shown, pack
        self.metric = NAMES.index(self.pack.metric.replace("[", "_").replace("]", ""))
        self.profiles.use(self.classes)
        self.publisher.use(pack, self.classes)
        self.facts.use(pack)
        self.lifecycle.use(pack, self.classes)
        self.decisions.use(self.classes)
        self.foresees, timing = _foresees(self.classes)
        self.outlooks.use(self.pack, timing)
        self.use_names()

    def know(self, pack: Pack) -> None:
        """What a pack that was taken will need is kept from now on."""
        self.facts.know(pack)
        needs = (leaf.metric for policy in pack.classes.values() for tier in policy.tiers for leaf in limits(tier.when))
        self.counting.wanted |= any(counted_months(metric) for metric in needs)

    def use_names(self) -> None:
        """Scope and alert rules of the pack as the ledger's codes and columns."""
        self.scope = self.ledger.scope_of(sorted(self.pack.scope))
        rules = self.pack.alerts
        self.ledger.rules = Rules(
            rules.window_days, rules.absolute_minor, rules.share_bp, rules.floor_minor, rules.drip_count,
            rules.each_at_most_minor, np.array([self.scope], np.int64),
        )  # fmt: skip
        assert np.iinfo(np.int64).max == NEVER

    def begin(self, progress: int) -> None:
        """Everything has been loaded, and `progress` is the last closed day."""
        if progress != NO_DAY and (running := self.packs.due(progress + 1)) is not None:
            self._install(running)
        for pack in self.packs.book.packs:
            self.know(pack)
        for rows in self._loaded:
            kinds = rows.raw[rows.key]
            self.facts.load(rows.take((kinds == FACT[0]) | (kinds == DATES[0])))
            self.lifecycle.load(rows.take(kinds == LIFE[0]))
        self._loaded.clear()

    # -- closes

    def touched(self) -> Array:
        """Customers with an event since the last close."""
        accounts = self.ledger.store.accounts[: self.ledger.columns.account_count]
        return np.unique(accounts["customer"][accounts["touched"] == self.ledger.closed]).astype(np.int64)

    def close(self, close: Close, *, live: bool) -> None:
        """Evaluates day D for all customers, idle ones included, and moves the clock (design §4)."""
        ledger, before = self.ledger, self.ledger.closed
        if self.first_month == NO_DAY:
            self.first_month = int(last_ended_month(close.day - 1)) + 1
        breaks, late, opened = ledger.breaks(), ledger.late(), int(ledger.clock[OPEN])
        touched = self.touched()
        ledger.open_day(close.day)
        if live:
            self.counts["closes"] += 1
            self.publisher.breaks(breaks, close.day)
            self.counts["restatements"] += self.restating.close(close, late, opened, self.first_month) + len(breaks)
            self._decide(close, before, touched)
        ledger.fold_day()

    def _decide(self, close: Close, before: int, touched: Array) -> None:
        """Tiers, standings and outlooks."""
        closes, decide, pack = ends(before, close.day), self.lifecycle.close, self.packs.due(close.day + 1)
        if pack is not None:
            decide, self.first_month = self._switch(pack), int(last_ended_month(close.day)) + 1
        if pack is not None or "month" in closes or self.lifecycle.everyone(closes):
            touched = np.arange(self.ledger.columns.customer_count)
        else:
            touched = np.union1d(touched, self.lifecycle.waiting(close.day, before))
        for at in range(0, len(touched), CLOSE_CHUNK):
            self._evaluate(close, touched[at : at + CLOSE_CHUNK], closes, decide)
        self.counts.update(self.lifecycle.take_counts())
        self._foresee(close.day, before, restate=pack is not None or "month" in closes or before == NO_DAY)

    def _foresee(self, day: int, before: int, *, restate: bool) -> None:
        """Outlooks, where the pack is one that can be foreseen."""
        for told in self.outlooks.close(day, before, self.scope, restate=restate) if self.foresees else ():
            self.publisher.packed("outlooks", told)
            self.counts["outlooks"] += told.records

    def _switch(self, pack: Pack) -> Decide:
        """A pack takes effect on the day after this close: customers are decided under it, not under the one before."""
        before, classes = self.packs.running, self.classes
        self._install(pack)
        self.profiles.requeue_all(classes.shown.queue_class_ids)
        return Changeover(self.lifecycle, self.decisions, before, classes).close

    def _evaluate(self, close: Close, slots: Array, closes: frozenset[str], decide: Decide) -> None:
        """Metrics of some customers at a close, tiers where it is time, and standings."""
        found = self.ledger.metrics(self.scope, close.day, slots)
        decide(close, closes, self.pack.scope_name, slots, found)
        self.publisher.standings(found, slots, self.metric)

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call."""
        rows = [*self.profiles.take_rows(), *self.facts.take_rows(), *self.lifecycle.take_rows()]
        return [*rows, *self.outlooks.take_rows(), *self.counting.take_rows(), *self.packs.take_rows()]

    def load(self, given: Rows) -> None:
        """Rows back, by their first byte; a later one counts."""
        kinds = given.raw[given.key]
        self.profiles.load(given.take(kinds == CUSTOMER[0]))
        self.packs.load(given.take(kinds == PACK[0]))
        self._loaded.append(given.take((kinds == FACT[0]) | (kinds == DATES[0]) | (kinds == LIFE[0])))
        self.counting.load(given.take(kinds == COUNT[0]))
        self.outlooks.load(given.take(kinds == OUTLOOK[0]))


def _foresees(classes: CompiledClasses) -> tuple[bool, Timing]:
    """Whether the next tier of personal customers follows from balances alone, and when it changes."""
    policy = next(table.policy for table in classes.tables if table is not None)
    when, status = policy.evaluation, policy.status
    alone = status.basis == "metric" and not status.requires and policy.review is None and not when.grace_months
    return classes.plain and alone, Timing(when.close, when.upgrades, when.downgrades)
