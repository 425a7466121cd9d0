"""Trees, measures, facts, flows, currencies and days' starts: what packs say, and columns against the plain tree."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import PackError, decide, parse_pack
from policies.cases.decision import decide_facts
from policies.cases.facts import FactError
from policies.compiled.program import Column, compile_program
from policies.language.loader import idle_settings
from policies.model import metrics
from policies.model.criteria import truth
from policies.model.figures import decimals_of, figure_period, form, metric_kind
from policies.model.terms import limits
from tests.policies.grammar_packs import packs
from tests.streams.fast import unshrunk
from tests.twins.events import day

HEAD = {
    "pack": "figures", "version": 1, "effective_from": "2024-01-01", "name": {"zh": "数", "en": "Figures"},
    "scopes": {"all": ["deposit_demand"]},
}  # fmt: skip
NAME = {"zh": "级", "en": "Tier"}


def written(when, **head):
    """A pack whose one tier asks for `when`."""
    tiers = [{"id": "low", "name": NAME}, {"id": "high", "name": NAME, "when": when}]
    queue = {"basis": "tier", "classes": [{"id": "q", "name": NAME, "tiers": ["low", "high"], "head_start_minutes": 0}]}
    personal = {"evaluation": {"close": "month"}, "tiers": tiers, "queue": queue}
    return json.dumps(HEAD | head | {"classes": {"personal": personal}}, indent=1)


def high(when, given_, on=None, **head):
    """Whether facts give the tier."""
    return decide_facts(parse_pack(written(when, **head)), "personal", given_, on).tier == "high"


FLAG = {"metric": "growing", "is": True}
OLD = {"metric": "age", "minimum": "60"}
LOAN = {"metric": "loan_balance", "minimum": "100.00"}


@pytest.mark.parametrize(
    ("when", "facts", "met"),
    [
        ({"not": FLAG}, {"growing": True}, False),
        ({"not": FLAG}, {"growing": False}, True),
        ({"not": OLD}, {"age": 59}, True),
        ({"not": {"not": FLAG}}, {"growing": True}, True),
        ({"at_least": 2, "of": [FLAG, OLD, LOAN]}, {"growing": True, "age": 60}, True),
        (
            {"at_least": 2, "of": [FLAG, OLD, LOAN]},
            {"growing": True, "age": 59, "loan_balance": Decimal("99.99")},
            False,
        ),
        ({"at_least": 3, "of": [FLAG, OLD, LOAN]}, {"growing": True, "age": 60, "loan_balance": 100}, True),
        ({"not": {"at_least": 2, "of": [FLAG, OLD, LOAN]}}, {"age": 60}, True),
    ],
)
def test_trees(when, facts, met):
    """`not` turns about what is known, `at_least` counts."""
    assert high(when, {"age": 30} | facts) == met


def test_not_of_unknown_is_unknown():
    """Without a birth date neither an age nor its contrary holds, nor what depends on it; what doesn't is met."""
    unknown = {("age", None): None, ("growing", None): 1, ("loan_balance", None): 0}
    for when, wanted in (
        (OLD, None), ({"not": OLD}, None), ({"any": [{"not": OLD}, FLAG]}, True), ({"all": [{"not": OLD}, FLAG]}, None),
        ({"all": [OLD, {"not": FLAG}]}, False), ({"at_least": 2, "of": [OLD, FLAG, LOAN]}, None),
        ({"not": {"at_least": 3, "of": [OLD, FLAG, LOAN]}}, True),
    ):  # fmt: skip
        criterion = parse_pack(written(when)).classes["personal"].tiers[1].when
        assert truth(criterion, unknown) is wanted, when


MEASURES = {"points": {"sum": [
    {"metric": "aum", "scope": "all", "weight": "0.001"}, {"metric": "growing", "weight": "2.5"},
    {"metric": "loan_balance", "weight": "-0.0005"},
]}, "double": {"sum": [{"metric": "points", "weight": "2"}, {"metric": "age", "weight": "0.000001"}]}}  # fmt: skip


def test_measures_are_exact():
    """Money in whole units, flags as 0 and 1, measures of measures; to the last of six places."""
    facts = {"current_balance": 1000, "growing": True, "loan_balance": 1000, "age": 30}
    points = {"metric": "points", "minimum": "3"}
    assert high(points, facts, measures=MEASURES)
    assert not high(points | {"minimum": "3.000001"}, facts, measures=MEASURES)
    assert high({"metric": "double", "minimum": "6.00003"}, facts, measures=MEASURES)
    assert not high({"metric": "double", "above": "6.00003"}, facts, measures=MEASURES)
    assert high(points, {"points": 3}, measures=MEASURES)


def test_facts_by_month_and_texts():
    """Each month, their mean, their sum, the year so far; months that are missing are `absent`; texts are compared."""
    own = {"facts": {"salary": {"kind": "money"}, "plan": {"kind": "text", "values": ["basic", "premium"]}}}
    each = {"metric": "salary", "months": 3, "mode": "each", "minimum": "5000"}
    assert high(each, {"salary": [5000, 5000, 5000]}, **own)
    assert not high(each, {"salary": [4999, 5000, 9000]}, **own)
    assert not high(each, {"salary": [5000, 5000]}, **own)
    mean = {"metric": "salary", "months": 3, "mode": "mean", "minimum": "5000"}
    assert high(mean, {"salary": [4000, 6000, 5000]}, **own)
    assert not high(mean, {"salary": [4000, 6000, 4999]}, **own)
    assert high({"metric": "salary[1]", "minimum": "7"}, {"salary": [7, 1]}, **own)
    year = {"metric": "salary", "accumulate": "year", "minimum": "10"}
    assert high(year, {"salary": [90, 4, 3, 3]}, date(2024, 3, 31), **own)
    assert not high(year, {"salary": [90, 4, 3, 2]}, date(2024, 3, 31), **own)
    assert high({"metric": "plan", "one_of": ["premium"]}, {"plan": "premium", "growing": False}, **own)
    assert not high({"not": {"metric": "plan", "is": "premium"}}, {"growing": False}, **own)
    with pytest.raises(FactError, match="none of basic, premium"):
        high({"metric": "plan", "is": "basic"}, {"plan": "gold"}, **own)
    with pytest.raises(FactError, match="oldest month first"):
        high(each, {"salary": 5}, **own)


def test_flows_are_unknown_where_they_are_not_given():
    """A flow is its ended months; of a month that is not held nothing is known, and nothing is met."""
    own = {"flows": {"pays": {"direction": "in"}}}
    total = {"metric": "pays", "months": 3, "mode": "sum", "minimum": "10"}
    assert high(total, {"pays": [5, 3, 2]}, **own)
    assert not high(total, {"pays": [50, 30]}, **own)
    assert not high({"not": total}, {"pays": [5, 3]}, **own)
    with pytest.raises(FactError, match="pays: not given"):
        high(total, {"growing": True}, **own)


def test_a_limit_in_another_currency():
    """At the rate of the day, exactly."""
    when = {"metric": "aum", "scope": "all", "minimum": "100.00", "currency": "USD"}
    rate = {"USD": Decimal("7.123456")}
    assert high(when, {"current_balance": Decimal("712.3456"), "rates": rate})
    assert not high(when, {"current_balance": Decimal("712.34"), "rates": rate})
    with pytest.raises(FactError, match="rate of USD is needed"):
        high(when, {"current_balance": 800})


def test_days_starts_look_a_day_back():
    """The same days, one earlier."""
    at = day("2024-03-31")
    assert figure_period("month_avg[0]@day_start", at) == (day("2024-02-29"), day("2024-03-30"))
    assert figure_period("aum@day_start", at) == (at - 1, at - 1)
    assert figure_period("salary[year]", day("2024-02-10")) == (day("2024-01-01"), day("2024-01-31"))
    assert figure_period("salary[1]", day("2024-02-29")) == (day("2024-01-01"), day("2024-01-31"))


@pytest.mark.parametrize(
    ("when", "head", "words"),
    [
        ({"at_least": 3, "of": [FLAG, OLD]}, {}, "3 of 2 cannot be met"),
        ({"not": {"metric": "aum", "scope": "all", "minimum": "open"}}, {}, "still open cannot stand under not"),
        (FLAG, {"measures": {"a": {"sum": [{"metric": "b", "weight": "1"}]}, "b": {"sum": [{"metric": "a", "weight": "1"}]}}},
         "made of itself: a → b → a"),
        (FLAG, {"measures": {"age": {"sum": [{"metric": "growing", "weight": "1"}]}}}, "age is a metric already"),
        (FLAG, {"measures": {"a": {"sum": [{"metric": "growing", "weight": "0"}]}}}, "weight of 0"),
        (FLAG, {"facts": {"plan": {"kind": "text"}}}, "a text needs its values"),
        (FLAG, {"facts": {"plan": {"kind": "text", "values": ["a"], "absent": "b"}}}, "b is none of its values"),
        (FLAG, {"facts": {"n": {"kind": "count", "values": ["a"]}}}, "only a text has values"),
        ({"metric": "plan", "minimum": "1"}, {"facts": {"plan": {"kind": "text", "values": ["a"]}}}, "give `is` or `one_of`"),
        ({"metric": "plan", "is": "c"}, {"facts": {"plan": {"kind": "text", "values": ["a"]}}}, "'c' is not one of a"),
        ({"metric": "growing", "one_of": ["a"]}, {}, "growing is no text"),
        ({"metric": "pays", "months": 7, "minimum": "1"}, {"flows": {"pays": {"direction": "in"}}}, "must be from 1 to 6"),
        ({"metric": "pays", "accumulate": "year", "minimum": "1"}, {"flows": {"pays": {"direction": "in"}}}, "held for 6 months"),
        (FLAG, {"flows": {f"f{n}": {"direction": "in"} for n in range(9)}}, "more than 8"),
        ({"metric": "age", "months": 2, "minimum": "1"}, {}, "months and mode belong to"),
        ({"metric": "year_avg", "scope": "all", "balance_at": "day_start", "minimum": "1"}, {},
         "further back than days are held"),
        ({"metric": "age", "balance_at": "day_start", "minimum": "1"}, {}, "only balances have a day's start"),
        ({"metric": "age", "currency": "USD", "minimum": "1"}, {}, "only a limit on money has a currency"),
        ({"metric": "aum", "scope": "all", "currency": "XXX", "minimum": "1"}, {}, "'XXX' is not one of"),
        ({"metric": "salary[1]", "minimum": "1"}, {}, "unknown metric"),
    ],
)  # fmt: skip
def test_what_is_refused(when, head, words):
    """Each with its place and why."""
    with pytest.raises(PackError, match=words.replace("(", r"\(")):
        parse_pack(written(when, **head))


def test_what_is_idle():
    """A flow or measure that nothing names, a fact that lapses though only its months are looked at."""
    months = {"metric": "n", "months": 2, "mode": "sum", "minimum": "3"}
    text = written(
        months, facts={"n": {"kind": "count", "valid_days": 9}}, flows={"pays": {"direction": "out"}}, measures=MEASURES
    )
    assert [p.field for p in idle_settings(text)] == [
        "facts.n.valid_days",
        "flows.pays",
        "measures.points",
        "measures.double",
    ]


@st.composite
def drawn(draw):
    """A pack of the whole grammar, and columns of some customers near the ends of its limits."""
    text = draw(packs())
    try:
        pack = parse_pack(text)
        program = compile_program(pack, 2, "personal")
    except PackError:
        assume(False)
    n, columns = draw(st.integers(1, 3)), {}
    near = sorted({m * k for m in program.minor.values() for k in (1, 29, 31)} | {0})
    values = st.sampled_from(near).flatmap(lambda v: st.integers(v - 2, v + 2)) | st.integers(-9, 10**13)
    for key in dict.fromkeys([*program.needs, *program.looks, *program.fees]):
        kind = metric_kind(pack, key[0])
        flags = st.lists(st.booleans(), min_size=n, max_size=n)
        units = np.array(
            draw(st.lists(values if kind != "flag" else st.integers(0, 1), min_size=n, max_size=n)), np.int64
        )
        if key[0].startswith("rate["):
            rate = draw(st.integers(1, 10**7))
            columns[key] = Column(np.full(n, rate, np.int64), held=np.zeros(n, bool), scale=6)
        elif kind == "text":
            texts = ("", *pack.facts[key[0]].values)
            places = np.array(draw(st.lists(st.integers(0, len(texts) - 1), min_size=n, max_size=n)), np.int64)
            columns[key] = Column(places, unknown=places == 0, texts=texts)
        elif kind == "rolling":
            nano = np.array(draw(st.lists(st.sampled_from([0, 0, 1, 999_999_999]), min_size=n, max_size=n)), np.int64)
            columns[key] = Column(units, nano, draw(st.sampled_from([1, 28, 31, 92, 366])), np.array(draw(flags)))
        else:
            may = key[0] in metrics.FROM_PROFILE or "[" in key[0]
            columns[key] = Column(units, unknown=np.array(draw(flags)) if may else None)
    return pack, program, columns


def value(pack, columns, key, i):
    """In whole units, None where it is not known: measures by their terms, one after the other."""
    metric, scope = key
    if metric in pack.measures:
        parts = [
            (value(pack, columns, (t.metric, t.scope), i), Fraction(t.weight)) for t in pack.measures[metric].terms
        ]
    elif (made := form(pack, metric, scope)) is not None:
        parts = [(value(pack, columns, part, i), weight) for part, weight in made.items()]
    else:
        column = columns[key]
        if column.unknown is not None and column.unknown[i]:
            return None
        if column.texts is not None:
            return column.texts[int(column.units[i])]
        nano = 0 if column.nano is None else int(column.nano[i])
        return (int(column.units[i]) + Fraction(nano, 10**9)) / column.divisor / 10 ** decimals_of(pack, metric, 2)
    return (
        None if any(part is None for part, _ in parts) else sum((part * weight for part, weight in parts), Fraction(0))
    )


@pytest.mark.slow
@settings(unshrunk, max_examples=150)
@given(drawn())
def test_columns_decide_as_the_tree(case):
    """Every construct of the language, exact on every end: the program gives the tier that the plain walk gives."""
    pack, program, columns = case
    policy = pack.classes["personal"]
    assume(columns)
    tiers, held = program.evaluate(columns)
    told = program.with_told(columns)
    for i in range(len(tiers)):
        criteria = (policy.veto, *(tier.when for tier in policy.tiers))
        keys = {(leaf.metric, leaf.scope) for criterion in criteria for leaf in limits(criterion)}
        keys |= {key for key in columns if key[0].startswith("rate[")}
        values = {key: value(pack, columns, key, i) for key in keys}
        assert program.tier_ids[tiers[i]] == decide(policy, values), values
        assert held[i] == any(columns[key].held is not None and columns[key].held[i] for key in program.needs)
        for key in program.told:
            unknown = told[key].unknown is not None and told[key].unknown[i]
            exact = None if unknown else Fraction(told[key].units[i], told[key].divisor) / 10**6
            assert exact == value(pack, columns, key, i)
