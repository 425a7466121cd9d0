"""What people change about a log's identity: adopting another log or key, and building the workers' state anew.

A change is planned first, so that it can be shown; made, it is a record that follows the one in force.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy import admin, topics
from deploy.topics import WORLD
from schemas.topics import INPUTS
from tidegauge.world.check import BROKERS_WAIT_S, WorldError, behind, counted, current, has_state, refused, today
from tidegauge.world.epochs import next_epoch, published_epoch
from tidegauge.world.found import USES_ALL, found_identity
from tidegauge.world.identity import ADOPTED, REBUILT, Difference, WorldEntry, entry_in_force, mismatches
from tidegauge.world.log import read_entries, write_entry

if TYPE_CHECKING:
    from concurrent.futures import Future

    from deploy.settings import Settings
    from streams.closing import Run
    from tidegauge.world.identity import Identity

ADMIN_S: Final = 30.0
AGAIN: Final = "everything that the log gives is published again, with the same ids"
_GONE: Final = (ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY)
_COMING: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
)  # fmt: skip


class WorldChange(NamedTuple):
    """A change before it is made: the record that it writes behind `before`, and what it does, a line each.

    unusual: what about it is beyond the ordinary, so that somebody has to insist. left_out: closes that don't count from then on;
    None: as before.
    """

    settings: Settings
    before: WorldEntry | None
    kind: str
    identity: Identity
    epoch: int
    lines: tuple[str, ...]
    unusual: tuple[str, ...] = ()
    left_out: frozenset[Run] | None = None


def compared(settings: Settings) -> tuple[WorldEntry | None, list[Difference]]:
    """The identity in force, and what of this process differs."""
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    entry = current(settings, surveyed)
    if entry is None:
        return None, []
    return entry, mismatches(entry.identity, found_identity(settings, surveyed, USES_ALL))


def adoption(settings: Settings) -> WorldChange | None:
    """Making what this process has the log's identity; None where nothing differs. WorldError while workers run."""
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    entry, found = current(settings, surveyed), found_identity(settings, surveyed, USES_ALL)
    published = published_epoch(settings, surveyed)
    problems = [] if entry is None else mismatches(entry.identity, found)
    lines = [f"change {problem}" for problem in problems]
    if entry is None:
        lines.append("give the log its first identity")
    elif published > entry.epoch:
        lines.append(f"mend {behind(entry, published)}")
    elif not problems:
        return None
    nobody(settings, entry)
    if entry is not None and entry.identity.group != settings.group:
        lines.append(f"let group {settings.group} own the outputs; {AGAIN}")
    unusual = []
    if any(not problem.of_setting for problem in problems) and has_state(settings, surveyed):
        unusual.append(
            f"the log is another one, and group {settings.group} has state from the one before: it would go on in the middle; "
            "set TIDEGAUGE_GROUP to a new name, unless every offset is as it was"
        )
    return _change(settings, (entry, published), ADOPTED, found, lines, unusual)


def rebuilding(settings: Settings) -> WorldChange:
    """Deleting the state of the group's workers and their offsets. WorldError while workers run, or where something differs."""
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    entry, found = current(settings, surveyed), found_identity(settings, surveyed, USES_ALL)
    if entry is not None and (problems := mismatches(entry.identity, found)):
        raise refused(problems)
    nobody(settings, entry)
    lines = [
        f"delete topic {_changelog(settings)} and the offsets of group {settings.group}",
        f"have the next worker build the state from the log; {AGAIN}",
    ]
    return _change(settings, (entry, published_epoch(settings, surveyed)), REBUILT, found, lines, unusual_log(settings))


def _change(
    settings: Settings, before: tuple[WorldEntry | None, int], kind: str, identity: Identity, lines: list[str],
    unusual: list[str],
) -> WorldChange:  # fmt: skip
    """A change behind an entry, with an epoch above it and above those that were published."""
    entry, published = before
    epoch = next_epoch(max(entry.epoch if entry is not None else 0, published), today())
    return WorldChange(settings, entry, kind, identity, epoch, (*lines, f"raise the epoch to {epoch}"), tuple(unusual))


def make_change(change: WorldChange, reason: str, who: str) -> None:
    """Make it. WorldError where another change came first."""
    settings = change.settings
    topics.create(settings, [WORLD])
    write_change(change, reason, who)
    if change.kind == REBUILT:  # last, and again is harmless: cut short, workers refuse what is left, and say so
        _delete_state(settings)


def write_change(change: WorldChange, reason: str, who: str, transactional_id: str | None = None) -> None:
    """Write the record of a change; with an id in a transaction. WorldError where another change came first."""
    settings, before = change.settings, change.before
    written = write_entry(
        settings, before, change.kind, change.epoch, change.identity, reason, who, transactional_id=transactional_id,
        left_out=change.left_out,
    )  # fmt: skip
    now = entry_in_force(read_entries(settings))
    if now is None or now.event_id != written.event_id:
        raise WorldError("somebody else has just changed the identity", "look at `tidegauge world show`, and try again")


def nobody(settings: Settings, entry: WorldEntry | None) -> None:
    """WorldError where workers of the owning group, or of the settings', still run."""
    for group in sorted({settings.group} | ({entry.identity.group} if entry and entry.identity.group else set())):
        if running(settings, group):
            raise WorldError(f"workers of group {group} are running", "stop them first: `tidegauge drain`")


def running(settings: Settings, group: str) -> bool:
    """Whether workers of a group run."""
    administrator = admin.client(settings.kafka)  # a name: its answers die with it
    until = time.monotonic() + 2 * BROKERS_WAIT_S
    while True:  # brokers that have just started are waited for
        answer = administrator.describe_consumer_groups([group], request_timeout=BROKERS_WAIT_S)[group]
        try:
            return answer.result(timeout=2 * BROKERS_WAIT_S).state not in _GONE
        except KafkaException as problem:
            code = problem.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return False
            if code not in _COMING or time.monotonic() > until:
                raise
            time.sleep(0.1)


def unusual_log(settings: Settings) -> list[str]:
    """That an input has lost its beginning, if one has: a state from the log lacks it. Compacted ones keep what counts."""
    kept = {topic.name for topic in topics.CATALOGUE if topic.compact}
    places = [
        TopicPartition(settings.topic(name), partition)
        for name in INPUTS
        if name not in kept
        for partition in range(settings.partitions)
    ]
    administrator = admin.client(settings.kafka)
    asked = administrator.list_offsets(dict.fromkeys(places, OffsetSpec.earliest()), request_timeout=BROKERS_WAIT_S)
    for place, answer in asked.items():
        if (first := answer.result(timeout=2 * BROKERS_WAIT_S).offset) > 0:
            where = f"topic {place.topic} begins at offset {first}"
            return [f"the log no longer has its beginning ({where}): what was there counts no longer after this"]
    return []


def _changelog(settings: Settings) -> str:
    from agents.engine.recovery import changelog_topic
    from tidegauge.bootstrap import STANDING

    return changelog_topic(settings, STANDING)


def _delete_state(settings: Settings) -> None:
    administrator, changelog = admin.client(settings.kafka), _changelog(settings)
    for answer in administrator.delete_consumer_groups([settings.group], request_timeout=ADMIN_S).values():
        _unless_gone(answer, KafkaError.GROUP_ID_NOT_FOUND)
    for answer in administrator.delete_topics([changelog], operation_timeout=ADMIN_S).values():
        _unless_gone(answer, KafkaError.UNKNOWN_TOPIC_OR_PART)


def _unless_gone(answer: Future[None], code: int) -> None:
    try:
        answer.result(timeout=2 * ADMIN_S)
    except KafkaException as problem:
        if problem.args[0].code() != code:
            raise
