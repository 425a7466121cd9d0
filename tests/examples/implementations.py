"""The ledgers that must all pass the worked examples. A new one is added to IMPLEMENTATIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tests.examples.standing import Standing
from tests.twins.ledger import SlowLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Ledger(Protocol):
    """What an example asks of a ledger: CNY, Asia/Shanghai, the rolling-quarter-aum tiers."""

    def add(self, event: Mapping[str, Any]) -> str:
        """Takes an event (Avro field names and `topic`): `accepted`, `duplicate`, or why it was rejected."""
        ...

    def close(self, day: int) -> object:
        """Ends a business day."""
        ...

    def published(self, customer: str, as_of: int) -> dict[str, int | None]:
        """The metrics rounded half-even to fen, None while held; names as in policies.ROLLING."""
        ...

    def tier(self, customer: str, day: int) -> str:
        """The tier in force on a day."""
        ...

    def open_breaks(self, customer: str) -> list[tuple[str, int, int]]:
        """(account_id, day, amount in minor units) of the open breaks, sorted."""
        ...

    def restated(self) -> list[tuple[str, int, int | None, int | None, str, str]]:
        """(customer, restated day, previous, current, previous tier, current tier) of the last close, sorted."""
        ...


class Slow(SlowLedger):
    """The slow twin behind the examples' interface."""

    _last: list[tuple[str, int, int | None, int | None, str, str]]

    def __init__(self) -> None:
        super().__init__()
        self._horizon: dict[tuple[str, str], int] = {}  # of an account, when its first posting came

    def close(self, day: int) -> list:
        found = super().close(day)
        rounded = [(None if v is None else round(v) for v in (r.previous, r.current)) for r in found]
        self._last = [
            (r.customer_id, r.restated_day, *pair, r.previous_tier, r.current_tier)
            for r, pair in zip(found, rounded, strict=True)
        ]
        return found

    def add(self, event: Mapping[str, Any]) -> str:
        said = super().add(event)
        if said == "accepted" and event["topic"] == "transactions":
            horizon = 0 if self.closed is None else self.closed - self.rules.horizon_days
            self._horizon.setdefault((event["customer_id"], event["account_id"]), horizon)
        return said

    def open_breaks(self, customer: str) -> list[tuple[str, int, int]]:
        """Breaks that can be reported: a snapshot beyond the horizon when the first posting came was a movement."""
        return sorted(
            (b.account_id, b.day, b.amount_minor)
            for b in self.breaks(customer)
            if self.booking_day(b.cutoff_at) >= self._horizon[customer, b.account_id]
        )

    def restated(self) -> list[tuple[str, int, int | None, int | None, str, str]]:
        return self._last


IMPLEMENTATIONS: dict[str, Callable[[], Ledger]] = {"slow": Slow, "standing": Standing}
