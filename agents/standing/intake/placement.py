"""Where a record lies: under its customer as the key, in the partition that Kafka's default hash of that key gives.

Else a customer would be split over partitions, and stand twice with a part of his money each. What lies wrong is marked in
the columns before anything looks at them, so it follows from the log alone: a replay finds the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.standing.intake.facts import BANK_OPEN
from agents.standing.intake.marks import COMPLETE
from schemas.codec.blocks import Columns, Reader
from schemas.codec.murmur import key_partition
from schemas.codec.pointers import bytes_at, longs_at, word_at
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS, compiled
from schemas.codec.status import Status
from schemas.partitioner import NO_KEY, OTHER_KEY, OTHER_PARTITION, misplacement, partition_of
from schemas.topics import KEYED
from streams.accounts.store import Array

EVERYWHERE: Final = (COMPLETE, BANK_OPEN)  # facts that are sent to every partition
_OK: Final = int(Status.OK)


@compiled
def mark_misplaced(
    raw_at: int,
    data_at: int,
    width: int,
    customer: int,
    time: int,
    key: Array,
    status: Array,
    partition: int,
    partitions: int,
) -> tuple[int, int]:
    """(How many good rows lie wrong, and get their status; the row that lies right with the latest instant, -1 for none).

    `customer` and `time` are columns of data[n, width].
    """
    b, data, found, latest = bytes_at(raw_at), longs_at(data_at), 0, -1
    for i in range(len(status)):
        if status[i] != _OK:
            continue
        if key[i] == NULL:
            status[i] = NO_KEY
            found += 1
            continue
        at, size = key[i] >> REF_BITS, key[i] & LENGTH_MAX
        ref = data[i * width + customer]
        same = ref != NULL and ref & LENGTH_MAX == size
        j = 0
        while same and j + 8 <= size:
            same = word_at(b, at + j) == word_at(b, (ref >> REF_BITS) + j)
            j += 8
        while same and j < size:
            same = b[at + j] == b[(ref >> REF_BITS) + j]
            j += 1
        if not same:
            status[i] = OTHER_KEY
            found += 1
        elif partitions > 1 and key_partition(b, at, size, partitions) != partition:
            status[i] = OTHER_PARTITION
            found += 1
        elif latest < 0 or data[i * width + time] > data[latest * width + time]:
            latest = i
    return found, latest


class Placement:
    """Checks the records of a topic in one of so many partitions. Topics without customers hold what is for all: they pass."""

    def __init__(self, reader: Reader, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.customer = reader.index["customer_id"] if reader.topic in KEYED else None
        self._name = reader.index["name"] if reader.topic == "facts" else None
        self._time = reader.index.get("booked_at", self.customer)

    def check(self, columns: Columns) -> int:
        """Gives good rows that lie wrong their status, and the field where the key is another one.

        The good row that was booked last, of postings; -1 where there is none.
        """
        if self.customer is None or self._time is None:
            return -1
        found, latest = mark_misplaced(
            columns.raw.ctypes.data, columns.data.ctypes.data, columns.data.shape[1], self.customer, self._time,
            columns.key, columns.status, self.partition, self.partitions,
        )  # fmt: skip
        if not found:
            return int(latest)
        columns.field[(columns.status == OTHER_KEY) | (columns.status == NO_KEY)] = self.customer
        if self._name is not None:
            for i in np.flatnonzero(columns.status == OTHER_PARTITION).tolist():
                if columns.text_at(int(columns.data[i, self._name])) in EVERYWHERE:
                    columns.status[i] = _OK
        return int(latest)

    def of_key(self, key: bytes | None) -> int:
        """OK, or how a record without a value lies wrong."""
        return misplacement(key, None, self.partition, self.partitions)

    def detail(self, columns: Columns, i: int) -> str:
        """What is to be said of row i beside its reason; nothing if that is none of these."""
        if columns.status[i] != OTHER_PARTITION:
            return ""
        home = partition_of(columns.key_bytes(i) or b"", self.partitions)
        return f"lies on partition {self.partition}, its key belongs to {home}"
