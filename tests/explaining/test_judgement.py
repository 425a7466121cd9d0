"""A decision judged from what it says of itself: what holds passes, and whatever is altered is found."""

import copy

import pytest

from agents.engine.job import TP, Block
from agents.offline.memory_log import batch
from policies import load_pack
from schemas.codec.blocks import frames
from streams.calendar import parse_day
from streams.money import NANO
from tidegauge.explanation import customers_of
from tidegauge.explanation.judgment import difference, ended_closes, judge, pack_thresholds
from tidegauge.explanation.log import own

PACK = load_pack("rolling-quarter-aum")
CLOSE = parse_day("2026-03-31")
CUT = {"transactions": 17, "balances": 5}
CHANGE = {
    "event_id": "C1/tier/rolling-quarter-aum/2026-03-31", "customer_id": "C1", "customer_class": "personal",
    "from_tier": "ordinary", "to_tier": "platinum", "direction": "up", "effective_date": CLOSE + 1, "reason": "close",
    "metrics": [{
        "name": "quarter_avg", "scope": "aum", "period_from": parse_day("2026-01-01"), "period_to": CLOSE,
        "value_minor": 62_555_556, "exact_numerator": str(5_630_000_000 * NANO), "exact_denominator": str(90 * NANO),
    }],
    "thresholds": list(pack_thresholds(PACK, PACK.classes["personal"], 2)),
    "pack_id": PACK.id, "pack_version": PACK.version, "business_day": CLOSE,
    "cut": [{"topic": topic, "partition": 0, "offset": offset} for topic, offset in CUT.items()],
    "caused_by": None, "corrects": None,
}  # fmt: skip


def codes(**altered):
    """What is wrong with the decision when fields are altered; `metric` and `threshold` alter the first of each."""
    change = copy.deepcopy(CHANGE)
    change["metrics"][0] |= altered.pop("metric", {})
    change["thresholds"][0] |= altered.pop("threshold", {})
    return [problem.code for problem in judge(change | altered, PACK, 2, {CLOSE: CUT}).problems]


def test_a_sound_decision_holds():
    """Exact value, thresholds, period, pack and cut agree: nothing is wrong. A close no longer held is no fault."""
    assert codes() == []
    judged = judge(CHANGE, PACK, 2, {})
    assert (judged.problems, judged.measured) == ([], "platinum")
    assert [(tier.tier, tier.node.met) for tier in judged.tree] == [
        ("gold", True), ("platinum", True), ("diamond", False), ("private", False)
    ]  # fmt: skip


SHORT = {"exact_numerator": str(90 * NANO * 50_000_000 - 1), "value_minor": 50_000_000}  # rounds up to the minimum


@pytest.mark.parametrize(
    ("altered", "code"),
    [
        ({"to_tier": "gold"}, "lifecycle"),
        ({"to_tier": "diamond"}, "lifecycle"),
        ({"to_tier": "vip"}, "no_tier"),
        ({"from_tier": "diamond"}, "direction"),
        ({"direction": "down"}, "direction"),
        ({"effective_date": CLOSE + 2}, "effective"),
        ({"cut": []}, "cut"),
        ({"metric": SHORT}, "lifecycle"),
        ({"metric": {"value_minor": 62_555_555}}, "rounding"),
        ({"metric": {"period_from": parse_day("2026-01-02")}}, "period"),
        ({"metric": {"exact_denominator": "0"}}, "impossible"),
        ({"metric": {"period_to": CLOSE + 1}}, "beyond"),
        ({"metric": {"name": "year_avg"}}, "no_value"),
        ({"metric": {"scope": "other"}}, "no_value"),
        ({"threshold": {"minimum_minor": 1}}, "thresholds"),
        ({"customer_class": "corporate"}, "pack_unknown"),
        ({"effective_date": parse_day("2026-03-15")}, "lifecycle"),
    ],
)
def test_whatever_is_altered_is_found(altered, code):
    """No field that the decision rests on can be changed without the judgement saying so."""
    assert code in codes(**altered)


def test_exact_comparison():
    """A value that rounds up to a minimum does not reach it."""
    assert codes(metric=SHORT, to_tier="gold") == []


def test_ends():
    """Which closes a day makes follows from the months that have ended since the close before it."""
    days = [parse_day(text) for text in ("2025-12-30", "2026-01-02", "2026-01-30")]
    assert ended_closes(days, days[1]) == {"day", "month", "quarter", "half_year", "year"}
    assert ended_closes(days, days[2]) == {"day"}
    assert ended_closes([], CLOSE) == {"day", "month", "quarter"}


def test_fields_that_the_writer_did_not_know():
    """A field that is newer than the record is no difference; a value or a member more is one."""
    assert not difference({"a": 1, "b": [{"c": 2}]}, {"a": 1, "b": [{"c": 2, "new": 3}], "new": 4})
    assert difference({"a": 1}, {"a": 2})
    assert difference({"b": [1]}, {"b": [1, 2]})
    assert difference({"old": 1}, {})


def test_own_records_only():
    """Of a block the customer's own records are kept with those under reserved keys, at their offsets."""
    keys = [b"C1", b"C2", b"@close", None, b"C11", b"C1", b""]
    raw = batch([(10 + 3 * i, key, str(i).encode()) for i, key in enumerate(keys)])
    kept = own(Block(TP("transactions", 0), 10, 40, [raw], len(raw)), "C1")
    assert (kept.start, kept.end) == (10, 40)
    columns = frames(kept.batches, 10, 40)
    assert [(int(columns.offset[i]), columns.value_bytes(i)) for i in range(columns.n)] == [
        (10, b"0"), (16, b"2"), (25, b"5")
    ]  # fmt: skip
    assert own(Block(TP("policies", 0), 10, 40, [raw], len(raw)), "C1").size == len(raw)
    assert own(Block(TP("facts", 0), 10, 40, [], 0), "C1").batches == []


def test_whom_an_id_may_mean():
    """A customer number, or what stands before it in the id of a decision; numbers may have strokes in them."""
    assert customers_of("a/b/tier/p/2026-01-31")[:2] == ["a", "a/b"]
    assert customers_of("C1") == ["C1"]
