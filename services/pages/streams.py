"""Event streams to pages: so many at once, each for so long; a browser that comes again says behind which event.

What a stream is about is somebody else's: a source that gives the events behind a number, and waits for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

STREAM_UNTIL: Final = "tidegauge.stream_until"
"""Where the scope of a request has the loop's time up to which its answer may go on (services.queue.server)."""

STREAM_S: Final = 600.0
"""A stream ends after so long; the browser comes again by itself."""

STREAMS_MAX: Final = 400
STREAMS_OF_ONE_MAX: Final = 16
"""Of one key or person."""

BEAT_S: Final = 5.0
"""So often a stream says that it is alive, so that a page knows when it is not."""

AGAIN_MS: Final = 1000
LAST_EVENT: Final = "last-event-id"


class StreamEvent(NamedTuple):
    """An event; `number` grows from one to the next. `text` has no line break."""

    number: int
    kind: str
    text: str


class EventSource(Protocol):
    """Where a stream's events come from."""

    async def events_after(self, number: int, wait_s: float) -> tuple[int, list[StreamEvent]]:
        """Events behind a number, waiting for one up to `wait_s`; and the number up to which they reach."""


OpenedSource = AbstractContextManager[EventSource]
"""A source for as long as its stream is open."""


class TooManyStreamsError(Exception):
    """No more streams can be open at once."""


@dataclass(slots=True)
class Streams:
    """The streams of a process."""

    most: int = STREAMS_MAX
    of_one_max: int = STREAMS_OF_ONE_MAX
    stream_s: float = STREAM_S
    beat_s: float = BEAT_S
    _open: dict[str, int] = field(default_factory=dict)

    def answer(self, request: Request, who: str, opened: OpenedSource, after: int) -> StreamingResponse:
        """The stream of a request, from behind its Last-Event-ID, else from behind `after`. TooManyStreamsError."""
        if sum(self._open.values()) >= self.most or self._open.get(who, 0) >= self.of_one_max:
            raise TooManyStreamsError
        said = request.headers.get(LAST_EVENT, "")[:20]
        begin = int(said) if said.isascii() and said.isdigit() else after
        request.scope[STREAM_UNTIL] = asyncio.get_running_loop().time() + self.stream_s + self.beat_s
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(who, opened, begin), 200, headers, "text/event-stream")

    async def _stream(self, who: str, opened: OpenedSource, after: int) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.stream_s
        with self._counted(who), opened as source:
            yield f"retry: {AGAIN_MS}\n\n"
            while (left := end - loop.time()) > 0:
                after, events = await source.events_after(after, min(left, self.beat_s))
                for event in events:
                    yield f"id: {event.number}\nevent: {event.kind}\ndata: {event.text}\n\n"
                if not events:
                    yield "event: beat\ndata: -\n\n"

    @contextmanager
    def _counted(self, who: str) -> Iterator[None]:
        self._open[who] = self._open.get(who, 0) + 1
        try:
            yield
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    @property
    def open(self) -> int:
        """How many are open."""
        return sum(self._open.values())
