"""What the shipped pack gives on a labelled bank of a seed that nothing was chosen on (docs/alerts.md#what-the-shipped-pack-gives)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from agents.standing.model import StandingConf
from connectors.formats.events import events_only
from connectors.labelled import LabelledBank
from connectors.labelled.occasions import MATURES_ON
from policies import load_pack
from schemas.registry import file_registry
from streams.calendar import day_of
from tidegauge.cli.alerts.scores import plain_score
from tidegauge.evaluation.episodes import episodes
from tidegauge.evaluation.run import WorldFiles, steps_under
from tidegauge.evaluation.score import CUSTOMERS_AN_RM, LabelledWorld, score

SEED, MONTHS, SILENCE_DAYS = 97, 8, 120
ZONE, START, END = "Asia/Shanghai", day_of(date(2026, 1, 1)), day_of(date(2026, 9, 1))
ONE_GO = ("in_one_go", "unstated_in_one_go")


@pytest.fixture(scope="module")
def scored() -> dict[str, Any]:
    """The score of the customers of one manager."""
    bank = LabelledBank(SEED, CUSTOMERS_AN_RM, MONTHS, START, ZONE)
    events = [one for one in events_only(bank.days()) if one.record.get("name") != MATURES_ON]  # no fact of the pack
    labels = bank.labels()
    booked = {one.record["event_id"]: one.record["booked_at"] for one in events if one.topic == "transactions"}
    world = LabelledWorld(labels, episodes(labels, events, "CNY", ZONE), range(START, END), {}, ZONE)
    pack, registry = load_pack("rolling-quarter-aum"), file_registry(contracts=2)
    conf = StandingConf("CNY", ZONE, pack, b"a key of the tests", registry)
    [steps] = steps_under([conf], WorldFiles(world, events, booked), SILENCE_DAYS)
    return plain_score(score(world, steps))


@pytest.mark.slow
def test_who_leaves_is_told_in_time(scored: dict[str, Any]) -> None:
    """In one go with that posting, all; in steps before 80 % and by 50 %; early, and in one case."""
    leavers = scored["leavers"]
    assert leavers["episodes"] > 30
    assert leavers["in_one_go_told_with_the_posting"] == 1
    assert leavers["found_before_80"] >= 0.99
    assert leavers["found_by_50"] >= 0.95
    assert leavers["share_out_median_bp"] <= 3_000
    assert leavers["cases_an_episode"] <= 1.3
    whole = {one["kind"]: one["in_one_go_told_with_the_posting"] for one in scored["kinds"] if one["kind"] in ONE_GO}
    assert whole == dict.fromkeys(ONE_GO, 1)


@pytest.mark.slow
def test_who_stays_is_left_alone(scored: dict[str, Any]) -> None:
    """No false case, few that are over within half an hour, none left open."""
    quiet = scored["quiet"]
    assert quiet["customers"] > 300
    assert (quiet["false"], quiet["open_at_end"]) == (0, 0)
    assert quiet["over_in_30_minutes_per_1000_a_month"] <= 6


@pytest.mark.slow
def test_a_manager_reads_little(scored: dict[str, Any]) -> None:
    """Lines of all kinds of the pack, those of the outlook among them."""
    lines = scored["told_lines_a_day"]
    assert lines["p95"] <= 5
    assert lines["after_close"] <= 15
    assert {kind for kind, one in scored["other_kinds"].items() if one["found"]} == {"upgrade_near", "downgrade_risk"}
