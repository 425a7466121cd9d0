"""`tidegauge desk serve`: the pages of relationship managers and branch heads."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Final

import typer

from agents.engine.watch.quiet import set_up_log
from deploy.connections.database import LOOPBACK
from deploy.settings import Settings
from services.queue.server import listening, server
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, console, listening_at, notes
from tidegauge.cli.servers import found_world, need_redis
from tidegauge.cli.shutdown import ended_by_stops, one_last_line, until_told
from tidegauge.world.found import USES_PLACE
from tidegauge.world.watch import Watch, end_process

_CONNECTIONS_MAX: Final = 512
_BEGIN_S: Final = 120.0
_ENDED: Final = "stopped: what was sent is with the workers; pages are to be had when `tidegauge desk serve` runs again"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_DESK_PORT if not given.")] = None,
) -> None:
    """Serve the desk. People log in; on servers of this machine alone they are chosen from the list of staff.

    Without TLS: a proxy of the bank's has that. `TIDEGAUGE_LOGIN_URL` is where browsers reach it.
    """
    from services.commands.bootstrap import open_door
    from services.desk.pages.setup import desk_app
    from services.desk.queries import DeskQueries
    from services.readmodel.setup import read_model

    told = until_told()
    set_up_log("WARNING")
    settings = Settings()
    if not settings.token_issuer and host not in LOOPBACK:
        hint = "set TIDEGAUGE_TOKEN_ISSUER and TIDEGAUGE_LOGIN_URL, or listen on 127.0.0.1"
        raise CommandError("without an issuer of logins the desk is for this machine alone", hint, BAD_INPUT)
    port = settings.desk_port if port is None else port
    with listening_at(host, port, "--port"):
        socket = listening(host, port)
    need_redis(settings)
    world = found_world(settings, USES_PLACE)
    settings = world.settings
    Watch(world, USES_PLACE).start(end_process)
    local = f"http://localhost:{socket.getsockname()[1]}"
    with (
        one_last_line(),
        closing(read_model(settings)) as model,
        open_door(settings, case_of=DeskQueries(model).newest_step) as opened,
    ):
        if not opened.follower.wait_ready(_BEGIN_S):
            raise CommandError(f"the customers can't be read within {_BEGIN_S:.0f} s", "is Kafka busy?", FAILED_CHECK)
        serving = server(desk_app(settings, opened.door, model, local), _CONNECTIONS_MAX)
        ended_by_stops(serving)
        if not told.is_set():
            console.print(f"desk at {settings.login_url or local}", soft_wrap=True)
            serving.run([socket])
    notes.print(_ENDED, soft_wrap=True)
