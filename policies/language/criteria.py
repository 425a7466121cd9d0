"""The grammar of criteria: limits on metrics, and trees of `any`, `all`, `at_least` and `not` over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from policies.language.grammar import AMOUNT, IDENTIFIER, OPEN_NUMBER, Schema
from policies.language.idleness import foregone
from policies.language.reader import Fields, Item
from policies.model import figures, metrics
from policies.model.figures import (
    AT_DAY_START,
    FACT_MONTHS_MAX,
    FLOW_MONTHS_MAX,
    PLAIN_NUMBER,
    Term,
    metric_kind,
    series,
)
from policies.model.terms import AllOf, AnyOf, AtLeast, Criterion, Limit, Not, limits
from streams.money import CURRENCIES
from streams.vocabulary.metrics import MEANS, MEANS_PATTERN, months_of_mean

OPERATORS = ("minimum", "above", "below", "at_most")
SAYS = ("met when the exact value is at least (inclusive)", "more than", "less than", "at most (inclusive)")
COMBINE = {"any": AnyOf, "all": AllOf}
PARTS_MAX = 64
SCOPE_DOC = "A name under scopes; rolling metrics need one, facts have none."
MODES = ("each", "mean", "sum")
DAY_START_MONTHS = 4  # ended months whose days are all held one by one
WHICH = ("scope", "months", "mode", "accumulate", "balance_at")  # what says which metric is meant, beside its name
PLAIN_MAX = 10**12  # of a limit on a measure
_BY_MONTH = f"months and mode belong to {metrics.MONTH_AVGS}, flows, and facts of kind money or count"


@dataclass(frozen=True)
class CriterionKind:
    """A limit on a metric, or a tree over limits."""

    def read(self, item: Item) -> Criterion | None:
        """See Kind."""
        if not item.is_mapping():
            item.fail("expected a criterion: any, all, at_least, not, or metric with a limit")
            return None
        keys = {key for key, _ in item.entries()}
        for word, build in COMBINE.items():
            if word in keys:
                return self._tree(item.fields((word,)).get(word), build)
        if "not" in keys:
            return self._not(item.fields(("not",)).members["not"])
        if "at_least" in keys:
            return self._at_least(item.fields(("at_least", "of")))
        if "combine" in keys:
            fields = item.fields(("combine", "of"))
            word = fields.read("combine", lambda m: m.choice(tuple(COMBINE)), "any")
            return self._tree(fields.get("of"), COMBINE[word])
        return _read_limit(item, keys)

    def _tree(self, branch: Item | None, build: Any) -> Criterion | None:
        parts = [] if branch is None else [self.read(part) for part in branch.items()]
        good = tuple(part for part in parts if part is not None)
        return build(good) if good else None

    def _not(self, item: Item) -> Criterion | None:
        part = self.read(item)
        if part is not None and any(leaf.is_open for leaf in limits(part)):
            item.fail("a number that is still open cannot stand under not")
        return None if part is None else Not(part)

    def _at_least(self, fields: Fields) -> Criterion | None:
        count = fields.read("at_least", lambda m: m.integer(1, PARTS_MAX), 0)
        branch = fields.get("of")
        tree = self._tree(branch, AllOf)
        if branch is None or tree is None or not count:
            return None
        if count > len(branch.items()):
            fields.members["at_least"].fail(f"{count} of {len(branch.items())} cannot be met")
        return AtLeast(count, tree.parts if isinstance(tree, AllOf) else ())

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        if "criterion" not in defs:
            defs["criterion"] = {}
            defs["criterion"] = _criterion_schema()
        return {"$ref": "#/$defs/criterion"}


CRITERION = CriterionKind()


@dataclass(frozen=True)
class TermKind:
    """One part of a measure: a metric, as a limit names it, times a weight."""

    def read(self, item: Item) -> Term | None:
        """See Kind."""
        fields = item.fields(("metric", "weight"), WHICH)
        weight = fields.read("weight", Item.signed, Decimal(0))
        meant = _read_metric(item, fields, set(fields.members))
        if meant is None or not weight:
            if "weight" in fields.members and not weight:
                fields.members["weight"].fail("a weight of 0 changes nothing")
            return None
        if len(meant.names) > 1:
            item.fail("a part of a measure is one number: give `mode: mean` or `mode: sum`")
            return None
        if metric_kind(item.found.figures, meant.names[0]) == "text":
            fields.members["metric"].fail(f"{meant.names[0]} is a text, which has no weight")
            return None
        return Term(meant.names[0], meant.scope, weight)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        metric, place = _metric_schemas()
        weight = {"type": "string", "pattern": f"^-?{AMOUNT}$", "description": "An exact decimal, not 0."}
        properties = {"metric": metric, "weight": weight, **place}
        return {"description": "A metric times a weight; money counts in whole units.", "type": "object",
                "additionalProperties": False, "required": ["metric", "weight"], "properties": properties}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Meant:
    """The metrics that a mapping names, newest first where each of several months is meant."""

    names: tuple[str, ...]
    scope: str | None


def _read_metric(item: Item, fields: Fields, keys: set[str]) -> _Meant | None:
    """Which metric a mapping means; None after a problem."""
    named = fields.read("metric", Item.text, "")
    metric, before = metrics.ALIASES.get(named, named), len(item.found.problems)
    several = metric == metrics.MONTH_AVGS
    flow = metric in item.found.figures.flows
    kind = "rolling" if several else "flow" if flow else metric_kind(item.found.figures, metric)
    if named and (kind is None or ((by_month := series(metric)) is not None and not _is_month(item, by_month))):
        fields.members["metric"].fail(f"unknown metric {named!r}")
        kind = None
    known = frozenset(item.found.known.get("scopes", ()))
    scope = fields.read("scope", lambda s: s.choice(known), "") or None
    if kind == "rolling" and "scope" not in keys:
        item.fail("field scope is missing")
    if kind not in ("rolling", None) and "scope" in keys:
        fields.members["scope"].fail(f"{metric} has no scope")
    if not kind:
        return None
    if several:
        names = _averages(fields)
    elif flow or keys & {"months", "mode", "accumulate"}:
        names = _by_month(item, fields, keys, metric, kind)
    else:
        names = (metric,)
    if (
        "balance_at" in keys
        and fields.read("balance_at", lambda b: b.choice(("day_start", "day_end")), "") == "day_start"
    ):
        names = _at_start(fields.members["balance_at"], kind, names)
    return None if len(item.found.problems) > before else _Meant(names, scope)


def _is_month(item: Item, by_month: figures.Series) -> bool:
    """Whether one month is named that is held, as `salary[1]`."""
    most = FLOW_MONTHS_MAX if by_month.of in item.found.figures.flows else FACT_MONTHS_MAX
    kind = metric_kind(item.found.figures, f"{by_month.of}[0]")
    known = by_month.of not in metrics.FROM_PROFILE and kind in ("money", "count")
    return by_month.month is not None and by_month.month < most and known


def _averages(fields: Fields) -> tuple[str, ...]:
    """C-03: each of the last months must reach it, or (`mode: mean`) the mean of their averages."""
    months = fields.read("months", lambda m: m.integer(*MEANS), 3)
    mode = fields.read("mode", lambda m: m.choice(("each", "mean")), "each")
    if "accumulate" in fields.members:
        fields.members["accumulate"].fail("balances do not add up within a year: it belongs to facts and flows")
    if mode == "mean":
        return (f"months_mean[{months}]",)
    return tuple(f"month_avg[{k}]" for k in range(months))


def _by_month(item: Item, fields: Fields, keys: set[str], metric: str, kind: str) -> tuple[str, ...]:
    """A fact or flow by month: each of the last ended months, their mean or sum, or the year so far."""
    if kind not in ("flow", "money", "count") or metric in metrics.FROM_PROFILE or metrics.counted_months(metric):
        item.fail(_BY_MONTH)
        return ()
    if series(metric) is not None:
        item.fail(f"{metric} is one month already")
        return ()
    if "accumulate" in keys:
        fields.read("accumulate", lambda m: m.choice(("year",)), "")
        if kind == "flow":
            fields.members["accumulate"].fail(f"a flow is held for {FLOW_MONTHS_MAX} months, and a year has more")
        if keys & {"months", "mode"}:
            item.fail("accumulate adds up from January on: leave out months and mode")
        return (f"{metric}[year]",)
    most = FLOW_MONTHS_MAX if kind == "flow" else FACT_MONTHS_MAX
    months = fields.read("months", lambda m: m.integer(1, most), 1)
    mode = fields.read("mode", lambda m: m.choice(MODES), "each")
    if mode == "each" or months == 1:
        return tuple(f"{metric}[{k}]" for k in range(months))
    return (f"{metric}[{mode} {months}]",)


def _at_start(item: Item, kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The same metrics over the balances that days begin with; those only whose days are held one by one."""
    if kind != "rolling":
        item.fail("only balances have a day's start")
        return ()
    for name in names:
        months = months_of_mean(name) or (int(name[10:-1]) + 1 if name.startswith("month_avg[") else 1)
        if name == "year_avg" or months > DAY_START_MONTHS:
            item.fail(f"{name} looks further back than days are held: at most the last {DAY_START_MONTHS} months")
            return ()
    return tuple(name + AT_DAY_START for name in names)


def _read_limit(item: Item, keys: set[str]) -> Criterion | None:
    fields = item.fields(("metric",), (*WHICH, "currency", "is", "one_of", *OPERATORS))
    meant = _read_metric(item, fields, keys)
    name = "" if meant is None else meant.names[0]
    kind = None if meant is None else metric_kind(item.found.figures, name)
    found = _read_text(item, fields, keys, name) if kind == "text" else _read_bound(item, fields, keys, name, kind)
    if found is None or meant is None or kind is None:
        return None
    limit = replace(found, scope=meant.scope)
    _check_number(item, fields, kind, limit)
    if "currency" in keys:
        limit = replace(limit, currency=_currency(fields.members["currency"], kind))
    return limit if len(meant.names) == 1 else AllOf(tuple(replace(limit, metric=one) for one in reversed(meant.names)))


def _read_bound(item: Item, fields: Fields, keys: set[str], metric: str, kind: str | None) -> Limit | None:
    """The operator and number; `is` stands for a flag; `open` for a number that the bank has yet to give."""
    if "one_of" in keys and kind is not None:
        fields.members["one_of"].fail(f"{metric} is no text")
        return None
    operators = [word for word in (*OPERATORS, "is") if word in keys]
    if len(operators) != 1:
        if kind is not None or "one_of" not in keys:
            item.fail(f"give exactly one of {', '.join(OPERATORS)}")
        return None
    (word,) = operators
    if word == "is":
        if kind is None:
            return None
        if kind != "flag":
            fields.members["is"].fail_if_new(f"{metric} is no flag: give one of {', '.join(OPERATORS)}")
        wanted = fields.members["is"].boolean()
        operator, number = ("minimum", Decimal(1)) if wanted else ("at_most", Decimal(0))
        return None if wanted is None else Limit(metric, None, operator, number)
    member = fields.members[word]
    if getattr(member.node, "value", None) == OPEN_NUMBER:
        return Limit(metric, None, word, None)
    value = member.decimal()
    return None if value is None else Limit(metric, None, word, value)


def _read_text(item: Item, fields: Fields, keys: set[str], metric: str) -> Limit | None:
    """`is` names one text, `one_of` several; all of them among the fact's values."""
    words = [word for word in (*OPERATORS, "is", "one_of") if word in keys]
    if len(words) != 1 or words[0] in OPERATORS:
        item.fail(f"{metric} is a text: give `is` or `one_of`")
        return None
    member, values = fields.members[words[0]], item.found.figures.facts[metric].values
    given = [member.choice(values)] if words[0] == "is" else [one.choice(values) for one in member.items()]
    texts = tuple(text for text in given if text is not None)
    if len(texts) < len(given) or not texts:
        return None
    if len(set(texts)) < len(texts):
        member.fail("a text is given twice")
    if set(values) <= set(texts):
        item.note_idle(f"every customer of whom {metric} is known meets it")
    return Limit(metric, None, "one_of", None, texts)


def _currency(item: Item, kind: str) -> str | None:
    """The currency of a limit on money."""
    if kind not in ("rolling", "money"):
        item.fail("only a limit on money has a currency")
        return None
    return item.choice(CURRENCIES)


def _check_number(item: Item, fields: Fields, kind: str, limit: Limit) -> None:
    """Counts are whole; a limit that every value meets, or none, changes nothing."""
    if limit.value is None:
        return
    by_month = series(limit.metric)
    mean = by_month is not None and by_month.mode == "mean"
    if kind in ("flag", "count") and limit.value != int(limit.value) and not mean:
        fields.members[limit.operator].fail_if_new(f"{limit.metric} is a {kind}: give a whole number")
    if kind == PLAIN_NUMBER and limit.value >= PLAIN_MAX:
        fields.members[limit.operator].fail(f"a limit on a measure is below {PLAIN_MAX:,}")
    met = foregone(kind, limit)
    if met is False or (met and limit.metric not in metrics.FROM_PROFILE):  # there it still asks for the date
        item.note_idle(f"every customer meets it: {limit.metric} is a {kind}" if met else
                       f"nobody can meet it: {limit.metric} is a {kind}")  # fmt: skip


def _metric_schemas() -> tuple[Schema, Schema]:
    """Of a metric's name, and of what else says which metric is meant."""
    names = sorted({*metrics.ROLLING, *metrics.ALIASES, metrics.MONTH_AVGS, *metrics.facts()})
    patterns = [
        f"^{metrics.COUNTS_PATTERN}$",
        f"^{MEANS_PATTERN}$",
        IDENTIFIER,
        f"{IDENTIFIER[:-1]}\\[[0-9]{{1,2}}\\]$",
    ]
    metric = {
        "description": "A metric by its name or the name the bank rules use, or a fact, flow or measure of this pack.",
        "anyOf": [{"enum": names}, *({"type": "string", "pattern": p} for p in patterns)],
    }
    return metric, {
        "scope": {"type": "string", "pattern": IDENTIFIER, "description": SCOPE_DOC},
        "months": {"type": "integer", "minimum": 1, "maximum": MEANS[1]},
        "mode": {"enum": list(MODES), "description": "Of several months: every one, their mean (C-03), or their sum."},
        "accumulate": {"enum": ["year"], "description": "Of a fact by month: added up since January."},
        "balance_at": {
            "enum": ["day_start", "day_end"],
            "description": "The balances that days begin with, or end with.",
        },
    }


def _criterion_schema() -> Schema:
    metric, which = _metric_schemas()
    part = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/criterion"}}

    def mapping(doc: str, required: dict[str, Any], optional: dict[str, Any]) -> Schema:
        properties = {**required, **optional}
        return {"description": doc, "type": "object", "additionalProperties": False, "required": list(required),
                "properties": properties}  # fmt: skip

    number = {
        "type": "string",
        "pattern": f"^({OPEN_NUMBER}|{AMOUNT})$",
        "description": "`open`: the bank fills it in.",
    }
    place = which | {
        "currency": {"enum": list(CURRENCIES), "description": "Of the limit; the base currency unless given."}
    }
    limits_ = [
        mapping(f"A limit: {says}.", {"metric": metric, word: number}, place)
        for word, says in zip(OPERATORS, SAYS, strict=True)
    ]
    text = {"type": "string", "minLength": 1}
    count = {"type": "integer", "minimum": 1, "maximum": PARTS_MAX}
    return {
        "description": "A limit on a metric, or a tree of any / all / at_least / not.",
        "oneOf": [
            mapping("Met when one part is met.", {"any": part}, {}),
            mapping("Met when every part is met.", {"all": part}, {}),
            mapping(
                "The same with the combination as a setting.", {"combine": {"enum": ["any", "all"]}, "of": part}, {}
            ),
            mapping("Met when so many parts are met.", {"at_least": count, "of": part}, {}),
            mapping("Met when its part is known not to be met.", {"not": {"$ref": "#/$defs/criterion"}}, {}),
            *limits_,
            mapping("A flag is set, or is not; or a text is this one.",
                    {"metric": metric, "is": {"anyOf": [{"type": "boolean"}, text]}}, {}),
            mapping("A text is one of these.", {"metric": metric, "one_of": {"type": "array", "minItems": 1, "items": text}}, {}),
        ],
    }  # fmt: skip
