"""A contract for every private hook of Faust and aiokafka: when an upgrade breaks one, its test says so."""

import asyncio
import inspect
from types import SimpleNamespace

import aiokafka
import aiokafka.consumer.fetcher as fetcher
import aiokafka.producer.sender as sender
import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.record.util import calc_crc32c
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver

from agents.engine import fetches, hooks
from agents.engine.job import TP, Block
from agents.engine.transport import CorruptBatch
from schemas.codec.status import Status
from tests.engine.test_transport import batch
from tests.schemas import helpers

TOPIC = TopicPartition("pre.left", 0)


@pytest.fixture(autouse=True)
def _installed() -> None:
    fetches.install({"pre.left": "left"})


def arguments(function: object) -> list[str]:
    """Names of the arguments."""
    return list(inspect.signature(function).parameters)


def test_versions_are_the_ones_the_hooks_were_written_for() -> None:
    """The pins of pyproject hold."""
    assert aiokafka.__version__.startswith("0.14.")
    assert faust.__version__.startswith("0.15.")


def test_fetcher_takes_its_classes_from_module_globals() -> None:
    """_proc_fetch_request builds MemoryRecords and PartitionRecords by their module names, the latter by position."""
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "MemoryRecords(part_data[-1])" in source
    assert {"MemoryRecords", "PartitionRecords"} <= set(fetcher.Fetcher._proc_fetch_request.__code__.co_names)
    assert arguments(fetches._PartitionRecords.__init__)[1:] == [
        "tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer", "value_deserializer", "check_crcs",
        "isolation_level",
    ]  # fmt: skip


def partition_records(tp: TopicPartition, raw: bytes, start: int = 0) -> fetcher.PartitionRecords:
    """As the fetcher builds them."""
    return fetcher.PartitionRecords(
        tp, fetcher.MemoryRecords(raw), None, start, None, None, True, fetcher.READ_COMMITTED
    )


def test_unpack_records_yields_one_block_and_moves_the_position() -> None:
    """The parent iterates _unpack_records; FetchResult checks next_fetch_offset against the position."""
    items = partition_records(TOPIC, batch(4, [b"a", b"b"]) + batch(6, [b"c"]), 4)
    (block,) = list(items)
    assert (block.tp, block.start, block.end) == (TP("left", 0), 4, 7)
    assert items.next_fetch_offset == 7


def test_records_one_by_one_are_within_the_bounds() -> None:
    """A topic read so gives aiokafka's records, in place of what is beyond the bounds a Lost; the position goes along."""
    place = TopicPartition("pre.alerts", 0)
    fetches.install({}, one_by_one=[place.topic])
    raw = helpers.batch([b"a", bytes(1 << 20), b"b"], 4, codec=4)
    items = partition_records(place, raw, 4)
    first, large, last = list(items)
    theirs = list(fetches._PartitionRecords(place, fetches._MemoryRecords(raw), None, 4, None, None, True, 1))
    for mine, other in ((first, theirs[0]), (last, theirs[2])):
        same = ("topic", "partition", "offset", "key", "value")
        assert [getattr(mine, name) for name in same] == [getattr(other, name) for name in same]
        assert mine.timestamp == theirs[2].timestamp  # of the batch
    assert (large.offset, large.value.status, large.value.original.size) == (5, Status.TOO_LARGE, 1 << 20)
    assert items.next_fetch_offset == 7
    spoilt = bytearray(raw[:-9])
    spoilt[8:12] = (len(spoilt) - 12).to_bytes(4, "big")
    spoilt[17:21] = calc_crc32c(spoilt[21:]).to_bytes(4, "big")
    [gone] = list(partition_records(place, bytes(spoilt), 4))
    assert (gone.offset, gone.value.offset, gone.value.last) == (6, 4, 6)


def test_other_topics_keep_the_record_path() -> None:
    """A topic that isn't registered gives aiokafka's own records."""
    (record,) = list(partition_records(TopicPartition("other", 0), batch(4, [b"a"]), 4))
    assert (record.offset, record.value) == (4, b"a")


def test_a_corrupt_fetch_is_fetched_again() -> None:
    """After the exception the iterator is spent and the position unmoved, so getall asks for the same range again."""
    raw = bytearray(batch(4, [b"a"]))
    raw[65] ^= 1
    items = partition_records(TOPIC, bytes(raw), 4)
    state = SimpleNamespace(paused=False, position=4, consumed_to=lambda offset: None)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    result = fetcher.FetchResult(TOPIC, assignment=assignment, partition_records=items, backoff=0)
    with pytest.raises(CorruptBatch):
        result.getall()
    assert result.getall() == []
    assert items.next_fetch_offset == 4
    assert not result.has_more()


def test_memory_records_have_what_the_fetcher_uses() -> None:
    """The wrapper answers has_next and size_in_bytes like what it wraps."""
    for raw in (b"", batch(0, [b"a"]), batch(0, [b"a"])[:-1]):
        ours, theirs = fetches.RawRecords(raw), fetches._MemoryRecords(raw)
        assert (ours.has_next(), ours.size_in_bytes()) == (theirs.has_next(), theirs.size_in_bytes())


def test_sender_reads_its_backoff_from_the_module() -> None:
    """BACKOFF_OVERRIDE is read at each use, not copied at import."""
    assert sender.BACKOFF_OVERRIDE == 0.002
    assert "BACKOFF_OVERRIDE" in inspect.getsource(sender.AddPartitionsToTxnHandler)


async def test_worker_consumer_settings() -> None:
    """_create_worker_consumer hard-codes wait and isolation; both are plain attributes until start()."""
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=1500" in source
    consumer = AIOKafkaConsumer(fetch_max_wait_ms=1500)
    consumer._closed = True  # never started
    assert (consumer._fetch_max_wait_ms, consumer._isolation_level) == (1500, "read_uncommitted")
    start = inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in start
    assert "isolation_level=self._isolation_level" in start
    assert "self._fetcher = Fetcher(" in start


def test_prefetch_backoff_is_read_at_each_fetch() -> None:
    """_prefetch_backoff can be set after start."""
    assert "backoff=self._prefetch_backoff" in inspect.getsource(fetcher.Fetcher._proc_fetch_request)


async def test_waits_are_longer_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """_get_actions_per_node takes wait and size of each fetch from the fetcher, so they can follow what comes."""
    source = inspect.getsource(fetcher.Fetcher._get_actions_per_node)
    assert "self._fetch_max_wait_ms,\n                self._fetch_min_bytes," in source
    assert "self._get_actions_per_node(" in inspect.getsource(fetcher.Fetcher._fetch_requests_routine)
    now = 100.0
    monkeypatch.setattr(fetches, "time", SimpleNamespace(monotonic=lambda: now))
    state = SubscriptionState()
    state.assign_from_user([TOPIC])
    assignment = state.subscription.assignment
    place = assignment.state_value(TOPIC)
    fetching = SimpleNamespace(_records={}, _get_actions_per_node=lambda assignment: "actions")
    fetches.wait_longer_when_quiet(SimpleNamespace(_fetcher=fetching))

    def wait(after_s: float) -> tuple[int, int]:
        nonlocal now
        now += after_s
        assert fetching._get_actions_per_node(assignment) == "actions"
        return fetching._fetch_max_wait_ms, fetching._fetch_min_bytes

    short, long = (fetches.FETCH_WAIT_MS, fetches.FETCH_BYTES_MIN), (fetches.QUIET_WAIT_MS, 1)
    assert wait(0) == short
    assert wait(1) == long
    place.reset_to(17)  # a record was taken, or a seek
    assert wait(1) == short
    assert wait(1) == long
    fetching._records[TOPIC] = "not taken yet"
    assert (wait(1), wait(1)) == (short, short)
    del fetching._records[TOPIC]
    assert wait(0.1) == short


def test_thread_is_made_by_the_consumer() -> None:
    """_new_consumer_thread is where the thread class comes from."""
    assert "self._thread = self._new_consumer_thread()" in inspect.getsource(
        faust_consumer.ThreadDelegateConsumer.__init__
    )
    assert arguments(driver.Consumer._new_consumer_thread) == ["self"]
    assert "self._consumer = self._create_consumer(" in inspect.getsource(driver.AIOKafkaConsumerThread.on_start)


def test_rejoin_and_seek_exist() -> None:
    """The coordinator can be told to rejoin, the consumer to seek, both from the thread's loop."""
    assert arguments(GroupCoordinator.request_rejoin) == ["self"]
    assert "self._coordinator = GroupCoordinator(" in inspect.getsource(AIOKafkaConsumer.start)
    assert arguments(AIOKafkaConsumer.seek) == ["self", "partition", "offset"]
    assert "thread_loop" in inspect.getsource(faust_consumer.ConsumerThread.on_partitions_revoked)


async def test_fetched_to_reads_position_and_watermarks() -> None:
    """Position, last stable offset, high watermark and time of the last answer, of an assigned partition; None for others."""
    state = SubscriptionState()
    state.assign_from_user([TOPIC])
    assert isinstance(state.subscription.assignment, Assignment)
    value = state.subscription.assignment.state_value(TOPIC)
    assert isinstance(value, TopicPartitionState)
    value.reset_to(17)
    value.lso, value.highwater, value.timestamp = 20, 30, 1700000000000
    thread = SimpleNamespace(_consumer=SimpleNamespace(_subscription=state))
    assert hooks.ConsumerThread.fetched_to(thread, TOPIC) == (17, 20, 30, 1700000000000)
    assert hooks.ConsumerThread.fetched_to(thread, TopicPartition("other", 0)) == (None, None, None, None)
    assert "self._subscription = SubscriptionState(" in inspect.getsource(AIOKafkaConsumer.__init__)
    answered = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "tp_state.highwater = highwater" in answered
    assert "tp_state.timestamp = now_ms" in answered


def test_read_offsets_are_ignored_for_blocks_only() -> None:
    """_drain_messages reads _read_offset by [], drops what lies behind, and adds gaps; None switches both off."""
    source = inspect.getsource(faust_consumer.Consumer._drain_messages)
    assert "get_read_offset = self._read_offset.__getitem__" in source
    assert "if r_offset is None or offset >= r_offset" in source
    assert "if gap > 1 and r_offset" in source
    offsets = hooks.ReadOffsets()
    offsets[TOPIC] = offsets[TopicPartition("other", 0)] = 5
    assert offsets[TOPIC] is None
    assert offsets[TopicPartition("other", 0)] == 5
    assert offsets[TopicPartition("other", 1)] is None


class FakeConsumer(hooks.Consumer):
    """The overrides without Faust's start-up."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)


async def test_getmany_leaves_busy_partitions_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """_getmany gets the active partitions; an empty set is never passed on, since the fetcher would take all."""
    asked = []

    async def getmany(self: object, active: set[TopicPartition], timeout: float) -> dict[object, object]:
        asked.append(active)
        return {}

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    other = TopicPartition("other", 0)
    consumer = FakeConsumer(transport=SimpleNamespace(busy=lambda tp: tp == TOPIC))
    assert await consumer._getmany({TOPIC}, 1.0) == {}
    await consumer._getmany({TOPIC, other}, 1.0)
    assert asked == [{other}]
    assert "if partitions and tp not in partitions" in inspect.getsource(fetcher.Fetcher.fetched_records)


async def test_getmany_reports_corruption_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CorruptBatch from the thread reaches the app's callback and not Faust, which would crash."""
    seen = []

    async def getmany(self: object, active: object, timeout: float) -> None:
        raise CorruptBatch(TP("left", 0), 4, "wrong checksum")

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    monkeypatch.setattr(hooks, "CORRUPT_PAUSE_S", 0)
    consumer = FakeConsumer(transport=SimpleNamespace(busy=lambda tp: False, on_corrupt=seen.append))
    assert await consumer._getmany({TOPIC}, 1.0) == {}
    assert [problem.offset for problem in seen] == [4]


def test_message_of_a_block_carries_the_generation() -> None:
    """Streams skip events of another generation, so the message must have it; its tp must be aiokafka's."""
    consumer = FakeConsumer(app=SimpleNamespace(consumer_generation_id=12))
    block = Block(TP("left", 0), 4, 9, [], 0)
    message = consumer._to_message(TOPIC, block)
    assert (message.value, message.offset, message.generation_id, message.tp) == (block, 8, 12, TOPIC)
    assert arguments(driver.Consumer._to_message) == ["self", "tp", "record"]
    assert "generation_id" in inspect.getsource(faust.Stream)


async def test_force_commit_forgets_acks() -> None:
    """commit() ends in force_commit; _acked and _acked_index are what ack() fills."""
    assert "await self.force_commit(" in inspect.getsource(faust_consumer.Consumer.commit)
    source = inspect.getsource(faust_consumer.Consumer.ack)
    assert "self._acked[tp]" in source
    assert "self._acked_index[tp]" in source
    consumer = FakeConsumer(_acked={TOPIC: [1]}, _acked_index={TOPIC: {1}})
    assert await consumer.force_commit()
    assert (consumer._acked, consumer._acked_index) == ({TOPIC: []}, {TOPIC: set()})


async def test_changelogs_look_empty_to_recovery() -> None:
    """highwaters() answers 0 for changelogs, of which Recovery takes one away."""
    consumer = FakeConsumer(_is_changelog_tp=lambda tp: True)
    assert await consumer.highwaters(TOPIC) == {TOPIC: 0}
    assert asyncio.iscoroutinefunction(faust_consumer.ThreadDelegateConsumer.highwaters)
    from faust.tables.recovery import Recovery

    assert "await consumer.highwaters(*tps)" in inspect.getsource(Recovery._build_highwaters)


def test_event_path_checks_are_silent() -> None:
    """verify_event_path(now, tp) is what Faust's livelock detector calls."""
    assert arguments(driver.Consumer.verify_event_path) == ["self", "now", "tp"]
    assert "self.verify_event_path(now, tp)" in inspect.getsource(faust_consumer.Consumer.verify_all_partitions_active)


def test_table_hooks() -> None:
    """Faust calls a table's on_rebalance with the generation, before its Recovery, and on_stop at the end."""
    from faust.tables.manager import TableManager

    source = inspect.getsource(TableManager.on_rebalance)
    assert source.index("table.on_rebalance") < source.index("self.recovery.on_rebalance")
    assert arguments(faust.Table.on_rebalance) == ["self", "assigned", "revoked", "newly_assigned", "generation_id"]
    assert "await table.stop()" in inspect.getsource(TableManager.on_stop)


def test_revocation_signal_is_awaited() -> None:
    """on_partitions_revoked is sent, and awaited, before the group is joined again."""
    source = inspect.getsource(faust.App._on_partitions_revoked)
    assert "self.on_partitions_revoked.send" in source


def test_transport_is_taken_from_the_app() -> None:
    """App.transport can be set, and makes its consumers from Transport.Consumer."""
    assert isinstance(faust.App.transport, property)
    assert faust.App.transport.fset is not None
    assert hooks.Transport.Consumer is hooks.Consumer
