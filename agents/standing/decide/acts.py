"""Records of crm-actions: acts that the lifecycle takes (policies.lifecycle.acts), and acts on cases (streams.alerts.acts)."""

from __future__ import annotations

from typing import Any

from agents.standing.decide.cases.outflow import OutflowCases
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from policies.lifecycle.acts import HANDLERS
from policies.lifecycle.state import Act
from schemas.validation.columns import details_fault
from streams.accounts.ledger import Ledger
from streams.alerts.acts import STEPS_OF_ACTS, CaseAct
from streams.calendar import business_day
from streams.fields import OK

_NOTE = "note"  # kept for people; nothing to decide


def take_action(
    record: dict[str, Any], ledger: Ledger, lifecycle: LifecycleDecider, cases: OutflowCases
) -> tuple[int, str]:
    """Takes a record: (OK or why not, the field at fault or "")."""
    if (bad := details_fault(record["details"])) != OK:
        return bad, "details"
    if record["action"] == _NOTE:
        return OK, ""
    what = Act.of(record, int(business_day(record["at"], ledger.zone.starts, ledger.zone.offsets)))
    slot = ledger.customer(record["customer_id"])
    if what.action in STEPS_OF_ACTS:
        cases.look()  # an act is judged by what was told when it came
        act = CaseAct(what.action, what.day, what.requested_by, what.expires_on, what.details, what.event_id)
        if code := cases.desk.take(slot, act):
            lifecycle.refuse(slot, what, code)
    elif what.action in HANDLERS:
        lifecycle.act(slot, what)
    else:
        lifecycle.unknown(slot, what)
    return OK, ""
