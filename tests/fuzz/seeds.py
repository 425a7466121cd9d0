"""The first inputs, made by our own codec: `python -m tests.fuzz.seeds` writes them, `--write` of the fuzzer adds to them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.codec.records import encode
from schemas.registry import IDS, file_registry, names
from schemas.topics import INPUTS
from tests.fuzz.guided import CORPUS, Input, read, text
from tests.fuzz.targets import HEAD, PACK, READY, TIMES, TOPIC
from tests.outsized import clear
from tests.schemas.helpers import posting_value

INPUT_CHARS_MAX = 400  # of a line that is kept


def made() -> list[Input]:
    """Postings, a mark, a tombstone, something large and something damaged, in every codec."""
    good, mark = posting_value(7), encode("close-mark", {"business_day": 20_500})
    some = b"".join(clear([(b"C1", good), (None, mark), (b"@", b""), (b"C2", good[:-3]), (b"C3", posting_value(8))]))
    large = b"".join(clear([(b"C1", good), (b"C1", 5000), (b"C1", good)]))
    found: list[Input] = [("value", b"\0" + value) for value in (good, mark, good[:20], *released())]
    found += [("value", bytes([place + 1]) + good) for place in range(len(names()))]  # a posting on every topic
    for place, topic in enumerate(INPUTS):
        own = [(b"C1", value) for value in released(topic)]
        found.append(("block", HEAD.pack(place << TOPIC, len(own), len(own) - 1, 0) + b"".join(clear(own))))
    many = b"".join(clear([(b"C1", good), *[(b"C1", 300)] * 199]))  # more than a block
    beyond = b"".join(clear([(b"C1", good), *[(b"C1", 2000)] * 99]))  # more than may be unpacked
    for target in ("block", "changelog"):
        for codec, pack in PACK.items():
            found += [(target, HEAD.pack(READY | codec, 200, 199, 3) + bytes(pack(many)))]
            found += [(target, HEAD.pack(READY | codec, 100, 99, 0) + bytes(pack(beyond)))]
        for codec in range(6):
            found.append((target, HEAD.pack(codec, 5, 4, 0) + some))
            found.append((target, HEAD.pack(codec | TIMES, 320, 400, 2) + some))
        found += [(target, HEAD.pack(codec, 3, 2, 1) + large) for codec in (0, 4)]
        found += [(target, HEAD.pack(READY | codec, 5, 4, 0) + some) for codec in (1, 2, 3, 4)]
        found.append((target, HEAD.pack(READY | 2, 5, 4, 0) + b"\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\5abcde"))
    return found + [("page", head) for head in page_headers()]


def released(topic: str = "") -> list[bytes]:
    """Two records of every version of every contract, or of one: with all that may be null, and with nothing that is."""
    versions = [one["id"] for one in json.loads(IDS.read_text()) if topic in ("", one["name"])]
    return [
        encode(number, sample(file_registry().schema(number), full)) for number in versions for full in (True, False)
    ]


def sample(schema: Any, full: bool) -> Any:
    """A value of a schema; of a union the last or the first branch, of a list one item or none."""
    if isinstance(schema, list):
        return sample(schema[-1 if full else 0], full)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        return {field["name"]: sample(field["type"], full) for field in schema["fields"]}
    if kind == "array":
        return [sample(schema["items"], full)] * full
    if kind == "map":
        return {"k": sample(schema["values"], full)} if full else {}
    if kind == "enum":
        return schema["symbols"][-1 if full else 0]
    return {"string": "客户" * full, "bytes": b"b" * full, "boolean": full, "null": None}.get(kind, 20_500 * full)


def page_headers() -> list[bytes]:
    """Page headers, each with its page's bytes, of a small file in both versions of data pages."""
    found = []
    for version in ("1.0", "2.0"):
        file = io.BytesIO()
        pq.write_table(pa.table({"text": ["a", "b", None] * 9}), file, data_page_version=version)
        column = pq.ParquetFile(file).metadata.row_group(0).column(0)
        start = column.dictionary_page_offset
        found.append(file.getvalue()[start : start + column.total_compressed_size])
    return found


def write(more: Path | None = None) -> None:
    """The corpus: these, and short ones out of a file."""
    CORPUS.write_text(
        text([*made(), *(one for one in read(more) if len(text([one])) <= INPUT_CHARS_MAX)] if more else made())
    )


if __name__ == "__main__":
    write()
