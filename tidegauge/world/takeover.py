"""A takeover: the outputs of a log become those of a group that has run as its shadow.

The owner's transactional ids are fenced, the identity is written, and they are fenced again: whoever began anew in between had
read the old identity, and whoever begins later reads the new one and ends. Then the workers of the new owner publish every
customer anew as they start (agents.standing.publish.handover). A takeover that was cut short behind the identity does the rest
when it is given again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from agents.engine import recovery
from agents.engine.changelog import COMMIT
from agents.owners.agent import owners_group, owners_id
from agents.standing.model import left_out_by
from agents.standing.publish.handover import Course
from connectors.loading.publisher import open_producer, publish_errors
from deploy import admin, topics
from schemas.topics import INPUTS, OWNERS
from streams.calendar import NO_DAY, shown_day
from tidegauge.bootstrap import STANDING
from tidegauge.world.changes import ADMIN_S, WorldChange, running, unusual_log, write_change
from tidegauge.world.check import BROKERS_WAIT_S, WorldError, counted, current, refused, today
from tidegauge.world.epochs import next_epoch, published_epoch
from tidegauge.world.found import USES_SHADOW, found_identity
from tidegauge.world.identity import TAKEN_OVER, mismatches
from tidegauge.world.log import read_entries
from tidegauge.world.withdrawn import NOTHING_WITHDRAWN, AllWithdrawn, withdrawn_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka.admin import AdminClient

    from agents.engine.changelog import Fence
    from deploy.settings import Settings
    from streams.closing import Run
    from tidegauge.world.identity import WorldEntry

WAITING_MAX: Final = 10_000  # records of the log that a shadow which has caught up may still have to read
FENCE_S: Final = 40.0  # a transaction that is just being ended is waited for
_READERS: Final = (("{}-alerts", "rm-alerts"), (owners_group("{}"), OWNERS))
"""Who has told what, beside the workers: the groups of the notifier and of the account agents, and what they read."""
_FIRST_STEPS: Final = (
    "fence the workers of group {owner}: what they have open is aborted, and they end",
    "let group {group} own the outputs, under epoch {epoch}",
    "have its workers publish standing, outlook and queue class of every customer, as they start",
)
_Positions = dict[tuple[str, int], int]  # input, partition -> next offset


class Takeover(NamedTuple):
    """A takeover before it is made. owner: the settings of the owning group; the change's are those of the shadow.

    written: the identity says so already, and what comes behind it is done again; `change` is the one that was made.
    """

    change: WorldChange
    owner: Settings
    withdrawn: AllWithdrawn
    written: bool = False


def takeover(settings: Settings, group: str) -> Takeover:
    """Letting a shadow's group own the outputs.

    WorldError where settings differ from the identity, the group is no shadow, its workers run, or it has always been the owner.
    """
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    mine = counted(settings, surveyed).model_copy(update={"group": group})
    entry = current(mine, surveyed)
    if entry is None or entry.identity.group is None:
        raise WorldError("the log has no identity yet", "the first worker gives it one")
    if problems := mismatches(entry.identity, found_identity(mine, surveyed, USES_SHADOW)):
        raise refused(problems)
    if entry.identity.group == group:
        return _written(mine, entry)
    if running(mine, group):
        raise WorldError(f"workers of group {group} are running", "stop them first: `tidegauge drain`")
    owner = mine.model_copy(update={"group": entry.identity.group})
    _require_shadow(mine)
    left_out = _left_out(mine) - frozenset(entry.closes_left_out)
    epoch = next_epoch(max(entry.epoch, published_epoch(mine, surveyed)), today())
    lines = [step.format(owner=owner.group, group=group, epoch=epoch) for step in _FIRST_STEPS]
    lines.append(again_said(owner, mine))
    lines += [
        f"leave out the closes asked for on {shown_day(run.asked)}, for good" for run in sorted(left_out, key=str)
    ]
    withdrawn = withdrawn_by(owner, left_out) if left_out else NOTHING_WITHDRAWN
    if left_out:
        lines.append(withdrawn.said())
    days = _closed(owner), _closed(mine)
    if days[0] != days[1]:
        lines.append(f"go on from the close of {shown_day(days[1])}; the owners have closed {shown_day(days[0])}")
    unusual = [*_unusual(owner, mine), *unusual_log(mine)]
    identity = replace(entry.identity, group=group)
    kept = frozenset(entry.closes_left_out) | left_out
    return Takeover(
        WorldChange(mine, entry, TAKEN_OVER, identity, epoch, tuple(lines), tuple(unusual), kept), owner, withdrawn
    )


def _written(mine: Settings, entry: WorldEntry) -> Takeover:
    """The takeover that the identity speaks of, to end what may have been cut short. WorldError where there was none."""
    group, before = entry.identity.group, group_before(read_entries(mine), entry)
    if before is None:
        raise WorldError(f"group {group} owns the outputs of this log already", "`tidegauge world show`")
    owner = mine.model_copy(update={"group": before})
    lines = (
        f"group {group} owns the outputs of this log already, under epoch {entry.epoch}: a takeover that was cut short is ended",
        f"fence the workers of group {before} again",
    )
    change = WorldChange(mine, entry, TAKEN_OVER, entry.identity, entry.epoch, lines)
    return Takeover(change, owner, NOTHING_WITHDRAWN, written=True)


def group_before(entries: Iterable[WorldEntry], entry: WorldEntry) -> str | None:
    """From whom the group of an entry has taken over, by all entries of the log; None if it was by no takeover."""
    known = {one.event_id: one for one in entries}
    while (previous := known.get(entry.follows or "")) is not None:
        if previous.identity.group != entry.identity.group:
            return previous.identity.group if entry.kind == TAKEN_OVER else None
        entry = previous
    return None


def take_over(found: Takeover, reason: str, who: str) -> tuple[str, ...]:
    """Make it; what was done, a line each. WorldError where another change came first."""
    change, owner = found.change, found.owner
    fence(owner)
    if not found.written:
        write_change(change, reason, who, f"{owner.topic_prefix}tidegauge-world")
        fence(owner)
    for readers, topic in _READERS:
        _hand_on(owner, change.settings, readers, topic, again=found.written)
    if found.written:
        return change.lines
    told = len(_FIRST_STEPS)
    return *change.lines[:told], again_said(owner, change.settings), *change.lines[told + 1 :]


def fence(settings: Settings) -> None:
    """Fence the producers of all partitions of a group's workers, and end what they have open. PublishError if Kafka can't."""
    name = recovery.state_name(settings, STANDING)
    parts = range(settings.partitions)
    for own_id in [
        *(f"{name}-{partition}" for partition in parts),
        *(owners_id(name, partition) for partition in parts),
    ]:
        producer = open_producer(settings, own_id)
        with publish_errors(f"the workers of group {settings.group} could not be fenced"):
            producer.init_transactions(FENCE_S)


def again_said(owner: Settings, shadow: Settings) -> str:
    """What the shadow's workers publish again besides, since they are not as far as the owners were."""
    count, _ = _apart(owner, shadow)
    if not count:
        return "publish nothing else again: both have read the same"
    return f"publish again, with the same ids, what {count} records of the log give that the owners had read already"


def _unusual(owner: Settings, shadow: Settings) -> list[str]:
    """What speaks against it."""
    found = []
    if (waiting := _waiting(shadow)) > WAITING_MAX:
        found.append(f"the shadow has not caught up: {waiting} records of the log wait to be read")
    if ahead := _apart(owner, shadow)[1]:
        found.append(
            f"the shadow has read {ahead} records that the owners have not: tier changes and alerts of them stand on its own "
            "topics only; let the owners run until they have passed it"
        )
    return found


def _fences(settings: Settings) -> list[Fence]:
    """The last fences of a group's workers. A partition in which nothing ever came has none."""
    found = asyncio.run(recovery.fences(settings, settings.partitions, STANDING))
    return [fence for fence in found if fence is not None]


def _require_shadow(settings: Settings) -> None:
    """WorldError where the group has no state, or that of a partition is not a shadow's."""
    courses = [Course.of_fence(fence.meta) for fence in _fences(settings)]
    if not courses or not all(one is not None and one.shadow for one in courses):
        raise WorldError(
            f"group {settings.group} is no shadow",
            f"run `tidegauge worker --shadow {settings.group}` until it has caught up, and stop it",
        )


def _left_out(settings: Settings) -> frozenset[Run]:
    """The closes that the shadow leaves out. WorldError where its partitions don't agree, as after two starts that differ."""
    found = {left_out_by(fence.meta) for fence in _fences(settings)}
    if len(found) > 1:
        raise WorldError(
            f"the partitions of group {settings.group} leave out different closes",
            "start its workers alike, as another group",
        )
    return found.pop() if found else frozenset()


def _positions(settings: Settings) -> _Positions:
    """What a group's workers have read, as committed."""
    values = asyncio.run(recovery.last_values(settings, settings.partitions, STANDING, COMMIT))
    read = [json.loads(value) if value is not None else {} for value in values]
    return {(name, p): read[p].get(name, 0) for name in INPUTS for p in range(settings.partitions)}


def _apart(owner: Settings, shadow: Settings) -> tuple[int, int]:
    """By how many offsets the shadow is behind the owners, where it is, and ahead of them, where it is that."""
    one, other = _positions(owner), _positions(shadow)
    return (
        sum(max(0, offset - other[place]) for place, offset in one.items()),
        sum(max(0, offset - one[place]) for place, offset in other.items()),
    )


def _waiting(settings: Settings) -> int:
    """How many offsets of the log a group's workers have not read."""
    read = _positions(settings)
    places = {TopicPartition(settings.topic(name), p): (name, p) for name, p in read}
    administrator = admin.client(settings.kafka)
    asked = administrator.list_offsets(
        dict.fromkeys(places, OffsetSpec.latest()), isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=BROKERS_WAIT_S,
    )  # fmt: skip
    ends = {places[place]: answer.result(timeout=2 * BROKERS_WAIT_S).offset for place, answer in asked.items()}
    return sum(max(0, ends[place] - offset) for place, offset in read.items())


def _closed(settings: Settings) -> int:
    """The last day that every partition with events has closed, as of the last flushes."""
    return min((int(json.loads(fence.meta)["closed"]) for fence in _fences(settings)), default=NO_DAY)


def _hand_on(owner: Settings, shadow: Settings, readers: str, topic: str, *, again: bool) -> None:
    """A reader of the new group begins where that of the old one is: what was told is not told again.

    again: unless it has a place of its own by now.
    """
    administrator = admin.client(owner.kafka)
    if again and _places_told(administrator, shadow, readers, topic):
        return
    if told := _places_told(administrator, owner, readers, topic):
        moved = ConsumerGroupTopicPartitions(readers.format(shadow.group), told)
        for answer in administrator.alter_consumer_group_offsets([moved], request_timeout=ADMIN_S).values():
            answer.result(2 * ADMIN_S)


def _places_told(administrator: AdminClient, settings: Settings, readers: str, topic: str) -> list[TopicPartition]:
    """How far the reader of a group is, in the partitions that it has told anything of."""
    places = [TopicPartition(settings.topic(topic), p) for p in range(settings.partitions)]
    asked = administrator.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(readers.format(settings.group), places)], request_timeout=ADMIN_S
    )
    try:
        return [
            one for answer in asked.values() for one in answer.result(2 * ADMIN_S).topic_partitions if one.offset >= 0
        ]
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise
        return []
