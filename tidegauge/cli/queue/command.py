"""`tidegauge queue`: `serve` answers kiosks over HTTP, `lookup` asks once, `check-reference` checks what a kiosk computes.

A branch's day is in tidegauge.cli.queue.days.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agents.engine.reader import LogReader
from agents.engine.watch.quiet import set_up_log
from deploy.probes import serve_probes
from deploy.settings import Settings
from services.access.decision import Action, DataKind
from services.access.setup import key_book, request_callers
from services.assembly import new_lookup, priority_app, priority_lookup
from services.queue.behind.beside import BehindProcess
from services.queue.lookup import Answer
from services.queue.priority import Priority, watching
from services.queue.server import listening, server, without_pauses
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.setup import Behind, rights_of, ticketing_of
from streams.reference import customer_ref
from tidegauge.cli.actor import AS, asked
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, listening_at, notes
from tidegauge.cli.queue.bound import bound
from tidegauge.cli.queue.days import day, estimates, explain_, simulate_
from tidegauge.cli.queue.kept import compare_branches, restore_branch
from tidegauge.cli.queue.screens import serve_pages
from tidegauge.cli.servers import need_redis
from tidegauge.cli.shutdown import ended_by_stops, one_last_line, until_told
from tidegauge.sources.reference import VECTOR_CUSTOMER, VECTOR_KEY, VECTOR_REFERENCE, how_made
from tidegauge.world.tickets import other_log

if TYPE_CHECKING:
    from fastapi import FastAPI

app = typer.Typer(
    no_args_is_help=True, help="Serve queue classes to kiosks, look one up; simulate and explain a branch's day."
)
SERVED: Final = "stopped: no request is open; kiosks get no answer until `tidegauge queue serve` runs again"
MISTAKES: Final = {
    "upper_case": "it is in upper case: references are in lower case",
    "not_cut": "it is the whole digest: a reference is its first 26 characters, in lower case",
    "key_from_hex": "the key was read as hexadecimal: its bytes are those of the text itself",
    "newline": "a line end was taken into the key or the customer number",
    "swapped": "key and customer number were swapped",
    "other_hash": "the hash is SHA-1: it is HMAC-SHA256",
    "no_hmac": "key and customer number were hashed one behind the other: it is HMAC-SHA256",
    "hex_in_base32": "the digest was written in hexadecimal before base32: base32 takes its bytes",
    "hex": "it is hexadecimal: a reference is base32",
    "base64": "it is base64: a reference is base32",
    "base32hex": "it is base32hex: the alphabet is a-z2-7",
}


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_LOOKUP_PORT if not given.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="Port of metrics and health; 0: none.")
    ] = None,
) -> None:
    """Serve the look-up, `GET /v1/priority/{customer_ref}`, and tickets beside it where there is a server for them.

    Both are for whoever has a key of `tidegauge keys`.
    """
    told = until_told()
    set_up_log("WARNING")
    settings = Settings()
    if settings.lookup_open and not settings.own_machine:
        hint = "unset it, and give the kiosks keys: `tidegauge keys issue kiosk UNIT`"
        raise CommandError("TIDEGAUGE_LOOKUP_OPEN is for the servers of this machine alone", hint)
    port = settings.lookup_port if port is None else port
    watched_at = settings.lookup_metrics_port if metrics_port is None else metrics_port
    with listening_at(host, port, "--port"):
        socket = listening(host, port)
    kiosks = priority_app(settings)
    behind = _with_tickets(kiosks, settings) if settings.has_tickets else ()
    if watched_at:
        with listening_at(settings.metrics_host, watched_at, "--metrics-port"):
            serve_probes(watching(kiosks), settings.metrics_host, watched_at)
    serving = server(kiosks, settings.lookup_connections)
    ended_by_stops(serving)
    with one_last_line():
        for one in behind:
            one.start()
        if not told.is_set():
            kiosks.openapi()  # a wrong method asks it what is right: built at its first one, it would hold up all others
            without_pauses()
            serving.run([socket])
        for one in behind:
            one.stop()
    notes.print(SERVED, soft_wrap=True)


def _with_tickets(kiosks: FastAPI, settings: Settings) -> tuple[Behind, BehindProcess]:
    """Tickets on the application; what goes on behind it is yet to begin."""
    ticketing = ticketing_of(settings, kiosks.state.lookup)
    keys = kiosks.state.keys or key_book(settings)
    may = rights_of(settings, request_callers(settings, keys))
    add_tickets(kiosks, ticketing, may, settings.queue_key_rate)
    new = partial(new_lookup, settings)
    waits = Behind(settings, ticketing, new, LogReader, ("waits",))
    return waits, BehindProcess(settings, new, LogReader, partial(set_up_log, "WARNING"), partial(other_log, settings))


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
    previous = settings.previous_secret()  # a customer may not have a new reference yet
    keys = [settings.secret(), *([] if previous is None else [previous])]
    wanted = [ref] if ref else [customer_ref(key, customer) for key in keys]
    need_redis(settings)

    async def ask() -> Answer:
        async with priority_lookup(settings) as found:
            answers = [await found.answer(one) for one in wanted]
            return next((one for one in answers if one.queue_class != settings.queue_default_class), answers[0])

    found = Priority.model_validate(asyncio.run(ask()), from_attributes=True).model_dump(mode="json")
    if as_json:
        emit(found)
        return
    for name, value in found.items():
        console.print(f"{name}: {'-' if value is None else value}", soft_wrap=True)


@app.command("check-reference")
def check_reference(
    reference: Annotated[str, typer.Argument(help="What the kiosk computes; without it the vector is shown.")] = "",
    as_json: bool = JSON,
) -> None:
    """Compare a kiosk's reference with that of a test vector. Exit code 1 if it differs."""
    made = how_made(reference) if reference else ""
    why = None if made == "" else MISTAKES.get(made or "", "it was made in a way that is not known")
    if as_json:
        vector = {"key": VECTOR_KEY, "customer_id": VECTOR_CUSTOMER, "reference": VECTOR_REFERENCE}
        emit({**vector, "given": reference or None, "good": why is None, "why": why})
    else:
        console.print(f"key: {VECTOR_KEY}\ncustomer: {VECTOR_CUSTOMER}\nreference: {VECTOR_REFERENCE}", soft_wrap=True)
        if reference:
            console.print("the kiosk's is the same" if why is None else f"the kiosk's differs: {why}", soft_wrap=True)
    if why is not None:
        raise typer.Exit(FAILED_CHECK)


app.command("pages")(serve_pages)
app.command("bound")(bound)
app.command("simulate")(simulate_)
app.command("explain")(explain_)
app.command("day")(day)
app.command("estimates")(estimates)
app.command("compare")(compare_branches)
app.command("restore")(restore_branch)
