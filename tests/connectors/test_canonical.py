"""Canonical files: every form gives the same events, and a bad line is named and leaves its neighbours alone."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import canonical, files_out
from connectors.formats.events import Event, InputError, key_of
from connectors.formats.layout import FIELDS
from connectors.formats.sources import import_fingerprint, read_source
from connectors.simulate import simulate
from schemas.codec.records import decode_one, encode
from schemas.letters import Original
from schemas.topics import BROADCAST, MARKED

ZONE = "Asia/Shanghai"
LATER = {  # fields of the contract that the service of commands alone may write
    "crm-actions": {"stamped_by", "stamped_role", "stamped_unit", "stamped_at", "request_id"},
}  # fmt: skip
GOOD = {
    "event_id": "e1",
    "source": "core",
    "journal_seq": 1,
    "customer_id": "c1",
    "account_id": "a1",
    "currency": "CNY",
    "amount": "12.34",
    "value_date": "2026-01-05",
    "booked_at": "2026-01-05T10:00:00+08:00",
    "nature": "external",
    "branch": "B01",
}

ACTION = {
    "event_id": "x",
    "customer_id": "c",
    "action": "override",
    "requested_by": "a",
    "approved_by": None,
    "at": 1767751200000,
    "expires_on": 20500,
    "details": {"tier": "金"},
}
PACK = {"pack_id": "p", "version": 2, "effective_from": 20460, "body": "a: 1\nb: [x]\n", "customer_class": "personal",
    "retracted": False,
}  # fmt: skip


def lines(path: Path, rows: list[bytes]) -> Path:
    path.write_bytes(b"".join(row + b"\n" for row in rows))
    return path


def collect(path: Path, form: str) -> tuple[list[Event], list[InputError]]:
    bad: list[InputError] = []
    return list(canonical.read_file(path, form, ZONE, bad.append)), bad


def test_ndjson_line(tmp_path):
    """A line becomes an Avro record of the contract; its money is in minor units and its dates are numbers."""
    path = lines(tmp_path / "transactions.ndjson", [json.dumps(GOOD).encode()])
    (event,), bad = collect(path, "ndjson")
    assert not bad
    assert (event.day, event.topic, event.record["amount_minor"]) == (20458, "transactions", 1234)
    assert decode_one(encode("transactions", event.record)) == event.record


BAD_FIELDS = [
    ({"currency": "XYZ"}, "currency"),
    ({"currency": "cny"}, "currency"),
    ({"amount": "NaN"}, "amount"),
    ({"amount": "12.345"}, "amount"),
    ({"amount": "1e5"}, "amount"),
    ({"amount_minor": 5}, "amount"),
    ({"amount": None}, "amount"),
    ({"journal_seq": -1}, "journal_seq"),
    ({"value_date": "0202-01-05"}, "value_date"),
    ({"value_date": "2026-13-05"}, "value_date"),
    ({"booked_at": "3026-01-05T10:00:00"}, "booked_at"),
    ({"booked_at": None}, "booked_at"),
    ({"nature": "gift"}, "nature"),
    ({"asset_class": "gold"}, "asset_class"),
    ({"customer_id": ""}, "customer_id"),
    ({"customer_id": None}, "customer_id"),
    ({"amuont": "1"}, "amuont"),
    ({"topic": "standings"}, "topic"),
    ({"arrives": "2026-01-04"}, "arrives"),
    ({"branch": "x" * 2000}, "branch"),
]


@pytest.mark.parametrize(("change", "field"), BAD_FIELDS)
def test_bad_field(tmp_path, change, field):
    """A value that its field cannot take is refused by file, line and field, and the lines around it are taken."""
    good = json.dumps(GOOD).encode()
    original = json.dumps(GOOD | change).encode()
    path = lines(tmp_path / "transactions.ndjson", [good, original, good])
    events, bad = collect(path, "ndjson")
    assert len(events) == 2
    assert [(problem.file, problem.line, problem.field) for problem in bad] == [(str(path), 2, field)]
    assert bad[0].original == Original.of(original)
    assert str(bad[0]).startswith(f"{path}:2: {field}: ")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe{}",
        b'{"event_id": "\xc3"}',
        b"{",
        b"[1]",
        b'"x"',
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"event_id": "a", "event_id": "b"}',
        b'{"topic": 5}',
        b"[" * 5000,
        b'{"event_id": "' + b"x" * 2_000_000 + b'"}',
    ],
    ids=range(11),
)
def test_bad_line(tmp_path, raw):
    """What is no object in UTF-8 of at most a megabyte is refused as a line, and the lines around it are taken."""
    good = json.dumps(GOOD).encode()
    events, bad = collect(lines(tmp_path / "transactions.ndjson", [good, raw, good]), "ndjson")
    assert len(events) == 2
    assert [problem.line for problem in bad] == [2]
    assert raw.startswith(bad[0].original.head)
    assert bad[0].original.head
    assert bad[0].original.size in (len(raw), len(raw) + 1)  # with its line end where it was too long to be looked at
    if bad[0].original.size == len(raw) + 1:
        assert bad[0].original.sha256 == hashlib.sha256(raw + b"\n").hexdigest()


def test_json_numbers_stay_exact(tmp_path):
    """A JSON number is read as the text it is: 0.29 is 29 fen, and an amount with three decimals is refused."""
    rows = [json.dumps(GOOD).replace('"12.34"', text).encode() for text in ("0.29", "1.005", "90071992547409.93")]
    events, bad = collect(lines(tmp_path / "transactions.ndjson", rows), "ndjson")
    assert [event.record["amount_minor"] for event in events] == [29]
    assert [problem.line for problem in bad] == [2, 3]


def test_csv_bad_lines(tmp_path):
    """In CSV a wrong number of cells, broken quotes, NaN and bad UTF-8 cost one line each."""
    rows = [b'"e1","core",1,c1,a1,CNY,12.34,2026-01-05,2026-01-05,B01'] * 6
    header = b"event_id,source,journal_seq,customer_id,account_id,currency,amount,value_date,booked_at,branch"
    rows[1], rows[2] = rows[1].replace(b"12.34", b"NaN"), rows[2] + b",x"
    rows[3], rows[4] = rows[3].replace(b'"e1"', b'"e1"x'), rows[4].replace(b"c1", b"\xe9")
    path = lines(tmp_path / "transactions-2026.csv", [b"\xef\xbb\xbf" + header, *rows])
    events, bad = collect(path, "csv")
    assert len(events) == 2
    assert [(problem.line, problem.field) for problem in bad] == [(3, "amount"), (4, None), (5, None), (6, None)]


@pytest.mark.parametrize("header", [b"event_id,amuont", b"event_id,event_id", b"x\xc0"])
def test_csv_header(tmp_path, header):
    """A header with an unknown or repeated name refuses the file: every line of it would be wrong."""
    with pytest.raises(InputError):
        read_source("csv", lines(tmp_path / "transactions.csv", [header, b"a,b"]), ZONE)


def test_file_name_states_the_topic(tmp_path):
    """A CSV file whose name begins with no topic is refused, as nothing else says what it holds."""
    with pytest.raises(InputError, match="begin with one of"):
        read_source("csv", lines(tmp_path / "postings.csv", [b"event_id", b"a"]), ZONE)
    assert canonical.topic_in_name(Path("fx-rates-2026.csv")) == "fx-rates"
    assert canonical.topic_in_name(Path("balances.agency.csv")) == "balances"
    assert canonical.topic_in_name(Path("balancesheet.csv")) is None


def test_parquet_types(tmp_path):
    """Parquet's own decimals, dates and timestamps are read exactly; a column of floats is refused line by line."""
    table = pa.table(
        {
            name: [GOOD[name]]
            for name in ("event_id", "source", "journal_seq", "customer_id", "account_id", "currency", "branch")
        }
    )
    table = table.append_column("amount", pa.array(["12.34"]).cast(pa.decimal128(20, 2)))
    table = table.append_column("value_date", pa.array(["2026-01-05"]).cast(pa.date32()))
    table = table.append_column("booked_at", pa.array([1767578400000], pa.timestamp("ms", "UTC")))
    path = tmp_path / "transactions.parquet"
    pq.write_table(table, path)
    (event,), bad = collect(path, "parquet")
    assert not bad
    assert (event.record["amount_minor"], event.record["value_date"], event.record["booked_at"]) == (
        1234,
        20458,
        1767578400000,
    )
    floats = table.set_column(table.schema.get_field_index("amount"), "amount", pa.array([12.34]))
    pq.write_table(floats, path)
    events, bad = collect(path, "parquet")
    assert not events
    assert bad[0].field == "amount"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="no Parquet file"):
        read_source("parquet", path, ZONE)


@pytest.mark.parametrize("form", files_out.FORMATS)
def test_round_trip(tmp_path, form):
    """What is written as canonical files is read back as the same events, day by day, in every form."""
    events = [item for item in simulate(3, customers=60, months=1) if isinstance(item, Event)]
    events += [
        Event(20460, "crm-actions", ACTION),
        Event(20460, "policies", PACK),
    ]
    if form == "csv":  # a cell holds no line break
        events.pop()
    counts = files_out.write_files(events, tmp_path, form)
    assert sum(counts.values()) == len(events)
    found = read_source(form, tmp_path, ZONE)

    def order(event: Event) -> tuple:
        return event.day, event.topic, sorted(map(str, event.record.items()))

    assert sorted(found, key=order) == sorted(events, key=order)


@given(st.text())
def test_csv_never_breaks(text):
    """No text in a CSV line makes the reader fail: it is a row or a bad line."""
    cells = canonical._cells(text)
    assert cells is None or isinstance(cells, list)


def test_fingerprint_follows_content(tmp_path):
    """An import is recognised by its files' contents and options, not by where they lie."""
    here, there = tmp_path / "a", tmp_path / "b"
    for folder in (here, there):
        folder.mkdir()
        lines(folder / "transactions.ndjson", [json.dumps(GOOD).encode()])
    assert import_fingerprint("ndjson", here, ZONE) == import_fingerprint("ndjson", there, ZONE)
    assert import_fingerprint("ndjson", here, ZONE) != import_fingerprint("ndjson", here, "Europe/Prague")
    lines(there / "transactions.ndjson", [json.dumps(GOOD | {"amount": "1"}).encode()])
    assert import_fingerprint("ndjson", here, ZONE) != import_fingerprint("ndjson", there, ZONE)


def test_nothing_there(tmp_path):
    """A path without such files is bad input, said as such."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            read_source("ndjson", path, ZONE)
    with pytest.raises(InputError, match="none of"):
        read_source("xml", tmp_path, ZONE)


def test_layout_covers_the_contracts():
    """Every input topic has a layout, and its fields are the contract's fields."""
    from schemas.registry import contract

    assert set(FIELDS) == set(MARKED)
    for topic in MARKED:
        names = {field["name"] for field in contract(topic)["fields"]}
        assert set(files_out.csv_columns(topic)) - {"arrives"} == names - LATER.get(topic, set())


def test_keys():
    """A keyed record goes by its customer, a rate by what makes it a version of its own."""
    assert key_of("facts", {"customer_id": "c1"}) == "c1"
    rate = {"currency": "USD", "base": "CNY", "rate_date": 5, "version": 2}
    assert key_of("fx-rates", rate) == "USD/CNY/5/2"
    assert "fx-rates" in BROADCAST
    with pytest.raises(ValueError, match="no input topic"):
        key_of("standings", {})
