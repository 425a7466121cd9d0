"""Packs that arrive live: from their day on they decide, the past stays, a broken one changes nothing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from agents.engine.record_batches import flat
from agents.standing.intake.profiles import GONE
from agents.standing.job import StandingJob
from policies import load_pack, parse_pack
from policies.lifecycle.state import day_number
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_lifecycle import action, crashed
from tests.twins.events import day, posting

FIRST = parse_pack(load_pack("abc-bands").body.replace("version: 2", "version: 1"))
BASE = load_pack("abcd-layers").body.replace("version: 2", "version: 1")


def pack_of(text, **head):
    """A pack's text with other first lines."""
    for name, value in head.items():
        text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
    return text


def activation(text, **other):
    """The record of a pack."""
    pack = parse_pack(text)
    head = {"pack_id": pack.id, "version": pack.version, "effective_from": day_number(pack.effective_from)}
    return {"topic": "policies", **head, "body": text, "customer_class": "personal", **other}


def started(*steps, pack=FIRST):
    """A partition that has seen these."""
    return Partition(Topics().tell(steps), StandingJob(replace(conf(), pack=pack))).run()


def told(partition, *steps):
    """More of it."""
    partition.log.tell(steps)
    return partition.run()


def changes(partition):
    """Tier changes in short."""
    return [
        (r["customer_id"], r["from_tier"], r["to_tier"], r["reason"], r["effective_date"], r["pack_id"], r["direction"])
        for r in partition.of("tier-changes")
    ]


RICH, POOR = ({"customer": name, "account": name} for name in ("rich", "poor"))
HOLDINGS = (posting(1, 30_000_000, "2024-01-10", **RICH), posting(1, 3_000_000, "2024-01-10", **POOR))
CARDLESS = load_pack("rolling-quarter-aum").body
LAYERS = pack_of(BASE, effective_from="2024-02-11")


@pytest.mark.parametrize("crash", [False, True])
def test_another_pack_from_its_day_on(crash):
    """R-250: the pack before decides up to the day; then everybody is decided by the new one, and the past stays."""
    partition = started(*HOLDINGS, day("2024-01-31"), activation(LAYERS), day("2024-02-09"))
    before = list(partition.published["tier-changes"])
    assert changes(partition) == [
        ("rich", "c", "a", "close", day("2024-02-01"), "abc-bands", "up"),
        ("poor", "c", "b", "close", day("2024-02-01"), "abc-bands", "up"),
    ]
    settings = partition.job.conf
    partition = crashed(partition, settings) if crash else partition
    partition = told(partition, day("2024-02-10"))
    assert partition.published["tier-changes"][: len(before)] == before
    assert changes(partition)[2:] == [("poor", "b", "c", "policy", day("2024-02-11"), "abcd-layers", "up")]
    last = {r["customer_id"]: (r["tier"], r["pack_id"]) for r in partition.of("standings")}
    assert last == {"rich": ("a", "abcd-layers"), "poor": ("c", "abcd-layers")}
    partition = crashed(partition, settings) if crash else partition
    partition = told(partition, posting(2, 20_000_000, "2024-02-12", **POOR), day("2024-02-29"))
    assert changes(partition)[3:] == [("poor", "c", "a", "close", day("2024-03-01"), "abcd-layers", "up")]
    assert not partition.of("dead-letters")
    ids = [r["event_id"] for r in partition.of("tier-changes")]
    assert len(set(ids)) == len(ids)


def test_months_of_the_pack_before_are_not_restated():
    """What a close under another pack would give now is nobody's tier: a late posting counts from the next close on."""
    late = posting(2, 50_000_000, "2024-01-20", "2024-02-12", **POOR)
    steps = [
        *HOLDINGS,
        day("2024-01-31"),
        activation(pack_of(CARDLESS, effective_from="2024-02-11")),
        day("2024-02-10"),
    ]
    partition = started(*steps, late, day("2024-02-12"), day("2024-02-29"))
    assert not [r for r in partition.of("restatements") if r["kind"] == "late_posting"]
    assert changes(partition)[-1][1:4] == ("ordinary", "gold", "close")
    partition = told(partition, posting(3, 60_000_000, "2024-02-20", "2024-03-02", **POOR), day("2024-03-02"))
    assert [r["metric"] for r in partition.of("restatements")] == ["quarter_avg"]


BROKEN = [
    (LAYERS.replace("close: month", "close: moon"), {}, "classes.personal.evaluation.close"),
    (pack_of(BASE, effective_from="2024-01-31"), {}, "closed already"),
    (load_pack("three-card").body, {"effective_from": 19_900}, "still open"),
    (LAYERS, {"version": 7}, "version: 7, in the body 1"),
    (pack_of(FIRST.body, effective_from="2024-03-01"), {}, "version 1 is not above 1"),
    ("no: pack", {}, "pack"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "head", "words"), BROKEN, ids=[words for *_, words in BROKEN])
def test_a_broken_pack_is_refused(text, head, words):
    """R-254: the record goes to dead letters with the field's error, and the running pack goes on."""
    try:
        record = activation(text) | head
    except ValueError:
        record = activation(LAYERS) | {"body": text} | head
    partition = started(*HOLDINGS, day("2024-01-31"), record, day("2024-02-10"), day("2024-02-29"))
    [letter] = partition.of("dead-letters")
    assert (letter["topic"], letter["field"], letter["reason"]) == ("policies", "body", "the pack is refused")
    assert words in letter["detail"]
    assert partition.job.decider.packs.running["personal"].id == FIRST.id
    assert len(changes(partition)) == 2


def test_rows_of_before_that_were_not_compacted_yet():
    """What a row says counts until the next of its key: an exception that ended with its tier does not come back."""
    text = FIRST.body.replace(
        "    vip_from: a\n", "    vip_from: a\n    overrides: {request_by: rm, approve_by: head, valid_months: 12}\n"
    )
    partition = started(*HOLDINGS, day("2024-01-31"), pack=parse_pack(text))
    grant = action("poor", 3, "override_tier", day("2024-02-03"), "black")
    told(partition, grant | {"details": {"tier": "a", "approver_role": "head", "role": "rm"}})
    written = list(partition.rows.items())
    other = pack_of(re.sub(r"\ba\b", "top", FIRST.body), pack="other-bands", effective_from="2024-03-01")
    told(partition, activation(other), day("2024-02-29"))
    names, _ = partition.job.take_dirty(None)
    job = StandingJob(partition.job.conf)
    job.load([*written, *partition.rows.items(), *flat(names)])
    job.load_fence(partition.job.fence())
    job.begin(0, partition.job.positions())
    mine, his = (one.decider.lifecycle.columns.own(one.ledger.customer("poor")) for one in (job, partition.job))
    assert mine == his


CARDS = pack_of(load_pack("prior-month-aum").body, effective_from="2024-03-01")


def test_a_queue_class_that_two_packs_in_a_row_do_not_have():
    """Two packs take effect before anybody is looked at: a class that the first has lost is still a class that is gone."""
    partition = started(*HOLDINGS, day("2024-01-31"))
    profiles = partition.job.profiles
    profiles.published(np.array([0, 1]), np.array([4, -1]))  # the third class; one without
    for _ in range(2):
        profiles.requeue_all(("of", "another", "pack"))
        assert partition.job.ledger.store.customers["published"][:2].tolist() == [GONE, -1]


def test_who_was_never_decided_is_of_the_lowest_tier():
    """After a crash too, where the lowest tier of the pack before is another one of the new pack."""
    steps = [customer("new"), *HOLDINGS, day("2024-01-31"), activation(LAYERS), day("2024-02-10")]
    partition = started(*steps)
    partition = told(
        crashed(partition, partition.job.conf), posting(1, 100, "2024-02-11", customer="new", account="new")
    )
    partition = told(partition, day("2024-02-11"), day("2024-02-29"))
    assert {r["tier"] for r in partition.of("standings") if r["customer_id"] == "new"} == {"d"}
    assert [r for r in changes(partition) if r[0] == "new"] == []


@pytest.mark.parametrize("crash", [False, True])
def test_who_is_of_no_scheme_when_packs_change(crash):
    """A customer who had a tier, is corporate while another pack takes effect, and comes back: he begins anew."""
    away, back = (customer("rich", customer_class=name, event_id=name) for name in ("corporate", "personal"))
    partition = started(customer("rich"), *HOLDINGS, day("2024-01-31"), activation(CARDS), away, day("2024-02-29"))
    partition = crashed(partition, partition.job.conf) if crash else partition
    partition = told(partition, back, posting(3, 100, "2024-03-02", **RICH), day("2024-03-02"), day("2024-03-31"))
    last = {r["customer_id"]: (r["tier"], r["pack_id"]) for r in partition.of("standings")}
    assert last["rich"] == ("ordinary", "prior-month-aum")
    assert [r for r in changes(partition)[1:] if r[0] == "rich"] == []


@pytest.mark.parametrize("crash", [False, True])
def test_cards_and_queues_go_over(crash):
    """C-07: under a pack by cards, the card that the profile names gives the tier, and queues go by the new classes."""
    partition = started(
        customer("rich", card_held="diamond"), customer("poor"), *HOLDINGS, day("2024-01-31"), activation(CARDS),
        day("2024-02-29"),
    )  # fmt: skip
    settings = partition.job.conf
    partition = crashed(partition, settings) if crash else partition
    assert changes(partition)[2:] == [
        ("poor", "b", "ordinary", "policy", day("2024-03-01"), "prior-month-aum", "down"),
        ("rich", "a", "diamond", "policy", day("2024-03-01"), "prior-month-aum", "up"),
    ]
    queues = [r["queue_class"] for r in partition.of("queue-priority")]
    assert queues[-1] == "diamond"
    act = action("poor", 1, "issue_card", day("2024-03-02"), "gold", approved_by=None)
    partition = told(partition, act | {"details": {"card": "gold"}}, day("2024-03-02"))
    assert changes(partition)[4:] == []  # 30,000 are below the standard
    partition = told(partition, posting(2, 3_000_000, "2024-03-02", **POOR), day("2024-03-31"), day("2024-04-30"))
    act = action("poor", 2, "issue_card", day("2024-05-02"), "gold", approved_by=None)
    partition = told(partition, act | {"details": {"card": "gold"}}, day("2024-05-02"))
    [last] = partition.of("tier-changes")[4:]
    assert (last["to_tier"], last["reason"], last["pack_version"]) == ("gold", "card", 2)


def test_versions_in_turn_and_who_is_pinned():
    """R-117, C-16: a customer of before stays on the older version, and is decided by it at every close."""
    plain = FIRST.body.split("    cases:")[0]  # alerts of the outlook know nothing of pins
    text = plain.replace("    vip_from: a\n", "    vip_from: a\n    pinning: {before_version: 2}\n")
    second = pack_of(text, version=2, effective_from="2024-03-01").replace('"200000.00"', '"900000.00"')
    partition = started(*HOLDINGS, day("2024-01-31"), activation(second), day("2024-02-29"))
    assert changes(partition)[2:] == []
    assert [r["reason"] for r in partition.of("decisions")] == ["policy", "policy"]
    late = posting(1, 30_000_000, "2024-03-02", customer="late", account="late")
    partition = told(crashed(partition, partition.job.conf), late, day("2024-03-31"))
    assert changes(partition)[2:] == [("late", "c", "b", "close", day("2024-04-01"), "abc-bands", "up")]
    partition = told(partition, posting(2, -25_000_000, "2024-04-02", **RICH), day("2024-04-30"))
    assert changes(partition)[3:] == [("rich", "a", "b", "close", day("2024-05-01"), "abc-bands", "down")]
