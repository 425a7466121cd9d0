"""The other kinds of alerts on the labelled bank, by a pack that has a rule of each."""

from __future__ import annotations

from datetime import date

import pytest
import yaml

from agents.standing.model import StandingConf
from connectors.formats.events import events_only
from connectors.labelled import WAYS, LabelledBank
from connectors.labelled.occasions import MATURES_ON
from policies import load_pack, parse_pack
from policies.model.pack import Pack
from schemas.registry import file_registry
from streams.calendar import day_of
from streams.vocabulary.terms import ALERT_KINDS, OUTFLOW
from tidegauge.evaluation.run import WorldFiles, steps_under
from tidegauge.evaluation.score import LabelledWorld, score

ZONE, START, MONTHS = "Asia/Shanghai", day_of(date(2026, 1, 1)), 8
KINDS = [kind for kind in ALERT_KINDS if kind != OUTFLOW]
TIERS = ("gold", "platinum", "diamond", "private")


def rule(of: str, **settings: object) -> dict[str, object]:
    return {"id": of.replace("_", "-"), "name": {"zh": "名", "en": "Name"}, "severity": "low", **settings}


def packs() -> list[Pack]:
    """rolling-quarter-aum with rules of the kinds that outlooks raise, and with cards, reviews and rules of the others."""
    near, risk = dict.fromkeys(("ordinary", *TIERS[:-1]), 500), dict.fromkeys(TIERS, 45)
    outlook = [
        rule("upgrade_near", outlook="upgrade_near", cool_down_days=30, basis_points=near),
        rule("downgrade_risk", outlook="downgrade_risk", cool_down_days=30, within_days=risk),
    ]
    closes = [
        *(rule(kind, kind=kind) for kind in ("card_expiry", "review_due")),
        rule("break", kind="break", at_least="1000.00"),
        rule("large_inflow", kind="large_inflow", at_least="10000.00", basis_points=2_000),
        rule("product_maturing", kind="product_maturing", fact=MATURES_ON, days_ahead=10),
    ]
    return [pack_with(outlook), pack_with(closes, cards={"valid_months": 4, "reminder_days": 20},
                                          review={"months": 6, "reminder_days": 20})]  # fmt: skip


def pack_with(rules: list[dict[str, object]], cards: dict[str, int] | None = None, **parts: object) -> Pack:
    body = yaml.safe_load(load_pack("rolling-quarter-aum").body)
    body["facts"] = {MATURES_ON: {"kind": "count"}}
    personal = body["classes"]["personal"]
    personal["cards"] |= cards or {}
    personal |= {"alerts": rules, **parts}
    del personal["cases"]
    return parse_pack(yaml.safe_dump(body, allow_unicode=True))


@pytest.mark.slow
def test_every_kind_is_told_where_its_label_says_so() -> None:
    """Who is labelled with a kind has an alert of it on the days of his label."""
    bank = LabelledBank(3, 2 * len(WAYS), MONTHS, START, ZONE)
    events = list(events_only(bank.days()))
    days = range(START, day_of(date(2026, 9, 1)))
    booked = {e.record["event_id"]: e.record["booked_at"] for e in events if e.topic == "transactions"}
    world = LabelledWorld(bank.labels(), [], days, {}, ZONE)
    confs = [StandingConf("CNY", ZONE, pack, b"a key of the tests", file_registry(contracts=2)) for pack in packs()]
    one, other = steps_under(confs, WorldFiles(world, events, booked), 120)
    found = score(world, [*one, *other]).occasions
    assert found.keys() == set(KINDS)
    assert {kind: one.found for kind, one in found.items()} == {kind: one.labelled for kind, one in found.items()}
    assert all(one.labelled for one in found.values())
    assert {step.kind for step in one} == {"upgrade_near", "downgrade_risk"}
