"""`tidegauge policy`: what is printed and with which exit code; the table of cases passes through it."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from policies import available_packs, load_pack
from policies.cases.decision import decide_facts
from policies.cases.facts import ACTION_KEYS, SERIES_KEYS, FactError
from tidegauge.cli.failures import line_for
from tidegauge.cli.policy.command import app

PACKS = Path(__file__).resolve().parents[2] / "policies" / "packs"
RUN = CliRunner()


def call(*words: str, code: int = 0) -> str:
    """What a call prints; its exit code must be `code`. An error of usage is raised by the command, and is code 2."""
    done = RUN.invoke(app, list(words))
    if done.exception is not None and (problem := line_for(done.exception)):
        assert problem.code == code, problem
        return str(problem)
    assert done.exit_code == code, done.output
    return done.output


def test_all_cases_of_the_rules(rules_dir):
    """R-001, R-002: every case distilled from the bank rules is decided as expected, by pack and lifecycle alone."""
    assert "of 104 cases as expected" in call("cases", str(rules_dir / "rules-cases.csv"))


def test_a_mismatch_is_printed(tmp_path):
    """A case that is decided otherwise is named with both tiers, and the exit code is 1; other trouble counts as well."""
    table = tmp_path / "cases.csv"
    head = "case_id,scheme_id,customer_class,facts,expected_tier,why\n"
    row = 'one,abc-bands,personal,"{""balance"":10000}",%s,the end is inclusive\n'
    table.write_text(head + row % "b")
    assert "1 of 1 cases" in call("cases", str(table))
    table.write_text(head + row % "a" + row.replace("abc-bands", "no-such") % "b")
    assert "0 of 2 cases" in call("cases", str(table), code=1)
    assert "0 of 1 cases" in call("cases", str(table), "--pack", "abc-bands", code=1)
    table.write_text("case_id,facts\n")
    assert "columns are missing" in call("cases", str(table), code=2)
    call("cases", str(tmp_path / "none.csv"), code=2)


def test_decide_prints_tier_flags_and_reasons():
    """Tier in both languages, flags, and every limit with the value it was compared with."""
    said = call(
        "decide", "--pack", "prior-month-aum", "--facts", '{"prev_month_avg": 299999.99, "card_held": "platinum"}'
    )
    assert "tier platinum 白金卡客户 (Platinum)" in said
    assert "flag below-standard 未达标" in said
    assert "platinum: month_avg[0](aum) 299999.99 ≥ 300000.00: not met" in said
    rounded = call("decide", "--pack", "green-channel", "--facts",
                   '{"days_in_month": 31, "funded_days": 15, "balance_on_funded_days": 400000}')  # fmt: skip
    assert "about 193548.39" in rounded
    machine = json.loads(call("decide", "--pack", "abcd-layers", "--facts", '{"assets": 500000}', "--json"))
    assert (machine["tier"], machine["band"], machine["flags"]) == ("a", "a1", ["vip"])
    assert machine["reasons"][0]["met"] is True


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ('{"assets": 1, "asets": 2}', "asets: no such fact"), ("{}", "aum: not given"), ("[1]", "not a JSON object"),
        ("{", "not JSON"), ('{"assets": "many"}', "is not a number"), ('{"assets": NaN}', "is not a number"),
        ('{"components": {"gems": 1}}', "no such asset type"), ("@no-such-file", "No such file"),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_used(facts, words):
    """Nothing is assumed of what was not said: a misspelt or missing fact is bad usage."""
    assert words in call("decide", "--pack", "abcd-layers", "--facts", facts, code=2)


def test_check_reports_templates(tmp_path):
    """All shipped packs pass; a template is reported as one; a broken one is named by file, line and field."""
    files = [str(PACKS / f"{name}.yaml") for name in available_packs()]
    said = call("check", *files)
    assert said.count(": good") == 21
    assert said.count("a template with") == 11
    broken = tmp_path / "broken.yaml"
    broken.write_text(load_pack("abc-bands").body.replace("close: month", "close: moon"), encoding="utf-8")
    call("check", str(broken), code=1)
    locked = tmp_path / "branch.yaml"
    body = load_pack("hq-level").body.replace('"500000.00"', '"400000.00"')
    locked.write_text(
        body.replace("\nscopes:", "\nsupplement: {base: hq-level, branch: B1}\n\nscopes:", 1), encoding="utf-8"
    )
    call("check", str(locked), code=1)


def test_list_and_diff():
    """Every pack is listed with its kind; a comparison names each field, and what stands in the way."""
    rows = {row["pack"]: row for row in json.loads(call("list", "--json"))}
    assert len(rows) == 21
    assert rows["layered-care"]["kind"] == "layers"
    assert rows["three-card"]["template"] is True
    assert "layered-care" in call("list")
    assert "no difference" in call("diff", "abc-bands", "abc-bands")
    said = call("diff", "abcd-layers", "three-card")
    assert "not to be put into force: personal.gold aum is still open" in said
    changes = json.loads(call("diff", "abc-bands", "abcd-layers", "--json"))["changes"]
    assert {"path": "version", "old": "1", "new": "2"} not in changes
    assert any(change["path"].endswith("tiers.d.name.zh") for change in changes)
    assert call("show", "abc-bands").startswith("# ABC bands")
    shown = json.loads(call("show", "abc-bands", "--json"))
    assert shown == {**rows["abc-bands"], "body": load_pack("abc-bands").body}
    call("show", "no-such", code=2)


KEYS = sorted({*ACTION_KEYS, *SERIES_KEYS, "assets", "quarter_avg", "age", "loan_overdue", "filed"})
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 40).map(Decimal) | st.sampled_from(["gold", "none", "staff", "x"]),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["month_avgs", "deposits", "x"]), part, max_size=2)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(st.sampled_from(available_packs()), st.dictionaries(st.sampled_from(KEYS), ANY, max_size=4))
def test_any_facts_end_in_an_outcome_or_a_fact_error(pack, facts):
    """Whatever is written as facts, it is decided, or refused as facts that cannot be used."""
    policy = load_pack(pack).classes["personal"]
    try:
        outcome = decide_facts(load_pack(pack), "personal", {"assets": Decimal(0), "quarter_avg": Decimal(0), **facts})
    except FactError:
        return
    assert outcome.tier in {tier.id for tier in policy.tiers}


CHINESE = [
    (("decide", "--pack", "green-channel", "--facts", '{"daily_avg_deposit": 200000}'), ("等级 ", "满足", "日终评定")),
    (("list",), ("第 1 版，自 ", "，模板")),
    (("check", str(PACKS / "abc-bands.yaml"), str(PACKS / "three-card.yaml")), ("：通过", "个数字待填")),
    (("diff", "abc-bands", "abc-bands"), ("没有差别",)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "parts"), CHINESE, ids=[words[0] for words, _ in CHINESE])
def test_in_chinese(words, parts, monkeypatch):
    """R-001: by option or by setting, people read Chinese; without either, English; another language is bad usage."""
    said = call(*words, "--lang", "zh-CN")
    assert all(part in said for part in parts), said
    english = call(*words)
    assert not any(part in english for part in parts if not part.startswith("日终"))
    monkeypatch.setenv("TIDEGAUGE_LANG", "zh-CN")
    assert call(*words) == said
    assert "is not one of" in call(*words, "--lang", "fr", code=2)


def test_words_are_there_in_both_languages():
    """Every sentence of the commands has both, filled with the same."""
    from tidegauge.cli.explain import words as explain_words
    from tidegauge.cli.policy import words as policy_words

    for words in (explain_words.EXPLANATION_WORDS, policy_words.POLICY_WORDS):
        assert words["en"].keys() == words["zh-CN"].keys()
        for code, text in words["en"].items():
            names, others = (set(re.findall(r"\{(\w+)\}", words[lang][code])) for lang in ("en", "zh-CN"))
            assert others <= names, (code, text)
