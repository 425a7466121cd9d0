"""How long a waiting ticket may still wait: a forecast through the discipline, and an interval learnt from past days.

The forecast lets the counters go on with services of typical length and nobody new coming. What days that are over show of its
error, for tickets of the same class and a like forecast, makes the interval: between the 10th and the 90th percentile of
the error, so that it holds eight true waits of ten (split conformal prediction; Vovk et al., 2005). It makes no claim for
days that are unlike those it has learnt from.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from streams.queue.discipline import Hall
from streams.queue.simulation import CounterCall, HallCounter

PERCENT_BELOW: Final = 10
PERCENT_UP_TO: Final = 90
GROUP_MIN: Final = 100
"""Past tickets that an interval is learnt from, at least; a class that has fewer is judged with all others."""

GROUPS_MAX: Final = 16


class PastWait(NamedTuple):
    """A ticket that had to wait: its class, what was forecast when it came, and how long it was."""

    queue_class: int
    forecast_s: int
    wait_s: int


class _Group(NamedTuple):
    """Forecasts up to `until_s`, and the error of a wait at both ends of the interval."""

    until_s: int
    low_s: int
    high_s: int


def forecast_wait_s(
    hall: Hall,
    at_s: int,
    ticket: int,
    counters: Sequence[HallCounter],
    at_work: Sequence[CounterCall | None],
    typical_s: Sequence[int],
) -> int | None:
    """The further wait of a ticket if services take `typical_s` of their class and nobody comes; None: not before closing.

    at_work: by counter, the call that it works on.
    """
    ahead, free = hall.copied(), list[tuple[int, int]]()
    for number, (counter, one) in enumerate(zip(counters, at_work, strict=True)):
        free_s = at_s
        if one is not None:
            free_s += _rest_s(typical_s[one.queue_class], at_s - one.at_s)
        free.append((max(free_s, counter.opens_s), number))
    heapify(free)
    while free:
        now_s, number = heappop(free)
        counter = counters[number]
        call = ahead.call(now_s, counter.classes, number) if now_s < counter.closes_s else None
        if call is None:
            continue
        if call.ticket == ticket:
            return now_s - at_s
        heappush(free, (now_s + typical_s[hall.discipline.class_of(call.lane)], number))
    return None


def _rest_s(typical_s: int, passed_s: int) -> int:
    """What a service still takes on average: of one in two exponential halves (Erlang), from the whole down to a half."""
    return max(1, typical_s * (typical_s + passed_s) // (typical_s + 2 * passed_s))


@dataclass(frozen=True, slots=True)
class WaitTable:
    """What past waits teach about forecasts: groups by class, those of the shortest forecasts first; under -1 of all classes."""

    groups: dict[int, tuple[_Group, ...]]

    def interval_s(self, queue_class: int, forecast_s: int) -> tuple[int, int]:
        """Between these a wait lies eight times in ten."""
        groups = self.groups.get(queue_class) or self.groups[-1]
        at = bisect_left(groups, (forecast_s,))
        group = groups[min(at, len(groups) - 1)]
        return max(0, forecast_s + group.low_s), max(0, forecast_s + group.high_s)


def learnt_waits(past: Iterable[PastWait]) -> WaitTable:
    """The table of these waits. ValueError where they are too few."""
    by_class: dict[int, list[PastWait]] = {-1: []}
    for one in past:
        by_class.setdefault(one.queue_class, []).append(one)
        by_class[-1].append(one)
    if len(by_class[-1]) < GROUP_MIN:
        raise ValueError(f"{len(by_class[-1])} past waits, at least {GROUP_MIN} are needed")
    return WaitTable({code: _groups(waits) for code, waits in by_class.items() if len(waits) >= GROUP_MIN})


def _groups(waits: list[PastWait]) -> tuple[_Group, ...]:
    """Waits by forecast, cut into groups of about one size; the same forecast stands in one group."""
    ordered = sorted(waits, key=lambda one: one.forecast_s)
    size = -(-len(ordered) // min(GROUPS_MAX, len(ordered) // GROUP_MIN))
    found, group = list[_Group](), list[PastWait]()
    for place, one in enumerate(ordered):
        group.append(one)
        last = place + 1 == len(ordered)
        if last or (len(group) >= size and ordered[place + 1].forecast_s > one.forecast_s):
            errors = sorted(other.wait_s - other.forecast_s for other in group)
            found.append(_Group(one.forecast_s, _quantile(errors, PERCENT_BELOW), _quantile(errors, PERCENT_UP_TO)))
            group = []
    return tuple(found)


def _quantile(ordered: list[int], percent: int) -> int:
    """The order statistic at a percentage, counted as of one more than there are."""
    place = -((len(ordered) + 1) * -percent // 100)
    return ordered[min(max(place, 1), len(ordered)) - 1]
