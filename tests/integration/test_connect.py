"""Kafka Connect's Avro converter and Debezium's unwrapped rows, written by their own classes, through the standing job."""

from __future__ import annotations

import pytest

from tests.integration.connect import Written, written
from tests.schemas.helpers import framed
from tests.standing.partition import Partition, Topics
from tests.standing.test_writers import FOREIGN, partition
from tests.twins.events import day, posting

pytestmark = pytest.mark.integration
BOOKED = 1_709_355_600_123
POSTING = posting(
    1, -123_456, "2024-03-02", asset_class="savings", channel="mobile", booked_at=BOOKED, event_id="core-1"
)


@pytest.fixture(scope="module")
def rows() -> dict[str, Written]:
    """One run of the JVM."""
    return written()


@pytest.mark.parametrize("name", ["row", "created"])
def test_a_row_counts_as_our_own_posting(rows: dict[str, Written], name: str) -> None:
    """Decimal, Date, Timestamp and text for the nature: the standing is that of the same posting by our contract."""
    own = Partition(Topics().tell([POSTING, day("2024-03-12")])).run()
    log = Topics()
    log.append("transactions", b"C1", framed(FOREIGN, rows[name].datum))
    theirs = partition(log.tell([day("2024-03-12")]), rows[name].schema)
    assert theirs.of("dead-letters") == []
    assert theirs.published["standings"] == own.published["standings"] != []


def test_a_deleted_row_is_a_letter(rows: dict[str, Written]) -> None:
    """Debezium says so in `__deleted`."""
    log = Topics()
    log.append("transactions", b"C1", framed(FOREIGN, rows["deleted"].datum))
    [letter] = partition(log, rows["deleted"].schema).of("dead-letters")
    assert letter["reason"] == "deletion"
    assert "`reverses`" in letter["detail"]
