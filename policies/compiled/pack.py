"""A pack as arrays for the kernels: thresholds, queue classes and alert rules by tier index, amounts in minor units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from policies.language.reader import PackError, Problem
from policies.model.metrics import ROLLING
from policies.model.pack import AlertRule, CaseTerms, ClassPolicy, OutlookRule, Pack, StateRule
from policies.model.terms import Limit
from streams.vocabulary.terms import PERSONAL, SEVERITIES

if TYPE_CHECKING:
    from decimal import Decimal

# "This tier is not watched by this test": no amount and no share reaches it.
UNREACHED: Final = 2**63 - 1
UNWATCHED: Final = -1
INT64_MAX: Final = 2**63 - 1


class CriteriaTooGeneralError(PackError):
    """The tiers are not rising minimums of one metric, so they have no threshold array."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__([Problem(place, 1, "tiers", message)])


@dataclass(frozen=True, slots=True)
class CompiledAlerts:
    """Outflow rules, R of them, over T tiers (index 0 the lowest).

    A rule fires when outflow >= absolute_minor, or outflow >= floor_minor and outflow * 10000 >= share_bp * AUM at the
    window's start; for a drip only postings of at most each_at_most_minor count, and at least drip_count of them.
    UNREACHED in absolute_minor or share_bp switches that test off for the tier.
    """

    ids: tuple[str, ...]
    window_days: npt.NDArray[np.int64]  # [R], 0: a single posting
    severity: npt.NDArray[np.int64]  # [R], index into SEVERITIES
    cool_down_days: npt.NDArray[np.int64]  # [R]
    absolute_minor: npt.NDArray[np.int64]  # [R, T]
    share_bp: npt.NDArray[np.int64]  # [R, T]
    floor_minor: npt.NDArray[np.int64]  # [R, T]
    drip_count: npt.NDArray[np.int64]  # [R], 0: no drip rule
    each_at_most_minor: npt.NDArray[np.int64]  # [R], UNREACHED without drip


@dataclass(frozen=True, slots=True)
class CompiledCases:
    """Outflow rules of cases, and what holds for all of them (policies.model.pack.CaseTerms)."""

    rules: CompiledAlerts
    gross: npt.NDArray[np.int64]  # [R] 1: credits are no part of it
    one_bank: npt.NDArray[np.int64]  # [R] 1: to one bank
    terms: CaseTerms


@dataclass(frozen=True, slots=True)
class CompiledForesight:
    """Rules on the outlook, R of them, over T tiers. UNWATCHED switches a test off for the tier.

    An upgrade_near fires when 0 <= to hold <= at_most_minor, or <= share_bp / 10000 of today's AUM; a downgrade_risk when
    the tier is lost at the next close or within_days from today.
    """

    ids: tuple[str, ...]
    kinds: tuple[str, ...]  # of OUTLOOK_KINDS
    severity: tuple[str, ...]
    cool_down_days: tuple[int, ...]
    at_most_minor: npt.NDArray[np.int64]  # [R, T]
    share_bp: npt.NDArray[np.int64]  # [R, T]
    within_days: npt.NDArray[np.int64]  # [R, T]


@dataclass(frozen=True, slots=True)
class CompiledStates:
    """Rules that each close looks at, R of them, over T tiers. UNWATCHED where a rule does not watch the tier."""

    rules: tuple[StateRule, ...]
    at_least_minor: npt.NDArray[np.int64]  # [R, T]
    share_bp: npt.NDArray[np.int64]  # [R, T]


@dataclass(frozen=True, slots=True)
class CompiledPack:
    """One class of a pack for one base currency. The tier index of a value v: the number of thresholds <= v."""

    pack_id: str
    version: int
    customer_class: str
    base_exponent: int
    tier_ids: tuple[str, ...]  # lowest first
    metric: str
    scope_name: str
    scope: frozenset[str]
    thresholds_minor: npt.NDArray[np.int64]  # [T - 1], ascending; thresholds_minor[i] opens tier i + 1
    vip_from: int  # tier index, T when no tier is VIP
    queue_class_ids: tuple[str, ...]  # called first comes first
    queue_class_of_tier: npt.NDArray[np.int64]  # [T], when no card is known
    queue_class_of_card: dict[str, int]
    queue_basis: str
    vip_area_of_tier: npt.NDArray[np.bool_]  # [T]
    alerts: CompiledAlerts
    foresight: CompiledForesight
    states: CompiledStates
    cases: CompiledCases | None = None


def compile_pack(pack: Pack, base_exponent: int, customer_class: str = PERSONAL) -> CompiledPack:
    """The arrays the kernels use, amounts in minor units of the base currency.

    Raises PackError when an amount isn't whole in minor units, KeyError for a class the pack doesn't cover,
    and CriteriaTooGeneralError when tiers are more than rising minimums of one metric.
    """
    policy = pack.classes[customer_class]
    asked = policy.status.basis != "metric" or policy.status.requires or policy.review or policy.veto or policy.pinning
    for found, message in (
        (pack.kind != "tiers", "a layer scheme decides no tiers"),
        (pack.open_numbers(), "a template: numbers are still open"),
        (asked, "the tier rests on more than a standard"),
    ):
        if found:
            raise CriteriaTooGeneralError(pack.id, message)
    leaf, minimums = _thresholds(policy)
    ids = tuple(tier.id for tier in policy.tiers)
    minor = Minor(pack.id, base_exponent)
    scope_name = leaf.scope or ""
    classes = policy.queue.classes
    return CompiledPack(
        pack_id=pack.id,
        version=pack.version,
        customer_class=customer_class,
        base_exponent=base_exponent,
        tier_ids=ids,
        metric=leaf.metric,
        scope_name=scope_name,
        scope=pack.scopes[scope_name],
        thresholds_minor=np.array([minor.of(m, "tiers") for m in minimums], dtype=np.int64),
        vip_from=len(ids) if policy.vip_from is None else policy.rank(policy.vip_from),
        queue_class_ids=tuple(c.id for c in classes),
        queue_class_of_tier=np.array([classes.index(policy.queue_class(t)) for t in ids], dtype=np.int64),
        queue_class_of_card={card: i for i, c in enumerate(classes) for card in c.cards},
        queue_basis=policy.queue.basis,
        vip_area_of_tier=np.array([policy.led_to_vip_area(t) for t in ids], dtype=np.bool_),
        alerts=compile_alerts(() if policy.cases else policy.outflow_rules, ids, minor),
        foresight=compile_foresight(policy.outlook_rules, ids, minor),
        states=compile_states(policy.state_rules, ids, minor),
        cases=compile_cases(policy, ids, minor),
    )


@dataclass(frozen=True, slots=True)
class Minor:
    """Whole units to minor units, exact or refused."""

    file: str
    exponent: int

    def of(self, amount: Decimal, field: str) -> int:
        """The amount in minor units; PackError naming the field where it is not whole, or too large."""
        scaled = amount.scaleb(self.exponent)
        if scaled != scaled.to_integral_value():
            message = f"{amount} is not whole in minor units of a currency with {self.exponent} decimals"
            raise PackError([Problem(self.file, 1, field, message)])
        if scaled > INT64_MAX:
            raise PackError([Problem(self.file, 1, field, f"{amount} is too large")])
        return int(scaled)


def _thresholds(policy: ClassPolicy) -> tuple[Limit, list[Decimal]]:
    leaves = [tier.when for tier in policy.tiers[1:]]
    first = leaves[0] if leaves else None
    if not isinstance(first, Limit) or first.metric not in ROLLING or first.currency is not None:
        raise CriteriaTooGeneralError(policy.customer_class, "tiers are not minimums of a rolling metric")
    minimums: list[Decimal] = []
    for leaf in leaves:
        if isinstance(leaf, Limit) and leaf.is_open:
            raise PackError([Problem(policy.customer_class, 1, "tiers", "a number is still open: this is a template")])
        same = isinstance(leaf, Limit) and (leaf.metric, leaf.scope, leaf.currency) == (first.metric, first.scope, None)
        if not isinstance(leaf, Limit) or not same or leaf.operator != "minimum" or leaf.value is None:
            raise CriteriaTooGeneralError(policy.customer_class, "tiers are not minimums of one metric")
        minimums.append(leaf.value)
    return first, minimums


def compile_alerts(rules: tuple[AlertRule, ...], tiers: tuple[str, ...], minor: Minor) -> CompiledAlerts:
    """Alert rules over these tiers; one that a rule does not name is not watched by it. PackError as Minor.of."""

    def row(values: dict[str, int], default: int) -> list[int]:
        return [values.get(tier, default) for tier in tiers]

    def table(rows: list[list[int]]) -> npt.NDArray[np.int64]:
        return np.array(rows, dtype=np.int64).reshape(len(rules), len(tiers))

    def amounts(values: dict[str, Decimal], rule: AlertRule) -> dict[str, int]:
        return {tier: minor.of(value, f"alerts.{rule.id}") for tier, value in values.items()}

    return CompiledAlerts(
        ids=tuple(rule.id for rule in rules),
        window_days=np.array([rule.window_days for rule in rules], dtype=np.int64),
        severity=np.array([SEVERITIES.index(rule.severity) for rule in rules], dtype=np.int64),
        cool_down_days=np.array([rule.cool_down_days for rule in rules], dtype=np.int64),
        absolute_minor=table([row(amounts(r.absolute, r), UNREACHED) for r in rules]),
        share_bp=table([row(r.share.basis_points if r.share else {}, UNREACHED) for r in rules]),
        floor_minor=table([row(amounts(r.share.floor, r) if r.share else {}, 0) for r in rules]),
        drip_count=np.array([r.drip.count if r.drip else 0 for r in rules], dtype=np.int64),
        each_at_most_minor=np.array(
            [minor.of(r.drip.each_at_most, f"alerts.{r.id}") if r.drip else UNREACHED for r in rules], dtype=np.int64
        ),
    )


def compile_cases(policy: ClassPolicy, tiers: tuple[str, ...], minor: Minor) -> CompiledCases | None:
    """The cases of a class of customers over these tiers, if it has any. PackError as Minor.of."""
    if policy.cases is None:
        return None
    rules = policy.outflow_rules
    return CompiledCases(
        compile_alerts(rules, tiers, minor),
        np.array([rule.measure == "gross" for rule in rules], np.int64),
        np.array([rule.to_one_bank for rule in rules], np.int64),
        policy.cases,
    )


def compile_foresight(rules: tuple[OutlookRule, ...], tiers: tuple[str, ...], minor: Minor) -> CompiledForesight:
    """Rules on the outlook over these tiers. PackError as Minor.of."""

    def table(rows: list[dict[str, int]]) -> npt.NDArray[np.int64]:
        found = [[row.get(tier, UNWATCHED) for tier in tiers] for row in rows]
        return np.array(found, np.int64).reshape(len(rules), len(tiers))

    return CompiledForesight(
        ids=tuple(rule.id for rule in rules),
        kinds=tuple(rule.outlook for rule in rules),
        severity=tuple(rule.severity for rule in rules),
        cool_down_days=tuple(rule.cool_down_days for rule in rules),
        at_most_minor=table([{t: minor.of(v, f"alerts.{r.id}") for t, v in r.at_most.items()} for r in rules]),
        share_bp=table([r.basis_points for r in rules]),
        within_days=table([r.within_days for r in rules]),
    )


def compile_states(rules: tuple[StateRule, ...], tiers: tuple[str, ...], minor: Minor) -> CompiledStates:
    """Rules that each close looks at, over these tiers. PackError as Minor.of."""

    def table(rows: list[dict[str, int]]) -> npt.NDArray[np.int64]:
        found = [[row.get(tier, UNWATCHED) for tier in tiers] for row in rows]
        return np.array(found, np.int64).reshape(len(rules), len(tiers))

    amounts = [{tier: minor.of(value, f"alerts.{r.id}") for tier, value in r.at_least.items()} for r in rules]
    return CompiledStates(rules, table(amounts), table([r.basis_points for r in rules]))


def foreseen(policy: ClassPolicy) -> bool:
    """Whether the next tier follows from balances alone, so that there is an outlook: rising minimums of one average."""
    status, asked = policy.status, policy.review or policy.veto or policy.pinning or policy.evaluation.grace_months
    asked = asked or policy.one_by_one
    leaves = [tier.when for tier in policy.tiers[1:]]
    first = leaves[0] if leaves else None
    return (
        policy.customer_class == PERSONAL
        and status.basis == "metric"
        and not status.requires
        and not asked
        and isinstance(first, Limit)
        and first.metric in ROLLING
        and all(
            isinstance(leaf, Limit)
            and (leaf.metric, leaf.scope, leaf.operator, leaf.currency) == (first.metric, first.scope, "minimum", None)
            for leaf in leaves
        )
    )
