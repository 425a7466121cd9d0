"""Packs put into force and taken back: a twin that keeps days alone, rows that give the same book, and a job."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import Rows
from agents.standing.decide.packs import Packs
from agents.standing.job import StandingJob
from policies import load_pack, parse_pack
from policies.lifecycle.state import day_number
from schemas.codec.records import encode
from tests.standing.partition import Partition, Topics, conf
from tests.twins.events import day, posting

BODY = load_pack("rolling-quarter-aum").body
OLDEST = replace(conf(), pack=parse_pack(BODY.replace("\nversion: 2\n", "\nversion: 1\n")))
FIRST = date(2026, 6, 1)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "retract", "close"]), st.integers(0, 20), st.integers(2, 6)), max_size=14
)


def record(version: int, since: date, *, retracted: bool = False) -> dict[str, Any]:
    """A record of `policies`."""
    head = f"version: {version}\neffective_from: {since}\n"
    lines = [line for line in BODY.splitlines() if not line.startswith(("version:", "effective_from:"))]
    place = next(i for i, line in enumerate(lines) if line.startswith("pack:")) + 1
    body = "\n".join([*lines[:place], head.rstrip(), *lines[place:], ""])
    return {
        "pack_id": "rolling-quarter-aum", "version": version, "effective_from": day_number(since),
        "body": "" if retracted else body, "customer_class": "personal", "retracted": retracted,
    }  # fmt: skip


def fresh() -> Packs:
    """A book that begins with the pack's first version."""
    return Packs((OLDEST.pack,), None, 2, OLDEST.follow)


def version_on(packs: Packs, at: int) -> int:
    """The version that decides on a day."""
    found = packs.book.in_force("personal", at)
    assert found is not None
    return found.version


@pytest.mark.slow
@settings(max_examples=25)
@given(STEPS)
def test_a_book_against_its_twin(steps: list[tuple[str, int, int]]) -> None:
    """What decides on each day is the latest that was put and not taken back; the rows alone give the same book."""
    packs, closed, known, rows = fresh(), day_number(FIRST), dict[int, int](), dict[bytes, bytes | None]()
    for what, days, version in steps:
        since = FIRST + timedelta(days=days)
        if what == "close":
            closed = max(closed, day_number(since))
            continue
        taken = packs.take(record(version, since, retracted=what == "retract"), closed)
        if what == "put":
            good = version > max(known, default=1) and day_number(since) > closed
            known |= {version: day_number(since)} if good else {}
        else:
            good = version in known and known[version] > closed + 1
            known = {name: begins for name, begins in known.items() if not (good and name == version)}
        assert isinstance(taken, list) != good
        rows |= dict(packs.take_rows())
    again = fresh()
    again.load(Rows.of(rows.items()))
    for at in range(closed, closed + 25):
        begun = [(begins, version) for version, begins in known.items() if begins <= at]
        want = max(begun)[1] if begun else 1
        assert version_on(packs, at) == version_on(again, at) == want
    more = record(7, FIRST + timedelta(days=30))
    assert packs.take(more, closed) == again.take(more, closed)
    assert packs.take_rows() == again.take_rows()  # under the same key: none is written over


def test_what_takes_over_later() -> None:
    """The numbers of a version that was put into force for a later day come back; one for an earlier day does not."""
    packs = fresh()
    packs.take(record(2, FIRST + timedelta(days=4)), 0)
    third = packs.take(record(3, FIRST + timedelta(days=2)), 0)
    assert not isinstance(third, list)
    assert [one.version for one in packs.book.taking_over(third)] == [2]
    fourth = packs.take(record(4, FIRST + timedelta(days=5)), 0)
    assert not isinstance(fourth, list)
    assert packs.book.taking_over(fourth) == []


def test_a_worker_takes_back_in_time_and_no_later() -> None:
    """Before the close of the day before its first: it never decides. From then on it stays, and a letter says so."""
    for closes, letters in ((1, 0), (2, 1)):
        log = Topics().tell([posting(1, 100, day("2026-06-01"))])
        log.append("policies", b"v2", encode("policies", record(2, FIRST + timedelta(days=2))))
        for n in range(closes):
            log.tell([day("2026-06-01") + n])
        log.append("policies", b"v2/retract", encode("policies", record(2, FIRST, retracted=True)))
        for n in range(closes, 4):
            log.tell([day("2026-06-01") + n])
        partition = Partition(log, StandingJob(OLDEST)).run()
        assert partition.job.decider.packs.running["personal"].version == (1 if not letters else 2)
        assert len(partition.of("dead-letters")) == letters
