"""`python -m bench.parts.codec`: what the codec costs a record, decoding and encoding, beside fastavro on the same bytes.

Blocks of 20,000 postings in batches of 400, as a fetch brings them. The best of many rounds counts, since another process
can only make a round slower.
"""

import io
import time
from collections.abc import Callable

import fastavro
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.standing.publish.standings import STANDING_LISTS
from schemas.codec.batches import unpack
from schemas.codec.blocks import Columns, Reader, decode
from schemas.codec.encoder import Writer, encode_columns
from schemas.codec.records import encode, plain
from schemas.registry import contract

RECORDS = 20_000
PER_BATCH = 400
ROUNDS = 40
ALL = 1 << 62
LZ4 = 3


def posting(i: int) -> dict[str, object]:
    """A posting of usual length."""
    return {
        "event_id": f"core-{i:010d}",
        "source": "core",
        "journal_seq": i,
        "customer_id": f"c{i % 1000:07d}",
        "account_id": f"a{i % 3000:08d}",
        "asset_class": "deposit_demand",
        "currency": "CNY",
        "amount_minor": (i * 7919) % 2_000_000 - 1_000_000,
        "value_date": 20500 + i % 30,
        "booked_at": 1_771_200_000_000 + i,
        "nature": "external",
        "customer_initiated": True,
        "branch": "b01",
        "channel": "mobile",
        "counterparty_bank": "ICBC" if i % 3 else None,
        "counterparty_ref": None,
        "reverses": None,
    }


def batches(values: list[bytes], codec: int = 0) -> list[bytes]:
    """The values as record batches."""
    out = []
    for base in range(0, len(values), PER_BATCH):
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
            batch_size=1 << 24,
        )  # fmt: skip
        for i, value in enumerate(values[base : base + PER_BATCH]):
            builder.append(i, timestamp=1_771_200_000_000, key=b"c%07d" % ((base + i) % 1000), value=value, headers=[])
        out.append(base.to_bytes(8, "big") + bytes(builder.build()[8:]))
    return out


def best_us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Microseconds a record of the fastest round."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / RECORDS * 1e6


def standings() -> tuple[Writer, np.ndarray, np.ndarray]:
    """Columns of as many standings as there are postings."""
    writer = Writer("standings", arrays=STANDING_LISTS)
    data = np.random.default_rng(1).integers(-(10**11), 10**11, size=(RECORDS, writer.width))
    raw = np.frombuffer(b"c0000001zifsxxx7ksm5ox4n3bu2qgopdapersonalgoldCNY\0", np.uint8)
    data[:, writer.refs] = np.arange(len(writer.refs)) << 20 | 8
    for name in ("as_of", "tier_effective", "first_day", "layer_effective"):
        data[:, writer.index[name]] = 20_500
    data[:, writer.index["flags"]] = (len(raw) - 1) << 20 | 1  # none
    return writer, data, raw


def main() -> None:
    """Prints a table."""
    values = [encode("transactions", posting(i)) for i in range(RECORDS)]
    block, packed, reader = batches(values), batches(values, LZ4), Reader("transactions")
    columns: Columns = decode(block, reader, 0, ALL)
    assert columns.n == RECORDS
    assert not columns.status.any()
    one = Reader("transactions", schema={**contract("transactions"), "fields": contract("transactions")["fields"][:1]})
    writer, standing, raw = standings()
    again, schema = Writer("transactions"), fastavro.parse_schema(plain(contract("transactions")))
    rows = [
        ("decode postings, 17 fields", lambda: decode(block, reader, 0, ALL)),
        ("the same, one field wanted", lambda: decode(block, one, 0, ALL)),
        ("the same, framing only", lambda: decode(block, reader, ALL - 1, ALL)),
        ("decode postings out of lz4 batches", lambda: decode(packed, reader, 0, ALL)),
        ("of that, lz4", lambda: [unpack(b, 0) for b in packed]),
        ("encode postings", lambda: encode_columns(again, columns.data, columns.raw)),
        (f"encode standings, {writer.width} columns", lambda: encode_columns(writer, standing, raw)),
    ]
    print(f"{RECORDS:,} records of {len(values[0])} bytes, best of {ROUNDS} rounds, µs a record")
    for name, work in rows:
        print(f"{best_us(work):8.3f}  {name}")
    slow = best_us(lambda: [fastavro.schemaless_reader(io.BytesIO(v[5:]), schema) for v in values], 3)
    print(f"{slow:8.3f}  fastavro, record by record, framing not counted")


if __name__ == "__main__":
    main()
