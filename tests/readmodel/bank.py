"""A small bank as its topics tell it: customers of two branches, a tier change, an outlook and two cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from services.readmodel.rows import RowChange, changes_of
from services.views.projections import TopicRecord
from streams.calendar import parse_day as day

WORLD: Final = {"cluster": "c1"}
AS_OF: Final = day("2026-03-31")
GOLD: Final = 10_000_000
FLOORS: Final = {"gold": GOLD, "platinum": 50_000_000, "diamond": 100_000_000}


def reference(customer_id: str) -> str:
    """An opaque reference of a customer."""
    digits = str.maketrans("0189", "abcd")
    return f"ref{customer_id.lower()}".translate(digits).ljust(26, "a")


def profile(customer_id: str, branch: str = "B01", rm_id: str | None = "RM-1") -> dict[str, Any]:
    return {
        "event_id": f"{customer_id}-profile", "customer_id": customer_id, "customer_class": "personal", "branch": branch,
        "rm_id": rm_id, "relationship_since": day("2019-05-01"), "birth_date": None, "card_held": None,
    }  # fmt: skip


def standing(customer_id: str, aum: int | None = 60_000_000, tier: str = "gold", **more: Any) -> dict[str, Any]:
    months = [None if aum is None else aum - 2_000_000 * back for back in range(13)]
    return {
        "customer_id": customer_id, "customer_ref": reference(customer_id), "as_of": AS_OF, "customer_class": "personal",
        "pack_id": "rolling-quarter-aum", "pack_version": 2, "tier": tier, "tier_effective": day("2026-01-01"),
        "aum_minor": aum, "month_avgs_minor": months, "quarter_avg_minor": aum, "year_avg_minor": aum,
        "trailing_avg_7_minor": aum, "trailing_avg_30_minor": aum, "trailing_avg_90_minor": aum,
        "month_to_date_avg_minor": aum, "currency": "CNY", "held_reason": None, "first_day": day("2019-05-01"),
        "source_seq": 7, "layer": None, "layer_effective": None, "layer_pack_id": None, "layer_pack_version": None,
        "flags": [], "week_avgs_minor": [], "held": [], **more,
    }  # fmt: skip


def outlook(customer_id: str, projected: str = "platinum", direction: str | None = "up", **more: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id, "customer_ref": reference(customer_id), "as_of": AS_OF, "customer_class": "personal",
        "pack_id": "rolling-quarter-aum", "pack_version": 2, "tier": "gold", "next_close": day("2026-04-30"),
        "projected_tier": projected, "direction": direction, "metric": "quarter_avg", "scope": "aum",
        "projected_minor": 58_000_000, "aum_minor": 60_000_000, "tiers": list(FLOORS), "thresholds_minor": list(FLOORS.values()),
        "to_hold_minor": [0, 0, 126_000_000], "lost_close": None, "lost_from": None, "currency": "CNY", "held_reason": None,
        "source_seq": 7, "held": [], **more,
    }  # fmt: skip


def tier_change(
    customer_id: str, before: str = "ordinary", after: str = "gold", on: str = "2026-01-01"
) -> dict[str, Any]:
    return {
        "event_id": f"{customer_id}/tier/{on}", "customer_id": customer_id, "customer_class": "personal", "from_tier": before,
        "to_tier": after, "direction": "up", "effective_date": day(on), "reason": "close",
        "metrics": [{
            "name": "quarter_avg", "scope": "aum", "period_from": day("2025-10-01"), "period_to": day("2025-12-31"),
            "value_minor": 12_345_678, "exact_numerator": "1", "exact_denominator": "1", "scale": None, "text": None,
        }],
        "thresholds": [{
            "tier": "gold", "metric": "quarter_avg", "minimum_minor": GOLD, "scope": "aum", "operator": "minimum",
            "currency": None, "rate_micro": None, "scale": None, "text": None,
        }],
        "pack_id": "rolling-quarter-aum", "pack_version": 2, "business_day": day("2025-12-31"), "cut": [], "caused_by": None,
        "corrects": None,
    }  # fmt: skip


def step(customer_id: str, case: str, status: str = "raised", **more: Any) -> dict[str, Any]:
    return {
        "alert_id": case, "event_id": f"{case}/{status}", "customer_id": customer_id, "rule": "outflow-single",
        "severity": "high", "status": status, "window_days": 0, "outflow_minor": 30_000_000, "reference_aum_minor": 90_000_000,
        "share_bp": 3333, "tier": "gold", "branch": "B01", "rm_id": "RM-1", "raised_day": AS_OF, "caused_by": "core-1",
        "counterparties": [{"bank": "Harbour Commercial Bank", "amount_minor": 30_000_000}], "pack_id": "rolling-quarter-aum",
        "pack_version": 2, "kind": "outflow", "next_close": None, "projected_tier": None, "next_tier": None,
        "to_hold_minor": None, "projected_minor": None, "lost_close": None, "lost_from": None, "provisional": False,
        "gross_minor": 30_000_000, "rules": ["outflow-single"], "start_day": AS_OF, "flow_since": None,
        "told_step": f"{case}/raised", "attention": "waiting", "snoozed_until": None, "level": 0, "acted_by": None,
        "outcome": None, "note": None, "due_day": None, "amount_minor": None, **more,
    }  # fmt: skip


RECORDS: Final = [
    ("customers", profile("C1")),
    ("customers", profile("C2", "B02", "RM-2")),
    ("customers", profile("C3", "B01/S1", None)),
    ("standings", standing("C1")),
    ("standings", standing("C2", 200_000_000, "diamond")),
    ("standings", standing("C3", None, "ordinary", held_reason="no exchange rate for aum")),
    ("outlooks", outlook("C1")),
    ("outlooks", outlook("C2", "platinum", "down", lost_close=day("2026-05-31"), lost_from=day("2026-06-01"))),
    ("tier-changes", tier_change("C1")),
    ("rm-alerts", step("C1", "case-1")),
    ("rm-alerts", step("C2", "case-2", branch="B02", rm_id="RM-2", severity="low")),
]
"""Records, in order."""


def changes(records: Iterable[tuple[str, dict[str, Any]]] = RECORDS, first: int = 0) -> list[RowChange]:
    """What they change."""
    found = []
    for offset, (topic, value) in enumerate(records, first):
        found += changes_of(TopicRecord(topic, 0, offset, value["customer_id"].encode(), b"-"), value)
    return found
