"""An account under several customers, who lie in other partitions: both are told within a minute, once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from connectors.formats.events import Event
from connectors.loading.publisher import EventPublisher
from schemas.codec.records import decode_one, encode
from schemas.partitioner import partition_of
from tests.chaos.check import read
from tests.integration.live import Live, doubled
from tests.twins.events import posting

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TOLD_S = 60.0
PARTS = 4
FIRST, SECOND, THIRD = (
    next(f"C{n}" for n in range(99) if partition_of(f"C{n}".encode(), PARTS) == p) for p in (0, 1, 2)
)


def post(live: Live, customers: list[str], account: str, seq: int = 1) -> None:
    """A posting of the account under each customer."""
    publisher = EventPublisher(live.settings, encode)
    try:
        for name in customers:
            event = posting(seq, 100, "2026-01-05", customer=name, account=account)
            publisher.send(Event(0, "transactions", {k: v for k, v in event.items() if k != "topic"}))
        publisher.flush()
    finally:
        publisher.close()


def breaks(live: Live) -> list[tuple[int, dict[str, Any]]]:
    """(partition, record) of what was told of owners."""
    found = []
    for partition in range(PARTS):
        for _, key, value in read(live.settings.kafka, live.settings.topic("restatements"), partition):
            record = decode_one(value or b"", name="restatements")
            assert key == record["customer_id"].encode()
            found.append((partition, record))
    return [(partition, record) for partition, record in found if record["kind"] == "account_owner"]


def test_both_owners_are_told_once(make_live: Any) -> None:
    """The first and each further one, in their own partitions; over a kill of the worker and the same postings again."""
    live: Live = make_live(partitions=PARTS)
    live.start()
    post(live, [FIRST, SECOND], "A1")
    post(live, [FIRST], "A2")
    live.wait(lambda: live.committed() > 0, "a worker that has begun")  # it may have to compile
    live.wait(lambda: len(breaks(live)) == 2, "both owners", TOLD_S + 60)
    for partition, record in breaks(live):
        assert partition == partition_of(record["customer_id"].encode(), PARTS)
        assert record["account_id"] == "A1"
    assert {record["customer_id"] for _, record in breaks(live)} == {FIRST, SECOND}
    live.kill(random.Random(1))
    post(live, [FIRST, SECOND, THIRD], "A1", seq=2)
    live.wait(lambda: len(breaks(live)) == 4, "the third owner", TOLD_S + 60)
    names = Counter(record["customer_id"] for _, record in breaks(live))
    assert names[THIRD] == 1 and sorted((names[FIRST], names[SECOND])) == [1, 2]  # whoever's claim was there first
    assert not doubled([record for _, record in breaks(live)])
    live.stop()
    assert len(breaks(live)) == 4
