"""Leaving a tier in the worker: what is published of changes to come, of vetoes, applications and services, and after a crash."""

from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from policies import parse_pack
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.settings import PERSONAL, written
from tests.standing.test_lifecycle import action, crashed, fact
from tests.twins.events import day, posting

EVALUATION = PERSONAL + "evaluation"


def bank(beside, *steps, crash=True):
    """A partition after steps under the settings' pack with some places set, crashed before the last close."""
    mine = replace(conf(), pack=parse_pack(written(beside)))
    partition = Partition(Topics().tell(steps[:-1]), StandingJob(mine)).run()
    if crash:
        partition = crashed(partition, mine)
    partition.log.tell(steps[-1:])
    partition.run()
    assert not partition.of("dead-letters")
    return partition


def changes(partition):
    """(reason, from, to, first day, close) of tier changes."""
    names = ("reason", "from_tier", "to_tier", "effective_date", "business_day")
    return [tuple(r[name] for name in names) for r in partition.of("tier-changes")]


def told(partition, *kinds):
    """Decisions of some kinds."""
    return [r for r in partition.of("decisions") if r["kind"] in kinds]


HELD = (customer("C1", relationship_since=day("2024-01-05")), posting(1, 15_000, "2024-01-10"), day("2024-01-31"))
LEFT = posting(2, -10_000, "2024-02-10")


def test_a_fall_is_told_with_its_values_and_comes():
    """The notice has what was looked at and what averts it; the change names it, on its own day, after a crash too."""
    partition = bank(
        {EVALUATION + ".fall_notice_days": 30}, *HELD, LEFT, day("2024-02-29"), day("2024-03-29"), day("2024-03-30")
    )
    assert changes(partition) == [
        ("close", "low", "mid", day("2024-02-01"), day("2024-01-31")),
        ("pending", "mid", "low", day("2024-03-31"), day("2024-03-30")),
    ]
    [notice] = told(partition, "notice", "withdrawn")
    assert (notice["before"], notice["after"], notice["effective_date"]) == ("mid", "low", day("2024-03-31"))
    assert (
        notice["evidence"] | {"aum(all)": "5000", "averted_until": "none", "averted_by": "aum(all) ≥ 100.00"}
        == notice["evidence"]
    )
    last = partition.of("tier-changes")[-1]
    assert last["caused_by"] == notice["event_id"] and last["metrics"] == []
    flags = {r["as_of"]: r["flags"] for r in partition.of("standings")}
    assert "fall-notice" in flags[day("2024-02-29")] and "fall-notice" not in flags[day("2024-03-30")]


def test_a_fall_is_averted():
    """By the close of a month before its day."""
    back = posting(3, 10_000, "2024-03-05")
    partition = bank(
        {EVALUATION + ".fall_notice_days": 40},
        *HELD,
        LEFT,
        day("2024-02-29"),
        back,
        day("2024-03-31"),
        day("2024-05-01"),
    )
    assert [r["kind"] for r in told(partition, "notice", "withdrawn")] == ["notice", "withdrawn"]
    assert len(changes(partition)) == 1


def test_business_days_are_those_of_the_bank():
    """The calendar as it is known at the close; another word on a day after it changes nothing."""
    closed, late = (fact("@calendar", k, 0, day(on), "bank_open") for k, on in enumerate(("2024-02-02", "2024-02-05")))
    steps = (*HELD[:2], closed, HELD[2], late, day("2024-02-01"), day("2024-02-05"))
    partition = bank({EVALUATION + ".effective_business_days": 3}, *steps)
    assert changes(partition) == [("pending", "low", "mid", day("2024-02-06"), day("2024-02-05"))]
    assert [r["effective_date"] for r in told(partition, "pending")] == [day("2024-02-06")]


def test_a_veto_at_once_takes_the_tier_on_any_day():
    """The next day close finds it, though tiers are decided by the month; after its end he rises at a month's close."""
    veto = {"when": {"metric": "bad_record", "is": True}, "at": "once"}
    steps = (*HELD, fact("C1", 1, 1, day("2024-02-05"), "bad_record"), day("2024-02-06"), day("2024-02-07"),
             fact("C1", 2, 0, day("2024-02-08"), "bad_record"), day("2024-02-08"), day("2024-02-29"))  # fmt: skip
    partition = bank(
        {PERSONAL + "veto": veto, EVALUATION + ".keep_months": 12, EVALUATION + ".downgrades": "year"}, *steps
    )
    assert changes(partition)[1:] == [
        ("veto", "mid", "low", day("2024-02-07"), day("2024-02-06")),
        ("close", "low", "mid", day("2024-03-01"), day("2024-02-29")),
    ]
    assert {m["name"] for m in partition.of("tier-changes")[1]["metrics"]} >= {"bad_record", "aum"}


@pytest.mark.parametrize(("months", "kinds"), [(6, ["application"]), (1, [])])
def test_an_application_of_the_first_months(months, kinds):
    """The profile's date counts; a refusal says what the standard gives."""
    steps = (customer("C1", relationship_since=day("2024-01-05")), posting(1, 100, "2024-01-10"), day("2024-01-31"),
             action("C1", 1, "apply_tier", day("2024-02-10"), "gold"), day("2024-02-10"))  # fmt: skip
    partition = bank(
        {EVALUATION + ".exempt_months": months, EVALUATION + ".upgrades": "application"}, *steps, crash=False
    )
    assert [change[0] for change in changes(partition)] == kinds
    assert [r["reason"] for r in told(partition, "refused")] == ([] if kinds else ["below_standard"])
    assert [change[3] for change in changes(partition)] == [day("2024-02-11")] * len(kinds)


@pytest.mark.parametrize("how", ["record_only", "upgrades"])
def test_a_restated_close_withdraws_its_notice(how):
    """A late posting into the month that has decided the fall: under `upgrades` the notice is withdrawn, and the fall with it."""
    back = posting(3, 10_000, "2024-02-28", "2024-03-10")
    steps = (*HELD, LEFT, day("2024-02-29"), back, day("2024-03-10"), day("2024-03-30"))
    partition = bank({EVALUATION + ".fall_notice_days": 30, EVALUATION + ".restatement": how}, *steps)
    assert [r["kind"] for r in told(partition, "notice", "withdrawn")] == ["notice"] + ["withdrawn"] * (
        how == "upgrades"
    )
    assert len(changes(partition)) == (1 if how == "upgrades" else 2)


def test_services_by_the_month():
    """A fee below the standard, none in the first month: told when it changes, with the values, after a crash too."""
    fee = {"id": "fee", "name": {"zh": "费", "en": "Fee"}, "tiers": ["mid"], "free_months": 2}
    fee["when"] = {"metric": "aum", "scope": "all", "below": "160.00"}
    steps = (*HELD, day("2024-02-29"), day("2024-03-31"), posting(2, 2_000, "2024-04-10"), day("2024-04-30"))
    partition = bank({PERSONAL + "services": [fee]}, *steps)
    assert [(r["day"], r["before"], r["after"], r["evidence"]["aum(all)"]) for r in told(partition, "service")] == [
        (day("2024-01-31"), "not", "free", "15000"), (day("2024-03-31"), "free", "due", "15000"),
        (day("2024-04-30"), "due", "not", "17000"),
    ]  # fmt: skip
    assert len({r["event_id"] for r in told(partition, "service")}) == 3


def test_what_is_new_is_no_part_of_other_rows():
    """State rows of a pack that asks for nothing of it have no new fields."""
    acts = (
        action("C1", 1, "record", day("2024-02-11"), "gold"),
        action("C1", 2, "issue_card", day("2024-02-11"), "gold"),
    )
    partition = bank({}, *HELD, LEFT, *acts, day("2024-02-29"))
    rows = [value.decode() for key, value in partition.rows.items() if key[:1] == b"l"]
    assert rows and not any(
        name in row for row in rows for name in ("since", "reached", "pending", "vetoed", "services")
    )
    assert changes(partition)[-1][0] == "close"
