"""Records and batches beyond all bounds, in every codec, at a worker that is killed among them; neighbours and the rest go on."""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import KafkaException, Producer

from agents.offline.standings import all_standings
from bench.parts.full import states
from connectors.loading.closer import Closer
from connectors.loading.publisher import producer_config
from deploy.settings import Settings
from schemas import bounds
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.topics import KEYED
from streams.calendar import DAY_MS
from tests.chaos.given import Given
from tests.chaos.history import DIFFERENT, LOST, STOPPED, Findings
from tests.chaos.system import Result
from tests.integration.live import Live, free_port
from tests.outsized import CODECS, MIB, Outsized, Record, send
from tests.standing.partition import customer as profile
from tests.standing.test_placement import ACT, FACT
from tests.twins.events import day, posting, rate, snapshot
from tidegauge.letters import letters

DAY = day("2024-03-05")
MEMORY_MB_MAX = 1000
STOP_S_MAX = 15.0
KILLED_S_MAX = 60.0  # behind a kill in a short run, where a worker that begins shares its cores with other tests
READY_S = 60.0
KILLED_AT = (1, 8, 19)  # batches sent before
FLOOD = bounds.BATCH_RECORDS_MAX  # records of seven bytes in a batch
PAUSE_S = 0.05  # between two ordinary postings of a partition
ZEROS = 16 * MIB
FITTING = (bounds.UNPACKED_BYTES_MAX - MIB) // ZEROS  # records of so many zeros in an unpacked batch
LARGEST = 4_194_223  # bytes of a value that the broker just takes
PACKED = 4_190_000  # the same where a codec makes it a little longer
# Records of ZEROS that a batch of 4 MB can hold, up to 60; those of snappy stay within the bound of an unpacked batch.
ZEROS_MAX = {"gzip": 60, "snappy": 5, "lz4": 50, "zstd": 60}
TRANSACTIONS = "transactions"
RATES = "fx-rates"
TOPICS = (*KEYED, RATES)  # a broadcast topic beside all that have customers
DOLLARS = 1_000_000  # in cents, of an account: a rate in millionths is what it is worth in fen
Told = tuple[int, str, int | None, str | None, int | None]  # offset, reason, last offset, SHA-256, length


class Bank:
    """Two customers, one a partition: postings of both all the time, and what must have become of all that counts.

    On the topics beside the postings the first one's balances, profiles, facts and acts lie between what is outsized.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self.settings, self.rng = settings, rng
        self.micro = self.loan = self.acts = 0  # the last rate and fact; acts that nobody knows, each refused
        self.manager = ""
        names = [f"C{i}" for i in range(100)]
        self.customers = [next(c for c in names if partition_of(c.encode(), 2) == p) for p in (0, 1)]
        self.others = 0
        self.sums, self.numbers = [0, 0], [0, 0]  # of each account: what it has, and its journal's last number
        self.lock, self.ended, self.last = threading.Lock(), threading.Event(), -1
        self.thread = threading.Thread(target=self._feed, daemon=True)

    def record(self, partition: int, *, counts: bool = True) -> Record:
        """A posting that counts, or would if it were read."""
        with self.lock:
            self.numbers[partition] += 1
            amount, customer = self.rng.randrange(1, 10**9), self.customers[partition]
            self.sums[partition] += amount * counts
            event = posting(self.numbers[partition], amount, DAY, customer=customer, account=f"A{partition}")
        return customer.encode(), encode(event.pop("topic"), event)

    def neighbour(self, topic: str) -> Record:
        """A good record of a topic for partition 0; what it must have done is noted."""
        if topic == TRANSACTIONS:
            return self.record(0)
        with self.lock:
            self.others += 1
            number, customer = self.others, self.customers[0]
            if topic == "balances":
                self.sums[0] += (amount := self.rng.randrange(1, 10**9))
                event = snapshot(amount, DAY, customer=customer, account=f"S{number}")
            elif topic == "customers":
                self.manager = f"rm-{number}"
                event = profile(customer, rm_id=self.manager)
            elif topic == "facts":
                self.loan = number
                event = FACT | {"event_id": f"f{number:06}", "customer_id": customer, "value": number, "as_of": DAY}
            elif topic == RATES:
                self.micro = 7_000_000 + number
                event = rate("USD", self.micro, DAY, version=number)
            else:
                self.acts += 1
                at = DAY * DAY_MS + 60_000
                event = ACT | {"event_id": f"a{number}", "customer_id": customer, "action": "unheard-of", "at": at}
        event = {name: value for name, value in event.items() if name != "topic"}
        return (b"USD" if topic == RATES else customer.encode()), encode(topic, event)

    def dollars(self) -> Record:
        """A posting in another currency, worth what the last rate says."""
        event = posting(1, DOLLARS, DAY, customer=self.customers[0], account="U", currency="USD")
        return self.customers[0].encode(), encode(event.pop("topic"), event)

    def _feed(self) -> None:
        producer = Producer(producer_config(self.settings))

        def delivered(problem: Any, message: Any) -> None:
            assert problem is None
            if message.partition() == 1:
                self.last = message.offset()

        while not self.ended.wait(PAUSE_S):
            for partition in (0, 1):
                key, value = self.record(partition)
                producer.produce(self.settings.topic(TRANSACTIONS), value, key, partition, delivered)
            producer.poll(0)
        producer.flush()


class Watch(threading.Thread):
    """How long the other partition's offset stands still while postings wait; how large the workers become.

    What a kill stops, until the offset moves again, is `behind_kills`; `longest` is what else did, such as a batch.
    """

    def __init__(self, live: Live, bank: Bank) -> None:
        super().__init__(daemon=True)
        self.live, self.bank, self.longest, self.behind_kills, self.memory = live, bank, 0.0, 0.0, 0
        self.ended, self.killed = threading.Event(), threading.Event()

    def run(self) -> None:
        """Until told to end."""
        at, since = -1, time.monotonic()
        while not self.ended.wait(0.1):
            for worker in list(self.live.workers):
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
                    self.memory = max(
                        self.memory, int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) >> 10
                    )
            with suppress(KafkaException):
                [place] = self.live._probe.committed([self.live._place(TRANSACTIONS, 1)], 1)
                if place.offset > at:
                    self.killed.clear()
                if place.offset > at or self.bank.last < place.offset:
                    at, since = place.offset, time.monotonic()
            stood = time.monotonic() - since
            if self.killed.is_set():
                self.behind_kills = max(self.behind_kills, stood)
            else:
                self.longest = max(self.longest, stood)


def feeds(bank: Bank, topic: str, *, short: bool) -> Iterator[tuple[Outsized, list[Told]]]:
    """Batches for partition 0 of a topic, each with what must be told of it, by offsets from its first.

    The postings have bombs as large as each codec makes them, and floods of small bad records; a short run has one of these.
    Compacted topics take no record without a key. Beside the postings a short run has fewer and smaller ones.
    """
    few, key = short and topic != TRANSACTIONS, None if topic == TRANSACTIONS else b"n"
    first = bank.neighbour(topic)
    noise = bank.rng.randbytes(LARGEST - 80 - len(first[1]))
    yield Outsized([first, (key, noise)], 0), [(1, "too large", None, hashlib.sha256(noise).hexdigest(), len(noise))]
    empty = hashlib.sha256(bytes(ZEROS)).hexdigest()
    for name, codec in CODECS.items():
        if not few:
            noise = bank.rng.randbytes(PACKED)
            yield Outsized([(key, noise)], codec), [(0, "too large", None, hashlib.sha256(noise).hexdigest(), PACKED)]
        large = 1 if few else 3
        some = [bank.neighbour(topic), *[(key, ZEROS)] * large, bank.neighbour(topic)]
        yield Outsized(some, codec), [(i, "too large", None, empty, ZEROS) for i in range(1, large + 1)]
        if topic != TRANSACTIONS:
            continue
        zeros, beyond = ZEROS_MAX[name], ZEROS_MAX[name] > FITTING
        many = [bank.record(0), *[(None, ZEROS)] * zeros, bank.record(0, counts=not beyond)]
        told: list[Told] = [(i, "too large", None, empty, ZEROS) for i in range(1, min(zeros, FITTING) + 1)]
        yield Outsized(many, codec), [*told, *[(FITTING + 1, "batch too large", zeros + 1, None, None)] * beyond]
        if not short or name == "zstd":
            count = FLOOD // 2 if name == "snappy" else FLOOD  # that one hardly packs such small pieces
            small: list[Record] = [bank.record(0), *[(None, b"")] * (count - 2), bank.record(0)]
            yield Outsized(small, codec), flooded(count - 2)


def flooded(last: int) -> list[Told]:
    """What is told of bad records at offsets 1 to `last`: of the first ones each, and of all others together."""
    nothing, one_more = hashlib.sha256(b"").hexdigest(), bounds.LETTERS_AT_ONCE_MAX + 1
    ones: list[Told] = [(i, "truncated", None, nothing, 0) for i in range(1, one_more)]
    return [*ones, (one_more, "truncated", last, nothing, 0)]


def outsized(given: Given) -> Result:
    """A record as large as the broker takes, and batches that unpack to a gigabyte, in every codec, on each topic."""
    began, rng = time.monotonic(), random.Random(f"bounds {given.seed}")
    name = f"bounds{given.seed}x{int(began * 1000) % 10**8}"
    with tempfile.TemporaryDirectory(prefix="tidegauge-bounds-") as folder:
        own = {"bootstrap_servers": given.stack.bootstrap_servers, "topic_prefix": f"{name}.", "group": name}
        settings = Settings(
            data_dir=Path(folder), reference_key="a reference key for tests, 32 bytes long", partitions=2, **own
        )
        with Live(settings, metrics_port=free_port()) as live:
            bank = Bank(settings, rng)
            watch = Watch(live, bank)
            live.start()
            bank.thread.start()
            live.wait(lambda: live.committed(TRANSACTIONS) > 0, "the first postings")
            watch.start()
            try:
                want, faults = _send(given, live, bank, watch)
                live.wait(lambda: live.ready() == HTTPStatus.OK, "a worker that is ready", READY_S)
            finally:
                bank.ended.set()
                bank.thread.join(READY_S)
                assert not bank.thread.is_alive(), "the last postings have not arrived"
                watch.ended.set()
                watch.join(10)
            Closer(settings, encode).close(DAY)
            live.wait_closed()
            live.stop()
            found = _judge(live, bank, want, watch, KILLED_S_MAX if given.short else STOP_S_MAX)
    return Result(
        "bounds", given.seed, faults, sum(bank.numbers) + bank.others, len(want), 0, watch.longest, STOP_S_MAX,
        len(bank.customers), time.monotonic() - began, found,
        [f"the largest worker had {watch.memory} MB; {len(want):,} letters of {len(TOPICS)} topics; ready after them",
         f"the other partition stood still for {watch.behind_kills:.1f} s behind a kill -9"],
    )  # fmt: skip


Want = tuple[str, int, str, int | None, str | None, int | None]  # topic, and as Told


def _send(given: Given, live: Live, bank: Bank, watch: Watch) -> tuple[list[Want], str]:
    """Sends all feeds, with kills before and among the letters; (what must be told, the faults).

    A worker is killed once it is ready again, so that how long a partition stands still is of one kill.
    """
    want, sent, ends = list[Want](), 0, dict[str, int]()
    send(live.settings.kafka, live.settings.topic(TRANSACTIONS), 0, [Outsized([bank.dollars()], 0)])
    for topic in TOPICS:
        for batch, told in feeds(bank, topic, short=given.short):
            if sent in KILLED_AT:
                live.wait(lambda: live.ready() == HTTPStatus.OK, "a worker that is ready again")
            [base] = send(live.settings.kafka, live.settings.topic(topic), 0, [batch])
            if sent in KILLED_AT:
                live.kill(bank.rng)
                watch.killed.set()
            want += [
                (topic, base + at, why, None if last is None else base + last, *rest) for at, why, last, *rest in told
            ]
            given.say(f"{topic}, batch {sent}: {batch.record_count()} records in {batch.size():,} bytes at {base}")
            ends[topic] = base + batch.record_count()
            sent += 1
    live.wait(lambda: all(_position(live, topic) >= end for topic, end in ends.items()), "the last of the batches")
    return want, f"{sent} outsized batches on {len(TOPICS)} topics, {live.kills} kill -9"


def _position(live: Live, topic: str) -> int:
    with suppress(KafkaException):
        return int(live._probe.committed([live._place(topic, 0)], 3)[0].offset)
    return -1


def _judge(live: Live, bank: Bank, want: list[Want], watch: Watch, behind_kills: float) -> Findings:
    found, settings = Findings(), live.settings
    got = sorted(
        (r["topic"], r["offset"], r["reason"], r["last_offset"], r["original_sha256"], r["original_bytes"])
        for r in (letter.record for letter in letters(settings))
    )  # fmt: skip
    for text in sorted(set(want) - set(got), key=str):
        found.note(LOST, f"letter {text}")
    for text in sorted(set(got) - set(want), key=str):
        found.note(DIFFERENT, f"letter {text}")
    if len(got) != len(set(got)):
        found.note(DIFFERENT, f"{len(got) - len(set(got))} letters are there twice")
    _judge_neighbours(live, bank, found)
    if watch.memory > MEMORY_MB_MAX:
        found.note(DIFFERENT, f"a worker had {watch.memory} MB, {MEMORY_MB_MAX} are allowed")
    for stood, allowed in ((watch.longest, STOP_S_MAX), (watch.behind_kills, behind_kills)):
        if stood > allowed:
            found.note(STOPPED, f"the other partition stood still for {stood:.1f} s of {allowed:.0f}")
    return found


def _judge_neighbours(live: Live, bank: Bank, found: Findings) -> None:
    """What lay between the outsized records: all of it counted, to the fen."""
    jobs = states(live.settings)
    rows = {str(row[0]): row[1] for row in all_standings(jobs, DAY)}
    sums = [bank.sums[0] + bank.micro, bank.sums[1]]
    for customer, total in zip(bank.customers, sums, strict=True):
        if rows.get(customer) != total:
            found.note(DIFFERENT, f"{customer} has {rows.get(customer)} instead of {total}")
    job, slots = jobs[0], np.array([jobs[0].ledger.customer(bank.customers[0])])
    loan = int(job.decider.facts.column("loan_balance", slots, DAY)[0])
    if (job.profiles.rm(int(slots[0])), loan) != (bank.manager, bank.loan):
        found.note(
            LOST, f"a profile or a fact: {job.profiles.rm(int(slots[0]))}, {loan}; not {bank.manager}, {bank.loan}"
        )
    refused = [one for one in live.outputs("decisions") if one["kind"] == "refused"]
    if len(refused) != bank.acts:
        found.note(LOST, f"{len(refused)} refusals of {bank.acts} acts")
