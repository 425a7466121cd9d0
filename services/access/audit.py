"""The record of decisions: who asked for what about whom, and what he was told. Kept before anything is shown.

One interface, `AuditTrail`; what implements it here is a file of this machine, with the fields of the contract `audit-log`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from deploy.private import FILE_MODE, private_folder
from services.access.decision import AccessDecision, Action, Actor, Resource

AUDIT_FILE: Final = "audit.ndjson"
ABOUT_CHARS_MAX: Final = 200
"""Of what a decision was about; the rest is cut."""


class AuditTrail(Protocol):
    """Where decisions are recorded."""

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = ""
    ) -> None:
        """Keep a decision. `about`: which customer, list or record. OSError where it can't be kept: then nothing is shown."""


def _now() -> datetime:
    return datetime.now(UTC)


class AuditFile:
    """One line of JSON a decision, behind those before it. Several processes may write; whoever rotates it may move it."""

    def __init__(self, path: Path, now: Callable[[], datetime] = _now) -> None:
        self.path, self.now = path, now

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = ""
    ) -> None:
        """As AuditTrail says."""
        entry = {
            "at": self.now().isoformat(timespec="milliseconds"),
            "actor": actor.actor_id,
            "action": str(action),
            "resource": f"{resource.kind} of {about[:ABOUT_CHARS_MAX]}" if about else str(resource.kind),
            "outcome": "allowed" if decision.allowed else "denied",
            "reason": decision.reason,
            "details": {"role": str(actor.role), "unit": "/".join(actor.unit)},
        }
        private_folder(self.path.parent, ours=False)
        place = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        with os.fdopen(place, "wb") as file:
            file.write(f"{json.dumps(entry)}\n".encode())
