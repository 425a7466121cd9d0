"""What people change about a log's identity: adopting another log or key, and building the workers' state anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy import admin, topics
from deploy.topics import WORLD
from schemas.topics import INPUTS
from tidegauge.world.check import BROKERS_WAIT_S, WorldError, counted, current, has_state, refused, today
from tidegauge.world.found import USES_ALL, found_identity
from tidegauge.world.identity import ADOPTED, REBUILT, Difference, WorldEntry, entry_in_force, mismatches, next_epoch
from tidegauge.world.log import read_entries, write_entry

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from deploy.settings import Settings
    from deploy.topics import Surveyed
    from tidegauge.world.identity import Identity

ADMIN_S: Final = 30.0
_AGAIN: Final = "everything that the log gives is published again, with the same ids"
_GONE: Final = (ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY)
_COMING: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
)  # fmt: skip


def compared(settings: Settings) -> tuple[WorldEntry | None, list[Difference]]:
    """The identity in force, and what of this process differs."""
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    entry = current(settings, surveyed)
    if entry is None:
        return None, []
    return entry, mismatches(entry.identity, found_identity(settings, surveyed, USES_ALL))


def adopted(settings: Settings, reason: str, who: str, *, force: bool, dry_run: bool) -> list[str]:
    """Make what this process has the log's identity; what was done, a line each. WorldError where it is refused."""
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    entry, found = current(settings, surveyed), found_identity(settings, surveyed, USES_ALL)
    problems = [] if entry is None else mismatches(entry.identity, found)
    if entry is not None and not problems:
        return ["nothing differs: the identity stays as it is"]
    _nobody(settings, entry)
    moved = any(not problem.of_setting for problem in problems)
    if moved and has_state(settings, surveyed) and not force:
        raise WorldError(
            f"the log is another one, and group {settings.group} has state from the one before: it would go on in the middle",
            "set TIDEGAUGE_GROUP to a new name, or insist with --force where every offset is as it was",
        )
    lines = [str(problem) for problem in problems] or ["the log gets its first identity"]
    if entry is not None and entry.identity.group != settings.group:
        lines.append(f"group {settings.group} owns the outputs from now on; {_AGAIN}")
    return _changed(settings, entry, ADOPTED, found, (reason, who), lines, dry_run=dry_run)


def rebuilt(settings: Settings, reason: str, who: str, *, force: bool, dry_run: bool) -> list[str]:
    """Delete the state of the group's workers and their offsets; what was done, a line each. WorldError where it is refused."""
    from agents.engine.recovery import changelog_topic
    from tidegauge.bootstrap import STANDING

    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    entry, found = current(settings, surveyed), found_identity(settings, surveyed, USES_ALL)
    if entry is not None and (problems := mismatches(entry.identity, found)):
        raise refused(problems)
    _nobody(settings, entry)
    administrator, changelog = admin.client(settings.kafka), changelog_topic(settings, STANDING)
    if (cut := _cut(settings, administrator)) and not force:
        raise WorldError(
            f"the log no longer has its beginning ({cut}): what was there counts no longer after this",
            "insist with --force",
        )
    lines = [
        f"topic {changelog} and the offsets of group {settings.group} are deleted",
        f"the next worker builds the state from the log; {_AGAIN}",
    ]
    done = _changed(settings, entry, REBUILT, found, (reason, who), lines, dry_run=dry_run)
    if not dry_run:  # last, and again is harmless: cut short, workers refuse what is left, and say so
        _delete_state(administrator, settings.group, changelog, surveyed)
    return done


def _changed(
    settings: Settings, entry: WorldEntry | None, kind: str, identity: Identity, why: tuple[str, str], lines: list[str],
    *, dry_run: bool,
) -> list[str]:  # fmt: skip
    """Write the change, unless it is a dry run; WorldError where another one came first."""
    epoch = next_epoch(entry.epoch if entry is not None else 0, today())
    lines = [*lines, f"the epoch is {epoch}"]
    if dry_run:
        return lines
    topics.create(settings, [WORLD])
    written = write_entry(settings, entry, kind, epoch, identity, *why)
    now = entry_in_force(read_entries(settings))
    if now is None or now.event_id != written.event_id:
        raise WorldError("somebody else has just changed the identity", "look at `tidegauge world show`, and try again")
    return lines


def _nobody(settings: Settings, entry: WorldEntry | None) -> None:
    """WorldError where workers of the owning group, or of the settings', still run."""
    groups = {settings.group} | ({entry.identity.group} if entry is not None and entry.identity.group else set())
    administrator = admin.client(settings.kafka)  # a name: its answers die with it
    for group in sorted(groups):
        if _state(administrator, group) not in _GONE:
            raise WorldError(f"workers of group {group} are running", "stop them first")


def _state(administrator: AdminClient, group: str) -> ConsumerGroupState:
    """Of a group; DEAD for one that never was. Brokers that have just started are waited for."""
    until = time.monotonic() + 2 * BROKERS_WAIT_S
    while True:
        answer = administrator.describe_consumer_groups([group], request_timeout=BROKERS_WAIT_S)[group]
        try:
            state: ConsumerGroupState = answer.result(timeout=2 * BROKERS_WAIT_S).state
        except KafkaException as problem:
            code = problem.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return ConsumerGroupState.DEAD
            if code not in _COMING or time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return state


def _cut(settings: Settings, administrator: AdminClient) -> str:
    """The first input of which the log has lost its beginning, in words; empty for none. Compacted ones keep what counts."""
    kept = {topic.name for topic in topics.CATALOGUE if topic.compact}
    places = [
        TopicPartition(settings.topic(name), partition)
        for name in INPUTS
        if name not in kept
        for partition in range(settings.partitions)
    ]
    asked = administrator.list_offsets(dict.fromkeys(places, OffsetSpec.earliest()), request_timeout=BROKERS_WAIT_S)
    for place, answer in asked.items():
        if (first := answer.result(timeout=2 * BROKERS_WAIT_S).offset) > 0:
            return f"topic {place.topic} begins at offset {first}"
    return ""


def _delete_state(administrator: AdminClient, group: str, changelog: str, surveyed: Surveyed) -> None:
    for answer in administrator.delete_consumer_groups([group], request_timeout=ADMIN_S).values():
        try:
            answer.result(timeout=ADMIN_S)
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
    if changelog in surveyed.names:
        for answer in administrator.delete_topics([changelog], operation_timeout=ADMIN_S).values():
            answer.result(timeout=2 * ADMIN_S)
