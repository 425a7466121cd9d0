"""Figures as people read them beside a limit."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import load_pack, parse_pack
from policies.texts import figure
from streams.money import NANO
from tests.policies.test_cli import call
from tidegauge.cli.explain.text import _metric, _node, _Phrasing
from tidegauge.explanation.judgment import node

BOUNDS = st.sampled_from(("0", "1", "0.01", "100.00", "500000.00", "0.000001", "999999999999999.999999")).map(Decimal)
GAPS = st.builds(
    Fraction, st.integers(-(10**6), 10**6), st.sampled_from((1, 3, 7, 90, 10**3, 10**9, 92 * 10**9, 10**25))
)


@given(st.data())
def test_a_figure_compares_with_its_limit_as_the_value_does(data):
    """However near: below, at or above it, and exact just where it says so."""
    bound = data.draw(BOUNDS)
    value = Fraction(bound) + data.draw(GAPS)
    text, exact = figure(value, bound)
    shown, limit = Fraction(Decimal(text)), Fraction(bound)
    assert (shown > limit, shown < limit) == (value > limit, value < limit)
    assert exact == (shown == value)
    assert abs(shown - value) <= Fraction(1, 200)


@pytest.mark.parametrize(
    ("value", "told"),
    [("499999.995", "499999.995"), ("499999.99999", "499999.99999"), ("500000.004", "500000.004"), ("500000", "500000"),
     ("499999.9", "499999.90"), ("12.345", "about 12.34")],
)  # fmt: skip
def test_decide_shows_on_which_side_it_is(value, told):
    """499,999.995 is not shown as 500000 beside the 500000.00 that it does not reach."""
    said = call("decide", "--pack", "rolling-quarter-aum", "--facts", f'{{"quarter_avg": {value}}}')
    met = "met" if Fraction(value) >= 500_000 else "not met"
    assert f"platinum: quarter_avg(aum) {told} ≥ 500000.00: {met}\n" in said


@pytest.mark.parametrize(("lang", "word"), [("en", "unknown"), ("zh-CN", "未知")])
def test_what_is_unknown_is_said(lang, word):
    """An age that nobody has given: neither 0 nor 25, in both commands and both languages."""
    body = load_pack("abc-bands").body
    body = body[: body.index("      - id: upgrade-near")]
    pack = parse_pack(
        body.replace('{metric: balance, scope: deposits, minimum: "200000.00"}', '{metric: age, below: "25"}')
    )
    when = pack.classes["personal"].tiers[2].when
    [line] = _node(node(when, {("age", None): None}), _Phrasing(lang, "CNY"), 0)
    assert line.startswith(f"age {word} < 25: ")
    told = {"name": "age", "scope": "", "period_from": 0, "period_to": 0, "value_minor": 0}
    evidence = told | {"exact_numerator": "unknown", "exact_denominator": str(NANO)}
    [line] = _metric(evidence, SimpleNamespace(pack=pack), _Phrasing(lang, "CNY"))
    assert line.endswith(word)


def test_decide_says_unknown(tmp_path):
    """And to machines."""
    body = load_pack("abc-bands").body
    body = body[: body.index("      - id: upgrade-near")]
    file = tmp_path / "young.yaml"
    file.write_text(
        body.replace('{metric: balance, scope: deposits, minimum: "200000.00"}', '{metric: age, below: "25"}')
    )
    asked = ("decide", "--pack", str(file), "--facts", '{"balance": 0}')
    assert "a: age unknown < 25: not met" in call(*asked)
    assert "a: age 未知 < 25: 不满足" in call(*asked, "--lang", "zh-CN").replace("：", ": ")
    assert '"value": "unknown"' in call(*asked, "--json")
