"""Decide many customers at once: a pack's criteria over columns of exact values, and the plain part of the lifecycle.

`criteria.decide` and `lifecycle.close` are the slow twins; the tests hold these to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, lcm
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from policies.compiled.pack import INT64_MAX, Minor
from policies.language.reader import PackError, Problem
from policies.lifecycle.state import FLAGS
from policies.model.figures import RATE_PLACES, Key, decimals_of, form, limit_columns
from policies.model.terms import Limit, Not, limits, rate_key
from streams.money import NANO
from streams.vocabulary.metrics import INDEX, months_of_mean, parts

if TYPE_CHECKING:
    from policies.model.figures import Declared
    from policies.model.pack import ClassPolicy, Pack
    from policies.model.provisions import Service
    from policies.model.terms import Criterion

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Column:
    """n exact values (units + nano / 10**9) / divisor, 0 <= nano < 10**9: minor units, counts, or flags as 0 and 1.

    held: no value, a rate is missing. unknown: the bank does not know it, so it meets no limit. None: none is.
    Of sums with weights units are whole numbers of any size. scale: of a plain number, the decimal places of a unit.
    texts: what the units are the places of.
    """

    units: Ints
    nano: Ints | None = None
    divisor: int = 1
    held: Bools | None = None
    unknown: Bools | None = None
    scale: int | None = None
    texts: tuple[str, ...] | None = None


ColumnsByKey = Mapping[Key, Column]


@dataclass(frozen=True, slots=True)
class Program:
    """One class of a pack for one base currency. `needs` are the columns that `evaluate` takes."""

    pack_id: str
    version: int
    policy: ClassPolicy
    minor: Mapping[Limit, int]
    needs: tuple[Key, ...]
    looks: tuple[Key, ...] = ()  # of the condition of `potential`
    fees: tuple[Key, ...] = ()  # of the conditions of services
    sums: Mapping[Key, WeightedSum] = field(default_factory=dict)  # metrics that are no columns, but sums of some
    told: tuple[Key, ...] = ()  # those of them that evidence has beside what they are made of
    base_exponent: int = 2
    takes: Mapping[Limit, tuple[Key, ...]] = field(default_factory=dict)  # the columns of each limit

    @property
    def tier_ids(self) -> tuple[str, ...]:
        """Lowest first, as `evaluate` counts them."""
        return tuple(tier.id for tier in self.policy.tiers)

    def evaluate(self, columns: ColumnsByKey) -> tuple[Ints, Bools]:
        """(int64[n] index of the tier that the standard gives, bool[n] held). KeyError for a column that is missing."""
        columns = self._with_sums(columns)
        n = len(next(iter(columns.values())).units)
        tiers, held = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for index, tier in enumerate(self.policy.tiers):
            if tier.when is not None:
                tiers[self._met(tier.when, columns)] = index
        if self.policy.veto is not None:
            tiers[self._met(self.policy.veto, columns)] = 0
        for key in self.needs:
            missing = columns[key].held
            if missing is not None:
                held |= missing
        return tiers, held

    def barred(self, columns: ColumnsByKey) -> tuple[Bools, Bools]:
        """(bool[n] who meets the veto, bool[n] of whom that cannot be said). KeyError for a column that is missing."""
        columns = self._with_sums(columns)
        n = len(next(iter(columns.values())).units)
        met, held = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        if self.policy.veto is not None:
            met = self._met(self.policy.veto, columns)
            for key in self._takes(self.policy.veto):
                missing = columns[key].held
                held |= False if missing is None else missing
        return met, held

    def charges(self, service: Service, columns: ColumnsByKey, n: int) -> tuple[Bools, Bools]:
        """(bool[n] who meets a service's condition, bool[n] of whom that cannot be said)."""
        met, held = np.ones(n, np.bool_), np.zeros(n, np.bool_)
        if service.when is not None:
            columns = self._with_sums(columns)
            met = self._met(service.when, columns)
            for key in self._takes(service.when):
                missing = columns[key].held
                held |= False if missing is None else missing
        return met, held

    def potential(self, columns: ColumnsByKey) -> Bools:
        """bool[n]: who is flagged potential_customer. Takes columns beyond `needs` where the pack's condition does."""
        when = self.policy.potential.when if self.policy.potential is not None else None
        n = len(next(iter(columns.values())).units)
        return np.zeros(n, np.bool_) if when is None else self._met(when, self._with_sums(columns))

    def _takes(self, criterion: Criterion) -> tuple[Key, ...]:
        """The columns that a criterion takes."""
        return tuple(dict.fromkeys(key for leaf in limits(criterion) for key in self.takes[leaf]))

    def with_told(self, columns: ColumnsByKey) -> dict[Key, Column]:
        """The columns, and behind them the measures that are made of them."""
        found = dict(columns)
        for key in self.told:
            if self.sums[key].parts.keys() <= found.keys():
                found[key] = self.sums[key].of(found)
        return found

    def _with_sums(self, columns: ColumnsByKey) -> dict[Key, Column]:
        found = dict(columns)
        for key, weighted in self.sums.items():
            if key not in found and weighted.parts.keys() <= columns.keys():
                found[key] = weighted.of(columns)
        for limit in self.minor:
            key = (limit.metric, limit.scope)
            months = [(part, limit.scope) for part in parts(limit.metric)]
            if months_of_mean(limit.metric) and key not in found and all(month in columns for month in months):
                found[key] = months_mean([columns[month] for month in months])
        return found

    def _met(self, criterion: Criterion, columns: ColumnsByKey, wanted: bool = True) -> Bools:
        """bool[n]: of whom it is known that they meet the criterion or, not `wanted`, that they don't."""
        if isinstance(criterion, Limit):
            column = columns[criterion.metric, criterion.scope]
            met = self._within(criterion, column, columns)
            met = met if wanted else ~met
            return met if column.unknown is None else met & ~column.unknown
        if isinstance(criterion, Not):
            return self._met(criterion.part, columns, not wanted)
        masks, of = [self._met(part, columns, wanted) for part in criterion.parts], len(criterion.parts)
        needed = criterion.needed if wanted else of - criterion.needed + 1
        if needed in (1, of):
            combined: Bools = (np.logical_or if needed == 1 else np.logical_and).reduce(masks)
            return combined
        return np.asarray(np.sum(masks, axis=0) >= needed)

    def _within(self, limit: Limit, column: Column, columns: ColumnsByKey) -> Bools:
        """A whole bound b * divisor is reached by units + nano / 10**9 just when it is reached by units."""
        if limit.texts:
            assert column.texts is not None
            return np.isin(column.units, [place for place, text in enumerate(column.texts) if text in limit.texts])
        if limit.currency is not None:
            return _within_exactly(limit.operator, self.bound(limit, columns) * column.divisor, column)
        bound = self.minor[limit] * column.divisor
        bound = bound if column.units.dtype == object else min(bound, INT64_MAX)
        if limit.operator in ("minimum", "below"):
            reached: Bools = np.asarray(column.units >= bound, np.bool_)
            return reached if limit.operator == "minimum" else ~reached
        passed: Bools = np.asarray(column.units > bound, np.bool_)
        if column.nano is not None:
            passed |= (column.units == bound) & (column.nano > 0)
        return passed if limit.operator == "above" else ~passed

    def bound(self, limit: Limit, columns: ColumnsByKey) -> Fraction:
        """What a limit in a currency of its own is in minor units of the base currency, by the rate among the columns."""
        assert limit.currency is not None
        assert limit.value is not None
        rate = columns[rate_key(limit.currency)].units
        micro = int(rate[0]) if len(rate) else 0
        return Fraction(limit.value) * Fraction(micro, 10**RATE_PLACES) * 10**self.base_exponent


def _within_exactly(operator: str, bound: Fraction, column: Column) -> Bools:
    """The same for a bound that may lie between two units."""
    whole = bound.numerator // bound.denominator
    rest = bound - whole
    units = column.units
    nano = np.zeros(len(units), np.int64) if column.nano is None else column.nano
    whole = whole if units.dtype == object else min(whole, INT64_MAX)
    above, same = np.asarray(units > whole, np.bool_), np.asarray(units == whole, np.bool_)
    part = rest * NANO  # of a unit, in billionths
    reached: Bools = above | (same & (nano >= ceil(part)))
    passed: Bools = above | (same & (nano > floor(part)))
    if operator in ("minimum", "below"):
        return reached if operator == "minimum" else ~reached
    return passed if operator == "above" else ~passed


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """A sum of columns: `parts` are their weights, from minor units, counts and flags into units of the sum, 10**-scale."""

    parts: Mapping[Key, Fraction]
    scale: int | None = None

    def of(self, columns: ColumnsByKey) -> Column:
        """The exact sum, whole numbers of any size over one divisor; held or unknown where a part is."""
        mine = [(columns[key], weight) for key, weight in self.parts.items()]
        divisor = lcm(*(weight.denominator * one.divisor * (1 if one.nano is None else NANO) for one, weight in mine))
        n = len(mine[0][0].units)
        units, held, unknown = np.zeros(n, object), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        for one, weight in mine:
            factor = weight * divisor / one.divisor
            if one.nano is None:
                units += one.units.astype(object) * int(factor)
            else:
                units += (one.units.astype(object) * NANO + one.nano) * int(factor / NANO)
            held |= False if one.held is None else one.held
            unknown |= False if one.unknown is None else one.unknown
        return Column(units, None, divisor, held, unknown if unknown.any() else None, self.scale)


def months_mean(months: list[Column]) -> Column:
    """The exact mean of monthly averages, months of different length (months_mean[n]).

    Whole parts and remainders are added apart, so that nothing passes 63 bits; of the rest only whether it is there counts.
    """
    common = lcm(*(month.divisor for month in months))
    n = len(months[0].units)
    whole, rest, nano = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    held = np.zeros(n, np.bool_)
    for month in months:
        factor = common // month.divisor
        whole += month.units // month.divisor
        rest += month.units % month.divisor * factor
        if month.nano is not None:
            nano += month.nano * factor
        if month.held is not None:
            held |= month.held
    rest += nano // NANO
    nano %= NANO
    whole += rest // common
    left = (rest % common > 0) | (nano > 0)
    return Column(whole, left.astype(np.int64), len(months), held)


def compile_program(pack: Pack, base_exponent: int, customer_class: str) -> Program:
    """The program of a class. PackError for a template, or an amount that is not whole in minor units."""
    policy = pack.classes[customer_class]
    if pack.open_numbers():
        message = f"a template: {', '.join(pack.open_numbers())} still open"
        raise PackError([Problem(pack.id, 1, f"classes.{customer_class}.tiers", message)])
    deciding = [policy.veto, *(tier.when for tier in policy.tiers)]
    potential = policy.potential.when if policy.potential is not None else None
    fees = [service.when for service in policy.charged]
    minor: dict[Limit, int] = {}
    sums: dict[Key, WeightedSum] = {}
    for leaf in (leaf for criterion in [*deciding, potential, *fees] for leaf in limits(criterion)):
        exact, key = Minor(pack.id, decimals_of(pack, leaf.metric, base_exponent)), (leaf.metric, leaf.scope)
        minor[leaf] = 0 if leaf.value is None or leaf.currency is not None else exact.of(leaf.value, "tiers")
        if months_of_mean(leaf.metric) is None or leaf.currency is not None:
            made = weighted_sum(pack, leaf.metric, leaf.scope, base_exponent)
            sums |= {} if made is None else {key: made}
    told = tuple(key for key in sums if key[0] in pack.measures)
    needs, looks, charged = (_needs(pack, criteria) for criteria in (deciding, [potential], fees))
    return Program(pack.id, pack.version, policy, minor, needs, looks, charged, sums, told, base_exponent,
                   {leaf: limit_columns(pack, leaf) for leaf in minor})  # fmt: skip


def weighted_sum(pack: Declared, metric: str, scope: str | None, base_exponent: int) -> WeightedSum | None:
    """A sum, mean or measure over columns; None for what is a column."""
    made = form(pack, metric, scope)
    if made is None:
        return None
    unit = decimals_of(pack, metric, base_exponent)
    weights = {
        key: weight * Fraction(10) ** (unit - decimals_of(pack, key[0], base_exponent)) for key, weight in made.items()
    }
    return WeightedSum(weights, unit if metric in pack.measures else None)


def _needs(pack: Declared, criteria: list[Criterion | None]) -> tuple[Key, ...]:
    """The columns that criteria take."""
    found = (key for criterion in criteria for leaf in limits(criterion) for key in limit_columns(pack, leaf))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Plain:
    """The part of the lifecycle that most customers need, in columns: no card, grant, request, pin or review of their own.

    official: int64[n] tier index; below: int64[n] month closes in a row below it; is_ready: bool[n] records complete.
    """

    official: Ints
    below: Ints
    is_ready: Bools


def close_plain(policy: ClassPolicy, ends: frozenset[str], at: Plain, measured: Ints) -> Plain:
    """`lifecycle.close` for customers as in Plain, under a policy of basis metric without reviews, no source stale."""
    assert policy.review is None
    step = _steps(policy, at, measured)
    below = np.where(step >= 0, 0, at.below + ("month" in ends))
    moved = _moved(policy, ends, at, measured, below)
    official = np.where(moved, measured, at.official)
    return Plain(np.where(at.is_ready, official, 0), np.where(moved, 0, below), at.is_ready)


def look_plain(policy: ClassPolicy, at: Plain, measured: Ints) -> Plain:
    """`lifecycle.look` for customers as in Plain, under a policy of basis metric, no source stale."""
    moved = _moved(policy, frozenset(), at, measured, at.below)
    return Plain(np.where(moved, measured, at.official), np.where(moved, 0, at.below), at.is_ready)


def _steps(policy: ClassPolicy, at: Plain, measured: Ints) -> Ints:
    levels = np.array([policy.level(tier.id) for tier in policy.tiers], np.int64)
    steps: Ints = levels[measured] - levels[at.official]
    return steps


def _moved(policy: ClassPolicy, ends: frozenset[str], at: Plain, measured: Ints, below: Ints) -> Bools:
    """bool[n]: whose official tier goes where the standard is, at a day that ends these closes."""
    assert policy.status.basis == "metric"
    when, step = policy.evaluation, _steps(policy, at, measured)
    up, down = _timely(when.upgrades, ends), _timely(when.downgrades, ends)
    lost = (step < 0) & down & ((when.grace_months == 0) | (below > when.grace_months))
    moved: Bools = (((step >= 0) & up & (measured != at.official)) | lost) & at.is_ready
    return moved


def plain_flags(policy: ClassPolicy, at: Plain, measured: Ints) -> Ints:
    """int64[n]: `state.flags` of customers as in Plain, as bits; `measured` is the tier that the standard gave last."""
    levels = np.array([policy.level(tier.id) for tier in policy.tiers], np.int64)
    vip = np.array([policy.is_vip(tier.id) for tier in policy.tiers], np.bool_)[at.official]
    official, given, evaluation = levels[at.official], levels[measured], policy.evaluation
    offered, asked = evaluation.upgrades == "application", evaluation.downgrades == "application"
    found = {
        "vip": vip,
        "eligible": (at.official == 0) & (given > 0),
        "upgrade-offer": (official > 0) & (official < given) if offered else None,
        "downgrade-case": given < official if asked else None,
        "grace": (at.below > 0) & (given < official) if evaluation.grace_months else None,
    }
    out = np.zeros(len(official), np.int64)
    for name, holds in found.items():
        if holds is not None:
            out |= holds.astype(np.int64) << FLAGS.index(name)
    return out


def _timely(when: str, ends: frozenset[str]) -> bool:
    return when == "continuous" or when in ends


def from_metrics(found: Any, scope: str | None, wanted: tuple[Key, ...]) -> dict[Key, Column]:
    """Columns out of streams' Metrics (units, nano, days, held by column) for the rolling metrics wanted over a scope."""
    out: dict[Key, Column] = {}
    for metric, at in wanted:
        k = INDEX.get(metric)
        if at == scope and k is not None:
            out[metric, at] = Column(found.units[:, k], found.nano[:, k], int(found.days[k]), found.held[:, k])
    return out
