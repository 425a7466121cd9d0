"""The projector may end between any two of its transactions, and blocks may be split anywhere: rows are those of a slow twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.codec.records import encode
from schemas.partitioner import partition_of
from services.readmodel import projector as module
from services.readmodel.projector import OtherLogError, OvertakenError, Projector, build_anew, keep_projecting
from services.readmodel.rows import PROJECTED
from services.readmodel.tables import READ_TABLES
from services.views.projections import TopicRecord
from tests.contracts.drawn import REGISTRY, entries
from tests.readmodel.fakes import KilledError, MemoryReadStore, filled, touched, twin
from tests.services.fakes import MemoryRejects, MemorySource
from tests.standing.partition import customer


def _profiles(number: int) -> list[tuple[bytes | None, bytes | None]]:
    """Profiles that lie right in one of two partitions, and deletions of them."""
    found: list[tuple[bytes | None, bytes | None]] = []
    for name in ("C1", "C2", "C3", "C4", "C5"):
        if partition_of(name.encode(), 2) == number:
            for branch in ("east", "west"):
                profile = {field: value for field, value in customer(name, branch=branch).items() if field != "topic"}
                found.append((name.encode(), encode("customers", profile)))
            found.append((name.encode(), None))
    return found


PROFILES_HELD = [_profiles(0), _profiles(1)]


@st.composite
def logs(draw: st.DrawFn) -> dict[str, list[TopicRecord]]:
    """Two partitions of some topics, with holes between offsets."""
    found: dict[str, list[TopicRecord]] = {}
    for topic in sorted(draw(st.sets(st.sampled_from(sorted(PROJECTED)), min_size=1, max_size=2))):
        for number in range(2):
            drawn = draw(entries(topic, 3))
            if topic == "customers" and draw(st.booleans()):  # as a worker takes them
                drawn = draw(st.lists(st.sampled_from(PROFILES_HELD[number]), max_size=3))
            found[f"{topic}:{number}"] = [
                TopicRecord(topic, number, 3 * offset, key, value) for offset, (key, value) in enumerate(drawn)
            ]
        # An id is of one customer, and so on one partition; which of two came first nobody could tell.
        assume(
            topic == "customers"
            or touched(found[f"{topic}:0"], REGISTRY).isdisjoint(touched(found[f"{topic}:1"], REGISTRY))
        )
    return found


def run(logs: dict[str, list[TopicRecord]], store: MemoryReadStore, batch: int) -> None:
    """Read to the end; what is killed is started again."""
    for _ in range(200):
        projector = Projector(MemorySource(logs, batch), store, REGISTRY, MemoryRejects())
        try:
            projector.settle()
            ends = {name: end for name, (_, end) in projector.source.ends().items()}
            while not projector.caught_up(ends):
                projector.step()
        except KilledError:
            continue
        return
    raise AssertionError("it never comes to an end")


@pytest.mark.slow
@settings(max_examples=60)
@given(
    logs(), st.integers(1, 4), st.integers(1, 5), st.lists(st.sampled_from(["", "", "before", "after"]), max_size=12)
)
def test_killed_anywhere(logs: dict[str, list[TopicRecord]], batch: int, most: int, fates: list[str]) -> None:
    """No row doubled, lost or of an older record; offsets are those of all that was read."""
    told: Iterator[str] = iter(fates)
    store = MemoryReadStore(lambda: next(told, ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RECORDS_MAX", most)
        run(logs, store, batch)
    assert filled(store.rows) == filled(twin(logs, REGISTRY))
    assert {name: at for name, at in store.positions.items() if at} == {
        name: end for name, (_, end) in MemorySource(logs).ends().items() if end
    }


@pytest.mark.slow
@settings(max_examples=20)
@given(logs(), st.integers(1, 3))
def test_two_at_once(logs: dict[str, list[TopicRecord]], batch: int) -> None:
    """Who has been overtaken writes nothing, and goes on where the other stands."""
    store = MemoryReadStore()
    both = [Projector(MemorySource(logs, batch), store, REGISTRY, MemoryRejects()) for _ in range(2)]
    ends = {name: end for name, (_, end) in both[0].source.ends().items()}
    for one in both:
        one.settle()
    turns = 0
    while not any(one.caught_up(ends) for one in both):
        one = both[turns % 3 % 2]
        turns += 1
        try:
            one.step()
        except OvertakenError:
            one.settle()
    assert filled(store.rows) == filled(twin(logs, REGISTRY))


def test_a_profile_that_lies_wrong_moves_nobody() -> None:
    """A customer's branch, by which his rows are seen, is that of the profile that the workers take."""
    home = partition_of(b"C1", 2)

    def sent(offset: int, partition: int, key: bytes, branch: str) -> TopicRecord:
        profile = {name: value for name, value in customer("C1", branch=branch).items() if name != "topic"}
        return TopicRecord("customers", partition, offset, key, encode("customers", profile))

    logs = {
        f"customers:{home}": [
            sent(0, home, b"C1", "east"),
            sent(1, home, b"C2", "west"),
            sent(2, home, b"C1", "we\nst"),
        ],
        f"customers:{1 - home}": [sent(0, 1 - home, b"C1", "west"), TopicRecord("customers", 1 - home, 1, b"C1", None)],
    }
    store = MemoryReadStore()
    run(logs, store, 3)
    assert [row[1] for row in store.rows["customers"].values()] == ["hq/east"]


def test_another_log_is_built_anew() -> None:
    """Rows of another log are not gone on with."""
    store = MemoryReadStore()
    source = MemorySource({"standings:0": []})
    Projector(source, store, REGISTRY, MemoryRejects()).settle()
    source.cluster_id = "another"
    with pytest.raises(OtherLogError):
        Projector(source, store, REGISTRY, MemoryRejects()).settle()


def test_it_goes_on_after_a_failure() -> None:
    """What it outlives it waits for; rows of another log are built anew, and then it goes on."""
    told: Iterator[str] = iter(["before", "after"])
    store = MemoryReadStore(lambda: next(told, ""))
    store.world = {"cluster": "another"}
    log = [TopicRecord("standings", 0, 0, b"C1", None)]
    projector, waits = Projector(MemorySource({"standings:0": log}), store, REGISTRY, MemoryRejects()), list[float]()

    def stopped(wait_s: float) -> bool:
        waits.append(wait_s)
        return store.behind == {"standings": 0}

    keep_projecting(projector, lambda: setattr(store, "world", None), stopped, (KilledError,))
    assert [one for one in waits if one] == [0.1, 0.2] and store.positions == {"standings:0": 2}


def test_a_rebuild_takes_over_when_it_is_far_enough() -> None:
    """It reads on as long as those that are read have got further."""

    class Overtaken(MemoryReadStore):
        asked = 0

        def take_over(self) -> bool:
            self.asked += 1
            return self.asked == 3

    store = Overtaken()
    log = [TopicRecord("standings", 0, 0, b"C1", None)]
    source = MemorySource({"standings:0": log})
    said: list[Any] = []
    records = build_anew(Projector(source, store, REGISTRY, MemoryRejects()), store, lambda *done: said.append(done))
    assert records == 1 and store.asked == 3 and said[-1] == (2, 2)


def test_every_table_has_its_customer() -> None:
    """By whom row-level security knows whose row it is."""
    assert all("customer_id" in table.columns and table.key in table.columns for table in READ_TABLES.values())
