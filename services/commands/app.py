"""Commands over HTTP: `POST /v1/commands/{name}`, and `GET /v1/commands/{id}` for whoever did not wait (docs/integrators.md).

Problems are RFC 9457's and name no customer. Nobody learns from a refusal whether a customer is there: what one may not do and
what is not there have one answer.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from redis import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException

from policies.texts import REFUSALS
from services.access.callers import AUTHORIZED, CookieKeeper, KnowsCallers
from services.access.decision import Actor
from services.commands.definitions import COMMANDS_TAKEN, KEY_CHARS_MAX, CommandBody, CommandDefinition, body_of
from services.commands.door import PENDING, CommandDoor, NotKnownError, UnfitError, Written
from services.commands.follower import TooManyWaitError
from services.commands.store import OtherBodyError
from services.queue.server import RateLimit

log = logging.getLogger(__name__)

_WAIT_S: Final = 3.0
"""For a result; the server cuts a request at 5 s."""

_AWAY_S: Final = 1
_PROBLEM: Final = "application/problem+json"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_KEY_FORM: Final = r"^[\x21-\x7e]+$"
_ID_FORM: Final = r"^command-[0-9a-f]{32}$"


class CommandAnswer(BaseModel):
    """What is known of a command."""

    command_id: str
    state: Literal["applied", "refused", "pending", "not_sent"] = Field(
        description="pending: written, and no worker has answered. not_sent: perhaps not written; send it again with its key."
    )
    reason: str | None = Field(None, description="Of a refused one: a code.")
    day: str | None = Field(None, description="Business day of the act, ISO.")


class CommandProblem(BaseModel):
    """A problem as of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    reason: str | None = Field(None, description="Of a refused command: its code.")
    command_id: str | None = None


class Trouble(Exception):
    """A problem on its way to the client."""

    def __init__(self, status: int, title: str, detail: str | None = None, **headers: str) -> None:
        super().__init__(title)
        self.problem = CommandProblem(title=title, status=status, detail=detail)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class CommandIds(Convertor[str]):
    """Ids of commands: their names are other paths."""

    regex = "command-[0-9a-f]{32}"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("command", CommandIds())

_Taken = Callable[..., Awaitable[Any]]
_UNKNOWN: Final = (404, "Nothing of that id is known")
_OF_PROBLEMS: Final = {"$ref": "#/components/schemas/CommandProblem"}
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": says, "model": CommandProblem, "content": {_PROBLEM: {"schema": _OF_PROBLEMS}}}
    for status, says in (
        (400, "No idempotency key, or no JSON."), (401, "Nobody is known by what came with the request."),
        (403, "Sent by a session, and by no page of ours."),
        (404, "No such customer, case or command is known to this actor."), (409, "A worker has refused it: `reason` says why."),
        (422, "The body is none of this command, or its key came with another body."), (429, "Asked too often."),
        (503, "A server is away; send it again with the same key."),
    )
}  # fmt: skip


def create_commands_app(
    door: CommandDoor, callers: KnowsCallers, rate_max: int = 0, wait_s: float = _WAIT_S
) -> FastAPI:
    """The application around a door. rate_max: requests a second of one address; 0: as many as come."""
    app = FastAPI(
        title="Tidegauge commands", version="1", description="What people and machines change about a customer.",
        openapi_url=None, docs_url=None, redoc_url=None, separate_input_output_schemas=False, dependencies=AUTHORIZED,
    )  # fmt: skip
    app.add_middleware(CookieKeeper)
    app.add_middleware(RateLimit, per_s=rate_max, refused=lambda: None)
    _handle(app)

    async def actor(request: Request) -> Actor:
        return (await callers.caller(request)).actor

    def route(one: CommandDefinition) -> _Taken:
        body_type = body_of(one.name)

        async def taken(
            response: Response,
            body: body_type,  # type: ignore[valid-type]
            who: Annotated[Actor, Depends(actor)],
            key: Annotated[
                str,
                Header(alias="Idempotency-Key", min_length=1, max_length=KEY_CHARS_MAX, pattern=_KEY_FORM,
                       description="Of the client's making, such as a UUID; the same for every try of one command."),
            ],
        ) -> CommandAnswer:  # fmt: skip
            written = await _written(door, who, one.name, body, key)
            answer = await _answer(door, written, wait_s)
            return _shown(answer, response)

        return taken

    for one in COMMANDS_TAKEN.values():
        app.add_api_route(
            f"/v1/commands/{one.name}", route(one), methods=["POST"], summary=one.says, operation_id=one.name,
            response_model=CommandAnswer,
            responses={202: {"model": CommandAnswer, "description": "Written, not applied yet."}, **_PROBLEMS},
        )  # fmt: skip

    @app.get(
        "/v1/commands/{command_id:command}", summary="What has become of a command",
        operation_id="asked", responses={202: {"model": CommandAnswer, "description": "No worker has answered."}, **_PROBLEMS},
    )  # fmt: skip
    async def asked(
        response: Response,
        who: Annotated[Actor, Depends(actor)],
        command_id: Annotated[str, Path(pattern=_ID_FORM, description="As the answer to the command had it.")],
    ) -> CommandAnswer:
        result, sent = await run_in_threadpool(door.asked, who, command_id)
        if result is None:
            return _shown(CommandAnswer(command_id=command_id, state=PENDING if sent else "not_sent"), response)
        return _shown(_of_result(result), response)

    return app


async def _written(door: CommandDoor, who: Actor, name: str, body: CommandBody, key: str) -> Written:
    try:
        return await run_in_threadpool(door.take, who, name, body, key, uuid.uuid4().hex)
    except OtherBodyError:
        raise Trouble(422, "The key was used with another body", "take a new key for another command") from None
    except UnfitError as problem:
        raise Trouble(422, "The body is none of this command", str(problem)) from None
    except TooManyWaitError:
        raise Trouble(503, "Too many commands wait", Retry_After=str(_AWAY_S)) from None


async def _answer(door: CommandDoor, written: Written, wait_s: float) -> CommandAnswer:
    if written.result is not None:
        return _of_result(written.result)
    assert written.waiter is not None
    try:
        return _of_result(await asyncio.wait_for(asyncio.wrap_future(written.waiter), wait_s))
    except TimeoutError:
        return CommandAnswer(command_id=written.command_id, state=PENDING)
    finally:
        door.log.forget(written.command_id, written.waiter)


def _of_result(result: dict[str, Any]) -> CommandAnswer:
    return CommandAnswer(
        command_id=result["command_id"], state=result["outcome"], reason=result["reason"], day=result["day"]
    )


def _shown(answer: CommandAnswer, response: Response) -> CommandAnswer:
    """The answer, with its status; a refusal is a problem."""
    response.headers.update(_NO_STORE)
    if answer.state == "refused":
        code = answer.reason or ""
        trouble = Trouble(409, "The command is refused", REFUSALS[code].en if code in REFUSALS else None)
        trouble.problem = trouble.problem.model_copy(update={"reason": code, "command_id": answer.command_id})
        raise trouble
    if answer.state != "applied":
        response.status_code = 202
        response.headers.update({"Location": f"/v1/commands/{answer.command_id}", "Retry-After": str(_AWAY_S)})
    return answer


def _handle(app: FastAPI) -> None:
    """Every failure as a problem document, which repeats nothing of the request."""

    async def trouble(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, Trouble)
        return _document(problem)

    async def unfit(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, RequestValidationError)
        places = {".".join(map(str, one["loc"])) for one in problem.errors()}
        if any(one["type"] == "json_invalid" for one in problem.errors()):
            return _document(Trouble(400, "The body is no JSON"))
        if "header.Idempotency-Key" in places:
            return _document(Trouble(400, "Idempotency-Key is missing, or none"))
        known = re.compile(r"[A-Za-z0-9_.-]{1,64}")
        fields = sorted(place for place in places if known.fullmatch(place))[:16]
        return _document(Trouble(422, "The body is none of this command", ", ".join(fields) or None))

    async def http(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, HTTPException)
        return _document(Trouble(problem.status_code, str(problem.detail), **(problem.headers or {})))

    async def unknown(*_: Any) -> JSONResponse:
        return _document(Trouble(*_UNKNOWN))

    async def away(_: Request, problem: Exception) -> JSONResponse:
        log.warning("a server is away: %s", type(problem).__name__)
        return _document(Trouble(503, "A server is away", "send it again with the same key", Retry_After=str(_AWAY_S)))

    app.add_exception_handler(Trouble, trouble)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(NotKnownError, unknown)
    for kind in (RedisError, OSError, *_database_errors()):
        app.add_exception_handler(kind, away)


def _database_errors() -> tuple[type[Exception], ...]:
    import psycopg

    return (psycopg.Error,)


def _document(trouble: Trouble) -> JSONResponse:
    body = trouble.problem.model_dump(exclude_none=True)
    return JSONResponse(body, trouble.problem.status, _NO_STORE | trouble.headers, _PROBLEM)
