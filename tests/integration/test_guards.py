"""Slips of an operator on a live system: refused, set aside by the workers where they come past the closer, and put right."""

import json
from datetime import date
from itertools import takewhile
from pathlib import Path

import pytest

from connectors.formats import files_out
from connectors.formats.events import Event
from connectors.loading.closer import Closer, history
from connectors.loading.closing_run import RunPlan
from connectors.simulate import simulate
from schemas.codec.records import encode
from streams.calendar import day_of
from tests.cli.calling import call
from tests.integration.live import Live
from tidegauge.demo.processes import environment

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
def live(make_live, tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A bank of some days, its worker running, everything closed and flushed."""
    live = make_live(partitions=2)
    live.start()
    load(live, tmp_path_factory.mktemp("guards"), START, LAST)
    live.wait_closed()
    return live


class Unguarded(Closer):
    """A closer that measures nothing; its runs are of a length that a test can wait for."""

    def plan(self, day: int, *, own: bool = False) -> RunPlan:
        return RunPlan(day, self.last, range(day - 5, day + 1), ())


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


def test_a_second_bank(live: Live) -> None:
    """A simulated bank into topics that hold one changes nothing without force."""
    ends = live.log_ends()
    assert "hold a bank already" in told(live, "simulate", "--into-kafka", "--customers", "3", "--months", "5", code=1)
    assert live.log_ends() == ends


def test_a_pack_that_would_come_again(live: Live, tmp_path: Path) -> None:
    """The version put into force before for a later day is named, needs force, and is taken back by `policy retract`."""
    from policies import load_pack

    body = load_pack("rolling-quarter-aum").body
    for version in (2, 3):
        text = body.replace("version: 1", f"version: {version}", 1)
        (tmp_path / f"v{version}.yaml").write_text(text, encoding="utf-8")
    told(live, "policy", "activate", str(tmp_path / "v2.yaml"), "--from", "2026-02-05")
    third = ("policy", "activate", str(tmp_path / "v3.yaml"), "--from", "2026-02-03")
    named = "on 2026-02-05 rolling-quarter-aum version 2 takes over"
    assert named in told(live, *third, code=1)
    assert "is taken back" in told(live, "policy", "retract", "rolling-quarter-aum", "2")
    assert "takes over" not in told(live, *third)
    assert letters(live) == 0
