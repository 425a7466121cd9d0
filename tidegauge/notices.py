"""Notices as those who run Tidegauge have them: one state each, out of the topic and of what waits; nobody's number in clear."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry, registry_for
from services.notices.notifier import GIVEN_UP, masked
from tidegauge.topic_entries import topic_entries

if TYPE_CHECKING:
    from deploy.settings import Settings

TOPIC: Final = "notices"
_ALERTS: Final = "rm-alerts"
STATES: Final = {"sent": "sent", "failed": "failed", "suppressed": "given_up"}
"""By what stands on the topic; one that only waits for its channel is `waiting`, one that no person ended `suppressed`."""

_WAITING: Final = "waiting"
_SPARE: Final = 10_000  # kept beside those that are listed, as some may turn out to have another state by now


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What has become of a notice. `at`: milliseconds since epoch, UTC, and `record`: None while it waits."""

    notice_id: str
    state: str
    channel: str
    at: int | None
    attempts: int | None
    error: str | None
    record: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """All of it that names nobody."""
        shown = ("notice_id", "state", "channel", "at", "attempts", "error")
        return {name: getattr(self, name) for name in shown}

    def shown(self) -> dict[str, Any]:
        """`plain`, and to whom it went and what it said, which has the customer's number masked."""
        if self.record is None:
            return self.plain()
        said = {name: self.record[name] for name in ("recipient", "subject", "body", "caused_by")}
        return {**self.plain(), "customer": masked(self.record["customer_id"]), **said}


def written_states(settings: Settings) -> Iterator[NoticeState]:
    """The states of all notices on the topic; one that was written twice comes twice. KafkaException."""
    registry = registry_for(settings)
    for entry in topic_entries(settings, TOPIC):
        if (found := notice_state(entry.value or b"", registry)) is not None:
            yield found


def alerts_by_event(settings: Settings, events: Collection[str]) -> dict[str, dict[str, Any]]:
    """The alerts' records of these event ids, as far as `rm-alerts` has them. KafkaException."""
    registry, found = registry_for(settings), dict[str, dict[str, Any]]()
    for entry in topic_entries(settings, _ALERTS):
        with contextlib.suppress(RecordError):
            record = decode_one(entry.value or b"", registry, name=_ALERTS)
            if record["event_id"] in events:
                found[record["event_id"]] = record
    return found


def notice_state(value: bytes, registry: Registry) -> NoticeState | None:
    """The state that a record's bytes tell; None for what is none of ours: nobody has been told by what nobody can read."""
    try:
        return written_state(decode_one(value, registry, name=TOPIC))
    except RecordError:
        return None


def written_state(record: dict[str, Any]) -> NoticeState:
    """The state that a record of the topic tells."""
    state = STATES.get(record["status"], record["status"])
    channel, at, attempts, error = (record[name] for name in ("channel", "at", "attempts", "error"))
    if record["status"] == "suppressed" and error is not None and not error.startswith(GIVEN_UP):
        state = "suppressed"
    return NoticeState(record["notice_id"], state, channel, at, attempts, error, record)


def waiting_states(waiting: Mapping[str, str]) -> list[NoticeState]:
    """The states of notices that wait. waiting: as `services.notices.channels.waiting_notices` has them."""
    found = []
    for notice_id, why in sorted(waiting.items()):
        channel, _, rest = why.partition(" → ")
        found.append(NoticeState(notice_id, _WAITING, channel, None, None, rest.partition(": ")[2] or None))
    return found


def newest_states(
    written: Iterable[NoticeState], waiting: Mapping[str, str], limit: int, state: str = ""
) -> list[NoticeState]:
    """Those that wait, then the newest others, one a notice; with a state, those of it alone. At most `limit`."""
    known: dict[str, NoticeState] = {}
    for one in written:
        before = known.get(one.notice_id)
        if before is not None and (before.at or 0) > (one.at or 0):
            continue
        if state in ("", one.state):
            known[one.notice_id] = one
        else:
            known.pop(one.notice_id, None)  # it has been sent once more since
        if len(known) > 2 * (limit + _SPARE):
            known = {one.notice_id: one for one in _newest(known.values(), limit + _SPARE)}
    held = [one for one in waiting_states(waiting) if one.notice_id not in known and state in ("", _WAITING)]
    return [*held, *_newest(known.values(), limit)][:limit]


def _newest(states: Iterable[NoticeState], limit: int) -> list[NoticeState]:
    return heapq.nsmallest(limit, states, key=lambda one: (-(one.at or 0), one.notice_id))


def state_of(notice_id: str, written: Iterable[NoticeState], waiting: Mapping[str, str]) -> NoticeState | None:
    """The state of one notice: the last that was written, else that it waits; None where nobody knows it."""
    found = [one for one in written if one.notice_id == notice_id]
    if found:
        return max(found, key=lambda one: one.at or 0)
    return next((one for one in waiting_states(waiting) if one.notice_id == notice_id), None)
