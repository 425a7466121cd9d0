"""Whether who looks may see it: asked before anything is looked up, and on record before anything is shown."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.access.decision import Action, Actor, DataKind, Resource, decide_access, unit_of
from services.readmodel.reader import units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.access.audit import AuditTrail

LISTED_KINDS: Final = (DataKind.BALANCES, DataKind.ALERTS)
EXPORT_KINDS: Final = (DataKind.BALANCES, DataKind.TIER, DataKind.ALERTS)
BRANCH_KINDS: Final = (DataKind.BRANCHES, DataKind.BALANCES, DataKind.ALERTS)
FILE_KINDS: Final = (DataKind.BALANCES, DataKind.ALERTS, DataKind.DECISIONS)


class NotSeenError(Exception):
    """He may not, or there is no such thing: nobody learns which."""


@dataclass(frozen=True, slots=True)
class DeskRights:
    """Decides, and keeps the record. Its functions wait for the record: NotWrittenError (an OSError) where it can't be kept."""

    trail: AuditTrail

    def lists(
        self, actor: Actor, about: str, kinds: Sequence[DataKind] = LISTED_KINDS, action: Action = Action.READ
    ) -> list[str]:
        """The units whose customers a list shows him. NotSeenError where there is none."""
        readable = units_of(actor, kinds[0])
        units = [unit for unit in readable if self._all(actor, action, kinds, unit_of(unit), f"{about} of {unit}")]
        if not readable:
            self._all(actor, action, kinds[:1], actor.unit, about)
        if not units:
            raise NotSeenError
        return units

    @staticmethod
    def may_export(actor: Actor) -> bool:
        """Whether it makes sense to offer him an export of his unit: it is decided, and on record, when he asks for it."""
        return all(decide_access(actor, Action.EXPORT, Resource(kind, actor.unit)).allowed for kind in EXPORT_KINDS)

    def file(self, actor: Actor, unit: str | None, about: str, kinds: Sequence[DataKind] = FILE_KINDS) -> None:
        """Let him see a customer of a unit; None: of nobody whom he may see. NotSeenError."""
        if not self._all(actor, Action.READ, kinds, None if unit is None else unit_of(unit), about):
            raise NotSeenError

    def _all(
        self, actor: Actor, action: Action, kinds: Sequence[DataKind], unit: tuple[str, ...] | None, about: str
    ) -> bool:  # fmt: skip
        """Whether he may, for every kind; the first refusal ends it, since nothing is shown then."""
        request_id = uuid.uuid4().hex
        for kind in kinds:
            resource = Resource(kind, unit)
            decision = decide_access(actor, action, resource)
            self.trail.record(actor, action, resource, decision, about, request_id)
            if not decision.allowed:
                return False
        return True
