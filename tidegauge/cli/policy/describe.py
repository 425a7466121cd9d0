"""`tidegauge policy describe`: a pack in plain sentences; `policy new`: a pack of a kind to begin with."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table

from tidegauge.cli.choices import KindOfPack, Lang
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit
from tidegauge.cli.policy.words import POLICY_WORDS

CHINESE = "zh-CN"


def describe(
    pack: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    markdown: bool = typer.Option(False, "--markdown", help="As Markdown, in place of a table."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Say what a pack says in plain sentences, every clause of it."""
    from policies import load_pack
    from policies.description.sentences import as_markdown, described_pack

    read, zh = load_pack(pack), language(lang) == CHINESE
    sections = described_pack(read, zh)
    if as_json:
        emit([section._asdict() for section in sections])
    elif markdown:
        typer.echo(as_markdown(read, sections, zh))
    else:
        say = speaker(POLICY_WORDS, language(lang))
        table = Table(say("c.about"), say("c.says"), show_lines=True)
        for section in sections:
            table.add_row(section.title, "\n".join(section.lines))
        console.print(table, markup=False)


def new(
    file: Path = typer.Argument(..., help="The YAML file to write; the pack is named after it."),
    kind: KindOfPack | None = typer.Option(None, "--kind", help="What the tiers rest on; asked for unless given."),
    lang: Lang | None = LANG,
) -> None:
    """Write a pack of a kind to begin with; it is good as it is."""
    from policies.language.loader import beginning

    say = speaker(POLICY_WORDS, language(lang))
    if file.exists():
        raise CommandError(f"{file} is there already", "name another file", BAD_INPUT)
    if kind is None:
        for known in KindOfPack:
            console.print(say(f"new.{known.value}"), soft_wrap=True, markup=False)
        kind = KindOfPack(typer.prompt(say("new.kind"), default=KindOfPack.AVERAGES.value))
    text = beginning(kind.value, file.stem)
    file.write_text(text, encoding="utf-8")
    console.print(say("new.written", file=file), soft_wrap=True, markup=False)
