"""Notices that are held: what is taken back meanwhile is told to nobody, and all else once, in the order of its case."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.notifier.turns import Turns
from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.registry import file_registry
from services.notices import texts
from services.notices.notice_ids import ToldNotices
from services.notices.notifier import Notice, Notifier
from services.notices.pace.holds import Holds
from services.notices.pace.hours import ALWAYS, Hours
from services.views.projections import TopicRecord
from tests.services.fakes import MemoryChannel, MemoryLedger, MemorySource, MemoryTold
from tests.services.test_notices import ALERT, KEY, NOTICE_RECORD

MINUTE_MS = 60_000
HOLD = 10  # minutes
LOW = ALERT | {"severity": "low"}


class Clock:
    """A clock that is moved by hand, and who waits for it."""

    def __init__(self) -> None:
        self.ms, self.waiting = 0, list[tuple[float, asyncio.Future[None]]]()

    def now_ms(self) -> int:
        return self.ms

    async def wait(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((self.ms + 1000 * seconds, over))
        await over

    async def pass_minutes(self, minutes: float) -> None:
        """Minute by minute, as what ends may begin another wait."""
        until = self.ms + round(minutes * MINUTE_MS)
        while self.ms < until:
            self.ms = min(until, self.ms + MINUTE_MS)
            due = [over for at, over in self.waiting if at <= self.ms]
            self.waiting = [one for one in self.waiting if one[0] > self.ms]
            for over in due:
                if not over.done():
                    over.set_result(None)
            await settled()
        await settled()


async def settled() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


class Watched(MemoryChannel):
    """Looks at every notice that is handed to it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def send(self, notice: Notice) -> int:
        if not self.broken:
            self.world.look(notice)
        return await super().send(notice)


class World:
    """A worker of alerts with one channel; `read` are its alerts, `records` what came of them."""

    def __init__(self, most: int = 5000, hours: Hours = ALWAYS) -> None:
        self.hours = hours
        self.clock, self.ledger, self.told = Clock(), MemoryLedger(), MemoryTold()
        self.channel = Watched(self)
        self.failures = list[BaseException]()
        self.begin(most)
        self.read = list[dict[str, Any]]()
        self.under_way = dict[str, int]()  # case → the alert whose turn it is
        self.records, self.acknowledged = list[dict[str, Any]](), list[int]()

    def begin(self, most: int = 5000) -> None:
        """A process of its own: what stands in memory alone is gone."""
        self.holds = Holds(HOLD, "high", self.clock.now_ms, self.clock.wait, most)
        self.turns = Turns(self.failures.append)
        self.notifier = Notifier(
            [self.channel],
            self.ledger,
            self.told,
            KEY,
            self.clock.now_ms,
            wait=self.clock.wait,
            holds=self.holds,
            hours=self.hours,
        )

    async def take(self, alert: dict[str, Any], at_ms: int | None = None) -> None:
        """The next of the log; at_ms: when the log took it, else now."""
        number, at = len(self.read), self.clock.ms if at_ms is None else at_ms
        self.read.append(alert)

        async def work(passes: Any) -> None:
            self.under_way[alert["alert_id"]] = number
            self.records += await self.notifier.notify(alert, passes, at)

        async def acknowledge() -> None:
            self.acknowledged.append(number)

        self.holds.read(alert)
        await self.turns.take(0, alert["alert_id"], work, acknowledge)
        await settled()

    def look(self, notice: Notice) -> None:
        """Nothing that is held goes out once it has been read that its case is taken back."""
        number = self.under_way[notice.alert_id]
        behind = [one["status"] for one in self.read[number + 1 :] if one["alert_id"] == notice.alert_id]
        held = notice.severity in ("info", "low", "medium") and notice.status in ("raised", "deepened")
        assert not (held and texts.ALL_CLEAR in behind), (notice, behind)

    def said(self) -> list[tuple[str, str | None]]:
        return [(one["status"], one["error"]) for one in self.records]


async def test_what_is_below_is_held_so_long() -> None:
    """From when the log took it; what is not below, or an escalation, goes at once; what waits is seen, and is no longer."""
    world = World()
    await world.take(LOW)
    await world.take(ALERT | {"alert_id": "a2", "customer_id": "C2"})
    await world.take(LOW | {"alert_id": "a3", "customer_id": "C3", "status": "escalated", "level": 1})
    assert [one.alert_id for one in world.channel.sent] == ["a2", "a3"] and world.acknowledged == []
    assert list(world.ledger.waiting.values()) == ["memory → rm-7: held"]
    await world.clock.pass_minutes(HOLD - 1)
    assert len(world.channel.sent) == 2
    await world.clock.pass_minutes(1)
    assert [one.alert_id for one in world.channel.sent][2:] == ["alert-1"] and world.acknowledged == [0, 1, 2]
    assert world.ledger.waiting == {}


async def test_a_restart_begins_no_hold_anew() -> None:
    """It is not acknowledged, comes again, and is held for what is left of its time."""
    world = World()
    await world.take(LOW)
    await world.clock.pass_minutes(6)
    await world.turns.shut()
    assert (world.acknowledged, world.records, world.channel.sent) == ([], [], [])
    world.begin()
    await world.take(LOW, at_ms=0)
    await world.clock.pass_minutes(3)
    assert world.channel.sent == []
    await world.clock.pass_minutes(1)
    assert len(world.channel.sent) == len(world.records) == 1


async def test_what_is_taken_back_is_told_to_nobody() -> None:
    """Neither what was held, nor what came behind it, nor the all-clear; each has its record, and the hold is over at once."""
    world = World()
    await world.take(LOW)
    await world.take(LOW | {"status": "deepened", "event_id": "event-2"})
    await world.take(LOW | {"status": texts.ALL_CLEAR, "event_id": "event-3"})
    assert world.said() == [
        ("suppressed", "taken back meanwhile"), ("suppressed", "taken back meanwhile"),
        ("suppressed", "nothing of the case was sent"),
    ]  # fmt: skip
    assert (world.channel.sent, world.ledger.waiting, world.acknowledged) == ([], {}, [0, 1, 2])
    for record in world.records:
        encode("notices", record)
    await world.take(LOW | {"status": "raised", "raised_day": 20515})  # it begins again
    await world.clock.pass_minutes(HOLD)
    assert len(world.channel.sent) == 1


async def test_beyond_the_bound_nothing_is_held() -> None:
    """One more goes out at once: nobody waits for those that are held."""
    world = World(most=1)
    for number in range(3):
        await world.take(LOW | {"alert_id": f"a{number}", "customer_id": f"C{number}"})
    assert [one.alert_id for one in world.channel.sent] == ["a1", "a2"]
    await world.clock.pass_minutes(HOLD)
    assert len(world.channel.sent) == 3


async def test_what_is_held_takes_nobodys_room() -> None:
    """Nor does what is behind it in its case; what waits for its channel does."""
    turns = Turns(lambda _: None, waiting_max=1)
    gate, begun = asyncio.Event(), list[str]()

    async def take(case: str, *, held: bool) -> None:
        async def work(passes: Any) -> None:
            begun.append(case)
            passes(held=held)
            await gate.wait()

        async def acknowledge() -> None:
            pass

        await turns.take(0, case, work, acknowledge)

    for case in ("a", "a", "b", "c"):
        await take(case, held=True)
    assert begun == ["a", "b", "c"]
    last = asyncio.create_task(take("d", held=False))
    await settled()
    assert not last.done() and begun == ["a", "b", "c", "d"]
    await turns.shut()
    await asyncio.gather(last, return_exceptions=True)


async def test_an_all_clear_goes_where_something_was_sent() -> None:
    """By that channel alone: not where it was refused; and also where nobody knows any more."""
    taken, refused, told = MemoryChannel(), MemoryChannel(), MemoryTold()
    refused.name, refused.broken, refused.final = "refused", True, True  # type: ignore[misc]
    notifier = Notifier([taken, refused], MemoryLedger(), told, KEY, lambda: 0)
    await notifier.notify(ALERT | {"status": "escalated", "level": 2, "severity": "critical"})
    refused.broken = False
    records = await notifier.notify(ALERT | {"status": texts.ALL_CLEAR})
    assert [(one["channel"], one["status"]) for one in records] == [("memory", "sent"), ("refused", "suppressed")]
    values = [
        encode("notices", NOTICE_RECORD | {"notice_id": f"n{i}", "status": ("sent", "failed")[i]}) for i in range(2)
    ]
    source = MemorySource({"notices:0": [TopicRecord("notices", 0, i, b"k", value) for i, value in enumerate(values)]})
    known = ToldNotices(source, file_registry())
    assert [await known.sent_any(ids) for ids in ({"n0", "n1"}, {"n1"}, {"n2"})] == [True, False, None]
    assert await ToldNotices(source, file_registry(), most=1).sent_any({"n0"}) is None


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("quiet", "zone", "now", "ends"),
    [
        ("21:00-08:00", "Asia/Shanghai", "2026-03-02T20:59:59+08:00", None),
        ("21:00-08:00", "Asia/Shanghai", "2026-03-02T21:00:00+08:00", "2026-03-03T08:00:00+08:00"),
        ("21:00-08:00", "Asia/Shanghai", "2026-03-02T00:30:00+08:00", "2026-03-02T08:00:00+08:00"),
        ("21:00-08:00", "Asia/Shanghai", "2026-03-02T08:00:00+08:00", None),
        ("12:00-13:30", "UTC", "2026-03-02T12:10:00+00:00", "2026-03-02T13:30:00+00:00"),
        ("12:00-13:30", "UTC", "2026-03-02T11:59:00+00:00", None),
        ("21:00-08:00", "Europe/Berlin", "2026-03-28T23:00:00+01:00", "2026-03-29T08:00:00+02:00"),  # an hour less
        ("", "UTC", "2026-03-02T23:00:00+00:00", None),
    ],
)
def test_quiet_hours_are_the_banks(quiet: str, zone: str, now: str, ends: str | None) -> None:
    """By the clock of its zone, over midnight too; not for what is critical, nor on the console."""
    hours = Hours(quiet, ZoneInfo(zone))
    wanted = 0 if ends is None else (at(ends) - at(now)) / 1000
    assert hours.left_s(ALERT, "webhook", "rm-7", at(now)) == wanted
    assert hours.left_s(ALERT | {"severity": "critical"}, "webhook", "rm-7", at(now)) == 0
    assert hours.left_s(ALERT, "console", "rm-7", at(now)) == 0


@pytest.mark.parametrize("hours", ["21:00", "21:00-21:00", "21:00-24:00", "9-17", "21:00:00-08:00", "21:00-08:00+01"])
def test_what_are_no_hours(hours: str) -> None:
    """Is refused with an example."""
    with pytest.raises(ValidationError, match="such as 21:00-08:00"):
        Settings(notice_quiet=hours)
    assert Settings(notice_quiet="21:00-08:00").notice_quiet == "21:00-08:00"


async def test_what_comes_in_quiet_hours_waits_for_their_end() -> None:
    """Taken back meanwhile it is told to nobody; a critical one goes at once, and holds up nobody."""
    world = World(hours=Hours("23:00-01:00", UTC))
    await world.take(ALERT)
    await world.take(ALERT | {"alert_id": "a2", "customer_id": "C2", "severity": "critical"})
    await world.take(ALERT | {"alert_id": "a3", "customer_id": "C3"})
    await world.take(ALERT | {"alert_id": "a3", "customer_id": "C3", "status": texts.ALL_CLEAR})
    assert [one.alert_id for one in world.channel.sent] == ["a2"] and len(world.ledger.waiting) == 1
    await world.clock.pass_minutes(59)
    assert len(world.channel.sent) == 1
    await world.clock.pass_minutes(1)
    assert [one.alert_id for one in world.channel.sent] == ["a2", "alert-1"] and world.ledger.waiting == {}
    assert sorted(world.said()) == sorted(
        [("sent", None)] * 2 + [("suppressed", "taken back meanwhile"), ("suppressed", "nothing of the case was sent")]
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=14), st.integers(1, 3))
def test_nobody_gets_more_than_the_cap(steps: list[tuple[int, int]], cap: int) -> None:
    """In no minute; and everything goes in the end, once."""
    asyncio.run(capped(steps, cap))


async def capped(steps: list[tuple[int, int]], cap: int) -> None:
    """steps: to whom, and the minutes before it."""
    world, at_ms = World(hours=Hours("", UTC, cap)), defaultdict[str, list[int]](list)
    world.look = lambda notice: at_ms[notice.recipient].append(world.clock.ms)  # type: ignore[method-assign]
    for number, (recipient, minutes) in enumerate(steps):
        await world.clock.pass_minutes(minutes)
        one = {
            "alert_id": f"a{number}",
            "customer_id": f"C{number}",
            "rm_id": f"rm-{recipient}",
            "severity": "critical",
        }
        await world.take(ALERT | one)
    await world.clock.pass_minutes(20)
    assert world.failures == [] and world.acknowledged == list(range(len(steps)))
    assert sum(map(len, at_ms.values())) == len(steps) == len({one.notice_id for one in world.channel.sent})
    for sent in at_ms.values():
        assert all(later - sooner >= MINUTE_MS for sooner, later in zip(sent, sent[cap:], strict=False))


Step = tuple[str, str, str] | int
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(("raised", "deepened", "escalated", texts.ALL_CLEAR)),
            st.sampled_from(("low", "medium", "high")),
        ),
        st.integers(1, HOLD + 2), st.sampled_from((0, -1)),
    ),
    max_size=14,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_order(steps: list[Step]) -> None:
    """Whatever comes while time goes on, a channel fails (-1) and works again (0): what `look` says, and nothing is lost."""
    asyncio.run(lived(steps))


async def lived(steps: list[Step]) -> None:
    """Every notice has one record, one sending at most; those of a case go out in order; all is acknowledged in order."""
    world, fed = World(), list[dict[str, Any]]()
    for step in steps:
        if isinstance(step, int):
            world.channel.broken = step == -1 if step <= 0 else world.channel.broken
            await world.clock.pass_minutes(max(step, 0))
            continue
        case, status, severity = step
        fed.append(LOW | {"alert_id": case, "customer_id": case, "status": status, "severity": severity})
        await world.take(fed[-1])
    world.channel.broken = False
    await world.clock.pass_minutes(60)
    assert world.failures == []
    assert world.acknowledged == list(range(len(fed)))
    told = [one["notice_id"] for one in world.records]
    sent = [one.notice_id for one in world.channel.sent]
    assert len(told) == len(set(told)) == len({(one["alert_id"], one["status"], one["severity"]) for one in fed})
    assert sorted(sent) == sorted(one["notice_id"] for one in world.records if one["status"] == "sent")
    order: dict[str, list[str]] = defaultdict(list)
    for one in fed:
        if (step_of := f"{one['status']} {one['severity']}") not in order[one["alert_id"]]:
            order[one["alert_id"]].append(step_of)
    for case, wanted in order.items():
        found = [f"{one.status} {one.severity}" for one in world.channel.sent if one.alert_id == case]
        assert found == [one for one in wanted if one in found]
        clear = [one for one in world.channel.sent if one.alert_id == case and one.status == texts.ALL_CLEAR]
        unknown = wanted[0].split()[0] == texts.ALL_CLEAR  # what came before it stands nowhere: it goes out
        assert not clear or unknown or found[0].split()[0] != texts.ALL_CLEAR
    assert world.ledger.waiting == {}
