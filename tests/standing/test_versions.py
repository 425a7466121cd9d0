"""Versions never go back: those of an epoch are above all of the one before; and every client reads them exactly."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.job import FatalError
from agents.standing.job import StandingJob
from agents.standing.publish.versions import EPOCHS, LOW_BITS, epoch_of, versioned
from deploy.errors import StackError
from tests.conftest import IN_CI
from tests.standing.partition import Partition, Topics, conf, customer
from tests.twins.events import day, posting
from tidegauge.world.epochs import VERSIONED_TOPICS, next_epoch

LOWS = st.integers(0, (1 << LOW_BITS) - 1)
LAST = versioned(EPOCHS - 1, (1 << LOW_BITS) - 1)


def published(epoch: int, closes: list[int]) -> dict[str, list[tuple[str, int]]]:
    """(whose, version) of every versioned record that a worker of an epoch publishes, topic by topic."""
    held = [posting(1, 90_000_000, "2024-01-01", customer=one, account=f"A{one}") for one in ("C1", "C2")]
    log = Topics().tell([*(customer(one) for one in ("C1", "C2", "poor")), *held, *closes])
    mine = Partition(log, StandingJob(replace(conf(), epoch=epoch))).run()
    whose = {"queue-priority": "customer_ref"}
    return {
        topic: [(record[whose.get(topic, "customer_id")], record[field]) for record in mine.of(topic)]
        for topic, field in VERSIONED_TOPICS.items()
    }


def test_a_shorter_log_of_the_next_epoch_is_above_a_longer_one_of_the_last() -> None:
    """As after a rebuild, an adoption or a takeover: who keeps the highest version of each key keeps what is new."""
    closes = [day("2024-01-31"), day("2024-02-29"), day("2024-03-31")]
    long, short = published(331, closes), published(332, closes[:1])
    for topic in VERSIONED_TOPICS:
        assert long[topic] and short[topic], topic
        held = dict(long[topic])
        assert all(version > held[whose] for whose, version in short[topic]), topic
        assert {epoch_of(version) for _, version in short[topic]} == {332}, topic
        for whose in held:
            mine = [version for one, version in long[topic] if one == whose]
            assert mine == sorted(mine), topic


def test_records_from_before_there_were_epochs_are_below_all_of_now() -> None:
    """Epoch 0 is what was written then, and the golden logs have it."""
    before, now = published(0, [day("2024-03-31")]), published(1, [day("2024-01-31")])
    for topic in VERSIONED_TOPICS:
        assert max(version for _, version in before[topic]) < 1 << LOW_BITS <= min(version for _, version in now[topic])


@given(st.integers(0, EPOCHS - 1), LOWS, st.integers(0, EPOCHS - 1), LOWS)
def test_epochs_come_before_numbers(epoch: int, low: int, other: int, other_low: int) -> None:
    """Versions compare as (epoch, number) does, and no double loses a digit of them."""
    one, two = versioned(epoch, low), versioned(other, other_low)
    assert (one < two) == ((epoch, low) < (other, other_low))
    assert epoch_of(one) == epoch and int(float(one)) == one and one <= LAST < 1 << 53


@pytest.mark.parametrize("low", [1 << LOW_BITS, -1])
def test_a_number_without_room_stops_the_unit(low: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be a version of the next epoch; the worker ends, and says what to do."""
    job = StandingJob(replace(conf(), epoch=7))
    monkeypatch.setattr(job, "positions", lambda: {"transactions": low})
    with pytest.raises(FatalError, match="TIDEGAUGE_TOPIC_PREFIX"):
        job.work(live=True)


def test_epoch_rises_always_and_is_never_below_the_days() -> None:
    """So a log whose identity is lost goes on above what it had the day before; none is beyond what a version holds."""
    assert next_epoch(0, date(2026, 11, 28)) == 331
    assert next_epoch(331, date(2026, 11, 28)) == 332
    assert next_epoch(400, date(2026, 1, 1)) == 401
    assert next_epoch(EPOCHS - 2, date(2026, 1, 1)) == EPOCHS - 1
    for previous, today in ((EPOCHS - 1, date(2026, 1, 1)), (0, date(2099, 1, 1))):
        with pytest.raises(StackError, match="epoch"):
            next_epoch(previous, today)


def test_javascript_reads_every_version_exactly() -> None:
    """JSON's numbers are doubles there: the highest versions come back digit for digit, and their order stays."""
    if (node := shutil.which("node")) is None:
        pytest.fail("no Node.js: install it") if IN_CI else pytest.skip("no Node.js here")
    versions = [versioned(epoch, low) for epoch in (0, 331, EPOCHS - 1) for low in (0, 1, (1 << LOW_BITS) - 1)]
    script = """
        const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        if (!given.every((v, i) => Number.isSafeInteger(v) && (i === 0 || v > given[i - 1]))) process.exit(1);
        console.log(JSON.stringify(given.map(String)));
    """
    done = subprocess.run([node, "-e", script], input=json.dumps(versions), capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [str(version) for version in versions]
