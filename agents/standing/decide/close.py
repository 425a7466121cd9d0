"""What a close decides in a partition: the rules in force, metrics, tiers, standings, outlooks, restatements, a change of packs.

standing.py takes the events in and says when a day is closed; the customers' part of a close goes through here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.packing import Packed
from agents.standing.decide import changeover, layers, lifecycle, outlook_alerts, outlooks
from agents.standing.decide.changeover import Changeover, Packs
from agents.standing.decide.continuous import Continuous
from agents.standing.decide.flags import flags
from agents.standing.decide.layers import Layers
from agents.standing.decide.lifecycle import Lifecycle, ends
from agents.standing.decide.outlook_alerts import Foresight
from agents.standing.decide.outlooks import Outlooks
from agents.standing.decide.restatement import Restating
from agents.standing.intake import facts, profiles, transaction_counts
from agents.standing.intake.facts import Facts
from agents.standing.intake.lanes import Close
from agents.standing.intake.profiles import Profiles
from agents.standing.intake.transaction_counts import Counts
from agents.standing.publish.decisions import Decisions
from agents.standing.publish.publisher import Publisher
from policies.compiled.classes import CompiledClasses, by_class, compile_classes
from policies.language.reader import PackError, Problem
from policies.model.metrics import counted_months
from policies.model.pack import Pack
from policies.model.terms import limits
from schemas.registry import Registry
from streams.accounts.entries import OPEN
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.alerts.outflow import NEVER, Rules
from streams.averages.metrics import Metrics
from streams.averages.outlook import Timing
from streams.calendar import NO_DAY, last_ended_month
from streams.money import EXPONENTS
from streams.vocabulary.metrics import INDEX, parts
from streams.vocabulary.terms import CUSTOMER_CLASSES

CLOSE_CHUNK = 1 << 14  # customers evaluated at a time: their columns stay in the cache
# First bytes of changelog keys.
CUSTOMER, OUTLOOK, FACT, DATES = profiles.KEY, outlooks.KEY, facts.KEY, facts.DATES_KEY
LIFE, COUNT, PACK, LAYER = lifecycle.KEY, transaction_counts.KEY, changeover.KEY, layers.KEY
FORESIGHT = outlook_alerts.KEY

Decide = Callable[
    [Close, frozenset[str], frozenset[str], Array, Metrics], None
]  # what a close does with some customers


@dataclass(frozen=True, slots=True)
class StandingConf:
    """What a standing job needs to know.

    `others` give the tiers of classes of customers that `pack` does not name; `layers`: the layer scheme, if there is one.
    """

    base_currency: str
    zone: str
    pack: Pack
    reference_key: bytes
    registry: Registry | None = None
    layers: Pack | None = None
    others: tuple[Pack, ...] = ()

    def packs(self) -> list[Pack]:
        """All packs."""
        return [self.pack, *self.others, *([] if self.layers is None else [self.layers])]

    def compiled(self) -> CompiledClasses:
        """The classes of all tier schemes in minor units of the base currency; PackError where the job cannot follow one."""
        if self.layers is not None:
            self.follow(self.layers)
        for pack in (self.pack, *self.others):
            if pack.kind != "tiers":
                raise _refused(pack, "kind", "a layer scheme stands beside a tier scheme: name that one too")
            self.follow(pack)
        return self.together(by_class(self.pack, *self.others))

    def together(self, packs: Mapping[str, Pack]) -> CompiledClasses:
        """Classes of customers, each by its pack."""
        return compile_classes(packs, EXPONENTS[self.base_currency])

    def follow(self, pack: Pack) -> CompiledClasses:
        """The classes of one pack of either kind. PackError."""
        return self.together(by_class(pack))


def _refused(pack: Pack, field: str, message: str) -> PackError:
    return PackError([Problem(pack.id, 1, field, message)])


class Deciding:
    """The rules in force, and what a close does with all customers."""

    def __init__(self, conf: StandingConf, ledger: Ledger, counts: Counter[str]) -> None:
        self.conf, self.ledger, self.counts = conf, ledger, counts
        conf.compiled()
        first = (conf.pack, *conf.others)
        self.packs = Packs(first, conf.layers, EXPONENTS[conf.base_currency], conf.follow)
        self.classes = conf.together(self.packs.running)
        self.pack = self.classes.shown
        self.first_months = dict.fromkeys(CUSTOMER_CLASSES, NO_DAY)  # the first ones whose close was given
        self.profiles = Profiles(ledger, self.classes)
        self.publisher = Publisher(conf.registry, conf.reference_key, self.classes, ledger, self.profiles)
        self.foresees, timing = _foresees(self.classes)
        self.outlooks = Outlooks(self.publisher.registry, self.classes, timing, self.publisher.bulk)
        self.foresight = Foresight(self.publisher, self.classes.personal, counts)
        self.outlooks.watch = self.foresight.close
        programs = [table.program for table in self.classes.tables if table is not None]
        needs = (key[0] for program in programs for key in (*program.needs, *program.looks))
        self.counting = Counts(ledger, needs)
        self.facts = Facts(ledger, first, self.counting)
        self.decisions = sink = Decisions(self.publisher, self.classes, counts)
        self.lifecycle = Lifecycle(ledger, self.classes, self.facts, self.profiles, sink)
        self.lifecycle.older, self.lifecycle.branch_code = self.packs.older, self.profiles.branch_code
        self._loaded: list[Rows] = []  # rows that only the pack in force can read
        self.layers = self.publisher.bulk.layers = Layers(ledger, self.facts, self.publisher, sink)
        if conf.layers is not None:
            self.layers.use(conf.follow(conf.layers))
            self.know(conf.layers)
        self.continuous = Continuous(self.lifecycle, self.facts, self.profiles)
        self.restating = Restating(ledger, self.lifecycle, self.publisher)
        self.scope = 0
        self.use_names()

    def _install(self, packs: dict[str, Pack]) -> None:
        """Other packs from now on; customers go over by a Changeover, or their rows name their tiers already."""
        self.classes = self.conf.together(packs)
        self.pack, self.packs.running = self.classes.shown, packs
        self.profiles.use(self.classes)
        self.publisher.use(self.classes)
        self.facts.use(packs.values())
        self.lifecycle.use(self.classes)
        self.continuous.use()
        self.decisions.use(self.classes)
        self.foresees, timing = _foresees(self.classes)
        self.outlooks.use(self.classes, timing)
        self.foresight.use(self.classes.personal)
        self.outlooks.apart = np.array(sorted(self.lifecycle.rules.own), np.int64)
        self.use_names()

    def know(self, pack: Pack) -> None:
        """What a pack that was taken will need is kept from now on."""
        self.facts.know(pack)
        needs = (leaf.metric for policy in pack.classes.values() for tier in policy.tiers for leaf in limits(tier.when))
        self.counting.wanted |= any(counted_months(metric) for metric in needs)

    def use_names(self) -> None:
        """Scope, metric and alert rules of the pack as the ledger's codes and columns."""
        self.metric = [INDEX[part] for part in parts(self.pack.metric)]
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
        if progress != NO_DAY and (layers := self.packs.due_layers(progress + 1)) is not None:
            self.packs.layers = layers
            self.layers.use(self.conf.follow(layers))
        for pack in self.packs.book.packs:
            self.know(pack)
        for rows in self._loaded:
            kinds = rows.raw[rows.key]
            self.facts.load(rows.take((kinds == FACT[0]) | (kinds == DATES[0])))
            self.lifecycle.load(rows.take(kinds == LIFE[0]))
            self.layers.load(rows.take(kinds == LAYER[0]))
        self._loaded.clear()

    # -- closes

    def touched(self) -> Array:
        """Customers with an event since the last close."""
        accounts = self.ledger.store.accounts[: self.ledger.columns.account_count]
        found = np.zeros(self.ledger.columns.customer_count, np.bool_)
        found[accounts["customer"][accounts["touched"] == self.ledger.closed]] = True
        return np.flatnonzero(found)

    def close(self, close: Close, *, live: bool) -> None:
        """Evaluates day D for all customers, idle ones too, and moves the clock (docs/architecture.md#day-close)."""
        ledger, before = self.ledger, self.ledger.closed
        if live:
            self.continuous.look()
        if NO_DAY in self.first_months.values():
            self.first_months = dict.fromkeys(CUSTOMER_CLASSES, int(last_ended_month(close.day - 1)) + 1)
        breaks, late, opened = ledger.breaks(), ledger.late(), int(ledger.clock[OPEN])
        touched = self.touched()
        ledger.open_day(close.day)
        if live:
            self.counts["closes"] += 1
            self.publisher.breaks(breaks, close.day)
            self.counts["restatements"] += self.restating.close(close, late, opened, self.first_months) + len(breaks)
            self._decide(close, before, touched)
        ledger.fold_day()
        if live:
            self.continuous.after(close, touched)

    def _decide(self, close: Close, before: int, touched: Array) -> None:
        """Tiers, layers, standings and outlooks."""
        closes, decide, pack = ends(before, close.day), self.lifecycle.close, self.packs.due(close.day + 1)
        lay, layers = self.layers.close, self.packs.due_layers(close.day + 1)
        if pack is not None:
            others = [name for name in pack if pack[name] != self.packs.running.get(name)]
            self.first_months |= dict.fromkeys(others, int(last_ended_month(close.day)) + 1)
            decide = self._switch(pack)
        if layers is not None:
            self.packs.layers = layers
            lay = self.layers.switch(self.conf.follow(layers)).close
        deciding = self.lifecycle.everyone(closes) or self.layers.everyone(closes)
        if pack is not None or layers is not None or "month" in closes or deciding:
            touched = np.arange(self.ledger.columns.customer_count)
        else:
            waiting = self.lifecycle.waiting(close.day, before), self.layers.waiting(close.day, before)
            touched = np.union1d(touched, np.union1d(*waiting))
        for at in range(0, len(touched), CLOSE_CHUNK):
            self._evaluate(close, touched[at : at + CLOSE_CHUNK], closes, (decide, lay))
        self.counts.update(self.lifecycle.take_counts() + self.layers.take_counts())
        self._foresee(close.day, before, restate=pack is not None or "month" in closes or before == NO_DAY)

    def _foresee(self, day: int, before: int, *, restate: bool) -> None:
        """Outlooks, where the pack is one that can be foreseen."""
        for told in self.outlooks.close(day, before, self.scope, restate=restate) if self.foresees else ():
            self.publisher.packed("outlooks", told)
            self.counts["outlooks"] += told.records

    def _switch(self, packs: dict[str, Pack]) -> Decide:
        """A pack takes effect on the day after this close: customers are decided under it, not under the one before."""
        classes = self.classes
        self._install(packs)
        self.profiles.requeue_all(classes.shown.queue_class_ids)
        return Changeover(self.lifecycle, self.decisions, classes).close

    def _evaluate(
        self, close: Close, slots: Array, closes: frozenset[str], decide: tuple[Decide, Decide]
    ) -> None:  # fmt: skip
        """Metrics of some customers at a close, tiers and layers where it is time, and standings."""
        found = self.ledger.metrics(self.scope, close.day, slots)
        tiers, layers = decide
        tiers(close, closes, self.pack.scope, slots, found)
        layers(close, closes, self.pack.scope, slots, found)
        self.publisher.standings(found, slots, self.metric, flags(self.lifecycle, self.pack.scope, slots, found))

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call."""
        rows = [*self.profiles.take_rows(), *self.facts.take_rows(), *self.lifecycle.take_rows()]
        return [
            *rows,
            *self.outlooks.take_rows(),
            *self.foresight.take_rows(),
            *self.counting.take_rows(),
            *self.packs.take_rows(),
            *self.layers.take_rows(),
        ]

    def load(self, given: Rows) -> None:
        """Rows back, by their first byte; a later one counts."""
        kinds = given.raw[given.key]
        self.profiles.load(given.take(kinds == CUSTOMER[0]))
        self.packs.load(given.take(kinds == PACK[0]))
        self._loaded.append(given.take(np.isin(kinds, np.frombuffer(FACT + DATES + LIFE + LAYER, np.uint8))))
        self.counting.load(given.take(kinds == COUNT[0]))
        self.outlooks.load(given.take(kinds == OUTLOOK[0]))
        self.foresight.load(given.take(kinds == FORESIGHT[0]))


def _foresees(classes: CompiledClasses) -> tuple[bool, Timing]:
    """Whether the next tier of personal customers follows from balances alone, and when it changes."""
    policy = next(table.policy for table in classes.tables if table is not None)
    when, status = policy.evaluation, policy.status
    alone = status.basis == "metric" and not status.requires and policy.review is None and not when.grace_months
    return classes.standard is not None and alone, Timing(when.close, when.upgrades, when.downgrades)
