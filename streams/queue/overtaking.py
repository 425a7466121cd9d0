"""Who overtakes whom: how much later he may have come, and why it happened."""

from __future__ import annotations

from typing import Final

from streams.queue.discipline import HEAD_START, RATIO, STRICT, Discipline
from streams.queue.simulation import CounterCall, HallTicket

BY_CLASS, BY_RISE, BY_FALL, BY_ROUND, BY_CAP = "class", "rise", "fall", "round", "cap"
OVERTAKING_CAUSES: Final = (BY_CLASS, BY_RISE, BY_FALL, BY_ROUND, BY_CAP)
"""Classes on arrival; the overtaker's rose; the waiting one's fell; the counter's round of `ratio`; the cap was reached."""


def overtaking_limit_s(rule: Discipline, waiting: int, by: int) -> int | None:
    """Who came so many seconds after a ticket of class `waiting`, or later, is not called before it as one of class `by`.

    0: nobody of that class overtakes it; None: there is no limit. It holds for the classes of the moment of the call, among
    the tickets that the calling counter may serve, and counts from the arrivals of `arrival_after`. A ticket that is
    called because the cap is reached (`TicketCall.capped`) is bound by the cap alone.
    """
    if rule.order == HEAD_START:
        return max(0, rule.head_starts_s[by] - rule.head_starts_s[waiting])
    if rule.order == RATIO:
        return None if by != waiting else 0
    return None if rule.order == STRICT and by < waiting else 0


def overtaking_cause(rule: Discipline, tickets: list[HallTicket], waiting: int, one: CounterCall) -> str:
    """Why a waiting ticket was overtaken by the call of another one: one of OVERTAKING_CAUSES."""
    if one.call.capped:
        return BY_CAP
    if rule.order == RATIO:
        return BY_ROUND

    def rank(number: int, at_s: int) -> tuple[int, int, int]:
        return rule.rank(tickets[number].class_at(at_s), (tickets[number].arrives_s, number))

    def on_arrival(number: int) -> tuple[int, int, int]:
        return rank(number, tickets[number].arrives_s)

    by = one.call.ticket
    if on_arrival(by) < on_arrival(waiting):
        return BY_CLASS
    return BY_RISE if rank(by, one.at_s) < on_arrival(waiting) else BY_FALL
