"""The packs of a simulated bank: the job's settings, with cases and facts, and the version that is activated mid-run."""

from __future__ import annotations

import datetime as dt
import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

from agents.standing.model import StandingConf
from policies import load_pack, parse_pack
from policies.model.pack import Pack
from schemas.registry import file_registry
from tests.examples.cases import pack_of
from tests.standing.partition import conf
from tests.twins.case_terms import SlowRule, SlowScheme

Body = dict[str, Any]
TIERS = ("ordinary", "gold", "platinum", "diamond", "private")
RULES = (
    SlowRule("single", 0, "high", absolute=dict.fromkeys(TIERS, 5_000_000)),
    SlowRule("week", 7, "medium", share_bp=dict.fromkeys(TIERS, 2_500), floor=500_000, cool_down=7),
    SlowRule("quarter", 90, "low", share_bp=dict.fromkeys(TIERS, 2_000), floor=500_000, cool_down=20),
)
POINTS, MATURES_ON = "points", "matures_on"  # facts of the packs' own: a number, and a day
MATURING = {
    "id": "maturing", "name": {"zh": "到期", "en": "Maturing"}, "severity": "low", "kind": "product_maturing",
    "fact": MATURES_ON, "days_ahead": 10,
}  # fmt: skip
POINTS_OF_GOLD = 80
FLOWS = {
    "paid_in": {"direction": "in"}, "spent": {"direction": "out", "value": "count", "natures": ["external", "unknown"]},
}  # fmt: skip


@cache
def parsed(text: str, name: str = "pack", *, taken: bool = False) -> Pack:
    """Shared by the jobs of all runs: reading a pack takes as long as a small run, and it holds nothing of a run."""
    return parse_pack(text, name, taken=taken)


@cache
def _body(*, continuous: bool) -> Body:
    body: Body = json.loads(pack_of(SlowScheme(RULES)).body)
    personal = body["classes"]["personal"]
    body["facts"] = {name: {"kind": "count"} for name in (POINTS, MATURES_ON)}
    body["flows"] = FLOWS
    personal["alerts"].append(MATURING)
    personal["potential"] = {"when": {"metric": POINTS, "minimum": "50"}}
    if continuous:
        personal["evaluation"] |= dict.fromkeys(("close", "upgrades", "downgrades"), "continuous")
        for tier in personal["tiers"][1:]:
            tier["when"]["metric"] = "aum"
        gold = personal["tiers"][1]
        gold["when"] = {"any": [gold["when"], {"metric": POINTS, "minimum": str(POINTS_OF_GOLD)}]}
    return body


@cache
def simulated(partitions: int, *, continuous: bool = False) -> StandingConf:
    """The settings of the job: with cases, and the contracts that their steps need; owners of accounts are told.

    continuous: tiers move between closes, by the AUM of the day and by a fact.
    """
    care = load_pack("layered-care").body.replace("{close: month}", "{close: day, grace_months: 1}")
    return replace(
        conf(), layers=parsed(care), partitions=partitions, pack=parsed(json.dumps(_body(continuous=continuous))),
        registry=file_registry(contracts=2), claims=True,
    )  # fmt: skip


@cache
def later_version(first: dt.date, *, continuous: bool) -> str:
    """The text of a version in force from a day on: more is asked for gold, less for the flag. Cases and metrics stay."""
    body = deepcopy(_body(continuous=continuous))
    body["version"] += 1
    body["effective_from"] = first.isoformat()
    personal = body["classes"]["personal"]
    gold = personal["tiers"][1]["when"]
    (gold["any"][0] if continuous else gold)["minimum"] = "300000.00"
    personal["potential"]["when"]["minimum"] = "20"
    body["flows"]["fees"] = {"direction": "out", "natures": ["fee"]}  # known from the middle of the log on
    for queue_class in personal["queue"]["classes"]:
        queue_class["head_start_minutes"] += 5
    return json.dumps(body, default=str)
