"""The peers' comparison: its expected sums, what engines print, who runs on how much, and when a run is over."""

import io
import time
import zlib

import fastavro
import pytest

from bench.measure import j1_run, report, stamp
from bench.measure.timing import Timing, measure
from bench.parts import j1
from bench.peers import environment
from bench.peers.peer import Peer
from bench.peers.task import Task
from bench.world.expected import Expected, Sums
from bench.world.sizes import QUICK, Sizes
from tests.bench.test_pieces import plain_j1


@pytest.mark.slow
def test_expected_sums_are_those_of_the_plain_job() -> None:
    """numpy over sorted customers gives what J1 gives an event at a time, over more than one chunk."""
    chunks = list(j1.events(150_000, customers=700))
    expected, decoded = Expected(700), []
    schema = fastavro.parse_schema(j1.SCHEMA)
    for chunk in chunks:
        expected.add(chunk)
        values, at = chunk.values.tobytes(), 0
        for end in chunk.ends.tolist():
            decoded.append(fastavro.schemaless_reader(io.BytesIO(values[at + 5 : end]), schema))
            at = end
    sums, changes = plain_j1(decoded)
    rows = sums.values()
    want = Sums(
        sum(row[0] for row in rows), sum(row[1] for row in rows), sum(sum(row[2:]) for row in rows), len(changes),
        sum(zlib.crc32(change.encode()) for change in changes),
    )  # fmt: skip
    assert len(chunks) == 2
    assert expected.sums() == want


def test_what_engines_print_is_read_back() -> None:
    """The stamps of a log, among other lines; sums over an engine's processes; a missing one is an error."""
    log = f"noise\n{stamp.line()}\nFIRST 1.0 1.0\nLAST 12.5\n{stamp.sums(-5, 7, 1)}\n"
    found = stamp.read(log)
    assert found is not None
    assert abs(found.at_s - time.time()) < 60
    assert found.cpu_s > 0
    assert stamp.read_last(log) == 12.5
    assert stamp.read_sums([log, "SUM 1 2 3\n"]) == (-4, 9, 4)
    assert stamp.read("\x1b[?25hFIRST 3.0 1.0\n") == stamp.Stamp(3.0, 1.0)  # where a terminal is spoken to
    assert stamp.read("FIRST 3.0 1.2") is None  # half a line
    assert stamp.read_last("") is None
    with pytest.raises(ValueError, match="has not told"):
        stamp.read_sums([log, "died"])


def test_a_worker_is_stamped_at_its_first_accepted_block(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused block is no beginning; after the first accepted one nothing stands between any more."""

    class Unit:
        fifo: list[str] = []  # noqa: RUF012

    calls: list[str] = []

    def put(unit: Unit, block: str) -> None:
        calls.append(block)
        unit.fifo += [block] if block != "refused" else []

    first = stamp.stamped(put, lambda: calls.append("undone"))
    first(Unit(), "refused")
    assert capsys.readouterr().out == ""
    first(Unit(), "taken")
    assert stamp.read(capsys.readouterr().out) is not None
    assert calls == ["refused", "taken", "undone"]


class Fake:
    """An engine of two processes; only one has a stamp, the other saw no event."""

    def __init__(self, log: str, *, dead: bool = False) -> None:
        self.processes, self.dead, self.text = ["a", "b"], dead, log
        self.rss_max, self.stamps = 3, {}

    def said(self, process: str) -> str:
        return self.text

    def cpu(self) -> list[float]:
        return [5.0, 2.0]

    def ended(self) -> bool:
        return self.dead

    def look(self, *, now: bool = False) -> None:
        pass

    def read(self) -> None:
        if found := stamp.read(self.text):
            self.stamps[0] = found

    def log(self) -> str:
        return self.text


def test_a_measurement_runs_from_the_stamp_to_the_last_commit() -> None:
    """Not from when somebody outside saw it begin; the CPU likewise, and that of the start-up beside it."""
    began = time.time() - 10
    commits = iter([0, 400, 900, 1000])
    timing = measure(Fake(f"FIRST {began} 1.5\nLAST {began + 8}\n"), lambda: next(commits), 1000)  # type: ignore[arg-type]
    assert timing.events == 1000
    assert 10 <= timing.seconds < 12
    assert timing.cpu_s == 5.5
    assert timing.cpu_all_s == 7.0
    assert timing.worked_rate == pytest.approx(125)
    assert [done for _, done in timing.history] == [0, 400, 900, 1000]
    with pytest.raises(RuntimeError, match="no more"):
        measure(Fake("", dead=True), lambda: 5, 1000)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no stamp"):
        measure(Fake(""), lambda: 1000, 1000)  # type: ignore[arg-type]
    assert Timing().rate == Timing().cpu_us == Timing().cpu_all_us == Timing().worked_rate == 0


def test_the_task_comes_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer reads the task that it was started with."""
    task = Task("a:1", "topic", "output", "group", 4, 1000, "folder")
    for name, value in task.environment().items():
        monkeypatch.setenv(name, value)
    assert Task.given() == task
    assert task.schema() == j1.SCHEMA


def test_quix_is_pinned_and_no_dependency_of_the_product() -> None:
    """Its lock has what is asked for; the product's own lock knows nothing of it."""
    assert environment.WANTED in environment.LOCK.read_text()
    assert "quixstreams" not in (report.DOCS.parent / "requirements.lock").read_text()
    assert any(name.startswith("quixstreams") for name in report.peers())


def test_a_peer_that_cannot_be_had_is_left_out_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its jars, say; ours needs nothing."""

    def fail() -> list[str]:
        raise RuntimeError("no\n way")

    monkeypatch.setitem(j1_run.PEERS, "absent", Peer("Absent", "", fail))
    page = report.Report("")
    assert not j1_run.ready("absent", page)
    assert page.tables[0].rows == [("Absent", "no way")]
    assert j1_run.ready(j1_run.OURS, page)


def test_every_engine_has_a_turn() -> None:
    """Ours first for each number of events; slow peers not in a quick run, nor those that were not asked for."""
    full = j1_run.plan(Sizes())
    assert full[0] == (4_000_000, j1_run.OURS)
    assert {name for _, name in full} == {j1_run.OURS, *j1_run.PEERS}
    assert len(full) == len(set(full))
    assert not [name for _, name in j1_run.plan(QUICK) if name in j1_run.PEERS and j1_run.PEERS[name].slow]
    asked = j1_run.plan(Sizes(engines=("faust-tutorial",), j1_events=(7,)))
    assert asked == [(7, j1_run.OURS), (30_000, "faust-tutorial")]
    engines: dict = {}
    for events, name in full:
        engines[events, name] = j1_run.described(Sizes(), events, name, engines)
    assert engines[30_000, "faust-tutorial"].ours is engines[4_000_000, j1_run.OURS]
