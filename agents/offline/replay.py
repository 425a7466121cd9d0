"""History without a worker: files or topics through the worker's own job, alone or beside another pack.

Files come in booking order, with a close after each day; topics have their closes and cuts. Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from agents.engine.job import Block
from agents.engine.record_batches import flat
from agents.engine.recovery import EngineSettings, changelog_topic, install_blocks, open_consumer
from agents.engine.recovery import blocks as read_blocks
from agents.offline.guided import guided
from agents.offline.lost import held_since
from agents.offline.memory_log import MemoryLog
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies.diff import obstacles
from policies.model.pack import Pack
from schemas.codec.blocks import log_entries
from schemas.codec.records import Encode, RecordError, decode_one
from schemas.registry import Registry
from schemas.topics import CLOSES, INPUTS
from streams.vocabulary.terms import CUSTOMER_CLASSES

Output = Callable[[str, bytes | None, bytes | None], None]
ORDER = (CLOSES, *(topic for topic in INPUTS if topic not in (CLOSES, "transactions")), "transactions")
LETTERS = ("dead-letters",)
_ALERTS = ("rm-alerts",)
_MET = ("transactions", "crm-actions")  # what a worker looks at cases after
HELD_BYTES_MAX = 64 << 20  # of postings that wait for the next look of the running side
VALUED = {"transactions": "value_date", "balances": "business_day", "fx-rates": "rate_date"}


class Arrival(NamedTuple):
    """An event in the order of arrival; record None ends the business day."""

    day: int
    topic: str
    record: dict[str, Any] | None


def replay_arrivals(
    conf: StandingConf,
    arrivals: Iterable[Arrival],
    encode: Encode,
    as_of: int,
    known_by: int | None = None,
    output: Output | None = None,
    topics: Container[str] | None = None,
) -> StandingJob:
    """The job after every close up to `as_of`, and after the events that came later but are valued up to it.

    `known_by` leaves out what arrived after that day. `output` gets every record the job publishes, or
    those of `topics`.
    """
    job, log = StandingJob(conf.alone()), MemoryLog(encode)
    job.begin(0, dict.fromkeys(INPUTS, 0))
    for arrival in arrivals:
        if known_by is not None and arrival.day > known_by:
            break
        if arrival.record is None:
            if arrival.day <= as_of:
                log.close(arrival.day)
                work(job, log.blocks(), output, topics)
        elif arrival.day <= as_of or valued(arrival.topic, arrival.record) <= as_of:
            log.record(arrival.topic, arrival.record)
    work(job, log.blocks(), output, topics)
    return job


class Standing(NamedTuple):
    """A customer at the last close. `rank` counts from the lowest tier of his class; tier None: no scheme for the class."""

    customer_class: str
    branch: str
    tier: str | None
    rank: int


class Trial:
    """The same history under the packs that were in force, and with another one from its day on. `refused`: why not.

    `watch`, where it is set, gets the alerts of either; `blocks` are those that they come of, and `published`, where the
    history is that of topics, the alerts that are there. `held`: of topics whose beginning the log no longer holds, the day from
    which it does.
    """

    def __init__(self, conf: StandingConf, pack: Pack) -> None:
        self.running, self.other = StandingJob(conf), StandingJob(conf)
        self.watch: tuple[Output, Output] | None = None
        self.blocks: list[Block] = []
        self.published: list[bytes] = []
        self.held: dict[str, int] = {}
        self.registry = self.running.decider.publisher.registry
        self.refused = obstacles(pack) or self.other.decider.packs.unfit(pack)
        if not self.refused:
            self.other.decider.packs.try_out(pack)
            self.other.decider.know(pack, from_the_beginning=True)
        for job in (self.running, self.other):
            job.begin(0, dict.fromkeys(INPUTS, 0))

    def feed(self, blocks: list[Block], letters: Output | None = None) -> None:
        """More of the history."""
        self.blocks = blocks
        if self.watch is None:
            work(self.running, blocks, letters, LETTERS)
            work(self.other, blocks, None)
            return
        mine, theirs = self.watch

        def sort(topic: str, key: bytes | None, value: bytes | None) -> None:
            if topic in _ALERTS:
                mine(topic, key, value)
            elif letters is not None:
                letters(topic, key, value)

        work(self.running, blocks, sort, (*LETTERS, *_ALERTS))
        work(self.other, blocks, theirs, _ALERTS)

    def files(self, arrivals: Iterable[Arrival], encode: Encode, letters: Output | None = None) -> Trial:
        """The whole history of files; `letters` gets the dead letters."""
        log = MemoryLog(encode)
        for arrival in arrivals:
            if arrival.record is None:
                log.close(arrival.day)
                self.feed(log.blocks(), letters)
            else:
                log.record(arrival.topic, arrival.record)
        self.feed(log.blocks(), letters)
        return self

    async def topics(self, settings: EngineSettings, partition: int, name: str) -> Trial:
        """The whole history of a partition's topics, as far as they are kept; postings last, since they are most.

        With `watch`, in the order in which the alerts that were published show that they were met (agents.offline.guided).
        """
        alerts = () if self.watch is None else _ALERTS
        install_blocks(settings, (*INPUTS, *alerts), changelog_topic(settings, name))
        consumer = await open_consumer(settings)
        try:
            places = {topic: TopicPartition(settings.topic(topic), partition) for topic in (*ORDER, *alerts)}
            wanted = list(places.values())
            first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
            start = {topic: first[place] for topic, place in places.items() if topic in ORDER}
            for job in (self.running, self.other):
                job.begin(partition, dict(start))

            def read(topic: str) -> AsyncIterator[Block]:
                return read_blocks(consumer, places[topic], first[places[topic]], end[places[topic]])

            if alerts:
                await self._as_told(read)
                return self
            closes = list[dict[str, Any]]()
            for topic in ORDER:
                async for block in read(topic):
                    closes += _records(block, self.registry) if topic == CLOSES else []
                    self.feed([block])
                if topic == CLOSES:
                    self.begins_with(closes, start)
        finally:
            await consumer.stop()
        return self

    def begins_with(self, closes: list[dict[str, Any]], first: Mapping[str, int]) -> None:
        """What the log no longer holds is unknown on both sides; `first` is where each topic begins."""
        self.held = held_since(closes, first, self.running.partition)
        for job in (self.running, self.other) if "transactions" in self.held else ():
            job.decider.flows.begin_with(self.held["transactions"])

    async def _as_told(self, read: Callable[[str], AsyncIterator[Block]]) -> None:
        """The running side ends its transactions where a worker did; the other one as often as it can."""
        for topic in _ALERTS:
            blocks = [block async for block in read(topic)]
            self.published = [e.value for b in blocks for e in log_entries(b.batches, b.start, b.end) if e.value]
        causes = {cause for value in self.published if (cause := _cause(value, self.registry))}
        others = [[block async for block in read(topic)] for topic in INPUTS if topic != "transactions"]
        held, waiting = 0, list[Block]()
        assert self.watch is not None
        async for piece in guided(others, read("transactions"), causes, self.registry):
            self.running.feed(piece.block)
            waiting.append(piece.block)
            held += piece.block.size
            idle = not any(block.tp.topic.endswith(_MET) for block in waiting)  # what came before postings is known
            if piece.ends or idle or held > HELD_BYTES_MAX or piece.block.tp.topic.endswith(CLOSES):
                self.blocks, waiting, held = waiting, [], 0
                work(self.running, [], self.watch[0], _ALERTS)
            self.blocks = [piece.block]
            work(self.other, [piece.block], self.watch[1], _ALERTS)
        self.blocks = waiting
        work(self.running, [], self.watch[0], _ALERTS)


def _records(block: Block, registry: Registry) -> list[dict[str, Any]]:
    """The records of a block of closes that can be read."""
    found = list[dict[str, Any]]()
    for entry in log_entries(block.batches, block.start, block.end):
        with suppress(RecordError):
            found += [decode_one(entry.value, registry, name=CLOSES)] if entry.value else []
    return found


def _cause(value: bytes, registry: Registry) -> str | None:
    """What has caused a published alert; None for one that can't be read."""
    try:
        return str(decode_one(value, registry, name=_ALERTS[0])["caused_by"])
    except RecordError:
        return None


def standings_of(job: StandingJob, kind: str = "tiers") -> dict[str, Standing]:
    """Every customer at the last close: his tier, or with kind `layers` his layer."""
    decider, found = job.decider.lifecycle if kind == "tiers" else job.decider.layers.lifecycle, {}
    for slot in range(job.ledger.customers.count):
        table = None if decider is None else decider.table(slot)
        customer_class, _ = job.ledger.customers.class_and_branch(slot)
        branch, name = job.profiles.branch(slot) or "-", CUSTOMER_CLASSES[customer_class]
        if decider is None or table is None:
            found[job.ledger.customer_id(slot)] = Standing(name, branch, None, 0)
            continue
        index = int(table.index[int(decider.keeper.held()["tier"][slot, 0])])
        tier = table.program.tier_ids[index]
        found[job.ledger.customer_id(slot)] = Standing(name, branch, tier, int(table.levels[index]))
    return found


def valued(topic: str, record: dict[str, Any]) -> int:
    """The day from which an event counts; 0 for what has none."""
    return int(record[VALUED[topic]]) if topic in VALUED else 0


def work(job: StandingJob, blocks: list[Block], output: Output | None, topics: Container[str] | None = None) -> None:
    """Feeds blocks and hands on what comes of them."""
    for block in blocks:
        job.feed(block)
    outcome = job.work(live=True)
    if output is not None:
        for topic, pairs in outcome.outputs:
            if topics is not None and topic not in topics:
                continue
            for key, value in flat(pairs):
                output(topic, key, value)
