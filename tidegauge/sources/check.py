"""What is wrong with the records of a source, found in decoded columns. Pure: no I/O and no clock.

A finding says how many records it is about and where a few of them lie, never what is in them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.standing.intake.lanes import UNFIT
from agents.standing.intake.placement import EVERYWHERE, Placement
from schemas.codec.blocks import Columns, Reader
from schemas.codec.kernel import Longs
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.status import REASONS, Status
from schemas.partitioner import NO_KEY, OTHER_KEY, OTHER_PARTITION
from schemas.validation.columns import WORDS_OF, InputCheck
from streams.calendar import day_taken, days_of_instants, zone_table
from streams.fields import BAD_CURRENCY, BAD_DATE, BAD_INSTANT, BAD_NUMBER
from streams.money import EXPONENTS

PLACES_MAX: Final = 3  # of records that a finding names
APART_DAYS: Final = 31  # between the day something counts from and its booking, and nobody wonders
UNKNOWN_PERCENT: Final = 5  # of postings whose nature the source does not say
_MISPLACED: Final = (NO_KEY, OTHER_KEY, OTHER_PARTITION)
_GOOD: Final = (int(Status.OK), *_MISPLACED)  # their fields can be read
_TOLD: Final = (BAD_DATE, BAD_INSTANT, BAD_CURRENCY, BAD_NUMBER)  # in words of their own
_EVERYWHERE: Final = {name.encode() for name in EVERYWHERE}

# Of each topic: dates that must be taken, instants, dates that may not lie ahead of when the record was written.
_DATES: Final = {
    "transactions": ("value_date",), "balances": ("business_day",), "facts": ("as_of",), "fx-rates": ("rate_date",),
}  # fmt: skip
_INSTANTS: Final = {"transactions": "booked_at", "balances": "cutoff_at"}
_PAST: Final = {
    "balances": ("business_day", "opened_on"), "facts": ("as_of",), "fx-rates": ("rate_date",),
    "customers": ("relationship_since", "birth_date"),
}  # fmt: skip
_CURRENCIES: Final = {"transactions": ("currency",), "balances": ("currency",), "fx-rates": ("currency",)}
# What makes two postings with one number the same: as the worker has it (streams.accounts.postings).
_PAYLOAD: Final = ("booked_at", "amount_minor", "value_date", "nature")

_Mask = NDArray[np.bool_]
_Spot = tuple[int, int]  # partition, offset


@dataclass(slots=True)
class SourceFinding:
    """Something that is wrong with `count` records (accounts, partitions), some of which lie at `spots`."""

    code: str  # of tidegauge.cli.data.source_words
    count: int = 0
    spots: list[_Spot] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, spots: Iterable[_Spot]) -> None:
        """More records of the same."""
        for spot in spots:
            self.count += 1
            if len(self.spots) < PLACES_MAX:
                self.spots.append(spot)


@dataclass(slots=True)
class _Journal:
    """Numbers of an account at a source."""

    low: int
    high: int
    numbers: int
    spot: _Spot  # of the highest


class SourceCheck:
    """Takes the records of a topic block by block. Memory grows with postings, accounts and rates: some 400 bytes each."""

    def __init__(self, reader: Reader, partitions: int, zone: str, base: str, source: str = "") -> None:
        """`source`: only records that name it; what can't be read names none, and is looked at too."""
        self.reader, self.partitions, self.base = reader, partitions, base.encode()
        self.topic, self.source = reader.topic, source.encode()
        self.records = 0
        self._check = InputCheck(self.topic, zone)
        self._starts, self._offsets = zone_table(zone)
        self._found: dict[tuple[str, ...], SourceFinding] = {}
        self._payloads: dict[int, int] = {}  # account and number -> payload, both as hashes
        self._journals: dict[int, _Journal] = {}
        self._owners: dict[int, int] = {}  # account -> its first customer, both as hashes
        self._shared: set[int] = set()
        self._rates: dict[int, set[int]] = {partition: set() for partition in range(partitions)}
        self._rate_keys: dict[int, int] = {}  # key -> the rate's version that it stands for, both as hashes

    def take(self, partition: int, columns: Columns, appended: Longs) -> None:
        """Look at the records of a partition. appended: ms, when each was written to the log."""
        Placement(self.reader, partition, self.partitions).check(columns)
        view = _View(partition, columns, self.reader.index)
        status = columns.status
        good = np.isin(status, _GOOD)
        if self.source:
            good &= view.among("source", {self.source}, good)
        self.records += int(np.count_nonzero(good))
        self._placed(view, good)
        self._unreadable(view)
        gone = status == Status.TOMBSTONE
        self._note("tombstone", view, gone & (columns.value == NULL))
        self._note("deleted_row", view, gone & (columns.value != NULL))
        self._days(view, good, days_of_instants(appended, self._starts, self._offsets))
        self._money(view, good)
        self._refused(view, good)
        if self.topic == "transactions":
            unknown = view.column("nature") == self.reader.symbols("nature").index("unknown")
            self._note("nature_unknown", view, good & unknown)
            self._numbers(view, good)
        if "account_id" in view.index:
            self._owned(view, good)

    def findings(self, *, whole: bool = True) -> list[SourceFinding]:
        """What was found. whole: the topic was read from its beginning in every partition."""
        found = [one for one in self._found.values() if one.code != "nature_unknown" or self._many(one)]
        if not self.records:
            found.insert(0, SourceFinding("no_records"))
        holes = [one for one in self._journals.values() if one.high - one.low + 1 > one.numbers]
        if holes:
            one = SourceFinding("number_hole")
            one.add(journal.spot for journal in holes)
            one.details["missing"] = sum(journal.high - journal.low + 1 - journal.numbers for journal in holes)
            found.append(one)
        everywhere = set[int]().union(*self._rates.values())
        lacking = [partition for partition, rates in self._rates.items() if rates != everywhere]
        if whole and lacking:
            found.append(SourceFinding("copy_missing", len(lacking), [], {"partitions": self.partitions}))
        return found

    def _many(self, one: SourceFinding) -> bool:
        one.details["percent"] = 100 * one.count // self.records
        return 100 * one.count > UNKNOWN_PERCENT * self.records

    def _note(self, code: str, view: _View, rows: _Mask, subject: str = "", **details: Any) -> None:
        """Adds rows to the finding of a code and a subject: a field, or a reason."""
        at = np.flatnonzero(rows)
        if len(at):
            known = self._found.setdefault((code, subject), SourceFinding(code, details=details))
            known.add((view.partition, int(offset)) for offset in view.columns.offset[at])

    def _placed(self, view: _View, good: _Mask) -> None:
        status = view.columns.status
        self._note("no_key", view, good & (status == NO_KEY))
        self._note("other_key", view, good & (status == OTHER_KEY))
        elsewhere = good & (status == OTHER_PARTITION)
        by_crc = np.zeros(len(status), np.bool_)
        for i in np.flatnonzero(elsewhere).tolist():  # where librdkafka's default puts a key
            by_crc[i] = zlib.crc32(view.columns.key_bytes(i) or b"") % self.partitions == view.partition
        self._note("partition_crc32", view, elsewhere & by_crc)
        self._note("partition_other", view, elsewhere & ~by_crc)

    def _unreadable(self, view: _View) -> None:
        columns = view.columns
        bad = (columns.status >= Status.BAD_MAGIC) & ~np.isin(columns.status, _MISPLACED)
        for status, at in sorted({*zip(columns.status[bad].tolist(), columns.field[bad].tolist(), strict=True)}):
            rows = bad & (columns.status == status) & (columns.field == at)
            name = self.reader.fields[at] if at >= 0 else ""
            if ("unreadable", f"{status} {name}") in self._found:
                self._note("unreadable", view, rows, f"{status} {name}")
                continue
            first = int(np.flatnonzero(rows)[0])
            reason, said = REASONS[Status(status)], self.reader.why(columns, first) if status in UNFIT else ""
            if status in (Status.UNKNOWN_SCHEMA, Status.INCOMPATIBLE) and not said:
                said = f"schema id {int(columns.data[first, 0])}"
            self._note("unreadable", view, rows, f"{status} {name}", reason=reason, field=name, said=said)

    def _days(self, view: _View, good: _Mask, written: Longs) -> None:
        """Days that no calendar of a bank has, that lie far apart, or ahead of the day a record was written on."""
        days = {name: view.column(name) for name in _DATES.get(self.topic, ())}
        if name := _INSTANTS.get(self.topic, ""):
            days[name] = days_of_instants(view.column(name), self._starts, self._offsets)
        taken = good.copy()
        for name, day in days.items():
            self._note("date_absurd", view, good & ~day_taken(day), name, field=name)
            taken &= day_taken(day)
        if len(days) == 2:
            (one, first), (other, second) = days.items()
            far = taken.copy()
            far[taken] = np.abs(first[taken] - second[taken]) > APART_DAYS
            self._note("date_apart", view, far, one, field=one, other=other, days=APART_DAYS)
        if self.topic == "facts":  # the calendar of the bank is told beforehand
            taken &= ~view.among("name", _EVERYWHERE, taken)
        past = {name: view.column(name) for name in _PAST.get(self.topic, ())} | {
            name: day for name, day in days.items() if name in _INSTANTS.values()
        }
        for name, day in past.items():
            self._note("date_ahead", view, taken & (day != NULL) & (day > written), name, field=name)

    def _money(self, view: _View, good: _Mask) -> None:
        for name in _CURRENCIES.get(self.topic, ()):
            known = view.among(name, {code.encode() for code in EXPONENTS}, good)
            self._note("currency_unknown", view, good & ~known, name, field=name)
        if self.topic == "transactions":
            self._note("amount_zero", view, good & (view.column("amount_minor") == 0))
        if self.topic == "fx-rates":
            base = view.among("base", {self.base}, good)
            self._note("base_other", view, good & ~base, base=self.base.decode())
            self._rate_versions(view, good)

    def _rate_versions(self, view: _View, good: _Mask) -> None:
        """Each version of a rate has a key of its own, else compaction takes what it counts by; and a copy everywhere."""
        day, version, shared = view.column("rate_date"), view.column("version"), np.zeros(len(good), np.bool_)
        for i, text in view.texts("currency", good):
            self._rates[view.partition].add(hash((text, int(day[i]))))
            this = hash((text, int(day[i]), int(version[i])))
            shared[i] = self._rate_keys.setdefault(hash(view.columns.key_bytes(i)), this) != this
        self._note("key_shared", view, shared)

    def _refused(self, view: _View, good: _Mask) -> None:
        """What is a dead letter by itself, and not told by the day, the currency or the number."""
        columns = view.columns
        status, field = np.where(good, np.uint8(Status.OK), np.uint8(Status.TOMBSTONE)), columns.field.copy()
        self._check.judge(columns.raw, columns.data, status, field)
        bad = good & (status != Status.OK) & ~np.isin(status, _TOLD)
        for reason, at in sorted({*zip(status[bad].tolist(), field[bad].tolist(), strict=True)}):
            name = self.reader.fields[at]
            rows = bad & (status == reason) & (field == at)
            self._note("refused", view, rows, f"{reason} {name}", reason=WORDS_OF[reason], field=name)

    def _numbers(self, view: _View, good: _Mask) -> None:
        """Journal numbers: each once in its account, without holes, from 1 on."""
        number = view.column("journal_seq")
        self._note("number_low", view, good & (number < 1))
        names = [view.texts(name, good) for name in ("source", "customer_id", "account_id")]
        payloads = np.stack([view.column(name) for name in _PAYLOAD], axis=1)
        conflicts = np.zeros(len(good), np.bool_)
        for (i, source), (_, customer), (_, account) in zip(*names, strict=True):
            journal, this = hash((source, customer, account)), int(number[i])
            identity, payload = hash((journal, this)), hash(payloads[i].tobytes())
            if identity in self._payloads:
                conflicts[i] = self._payloads[identity] != payload
                continue
            self._payloads[identity] = payload
            self._count(journal, this, (view.partition, int(view.columns.offset[i])))
        self._note("number_conflict", view, conflicts)

    def _owned(self, view: _View, good: _Mask) -> None:
        """Accounts under more than one customer, each once, where the second one comes."""
        shared = np.zeros(len(good), np.bool_)
        for (i, customer), (_, account) in zip(
            view.texts("customer_id", good), view.texts("account_id", good), strict=True
        ):
            one = hash(account)
            if self._owners.setdefault(one, mine := hash(customer)) != mine and one not in self._shared:
                self._shared.add(one)
                shared[i] = True
        self._note("two_owners", view, shared)

    def _count(self, journal: int, number: int, spot: _Spot) -> None:
        known = self._journals.setdefault(journal, _Journal(number, number, 0, spot))
        known.numbers += 1
        known.low = min(known.low, number)
        if number > known.high:
            known.high, known.spot = number, spot


@dataclass(frozen=True, slots=True)
class _View:
    """A block's columns by the names of fields."""

    partition: int
    columns: Columns
    index: dict[str, int]

    def column(self, name: str) -> Longs:
        """Numbers, or references."""
        return self.columns.data[:, self.index[name]]

    def texts(self, name: str, rows: _Mask) -> list[tuple[int, bytes]]:
        """(row, text in UTF-8) of some rows."""
        raw, at = self.columns.raw, np.flatnonzero(rows)
        refs = self.column(name)[at].tolist()
        found: Sequence[bytes] = [
            raw[ref >> REF_BITS : (ref >> REF_BITS) + (ref & LENGTH_MAX)].tobytes() for ref in refs
        ]
        return list(zip(at.tolist(), found, strict=True))

    def among(self, name: str, wanted: set[bytes], rows: _Mask) -> _Mask:
        """Those of some rows whose text is one of these."""
        found = np.zeros(len(rows), np.bool_)
        for i, text in self.texts(name, rows):
            found[i] = text in wanted
        return found
