"""`tidegauge demo`: five months of a simulated bank through everything, checked figure by figure."""

from pathlib import Path

import typer

from deploy.settings import Settings
from tidegauge.cli.choices import Lang
from tidegauge.cli.output import FAILED_CHECK, console

app = typer.Typer()


@app.command("demo")
def demo(
    customers: int = typer.Option(
        1000, "--customers", min=50, max=20_000, help="Customers beside the seven of the stories."
    ),
    seed: int = typer.Option(1, "--seed", help="The same seed gives the same bank."),
    month_seconds: int = typer.Option(10, "--month-seconds", min=0, max=600, help="Seconds a month takes at least."),
    lang: Lang = typer.Option(Lang.EN, "--lang", help="Language."),
    data: Path | None = typer.Option(
        None, "--data", help="The demo's folder is made in this one (TIDEGAUGE_DATA_DIR)."
    ),
    keep: bool = typer.Option(False, "--keep", help="Leave Kafka and Redis running."),
    secure: bool = typer.Option(False, "--secure", help="Everything with TLS, users and the least rights."),
) -> None:
    """Run a simulated bank through everything, tell seven stories, kill the worker once, and check every figure by SQL.

    Exit code 1 if any figure differs from the independent computation.
    """
    from tidegauge.demo.run import Demo, Options

    settings = Settings() if data is None else Settings(data_dir=data)
    options = Options(customers, seed, float(month_seconds), lang.value, keep, secure)
    if not Demo(settings, options, console).run():
        raise typer.Exit(FAILED_CHECK)
