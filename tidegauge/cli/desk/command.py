"""`tidegauge desk`: `serve` serves it, `try` runs it with everything behind it."""

from __future__ import annotations

import typer

from tidegauge.cli.desk.pages import serve
from tidegauge.cli.desk.trial import try_desk

app = typer.Typer(no_args_is_help=True, help="Serve the pages on which people look at customers and act on cases.")
app.command("serve")(serve)
app.command("try")(try_desk)
