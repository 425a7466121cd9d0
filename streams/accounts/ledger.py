"""The ledger of one partition: takes blocks of events, moves with day closes, gives metrics, and turns into rows.

An account's state is a function of the set of events within the arrival horizon (docs/aum.md#set-law).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from streams.accounts import day_close, rows
from streams.accounts.customers import Customers
from streams.accounts.entries import BASE, CLOSED, HORIZON_DAYS, HORIZON_MS, KEEP_FROM, LEAST, OPEN, RING_FROM, SETTLE
from streams.accounts.findings import Break, Candidate, Restated, UnmatchedReversal
from streams.accounts.postings import BOOKED_UNTIL, COUNTERS, NEWEST, Lookups, Zone, fold_postings
from streams.accounts.reversals import partners, settle
from streams.accounts.snapshots import fold_snapshots
from streams.accounts.store import (
    DIRTY,
    ID_BYTES_MAX,
    LATE,
    SHARED_ID_BYTES_MAX,
    Array,
    Names,
    Store,
    StoreColumns,
    add,
    find,
    id_bytes_of,
    id_of,
    new_customer,
)
from streams.alerts.cases import CaseRules, fold_cases
from streams.alerts.flow import CustomerMoves, moves
from streams.alerts.flow_days import fold_flow
from streams.alerts.inflow import net_in
from streams.alerts.outflow import Candidates, Rules, no_rules, refresh_bounds, weight
from streams.alerts.watching import CaseWatch
from streams.averages.metrics import Metrics, late_customers, metrics, months_now_and_before
from streams.averages.missing_rates import missing_of_metrics, missing_rates
from streams.averages.spans import span_sums
from streams.calendar import DAY_MAX, month_of, zone_table
from streams.fx import Rates
from streams.money import CURRENCIES, NANO, scaled
from streams.vocabulary.terms import ASSET_CLASSES

ENTRIES_AHEAD = 1 << 14
ROWS_BUFFER_BYTES = 4 << 20
_NO_CLASS = "\0"  # no text of an event has it


class Ledger:
    """See the module. `scope` and `rules` come from the pack; amounts are minor units."""

    def __init__(self, base_currency: str, zone: str) -> None:
        self.columns, self.zone_name, self.base_currency = StoreColumns(), zone, base_currency
        self.customers = Customers(self.columns)
        self.zone = Zone(*zone_table(zone))
        self.currencies, self.classes, self.sources = Names(CURRENCIES), Names(), Names()
        self.listed, self.banks = Names(ASSET_CLASSES), Names()
        self.clock = day_close.new_clock(CURRENCIES.index(base_currency))
        self.rates = Rates(base_currency)
        self.rules: Rules = no_rules()
        self.cases: CaseRules | None = None
        self.watch = CaseWatch()
        self._touched = np.zeros(0, np.int64)  # customers with an event since the close before
        self.counters = np.zeros(COUNTERS, np.int64)
        self._flushing = 0  # rows still to be taken of a flush that is spread

    # -- what it knows

    @property
    def store(self) -> Store:
        """The arrays as kernels see them."""
        return self.columns.store

    @property
    def closed(self) -> int:
        """The last closed day, -1 before the first close."""
        return int(self.clock[CLOSED])

    def customer_id(self, slot: int) -> str:
        """The id of a customer."""
        return self.customers.id(slot)

    def account_id(self, slot: int) -> str:
        """The id of an account."""
        return id_of(self.store.account_ids, slot)

    def account_ids(self) -> Array:
        """uint8: the ids of all accounts, one behind the other."""
        return self.store.account_ids.arena

    def account_refs(self, slots: Array) -> Array:
        """int64[n]: references into `account_ids`."""
        refs: Array = self.store.accounts["ref"][slots]
        return refs

    def owner_of(self, account: int) -> int:
        """The customer of an account."""
        return int(self.store.accounts["customer"][account])

    def claims_of(self, slots: Array) -> tuple[Array, Array]:
        """(customer, smallest value date seen) of accounts, n each."""
        accounts = self.store.accounts
        return accounts["customer"][slots], accounts["first_day"][slots]

    def currency_of(self, account: int) -> int:
        """The code of an account's currency."""
        return int(self.store.accounts["currency"][account])

    def scope_of(self, classes: Iterable[str]) -> int:
        """The bit mask of asset classes; a class not seen yet gets its code now."""
        mask = 0
        for name in classes:
            mask |= 1 << self.classes.code(name)
        return mask

    def use_rules(self, found: Rules) -> None:
        """The outflow rules that postings are checked against from now on."""
        self.rules = found

    def use_cases(self, rules: CaseRules | None, least: int = 0) -> None:
        """The rules of alert cases from now on, and the least outflow that can meet one; None: there are none."""
        self.cases = rules
        self.clock[SETTLE] = -1 if rules is None else rules.settle_days[0]
        self.clock[LEAST] = least
        if rules is None:
            self.watch.forget()

    def keep_case(self, slot: int) -> None:
        """The customer has a case: from now on every posting of his is looked at."""
        self.watch.keep(self.store, slot)

    def fold_cases(
        self, rules: CaseRules, slots: Array, found: Array, anchors: Array, anchored: int, anchor_day: int, last: Array,
        resolved: Array, gross: Array,
    ) -> None:  # fmt: skip
        """As streams.alerts.cases.fold_cases."""
        fold_cases(
            self.store, self.banks.index, *self.zone, self.rates.table(), rules, self.clock, slots, found, anchors,
            anchored, anchor_day, last, resolved, gross,
        )  # fmt: skip

    def moves(self, rules: CaseRules, customer: int) -> CustomerMoves:
        """The postings held of a customer, with nature and pairs."""
        found: CustomerMoves = moves(
            self.store, self.banks.index, *self.zone, self.rates.table(), int(self.clock[BASE]), int(rules.scope[0]),
            rules.banks, int(rules.settle_ms[0]), HORIZON_DAYS - int(rules.settle_days[0]), customer,
        )  # fmt: skip
        return found

    def net_in(
        self, scope: int, banks: Array, settle_ms: int, slots: Array, first: int, last: int
    ) -> tuple[Array, Array]:
        """int64[n]: what came in net on the days [first, last]; bool[n]: whether postings of later days are there."""
        amounts, later = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.bool_)
        net_in(
            self.store, self.banks.index, *self.zone, self.rates.table(), int(self.clock[BASE]), scope, banks,
            np.int64(settle_ms), slots, first, last, amounts, later,
        )  # fmt: skip
        return amounts, later

    def may_fire(self) -> Array:
        """int64: slots of customers on whom a close that settles days may open a case."""
        return self.watch.may_fire(self.store, self.columns.customer_count, int(self.clock[LEAST]))

    def _lookups(self) -> Lookups:
        for names in (self.classes, self.sources, self.banks):
            names.reserve(64, 64 * 128)
        listed, classes = self.listed.index, self.classes.index
        return Lookups(self.currencies.index, listed, classes, self.sources.index, self.banks.index)

    # -- events

    def postings(
        self, raw: Array, data: Array, status: Array, field: Array, first: int, last: int, live: bool = True
    ) -> list[Candidate]:
        """Folds rows [first, last) whose status is 0 and sets status and field of each; rules met, in order."""
        met = self._candidates(max(last - first, 64))
        out: list[Candidate] = []
        while first < last:
            self.columns.reserve(last - first, _id_bytes(data, first, last, 3, 4), ENTRIES_AHEAD)
            met.found[0] = 0
            first = fold_postings(
                first, last, self.store, self._lookups(), self.zone, self.rates.table(), self.rules, self.clock,
                raw, data, status, field, met, self.counters, live,
            )  # fmt: skip
            k = int(met.found[0])
            out += map(Candidate._make, np.stack([column[:k] for column in met[1:]], 1).tolist()) if k else []
            if first < last:
                self.columns.reserve(0, 0, len(self.store.entries) // 2)
        return out

    def _candidates(self, rows_: int) -> Candidates:
        size = rows_ + 2 * len(self.rules.window)
        return Candidates(np.zeros(1, np.int64), *(np.zeros(size, np.int64) for _ in range(5)))

    def snapshots(self, raw: Array, data: Array, status: Array, field: Array, first: int, last: int) -> None:
        """Folds balance snapshots in rows [first, last)."""
        while first < last:
            self.columns.reserve(last - first, _id_bytes(data, first, last, 2, 3), ENTRIES_AHEAD)
            first = fold_snapshots(
                first, last, self.store, self._lookups(), self.zone, self.clock, raw, data, status, field, self.counters
            )
            if first < last:
                self.columns.reserve(0, 0, len(self.store.entries) // 2)

    def booked_until(self, instant: int) -> None:
        """What is booked from an instant on, in ms, moves no newest booking of a source from now on."""
        self.counters[BOOKED_UNTIL] = instant

    def newest_booked(self) -> dict[str, int]:
        """By source, the newest booking instant of its postings, in ms; of those that have sent any."""
        return {self.sources.text(code): ms for code, ms in enumerate(self.counters[NEWEST:].tolist()) if ms}

    def posting_sources(self) -> list[str]:
        """The sources that have sent postings, by what accounts remember of them."""
        codes = np.unique(self.store.accounts["journal_source"][: self.columns.account_count])
        return [self.sources.text(code) for code in codes.tolist() if code >= 0]

    def restore_booked(self, source: str, instant: int) -> None:
        """As a fence had it."""
        self.counters[NEWEST + self.sources.code(source)] = instant

    # -- closes and metrics

    def metrics(self, scope: int, as_of: int, slots: Array) -> Metrics:
        """Metrics of customers as of a day from the first of the last closed month to the end of the open month."""
        return metrics(self.store, self.rates.table(), self.clock, scope, as_of, slots)

    def sums(self, scope: int, as_of: int, spans: list[tuple[int, int]], slots: Array) -> tuple[Array, Array, Array]:
        """(units, nano, held) of streams.averages.spans.span_sums: customers' sums over spans of days as of a day."""
        return span_sums(self.store, self.rates.table(), self.clock, scope, as_of, spans, slots)

    def missing_rates(self, scope: int, spans: Array, slots: Array) -> Array:
        """Of streams.averages.missing_rates: currencies without a rate on a day with a balance, of few customers, by span."""
        return missing_rates(self.store, self.rates.table(), self.clock, scope, spans, slots)

    def missing_of_metrics(self, scope: int, as_of: int, slots: Array) -> Array:
        """The same by metric."""
        return missing_of_metrics(self.store, self.rates.table(), self.clock, scope, as_of, slots)

    def open_day(self, day: int) -> None:
        """First half of a close: the clock moves to `day` and months open. Metrics of `day` are taken after it."""
        if self.cases is not None:
            self._touched = self.touched()
        self.clock = day_close.moved_clock(self.clock, day, self.zone_name)
        day_close.roll(self.store, self.clock)

    def fold_day(self) -> None:
        """Second half of a close: what left the horizon is folded, late changes are forgotten."""
        self._fold()
        self.rates.prune(int(self.clock[RING_FROM]))
        self.refresh()

    def _fold(self) -> None:
        """Folds what the clock's close has left behind; of rows that have the close behind them nothing."""
        if self.cases is not None:
            zone, fx = self.zone, self.rates.table()
            slots = self.watch.leaving(self.columns.customer_count, int(self.clock[HORIZON_MS]), self._touched)
            first = 0
            while first < len(slots):
                first = fold_flow(self.store, self.banks.index, *zone, fx, self.cases, self.clock, slots, first)
                if first < len(slots):
                    self.columns.reserve(0, 0, len(self.store.entries))
        day_close.compact(self.store, self.clock)

    def refresh(self) -> None:
        """Sets the customers' outflow bounds anew; after a recovery too."""
        if self.cases is not None:
            count, fx = self.columns.customer_count, self.rates.table()
            self.watch.refresh(self.store, count, *self.zone, fx, self.cases, self.clock)
        else:
            refresh_bounds(self.store, self.zone.starts, self.zone.offsets, self.rates.table(), self.clock)

    def breaks(self) -> list[Break]:
        """Breaks to report since the last close; called before `open_day`, marks them as reported."""
        out: list[Break] = []
        at, size = 0, 1024
        while at < self.columns.account_count:
            arrays = [np.zeros(size, np.int64) for _ in range(5)]
            at, n = day_close.find_breaks(self.store, self.clock, at, *arrays)
            out += map(Break._make, np.stack([column[:n] for column in arrays], 1).tolist()) if n else []
            size *= 2
            self.columns.reserve(0, 0, size)
        return out

    def unmatched_reversals(self, day: int) -> list[UnmatchedReversal]:
        """Reversals that the close of `day` finds without a partner, each once; called before `open_day`."""
        out: list[UnmatchedReversal] = []
        at, size, zone = 0, 1024, self.zone
        while at < self.columns.account_count:
            arrays = [np.zeros(size, np.int64) for _ in range(5)]
            at, n = settle(
                at, self.store, self.clock, zone.starts, zone.offsets, self.banks.index, day, *arrays
            )  # fmt: skip
            out += map(UnmatchedReversal._make, np.stack([column[:n] for column in arrays], 1).tolist()) if n else []
            size *= 2
        return out

    def partners(self, account: int) -> Array:
        """int64[entries of the account]: the place of the posting that one reverses, or by which it is reversed; else -1."""
        found: Array = partners(self.store, account, *self.zone, self.banks.index)
        return found

    def paired(self, account: int) -> Array:
        """bool[entries of the account]: postings that are reversed, or reverse one that is held."""
        found: Array = self.partners(account) >= 0
        return found

    def late(self) -> list[tuple[int, int]]:
        """(customer, first month changed) of customers with changes in closed months since the last close."""
        first = np.full(self.columns.customer_count, DAY_MAX, np.int64)
        late_customers(self.store, first)
        return [(slot, int(month_of(int(first[slot])))) for slot in np.flatnonzero(first < DAY_MAX).tolist()]

    def restated(self, scope: int, customers: Array, first: int, last: int) -> Restated:
        """The sums of months [first, last] now and at the last close; before `fold_day`."""
        found = months_now_and_before(self.store, self.rates.table(), self.clock, scope, customers, first, last)
        return Restated((found[:, 0], found[:, 1]), (found[:, 2], found[:, 3]), found[:, 4] > 0)

    @property
    def open_month(self) -> int:
        """The month that is not closed yet."""
        return int(self.clock[OPEN])

    def held_since(self) -> int:
        """The first month whose sum is held."""
        return int(self.clock[OPEN]) - 15

    def days_since(self) -> int:
        """The first day whose movements are held one by one; before `fold_day` those of some days more are."""
        return int(self.clock[KEEP_FROM])

    def late_sum(self, scope: int, customer: int, first: int, last: int) -> int:
        """What changes in closed months since the last close add to the sum over [first, last], in billionths."""
        fx, base, total = self.rates.table(), int(self.clock[BASE]), 0
        for slot in self.accounts_of(customer):
            account = self.store.accounts[slot]
            if not scope >> int(account["asset_class"]) & 1:
                continue
            entries = self.entries_of(slot)
            for entry in entries[(entries["kind"] == LATE) & (entries["day"] <= last)]:
                since, amount = max(int(entry["day"]), first), int(entry["amount"])
                if account["currency"] == base:
                    total += amount * (last - since + 1) * NANO
                else:
                    units, nano = scaled(amount, weight(fx, int(account["currency"]), since, last))
                    total += int(units) * NANO + int(nano)
        return total

    def touched(self) -> Array:
        """int64: slots of customers with an event since the last close, ascending."""
        return self.customers.touched(self.closed)

    # -- rows

    def dirty_count(self) -> int:
        """Accounts changed since they were last taken."""
        return int(self.store.heap[DIRTY])

    def dirty_slots(self, rows_max: int | None) -> tuple[Array, bool]:
        """int64 slots of changed accounts, and whether all are out that were changed when this flush began.

        Those of a customer are out at once: at most one customer's accounts more than rows_max.
        """
        n = self.dirty_count()
        if rows_max is None or not self._flushing:
            self._flushing = n
        taken = np.empty(n, np.int64)
        count, done = rows.take_changed(self.store, self._flushing, n if rows_max is None else rows_max, taken)
        self._flushing -= done
        return np.sort(taken[:count]), self._flushing == 0

    def encode(self, slots: Array) -> tuple[Array, Array]:
        """(buffer, ends): the rows of accounts one behind the other."""
        parts: list[Array] = []
        ends, first, base = np.empty(len(slots), np.int64), 0, 0
        out = np.empty(ROWS_BUFFER_BYTES, np.uint8)
        while first < len(slots):
            done, size = rows.encode_rows(self.store, slots, first, out, ends)
            if done == first:
                out = np.empty(2 * len(out), np.uint8)
                continue
            ends[first:done] += base
            parts.append(out[:size].copy())
            first, base = done, base + size
        return np.concatenate(parts) if parts else np.empty(0, np.uint8), ends

    def take_dirty(self, rows_max: int | None) -> tuple[list[tuple[bytes, bytes]], bool]:
        """As dirty_slots, with (account id, row) pairs."""
        slots, complete = self.dirty_slots(rows_max)
        buffer, ends = self.encode(slots)
        starts, stops = [0, *ends.tolist()], ends.tolist()
        pairs = zip(slots.tolist(), starts, stops, strict=False)
        ids = self.store.account_ids
        return [(id_bytes_of(ids, slot), buffer[a:b].tobytes()) for slot, a, b in pairs], complete

    def load(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Puts (account id, row) pairs into the columns, later ones over earlier ones."""
        parts = [part for pair in pairs for part in pair]
        raw = np.frombuffer(b"".join(parts), np.uint8)
        bounds = np.concatenate([[0], np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))])
        self.load_rows(raw, bounds[:-1:2], bounds[1::2], bounds[1::2])

    def load_rows(self, raw: Array, key: Array, key_end: Array, value: Array) -> None:
        """The same from one buffer: account id i is raw[key[i]:key_end[i]], its row begins at raw[value[i]]."""
        id_bytes = int((key_end - key).sum())
        first, n = 0, len(key)
        self.columns.reserve(n, max(id_bytes, n * ID_BYTES_MAX), n)
        while first < n:
            first = rows.load_rows(self.store, raw, key, key_end, value, first)
            if first < n:
                self.columns.reserve(0, 0, max(n, len(self.store.entries) // 2))
        if self.dirty_count():
            self.store.accounts["dirty"][: self.columns.account_count] = 0
            self.store.heap[DIRTY] = 0

    def dictionaries(self) -> dict[str, list[str]]:
        """The names behind the codes in rows."""
        return {"classes": self.classes.all(), "sources": self.sources.all(), "banks": self.banks.all()}

    def names_known(self) -> int:
        """Rises with every new name."""
        return len(self.classes) + len(self.sources) + len(self.banks)

    def restore_names(self, dictionaries: dict[str, list[str]]) -> None:
        """The names behind the codes of rows; before the rows.

        Rows from before asset classes were checked may have others than the contract's: such a name is kept so that no
        event can have it.
        """
        held = [
            name if name in ASSET_CLASSES else _NO_CLASS + name.strip(_NO_CLASS) for name in dictionaries["classes"]
        ]
        self.classes, self.sources = Names(tuple(held)), Names(tuple(dictionaries["sources"]))
        self.banks = Names(tuple(dictionaries["banks"]))

    def restore(self, closed: int, rates: list[tuple[int, int, int, int, str]]) -> None:
        """Clock and rates as `fence` had them; older rows are rolled up to it, newer ones are already. `catch_up` comes next."""
        if closed >= 0:
            self.clock = day_close.moved_clock(self.clock, closed, self.zone_name)
            day_close.roll(self.store, self.clock)
        for currency, day, micro, version, event_id in rates:
            self.rates.keep(currency, day, micro, version, event_id)

    def catch_up(self) -> None:
        """After `restore`, when the rules in force are known: what the rows do not have behind them is folded."""
        if self.closed >= 0:
            self._fold()
        self.refresh()

    def customer(self, customer_id: str) -> int:
        """The slot of a customer, made if he is not known."""
        raw = np.frombuffer(customer_id.encode(), np.uint8)
        self.columns.reserve(1, len(raw), 0)
        known = self.columns.customer_count
        slot = int(add(self.store.customer_ids, raw, 0, len(raw)))
        if slot == known:
            new_customer(self.store, slot)
        return slot

    def customer_known(self, customer_id: bytes) -> int | None:
        """The slot of a customer who is known."""
        raw = np.frombuffer(customer_id or b"\0", np.uint8)
        slot = int(find(self.store.customer_ids, raw, 0, len(customer_id)))
        return None if slot < 0 else slot

    def accounts_of(self, customer: int) -> Iterator[int]:
        """Slots of a customer's accounts."""
        slot = int(self.store.customers["head"][customer])
        while slot >= 0:
            yield slot
            slot = int(self.store.accounts["following"][slot])

    def entries_of(self, account: int) -> Array:
        """The account's entries, a view."""
        a = self.store.accounts[account]
        return self.store.entries[a["head"] : a["head"] + a["count"]]

    def fence(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"closed": self.closed, "rates": self.rates.items()}

    def missing_numbers(self) -> int:
        """Journal numbers in holes: events the sources have not delivered."""
        return int(day_close.missing_numbers(self.store))


def _id_bytes(data: Array, first: int, last: int, customer: int, account: int) -> int:
    """An upper bound for the bytes of either kind of id in the rows."""
    lengths = [int((data[first:last, column] & 0xFF).sum()) for column in (customer, account)]
    return max(lengths) + SHARED_ID_BYTES_MAX
