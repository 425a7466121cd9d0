"""A branch's tickets and cash requests as its log has them. What log and store differ in is said, not guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from streams.calendar import DAY_MAX, DAY_MIN, date_of

LIVE_STATES: Final = ("waiting", "called", "no_show")
_CASH_NUMBER: Final = re.compile(r"[1-9][0-9]{0,14}")
_CASH_COMPARED: Final = ("class", "wanted", "amount", "currency", "arrival")
_Step = dict[str, Any]

_COMPARED: Final = {
    "queue_class": "class",
    "service": "service",
    "arrival": "arrival",
    "passed": "passed",
    "state": "state",
}
"""Of a ticket: names in the log and in the store."""


@dataclass(slots=True)
class LoggedBranch:
    """The steps of a branch in their order, each once.

    holes: numbers that the log does not have, of a stretch the first. disputed: those that it has with two contents.
    """

    steps: list[_Step] = field(default_factory=list)
    holes: list[int] = field(default_factory=list)
    disputed: list[int] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        """Of the last step; 0: there is none."""
        return self.steps[-1]["sequence"] if self.steps else 0

    def tickets(self) -> dict[int, _Step]:
        """By place: the last step that says all of a ticket, with how often it has been overtaken since."""
        found: dict[int, _Step] = {}
        by_id: dict[str, int] = {}
        for step in self.steps:
            if not step["place"]:
                continue
            found[step["place"]] = dict(step)
            by_id[step["ticket_id"]] = step["place"]
            for name in step["overtaken"]:
                if name in by_id:
                    found[by_id[name]]["passed"] += 1
        return found

    def live(self) -> dict[int, _Step]:
        """Those that are not at their end."""
        return {place: one for place, one in self.tickets().items() if one["state"] in LIVE_STATES}

    def cash_steps(self) -> dict[int, _Step]:
        """By number: the last step of each cash request, which says all of it."""
        named = (
            one for one in self.steps if one["action"].startswith("cash_") and _CASH_NUMBER.fullmatch(one["number"])
        )
        return {int(step["number"]): step for step in named}

    def open_cash(self) -> dict[int, _Step]:
        """By number: the cash requests that are not at their end, as the store has them."""
        return {
            number: found
            for number, step in self.cash_steps().items()
            if step["state"] == "open" and (found := _stored_cash(step)) is not None
        }

    def counters(self) -> dict[str, _Step]:
        """By counter: whether it pauses, and what it takes."""
        found: dict[str, _Step] = {}
        for step in self.steps:
            if step["counter"] is None:
                continue
            own = found.setdefault(step["counter"], {})
            if step["action"] in ("paused", "resumed"):
                own["paused"] = step["action"] == "paused"
            if step["action"] == "equipped":
                own |= _equipment(step["reason"])
        return {name: {key: value for key, value in own.items() if value} for name, own in found.items()}


def _stored_cash(step: _Step) -> _Step | None:
    """A cash request of the log as the store has it; None where it is no step of ours."""
    day, amount, currency = step["wanted_day"], step["amount_minor"], step["currency"]
    if day is None or not DAY_MIN <= day < DAY_MAX or None in (amount, currency, step["arrival"]):
        return None
    found = {
        "id": step["ticket_id"], "number": step["number"], "class": step["queue_class"], "degraded": step["degraded"],
        "service": step["service"], "state": step["state"], "arrival": step["arrival"], "wanted": date_of(day).isoformat(),
        "amount": str(amount), "currency": currency, "ref": step["customer_ref"], "ref2": step["previous_ref"],
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _equipment(text: str | None) -> _Step:
    """Classes and services of a counter, as its step has them; all where it does not say."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = {}
    return {name: found.get(name) if isinstance(found, dict) else None for name in ("classes", "services")}


def _open_class(issued: _Step) -> str | None:
    """The class of neither card nor tier that a ticket was given, such as elderly."""
    begin, _, found = (issued["reason"] or "").partition(" ")
    return found if begin == "open" and found and issued["action"] == "issued" else None


def logged_branch(records: Iterable[_Step]) -> LoggedBranch:
    """The branch of these records of `queue-tickets`, in any order; a step that was carried twice counts once."""
    by_number: dict[int, _Step] = {}
    disputed = []
    for record in records:
        known = by_number.setdefault(record["sequence"], record)
        if known["event_id"] != record["event_id"]:
            disputed.append(record["sequence"])
    numbers = sorted(by_number)
    holes = [one + 1 for one, other in pairwise(numbers) if other != one + 1]
    return LoggedBranch([by_number[number] for number in numbers], holes, sorted(set(disputed)))


def queue_differences(logged: LoggedBranch, state: _Step, stored: dict[int, _Step]) -> list[str]:
    """What the log and the store of a branch say otherwise, a line each; empty: nothing.

    state: of the store, with its open cash requests; stored: its tickets that are not at their end, by place. Steps that are
    not relayed yet are none of it: whoever asks lets the outbox run empty first.
    """
    found = [f"step {number} is not in the log" for number in logged.holes]
    found += [f"step {number} is in the log twice, with two contents" for number in logged.disputed]
    if logged.sequence != state["sequence"]:
        found.append(f"the last step is {logged.sequence} in the log and {state['sequence']} in the store")
    live = logged.live()
    for place in sorted(live.keys() | stored.keys()):
        own, other = live.get(place), stored.get(place)
        if own is None or other is None:
            where, lacks = ("store", "log") if own is None else ("log", "store")
            found.append(
                f"ticket {place} is {(own or other or {})['state']} in the {where}, and the {lacks} has none that lives"
            )
            continue
        for name, its in _COMPARED.items():
            if own[name] != other[its]:
                found.append(f"ticket {place}: {name} is {own[name]} in the log and {other[its]} in the store")
    return found + _cash_differences(logged.open_cash(), {int(one["number"]): one for one in state.get("cash") or ()})


def _cash_differences(logged: dict[int, _Step], stored: dict[int, _Step]) -> list[str]:
    """Of the open cash requests, by number."""
    found = []
    for number in sorted(logged.keys() | stored.keys()):
        own, other = logged.get(number), stored.get(number)
        if own is None or other is None:
            where, lacks = ("store", "log") if own is None else ("log", "store")
            found.append(f"cash request {number} is open in the {where}, and not in the {lacks}")
            continue
        found += [
            f"cash request {number}: {name} is {own[name]} in the log and {other[name]} in the store"
            for name in _CASH_COMPARED
            if own[name] != other[name]
        ]
    return found


def rounds_left(logged: LoggedBranch, rounds: dict[str, int]) -> dict[str, dict[str, int]]:
    """Calls that are left to each counter of its round under `ratio`, by class; `rounds`: of a full one.

    A counter has begun another round where it has called a class that had no calls left.
    """
    found: dict[str, dict[str, int]] = {}
    for step in logged.steps:
        if step["action"] != "called" or step["day"] != logged.steps[-1]["day"]:
            continue
        name, own = step["counter"], step["queue_class"]
        left = found.get(name)
        if not step["capped"] and (left is None or left.get(own, 1) <= 0):
            left = found[name] = dict(rounds)
        if left is not None and left.get(own, 0) > 0:
            left[own] -= 1
    return found


def restored(logged: LoggedBranch, rounds: dict[str, int] | None = None) -> _Step:
    """What the step `restore` of the store takes, so that the branch is as its log has it.

    rounds: of a full round under `ratio`, the calls of each class; None: another order.
    """
    last = logged.steps[-1]
    issued = {step["place"]: step for step in logged.steps if step["action"] == "issued"}
    tickets = []
    for place, one in logged.live().items():
        if one["arrival"] is None:  # no step of ours
            continue
        began = issued.get(place, one)
        tickets.append({
            "id": one["ticket_id"], "place": place, "number": one["number"], "class": one["queue_class"], "vip": one["vip_area"],
            "service": one["service"], "state": one["state"], "arrival": one["arrival"], "issued": began["at"],
            "passed": one["passed"], "ref": one["customer_ref"], "ref2": one["previous_ref"], "degraded": one["degraded"],
            "printed": one["printed"], "since": one["at"], "joined": one["sequence"], "cause": "restored",
            "floor": _open_class(began),
            "counter": one["counter"] if one["state"] == "called" else None,
            "called": one["at"] if one["state"] == "called" else None,
        })  # fmt: skip
    numbers: dict[str, int] = {}
    for step in issued.values():
        if step["day"] == last["day"] and not step["printed"] and step["number"][1:].isdecimal():
            numbers[step["number"][0]] = max(numbers.get(step["number"][0], 0), int(step["number"][1:]))
    closings = [step for step in logged.steps if step["action"] in ("opened", "closed") and step["day"] == last["day"]]
    return {
        "tickets": [{name: value for name, value in one.items() if value is not None} for one in tickets],
        "sequence": logged.sequence, "places": max(issued, default=0), "numbers": numbers, "last": last["at"],
        "issued": sum(step["day"] == last["day"] for step in issued.values()),
        "closed": (closings[-1]["reason"] or "closed") if closings and closings[-1]["action"] == "closed" else None,
        "counters": logged.counters(), "left": rounds_left(logged, rounds) if rounds else {},
        "log_day": date_of(last["day"] or 0).isoformat(), "cash": list(logged.open_cash().values()),
        "cash_numbers": max(logged.cash_steps(), default=0),
    }  # fmt: skip
