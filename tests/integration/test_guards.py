"""Slips of an operator on a live system: refused, set aside by the workers where they come past the closer, and put right."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import takewhile
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from connectors.formats import files_out
from connectors.formats.events import Event
from connectors.loading import broadcast
from connectors.loading.closer import Closer, history
from connectors.loading.closing_run import RunPlan
from connectors.loading.publisher import EventPublisher
from connectors.simulate import simulate
from deploy import admin
from policies import load_pack
from schemas.codec.records import encode
from services.assembly import redis_client
from streams.calendar import day_of
from tests.cli.invocation import call
from tests.docs.test_cli import ALL, options
from tests.integration.live import Live
from tidegauge.checks.flow import members
from tidegauge.cli.operation.stack import at_work
from tidegauge.demo.processes import environment
from tidegauge.knowledge import known_by_workers

pytestmark = [pytest.mark.integration, pytest.mark.slow]

START = day_of(date(2026, 1, 1))
LAST = START + 11  # the last day that is loaded before the slips


def bank(first: int, last: int) -> list[Event]:
    """Events of a small simulated bank that arrive on days [first, last]."""
    stream = simulate(7, customers=20, months=1, start=START)
    return [
        item
        for item in takewhile(lambda item: item.day <= last, stream)
        if isinstance(item, Event) and item.day >= first
    ]


def told(live: Live, *words: str, code: int = 0) -> str:
    """What a command says that ends with an exit code."""
    done = call(*words, env=environment(live.settings))
    assert done.code == code, (done, live.said())
    return done.out + done.err


def load(live: Live, folder: Path, first: int, last: int) -> None:
    """A file of those days, imported with its closes."""
    (folder / str(first)).mkdir()
    files_out.write_files(bank(first, last), folder / str(first), "ndjson")
    told(live, "import", "--format", "ndjson", str(folder / str(first)))


@pytest.fixture(scope="module")
def live(make_live, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A bank of some days, its worker running, everything closed and flushed."""
    live = make_live(partitions=2, redis_url=redis_server)
    live.start()
    load(live, tmp_path_factory.mktemp("guards"), START, LAST)
    live.wait_closed()
    return live


class Unguarded(Closer):
    """A closer that measures nothing; its runs are of a length that a test can wait for."""

    def plan(self, day: int, *, own: bool = False) -> RunPlan:
        return RunPlan(day, self.last, range(day - 5, day + 1), ())


@contextmanager
def paused(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A process that stands still."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def letters(live: Live) -> int:
    """Dead letters so far."""
    return len(live.outputs("dead-letters"))


def test_a_close_a_year_ahead(live: Live, tmp_path: Path) -> None:
    """Refused by the closer, set aside by workers where it was not; the bank goes on, and doctor names it until it is told."""
    before, ahead = history(live.settings), LAST + 400
    assert before.last == LAST
    assert "one run closes up to 366 days" in told(live, "close", "2027-02-16", "--force", "--reason", "x", code=1)
    assert "business days past the last close, 2026-01-12" in told(live, "close", "2026-12-31", code=1)
    shown = json.loads(told(live, "close", "2026-06-30", "--dry-run", "--json"))
    assert (shown["newest_booked"], shown["days"][0], len(shown["unusual"])) == ("2026-01-12", "2026-01-13", 3)
    assert history(live.settings) == before
    closer = Unguarded(live.settings, encode)
    closer.close(ahead)
    closer.shut()
    load(live, tmp_path, LAST + 1, LAST + 3)
    live.wait_closed()
    found = history(live.settings)
    assert (found.last, found.aside) == (LAST + 3, [ahead])
    assert {record["as_of"] for record in live.outputs("standings")} >= {LAST + 3}
    assert letters(live) == 0
    doctor = json.loads(told(live, "doctor", "--json", code=1))
    [said] = [check for check in doctor if check["name"] == "closes"]
    assert (said["good"], "2027-02-16" in said["found"], "--retract" in said["hint"]) == (False, True, True)
    told(live, "close", "2027-02-16", "--retract", "--force", "--reason", "a slip of the year")
    assert history(live.settings).aside == []
    assert "is closed already" in told(live, "close", "2026-01-13")


def test_completeness_marks(live: Live) -> None:
    """A source that nobody knows, blanks around its name, and a day far ahead are refused; what is right is sent."""
    assert "no event came from a source nosuch" in told(live, "complete", "nosuch", "2026-01-12", code=1)
    assert "with blanks around it" in told(live, "complete", " core", "2026-01-12", code=2)
    assert "past the newest booked day" in told(live, "complete", "core", "2028-01-03", code=1)
    assert "core is complete" in told(live, "complete", "core", "2026-01-12", "--lang", "en")


def test_a_mark_years_ahead(live: Live) -> None:
    """Sent past the command, it is set aside; doctor names it until it is taken back."""
    far = LAST + 700
    broadcast.broadcast(live.settings, encode, broadcast.FACTS, [{**broadcast.complete("core", far)}])
    live.wait(lambda: known_by_workers(live.settings).aside == {"core": far}, "a fence with the mark")
    [said] = [check for check in json.loads(told(live, "doctor", "--json", code=1)) if check["name"] == "marks"]
    assert (said["good"], "core up to 2027-12-13" in said["found"]) == (False, True)
    assert "set aside are: core 2027-12-13" in told(live, "complete", "core", "2027-12-12", "--retract", code=2)
    told(live, "complete", "core", "2027-12-13", "--retract")
    live.wait(lambda: known_by_workers(live.settings).aside == {}, "a fence without it")


def test_a_second_bank(live: Live) -> None:
    """A simulated bank into topics that hold one changes nothing without force."""
    ends = live.log_ends()
    assert "hold a bank already" in told(live, "simulate", "--into-kafka", "--customers", "3", "--months", "5", code=1)
    assert live.log_ends() == ends


def test_a_pack_that_would_come_again(live: Live, tmp_path: Path) -> None:
    """The version put into force before for a later day is named, needs force, and is taken back by `policy retract`."""
    body = load_pack("rolling-quarter-aum").body
    for version in (3, 4):
        text = body.replace("version: 2", f"version: {version}", 1)
        (tmp_path / f"v{version}.yaml").write_text(text, encoding="utf-8")
    told(live, "policy", "activate", str(tmp_path / "v3.yaml"), "--from", "2026-02-05")
    third = ("policy", "activate", str(tmp_path / "v4.yaml"), "--from", "2026-02-03")
    named = "on 2026-02-05 rolling-quarter-aum version 3 takes over"
    assert named in told(live, *third, code=1)
    assert "is taken back" in told(live, "policy", "retract", "rolling-quarter-aum", "3")
    assert "takes over" not in told(live, *third)
    assert letters(live) == 0


# A call of each guarded command that has something to do; workers are stopped.
# One needs a shadow: test_takeover.py tries its dry run; others a database: tests/services/test_directory.py, test_desk.py.
# One needs a notice that was told: tests/cli/test_notices.py.
ELSEWHERE = {
    "world takeover",
    "queue restore",
    "staff import",
    "database migrate",
    "readmodel rebuild",
    "notices resend",
}
DRY = {
    "down": (),
    "import": ("--format", "ndjson", "{files}/bank"),
    "simulate": ("--into-kafka", "--customers", "3", "--months", "1"),
    "close": ("2026-01-17",),
    "complete": ("core", "2026-01-16"),
    "holidays": ("{files}/holidays.csv",),
    "rebuild": (),
    "dead-letters redrive": ("--topic", "transactions"),
    "policy activate": ("{files}/v4.yaml", "--from", "2026-03-01"),
    "policy retract": ("rolling-quarter-aum", "4"),
    "world adopt": ("--reason", "a test"),
    "world rebuild": ("--reason", "a test"),
}


def everywhere(live: Live) -> dict[tuple[str, int], int]:
    """High watermarks of the system's topics, state and letters among them; decisions are on record whatever comes of them."""
    client = admin.client(live.settings.kafka)
    found = client.list_topics(timeout=20).topics
    places = [
        TopicPartition(name, p)
        for name, topic in found.items()
        if live.settings.group in name and name != live.settings.topic("audit-log")
        for p in topic.partitions
    ]
    asked = client.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), request_timeout=20)
    return {(place.topic, place.partition): answer.result(40).offset for place, answer in asked.items()}


def test_a_dry_run_writes_nothing(live: Live, tmp_path: Path) -> None:
    """Each guarded command says with --json what it would do; no topic grows, the view stays, no closer is disturbed."""
    assert set(DRY) | ELSEWHERE == {name for name, command in ALL.items() if "--dry-run" in options(command)}
    files_out.write_files(bank(LAST + 4, LAST + 6), tmp_path / "bank", "ndjson")
    with (tmp_path / "bank" / "transactions.ndjson").open("a", encoding="utf-8") as bad:
        bad.write("no event\n")
    text = load_pack("rolling-quarter-aum").body.replace("version: 2", "version: 5", 1)
    (tmp_path / "v4.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "holidays.csv").write_text("date,bank\n2026-02-16,closed\n", encoding="utf-8")
    live.stop()
    live.command("rebuild")
    closer, before = Closer(live.settings, encode), everywhere(live)
    with redis_client(live.settings) as client:
        rows = client.dbsize()
        for name, words in DRY.items():
            given = [word.replace("{files}", str(tmp_path)) for word in words]
            shown = json.loads(told_json(live, *name.split(), *given))
            assert shown.get("dry_run") is True or shown["done"] is False, name
            assert everywhere(live) == before, name
        assert client.dbsize() == rows
    assert closer.close(LAST + 4) is not None
    closer.shut()


def told_json(live: Live, *words: str) -> str:
    """The document of a dry run; a bad line is exit code 2, as without."""
    done = call(*words, "--dry-run", "--json", env=environment(live.settings))
    assert done.code == (2 if words[0] == "import" else 0), done
    return done.out


def test_down_under_a_worker_at_work(live: Live) -> None:
    """What is half done is named: an open transaction, records that a running worker has not counted; else nothing is."""
    assert at_work(live.settings) == []
    closer = Closer(live.settings, encode)
    closer._producer.begin_transaction()
    closer._marks(LAST + 9)
    assert "a transaction is open on" in at_work(live.settings)[0]
    closer._producer.abort_transaction(20)
    closer.shut()
    publisher = EventPublisher(live.settings, encode)
    for event in bank(LAST + 5, LAST + 6):
        publisher.send(event)
    publisher.flush()
    publisher.close()
    assert at_work(live.settings) == []  # nobody is at work
    live.start()
    live.wait(lambda: members(live.settings) == 1, "the worker's place in its group")
    with paused(live.workers[0]):
        [said] = at_work(live.settings)
    assert "1 worker is at work" in said
    live.wait(lambda: at_work(live.settings) == [], "everything counted")
