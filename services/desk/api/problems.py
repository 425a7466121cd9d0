"""What a request of the desk's interface is answered that is not, as problems of RFC 9457. None of them repeats a value."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from services.queue.tickets.problems import PROBLEM_JSON, PROBLEM_TYPE


class _Kind(NamedTuple):
    status: int
    title: str


DESK_PROBLEMS: Final[dict[str, _Kind]] = {
    "nobody-known": _Kind(401, "Log in, or come with a token that counts."),
    "not-seen": _Kind(404, "There is no such thing, or not for you."),
    "not-asked-so": _Kind(405, "Here is read only."),
    "not-understood": _Kind(422, "The request is not as the description says."),
    "cursor-unfit": _Kind(422, "The cursor is none, or of another question: begin again without it."),
    "desk-unavailable": _Kind(503, "The desk can't answer now: ask again."),
}
"""By the end of their type. docs/integrators.md lists them."""

_OF_STATUS: Final = {401: "nobody-known", 404: "not-seen", 405: "not-asked-so", 503: "desk-unavailable"}


class DeskProblem(BaseModel):
    """A problem as of RFC 9457."""

    type: str = Field(description="urn:tidegauge:problem: and what is wrong.", examples=[f"{PROBLEM_TYPE}not-seen"])
    title: str
    status: int
    detail: str | None = Field(None, description="The fields that are not as the description says.")


class DeskProblemError(Exception):
    """A request that is answered by a problem; `code` is a key of DESK_PROBLEMS."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


def described_problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, as its description has them."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in ("nobody-known", "not-seen", "not-understood", "desk-unavailable", *codes):
        kind = DESK_PROBLEMS[code]
        words = found.get(kind.status, {}).get("description", "")
        found[kind.status] = {
            "model": DeskProblem, "description": f"{words} `{code}`: {kind.title}".strip(), "content": {PROBLEM_JSON: {}},
        }  # fmt: skip
    return found


def code_of(status: int) -> str:
    """The problem of an HTTP error of the framework's; what it has no other for is not understood."""
    return _OF_STATUS.get(status, "not-understood")


def problem_answer(code: str, detail: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer. detail: names of fields; nothing that was asked."""
    kind = DESK_PROBLEMS[code]
    body: dict[str, Any] = {"type": PROBLEM_TYPE + code, "title": kind.title, "status": kind.status}
    if detail:
        body["detail"] = detail
    more = {"Cache-Control": "no-store"} | (headers or {})
    if kind.status == 503:
        more["Retry-After"] = "1"
    if kind.status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, kind.status, more, PROBLEM_JSON)
