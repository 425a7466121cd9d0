"""The identity of a log as values: which record counts, what differs, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec.records import decode_one, encode
from tidegauge.world.identity import (
    ADOPTED,
    CREATED,
    Identity,
    LimitMark,
    PackMark,
    TopicMark,
    WorldEntry,
    entry_in_force,
    extended,
    mismatches,
    world_entry,
)

LOG = Identity(
    cluster_id="MkU3OEVBNTcwNTJENDM2Qk", topic_prefix="bank.",
    topics=(TopicMark("transactions", "a" * 32, 4), TopicMark("standings", None, 4)),
    base_currency="CNY", zone="Asia/Shanghai", cut_off="24:00", limits=(LimitMark("closed_months", 15),),
    group="tidegauge", packs=(PackMark("tiers", 2, "d" * 16),), reference_key="1" * 16, alert_key="2" * 16,
)  # fmt: skip

# What may differ, and the words that the operator needs: expected, found, the setting or the place.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "cluster": ({"cluster_id": "other"}, ("MkU3OEVBNTcwNTJENDM2Qk", "other", "TIDEGAUGE_BOOTSTRAP_SERVERS")),
    "prefix": ({"topic_prefix": ""}, ("bank.", "none", "TIDEGAUGE_TOPIC_PREFIX=bank.")),
    "made anew": (
        {"topics": (TopicMark("transactions", "b" * 32, 4), LOG.topics[1])}, ("topic bank.transactions", "a" * 32, "b" * 32)
    ),
    "gone": ({"topics": LOG.topics[:1]}, ("topic bank.standings", "there")),
    "partitions": (
        {"topics": (LOG.topics[0]._replace(partitions=5), LOG.topics[1])}, ("topic bank.transactions", "4 partitions", "5")
    ),
    "currency": ({"base_currency": "CZK"}, ("CNY", "CZK", "TIDEGAUGE_BASE_CURRENCY=CNY")),
    "zone": ({"zone": "UTC"}, ("Asia/Shanghai", "UTC", "TIDEGAUGE_ZONE=Asia/Shanghai")),
    "cut-off": ({"cut_off": "17:00"}, ("24:00", "17:00", "release")),
    "limit": ({"limits": (LimitMark("closed_months", 18),)}, ("closed months", "15", "18", "release")),
    "group": ({"group": "second"}, ("tidegauge", "second", "TIDEGAUGE_GROUP=tidegauge", "TIDEGAUGE_TOPIC_PREFIX")),
    "pack": ({"packs": (PackMark("other", 2, "d" * 16),)}, ("tiers", "other", "TIDEGAUGE_PACK=tiers")),
    "pack's version": ({"packs": (PackMark("tiers", 1, "d" * 16),)}, ("tiers", "version 2", "version 1", "policy activate")),
    "pack's text": ({"packs": (PackMark("tiers", 2, "e" * 16),)}, ("tiers", "d" * 16, "e" * 16, "policy activate")),
    "reference key": ({"reference_key": "3" * 16}, ("1" * 16, "3" * 16, "TIDEGAUGE_REFERENCE_KEY", "reference.key")),
    "alert key": ({"alert_key": "3" * 16}, ("2" * 16, "3" * 16, "TIDEGAUGE_ALERT_KEY", "alert.key")),
}  # fmt: skip


def entry(name: str, follows: str | None = None, identity: Identity = LOG, kind: str = CREATED) -> WorldEntry:
    return WorldEntry(name, follows, kind, 330, identity, None, "worker", 1_790_000_000_000)


@pytest.mark.parametrize("name", WRONG)
def test_a_difference_says_what_expected_found_and_what_to_do(name: str) -> None:
    """Each part of the identity, by itself: one line, which the operator can act on."""
    changes, words = WRONG[name]
    (found,) = mismatches(LOG, replace(LOG, **changes))
    said = f"{found} {found.remedy}"
    assert [word for word in words if word not in said] == []
    assert "\n" not in said


def test_every_part_is_compared() -> None:
    """A part that is added to the identity and left out of the comparison fails here."""
    compared = {field for changes, _ in WRONG.values() for field in changes}
    assert compared == set(Identity.__dataclass_fields__)
    assert mismatches(LOG, LOG) == []


def test_what_a_process_does_not_use_is_not_compared() -> None:
    """A writer of files needs no key and no pack; brokers without topic ids are not held against anybody."""
    place = Identity(cluster_id=LOG.cluster_id, topic_prefix=LOG.topic_prefix, topics=LOG.topics)
    assert mismatches(LOG, place) == []
    without = tuple(topic._replace(topic_id=None) for topic in LOG.topics)
    assert mismatches(LOG, replace(LOG, topics=without)) == []
    assert mismatches(replace(LOG, topics=without), LOG) == []
    assert not place.whole() and LOG.whole()


def test_record_survives_the_wire() -> None:
    """What is written is what is read."""
    told = replace(entry("330-x", "1-y", kind=ADOPTED), reason="a restored log")
    assert world_entry(decode_one(encode("world", told.record()), name="world")) == told


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, *"abcdef"])), max_size=12))
def test_first_record_begins_and_each_change_follows_the_one_in_force(made: list[tuple[str, str | None]]) -> None:
    """Two that begin, or change, at once: the first in the log counts, whatever comes behind it."""
    found = entry_in_force(entry(name, follows) for name, follows in made)
    chain = [at for at, (_, follows) in enumerate(made) if follows is None][:1]
    while chain:
        behind = [at for at in range(chain[-1] + 1, len(made)) if made[at][1] == made[chain[-1]][0]]
        if not behind:
            break
        chain.append(behind[0])
    assert (None if found is None else found.event_id) == (made[chain[-1]][0] if chain else None)


def test_a_newer_release_adds_what_it_knows_more() -> None:
    """New topics, ids of newer brokers, new limits and later packs; nothing else of the identity changes."""
    found = replace(
        LOG, topics=(*LOG.topics[:1], TopicMark("standings", "c" * 32, 4), TopicMark("owners", "e" * 32, 4)),
        limits=(LimitMark("closed_months", 18), LimitMark("close_gap_days", 31)),
        packs=(PackMark("tiers", 3, "f" * 16),), zone="UTC",
    )  # fmt: skip
    wider = extended(LOG, found)
    assert wider.topics == found.topics and wider.packs == found.packs
    assert dict(wider.limits or ()) == {"closed_months": 15, "close_gap_days": 31}
    assert {one.what for one in mismatches(wider, found)} == {"time zone", "closed months"}
    assert extended(wider, LOG) == wider, "an older release takes nothing away"
    assert extended(LOG, replace(LOG, packs=(PackMark("other", 9, "f" * 16),))).packs == LOG.packs
