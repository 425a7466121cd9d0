"""`tidegauge demo`: five months of a simulated bank through everything, checked figure by figure."""

from pathlib import Path

import typer

from deploy.settings import Settings
from tidegauge.cli.language import LANGUAGES
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, console

app = typer.Typer()


@app.command("demo")
def demo(
    customers: int = typer.Option(
        1000, "--customers", min=50, max=20_000, help="Customers beside the six of the stories."
    ),
    seed: int = typer.Option(1, "--seed", help="The same seed gives the same bank."),
    month_seconds: int = typer.Option(10, "--month-seconds", min=0, max=600, help="Seconds a month takes at least."),
    lang: str = typer.Option("en", "--lang", help="en or zh-CN."),
    data: Path | None = typer.Option(
        None, "--data", help="The demo's folder is made in this one (TIDEGAUGE_DATA_DIR)."
    ),
    keep: bool = typer.Option(False, "--keep", help="Leave Kafka and Redis running."),
) -> None:
    """Run a simulated bank through everything, tell six stories, kill the worker once, and check every figure by SQL.

    Exit code 1 if any figure differs from the independent computation.
    """
    from connectors.loading.publisher import PublishError
    from deploy.errors import StackError
    from tidegauge.demo.run import Demo, Options

    if lang not in LANGUAGES:
        raise CommandError(f"--lang {lang!r} is none of {', '.join(LANGUAGES)}", code=BAD_INPUT)
    settings = Settings() if data is None else Settings(data_dir=data)
    options = Options(customers, seed, float(month_seconds), lang, keep)
    try:
        good = Demo(settings, options, console).run()
    except (StackError, PublishError) as problem:
        message = problem.message if isinstance(problem, StackError) else str(problem)
        raise CommandError(message, problem.hint, FAILED_CHECK) from problem
    if not good:
        raise typer.Exit(FAILED_CHECK)
