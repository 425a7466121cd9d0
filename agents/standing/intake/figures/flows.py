"""Flows (docs/policies.md#flows): sums or numbers of postings a month of booking, kept only where a pack asks for them.

Of each flow and currency there is a column a month: eight at most where closes follow the days, 64 bytes a customer. A
posting counts once, as the ledger takes it. Rows of changed customers go out in the same transaction, so a replay leaves
them alone.
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
from agents.standing.intake.figures.flow_kernels import FlowRules
from agents.standing.intake.figures.reversals import FlowReversals, TakenBack
from agents.standing.model import RowKey, Tally, customer_keys
from policies.compiled.program import Column
from policies.model.figures import COUNT, FLOW_MONTHS_MAX, IN, Flow, Series
from policies.model.pack import Pack
from schemas.codec.blocks import Columns
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, Array
from streams.calendar import NO_DAY, last_ended_month, month_of, month_start
from streams.fields import P_ACCOUNT, P_AMOUNT, P_BOOKED, P_DAY, P_REVERSES
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
_REFUSED_MAX: Final = 256  # months that are known not to be held, in a block


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
        self._places: dict[_Head, int] = {}
        self._values = np.zeros((0, 0), np.int64)  # [slots, columns]
        self._rules: FlowRules | None = None
        self._changed = np.zeros(0, np.uint8)  # [slots]
        self._unsaid = False  # the series are others than their row says
        self.reversals = FlowReversals(ledger)

    def know(self, pack: Pack, *, from_the_beginning: bool = False) -> None:
        """The flows of a pack are kept from now on; what comes by the log has months of before, which are not known."""
        for flow in pack.flows.values():
            what = _what(flow)
            if what not in self._codes and len(self._codes) < SERIES_MAX:
                self._codes[what] = len(self._since)
                self._since.append(_ALWAYS if from_the_beginning else _PENDING)
                self._rules, self._unsaid = None, True

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
        if not self._codes:
            return
        if self._rules is None:
            self._rules = _rules(self._codes)
        self._make_room()
        ledger, backs = self.ledger, np.count_nonzero(columns.data[first:last, P_REVERSES] != NULL)
        reversals = np.empty((backs * len(self._codes), kernels.REVERSAL_COLUMNS), np.int64)
        row, flow, noted, refused = first, 0, 0, set[_Head]()
        while True:
            row, flow, currency, month, noted, late = kernels.count_flows(
                columns.raw, columns.data, columns.status, row, last, flow, self._rules, ledger.customers.index,
                ledger.currencies.index, ledger.zone.starts, ledger.zone.offsets, self._known(refused), self._values,
                self._changed, reversals, noted,
            )  # fmt: skip
            if late:
                self._counts.add("flows_too_old", late)
            if row == last:
                break
            head = _Head(flow, currency, month)
            if self._place(head) is None:
                refused = {head} if len(refused) == _REFUSED_MAX else refused | {head}
        if noted:
            self._note_reversals(columns, reversals[:noted])

    def _known(self, refused: Iterable[_Head]) -> Array:
        """int64[K, 4]: the columns of months, and the months that are known to have none."""
        held = [(*head, at) for head, at in self._places.items()]
        return np.array(held + [(*head, kernels.NOT_HELD) for head in refused], np.int64).reshape(-1, 4)

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
            self._places[head] = free
        return self._places[head]

    def _make_room(self) -> None:
        """For every customer of the ledger."""
        slots = self.ledger.customers.count
        self._values, self._changed = grown(self._values, slots, 0), grown(self._changed, slots, 0)

    def _is_held(self, month: int) -> bool:
        if self.ledger.closed != NO_DAY:
            opened = self.ledger.open_month
            return opened - FLOW_MONTHS_MAX <= month <= opened + _AHEAD
        known = {head.month for head in self._places}
        if len(known) < _BEFORE_MAX or month in known:
            return True
        if month < min(known):
            return False
        self._forget(min(known) + 1)
        return True

    def _forget(self, since: int) -> None:
        """Months before one are held no longer."""
        for head in [head for head in self._places if head.month < since]:
            self._values[:, self._places.pop(head)] = 0

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
            self._make_room()
            self._changed[slot] = 1

    def _add(self, slot: int, head: _Head, value: int) -> None:
        if (at := self._place(head)) is not None:
            self._values[slot, at] += value

    # -- closes

    def close(self) -> None:
        """The clock has moved: series begin, and months are left behind. Called once `settle` has paired reversals anew."""
        if not self._codes:
            return
        opened = self.ledger.open_month
        if _PENDING in self._since:
            self._since = [opened + 1 if since == _PENDING else since for since in self._since]
            self._unsaid = True
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
        """Rows changed since the last call: the series themselves, customers' values, reversals that may still move."""
        out: list[Pair | Packed] = []
        if self._unsaid:
            self._unsaid = False
            told = [[*_written(flow), since] for flow, since in zip(self._codes, self._since, strict=True)]
            out.append((RowKey.FLOW_SERIES, json.dumps(told, ensure_ascii=False).encode()))
        if len(slots := np.flatnonzero(self._changed)):
            self._changed[slots] = 0
            places = sorted(self._places.items())
            heads = np.zeros((self._values.shape[1], 3), np.int64)
            for head, at in places:
                heads[at] = head
            order = np.array([at for _, at in places], np.int64)
            room = len(slots) * (len(order) + 1) * kernels.FLOW_VALUE_BYTES_MAX
            buffer, ends = np.empty(room, np.uint8), np.empty(len(slots), np.int64)
            size = kernels.encode_flows(self._values, order, heads, slots, buffer, ends) if len(order) else 0
            ends = ends if len(order) else np.zeros(len(slots), np.int64)
            out += few(Packed(*customer_keys(self.ledger, slots, RowKey.FLOWS), buffer[:size], ends))
        return out + self.reversals.take_rows()

    def load_series(self, rows: Rows) -> None:
        """The series back, with the codes that customers' rows name."""
        for _, value in rows:
            told = json.loads(value or b"")
            before = [*self._codes]
            self._codes = {_read(one[:-1]): code for code, one in enumerate(told)}
            self._since = [one[-1] for one in told]
            for flow in before:  # of the packs of the settings, where they are others than those of before
                if flow not in self._codes:
                    self._codes[flow] = len(self._since)
                    self._since.append(_PENDING)
            self._rules = None

    def load(self, rows: Rows) -> None:
        """Values back; a later row of a customer counts."""
        keys = zip(rows.key.tolist(), rows.key_end.tolist(), strict=True)
        last = {rows.raw[first:end].tobytes(): i for i, (first, end) in enumerate(keys)}
        if not last:
            return
        slots = np.array([self.ledger.customer(key[1:].decode()) for key in last], np.int64)
        chosen = np.fromiter(last.values(), np.int64, len(last))
        starts, ends = rows.value[chosen], rows.value_end[chosen]
        out = np.empty((int((ends - starts).sum()), 5), np.int64)
        found = out[: kernels.decode_flows(rows.raw, starts, ends, out)]
        for flow, currency, month in np.unique(found[:, 1:4], axis=0).tolist():
            mine = found[(found[:, 1:4] == (flow, currency, month)).all(axis=1)]
            if self.ledger.closed != NO_DAY and month < self.ledger.open_month - FLOW_MONTHS_MAX:
                continue  # forgotten since
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


def _rules(codes: Mapping[Flow, int]) -> FlowRules:
    """The flows as the kernel takes them."""
    texts, arena, spans = list[tuple[int, int]](), bytearray(), list[list[tuple[int, int]]]()
    for flow in codes:
        spans.append([])
        for listed in (flow.channels, flow.counterparties):
            spans[-1].append((len(texts), len(texts) + len(listed)))
            for text in listed:
                raw = text.encode()
                texts.append((len(arena), len(raw)))
                arena += raw
    lists = np.array(spans, np.int64).reshape(-1, 2, 2)
    return FlowRules(
        np.array([1 if flow.direction == IN else -1 for flow in codes], np.int64),
        np.array([flow.value == COUNT for flow in codes], np.bool_),
        np.array([_nature_bits(flow) for flow in codes], np.int64),
        np.ascontiguousarray(lists[:, 0]), np.ascontiguousarray(lists[:, 1]),
        np.array(texts, np.int64).reshape(-1, 2), np.frombuffer(bytes(arena), np.uint8),
    )  # fmt: skip
