"""Alerts of states that last, looked at by each close: cards and reviews that come, breaks, inflow, products that mature.

A rule is raised at the close at which it is met for the first time, deepens where its amount grows, and is closed at the one
at which it is met no more. Columns for all, Python only for those who get a step. Rows go out in the transaction of the step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.decide.cases.desk import CaseDesk, care_fields
from agents.standing.decide.cases.outflow import OutflowCases
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.intake.facts import CustomerFacts
from agents.standing.model import RowKey, Tally
from agents.standing.publish.publisher import OutputPublisher
from policies.compiled.pack import CompiledPack
from policies.lifecycle.state import next_review
from policies.model.pack import CaseTerms, StateRule
from streams.accounts.entries import BASE, HORIZON_DAYS
from streams.accounts.findings import Break
from streams.accounts.store import Array
from streams.alerts.acts import RESOLVE, STEPS_OF_ACTS, WAKE, CaseAct, CaseCare
from streams.alerts.kinds import INFLOW_DAYS
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.alerts.outflow import SHARE_ONE, in_base
from streams.averages.metrics import AUM
from streams.calendar import NO_DAY, date_of
from streams.reference import customer_ref
from streams.vocabulary.terms import BALANCE_BREAK, CARD_EXPIRY, LARGE_INFLOW, PRODUCT_MATURING, REVIEW_DUE, STATE_KINDS

_CLOSED: Final = "closed"
BREAKS_MAX: Final = 32  # remembered a customer, the largest
_MINUTE_MS: Final = 60_000


@dataclass(slots=True)
class LastingAlert:
    """An alert whose rule was met at the last close. open: no act has resolved it. due: NO_DAY where a kind has none."""

    raised: int
    due: int
    amount: int  # as told last
    open: bool


class StateAlerts:
    """See the module."""

    def __init__(
        self, publisher: OutputPublisher, lifecycle: LifecycleDecider, facts: CustomerFacts, outflow: OutflowCases, counts: Tally
    ) -> None:  # fmt: skip
        self.publisher, self.ledger, self.lifecycle = publisher, publisher.ledger, lifecycle
        self.facts, self.outflow, self.counts = facts, outflow, counts
        self.desk: CaseDesk = outflow.desk
        self.desk.kinds.update(dict.fromkeys(STATE_KINDS, self))
        self._fields = publisher.fields("rm-alerts")
        self.rules: dict[str, StateRule] = {}
        self.standing: dict[int, dict[str, LastingAlert]] = {}
        self.breaks: dict[int, dict[str, tuple[int, int]]] = {}  # account and instant: day and amount without its sign
        # Whose inflow may meet a rule without another event: by postings of days to come, another tier, a rate. None: not known.
        self._may_meet: Array | None = None
        self._changed: set[int] = set()

    def use(self, pack: CompiledPack, scope: int) -> None:
        """Rules of another pack from now on; alerts of rules that it does not have are forgotten."""
        self.pack, self.scope, self.rules = pack, scope, {rule.id: rule for rule in pack.states.rules}
        self._may_meet = None
        for slot, mine in self.standing.items():
            for name in [name for name in mine if name not in self.rules]:
                self.desk.forget(slot, self._id(slot, name, mine.pop(name).raised))
                self._changed.add(slot)

    # -- closes

    def close(self, day: int, touched: Array, breaks: Iterable[Break]) -> None:
        """Steps of a close, behind everything that it has decided."""
        if not self.rules:
            return
        if any(rule.kind == BALANCE_BREAK for rule in self.rules.values()):
            self._note_breaks(day, breaks)
        for name, rule in self.rules.items():
            met = self._MET[rule.kind](self, rule, day, touched)
            for slot in [slot for slot, mine in self.standing.items() if name in mine and slot not in met]:
                self._over(slot, name, day)
            for slot, (due, amount) in sorted(met.items()):
                self._met(slot, name, due, amount, day)

    def _over(self, slot: int, name: str, day: int) -> None:
        last = self.standing[slot].pop(name)
        self._changed.add(slot)
        if last.open:
            self._tell(slot, name, _CLOSED, last, day)

    def _met(self, slot: int, name: str, due: int, amount: int, day: int) -> None:
        mine = self.standing.setdefault(slot, {})
        last = mine.get(name)
        if last is None or last.due != due:
            if last is not None:
                self._over(slot, name, day)  # another card, review or product
            mine[name] = LastingAlert(day, due, amount, True)
            self._tell(slot, name, RAISED, mine[name], day)
        elif last.open and amount > 0 and 2 * amount >= 3 * last.amount:
            last.amount = amount
            self._tell(slot, name, DEEPENED, last, day)
        else:
            return
        self._changed.add(slot)

    # -- what meets a rule: by slot, the day that comes and an amount

    def _cards(self, _rule: StateRule, day: int, _touched: Array) -> dict[int, tuple[int, int]]:
        found = {}
        for slot in self.lifecycle.reminded("renewal", day).tolist():
            state = self.lifecycle.own(slot)
            last = None if state is None or state.card is None else state.card.last_day
            if last is not None and day <= last:
                found[slot] = (last, 0)
        return found

    def _reviews(self, _rule: StateRule, day: int, _touched: Array) -> dict[int, tuple[int, int]]:
        found = {}
        for slot in self.lifecycle.reminded("review", day).tolist():
            state, table = self.lifecycle.own(slot), self.lifecycle.table(slot)
            due = None if state is None or table is None else next_review(table.policy, state)
            if due is not None:
                found[slot] = (due, 0)
        return found

    def _maturing(self, rule: StateRule, day: int, _touched: Array) -> dict[int, tuple[int, int]]:
        slots, days = self.facts.near(rule.fact, day, day + rule.days_ahead)
        return {slot: (due, 0) for slot, due in zip(slots.tolist(), days.tolist(), strict=True)}

    def _broken(self, rule: StateRule, _day: int, _touched: Array) -> dict[int, tuple[int, int]]:
        most = {slot: max(amount for _, amount in mine.values()) for slot, mine in self.breaks.items() if mine}
        return {slot: (NO_DAY, amount) for slot, amount in most.items() if 0 <= self._least(rule, slot) <= amount}

    def _inflows(self, rule: StateRule, day: int, touched: Array) -> dict[int, tuple[int, int]]:
        before = [slot for slot, mine in self.standing.items() if rule.id in mine]
        others = np.arange(self.ledger.customers.count) if self._may_meet is None else self._may_meet
        slots = np.union1d(np.union1d(touched, others), np.array(before, np.int64)).astype(np.int64)
        amounts, later = self.net_in(slots, day)
        self._may_meet = slots[later | (amounts >= self._least_inflow())]
        found = {}
        for i in np.flatnonzero(amounts).tolist():
            slot, amount = int(slots[i]), int(amounts[i])
            if 0 <= self._least(rule, slot) <= amount and amount * SHARE_ONE >= self._share(rule, slot) * self._aum(
                slot
            ):
                found[slot] = (NO_DAY, amount)
        return found

    def _least_inflow(self) -> int:
        """The least amount that meets a rule on inflow in any tier."""
        states = self.pack.states
        least = [states.at_least_minor[at] for at, rule in enumerate(states.rules) if rule.kind == LARGE_INFLOW]
        watched = np.concatenate(least)
        return int(watched[watched >= 0].min(initial=1 << 62))

    def net_in(self, slots: Array, day: int) -> tuple[Array, Array]:
        """int64[n] and bool[n]: what came in net within the days up to a close; whether postings of later days are there."""
        cases = self.outflow.rules
        banks = np.zeros(len(self.ledger.banks) + 1, np.int64) if cases is None else cases.banks
        settle_ms = CaseTerms().settle_minutes * _MINUTE_MS if cases is None else int(cases.settle_ms[0])
        return self.ledger.net_in(self.scope, banks, settle_ms, slots, day - INFLOW_DAYS + 1, day)

    _MET: Final = {
        CARD_EXPIRY: _cards, REVIEW_DUE: _reviews, PRODUCT_MATURING: _maturing, BALANCE_BREAK: _broken, LARGE_INFLOW: _inflows,
    }  # fmt: skip

    def _least(self, rule: StateRule, slot: int) -> int:
        """The amount for the customer's tier; -1 where the rule does not watch it."""
        return self._by_tier(self.pack.states.at_least_minor, rule, slot)

    def _share(self, rule: StateRule, slot: int) -> int:
        """Basis points for the customer's tier; out of reach where the rule does not watch it."""
        share = self._by_tier(self.pack.states.share_bp, rule, slot)
        return share if share >= 0 else SHARE_ONE + 1

    def _by_tier(self, values: Array, rule: StateRule, slot: int) -> int:
        tier = self.publisher.profiles.tier_name(slot)
        at = self.pack.tier_ids.index(tier) if tier in self.pack.tier_ids else 0
        return int(values[self.pack.states.rules.index(rule), at])

    def _aum(self, slot: int) -> int:
        found = self.ledger.metrics(self.scope, self.ledger.closed, np.array([slot], np.int64))
        return max(int(found.units[0, AUM]), 0)

    def _note_breaks(self, day: int, breaks: Iterable[Break]) -> None:
        """Breaks that were found, changed or explained; those of more than 35 days ago can't be explained any more."""
        ledger = self.ledger
        for slot, mine in self.breaks.items():
            for place in [place for place, (on, _) in mine.items() if on < day - HORIZON_DAYS]:
                del mine[place]
                self._changed.add(slot)
        for one in breaks:
            slot = ledger.owner_of(one.account)
            mine, place = self.breaks.setdefault(slot, {}), f"{ledger.account_id(one.account)}/{one.instant}"
            currency, base = ledger.currency_of(one.account), int(ledger.clock[BASE])
            amount = int(in_base(ledger.rates.table(), base, currency, one.day, abs(one.now))[0])
            if one.now == 0:
                mine.pop(place, None)
            else:
                mine[place] = (one.day, amount)
            if len(mine) > BREAKS_MAX:
                del mine[min(mine, key=lambda name: mine[name][1])]
            self._changed.add(slot)

    # -- steps

    def _id(self, slot: int, name: str, raised: int) -> str:
        return customer_ref(self.publisher.alert_key, f"{self.ledger.customer_id(slot)}/{name}/{date_of(raised)}")

    def _tell(self, slot: int, name: str, status: str, last: LastingAlert, day: int) -> None:
        case_id, cause = self._id(slot, name, last.raised), self.publisher.close_name(day)
        step = CaseCare(case_id, self.rules[name].kind, f"{case_id}/{status}/{cause}", day, last.amount)
        self._record(slot, name, status, last, self.desk.told(slot, step, status), cause, f"close/{date_of(day)}", None)
        self.counts.add("alerts", status != _CLOSED)

    def _record(
        self, slot: int, name: str, status: str, last: LastingAlert, care: CaseCare, cause: str, caused_by: str,
        act: CaseAct | None,
    ) -> None:  # fmt: skip
        publisher, profiles, rule = self.publisher, self.publisher.profiles, self.rules[name]
        customer_id, aum = self.ledger.customer_id(slot), self._aum(slot)
        is_inflow, no_figure = rule.kind == LARGE_INFLOW, None if publisher.has_nulls else 0
        record: dict[str, Any] = {
            "alert_id": care.case_id, "event_id": f"{care.case_id}/{status}/{cause}", "customer_id": customer_id,
            "rule": name, "severity": rule.severity, "status": status,
            "window_days": INFLOW_DAYS if is_inflow else no_figure, "outflow_minor": no_figure, "reference_aum_minor": aum,
            "share_bp": last.amount * SHARE_ONE // aum if is_inflow and aum > 0 else no_figure,
            "tier": profiles.tier_name(slot), "branch": profiles.branch(slot) or "",
            "rm_id": care.owner or profiles.rm(slot), "raised_day": last.raised, "caused_by": caused_by,
            "counterparties": [], "pack_id": self.pack.pack_id, "pack_version": self.pack.version, "kind": rule.kind,
            "due_day": None if last.due == NO_DAY else last.due, "amount_minor": last.amount or None,
        } | care_fields(care, act)  # fmt: skip
        publisher.put("rm-alerts", customer_id, {field: record[field] for field in record if field in self._fields})

    # -- acts

    def _of_case(self, slot: int, case_id: str) -> tuple[str, LastingAlert]:
        """The rule and alert of an open case."""
        return next(
            (name, last) for name, last in self.standing[slot].items() if self._id(slot, name, last.raised) == case_id
        )

    def acted(self, slot: int, care: CaseCare, act: CaseAct) -> None:
        """See agents.standing.decide.cases.desk.CaseKind."""
        (name, last), status = self._of_case(slot, care.case_id), STEPS_OF_ACTS[act.action]
        if act.action == RESOLVE:
            last.open = False
            self._changed.add(slot)
            care = self.desk.told(slot, care, status)
        self._record(slot, name, status, last, care, act.event_id, act.event_id, act)

    def woke(self, slot: int, care: CaseCare, day: int) -> None:
        """See agents.standing.decide.cases.desk.CaseKind."""
        name, last = self._of_case(slot, care.case_id)
        cause = self.publisher.close_name(day)
        self._record(slot, name, STEPS_OF_ACTS[WAKE], last, care, cause, f"close/{date_of(day)}", None)

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows of the customers changed since the last call, in order of their slots."""
        out: list[Pair] = []
        for slot in sorted(self._changed):
            alerts = {name: astuple(last) for name, last in sorted(self.standing.get(slot, {}).items())}
            row = {"alerts": alerts, "breaks": dict(sorted(self.breaks.get(slot, {}).items()))}
            key = RowKey.STATE_ALERTS + self.ledger.customer_id(slot).encode()
            out.append((key, json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; later ones count."""
        for key, value in rows:
            slot = self.ledger.customer(key[len(RowKey.STATE_ALERTS) :].decode())
            saved: Mapping[str, Any] = json.loads(value or b"")
            self.standing[slot] = {name: LastingAlert(*last) for name, last in saved["alerts"].items()}
            self.breaks[slot] = {place: (day, amount) for place, (day, amount) in saved["breaks"].items()}
