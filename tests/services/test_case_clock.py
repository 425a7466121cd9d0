"""The clock of cases: what is due follows from the log alone; clocks that restart, and two at once, send each command once."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis import ConnectionError as RedisAwayError

from policies.language.loader import load_pack, parse_pack
from policies.language.reader import PackError
from policies.model.pack import Escalation
from schemas.codec.records import encode
from schemas.registry import CONTRACTS, file_registry
from services.access.audit import AuditTopic
from services.clock.case_watch import LEVELS_MAX, CaseState, OpenCases, next_command
from services.clock.clock import AGAIN_MS, CLOCK, CaseClock, through
from services.commands.door import CommandDoor
from services.views.projections import TopicRecord
from streams.alerts.acts import ActRefusedError, CaseAct, CaseCare, answer
from streams.calendar import DAY_MS, day_of, day_start_ms
from streams.workdays import weekday
from streams.working_time import WORK_HOUR_MS, UnknownYearError, WorkingTime
from tests.services.fakes import MemorySource
from tests.services.test_commands import MemoryCommands
from tests.services.test_notices import ALERT

ZONE = "Asia/Shanghai"
PACK = ("p", 1)
TERMS = Escalation({"high": 4, "critical": 1})
MONDAY = day_of(dt.date(2026, 3, 2))
START_MS = day_start_ms(MONDAY, ZONE) + 10 * WORK_HOUR_MS
STATE = CaseState("a", "a/raised/1", "high", "waiting", None, 0, "rm-7", PACK, START_MS)
REGISTRY = file_registry(CONTRACTS[-1])


def local(instant: int) -> str:
    return (dt.datetime(1970, 1, 1) + dt.timedelta(hours=8, milliseconds=instant)).strftime("%m-%d %H:%M")


def due(**changes: Any) -> tuple[str, str, int] | None:
    found = next_command(STATE._replace(**changes), TERMS, weekday, ZONE)
    return None if found is None else (found.action, local(found.due_ms), found.level)


def test_what_is_due() -> None:
    """Four working hours a level for high, none for low; a snooze ends with its day; who has answered is left alone."""
    assert due() == ("escalate", "03-02 14:00", 1)
    assert due(level=1, since_ms=START_MS + 5 * WORK_HOUR_MS) == ("escalate", "03-03 11:00", 2)
    assert due(severity="critical") == ("escalate", "03-02 11:00", 1)
    assert due(severity="low") is None and due(level=LEVELS_MAX) is None
    assert due(attention="snoozed", until=MONDAY + 4) == ("wake", "03-07 00:00", 0)
    assert due(attention="snoozed", until=1 << 40) is None
    assert next_command(STATE, None, weekday, ZONE) is None


def test_a_holiday_that_nobody_knows() -> None:
    """Nothing is due by a guess; the case is counted, and planned as soon as its year is known."""

    def unknown(_day: int) -> bool:
        raise UnknownYearError(2027)

    watch = OpenCases({PACK: TERMS}.get, unknown, ZONE)
    watch.note(step("raised", START_MS), START_MS)
    assert watch.unplanned == {"a": 2027} and watch.take_due(1 << 60) == []
    watch.is_open = weekday
    watch.replan()
    assert watch.unplanned == {} and [one.level for one in watch.take_due(1 << 60)] == [1]


def test_what_changes_no_time() -> None:
    """Comments, corrected figures and a record that comes again leave the time as it was; another owner begins it anew."""
    watch = OpenCases({PACK: TERMS}.get, weekday, ZONE)
    watch.note(step("raised", START_MS), START_MS)
    watch.note(step("commented", START_MS), START_MS + WORK_HOUR_MS)
    watch.note(step("corrected", START_MS, severity="critical"), START_MS + WORK_HOUR_MS)
    assert [local(one.due_ms) for one in watch.take_due(1 << 60)] == ["03-02 11:00"]
    watch.note(step("handed_over", START_MS, rm_id="rm-8"), START_MS + 2 * WORK_HOUR_MS)
    assert [local(one.due_ms) for one in watch.take_due(1 << 60)] == ["03-02 16:00"]
    watch.note(step("resolved", START_MS, attention="ended"), START_MS)
    assert watch.cases == {} and watch.take_due(1 << 60) == []


def test_terms_of_packs() -> None:
    """A pack says hours by severity and its working time; what it can't mean is refused by name."""
    body = load_pack("rolling-quarter-aum").body
    terms = 'cases:\n      escalation: {hours: {critical: 1, high: 4}, opens: "08:30", closes: "24:00"}'
    pack = parse_pack(body.replace("cases:", terms, 1))
    cases = pack.classes["personal"].cases
    assert cases is not None
    assert cases.escalation == Escalation({"critical": 1, "high": 4}, 510, 1440)
    for wrong, said in (
        ('closes: "08:00"', "it closes before it opens"), ('closes: "25:00"', "expected a time of a day"),
        ("hours: {urgent: 1}", "urgent"), ("hours: {critical: 0, high: 4}", "1"),
    ):  # fmt: skip
        key = wrong.partition(":")[0]
        other = terms.replace('closes: "24:00"' if key == "closes" else "hours: {critical: 1, high: 4}", wrong)
        with pytest.raises(PackError, match=said):
            parse_pack(body.replace("cases:", other, 1))


# -- clocks, a door and a worker


def step(status: str, at_ms: int, told: str = "a/raised/1", **fields: Any) -> dict[str, Any]:
    """A record of rm-alerts."""
    return ALERT | {
        "alert_id": "a", "event_id": f"a/{status}/{at_ms}", "status": status, "told_step": told, "attention": "waiting",
        "snoozed_until": None, "level": None, "pack_id": PACK[0], "pack_version": PACK[1],
    } | fields  # fmt: skip


class CaseBank:
    """A worker that owns one case, the log that it writes, a door before it, and two clocks. Time is moved by hand."""

    def __init__(self) -> None:
        self.now, self.log, self.acts = START_MS, list[TopicRecord](), list[dict[str, Any]]()
        self.applied: list[tuple[str, str, int]] = []  # action, step, level
        self.seen: set[str] = set()
        self.ids: dict[tuple[Any, ...], set[str]] = {}  # of what was ever written, by what it is
        self.store, self.away = MemoryCommands(), False
        self.care = CaseCare("a", "outflow", "a/raised/1", MONDAY, 1)
        self.since = self.now
        self.clocks = [self.clock(), self.clock()]
        self._tell("raised")

    def clock(self) -> CaseClock:
        store: Any = self.store
        door = CommandDoor(store, self, lambda _: self._case(), self.write, AuditTopic(lambda *_: None, lambda: 0),
                           lambda: self.now, ZONE)  # fmt: skip
        source = MemorySource({"rm-alerts:0": self.log, "policies:0": []}, 100)
        made = CaseClock(source, REGISTRY, through(door), lambda: self.now, dict, ZONE, {PACK: TERMS})
        made.begin()
        return made

    # what the door asks of a log
    def branch(self, _customer: str) -> str:
        return "0102"

    def result_of(self, _command: str) -> Future[dict[str, Any]]:
        return Future()

    def forget(self, _command: str, _waiter: Any) -> None:
        pass

    def write(self, record: Any) -> None:
        if self.away:
            raise RedisAwayError("away")
        self.acts.append(dict(record))
        about = record["action"], record["details"]["step"], record["details"].get("level"), self.since
        self.ids.setdefault(about, set()).add(record["event_id"])

    def _case(self) -> dict[str, Any]:
        return step("", 0, told=self.care.step) | {"customer_id": "C1", "branch": "0102"}

    def _tell(self, status: str) -> None:
        care = self.care
        record = step(
            status, self.now, care.step, attention=care.attention, snoozed_until=care.until, level=care.level or None
        )
        self.log.append(
            TopicRecord("rm-alerts", 0, len(self.log), b"C1", encode("rm-alerts", record, REGISTRY), None, self.now)
        )
        self.since = self.now

    # what happens
    def work(self) -> None:
        """The worker takes the acts that wait, as agents.standing.decide.cases.desk does."""
        for act in self.acts:
            if act["event_id"] in self.seen:
                continue
            self.seen.add(act["event_id"])
            self._apply(act["action"], act["details"], act["stamped_role"], None)
        self.acts.clear()

    def _apply(self, action: str, details: dict[str, str], role: str, until: int | None) -> None:
        said = CaseAct(action, (self.now + 8 * WORK_HOUR_MS) // DAY_MS, "x", until, {**details, "role": role}, "e")
        try:
            self.care = answer(self.care, said, "rm-7", 1 << 30)
        except ActRefusedError:
            return
        self.applied.append((action, self.care.step, self.care.level))
        self._tell({"escalate": "escalated", "wake": "woken"}.get(action, action + "d"))

    def person(self, action: str) -> None:
        until = (self.now + 8 * WORK_HOUR_MS) // DAY_MS + 1 if action == "snooze" else None
        self._apply(action, {"step": self.care.step}, "section_head", until)

    def deepen(self) -> None:
        self.care = replace(self.care.told_again(f"a/deepened/{self.now}", MONDAY, 2))
        self._tell("deepened")

    def restart(self, which: int) -> None:
        self.clocks[which] = self.clock()

    def pass_time(self, hours: int) -> None:
        self.now += hours * WORK_HOUR_MS


MOVES = st.one_of(
    st.tuples(st.just("pass_time"), st.integers(1, 30)), st.tuples(st.just("follow"), st.integers(0, 1)),
    st.tuples(st.just("restart"), st.integers(0, 1)), st.tuples(st.just("person"), st.sampled_from(["acknowledge", "snooze"])),
    st.sampled_from([("work",), ("deepen",), ("wipe",), ("fail",)]),
)  # fmt: skip


def checked(bank: CaseBank) -> None:
    """Whichever clock sends a command, and however often, it is one; and none was applied twice."""
    assert all(len(found) == 1 for found in bank.ids.values()), bank.ids
    steps = [one for one in bank.applied if one[0] == "escalate"]
    assert len(set(steps)) == len(steps), bank.applied


@pytest.mark.slow
@given(st.lists(MOVES, max_size=40))
@example([("pass_time", 4), ("follow", 0), ("person", "snooze")])
@example([("person", "snooze"), ("pass_time", 48), ("follow", 0), ("work",), ("person", "snooze")])
@settings(max_examples=60, deadline=None)
def test_two_clocks_and_restarts(moves: list[tuple[Any, ...]]) -> None:
    """Whatever restarts, is wiped or away: each (case, step, level) once and in time, and in the end all that is due."""
    bank = CaseBank()
    hours = WorkingTime(TERMS.opens, TERMS.closes, ZONE, bank.clocks[0].calendar.is_open)
    for move in moves:
        match move:
            case ("follow", which):
                before = len(bank.acts)
                bank.clocks[which].follow()
                for act in bank.acts[before:]:
                    if act["action"] == "escalate":
                        assert bank.now >= hours.after(bank.since, 4 * WORK_HOUR_MS), "too early"
            case ("wipe",):
                bank.store.__init__()  # type: ignore[misc]
            case ("fail",):
                bank.away = not bank.away
            case (name, *given_):
                getattr(bank, name)(*given_)
        checked(bank)
    bank.away = False
    for _ in range(2 * LEVELS_MAX + 2):
        bank.pass_time(24 * 6)
        for clock in bank.clocks:
            clock.follow()
        bank.work()
        checked(bank)
    assert (bank.care.attention, bank.care.level) in (("waiting", LEVELS_MAX), ("acknowledged", bank.care.level))


def test_a_replay_sends_the_same() -> None:
    """A clock that reads everything anew knows the same commands by the same ids; the store and the worker take one."""
    bank = CaseBank()
    bank.pass_time(5)
    assert [clock.follow() for clock in bank.clocks] == [1, 1]
    assert len(bank.acts) == 2 - 1, "the door writes it once"
    first = bank.acts[0]
    bank.store.__init__()  # type: ignore[misc]
    bank.restart(0)
    bank.clocks[0].follow()
    assert [act["event_id"] for act in bank.acts] == [first["event_id"]] * 2
    assert (first["stamped_by"], first["stamped_role"], first["details"]["level"]) == (CLOCK.actor_id, "service", "1")
    bank.work()
    assert bank.applied == [("escalate", "a/raised/1", 1)]


def test_a_server_that_is_away() -> None:
    """The command waits, and comes again."""
    bank = CaseBank()
    bank.pass_time(5)
    bank.away = True
    assert bank.clocks[0].follow() == 0
    bank.away = False
    assert bank.clocks[0].follow() == 0
    bank.now += AGAIN_MS
    assert bank.clocks[0].follow() == 1
