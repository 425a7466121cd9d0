"""`tidegauge close`: ends a business day."""

from datetime import date

import typer

from deploy.settings import Settings
from streams.calendar import date_of, day_of
from tidegauge.cli.choices import closable_date
from tidegauge.cli.output import JSON, console, emit
from tidegauge.cli.servers import need_world

app = typer.Typer()


@app.command("close")
def close(
    day: date = typer.Argument(..., parser=closable_date, help="The business day, such as 2026-01-31."),
    as_json: bool = JSON,
) -> None:
    """Close a business day: marks in every input and the close with its cut, in one transaction; again is harmless."""
    from connectors.loading.closer import Closer
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    settings, number = Settings(), day_of(day)
    need_world(settings)
    registry = registry_for(settings)
    closer = Closer(settings, lambda contract, record: encode(contract, record, registry))
    written = closer.close(number)
    last = date_of(closer.last if closer.last is not None else number)
    if as_json:
        cut = {} if written is None else {"cut": written["cut"]}
        emit({"day": day.isoformat(), "closed": written is not None, "last_closed": last.isoformat(), **cut})
    elif written is None:
        console.print(f"{day} is closed already (the last closed day is {last})")
    else:
        console.print(f"closed {day}")
