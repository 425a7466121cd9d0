"""`tidegauge queue`: `serve` answers kiosks over HTTP, `lookup` asks once."""

import asyncio
from typing import Annotated

import typer
import uvicorn

from deploy.settings import Settings
from services.access.decision import Action, DataKind
from services.assembly import priority_app, priority_lookup
from services.queue.lookup import Answer
from streams.reference import customer_ref
from tidegauge.cli.actor import AS, asked
from tidegauge.cli.output import CommandError

app = typer.Typer(no_args_is_help=True, help="Serve queue classes to kiosks, or look one up.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; TIDEGAUGE_LOOKUP_PORT if not given.")] = None,
) -> None:
    """Serve `GET /v1/priority/{customer_ref}`; see /openapi.json. Nobody is asked who he is: keep it inside."""
    settings = Settings()
    # No access log: it would hold the references.
    uvicorn.run(
        priority_app(settings),
        host=host,
        port=settings.lookup_port if port is None else port,
        access_log=False,
        log_level="warning",
    )


@app.command()
def lookup(
    customer: Annotated[str, typer.Argument(help="Customer number; needs the reference key.")] = "",
    ref: Annotated[str, typer.Option(help="An opaque reference instead.")] = "",
    actor: str = AS,
) -> None:
    """Print the answer that a kiosk would get for a customer, as JSON."""
    if bool(customer) == bool(ref):
        raise CommandError("whose queue class?", "give a customer number or --ref, not both")
    settings = Settings()
    asked(settings, actor, Action.READ, DataKind.QUEUE_CLASS)
    wanted = ref or customer_ref(settings.secret(), customer)

    async def ask() -> Answer:
        async with priority_lookup(settings) as found:
            return await found.answer(wanted)

    from services.queue.priority import Priority

    typer.echo(Priority.model_validate(asyncio.run(ask()), from_attributes=True).model_dump_json())
