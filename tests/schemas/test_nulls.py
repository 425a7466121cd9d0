"""Numbers that say nothing, in records of the versions that had no null, are null for every reader of today."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec.records import decode_one, encode
from schemas.nulls import HELD_TEXT_CHARS_MAX, with_nulls
from schemas.registry import file_registry
from streams.vocabulary.metrics import COLUMNS

STANDING: dict[str, Any] = {
    "customer_id": "C1", "customer_ref": "r", "as_of": 20_000, "customer_class": "personal", "pack_id": "p",
    "pack_version": 1, "tier": "none", "tier_effective": 0, "aum_minor": 0, "month_avgs_minor": [*range(13)],
    "quarter_avg_minor": 1, "year_avg_minor": 2, "trailing_avg_7_minor": 3, "trailing_avg_30_minor": 4,
    "trailing_avg_90_minor": 5, "month_to_date_avg_minor": 6, "currency": "CNY", "held_reason": None, "first_day": 0,
    "source_seq": 1, "week_avgs_minor": [1, 2, 3, 4, 5],
}  # fmt: skip
OUTLOOK: dict[str, Any] = {
    "customer_id": "C1", "customer_ref": "r", "as_of": 20_000, "customer_class": "personal", "pack_id": "p",
    "pack_version": 1, "tier": "gold", "next_close": 20_010, "metric": "aum", "scope": "aum", "tiers": ["a", "b"],
    "thresholds_minor": [1, 2], "to_hold_minor": [0, -1], "currency": "CNY", "held_reason": None, "source_seq": 1,
}  # fmt: skip
ALERT: dict[str, Any] = {
    "alert_id": "a", "event_id": "e", "customer_id": "C1", "rule": "r", "severity": "high", "status": "raised",
    "window_days": 0, "outflow_minor": 0, "reference_aum_minor": 7, "share_bp": 0, "tier": "gold", "branch": "B",
    "raised_day": 20_000, "caused_by": "c", "counterparties": [], "pack_id": "p", "pack_version": 1,
    "kind": "downgrade_risk", "to_hold_minor": -1,
}  # fmt: skip


def read(topic: str, record: dict[str, Any]) -> dict[str, Any]:
    """As a reader of today has what the version before wrote; a second time changes nothing."""
    found = with_nulls(topic, decode_one(encode(topic, record, file_registry()), name=topic))
    assert with_nulls(topic, found) == found
    return found


def test_a_standing_of_a_customer_without_account_and_tier() -> None:
    """1970-01-01 is no day of his; an AUM of 0 is one, as long as nothing is held."""
    found = read("standings", STANDING)
    assert (found["tier_effective"], found["first_day"], found["aum_minor"]) == (None, None, 0)
    found = read("standings", STANDING | {"tier_effective": 19_000, "first_day": 18_000})
    assert (found["tier_effective"], found["first_day"], found["month_avgs_minor"]) == (19_000, 18_000, [*range(13)])


def test_a_standing_that_names_what_is_held() -> None:
    """These figures and no other; where the text is full it may leave some out, and none is known."""
    said = "tier held; no exchange rate for aum, month_avg_1, trailing_avg_7, week_avg_4"
    found = read("standings", STANDING | {"held_reason": said})
    assert found["month_avgs_minor"] == [0, None, *range(2, 13)]
    assert found["week_avgs_minor"] == [1, 2, 3, 4, None]
    assert (found["aum_minor"], found["trailing_avg_7_minor"], found["trailing_avg_30_minor"]) == (None, None, 4)
    full = f"no exchange rate for {', '.join(COLUMNS)}"[:HELD_TEXT_CHARS_MAX]
    found = read("standings", STANDING | {"held_reason": full})
    assert found["week_avgs_minor"] == [None] * 5
    assert found["aum_minor"] is found["month_to_date_avg_minor"] is None


def test_a_standing_by_a_writer_who_knew_no_weeks() -> None:
    """What it did not have it does not get."""
    value = encode(16, {name: x for name, x in STANDING.items() if name != "week_avgs_minor"})
    record = decode_one(value) | {"held_reason": "no exchange rate for week_avg_0"}
    assert with_nulls("standings", record).keys() == record.keys()
    assert with_nulls("standings", decode_one(value, name="standings"))["week_avgs_minor"] == []


def test_an_outlook() -> None:
    """-1 is no amount; while it is held no amount is known at all."""
    assert read("outlooks", OUTLOOK)["to_hold_minor"] == [0, None]
    held = OUTLOOK | {"to_hold_minor": [-1, -1], "held_reason": "no rate"}
    assert read("outlooks", held)["to_hold_minor"] == [None, None]


@pytest.mark.parametrize("kind", ["upgrade_near", "downgrade_risk"])
def test_an_alert_of_the_outlook(kind: str) -> None:
    """It has no outflow; an outflow's zeros say something."""
    names = ("window_days", "outflow_minor", "share_bp", "to_hold_minor")
    assert [read("rm-alerts", ALERT | {"kind": kind})[name] for name in names] == [None] * 4
    assert read("rm-alerts", ALERT | {"to_hold_minor": 5})["to_hold_minor"] == 5
    outflow = read("rm-alerts", ALERT | {"kind": "outflow", "to_hold_minor": None})
    assert [outflow[name] for name in names] == [0, 0, 0, None]
