"""The seven stories come true: the worker's own job, fed with the simulated bank, publishes what each story expects."""

from collections import defaultdict

import pytest

from agents.offline.replay import Arrival, replay_arrivals
from connectors.formats.events import DayEnd
from connectors.simulate import STORY_KINDS, simulate, stories
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from tidegauge.bootstrap import standing_conf

SEED = 3


@pytest.fixture(scope="module")
def published() -> dict[tuple[str, str], list[dict]]:
    """What the job published, by topic and customer."""
    items = list(simulate(SEED, customers=20))
    arrivals = [Arrival(item.day, "", None) if isinstance(item, DayEnd) else Arrival(*item) for item in items]
    found = defaultdict(list)

    def output(topic, key, value):
        if topic == "dead-letters":
            pytest.fail(f"a simulated event ended in dead-letters: {decode_one(value)}")
        if topic in ("tier-changes", "rm-alerts", "restatements"):
            record = decode_one(value)
            found[topic, record["customer_id"]].append(record)

    replay_arrivals(
        standing_conf(Settings(reference_key="a reference key for tests, 32 bytes long"), None, None),
        arrivals,
        encode,
        items[-1].day,
        None,
        output,
    )
    return found


@pytest.mark.parametrize("kind", STORY_KINDS)
def test_story_comes_true(published, kind):
    """A record with every value that the story expects is published; where it expects none, there is none."""
    story = stories(SEED)[kind]
    records = published[story.expects["topic"], story.customer_id]
    if story.expects.get("count") == 0:
        assert not records
        return
    fields = {name: value for name, value in story.expects.items() if name not in ("topic", "resolved_day")}
    assert any(all(record[name] == value for name, value in fields.items()) for record in records)
    if "resolved_day" in story.expects:
        assert [r["business_day"] for r in records if r["kind"] == "break_resolved"] == [story.expects["resolved_day"]]


def test_each_outflow_is_one_case(published):
    """Of the story customers, only the outflow, the drip and the one that is taken back have a case, and one each."""
    told = stories(SEED)
    alerts = {kind: published["rm-alerts", told[kind].customer_id] for kind in STORY_KINDS}
    steps = {kind: [step for step in mine if step["kind"] == "outflow"] for kind, mine in alerts.items()}
    assert all(len({step["alert_id"] for step in mine}) <= 1 for mine in steps.values())
    said = {kind: [s["status"] for s in mine if s["status"] != "corrected"] for kind, mine in steps.items() if mine}
    assert said == {
        "outflow": ["raised", "expired"], "drip": ["raised", "deepened"], "taken_back": ["raised", "retracted"],
    }  # fmt: skip
