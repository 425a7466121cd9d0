"""Life of an outflow alert: raised once, deepened when it grows, quiet in between (docs/alerts.md#life-of-an-alert)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

RAISED, DEEPENED = "raised", "deepened"
DEEPEN_RATIO_BP = 15_000  # an alert deepens when the outflow is one and a half times what it was last told
ONE_BP = 10_000
ALERTS_MAX = 64  # remembered a customer, one a rule


class Alert(NamedTuple):
    """The last alert of a rule for a customer: its id, the booking day it was raised for, and the outflow last told."""

    alert_id: str
    day: int
    outflow: int


class AlertEvent(NamedTuple):
    """What happens to an alert."""

    alert: Alert
    status: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A rule met by an event. `alert_id` is opaque, as it leaves the bank with notices, and the same in every replay."""

    alert_id: str
    rule: str
    event_id: str
    customer_id: str
    day: int
    outflow: int
    cool_down_days: int


def react(last: Alert | None, cause: Cause) -> AlertEvent | None:
    """Raise, deepen or keep quiet. Within the cool-down an alert can only deepen; after it the rule is armed again."""
    if last is None or cause.day - last.day >= max(cause.cool_down_days, 1):
        return AlertEvent(Alert(cause.alert_id, cause.day, cause.outflow), RAISED)
    if cause.outflow * ONE_BP >= last.outflow * DEEPEN_RATIO_BP:
        return AlertEvent(last._replace(outflow=cause.outflow), DEEPENED)
    return None
