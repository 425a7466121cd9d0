"""A small bank of a seed: what happens to the customers of two partitions in some weeks, and how it gets into the log.

Late, back-valued, reversed and repeated postings, of stated and unknown nature, acts on the cases that are told, snapshots that
disagree, currencies, profiles that change, facts, a pack that is activated, bad records, aborted source transactions with
events that must never count, and day closes, the ends of months among them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from aiokafka import TopicPartition

from agents.engine.record_batches import TRANSACTIONAL
from schemas.codec.records import decode_one
from schemas.codec.records import encode as avro
from schemas.partitioner import partition_of
from schemas.registry import file_registry
from schemas.topics import CLOSES, INPUTS, MARK, MARK_KEY
from tests.simulation.broker import Cluster
from tests.simulation.log import encode
from tests.simulation.schemes import MATURES_ON, POINTS, later_version
from tests.standing.partition import customer
from tests.standing.test_changeover import activation
from tests.standing.test_lifecycle import fact
from tests.twins.case_terms import OUTCOMES
from tests.twins.definitions import date_of, day_of, month_first
from tests.twins.events import instant, posting, rate, snapshot

Event = dict[str, Any]
PARTITIONS = 2
CURRENCIES = ("CNY", "CNY", "CNY", "USD", "JPY")
CLASSES = ("deposit_demand", "savings", "wealth", "credit")
CLOCKS = ("00:00:00", "10:00:00", "23:59:59", None)
CARDS = (None, "gold", "platinum")
ACTS = ("acknowledge", "snooze", "hand_over", "resolve", "resolve", "comment", "escalate", "wake")
FIRST_SOURCE = 10_000  # producer ids of the bank's own transactions


@dataclass
class Bank:
    """Events by partition and day of arrival, and the days that are closed."""

    first: int
    last: int
    closes: list[int]
    events: list[dict[int, list[Event]]]  # partition -> day -> events
    rates_change: bool  # later than at the start: then restatements are not compared with the twin
    acts: bool  # without them open cases follow from events and closes alone
    continuous: bool  # tiers move between closes
    switch: int | None  # the first day of another version of the pack


def make_bank(random: Random, partitions: int) -> Bank:
    """The bank of a seed."""
    start = month_first(day_of(dt.date(2024, random.randint(2, 11), 15)))
    first = month_first(start + 31) - random.randint(3, 8)  # the end of a month comes soon, another one in some weeks
    last = first + random.randint(38, 48)
    rates_change = random.random() < 0.3
    events: list[dict[int, list[Event]]] = []
    rates = [(first, rate(c, random.randint(10_000, 2_400_000), first - 1000)) for c in ("USD", "JPY")]
    for _ in range(random.randint(1, 4) if rates_change else 0):
        day = random.randint(first + 1, last - 1)
        number = len(rates)
        rates.append((day, rate(random.choice(("USD", "JPY")), random.randint(10_000, 2_400_000), day, number)))
    for partition in range(partitions):
        by_day: dict[int, list[Event]] = defaultdict(list)
        for day, event in rates:
            by_day[day].append(event)
        for number in range(random.randint(1, 3)):
            _customer(random, _name(partition, number, partitions), first, last, by_day)
        events.append(by_day)
    acts, continuous = random.random() < 0.6, random.random() < 1 / 3
    switch = random.randint(first + 8, last - 6) if random.random() < 0.6 else None
    if switch is not None:
        pack = activation(later_version(date_of(switch), continuous=continuous))
        sent = max(first, switch - random.choice((2, 5, 20)))
        for by_day in events:
            by_day[sent] += [pack] * random.choice((1, 1, 1, 2))
    ends = {day for day in range(first, last + 1) if date_of(day + 1).day == 1}
    closes = [d for d in range(first, last) if d in ends or random.random() < 0.3]
    return Bank(first, last, [*closes, last], events, rates_change, acts, continuous, switch)


def _name(partition: int, number: int, partitions: int) -> str:
    """The first name of a customer's that belongs to the partition."""
    names = (f"P{partition}C{number}-{n}" for n in count())
    return next(name for name in names if partition_of(name.encode(), partitions) == partition)


def _customer(random: Random, name: str, first: int, last: int, by_day: dict[int, list[Event]]) -> None:
    accounts: list[tuple[dict[str, str], list[Event]]] = []
    for number in range(random.randint(1, 2)):
        fields = {
            "customer": name, "account": f"{name}-A{number}", "asset_class": random.choice(CLASSES),
            "currency": random.choice(CURRENCIES),
        }  # fmt: skip
        accounts.append((fields, _postings(random, fields, first, last)))
    if len(accounts) == 2 and accounts[0][0]["currency"] == accounts[1][0]["currency"]:
        accounts[1][1].extend(_legs(random, *accounts, last))
    for fields, moved in accounts:
        for event in [*moved, *_snapshots(random, fields, moved, first, last)]:
            due = event.pop("due")
            by_day[min(last, due)].append(event)
            if random.random() < 0.12:
                by_day[min(last, due + random.randint(0, 20))].append(event)
    for k in range(random.randint(0, 2)):
        kind = "corporate" if random.random() < 0.3 else "personal"
        profile = customer(name, event_id=f"{name}-{k}", card_held=random.choice(CARDS), customer_class=kind)
        gone = {"topic": "customers", "customer_id": name, "deleted": True}
        by_day[random.randint(first, last - 1)].append(gone if random.random() < 0.25 else profile)
    for number in range(random.randint(0, 5)):
        as_of, what = random.randint(first, last - 1), random.choice((POINTS, POINTS, MATURES_ON, "loan_balance"))
        value = as_of + random.randint(0, 25) if what == MATURES_ON else random.choice((0, 30, 60, 100))
        said = fact(name, number, value, as_of, what) | {"event_id": f"{name}-fact-{number}"}
        for _ in range(random.choice((1, 1, 1, 2))):
            by_day[min(last, as_of + random.choice((0, 0, 1, 6)))].append(said)


def _legs(
    random: Random, one: tuple[dict[str, str], list[Event]], other: tuple[dict[str, str], list[Event]], last: int
) -> list[Event]:
    """The other legs, on the second account, of some postings of unknown nature: at once, within minutes, or too late."""
    found, seq = [], 1 + max(event["journal_seq"] for event in other[1])
    for event in one[1]:
        if event["nature"] == "unknown" and event["reverses"] is None and random.random() < 0.6:
            booked = event["booked_at"] + random.choice((0, 1, 20, 31)) * 60_000
            leg = posting(seq, -event["amount_minor"], event["value_date"], event["value_date"], **other[0])
            late = random.choice((0, 0, 0, 1, 5))
            found.append(leg | {"nature": "unknown", "booked_at": booked, "due": min(last, event["due"] + late)})
            seq += 1
    return found


def _postings(random: Random, fields: dict[str, str], first: int, last: int) -> list[Event]:
    size = random.choice((10**6, 3 * 10**7, 4 * 10**8))
    found = [posting(1, random.randint(0, 5 * size), first - 80, first - 1, clock="10:00:00", due=first, **fields)]
    for seq in range(2, 1 + random.randint(3, 14)):
        booked, more = random.randint(first, last), {"clock": random.choice(CLOCKS)}
        value, amount = booked - random.choice((0, 0, 0, 1, 3, 40, 100)), random.randint(-2 * size, size) or 1
        if random.random() < 0.12:
            original = random.choice(found)
            amount, value = -original["amount_minor"], original["value_date"]
            more["reverses"] = original["event_id"]
        late = random.choice((0, 0, 0, 0, 1, 2, 15, 30))
        banks = random.choice((None, "ICBC", "CCB", "ABC"))
        nature = random.choice(("external", "external", "external", "own_transfer", "interest", "unknown", "unknown"))
        event = posting(
            seq, amount, value, booked, due=booked + late, nature=nature, counterparty_bank=banks, **fields, **more
        )
        found.append(event)
    return found


def _snapshots(random: Random, fields: dict[str, str], moved: list[Event], first: int, last: int) -> list[Event]:
    found = []
    for day in sorted(random.sample(range(first, last), random.choice((0, 0, 2, 4)))):
        for version in range(1, random.choice((2, 2, 3))):
            event = snapshot(0, day, version=version, **fields)
            booked = sum(p["amount_minor"] for p in moved if p["booked_at"] <= event["cutoff_at"])
            event["balance_minor"] = booked + random.choice((0, 0, 1, -700))
            found.append({**event, "due": day + random.choice((0, 1, 1, 5))})
    return found


@dataclass
class Told:
    """What the log says to a committed reader, remembered by the writer."""

    events: dict[TopicPartition, dict[int, Event]] = field(default_factory=lambda: defaultdict(dict))
    cuts: list[list[tuple[int, dict[str, int]]]] = field(default_factory=list)  # partition -> (day, topic -> offset)
    records: int = 0
    done: bool = False


class Feeder:
    """Writes the bank into the log over simulated time; each topic's order is its own."""

    def __init__(self, random: Random, cluster: Cluster, topic: Any, partitions: int) -> None:
        self.random, self.cluster, self.topic, self.partitions = random, cluster, topic, partitions
        self.told = Told(cuts=[[] for _ in range(partitions)])
        self.sources = 0
        self.read = [0] * partitions  # of rm-alerts, by people
        self.acts = 0

    async def feed(self, bank: Bank, seconds: float) -> None:
        """Takes about that many simulated seconds."""
        pause = seconds / (bank.last - bank.first + 1)
        for day in range(bank.first, bank.last + 1):
            for p in self.random.sample(range(self.partitions), self.partitions):
                acts = self._desk(p, day) if bank.acts else []
                self._day(p, [*bank.events[p].get(day, []), *acts])
            if day in bank.closes:
                await self._close(day, pause)
            await asyncio.sleep(self.random.expovariate(1 / pause))
        self.told.done = True

    def _day(self, partition: int, events: list[Event]) -> None:
        by_topic: dict[str, list[Event]] = defaultdict(list)
        for event in self.random.sample(events, len(events)):
            by_topic[event["topic"]].append(event)
        for topic, found in by_topic.items():
            if self.random.random() < 0.15:
                self._aborted(partition, topic, found)
            if self.random.random() < 0.05:
                self.cluster.append(
                    self._tp(topic, partition), encode([(b"bad", bytes([self.random.randrange(256)] * 9))])
                )
            for at in range(0, len(found), 4):
                self._write(partition, topic, found[at : at + 4], in_transaction=self.random.random() < 0.2)

    def _desk(self, partition: int, day: int) -> list[Event]:
        """What people do about the cases of which they were told since yesterday; some do it twice, some too late."""
        told = [
            r for r in self.cluster.logs[self._tp("rm-alerts", partition)].records() if r.offset >= self.read[partition]
        ]
        self.read[partition] = told[-1].offset + 1 if told else self.read[partition]
        steps = [decode_one(record.value or b"") for record in told]
        acts = [self._act(step, day) for step in steps if step.get("told_step") and self.random.random() < 0.5]
        return [act for act in acts for _ in range(2 if self.random.random() < 0.1 else 1)]

    def _act(self, step: Event, day: int) -> Event:
        self.acts += 1
        clock, action = self.random.random() < 0.2, self.random.choice(ACTS)
        act: Event = {
            "topic": "crm-actions", "event_id": f"act-{self.acts}", "customer_id": step["customer_id"], "action": action,
            "requested_by": self.random.choice(("rm-1", "rm-1", "rm-2")), "approved_by": None,
            "at": instant(day, "12:00:00"), "expires_on": day + self.random.randint(0, 9),
            "details": {
                "case": step["alert_id"], "step": step["told_step"], "role": "service" if clock else "rm", "to": "rm-2",
                "outcome": self.random.choice(OUTCOMES), "reason": "called", "level": str(self.random.randint(1, 3)),
            },
        }  # fmt: skip
        if self.acts % 2:
            return act
        stamp = ("stamped_by", act["requested_by"]), ("stamped_role", act["details"]["role"]), ("stamped_unit", "hq/B1")
        return act | dict(stamp) | {"stamped_at": act["at"], "request_id": f"request-{self.acts}"}

    def _tp(self, topic: str, partition: int) -> TopicPartition:
        return TopicPartition(self.topic(topic), partition)

    def _write(self, partition: int, topic: str, events: list[Event], *, in_transaction: bool) -> None:
        pairs, tp, log = [_pair(event) for event in events], self._tp(topic, partition), self.cluster.logs
        if in_transaction:
            base, producer = self._open(tp, pairs)
            self.cluster.loop.network(self.random.expovariate(1 / 0.3), self._ended, tp, producer, True)
        else:
            base = self.cluster.append(tp, encode(pairs))
        assert base + len(events) == log[tp].end
        self.told.events[tp] |= {base + i: event for i, event in enumerate(events)}
        self.told.records += len(events)

    def _aborted(self, partition: int, topic: str, events: list[Event]) -> None:
        """The same identities with other amounts, in a transaction that is aborted: to be read by nobody."""
        wrong = [
            {k: v + 99_999_999 if k in ("amount_minor", "balance_minor") else v for k, v in e.items()} for e in events
        ]
        _, producer = self._open(self._tp(topic, partition), [_pair(event) for event in wrong])
        delay = self.random.expovariate(1 / 0.3)
        self.cluster.loop.network(delay, self._ended, self._tp(topic, partition), producer, False)

    def _open(self, tp: TopicPartition, pairs: list[tuple[bytes, bytes | None]]) -> tuple[int, int]:
        self.sources += 1
        producer = FIRST_SOURCE + self.sources
        return self.cluster.logs[tp].append(encode(pairs, producer, 0, TRANSACTIONAL), producer), producer

    def _ended(self, tp: TopicPartition, producer: int, commit: bool) -> None:
        self.cluster.logs[tp].mark(producer, 0, commit)
        self.cluster.wake()

    async def _close(self, day: int, pause: float) -> None:
        """As the closer does: a mark into every input of every partition, then the close with the marks' offsets."""
        cuts, cut = await self._marks(day, pause)
        record = avro(CLOSES, {"business_day": day, "closed_at": 0, "cut": cut})
        for p in range(self.partitions):
            again = 2 if self.random.random() < 0.1 else 1  # a second close of the day is ignored
            self.cluster.append(self._tp(CLOSES, p), encode([(b"", record)] * again))
            self.told.cuts[p].append((day, cuts[p]))

    async def _marks(self, day: int, pause: float) -> tuple[list[dict[str, int]], list[Event]]:
        """Marks into every input of every partition: their offsets by partition and topic, and as the closes say them."""
        mark = avro(MARK, {"business_day": day})
        cuts: list[dict[str, int]] = [{} for _ in range(self.partitions)]
        places = [(topic, p) for topic in INPUTS if topic != CLOSES for p in range(self.partitions)]
        for topic, p in self.random.sample(places, len(places)):
            cuts[p][topic] = self.cluster.append(self._tp(topic, p), encode([(MARK_KEY, mark)]))
            if self.random.random() < 0.1:
                await asyncio.sleep(self.random.expovariate(3 / pause))
        cut = [{"topic": t, "partition": p, "offset": o} for p in range(self.partitions) for t, o in cuts[p].items()]
        return cuts, cut


def _pair(event: Event) -> tuple[bytes, bytes | None]:
    fields = {name: value for name, value in event.items() if name != "topic"}
    registry = file_registry(contracts=2 if "request_id" in event else 1)
    value = None if event.get("deleted") else avro(event["topic"], fields, registry)
    return str(event.get("customer_id") or event.get("pack_id", "")).encode(), value
