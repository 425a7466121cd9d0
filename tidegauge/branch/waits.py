"""How well estimated waits hold: learnt from days of a profile, tried on others of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas import bounds
from streams.queue.discipline import Hall
from streams.queue.estimates import PastWait, WaitTable, forecast_wait_s, learnt_waits
from streams.queue.simulation import CounterCall, HallTicket, simulate_day
from tidegauge.branch.day import BranchDay


class Held(NamedTuple):
    """Of the tickets of a class: how many were called at once, how many had to wait, and of how many the interval held it.

    low: tickets that waited less than the interval; the others that it did not hold waited longer.
    """

    queue_class: str
    at_once: int
    waited: int
    held: int
    low: int
    width_median_s: int

    @property
    def percent(self) -> int | None:
        """Held, of a hundred that had to wait."""
        return _percent(self.held, self.waited)

    @property
    def percent_of_all(self) -> int | None:
        """Of a hundred tickets; who was called at once was told so."""
        return _percent(self.held + self.at_once, self.waited + self.at_once)


def typical_services(days: Iterable[BranchDay]) -> list[int]:
    """The mean service of each class in these days, in seconds; 1 for a class without any."""
    days = list(days)
    sums = [[0, 0] for _ in days[0].queue.ids]
    for ticket in (ticket for day in days for ticket in day.tickets.values()):
        sums[ticket.queue_class][0] += ticket.service_s
        sums[ticket.queue_class][1] += 1
    return [max(1, total // count) if count else 1 for total, count in sums]


def waits_of(day: BranchDay, typical_s: Sequence[int]) -> tuple[list[PastWait], list[int]]:
    """The tickets of a day that had to wait, each with its forecast on arrival; and the class of each that hadn't.

    Left out are tickets for which no counter was open on arrival, and those that were never called.
    """
    tickets, counters = list(day.tickets.values()), list(day.counters.values())
    forecasts: dict[int, int] = {}
    arriving = _by_arrival(tickets)

    def seen(at_s: int, hall: Hall, at_work: list[CounterCall | None]) -> None:
        for number in arriving.get(at_s, ()):
            if number in hall:
                forecast = forecast_wait_s(hall, at_s, number, counters, at_work, typical_s)
                if forecast is not None:
                    forecasts[number] = forecast

    found = simulate_day(tickets, counters, day.queue.discipline, bounds.HALL_OVERTAKINGS_MAX, seen).by_ticket()
    waits, at_once = list[PastWait](), list[int]()
    for number, one in found.items():
        ticket = tickets[number]
        code = ticket.class_at(ticket.arrives_s)
        if one.at_s == ticket.arrives_s:
            at_once.append(code)
        elif number in forecasts:
            waits.append(PastWait(code, forecasts[number], one.at_s - ticket.arrives_s))
    return waits, at_once


def held_waits(learn_from: Sequence[BranchDay], days: Sequence[BranchDay]) -> list[Held]:
    """By class, and of all in the last row: what intervals that were learnt from some days say of others.

    ValueError where too few had to wait.
    """
    typical_s = typical_services(learn_from)
    table = learnt_waits(one for day in learn_from for one in waits_of(day, typical_s)[0])
    waits: list[PastWait] = []
    at_once: list[int] = []
    for day in days:
        waited, called = waits_of(day, typical_s)
        waits += waited
        at_once += called
    ids = days[0].queue.ids
    rows = [
        _held(name, [one for one in waits if one.queue_class == code], at_once.count(code), table)
        for code, name in enumerate(ids)
    ]
    return [*rows, _held("", waits, len(at_once), table)]


def _held(name: str, waits: Sequence[PastWait], at_once: int, table: WaitTable) -> Held:
    intervals = [(*table.interval_s(one.queue_class, one.forecast_s), one.wait_s) for one in waits]
    widths = sorted(high - low for low, high, _ in intervals)
    return Held(
        name, at_once, len(waits), sum(low <= wait <= high for low, high, wait in intervals),
        sum(wait < low for low, _, wait in intervals), widths[len(widths) // 2] if widths else 0,
    )  # fmt: skip


def _percent(part: int, whole: int) -> int | None:
    return None if not whole else (200 * part + whole) // (2 * whole)


def _by_arrival(tickets: Sequence[HallTicket]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, ticket in enumerate(tickets):
        found.setdefault(ticket.arrives_s, []).append(number)
    return found
