"""Quiet hours, and how many notices a recipient gets by a channel in a minute: what may not go now waits until it may.

No clock is read here. What is counted is known to this process alone, and forgotten when it ends.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

AT_ANY_HOUR: Final = "critical"
"""The severity that no quiet hours keep back."""

TO_NOBODY: Final = frozenset({"console"})
"""Channels that are a process's own output, and wake nobody."""

_MINUTE_MS: Final = 60_000
RECIPIENTS_MAX: Final = 100_000
"""Of whom is known what they got in the last minute; with more, all is forgotten."""


class Hours:
    """When notices may go out. quiet: `21:00-08:00` in the zone, empty for none; cap: notices a minute, 0 for no cap."""

    def __init__(self, quiet: str, zone: dt.tzinfo, cap: int = 0) -> None:
        self._quiet = [dt.time.fromisoformat(one) for one in quiet.split("-")] if quiet else []
        self._zone, self._cap = zone, cap
        self._sent: dict[tuple[str, str], deque[int]] = {}  # instants, by channel and recipient

    def left_s(self, alert: Mapping[str, Any], channel: str, recipient: str, now_ms: int) -> float:
        """Seconds until a notice of the alert may go out by the channel; 0 for now."""
        if channel in TO_NOBODY:
            return 0.0
        quiet_ms = 0 if alert["severity"] == AT_ANY_HOUR else self._quiet_ms(now_ms)
        return max(quiet_ms, self._over_cap_ms(channel, recipient, now_ms)) / 1000

    def count(self, channel: str, recipient: str, now_ms: int) -> None:
        """One goes out now."""
        if self._cap and channel not in TO_NOBODY:
            if len(self._sent) >= RECIPIENTS_MAX:
                self._sent.clear()
            self._sent.setdefault((channel, recipient), deque(maxlen=self._cap)).append(now_ms)

    def _over_cap_ms(self, channel: str, recipient: str, now_ms: int) -> int:
        """Until the oldest of as many as the cap is a minute old."""
        sent = self._sent.get((channel, recipient))
        if sent is None or len(sent) < self._cap:
            return 0
        return max(0, sent[0] + _MINUTE_MS - now_ms)

    def _quiet_ms(self, now_ms: int) -> int:
        """Until the quiet hours are over; 0 outside of them. They may run over midnight."""
        if not self._quiet:
            return 0
        begins, ends = self._quiet
        now = dt.datetime.fromtimestamp(now_ms / 1000, self._zone)
        at = now.time().replace(tzinfo=None)
        over_midnight = begins > ends
        quiet = at >= begins or at < ends if over_midnight else begins <= at < ends
        if not quiet:
            return 0
        day = now.date() + dt.timedelta(days=1 if over_midnight and at >= begins else 0)
        return max(1, round(dt.datetime.combine(day, ends, self._zone).timestamp() * 1000) - now_ms)


ALWAYS: Final = Hours("", ZoneInfo("UTC"))
"""No quiet hours and no cap."""
