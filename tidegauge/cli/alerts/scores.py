"""Scores as tables, as plain values, and as a curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tidegauge.evaluation.score import KindScore, Score, quantile

Say = Callable[..., str]
_SIGNS: Final = "abcdefghi"
CHART_COLUMNS, CHART_ROWS = 60, 14
ONE_PER_CENT_BP: Final = 100


def score_tables(found: Score, say: Say) -> Group:
    """Who leaves, who stays, and what a manager reads."""
    parts: list[Any] = []
    leave = _table(
        say, "leavers", "kind", "customers", "episodes", "found", "at_once", "half", "most", "median", "p90", "each"
    )
    for one in [*(one for one in found.kinds if one.findings), found.leavers]:
        if one.findings:
            leave.add_row(*_leaving(one, say))
    stay = _table(say, "stay", "kind", "counts", "customers", "told", "false", "blinks", "open")
    for one in [*(one for one in found.kinds if not one.findings), found.quiet]:
        if one.customers:
            rate, blinks = (_number(found.a_month(count, one.customers)) for count in (one.false, one.blinks))
            name = _name(one, say)
            stay.add_row(
                name, say(one.counts_as), str(one.customers), str(one.told), rate, blinks, str(one.open_at_end)
            )
    parts += [leave, stay, Text(say("lines", **found.lines._asdict()))]
    if found.occasions:
        parts.append(_occasions(found, say))
    return Group(*parts)


def _occasions(found: Score, say: Say) -> Table:
    table = _table(say, "other", "kind", "labelled", "raised", "others")
    for kind, one in found.occasions.items():
        table.add_row(kind, str(one.labelled), str(one.found), str(one.of_others))
    return table


def _leaving(one: KindScore, say: Say) -> list[str]:
    told, at_once = sum(f.told is not None for f in one.findings), _at_once(one)
    shares, cases = one.shares_told(), sum(f.cases for f in one.findings)
    return [
        _name(one, say), str(one.customers), str(len(one.findings)), _per_cent(one.share(told)), _per_cent(at_once),
        _per_cent(one.share(sum(f.before_half for f in one.findings))),
        _per_cent(one.share(sum(f.before_most for f in one.findings))),
        *(_share(quantile(shares, q)) if shares else "-" for q in (50, 90)), _number(one.share(cases)),
    ]  # fmt: skip


def _at_once(one: KindScore) -> Fraction | None:
    whole = [f for f in one.findings if f.in_one_go]
    return Fraction(sum(f.before_most and f.before_bp == 0 for f in whole), len(whole)) if whole else None


def plain_score(found: Score) -> dict[str, Any]:
    """For machines: shares and rates as decimal numbers."""
    return {
        "months": _decimal(found.months),
        "kinds": [_plain(one, found) for one in found.kinds],
        "leavers": _plain(found.leavers, found),
        "quiet": _plain(found.quiet, found),
        "told_lines_a_day": found.lines._asdict(),
        "other_kinds": {kind: asdict(one) for kind, one in found.occasions.items()},
    }


def _plain(one: KindScore, found: Score) -> dict[str, Any]:
    shares, count = one.shares_told(), len(one.findings)
    return {
        "kind": one.kind, "counts_as": one.counts_as, "customers": one.customers, "episodes": count,
        "found": _decimal(one.share(sum(f.told is not None for f in one.findings))),
        "in_one_go": sum(f.in_one_go for f in one.findings),
        "in_one_go_told_with_the_posting": _decimal(_at_once(one)),
        "found_by_50": _decimal(one.share(sum(f.before_half for f in one.findings))),
        "found_before_80": _decimal(one.share(sum(f.before_most for f in one.findings))),
        "share_out_median_bp": quantile(shares, 50) if shares else None,
        "share_out_p90_bp": quantile(shares, 90) if shares else None,
        "cases_an_episode": _decimal(one.share(sum(f.cases for f in one.findings))),
        "cases": one.told, "false": one.false, "false_per_1000_a_month": _decimal(found.a_month(one.false, one.customers)),
        "over_in_30_minutes": one.blinks,
        "over_in_30_minutes_per_1000_a_month": _decimal(found.a_month(one.blinks, one.customers)),
        "open_at_end": one.open_at_end,
    }  # fmt: skip


def curve(scales: Sequence[Fraction], scores: Sequence[Score], say: Say) -> Group:
    """Recall against noise: a chart of a sign a scale, and the figures."""
    recalls = [one.leavers.share(sum(f.before_most for f in one.leavers.findings)) or Fraction(0) for one in scores]
    noises = [one.a_month(one.quiet.false, one.quiet.customers) or Fraction(0) for one in scores]
    table = _table(say, "curve", "sign", "scale", "most", "false", "median")
    for sign, scale, recall, noise, one in zip(_SIGNS, scales, recalls, noises, scores, strict=False):
        shares = one.leavers.shares_told()
        first = _share(quantile(shares, 50)) if shares else "-"
        table.add_row(sign, f"{_number(scale)}", _per_cent(recall), _number(noise), first)
    return Group(Text(say("axes")), *map(Text, chart(noises, recalls)), table)


def chart(across: Sequence[Fraction], up: Sequence[Fraction]) -> list[str]:
    """Lines of text with a sign of _SIGNS at each point; `*` where several fall together. Both axes begin at 0."""
    widest, highest = max(*across, Fraction(1)), max(*up, Fraction(1))
    grid = [[" "] * (CHART_COLUMNS + 1) for _ in range(CHART_ROWS + 1)]
    for sign, x, y in zip(_SIGNS, across, up, strict=False):
        row, column = CHART_ROWS - round(y / highest * CHART_ROWS), round(x / widest * CHART_COLUMNS)
        grid[row][column] = sign if grid[row][column] == " " else "*"
    lines = [
        f"{_per_cent(highest * (CHART_ROWS - row) / CHART_ROWS):>8} │{''.join(cells)}" for row, cells in enumerate(grid)
    ]
    return [*lines, f"{'':8} └{'─' * (CHART_COLUMNS + 1)}", f"{'':10}0{_number(widest):>{CHART_COLUMNS}}"]


def _name(one: KindScore, say: Say) -> str:
    return say(one.kind) if one.kind.startswith("all ") else one.kind


def _table(say: Say, title: str, *columns: str) -> Table:
    table = Table(title=say(title), title_justify="left")
    for column in columns:
        justify: Any = "left" if column in ("kind", "counts", "sign") else "right"
        table.add_column(say(f"c.{column}"), justify=justify, no_wrap=column == "kind")
    return table


def _per_cent(share: Fraction | None) -> str:
    return "-" if share is None else _share(round(share * 10_000))


def _share(bp: int) -> str:
    return f"{bp // ONE_PER_CENT_BP}.{bp % ONE_PER_CENT_BP // 10} %"


def _number(value: Fraction | None) -> str:
    return "-" if value is None else f"{float(value):,.2f}"


def _decimal(value: Fraction | None) -> float | None:
    return None if value is None else round(float(value), 6)
