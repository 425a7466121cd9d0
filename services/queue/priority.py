"""The queue class look-up over HTTP: `GET /v1/priority/{customer_ref}`, for kiosks and ticket systems.

Whatever happens behind it, the answer is 200 with a class: the default class, marked `degraded`, where the view can't
be trusted. Nothing is logged that names a customer, not even his reference. Metrics and the description of the interface
are for those who run it: they have a port of their own.
"""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import date
from http import HTTPStatus
from time import perf_counter
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel, Field
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from deploy.probes import Routes, health
from services.access.callers import KnowsKeys, key_in
from services.queue.lookup import Answer, Lookup
from services.queue.server import RateLimit, answer_json

log = logging.getLogger(__name__)

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5)
PROBLEM = "application/problem+json"
LOOKUP_PATH = "/v1/priority/"
NO_STORE = {"Cache-Control": "no-store"}
_App = Callable[..., Any]  # of ASGI


class WholePath(PathConvertor):
    """The rest of a path, whatever is in it; Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("whole", WholePath())


class Priority(BaseModel):
    """A queue class. An unknown customer's answer is an ordinary customer's."""

    queue_class: str = Field(description="Class of the policy pack.", examples=["diamond"])
    vip_area: bool = Field(description="Led to the VIP area or not.")
    valid_until: date | None = Field(description="Last day the class holds; null: until asked again.")
    degraded: bool = Field(description="True: the view is down, slow or stale, and this is the default class.")


class ProblemDocument(BaseModel):
    """A problem as of RFC 9457. It never repeats the URL."""

    type: str = "about:blank"
    title: str
    status: int


class ViewHealth(BaseModel):
    """Whether the process answers."""

    status: str


def create_app(lookup: Lookup, rate_max: int = 0, keys: KnowsKeys | None = None) -> FastAPI:
    """The application around a lookup; it takes over the lookup's `noted` for its metrics, `app.state.registry`.

    rate_max: requests a second of one address; 0: as many as come. keys: whose keys count; None: it asks for none.
    """
    app = FastAPI(
        title="Tidegauge queue priority",
        version="1",
        description="An opaque customer reference in, a queue class out; never an error at the kiosk.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.lookup, app.state.keys = lookup, keys
    registry = app.state.registry = CollectorRegistry()
    results = Counter("tidegauge_priority_answers", "Answers, by what gave them.", ["result"], registry=registry)
    seconds = Histogram("tidegauge_priority_answer_seconds", "Time of an answer.", buckets=BUCKETS_S, registry=registry)
    lookup.noted = lambda result: results.labels(result).inc()
    app.add_exception_handler(HTTPException, _problem)

    async def told(customer_ref: str, authorization: str) -> Answer:
        began = perf_counter()
        actor = keys.actor(key_in(authorization)) if keys else None
        if keys and actor is None:
            results.labels("no_key").inc()
            raise HTTPException(401, "The key does not count", NO_STORE | {"WWW-Authenticate": "ApiKey"})
        answer = await lookup.answer(customer_ref, actor)
        seconds.observe(perf_counter() - began)
        return answer

    app.add_middleware(LookupExpress, told=told)
    app.add_middleware(RateLimit, per_s=rate_max, refused=lambda: results.labels("refused").inc())

    @app.get(
        "/v1/priority/{customer_ref:whole}",
        response_model=Priority,
        summary="Queue class of a customer reference",
        responses={
            401: {
                "description": "No key (`Authorization: ApiKey …`), or one that does not count.",
                "content": {PROBLEM: {}},
            },
            429: {"description": "Asked too often: wait a second.", "content": {PROBLEM: {}}},
        },
    )
    async def priority(
        customer_ref: Annotated[str, Path(description="Opaque reference; whatever is none gets the default class.")],
        response: Response,
        authorization: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Answer:
        response.headers.update(NO_STORE)
        return await told(customer_ref, authorization)

    _add_health(app)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/livez", response_model=ViewHealth, summary="The process is alive")
    @app.get("/readyz", response_model=ViewHealth, summary="The process can answer")
    async def alive() -> dict[str, str]:
        # Ready even without Redis: a degraded answer is better than a kiosk that a load balancer sends away.
        return {"status": "ok"}


class LookupExpress:
    """ASGI: answers look-ups without the framework, and passes on the rest. What `told` refuses is a problem document."""

    def __init__(self, app: _App, told: Callable[[str, str], Awaitable[Answer]]) -> None:
        self.app, self.told = app, told

    async def __call__(self, scope: MutableMapping[str, Any], receive: _App, send: _App) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(LOOKUP_PATH):
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            found = await self.told(scope["path"].removeprefix(LOOKUP_PATH), request.headers.get("authorization", ""))
        except HTTPException as refused:
            await (await _problem(request, refused))(scope, receive, send)
        else:
            await answer_json(send, Priority.model_validate(found, from_attributes=True))


def watching(app: FastAPI) -> Routes:
    """What those who run the look-up see: metrics, health, and the description of the interface."""

    def metrics() -> tuple[int, bytes, str]:
        return 200, generate_latest(app.state.registry), CONTENT_TYPE_LATEST

    def description() -> tuple[int, bytes, str]:
        return 200, json.dumps(app.openapi(), ensure_ascii=False).encode(), "application/json"

    good = health(lambda: "")
    return {"/metrics": metrics, "/openapi.json": description, "/livez": good, "/readyz": good}


async def _problem(request: Request, error: Exception) -> JSONResponse:
    """An HTTP error as a problem document."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = error.detail if isinstance(error, HTTPException) else "Internal Server Error"
    body: dict[str, Any] = ProblemDocument(title=str(title), status=status).model_dump()
    headers = dict(getattr(error, "headers", None) or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(request)):
        headers["Allow"] = ", ".join(methods)
    return JSONResponse(body, status, headers, PROBLEM)


def _methods(request: Request) -> list[str]:
    """What the path of a request can be asked by, as described. Starlette names those of the first route with the path only."""
    described = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path_format", ""), {})
    return sorted(map(str.upper, described))
