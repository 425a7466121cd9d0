"""The slow twins of the queue: the definitions written down one by one, in lists that are gone through from end to end.

`SlowHall` is the discipline; `slow_day` a branch's day, second by second, from the rows of the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streams.queue.discipline import Discipline


@dataclass
class SlowTicket:
    """A waiting ticket, and who has overtaken it since it came."""

    number: int
    arrival: int
    queue_class: int
    service: int
    passed: list[int] = field(default_factory=list)

    @property
    def place(self) -> tuple[int, int]:
        return self.arrival, self.number


@dataclass
class SlowHall:
    """All waiting tickets in one list."""

    rule: Discipline
    tickets: list[SlowTicket] = field(default_factory=list)
    left: dict[int, dict[int, int]] = field(default_factory=dict)

    def of(self, number: int) -> SlowTicket:
        return next(ticket for ticket in self.tickets if ticket.number == number)

    def call(self, now: int, may: set[tuple[int, int]], counter: int) -> tuple[SlowTicket, list[int], bool] | None:
        """The called ticket, whom it overtakes, and whether the cap decided. `may`: (service, class) of the counter."""
        here = [t for t in self.tickets if t.arrival <= now and (t.service, t.queue_class) in may]
        if not here:
            return None
        cap = self.rule.overtakers_max
        full = [t for t in here if cap is not None and len(t.passed) >= cap]
        chosen = min(full, key=lambda t: t.place) if full else self.first(here, counter)
        if counter in self.left:
            self.left[counter][chosen.queue_class] = max(0, self.left[counter][chosen.queue_class] - 1)
        self.tickets.remove(chosen)
        overtaken = [t for t in here if t is not chosen and t.place < chosen.place]
        for ticket in overtaken:
            ticket.passed.append(chosen.number)
        return chosen, sorted(t.number for t in overtaken), bool(full)

    def first(self, here: list[SlowTicket], counter: int) -> SlowTicket:
        """By the order alone."""
        rule = self.rule
        match rule.order:
            case "head_start":
                return min(here, key=lambda t: (t.arrival - rule.head_starts_s[t.queue_class], t.arrival, t.number))
            case "strict":
                return min(here, key=lambda t: (t.queue_class, t.arrival, t.number))
            case "first_come":
                return min(here, key=lambda t: t.place)
        full = dict(enumerate(rule.round_calls))
        left = self.left.setdefault(counter, dict(full))
        if not any(left[t.queue_class] for t in here):
            left.update(full)
        having = [t for t in here if left[t.queue_class]]
        return min(having, key=lambda t: (t.queue_class, t.arrival, t.number))


def class_at(row: dict[str, str], second: int) -> str:
    """The class of a ticket at a second: the last of its changes so far, in time and then in the row; else its own."""
    found, at_last = row["class"], -1
    for part in filter(None, row["changes"].split(";")):
        at, name = part.split(":")
        if int(at) <= second and int(at) >= at_last:
            found, at_last = name, int(at)
    return found


def slow_day(
    tickets: list[dict[str, str]],
    counters: list[dict[str, str]],
    classes: list[str],
    head_starts: list[int],
    order: str,
) -> list[dict[str, Any]]:
    """The rows of the outcome, for the orders that have no rounds."""
    called: dict[int, tuple[int, int]] = {}  # ticket -> (second, counter)
    calling: list[int] = []  # tickets in the order of calling
    free = [0] * len(counters)
    ends = [int(row["arrives_at"]) for row in tickets] + [int(row["closes_at"]) for row in counters]
    for second in range(max(ends) + 1):
        for number, counter in enumerate(counters):
            if free[number] > second or not int(counter["opens_at"]) <= second < int(counter["closes_at"]):
                continue
            here = [at for at in range(len(tickets)) if at not in called and serves(counter, tickets[at], second)]
            if not here:
                continue
            chosen = min(here, key=lambda at: rank(tickets[at], at, second, classes, head_starts, order))
            called[chosen] = second, number
            calling.append(chosen)
            free[number] = second + int(tickets[chosen]["service_seconds"])
    return [outcome(at, tickets, counters, called, calling) for at in range(len(tickets))]


def serves(counter: dict[str, str], ticket: dict[str, str], second: int) -> bool:
    """Whether a ticket is there, as far as its arrival goes, and of a class that the counter may call."""
    if int(ticket["arrives_at"]) > second:
        return False
    return not counter["classes"] or class_at(ticket, second) in counter["classes"].split(";")


def rank(
    ticket: dict[str, str], at: int, second: int, classes: list[str], head_starts: list[int], order: str
) -> tuple[int, ...]:
    """What is called first has the smallest."""
    arrival, code = int(ticket["arrives_at"]), classes.index(class_at(ticket, second))
    first = {"head_start": arrival - head_starts[code], "strict": code, "first_come": 0}[order]
    return first, arrival, at


def outcome(
    at: int,
    tickets: list[dict[str, str]],
    counters: list[dict[str, str]],
    called: dict[int, tuple[int, int]],
    calling: list[int],
) -> dict[str, Any]:
    """A ticket's row: of those that came after it, which were called before it by a counter that might have called it."""
    own = tickets[at]
    overtakers = []
    for other in calling:
        second, counter = called[other]
        if other == at:
            break
        later = (int(tickets[other]["arrives_at"]), other) > (int(own["arrives_at"]), at)
        if later and int(own["arrives_at"]) <= second and serves(counters[counter], own, second):
            overtakers.append(tickets[other]["ticket"])
    second, number = called.get(at, (None, None))
    return {
        "ticket": own["ticket"], "called_at": "" if second is None else str(second),
        "counter": "" if number is None else counters[number]["counter"], "overtaken_by": ";".join(overtakers),
    }  # fmt: skip


@dataclass
class SlowCashRequest:
    """An open cash request; `queue_class`: 0 is met first."""

    number: int
    day: str
    currency: str
    amount_minor: int
    queue_class: int
    asked_s: int
    references: tuple[str, ...]


@dataclass
class SlowCash:
    """All open cash requests of a branch in one list."""

    requests: list[SlowCashRequest] = field(default_factory=list)

    def before(self, own: SlowCashRequest) -> list[SlowCashRequest]:
        """Who is met before it: a higher class, or the same one and asked before."""
        rivals = [one for one in self.requests if (one.day, one.currency) == (own.day, own.currency)]
        higher = [one for one in rivals if one.queue_class < own.queue_class]
        same = [one for one in rivals if one.queue_class == own.queue_class]
        return higher + [one for one in same if (one.asked_s, one.number) < (own.asked_s, own.number)]

    def waits_for_higher(self, own: SlowCashRequest) -> bool:
        return any(one.queue_class < own.queue_class for one in self.before(own))

    def day(self, day: str) -> list[tuple[int, int]]:
        """Number and position of a day's requests, all currencies together, in the order in which they are met."""
        left, found = [one for one in self.requests if one.day == day], []
        while left:
            first = left[0]
            for one in left:
                if (one.queue_class, one.asked_s, one.number) < (first.queue_class, first.asked_s, first.number):
                    first = one
            left.remove(first)
            found.append((first.number, 1 + len(self.before(first))))
        return found
