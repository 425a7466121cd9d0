"""`explain` makes a decision again from its evidence: what holds passes, and whatever is altered is found."""

import copy
import json

import pytest

from policies import load_pack
from streams.calendar import parse_day
from tidegauge.cli import explain_text
from tidegauge.cli.explain import _plain
from tidegauge.explaining import NANO, Explained, decide_again

PACK = load_pack("rolling-quarter-aum").compile(2, "personal")
CLOSE = parse_day("2026-03-31")
CUT = {"transactions": 17, "balances": 5}
CHANGE = {
    "event_id": "C1/tier/rolling-quarter-aum/2026-03-31", "customer_id": "C1", "customer_class": "personal",
    "from_tier": "ordinary", "to_tier": "platinum", "direction": "up", "effective_date": CLOSE + 1, "reason": "close",
    "metrics": [{
        "name": "quarter_avg", "scope": "aum", "period_from": parse_day("2026-01-01"), "period_to": CLOSE,
        "value_minor": 62_555_556, "exact_numerator": str(5_630_000_000 * NANO), "exact_denominator": str(90 * NANO),
    }],
    "thresholds": [
        {"tier": tier, "metric": "quarter_avg", "minimum_minor": minimum}
        for tier, minimum in zip(PACK.tier_ids[1:], PACK.thresholds_minor.tolist(), strict=True)
    ],
    "pack_id": PACK.pack_id, "pack_version": PACK.version, "business_day": CLOSE,
    "cut": [{"topic": topic, "partition": 0, "offset": offset} for topic, offset in CUT.items()],
    "caused_by": None, "corrects": None,
}  # fmt: skip


def problems(**altered):
    """What is wrong with the decision when fields are altered; `metric` and `threshold` alter the first of each."""
    change = copy.deepcopy(CHANGE)
    change["metrics"][0] |= altered.pop("metric", {})
    change["thresholds"][0] |= altered.pop("threshold", {})
    return decide_again([change | altered], PACK, {CLOSE: CUT})[0].problems


def test_a_sound_decision_holds():
    """Exact value, thresholds, period, pack and cut agree: nothing is wrong. A close no longer held is no fault."""
    assert problems() == []
    assert decide_again([CHANGE], PACK, {})[0].problems == []


@pytest.mark.parametrize(
    "altered",
    [
        {"to_tier": "gold"},
        {"to_tier": "diamond"},
        {"from_tier": "gold"},
        {"direction": "down"},
        {"effective_date": CLOSE},
        {"cut": []},
        {"metric": {"exact_numerator": str(90 * NANO * 50_000_000 - 1), "value_minor": 50_000_000}},
        {"metric": {"value_minor": 62_555_555}},
        {"metric": {"period_from": parse_day("2026-01-02")}},
        {"metric": {"period_to": CLOSE + 1}},
        {"threshold": {"minimum_minor": 1}},
        {"threshold": {"minimum_minor": 60_000_000}},
    ],
)
def test_whatever_is_altered_is_found(altered):
    """No field that the decision rests on can be changed without the recomputation saying so."""
    assert problems(**altered)


def test_exact_comparison():
    """A value that rounds up to a minimum does not reach it."""
    short = {"exact_numerator": str(90 * NANO * 50_000_000 - 1), "value_minor": 50_000_000}
    assert problems(metric=short) == ["the values give gold, not platinum"]
    assert problems(metric=short, to_tier="gold") == []


def test_a_chain_of_decisions():
    """Every change goes out from where the one before led."""
    down = CHANGE | {"from_tier": "platinum", "to_tier": "gold", "direction": "down"}
    down["metrics"] = [down["metrics"][0] | {"value_minor": 10_000_000, "exact_numerator": str(90 * NANO * 10_000_000)}]
    assert [d.problems for d in decide_again([CHANGE, down], PACK, {})] == [[], []]
    assert decide_again([down], PACK, {})[0].problems


def test_words_and_json():
    """The text has evidence, pack, cut and verdict; the JSON has ISO dates and the same verdict."""
    found = Explained("C1", "CNY", standing_problem="no worker has ever run here")
    found.decisions = decide_again([CHANGE], PACK, {CLOSE: CUT})
    text = "\n".join(explain_text.lines(found))
    for part in (
        "ordinary -> platinum", "625555.56 CNY", "exactly 563000000/9", "2026-01-01 to 2026-03-31", "version 1",
        "transactions-0 below 17", "platinum   from 500000.00 CNY: reached", "it holds", "no worker has ever run here",
    ):  # fmt: skip
        assert part in text, part
    plain = json.loads(json.dumps(_plain(found)))
    assert plain["holds"] is True
    assert plain["decisions"][0]["change"]["effective_date"] == "2026-04-01"
    found.decisions = decide_again([CHANGE | {"to_tier": "private"}], PACK, {})
    assert "IT DOES NOT HOLD" in "\n".join(explain_text.lines(found))
    assert not found.holds
