"""Decisions around packs that are switched live, of every reason, hold by the pack and version that they name."""

import json
import re
from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from policies import load_pack, parse_pack
from streams.closing import Run
from tests.explaining.memory import Stamped, altered, log_of
from tests.standing.partition import Partition, conf, customer
from tests.standing.test_changeover import (
    CARDS,
    FIRST,
    HOLDINGS,
    LAYERS,
    POOR,
    activation,
    pack_of,
    started,
    told,
)  # fmt: skip
from tests.standing.test_lifecycle import action, crashed, fact
from tests.twins.events import day, posting
from tidegauge.cli.explain.command import plain_data
from tidegauge.cli.explain.text import lines
from tidegauge.explanation import BY_EVIDENCE, DIFFERS, HOLDS, UNKNOWN, WITHDRAWN, explained
from tidegauge.explanation.log import Log
from tidegauge.explanation.rerun import shipped

CONF = replace(conf(), pack=FIRST)


def lived():
    """Three packs in a row: by minimums, by layers of criteria, by cards; with acts, a crash and idle time."""
    partition = started(
        customer("rich", card_held="diamond"), customer("poor"), *HOLDINGS, day("2024-01-31"), activation(LAYERS),
        day("2024-02-10"), activation(CARDS), day("2024-02-29"),
    )  # fmt: skip
    partition = crashed(partition, partition.job.conf)
    partition = told(partition, posting(2, 3_000_000, "2024-03-02", **POOR), day("2024-03-31"), day("2024-04-30"))
    card = action("poor", 2, "issue_card", day("2024-05-02"), "gold", approved_by=None)
    lost = action("rich", 3, "dance", day("2024-05-02"), "gold", approved_by=None)
    return told(partition, card | {"details": {"card": "gold"}}, lost, day("2024-05-02"), day("2024-05-31"))


@pytest.fixture(scope="module")
def bank():
    """What the partition has published after all that."""
    return lived()


def of(bank, name):
    """What is found of a customer."""
    return explained(CONF, log_of(bank, name))


@pytest.mark.parametrize("name", ["rich", "poor"])
def test_decisions_of_every_pack_hold(bank, name):
    """R-250: the packs before, the one activated live and the one in force are found, and everything is given again."""
    found = of(bank, name)
    assert [(v.told.name, v.problems) for v in found.verdicts if v.state != HOLDS] == []
    packs = {v.told.record["pack_id"]: v.pack for v in found.of("tier-changes")}
    assert len(packs) > 1
    assert all(pack.id == name for name, pack in packs.items())
    assert found.standing["tier"] and not found.gaps and not found.unpublished
    assert found.branch == "B1"


def test_reasons(bank):
    """Closes, changes of packs, cards and refusals are among them."""
    reasons = {v.told.record["reason"] for name in ("rich", "poor") for v in of(bank, name).verdicts
               if "reason" in v.told.record}  # fmt: skip
    assert {"close", "policy", "card", "unknown_action"} <= reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"to_tier": "b"},
        {"direction": "down"},
        {"reason": "card"},
        {"pack_version": 3},
        {"pack_id": "abcd-layers"},
        {"effective_date": day("2024-02-02")},
        {"cut": []},
        {"metrics": []},
        {"thresholds": []},
        {"event_id": "rich/tier/abc-bands/2024-01-30"},
    ],
)
def test_whatever_is_altered_is_found(bank, fields):
    """No field of a tier change can be changed without the log saying so."""
    log = log_of(bank, "rich")
    assert log.told[0].topic == "tier-changes"
    found = explained(CONF, altered(log, 0, **fields))
    assert found.verdicts[0].state == DIFFERS
    assert not found.holds
    assert all(v.state == HOLDS for v in found.verdicts[1:])


def test_what_a_left_out_close_told_is_withdrawn(bank):
    """It neither holds nor is it wrong: a takeover has taken its close back."""
    last = day("2024-01-31")
    conf_ = replace(CONF, left_out=frozenset({Run(last, None)}))
    found = [v for name in ("rich", "poor") for v in explained(conf_, log_of(bank, name)).verdicts]
    of_it = [v for v in found if v.told.topic == "tier-changes" and v.told.record["business_day"] == last]
    assert {v.state for v in of_it} == {WITHDRAWN}
    assert all(v.told.record.get("business_day", last) == last for v in found if v.state == WITHDRAWN)


def test_an_altered_value_fails_without_the_log(bank):
    """Where the log is no longer whole, values, criteria and lifecycle must still agree; a sound record still holds."""
    whole = log_of(bank, "poor")
    cut = Log(whole.customer_id, 0, whole.first | {"transactions": 2}, whole.inputs, whole.told)
    cut.inputs = whole.inputs | {"transactions": []}
    found = explained(CONF, cut)
    assert found.gaps == ["transactions"]
    assert found.holds
    states = [v.state for v in found.verdicts]
    assert states[0] == BY_EVIDENCE and UNKNOWN in states
    metric = cut.told[0].record["metrics"][0]
    for value in (
        {"value_minor": metric["value_minor"] + 1},
        {"exact_numerator": str(10**9 * 31), "exact_denominator": str(10**9 * 31), "value_minor": 1},
    ):
        again = explained(CONF, altered(cut, 0, metrics=[metric | value]))
        assert again.verdicts[0].state == DIFFERS


def test_profiles_that_were_compacted_are_a_gap(bank):
    """Of profiles only the last may be kept: then a mark is missing, and what differs is no fault."""
    log = log_of(bank, "rich")
    log.inputs["customers"] = []
    assert explained(CONF, log).gaps == ["customers"]


def test_the_setting_names_another_pack():
    """The first decision names a pack that ships: it is taken, whatever TIDEGAUGE_PACK is now."""
    steps = customer("rich", card_held="diamond"), customer("poor"), *HOLDINGS, day("2024-01-31"), day("2024-02-29")
    found = explained(conf(), log_of(started(*steps, pack=load_pack("abc-bands")), "rich"))
    assert found.holds and found.verdicts[0].state == HOLDS


def test_a_pack_that_is_nowhere():
    """A pack of the bank's own that was in force first, while the setting names another one: said, not guessed."""
    own = parse_pack(pack_of(FIRST.body, pack="of-our-own"))
    partition = started(*HOLDINGS, day("2024-01-31"), pack=own)
    found = explained(conf(), log_of(partition, "rich"))
    assert "pack_unknown" in {problem.code for problem in found.verdicts[0].problems}
    assert explained(replace(conf(), pack=own), log_of(partition, "rich")).holds


def test_stale_sources_reviews_and_overrides():
    """Put off, applied later with its own date, reviewed, granted and ended: all of it is made again."""
    text = FIRST.body.replace(
        "scopes:",
        "sources:\n  core: {supplies: [deposit_demand], freshness_business_days: 1, required: true}\nscopes:",
        1,
    ).replace(
        "    vip_from: a\n", "    vip_from: a\n    overrides: {request_by: rm, approve_by: head, valid_months: 1}\n"
    )
    pack = parse_pack(text)
    mark = fact("@core", 1, 1, day("2024-01-10"), name="source_complete") | {"source": "core"}
    fresh = fact("@core", 2, 1, day("2024-02-02"), name="source_complete") | {"source": "core"}
    grant = action("poor", 3, "override_tier", day("2024-02-03"), "black")
    steps = [*HOLDINGS, mark, day("2024-01-31"), fresh, day("2024-02-02"),
             grant | {"details": {"tier": "a", "approver_role": "head", "role": "rm"}},
             *range(day("2024-02-03"), day("2024-03-31") + 1)]  # fmt: skip
    partition = started(*steps, pack=pack)
    kinds = set()
    for name in ("rich", "poor"):
        found = explained(replace(conf(), pack=pack), log_of(partition, name))
        assert [(v.told.name, v.state, v.problems) for v in found.verdicts if v.state != HOLDS] == []
        kinds |= {(v.told.topic, v.told.record.get("kind") or v.told.record.get("reason")) for v in found.verdicts}
    assert {("decisions", "deferred"), ("tier-changes", "close"), ("tier-changes", "override"),
            ("tier-changes", "expiry")} <= kinds  # fmt: skip


def test_late_postings():
    """Restatements, with a tier that follows, and the change that they correct."""
    text = conf().pack.body.replace("restatement: record_only", "restatement: both")
    pack = parse_pack(text)
    late = posting(9, 50_000_000, "2024-01-02", "2024-02-12", **POOR)
    partition = started(*HOLDINGS, day("2024-01-31"), late, day("2024-02-12"), day("2024-02-29"), pack=pack)
    found = explained(replace(conf(), pack=pack), log_of(partition, "poor"))
    assert [(v.told.name, v.problems) for v in found.verdicts if v.state != HOLDS] == []
    assert found.of("restatements")
    assert "restated" in {v.told.record["reason"] for v in found.of("tier-changes")}


@pytest.mark.slow
@pytest.mark.parametrize(("lang", "words"), [
    ("en", ("Customer poor", "(from the log|made again from the log): it holds", "not met", "by policy pack", "Every decision")),
    ("zh-CN", ("客户 poor", "按日志重新计算：成立", "不满足", "方案", "所有决定均成立")),
])  # fmt: skip
def test_words(bank, lang, words):
    """Verdict, values, thresholds and the tree of criteria, in either language."""
    text = "\n".join(lines(of(bank, "poor"), lang))
    for part in words:
        assert re.search(part, text), text
    wrong = "\n".join(lines(explained(CONF, altered(log_of(bank, "poor"), 0, to_tier="a")), lang))
    assert re.search("IT DOES NOT HOLD|重新计算：不成立", wrong)


def test_json(bank):
    """The same for machines: ISO dates, the tree with exact values, the problems by code."""
    found = json.loads(json.dumps(plain_data(of(bank, "poor"))))
    first = found["decisions"][0]
    assert first["holds"] and first["state"] == "holds"
    assert first["change"]["effective_date"] == "2024-02-01"
    assert {node["kind"] for node in first["criteria"]} <= {"limit", "any", "all"}
    wrong = plain_data(explained(CONF, altered(log_of(bank, "poor"), 0, to_tier="a")))
    assert not wrong["holds"]
    assert {p["code"] for p in wrong["decisions"][0]["problems"]} >= {"differs"}


def test_a_version_that_nobody_has():
    """It is not taken for another one."""
    assert shipped("abc-bands", 2) == load_pack("abc-bands")
    assert shipped("abc-bands", 7) is None
    assert shipped("no-such", 1) is None


ISSUE, LOST = (
    action("rich", number, name, day("2024-03-02"), "gold", approved_by=None) | {"details": {"card": "platinum"}}
    for number, name in ((2, "issue_card"), (3, "report_lost"))
)
NAMED = customer("rich", card_held="diamond", event_id="named")
ORDERINGS = [(NAMED, ISSUE, LOST), (ISSUE, LOST, NAMED), (ISSUE, NAMED, LOST)]


@pytest.mark.parametrize("steps", ORDERINGS)
def test_between_closes_in_any_order(steps):
    """A profile and acts of one day: it holds in whichever order they were met, as the brokers have stamped them."""
    first = activation(pack_of(load_pack("prior-month-aum").body, effective_from="2024-02-01"))
    log = Stamped().tell([customer("rich"), *HOLDINGS, first, day("2024-01-31"), day("2024-02-29")])
    partition = Partition(log, StandingJob(CONF)).run()
    for step in steps:
        partition = told(partition, step)
    partition = told(partition, day("2024-03-31"))
    found = explained(CONF, log_of(partition, "rich"))
    assert [(v.told.name, v.problems) for v in found.verdicts if v.state != HOLDS] == []
    cards = [v.told.record["after"] for v in found.of("decisions") if v.told.record["kind"] == "card"]
    assert cards == (["platinum", "diamond"] if steps[1] is NAMED else ["platinum", "platinum"])
