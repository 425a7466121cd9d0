"""What the bank's systems and the profile say of a customer beside his accounts: facts by name, tenure and age.

Of one fact the highest `as_of` counts, then the highest event id, in whatever order they come. Rows go out in the
transaction of the event, so a replay leaves them alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from agents.engine.job import Pair
from agents.standing.intake.figures.monthly_facts import MonthlyFacts
from agents.standing.intake.marks import ASIDE, COMPLETE, SourceMarks
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.intake.transaction_counts import TransactionCounts
from agents.standing.model import RowKey
from policies.compiled.program import Column
from policies.model import metrics
from policies.model.figures import series
from policies.model.metrics import FROM_PROFILE, counted_months
from policies.model.pack import Pack
from schemas.codec.blocks import Columns
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, SOURCES_MAX, Array
from streams.calendar import NO_DAY, month_of, month_start
from streams.fields import BAD_FACT, BAD_SOURCE, OK

UNKNOWN_FACT, TEXT_FACT, NUMBER_FACT, OTHER_TEXT = 60, 69, 80, 81
FACT_REASONS = {
    UNKNOWN_FACT: "a fact that no pack knows", TEXT_FACT: "a text for a fact that is a number",
    NUMBER_FACT: "no text for a fact that is one", OTHER_TEXT: "a text that is none of the fact's values",
}  # fmt: skip
_EVENT_ID, _CUSTOMER_ID, _NAME, _VALUE, _AS_OF, _SOURCE, _TEXT = range(7)  # columns of the facts contract
BANK_OPEN = "bank_open"  # in every partition: whether `as_of` is a business day (1) or a holiday (0)
_SINCE, _BIRTH = 5, 6  # columns of the customers contract
NO_DATE = -(1 << 31)
FAR = 1 << 30  # no day
NAME_CHARS_MAX = 60  # of a fact's name in a message


def fact_kinds(packs: Iterable[Pack]) -> dict[str, str | None]:
    """The facts that are taken, each with the kind of its value: those of every pack, and those that packs add.

    Beside them there are COMPLETE and BANK_OPEN, which are of no customer.
    """
    found = {name: metrics.kind(name) for name in metrics.facts() if name not in FROM_PROFILE}
    for pack in packs:
        found |= {name: fact.kind for name, fact in pack.facts.items()}
    return found


def unknown_fact(name: str, packs: Iterable[Pack]) -> str:
    """What is to be said of a fact that none of the packs knows."""
    said = f"name: no pack knows the fact {name[:NAME_CHARS_MAX]}"
    if name in FROM_PROFILE:
        said = f"name: {name} follows from the profile, it is no fact"
    return f"{said}; packs: {', '.join(dict.fromkeys(pack.id for pack in packs))}"


class CustomerFacts:
    """Facts and dates of a partition's customers, in columns by slot."""

    def __init__(
        self, ledger: Ledger, packs: Iterable[Pack], counts: TransactionCounts, touched: TouchedCustomers,
        base_exponent: int,
    ) -> None:  # fmt: skip
        self.ledger, self.base_exponent = ledger, base_exponent
        self.kinds = fact_kinds(())
        self.absent = {name: metrics.absent(name) or 0 for name in metrics.facts()}
        self.values: dict[str, Array] = {}
        self.days: dict[str, Array] = {}
        self.event_ids: dict[str, dict[int, str]] = {}
        self.valid_days: dict[str, int] = {}
        self.texts = [""]  # behind the values of facts that are texts; 0: none
        self.allowed: dict[str, frozenset[str]] = {}  # of such a fact
        self.monthly = MonthlyFacts(ledger)
        self.marks = SourceMarks(self._keep)
        self.sources: set[str] = set()  # that facts have named
        self.calendar: dict[int, bool] = {}  # days of which it was said whether the bank is open
        self.dates = np.full((0, 2), NO_DATE, np.int32)  # begin of the relation, birth
        self._counts, self._touched = counts, touched
        self._rows: list[Pair] = []
        self.use(packs)

    def know(self, pack: Pack) -> None:
        """Facts of a pack that will be in force are taken from now on."""
        kinds = fact_kinds([pack])
        for name, kind in kinds.items():
            if name in self.values and "text" in {kind, self.kinds[name]} and kind != self.kinds[name]:
                for known in (self.values, self.days, self.event_ids):
                    known.pop(name)  # a number says nothing of a text
        self.kinds |= kinds
        self.absent = self._stand_ins(pack) | self.absent
        self.valid_days = _valid_days(pack) | self.valid_days
        for name, fact in pack.facts.items():
            if fact.kind == "text":
                self.allowed[name] = self.allowed.get(name, frozenset()) | {*fact.values}
        self.monthly.know(pack.asked(), kinds)

    def _stand_ins(self, pack: Pack) -> dict[str, int]:
        return {
            name: self._code(fact.absent_text or "") if fact.kind == "text" else fact.stand_in(self.base_exponent)
            for name, fact in pack.facts.items()
        }

    def _code(self, text: str) -> int:
        """The place of a text; texts are those of packs."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def use(self, packs: Iterable[Pack]) -> None:
        """What stands in for a fact that was not sent, and how long one counts, is the packs' business."""
        for pack in packs:
            self.know(pack)
            self.absent |= self._stand_ins(pack)
            for name in pack.facts:
                self.valid_days.pop(name, None)
            self.valid_days |= _valid_days(pack)
        for name, column in self.values.items():
            column[self.days[name] == NO_DAY] = self.absent[name]

    def put(self, columns: Columns, i: int) -> tuple[int, int]:
        """Takes row i of a block: (OK or why not, the field at fault or -1)."""
        row = columns.data[i]
        name, customer_id = columns.text_at(int(row[_NAME])) or "", columns.text_at(int(row[_CUSTOMER_ID])) or ""
        value, as_of = int(row[_VALUE]), int(row[_AS_OF])
        source, event_id = columns.text_at(int(row[_SOURCE])) or "", columns.text_at(int(row[_EVENT_ID])) or ""
        kind = self.kinds.get(name)
        if kind is None and name not in (COMPLETE, BANK_OPEN):
            return UNKNOWN_FACT, _NAME
        if kind == "text":
            return self._put_text(columns, i, name)
        if int(row[_TEXT]) != NULL:  # else its number would be taken for what it says
            return TEXT_FACT, _TEXT
        if name == COMPLETE:
            return (OK, -1) if self.marks.take(source, as_of, value, self.ledger.closed) else (BAD_SOURCE, _SOURCE)
        if name == BANK_OPEN:
            return (OK, -1) if self._calendar(as_of, value) else (BAD_FACT, _VALUE)
        if not ((kind == "flag" and value in (0, 1)) or (kind == "count" and value >= 0) or kind == "money"):
            return BAD_FACT, _VALUE
        self._keep_fact(name, customer_id, value, (as_of, event_id, source), f"{value} {as_of} {event_id}")
        return OK, -1

    def _put_text(self, columns: Columns, i: int, name: str) -> tuple[int, int]:
        """Takes a fact that is a text."""
        row = columns.data[i]
        text = columns.text_at(int(row[_TEXT]))
        if text is None:
            return NUMBER_FACT, _TEXT
        if text not in self.allowed[name]:
            return OTHER_TEXT, _TEXT
        customer_id, as_of = columns.text_at(int(row[_CUSTOMER_ID])) or "", int(row[_AS_OF])
        source, event_id = columns.text_at(int(row[_SOURCE])) or "", columns.text_at(int(row[_EVENT_ID])) or ""
        kept = json.dumps([text, as_of, event_id], ensure_ascii=False)
        self._keep_fact(name, customer_id, self._code(text), (as_of, event_id, source), kept)
        return OK, -1

    def _keep_fact(self, name: str, customer_id: str, value: int, how: tuple[int, str, str], kept: str) -> None:
        """Takes a value that is good: its day, event and source; `kept`: its row."""
        as_of, event_id, source = how
        if len(self.sources) < SOURCES_MAX:
            self.sources.add(source)
        slot = self.ledger.customer(customer_id)
        latest = self._take(name, slot, value, as_of, event_id)
        if latest:
            self._rows.append((RowKey.FACT + f"{name}/{customer_id}".encode(), kept.encode()))
        if self.monthly.take(name, slot, value, as_of, event_id) or latest:
            self._touched.note(slot, event_id)

    def _keep(self, row: Pair) -> None:
        self._rows.append(row)

    def _calendar(self, day: int, value: int) -> bool:
        """What a day is; the last word on it counts. False for a value that says neither."""
        if value in (0, 1):
            self.calendar[day] = value == 1
            self._rows.append((RowKey.FACT + f"{BANK_OPEN}/{day}".encode(), str(value).encode()))
        return value in (0, 1)

    def _take(self, name: str, slot: int, value: int, as_of: int, event_id: str) -> bool:
        self._reserve(name)
        known = self.event_ids[name].get(slot)
        if known is not None and (as_of, event_id) <= (int(self.days[name][slot]), known):
            return False
        self.values[name][slot], self.days[name][slot], self.event_ids[name][slot] = value, as_of, event_id
        return True

    def put_dates(self, columns: Columns, i: int, slot: int) -> None:
        """Takes the dates of a profile."""
        since, birth = (
            NO_DATE if int(columns.data[i, at]) == NULL else int(columns.data[i, at]) for at in (_SINCE, _BIRTH)
        )
        self._set_dates(slot, since, birth, columns.text_at(int(columns.data[i, _EVENT_ID])) or "")

    def withdraw_dates(self, slot: int, cause: str) -> None:
        """As if no profile had been sent."""
        self._set_dates(slot, NO_DATE, NO_DATE, cause)

    def _set_dates(self, slot: int, since: int, birth: int, cause: str) -> None:
        self._reserve_dates()
        if tuple(self.dates[slot].tolist()) != (since, birth):
            self.dates[slot] = since, birth
            key = RowKey.DATES + self.ledger.customer_id(slot).encode()
            self._rows.append((key, f"{since} {birth}".encode()))
            self._touched.note(slot, cause)

    def _reserve(self, name: str) -> None:
        slots = self.ledger.customers.count
        if name not in self.values:
            self.event_ids[name] = {}
            self.values[name], self.days[name] = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if slots > len(self.values[name]):
            self.values[name] = grown(self.values[name], slots, self.absent[name])
            self.days[name] = grown(self.days[name], slots, NO_DAY)

    def _reserve_dates(self) -> None:
        self.dates = grown(self.dates, self.ledger.customers.count, NO_DATE)

    def column(self, name: str, slots: Array, day: int) -> Array:
        """int64[n]: a fact, a profile's value or a count as of a day; the pack's stand-in where no fact was sent.

        Of a profile's value that is not known it is 0, and `unknown` says so.
        """
        if counted_months(name) is not None:
            return self._counts.column(name, slots, day)
        if name in FROM_PROFILE:
            self._reserve_dates()
            dates = self.dates[slots, FROM_PROFILE.index(name)]
            months = months_since(dates.astype(np.int64), day)
            return np.where(dates == NO_DATE, 0, months if name == "tenure_months" else months // 12)
        if name not in self.values:
            return np.full(len(slots), self.absent[name], np.int64)
        self._reserve(name)
        if name in self.valid_days:
            since = self.days[name][slots]
            lapsed = (since != NO_DAY) & (since + self.valid_days[name] < day)
            return np.where(lapsed, self.absent[name], self.values[name][slots])
        return self.values[name][slots]

    def figure(self, name: str, slots: Array, day: int) -> Column:
        """A fact, of now or of a month, a profile's value or a count as of a day, with what is not known of it."""
        if (by_month := series(name)) is not None:
            return Column(self.monthly.column(by_month, slots, day, self.absent[by_month.of]))
        units = self.column(name, slots, day)
        if self.kinds.get(name) == "text":
            return Column(units, unknown=units == 0, texts=tuple(self.texts))
        return Column(units, unknown=self.unknown(name, slots))

    def unknown(self, name: str, slots: Array) -> Array | None:
        """bool[n]: of whom a profile's value is not known; None for what always has one."""
        if name not in FROM_PROFILE:
            return None
        self._reserve_dates()
        missing: Array = self.dates[slots, FROM_PROFILE.index(name)] == NO_DATE
        return missing

    def joined(self, slot: int) -> int | None:
        """The begin of a customer's relation by his profile; None where it is not known."""
        self._reserve_dates()
        day = int(self.dates[slot, FROM_PROFILE.index("tenure_months")])
        return None if day == NO_DATE else day

    def first_days(self, slots: Array) -> Array:
        """int64[n]: of each customer the least day of his facts, each name's latest one; far in the future for none."""
        found = np.full(len(slots), FAR, np.int64)
        for name in self.values:
            self._reserve(name)
            days = self.days[name][slots]
            np.minimum(found, np.where(days == NO_DAY, FAR, days), out=found)
        return found

    def of_days(self, before: int, day: int) -> Array:
        """Slots, ascending, of customers with a fact whose latest word is of a day after `before` and up to `day`."""
        found = np.zeros(self.ledger.customers.count, np.bool_)
        for days in self.days.values():
            known = days[: len(found)]
            found[: len(known)] |= (known > before) & (known <= day)
        return np.flatnonzero(found)

    def near(self, name: str, first: int, last: int) -> tuple[Array, Array]:
        """(slots, values) of customers whose fact, a day, lies in [first, last]; slots ascending."""
        if name not in self.values:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        values, sent = self.values[name], self.days[name] != NO_DAY
        slots: Array = np.flatnonzero(sent & (values >= first) & (values <= last))
        return slots, values[slots]

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call."""
        rows, self._rows = self._rows, []
        return rows + self.monthly.take_rows()

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows of either kind back, one a key."""
        for key, value in rows:
            if key.startswith(RowKey.FACT_MONTHS):
                self.monthly.load([(key, value)])
                continue
            if key.startswith(RowKey.DATES):
                slot = self.ledger.customer(key[1:].decode())
                self._reserve_dates()
                self.dates[slot] = [int(part) for part in (value or b"").split()]
                continue
            name, customer_id = key[1:].decode().split("/", 1)
            if name in (COMPLETE, ASIDE):
                self.marks.load(name, customer_id, int(value or b""))
            elif name == BANK_OPEN:
                self.calendar[int(customer_id)] = value == b"1"
            elif name in self.kinds:  # or of a pack that was in force before
                self._load_fact(name, customer_id, (value or b"").decode())

    def _load_fact(self, name: str, customer_id: str, kept: str) -> None:
        """A row of a fact; one of before, when a number was what is a text now, or the other way about, says nothing."""
        if kept.startswith("[") != (self.kinds[name] == "text"):
            return
        slot = self.ledger.customer(customer_id)
        if kept.startswith("["):
            text, as_of, event_id = json.loads(kept)
            self._take(name, slot, self._code(text), as_of, event_id)
        else:
            number, day, event_id = kept.split(" ", 2)
            self._take(name, slot, int(number), int(day), event_id)


def _valid_days(pack: Pack) -> dict[str, int]:
    return {name: fact.valid_days for name, fact in pack.facts.items() if fact.valid_days is not None}


def grown(column: Array, slots: int, fill: int) -> Array:
    """The column with room for so many slots, new ones filled."""
    if slots <= len(column):
        return column
    out = np.full((max(slots, 2 * len(column)), *column.shape[1:]), fill, column.dtype)
    out[: len(column)] = column
    return out


def months_since(dates: Array, day: int) -> Array:
    """int64[n]: full months from dates (day numbers) to a day; at least 0.

    A month is full on the same day of the month, or on its last where it is shorter.
    """
    then, now = dates.astype("datetime64[D]"), np.datetime64(day, "D")
    months = (now.astype("datetime64[M]") - then.astype("datetime64[M]")).astype(np.int64)
    of_month = (then - then.astype("datetime64[M]")).astype(np.int64)
    today = int((now - now.astype("datetime64[M]")).astype(np.int64))
    is_last = int(month_start(int(month_of(day)) + 1)) - 1 == day
    full: Array = np.maximum(months - ((today < of_month) & (not is_last)), 0)
    return full
