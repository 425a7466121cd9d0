"""A published tier decision judged from what it says of itself: exact values, the pack's own criteria, the pure lifecycle.

Nothing of the kernels is used here: fractions of Python, one customer, one decision.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from agents.standing.publish.versions import number_of
from connectors.formats.events import Record
from policies.compiled.pack import INT64_MAX
from policies.lifecycle import transitions
from policies.lifecycle.leaving import MONTHS_OF
from policies.lifecycle.state import Close, State, tier_of
from policies.model import metrics
from policies.model.criteria import decide, meets
from policies.model.figures import AT_DAY_START, PLAIN_PLACES, RATE_PLACES, Key, decimals_of, form
from policies.model.pack import ClassPolicy, Pack
from policies.model.terms import AllOf, AnyOf, AtLeast, Criterion, Limit, Not, limits, rate_key
from streams.calendar import last_ended_month
from streams.money import NANO

_Values = dict[Key, Fraction | int | str | None]
AT_CLOSES: Final = ("close", "review")


class Discrepancy(NamedTuple):
    """What does not hold: a code of tidegauge.cli.explain.words, and what fills its words."""

    code: str
    details: dict[str, Any]


def discrepancy(code: str, **details: Any) -> Discrepancy:
    """A problem."""
    return Discrepancy(code, details)


@dataclass(frozen=True, slots=True)
class Node:
    """A criterion with whether it is met: `any`, `all`, `at_least` or `not` of its parts, or a limit with the value compared.

    needed: of `at_least`, how many. rate: of a limit in a currency of its own, base units for one unit of it.
    """

    kind: str
    met: bool
    parts: tuple[Node, ...] = ()
    limit: Limit | None = None
    value: Fraction | str | None = None
    needed: int = 0
    rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class TierNode:
    """What a tier asks for; `name` in zh and en."""

    tier: str
    name: tuple[str, str]
    node: Node


@dataclass(slots=True)
class Judged:
    """The tier that the values give by the pack's criteria (None: nothing was looked at), and what does not hold."""

    measured: str | None = None
    tree: list[TierNode] = field(default_factory=list)
    veto: Node | None = None
    problems: list[Discrepancy] = field(default_factory=list)


_LIMIT: Final = dict.fromkeys(("currency", "rate_micro", "scale", "text"))  # what records of before don't have


def judge(change: Record, pack: Pack | None, exponent: int, closes: Mapping[int, Mapping[str, int]]) -> Judged:
    """A tier change; `closes` are the cuts of the closes that are still in the log."""
    found = Judged()
    found.problems += [*_numbers(change), *_circumstances(change, closes)]
    policy = None if pack is None else pack.classes.get(change["customer_class"])
    if pack is None or policy is None:
        found.problems.append(discrepancy("pack_unknown", pack=change["pack_id"], version=change["pack_version"]))
        return found
    found.problems += _direction(change, policy)
    if not change["metrics"]:
        return found
    values = values_of(change, pack, policy, exponent)
    wanted = list(pack_thresholds(pack, policy, exponent, values))
    if [difference(_limit_told(told), one) for told, one in zip_longest(change["thresholds"], wanted)] != [False] * len(
        wanted
    ):
        found.problems.append(discrepancy("thresholds", pack=pack.id, version=pack.version))
    found.problems += _sums(change, pack, values)
    if any(map(is_untold, change["metrics"])):
        return found
    try:
        found.measured = decide(policy, values)
        found.tree = [
            TierNode(tier.id, (tier.name.zh, tier.name.en), node(tier.when, values))
            for tier in policy.tiers if tier.when is not None
        ]  # fmt: skip
        found.veto = None if policy.veto is None else node(policy.veto, values)
    except KeyError as missing:
        found.problems.append(discrepancy("no_value", metric=str(missing.args[0][0])))
        return found
    given = expected(change, policy, found.measured, sorted(closes))
    if given is not None and given != change["to_tier"] and not _granted(change, policy, given):
        found.problems.append(discrepancy("lifecycle", given=given, told=change["to_tier"], measured=found.measured))
    return found


def _limit_told(threshold: Record | None) -> Record | None:
    """A threshold without what its writer had no field for, or nothing to say in."""
    return threshold and {name: value for name, value in threshold.items() if value is not None or name not in _LIMIT}


def node(criterion: Criterion, values: _Values) -> Node:
    """The criterion over the values; KeyError for one that is missing."""
    met = meets(criterion, values)
    if isinstance(criterion, Limit):
        value = values[criterion.metric, criterion.scope]
        rate = None if criterion.currency is None else values[rate_key(criterion.currency)]
        return Node(
            "limit", met, limit=criterion, value=Fraction(value) if isinstance(value, int) else value,
            rate=None if rate is None else Fraction(rate),
        )  # fmt: skip
    parts = tuple(node(part, values) for part in criterion.parts)
    kind = {AnyOf: "any", AllOf: "all", AtLeast: "at_least", Not: "not"}[type(criterion)]
    return Node(kind, met, parts, needed=criterion.needed if isinstance(criterion, AtLeast) else 0)


def exact_value(metric: Record) -> Fraction | None:
    """The exact value that a record tells; None where it is none, or is not known."""
    parts = _parts(metric)
    return None if parts is None else Fraction(*parts)


def is_untold(metric: Record) -> bool:
    """Whether a value is a text for which the version that was written has no field (docs/contracts.md#the-change)."""
    return not metric["exact_numerator"] and metric.get("text") is None


def is_unknown(metric: Record) -> bool:
    """Whether a record says that the bank does not know the value; no metric of balances can be so."""
    known = metrics.kind(metric["name"].removesuffix(AT_DAY_START))
    can_be = known is None or metric["name"] in metrics.FROM_PROFILE
    return can_be and bool(metric["exact_numerator"] == metrics.NOT_KNOWN)


def _parts(metric: Record) -> tuple[int, int] | None:
    """Numerator and denominator as they are told; None where they make no value."""
    try:
        numerator, denominator = int(metric["exact_numerator"]), int(metric["exact_denominator"])
    except ValueError:
        return None
    return (numerator, denominator) if denominator > 0 else None


def values_of(change: Record, pack: Pack, policy: ClassPolicy, exponent: int) -> _Values:
    """The exact values in whole units, sums and means of them among those; None for one that is not known."""
    found: _Values = {}
    for metric in change["metrics"]:
        value, key = exact_value(metric), (metric["name"], metric["scope"] or None)
        if is_unknown(metric):
            found[metric["name"], None] = None
        elif metric.get("text") is not None:
            found[key] = str(metric["text"])
        elif value is not None and metric["name"] not in pack.measures:
            found[key] = value / 10 ** decimals_of(pack, metric["name"], exponent)
    for leaf in (leaf for criterion in policy.criteria() for leaf in limits(criterion)):
        made = form(pack, leaf.metric, leaf.scope)
        if made is not None and made.keys() <= found.keys():
            found[leaf.metric, leaf.scope] = weighted(made, found)
    return found


def weighted(parts: Mapping[Key, Fraction], values: Mapping[Key, Fraction | int | str | None]) -> Fraction | None:
    """The sum of values with weights; None where one is not known."""
    found = [(values[key], weight) for key, weight in parts.items()]
    if any(value is None for value, _ in found):
        return None
    return sum((Fraction(value) * weight for value, weight in found if value is not None), Fraction(0))


def _sums(change: Record, pack: Pack, values: _Values) -> Iterator[Discrepancy]:
    """Measures are what their parts give."""
    for metric in change["metrics"]:
        if metric["name"] in pack.measures:
            exact, given = exact_value(metric), values.get((metric["name"], None))
            told = None if exact is None else exact / 10**PLAIN_PLACES
            if told != given:
                yield discrepancy("measure", name=metric["name"], told=told, found=given)


def pack_thresholds(pack: Pack, policy: ClassPolicy, exponent: int, values: _Values | None = None) -> Iterator[Record]:
    """Every limit of every tier, lowest first, as records have them; `values` have the rates of limits in other currencies."""
    for tier in policy.tiers:
        for leaf in limits(tier.when):
            told = {
                "tier": tier.id,
                "metric": leaf.metric,
                "scope": leaf.scope or "",
                "operator": leaf.operator,
                **_LIMIT,
            }
            if leaf.texts:
                yield from (told | {"minimum_minor": 0, "text": text} for text in leaf.texts)
                continue
            assert leaf.value is not None  # a pack with open numbers decides nothing
            minor = Fraction(leaf.value) * 10 ** decimals_of(pack, leaf.metric, exponent)
            if leaf.currency is not None:
                rate = Fraction((values or {}).get(rate_key(leaf.currency)) or 0)
                told |= {"currency": leaf.currency, "rate_micro": int(rate * 10**RATE_PLACES)}
                minor *= rate
            if leaf.metric in pack.measures:
                told["scale"] = PLAIN_PLACES
            yield told | {"minimum_minor": round(minor)}


def _numbers(change: Record) -> Iterator[Discrepancy]:
    """Values, their rounding and their periods belong together."""
    for metric in change["metrics"]:
        if (is_unknown(metric) or is_untold(metric) or metric.get("text") is not None) and metric["value_minor"] == 0:
            continue
        if (parts := _parts(metric)) is None:
            told = f"{metric['exact_numerator'][:20]} / {metric['exact_denominator'][:20]}"
            yield discrepancy("impossible", what=f"{metric['name']} = {told}")
            continue
        denominator = parts[1]
        value, days = Fraction(*parts), metric["period_to"] - metric["period_from"] + 1
        averaged = metrics.kind(metric["name"].removesuffix(AT_DAY_START)) is not None
        if averaged and denominator != days * NANO and metrics.counted_months(metric["name"]) is None:
            yield discrepancy("period", name=metric["name"], told=denominator, days=days)
        if (
            max(-INT64_MAX, min(round(value), INT64_MAX)) != metric["value_minor"]
        ):  # Python rounds fractions half to even
            yield discrepancy(
                "rounding", name=metric["name"], exact=value, rounds=round(value), told=metric["value_minor"]
            )


def _direction(change: Record, policy: ClassPolicy) -> Iterator[Discrepancy]:
    names = {tier.id for tier in policy.tiers}
    if {change["from_tier"], change["to_tier"]} <= names and change["reason"] != "policy":
        up = policy.level(change["to_tier"]) >= policy.level(change["from_tier"])
        if change["direction"] != ("up" if up else "down"):
            yield discrepancy(
                "direction", before=change["from_tier"], after=change["to_tier"], told=change["direction"]
            )
    elif change["to_tier"] not in names:
        yield discrepancy("no_tier", tier=change["to_tier"], pack=change["pack_id"])


def _circumstances(change: Record, closes: Mapping[int, Mapping[str, int]]) -> Iterator[Discrepancy]:
    """Dates, and the cut of the close."""
    day = change["business_day"]
    if day is None:
        return
    if change["effective_date"] > day + 1:  # before it: put off while a source was stale
        yield discrepancy("effective", day=day, first=day + 1)
    last = change["effective_date"] if change["reason"] == "continuous" else day  # the day that the close has begun
    for metric in change["metrics"]:
        if metric["period_to"] > last:
            yield discrepancy("beyond", name=metric["name"], day=last)
    if day in closes and {entry["topic"]: entry["offset"] for entry in change["cut"]} != closes[day]:
        yield discrepancy("cut", day=day)


def expected(change: Record, policy: ClassPolicy, measured: str, closed: Sequence[int]) -> str | None:
    """The tier after it by the pure lifecycle; None where that needs more than the change says of itself.

    More: older versions of the pack, records that must be there, cards.
    """
    day, before = change["business_day"], change["from_tier"]
    if policy.pinning is not None or policy.status.basis != "metric" or policy.status.requires:
        return None
    if change["reason"] in ("policy", "veto"):  # by the veto the values give the lowest
        return measured
    if before not in {tier.id for tier in policy.tiers}:
        return None
    if change["reason"] == "continuous":
        at_once = State(before, before, below=policy.evaluation.grace_months + 1)
        return tier_of(policy, transitions.look(policy, at_once, change["effective_date"], measured, "")[0])
    if day is None:
        return None
    # What was to come first, and what the customer had reached, is the log's to say: his tier is taken as decided at once.
    policy = replace(policy, evaluation=replace(policy.evaluation, fall_notice_days=0, effective_business_days={}))
    kept = any(tier.id == change["to_tier"] and tier.permanent for tier in policy.tiers)
    grace = policy.evaluation.grace_months + 1  # who is below for so long is moved; whether he was is the log's to say
    state = State(before, before, below=grace, reviewed_on=None if change["reason"] == "review" else day)
    state = replace(state, reached=change["to_tier"]) if kept else state
    if change["reason"] == "restated":
        return tier_of(policy, transitions.restate(policy, state, Close(day, frozenset(), measured), "")[0])
    if change["reason"] not in AT_CLOSES:
        return None
    decided = change["effective_date"] - 1  # the close that decided, where the change was put off
    after, _ = transitions.close(policy, state, Close(day, ended_closes(closed, decided), measured))
    return tier_of(policy, after)


def _granted(change: Record, policy: ClassPolicy, given: str) -> bool:
    """Whether an exception may stand above the tier that the lifecycle gives."""
    known = any(tier.id == change["to_tier"] for tier in policy.tiers)
    excepted = policy.overrides is not None or policy.notables is not None
    return excepted and known and policy.level(change["to_tier"]) > policy.level(given)


def between_closes(pack: Pack) -> bool:
    """Whether the pack decides tiers between closes, by whatever has come until then."""
    return any(policy.evaluation.close == "continuous" for policy in pack.classes.values())


def ended_closes(closed: Sequence[int], day: int) -> frozenset[str]:
    """The closes that the close of a day makes, by the months that have ended since the close before it."""
    before = max((known for known in closed if known < day), default=day - 1)
    was, now = (int(last_ended_month(at)) + 1 for at in (before, day))
    return frozenset({"day", *(name for name, months in MONTHS_OF.items() if now // months > was // months)})


def difference(told: Any, found: Any) -> bool:
    """Whether a record as it was written says another thing; fields that its writer did not know are left out.

    So is a null that the other has no field for.
    """
    if isinstance(told, dict) and isinstance(found, dict):
        return any(difference(value, found.get(name)) for name, value in told.items())
    if isinstance(told, list) and isinstance(found, list):
        return len(told) != len(found) or any(map(difference, told, found))
    return bool(told != found)


def discrepancies(told: Record, found: Record) -> list[Discrepancy]:
    """The fields of a published record that the log gives otherwise; a reference may be by a key of before.

    Fields that today's writer does not know are left out: it may write other versions of the contracts. Epochs are not compared:
    they tell which identity the log had when a record was written.
    """
    if "source_seq" in told and "source_seq" in found:
        told, found = ({**record, "source_seq": number_of(record["source_seq"])} for record in (told, found))
    return [
        discrepancy("differs", field=name, told=_short(value), found=_short(found[name]))
        for name, value in told.items()
        if name != "customer_ref" and name in found and difference(value, found[name])
    ]


def _short(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
