"""The account agent of a worker: reads the claims of its partitions, and tells both customers of an account that has two.

For each partition index that the worker holds it also has that partition of `account-owners`. What it tells leaves in one
transaction with how far it has told, under an id that is stable by partition: whoever had it before is fenced. So each
break is told once; told again after a state was built anew, it has the same id.

It runs beside the partition units, in a thread of its own: what it compares is nobody's figure, and no figure waits for it.
As long as no account has a second owner it writes nothing, and asks the brokers every few seconds for what is new.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from agents.engine.job import FatalError, Rejoin
from agents.engine.metrics import WorkerMetrics
from agents.engine.reader import LogReader, Place, blocks_to_the_end
from agents.engine.recovery import EngineSettings, state_name
from agents.owners.compare import Claim, Further, OwnersSeen, Shared, claims_of, paired
from deploy import admin
from deploy.connections.clients import librdkafka
from schemas.codec.blocks import Reader
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.registry import Registry, RegistryError
from schemas.topics import ACCOUNT_OWNER, OWNERS
from streams.reference import customer_ref

_BREAKS: Final = "restatements"
TELL_S: Final = 10.0  # further owners are gathered for so long: to name the first one the claims are gone through again
TOLD_AT_ONCE_MAX: Final = 10_000  # further owners in a transaction
RENEW_S: Final = 86_400.0  # brokers forget what a group of no members has committed, after a week if not told otherwise
FETCH_S: Final = 1.0
WAIT_MS: Final = 5_000  # brokers wait for so long for the next claim
PAUSE_S: Final = 5.0  # after a failure
ASKED_S: Final = 30.0
END_S: Final = 10.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Held:
    """A partition of claims. told: the next offset, as committed with what was told; producer: once something was."""

    seen: OwnersSeen
    told: int
    renew_at: float
    producer: Producer | None = None
    at: int = 0  # read up to here
    further: list[Further] = field(default_factory=list)  # in the order of the log


class AccountAgent:
    """`held` gives the partition indices that the worker holds now; `key`: of the ids; `may` as of agents.engine.unit.Outlet."""

    def __init__(
        self, settings: EngineSettings, name: str, registry: Registry, key: bytes, held: Callable[[], set[int]],
        metrics: WorkerMetrics, may: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._name, self._registry, self._key = settings, name, registry, key
        self._wanted, self._metrics, self._may = held, metrics, may
        self._topic, self._out = settings.topic(OWNERS), settings.topic(_BREAKS)
        self._held: dict[int, _Held] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="account agent", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was read and not told is told by whoever has the partition next."""
        self._stop.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except FatalError as problem:  # others own the outputs now: the worker says so, and ends
                log.info("the account agent ends: %s", problem)
                return
            except (KafkaException, RegistryError, Rejoin, TimeoutError) as problem:
                if self._stop.is_set():  # nothing stands behind the worker's last line
                    return
                log.info("the account agent begins again: %s", problem)
                self._stop.wait(PAUSE_S)
            except Exception as problem:  # noqa: BLE001 - no figure depends on it, and the log says what it was
                log.warning("the account agent begins again: %r", problem)
                self._stop.wait(PAUSE_S)
            finally:
                self._forget(set(self._held))

    def _read(self) -> None:
        """Until told to end, or something fails."""
        reader = LogReader(self._settings.kafka, [self._topic], wait_ms=WAIT_MS)
        group = Consumer(
            {
                **librdkafka(self._settings.kafka),
                "group.id": owners_group(self._settings.group),
                "enable.auto.commit": False,
            },
            logger=admin.nowhere,
        )
        tell_at = time.monotonic() + TELL_S
        try:
            while not self._stop.is_set():
                wanted = self._wanted()
                if wanted != set(self._held):
                    self._take_up(wanted, reader, group)
                if not self._held:
                    self._stop.wait(FETCH_S)
                    continue
                for block in reader.fetch(FETCH_S):
                    held = self._held[block.tp.partition]
                    held.further += held.seen.take(block, held.told)
                    held.at = block.end
                    self._metrics.shared_accounts.labels(block.tp.partition).set(len(held.seen.shared))
                if time.monotonic() > tell_at:
                    for partition, held in self._held.items():
                        if held.further or (held.told and time.monotonic() > held.renew_at):
                            self._tell(partition, held, group)
                    tell_at = time.monotonic() + TELL_S
        finally:
            group.close()
            reader.close()

    def _take_up(self, wanted: set[int], reader: LogReader, group: Consumer) -> None:
        """Hold these partitions, and read the new ones from their beginning."""
        self._forget(self._held.keys() - wanted)
        for partition in sorted(wanted - self._held.keys()):
            told = self._told(partition, group)
            self._held[partition] = _Held(OwnersSeen(self._registry), told, time.monotonic() + RENEW_S)
            self._metrics.shared_accounts.labels(partition).set(0)
        reader.begin({self._place(partition): held.at for partition, held in self._held.items()})

    def _told(self, partition: int, group: Consumer) -> int:
        (committed,) = group.committed([TopicPartition(self._topic, partition)], ASKED_S)
        return max(0, committed.offset)

    def _place(self, partition: int) -> Place:
        return self._topic, partition

    def _forget(self, partitions: Any) -> None:
        for partition in list(partitions):
            del self._held[partition]
            self._metrics.shared_accounts.remove(str(partition))

    def _tell(self, partition: int, held: _Held, group: Consumer) -> None:
        """What is new since the last time, or a part of it, in one transaction with how far that is."""
        now, later = held.further[:TOLD_AT_ONCE_MAX], held.further[TOLD_AT_ONCE_MAX:]
        found = self._pairs(partition, [further.claim for further in now]) if now else []
        upto = later[0].offset if later else max(held.told, held.at)
        producer = held.producer = held.producer or self._fenced(partition, held, group)
        producer.begin_transaction()
        for shared in found:
            for record in owner_breaks(shared, self._key):
                key = record["customer_id"].encode()
                value = encode(_BREAKS, record, self._registry)
                producer.produce(self._out, value, key, partition_of(key, self._settings.partitions))
        offsets = [TopicPartition(self._topic, partition, upto)]
        producer.send_offsets_to_transaction(offsets, group.consumer_group_metadata(), ASKED_S)
        producer.commit_transaction(ASKED_S)
        held.told, held.further, held.renew_at = upto, later, time.monotonic() + RENEW_S
        self._metrics.count(partition, {"account_owner_breaks": len(found)})

    def _fenced(self, partition: int, held: _Held, group: Consumer) -> Producer:
        """A producer for what is told of a partition: whoever had it is fenced. Rejoin where he has told something meanwhile."""
        producer = Producer(
            {
                **librdkafka(self._settings.kafka), "linger.ms": 0, "compression.type": "lz4",
                "transactional.id": owners_id(state_name(self._settings, self._name), partition),
                "transaction.timeout.ms": int(ASKED_S * 1000),
            },
            logger=admin.nowhere,
        )  # fmt: skip
        producer.init_transactions(ASKED_S)
        if self._may is not None:  # behind the fencing, as of a unit: a takeover fences when its identity is written
            self._may()
        if self._told(partition, group) != held.told:
            raise Rejoin(f"partition {partition}: another agent has told of owners meanwhile")
        return producer

    def _pairs(self, partition: int, further: list[Claim]) -> list[Shared]:
        accounts, reader = {claim.account_id.encode() for claim in further}, Reader(OWNERS, self._registry)
        claims: list[Claim] = []
        for block in blocks_to_the_end(self._settings.kafka, [self._place(partition)]):
            claims += claims_of(block, reader, accounts)
        return paired(further, claims)


def owners_group(group: str) -> str:
    """The consumer group in which it keeps how far the agents of a group of workers have told."""
    return f"{group}-owners"


def owners_id(state: str, partition: int) -> str:
    """The transactional id for a partition; state: what those of the workers begin with."""
    return f"{state}-owners-{partition}"


def owner_breaks(shared: Shared, key: bytes) -> list[dict[str, Any]]:
    """The break of an account with two owners, for each of them. Neither names the other: he may be another branch's."""
    day, found = shared.day, []
    both = sorted((shared.first, shared.second))
    for customer in both:
        opaque = customer_ref(key, "/".join((ACCOUNT_OWNER, shared.account_id, *both, customer)))
        found.append({
            "event_id": f"{shared.account_id}/{ACCOUNT_OWNER}/{opaque}", "kind": ACCOUNT_OWNER, "customer_id": customer,
            "account_id": shared.account_id, "restated_day": day, "business_day": day, "metric": None,
            "previous_minor": None, "current_minor": None, "previous_tier": None, "current_tier": None,
            "amount_minor": None, "currency": None,
        })  # fmt: skip
    return found
