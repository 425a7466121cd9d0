"""Alert cases in the worker's standing job: a pack made of rules of the slow twin, and what the job tells step by step."""

from __future__ import annotations

import json
from collections import defaultdict
from copy import deepcopy
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from agents.engine.record_batches import flat
from agents.offline.memory_log import MemoryLog
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import load_pack
from policies.language.loader import parse_pack
from schemas.codec.records import decode_one, encode
from schemas.registry import file_registry
from schemas.topics import INPUTS
from tests.twins.case_terms import SlowAct, SlowRule, SlowScheme, SlowStep
from tests.twins.definitions import day_of
from tests.twins.events import instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policies.model.pack import Pack


def decimal(minor: int) -> str:
    """Minor units as a pack writes them."""
    return f"{minor // 100}.{minor % 100:02d}"


def rule_of(rule: SlowRule) -> dict[str, Any]:
    """A rule as a pack has it; a tier `any` stands for all."""
    given: dict[str, Any] = {
        "id": rule.id, "name": {"zh": rule.id, "en": rule.id}, "window_days": rule.window, "severity": rule.severity,
        "cool_down_days": rule.cool_down,
    }  # fmt: skip
    if rule.absolute:
        given["absolute"] = {tier: decimal(amount) for tier, amount in rule.absolute.items()}
    if rule.share_bp:
        given["share"] = {"basis_points": dict(rule.share_bp), "floor": decimal(rule.floor)}
    if rule.debits:
        given["drip"] = {"count": rule.debits, "each_at_most": decimal(rule.each_max or 0)}
    if rule.one_bank:
        given["to_one_bank"] = True
    elif rule.is_gross:
        given["measure"] = rule.measure
    return given


@cache
def _base() -> dict[str, Any]:
    return dict(yaml.safe_load(load_pack("rolling-quarter-aum").body))


def pack_of(scheme: SlowScheme, minimums: Sequence[str] = ()) -> Pack:
    """rolling-quarter-aum with the scheme's cases in place of its alerts.

    With `minimums`, of the tiers but the lowest, each close decides by what is held.
    """
    body = deepcopy(_base())
    personal = body["classes"]["personal"]
    if minimums:
        personal["evaluation"] = {"close": "day", "upgrades": "day", "downgrades": "day", "restatement": "record_only"}
        for tier, minimum in zip(personal["tiers"][1:], minimums, strict=True):
            tier["when"] = {"metric": "assets", "scope": "aum", "minimum": minimum}
    personal["alerts"] = [rule_of(rule) for rule in scheme.rules]
    personal["cases"] = {
        "return_days": scheme.return_days, "settle_days": scheme.settle_days, "settle_minutes": scheme.settle_minutes,
    }  # fmt: skip
    for name in ("own_banks", "internal_banks"):
        if banks := sorted(getattr(scheme, name)):
            personal["cases"][name] = banks
    return parse_pack(json.dumps(body, default=str, ensure_ascii=False))  # JSON is YAML, and is written in no time


def conf_of(scheme: SlowScheme, minimums: Sequence[str] = ()) -> StandingConf:
    """CNY, Shanghai, the pack of a scheme, contracts of the second set."""
    pack = pack_of(scheme, minimums)
    return StandingConf("CNY", "Asia/Shanghai", pack, b"a key of the tests", file_registry(contracts=2))


class JobCases:
    """One partition fed event by event, or block by block. `steps` are the steps as the twin words them."""

    def __init__(self, scheme: SlowScheme, minimums: Sequence[str] = ()) -> None:
        self.scheme = scheme
        self.job = StandingJob(conf_of(scheme, minimums))
        self.tiers: dict[str, list[tuple[int, str]]] = defaultdict(list)  # by customer: since when which, oldest first
        self.job.begin(0, dict.fromkeys(INPUTS, 0))
        self.log = MemoryLog(lambda topic, record: encode(topic, dict(record)))
        self.steps: list[SlowStep] = []
        self.records: list[dict[str, Any]] = []
        self.refused: list[str] = []  # codes of acts, as they came
        self.cases: dict[str, list[str]] = defaultdict(list)  # ids by customer
        self.told: dict[str, list[str]] = defaultdict(list)  # steps that acts may name

    def feed(self, steps: Any) -> JobCases:
        """Events and closed days, in order, each in a transaction of its own."""
        for step in steps:
            self.tell(step)
            self.work()
        return self

    def tell(self, step: Mapping[str, Any] | int) -> None:
        """Writes an event, or the close of a day, into the log."""
        if isinstance(step, int):
            self.log.close(step)
        else:
            self.log.record(step["topic"], {name: value for name, value in step.items() if name != "topic"})

    def act(self, act: SlowAct) -> str:
        """Writes an act, does what there is to do, and gives why it is refused, if it is."""
        before = len(self.refused)
        self.tell(act_record(act, self.cases[act.customer], self.told[act.customer]))
        self.work()
        return "".join(self.refused[before:])

    def work(self) -> None:
        """Everything written since the last time, in one transaction."""
        for block in self.log.blocks():
            self.job.feed(block)
        self.take(self.job.work(live=True).outputs)

    def take(self, outputs: Any) -> None:
        """Notes the steps among outputs."""
        for topic, pairs in outputs:
            for _, value in flat(pairs) if topic in ("rm-alerts", "decisions", "tier-changes") else ():
                self._note(topic, decode_one(value))

    def _note(self, topic: str, record: dict[str, Any]) -> None:
        if topic == "decisions":
            self.refused += [record["reason"]] if record["kind"] == "refused" else []
            return
        if topic == "tier-changes":
            self.tiers[record["customer_id"]].append((_day(record["effective_date"]), record["to_tier"]))
            return
        self.records.append(record)
        self.steps.append(_step(record))
        if record["status"] == "raised":
            self.cases[record["customer_id"]].append(record["alert_id"])
        if record["status"] in ("raised", "deepened"):
            self.told[record["customer_id"]].append(record["event_id"])

    def highest_tier(self, customer: str, first: int, last: int) -> str:
        """The highest tier in force on a day of [first, last], of the last three that have been published."""
        highest, until = 0, last
        for since, tier in reversed(self.tiers[customer][-3:]):
            if since <= last and until >= first:
                highest = max(highest, self.scheme.tiers.index(tier))
            until = min(until, since - 1)
        return self.scheme.tiers[highest]

    def open_cases(self) -> dict[str, dict[str, Any]]:
        """The cases that stand as told."""
        return self.job.decider.cases.open_cases()


def act_record(act: SlowAct, cases: Sequence[str], told: Sequence[str]) -> dict[str, Any]:
    """An act of the twin as a record of crm-actions: at noon of its day."""
    named = {
        "case": cases[act.case] if 0 <= act.case < len(cases) else "none",
        "step": told[act.step] if 0 <= act.step < len(told) else "none",
    }
    return {
        "topic": "crm-actions", "event_id": act.event_id, "customer_id": act.customer, "action": act.action,
        "requested_by": act.by, "approved_by": None, "at": instant(act.day, "12:00:00"), "expires_on": act.until,
        "details": {**named, "role": act.role, **act.details},
    }  # fmt: skip


def _day(value: Any) -> int:
    return value if isinstance(value, int) else day_of(value)


def _step(record: dict[str, Any]) -> SlowStep:
    return SlowStep(
        record["customer_id"], record["status"], record["provisional"], 0, _day(record["raised_day"]),
        record["severity"], record["outflow_minor"], record["gross_minor"], record["reference_aum_minor"],
        tuple(record["rules"]), "", record["attention"], record["rm_id"],
    )  # fmt: skip


KNOWN_TO_BOTH = tuple(one.name for one in fields(SlowStep) if one.name not in ("day", "caused_by"))


def plain(step: SlowStep) -> dict[str, Any]:
    """What both know of a step."""
    return {name: getattr(step, name) for name in KNOWN_TO_BOTH}
