"""On a real PostgreSQL: once, rebuilt beside who reads, and by row-level security to nobody but the units above."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from agents.engine.reader import LogReader
from deploy.connections.clients import librdkafka
from deploy.connections.database import connected
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from schemas.partitioner import partition_of
from schemas.topics import MARK, MARK_KEY
from services.access.decision import Actor, DataKind, Role
from services.desk.branch import BranchQueries
from services.readmodel.projector import OtherLogError, OvertakenError
from services.readmodel.reader import ReadModel, units_of
from services.readmodel.rows import PROJECTED, changes_of
from services.readmodel.setup import projecting, rebuild_beside
from services.readmodel.store import NextReadStore, PostgresReadStore
from services.readmodel.tables import READ_TABLES
from services.views.projections import TopicRecord
from tests.contracts.drawn import REGISTRY, entries
from tests.readmodel.bank import AS_OF, RECORDS, WORLD, changes, profile, standing, tier_change
from tests.readmodel.fakes import filled, put

pytestmark = pytest.mark.integration


def rows_of(database: str) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Every row, as the owner sees it."""
    found = {}
    with connected(database) as connection:
        for table in READ_TABLES.values():
            rows = connection.execute(f"SELECT {', '.join(table.columns)} FROM readmodel.{table.name}").fetchall()
            place = list(table.columns).index(table.key)
            found[table.name] = {row[place]: row for row in rows}
    return filled(found)


def test_rows_and_offsets_together(store: PostgresReadStore, database: str) -> None:
    """What is put is there; the last of several changes of a key counts; who has been overtaken puts nothing."""
    store.apply(changes(), {"standings:0": (None, 3)})
    more = changes(
        [("standings", standing("C1", 1)), ("standings", standing("C1", 2)), ("customers", profile("C9"))], 20
    )
    gone = more[-1]._replace(row=None)
    store.apply([*more, gone], {"standings:0": (3, 7), "customers:0": (None, 4)})
    with pytest.raises(OvertakenError):
        store.apply(changes([("customers", profile("C8"))]), {"standings:0": (3, 9)})
    expected: dict[str, dict[str, tuple[Any, ...]]] = {}
    put(expected, [*changes(), *more, gone])
    found = rows_of(database)
    assert found.keys() == expected.keys()
    for name, table in READ_TABLES.items():
        if name in expected and not any(kind.startswith("jsonb") for kind in table.columns.values()):
            assert found[name] == expected[name], name
    assert store.settle(WORLD) == {"standings:0": 7, "customers:0": 4}
    with pytest.raises(OtherLogError):
        store.settle({"cluster": "c2"})


def test_only_whose_unit_it_is(store: PostgresReadStore, read_model: ReadModel, database: str) -> None:
    """Each table, each unit; without units nothing; after a request that failed in the middle the next one starts clean."""
    store.apply(changes(), {"standings:0": (None, 3)})
    seen = {
        "hq/B01": {"C1", "C3"},
        "hq/B01/S1": {"C3"},
        "hq/B02": {"C2"},
        "hq": {"C1", "C2", "C3"},
        "hq/B0": set(),
        "": set(),
    }
    for unit, customers in seen.items():
        with read_model.reading([unit] if unit else []) as cursor:
            for name in READ_TABLES:
                cursor.execute(f"SELECT customer_id FROM readmodel.{name}")
                found = {row["customer_id"] for row in cursor.fetchall()}
                assert found <= customers, (unit, name)
                assert name != "customers" or found == customers, unit
    for _ in range(4):  # more than there are connections
        with suppress(ZeroDivisionError), read_model.reading(["hq"]):
            raise ZeroDivisionError
        with suppress(psycopg.errors.DivisionByZero), read_model.reading(["hq"]) as cursor:
            cursor.execute("SELECT 1 / 0")
    for _ in range(4):
        with read_model.pool.connection() as connection:
            assert connection.execute("SELECT current_setting('tidegauge.units', true)").fetchone() in ((None,), ("",))
        with read_model.reading(["hq/B02"]) as cursor:
            cursor.execute("SELECT customer_id FROM readmodel.customers")
            assert cursor.fetchall() == [{"customer_id": "C2"}]
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                cursor.execute("DELETE FROM readmodel.customers")
    with connected(database) as connection:
        owned = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relowner = 'tidegauge_reader'::regrole"
        ).fetchone()
        forced = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'readmodel'::regnamespace AND relrowsecurity"
            " AND relforcerowsecurity"
        ).fetchone()
    assert owned == (0,) and forced == (len(READ_TABLES),)


def test_a_branch_as_a_whole(store: PostgresReadStore, read_model: ReadModel) -> None:
    """Counts, sums, changes of tier and open cases are those of the units that ask, and of nobody else's customers."""
    more = [("tier-changes", tier_change("C2", "gold", "diamond", "2026-04-01"))]
    store.apply(changes([*RECORDS, *more]), {"standings:0": (None, 3)})
    queries = BranchQueries(read_model)
    own, other, whole = (queries.branch([unit]) for unit in ("hq/B01", "hq/B02", "hq"))
    assert own is not None and other is not None and whole is not None and queries.branch([]) is None
    assert {row["tier"]: (row["customers"], row["aum_minor"]) for row in own.tiers} == {
        "gold": (1, 60_000_000), "ordinary": (1, None),
    }  # fmt: skip
    assert (own.migrations, [row["to_tier"] for row in other.migrations]) == ([], ["diamond"])
    for part, customers in ((own, {"C1"}), (other, {"C2"}), (whole, {"C1", "C2"})):
        assert {row["customer_id"] for row in part.movements} == customers
        assert sum(row["open"] for row in part.cases) == len(customers)
    assert [(row["customers"], row["whole_minor"]) for row in whole.largest] == [(2, 260_000_000)]


def test_units_are_those_of_the_matrix() -> None:
    """His own and those whom he stands in for, where the role may read the kind."""
    stands_in = ((Role.BRANCH_MANAGER, ("hq", "B02")), (Role.TELLER, ("hq", "B03")))
    assert units_of(Actor("P1", Role.RM, ("hq", "B01"), stands_in), DataKind.BALANCES) == ["hq/B01", "hq/B02"]
    assert units_of(Actor("P2", Role.TELLER, ("hq",)), DataKind.BALANCES) == []


def test_built_anew_beside_who_reads(store: PostgresReadStore, read_model: ReadModel, database: str) -> None:
    """Who reads has the old rows until the new ones take their place, and it does so only when it is as far."""
    store.apply(changes(), {"standings:0": (None, 3)})
    anew = NextReadStore(lambda: connected(database))
    assert anew.settle(WORLD) == {}
    with read_model.reading(["hq"]) as cursor:
        cursor.execute("SELECT count(*) AS n FROM readmodel.customers")
        assert cursor.fetchall() == [{"n": 3}]
        anew.apply(changes(RECORDS[:1]), {"standings:0": (None, 2)})
        assert not anew.take_over()
        anew.apply([], {"standings:0": (2, 3)})
    assert anew.take_over()
    with pytest.raises(OvertakenError):
        store.apply([], {"rm-alerts:0": (5, 6)})
    assert store.settle(WORLD) == {"standings:0": 3}
    with read_model.reading(["hq"]) as cursor:
        cursor.execute("SELECT count(*) AS n FROM readmodel.customers")
        assert cursor.fetchall() == [{"n": 1}]
    anew.close()


def test_out_of_real_topics(make_topics: Callable[..., Settings], database: str) -> None:
    """Damaged records go to dead-letters; a new projector goes on; a rebuild gives the same rows."""
    topics = sorted({topic for topic, _ in RECORDS} | {"restatements", "command-results", "dead-letters"})
    settings = make_topics(*topics).model_copy(update={"database_url": database})
    producer = Producer(librdkafka(settings.kafka))
    for topic, value in RECORDS:
        key = value["customer_id"].encode()
        producer.produce(
            settings.topic(topic), encode(topic, value, REGISTRY), key, partition_of(key, settings.partitions)
        )
    producer.produce(settings.topic("standings"), b"\0\0\0\0\xff damaged", b"C1", partition=0)
    mark = {"business_day": AS_OF}
    producer.produce(settings.topic("customers"), encode(MARK, mark, REGISTRY), MARK_KEY, partition=0)
    producer.flush()
    rejected = 0
    for _ in range(2):
        with projecting(settings, LogReader) as projector:
            projector.settle()
            ends = {name: end for name, (_, end) in projector.source.ends().items()}
            while not projector.caught_up(ends):
                projector.step()
            rejected += projector.rejected
    assert rejected == 1
    found = rows_of(database)
    assert {name: set(table) for name, table in found.items()} == {
        "customers": {"C1", "C2", "C3"}, "standings": {"C1", "C2", "C3"}, "outlooks": {"C1", "C2"},
        "tier_changes": {"C1/tier/2026-01-01"}, "cases": {"case-1", "case-2"},
        "case_steps": {"case-1/raised", "case-2/raised"},
    }  # fmt: skip
    assert rebuild_beside(settings, LogReader) == len(RECORDS) + 2
    assert rows_of(database) == found


@settings_of(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_record_is_taken_or_refused(store: PostgresReadStore, data: st.DataObject) -> None:
    """Whatever a topic may hold: what is refused is refused before the server sees it."""
    topic = data.draw(st.sampled_from(sorted(PROJECTED)))
    found = []
    for offset, (key, value) in enumerate(data.draw(entries(topic, 4))):
        record = TopicRecord(topic, 0, offset, key, value)
        with suppress(ValueError):
            found += changes_of(record, None if value is None else decode_one(value, REGISTRY, name=topic))
    start = store.settle(WORLD).get(topic)
    store.apply(found, {topic: (start, (start or 0) + 1)})
