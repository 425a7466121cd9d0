"""Outflow cases of a partition's customers: looked at after each transaction's postings, settled by the closes.

What has been told is kept beside the anchor, the case as of the last settled day; both rows go out in the transaction of
the step (docs/alerts.md#cases). Columns for all, Python only for those who get a step.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.decide.cases.desk import CORRECTED, CaseDesk, care_fields
from agents.standing.intake.facts import grown
from agents.standing.model import RowKey, Tally
from agents.standing.publish.publisher import COUNTERPARTIES_MAX, OutputPublisher
from policies.compiled.pack import CompiledCases, CompiledPack
from schemas.codec.blocks import Columns
from streams.accounts.entries import HORIZON_DAYS
from streams.accounts.findings import Candidate
from streams.accounts.store import Array
from streams.alerts import cases, flow
from streams.alerts.acts import RESOLVE, STEPS_OF_ACTS, WAKE, CaseAct, CaseCare
from streams.alerts.cases import CASE, IS_OPEN, NO_END, CaseRules
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.alerts.outflow import NEVER, SHARE_ONE
from streams.calendar import NO_DAY
from streams.fields import OK, P_BRANCH, P_CUSTOMER
from streams.reference import customer_ref
from streams.vocabulary.terms import OUTFLOW, SEVERITIES
from streams.workdays import weekday

CASE_ENDS: Final = {cases.CASE_RETRACTED: "retracted", cases.CASE_EXPIRED: "expired", cases.CASE_RESOLVED: "resolved"}
_FIGURES: Final = ("opened", "severity", "net", "reference", "rules")
_EVENT_ID = 0  # column of postings
_MINUTE_MS: Final = 60_000
PLACES_MIN: Final = 16  # of customers with a case
_NONE: Final = -1
_Causes = Callable[[Array], Mapping[int, tuple[str, str]]]  # event ids and branches of slots


class OutflowCases:
    """See the module. Without cases in the pack it does nothing."""

    def __init__(self, publisher: OutputPublisher, calendar: Mapping[int, bool], desk: CaseDesk, counts: Tally) -> None:
        self.publisher, self.ledger, self.calendar, self.counts = publisher, publisher.ledger, calendar, counts
        self.desk = desk
        self._act: CaseAct | None = None  # a resolution that is under way
        desk.kinds[OUTFLOW] = self
        self._fields = publisher.fields("rm-alerts")
        self.compiled: CompiledCases | None = None
        self.rules: CaseRules | None = None
        self.ids: tuple[str, ...] = ()
        self.anchored = NO_END  # the day that anchors are as of
        self.flow_since = NO_DAY  # the first day of which flow is known, where it was not known always
        self._calendar_known: dict[int, bool] = {}
        self._place = np.full(0, _NONE, np.int32)  # by slot: a place in what follows
        self._slots = np.zeros(0, np.int64)
        self._anchors, self._told = np.zeros(0, CASE), np.zeros(0, CASE)
        self._case_ids: list[str] = []
        self._wanted: set[int] = set()  # slots of those who want a look
        self._read: list[
            tuple[Columns, int, int]
        ] = []  # rows of postings since the last look, from the first of those on
        self._changed: set[int] = set()  # places

    # -- rules

    def use(self, pack: CompiledPack, scope: int) -> None:
        """The rules of a pack from now on. Rules that it does not have are forgotten in cases that are open."""
        before, self.compiled, self.pack = self.ids, pack.cases, pack
        self._wanted.clear()
        if pack.cases is None:
            self.rules, self.ids, self.anchored = None, (), NO_END
            self._anchors, self._told = cases.new_cases(len(self._slots)), cases.new_cases(len(self._slots))
            self._changed.update(range(len(self._case_ids)))
            self.desk.drop(OUTFLOW)
            self.ledger.use_cases(None)
            return
        self.ids = pack.cases.rules.ids
        self.rules = self._columns(pack.cases, scope)
        shares = np.where(self.rules.share_bp == NEVER, NEVER, self.rules.floor)
        self.ledger.use_cases(self.rules, max(int(min(self.rules.absolute.min(), shares.min())), 1))
        self.begin()
        if before and before != self.ids:
            for kept in (self._anchors, self._told):
                kept["rules"] = [self._mask(_names(int(mask), before)) for mask in kept["rules"]]

    def begin(self) -> None:
        """Everything has been loaded. Where closes went by without cases, flow is known of the postings still held."""
        if self.rules is not None and self.anchored == NO_END and self.ledger.closed != NO_DAY:
            self.flow_since = self.ledger.closed - HORIZON_DAYS

    def _know_calendar(self) -> None:
        """The bank's calendar as it is known now."""
        assert self.rules is not None
        if self.calendar != self._calendar_known:
            self._calendar_known = dict(self.calendar)
            odd = [day for day, is_open in self.calendar.items() if bool(is_open) != weekday(day)]
            self.rules = self.rules._replace(odd_days=np.array(sorted(odd), np.int64))

    def _columns(self, given: CompiledCases, scope: int) -> CaseRules:
        rules, terms = given.rules, given.terms
        banks = np.zeros(len(self.ledger.banks) + len(terms.own_banks) + len(terms.internal_banks), np.int64)
        for kind, names in ((flow.BANK_OWN, terms.own_banks), (flow.BANK_INTERNAL, terms.internal_banks)):
            for name in names:
                banks[self.ledger.banks.code(name)] = kind
        each_max = np.where(rules.drip_count > 0, rules.each_at_most_minor, 0)
        self._calendar_known = {}
        return CaseRules(
            rules.window_days, given.gross, given.one_bank, rules.absolute_minor, rules.share_bp, rules.floor_minor,
            rules.drip_count, each_max, rules.cool_down_days, rules.severity, banks, np.array([scope], np.int64),
            np.array([terms.return_days], np.int64), np.array([terms.settle_days], np.int64),
            np.array([terms.settle_minutes * _MINUTE_MS], np.int64), np.zeros(0, np.int64),
        )  # fmt: skip

    def _mask(self, names: list[str]) -> int:
        return sum(1 << self.ids.index(name) for name in names if name in self.ids)

    # -- between closes

    def take(self, columns: Columns, first: int, last: int, found: list[Candidate]) -> None:
        """Postings in rows [first, last) have been taken, and those of customers who want a look are found."""
        if found or self._wanted:
            self._wanted.update(one.customer for one in found)
            self._read.append((columns, first, last))

    def look(self) -> None:
        """Provisional steps of the customers found since the last look. A step names the last posting of the customer."""
        if self._wanted:
            self._reserve()
            self._fold(np.array(sorted(self._wanted), np.int64), _NONE, self._last_postings)
        self._wanted.clear()
        self._read.clear()

    def _last_postings(self, slots: Array) -> dict[int, tuple[str, str]]:
        """Event ids and branches of what was read last of customers who want a look: the log tells what had been read."""
        out: dict[int, tuple[str, str]] = {}
        for columns, first, last in reversed(self._read):
            found = np.full(len(slots), _NONE, np.int64)
            part = slice(first, last)
            self.ledger.customers.last_rows(
                columns.raw, columns.data[part, P_CUSTOMER], columns.status[part] == OK, slots, found
            )
            for slot, row in zip(slots[found >= 0].tolist(), found[found >= 0].tolist(), strict=True):
                texts = columns.data[first + row]
                out[slot] = columns.text_at(int(texts[_EVENT_ID])) or "", columns.text_at(int(texts[P_BRANCH])) or ""
            slots = slots[found < 0]
            if not len(slots):
                return out
        raise AssertionError("a customer wants a look for no posting")

    # -- closes

    def close(self, day: int) -> None:
        """Settles the days that only now nothing can change any more, and publishes the difference."""
        if self.rules is None:
            return
        self._reserve()
        is_open = (self._anchors["state"] == IS_OPEN) | (self._told["state"] == IS_OPEN)
        slots = np.union1d(self.ledger.may_fire(), self._slots[is_open])
        self._fold(np.union1d(slots, self.desk.resolved_slots()), day, _one(self._close(day)))
        self.anchored = day - int(self.rules.settle_days[0])
        self.desk.settle(self.anchored)

    def _close(self, day: int) -> str:
        return f"close/{self.publisher.close_name(day)}"

    def _fold(self, slots: Array, close: int, causes: _Causes) -> None:
        """Folds customers from their anchors, tells what differs from what was told; close NO_DAY: provisional."""
        self._know_calendar()
        assert self.rules is not None
        n, live = len(slots), close == _NONE
        places = self._place[slots]
        now, anchors, told = cases.new_cases(n), cases.new_cases(n), cases.new_cases(n)
        known = places >= 0
        now[known], told[known] = self._anchors[places[known]], self._told[places[known]]
        anchors[:] = now
        last, gross = np.full(n, close, np.int64), np.zeros(n, np.int64)
        anchor_day = NO_END if live else close - int(self.rules.settle_days[0])
        self.ledger.fold_cases(
            self.rules, slots, now, anchors, self.anchored, anchor_day, last, self.desk.resolved_days(slots), gross
        )
        if not live:
            self._keep_anchors(slots, anchors)
        differing = np.flatnonzero(_differs(now, told, live=live))
        if len(differing):
            found = causes(slots[differing])
            for i in differing.tolist():
                slot = int(slots[i])
                self._tell(slot, now[i], told[i], int(last[i]), int(gross[i]), found[slot], live=live)

    def _keep_anchors(self, slots: Array, anchors: Array) -> None:
        for i in np.flatnonzero((anchors["number"] > 0) | (self._place[slots] >= 0)).tolist():
            place = self._at(int(slots[i]))
            if self._anchors[place].tobytes() != anchors[i].tobytes():
                self._anchors[place] = anchors[i]
                self._changed.add(place)

    # -- steps

    def _tell(
        self, slot: int, now: Any, told: Any, day: int, gross: int, cause: tuple[str, str], *, live: bool
    ) -> None:
        """The steps from what was told to the case as it is now; one or two."""
        place, (event_id, branch) = self._at(slot), cause
        case_id, said = self._case_ids[place], told.copy()

        def step(status: str, case: Any) -> None:
            left = gross if case["number"] == now["number"] else 0  # nothing is left of a case that is another one now
            self._publish(slot, case_id, status, case, day, left, event_id, branch, live=live)

        if told["state"] == IS_OPEN and (now["state"] != IS_OPEN or now["number"] > told["number"]):
            end = cases.CASE_RETRACTED
            if now["number"] == told["number"]:
                said["net"], end = now["net"], int(now["state"]) or end
            elif self.desk.resolved_since(slot, int(told["opened"])):
                end = cases.CASE_RESOLVED
            else:
                said["net"] = 0
            step(CASE_ENDS[end], said)
            said["state"] = cases.CASE_RETRACTED
        if now["state"] == IS_OPEN and said["state"] != IS_OPEN:
            case_id = customer_ref(
                self.publisher.alert_key, f"{self.ledger.customer_id(slot)}/{OUTFLOW}/{now['number']}/{event_id}"
            )
            self._case_ids[place] = case_id
            step(RAISED, now)
            said = now.copy()
            said["told_net"] = now["net"]
        elif now["state"] == IS_OPEN:
            deeper = _deeper(now, told)
            step(DEEPENED if deeper else CORRECTED, now)
            said = now.copy()
            said["told_net"] = now["net"] if deeper else told["told_net"]
        else:
            said = now.copy()
        self._told[place] = said
        self._changed.add(place)

    def _publish(
        self, slot: int, case_id: str, status: str, case: Any, day: int, gross: int, event_id: str, branch: str, *,
        live: bool,
    ) -> None:  # fmt: skip
        """A step of the fold."""
        step_id = f"{case_id}/{status}/{event_id}"
        care = self.desk.told(slot, CaseCare(case_id, OUTFLOW, step_id, day, gross), status)
        self._record(slot, status, case, care, event_id, self._act, branch=branch, live=live)

    def acted(self, slot: int, care: CaseCare, act: CaseAct) -> None:
        """See agents.standing.decide.cases.desk.CaseKind."""
        if act.action != RESOLVE:
            told = self._told[self._place[slot]]
            self._record(slot, STEPS_OF_ACTS[act.action], told, care, act.event_id, act)
            return
        assert self.rules is not None
        closed, day = self.ledger.closed, max(act.day, care.day)
        is_late = closed != NO_DAY and day <= closed - int(self.rules.settle_days[0])
        self.desk.resolve(slot, closed + 1 if is_late else day)
        self._act = act
        self._fold(np.array([slot]), _NONE, _one(act.event_id))
        self._act = None

    def woke(self, slot: int, care: CaseCare, day: int) -> None:
        """See agents.standing.decide.cases.desk.CaseKind."""
        self._record(slot, STEPS_OF_ACTS[WAKE], self._told[self._place[slot]], care, self._close(day), None)

    def _record(
        self, slot: int, status: str, case: Any, care: CaseCare, event_id: str, act: CaseAct | None, *,
        branch: str = "", live: bool = False,
    ) -> None:  # fmt: skip
        """A step, of the fields that the written version of the contract has. Figures of an act's are those told last."""
        assert self.compiled is not None
        publisher, profiles, rules = self.publisher, self.publisher.profiles, self.compiled.rules
        met = _names(int(case["rules"]), self.ids)
        main = max(met, key=lambda name: (rules.severity[self.ids.index(name)], -self.ids.index(name)), default="")
        net, reference, customer_id = int(case["net"]), int(case["reference"]), self.ledger.customer_id(slot)
        start = int(case["start"]) + 1
        since = self.flow_since if self.flow_since != NO_DAY and start < self.flow_since else None
        record: dict[str, Any] = {
            "alert_id": care.case_id, "event_id": f"{care.case_id}/{status}/{event_id}", "customer_id": customer_id,
            "rule": main, "severity": SEVERITIES[int(case["severity"])], "status": status,
            "window_days": int(rules.window_days[self.ids.index(main)]) if main else 0, "outflow_minor": net,
            "reference_aum_minor": reference,
            "share_bp": max(net, 0) * SHARE_ONE // reference if reference > 0 else SHARE_ONE,
            "tier": profiles.tier_name(slot), "branch": profiles.branch(slot) or branch,
            "rm_id": care.owner or profiles.rm(slot), "raised_day": int(case["opened"]), "caused_by": event_id,
            "counterparties": self._counterparties(slot, int(case["start"]), care.day), "pack_id": self.pack.pack_id,
            "pack_version": self.pack.version, "kind": OUTFLOW, "provisional": live, "gross_minor": care.gross,
            "rules": met, "start_day": start, "flow_since": since,
        } | care_fields(care, act)  # fmt: skip
        written = {field: value for field, value in record.items() if field in self._fields}
        publisher.put("rm-alerts", customer_id, written)
        self.counts.add("alerts", status in (RAISED, DEEPENED))

    def _counterparties(self, slot: int, start: int, day: int) -> list[dict[str, Any]]:
        """The outside banks that got most since the case's start, of the 35 days held, in base minor units rounded down."""
        ledger, rules = self.ledger, self.rules
        assert rules is not None
        m = ledger.moves(rules, slot)
        gone = Counter[str]()
        out = (m.bank >= 0) & (m.amount < 0) & (m.scope > 0) & (m.is_a == flow.OUTSIDE) & (m.complete > day)
        for i in np.flatnonzero(out & (m.day > start) & (m.day <= day)).tolist():
            gone[ledger.banks.text(int(m.bank[i]))] += int(m.units[i])
        return [{"bank": bank, "amount_minor": amount} for bank, amount in gone.most_common(COUNTERPARTIES_MAX)]

    # -- state

    @property
    def nbytes(self) -> int:
        """Of the columns."""
        return sum(column.nbytes for column in (self._place, self._slots, self._anchors, self._told))

    def _reserve(self) -> None:
        self._place = grown(self._place, self.ledger.customers.count, _NONE)

    def _at(self, slot: int) -> int:
        """The place of a customer, made if he has none."""
        if (place := int(self._place[slot])) < 0:
            place = len(self._case_ids)
            self._place[slot] = place
            self._case_ids.append("")
            if place == len(self._slots):  # doubled, since there may be as many cases as customers
                more = cases.new_cases(max(place, PLACES_MIN))
                self._slots = grown(self._slots, place + len(more), _NONE)
                self._anchors = np.concatenate((self._anchors, more))
                self._told = np.concatenate((self._told, more))
            self._slots[place] = slot
            self.ledger.keep_case(slot)
        return place

    def open_cases(self) -> dict[str, dict[str, Any]]:
        """By customer, the cases that stand as told: opening day, severity, net, reference and rules."""
        return {
            self.ledger.customer_id(int(self._slots[i])): {
                "opened": int(self._told[i]["opened"]), "severity": SEVERITIES[int(self._told[i]["severity"])],
                "net": int(self._told[i]["net"]), "reference": int(self._told[i]["reference"]),
                "rules": tuple(_names(int(self._told[i]["rules"]), self.ids)),
            }
            for i in np.flatnonzero(self._told["state"] == IS_OPEN).tolist()
        }  # fmt: skip

    def progress(self) -> dict[str, int]:
        """What holds for all customers, for the row of progress; nothing without cases."""
        return {} if self.rules is None else {"cases_as_of": self.anchored, "flow_since": self.flow_since}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Out of a row of progress; older ones have none."""
        self.anchored = saved.get("cases_as_of", self.anchored)
        self.flow_since = saved.get("flow_since", self.flow_since)

    def take_rows(self) -> list[Pair]:
        """Rows of the customers changed since the last call, in order of their slots."""
        out: list[Pair] = []
        for place in sorted(self._changed, key=lambda one: int(self._slots[one])):
            kept = {
                name: [*(int(x) for x in column[place].item()), _names(int(column[place]["rules"]), self.ids)]
                for name, column in (("a", self._anchors), ("t", self._told))
            }
            key = RowKey.CASES + self.ledger.customer_id(int(self._slots[place])).encode()
            out.append((key, json.dumps(kept | {"id": self._case_ids[place]}, separators=(",", ":")).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; later ones count."""
        for key, value in rows:
            slot, saved = self.ledger.customer(key[len(RowKey.CASES) :].decode()), json.loads(value or b"")
            self._reserve()
            place = self._at(slot)
            self._case_ids[place] = saved["id"]
            for name, column in (("a", self._anchors), ("t", self._told)):
                *numbers, met = saved[name]
                column[place] = tuple(numbers)
                column[place]["rules"] = self._mask(met)


def _one(event_id: str) -> _Causes:
    """The same cause for all."""
    return lambda slots: dict.fromkeys(slots.tolist(), (event_id, ""))


def _names(mask: int, ids: tuple[str, ...]) -> list[str]:
    return [name for at, name in enumerate(ids) if mask >> at & 1]


def _deeper(now: Any, told: Any) -> Any:
    """Whether a case that stands is worth telling again."""
    further = (now["severity"] > told["severity"]) | ((now["rules"] & ~told["rules"]) != 0)
    return further | (2 * now["net"] >= 3 * told["told_net"])


def _differs(now: Array, told: Array, *, live: bool) -> Array:
    """bool[n]: customers with a step. Live, figures alone are none."""
    was, stands = told["state"] == IS_OPEN, now["state"] == IS_OPEN
    other = (was != stands) | (was & stands & (now["number"] > told["number"]))
    both = was & stands & _deeper(now, told)
    if not live:
        for name in _FIGURES:
            both |= was & stands & (now[name] != told[name])
    found: Array = other | both
    return found
