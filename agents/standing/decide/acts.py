"""Records of crm-actions as the acts that the lifecycle takes (policies.lifecycle.acts)."""

from __future__ import annotations

from typing import Any

from agents.standing.decide.lifecycle.decider import LifecycleDecider
from policies.lifecycle.acts import HANDLERS
from policies.lifecycle.state import Act
from schemas.validation.columns import details_fault
from streams.accounts.ledger import Ledger
from streams.calendar import business_day
from streams.fields import OK

_NOTE = "note"  # kept for people; nothing to decide
_UNKNOWN = "unknown_action"


def take_action(record: dict[str, Any], ledger: Ledger, lifecycle: LifecycleDecider) -> tuple[int, str]:
    """Takes a record: (OK or why not, the field at fault or "")."""
    if (bad := details_fault(record["details"])) != OK:
        return bad, "details"
    if record["action"] == _NOTE:
        return OK, ""
    what = Act.of(record, int(business_day(record["at"], ledger.zone.starts, ledger.zone.offsets)))
    slot = ledger.customer(record["customer_id"])
    if what.action in HANDLERS:
        lifecycle.act(slot, what)
    elif lifecycle.columns.take_act(slot, what.event_id):
        lifecycle.refuse(slot, what, _UNKNOWN)
    return OK, ""
