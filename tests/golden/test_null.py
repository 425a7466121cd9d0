"""With the versions of the contracts that have null, the recording's input says the same in other records."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.nulls import HELD_TEXT_CHARS_MAX, with_nulls
from schemas.registry import CONTRACTS
from schemas.release import LATER
from tests.golden.engine import Log, Worker, decode_one
from tests.golden.recording import Recording


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """Without the field that those of before don't have."""
    return {name: value for name, value in record.items() if name != "held"}


@pytest.mark.slow
def test_null_in_place_of_numbers_that_say_nothing() -> None:
    """Rows are the same byte for byte, and all other topics; these, as a reader has them, field for field."""
    found, read = Recording.read(), 0
    worker = Worker.fresh(found.settings, Log(found.inputs), CONTRACTS[-1])
    for step in found.steps:
        worker.feed(step.fed)
        outputs, rows = worker.work()
        assert rows == step.rows
        for (topic, key, value), (was, other, old) in zip(outputs, step.outputs, strict=True):
            assert (topic, key) == (was, other)
            if topic not in LATER or value is None or old is None:
                assert value == old
                continue
            now, before = decode_one(value, name=topic), with_nulls(topic, decode_one(old, name=topic))
            if len(now.get("held_reason") or "") < HELD_TEXT_CHARS_MAX:  # else the words of before are cut off
                assert plain(now) == plain(before)
            assert with_nulls(topic, now) == now
            read += 1
    assert read > 1000
