"""Customers whom facts, profiles and acts have touched, each with the last event's id: a class may be decided continuously.

Postings are not noted here: they come in blocks, and the blocks say whom they touch.
"""

from __future__ import annotations


class TouchedCustomers:
    """Notes nothing unless it is wanted."""

    def __init__(self) -> None:
        self.wanted = False
        self._events: dict[int, str] = {}

    def use(self, *, wanted: bool) -> None:
        """Whether customers are noted from now on; what was noted is forgotten."""
        self.wanted = wanted
        self._events.clear()

    def note(self, slot: int, event_id: str) -> None:
        """An event has changed something about a customer."""
        if self.wanted:
            self._events[slot] = event_id

    def __len__(self) -> int:
        return len(self._events)

    def take(self) -> dict[int, str]:
        """Slots and events noted since the last call."""
        events, self._events = self._events, {}
        return events
