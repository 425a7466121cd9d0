"""A partition unit over a log in memory: overlaps, gaps, backpressure, flushes and fences, without a broker."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from agents.engine import recovery
from agents.engine import unit as unit_module
from agents.engine.app import build_app
from agents.engine.changelog import COMMIT, FENCE, Fence
from agents.engine.job import TP, Block, Outcome, Rejoin
from agents.engine.metrics import WorkerMetrics
from agents.engine.record_batches import FRAMING_BYTES_MAX, Packed, flat
from agents.engine.unit import BATCH_BYTES_MAX, PART_ROWS_MIN, Conf, PartitionUnit
from deploy.settings import Settings
from schemas.registry import RegistryError
from tests.engine.counter_job import CounterJob
from tests.engine.test_transport import batch
from tests.engine.worker import EngineTestSettings

SETTINGS = EngineTestSettings("nowhere:1", "g", flush_interval_s=1000)


class Producer:
    """Remembers transactions instead of sending them."""

    def __init__(self, **conf: object) -> None:
        self.transactions: list[tuple[list[tuple[str, list[tuple[bytes, bytes]]]], dict[object, int]]] = []

    async def begin_transaction(self) -> None:
        self.sent: list[tuple[str, list[tuple[bytes, bytes]]]] = []
        self.offsets: dict[object, int] = {}

    async def send_batch(self, batch: list[tuple[bytes, bytes]], topic: str, *, partition: int) -> Any:
        self.sent.append((topic, batch))
        return asyncio.sleep(0)

    async def send_offsets_to_transaction(self, offsets: dict[object, int], group: str) -> None:
        self.offsets = {tp.topic: offset for tp, offset in offsets.items()}

    async def commit_transaction(self) -> None:
        self.transactions.append((self.sent, self.offsets))


class Unit(PartitionUnit):
    """A unit whose sending goes to the fake; live from the start."""

    def __init__(self, job: CounterJob, rows_max: int | None = None, fenced: dict[str, int] | None = None) -> None:
        self.sought: list[tuple[str, int]] = []
        super().__init__(
            Conf(SETTINGS, job.inputs, rows_max=rows_max, metrics=WorkerMetrics()),
            3,
            job,
            lambda tp, offset: self.sought.append((tp.topic, offset)),
        )
        start = {"left": 0, "right": 0}
        job.begin(3, start)
        self.fed, self.expected, self.committed, self.fenced = dict(start), dict(start), dict(start), fenced
        self.live = True

    def made(self, outputs: Any) -> list[tuple[str, Any]]:
        return [(topic, list(flat(items))) for topic, items in outputs]

    def changelog(self, at: int) -> list[tuple[bytes, bytes]]:
        """Changelog rows of a transaction."""
        return [
            row for topic, rows in self.producer.transactions[at][0] if topic == self.conf.changelog for row in rows
        ]


@pytest.fixture(autouse=True)
def _no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_module, "AIOKafkaProducer", Producer)


def events(topic: str, start: int, amounts: list[int], customer: int = 7) -> Block:
    """A block of events of one customer."""
    raw = batch(start, [a.to_bytes(8, "big", signed=True) for a in amounts], key=customer.to_bytes(8, "big"))
    return Block(TP(topic, 3), start, start + len(amounts), [raw], len(raw))


def test_the_product_settings_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app is built from Settings as from what the tests use: one agent per input, one table, no web server."""
    monkeypatch.setattr(recovery, "_prefixed", lambda _kafka, prefix, plain: prefix + plain)
    app = build_app(Settings(group="fits", topic_prefix="p.", bootstrap_servers="one:9092,two:9092"), CounterJob)
    assert {topic for agent in app.agents.values() for topic in agent.channel.topics} == {"p.left", "p.right"}
    assert list(app.tables) == ["standing"]
    assert not app.conf.web_enabled
    assert app.units.unit_conf.changelog == "p.fits-standing-changelog"
    assert app.units.changelog_topic.get_topic_name() == app.units.unit_conf.changelog
    assert app.units.names == {"p.left": "left", "p.right": "right"}


async def test_the_first_transaction_brings_a_fence() -> None:
    """No offset is ever committed without a fence; C, F and the rows are in one transaction."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [500, 600]))
    await unit.step()
    ((sent, offsets),) = unit.producer.transactions
    assert offsets == {"g-left": 2, "g-right": 0}
    rows = dict(unit.changelog(0))
    assert Fence.decode(rows[FENCE]) == Fence(1, {"left": 2, "right": 0}, b"meta\nof 0")
    assert rows[COMMIT] == b'{"left": 2, "right": 0}'
    assert b"r" + (7).to_bytes(8, "big") in rows
    assert ("g-tiers", [((7).to_bytes(8, "big"), b"left/3/1 0>1")]) in sent


async def test_a_registry_that_is_down_holds_up_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block whose schema is not to be had waits, whichever of several it is; then every event counts once."""
    monkeypatch.setattr(unit_module, "REGISTRY_WAIT_S", 0.0)

    class Waiting(CounterJob):
        refused = 3

        def feed(self, block: Block, stop: int | None = None) -> None:
            if block.tp.topic == "right" and self.refused:
                self.refused -= 1
                said.append(unit.waiting)
                raise RegistryError("no answer")
            super().feed(block, stop)

    said: list[str] = []
    job = Waiting()
    unit = Unit(job)
    unit.put(events("left", 0, [500]))
    unit.put(events("right", 0, [600]))
    await unit.step()
    assert job.refused == 0
    assert said == ["", *["partition 3 waits for the schema registry: no answer"] * 2]
    assert unit.waiting == ""
    plain = Unit(CounterJob())
    plain.put(events("left", 0, [500]))
    plain.put(events("right", 0, [600]))
    await plain.step()
    assert unit.producer.transactions == plain.producer.transactions


async def test_a_recovery_waits_for_the_registry_too() -> None:
    """A block of the replay is fed until its schema is there; who reads beside the workers is told at once."""

    class Waiting(CounterJob):
        refused = 3

        def feed(self, block: Block, stop: int | None = None) -> None:
            if self.refused:
                self.refused -= 1
                raise RegistryError("no answer")

    waited: list[str] = []

    async def hold(problem: RegistryError) -> None:
        waited.append(str(problem))

    job = Waiting()
    await recovery._feed(job, events("left", 0, [500]), 1, hold)
    assert (job.refused, waited) == (0, ["no answer"] * 3)
    with pytest.raises(RegistryError):
        await recovery._feed(Waiting(), events("left", 0, [500]), 1, None)


async def test_rows_wait_for_the_flush_but_order_sensitive_ones_do_not() -> None:
    """Between flushes a transaction carries outputs, order-sensitive rows and its positions only."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    unit.put(events("left", 1, [5000]))
    await unit.step()
    assert [key for key, _ in unit.changelog(1)] == [b"t" + (7).to_bytes(8, "big"), COMMIT]


@pytest.mark.parametrize("large", [False, True])
async def test_a_small_transaction_leaves_the_groups_offsets_to_the_flush(
    large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say nothing that the changelog's record of positions doesn't; a large transaction takes them along."""
    monkeypatch.setattr(unit_module, "OFFSETS_BYTES", 1 if large else 1 << 20)
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    unit.put(events("left", 1, [5000]))
    await unit.step()
    assert unit.producer.transactions[1][1] == ({"g-left": 2, "g-right": 0} if large else {})
    assert dict(unit.changelog(1))[COMMIT] == b'{"left": 2, "right": 0}'
    assert unit.unwritten()
    unit.flush_at = 0.0
    await unit.step()
    assert unit.producer.transactions[2][1] == {"g-left": 2, "g-right": 0}
    assert not unit.unwritten()


async def test_what_says_nothing_waits_for_the_flush() -> None:
    """A block without outputs makes no transaction of its own; the flush carries its offsets."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    unit.put(events("left", 1, [1]))
    await unit.step()
    assert len(unit.producer.transactions) == 1
    assert unit.unwritten()
    unit.flush_at = 0.0
    await unit.step()
    assert unit.producer.transactions[1][1] == {"g-left": 2, "g-right": 0}
    assert not unit.unwritten()


async def test_large_blocks_are_worked_on_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeding, working and collecting rows happen in a thread, and what comes of it is the same."""
    monkeypatch.setattr(unit_module, "THREAD_BYTES", 1)
    unit, threads = Unit(CounterJob()), set[int]()
    work = unit.job.work
    unit.job.work = lambda live: threads.add(threading.get_ident()) or work(live)
    unit.put(events("left", 0, [500, 600]))
    await unit.step()
    assert threads - {threading.get_ident()}
    ((sent, offsets),) = unit.producer.transactions
    assert offsets == {"g-left": 2, "g-right": 0}
    assert ("g-tiers", [((7).to_bytes(8, "big"), b"left/3/1 0>1")]) in sent
    assert Fence.decode(dict(unit.changelog(0))[FENCE]) == Fence(1, {"left": 2, "right": 0}, b"meta\nof 0")


async def test_a_flush_is_put_off_while_large_blocks_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that change again are written once; at the latest after some intervals they are written."""
    monkeypatch.setattr(unit_module, "THREAD_BYTES", 1)
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    due, late = unit.flush_at, unit.flush_late
    assert late == pytest.approx(due + (unit_module.FLUSH_LATE - 1) * 1000)
    monkeypatch.setattr(unit_module.time, "monotonic", lambda: due - 1)
    unit.put(events("left", 1, [1]))
    await unit.step()
    assert unit.flush_at == pytest.approx(due - 1 + unit_module.QUIET * 1000)
    monkeypatch.setattr(unit_module.time, "monotonic", lambda: late)
    unit.put(events("left", 2, [1]))
    await unit.step()
    assert len(unit.producer.transactions) == 2


@pytest.mark.parametrize("again", [(0, 3), (1, 3), (0, 5), (2, 5)])
async def test_an_overlap_counts_once(again: tuple[int, int]) -> None:
    """A range handed over twice, whole or in part, changes nothing."""
    unit = Unit(CounterJob())
    amounts = [100, 200, 300, 400, 500]
    unit.put(events("left", 0, amounts[:3]))
    start, stop = again
    unit.put(events("left", start, amounts[start:stop]))
    unit.put(events("left", 3, amounts[3:]))
    await unit.step()
    assert unit.job.sums[7].tolist() == [1500, 0]
    assert unit.producer.transactions[0][1]["g-left"] == 5


async def test_a_gap_is_fetched_again() -> None:
    """A block behind the expected offset is not fed; the unit asks for the missing range, once in a while."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    unit.put(events("left", 2, [1]))
    unit.put(events("left", 3, [1]))
    assert unit.sought == [("g-left", 1)]
    unit.put(events("left", 1, [1, 1, 1]))
    await unit.step()
    assert unit.fed["left"] == 4
    assert unit.seeks == {}


async def test_a_gap_that_stays_starts_the_partition_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeks back in vain end in a Rejoin."""
    monkeypatch.setattr(unit_module, "SEEK_S", 0.0)
    unit = Unit(CounterJob())
    for _ in range(unit_module.SEEKS_MAX + 1):
        unit.put(events("left", 5, [1]))
    assert isinstance(unit.failure, Rejoin)
    assert unit.sought == [("g-left", 0)] * unit_module.SEEKS_MAX


async def test_backpressure_is_per_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic whose bytes are queued or held by the job is fetched no further; the others are."""
    monkeypatch.setattr(unit_module, "HELD_BYTES_MAX", 300)
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1] * 20))
    assert (unit.busy("left"), unit.busy("right")) == (True, False)
    await unit.step()
    assert not unit.busy("left")
    unit.held["left"] = 400
    assert (unit.busy("left"), unit.busy("right")) == (True, False)


async def test_a_transaction_takes_what_arrived_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks beyond the limit stay in the FIFO for the next transaction."""
    monkeypatch.setattr(unit_module, "TRANSACTION_BYTES_MAX", 200)
    unit = Unit(CounterJob())
    for start in range(0, 6, 2):
        unit.put(events("left", start, [1, 1]))
    await unit.step()
    assert (unit.fed["left"], unit.expected["left"], len(unit.fifo)) == (2, 6, 2)
    assert unit.patience() == 0.0


async def test_a_pause_forgets_the_fifo_and_resume_fetches_it_again() -> None:
    """After a rebalance that kept the partition, what wasn't fed is asked for again."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    unit.put(events("left", 1, [1]))
    await unit.pause()
    assert unit.busy("left")
    unit.put(events("left", 2, [1]))
    unit.resume()
    assert unit.sought == [("g-left", 1), ("g-right", 0)]
    assert unit.expected == {"left": 1, "right": 0}


async def test_a_flush_of_an_idempotent_job_spreads_over_transactions() -> None:
    """The fence comes with the last part and says the positions at which the flush began."""
    unit = Unit(CounterJob(idempotent=True), rows_max=2, fenced={"left": 0, "right": 0})
    for i, customer in enumerate(range(5)):
        unit.put(events("left", i, [1], customer))
    await unit.step()
    unit.put(events("left", 5, [1], 9))
    await unit.step()
    await unit.step()
    rows = [[key for key, _ in unit.changelog(at)] for at in range(3)]
    assert rows[0][0] == b"@format-1"  # ahead of all rows, once
    assert [len(keys) for keys in rows] == [4, 3, 3]
    assert FENCE not in rows[0] + rows[1]
    assert Fence.decode(dict(unit.changelog(2))[FENCE]).offsets == {"left": 5, "right": 0}
    assert unit.producer.transactions[2][1]["g-left"] == 6
    assert unit.job.dirty_count() == 1


async def test_a_part_of_a_flush_is_as_many_rows_as_a_batch_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going by the bytes of the rows before; a second batch would wait for the first."""
    unit = Unit(CounterJob(idempotent=True), rows_max=8192)
    assert unit.part_rows() == 8192
    ends = np.array([300, 1000])
    row = Packed(np.zeros(1000, np.uint8), ends, np.zeros(1000, np.uint8), ends)
    monkeypatch.setattr(unit.job, "take_dirty", lambda _: ([row], False))
    unit.changelog_rows({}, True)
    assert 0 < unit.part_rows() * (1000 + FRAMING_BYTES_MAX) <= BATCH_BYTES_MAX
    unit.row_bytes = 10 * BATCH_BYTES_MAX
    assert unit.part_rows() == PART_ROWS_MIN


async def test_partitions_that_begin_together_flush_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second flush on."""
    monkeypatch.setattr(unit_module.time, "monotonic", lambda: 5000.0)
    due = []
    for partition in range(4):
        unit = Unit(CounterJob())
        unit.partition = partition
        unit.put(events("left", 0, [1]))
        await unit.step()
        due.append(unit.flush_at)
    assert due[0] == 6000.0
    assert min(np.diff(sorted(due))) > 100.0


async def test_a_job_that_is_not_idempotent_is_flushed_at_once() -> None:
    """rows_max has no effect on it: a fence behind its rows would count events twice."""
    unit = Unit(CounterJob(), rows_max=2, fenced={"left": 0, "right": 0})
    for i, customer in enumerate(range(5)):
        unit.put(events("left", i, [1], customer))
    await unit.step()
    assert FENCE in dict(unit.changelog(0))
    assert unit.job.dirty_count() == 0


async def test_held_events_are_not_committed() -> None:
    """What waits behind a mark is fed but not consumed: the committed position is the mark's."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1, 1]))
    mark = batch(2, [b"M" + (1).to_bytes(8, "big")])
    unit.put(Block(TP("left", 3), 2, 3, [mark], len(mark)))
    unit.put(events("left", 3, [1]))
    await unit.step()
    assert unit.producer.transactions[-1][1] == {"g-left": 2, "g-right": 0}
    unit.put(Block(TP("right", 3), 0, 1, [batch(0, [b"M" + (1).to_bytes(8, "big")])], len(mark)))
    await unit.step()
    assert dict(unit.changelog(-1))[COMMIT] == b'{"left": 4, "right": 1}'
    assert ("g-closes", [(b"1", b"2 0")]) in unit.producer.transactions[-1][0]


async def test_a_failure_in_the_job_ends_the_unit() -> None:
    """An exception of work leaves run(): nothing of that block is written."""
    unit = Unit(CounterJob())

    def work(live: bool) -> Outcome:
        raise ZeroDivisionError

    unit.job.work = work
    unit.put(events("left", 0, [1]))
    with pytest.raises(ZeroDivisionError):
        await unit.step()
    assert unit.producer.transactions == []


async def test_a_unit_that_finishes_is_not_resumed_by_a_rebalance() -> None:
    """Between the last flush and the end nothing else may begin a transaction of the same producer."""
    unit = Unit(CounterJob())
    unit.put(events("left", 0, [1]))
    await unit.step()
    await unit.finish()
    unit.resume()
    assert unit.paused
    assert unit.patience() is None


async def test_a_unit_whose_last_transaction_fails_begins_no_other() -> None:
    """What is open is left to the successor: the producer would refuse another transaction."""
    unit = Unit(CounterJob())
    for offset in (0, 1):
        unit.put(events("left", offset, [1]))
        await unit.step()
    before = len(unit.producer.transactions)
    assert unit.job.dirty_count()  # so a last flush has something to write
    unit.idle.clear()  # a step is under way
    finishing = asyncio.ensure_future(unit.finish())
    await asyncio.sleep(0)
    unit.dead = True  # it fails, as the table's guard notes
    unit.idle.set()
    await finishing
    assert len(unit.producer.transactions) == before


async def test_a_clean_stop_writes_all_of_a_flush_that_spreads() -> None:
    """So that the next recovery replays nothing: the fence comes with the last part."""
    unit = Unit(CounterJob(idempotent=True), rows_max=2, fenced={"left": 0, "right": 0})
    unit.flush_at = unit.flush_late = float("inf")
    for customer in range(5):
        unit.put(events("left", customer, [1], customer))
    await unit.step()
    assert unit.job.dirty_count()
    await unit.finish()
    assert not unit.unwritten()
    assert unit.fenced == unit.job.positions()
