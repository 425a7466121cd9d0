"""What pages show of a branch, out of its state: numbers, classes and times, nothing of customers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.queue.tickets.position import class_code

if TYPE_CHECKING:
    from policies.compiled.queue import CompiledQueue

BranchState = dict[str, Any]
LONGEST_SHOWN: Final = 10
VIPS_SHOWN: Final = 10
CALLS_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class WaitingTicket:
    """A ticket that waits: how long, and how many have overtaken it."""

    place: int
    number: str
    queue_class: str
    service: str
    minutes: int
    overtaken_by: int


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Who waits of a class, and since when the first of them."""

    queue_class: str
    waiting: int
    longest_minutes: int


@dataclass(frozen=True, slots=True)
class LobbyView:
    """What the lobby sees. `arrived`: who waits for the VIP area, the last one first."""

    classes: list[ClassRow]
    longest: list[WaitingTicket]
    arrived: list[WaitingTicket]
    counters: list[dict[str, Any]]
    closed: str

    @property
    def newest(self) -> int:
        """Place of the last one for the VIP area; 0: there is none."""
        return self.arrived[0].place if self.arrived else 0


def _ticket(one: dict[str, Any], now: int) -> WaitingTicket:
    minutes = max(0, now - one["arrival"]) // 60_000
    return WaitingTicket(one["place"], one["number"], one["class"], one["service"], minutes, one["passed"])


def lobby_view(queue: CompiledQueue, state: BranchState) -> LobbyView:
    """The lobby's view of a branch."""
    now = state["now"]
    here = [one for one in state["tickets"] if one["arrival"] <= now]  # a booked one may not have come yet
    waiting = sorted((_ticket(one, now) for one in here), key=lambda one: (-one.minutes, one.place))
    by_class = {
        name: [one for one in waiting if class_code(queue, one.queue_class) == code]
        for code, name in enumerate(queue.ids)
    }
    arrived = sorted((_ticket(one, now) for one in here if one["vip"]), key=lambda one: -one.place)
    rows = [
        ClassRow(name, len(found), max((one.minutes for one in found), default=0)) for name, found in by_class.items()
    ]
    counters = sorted(state["counters"], key=lambda one: str(one["name"]))
    return LobbyView(rows, waiting[:LONGEST_SHOWN], arrived[:VIPS_SHOWN], counters, state["closed"])


@dataclass(frozen=True, slots=True)
class CounterView:
    """What a counter sees: its ticket, and how many wait whom it may call."""

    name: str
    ticket: dict[str, Any] | None
    minutes: int
    paused: bool
    waiting: int
    services: list[str]


def counter_view(state: BranchState, name: str) -> CounterView:
    """A counter's view of its branch; of one that has done nothing yet too."""
    own: dict[str, Any] = next((one for one in state["counters"] if one["name"] == name), {})
    ticket, now = own.get("at_work"), state["now"]
    waiting = [
        one
        for one in state["tickets"]
        if one["arrival"] <= now
        and (not own.get("classes") or one["class"] in own["classes"])
        and (not own.get("services") or one["service"] in own["services"])
    ]
    minutes = 0 if ticket is None else max(0, now - ticket["called"]) // 60_000
    return CounterView(name, ticket, minutes, bool(own.get("paused")), len(waiting), _services(state))


def _services(state: BranchState) -> list[str]:
    """Services that the branch is known to have."""
    known: Iterable[list[str]] = (one.get("services") or [] for one in state["counters"])
    at_work = {one["at_work"]["service"] for one in state["counters"] if one.get("at_work")}
    return sorted({one["service"] for one in state["tickets"]} | {name for part in known for name in part} | at_work)


def hall_calls(state: BranchState) -> list[dict[str, Any]]:
    """The last calls, newest first; of a ticket that was called again the last one alone."""
    found: dict[str, dict[str, Any]] = {}
    for call in state["shown"]:
        found.setdefault(call["number"], call)
    return list(found.values())[:CALLS_SHOWN]
