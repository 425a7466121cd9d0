"""Reads what there is about a customer's tier, and makes every decision again from its own evidence (design §5).

Nothing of the engine's kernels is used for that: fractions of Python, and the pack's own numbers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents import recovery
from agents.job import Block, RecoveryError
from agents.reading import COLUMNS, AsOfError, standings
from agents.transport import records
from connectors.partitioner import partition_of
from policies import load_pack
from schemas.records import decode_one
from schemas.registry import registry_for
from streams.calendar import date_of
from streams.money import EXPONENTS
from tidegauge.bootstrap import STANDING, standing_jobs

if TYPE_CHECKING:
    from deploy.settings import Settings
    from policies.compiled import CompiledPack
    from schemas.registry import Registry

NANO: Final = 10**9
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """A tier change, and what is wrong with it when it is decided again; nothing is good."""

    change: Record
    problems: list[str]


@dataclass(slots=True)
class Explained:
    """All about a customer. `standing` has the columns of `tidegauge standings`, and `as_of`."""

    customer_id: str
    currency: str
    standing: Record | None = None
    standing_problem: str | None = None
    decisions: list[Decision] = field(default_factory=list)
    alerts: list[Record] = field(default_factory=list)
    restatements: list[Record] = field(default_factory=list)
    thresholds: list[Record] = field(default_factory=list)  # of the pack in force here

    @property
    def holds(self) -> bool:
        """Whether every decision holds."""
        return not any(decision.problems for decision in self.decisions)

    @property
    def known(self) -> bool:
        """Whether there is anything about the customer."""
        return bool(self.standing or self.decisions or self.alerts or self.restatements)


async def explain(settings: Settings, customer_id: str) -> Explained:
    """Everything about a customer, from his partition. RecoveryError, KafkaError where it cannot be read."""
    registry, partition = (
        registry_for(settings.schema_registry_url),
        partition_of(customer_id.encode(), settings.partitions),
    )
    pack = load_pack(settings.pack).compile(EXPONENTS[settings.base_currency], "personal")
    found = Explained(customer_id, settings.base_currency)
    found.thresholds = [
        {"tier": tier, "metric": pack.metric, "minimum_minor": int(minimum)}
        for tier, minimum in zip(pack.tier_ids[1:], pack.thresholds_minor.tolist(), strict=True)
    ]
    await _standing(settings, found, partition)
    consumer = await recovery.open_consumer(settings)
    try:
        read = {
            topic: [r async for r in _of_customer(consumer, settings, registry, topic, partition, customer_id)]
            for topic in ("tier-changes", "rm-alerts", "restatements")
        }
        cuts = [cut async for cut in _closes(consumer, settings, registry, partition)] if read["tier-changes"] else []
    finally:
        await consumer.stop()
    found.alerts, found.restatements = read["rm-alerts"], read["restatements"]
    found.decisions = decide_again(read["tier-changes"], pack, dict(cuts))
    return found


async def _standing(settings: Settings, found: Explained, partition: int) -> None:
    """The standing as of the last close out of the live state, or why there is none."""
    try:
        job = await recovery.read_state(settings, standing_jobs(settings), partition, name=STANDING)
    except RecoveryError as problem:
        found.standing_problem = str(problem)
        return
    day = job.ledger.closed  # type: ignore[attr-defined]
    try:
        row = next((row for row in standings(job, day) if row[0] == found.customer_id), None)  # type: ignore[arg-type]
    except AsOfError as problem:
        found.standing_problem = str(problem)
        return
    if row is None:
        found.standing_problem = "no event of this customer has come"
    else:
        found.standing = {"as_of": day, **dict(zip(COLUMNS, row, strict=True))}


async def _of_customer(
    consumer: AIOKafkaConsumer, settings: Settings, registry: Registry, topic: str, partition: int, customer_id: str
) -> AsyncIterator[Record]:
    """Committed records of a customer in a topic, oldest first; each event once."""
    seen: set[str] = set()
    async for key, value in _read(consumer, settings.topic(topic), partition):
        if key == customer_id.encode() and value:
            record = decode_one(value, registry, name=topic)
            if record["event_id"] not in seen:
                seen.add(record["event_id"])
                yield record


async def _closes(
    consumer: AIOKafkaConsumer, settings: Settings, registry: Registry, partition: int
) -> AsyncIterator[tuple[int, dict[str, int]]]:
    """(day, cut of the partition) of every close still held; of several closes of a day the first counts."""
    known: set[int] = set()
    async for _, value in _read(consumer, settings.topic("business-days"), partition):
        record = decode_one(value, registry, name="business-days")
        if record["business_day"] not in known:
            known.add(record["business_day"])
            cut = {entry["topic"]: entry["offset"] for entry in record["cut"] if entry["partition"] == partition}
            yield record["business_day"], cut


async def _read(consumer: AIOKafkaConsumer, topic: str, partition: int) -> AsyncIterator[tuple[bytes | None, bytes]]:
    place = TopicPartition(topic, partition)
    first, end = (await consumer.beginning_offsets([place]))[place], (await consumer.end_offsets([place]))[place]
    if first >= end:
        return
    consumer.assign([place])
    consumer.seek(place, first)
    while await consumer.position(place) < end:
        for item in (await consumer.getmany(place, timeout_ms=200)).get(place, []):
            if isinstance(item, Block):  # reading the state has made the worker's inputs come as blocks here
                for _, key, value in records(item):
                    yield key, value or b""
            else:
                yield item.key, item.value or b""


# -- deciding again


def decide_again(changes: list[Record], pack: CompiledPack, cuts: dict[int, dict[str, int]]) -> list[Decision]:
    """Every change with what does not hold of it."""
    decisions, before = [], pack.tier_ids[0]
    for change in changes:
        problems = [*_evidence(change), *_circumstances(change, pack, cuts)]
        if change["from_tier"] != before:
            problems.append(f"it goes out from {change['from_tier']}, but the change before led to {before}")
        before = change["to_tier"]
        decisions.append(Decision(change, problems))
    return decisions


def _evidence(change: Record) -> Iterator[str]:
    """The tier that the exact values give by the thresholds beside them."""
    values: dict[str, Fraction] = {}
    for metric in change["metrics"]:
        days = metric["period_to"] - metric["period_from"] + 1
        numerator, denominator = int(metric["exact_numerator"]), int(metric["exact_denominator"])
        values[metric["name"]] = value = Fraction(numerator, denominator)
        if denominator != days * NANO:
            yield f"{metric['name']}: the sum is divided by {denominator}, the period has {days} days"
        if round(value) != metric["value_minor"]:  # Python rounds fractions half to even
            yield f"{metric['name']}: {value} rounds to {round(value)}, not {metric['value_minor']}"
    reached = [t["tier"] for t in change["thresholds"] if values.get(t["metric"], Fraction(-1)) >= t["minimum_minor"]]
    minimums = [threshold["minimum_minor"] for threshold in change["thresholds"]]
    if minimums != sorted(minimums):
        yield "the thresholds do not rise"
    given = reached[-1] if reached else None
    if given is None and change["to_tier"] in {threshold["tier"] for threshold in change["thresholds"]}:
        yield f"no threshold is reached, yet the tier is {change['to_tier']}"
    elif given is not None and given != change["to_tier"]:
        yield f"the values give {given}, not {change['to_tier']}"


def _circumstances(change: Record, pack: CompiledPack, cuts: dict[int, dict[str, int]]) -> Iterator[str]:
    """Pack, direction, dates, and the cut of the close."""
    if (change["pack_id"], change["pack_version"]) == (pack.pack_id, pack.version):
        asked = [(t["tier"], t["minimum_minor"]) for t in change["thresholds"]]
        if asked != list(zip(pack.tier_ids[1:], pack.thresholds_minor.tolist(), strict=True)):
            yield f"the thresholds are not those of {pack.pack_id} version {pack.version}"
        if {change["from_tier"], change["to_tier"]} <= set(pack.tier_ids):
            up = pack.tier_ids.index(change["to_tier"]) > pack.tier_ids.index(change["from_tier"])
            if change["direction"] != ("up" if up else "down"):
                yield f"{change['from_tier']} to {change['to_tier']} is not {change['direction']}"
    day = change["business_day"]
    if day is None:
        return
    if change["effective_date"] != day + 1:
        yield f"decided at the close of {date_of(day)}, it should hold from {date_of(day + 1)} on"
    for metric in change["metrics"]:
        if metric["period_to"] > day:
            yield f"{metric['name']} looks beyond the close of {date_of(day)}"
    told = {entry["topic"]: entry["offset"] for entry in change["cut"]}
    if day in cuts and told != cuts[day]:
        yield f"its cut is not that of the close of {date_of(day)}"
