"""`tidegauge commands`: `serve` takes them over HTTP, `send` out of a file, `clock` makes those that are due."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from agents.engine.watch.quiet import set_up_log
from deploy.settings import Settings
from services.queue.server import listening, server
from tidegauge.cli.commands.clock import clock
from tidegauge.cli.commands.sender import send_commands
from tidegauge.cli.output import FAILED_CHECK, CommandError, listening_at, notes
from tidegauge.cli.servers import found_world, need_redis
from tidegauge.cli.shutdown import ended_by_stops, one_last_line, until_told
from tidegauge.world.found import USES_PLACE
from tidegauge.world.watch import Watch, end_process

app = typer.Typer(no_args_is_help=True, help="Take commands about customers: over HTTP, or out of a file.")
_CONNECTIONS_MAX: Final = 512
_RATE_MAX: Final = 200
_BEGIN_S: Final = 120.0
_SERVED: Final = "stopped: every command that was answered is written; results of the others wait for the next start"


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_COMMANDS_PORT if not given.")
    ] = None,
) -> None:
    """Serve `POST /v1/commands/{name}` to whoever comes with a token, a key or a session.

    Without TLS: a proxy of the bank's has that.
    """
    from services.access.setup import key_book, request_callers
    from services.commands.app import create_commands_app
    from services.commands.bootstrap import open_door

    told = until_told()
    set_up_log("WARNING")
    settings = Settings()
    port = settings.commands_port if port is None else port
    with listening_at(host, port, "--port"):
        socket = listening(host, port)
    need_redis(settings)
    world = found_world(settings, USES_PLACE)
    settings = world.settings
    Watch(world, USES_PLACE).start(end_process)
    with one_last_line(), open_door(settings) as opened:
        if not opened.follower.wait_ready(_BEGIN_S):
            raise CommandError(f"the customers can't be read within {_BEGIN_S:.0f} s", "is Kafka busy?", FAILED_CHECK)
        callers = request_callers(settings, key_book(settings, at_once=False))
        serving = server(create_commands_app(opened.door, callers, _RATE_MAX), _CONNECTIONS_MAX)
        ended_by_stops(serving)
        if not told.is_set():
            notes.print(f"commands at http://{host}:{socket.getsockname()[1]}", soft_wrap=True)
            serving.run([socket])
    notes.print(_SERVED, soft_wrap=True)


app.command("send")(send_commands)
app.command("clock")(clock)
