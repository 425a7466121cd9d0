"""The bench measures what it says: its data, sums, timers and jobs are right; how fast anything is, no test asks."""

import sys
import xml.etree.ElementTree as ET
from contextlib import nullcontext

import fastavro
import numpy as np
import pytest

import bench.__main__
from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from bench.measure import report
from bench.measure.secured import jobs_table
from bench.measure.timers import Stages
from bench.measure.timing import Timing
from bench.parts import j1
from bench.parts.profile import run, summary
from bench.world import timetable
from bench.world.data import CLOSED, World, digits
from bench.world.frames import batch
from bench.world.sums import half_even, standings_by_numpy
from schemas.codec.murmur import partitions_of
from schemas.codec.records import decode_one
from schemas.partitioner import partition_of

SMALL = World(customers=40, events=600)


def test_partitions_are_kafkas() -> None:
    """The bulk hash gives the partition that Kafka's own default gives."""
    keys = digits("C", np.arange(200), 9)
    assert partitions_of(keys, 4).tolist() == [partition_of(key.tobytes(), 4) for key in keys]


def test_postings_are_the_products_own_contract_and_journals_have_no_holes() -> None:
    """Every event decodes, the same seed gives the same bytes, and an account's journal runs from 1 without a hole."""
    journals: dict[str, list[int]] = {}
    late = outside = 0
    chunks = [*SMALL.prelude(50), *SMALL.postings(100)]
    again = [*World(customers=40, events=600).prelude(50), *World(customers=40, events=600).postings(100)]
    for chunk, twin in zip(chunks, again, strict=True):
        assert chunk.values.tobytes() == twin.values.tobytes()
        for i, (start, end) in enumerate(zip([0, *chunk.ends[:-1].tolist()], chunk.ends.tolist(), strict=True)):
            event = decode_one(chunk.values[start:end].tobytes())
            assert event["customer_id"].encode() == chunk.keys[i].tobytes()
            journals.setdefault(event["account_id"], []).append(event["journal_seq"])
            late += event["value_date"] != (event["booked_at"] + 8 * 3_600_000) // 86_400_000
            outside += event["counterparty_bank"] is not None
    assert len(journals) == 80
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in journals.values())
    assert 0 < late < 60
    assert 0 < outside < 90


def test_framed_batches_are_read_back() -> None:
    """A batch framed in bulk is a v2 batch with a right checksum."""
    from agents.engine.transport import records, take_block

    chunk = next(SMALL.prelude(50))
    rows = np.flatnonzero(chunk.partition == 2)
    block = take_block(TP("transactions", 2), batch(7, rows, chunk.keys, chunk.values, chunk.ends), 7)
    assert block is not None
    found = list(records(block))
    assert [offset for offset, _, _ in found] == list(range(7, 7 + len(rows)))
    assert [key for _, key, _ in found] == [chunk.keys[row].tobytes() for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("closes", [False, True])
def test_profiled_job_gives_the_sums_of_numpy(closes: bool) -> None:
    """What the profile feeds is the real job: every customer's figures equal plain sums, with and without daily closes."""
    from agents.offline.standings import all_standings

    stages = Stages()
    bench, seconds = run(SMALL, stages, closes)
    as_of = CLOSED + 29
    want = standings_by_numpy(SMALL, [*SMALL.prelude(), *SMALL.postings()], as_of)
    got = all_standings(bench.jobs, as_of)
    assert [row[1] for row in got] == want["aum"].tolist()
    assert [row[15] for row in got] == want["quarter_avg"].tolist()
    assert [row[17] for row in got] == want["trailing_avg_7"].tolist()
    assert stages.seconds["fold"] > 0
    assert "events/s on one core" in summary(SMALL, bench, stages, seconds)


def test_half_even() -> None:
    """Halves go to the even neighbour, below zero too."""
    assert half_even(np.array([1, 3, 5, -1, -3, 7]), 2).tolist() == [0, 2, 2, 0, -2, 4]


def test_stages_do_not_count_each_other() -> None:
    """A stage's time is without the time of the stages it calls, and restore puts everything back."""

    class Thing:
        def outer(self) -> int:
            return self.inner() + 1

        def inner(self) -> int:
            return sum(range(100_000))

    thing, stages = Thing(), Stages()
    stages.wrap(thing, "outer", "outer")
    stages.wrap(thing, "inner", "inner")
    thing.outer()
    assert stages.calls == {"outer": 1, "inner": 1}
    assert stages.seconds["outer"] < stages.seconds["inner"]
    stages.restore()
    thing.outer()
    assert stages.calls["outer"] == 1


def plain_j1(events: list[dict]) -> tuple[dict[str, list[int]], list[str]]:
    """J1 as its words have it, an event at a time."""
    sums: dict[str, list[int]] = {}
    tiers: dict[str, int] = {}
    changes = []
    for event in events:
        key, day = event["customer_id"], event["value_date"].toordinal() - 719_163
        amount = event["amount"] if event["kind"] in ("DEPOSIT", "TRANSFER_IN") else -event["amount"]
        row = sums.setdefault(key, [0] * j1.SUMS)
        row[0] += amount
        row[1] += amount * day
        row[2 + (day - 20500) // 30 % 13] += amount * (30 - (day - 20500) % 30)
        tier = sum(row[1] // 1000 >= at for at in (0, 10**9, 10**10, 10**11))
        if tier != tiers.get(key, 0):
            changes.append(f"{key},{tiers.get(key, 0)},{tier}")
            tiers[key] = tier
    return sums, changes


@pytest.mark.slow
def test_j1_is_the_peers_job_and_survives_its_changelog() -> None:
    """J1 by columns equals J1 by records; a job loaded from the rows and replayed goes on as if nothing had happened."""
    import io

    (chunk,) = j1.events(3000, customers=50, partitions=1)
    schema = fastavro.parse_schema(j1.SCHEMA)
    values, at, events = chunk.values.tobytes(), 0, []
    for end in chunk.ends.tolist():
        events.append(fastavro.schemaless_reader(io.BytesIO(values[at + 5 : end]), schema))
        at = end
    sums, changes = plain_j1(events)
    raw = batch(0, np.arange(chunk.n), chunk.keys, chunk.values, chunk.ends)

    def block(start: int, end: int) -> Block:
        return Block(TP(j1.TOPIC, 0), start, end, [raw], len(raw))

    job, out, rows = j1.J1Job(), [], []
    job.begin(0, {j1.TOPIC: 0})
    for start in range(0, 3000, 1000):
        job.feed(block(start, start + 1000))
        outcome = job.work(live=True)
        out += [value.decode() for _, items in outcome.outputs for _, value in flat(items)]
        rows += list(flat(outcome.rows))
        if start == 0:
            rows += list(flat(job.take_dirty(None)[0]))
    assert out == changes
    again = j1.J1Job()
    again.load(rows)
    again.begin(0, {j1.TOPIC: 1000})
    again.feed(block(1000, 3000))
    again.work(live=False)
    for found in (job, again):
        ids = [
            key.decode()
            for key, _ in flat(
                [j1.Packed(*found.keys(np.arange(len(sums)), b""), *found.keys(np.arange(len(sums)), b""))]
            )
        ]
        assert {key: found.sums[i].tolist() for i, key in enumerate(ids)} == sums
    order = [changes_.split(",")[0] for changes_ in changes]
    assert {key: int(again.tier[again_slot(again, key)]) for key in order} == {
        c.split(",")[0]: int(c[-1]) for c in changes
    }


def again_slot(job: j1.J1Job, key: str) -> int:
    """The slot of a customer."""
    from streams.accounts.store import find

    raw = np.frombuffer(key.encode(), np.uint8)
    return int(find(job.index, raw, 0, len(raw)))


@pytest.mark.slow
def test_report_has_ratios_first_and_a_plot(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page puts the ratios before the rates and names the machine; the plot is an SVG."""
    monkeypatch.setattr(report, "DOCS", tmp_path)
    ours = report.Engine("J1", "ours", timings=[Timing(100, seconds, 0.1, cpu_s=0.001) for seconds in (1.0, 0.5, 0.2)])
    other = report.Engine("J1", "another", "all of it", ours, [Timing(100, 10.0, 5.0, 0.02, 0.03, rss_max=7_000_000)])
    page = report.Report("make bench", [ours, other])
    page.tables.append(report.Table("Late:", ("events/s", "p50"), [("100", "5")]))
    report.write({"j1": page}, ("full", "j1"))
    report.write({"full": report.Report("later", figures=[("events", "7")])}, ("full", "j1"))
    text = (tmp_path / report.PAGE).read_text()
    assert text.index("| events | 7 |") < text.index("Late:"), "a part measured alone leaves the others as they were"
    assert "| ours | – | – | 200 | 100 200 500 | 1,000 |" in text
    assert "| another | 20.0 × | 20.0 × | 10 | 10 | 20 | 200.00 | 300.00 | 7 | all of it |" in text
    assert "Late:\n\n| events/s | p50 |\n| --- | --- |\n| 100 | 5 |" in text
    assert "cores of" in text
    ET.parse(tmp_path / report.PLOT)


def test_a_timetable_sends_every_posting_once_and_not_before_it_is_due() -> None:
    """By partition, in order, whatever the moments at which somebody looks."""
    world = World(50, 400)
    (chunk,) = world.postings()
    keys, values = chunk.keys.tobytes(), chunk.values.tobytes()
    ends, width = [0, *chunk.ends.tolist()], chunk.keys.shape[1]
    for partition, lane in enumerate(timetable.lanes(chunk, 100, 300, rate=1000)):
        rows = [i for i in range(100, 400) if chunk.partition[i] == partition]
        got = []
        for now in (-0.001, 0.0, 0.05, 0.05, 0.2, 1.0):
            packed = lane.take(now)
            got += list(packed.pairs()) if packed else []
            assert len(got) == sum((i - 100) / 1000 <= now for i in rows)
        assert got == [(keys[i * width : (i + 1) * width], values[ends[i] : ends[i + 1]]) for i in rows]


def test_a_part_that_fails_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an hour of measuring is not lost to the part behind it, and the exit code says that something is missing."""

    def broken(*_: object) -> None:
        raise RuntimeError("no jars")

    def whole(_arena: object, _sizes: object, found: report.Report) -> None:
        found.figures.append(("events", "7"))

    monkeypatch.setattr(bench.__main__, "PARTS", {"j1": broken, "full": whole})
    monkeypatch.setattr(bench.__main__, "Arena", nullcontext)
    monkeypatch.setattr(sys, "argv", ["bench", "--quick"])
    with pytest.raises(SystemExit, match="failed: j1"):
        bench.__main__.main()
    said = capsys.readouterr()
    assert "| events | 7 |" in said.out
    assert "no jars" in said.err


def test_the_broker_stands_apart() -> None:
    """Of a secure stack: a worker whose CPU an event is nearly the same, and events a second that the broker took."""
    engines = {}
    for kind, seconds, cpu_s, broker_s in (("plain", 1.0, 0.9, 0.5), ("secure", 2.0, 1.0, 1.5)):
        engines[kind] = report.Engine("J2", kind)
        engines[kind].note_run(Timing(1_000_000, seconds, cpu_s=cpu_s, broker_s=broker_s))
    table = jobs_table(engines)
    assert [row[3:] for row in table.rows] == [
        ("100%", "0.90", "100%", "0.50", ""),
        ("50%", "1.00", "90%", "1.50", "no; by the worker's CPU: yes"),
    ]
