"""The topic catalogue: every topic, its key, who writes it and how long it is kept; and its creation.

Retention counts from arrival (LogAppendTime), as events may be years old when they are loaded.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from deploy import admin
from deploy.connections.diagnosis import why_refused
from deploy.connections.wire import Brokers
from deploy.errors import StackError
from deploy.settings import Settings

_DAY_MS: Final = 24 * 60 * 60 * 1000
MONTH_DAYS: Final = 31
FOREVER: Final = -1
_RECORD_BYTES_MAX: Final = 4 << 20
CREATE_WAIT_S: Final = 30.0
_LEADER_ASKED_S: Final = 0.1

WORLD: Final = "world"  # who reads and writes these topics, and with which settings: tidegauge.world
CUSTOMER, CUSTOMER_REF, _BROADCAST = "customer_id", "customer_ref", "broadcast"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `kept_days` is its retention (FOREVER: no limit); `compact` keeps the last record of each key."""

    name: str
    key: str  # what the key is; "broadcast": one copy in every partition
    written_by: str
    compact: bool = False
    kept_days: int = FOREVER
    one_partition: bool = False  # whatever the others have
    lag_days: int = 0  # nothing younger is compacted away
    deletions_days: int = 0  # a tombstone stays so long; 0: as the brokers have it

    def partitions(self, others: int) -> int:
        """How many partitions it has where the other topics have so many."""
        return 1 if self.one_partition else others

    def config(self) -> dict[str, str]:
        """Kafka's settings of the topic."""
        policy = "compact,delete" if self.compact and self.kept_days > 0 else "compact" if self.compact else "delete"
        return {
            "cleanup.policy": policy,
            "retention.ms": str(self.kept_days * _DAY_MS if self.kept_days > 0 else FOREVER),
            "retention.bytes": str(FOREVER),
            "max.message.bytes": str(_RECORD_BYTES_MAX),
            "message.timestamp.type": "LogAppendTime",
            **({"min.compaction.lag.ms": str(self.lag_days * _DAY_MS)} if self.lag_days else {}),
            **({"delete.retention.ms": str(self.deletions_days * _DAY_MS)} if self.deletions_days else {}),
        }


# A state that is built anew from the log meets profiles and rates as the worker met them, as far back as there are postings.
_POSTINGS_DAYS: Final = 62
_FOR_GOOD_DAYS: Final = 36_500

CATALOGUE: Final[tuple[Topic, ...]] = (
    # What goes in. Postings and snapshots: the arrival horizon is 35 days, and some days to repair a fault.
    Topic("transactions", CUSTOMER, "core banking, connectors", kept_days=_POSTINGS_DAYS),
    Topic("balances", CUSTOMER, "nightly file, connectors", kept_days=62),
    Topic("facts", CUSTOMER, "loans and cards", kept_days=62),
    Topic(
        "customers",
        CUSTOMER,
        "customer information file",
        compact=True,
        lag_days=_POSTINGS_DAYS,
        deletions_days=_POSTINGS_DAYS,
    ),
    Topic(
        "fx-rates",
        _BROADCAST,
        "treasury",
        compact=True,
        kept_days=15 * MONTH_DAYS,
        lag_days=_POSTINGS_DAYS,
        deletions_days=_POSTINGS_DAYS,
    ),
    Topic(
        "business-days",
        _BROADCAST,
        "the closer",
        compact=True,
        kept_days=15 * MONTH_DAYS,
        deletions_days=15 * MONTH_DAYS,
    ),
    Topic("policies", _BROADCAST, "tidegauge policy activate", compact=True, deletions_days=_FOR_GOOD_DAYS),
    Topic("crm-actions", CUSTOMER, "desk, kiosks, card system", kept_days=15 * MONTH_DAYS),
    # What comes out.
    Topic("standings", CUSTOMER, "standing agent", compact=True),
    Topic("outlooks", CUSTOMER, "standing agent", compact=True),
    Topic("queue-priority", CUSTOMER_REF, "standing agent", compact=True),
    Topic("tier-changes", CUSTOMER, "standing agent", kept_days=24 * MONTH_DAYS),
    Topic("decisions", CUSTOMER, "standing agent", kept_days=24 * MONTH_DAYS),
    Topic("restatements", CUSTOMER, "standing agent", kept_days=24 * MONTH_DAYS),
    Topic("rm-alerts", CUSTOMER, "standing agent", kept_days=24 * MONTH_DAYS),
    Topic("command-results", CUSTOMER, "standing agent", kept_days=7),
    Topic("account-owners", "account and customer", "standing agent", compact=True),
    Topic("tasks", CUSTOMER, "nobody yet", kept_days=3 * MONTH_DAYS),
    Topic("notices", CUSTOMER, "notifier", kept_days=3 * MONTH_DAYS),
    Topic("queue-tickets", "branch", "queue service's relay", kept_days=3 * MONTH_DAYS),
    Topic("audit-log", "chain", "desk, services"),
    Topic("dead-letters", "source topic and partition", "whoever met the bad record", kept_days=90),
    Topic(WORLD, "event_id", "the first worker, tidegauge world", compact=True, one_partition=True),
)
TOPIC_NAMES: Final = tuple(topic.name for topic in CATALOGUE)
WRITTEN_BY_WORKERS: Final = (
    *(topic.name for topic in CATALOGUE if topic.written_by == "standing agent"),
    "dead-letters",
)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A catalogue topic as the brokers have it. `partitions` is 0 when it does not exist.

    topic_id: another one when the topic has been made anew; None where the brokers give none.
    """

    topic: Topic
    full_name: str
    partitions: int
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A cluster, what it has of the catalogue, and the names of all its topics."""

    cluster_id: str
    topics: list[TopicState]
    names: frozenset[str]


def inspect(settings: Settings, wait_s: float = 10.0) -> list[TopicState]:
    """Every catalogue topic with the number of its partitions; raises StackError when no broker answers."""
    return survey(settings, wait_s).topics


def survey(settings: Settings, wait_s: float = 10.0, kafka: Brokers | None = None) -> Surveyed:
    """The cluster's id, and every catalogue topic with its id and partitions; StackError when no broker answers.

    kafka: asked as somebody else than the settings say.
    """
    kafka = settings.kafka if kafka is None else kafka
    administrator = admin.client(kafka)
    try:
        existing = administrator.list_topics(timeout=wait_s)
    except KafkaException as problem:
        if refused := why_refused(kafka):
            raise StackError(refused, "docs/security.md has how to set it up") from problem
        raise StackError(
            f"no Kafka answers at {kafka}: {problem.args[0].str()}",
            "start the embedded one with `tidegauge up`, or correct TIDEGAUGE_BOOTSTRAP_SERVERS",
        ) from problem
    names = {topic: settings.topic(topic.name) for topic in CATALOGUE}
    ids = admin.topic_ids(administrator, [name for name in names.values() if name in existing.topics], wait_s)
    states = [
        TopicState(topic, name, len(existing.topics[name].partitions) if name in existing.topics else 0, ids.get(name))
        for topic, name in names.items()
    ]
    return Surveyed(str(existing.cluster_id), states, frozenset(existing.topics))


def require_partitions(settings: Settings, found: Iterable[TopicState]) -> None:
    """StackError for a topic that exists with another number of partitions than the settings say."""
    for entry in found:
        wanted = entry.topic.partitions(settings.partitions)
        if entry.partitions not in (0, wanted):
            change = "" if entry.topic.one_partition else f"set TIDEGAUGE_PARTITIONS={entry.partitions}, or "
            raise StackError(
                f"topic {entry.full_name} has {entry.partitions} partitions, not {wanted}",
                f"{change}delete the topic if it may go",
            )


def create(
    settings: Settings, names: Iterable[str] | None = None, wait_s: float = CREATE_WAIT_S, kafka: Brokers | None = None
) -> list[str]:
    """Create the missing topics of the catalogue (or of `names`), wait for their leaders, and return their full names.

    A topic that exists with another number of partitions is refused with StackError: all topics of a customer must have
    the same number, so that one worker sees all of one customer. kafka: asked as somebody else than the settings say.
    """
    wanted = set(TOPIC_NAMES if names is None else names)
    if unknown := wanted - set(TOPIC_NAMES):
        raise StackError(f"not in the catalogue: {', '.join(sorted(unknown))}")
    found = [entry for entry in survey(settings, wait_s, kafka).topics if entry.topic.name in wanted]
    require_partitions(settings, found)
    missing = [entry for entry in found if not entry.partitions]
    if not missing:
        return []
    administrator = admin.client(settings.kafka if kafka is None else kafka)
    orders = [
        NewTopic(
            entry.full_name,
            num_partitions=entry.topic.partitions(settings.partitions),
            replication_factor=-1,
            config=entry.topic.config(),
        )
        for entry in missing
    ]
    for name, done in administrator.create_topics(orders, operation_timeout=wait_s).items():
        try:
            done.result(timeout=wait_s)
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # two of us may create at once
                raise StackError(
                    f"topic {name} cannot be created: {problem.args[0].str()}",
                    "let `tidegauge topics --create` make it, as a user who may create topics",
                ) from problem
    places = [TopicPartition(order.topic, number) for order in orders for number in range(order.num_partitions)]
    until = time.monotonic() + wait_s
    while not admin.led(administrator, places):
        if time.monotonic() > until:
            raise StackError(f"no broker serves {orders[0].topic} or another new topic after {wait_s:.0f} s")
        time.sleep(_LEADER_ASKED_S)
    return [entry.full_name for entry in missing]
