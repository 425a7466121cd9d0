"""Records of crm-actions as the acts that the lifecycle takes (policies.lifecycle.acts)."""

from __future__ import annotations

from typing import Any

from agents.standing.decide.lifecycle.decider import LifecycleDecider
from policies.lifecycle.acts import HANDLERS
from policies.lifecycle.state import Act
from streams.accounts.ledger import Ledger
from streams.accounts.store import ID_BYTES_MAX
from streams.calendar import DAY_MAX, DAY_MIN, DAY_MS, business_day
from streams.fields import BAD_DATE, BAD_ID, BAD_INSTANT, OK, TOO_LONG

DETAILS_BYTES_MAX = 64 << 10  # some of it is kept, in JSON
_NOTE = "note"  # kept for people; nothing to decide
_UNKNOWN = "unknown_action"


def take_action(record: dict[str, Any], ledger: Ledger, lifecycle: LifecycleDecider) -> tuple[int, str]:
    """Takes a record: (OK or why not, the field at fault or "")."""
    for name in ("customer_id", "event_id"):
        if not 0 < len(record[name].encode()) <= ID_BYTES_MAX:
            return BAD_ID, name
    if not DAY_MIN * DAY_MS <= record["at"] < DAY_MAX * DAY_MS:
        return BAD_INSTANT, "at"
    if record["expires_on"] is not None and not DAY_MIN <= record["expires_on"] < DAY_MAX:
        return BAD_DATE, "expires_on"
    if record["action"] == _NOTE:
        return OK, ""
    for name in ("requested_by", "approved_by"):
        if len((record[name] or "").encode()) > ID_BYTES_MAX:
            return BAD_ID, name
    if sum(len(text.encode()) for pair in record["details"].items() for text in pair) > DETAILS_BYTES_MAX:
        return TOO_LONG, "details"
    what = Act.of(record, int(business_day(record["at"], ledger.zone.starts, ledger.zone.offsets)))
    slot = ledger.customer(record["customer_id"])
    if what.action in HANDLERS:
        lifecycle.act(slot, what)
    else:
        lifecycle.refuse(slot, what, _UNKNOWN)
    return OK, ""
