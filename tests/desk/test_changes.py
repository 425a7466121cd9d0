"""That cases have changed: of which units, behind which number, and what happens where nothing can be heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.connections.database import connected
from services.access.decision import HEAD_OFFICE
from services.desk.changes import CASES_CHANGED, KEPT_MAX, CaseChanges, UnitChanges
from tests.desk.desk import TestDesk, open_desk
from tests.readmodel.bank import step

UNITS = ["hq", "hq/B01", "hq/B01/S1", "hq/B02", "hq/B012"]


def of(changed: str, unit: str) -> bool:
    """Slowly: whether a unit is another or below it."""
    mine, its = unit.split("/"), changed.split("/")
    return its[: len(mine)] == mine


@given(
    st.lists(st.lists(st.sampled_from(UNITS), max_size=3), max_size=12),
    st.sampled_from([*UNITS, HEAD_OFFICE]),
    st.data(),
)
def test_who_hears_of_it(told: list[list[str]], unit: str, data: st.DataObject) -> None:
    """Whoever stands behind a number hears of a later change of his units, and of no other."""
    changes = CaseChanges(lambda: pytest.fail("nobody waits"), lambda: 1_000)
    numbers = [changes.number]
    for units in told:
        changes.tell(units)
        numbers.append(changes.number)
    assert numbers == sorted(set(numbers))
    after = data.draw(st.integers(0, len(told)))
    later: Sequence[list[str]] = told[after:]
    wanted = any(not units or unit == HEAD_OFFICE or any(of(one, unit) for one in units) for units in later)
    assert changes.concerns([unit], numbers[after]) == wanted


def test_what_is_forgotten_counts_as_changed() -> None:
    """As does what was before this process."""
    changes = CaseChanges(lambda: pytest.fail("nobody waits"), lambda: 1_000)
    begun = changes.number
    assert changes.concerns(["hq/B02"], begun - 1) and not changes.concerns(["hq/B02"], begun)
    for _ in range(KEPT_MAX):
        changes.tell(["hq/B01"])
    assert not changes.concerns(["hq/B02"], begun)
    changes.tell(["hq/B01"])
    assert changes.concerns(["hq/B02"], begun) and not changes.concerns(["hq/B02"], changes.number)


async def test_a_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when it is back, everything counts as changed."""
    monkeypatch.setattr("services.desk.changes.AGAIN_S", 0.01)
    tries: list[int] = []

    class Heard:
        """A connection on which nothing is said."""

        def execute(self, statement: str) -> None:
            assert statement.startswith("LISTEN")

        def notifies(self, timeout: float) -> list[Any]:
            raise psycopg.OperationalError("the end")

        def close(self) -> None:
            """Nothing is open."""

    def connect() -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise psycopg.OperationalError("away")
        return Heard()

    changes = CaseChanges(connect)
    assert await changes.changed(["hq/B01"], changes.number, 60)
    assert len(tries) >= 3


@pytest.fixture
def desk(new_database: Callable[[], str]) -> Iterator[TestDesk]:
    with open_desk(new_database()) as found:
        yield found


@pytest.mark.integration
async def test_the_database_says_so(desk: TestDesk) -> None:
    """With what was put, to those whose units they are; a case of nobody's unit to everybody."""
    changes = CaseChanges(lambda: connected(desk.database, autocommit=True))
    first, second = UnitChanges(changes, ["hq/B01"]), UnitChanges(changes, ["hq/B02"])
    number, _ = await first.events_after(changes.number, 60)  # it listens from here on

    async def heard(source: UnitChanges, customer: str) -> tuple[int, list[Any]]:
        waiting = asyncio.ensure_future(source.events_after(number, 60))
        await asyncio.to_thread(desk.tell, "rm-alerts", step(customer, f"new-{customer}"))
        return await waiting

    after, (event,) = await heard(first, "C1")
    assert event.kind == CASES_CHANGED and event.number == after > number
    assert await second.events_after(number, 0.0) == (number, [])
    number = after
    assert (await heard(second, "C2"))[1] and (await first.events_after(number, 0.0))[1] == []
    number = changes.number
    assert (await heard(first, "unknown"))[1] and (await second.events_after(number, 0.0))[1]
