"""The record of decisions: who asked for what about whom, and what he was told. Kept before anything is shown or done.

One interface, `AuditTrail`: on the topic `audit-log`, or in a file of this machine with the same fields. Whoever can't keep a
record does nothing: that is what both raise for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4
from zlib import crc32

from deploy.private import FILE_MODE, private_folder
from services.access.decision import AccessDecision, Action, Actor, Resource

AUDIT_FILE: Final = "audit.ndjson"
ABOUT_CHARS_MAX: Final = 200
"""Of what a decision was about; the rest is cut."""

AUDIT_LOG: Final = "audit-log"
CHAINS: Final = 64
"""Into which the records of actors are spread; those of one actor stay in their order."""

UNNUMBERED: Final = 0
"""In place of a number in the chain, which counts from 1."""


class AuditTrail(Protocol):
    """Where decisions are recorded."""

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = "",
        request_id: str = "",
    ) -> None:  # fmt: skip
        """Keep a decision. OSError where it can't be kept: then nothing is shown or done.

        about: which customer, list or record. request_id: of the request that asked, where there is one.
        """


def _now() -> datetime:
    return datetime.now(UTC)


def audit_entry(
    actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str, request_id: str
) -> dict[str, Any]:
    """What both keep of a decision; the instant is theirs."""
    asked = {"request_id": request_id} if request_id else {}
    return {
        "at": "",
        "actor": actor.actor_id,
        "action": str(action),
        "resource": f"{resource.kind} of {about[:ABOUT_CHARS_MAX]}" if about else str(resource.kind),
        "outcome": "allowed" if decision.allowed else "denied",
        "reason": decision.reason,
        "details": {"role": str(actor.role), "unit": "/".join(actor.unit)} | asked,
    }


class AuditTopic:
    """A record a decision on `audit-log`, on the brokers' disks before anything else happens.

    Its number and hash are for whoever chains a partition's records: until then they say nothing. write: (chain, record), which
    returns when it is kept.
    """

    def __init__(self, write: Callable[[str, dict[str, Any]], None], now_ms: Callable[[], int]) -> None:
        self.write, self.now_ms = write, now_ms

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = "",
        request_id: str = "",
    ) -> None:  # fmt: skip
        """As AuditTrail says."""
        chain = f"{crc32(actor.actor_id.encode()) % CHAINS}"
        entry = audit_entry(actor, action, resource, decision, about, request_id)
        head = {"event_id": uuid4().hex, "chain": chain, "seq": UNNUMBERED, "previous_hash": "", "hash": ""}
        self.write(chain, head | entry | {"at": self.now_ms()})


class AuditFile:
    """One line of JSON a decision, behind those before it. Several processes may write; whoever rotates it may move it."""

    def __init__(self, path: Path, now: Callable[[], datetime] = _now) -> None:
        self.path, self.now = path, now

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = "",
        request_id: str = "",
    ) -> None:  # fmt: skip
        """As AuditTrail says."""
        entry = audit_entry(actor, action, resource, decision, about, request_id)
        entry |= {"at": self.now().isoformat(timespec="milliseconds")}
        private_folder(self.path.parent, ours=False)
        place = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        with os.fdopen(place, "wb") as file:
            file.write(f"{json.dumps(entry)}\n".encode())
