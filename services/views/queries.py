"""Reads the view: alerts by manager, branch or customer, and a customer's standing.

Who may see them is for the caller to ask (services.access.decision) before anything is shown.
"""

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from schemas.codec.records import decode_one
from schemas.nulls import with_nulls
from services.views.keys import as_bytes
from services.views.projections import iso_day
from streams.vocabulary.terms import OUTFLOW

if TYPE_CHECKING:
    from redis import Redis

    from schemas.registry import Registry
    from services.views.keys import Keys

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert's newest state; amounts in minor units of the base currency, shares in basis points."""

    alert_id: str
    customer_id: str
    rule: str
    severity: str
    status: str
    window_days: int | None  # None, as of what follows, where the outlook raised it
    outflow_minor: int | None
    reference_aum_minor: int
    share_bp: int | None
    tier: str
    branch: str
    rm_id: str | None
    raised_day: str  # ISO
    kind: str = OUTFLOW
    next_close: str | None = None  # ISO; this and what follows where the outlook raised it
    projected_tier: str | None = None
    next_tier: str | None = None
    to_hold_minor: int | None = None
    lost_close: str | None = None  # ISO
    attention: str | None = None  # of a case: waiting, acknowledged, snoozed or ended; this and what follows
    told_step: str | None = None  # the step that an act on it names
    snoozed_until: str | None = None  # ISO
    due_day: str | None = None  # ISO, of what comes
    amount_minor: int | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> "AlertRow":
        """From a record of rm-alerts."""
        plain = {name: record[name] for name in cls.__dataclass_fields__}
        days = {
            name: iso_day(record[name]) or None for name in ("next_close", "lost_close", "snoozed_until", "due_day")
        }
        return cls(**(plain | days | {"raised_day": iso_day(record["raised_day"])}))

    def plain(self) -> dict[str, Any]:
        """As a dict, for JSON."""
        return asdict(self)


def is_built(client: "Redis", keys: "Keys") -> bool:
    """Whether a view was ever begun here: without one, nothing found says nothing."""
    return bool(client.exists(keys.meta))


def reference_key_of(client: "Redis", keys: "Keys") -> str | None:
    """Fingerprint of the reference key of the log that the view is of; None where its writer didn't know."""
    found = client.hget(keys.world, "reference_key")
    return as_bytes(found).decode() if found else None


def alerts_of(client: "Redis", keys: "Keys", registry: "Registry", by: str, name: str, limit: int) -> list[AlertRow]:
    """Newest alerts of a `customer`, `rm` or `branch` (`by`), newest day first; one that can't be read is left out."""
    members = client.zrevrange(keys.alerts(by, name), 0, limit - 1)
    with client.pipeline(transaction=False) as pipeline:
        for member in members:
            pipeline.hget(keys.alert(as_bytes(member).decode()), "record")
        values = pipeline.execute()
    rows = []
    for member, value in zip(members, values, strict=True):
        try:
            if value is not None:
                rows.append(AlertRow.of(with_nulls("rm-alerts", decode_one(value, registry, name="rm-alerts"))))
        except ValueError as problem:
            log.warning("alert %s of the view can't be read: %s", as_bytes(member).decode(), problem)
    owner = {"customer": "customer_id", "rm": "rm_id", "branch": "branch"}[by]
    return [row for row in rows if getattr(row, owner) == name]  # a list may be behind the alert itself


def case_record(client: "Redis", keys: "Keys", registry: "Registry", case_id: str) -> dict[str, Any] | None:
    """The newest step of a case or alert, as it stands on rm-alerts; None if there is none. RecordError if it can't be read."""
    value = client.hget(keys.alert(case_id), "record")
    if value is None:
        return None
    return with_nulls("rm-alerts", decode_one(as_bytes(value), registry, name="rm-alerts"))


def standing_of(client: "Redis", keys: "Keys", registry: "Registry", customer_id: str) -> dict[str, Any] | None:
    """The newest standing of a customer, None if there is none; null for what is not known. RecordError if it can't be read."""
    value = client.hget(keys.standing(customer_id), "record")
    return None if value is None else with_nulls("standings", decode_one(as_bytes(value), registry, name="standings"))
