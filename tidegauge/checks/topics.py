"""Checks of the topics against the catalogue, and of the changelog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from tidegauge.checks import CheckLine, Grade, listed
from tidegauge.checks.brokers import ADMIN_WAIT_S, configs

if TYPE_CHECKING:
    from deploy.settings import Settings

PARTITIONS_RAISED: Final = (
    "workers end at it: customers would change their partition; see Partitions in docs/operators.md"
)
COPIES_BROKERS_MIN: Final = 3  # brokers from which on one copy of a topic is a choice and not a need


def existence(settings: Settings) -> Iterator[CheckLine]:
    """Whether all are there, with the same number of partitions."""
    from agents.engine.watch.brokers import topics_found
    from deploy.topics import CATALOGUE

    wanted = {settings.topic(topic.name): topic for topic in CATALOGUE}
    found = topics_found(settings.kafka, wanted)
    there = {name: topic.partitions for name, topic in found.items() if topic is not None}
    missing = [name for name in wanted if name in found and name not in there]
    counts = {name: there[name] for name, topic in wanted.items() if name in there and not topic.one_partition}
    usual = max(counts.values(), key=list(counts.values()).count, default=settings.partitions)
    odd = [f"{name} has {number}" for name, number in counts.items() if number != usual]
    unseen = [name for name in wanted if name not in found]
    if missing:
        yield CheckLine("topics", Grade.WRONG, f"missing: {', '.join(missing)}", "run `tidegauge topics --create`")
    if odd:
        yield CheckLine("topics", Grade.WRONG, f"{usual} partitions, but {listed(odd)}", PARTITIONS_RAISED)
    if unseen:
        yield CheckLine("topics", Grade.UNSEEN, f"not allowed to see: {listed(unseen)}", "allow DESCRIBE on them")
    if not missing and not odd and not unseen:
        yield CheckLine("topics", Grade.GOOD, f"all {len(there)}, {usual} partitions each")


def topic_settings(settings: Settings) -> Iterator[CheckLine]:
    """What the catalogue asks for: cleanup, retention, sizes, the brokers' clock."""
    from deploy.topics import CATALOGUE

    there = _there(settings)
    topics = [topic for topic in CATALOGUE if settings.topic(topic.name) in there]
    if not topics:
        return
    found = configs(settings, "TOPIC", [settings.topic(topic.name) for topic in topics])
    wrong = [
        f"{settings.topic(topic.name)}: {fault}"
        for topic in topics
        for fault in topic_faults(topic.config(), found[settings.topic(topic.name)])
    ]
    if wrong:
        hint = "set it by kafka-configs --alter --topic NAME --add-config NAME=VALUE; what is cut is gone"
        yield CheckLine("topic settings", Grade.WRONG, listed(wrong), hint)
    else:
        yield CheckLine("topic settings", Grade.GOOD, f"of {len(topics)} topics, as in the catalogue")


def topic_faults(wanted: Mapping[str, str], found: Mapping[str, str | None]) -> Iterator[str]:
    """What of a topic's settings keeps or takes less than it should. More is no fault."""
    for name, value in wanted.items():
        actual = found.get(name)
        if actual is None or actual == value:
            continue
        text = f"{name} is {actual}, not {value}"
        if name in ("cleanup.policy", "message.timestamp.type"):
            if set(actual.replace(" ", "").split(",")) != set(value.split(",")):
                yield text
        elif name == "retention.ms" and "delete" not in (found.get("cleanup.policy") or ""):
            continue
        elif _limit(actual) < _limit(value):
            yield text


def _limit(value: str) -> float:
    return float("inf") if int(value) < 0 else int(value)


def copies(settings: Settings) -> Iterator[CheckLine]:
    """Whether every partition has a leader, its copies, and enough of them in sync to be written to."""
    from confluent_kafka import TopicCollection

    from deploy import admin

    there = _there(settings)
    if not there:
        return
    client = admin.client(settings.kafka)
    asked = client.describe_topics(TopicCollection(there), request_timeout=ADMIN_WAIT_S)
    described = {name: answer.result(2 * ADMIN_WAIT_S) for name, answer in asked.items()}
    found = configs(settings, "TOPIC", there)
    brokers = len(client.list_topics(timeout=ADMIN_WAIT_S).brokers)
    wrong, odd = [], []
    for name, topic in described.items():
        bad, poor = copy_faults(name, topic.partitions, int(found[name].get("min.insync.replicas") or 1), brokers)
        wrong += bad
        odd += poor
    if wrong:
        hint = "bring the brokers back, or correct min.insync.replicas: nothing can be written there"
        yield CheckLine("copies", Grade.WRONG, listed(wrong), hint)
    if odd:
        yield CheckLine(
            "copies", Grade.WARN, listed(odd), "add copies by kafka-reassign-partitions, or bring the broker back"
        )
    if not wrong and not odd:
        yield CheckLine("copies", Grade.GOOD, f"of {len(described)} topics, all in sync")


def copy_faults(name: str, partitions: list[Any], in_sync_min: int, brokers: int) -> tuple[list[str], list[str]]:
    """(what stops a topic, what endangers it). partitions: with id, leader, replicas and isr."""
    wrong, odd = [], []
    for partition in partitions:
        place, copies_, in_sync = f"{name}/{partition.id}", len(partition.replicas), len(partition.isr)
        if partition.leader is None or partition.leader.id < 0:
            wrong.append(f"{place} has no leader")
        elif in_sync < in_sync_min:
            wrong.append(f"{place}: {in_sync} of {copies_} copies in sync, min.insync.replicas is {in_sync_min}")
        elif in_sync < copies_:
            odd.append(f"{place}: {in_sync} of {copies_} copies in sync")
    least = min((len(partition.replicas) for partition in partitions), default=0)
    if least == 1 and brokers >= COPIES_BROKERS_MIN:
        odd.append(f"{name} has one copy on {brokers} brokers: it is lost with a disk")
    return wrong, odd


def changelog_settings(settings: Settings) -> Iterator[CheckLine]:
    """Whether the state's topic is there, and keeps what a recovery needs."""
    from agents.engine.app import CHANGELOG
    from agents.engine.job import STATE_ANEW
    from agents.engine.recovery import changelog_topic
    from agents.engine.watch.brokers import topics_found
    from schemas.topics import INPUTS
    from tidegauge.bootstrap import STANDING
    from tidegauge.checks.flow import committed

    name = changelog_topic(settings, STANDING)
    found = topics_found(settings.kafka, [name])
    if name not in found:
        yield CheckLine("changelog", Grade.UNSEEN, f"not allowed to see: {name}", "allow DESCRIBE and READ on it")
        return
    topic = found[name]
    if topic is None and not committed(settings):
        yield CheckLine("changelog", Grade.GOOD, f"no {name} yet: no worker of group {settings.group} has run")
        return
    if topic is None:
        text = f"{name} is gone, and group {settings.group} has read on: the state is lost"
        yield CheckLine("changelog", Grade.WRONG, text, STATE_ANEW)
        return
    wrong = list(changelog_faults(CHANGELOG, configs(settings, "TOPIC", [name])[name]))
    source = settings.topic(INPUTS[0])
    if (inputs := topics_found(settings.kafka, [source]).get(source)) and topic.partitions != inputs.partitions:
        wrong.append(f"it has {topic.partitions} partitions, {source} has {inputs.partitions}")
    if wrong:
        hint = f"kafka-configs --alter --topic {name} --add-config NAME=VALUE"
        yield CheckLine("changelog", Grade.WRONG, f"{name}: {listed(wrong)}", hint)
    else:
        yield CheckLine("changelog", Grade.GOOD, f"{name} is compacted and keeps what a recovery needs")


def changelog_faults(wanted: Mapping[str, str], found: Mapping[str, str | None]) -> Iterator[str]:
    """What of its settings loses rows, or makes a recovery read millions of them."""
    from agents.engine.unit import BATCH_BYTES_MAX

    if (policy := found.get("cleanup.policy")) not in (None, "compact"):
        yield f"cleanup.policy is {policy}, not compact: rows of idle customers would be deleted"
    lag = found.get("min.compaction.lag.ms")
    if lag is not None and int(lag) < int(wanted["min.compaction.lag.ms"]):
        yield f"min.compaction.lag.ms is {lag}, not {wanted['min.compaction.lag.ms']}: readers beside a worker would fail"
    if (kind := found.get("message.timestamp.type")) not in (None, wanted["message.timestamp.type"]):
        yield f"message.timestamp.type is {kind}: a worker whose clock is wrong would be refused"
    segment = found.get("segment.bytes")
    if segment is not None and int(segment) > int(wanted["segment.bytes"]):
        yield f"segment.bytes is {segment}, not {wanted['segment.bytes']}: a recovery would read rows by the million"
    size = found.get("max.message.bytes")
    if size is not None and int(size) < BATCH_BYTES_MAX:
        yield f"max.message.bytes is {size}, batches have up to {BATCH_BYTES_MAX}"


def _there(settings: Settings) -> list[str]:
    """Kafka's names of the catalogue's topics that exist and may be seen."""
    from agents.engine.watch.brokers import topics_found
    from deploy.topics import CATALOGUE

    found = topics_found(settings.kafka, [settings.topic(topic.name) for topic in CATALOGUE])
    return [name for name, topic in found.items() if topic is not None]
