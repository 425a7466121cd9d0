"""One validation: what a file refuses its topic refuses, for the same reason and by the same field, and the other way round."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.standing.decide.packs import PACK_REFUSED
from agents.standing.intake.facts import FACT_REASONS
from connectors.formats.canonical import read_file
from connectors.formats.events import InputError
from connectors.formats.layout import FIELDS, INSTANTS
from schemas.avro_types import parse
from schemas.codec.records import encode
from schemas.registry import contract
from schemas.validation.columns import details_fault
from streams.calendar import DAY_MAX, DAY_MIN, date_of
from streams.fields import BAD_BASE, EVENT_REASONS
from streams.money import AMOUNT_MAX
from tests.standing.partition import Partition, Topics, customer
from tests.twins.events import day, instant, posting, rate, snapshot

ZONE = "Asia/Shanghai"
DAY = day("2024-03-02")
# What shows only by the packs and settings of a worker.
OF_THE_WORKER = {*FACT_REASONS.values(), PACK_REFUSED, EVENT_REASONS[BAD_BASE]}


def plain(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "topic"}


GOOD: dict[str, dict[str, Any]] = {
    "transactions": plain(posting(1, 5, DAY, counterparty_bank="Harbour", channel="atm", reverses="e0")),
    "balances": plain(snapshot(1, DAY, opened="1961-04-01")),
    "customers": plain(customer("C1", relationship_since=DAY, birth_date=-3000, card_held="gold")),
    "facts": {"event_id": "f", "customer_id": "C1", "name": "loan_balance", "value": 1, "as_of": DAY, "source": "s"},
    "fx-rates": plain(rate("USD", 7_000_000, DAY)),
    "policies": {
        "pack_id": "p", "version": 2, "effective_from": DAY, "body": "a: 1\nb: [x]\n", "customer_class": "personal",
        "retracted": False,
    },
    "crm-actions": {
        "event_id": "x", "customer_id": "C1", "action": "note", "requested_by": "a", "approved_by": None,
        "at": instant(DAY), "expires_on": DAY, "details": {"tier": "金"},
    },
}  # fmt: skip

TEXTS = st.one_of(
    st.sampled_from(
        [
            "", " ", " E027 ", "E027 ", "\tE027", "a\nb", "a\0b", "a\x7fb", "a\x85", "\u3000王", "王\u00a0", "a\u2028", "\ufffe",
            "\ufeffx", "x" * 128, "x" * 129, "x" * 512, "x" * 513, "x" * 600, "é" * 64, "é" * 65, "é" * 300, "gold", "savings",
            "CNY", "cny", "XXX", "王小明", "7 bytes", "exactly8", "a" * 7 + "\x01", "a" * 8 + " ", "1", "true", "a,b", '"',
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip
EDGES = (0, 1, 1 << 31, 1 << 45, 1 << 53, 1 << 62, 10**12, AMOUNT_MAX, 10**18, (1 << 63) - 1)
NUMBERS = st.one_of(
    st.builds(lambda edge, off, sign: sign * edge + off, st.sampled_from(EDGES), st.integers(-1, 1), st.sampled_from((1, -1)))
    .filter(lambda n: abs(n) < 1 << 63),
    st.integers(1 - (1 << 63), (1 << 63) - 1),
)  # fmt: skip
FIRST, LAST = ((d - dt.date(1970, 1, 1)).days for d in (dt.date.min, dt.date.max))
DAYS = st.one_of(
    st.builds(
        lambda edge, off: min(max(edge + off, FIRST), LAST),
        st.sampled_from((FIRST, LAST, DAY_MIN, DAY_MAX, 0, -43_829, DAY, DAY + 400)), st.integers(-1, 1),
    ),
    st.integers(FIRST, LAST),
)  # fmt: skip
# Instants that ISO can write: a day, and a time of it.
INSTANT = st.builds(lambda on, ms: on * 86_400_000 + ms, st.integers(FIRST + 1, LAST - 1) | DAYS.map(
    lambda d: min(max(d, FIRST + 1), LAST - 1)), st.sampled_from((0, 1, 57_599_999, 57_600_000, 86_399_999)))  # fmt: skip


def values(topic: str, name: str) -> st.SearchStrategy[Any]:
    """What a field may be given, hostile values first."""
    f = next(f for f in parse(contract(topic)).fields if f.name == name)
    t = f.type.nullable or f.type
    if t.kind == "map":
        found: st.SearchStrategy[Any] = st.dictionaries(TEXTS, TEXTS, max_size=2)
    elif t.kind == "string":
        found = TEXTS
    elif t.kind == "boolean":
        found = st.booleans()
    elif t.kind == "enum":
        found = st.sampled_from(t.symbols)
    elif t.logical == "date":
        found = DAYS
    else:
        found = INSTANT if t.logical == "timestamp-millis" else NUMBERS
    return found | st.none() if f.type.nullable else found


@st.composite
def records(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """(topic, record) of several customers: good ones with up to three fields changed."""
    found = []
    for i, topic in enumerate(draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=8, max_size=8))):
        record = GOOD[topic] | {name: f"{name}-{i}" for name in ("customer_id", "account_id") if name in GOOD[topic]}
        for name in draw(st.lists(st.sampled_from(sorted(record)), max_size=3, unique=True)):
            record[name] = draw(values(topic, name))
        found.append((topic, record))
    return found


def row(topic: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record as a canonical file has it."""
    out = {}
    for f in parse(contract(topic)).fields:
        if f.name not in record:  # one that files do not have
            continue
        value = record[f.name]
        if value is not None and (f.type.nullable or f.type).logical == "date":
            value = date_of(value).isoformat()
        elif f.name == INSTANTS.get(topic):
            value = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=value)).isoformat()
        out[f.name] = value
    return out


def write_ndjson(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes("".join(json.dumps(cells, ensure_ascii=False) + "\n" for cells in rows).encode())


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(GOOD[path.stem]), lineterminator="\n")
    writer.writeheader()
    for cells in rows:
        writer.writerow(cells | {n: json.dumps(v) for n, v in cells.items() if isinstance(v, dict | bool)})
    path.write_bytes(out.getvalue().encode())


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    texts = [cells | {n: json.dumps(v) for n, v in cells.items() if isinstance(v, dict)} for cells in rows]
    pq.write_table(pa.Table.from_pylist(texts), path)


WRITERS = {"ndjson": write_ndjson, "csv": write_csv, "parquet": write_parquet}
BOTH = ("ndjson", "parquet")  # that hold any text
Reason = tuple[str, str | None] | None  # and the field; None where a record is taken


def by_file(topic: str, given_: list[dict[str, Any]], form: str) -> list[Reason]:
    """Why a file's lines are refused."""
    with tempfile.TemporaryDirectory() as folder:
        path, rows = Path(folder) / f"{topic}.{form}", [row(topic, record) for record in given_]
        WRITERS[form](path, rows)
        problems: list[InputError] = []
        taken = list(read_file(path, form, ZONE, problems.append))
    found: list[Reason] = [None] * len(rows)
    for one in problems:
        found[one.line - (2 if form == "csv" else 1)] = one.reason, one.field
    assert len(taken) == found.count(None)
    return found


def by_topic(given_: list[tuple[str, dict[str, Any]]]) -> list[Reason]:
    """Why there are dead letters of records that come to a new partition."""
    log = Topics()
    places = [
        (topic, log.append(topic, str(record.get("customer_id", "")).encode(), encode(topic, record)))
        for topic, record in given_
    ]
    letters = Partition(log).run().of("dead-letters")
    found = {(letter["topic"], letter["offset"]): (letter["reason"], letter["field"]) for letter in letters}
    assert len(found) == len(letters)
    return [found.get(place) for place in places]


def writable(record: dict[str, Any]) -> bool:
    """Whether a CSV cell can hold the texts: an empty one is absent, none has a line break."""
    texts = [value for value in record.values() if isinstance(value, str)]
    return all(text and not set(text) & set("\n\r") for text in texts)


def same(given_: list[tuple[str, dict[str, Any]]]) -> None:
    """The law."""
    letters = [None if letter and letter[0] in OF_THE_WORKER else letter for letter in by_topic(given_)]
    for topic in FIELDS:
        mine = [(record, letter) for (of, record), letter in zip(given_, letters, strict=True) if of == topic]
        for form in BOTH:
            assert by_file(topic, [record for record, _ in mine], form) == [letter for _, letter in mine], form
        cells = [(record, letter) for record, letter in mine if writable(record)]
        assert by_file(topic, [record for record, _ in cells], "csv") == [letter for _, letter in cells]


def test_good_records_are_taken():
    """As they stand, by file and topic."""
    assert by_topic(list(GOOD.items())) == [(PACK_REFUSED, "body") if topic == "policies" else None for topic in GOOD]
    for form in BOTH:
        assert [by_file(topic, [record], form) for topic, record in GOOD.items()] == [[None]] * len(GOOD), form


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(records())
@example([("balances", GOOD["balances"] | {"opened_on": day("1950-01-01")})])
@example([("balances", GOOD["balances"] | {"version": 1 << 31})])
@example([("customers", GOOD["customers"] | {"birth_date": day("1849-12-31")})])
@example([("customers", GOOD["customers"] | {"branch": "x" * 129})])
def test_file_and_topic_refuse_the_same(found):
    """Whatever records of whatever inputs: same verdict, same reason, same field."""
    same(found)


REASONS = [
    ("transactions", {"asset_class": "gold"}, "unknown asset class"),
    ("transactions", {"journal_seq": 0}, "journal number out of range"),
    ("transactions", {"event_id": ""}, "empty text"),
    ("transactions", {"customer_id": " E027 "}, "spaces around the text"),
    ("transactions", {"account_id": "a\nb"}, "control characters in the text"),
    ("transactions", {"reverses": "x" * 513}, "text too long"),
    ("customers", {"rm_id": "x" * 129}, "text too long"),
    ("fx-rates", {"rate_micro": 0}, "rate out of range"),
    ("facts", {"as_of": DAY_MAX}, "date out of range"),
    ("crm-actions", {"details": {" tier": "x"}}, "spaces around the text"),
    ("crm-actions", {"details": {str(i): "" for i in range(65)}}, "too many details"),
    ("crm-actions", {"at": 0}, "instant out of range"),
    ("policies", {"customer_class": "gold"}, "unknown symbol"),
]


@pytest.mark.parametrize(("topic", "change", "reason"), REASONS, ids=range(len(REASONS)))
def test_reason_and_field(topic, change, reason):
    """The reason by its words, and the field at fault, on both ways."""
    record = GOOD[topic] | change
    assert by_topic([(topic, record)]) == [(reason, *change)]
    for form in BOTH:
        assert by_file(topic, [record], form) == [(reason, *change)], form


def test_first_reason_whatever_the_account_was():
    """Of a known account too: a class that nobody knows is no other class."""
    log = Topics().tell([posting(1, 5, DAY)])
    log.append(
        "transactions", b"C1", encode("transactions", GOOD["transactions"] | {"asset_class": "gold", "journal_seq": 2})
    )
    log.append(
        "transactions", b"C1", encode("transactions", GOOD["transactions"] | {"asset_class": "fund", "journal_seq": 2})
    )
    letters = Partition(log).run().of("dead-letters")
    assert [letter["reason"] for letter in letters] == ["unknown asset class", "account has another asset class"]


def reference(text: str, most: int) -> str | None:
    """What is wrong with a text, in Python's words."""
    if not text:
        return "empty text"
    if len(text.encode()) > most:
        return "text too long"
    control = [*range(32), *range(127, 160), 0xFFFE, 0xFFFF]
    if any(ord(c) in control for c in text):
        return "control characters in the text"
    return "spaces around the text" if text != text.strip() else None


def text_reason(text: str) -> str | None:
    from schemas.codec.status import REASONS as WORDS
    from schemas.codec.status import Status

    bad = details_fault({text: ""})
    return WORDS[Status(bad)] if bad else None


def test_every_character():
    """At the beginning, inside and at the end of a text: what Python calls a space or a control character."""
    for code in [*range(0x3100), *range(0xFE00, 0x10010)]:
        for text in (chr(code), f"{chr(code)}abc", f"abcdefgh{chr(code)}i", f"abcd{chr(code)}"):
            assert text_reason(text) == reference(text, 512), ascii(text)


@given(st.text(st.characters(codec="utf-8"), max_size=40) | TEXTS)
def test_texts(text):
    """Any text."""
    assert text_reason(text) == reference(text, 512)
