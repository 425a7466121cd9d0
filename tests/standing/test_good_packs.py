"""Whatever `policy check` calls good runs: replayed, switched to live, and recovered."""

import os
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from policies import PackError, decide, limits, parse_pack
from policies.model.figures import limit_columns, series
from streams.vocabulary.terms import ASSET_CLASSES
from tests.policies.grammar_packs import COUNTS, branch_packs, packs
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.settings import written
from tests.standing.test_changeover import activation, pack_of
from tests.standing.test_lifecycle import action, crashed, fact
from tests.streams.fast import RULES, unshrunk
from tests.twins.events import day, posting, rate
from tests.twins.figures import NO_RATE, SlowFigures
from tests.twins.ledger import SlowLedger

MONTH_END, LAST = day("2024-03-31"), day("2024-04-07")
CUSTOMERS = {"C1": "personal", "C2": "personal", "C3": "corporate", "C4": "personal"}
TALLY = Counter[str]()
MANY = 100  # drawn packs of which some are compared, whatever is drawn; of fewer it may be that none is
EXAMPLES = int(os.environ.get("DRAWN_PACKS", "24"))  # drawn packs; `make packs` draws more
SAVERS = """
pack: savers
version: 1
effective_from: 2018-01-01
name: {zh: 储蓄, en: Savers}
scopes: {sav: [savings, deposit_demand]}
classes:
  personal:
    evaluation: {close: month, upgrades: month, downgrades: month}
    vip_from: gold
    tiers:
      - {id: ordinary, name: {zh: 普通, en: Ordinary}}
      - {id: gold, name: {zh: 金卡, en: Gold}, when: {metric: savings_12m_avg, scope: sav, minimum: "50000.00"}}
    queue:
      basis: tier
      vip_area_from: gold
      classes:
        - {id: gold, name: {zh: 金卡, en: Gold}, tiers: [gold], head_start_minutes: 20}
        - {id: others, name: {zh: 其他, en: Others}, tiers: [ordinary], head_start_minutes: 0}
"""
NEAR = "{id: near, name: {zh: 近, en: Near}, severity: low, outlook: upgrade_near, at_most: '10.00'}"
HOLDING = posting(1, 60_000_000, "2024-01-10")
HELD = posting(1, 1_000_000, "2024-01-10", currency="USD", customer="C2", account="A2")


@pytest.mark.parametrize("live", [False, True], ids=["from the start", "switched live"])
def test_a_mean_of_twelve_months(live):
    """Its metric has no column of its own: the months' columns say whether a rate is missing."""
    first = [activation(pack_of(SAVERS, effective_from="2024-01-20"))] if live else []
    conf_ = conf() if live else replace(conf(), pack=parse_pack(SAVERS))
    steps = [HOLDING, HELD, day("2024-01-19"), *first, day("2024-01-31"), day("2024-02-29")]
    partition = Partition(Topics().tell(steps), StandingJob(conf_)).run()
    partition = crashed(partition, conf_)
    partition.log.tell([day("2024-03-31")])
    partition.run()
    assert not partition.of("dead-letters")
    last = {r["customer_id"]: r for r in partition.of("standings")}
    assert (last["C1"]["pack_id"], last["C1"]["tier"], last["C1"]["held_reason"]) == ("savers", "gold", None)
    assert last["C2"]["held_reason"].startswith("tier held; no exchange rate for aum, month_avg_0")
    assert last["C2"]["tier"] == "ordinary"
    [outlook] = [r for r in partition.of("outlooks") if r["customer_id"] == "C1" and r["as_of"] == day("2024-03-31")]
    assert (outlook["metric"], outlook["projected_tier"]) == ("months_mean_12", "gold")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("{close: month, upgrades", "{close: continuous, upgrades", "evaluation.close"),
        ("downgrades: month}", "downgrades: application}", "evaluation.downgrades"),
        ("    vip_from", "    overrides: {request_by: rm, approve_by: head}\n    vip_from", "overrides"),
        ("    vip_from", f"    alerts: [{NEAR}]\n    vip_from", "alerts.near"),
    ],
)
def test_what_a_layer_scheme_cannot_have(old, new, field):
    """The check says so, field by field, and not the worker that would follow it."""
    text = SAVERS.replace("version: 1", "version: 1\nkind: layers")
    assert refusals(text) == ()
    [problem] = refusals(text.replace(old, new))
    assert (problem.field, problem.message.split(":")[0]) == ("classes.personal", field)


USD = {"customer": "C2", "account": "A2", "currency": "USD"}


def life():
    """A small bank over two months: both classes, a rate that is missing, a late posting, facts, cards, other acts, closes."""
    yield from (
        customer("C1", card_held="mid", relationship_since=day("2020-02-29"), birth_date=day("1950-05-05")),
        customer("C2"), customer("C3", customer_class="corporate"), customer("C4", relationship_since=day("2023-12-31")),
        posting(1, 40_000, "2024-01-10"), posting(1, 1_000_000, "2024-01-10", **USD),
        posting(1, 10_000_000, "2024-01-11", customer="C3", account="A3", asset_class="savings"),
        posting(1, 30_000, "2024-01-12", customer="C4", account="A4", asset_class="fund"),
        fact("C1", 1, 1, day("2024-01-12"), "good_record"), fact("C4", 2, 500_000, day("2024-01-12")),
        *(fact(c, 10 + k, 150 * k, day(f"2024-0{k}-0{k + 2}"), "loyalty") for k in (1, 2) for c in ("C1", "C2")),
        fact("C1", 20, 0, day("2024-01-12"), "plan") | {"text": "premium"},
        fact("C2", 21, 0, day("2024-01-12"), "plan") | {"text": "basic"},
        fact("C4", 22, day("2024-03-04"), day("2024-02-02"), "loyalty"),  # to a pack that says so, a product's last day
        day("2024-01-15"), action("C1", 1, "issue_card", day("2024-01-16"), "gold"), day("2024-01-31"),
        rate("USD", 7_000_000, "2024-02-01"),
    )  # fmt: skip
    yield "the pack"
    for number, name in enumerate(ACTED, 3):
        c = f"C{number % 4 + 1}"
        yield action(c, number, name, day("2024-02-12"), ("white", "gold", "black")[number % 3])
    yield from (
        posting(2, -30_000, "2024-02-13"), day("2024-02-13"), posting(3, -4_000, "2024-02-20"),
        posting(2, 90_000, "2024-01-20", "2024-02-21", customer="C4", account="A4", asset_class="fund"),
        fact("C1", 3, 0, day("2024-02-21"), "good_record"), day("2024-02-21"), day("2024-02-29"),
        posting(4, 20_000, "2024-03-05", channel="mobile"), posting(5, -20_000, "2024-03-05", "2024-03-06", reverses="x"),
        day("2024-03-31"), day("2024-04-07"),
    )  # fmt: skip


ACTED = ("record", "issue_card", "request_exception", "approve_exception", "apply_upgrade", "override_tier", "dance")


def lived(text, kind, live, base=None):
    """A partition after the bank's life: under the pack from the start, or switched to it live and recovered after that.

    base: the text of the pack in force before, in place of the bank's own.
    """
    mine, pack = conf() if base is None else replace(conf(), pack=parse_pack(base)), parse_pack(text)
    if live:
        switch = [activation(re.sub(r'"effective_from": "[^"]*"', '"effective_from": "2024-02-11"', text))]
    elif kind == "layers":
        switch, mine = [], replace(conf(), layers=pack)
    else:
        switch, mine = [], replace(conf(), pack=pack)
    steps = [part for step in life() for part in (switch if step == "the pack" else [step])]
    half = steps.index(day("2024-02-21"))
    partition = Partition(Topics().tell(steps[:half]), StandingJob(mine)).run()
    partition = crashed(partition, mine)
    partition.log.tell(steps[half:])
    return partition.run(), steps


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiers", "layers"])
@settings(unshrunk, max_examples=EXAMPLES)
@given(data=st.data())
def test_whatever_is_good_runs(kind, data):
    """A pack that the language takes is followed by the job; one that it refuses is told where and why."""
    TALLY[f"{kind} drawn"] += 1
    text = data.draw(packs(kind))
    problems = refusals(text)
    TALLY[f"{kind} refused"] += bool(problems)
    assert all(problem.field and problem.message for problem in problems)
    for live in (False, True) if not problems else ():
        partition, steps = lived(text, kind, live)
        TALLY[f"{kind} run"] += 1
        assert [r["detail"] for r in partition.of("dead-letters") if r["topic"] == "policies"] == []
        assert partition.job.ledger.closed == LAST
        for name in sorted({record["kind"] for record in partition.of("rm-alerts")}):
            TALLY[f"packs with {name}"] += 1
        if kind == "tiers":
            compare(parse_pack(text), partition, steps, live=live)


@pytest.mark.slow
@settings(unshrunk, max_examples=EXAMPLES // 2)
@given(branch_packs())
def test_whatever_a_branch_adds_runs(texts):
    """A supplement to any good pack is taken live, over a crash, and decides for the customers of its branch."""
    base, added = texts
    refused = refusals(base) or refusals(added)
    TALLY["branches drawn"] += 1
    TALLY["branches refused"] += bool(refused)
    if refused:
        return
    partition, steps = lived(added, "tiers", True, base)
    TALLY["branches run"] += 1
    assert [r["detail"] for r in partition.of("dead-letters") if r["topic"] == "policies"] == []
    assert partition.job.ledger.closed == LAST
    compare(parse_pack(added), partition, steps, live=False)  # the base has known of everything from the start


def refusals(text):
    """What `policy check` says against a pack."""
    try:
        parse_pack(text)
    except PackError as refused:
        return refused.problems
    return ()


def follows(policy):
    """Whether the tier is what the standard gives at a month's close, whatever else has happened."""
    when = policy.evaluation
    asked = policy.review or policy.notables or policy.overrides or when.grace_months
    timely = {when.close, when.upgrades, when.downgrades} <= {"continuous", "day", "month"}
    return (
        timely
        and not asked
        and not policy.one_by_one
        and policy.status.basis == "metric"
        and not policy.status.requires
    )


def was_known(pack, policy):
    """Whether tiers rest on what was kept before the pack came: its own facts, flows and counts are kept from then on."""
    leaves = [leaf for criterion in (policy.veto, *(tier.when for tier in policy.tiers)) for leaf in limits(criterion)]
    names = {name for leaf in leaves for name in (leaf.metric, *(name for name, _ in limit_columns(pack, leaf)))}
    by_month = {month.of for name in names if (month := series(name)) is not None}
    return names.isdisjoint((*COUNTS, *pack.facts)) and by_month.isdisjoint((*pack.facts, *pack.flows))


def compare(pack, partition, steps, *, live):
    """Tiers at the last month's close are those that the tree gives over the twin's figures."""
    told = {r["customer_id"]: r for r in partition.of("standings") if r["as_of"] == MONTH_END}
    assert set(told) == set(CUSTOMERS)
    scopes: dict[str | None, frozenset[str]] = {None: frozenset(ASSET_CLASSES), **pack.scopes}
    twins = {name: SlowLedger(replace(RULES, scope=scope)) for name, scope in scopes.items()}
    known = [step for step in steps if not isinstance(step, int)]
    for twin in twins.values():
        for event in known:
            if event["topic"] in ("transactions", "fx-rates"):
                twin.add(event)
    figures = SlowFigures(pack, known, twins)
    for name, policy in pack.classes.items():
        for c in CUSTOMERS if follows(policy) else ():
            if CUSTOMERS[c] != name or (live and not was_known(pack, policy)):
                continue
            values = {
                key: value
                for criterion in (policy.veto, *(tier.when for tier in policy.tiers))
                for leaf in limits(criterion)
                for key, value in figures.limits(c, MONTH_END, leaf).items()
            }
            if NO_RATE not in values.values():
                TALLY["compared, switched live" if live else "compared"] += 1
                assert told[c]["tier"] == decide(policy, values), (c, values)


@pytest.mark.parametrize("live", [False, True], ids=["from the start", "switched live"])
def test_a_plain_pack_is_compared(live):
    """The laws are not empty: of a pack without anything special all personal customers are compared."""
    before, text = TALLY.copy(), written({})
    partition, steps = lived(text, "tiers", live)
    compare(parse_pack(text), partition, steps, live=live)
    assert sum((TALLY - before).values()) == sum(name == "personal" for name in CUSTOMERS.values())


@pytest.fixture(scope="module", autouse=True)
def _tally():
    """Nor do they become empty unseen: where packs were drawn, some run, and of many some tiers are compared."""
    yield
    print(dict(TALLY))
    for kind in ("tiers", "layers", "branches"):
        assert bool(TALLY[f"{kind} run"]) == bool(TALLY[f"{kind} drawn"]), kind
    for name in ("compared", "compared, switched live"):
        assert TALLY[name] or TALLY["tiers drawn"] < MANY, name
