"""The Berka bank through import, Kafka and workers: every figure of every customer against SQL, faults and all."""

import csv
import datetime as dt
import random

import pytest

from agents.offline.standings import STANDING_COLUMNS
from connectors.formats.sources import read_source
from connectors.loading.arrival import days
from tests.integration.expect import CURRENCY, Berka, by_id, low_pack, published
from tests.integration.live import doubled

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]
DAYS = (dt.date(1994, 2, 28), dt.date(1994, 3, 15))  # a month end, and the middle of the open month
CUSTOMERS = 1_197  # whose first event is on or before the month end
SEED, DUPLICATES_PERCENT, KILLS = 11, 10, 10
CLOSE_RECORDS = 64  # that a close adds to the inputs of four partitions, transaction markers included


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """A pack whose minimums Berka customers cross."""
    return low_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def stream(berka_dir):
    """The bank's events and day ends, undisturbed."""
    return list(days(read_source("berka", berka_dir, "Asia/Shanghai"), "berka"))


@pytest.fixture(scope="module")
def right(berka_dir, pack, stream):
    """The answers by SQL."""
    return Berka(berka_dir, pack, stream[-1].day)


@pytest.fixture(scope="module")
def killed(make_live, berka_dir, pack, stream):
    """One import, its days shuffled and with 10 % duplicates, past two workers of which one is killed ten times."""
    rng, live = random.Random(SEED), make_live(base_currency=CURRENCY, pack=str(pack))
    live.start()
    live.start()
    importing = live.begin(*imported(berka_dir))
    closes = stream[-1].day - stream[0].day + 1
    live.kill_on_the_way(rng, KILLS, len(stream) + closes * CLOSE_RECORDS)
    live.wait(lambda: importing.poll() is not None, "the import")
    assert importing.returncode == 0, live.said()
    live.wait_closed()
    live.stop()
    assert live.kills == KILLS
    return live


def imported(berka_dir):
    """The words of the command that sends the bank."""
    mischief = "--shuffle", str(SEED), "--duplicate", str(DUPLICATES_PERCENT)
    return ("import", "--format", "berka", str(berka_dir), *mischief)


def rows_of(path):
    """A CSV of standings as the oracle has it."""
    with path.open(newline="") as stream:
        head, *rows = csv.reader(stream)
    assert tuple(head) == STANDING_COLUMNS
    return [(row[0], *map(int, row[1:-1]), row[-1]) for row in rows]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_standings_replay_and_sql_agree(killed, right, berka_dir, tmp_path, day):
    """Live system, replay of the undisturbed files and SQL give the same file, at a month end and in mid-month."""
    ours, replayed = tmp_path / "standings.csv", tmp_path / "replay.csv"
    killed.command("standings", "--as-of", str(day), "--out", str(ours))
    killed.command("replay", "--format", "berka", str(berka_dir), "--as-of", str(day), "--out", str(replayed))
    assert ours.read_bytes() == replayed.read_bytes()
    rows = rows_of(ours)
    assert rows == right.standings(day)
    assert len(rows) == CUSTOMERS if day == DAYS[0] else len(rows) > CUSTOMERS


def test_replay_of_the_first_year(killed, right, berka_dir, tmp_path):
    """On 31 December 1993, 164 customers have a quarter average of 50,000 CZK, 77 reach it in each of three months."""
    day, out = dt.date(1993, 12, 31), tmp_path / "replay.csv"
    killed.command("replay", "--format", "berka", str(berka_dir), "--as-of", str(day), "--out", str(out))
    rows = rows_of(out)
    quarter, month = STANDING_COLUMNS.index("quarter_avg"), STANDING_COLUMNS.index("month_avg_0")
    assert sum(row[quarter] >= 5_000_000 for row in rows) == 164
    assert sum(min(row[month : month + 3]) >= 5_000_000 for row in rows) == 77
    assert rows == right.standings(day)


def test_import_twice_changes_nothing(killed, berka_dir):
    """A second import of the same files writes no record."""
    before = killed.log_ends()
    said = killed.command(*imported(berka_dir))
    assert "were there from an earlier run" in said
    assert killed.log_ends() == before


def test_outputs_after_kills(killed, stream, right):
    """Tier changes and restatements are those of an undisturbed job and of SQL, each told once."""
    changes = killed.outputs("tier-changes")
    assert not doubled(changes)
    expected, _ = published(killed.settings, stream, stream[-1].day)
    assert by_id(changes) == by_id(expected["tier-changes"])
    assert {(r["customer_id"], r["from_tier"], r["to_tier"], r["effective_date"]) for r in changes} == right.changes
    assert by_id(killed.outputs("restatements")) == by_id(expected["restatements"])
    assert not killed.outputs("dead-letters")
