"""Two tier schemes, one a class of customers: each class is decided by its own, and one is replaced without the other."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from agents.engine.job import RecoveryError
from agents.standing.job import StandingJob
from policies import PackError, load_pack, parse_pack
from policies.compiled.classes import by_class
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation, changes, pack_of, told
from tests.standing.test_lifecycle import crashed
from tests.twins.events import day, posting

GREEN = load_pack("green-channel").body
FIRMS = pack_of(re.sub(r"(?ms)^  personal:\n.*?(?=^  corporate:)", "", GREEN), pack="firms")
PERSONAL = load_pack("abc-bands")
JANUARY, FEBRUARY = day("2024-01-31"), day("2024-02-29")
STEPS = (
    customer("rich"), customer("firm", customer_class="corporate"),
    posting(1, 30_000_000, "2023-12-10", customer="rich", account="rich"),
    posting(1, 600_000_000, "2023-12-10", customer="firm", account="firm"),
)  # fmt: skip


def started(*steps: Any, pack: Any = PERSONAL, others: Any = (FIRMS,)) -> Partition:
    """A partition under a pack for each class."""
    found = replace(conf(), pack=pack, others=tuple(map(parse_pack, others)))
    return Partition(Topics().tell(steps), StandingJob(found)).run()


def standings(partition: Partition) -> dict[str, tuple[str, str]]:
    """Tier and pack of every customer's last standing."""
    return {r["customer_id"]: (r["tier"], r["pack_id"]) for r in partition.of("standings")}


@pytest.mark.parametrize("crash", [False, True])
def test_each_class_by_its_own_pack(crash: bool) -> None:
    """docs/tiers.md#schemes: one tier scheme a class; a decision names the pack that made it."""
    found = started(*STEPS, JANUARY - 1)
    found = crashed(found, found.job.conf) if crash else found
    told(found, JANUARY)
    assert standings(found) == {"rich": ("a", "abc-bands"), "firm": ("vip", "firms")}
    assert sorted(changes(found)) == [
        ("firm", "ordinary", "vip", "close", JANUARY + 1, "firms", "up"),
        ("rich", "c", "a", "close", JANUARY + 1, "abc-bands", "up"),
    ]
    alone = started(*STEPS, JANUARY - 1, JANUARY, others=())
    assert [c for c in changes(found) if c[0] == "rich"] == changes(alone)
    for topic in ("outlooks", "rm-alerts"):
        mine = [value for key, value in found.published[topic] if key == b"rich"]
        assert mine == [value for key, value in alone.published[topic] if key == b"rich"]
        assert mine or topic == "rm-alerts"


@pytest.mark.parametrize("crash", [False, True])
def test_one_class_goes_over_and_the_other_stays(crash: bool) -> None:
    """R-250: a pack replaces the ones whose classes it names; closes of the other class go on."""
    found = started(*STEPS, JANUARY - 1, JANUARY)
    before = changes(found)
    stricter = pack_of(FIRMS, version=3, effective_from="2024-02-11").replace('"5000000.00"', '"9000000.00"')
    told(found, activation(stricter, customer_class="corporate"), day("2024-02-10"))
    assert changes(found)[2:] == [("firm", "vip", "ordinary", "policy", day("2024-02-11"), "firms", "down")]
    found = crashed(found, found.job.conf) if crash else found
    other = pack_of(load_pack("abcd-layers").body, effective_from="2024-02-21")
    told(found, activation(other), day("2024-02-19"), day("2024-02-20"))
    found = crashed(found, found.job.conf) if crash else found
    poorer = posting(2, -29_500_000, "2024-02-22", customer="rich", account="rich")
    told(found, poorer, posting(2, 700_000_000, "2024-01-01", "2024-02-22", customer="firm", account="firm"), FEBRUARY)
    assert changes(found)[:2] == before
    assert sorted(changes(found)[3:]) == [
        ("firm", "ordinary", "vip", "close", FEBRUARY + 1, "firms", "up"),
        ("rich", "a", "d", "close", FEBRUARY + 1, "abcd-layers", "down"),
    ]
    assert standings(found) == {"rich": ("d", "abcd-layers"), "firm": ("vip", "firms")}
    assert not found.of("dead-letters")


@pytest.mark.slow
def test_who_decides_for_whom() -> None:
    """Two packs for one class are refused at the start; a state that was kept with other packs is refused as well."""
    with pytest.raises(PackError, match="have the tiers of green-channel already"):
        by_class(parse_pack(GREEN), PERSONAL)
    found = started(*STEPS, JANUARY)
    with pytest.raises(RecoveryError, match="pack abc-bands,firms"):
        crashed(found, replace(conf(), pack=PERSONAL))


@pytest.mark.parametrize("crash", [False, True])
def test_who_has_become_a_firm_when_the_pack_of_persons_changes(crash: bool) -> None:
    """His tier of before is one that no pack has any more: he begins anew under the pack of his class, which stays."""
    found = started(*STEPS, JANUARY)
    told(found, customer("rich", customer_class="corporate", event_id="firm"), day("2024-02-01"))
    cards = pack_of(load_pack("prior-month-aum").body, effective_from="2024-02-11")
    told(found, activation(cards), day("2024-02-10"))
    found = crashed(found, found.job.conf) if crash else found
    assert standings(told(found, FEBRUARY))["rich"] == ("ordinary", "firms")
    assert changes(found)[2:] == []


def test_one_pack_of_both_classes_leaves_one_to_another() -> None:
    """A personal pack takes the personal class from a pack of both; corporate customers keep it, restated months too."""
    found = started(*STEPS, JANUARY, pack=parse_pack(GREEN), others=())
    assert standings(found) == {"rich": ("vip", "green-channel"), "firm": ("vip", "green-channel")}
    told(found, activation(pack_of(PERSONAL.body, effective_from="2024-02-11")), day("2024-02-10"))
    assert standings(found) == {"rich": ("a", "abc-bands"), "firm": ("vip", "green-channel")}
    assert changes(found)[2:] == [("rich", "vip", "a", "policy", day("2024-02-11"), "abc-bands", "up")]
    late = posting(2, 10_000_000, "2024-01-20", "2024-02-12", customer="firm", account="firm")
    told(found, late, posting(2, 100, "2024-01-20", "2024-02-12", customer="rich", account="rich"), day("2024-02-12"))
    assert [(r["customer_id"], r["metric"]) for r in found.of("restatements")] == [("firm", "month_avg[0]")]
