"""Figures that a pack declares: facts by month, flows and measures; how one is made of others, and in which unit it counts.

Within the engine a metric is one name. `salary[0]` is a fact's or flow's latest ended month, `salary[sum 3]` and
`salary[mean 3]` are over the latest three, `salary[year]` adds up from January on; `quarter_avg@day_start` looks at the
balances that days begin with. All but sums, means and measures are columns: the others are sums of those with weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from policies.model import metrics
from policies.model.terms import Limit, rate_key
from streams.calendar import last_ended_month, month_start
from streams.vocabulary.metrics import INDEX, months_of_mean, parts, period

if TYPE_CHECKING:
    from decimal import Decimal

    from policies.model.provisions import OwnFact
    from policies.model.terms import Name

Key = tuple[str, str | None]
IN, OUT = DIRECTIONS = ("in", "out")
SUM, COUNT = FLOW_VALUES = ("sum", "count")
FLOWS_MAX: Final = 8  # a pack
FLOW_MONTHS_MAX, FACT_MONTHS_MAX = 6, 12  # ended months that a criterion can look at
PLAIN_NUMBER, PLAIN_PLACES = "plain", 6  # the kind of a measure's value, and the decimal places that are kept of it
RATE_PLACES: Final = 6  # of a currency's rate
AT_DAY_START: Final = "@day_start"
_SERIES: Final = re.compile(r"([a-z0-9_-]+)\[(?:([0-9]{1,2})|(year)|(sum|mean) ([0-9]{1,2}))\]")


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a measure: a metric times a weight."""

    metric: str
    scope: str | None
    weight: Decimal


@dataclass(frozen=True, slots=True)
class PackMeasure:
    """A weighted sum of metrics, facts, flows and other measures: a plain number, money in whole units."""

    terms: tuple[Term, ...]
    name: Name | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """What comes in or goes out in a month, by the month of booking: which postings count, and whether sum or number.

    Empty: any nature, channel, or counterparty (by its bank or its reference).
    """

    direction: str
    value: str = SUM
    natures: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    counterparties: tuple[str, ...] = ()
    name: Name | None = None


class Declared(Protocol):
    """What declares figures: a pack, or one that is being read."""

    @property
    def facts(self) -> Mapping[str, OwnFact]:
        """By name."""

    @property
    def flows(self) -> Mapping[str, Flow]:
        """By name."""

    @property
    def measures(self) -> Mapping[str, PackMeasure]:
        """By name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a pack that is being read."""

    facts: Mapping[str, OwnFact] = field(default_factory=dict)
    flows: Mapping[str, Flow] = field(default_factory=dict)
    measures: Mapping[str, PackMeasure] = field(default_factory=dict)


class Series(NamedTuple):
    """A fact or flow by month: one month (0 is the latest ended), the year so far, or a sum or mean of the latest months."""

    of: str
    month: int | None = None
    year: bool = False
    mode: str | None = None
    months: int = 0


def series(metric: str) -> Series | None:
    """What a name says of a fact or flow by month; None for any other metric."""
    found = None if metrics.kind(metric) is not None else _SERIES.fullmatch(metric)
    if found is None:
        return None
    of, month, year, mode, months = found.groups()
    return Series(of, None if month is None else int(month), year is not None, mode, int(months or 0))


def metric_kind(declared: Declared, metric: str) -> str | None:
    """`rolling`, `money`, `count`, `flag`, `text` or `plain`; None for an unknown name."""
    if (known := metrics.kind(metric.removesuffix(AT_DAY_START))) is not None:
        return known
    if metric in declared.measures:
        return PLAIN_NUMBER
    name = metric if (by_month := series(metric)) is None else by_month.of
    if name in declared.flows:
        return None if by_month is None else "money" if declared.flows[name].value == SUM else "count"
    own = declared.facts.get(name)
    return metrics.kind(name) if own is None else own.kind


def decimals_of(declared: Declared, metric: str, exponent: int) -> int:
    """Decimal places of the unit in which a metric is kept, by the exponent of the base currency."""
    kind = metric_kind(declared, metric)
    if metric.startswith("rate["):
        return RATE_PLACES
    return exponent if kind in ("rolling", "money") else PLAIN_PLACES if kind == PLAIN_NUMBER else 0


def form(declared: Declared, metric: str, scope: str | None) -> dict[Key, Fraction] | None:
    """A sum, a mean or a measure by its columns, each with its weight; None for a metric that is a column itself."""
    if (measure := declared.measures.get(metric)) is not None:
        found: dict[Key, Fraction] = {}
        for term in measure.terms:
            below = form(declared, term.metric, term.scope) or {(term.metric, term.scope): Fraction(1)}
            for key, weight in below.items():
                found[key] = found.get(key, Fraction(0)) + weight * Fraction(term.weight)
        return found
    start = AT_DAY_START if metric.endswith(AT_DAY_START) else ""
    if (count := months_of_mean(metric.removesuffix(AT_DAY_START))) is not None:
        return {(f"month_avg[{k}]{start}", scope): Fraction(1, count) for k in range(count)}
    by_month = series(metric)
    if by_month is None or by_month.mode is None:
        return None
    weight = Fraction(1) if by_month.mode == "sum" else Fraction(1, by_month.months)
    return {(f"{by_month.of}[{k}]", None): weight for k in range(by_month.months)}


def limit_columns(declared: Declared, limit: Limit) -> tuple[Key, ...]:
    """The columns that a limit takes; the rate of its currency among them."""
    made = form(declared, limit.metric, limit.scope)
    found = tuple((name, limit.scope) for name in parts(limit.metric)) if made is None else tuple(made)
    return found if limit.currency is None else (*found, rate_key(limit.currency))


def figure_period(metric: str, day: int) -> tuple[int, int] | None:
    """First and last day of what is looked at by month or at days' starts; None for any other metric."""
    if metric.endswith(AT_DAY_START):
        first, last = period(metric.removesuffix(AT_DAY_START), day)
        return first - 1, last - 1
    by_month = series(metric)
    if by_month is None or metric in INDEX:
        return None
    last_month = int(last_ended_month(day))
    first_month = last_month - last_month % 12 if by_month.year else last_month - (by_month.month or 0)
    end = last_month if by_month.year else first_month
    return int(month_start(first_month)), int(month_start(end + 1)) - 1


def months_of_year(day: int) -> int:
    """How many months `year` adds up as of a day: January to the latest ended one."""
    return int(last_ended_month(day)) % 12 + 1
