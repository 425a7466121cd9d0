"""`tidegauge queue`: `serve` answers kiosks over HTTP, `lookup` asks once."""

import asyncio
import socket
from typing import Annotated

import typer
import uvicorn

from deploy.settings import Settings
from services.access.decision import Action, DataKind
from services.assembly import priority_app, priority_lookup
from services.queue.lookup import Answer
from streams.reference import customer_ref
from tidegauge.cli.actor import AS, asked
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_redis

app = typer.Typer(no_args_is_help=True, help="Serve queue classes to kiosks, or look one up.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_LOOKUP_PORT if not given.")
    ] = None,
) -> None:
    """Serve `GET /v1/priority/{customer_ref}`; see /openapi.json. Nobody is asked who he is: keep it inside."""
    settings = Settings()
    wanted = settings.lookup_port if port is None else port
    check_free(host, wanted)
    # No access log: it would hold the references.
    uvicorn.run(
        priority_app(settings),
        host=host,
        port=wanted,
        access_log=False,
        log_level="warning",
    )


def check_free(host: str, port: int) -> None:
    """CommandError where nothing can listen there: uvicorn would say so in a log of its own and without a remedy."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as problem:
        hint = "choose another with --port or TIDEGAUGE_LOOKUP_PORT, and an address of this machine with --host"
        raise CommandError(f"cannot listen at {host}:{port}: {problem.strerror}", hint, FAILED_CHECK) from problem


@app.command()
def lookup(
    customer: Annotated[str, typer.Argument(help="Customer number; needs the reference key.")] = "",
    ref: Annotated[str, typer.Option(help="An opaque reference instead.")] = "",
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Print the answer that a kiosk would get for a customer."""
    if bool(customer) == bool(ref):
        raise CommandError("whose queue class?", "give a customer number or --ref, not both")
    settings = Settings()
    asked(settings, actor, Action.READ, DataKind.QUEUE_CLASS)
    need_redis(settings)
    wanted = ref or customer_ref(settings.secret(), customer)

    async def ask() -> Answer:
        async with priority_lookup(settings) as found:
            return await found.answer(wanted)

    from services.queue.priority import Priority

    found = Priority.model_validate(asyncio.run(ask()), from_attributes=True).model_dump(mode="json")
    if as_json:
        emit(found)
        return
    for name, value in found.items():
        console.print(f"{name}: {'-' if value is None else value}", soft_wrap=True, markup=False)
