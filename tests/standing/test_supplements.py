"""A branch's supplement: its customers go by it from its day on, everybody else by the base (R-131, R-155, R-161, R-172)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from policies import parse_pack
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation, pack_of
from tests.standing.test_evidence import with_settings
from tests.standing.test_lifecycle import FIRST, crashed, heard, lives, packs
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting

MAY_SET = "branches: {may_set: [classes.personal.tiers.mid, classes.personal.tiers.high], file_with: head-office}\n"
SUPPLEMENT = "supplement: {base: tested, branch: B2, filed_on: 2023-12-01}\n"


def base_of(text: str) -> str:
    """The pack with leave for its branches to set two tiers."""
    return text.replace("scopes:", f"{MAY_SET}scopes:", 1)


def supplement_of(text: str, since: str, minimum: str = "50.00", head: str = SUPPLEMENT) -> str:
    """The pack of branch B2, where the middle tier takes less."""
    lower = text.replace('minimum: "100.00"', f'minimum: "{minimum}"', 1).replace("scopes:", f"{head}scopes:", 1)
    return pack_of(lower, pack="tested-b2", effective_from=since)


BASE = base_of(with_settings().body)
OURS = supplement_of(with_settings().body, "2024-02-10")
ONE, TWO = customer("C1"), customer("C2", branch="B2")
HOLDINGS = [posting(1, 6_000, "2024-01-10"), posting(1, 6_000, "2024-01-10", customer="C2", account="A2")]


def started(*steps: Any, pack: str = BASE) -> Partition:
    """A partition that has seen these after January."""
    log = Topics().tell([ONE, TWO, *HOLDINGS, day("2024-01-31"), *steps])
    return Partition(log, StandingJob(replace(conf(), pack=parse_pack(pack, "tested.yaml")))).run()


def told(partition: Partition, *steps: Any) -> Partition:
    """More of it."""
    partition.log.tell(steps)
    return partition.run()


def changes(partition: Partition) -> list[tuple[Any, ...]]:
    """Tier changes in short."""
    names = ("customer_id", "from_tier", "to_tier", "reason", "effective_date", "pack_id")
    return [tuple(r[name] for name in names) for r in partition.of("tier-changes")]


@pytest.mark.parametrize("crash", [False, True])
def test_from_its_day_on_a_branch_goes_by_its_own(crash: bool) -> None:
    """R-131, R-161, R-172: decided under it as of the close before its day, and at every close after; others are not touched."""
    found = started(activation(OURS), day("2024-02-08"))
    assert changes(found) == []
    found = told(crashed(found, found.job.conf) if crash else found, day("2024-02-09"))
    assert changes(found) == [("C2", "low", "mid", "policy", day("2024-02-10"), "tested-b2")]
    found = crashed(found, found.job.conf) if crash else found
    gone = posting(2, -2_000, "2024-02-12", customer="C2", account="A2")
    told(found, gone, day("2024-02-29"))
    assert changes(found)[1:] == [("C2", "mid", "low", "close", day("2024-03-01"), "tested-b2")]
    assert {t["minimum_minor"] for t in found.of("tier-changes")[-1]["thresholds"] if t["tier"] == "mid"} == {5_000}
    told(found, posting(3, 4_000, "2024-03-02"), day("2024-03-31"))
    assert changes(found)[2:] == [("C1", "low", "mid", "close", day("2024-04-01"), "tested")]
    assert not found.of("dead-letters")


def test_a_customer_who_moves_goes_by_his_new_branch() -> None:
    """From the next close on; where a class is decided continuously, with the profile."""
    found = started(activation(OURS), day("2024-02-09"))
    told(found, TWO | {"event_id": "moved", "branch": "B1"}, day("2024-02-29"))
    assert changes(found)[1:] == [("C2", "mid", "low", "close", day("2024-03-01"), "tested")]
    at_once = with_settings(close="continuous", up="continuous", down="continuous").body
    found = started(activation(supplement_of(at_once, "2024-02-10")), day("2024-02-09"), pack=base_of(at_once))
    told(found, ONE | {"event_id": "moved", "branch": "B2"})
    assert changes(found)[1:] == [("C1", "low", "mid", "continuous", day("2024-02-10"), "tested-b2")]


def test_what_the_base_changes_ends_a_supplement() -> None:
    """R-067: a version of the base that changes what is locked counts for the branch too, until it files another one."""
    found = started(activation(OURS), day("2024-02-09"))
    second = pack_of(BASE, version=2, effective_from="2024-02-20").replace('"500.00"', '"600.00"')
    locked = second.replace("valid_months: 1", "valid_months: 2")
    told(found, activation(locked), day("2024-02-19"))
    assert changes(found)[1:] == [("C2", "mid", "low", "policy", day("2024-02-20"), "tested")]
    again = pack_of(supplement_of(locked.replace(MAY_SET, ""), "2024-02-25"), version=3)
    told(found, activation(again), day("2024-02-24"))
    assert changes(found)[2:] == [("C2", "low", "mid", "policy", day("2024-02-25"), "tested-b2")]


UNFILED = SUPPLEMENT.replace(", filed_on: 2023-12-01", "")
REFUSED = [
    (supplement_of(with_settings().body, "2024-02-10", head=UNFILED), "not yet filed with head-office"),
    (OURS.replace("valid_months: 1", "valid_months: 2"), "is locked by tested"),
    (OURS.replace("base: tested", "base: other"), "needs its base other"),
    (OURS.replace("id: high", "id: top", 1).replace("mid, high]", "mid, top]", 1), "stay those of its base"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_a_branch_may_not_set(text: str, words: str) -> None:
    """R-067, R-155: to dead letters with the reason, and the branch goes by the base."""
    found = started(activation(text), day("2024-02-09"))
    [letter] = found.of("dead-letters")
    assert words in letter["detail"]
    assert changes(found) == []


@pytest.mark.slow
@settings(unshrunk, max_examples=8)
@given(packs(), lives(), st.data())
def test_as_if_each_had_its_own_bank(pack: Any, steps: list[Any], data: Any) -> None:
    """The branch's customers get what a bank gives that runs the supplement alone, the others what the base alone gives."""
    steps = [step if isinstance(step, int) or step["customer_id"] != "C2" or step["topic"] != "customers"
             else step | {"branch": "B2"} for step in steps]  # fmt: skip
    alone = pack_of(supplement_of(pack.body, "2020-01-01", head=""), pack="tested")
    whole, ours = base_of(pack.body), supplement_of(pack.body, "2024-01-01")
    found = {}
    for name, text, begin in (("both", whole, [activation(ours)]), ("base", whole, []), ("own", alone, [])):
        settings_ = replace(conf(), pack=parse_pack(text, "tested.yaml"))
        one = Partition(Topics().tell([*begin, FIRST - 1]), StandingJob(settings_)).run()
        for step in steps:
            told(one, step)
            if name == "both" and data.draw(st.integers(0, 15)) == 0:
                one = crashed(one, settings_)
        found[name] = sorted(heard(one), key=repr)
        ids = [r["event_id"] for topic in ("tier-changes", "decisions") for r in one.of(topic)]
        assert len(set(ids)) == len(ids)
    assert [one for one in found["both"] if one[0] == "C2"] == [one for one in found["own"] if one[0] == "C2"]
    assert [one for one in found["both"] if one[0] != "C2"] == [one for one in found["base"] if one[0] != "C2"]
