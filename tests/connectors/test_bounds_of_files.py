"""Files that mean harm: what is too long, too deep or too much ends its record, or is refused with a reason in time."""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import parquet_rows
from connectors.formats.canonical import LINE_BYTES_MAX, read_file
from connectors.formats.events import InputError
from connectors.formats.fields import show
from connectors.formats.json_text import NESTING_MAX, read_json
from connectors.formats.manifest import manifest_of
from connectors.formats.parquet_pages import pages

ZONE = "Asia/Shanghai"
GOOD = {
    "event_id": "e1", "customer_id": "C1", "action": "note", "requested_by": "rm-1", "at": "2026-03-02T10:00:00+08:00",
    "details": {"a": "b"},
}  # fmt: skip
MB = 1 << 20


def taken(path: Path, form: str) -> tuple[list[Any], list[InputError]]:
    """Events and reported lines of a file."""
    problems: list[InputError] = []
    return list(read_file(path, form, ZONE, problems.append)), problems


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [NESTING_MAX, 900, 5_000, 200_000])
@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("place", ["details", "event_id"])
def test_nesting_ends_its_record(place: str, form: str, depth: int, tmp_path: Path) -> None:
    """Deeply nested JSON, in whatever field, is a bad line; the lines around it are read."""
    path = tmp_path / f"crm-actions.{form}"
    good, deep = json.dumps(GOOD), json.dumps(GOOD | {place: 0}).replace(f'"{place}": 0', f'"{place}": {nested(depth)}')
    if form == "csv":

        def line(record: dict[str, str]) -> str:
            return ",".join('"' + text.replace('"', '""') + '"' for text in record.values())

        plain = GOOD | {"details": json.dumps(GOOD["details"])}
        good, deep = line(plain), line(plain | {place: nested(depth)})  # type: ignore[arg-type]
        path.write_text("\n".join([",".join(GOOD), good, deep, good]))
        if place == "event_id":
            return  # text like any other
    else:
        path.write_text(f"{good}\n{deep}\n{good}")
    events, problems = taken(path, form)
    assert (len(events), [problem.line for problem in problems]) == (2, [2 + (form == "csv")])
    assert len(str(problems[0])) < 400


@given(
    st.recursive(
        st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=40,
    )
)
def test_nesting_is_bounded_and_nothing_else(value: Any) -> None:
    """What is not too deep is read as it is, what is too deep is a ValueError, and any value can be quoted."""

    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    if depth(value) <= NESTING_MAX:
        assert read_json(json.dumps(value)) == value
    else:
        with pytest.raises(ValueError, match="deep"):
            read_json(json.dumps(value))
    assert len(show(value)) <= 60


def test_nested_manifest_is_a_bad_manifest(tmp_path: Path) -> None:
    """A manifest is JSON from outside like any other."""
    (tmp_path / "balances.manifest.json").write_text('{"full_list": ' + nested(100_000) + "}")
    with pytest.raises(InputError, match="deep"):
        manifest_of(tmp_path / "balances.csv", ZONE)


def test_cell_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    """The line is the bound: a cell of 200 KB is a field that is too long, not broken quotes."""
    path = tmp_path / "crm-actions.csv"
    path.write_text(
        "event_id,customer_id,action,requested_by,at\n"
        + "x" * 200_000
        + ",C1,note,rm-1,2026-03-02\n"
        + "y" * (LINE_BYTES_MAX + 9)
    )
    events, problems = taken(path, "csv")
    assert events == [] and [p.reason[:12] for p in problems] == ["text too lon", "longer than "]
    assert [p.field for p in problems] == ["event_id", None]


def write(path: Path, columns: dict[str, Any], rows: int, **more: Any) -> None:
    """Facts of `rows` rows; a value that is given once repeats."""
    plain = {"event_id": "e", "customer_id": "C1", "name": "loan", "value": 1, "as_of": "2026-03-02", "source": "s"}
    arrays = {
        name: value
        if isinstance(value, pa.Array)
        else pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))
        for name, value in (plain | columns).items()
    }
    pq.write_table(pa.table(arrays), path, compression="zstd", **more)


def test_small_file_stays_small(tmp_path: Path) -> None:
    """A file of some KB whose 3,000 rows share a text of 900 KB, 2.7 GB in all: the reader stays small, and names each row."""
    path = tmp_path / "facts.parquet"
    program = (
        "import sys; from pathlib import Path; from connectors.formats.canonical import read_file\n"
        "count = [0]\n"
        "def report(problem): count[0] += 1; assert 'longer than 4096' in problem.reason\n"
        "assert not list(read_file(Path(sys.argv[1]), 'parquet', 'UTC', report))\n"
        "said = Path('/proc/self/status').read_text()\n"  # getrusage would count what the caller had when it forked
        "print(count[0], int(said.split('VmHWM:')[1].split()[0]) // 1024)"
    )
    write(path, {"source": "x" * 900_000}, 3_000)
    assert path.stat().st_size < 40_000
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    rows, megabytes = map(int, done.stdout.split())
    assert (rows, megabytes < 600) == (3_000, True), megabytes


def test_long_value_ends_its_record(tmp_path: Path) -> None:
    """A value beyond the bound is reported with its row and column; its neighbours are read."""
    path = tmp_path / "facts.parquet"
    ids = pa.array(["e0", "x" * (parquet_rows.VALUE_BYTES_MAX + 1), "e2"])
    write(path, {"event_id": ids}, 3)
    events, problems = taken(path, "parquet")
    assert [event.record["event_id"] for event in events] == ["e0", "e2"]
    assert [(problem.line, problem.field) for problem in problems] == [(2, "event_id")]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"value": pa.array([[1]])}, "list"),
        ({"name": pa.array([{"a": "b"}])}, "struct"),
        ({"name": pa.array([b"x"])}, "binary"),
        ({"name": pa.array([b"x"], pa.binary(1))}, "fixed_size_binary"),
    ],
    ids=["list", "struct", "binary", "fixed"],
)
def test_type_that_no_field_has(columns: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """A column of another type makes every line wrong: the file is refused at once."""
    write(tmp_path / "facts.parquet", columns, 1)
    with pytest.raises(InputError, match=reason):
        taken(tmp_path / "facts.parquet", "parquet")


def test_bounds_of_a_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many rows, and a row group that is too large unpacked, are refused before anything is read."""
    path = tmp_path / "facts.parquet"
    write(path, {"event_id": pa.array(["x" * MB] * 3)}, 3, use_dictionary=False)
    monkeypatch.setattr(parquet_rows, "GROUP_BYTES_MAX", 2 * MB)
    with pytest.raises(InputError, match="3 MB unpacked, 2 are the limit"):
        taken(path, "parquet")
    monkeypatch.undo()
    monkeypatch.setattr(parquet_rows, "TEXT_BYTES_MAX", 2 * MB)
    with pytest.raises(InputError, match="unpacked: split it"):
        taken(path, "parquet")
    monkeypatch.setattr(parquet_rows, "ROWS_MAX", 2)
    with pytest.raises(InputError, match="3 rows: a file has at most 2"):
        taken(path, "parquet")


def understated(raw: bytes, sizes: list[int]) -> bytes:
    """The file with other sizes in its footer: each becomes 1, in as many bytes as it had."""
    start = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    footer = raw[start:-8]
    for size in sizes:
        old, left = bytearray(), 2 * size
        while left > 127:
            old.append(left & 127 | 128)
            left >>= 7
        old.append(left)
        assert bytes(old) in footer
        footer = footer.replace(bytes(old), b"\x82" + b"\x80" * (len(old) - 2) + b"\0")
    return raw[:start] + footer + raw[-8:]


def test_footer_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page's own header says counts, as it binds whoever unpacks the page: the footer may say what it likes."""
    path = tmp_path / "facts.parquet"
    write(path, {"event_id": pa.array(["x" * MB] * 3)}, 3, use_dictionary=False, write_statistics=False)
    group = pq.ParquetFile(path).metadata.row_group(0)
    large = [group.column(i).total_uncompressed_size for i in range(group.num_columns)]
    path.write_bytes(understated(path.read_bytes(), [max(large)]))
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert max(group.column(i).total_uncompressed_size for i in range(group.num_columns)) < 2 * MB
    monkeypatch.setattr(parquet_rows, "GROUP_BYTES_MAX", 2 * MB)
    with pytest.raises(InputError, match="3 MB unpacked, 2 are the limit"):
        taken(path, "parquet")


def test_encoding_that_unpacks_to_anything(tmp_path: Path) -> None:
    """8,000 rows of 900 KB that differ at the end are a page of a megabyte in DELTA_BYTE_ARRAY: it is refused."""
    path = tmp_path / "facts.parquet"
    texts = pa.array(["x" * 900 + f"{i}" for i in range(100)])
    encoding = {"source": "DELTA_BYTE_ARRAY"}
    write(path, {"source": texts}, 100, use_dictionary=False, column_encoding=encoding)
    with pytest.raises(InputError, match=r"source.*DELTA_BYTE_ARRAY.*write it plain"):
        taken(path, "parquet")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_page_headers(version: str, compression: str, tmp_path: Path) -> None:
    """The pages of a good file unpack to what its footer says, but for their headers."""
    path, rng = tmp_path / "facts.parquet", random.Random(1)
    table = pa.table({
        "text": [f"text {rng.random()}" for _ in range(5000)], "few": [f"{rng.randrange(9)}" for _ in range(5000)],
        "number": [rng.randrange(10**12) for _ in range(5000)], "none": pa.nulls(5000, pa.string()),
    })  # fmt: skip
    pq.write_table(
        table, path, compression=compression, data_page_version=version, data_page_size=4096, row_group_size=2000,
        write_page_checksum=True, write_page_index=True,
    )  # fmt: skip
    metadata = pq.ParquetFile(path).metadata
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        for column in (group.column(i) for i in range(group.num_columns)):
            start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
            found = list(pages(path, start, column.total_compressed_size))
            headers = column.total_uncompressed_size - sum(page.unpacked for page in found)
            assert 10 * len(found) <= headers <= 200 * len(found)
            assert all(page.encoding in (0, 2, 3, 8) for page in found)


def test_date_beyond_the_calendar_ends_its_record(tmp_path: Path) -> None:
    """Dates and instants that Python has none of, and money as a decimal, in the midst of good rows."""
    days = pa.array([20_514, 2**31 - 1, 20_514], pa.int32()).cast(pa.date32())
    write(tmp_path / "facts.parquet", {"as_of": days, "event_id": pa.array(["a", "b", "c"])}, 3)
    events, problems = taken(tmp_path / "facts.parquet", "parquet")
    assert ([e.record["event_id"] for e in events], [p.line for p in problems]) == (["a", "c"], [2])


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    """Whatever byte of a file is changed: rows, reported lines, or one InputError."""
    path, rng = tmp_path / "facts.parquet", random.Random(7)
    write(path, {"event_id": pa.array([f"e{i}" for i in range(50)])}, 50)
    whole = path.read_bytes()
    for _ in range(300):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        with contextlib.suppress(InputError):
            taken(path, "parquet")
