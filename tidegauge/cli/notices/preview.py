"""`tidegauge notices preview`: what notices say, with a bank's own texts, before anybody gets them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.printable import printable
from deploy.settings import Settings
from tidegauge.cli.choices import KindOfNotice, Lang
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit

if TYPE_CHECKING:
    from services.notices.texts import NoticeTexts


def usable_texts(path: Path | None, named: str = "TIDEGAUGE_NOTICE_TEXTS") -> Mapping[str, NoticeTexts]:
    """The texts of notices, by language; CommandError for a file that is none. named: who named it."""
    from services.notices.bank_texts import TextsError, bank_texts

    try:
        return bank_texts(path)
    except TextsError as problem:
        raise CommandError(f"{named}: {problem}", "see docs/alerts.md, Texts", BAD_INPUT) from problem


def preview(
    lang: Annotated[Lang | None, typer.Option("--lang", help="Language (TIDEGAUGE_NOTICE_LOCALE).")] = None,
    kind: Annotated[KindOfNotice | None, typer.Option(help="Of this kind only.")] = None,
    texts: Annotated[Path | None, typer.Option(help="File with the bank's own texts (TIDEGAUGE_NOTICE_TEXTS).")] = None,
    as_json: bool = JSON,
) -> None:
    """Show what notices say, of each kind and step, on a sample alert. It asks no server, and sends nothing."""
    from tidegauge.notice_samples import notice_samples  # here, as `--help` needs no texts

    settings = Settings()
    words = usable_texts(texts, "--texts") if texts else usable_texts(settings.notice_texts)
    locale = str(lang or settings.notice_locale)
    found = list(notice_samples(words, locale, str(kind or "")))
    if as_json:
        emit([{"locale": locale, **one._asdict()} for one in found])
        return
    for one in found:
        console.print(f"{one.kind}, {one.step}{', late' if one.late else ''}", markup=False)
        for text in (one.subject, one.body):
            console.print(f"    {printable(text)}", soft_wrap=True, markup=False)
