"""What the closer takes for a close, of anything that may stand on `business-days`."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.reader import LogRow
from connectors.loading import closer
from connectors.loading.closing_run import Closed
from deploy.settings import Settings
from schemas.codec.records import encode
from streams.calendar import DAY_MAX, DAY_MIN, date_of
from tests.contracts.drawn import any_value, records

DAY = 20_000
GOOD = encode("business-days", {"business_day": DAY, "closed_at": 0, "cut": []})
KEY = date_of(DAY).isoformat().encode()


def row(key: bytes | None, value: bytes | None, **headers: bytes) -> LogRow:
    """A record of the topic."""
    return LogRow(7, key, value, {**headers})


def read(monkeypatch: pytest.MonkeyPatch, *rows: LogRow) -> list[Closed]:
    """The closes among these records."""
    monkeypatch.setattr(closer, "rows_to_the_end", lambda *_: iter(rows))
    return closer.history(Settings()).applied


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"hello", GOOD),
        (b"\xff", GOOD),
        (None, GOOD),
        (b"2024-10-05", GOOD),  # another day than the value's
        (b"20241004", GOOD),
        (KEY, None),
        (KEY, b"hello"),
        (KEY, encode("close-mark", {"business_day": DAY})),
        (b"5881580-07-11", encode("business-days", {"business_day": 2**31 - 1, "closed_at": 0, "cut": []})),
        (b"2100-01-01", encode("business-days", {"business_day": DAY_MAX, "closed_at": 0, "cut": []})),
    ],
)
def test_what_is_no_close_is_passed_over(monkeypatch: pytest.MonkeyPatch, key: Any, value: Any) -> None:
    """Its neighbours count, and no day that never comes is taken for the last."""
    assert read(monkeypatch, row(key, value), row(KEY, GOOD, **{"import": b"\xfe"})) == [Closed(DAY, "\ufffd")]


@pytest.mark.slow
def test_any_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the contract allows, and whatever bytes: only a close under its own key is one."""

    @settings(max_examples=100)
    @given(st.lists(st.tuples(st.sampled_from([KEY, b"", b"x", None]), any_value("business-days")), max_size=4))
    def check(entries: list[tuple[Any, bytes]]) -> None:
        found = read(monkeypatch, *(row(key, value) for key, value in entries))
        assert {closed.day for closed in found} <= {DAY}

    check()


@pytest.mark.slow
@given(records("business-days"))
def test_a_close_of_ours_is_taken(record: dict[str, Any]) -> None:
    """Under the key that the closer writes, on a day that can be closed."""
    day = record["business_day"]
    with pytest.MonkeyPatch.context() as patch:
        if DAY_MIN <= day < DAY_MAX:
            message = row(date_of(day).isoformat().encode(), encode("business-days", record))
            more = [record[name] for name in ("asked", "last_closed", "force_reason", "retracts")]
            found = read(patch, message)
            assert found in ([], [Closed(day, None, *more)])
            assert found or record["retracts"] is not None or record["asked"] is not None
