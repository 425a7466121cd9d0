"""`tidegauge queue pages`: the pages of a branch's queue, for its hall, its counters and its lobby."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from agents.engine.watch.quiet import set_up_log
from deploy.settings import Settings
from services.queue.server import listening, server
from tidegauge.cli.output import CommandError, console, listening_at, notes
from tidegauge.cli.shutdown import ended_by_stops, one_last_line, until_told

PAGES_ENDED: Final = "stopped: screens show what they showed, and come again when `tidegauge queue pages` runs again"


def serve_pages(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_PAGES_PORT if not given.")] = None,
) -> None:
    """Serve the pages of hall, counter and lobby. People log in; a screen has a key of `tidegauge keys`.

    Without TLS: a proxy of the bank's has that. `TIDEGAUGE_LOGIN_URL` is where browsers reach it.
    """
    from services.assembly import new_lookup
    from services.queue.pages.setup import pages_app

    told = until_told()
    set_up_log("WARNING")
    settings = Settings()
    if not settings.has_tickets:
        raise CommandError("there is no server for tickets", "`tidegauge up` starts one, or set TIDEGAUGE_TICKETS_URL")
    port = settings.pages_port if port is None else port
    with listening_at(host, port, "--port"):
        socket = listening(host, port)
    serving = server(pages_app(settings, new_lookup(settings)), settings.lookup_connections)
    ended_by_stops(serving)
    with one_last_line():
        if not told.is_set():
            console.print(f"pages at http://{host}:{socket.getsockname()[1]}", soft_wrap=True)
            serving.run([socket])
    notes.print(PAGES_ENDED, soft_wrap=True)
