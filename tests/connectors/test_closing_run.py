"""What a close will do and which closes count, against twins that go day by day and record by record."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.loading.closing_run import AHEAD_MAX, Closed, Known, applied, plan_run
from streams.calendar import date_of, day_of
from streams.closing import GAP_DAYS_MAX

BASE = day_of(date(2026, 5, 1))
DAYS = st.integers(BASE, BASE + 60)
ANY_REASON = st.one_of(st.none(), st.just("renovation"))


def open_days(since: int, until: int, calendar: dict[int, bool]) -> int:
    """Business days behind one day and up to another, by walking over them."""
    at, count = date_of(since), 0
    while day_of(at) < until:
        at += timedelta(days=1)
        count += calendar.get(day_of(at), at.isoweekday() <= 5)
    return count


@given(
    asked=DAYS, last=st.one_of(st.none(), DAYS), booked=st.one_of(st.none(), DAYS),
    calendar=st.dictionaries(DAYS, st.booleans(), max_size=30), own=st.booleans(),
)  # fmt: skip
def test_plans_as_one_who_walks_over_the_days(
    asked: int, last: int | None, booked: int | None, calendar: dict[int, bool], own: bool
) -> None:
    """The run's days, and whether it needs force: by the last close, and by bookings where somebody has typed the day."""
    plan = plan_run(asked, last, Known(booked, calendar), own=own)
    if last is not None and asked <= last:
        assert (list(plan.days), plan.unusual) == ([], ())
        return
    assert list(plan.days) == [
        day for day in range(BASE, asked + 1) if day == asked or (last is not None and day > last)
    ]
    too_far = last is not None and (open_days(last, asked, calendar) > AHEAD_MAX or asked - last > GAP_DAYS_MAX)
    unbooked = booked is not None and open_days(booked, asked, calendar) > AHEAD_MAX
    assert bool(plan.unusual) == (too_far or (unbooked and not own))


def test_a_holiday_week_is_ordinary() -> None:
    """Closed days do not count: after a week of holidays the first day back needs no force, and says why without them."""
    last, asked = day_of(date(2026, 9, 30)), day_of(date(2026, 10, 14))
    shut = {day_of(date(2026, 10, n)): False for n in range(1, 8)}
    assert plan_run(asked, last, Known(None, shut)).unusual == ()
    [why] = plan_run(asked, last, Known()).unusual
    assert why == "2026-10-14 is 10 business days past the last close, 2026-09-30; up to 7 are ordinary"


def runs() -> st.SearchStrategy[list[Closed]]:
    """Records as a log may have them: runs of some days, old records, repeated and retracted ones."""
    record = st.builds(
        Closed, day=DAYS, source=st.none(), asked=st.one_of(st.none(), DAYS), last_closed=st.one_of(st.none(), DAYS),
        force_reason=ANY_REASON, retracts=st.one_of(st.none(), st.none(), DAYS),
    )  # fmt: skip
    return st.lists(record, max_size=12)


@given(runs())
def test_which_closes_count(records: list[Closed]) -> None:
    """The twin keeps nothing but the days that count; and a log whose records are read twice says the same."""
    closed: list[int] = []
    waiting: set[int] = set()
    for one in records:
        if one.retracts is not None:
            waiting.discard(one.retracts)
        elif not closed or one.day > closed[-1]:
            since = closed[-1] if closed else one.last_closed
            if one.asked is None or one.force_reason or since is None or one.asked <= since + GAP_DAYS_MAX:
                closed.append(one.day)
            else:
                waiting.add(one.asked)
    found = applied(records)
    assert [one.day for one in found.applied] == closed
    assert sorted(found.aside) == sorted(day for day in waiting if not closed or day > closed[-1])


@given(runs(), st.data())
def test_what_a_takeover_has_left_out_counts_nowhere(records: list[Closed], data: st.DataObject) -> None:
    """As if the run's records were not there; what takes runs back is no run."""
    left_out = frozenset(
        data.draw(st.lists(st.sampled_from([one.run for one in records]), max_size=3)) if records else ()
    )
    others = [one for one in records if one.retracts is not None or one.run not in left_out]
    assert applied(records, left_out) == applied(others)


@given(st.lists(st.tuples(DAYS, ANY_REASON), max_size=6))
def test_what_the_closer_plans_counts(asked: list[tuple[int, str | None]]) -> None:
    """A run that needed no force, or was forced, is never set aside: closer and worker have one rule."""
    log: list[Closed] = []
    for day, reason in asked:
        plan = plan_run(day, applied(log).last, Known())
        if not plan.unusual or reason:
            why = reason if plan.unusual else None
            log += [Closed(each, None, day, plan.last, why) for each in plan.days]
        found = applied(log)
        assert not found.aside
        assert [one.day for one in found.applied] == [one.day for one in log]
