"""Flows (docs/policies.md#flows): sums or numbers of postings a month of booking, kept only where a pack asks for them.

Of each flow and currency there is a column a month: eight at most where closes follow the days, 64 bytes a customer. A
posting counts once, as the ledger takes it.

A customer's row leaves with the rows of his accounts, in a flush (docs/decisions/0008-lazy-rows-and-fence.md). It bears a mark,
the offset below which his postings are in it, and a replay counts those from there on. What a close moves leaves with the close,
and a replay moves nothing. Until a day is closed, which months are held follows from what has come: rows leave with every
transaction, and a replay counts nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.record_batches import Packed, few
from agents.standing.intake.facts import grown
from agents.standing.intake.figures import flow_kernels as kernels
from agents.standing.intake.figures.flow_kernels import CountedAgain, FlowMonths, FlowRules
from agents.standing.intake.figures.reversals import FlowReversals, TakenBack
from agents.standing.model import RowKey, Tally, customer_keys
from policies.compiled.program import Column
from policies.model.figures import COUNT, FLOW_MONTHS_MAX, IN, Flow, Series
from policies.model.pack import Pack
from schemas.codec.blocks import Columns
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.calendar import NO_DAY, last_ended_month, month_of, month_start
from streams.fields import P_ACCOUNT, P_AMOUNT, P_BOOKED, P_DAY
from streams.money import EXPONENTS, NANO
from streams.vocabulary.terms import NATURES

SERIES_MAX: Final = 64  # different flows of all packs that a partition knows
_AHEAD: Final = (
    24  # months behind the open one that are held: closes may be late, and what is booked counts all the same
)
_BEFORE_MAX: Final = 24  # months that are held while no day is closed: the newest
_PENDING: Final = -1  # a series begins with the month behind the one in which the next close falls
_ALWAYS: Final = 0
_COLUMNS_MORE: Final = 8  # columns that are made at a time
_REFUSED_MAX: Final = 256  # months that are known not to be held
_REVERSALS_AT_ONCE: Final = 4 * SERIES_MAX  # rows that the kernel fills; one reversal may be of every flow
_NOT_YET: Final = np.iinfo(np.int64).max  # a series begins when the replay has ended
_EVERYTHING: Final = CountedAgain(np.zeros(0, np.int64), np.zeros(0, np.int64))


class _Head(NamedTuple):
    """What a column holds: a flow, a currency and a month."""

    flow: int
    currency: int
    month: int


class FlowSeries:
    """The flows of a partition's customers."""

    def __init__(self, ledger: Ledger, counts: Tally) -> None:
        self.ledger, self._counts = ledger, counts
        self._codes: dict[Flow, int] = {}  # by what counts, whatever it is called
        self._since: list[int] = []  # the first month of each that is known
        self._begun: list[int] = []  # the offset of the first posting that each counts
        self._early: set[int] = set()  # the months that are held while no day is closed
        self._places: dict[_Head, int] = {}
        self._values = np.zeros((0, 0), np.int64)  # [slots, columns]
        self._refused: set[_Head] = set()
        self._months: FlowMonths | None = None  # as the kernel takes them, until others are held
        self._rules: FlowRules | None = None
        self._changed = np.zeros(0, np.uint8)  # [slots]
        self._urgent: set[int] = set()  # changed by what a replay does not do again
        self._position = 0  # of the postings: all below it have been counted
        self._marks: Array | None = np.zeros(0, np.int64)  # of customers' rows, while there may be a replay
        self._taken_back = np.empty((_REVERSALS_AT_ONCE, kernels.REVERSAL_COLUMNS), np.int64)
        self._unsaid = False  # the series are others than their row says
        self.reversals = FlowReversals(ledger)

    def know(self, pack: Pack, *, from_the_beginning: bool = False) -> None:
        """The flows of a pack are kept from now on; what comes by the log has months of before, which are not known."""
        for flow in pack.flows.values():
            what = _what(flow)
            if what not in self._codes and len(self._codes) < SERIES_MAX:
                self._add_series(what, from_the_beginning=from_the_beginning)
                self._unsaid = True

    def _add_series(self, what: Flow, *, from_the_beginning: bool) -> None:
        self._codes[what] = len(self._since)
        self._since.append(_ALWAYS if from_the_beginning else _PENDING)
        self._begun.append(0 if from_the_beginning else self._position if self._marks is None else _NOT_YET)
        self._rules = self._months = None

    def begin(self, position: int) -> None:
        """Everything has been loaded; postings come from an offset on."""
        self._position = position
        if self.ledger.closed != NO_DAY:
            self._forget(self.ledger.open_month - FLOW_MONTHS_MAX)

    def follow(self, *, live: bool) -> None:
        """Goes on in a replay, or live: from there on every posting counts, and nothing is kept for a replay."""
        if not live or self._marks is None:
            return
        self._marks = None
        if _NOT_YET in self._begun:
            self._begun = [self._position if begun == _NOT_YET else begun for begun in self._begun]
            self._unsaid = True

    def begin_with(self, day: int) -> None:
        """Months that don't begin on a day or after it are not known: the log no longer holds what came before."""
        first = first_whole_month(day)
        self._since = [since if since == _PENDING else max(since, first) for since in self._since]

    @property
    def wanted(self) -> bool:
        """Whether anything is kept."""
        return bool(self._codes)

    @property
    def columns_held(self) -> int:
        """Months of a flow and currency that are held: eight bytes a customer each."""
        return len(self._places)

    @property
    def months_held(self) -> int:
        """The most that are held of one flow and currency."""
        return max(Counter((head.flow, head.currency) for head in self._places).values(), default=0)

    # -- events

    def take(self, columns: Columns, first: int, last: int) -> None:
        """Counts the postings of rows [first, last) that the ledger has taken; called after it."""
        self._position = int(columns.offset[last - 1]) + 1
        if not self._codes or (self._marks is not None and self.ledger.closed == NO_DAY):
            return
        if self._rules is None:
            self._rules = _rules(self._codes)
        self._make_room()
        ledger, row = self.ledger, first
        replayed = _EVERYTHING if self._marks is None else CountedAgain(self._marks, np.array(self._begun, np.int64))
        while True:
            row, currency, month, flows, noted, late = kernels.count_flows(
                columns.raw, columns.data, columns.status, columns.offset, row, last, self._rules, ledger.customers.index,
                ledger.currencies.index, ledger.zone.starts, ledger.zone.offsets, self._known_months(), self._values,
                self._changed, replayed, self._taken_back,
            )  # fmt: skip
            if late:
                self._counts.add("flows_too_old", late)
            if noted and self._marks is None:  # their rows leave with the transaction
                self._note_reversals(columns, self._taken_back[:noted])
            if row == last:
                break
            for flow in range(len(self._codes)):
                if flows >> flow & 1:
                    self._look_up(_Head(flow, currency, month))

    def _known_months(self) -> FlowMonths:
        """The columns of months, and the months that are known to have none."""
        if self._months is None:
            heads = sorted({(head.currency, head.month) for head in (*self._places, *self._refused)})
            at = {head: k for k, head in enumerate(heads)}
            cells = np.full((len(heads), len(self._codes)), kernels.NOT_LOOKED_UP, np.int64)
            for head in self._refused:
                cells[at[head.currency, head.month], head.flow] = kernels.NOT_HELD
            for head, column in self._places.items():
                cells[at[head.currency, head.month], head.flow] = column
            self._months = FlowMonths(np.array(heads, np.int64).reshape(-1, 2), cells)
        return self._months

    def _look_up(self, head: _Head) -> None:
        self._months = None
        if self._place(head) is None:
            if len(self._refused) == _REFUSED_MAX:
                self._refused.clear()
            self._refused.add(head)

    def _place(self, head: _Head) -> int | None:
        """The column of a month, made if there is none; None for a month that is no longer held, or not yet.

        One that was made before any day was closed may lie further ahead, and is there until it is forgotten.
        """
        if head not in self._places and not self._is_held(head.month):
            return None
        return self._column_of(head)

    def _column_of(self, head: _Head) -> int:
        self._make_room()
        if head not in self._places:
            free = min({*range(len(self._places) + 1)} - {*self._places.values()})
            if free >= self._values.shape[1]:
                self._values = np.pad(self._values, ((0, 0), (0, _COLUMNS_MORE)))
            self._places[head], self._months = free, None
        return self._places[head]

    def _make_room(self) -> None:
        """For every customer of the ledger."""
        slots = self.ledger.customers.count
        self._values, self._changed = grown(self._values, slots, 0), grown(self._changed, slots, 0)
        if self._marks is not None:
            self._marks = grown(self._marks, slots, 0)

    def _is_held(self, month: int) -> bool:
        if self.ledger.closed != NO_DAY:
            opened = self.ledger.open_month
            return opened - FLOW_MONTHS_MAX <= month <= opened + _AHEAD
        if month in self._early:
            return True
        if len(self._early) == _BEFORE_MAX:
            if month < min(self._early):
                return False
            self._forget(min(self._early) + 1)
        self._early.add(month)
        self._unsaid = True
        return True

    def _forget(self, since: int) -> None:
        """Months before one are held no longer."""
        self._early = {month for month in self._early if month >= since}
        for head in [head for head in self._places if head.month < since]:
            values = self._values[:, self._places.pop(head)]
            if self.ledger.closed == NO_DAY:  # no clock says so of rows that are out
                self._changed[values != 0] = 1
            values[:], self._months = 0, None

    # -- reversals

    def _note_reversals(self, columns: Columns, found: Array) -> None:
        """Remembers reversals: the closes ask which posting each takes back, while it may be held."""
        flows: dict[int, tuple[list[int], list[int], list[int]]] = {}
        for one in found.tolist():
            loose, strict, _ = flows.setdefault(one[kernels.R_ROW], ([], [], one))
            loose.append(one[kernels.R_FLOW])
            if one[kernels.R_STRICT]:
                strict.append(one[kernels.R_FLOW])
        for row, (loose, strict, one) in flows.items():
            data, month = columns.data[row], one[kernels.R_MONTH]
            self.reversals.note(one[kernels.R_SLOT], TakenBack(
                columns.text_at(int(data[P_ACCOUNT])) or "", int(data[P_BOOKED]), int(data[P_DAY]), int(data[P_AMOUNT]),
                one[kernels.R_CURRENCY], tuple(loose), month, tuple(strict), month,
            ))  # fmt: skip

    def settle(self) -> None:
        """Moves what reversals take to the months of what they take back, as the postings held say now; before `close`."""
        natures = [_nature_bits(flow) for flow in self._codes]
        for slot, before, after in self.reversals.settle(natures):
            for sign, one in ((-1, before), (1, after)):
                for flow in one.flows:
                    counted = [*self._codes][flow].value == COUNT
                    self._add(slot, _Head(flow, one.currency, one.month), sign * (-1 if counted else -abs(one.amount)))
            self._urgent.add(slot)

    def _add(self, slot: int, head: _Head, value: int) -> None:
        if (at := self._place(head)) is not None:
            self._values[slot, at] += value

    # -- closes

    def close(self, *, live: bool) -> None:
        """The clock has moved: series begin, and months are left behind. Called once `settle` has paired reversals anew."""
        if not self._codes:
            return
        opened = self.ledger.open_month
        if live and _PENDING in self._since:
            self._since = [opened + 1 if since == _PENDING else since for since in self._since]
            self._unsaid = True
        if self._early:  # a replay counts nothing of what came before the first close
            self._urgent.update(np.flatnonzero(self._changed).tolist())
            self._early, self._unsaid = set(), True
        self._refused, self._months = set(), None
        self._forget(opened - FLOW_MONTHS_MAX)

    def column(self, flow: Flow, wanted: Series, slots: Array, day: int) -> Column:
        """A month of a flow as of a day: minor units of the base currency, or postings. Unknown before the flow begins."""
        assert wanted.month is not None
        month, n = int(last_ended_month(day)) - wanted.month, len(slots)
        code = self._codes.get(_what(flow))
        since = None if code is None else self._since[code]
        if since is None or since == _PENDING or month < since:
            return Column(np.zeros(n, np.int64), unknown=np.ones(n, np.bool_))
        mine = {head.currency: at for head, at in self._places.items() if head.flow == code and head.month == month}
        held, rest = np.zeros(n, np.bool_), np.zeros(n, object)
        units = np.zeros(n, np.int64)
        known = slots < len(self._values)
        for currency, at in sorted(mine.items()):
            values = np.zeros(n, np.int64)
            values[known] = self._values[slots[known], at]
            name = self.ledger.currencies.text(currency)
            if flow.value == COUNT or name == self.ledger.base_currency:
                units += values
            elif values.any():
                rate = self._rate(currency, name, int(month_start(month + 1)) - 1)
                held |= (values != 0) & (rate is None)
                rest = rest + values.astype(object) * (rate or 0)
        if not rest.any():
            return Column(units, held=held)
        whole, nano = rest // NANO, rest % NANO
        return Column(units + whole.astype(np.int64), nano.astype(np.int64), 1, held)

    def _rate(self, currency: int, name: str, day: int) -> int | None:
        """Billionths of a base minor unit for a minor unit of a currency."""
        micro = self.ledger.rates.micro_on(currency, day)
        shift = 3 + EXPONENTS[self.ledger.base_currency] - EXPONENTS[name]
        return None if micro is None else micro * 10**shift

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows that leave with the transaction: the series, values that a close has moved, reversals that may still move."""
        if self._marks is not None:
            return []
        out: list[Pair | Packed] = []
        if self._unsaid:
            self._unsaid = False
            told = zip(self._codes, self._since, self._begun, strict=True)
            series = [[*_written(flow), since, begun] for flow, since, begun in told]
            saved = {"series": series, "early": sorted(self._early)}
            out.append((RowKey.FLOW_SERIES, json.dumps(saved, ensure_ascii=False).encode()))
        if self._codes:
            early = [] if self.ledger.closed != NO_DAY else np.flatnonzero(self._changed).tolist()
            out += self._encoded(np.array(sorted({*early, *self._urgent}), np.int64))
            self._urgent.clear()
        return out + self.reversals.take_rows()

    def accounts_max(self, rows_max: int | None) -> int | None:
        """Of so many rows at most those that may be accounts': with each may go one of its owner's flows."""
        return rows_max if rows_max is None or not self._codes else max(1, rows_max // 2)

    def take_with(self, accounts: Array) -> list[Pair | Packed]:
        """Rows of changed customers that leave with the rows of some of their accounts: a changed flow has a changed account."""
        if not self._codes:
            return []
        self._make_room()
        owners, _ = self.ledger.claims_of(accounts)
        return self._encoded(np.unique(owners[self._changed[owners] != 0]).astype(np.int64))

    def _encoded(self, slots: Array) -> list[Pair | Packed]:
        """Rows of customers, who have changed no longer."""
        if not len(slots):
            return []
        self._make_room()
        self._changed[slots] = 0
        places = sorted(self._places.items())
        heads = np.zeros((self._values.shape[1], 3), np.int64)
        for head, at in places:
            heads[at] = head
        order = np.array([at for _, at in places], np.int64)
        room = len(slots) * (len(order) + 1) * kernels.FLOW_VALUE_BYTES_MAX
        buffer, ends = np.empty(room, np.uint8), np.empty(len(slots), np.int64)
        size = kernels.encode_flows(self._values, order, heads, slots, self._position, buffer, ends)
        return few(Packed(*customer_keys(self.ledger, slots, RowKey.FLOWS), buffer[:size], ends))

    def load_series(self, rows: Rows) -> None:
        """The series back, with the codes that customers' rows name."""
        for _, value in rows:
            saved, before = json.loads(value or b""), [*self._codes]
            if isinstance(
                saved, list
            ):  # of before rows had marks: each left with its transaction, and no replay counts again
                saved = {"series": [[*one, _NOT_YET] for one in saved], "early": []}
            told = [(_read(one), since, begun) for *one, since, begun in saved["series"]]
            self._codes = {flow: code for code, (flow, _, _) in enumerate(told)}
            self._since, self._begun = [since for _, since, _ in told], [begun for _, _, begun in told]
            self._early = set(saved["early"])
            self._rules, self._unsaid = None, False
            for flow in before:  # of the packs of the settings, where they are others than those of before
                if flow not in self._codes:
                    self._add_series(flow, from_the_beginning=False)

    def load(self, rows: Rows) -> None:
        """Values back; a later row of a customer counts."""
        keys = zip(rows.key.tolist(), rows.key_end.tolist(), strict=True)
        last = {rows.raw[first:end].tobytes(): i for i, (first, end) in enumerate(keys)}
        if not last:
            return
        slots = np.array([self.ledger.customer(key[1:].decode()) for key in last], np.int64)
        self._make_room()
        assert self._marks is not None
        chosen = np.fromiter(last.values(), np.int64, len(last))
        starts, ends = rows.value[chosen], rows.value_end[chosen]
        marks, out = np.zeros(len(last), np.int64), np.empty((int((ends - starts).sum()), 5), np.int64)
        found = out[: kernels.decode_flows(rows.raw, starts, ends, marks, out)]
        self._values[slots], self._marks[slots] = 0, marks
        for flow, currency, month in np.unique(found[:, 1:4], axis=0).tolist():
            mine = found[(found[:, 1:4] == (flow, currency, month)).all(axis=1)]
            at = self._column_of(_Head(flow, currency, month))
            self._values[slots[mine[:, 0]], at] = mine[:, 4]


def different_flows(packs: Iterable[Pack]) -> int:
    """How many series packs ask for: flows that count the same are one."""
    return len({_what(flow) for pack in packs for flow in pack.flows.values()})


def first_whole_month(day: int) -> int:
    """The first month that begins on a day or after it."""
    return int(month_of(day - 1)) + 1


def _what(flow: Flow) -> Flow:
    """What counts, without its name; lists in order."""
    natures, channels, others = (tuple(sorted(one)) for one in (flow.natures, flow.channels, flow.counterparties))
    return Flow(flow.direction, flow.value, natures, channels, others)


def _written(flow: Flow) -> list[object]:
    return [flow.direction, flow.value, list(flow.natures), list(flow.channels), list(flow.counterparties)]


def _read(told: list[Any]) -> Flow:
    direction, value, *lists = told
    natures, channels, others = (tuple(map(str, one)) for one in lists)
    return Flow(str(direction), str(value), natures, channels, others)


def _nature_bits(flow: Flow) -> int:
    return sum(1 << NATURES.index(name) for name in flow.natures) or (1 << len(NATURES)) - 1


def _set_of(chosen: Iterable[bool]) -> int:
    """A bit for each, as an int64."""
    return int(np.array(sum(1 << f for f, one in enumerate(chosen) if one), np.uint64).astype(np.int64))


def _rules(codes: Mapping[Flow, int]) -> FlowRules:
    """The flows as the kernel takes them."""
    sides = [{flow for flow in codes if (flow.direction == IN) == (side == 0)} for side in range(2)]
    channels = sorted({text for flow in codes for text in flow.channels})
    parties = sorted({text for flow in codes for text in flow.counterparties})
    texts = [text.encode() for text in (*channels, *parties)]
    ends = np.cumsum([0, *map(len, texts)])
    listing = [_set_of(text in flow.channels for flow in codes) for text in channels]
    listing += [_set_of(text in flow.counterparties for flow in codes) for text in parties]
    natures = [
        [_set_of(flow in side and _nature_bits(flow) >> n & 1 == 1 for flow in codes) for n in range(len(NATURES))]
        for side in sides
    ]
    return FlowRules(
        np.array([flow.value == COUNT for flow in codes], np.bool_),
        np.array([_set_of(flow in side for flow in codes) for side in sides], np.int64),
        np.array(natures, np.int64),
        np.array([(end, len(text)) for end, text in zip(ends.tolist(), texts, strict=False)], np.int64).reshape(-1, 2),
        np.array(listing, np.int64), np.frombuffer(b"".join(texts), np.uint8), len(channels),
        _set_of(not flow.channels for flow in codes), _set_of(not flow.counterparties for flow in codes),
    )  # fmt: skip
