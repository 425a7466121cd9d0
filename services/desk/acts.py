"""What people do about a case, from a page's form to the door of commands; and what has become of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from services.commands.definitions import body_of
from services.commands.door import PENDING, CommandDoor, NotKnownError, UnfitError
from services.commands.store import OtherBodyError
from streams.alerts.acts import ACKNOWLEDGE, COMMENT, RESOLVE, SNOOZE

if TYPE_CHECKING:
    from services.access.decision import Actor

ACTS: Final = {
    ACKNOWLEDGE: ("reason",), SNOOZE: ("until", "reason"), RESOLVE: ("outcome", "reason"), COMMENT: ("reason",),
}  # fmt: skip
"""Acts of the pages, with the fields of their forms."""

ANSWER_WAIT_S: Final = 1.5
"""For a worker's answer; behind it the page asks again."""

ACT_APPLIED: Final = "applied"


class ActState(NamedTuple):
    """A command: `pending`, `applied` or `refused` with a code of policies.texts; `unfit`: it was none, and nothing is sent."""

    command_id: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CaseActs:
    """Acts through a door. NotKnownError for a case that he may not act on, or that there is not."""

    door: CommandDoor

    async def act(self, actor: Actor, act: str, case: str, given: dict[str, str], request_id: str) -> ActState:
        """Send an act; what is known of it within ANSWER_WAIT_S. request_id: of the form, so that a second click does it once."""
        fields = {name: text for name in (*ACTS[act], "step") if (text := given.get(name, "").strip())}
        try:
            body = body_of(act).model_validate({"case": case, **fields})
            key = f"desk-{request_id}"
            written = await run_in_threadpool(self.door.take, actor, act, body, key, request_id)
        except (ValidationError, UnfitError, OtherBodyError):
            return ActState("", "unfit")
        if written.result is not None:
            return _of(written.command_id, written.result)
        assert written.waiter is not None
        try:
            return _of(written.command_id, await asyncio.wait_for(asyncio.wrap_future(written.waiter), ANSWER_WAIT_S))
        except TimeoutError:
            return ActState(written.command_id, PENDING)
        finally:
            self.door.log.forget(written.command_id, written.waiter)

    async def asked(self, actor: Actor, command_id: str) -> ActState | None:
        """What has become of a command of his; None where none is known."""
        try:
            result, _ = await run_in_threadpool(self.door.asked, actor, command_id)
        except NotKnownError:
            return None
        return ActState(command_id, PENDING) if result is None else _of(command_id, result)


def _of(command_id: str, result: dict[str, Any]) -> ActState:
    return ActState(command_id, result["outcome"], result["reason"] or "")
