"""A notice that goes to its channel once more, because a person wants it to.

It says what it said. By itself it bears the id that it had, so who has had it drops it; only where it is asked for, it bears
another one, which follows from the notice and from how often it stands on `notices`: the same call again gives the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.notices.notifier import ID_CHARS, Channel, DeliveryError, DeliveryLedger, Notice, compose

REPEATED: Final = "resent: "
"""Before the reason, in `error` of the record."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What is to be sent once more. record: the last one of the notice; number: how many of it stand on the topic."""

    record: Mapping[str, Any]
    number: int
    notice: Notice


def repeat_of(record: Mapping[str, Any], number: int, alert: dict[str, Any], locale: str, *, anew: bool) -> Repeat:
    """The notice of a record of the topic, as it was; anew: under another id. ValueError for an alert that makes none."""
    composed = compose(b"", alert, record["channel"], locale)
    if composed is None:
        raise ValueError("nobody is told of its alert")
    said = {name: record[name] for name in ("recipient", "subject", "body")}
    notice_id = _id(record["notice_id"], "anew", number) if anew else record["notice_id"]
    return Repeat(record, number, replace(composed, notice_id=notice_id, **said))


async def deliver_again(
    repeat: Repeat, channel: Channel, ledger: DeliveryLedger, reason: str, now_ms: Callable[[], int]
) -> dict[str, Any]:
    """Hand it to its channel, and give the record that says what became of it; its attempts count on."""
    why = f"{REPEATED}{reason}"
    try:
        attempts, status = await channel.send(repeat.notice), "sent"
        await ledger.mark(repeat.record["notice_id"])
    except DeliveryError as problem:
        attempts, status, why = problem.attempts, "failed", f"{problem}; {why}"
    return {
        **repeat.record, "event_id": _id(repeat.record["notice_id"], status, repeat.number), "status": status,
        "attempts": repeat.record["attempts"] + attempts, "at": now_ms(), "error": why,
    }  # fmt: skip


def _id(notice_id: str, word: str, number: int) -> str:
    return hashlib.sha256(f"{notice_id}\0{word}\0{number}".encode()).hexdigest()[:ID_CHARS]
