"""`tidegauge topics`: the topic catalogue and what of it exists."""

import typer
from rich.table import Table

from deploy import topics as catalogue
from deploy.settings import Settings
from tidegauge.checks.topics import topic_settings
from tidegauge.cli.output import JSON, console, emit, notes

app = typer.Typer()


@app.command("topics")
def topics(
    create: bool = typer.Option(False, "--create", help="Create what is missing."),
    wait: float = typer.Option(10.0, "--wait", min=0.1, max=600, help="Seconds to wait for the brokers."),
    as_json: bool = JSON,
) -> None:
    """Show every topic: key, writer, retention, partitions. With --create, make the missing ones."""
    settings = Settings()
    if create:
        for name in catalogue.create(settings, wait_s=wait):
            notes.print(f"created {name}")
        _tell_differences(settings)
    found = catalogue.inspect(settings, wait)
    if as_json:
        rows = [{"topic": entry.full_name, "key": entry.topic.key, "partitions": entry.partitions} for entry in found]
        emit(rows)
        return
    table = Table("topic", "key", "written by", "kept", "partitions", box=None, header_style="bold")
    for entry in found:
        table.add_row(
            entry.full_name,
            entry.topic.key,
            entry.topic.written_by,
            _kept(entry.topic),
            str(entry.partitions or "missing"),
        )
    console.print(table)


def _tell_differences(settings: Settings) -> None:
    """Topics that were there before, such as those that brokers make for whoever names them, may keep less."""
    for finding in topic_settings(settings):
        if not finding.good:
            notes.print(f"{finding.found}\n  {finding.hint}", soft_wrap=True)


def _kept(topic: catalogue.Topic) -> str:
    """How long a topic's records are kept, in words."""
    parts = ["last of each key"] if topic.compact else []
    if topic.kept_days != catalogue.FOREVER:
        parts.append(f"{topic.kept_days} days")
    return ", ".join(parts) or "for ever"
