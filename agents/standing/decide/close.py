"""What a close decides in a partition, step by step (agents.standing.decide has the list), and the rules that are in force.

agents.standing.job takes the events in and says when a day is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.record_batches import Packed
from agents.standing.decide.branches import RulesInForce
from agents.standing.decide.cases.desk import CaseDesk
from agents.standing.decide.cases.outflow import OutflowCases
from agents.standing.decide.cases.states import StateAlerts
from agents.standing.decide.continuous import ContinuousDecider
from agents.standing.decide.layers import Layers
from agents.standing.decide.lifecycle.changeover import Changeover
from agents.standing.decide.lifecycle.columns import LifecycleColumns
from agents.standing.decide.lifecycle.decider import LifecycleDecider, closes_ending
from agents.standing.decide.lifecycle.flags import customer_flags
from agents.standing.decide.lifecycle.measures import Measures
from agents.standing.decide.outlook_alerts import OutlookAlerts
from agents.standing.decide.outlooks import Outlooks
from agents.standing.decide.packs import Packs
from agents.standing.decide.restatement import Restatement
from agents.standing.intake.facts import CustomerFacts
from agents.standing.intake.figures.flows import FlowSeries
from agents.standing.intake.known import KnownCustomers
from agents.standing.intake.profiles import Profiles
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.intake.transaction_counts import TransactionCounts
from agents.standing.model import DayClose, RowKey, StandingConf, Tally
from agents.standing.publish.decisions import Decisions
from agents.standing.publish.layer_decisions import LayerDecisions
from agents.standing.publish.publisher import OutputPublisher
from policies.compiled.pack import CompiledPack
from policies.model.pack import Pack
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.alerts.outflow import NEVER, Rules
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY, last_ended_month
from streams.money import EXPONENTS
from streams.vocabulary.metrics import INDEX, parts
from streams.vocabulary.terms import CUSTOMER_CLASSES

CLOSE_CHUNK = 1 << 14  # customers evaluated at a time: their columns stay in the cache
AFTER_PACKS = (
    RowKey.FACT + RowKey.FACT_MONTHS + RowKey.DATES + RowKey.LIFECYCLE + RowKey.LAYER
)  # rows that only the packs in force can read

# What decides some customers at a close: of the day, with the closes that it makes, over metrics of a scope.
_Decide = Callable[[DayClose, frozenset[str], frozenset[str], Array, Metrics], None]


class Decider:
    """Everything that decides in a partition, and the way of a close through it."""

    def __init__(self, conf: StandingConf, ledger: Ledger, counts: Tally) -> None:
        self.conf, self.ledger, self.counts = conf, ledger, counts
        conf.compiled()
        first = (conf.pack, *conf.others)
        self.first_months = dict.fromkeys(CUSTOMER_CLASSES, NO_DAY)  # the first ones whose close was given
        self._unread: list[Rows] = []  # of AFTER_PACKS
        # The rules.
        self.packs = Packs(first, conf.layers, EXPONENTS[conf.base_currency], conf.follow)
        self.classes = conf.together(self.packs.running)
        # What is known of customers.
        self.touched = TouchedCustomers()
        self.profiles = Profiles(ledger, self.classes, self.touched)
        self.transaction_counts = TransactionCounts(ledger)
        self.flows = FlowSeries(ledger, counts)
        self.facts = CustomerFacts(ledger, first, self.transaction_counts, self.touched, EXPONENTS[conf.base_currency])
        self.known = KnownCustomers(ledger, self.facts)
        # What is published.
        self.publisher = OutputPublisher(
            conf.registry, conf.keys, self.classes, ledger, self.profiles, conf.epoch, conf.left_out, conf.letters_max
        )
        self.decisions = Decisions(self.publisher, self.classes, counts)
        layer_decisions = LayerDecisions(self.publisher, self.decisions)
        # What decides.
        rules, measures = (
            RulesInForce(self.classes, self.profiles.branch_code),
            Measures(ledger, self.facts, self.flows),
        )
        self.lifecycle = LifecycleDecider(
            ledger, rules, measures, LifecycleColumns(ledger, self.profiles), self.profiles, self.decisions,
            self.packs.older, self.touched, counts,
        )  # fmt: skip
        layers = None if conf.layers is None else conf.follow(conf.layers)
        self.layers = Layers(ledger, measures, layer_decisions, layers, counts)
        self.continuous = ContinuousDecider(self.lifecycle, self.touched)
        self.restatement = Restatement(ledger, self.lifecycle, measures, self.publisher)
        self.case_desk = CaseDesk(ledger, self.profiles)
        self.cases = OutflowCases(self.publisher, self.facts.calendar, self.case_desk, counts)
        self.states = StateAlerts(self.publisher, self.lifecycle, self.facts, self.cases, counts)
        self.outlook_alerts = OutlookAlerts(self.publisher, self.classes.personal, counts)
        self.outlooks = Outlooks(
            self.publisher.registry, self.classes, rules.branches(), self.publisher.bulk, self.known,
            self.outlook_alerts.close,
        )  # fmt: skip
        needs = (table.program.needs + table.program.looks + table.program.fees for table in rules.every())
        self.transaction_counts.know(metric for keys in needs for metric, _ in keys)
        if conf.layers is not None:
            self.know(conf.layers, from_the_beginning=True)
        for pack in conf.packs():
            self.flows.know(pack, from_the_beginning=True)
        self.use_names()

    @property
    def pack(self) -> CompiledPack:
        """What standings, alerts and queues go by."""
        return self.classes.shown

    def _use(self, packs: dict[str, Pack]) -> RulesInForce:
        """Other packs from now on; the rules before them.

        Customers are migrated by a Changeover, or their rows name their tiers already.
        """
        self.packs.use(packs)
        self.classes = self.conf.together(packs)
        self.profiles.use(self.classes)
        self.facts.use(packs.values())
        self.publisher.use(self.classes)
        self.decisions.use(self.classes)
        rules = RulesInForce(self.classes, self.profiles.branch_code)
        before = self.lifecycle.use(rules)
        self.continuous.use()
        self.outlook_alerts.use(self.classes.personal)
        self.outlooks.use(self.classes, rules.branches())
        self.use_names()
        return before

    def know(self, pack: Pack, *, from_the_beginning: bool = False) -> None:
        """What a pack that was taken will need is kept from now on; `from_the_beginning`: of the log, for a trial."""
        self.facts.know(pack)
        self.transaction_counts.know(metric for metric, _ in pack.asked())
        self.flows.know(pack, from_the_beginning=from_the_beginning)

    def use_names(self) -> None:
        """Metric, scope and outflow rules of the shown pack as columns and codes of the ledger, which may be other ones now."""
        self.metric = [INDEX[part] for part in parts(self.pack.metric)]
        self.scope, rules = self.ledger.scope_of(sorted(self.pack.scope)), self.pack.alerts
        self.ledger.use_rules(Rules(
            rules.window_days, rules.absolute_minor, rules.share_bp, rules.floor_minor, rules.drip_count,
            rules.each_at_most_minor, np.array([self.scope], np.int64),
        ))  # fmt: skip
        assert np.iinfo(np.int64).max == NEVER
        self.cases.use(self.pack, self.scope)
        self.states.use(self.pack, self.scope)

    def begin(self, progress: int, position: int) -> None:
        """Everything has been loaded, and `progress` is the last closed day; postings come from an offset on."""
        self.flows.begin(position)
        if progress != NO_DAY and (running := self.packs.due(progress + 1)) is not None:
            self._use(running)
        if progress != NO_DAY and (layers := self.packs.due_layers(progress + 1)) is not None:
            self.packs.use_layers(layers)
            self.layers.use(self.conf.follow(layers))
        for pack in self.packs.book.packs:
            self.know(pack)
        self.cases.begin()
        self.states.use(self.pack, self.scope)  # rows may be of rules that no pack in force has
        # Only the last row of a key: an older one may name what no pack in force has, or what has ended since.
        last = {key: value for rows in self._unread for key, value in rows}
        self._unread.clear()

        def of(*keys: bytes) -> Iterator[tuple[bytes, bytes | None]]:
            return ((key, value) for key, value in last.items() if key[:1] in keys)

        self.facts.load(of(RowKey.FACT, RowKey.FACT_MONTHS, RowKey.DATES))
        self.lifecycle.load(of(RowKey.LIFECYCLE))
        self.layers.load(of(RowKey.LAYER))

    def profile(self, slot: int, moved: bool) -> None:
        """Takes a new profile, or that there is none any more; `moved`: to another class of customers."""
        if moved:
            self.lifecycle.begin_anew(slot)
            self.layers.begin_anew(slot)
        self.lifecycle.profile(slot)

    # -- closes

    def close(self, close: DayClose, *, live: bool) -> None:
        """Evaluates day D for all customers, idle ones too, and moves the clock (docs/architecture.md#day-close)."""
        ledger, before = self.ledger, self.ledger.closed
        if live:
            self.cases.look()
            self.continuous.look()
        if NO_DAY in self.first_months.values():
            self.first_months = dict.fromkeys(CUSTOMER_CLASSES, int(last_ended_month(close.day - 1)) + 1)
        breaks, late, opened = ledger.breaks(), ledger.late(), ledger.open_month
        touched, unmatched = ledger.touched(), ledger.unmatched_reversals(close.day)
        ledger.open_day(close.day)
        if live:
            self.counts.add("closes")
            self.publisher.breaks(breaks, close.day)
            self.publisher.unmatched_reversals(unmatched, close.day)
            self.flows.settle()
            restated = self.restatement.close(close, late, opened, self.first_months)
            self.counts.add("restatements", restated + len(breaks) + len(unmatched))
            self.flows.close(live=True)
            self.cases.close(close.day)
            self.case_desk.close(close.day)
            self._decide(close, before, touched)
            self.states.close(close.day, touched, breaks)
        else:
            self.flows.close(live=False)
        ledger.fold_day()
        if live:
            self.continuous.after(close, touched, self.publisher.close_name(close.day))

    def _decide(self, close: DayClose, before: int, touched: Array) -> None:
        """Tiers, layers, standings and outlooks."""
        closes, switched = closes_ending(before, close.day), self.packs.due(close.day + 1)
        layers_switched = self.packs.due_layers(close.day + 1)
        decide: _Decide = self.lifecycle.close
        decide_layers: _Decide = self.layers.close
        if switched is not None:
            decide = self._switch(switched, close.day)
        if layers_switched is not None:
            self.packs.use_layers(layers_switched)
            decide_layers = self.layers.switch(self.conf.follow(layers_switched)).close
        everyone = self.lifecycle.everyone(closes) or self.layers.everyone(closes)
        if switched is not None or layers_switched is not None or "month" in closes or everyone:
            slots = np.arange(self.ledger.customers.count)
        else:
            waiting = self.lifecycle.waiting(close.day, before), self.layers.waiting(close.day, before)
            beside = self.known.beside_accounts(before, close.day)
            slots = np.union1d(np.union1d(touched, beside), np.union1d(*waiting))
        for at in range(0, len(slots), CLOSE_CHUNK):
            self._evaluate(close, slots[at : at + CLOSE_CHUNK], closes, decide, decide_layers)
        self._foresee(close.day, before, restate=switched is not None or "month" in closes or before == NO_DAY)

    def _switch(self, packs: dict[str, Pack], day: int) -> _Decide:
        """Packs take effect on the day after this close: customers are decided under them, not under those before."""
        others = [name for name in packs if packs[name] != self.packs.running.get(name)]
        self.first_months |= dict.fromkeys(others, int(last_ended_month(day)) + 1)
        queue_classes, before = self.pack.queue_class_ids, self._use(packs)
        self.profiles.requeue_all(queue_classes)
        return Changeover(self.lifecycle, before).close

    def _evaluate(
        self, close: DayClose, slots: Array, closes: frozenset[str], decide: _Decide, decide_layers: _Decide
    ) -> None:  # fmt: skip
        """Metrics of some customers at a close, tiers and layers where it is time, and standings."""
        found, scope = self.ledger.metrics(self.scope, close.day, slots), self.pack.scope
        decide(close, closes, scope, slots, found)
        decide_layers(close, closes, scope, slots, found)
        self._show(close.day, slots, found)

    def _show(self, day: int, slots: Array, found: Metrics) -> None:
        """Standings as of a day."""
        flags = customer_flags(self.lifecycle, self.pack.scope, slots, found)
        kept = np.flatnonzero(self.known.since(slots) <= day)
        self.publisher.standings(found, slots, kept, self.metric, flags, self.layers.shown(slots), self.scope)

    def _foresee(self, day: int, before: int, *, restate: bool) -> None:
        """Outlooks and their alerts, where the pack is one that can be foreseen."""
        for records in self.outlooks.close(day, before, self.scope, restate=restate):
            self.publisher.packed("outlooks", records)
            self.counts.add("outlooks", records.records)

    def publish_anew(self, slots: Array, version: int, *, both: bool) -> None:
        """Standing and outlook as of the last close, and queue class, of customers of whom there may be nothing new.

        both: queue classes under the previous references too.
        """
        if (day := self.ledger.closed) != NO_DAY:
            for at in range(0, len(slots), CLOSE_CHUNK):
                some = slots[at : at + CLOSE_CHUNK]
                self._show(day, some, self.ledger.metrics(self.scope, day, some))
            for records in self.outlooks.again(day, slots, self.scope):
                self.publisher.packed("outlooks", records)
                self.counts.add("outlooks", records.records)
        self.publisher.queue_anew(slots, version, both=both)

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call."""
        return [
            *self.profiles.take_rows(),
            *self.facts.take_rows(),
            *self.lifecycle.take_rows(),
            *self.outlooks.take_rows(),
            *self.outlook_alerts.take_rows(),
            *self.cases.take_rows(),
            *self.states.take_rows(),
            *self.case_desk.take_rows(),
            *self.transaction_counts.take_rows(),
            *self.flows.take_rows(),
            *self.packs.take_rows(),
            *self.layers.take_rows(),
        ]

    def load(self, given: Rows) -> None:
        """Rows back, by their first byte; a later one counts."""
        kinds = given.raw[given.key]
        for key, load in (
            (RowKey.CUSTOMER, self.profiles.load),
            (RowKey.TRANSACTION_COUNTS, self.transaction_counts.load),
            (RowKey.FLOW_SERIES, self.flows.load_series),
            (RowKey.FLOWS, self.flows.load),
            (RowKey.FLOW_REVERSALS, self.flows.reversals.load),
            (RowKey.OUTLOOK, self.outlooks.load),
            (RowKey.OUTLOOK_ALERTS, self.outlook_alerts.load),
            (RowKey.CASES, self.cases.load),
            (RowKey.CASE_DESK, self.case_desk.load),
            (RowKey.STATE_ALERTS, self.states.load),
        ):
            load(given.take(kinds == key[0]))
        self._unread.append(given.take(np.isin(kinds, np.frombuffer(AFTER_PACKS, np.uint8))))
