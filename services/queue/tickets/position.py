"""What somebody who waits is told: how many are before him and why, how long it may take, and how far he can be overtaken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from streams.queue.discipline import Hall, TicketCall
from streams.queue.estimates import PastWait, WaitTable, forecast_wait_s, learnt_waits
from streams.queue.overtaking import overtaking_limit_s
from streams.queue.simulation import CounterCall, HallCounter

if TYPE_CHECKING:
    from policies.compiled.queue import CompiledQueue

SERVICE_S: Final = 300
"""How long a service takes of a class that nobody has been served of."""

COUNTER_OPEN_S: Final = 1800
"""A counter that has done nothing for so long is taken for closed."""

FORECAST_WAITING_MAX: Final = 300
"""Beyond so many that wait no time is told."""

FIRST_ERRORS: Final = (
    (190, -168, 42), (210, -181, 91), (237, -186, 168), (299, -145, 307), (505, -244, 310), (544, -217, 352),
    (786, -189, 337), (828, -281, 287), (1095, -233, 363), (1161, -222, 384), (1410, -267, 442), (1676, -233, 548),
    (1750, -268, 490), (2024, -293, 521), (2359, -339, 406), (3530, -504, 331),
)  # fmt: skip
"""Until a branch's own days are enough: forecasts up to so many seconds, and the 10th and 90th percentile of their error on
twenty days of the profile that ships, of services that take SERVICE_S (tests/queue/test_estimates.py tries them on others)."""

MOVES: Final = ("reranked", "transferred", "returned")
"""Causes by which a ticket that has been issued comes to wait elsewhere."""

NO_CLASS: Final = -2
_DAY_S: Final = 86_400
_Ticket = dict[str, Any]


def class_code(queue: CompiledQueue, queue_class: str) -> int:
    """The code of a class; of one that the pack no longer has, the last."""
    return queue.codes.get(queue_class, len(queue.ids) - 1)


def _full(queue: CompiledQueue, ticket: _Ticket) -> bool:
    most = queue.discipline.overtakers_max
    return most is not None and ticket["passed"] >= most


def _rank(queue: CompiledQueue, ticket: _Ticket) -> tuple[int, ...]:
    """By what tickets are compared, times in milliseconds."""
    arrival, code, rule = ticket["arrival"], class_code(queue, ticket["class"]), queue.discipline
    key = arrival - 1000 * rule.head_starts_s[code]
    first = {"head_start": key, "first_come": 0}.get(rule.order, code)
    return (first, arrival, ticket["place"])


def before(queue: CompiledQueue, waiting: Iterable[_Ticket], own: _Ticket, now: int) -> list[tuple[_Ticket, str]]:
    """Who of those that wait for the same service would be called first, each with why he stands there.

    The why is empty for whoever was before it when it began to wait where it waits now.
    """
    found = []
    for other in waiting:
        if other["place"] == own["place"] or other["service"] != own["service"] or other["arrival"] > now:
            continue
        ordered, full, own_full = _rank(queue, other) < _rank(queue, own), _full(queue, other), _full(queue, own)
        earlier = (other["arrival"], other["place"]) < (own["arrival"], own["place"])
        if own_full and not (full and earlier):
            continue
        if not ordered and not full:
            continue
        later = _began(other) > (own["since"], own.get("joined", 0), own["place"])
        cause = "cap" if full and (own_full or not ordered) else _cause(other) if later else ""
        found.append((other, cause))
    return found


def _began(ticket: _Ticket) -> tuple[int, int, int]:
    """When a ticket began to count where it waits: an appointment with its time. Instants may be equal, steps never are."""
    return max(ticket["since"], ticket["arrival"]), ticket.get("joined", 0), ticket["place"]


def _cause(ticket: _Ticket) -> str:
    """How a ticket came to stand where it stands."""
    if ticket["cause"] == "issued":
        return "appointment" if ticket.get("booked") else "class"
    return str(ticket["cause"])


def ahead_causes(found: list[tuple[_Ticket, str]]) -> list[dict[str, Any]]:
    """The same, counted: cause, class, how many."""
    counts = Counter((cause, ticket["class"]) for ticket, cause in found if cause)
    return [{"cause": cause, "queue_class": name, "tickets": count} for (cause, name), count in sorted(counts.items())]


def own_move(ticket: _Ticket) -> dict[str, Any] | None:
    """Why and when a waiting ticket came to wait where it waits now, in milliseconds; None: there it was issued."""
    return {"cause": ticket["cause"], "at": ticket["since"]} if ticket["cause"] in MOVES else None


def bounds_of(queue: CompiledQueue, queue_class: str) -> list[dict[str, Any]]:
    """By whom a class can be overtaken, and how many minutes later he may have come; None: there is no limit."""
    own, found = class_code(queue, queue_class), []
    for code, name in enumerate(queue.ids):
        limit = overtaking_limit_s(queue.discipline, own, code)
        if limit != 0:
            found.append({"queue_class": name, "minutes": None if limit is None else limit // 60})
    return found


@cache
def first_table() -> WaitTable:
    """The intervals of FIRST_ERRORS: as learnt from waits of no class, a hundred of each forecast, with these percentiles."""
    return learnt_waits(
        PastWait(NO_CLASS, forecast_s, forecast_s + low + (high - low) * (place - 11) // 80)
        for forecast_s, low, high in FIRST_ERRORS
        for place in range(1, 101)
    )


@dataclass(slots=True)
class Learnt:
    """What past days teach: the services by class in seconds, and the intervals; before there are enough, those that ship."""

    typical_s: dict[str, int]
    table: WaitTable = field(default_factory=first_table)

    @classmethod
    def of(cls, queue: CompiledQueue, waits: list[list[Any]], typical_s: dict[str, int]) -> Learnt:
        """From what the store keeps."""
        past = [PastWait(class_code(queue, name), forecast, wait) for name, forecast, wait in waits]
        try:
            return cls(typical_s, learnt_waits(past))
        except ValueError:
            return cls(typical_s)


def forecast_of(queue: CompiledQueue, state: _Ticket, own: _Ticket, learnt: Learnt) -> int | None:
    """The further wait of a ticket in seconds. None where no counter is at work, or too many wait."""
    now_s, waiting = state["now"] // 1000, state["tickets"]
    if len(waiting) > FORECAST_WAITING_MAX:
        return None
    services = sorted({one["service"] for one in waiting} | {own["service"]})
    hall = Hall(queue.discipline)

    def lane(ticket: _Ticket) -> int:
        return hall.discipline.lane(class_code(queue, ticket["class"]), services.index(ticket["service"]))

    for one in waiting:
        if one["place"] != own["place"]:
            hall.join(one["place"], one["arrival"] // 1000, lane(one), one["passed"])
    hall.join(own["place"], own["arrival"] // 1000, lane(own), own["passed"])
    counters, at_work = list[HallCounter](), list[CounterCall | None]()
    lanes_of = dict[tuple[Any, ...], tuple[int, ...]]()  # most counters take the same
    for counter in state["counters"]:
        work = counter.get("at_work")
        if work is None and (counter.get("paused") or now_s - counter.get("since", 0) // 1000 > COUNTER_OPEN_S):
            continue
        takes = (*(counter.get("services") or ()), None, *(counter.get("classes") or ()))
        if takes not in lanes_of:
            lanes_of[takes] = tuple(
                hall.discipline.lane(class_code(queue, name), place)
                for place, service in enumerate(services)
                if not counter.get("services") or service in counter["services"]
                for name in counter.get("classes") or queue.ids
            )
        counters.append(HallCounter(0, 0 if counter.get("paused") else now_s + _DAY_S, lanes_of[takes]))
        at_work.append(None if work is None else _call(queue, work))
    typical = [learnt.typical_s.get(name, SERVICE_S) for name in queue.ids]
    return forecast_wait_s(hall, now_s, own["place"], counters, at_work, typical) if counters else None


def _call(queue: CompiledQueue, work: _Ticket) -> CounterCall:
    """The call that a counter works on, as the forecast takes it: when it was, and of which class."""
    code = class_code(queue, work["class"])
    return CounterCall(
        work["called"] // 1000, 0, code, TicketCall(work["place"], work["arrival"] // 1000, code, 0, False, ())
    )
