"""Decide many customers at once: a pack's criteria over columns of exact values, and the plain part of the lifecycle.

`criteria.decide` and `lifecycle.close` are the slow twins; the tests hold these to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from policies.compiled.pack import INT64_MAX, Minor
from policies.language.reader import PackError, Problem
from policies.lifecycle.state import FLAGS
from policies.model import metrics
from policies.model.terms import AnyOf, Limit, limits
from streams.vocabulary.metrics import INDEX, months_of_mean, parts

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy, Pack
    from policies.model.provisions import Service
    from policies.model.terms import Criterion

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, str | None]
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Column:
    """n exact values (units + nano / 10**9) / divisor, 0 <= nano < 10**9: minor units, counts, or flags as 0 and 1.

    held: no value, a rate is missing. unknown: the bank does not know it, so it meets no limit. None: none is.
    """

    units: Ints
    nano: Ints | None = None
    divisor: int = 1
    held: Bools | None = None
    unknown: Bools | None = None


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

    @property
    def tier_ids(self) -> tuple[str, ...]:
        """Lowest first, as `evaluate` counts them."""
        return tuple(tier.id for tier in self.policy.tiers)

    def evaluate(self, columns: ColumnsByKey) -> tuple[Ints, Bools]:
        """(int64[n] index of the tier that the standard gives, bool[n] held). KeyError for a column that is missing."""
        columns = self._with_means(columns)
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
        columns = self._with_means(columns)
        n = len(next(iter(columns.values())).units)
        met, held = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        if self.policy.veto is not None:
            met = self._met(self.policy.veto, columns)
            for key in _needs([self.policy.veto]):
                missing = columns[key].held
                held |= False if missing is None else missing
        return met, held

    def charges(self, service: Service, columns: ColumnsByKey, n: int) -> tuple[Bools, Bools]:
        """(bool[n] who meets a service's condition, bool[n] of whom that cannot be said)."""
        met, held = np.ones(n, np.bool_), np.zeros(n, np.bool_)
        if service.when is not None:
            columns = self._with_means(columns)
            met = self._met(service.when, columns)
            for key in _needs([service.when]):
                missing = columns[key].held
                held |= False if missing is None else missing
        return met, held

    def potential(self, columns: ColumnsByKey) -> Bools:
        """bool[n]: who is flagged potential_customer. Takes columns beyond `needs` where the pack's condition does."""
        when = self.policy.potential.when if self.policy.potential is not None else None
        n = len(next(iter(columns.values())).units)
        return np.zeros(n, np.bool_) if when is None else self._met(when, self._with_means(columns))

    def _with_means(self, columns: ColumnsByKey) -> dict[Key, Column]:
        found = dict(columns)
        for limit in self.minor:
            key = (limit.metric, limit.scope)
            months = [(part, limit.scope) for part in parts(limit.metric)]
            if months_of_mean(limit.metric) and key not in found and all(month in columns for month in months):
                found[key] = months_mean([columns[month] for month in months])
        return found

    def _met(self, criterion: Criterion, columns: ColumnsByKey) -> Bools:
        if isinstance(criterion, Limit):
            column = columns[criterion.metric, criterion.scope]
            met = self._within(criterion, column)
            return met if column.unknown is None else met & ~column.unknown
        masks = [self._met(part, columns) for part in criterion.parts]
        combined: Bools = (np.logical_or if isinstance(criterion, AnyOf) else np.logical_and).reduce(masks)
        return combined

    def _within(self, limit: Limit, column: Column) -> Bools:
        """A whole bound b * divisor is reached by units + nano / 10**9 just when it is reached by units."""
        bound = min(self.minor[limit] * column.divisor, INT64_MAX)
        if limit.operator in ("minimum", "below"):
            reached = column.units >= bound
            return reached if limit.operator == "minimum" else ~reached
        passed = column.units > bound
        if column.nano is not None:
            passed |= (column.units == bound) & (column.nano > 0)
        return passed if limit.operator == "above" else ~passed


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
    rest += nano // _NANO
    nano %= _NANO
    whole += rest // common
    left = (rest % common > 0) | (nano > 0)
    return Column(whole, left.astype(np.int64), len(months), held)


def compile_program(pack: Pack, base_exponent: int, customer_class: str) -> Program:
    """The program of a class. PackError for a template, or an amount that is not whole in minor units."""
    policy = pack.classes[customer_class]
    if pack.open_numbers():
        message = f"a template: {', '.join(pack.open_numbers())} still open"
        raise PackError([Problem(pack.id, 1, f"classes.{customer_class}.tiers", message)])
    exact = Minor(pack.id, base_exponent)
    deciding = [policy.veto, *(tier.when for tier in policy.tiers)]
    potential = policy.potential.when if policy.potential is not None else None
    fees = [service.when for service in policy.charged]
    minor: dict[Limit, int] = {}
    for leaf in (leaf for criterion in [*deciding, potential, *fees] for leaf in limits(criterion)):
        own = pack.facts.get(leaf.metric)
        kind = metrics.kind(leaf.metric) or (own.kind if own is not None else None)
        assert leaf.value is not None
        minor[leaf] = (exact if kind in ("rolling", "money") else Minor(pack.id, 0)).of(leaf.value, "tiers")
    return Program(pack.id, pack.version, policy, minor, _needs(deciding), _needs([potential]), _needs(fees))


def _needs(criteria: list[Criterion | None]) -> tuple[Key, ...]:
    """The columns that criteria take."""
    needs: list[Key] = []
    for leaf in (leaf for criterion in criteria for leaf in limits(criterion)):
        needs.extend(key for name in parts(leaf.metric) if (key := (name, leaf.scope)) not in needs)
    return tuple(needs)


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
