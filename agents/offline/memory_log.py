"""The input topics of one partition in memory, as the blocks Kafka would give: for replays and simulations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.engine.job import TP, Block
from schemas.codec.records import Encode
from schemas.topics import CLOSES, INPUTS, MARK, MARK_KEY

_BATCH_BYTES_MAX = 1 << 30


class MemoryLog:
    """Append records, close days, take blocks. Offsets rise by one; a block is all that came since the last."""

    def __init__(self, encode: Encode, partition: int = 0) -> None:
        self.encode, self.partition = encode, partition
        self.ends = dict.fromkeys(INPUTS, 0)
        self._pending: dict[str, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)

    def append(self, topic: str, key: bytes | None, value: bytes | None) -> int:
        """Appends a record as it is; its offset."""
        self._pending[topic].append((key, value))
        self.ends[topic] += 1
        return self.ends[topic] - 1

    def record(self, topic: str, record: dict[str, Any]) -> int:
        """Appends an event."""
        return self.append(topic, str(record.get("customer_id", "")).encode(), self.encode(topic, record))

    def close(self, *days: int) -> None:
        """Ends days as a run of the closer does: a mark of the last into every input, then closes with the marks' offsets."""
        mark = self.encode(MARK, {"business_day": days[-1]})
        cut = [
            {"topic": topic, "partition": self.partition, "offset": self.append(topic, MARK_KEY, mark)}
            for topic in INPUTS
            if topic != CLOSES
        ]
        for day in days:
            self.append(CLOSES, b"", self.encode(CLOSES, {"business_day": day, "closed_at": 0, "cut": cut}))

    def blocks(self) -> list[Block]:
        """Everything appended since the last call, one block a topic."""
        out = []
        for topic, records in self._pending.items():
            first = self.ends[topic] - len(records)
            out.append(
                Block(
                    TP(topic, self.partition),
                    first,
                    self.ends[topic],
                    [_batch(first, records)],
                    sum(len(v or b"") for _, v in records),
                )
            )
        self._pending.clear()
        return out


def _batch(first: int, records: list[tuple[bytes | None, bytes | None]]) -> bytes:
    return batch([(first + i, key, value) for i, (key, value) in enumerate(records)])


def batch(records: Sequence[tuple[int, bytes | None, bytes | None]], at_ms: int = 0) -> bytes:
    """Records with rising offsets, which may have holes, as one record batch of an instant."""
    first = records[0][0]
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=_BATCH_BYTES_MAX,
    )
    for offset, key, value in records:
        builder.append(offset - first, at_ms, key, value, [])
    out = bytearray(builder.build())
    out[0:8] = first.to_bytes(8, "big")  # the base offset lies outside of what the checksum covers
    return bytes(out)
