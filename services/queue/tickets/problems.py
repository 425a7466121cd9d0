"""What a ticket request is answered that is not done, as problems of RFC 9457. None of them repeats what was asked."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

PROBLEM_TYPE: Final = "urn:tidegauge:problem:"
PROBLEM_JSON: Final = "application/problem+json"


class _Kind(NamedTuple):
    status: int
    title: str


TICKET_PROBLEMS: Final[dict[str, _Kind]] = {
    "queue-unavailable": _Kind(503, "Tickets can't be kept now: ask again with the same Idempotency-Key."),
    "keys-unavailable": _Kind(503, "Keys can't be checked now."),
    "no-key": _Kind(401, "Come with a key that counts."),
    "not-allowed": _Kind(403, "This key may not do that at this branch."),
    "not-our-page": _Kind(403, "A session counts where one of our own pages sends the request."),
    "too-many-requests": _Kind(429, "Asked too often: wait a second."),
    "not-understood": _Kind(422, "The request is not as the description says."),
    "request-id-reused": _Kind(422, "This Idempotency-Key stands for another request of today."),
    "not-an-open-class": _Kind(422, "The pack has no such class that is given at the kiosk."),
    "no-such-ticket": _Kind(404, "The branch has no such ticket."),
    "not-at-this-counter": _Kind(409, "The ticket is not at this counter."),
    "not-absent": _Kind(409, "The ticket is not marked as a no-show."),
    "not-waiting": _Kind(409, "The ticket does not wait."),
    "counter-busy": _Kind(409, "The counter has a ticket: complete it, transfer it, or mark a no-show."),
    "counter-paused": _Kind(409, "The counter pauses."),
    "branch-closed": _Kind(409, "The branch is closed."),
    "branch-full": _Kind(409, "The branch takes no more today."),
    "not-a-coming-day": _Kind(422, "The day has passed, or is too far ahead."),
    "no-such-cash-request": _Kind(404, "The branch has no such open cash request."),
    "higher-class-waits": _Kind(
        409,
        "Somebody of a higher class has asked for the same day and currency: meet his request first, or say why not.",
    ),
    "too-many-cash-requests": _Kind(409, "The branch has as many open cash requests as it may."),
    "too-many-services": _Kind(409, "The branch has as many services as it may."),
    "too-many-counters": _Kind(409, "The branch has as many counters as it may."),
}
"""By the end of their type. docs/queue.md lists them."""


class TicketProblem(BaseModel):
    """A problem as of RFC 9457."""

    type: str = Field(description="urn:tidegauge:problem: and what is wrong.", examples=[f"{PROBLEM_TYPE}counter-busy"])
    title: str
    status: int
    ticket: int | None = Field(None, description="The ticket that stands in the way.")


def route_problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, as its description has them."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in (
        "no-key",
        "not-allowed",
        "not-our-page",
        "not-understood",
        "too-many-requests",
        "queue-unavailable",
        *codes,
    ):
        kind = TICKET_PROBLEMS[code]
        words = found.get(kind.status, {}).get("description", "")
        found[kind.status] = {
            "model": TicketProblem, "description": f"{words} `{code}`: {kind.title}".strip(), "content": {PROBLEM_JSON: {}},
        }  # fmt: skip
    return found


class TicketProblemError(Exception):
    """A request that is answered by a problem; `code` is a key of TICKET_PROBLEMS."""

    def __init__(self, code: str, ticket: int | None = None) -> None:
        super().__init__(code)
        self.code, self.ticket = code, ticket


def problem_response(error: TicketProblemError) -> JSONResponse:
    """The answer."""
    kind = TICKET_PROBLEMS[error.code]
    body: dict[str, Any] = {"type": PROBLEM_TYPE + error.code, "title": kind.title, "status": kind.status}
    if error.ticket is not None:
        body["ticket"] = error.ticket
    headers = {"Cache-Control": "no-store"}
    if kind.status in (429, 503):
        headers["Retry-After"] = "1"
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, kind.status, headers, PROBLEM_JSON)
