"""The store of tickets: each step is one run of a script (STEPS) on a server that syncs every write before it answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from schemas import bounds
from services.queue.line import ServerLine, line_of
from streams.queue.discipline import RATIO

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from policies.compiled.queue import CompiledQueue
    from services.queue.tickets.keys import TicketKeys

STEPS: Final = tuple(Path(__file__).with_name(f"{name}.lua") for name in ("steps", "cash", "run"))
"""The parts of the script, in their order."""

STORE_BUDGET_S: Final = 0.15
"""Waiting for the store ends here; a kiosk has its 503 within 200 ms."""

Answered = dict[str, Any]
_READING: Final = ("state", "board", "ticket", "live", "cash_day", "cash_unsure")


class StepRefusedError(Exception):
    """A step that the state of the queue does not allow. `code` says why; `ticket`: the one that stands in the way."""

    def __init__(self, code: str, ticket: Answered | None = None) -> None:
        super().__init__(code)
        self.code, self.ticket = code, ticket


class StoreDownError(Exception):
    """No answer of the store in time. Whether the step was made is not known: the same request id tells."""


def rule_of(queue: CompiledQueue) -> Answered:
    """The discipline as the script takes it: classes by code, times in milliseconds."""
    rule = queue.discipline
    found = {
        "order": rule.order, "classes": list(queue.ids), "starts": [1000 * start for start in rule.head_starts_s],
        "rounds": list(rule.round_calls),
    }  # fmt: skip
    return found if rule.overtakers_max is None else {**found, "cap": rule.overtakers_max}


def full_round(queue: CompiledQueue) -> dict[str, int] | None:
    """The calls of each class in a round, under `ratio`; None under another order."""
    rule = queue.discipline
    return dict(zip(queue.ids, rule.round_calls, strict=True)) if rule.order == RATIO else None


@dataclass(slots=True)
class TicketStore:
    """Steps on a store. `today`: the bank's day. `stays`: what waits at the end of a branch's day, or of its opening, stays.

    clock: milliseconds, instead of the server's own; for tests.
    """

    client: Redis
    keys: TicketKeys
    queue: CompiledQueue
    today: Callable[[], date]
    stays: bool = False
    clock: Callable[[], int] | None = None
    budget_s: float = STORE_BUDGET_S
    _text: str = field(default_factory=lambda: "\n".join(part.read_text() for part in STEPS))
    _sha: str = ""
    _constant: str = ""  # of the arguments, what is the same for all steps of `_constant_of`: JSON without its end
    _constant_of: CompiledQueue | None = None
    _line: ServerLine | None = None
    _limits: Answered = field(
        default_factory=lambda: {
            "tickets_max": bounds.BRANCH_TICKETS_MAX, "waiting_max": bounds.BRANCH_WAITING_MAX,
            "requests_max": bounds.BRANCH_REQUESTS_MAX, "counters_max": bounds.HALL_COUNTERS_MAX,
            "lanes_max": bounds.BRANCH_LANES_MAX, "outbox_max": bounds.OUTBOX_STEPS_MAX,
            "branches_max": bounds.BRANCHES_MAX, "waits_max": bounds.PAST_WAITS_MAX, "services_max": bounds.PAST_WAITS_MAX,
            "cash_max": bounds.BRANCH_CASH_REQUESTS_MAX,
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()  # as the server names a script

    async def run(self, step: str, branch: str, request: str | None = None, **given: Any) -> Answered:
        """Make a step, or read what _READING names. StepRefusedError, StoreDownError.

        request: the step with this id is made once a day, and has the same answer each time. look=True: the answer has the
        branch as it is then, as `hall`.
        """
        asked = {name: value for name, value in given.items() if value is not None}
        arguments: Answered = {**asked, "branch": branch, "day": self.today().isoformat()}
        if self.stays and step not in _READING:
            arguments["stay"] = True
        if request is not None:
            arguments |= {"request": request, "print": _print_of(step, asked)}
        if self.clock is not None:
            arguments["now"] = self.clock()
        if self._constant_of is not self.queue:
            self._constant_of, self._constant = (
                self.queue,
                json.dumps({**self._limits, "rule": rule_of(self.queue)})[:-1],
            )
        text = f"{self._constant},{json.dumps(arguments)[1:]}"
        try:
            answer = await self._server().run(self._sha, self._text, self.keys.step(branch), [step, text])
        except (RedisError, OSError, TimeoutError) as problem:
            raise StoreDownError(str(problem)) from problem
        told, state = answer if isinstance(answer, list) else (answer, None)
        found = json.loads(told)
        if not isinstance(found, dict):
            return {}
        if "refused" in found:
            raise StepRefusedError(found["refused"], found.get("ticket"))
        return found if state is None else {**found, "hall": json.loads(state)}

    def foresee(self, branch: str, place: int, seconds: int) -> None:
        """Leave what a waiting ticket was told, for `learnt`; nobody waits for it, and without it less is learnt."""
        self._server().post("HSETNX", self.keys.forecasts(branch), place, seconds)

    async def holders(self, reference: str) -> list[str]:
        """Branches at which somebody has a ticket with a reference. StoreDownError."""
        try:
            async with asyncio.timeout(self.budget_s):
                found: Any = await self.client.hget(self.keys.references, reference)
        except (RedisError, OSError, TimeoutError) as problem:
            raise StoreDownError(str(problem)) from problem
        return sorted({branch for branch, _ in json.loads(found or "[]")})

    async def learnt(self) -> tuple[list[list[Any]], dict[str, int]]:
        """Past waits (class, forecast, wait), newest first, and how long services took by class. StoreDownError."""
        try:
            async with asyncio.timeout(self.budget_s):
                waits: Any = await self.client.lrange(self.keys.waits, 0, -1)
                took: Any = await self.client.hgetall(self.keys.services)
        except (RedisError, OSError, TimeoutError) as problem:
            raise StoreDownError(str(problem)) from problem
        counts = {name.decode(): int(value) for name, value in took.items()}
        classes = {name.rpartition(":")[0] for name in counts}
        typical = {one: counts[f"{one}:s"] // counts[f"{one}:n"] for one in classes if counts.get(f"{one}:n")}
        return [json.loads(one) for one in waits], {name: max(1, value) for name, value in typical.items()}

    def _server(self) -> ServerLine:
        self._line = line_of(self.client, self.budget_s, self._line)
        return self._line


# What may be another one when the same request comes again: time passes, and the view may answer now.
_OF_THE_MOMENT: Final = ("class", "vip", "degraded", "prefix", "actor", "floor", "look", "last_day")


def _print_of(step: str, asked: Answered) -> str:
    """What a request asks for, so that its id can't stand for another one."""
    lasting = {name: value for name, value in asked.items() if name not in _OF_THE_MOMENT}
    return hashlib.sha256(json.dumps([step, lasting], sort_keys=True).encode()).hexdigest()[:16]
