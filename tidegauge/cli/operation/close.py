"""`tidegauge close`: ends a business day."""

import json

import typer

from deploy.settings import Settings
from streams.calendar import date_of
from tidegauge.cli.output import CommandError, console, day_argument

app = typer.Typer()


@app.command("close")
def close(
    day: str = typer.Argument(..., help="The business day, such as 2026-01-31."),
    as_json: bool = typer.Option(False, "--json", help="For machines: the close as it was written."),
) -> None:
    """Close a business day: marks in every input and the close with its cut, in one transaction; again is harmless."""
    from connectors.loading.closer import Closer
    from connectors.loading.publisher import PublishError
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    settings = Settings()
    number = day_argument(day)
    registry = registry_for(settings)
    try:
        closer = Closer(settings, lambda contract, record: encode(contract, record, registry))
        written = closer.close(number)
    except PublishError as problem:
        raise CommandError(str(problem), problem.hint, code=1) from problem
    if as_json:
        typer.echo(json.dumps(written))
    elif written is None:
        console.print(f"{day} is closed already (the last closed day is {date_of(closer.last or number)})")
    else:
        console.print(f"closed {day}")
