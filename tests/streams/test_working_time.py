"""Working time against a twin that looks at every minute; holidays, zones and changes of clocks among what is drawn."""

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest

from streams.calendar import day_of
from streams.workdays import weekday
from streams.working_time import WORK_HOUR_MS, WORK_HOURS_MAX, UnknownYearError, WorkingTime

SHANGHAI = "Asia/Shanghai"
ZONES = (SHANGHAI, SHANGHAI, "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
         "Asia/Kathmandu")  # fmt: skip
CASES, SEED = 1_000, 20_261_001
MINUTE_MS = 60_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def at(text: str, zone: str = SHANGHAI) -> int:
    """The instant of a local time."""
    return (dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) - EPOCH) // dt.timedelta(milliseconds=1)


def shown(instant: int, zone: str = SHANGHAI) -> str:
    return (EPOCH + dt.timedelta(milliseconds=instant)).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def golden_week(opens: int, closes: int) -> WorkingTime:
    """October 2026: the 1st to the 7th are holidays, Saturday the 10th is worked."""
    known = dict.fromkeys(range(day_of(dt.date(2026, 10, 1)), day_of(dt.date(2026, 10, 8))), False)
    known[day_of(dt.date(2026, 10, 10))] = True
    return WorkingTime(opens, closes, SHANGHAI, lambda day: known.get(day, weekday(day)))


def slow_after(hours: WorkingTime, start_ms: int, minutes: int) -> int:
    """Minute by minute: which of them a clock on the wall of the bank shows as working time. `start_ms`: a full minute."""
    zone, moment, left = ZoneInfo(hours.zone), EPOCH + dt.timedelta(milliseconds=start_ms), minutes
    while left:
        local = moment.astimezone(zone)
        if hours.opens <= local.hour * 60 + local.minute < hours.closes and hours.is_open(day_of(local.date())):
            left -= 1
        moment += dt.timedelta(minutes=1)
    return (moment - EPOCH) // dt.timedelta(milliseconds=1)


def drawn(chance: random.Random) -> tuple[WorkingTime, int, int]:
    """Hours, a start and minutes of working time; many starts lie near a change of clocks or a new year."""
    zone = chance.choice(ZONES)
    opens = chance.choice((0, 9 * 60, 8 * 60 + 30, chance.randrange(1439)))
    closes = chance.choice((1440, 17 * 60, chance.randrange(opens + 1, 1441)))
    closes = closes if closes > opens else 1440
    holidays = {chance.randrange(20_400, 20_830): chance.random() < 0.3 for _ in range(chance.randrange(60))}
    hours = WorkingTime(opens, closes, zone, lambda day: holidays.get(day, weekday(day)))
    day = chance.choice((chance.randrange(20_450, 20_800), day_of(dt.date(2026, 3, 28)), day_of(dt.date(2026, 10, 3))))
    start = day * 24 * WORK_HOUR_MS + chance.randrange(3 * 1440) * MINUTE_MS
    return hours, start, chance.choice((1, 60, 480, 48 * 60, chance.randrange(1, 40 * 60)))


@pytest.mark.slow
def test_minute_by_minute() -> None:
    """1,000 cases: the instant is the twin's, and so much working time lies before it; a minute earlier it is less."""
    chance = random.Random(SEED)
    for case in range(CASES):
        hours, start, minutes = drawn(chance)
        minutes = min(minutes, 6 * (hours.closes - hours.opens))  # the twin has to get there
        due = hours.after(start, minutes * MINUTE_MS)
        assert due == slow_after(hours, start, minutes), f"case {case} of seed {SEED}: {hours}, {start}, {minutes}"
        assert hours.between(start, due) == minutes * MINUTE_MS
        assert hours.between(start, due - 1) == minutes * MINUTE_MS - 1


@pytest.mark.parametrize(
    ("hours", "start", "work", "due"),
    [
        ((9, 17), "2026-09-30 23:00", 48, "2026-10-14 17:00"),  # 8, 9, 10 (a Saturday that is worked), 12, 13, 14
        ((0, 24), "2026-09-30 23:00", 48, "2026-10-09 23:00"),  # an hour of the 30th, the 8th, 23 hours of the 9th
        ((9, 17), "2026-09-30 16:30", 1, "2026-10-08 09:30"),
        ((9, 17), "2026-09-30 16:00", 1, "2026-09-30 17:00"),  # due at the end of the day, not at the begin of the next
        ((9, 17), "2026-10-10 12:00", 8, "2026-10-12 12:00"),
        ((9, 17), "2026-10-03 12:00", 0, "2026-10-03 12:00"),
    ],
)
def test_examples(hours: tuple[int, int], start: str, work: int, due: str) -> None:
    """By hand, around the golden week of 2026."""
    found = golden_week(60 * hours[0], 60 * hours[1])
    assert shown(found.after(at(start), work * WORK_HOUR_MS)) == due


def test_days_of_other_lengths() -> None:
    """Where clocks change, a day that is worked through has 23 or 25 hours; hours of the day have as many as ever."""
    through = WorkingTime(0, 1440, "Europe/Berlin", lambda _day: True)
    nine_to_five = WorkingTime(540, 1020, "Europe/Berlin", lambda _day: True)
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)):
        begin = at(f"{day} 00:00", "Europe/Berlin")
        end = at(f"{dt.date.fromisoformat(day) + dt.timedelta(1)} 00:00", "Europe/Berlin")
        assert through.between(begin, end) == hours * WORK_HOUR_MS
        assert nine_to_five.between(begin, end) == 8 * WORK_HOUR_MS


def test_a_year_that_nobody_knows_is_not_guessed() -> None:
    """Neither by a way that ends in it nor by one that leads through it; what ends before it is told."""

    def is_open(day: int) -> bool:
        if day >= day_of(dt.date(2027, 1, 1)):
            raise UnknownYearError(2027)
        return weekday(day)

    hours = WorkingTime(540, 1020, SHANGHAI, is_open)
    assert shown(hours.after(at("2026-12-31 10:00"), 7 * WORK_HOUR_MS)) == "2026-12-31 17:00"
    with pytest.raises(UnknownYearError, match="the holidays of 2027 are not known"):
        hours.after(at("2026-12-31 10:00"), 7 * WORK_HOUR_MS + 1)


def test_bounds() -> None:
    """A bank that never opens ends, more hours than a year's are refused, and hours lie within a day."""
    shut = WorkingTime(540, 1020, SHANGHAI, lambda _day: False)
    with pytest.raises(UnknownYearError):
        shut.after(at("2026-01-01 00:00"), 1)
    with pytest.raises(ValueError, match="working time"):
        shut.after(0, WORK_HOURS_MAX * WORK_HOUR_MS + 1)
    for opens, closes in ((600, 600), (-1, 5), (0, 1441)):
        with pytest.raises(ValueError, match="none of a day"):
            WorkingTime(opens, closes, SHANGHAI, lambda _day: True)
