"""Records of crm-actions: acts that the lifecycle takes (policies.lifecycle.acts), and acts on cases (streams.alerts.acts).

Whoever sent a command, which is an act with a request id, is answered on command-results, once, in the transaction of its effect.
"""

from __future__ import annotations

from typing import Any, Final

from agents.standing.decide.cases.outflow import OutflowCases
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.publish.publisher import OutputPublisher
from policies.lifecycle.acts import HANDLERS
from policies.lifecycle.state import Act
from schemas.validation.columns import details_fault
from streams.accounts.ledger import Ledger
from streams.alerts.acts import STEPS_OF_ACTS, CaseAct
from streams.calendar import business_day
from streams.fields import OK

_NOTE: Final = "note"  # kept for people; nothing to decide
APPLIED: Final = "applied"
REFUSED: Final = "refused"
_RESULTS: Final = "command-results"
_UNKNOWN = "unknown_action"


class ActDesk:
    """Takes the acts of a partition. stamped_from: the day from which they have a stamp; None: they may lack one."""

    def __init__(
        self, ledger: Ledger, lifecycle: LifecycleDecider, cases: OutflowCases, publisher: OutputPublisher,
        stamped_from: int | None,
    ) -> None:  # fmt: skip
        self.ledger, self.lifecycle, self.cases, self.publisher = ledger, lifecycle, cases, publisher
        self.stamped_from = stamped_from

    def take(self, record: dict[str, Any]) -> tuple[int, str]:
        """Takes a record: (OK or why not, the field at fault or "")."""
        if (bad := details_fault(record["details"])) != OK:
            return bad, "details"
        what = Act.of(record, int(business_day(record["at"], self.ledger.zone.starts, self.ledger.zone.offsets)))
        code, asked = self._refusal(record, what), record["request_id"] is not None
        if what.action == _NOTE and not code and not asked:
            return OK, ""
        slot = self.ledger.customer(record["customer_id"])
        if code or what.action not in STEPS_OF_ACTS.keys() | HANDLERS.keys() | {_NOTE}:
            code = self.lifecycle.turn_away(slot, what, code or _UNKNOWN)
        elif what.action == _NOTE:
            code = "" if self.cases.desk.is_new(slot, what.event_id) else None
        elif what.action in STEPS_OF_ACTS:
            code = self._on_case(slot, what)
        else:
            code = self.lifecycle.act(slot, what)
        if asked and code is not None:
            self._answer(record, what, code)
        return OK, ""

    def _refusal(self, record: dict[str, Any], what: Act) -> str | None:
        """Why nobody looks at it. Its day says nothing: whoever can write here can write any."""
        if what.role is not None:
            return None if record["approved_by"] is None else "approves_himself"
        since = self.stamped_from
        return "not_stamped" if since is not None and self.ledger.closed >= since - 1 else None

    def _on_case(self, slot: int, what: Act) -> str | None:
        self.cases.look()  # an act is judged by what was told when it came
        stamp = {} if what.role is None else {"role": what.role}
        act = CaseAct(
            what.action, what.day, what.requested_by, what.expires_on, {**what.details, **stamp}, what.event_id
        )
        if code := self.cases.desk.take(slot, act):
            self.lifecycle.refuse(slot, what, code)
        return code

    def _answer(self, record: dict[str, Any], what: Act, code: str) -> None:
        customer_id, command_id = record["customer_id"], what.event_id
        result = {
            "event_id": f"{customer_id}/result/{command_id}", "customer_id": customer_id, "command_id": command_id,
            "request_id": record["request_id"], "action": what.action, "outcome": REFUSED if code else APPLIED,
            "reason": code or None, "day": what.day,
        }  # fmt: skip
        self.publisher.put(_RESULTS, customer_id, result)
