"""Every optional setting of the grammar, with two good packs that differ in it alone and a world that tells them apart.

What is for people is in TOLD, what never changes anything in NEVER; a setting that the grammar gets belongs in one of the three.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agents.standing.job import StandingJob
from policies import parse_pack
from policies.language import criteria, document, grammar, sections
from policies.language.grammar import Kind
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation
from tests.standing.test_lifecycle import action, fact
from tests.twins.events import day, posting

GONE: Final = object()  # the setting is not written
NAME = {"zh": "名", "en": "Name"}
PERSONAL = "classes.personal."


def limit(amount: str, metric: str = "aum") -> dict[str, Any]:
    """At least so much."""
    return {"metric": metric, "scope": "all", "minimum": amount}


BASE: dict[str, Any] = {
    "pack": "settings", "version": 1, "effective_from": "2024-01-01", "name": NAME,
    "scopes": {"all": ["deposit_demand", "fund"]},
    "classes": {"personal": {
        "evaluation": {"close": "month"},
        "tiers": [
            {"id": "low", "name": NAME, "card": "white"},
            {"id": "mid", "name": NAME, "card": "gold", "when": limit("100.00")},
            {"id": "high", "name": NAME, "card": "black", "when": limit("200.00")},
        ],
        "queue": {"basis": "tier", "classes": [
            {"id": "first", "name": NAME, "tiers": ["mid", "high"], "head_start_minutes": 9},
            {"id": "others", "name": NAME, "tiers": ["low"], "head_start_minutes": 0},
        ]},
    }},
}  # fmt: skip

JANUARY, FEBRUARY, MARCH = day("2024-01-31"), day("2024-02-29"), day("2024-03-31")
HOLDS = posting(1, 15_000, "2024-01-10")
LIFE = (customer("C1"), HOLDS, JANUARY, FEBRUARY, MARCH)


def lived(*after_january: Any, held: Any = HOLDS, **profile: Any) -> tuple[Any, ...]:
    """A customer of the middle tier, and what comes between the closes of January and February."""
    return customer("C1", **profile), held, JANUARY, *after_january, FEBRUARY, MARCH


def did(number: int, name: str, on: str, card: str = "gold", **details: str) -> dict[str, Any]:
    """An act that nobody has approved yet."""
    one = action("C1", number, name, day(on), card, approved_by=None)
    return one | {"details": one["details"] | details}


@dataclass(frozen=True)
class Told:
    """Two values of a setting in one pack, at `at`, and what happens; `beside` is the rest of the pack.

    sent: the pack is activated on top of another one, and not the first.
    """

    setting: str
    at: str
    one: Any
    other: Any
    steps: tuple[Any, ...] = LIFE
    beside: dict[str, Any] = field(default_factory=dict)
    sent: bool = False


def put(pack: dict[str, Any], path: str, value: Any) -> None:
    """Sets a place of a pack, or takes it out."""
    *way, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part in way:
        if isinstance(pack, dict) and part not in pack:
            pack[part] = {}
        pack = pack[part]
    if value is GONE:
        del pack[last]
    else:
        pack[last] = copy.deepcopy(value)


def written(beside: dict[str, Any], at: str = "", value: Any = GONE) -> str:
    """The text of the base pack with some places set."""
    pack = copy.deepcopy(BASE)
    for path, given in beside.items():
        put(pack, path, given)
    if value is not GONE:
        put(pack, at, value)
    return json.dumps(pack, indent=1)


def outcomes(text: str, steps: tuple[Any, ...], *, sent: bool = False) -> dict[str, list[Any]]:
    """Everything that is published in a world under a pack."""
    pack = parse_pack(text)
    mine = conf()
    if sent:
        mine = replace(mine, pack=parse_pack(written(MAY_SET | APPROVED)))
        steps = (*steps[:3], activation(text), *steps[3:])
    elif pack.kind == "layers":
        mine = replace(mine, layers=pack)
    else:
        mine = replace(mine, pack=pack)
    partition = Partition(Topics().tell(steps), StandingJob(mine)).run()
    return {topic: partition.of(topic) for topic in sorted(partition.published)}


MAY_SET = {"branches": {"may_set": ["classes.personal.tiers.mid"], "file_with": "head"}}
APPROVED = {"branches.approval_by": "head"}
ADDS = {"base": "settings", "branch": "B1", "filed_on": "2024-01-15", "approved_by": "somebody"}
LOWER = {"pack": "mine", "effective_from": "2024-02-10", PERSONAL + "tiers[1].when": limit("160.00")}
SENT = activation(written(LOWER | {"supplement": ADDS}))
SENT_ALONE = activation(written(LOWER | {"supplement": {k: v for k, v in ADDS.items() if k != "approved_by"}}))
OUTFLOW = {"id": "out", "name": NAME, "window_days": 7, "severity": "low", "absolute": "50.00"}
NEAR = {"id": "near", "name": NAME, "severity": "low", "outlook": "upgrade_near", "at_most": {"mid": "60.00"}}
AT_RISK = {"id": "risk", "name": NAME, "severity": "low", "outlook": "downgrade_risk", "within_days": {"mid": 0}}
LEAVES = lived(posting(2, -10_000, "2024-02-10"), day("2024-02-10"))
LEAVES_TWICE = lived(
    posting(2, -6_000, "2024-02-10"), day("2024-02-10"), posting(3, 20_000, "2024-02-11"), day("2024-02-20"),
    posting(4, -6_000, "2024-02-21"), day("2024-02-21"),
)  # fmt: skip
IN_AND_OUT = lived(posting(2, 10_000, "2024-02-09"), posting(3, -10_000, "2024-02-10"), day("2024-02-10"))
LEAVES_AND_RETURNS = lived(
    posting(2, -10_000, "2024-02-10"), day("2024-02-10"), posting(3, 10_000, "2024-02-15"), day("2024-02-15")
)
LEAVES_LATE = lived(day("2024-02-10"), posting(2, -10_000, "2024-02-10"), day("2024-02-11"))
MOVES = lived(
    posting(2, -10_000, "2024-02-10", clock="10:00:00", nature="unknown"),
    posting(1, 10_000, "2024-02-10", clock="10:20:00", nature="unknown", account="A2"), day("2024-02-10"),
)  # fmt: skip
TO_X = lived(posting(2, -10_000, "2024-02-10", nature="unknown", counterparty_bank="X"), day("2024-02-10"))
UP_AND_DOWN = lived(
    posting(2, -6_000, "2024-02-01"), day("2024-02-01"), posting(3, 6_000, "2024-02-02"), day("2024-02-02"),
    posting(4, -6_000, "2024-02-03"), day("2024-02-03"), posting(5, 6_000, "2024-02-04"), day("2024-02-04"),
)  # fmt: skip
ISSUED = lived(did(1, "issue_card", "2024-02-05"))
BLACK = lived(did(1, "issue_card", "2024-02-05", "black"))
ASKED = lived(
    did(1, "apply_card", "2024-02-04"), did(2, "approve_card", "2024-02-05"), did(3, "issue_card", "2024-02-06")
)
AT_OUTLET = lived(did(1, "issue_card", "2024-02-05", branch_level="outlet", digits="16"))
AGAIN = lived(did(1, "issue_card", "2024-02-05"), did(2, "issue_card", "2024-02-20"))
STAFF = lived(did(1, "issue_staff_card", "2024-02-05"))
EXCEPTED = lived(
    did(1, "request_exception", "2024-02-05", "black", kind="artist"),
    did(4, "approve_exception", "2024-02-06", "black", role="head"),
)  # fmt: skip
MARK = fact("@source", 1, 1, JANUARY - 10, name="source_complete") | {"source": "core"}
STALE = (customer("C1"), HOLDS, MARK, JANUARY, FEBRUARY, MARCH)
FALLS = lived(posting(2, -10_000, "2024-02-10"))
FALLS_FAR = lived(posting(2, -25_000, "2024-02-10"), held=posting(1, 25_000, "2024-01-10"))
JOINED = lived(posting(2, -10_000, "2024-02-10"), relationship_since=day("2024-01-05"))
RISES_LATE = lived(posting(2, 10_000, "2024-01-20", "2024-02-10"), day("2024-02-10"))
BAD = lived(fact("C1", 1, 1, JANUARY, name="bad_record"))
BY_CARD, RULES = {PERSONAL + "status": {"basis": "card"}}, {"request_by": "rm", "approve_by": "head"}
CARDS, WHEN = PERSONAL + "cards", PERSONAL + "tiers[1].when"
FEW = {"scopes.few": ["fund"]}
GOLD_FIRST = {PERSONAL + "queue.basis": "card"}

ON_PLAN_B = fact("C1", 1, 0, JANUARY - 20, name="plan") | {"text": "b"}
PAID_IN = posting(1, 15_000, "2024-01-10", channel="mobile", counterparty_bank="X")
OF_PAYS = {WHEN: {"metric": "pays", "minimum": "2"}}

ROWS: tuple[Told, ...] = (
    Told("kind", "kind", "tiers", "layers"),
    Told("sources", "sources", {"core": {"supplies": ["fund"]}}, GONE, STALE),
    *(
        Told(f"sources.*.{name}", f"sources.core.{name}", one, other, STALE, {"sources.core.supplies": ["fund"]})
        for name, one, other in (("freshness_business_days", 0, 30), ("required", True, False))
    ),
    Told("facts", "facts", {"loyalty": {"kind": "count"}}, GONE, lived(fact("C1", 1, 1, JANUARY, name="loyalty"))),
    Told("facts.*.absent", "facts.loyalty.absent", 3, 0, LIFE, {
        "facts.loyalty.kind": "count", WHEN: {"metric": "loyalty", "minimum": "2"},
    }),
    Told("facts.*.values", "facts.plan.values", ["a", "b"], ["a", "c"], lived(ON_PLAN_B), {
        "facts.plan.kind": "text", WHEN: {"metric": "plan", "is": "a"},
    }),
    Told("facts.*.valid_days", "facts.loyalty.valid_days", 10, 100, lived(fact("C1", 1, 5, JANUARY - 20, name="loyalty")), {
        "facts.loyalty.kind": "count", WHEN: {"metric": "loyalty", "minimum": "2"},
    }),
    Told("flows", "flows", {"pays": {"direction": "in"}}, {"pays": {"direction": "out"}}, LIFE, OF_PAYS),
    *(
        Told(f"flows.*.{name}", f"flows.pays.{name}", one, other, lived(held=PAID_IN), OF_PAYS | {
            "flows.pays.direction": "in"})
        for name, one, other in (
            ("value", "sum", "count"), ("natures", ["external"], ["fee"]), ("channels", ["mobile"], ["counter"]),
            ("counterparties", ["X"], ["Y"]),
        )
    ),
    Told("measures", "measures", *({"points": {"sum": [{"metric": "aum", "scope": "all", "weight": weight}]}}
                                   for weight in ("0.01", "0.001")), LIFE, {WHEN: {"metric": "points", "minimum": "1"}}),
    Told("branches", "branches", MAY_SET["branches"], GONE, lived(SENT)),
    Told("branches.approval_by", "branches.approval_by", "head", GONE, lived(SENT_ALONE), MAY_SET),
    Told("supplement", "supplement", ADDS, GONE, LIFE, LOWER, sent=True),
    *(
        Told(f"supplement.{name}", f"supplement.{name}", ADDS[name], GONE, LIFE, LOWER | {
            "supplement": {k: v for k, v in ADDS.items() if k != name}}, sent=True)
        for name in ("filed_on", "approved_by")
    ),
    Told("classes.vip_from", PERSONAL + "vip_from", "mid", "high"),
    Told("classes.status", PERSONAL + "status", {"basis": "card"}, GONE),
    Told("classes.status.basis", PERSONAL + "status.basis", "card", "metric"),
    Told("classes.status.requires", PERSONAL + "status.requires", ["filing"], ["agreement"],
         lived(did(1, "record", "2024-02-05"))),
    Told("classes.cards", CARDS, {"valid_months": 1}, GONE, ISSUED),
    Told("classes.cards.valid_months", CARDS + ".valid_months", 1, 2, ISSUED),
    Told("classes.cards.issue", CARDS + ".issue", {"mode": "application"}, GONE, ISSUED),
    Told("classes.cards.issue.by", CARDS + ".issue.by", "rm", "head", ASKED, {CARDS + ".issue.mode": "approval"}),
    Told("classes.cards.issue.needs_standard", CARDS + ".issue.needs_standard", True, False, BLACK,
         {CARDS + ".issue.mode": "teller"}),
    Told("classes.cards.issue.start", CARDS + ".issue.start", "issue", "collection", ISSUED,
         {CARDS + ".issue.mode": "teller"} | BY_CARD),
    Told("classes.cards.issue.branches", CARDS + ".issue.branches", ["outlet"], ["head-office"], AT_OUTLET,
         {CARDS + ".issue.mode": "teller"}),
    Told("classes.cards.issue.needs_wealth_manager", CARDS + ".issue.needs_wealth_manager", True, False, ISSUED,
         {CARDS + ".issue.mode": "teller"}),
    Told("classes.cards.digits", CARDS + ".digits", [16], [19], AT_OUTLET),
    Told("classes.cards.reminder_days", CARDS + ".reminder_days", 30, 0, ISSUED, {CARDS + ".valid_months": 2}),
    Told("classes.cards.contract_again_from", CARDS + ".contract_again_from", "2024-02-10", "2024-06-01", AGAIN),
    Told("classes.cards.staff", CARDS + ".staff", {"card": "staff", "roles": ["rm"]}, {"card": "staff", "roles": ["head"]},
         STAFF),
    Told("classes.queue", PERSONAL + "queue.basis", "tier", "card", lived(card_held="black"),
         {PERSONAL + "queue.classes[1].cards": ["black"]}),
    Told("classes.queue.vip_area_from", PERSONAL + "queue.vip_area_from", "mid", "high"),
    Told("classes.queue.classes[].cards", PERSONAL + "queue.classes[1].cards", ["gold"], ["black"],
         lived(card_held="gold"), GOLD_FIRST),
    Told("classes.queue.classes[].tiers", PERSONAL + "queue.classes[0].tiers", ["high"], ["mid", "high"], LIFE,
         {PERSONAL + "queue.classes[1]": {"id": "others", "name": NAME, "tiers": ["low"], "cards": ["gold"],
                                          "head_start_minutes": 0}}),
    Told("classes.alerts", PERSONAL + "alerts", [OUTFLOW], GONE, LEAVES),
    *(
        Told(f"classes.alerts[alert].{name}", PERSONAL + f"alerts[0].{name}", one, other, steps,
             {PERSONAL + "alerts": [OUTFLOW | ({"absolute": "9000.00"} if name == "share" else {})]})
        for name, one, other, steps in (
            ("cool_down_days", 0, 30, LEAVES_TWICE), ("absolute", "50.00", "140.00", LEAVES),
            ("share", {"basis_points": 1000}, {"basis_points": 9000}, LEAVES),
            ("drip", {"count": 2, "each_at_most": "1000.00"}, GONE, LEAVES),
        )
    ),
    Told("classes.alerts[alert].share.floor", PERSONAL + "alerts[0].share.floor", "0", "140.00", LEAVES,
         {PERSONAL + "alerts": [OUTFLOW | {"absolute": "9000.00", "share": {"basis_points": 1000}}]}),
    *(
        Told(f"classes.alerts[alert].{name}", PERSONAL + f"alerts[0].{name}", one, other, steps,
             {PERSONAL + "alerts": [OUTFLOW], PERSONAL + "cases": {"settle_days": 3}})
        for name, one, other, steps in (("measure", "net", "gross", IN_AND_OUT), ("to_one_bank", True, False, LEAVES))
    ),
    Told("classes.cases", PERSONAL + "cases", {"return_days": 15}, GONE, LEAVES, {PERSONAL + "alerts": [OUTFLOW]}),
    *(
        Told(f"classes.cases.{name}", PERSONAL + f"cases.{name}", one, other, steps,
             {PERSONAL + "alerts": [OUTFLOW], PERSONAL + "cases": {}})
        for name, one, other, steps in (
            ("return_days", 3, 15, LEAVES_AND_RETURNS), ("settle_days", 0, 3, LEAVES_LATE),
            ("settle_minutes", 10, 30, MOVES), ("own_banks", ["X"], GONE, TO_X), ("internal_banks", ["X"], GONE, TO_X),
        )
    ),
    *(
        Told(f"classes.alerts[upgrade_near].{name}", PERSONAL + f"alerts[0].{name}", one, other, UP_AND_DOWN,
             {PERSONAL + "alerts": [NEAR | ({"at_most": "1.00"} if name == "basis_points" else {})]})
        for name, one, other in (
            ("cool_down_days", 0, 60), ("at_most", {"mid": "60.00"}, {"mid": "10.00"}),
            ("basis_points", {"mid": 9999}, {"mid": 1}),
        )
    ),
    Told("classes.alerts[downgrade_risk].cool_down_days", PERSONAL + "alerts[0].cool_down_days", 0, 60, UP_AND_DOWN,
         {PERSONAL + "alerts": [AT_RISK]}),
    Told("classes.veto", PERSONAL + "veto", {"metric": "bad_record", "is": True}, GONE, BAD),
    *(Told("classes.veto", PERSONAL + "veto", {"when": {"metric": "bad_record", "is": True}, "at": at},
           {"metric": "bad_record", "is": True}, BAD, {PERSONAL + "evaluation.downgrades": "year"}) for at in ("once",)),
    Told("classes.review", PERSONAL + "review", {"months": 1}, GONE),
    Told("classes.review.reminder_days", PERSONAL + "review.reminder_days", 30, 0, (*LIFE[:-1], day("2024-03-05"), MARCH),
         {PERSONAL + "review.months": 2}),
    *(Told(f"classes.{name}", PERSONAL + name, RULES | {"kinds": ["artist"]}, GONE, EXCEPTED)
      for name in ("notables", "overrides")),
    Told("classes.notables.kinds", PERSONAL + "notables.kinds", ["artist"], ["athlete"], EXCEPTED,
         {PERSONAL + "notables": RULES}),
    *(
        Told(f"classes.{name}.{part}", PERSONAL + f"{name}.{part}", one, other, EXCEPTED,
             {PERSONAL + name: RULES | {"kinds": ["artist"]}})
        for name in ("notables", "overrides")
        for part, one, other in (("tier", "mid", "high"), ("valid_months", 1, 12))
    ),
    Told("classes.pinning", PERSONAL + "pinning", {"before_version": 2}, GONE,
         lived(did(1, "pin_policy", "2024-02-05", version="1"))),
    *(Told(f"classes.potential{end}", PERSONAL + f"potential{end}", one, other) for end, one, other in (
        ("", {"when": limit("120.00")}, GONE), (".when", limit("120.00"), limit("190.00")))),
    Told("classes.evaluation.upgrades", PERSONAL + "evaluation.upgrades", "month", "quarter"),
    Told("classes.evaluation.downgrades", PERSONAL + "evaluation.downgrades", "month", "quarter", FALLS),
    Told("classes.evaluation.grace_months", PERSONAL + "evaluation.grace_months", 0, 1, FALLS),
    Told("classes.evaluation.restatement", PERSONAL + "evaluation.restatement", "record_only", "upgrades", RISES_LATE),
    *(
        Told(f"classes.evaluation.{name}", PERSONAL + f"evaluation.{name}", value, GONE, steps)
        for name, value, steps in (
            ("keep_months", 12, FALLS), ("steps", 1, FALLS_FAR), ("exempt_months", 12, JOINED), ("fall_notice_days", 10, FALLS),
            ("effective_business_days", 3, LIFE), ("effective_business_days", {"downgrades": 2}, FALLS),
        )
    ),
    Told("classes.tiers[].permanent", PERSONAL + "tiers[1].permanent", True, GONE, FALLS),
    Told("classes.tiers[].card", PERSONAL + "tiers[1].card", "gold", "silver", ISSUED),
    Told("classes.tiers[].when", WHEN, limit("100.00"), limit("160.00")),
    Told("classes.tiers[].unset", PERSONAL + "tiers[1]", {"id": "mid", "name": NAME, "unset": True},
         {"id": "mid", "name": NAME, "when": limit("100.00")}),
    Told("classes.tiers[].same_rank_as", PERSONAL + "tiers[2].same_rank_as", "mid", GONE,
         lived(posting(2, -10_000, "2024-02-10"), held=posting(1, 25_000, "2024-01-10"))),
    *(
        Told(f"criterion.{word}", WHEN, one, other, lived(fact("C1", 1, 1, JANUARY - 20, name="growing")),
             FEW if word == "scope" else {})
        for word, one, other in (
            ("any", {"any": [limit("100.00"), limit("190.00")]}, {"any": [limit("170.00"), limit("190.00")]}),
            ("all", {"all": [limit("100.00"), limit("120.00")]}, {"all": [limit("100.00"), limit("190.00")]}),
            ("combine", *({"combine": way, "of": [limit("100.00"), limit("190.00")]} for way in ("any", "all"))),
            ("of", *({"combine": "any", "of": [limit(low), limit("190.00")]} for low in ("100.00", "180.00"))),
            ("at_least", *({"at_least": n, "of": [limit("100.00"), limit("190.00")]} for n in (1, 2))),
            ("not", *({"not": limit(amount)} for amount in ("100.00", "190.00"))),
            ("metric", limit("100.00"), limit("100.00", "year_avg")),
            ("currency", *(limit("100.00") | {"currency": name} for name in ("CNY", "USD"))),
            ("scope", limit("100.00"), limit("100.00") | {"scope": "few"}),
            ("months", *(limit("30.00", "month_avgs") | {"months": n, "mode": "mean"} for n in (2, 12))),
            ("mode", *(limit("40.00", "month_avgs") | {"mode": way, "months": 2} for way in ("mean", "each"))),
            ("minimum", limit("100.00"), limit("150.01")),
            *((sign, *({"metric": "aum", "scope": "all", sign: amount} for amount in ("149.99", "150.01")))
              for sign in ("above", "below", "at_most")),
            ("is", {"metric": "growing", "is": True}, {"metric": "growing", "is": False}),
        )
    ),
    Told("criterion.balance_at", WHEN, *(limit("100.00") | {"balance_at": at} for at in ("day_end", "day_start")),
         lived(held=posting(1, 15_000, "2024-01-31"))),
    Told("criterion.one_of", WHEN, *({"metric": "plan", "one_of": [text]} for text in ("a", "b")), lived(ON_PLAN_B),
         {"facts.plan": {"kind": "text", "values": ["a", "b"]}}),
    Told("criterion.accumulate", WHEN, {"metric": "loyalty", "accumulate": "year", "minimum": "2"},
         {"metric": "loyalty", "minimum": "2"}, lived(*(fact("C1", n, 1, JANUARY + 9 * n, name="loyalty") for n in (-1, 1))),
         {"facts.loyalty.kind": "count"}),
)  # fmt: skip

# For people and for the roles of the desk (docs/policies.md): shown as they are written, and no outcome rests on them.
TOLD: dict[str, Any] = {
    "basis": "R-1", "readings": ["C-01"], "owner": "retail", "edited_by": "outlet", "applies_to": "branch",
    "supersedes": ["an older one"], "notice_days": 5, "file_owner": "wealth-centre", "principles": ["fair"],
    "rollout": [{"month": 1, "name": NAME}],
    PERSONAL + "services": [{
        "id": "lounge", "name": NAME, "tiers": ["high"], "family": "priority", "launch": "2024-02-01", "price": "1.00",
        "cost": "0.50", "requires": ["consent"],
    }],
    PERSONAL + "contacts": [{"id": "call", "name": NAME, "tiers": ["mid"], "count": 1, "per": "month", "channels": ["phone"]}],
    PERSONAL + "responsibility": [{"tiers": ["mid"], "accountable": "rm", "may_act": ["teller"]}],
    PERSONAL + "portfolio": {"rm": 100},
    PERSONAL + "queue.order": "ratio", PERSONAL + "queue.overtakers_max": 3,
    PERSONAL + "queue.classes[0].calls_a_round": 2, PERSONAL + "queue.classes[1].calls_a_round": 1,
    PERSONAL + "tiers[1].bands": [{"id": "upper", "name": NAME, "when": limit("140.00")}],
    PERSONAL + "cases.escalation": {"hours": {"low": 8}, "opens": "08:30", "closes": "16:00"},  # the notifier's clock
    "facts.loyalty.name": NAME, "flows.pays.name": NAME, "measures.points.name": NAME,
}  # fmt: skip
NEVER = ("classes.overrides.kinds", "classes.potential.groups")  # the check says so of every pack that has them


def every_setting() -> Iterator[str]:
    """Each optional setting of the grammar, and each word of a criterion."""
    for name, kind in {**document.HEAD_REQUIRED, **document.HEAD_OPTIONAL}.items():
        yield from _settings(kind, name, optional=name in document.HEAD_OPTIONAL)
    for name, kind in {**document.CLASS_REQUIRED, **document.CLASS_OPTIONAL}.items():
        yield from _settings(kind, f"classes.{name}", optional=name in document.CLASS_OPTIONAL)
    defs: dict[str, Any] = {}
    criteria.CRITERION.schema(defs)
    words = {word for form in defs["criterion"]["oneOf"] for word in form["properties"]}
    yield from (f"criterion.{word}" for word in words)


def _settings(kind: Kind, path: str, *, optional: bool) -> Iterator[str]:
    if optional:
        yield path
    if isinstance(kind, grammar.RecordKind):
        for parts, may in ((kind.required, False), (kind.optional, True)):
            for name, part in parts.items():
                yield from _settings(part, f"{path}.{name}", optional=may)
    elif isinstance(kind, grammar.Many):
        within = kind.kind
        several = [sections.ALERT, *sections.FORESEEN.values()] if isinstance(within, sections.AlertKind) else []
        for one in several:
            yield from _settings(one, f"{path}[{one.title}]", optional=False)
        if not several:
            yield from _settings(within, f"{path}[]", optional=False)
    elif isinstance(kind, grammar.Table):
        yield from _settings(kind.kind, f"{path}.*", optional=False)
    elif isinstance(kind, sections.TiersKind):
        yield from _settings(sections.TIER, f"{path}[]", optional=False)


def for_people(setting: str) -> bool:
    """Whether a setting is one of TOLD, or a part of one."""
    plain = [re.sub(r"\[\d+\]", "[]", path).replace(".personal", "") for path in TOLD]
    plain = [re.sub(r"\.(loyalty|pays|points)\b", ".*", path) for path in plain]
    return any(setting == path or setting.startswith((f"{path}.", f"{path}[")) for path in plain)
