"""Records of an input judged by themselves, in columns: those of the decoder, or those made of a file's records here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.avro_types import parse
from schemas.codec.kernel import Bytes, Longs, Shorts
from schemas.codec.pointers import bytes_at, longs_at
from schemas.codec.primitives import LENGTH_MAX, LONG_TEXT, NULL, REF_BITS, compiled, text_fault
from schemas.codec.status import REASONS, Status
from schemas.registry import contract
from schemas.validation.texts import TextLimit, text_limits
from streams.calendar import DAY_MAX, DAY_MIN, day_taken, days_of_instants, zone_table
from streams.fields import (
    BAD_CLASS,
    BAD_CURRENCY,
    BAD_DATE,
    BAD_DETAILS,
    BAD_FACT,
    BAD_INSTANT,
    BAD_RATE,
    BAD_VERSION,
    EVENT_REASONS,
)
from streams.fx import RATE_MICRO_MAX, rate_micro_max
from streams.money import EXPONENTS
from streams.validity import FIELD_BYTES_MAX, JOURNAL_END, JOURNAL_MIN, PROFILE_DAY_MIN, judge_postings, judge_snapshots
from streams.vocabulary.terms import ASSET_CLASSES, CUSTOMER_CLASSES

ACTIONS: Final = "crm-actions"
_OK: Final = int(Status.OK)
VALUE_MAX: Final = 1 << 62
"""Of a fact, either way."""

WORDS_OF: Final = {int(status): words for status, words in REASONS.items()} | EVENT_REASONS
"""The reason by its number, of what is wrong with a record by itself, and of what the ledger says."""

_BAD_ENUM: Final = int(Status.BAD_ENUM)

# By topic: field, least and highest number, and what it is beyond. Postings and balances have kernels of their own.
_RANGES: Final = {
    "customers": (
        ("relationship_since", PROFILE_DAY_MIN, DAY_MAX - 1, BAD_DATE), ("birth_date", PROFILE_DAY_MIN, DAY_MAX - 1, BAD_DATE),
    ),
    "facts": (("value", -VALUE_MAX, VALUE_MAX, BAD_FACT), ("as_of", DAY_MIN, DAY_MAX - 1, BAD_DATE)),
    "fx-rates": (
        ("rate_micro", 1, RATE_MICRO_MAX, BAD_RATE), ("rate_date", DAY_MIN, DAY_MAX - 1, BAD_DATE),
        ("version", 0, JOURNAL_END - 1, BAD_VERSION),
    ),
    "policies": (("version", 0, JOURNAL_END - 1, BAD_VERSION), ("effective_from", DAY_MIN, DAY_MAX - 1, BAD_DATE)),
    ACTIONS: (("expires_on", DAY_MIN, DAY_MAX - 1, BAD_DATE),),
}  # fmt: skip
_INSTANTS: Final = {ACTIONS: "at"}
# By topic: fields whose text is one of a list.
_LISTS: Final = {
    "transactions": (("currency", EXPONENTS, BAD_CURRENCY), ("asset_class", ASSET_CLASSES, BAD_CLASS)),
    "balances": (("currency", EXPONENTS, BAD_CURRENCY), ("asset_class", ASSET_CLASSES, BAD_CLASS)),
    "fx-rates": (("currency", EXPONENTS, BAD_CURRENCY), ("base", EXPONENTS, BAD_CURRENCY)),
    "policies": (("customer_class", CUSTOMER_CLASSES, _BAD_ENUM),),
}
# What a file may leave out, since it is given when all its lines are read: judged as this.
_GIVEN_LATER: Final = {"transactions": {"journal_seq": JOURNAL_MIN}}
DETAILS_MAX: Final = 64
_NAME, _DETAIL = TextLimit(FIELD_BYTES_MAX), TextLimit(FIELD_BYTES_MAX, lines=True)


class InputFault(NamedTuple):
    """Why a record is not taken; None for the field where the record as a whole is at fault."""

    field: str | None
    reason: str


class InputCheck:
    """Judges the records of a topic by themselves, in the bank's zone. Cheap to make, and the same for any state."""

    def __init__(self, topic: str, zone: str) -> None:
        self.topic = topic
        self._type = parse(contract(topic))
        self.fields = tuple(f.name for f in self._type.fields)
        self._index = {name: i for i, name in enumerate(self.fields)}
        self._starts, self._offsets = zone_table(zone)
        limits = text_limits(topic, self._type)
        rows = [(self._index[name], limit.bytes_max, int(limit.lines)) for name, limit in limits.items()]
        self._texts = np.array(sorted(rows), np.int64).reshape(-1, 3)

    def verdicts(self, records: Sequence[Mapping[str, Any]]) -> list[InputFault | None]:
        """Of each record, None where it is good. Values are as the Avro writer takes them, numbers within 64 bits."""
        n = len(records)
        raw, data = self._columns(records)
        status, field = np.zeros(n, np.uint8), np.full(n, -1, np.int16)
        _judge_texts(raw.ctypes.data, data.ctypes.data, data.shape[1], self._texts, status, field)
        self.judge(raw, data, status, field)
        if self.topic == ACTIONS:
            at = self._index["details"]
            for i in np.flatnonzero(status == _OK).tolist():
                if (bad := details_fault(records[i]["details"])) != _OK:
                    status[i], field[i] = bad, at
        return [
            None if bad == _OK else InputFault(self.fields[at] if at >= 0 else None, WORDS_OF[bad])
            for bad, at in zip(status.tolist(), field.tolist(), strict=True)
        ]

    def judge(self, raw: Bytes, data: Longs, status: Bytes, field: Shorts) -> None:
        """Gives good rows of columns whose texts are good, but which are wrong otherwise, their status and field."""
        if self.topic == "transactions":
            judge_postings(self._starts, self._offsets, data, status, field)
        elif self.topic == "balances":
            judge_snapshots(self._starts, self._offsets, data, status, field)
        for name, least, most, bad in _RANGES.get(self.topic, ()):
            value = data[:, self._index[name]]
            self._mark((value != NULL) & ((value < least) | (value > most)), name, bad, status, field)
        if name := _INSTANTS.get(self.topic, ""):
            days = days_of_instants(data[:, self._index[name]], self._starts, self._offsets)
            self._mark(~day_taken(days), name, BAD_INSTANT, status, field)
        for name, known, bad in _LISTS.get(self.topic, ()):
            other = np.zeros(len(status), np.bool_)
            for i in np.flatnonzero(status == _OK).tolist():
                other[i] = self._text(raw, data, i, name) not in known
            self._mark(other, name, bad, status, field)
        if self.topic == "fx-rates":
            high = np.zeros(len(status), np.bool_)
            for i in np.flatnonzero(status == _OK).tolist():
                base, currency = (self._text(raw, data, i, name) for name in ("base", "currency"))
                high[i] = data[i, self._index["rate_micro"]] > rate_micro_max(base, currency)
            self._mark(high, "rate_micro", BAD_RATE, status, field)

    def _mark(self, rows: Any, name: str, bad: int, status: Bytes, field: Shorts) -> None:
        at = np.flatnonzero(rows & (status == _OK))
        status[at], field[at] = bad, self._index[name]

    def _text(self, raw: Bytes, data: Longs, i: int, name: str) -> str:
        ref = int(data[i, self._index[name]])
        return raw[ref >> REF_BITS : (ref >> REF_BITS) + (ref & LENGTH_MAX)].tobytes().decode()

    def _columns(self, records: Sequence[Mapping[str, Any]]) -> tuple[Bytes, Longs]:
        """(raw, data) of records as the decoder would have them; of nested values nothing."""
        data = np.full((len(records), len(self.fields)), NULL, np.int64)
        parts, size, later = list[bytes](), 0, _GIVEN_LATER.get(self.topic, {})
        for at, f in enumerate(self._type.fields):
            t, given = f.type.nullable or f.type, [record.get(f.name) for record in records]
            if t.kind in ("map", "array", "record"):
                continue
            if t.kind == "string":
                texts = [b"" if value is None else value.encode() for value in given]
                sizes = np.fromiter(map(len, texts), np.int64, len(texts))
                begins = size + np.cumsum(sizes) - sizes
                data[:, at] = begins << REF_BITS | np.minimum(sizes, LENGTH_MAX)
                data[[value is None for value in given], at] = NULL
                parts += texts
                size += int(sizes.sum())
            elif t.kind == "enum":
                data[:, at] = [t.symbols.index(value) for value in given]
            else:
                data[:, at] = [later.get(f.name, NULL) if value is None else int(value) for value in given]
        return np.frombuffer(b"".join(parts), np.uint8), data


def details_fault(details: Mapping[str, str]) -> int:
    """0, or what is wrong with the details of an act: names are texts like others, what they stand for may have lines."""
    if len(details) > DETAILS_MAX:
        return BAD_DETAILS
    return next((bad for pair in details.items() for bad in map(_fault, pair, (_NAME, _DETAIL)) if bad != _OK), _OK)


def _fault(text: str, limit: TextLimit) -> int:
    raw = np.frombuffer(text.encode(), np.uint8)
    return int(_text_fault_at(raw.ctypes.data, 0, len(raw), limit.bytes_max, int(limit.lines)))


@compiled
def _text_fault_at(raw_at: int, p: int, end: int, most: int, lines: int) -> int:
    if lines != 0:
        return LONG_TEXT if end - p > most else 0
    return text_fault(bytes_at(raw_at), p, end, most)


@compiled
def _judge_texts(raw_at: int, data_at: int, width: int, texts: Longs, status: Bytes, field: Shorts) -> None:
    """Gives rows with a bad text its status and field. texts[k]: column, bytes at most, 1 = of several lines."""
    data = longs_at(data_at)
    for i in range(len(status)):
        for k in range(len(texts)):
            ref = data[i * width + texts[k, 0]]
            if ref == NULL:
                continue
            at = ref >> REF_BITS
            bad = _text_fault_at(raw_at, at, at + (ref & LENGTH_MAX), texts[k, 1], texts[k, 2])
            if bad != 0:
                status[i], field[i] = bad, texts[k, 0]
                break
