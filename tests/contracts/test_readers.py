"""What commands read of topics: whatever stands there, it is shown, left out or refused in words, never stumbled over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.engine.job import TP, Block
from agents.offline.memory_log import _batch
from agents.owners.agent import owner_breaks
from agents.owners.compare import OwnersSeen, claims_of, paired
from agents.standing.publish.versions import EPOCHS, epoch_of
from connectors.formats.events import Event
from deploy.settings import Settings
from policies import load_pack
from policies.compiled.queue import compile_queue
from schemas.codec.blocks import Reader
from schemas.codec.records import RecordError, decode_one, encode
from schemas.registry import contract, names
from schemas.topics import OWNERS, TOPICS
from services.queue.behind.replay import logged_branch, queue_differences, restored
from tests.contracts.drawn import LIVED, REGISTRY, any_value, entries, records, whole
from tidegauge import knowledge, letters
from tidegauge.branch.log import LoggedDay, ticket_steps
from tidegauge.cli.data import fact_names
from tidegauge.cli.data.refused import Refused
from tidegauge.letters import Letter, masked_fields
from tidegauge.world import epochs, withdrawn
from tidegauge.world import log as world_log
from tidegauge.world.epochs import VERSIONED_TOPICS, next_epoch
from tidegauge.world.identity import WorldEntry, entry_in_force, extended, mismatches
from tidegauge.world.withdrawn import TOPICS_OF_CLOSES

TODAY = date(2026, 3, 2)


def as_letter(value: bytes) -> Letter | None:
    """A record of `dead-letters` as the commands read it."""
    return letters._letter(value, 0, REGISTRY)


# -- dead letters


@given(any_value("dead-letters"))
@settings(max_examples=80)
def test_any_letter_is_shown(value: bytes) -> None:
    """In each of its forms; what is no letter is passed over."""
    letter = as_letter(value)
    if letter is None:
        return
    for said in (letter.plain(), letter.masked(REGISTRY), letter.whole()):
        assert json.loads(json.dumps(said))
    assert letters.newest(iter([letter, letter]), 1) == [letter]


@given(st.sampled_from(sorted({*TOPICS, "file:x.csv", "", "../x"})), st.data())
@settings(max_examples=120)
def test_any_original_is_masked(topic: str, data: Any) -> None:
    """Of whatever record on whatever topic only what its contract classes as C1 is shown."""
    value = data.draw(any_value(data.draw(st.sampled_from(sorted(names())))))
    shown = masked_fields(topic, value, REGISTRY)
    assert json.loads(json.dumps(shown))
    fields = {field["name"]: field for field in contract(topic)["fields"]} if topic in names() else {}
    for name, content in shown.items():
        if name != "unreadable" and fields[name]["classification"] != "C1" and content is not None:
            assert content == "a number" or content.endswith((" characters", " bytes", " entries"))


@pytest.mark.parametrize("name", names())
def test_nothing_personal_lies_within_what_is_not(name: str) -> None:
    """A field of class C1, which is shown as it is, has no part of another class."""
    for field in contract(name)["fields"]:
        if field["classification"] == "C1":
            assert '"classification": "C2"' not in json.dumps(field["type"])


@pytest.mark.slow
@given(st.lists(records("dead-letters"), max_size=4))
@settings(max_examples=100)
def test_any_letter_is_sent_again_or_says_why_not(found: list[dict[str, Any]]) -> None:
    """Whatever partition and offset it names: the brokers are asked only for places that there are."""
    conf = Settings(partitions=4)

    class Consumer:
        async def beginning_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
            assert all(0 <= place.partition < conf.partitions for place in places)
            return dict.fromkeys(places, 7)

        end_offsets = beginning_offsets

    async def why(letter: Letter) -> str:
        if said := letters._obstacle(conf, letter):
            return said
        with pytest.raises(letters._Missing) as missing:
            [_ async for _ in letters._sources(conf, Consumer(), letter)]
        return str(missing.value)

    assert all(asyncio.run(why(Letter(0, record))) for record in found)


@given(st.sampled_from(["dead-letters", "standings"]), any_value("dead-letters"))
@settings(max_examples=100)
def test_what_a_job_refuses_is_told(topic: str, original: bytes) -> None:
    """The original of a letter may be anything; the line has the reason."""
    letter = {
        "topic": "transactions", "partition": 0, "offset": 0, "reason": "r", "field": None, "detail": "d",
        "original": original, "original_key": None, "original_bytes": 1, "original_sha256": None, "last_offset": None,
    }  # fmt: skip
    refused = Refused(Settings())
    refused.letter(topic, None, encode("dead-letters", letter))
    assert refused.count == (topic == "dead-letters")


# -- the log's identity


def rows(values: Sequence[bytes | None]) -> list[Any]:
    """Values as the bounded reader gives them."""
    return [SimpleNamespace(value=value, offset=offset, key=b"k") for offset, value in enumerate(values)]


WORLD = {
    "event_id": "e1", "follows": None, "kind": "created", "epoch": 1, "cluster_id": "c", "topic_prefix": "", "topics": [],
    "base_currency": "CNY", "zone": "Asia/Shanghai", "cut_off": "24:00", "limits": [], "group": "g", "packs": [],
    "reference_key": "k", "alert_key": "k", "reason": None, "written_by": "worker", "at": 0,
}  # fmt: skip


@pytest.mark.slow
@example(
    [encode("world", WORLD | {"epoch": 2**63 - 1}), encode("world", WORLD | {"event_id": "e2", "epoch": -(2**63)})]
)
@given(st.lists(st.none() | any_value("world") | records("world").map(lambda r: encode("world", r | {"follows": None})),
                max_size=4))  # fmt: skip
@settings(max_examples=80)
def test_any_identity(values: list[bytes | None]) -> None:
    """What is none is passed over; one that is can be compared, extended, and followed by another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_log, "rows_to_the_end", lambda *_: rows(values))
        found = world_log.read_entries(Settings())
    entry = entry_in_force(found)
    for one in found:
        assert encode("world", one.record())
        for problem in mismatches(one.identity, (entry or one).identity):
            assert str(problem) and problem.remedy
        after = WorldEntry(
            "next",
            one.event_id,
            "adopted",
            next_epoch(min(one.epoch, EPOCHS - 2), TODAY),  # a larger one is refused
            extended(one.identity, one.identity),
            None,
            "w",
            0,
        )
        assert encode("world", after.record())


@pytest.mark.parametrize("topic", VERSIONED_TOPICS)
@given(st.data())
@settings(max_examples=60)
def test_any_version(topic: str, data: Any) -> None:
    """Of whatever lies on an output its epoch is one that can be, or it is passed over."""
    value = data.draw(st.none() | any_value(topic))
    version = epochs._version(value, 0, topic, REGISTRY)
    assert version is None or 0 <= epoch_of(version) < EPOCHS


# -- claims of accounts


@given(st.lists(any_value(OWNERS), max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_claim(values: list[bytes]) -> None:
    """Whatever lies on the topic: what is a claim is compared, and its customers can be told."""
    block = Block(TP(OWNERS, 0), 0, len(values), [_batch(0, [(b"key", one) for one in values])] if values else [], 1)
    further = [one.claim for one in OwnersSeen(REGISTRY).take(block)]
    accounts = {claim.account_id.encode() for claim in further}
    for shared in paired(further, claims_of(block, Reader(OWNERS, REGISTRY), accounts)):
        assert len(owner_breaks(shared, b"k" * 32)) == 2


# -- packs that were sent


def sent_packs(entry: Sequence[tuple[Any, Any]]) -> list[bytes]:
    """The values that `connectors.loading.packs.sent` gives of entries of `policies`."""
    return [value for _, value in entry if value is not None]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(entries("policies"))
def test_packs_that_were_sent(found: list[tuple[Any, Any]]) -> None:
    """What is no pack is left out, as the workers leave it out; the packs of the settings are always there."""
    values, conf = sent_packs(found), Settings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge, "sent", lambda _: values)
        patch.setattr("connectors.loading.packs.sent", lambda _: values)
        patch.setattr("tidegauge.cli.servers.need_world", lambda given: given)
        assert isinstance(knowledge.sources_named(conf), frozenset)
        packs = knowledge.packs_of(conf).book.packs
        assert "rolling-quarter-aum" in {pack.id for pack in packs}
        read = fact_names._packs_sent(conf)
        assert "rolling-quarter-aum" in {pack.id for pack in read}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(records("facts"), max_size=3), st.lists(records("policies"), max_size=2), st.lists(whole("policies")))
def test_facts_of_files(facts: list[dict[str, Any]], packs: list[dict[str, Any]], sent: list[bytes]) -> None:
    """Whatever facts and packs files and topic have: those that no pack knows are refused, the others go on."""
    events = [Event(LIVED, topic, record) for topic, some in (("facts", facts), ("policies", packs)) for record in some]
    refused: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.loading.packs.sent", lambda _: sent)
        patch.setattr("tidegauge.cli.servers.need_world", lambda given: given)
        kept = fact_names.known_facts_only(Settings(), Path("x"), events, refused.append)
    assert len(kept) + len(refused) == len(events)


@pytest.mark.parametrize("topic", TOPICS_OF_CLOSES)
@given(st.data())
@settings(max_examples=40)
def test_any_record_of_a_close(topic: str, data: Any) -> None:
    """Of whatever lies on an output of closes the day of its close is told, or it is passed over."""
    found = withdrawn._record(topic, data.draw(st.none() | any_value(topic)), REGISTRY)
    assert found is None or (found.topic == topic and isinstance(found.business_day, int))


# -- tickets of branches


@given(st.lists(any_value("queue-tickets"), max_size=6))
@settings(max_examples=20)
def test_any_ticket_of_a_branch(values: Sequence[bytes]) -> None:
    """Whatever stands on `queue-tickets`: a branch's steps are told and compared, what is none of them is passed over."""
    queue = compile_queue(load_pack("rolling-quarter-aum"))
    branches = set()
    for value in values:
        with suppress(RecordError):
            branches.add(decode_one(value, REGISTRY, name="queue-tickets")["branch"])
    for branch in sorted(branches):
        found = logged_branch(ticket_steps(iter([(branch.encode(), value) for value in values]), branch, REGISTRY))
        queue_differences(found, {"sequence": 0}, {})
        for day in {step["day"] for step in found.steps}:
            told = LoggedDay(queue, found, day)
            told.waits()
            for name in told.names:
                told.explained(name)
        if found.steps:
            assert json.loads(json.dumps(restored(found)))["sequence"] == found.sequence
