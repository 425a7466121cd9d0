"""`tidegauge queue bound`: by whom each class may be overtaken, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer
from rich.table import Table

from tidegauge.cli.choices import Lang, QueueOrder
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import JSON, console, emit
from tidegauge.cli.queue.words import QUEUE_WORDS

_STEPS = ("class", "among", "recall", "no_show", "transfer", "appointment")


def bound(
    pack: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    order: QueueOrder | None = typer.Option(None, "--order", help="Instead of the pack's."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Print for each class by whom it may be overtaken, and how much later these may have come.

    With what a recall, a no-show, a transfer, an appointment, a change of class and the cap do to it.
    """
    from policies import load_pack
    from policies.compiled.queue import MINUTE_S, compile_queue
    from streams.queue.discipline import RATIO
    from streams.queue.overtaking import overtaking_limit_s

    say = speaker(QUEUE_WORDS, language(lang))
    queue = compile_queue(load_pack(pack), order)
    rule, ids = queue.discipline, queue.ids
    limits = {
        waiting: {by: overtaking_limit_s(rule, ids.index(waiting), ids.index(by)) for by in ids} for waiting in ids
    }
    if as_json:
        minutes = {
            waiting: {by: None if limit is None else limit // MINUTE_S for by, limit in found.items() if limit != 0}
            for waiting, found in limits.items()
        }
        rounds = dict(zip(ids, rule.round_calls, strict=True)) if rule.order == RATIO else None
        emit({
            "pack": pack, "order": rule.order, "overtaken_by_minutes": minutes, "round_calls": rounds,
            "overtakers_max": rule.overtakers_max,
        })  # fmt: skip
        return
    console.print(_table(limits, rule.order, say))
    for line in _lines(rule, ids, say):
        console.print(line, soft_wrap=True)


def _table(limits: dict[str, dict[str, int | None]], order: str, say: Callable[..., str]) -> Table:
    from policies.compiled.queue import MINUTE_S

    table = Table(title=say("bound", order=say(f"order.{order}")), title_justify="left")
    for column in ("class", "by", "limit"):
        table.add_column(say(f"c.{column}"), justify="right" if column == "limit" else "left", no_wrap=True)
    for waiting, found in limits.items():
        by = [(name, limit) for name, limit in found.items() if limit != 0]
        if not by:
            table.add_row(waiting, "-", say("never"))
        for place, (name, limit) in enumerate(by):
            shown = say("no_limit") if limit is None else say("minutes", n=limit // MINUTE_S)
            table.add_row("" if place else waiting, name, shown)
    return table


def _lines(rule: Any, ids: tuple[str, ...], say: Callable[..., str]) -> Iterator[str]:
    from streams.queue.discipline import FIRST_COME, RATIO

    if rule.order == FIRST_COME:
        yield say("nobody_at_all")
    if rule.order == RATIO:
        rounds = zip(ids, rule.round_calls, strict=True)
        yield say("b.ratio", calls=", ".join(say("calls", class_=name, n=calls) for name, calls in rounds))
    yield from (say(f"b.{step}") for step in _STEPS)
    yield say("b.no_cap") if rule.overtakers_max is None else say("b.cap", n=rule.overtakers_max)
