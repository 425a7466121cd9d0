"""docs/formats.md: its examples are read, and it names every field there is."""

import json
import re
from pathlib import Path

import pytest

from connectors.formats import canonical, parquet_rows
from connectors.formats.json_text import NESTING_MAX
from connectors.formats.layout import FIELDS, INSTANTS, MONEY, REQUIRED
from connectors.formats.manifest import manifest_of
from schemas import bounds
from streams.vocabulary.terms import ASSET_CLASSES, NATURES

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \| (event_id.*|pack_id.*) \|$", TEXT, re.MULTILINE))


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found.group(1)


def test_the_examples_are_read(tmp_path):
    """Every example line becomes an event."""
    path = tmp_path / "example.ndjson"
    path.write_text(block("ndjson"))
    found = list(canonical.read_file(path, "ndjson", "Asia/Shanghai"))
    assert {event.topic for event in found} == {"transactions", "balances", "customers", "facts", "fx-rates"}


def test_the_manifest_is_read(tmp_path):
    """The example manifest is one."""
    (tmp_path / "balances-2026-01-31.manifest.json").write_text(block("json"))
    found = manifest_of(tmp_path / "balances-2026-01-31.csv", "Asia/Shanghai")
    assert found is not None
    assert found.rows == json.loads(block("json"))["rows"]


@pytest.mark.parametrize("topic", FIELDS)
def test_every_field_is_named(topic):
    """The table has every field of the topic, and says which may be absent."""
    row = ROWS[topic]
    words = set(re.findall(r"[a-z_]+", row))
    assert {field.name for field in FIELDS[topic]} <= words
    optional = {name for name, parse, default in FIELDS[topic] if default is not REQUIRED}
    assert set(re.findall(r"\*([a-z_]+)\*", row)) == optional
    assert not {INSTANTS.get(topic, "event_id" if topic != "policies" else "pack_id")} - words
    assert set(MONEY.get(topic, ())) <= words


def test_every_word_is_named():
    """The lists of natures and asset classes are those of the code."""
    for name, words in (("nature", NATURES), ("asset_class", ASSET_CLASSES)):
        line = re.search(rf"^- `{name}`: (.*)\.$", TEXT, re.MULTILINE)
        assert line
        assert set(line.group(1).split(", ")) == set(words)


def test_bounds_are_the_code_s() -> None:
    """The table of bounds has the numbers of the code."""
    table = TEXT.split("## Bounds")[1]
    for row in (
        f"a line of NDJSON or CSV | {canonical.LINE_BYTES_MAX // 10**6} MB |",
        f"manifests | {NESTING_MAX} |",
        (
            f"a text of Parquet | {parquet_rows.VALUE_BYTES_MAX >> 10} KB; `body` and `details` "
            f"{parquet_rows.LONG_VALUE_BYTES_MAX // 10**6} MB |"
        ),
        f"as it is stored | {bounds.FILE_BYTES_MAX >> 30} GB |",
        f"files of a folder | {bounds.FILES_MAX:,} |",
        f"of all its files | {bounds.EVENTS_MAX:,}, some",
        f"columns of a file | {bounds.COLUMNS_MAX} |",
        f"a calendar | {bounds.SMALL_FILE_BYTES_MAX >> 20} MB |",
        f"rows of a Parquet file | {parquet_rows.ROWS_MAX:,} |",
        f"footer | {bounds.FOOTER_BYTES_MAX >> 20} MB |",
        f"unpacked | {parquet_rows.GROUP_BYTES_MAX >> 20} MB |",
        f"in a row | {parquet_rows.TEXT_BYTES_MAX >> 30} GB |",
    ):
        assert row in table
    assert parquet_rows.LONG_COLUMNS == ("body", "details")
